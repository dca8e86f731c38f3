"""Claims: one sentence of a paper, what was measured, and by which rule it holds, or does not.

A rule takes values over seeds and returns verdict, measured interval and the sentence of the threshold together:

- `above`, `below` and `within` are about a mean over seeds. **An interval that straddles the threshold is undecided**;
  a mean alone never decides.
- `every` is about each single network, where one counterexample is enough.
- `exact` is about numbers without chance: a formula, a paper's condition.

**A single seed is not testable**, whatever it shows. `Finding.untestable` says so for a preset that is too small. Rules
go by the plain t interval: their values are differences and ratios as often as losses, and a transform
(`stats.interval`) would keep 0 out of an interval around a difference.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from snljax.stats import Interval, t_interval
from snljax.variables import as_floats

Verdict = Literal["holds", "refuted", "undecided", "not testable"]
Cells = Literal["every", "some"]
Relation = Literal["<", "≤", "≥", ">"]
RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "≤": operator.le,
    "≥": operator.ge,
    ">": operator.gt,
}
LEVEL = 0.95  # of all intervals


class Finding(NamedTuple):
    """What a rule returns: the verdict, the number it rests on, the sentence of the threshold, and why not, if not."""

    verdict: Verdict
    measured: Interval
    threshold: str
    reason: str = ""

    def untestable(self, reason: str) -> Finding:
        """The same, not testable for a reason: what was measured is shown, but does not count.

        Args:
            reason: e.g. ``"1000 of 5000 steps"``; an empty one changes nothing.

        Returns:
            Finding.

        Example:
            >>> above([3.0, 4.0, 5.0], 0.0, "gain").untestable("1000 of 5000 steps").verdict
            'not testable'
        """
        return self._replace(verdict="not testable", reason=_join(reason, self.reason)) if reason else self


class Claim(NamedTuple):
    """One checked sentence.

    text: the sentence. source: where the paper says it, and under which reading it was checked. verdict, measured,
    threshold: of the rule. note: why it is not testable, or a caveat.
    """

    text: str
    source: str
    verdict: Verdict
    measured: Interval
    threshold: str
    note: str = ""

    @classmethod
    def of(cls, text: str, source: str, rule: Finding, note: str = "") -> Claim:
        """A sentence, where it stands, and what a rule found.

        Args:
            text: the sentence.
            source: paper, place and reading.
            rule: from `above`, `below`, `within`, `every` or `exact`.
            note: a caveat.

        Returns:
            Claim.

        Example:
            >>> Claim.of("it helps", "Theorem 1", above([3.0, 4.0, 5.0], 0.0, "gain")).verdict
            'holds'
        """
        return cls(text, source, rule.verdict, rule.measured, rule.threshold, _join(rule.reason, note))


def above(values: Any, level: float, what: str, cells: Cells = "every") -> Finding:
    """A mean over seeds exceeds a level.

    Args:
        values: over seeds, one row of numbers or a DataArray with a dimension ``seed``; or an Interval that was
            computed already, e.g. by `stats.bootstrap`. Other dimensions are cells.
        level: the threshold.
        what: the quantity, for the sentence of the threshold.
        cells: what the sentence says of several cells. ``"every"``: it holds if all intervals lie above, and is
            refuted if one lies below even when widened for the number of cells (Bonferroni), since a chance is
            taken with each. ``"some"``: it holds if one lies above even when widened, and is refuted if all lie below.

    Returns:
        Finding. ``holds`` if the interval lies above the level, ``refuted`` if no part of it does, else
        ``undecided``; ``not testable`` without an interval (one seed, no value, infinite ones).

    Example:
        >>> found = above([0.3, 0.5, 0.4], 0.1, "gain in accuracy")
        >>> found.verdict, str(found.measured), found.threshold
        ('holds', '0.4 [0.1516, 0.6484]', 'gain in accuracy: interval above 0.1')
        >>> above([0.3, 0.5], 0.1, "gain in accuracy").verdict
        'undecided'
    """
    return _mean_rule(values, (level, math.inf), True, f"{what}: interval above {level:.4g}", cells)


def below(values: Any, level: float, what: str, cells: Cells = "every") -> Finding:
    """A mean over seeds stays below a level; see `above`.

    Args:
        values: as in `above`.
        level: the threshold.
        what: the quantity, for the sentence of the threshold.
        cells: as in `above`.

    Returns:
        Finding.

    Example:
        >>> below([0.3, 0.5, 0.4], 0.1, "error").verdict
        'refuted'
    """
    return _mean_rule(values, (-math.inf, level), True, f"{what}: interval below {level:.4g}", cells)


def within(values: Any, low: float, high: float, what: str) -> Finding:
    """A mean over seeds lies between two levels, them included, in every cell; see `above`.

    Also for "equals": a paper's number with a tolerance. An interval that merely contains the number proves nothing.

    Args:
        values: as in `above`.
        low, high: the thresholds.
        what: the quantity, for the sentence of the threshold.

    Returns:
        Finding.

    Example:
        >>> within([93.0, 97.0, 95.0], 76.0, 114.0, "K·σ_p²").threshold
        'K·σ_p²: interval within 76 to 114'
    """
    return _mean_rule(values, (low, high), False, f"{what}: interval within {low:.4g} to {high:.4g}")


def every(values: xr.DataArray, relation: Relation, level: float, what: str) -> Finding:
    """Each single network, of every cell and seed, fulfils a relation.

    It is about the networks that were trained, not about a mean, so that no interval can straddle: one counterexample
    refutes. That all hold says so for these seeds, two or more, and leaves a rare exception possible: the sentence of
    the threshold says how many networks there were.

    Args:
        values: with a dimension ``seed``; all others are cells. NaN fulfils nothing: a network that diverged, or
            never got there, is a counterexample.
        relation: ``"<"``, ``"≤"``, ``"≥"`` or ``">"``.
        level: the threshold.
        what: the quantity, for the sentence of the threshold.

    Returns:
        Finding; measured are the mean, and the smallest and the largest of the networks that have a number.

    Raises:
        ValueError: if the relation is another, or there is no dimension seed or no network.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[0.001, 0.002], [0.003, 0.02]], dims=("K", "seed"))
        >>> found = every(loss, "<", 0.01, "training loss")
        >>> found.verdict, str(found.measured), found.reason
        ('refuted', '0.0065 [0.001, 0.02]', '1 of 4 networks do not')
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation: {relation!r}; allowed: {', '.join(RELATIONS)}")
    if "seed" not in values.dims or not values.size:
        raise ValueError(f"values: dimensions {', '.join(map(str, values.dims)) or 'none'}; allowed: seed, one or more")
    values = as_floats(values)
    fails = int((~RELATIONS[relation](values, level)).sum())
    numbers = values.values[~np.isnan(values.values)]
    lost = f", {values.size - numbers.size} of them without a number" if numbers.size < values.size else ""
    mean, low, high = map(float, (numbers.mean(), numbers.min(), numbers.max()) if numbers.size else (math.nan,) * 3)
    found = Finding(
        "refuted" if fails else "holds",
        Interval(mean, low, high, "range"),
        f"{what} {relation} {level:.4g} in each of {values.size} networks",
        f"{fails} of {values.size} networks do not{lost}" if fails else "",
    )
    return found.untestable("a single seed") if values.sizes["seed"] == 1 else found


def on_side(sides: xr.DataArray, wanted: int, what: str) -> Finding:
    """Cells of a traced diagram all lie on one side of its level.

    Args:
        sides: ``side`` of the Dataset, at one cell or several: −1 below, +1 at or above, 0 where seeds cannot tell.
        wanted: the side, −1 or 1.
        what: the cells, for the sentence of the threshold.

    Returns:
        Finding: ``refuted`` if one lies on the other side, ``undecided`` if of one the seeds cannot tell; measured is
        the share of cells that lie there, without an interval: that of each cell has made its side.

    Raises:
        ValueError: if there is no cell, or a side or the wanted one is another number.

    Example:
        >>> found = on_side(xr.DataArray([1, 1, 0, 1], dims="K"), 1, "cells on the curve")
        >>> found.verdict, str(found.measured), found.threshold
        ('undecided', '0.75', 'cells on the curve: interval at or above the level, in each of 4')
    """
    values = np.asarray(sides).ravel()
    if not values.size or not np.isin(values, (-1, 0, 1)).all() or wanted not in (-1, 1):
        raise ValueError(f"sides: {values.tolist()}, wanted {wanted}; allowed: one or more of -1, 0, 1, and -1 or 1")
    verdict: Verdict = "refuted" if (values == -wanted).any() else "undecided" if (values == 0).any() else "holds"
    share = Interval(float((values == wanted).mean()), math.nan, math.nan, "exact")
    place = "at or above" if wanted == 1 else "below"
    return Finding(verdict, share, f"{what}: interval {place} the level, in each of {values.size}")


def exact(values: Any, relation: Relation, level: float, what: str) -> Finding:
    """Numbers without chance, a formula's or a condition's parts, all fulfil a relation.

    Args:
        values: one number or several, none of them measured.
        relation: ``"<"``, ``"≤"``, ``"≥"`` or ``">"``.
        level: the threshold.
        what: the quantity, for the sentence of the threshold.

    Returns:
        Finding, never undecided; measured is the number farthest from fulfilling it, without an interval.

    Raises:
        ValueError: if the relation is another, or a value is NaN or there is none.

    Example:
        >>> found = exact([3.5, 0.2], "≥", 1.0, "parts of Condition 2.2")
        >>> found.verdict, str(found.measured), found.threshold
        ('refuted', '0.2', 'parts of Condition 2.2 ≥ 1')
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation: {relation!r}; allowed: {', '.join(RELATIONS)}")
    numbers = np.asarray(values, float).ravel()
    if numbers.size == 0 or np.isnan(numbers).any():
        raise ValueError(f"values: {values!r}; allowed: one or more numbers, none of them NaN")
    worst = float(numbers.max() if relation in ("<", "≤") else numbers.min())
    holds = bool(RELATIONS[relation](worst, level))
    measured = Interval(worst, math.nan, math.nan, "exact")
    return Finding("holds" if holds else "refuted", measured, f"{what} {relation} {level:.4g}")


def _mean_rule(
    values: Any, region: tuple[float, float], strict: bool, threshold: str, cells: Cells = "every"
) -> Finding:
    """The verdict about a mean, or about the means of many cells at once."""
    if isinstance(values, Interval):
        verdict = _verdict(values, region, strict)
        reason = "nothing measured" if math.isnan(values.mean) else "no interval"
        return Finding(verdict, values, threshold, reason if verdict == "not testable" else "")
    if cells not in ("every", "some"):
        raise ValueError(f"cells: {cells!r}; allowed: every, some")
    rows = _rows(values)
    lost = sum(int(np.isnan(row).sum()) for row in rows)
    reason = f"{lost} of {sum(map(len, rows))} have no value" if lost else ""
    plain = [t_interval(row, LEVEL) for row in rows]
    verdicts = [_verdict(one, region, strict) for one in plain]
    # The cell that decides, and what one cell alone can decide: against "every", or in favour of "some".
    foremost = min if cells == "every" else max
    alone: Verdict = "refuted" if cells == "every" else "holds"
    deciding = foremost(plain, key=lambda one: _margin(one, region))
    if len(rows) == 1:
        verdict = verdicts[0]
        return Finding(verdict, deciding, threshold, _join(_why(deciding, verdict), reason))
    threshold = f"{threshold}, in {'each' if cells == 'every' else 'one'} of {len(rows)} cells"
    if set(verdicts) == {"holds" if cells == "every" else "refuted"}:
        return Finding(verdicts[0], deciding, threshold, reason)
    kind = f"{100 * LEVEL:g} % t, widened for {len(rows)} cells"
    wide = [t_interval(row, 1 - (1 - LEVEL) / len(rows))._replace(kind=kind) for row in rows]
    found = [one for one in wide if _verdict(one, region, strict) == alone]
    if found:
        return Finding(alone, foremost(found, key=lambda one: _margin(one, region)), threshold, reason)
    if "not testable" in verdicts:  # a cell without an interval leaves the whole sentence open
        without = plain[verdicts.index("not testable")]
        return Finding("not testable", without, threshold, _join(_why(without, "not testable"), reason))
    return Finding("undecided", deciding, threshold, reason)


def _verdict(found: Interval, region: tuple[float, float], strict: bool) -> Verdict:
    """Where an interval lies: in the region, out of it, or across its edge. strict: the edges are not of the region."""
    if not all(map(math.isfinite, found[:3])):
        return "not testable"
    low, high = region
    inside, outside = (operator.lt, operator.le) if strict else (operator.le, operator.lt)
    if inside(low, found.low) and inside(found.high, high):
        return "holds"
    return "refuted" if outside(found.high, low) or outside(high, found.low) else "undecided"


def _margin(found: Interval, region: tuple[float, float]) -> float:
    """How far inside the region the interval ends; negative outside."""
    margin = min(found.low - region[0], region[1] - found.high)
    return margin if not math.isnan(margin) else -math.inf


def _why(measured: Interval, verdict: Verdict) -> str:
    """Why a mean is not testable, if it is not."""
    if verdict != "not testable":
        return ""
    if math.isnan(measured.mean):
        return "nothing measured"
    return "a single seed" if math.isfinite(measured.mean) else "infinite values"


def _rows(values: Any) -> list[np.ndarray]:
    """Values over seeds, one row for each cell."""
    if not isinstance(values, xr.DataArray):
        values = xr.DataArray(np.asarray(values), dims=("seed",))
    if "seed" not in values.dims and values.ndim != 1:
        raise ValueError(
            f"values: dimensions {', '.join(map(str, values.dims)) or 'none'}; allowed: seed, or one alone"
        )
    rows = as_floats(values).transpose(..., "seed" if "seed" in values.dims else values.dims[0]).values
    return list(rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])) or [np.empty(0)]


def to_markdown(title: str, claims: list[Claim], remarks: list[str]) -> str:
    """The report as a Markdown page."""
    lines = [f"# {title}", "", *(f"- {r}" for r in remarks), "", "| claim | source | verdict | measured | threshold |"]
    lines.append("|---|---|---|---|---|")
    for c in claims:
        note = f"; {c.note}" if c.note else ""
        cells = (c.text, c.source, f"**{c.verdict}**", f"{_text(c.measured)}{note}", c.threshold)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", LEGEND, ""])


LEGEND = (
    "Brackets: t, a t interval of the mean; bootstrap, over resampled seeds; range, the smallest and the largest of "
    "single networks. Over seeds where nothing else is said. Exact: a number without chance. Undecided: the interval "
    "straddles the threshold."
)


def to_json(title: str, claims: list[Claim], remarks: list[str]) -> str:
    """The report for programs; NaN becomes null, and ``kind`` says what the interval is."""
    rows = []
    for c in claims:
        mean, low, high = (_number(v) for v in c.measured[:3])
        interval = None if low is None and high is None else [low, high]
        rows.append(c._asdict() | {"measured": mean, "interval": interval, "kind": c.measured.kind})
    return json.dumps({"title": title, "remarks": remarks, "claims": rows}, indent=2, ensure_ascii=False) + "\n"


def to_terminal(claims: list[Claim]) -> str:
    """A few lines for each claim."""
    mark = {"holds": "✓", "refuted": "✗", "undecided": "~", "not testable": "?"}
    lines = []
    for c in claims:
        lines.append(f"{mark[c.verdict]} {c.verdict}: {c.text} [{c.source}]")
        lines.append(
            f"    measured {_text(c.measured)}; held against {c.threshold}" + (f"; {c.note}" if c.note else "")
        )
    return "\n".join(lines)


def _text(value: Interval) -> str:
    """The number, its interval, and what that is; a number alone is exact, or one seed's."""
    if math.isnan(value.low):
        return f"{value} (exact)" if value.kind == "exact" else f"{value} (no interval)"
    return f"{value} ({value.kind})"


def _join(*parts: str) -> str:
    return "; ".join(p for p in parts if p)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
