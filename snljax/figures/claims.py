"""Claims: one sentence of a paper, what was measured, and whether it holds."""

from __future__ import annotations

import json
import math
from typing import Literal, NamedTuple

from snljax.boundary import Interval

Verdict = Literal["holds", "refuted", "not testable"]


class Claim(NamedTuple):
    """One checked sentence.

    text: the sentence. source: where the paper says it, and under which reading it was checked.
    verdict: ``not testable`` where the preset cannot decide. measured: the number, with its interval
    over seeds where there are several. threshold: what it is held against. note: why, or a caveat.
    """

    text: str
    source: str
    verdict: Verdict
    measured: Interval | float
    threshold: str
    note: str = ""


def verdict(holds: bool, testable: bool = True) -> Verdict:
    """The verdict of a check that may not be testable at this preset."""
    if not testable:
        return "not testable"
    return "holds" if holds else "refuted"


def above(found: Interval, level: float = 0.0) -> Verdict:
    """Of a claim that something exceeds a level: an interval that contains the level decides nothing."""
    return verdict(found.low > level, found.low > level or found.high < level)


def to_markdown(title: str, claims: list[Claim], remarks: list[str]) -> str:
    """The report as a Markdown page."""
    lines = [f"# {title}", "", *(f"- {r}" for r in remarks), "", "| claim | source | verdict | measured | threshold |"]
    lines.append("|---|---|---|---|---|")
    for c in claims:
        note = f" ({c.note})" if c.note else ""
        cells = (c.text, c.source, f"**{c.verdict}**", f"{_text(c.measured)}{note}", c.threshold)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", "Brackets: 95 % t interval, over seeds where nothing else is said.", ""])


def to_json(title: str, claims: list[Claim], remarks: list[str]) -> str:
    """The report for programs; NaN becomes null."""
    rows = []
    for c in claims:
        measured = c.measured if isinstance(c.measured, Interval) else Interval(c.measured, math.nan, math.nan)
        low, high = (_number(v) for v in measured[1:])
        rows.append(
            c._asdict() | {"measured": _number(measured.mean), "interval": None if low is None else [low, high]}
        )
    return json.dumps({"title": title, "remarks": remarks, "claims": rows}, indent=2, ensure_ascii=False) + "\n"


def to_terminal(claims: list[Claim]) -> str:
    """A few lines for each claim."""
    mark = {"holds": "✓", "refuted": "✗", "not testable": "?"}
    lines = []
    for c in claims:
        lines.append(f"{mark[c.verdict]} {c.verdict}: {c.text} [{c.source}]")
        lines.append(
            f"    measured {_text(c.measured)}; held against {c.threshold}" + (f"; {c.note}" if c.note else "")
        )
    return "\n".join(lines)


def _text(value: Interval | float) -> str:
    return str(value) if isinstance(value, Interval) else f"{value:.4g}"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
