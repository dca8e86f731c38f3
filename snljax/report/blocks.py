"""What a page is made of: a few kinds of blocks, which each rendering knows how to write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Link(NamedTuple):
    """To a heading of the same page, given by its text."""

    text: str


class Code(NamedTuple):
    """A word or command, as it is typed."""

    text: str


class Strong(NamedTuple):
    """A word that should be seen."""

    text: str


class Verdict(NamedTuple):
    """Of a claim: the word says it, and a colour may."""

    text: str


Inline = str | Link | Code | Strong | Verdict
Line = Sequence[Inline]  # written one after another


class Heading(NamedTuple):
    """level: 1 for the page, 2 and 3 below."""

    level: int
    text: str


class Paragraph(NamedTuple):
    """A few sentences."""

    line: Line


class Items(NamedTuple):
    """Short remarks, one below the other."""

    lines: Sequence[Line]


class Table(NamedTuple):
    """numbers: which columns are, counted from the left."""

    head: Line
    rows: Sequence[Sequence[Line]]
    numbers: frozenset[int] = frozenset()


class Picture(NamedTuple):
    """name: without a suffix. png: content of its file. about: for who cannot see it."""

    name: str
    png: bytes
    about: str


class Command(NamedTuple):
    """A line for the shell."""

    text: str


Block = Heading | Paragraph | Items | Table | Picture | Command


def anchor(heading: str) -> str:
    """What a heading is linked by, as GitHub has it.

    Example:
        >>> anchor("Figure 1, of paper 000")
        'figure-1-of-paper-000'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
