"""What a notebook shows of a grid."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from snljax.experiment import readings_of
from snljax.wording import plain, shortened

if TYPE_CHECKING:
    from snljax.sweep.grid import Grid

_SHOWN = 60  # characters of an axis's values


def to_html(grid: Grid) -> str:
    """A table: axes with their values, settings that the reading does not have, what is trained and compiled."""
    of_steps = () if grid.record_steps is None else (("steps", grid.record_steps),)
    static = dict(zip((a.name for a in grid.point_axes), grid.static_axes, strict=True))
    rows = [
        (name, grid.label(name), len(values), _values(values), "compiled apart" if static.get(name) else "")
        for name, values in (*((a.name, a.coordinate) for a in grid.axes), *of_steps)
    ]
    base = readings_of(grid.experiment)[grid.reading]
    changed = [f"{n} = {plain(v)}" for n, v in grid.settings().items() if v != getattr(base, n)]
    programs = math.prod(len(a.coordinate) for a in grid.point_axes if static[a.name])
    steps = grid.config.steps
    cost = f"{_count(grid.cells, 'network')} × {steps:,} steps = {grid.cells * steps:.3g} network-steps"
    head = f"<b>{html.escape(grid.experiment.name)}</b>, reading {html.escape(grid.reading)}"
    body = "".join(_row("td", row) for row in rows)
    table = f"<table>{_row('th', ('axis', 'symbol', 'values', '', ''))}{body}</table>" if rows else ""
    fixed = f"<div>{html.escape(', '.join(changed))}; all else as the reading has it</div>" if changed else ""
    return f"<div>{head}</div>{table}{fixed}<div>{cost}; {_count(programs, 'program')} to compile</div>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _row(tag: str, cells: Iterable[Any]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def _values(values: tuple[Any, ...]) -> str:
    text = ", ".join(_number(v) for v in values)
    return text if len(text) <= _SHOWN else f"{_number(values[0])}, {_number(values[1])}, …, {_number(values[-1])}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shortened(plain(value), _SHOWN)
