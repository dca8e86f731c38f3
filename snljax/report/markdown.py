"""A page as Markdown, with its pictures beside it."""

from __future__ import annotations

import re

from snljax.report.blocks import (
    Block,
    Code,
    Command,
    Heading,
    Inline,
    Items,
    Line,
    Link,
    Paragraph,
    Picture,
    Strong,
    Table,
    Verdict,
    anchor,
)


def to_markdown(blocks: list[Block], pictures: str) -> str:
    """A page as Markdown.

    Args:
        blocks: the page.
        pictures: the folder of its pictures, as seen from the page; each is NAME.png in it.

    Returns:
        Text.

    Example:
        >>> to_markdown([Heading(1, "Losses"), Picture("loss", b"", "over K")], "drawn")
        '# Losses\\n\\n![over K](drawn/loss.png)\\n'
    """
    return "\n\n".join(_block(block, pictures) for block in blocks) + "\n"


def _block(block: Block, pictures: str) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(line):
            return _line(line)
        case Items(lines):
            return "\n".join(f"- {_line(line)}" for line in lines)
        case Table(head, rows, numbers):
            rule = ["---:" if column in numbers else "---" for column in range(len(head))]
            below = [[_line(cell) for cell in row] for row in rows]
            return "\n".join(f"| {' | '.join(cells)} |" for cells in [[_inline(one) for one in head], rule, *below])
        case Picture(name, _, about):
            return f"![{_plain(about)}]({pictures}/{name}.png)"
        case Command(text):
            return f"```\n{text}\n```"


def _line(line: Line) -> str:
    return "".join(map(_inline, line))


def _inline(one: Inline) -> str:
    match one:
        case Link(text):
            return f"[{_plain(text)}](#{anchor(text)})"
        case Code(text):
            return f"`{text}`"
        case Strong(text) | Verdict(text):
            return f"**{_plain(text)}**"
        case str():
            return _plain(one)


def _plain(text: str) -> str:
    """Text that stays text, on one line: what would be markup is escaped, and no more, so that it reads as it is."""
    text = re.sub(r"([\\`*~|$])", r"\\\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # inside of a word it is a letter
    text = re.sub(r"\](?=[\[(:])", r"\\]", text)  # the brackets of an interval are no link's
    return text.replace("&", "&amp;").replace("<", "&lt;")
