"""A page as one HTML file: pictures and style inside, no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import pathlib
from collections.abc import Sequence
from html import escape

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

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def to_html(blocks: list[Block]) -> str:
    """A page as HTML.

    Args:
        blocks: the page; its first heading is the title.

    Returns:
        Text.

    Example:
        >>> page = to_html([Heading(1, "Losses"), Paragraph(["below ", Code("K"), " < 3"])])
        >>> "<p>below <code>K</code> &lt; 3</p>" in page
        True
    """
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    return _PAGE.format(title=escape(title), style=style(), body=body(blocks))


def style() -> str:
    """What the pages look like, as CSS."""
    return pathlib.Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def body(blocks: list[Block]) -> str:
    """Blocks as HTML, for a page that has more than them.

    Example:
        >>> body([Paragraph(["K < 3"])])
        '<p>K &lt; 3</p>'
    """
    return "\n".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f'<h{level} id="{anchor(text)}">{escape(text)}</h{level}>'
        case Paragraph(line):
            return f"<p>{_line(line)}</p>"
        case Items(lines):
            return f"<ul>{''.join(f'<li>{_line(line)}</li>' for line in lines)}</ul>"
        case Table(head, rows, numbers):
            # A region that scrolls must be reached with the keyboard too.
            return (
                f'<div class="table" role="region" aria-label="table" tabindex="0"><table>\n'
                f"<thead>{_row('th', [[one] for one in head], numbers)}</thead>\n"
                f"<tbody>{''.join(_row('td', row, numbers) for row in rows)}</tbody>\n</table></div>"
            )
        case Picture(_, png, about):
            data = base64.b64encode(png).decode("ascii")
            return f'<p class="picture"><img alt="{escape(about)}" src="data:image/png;base64,{data}"></p>'
        case Command(text):
            return f"<pre>{escape(text)}</pre>"


def _row(tag: str, cells: Sequence[Line], numbers: frozenset[int]) -> str:
    kinds = [' class="number"' if column in numbers else "" for column in range(len(cells))]
    inside = "".join(f"<{tag}{kind}>{_line(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{inside}</tr>\n"


def _line(line: Line) -> str:
    return "".join(map(_inline, line))


def _inline(one: Inline) -> str:
    match one:
        case Link(text):
            return f'<a href="#{anchor(text)}">{escape(text)}</a>'
        case Code(text):
            return f"<code>{escape(text)}</code>"
        case Strong(text):
            return f"<strong>{escape(text)}</strong>"
        case Verdict(text):
            return f'<span class="verdict {anchor(text)}">{escape(text)}</span>'
        case str():
            return escape(one)
