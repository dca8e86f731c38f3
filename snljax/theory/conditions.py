"""What a condition of a theorem says of one setting: its numbers, and by what factor it is met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

ORDER = 10.0  # Θ and ≪: of the same order within this factor, much less from this factor on
EXACT = 2.0  # values that a theorem fixes: within this factor
LENIENT = "some power: the first, the mildest reading"  # of a logarithm, or of d
_MARK = {"condition": "", "regime": "* ", "time": "~ "}


class Condition(NamedTuple):
    """One condition, and whether a setting meets it.

    says: in words and symbols. source: where in the paper. value, relation, bound: the numbers that are compared (or
    names, where two things have to be the same). factor: by how much it is met, 1 or more if it is; NaN where the
    paper gives no number. met: None where there is no number. hidden: what its constants and logarithms are taken as.
    part: ``"condition"`` of all theorems; ``"regime"``, which of the theorems speaks; ``"time"``, how long one of them
    lets training take: a bound from above, so that fewer steps may do.
    """

    says: str
    source: str
    value: float | str
    relation: str
    bound: float | str
    factor: float
    met: bool | None
    hidden: str
    part: str = "condition"


class Checked(NamedTuple):
    """All conditions of a paper for one setting; printed, it is a table (`table` gives Markdown).

    paper: which. network: how its numbers had to be translated to the network that the theorems are about.
    """

    paper: str
    network: str
    conditions: tuple[Condition, ...]

    @property
    def met(self) -> tuple[Condition, ...]:
        """The conditions of all theorems that the setting meets."""
        return tuple(c for c in self.conditions if c.met and c.part == "condition")

    @property
    def failed(self) -> tuple[Condition, ...]:
        """The conditions of all theorems that it does not meet."""
        return tuple(c for c in self.conditions if c.met is False and c.part == "condition")

    @property
    def theorems(self) -> tuple[str, ...]:
        """The theorems whose own conditions it meets, all of them, whatever the conditions of all theorems say."""
        regimes = [c for c in self.conditions if c.part == "regime"]
        failed = {c.source for c in regimes if c.met is False}
        return tuple(source for source in dict.fromkeys(c.source for c in regimes) if source not in failed)

    @property
    def summary(self) -> str:
        """How many are met, and which theorem's regime it is, on one line."""
        counted, unnumbered = len(self.met) + len(self.failed), sum(c.met is None for c in self.conditions)
        rest = f", {unnumbered} without a number" if unnumbered else ""
        return f"{len(self.met)} of {counted} conditions met{rest}; regime of: {'; '.join(self.theorems) or 'none'}"

    def __str__(self) -> str:
        rows = [(_verdict(c), _times(c), _MARK[c.part] + c.source, c.says, _numbers(c)) for c in self.conditions]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(
            [self.paper, self.network, *lines, f"{self.summary} (* says which theorem speaks, ~ how long it takes)"]
        )


def at_least(
    says: str, source: str, value: float, bound: float, hidden: str = "constant 1", part: str = "condition"
) -> Condition:
    r"""value ≥ bound.

    .. math:: \text{factor} = \text{value} / \text{bound}

    Args:
        says, source, hidden, part: as in `Condition`.
        value, bound: numbers; a bound of 0 or less is met by an infinite factor.

    Returns:
        Condition.

    Example:
        >>> at_least("d ≥ n", "Lemma 1", 200, 50).factor
        4.0
    """
    value, bound = float(value), float(bound)
    factor = value / bound if bound > 0 else np.inf if value >= bound else -np.inf
    return Condition(says, source, value, "≥", bound, factor, bool(value >= bound), hidden, part)


def at_most(
    says: str, source: str, value: float, bound: float, hidden: str = "constant 1", part: str = "condition"
) -> Condition:
    r"""value ≤ bound, of a value that is 0 or more.

    .. math:: \text{factor} = \text{bound} / \text{value}

    Args:
        says, source, hidden, part: as in `Condition`.
        value, bound: numbers; a value of 0 meets any bound that is not negative by an infinite factor.

    Returns:
        Condition.

    Example:
        >>> at_most("η ≤ 1", "Lemma 1", 0.5, 1.0).factor
        2.0
    """
    value, bound = float(value), float(bound)
    factor = bound / value if value > 0 else np.inf if bound >= value else -np.inf
    return Condition(says, source, value, "≤", bound, factor, bool(value <= bound), hidden, part)


def much_less(says: str, source: str, value: float, bound: float, part: str = "condition") -> Condition:
    r"""value ≪ bound, read as ten times less.

    .. math:: \text{factor} = \text{bound} / (10 \cdot \text{value})

    Args:
        says, source, part: as in `Condition`.
        value, bound: numbers, value above 0.

    Returns:
        Condition.

    Example:
        >>> much_less("μ ≪ σ", "Lemma 1", 1.0, 40.0).factor
        4.0
    """
    factor = float(bound) / (ORDER * float(value))
    hidden = f"≪ as {ORDER:g} times less"
    return Condition(says, source, float(value), "≪", float(bound), factor, factor >= 1, hidden, part)


def of_order(says: str, source: str, value: float, bound: float, part: str = "condition") -> Condition:
    r"""value = Θ(bound), read as within a factor of ten either way.

    .. math:: \text{factor} = 10 \cdot \min(\text{value} / \text{bound}, \text{bound} / \text{value})

    Args:
        says, source, part: as in `Condition`.
        value, bound: numbers; a value of 0 has factor 0.

    Returns:
        Condition.

    Example:
        >>> of_order("μ = Θ(1)", "Lemma 1", 0.02, 1.0).factor
        0.2
    """
    return _within(says, source, "≈", value, bound, ORDER, f"Θ as within a factor of {ORDER:g}", part)


def fixed(says: str, source: str, value: float, bound: float, part: str = "condition") -> Condition:
    r"""A value that the theorem fixes, held to a factor of two either way.

    .. math:: \text{factor} = 2 \cdot \min(\text{value} / \text{bound}, \text{bound} / \text{value})

    Args:
        says, source, part: as in `Condition`.
        value, bound: numbers; a value of 0 has factor 0.

    Returns:
        Condition.

    Example:
        >>> fixed("λ = 1/σ", "Theorem 1", 0.1, 0.1).factor
        2.0
    """
    return _within(says, source, "=", value, bound, EXACT, f"= as within a factor of {EXACT:g}", part)


def same(says: str, source: str, value: object, bound: object, part: str = "condition") -> Condition:
    """Two names, or anything else that has to be the same; the factor is 1 or 0.

    Args:
        says, source, part: as in `Condition`.
        value, bound: what is there, and what should be.

    Returns:
        Condition.

    Example:
        >>> same("activation ReLU", "Section 3", 2, 1).met
        False
    """
    met = value == bound
    return Condition(says, source, str(value), "=", str(bound), float(met), met, "", part)


def unnumbered(says: str, source: str, why: str) -> Condition:
    """A condition that has no number: a constant that is only said to be large enough, a limit.

    Args:
        says, source: as in `Condition`.
        why: what is missing.

    Returns:
        Condition, ``met`` None and the factor NaN.

    Example:
        >>> unnumbered("d ≥ C", "Condition 1", "C is not given").met is None
        True
    """
    return Condition(says, source, "", "", "", float("nan"), None, why)


def _within(
    says: str, source: str, relation: str, value: float, bound: float, width: float, hidden: str, part: str
) -> Condition:
    value, bound = float(value), float(bound)
    factor = width * min(value / bound, bound / value) if value > 0 < bound else 0.0
    return Condition(says, source, value, relation, bound, factor, factor >= 1, hidden, part)


def table(checked: Checked | Mapping[str, Checked]) -> str:
    """The conditions of a paper as a Markdown table: a row for each, a column for each setting.

    Args:
        checked: what `check` found, or name -> that, of several settings of one paper.

    Returns:
        Markdown. A cell has the value, its bound, the factor by which it is met, and yes or no; the last row counts.

    Raises:
        ValueError: if there is none, or they are of different papers.

    Example:
        >>> ours = Checked("paper", "as it is", (at_least("d ≥ n", "Lemma 1", 200, 50),))
        >>> print(table({"fitted": ours}))
        | condition | source | fitted | constants and logarithms |
        |---|---|---|---|
        | d ≥ n | Lemma 1 | 200 (≥ 50): ×4, yes | constant 1 |
        | **met** |  | 1 of 1 conditions met; regime of: none |  |
    """
    columns = {"this setting": checked} if isinstance(checked, Checked) else dict(checked)
    papers = dict.fromkeys(c.paper for c in columns.values())
    if len(papers) != 1:
        raise ValueError(
            f"checked: {len(papers)} papers ({', '.join(papers) or 'none'}); allowed: settings of one paper"
        )
    lines = [_row(["condition", "source", *columns, "constants and logarithms"]), "|" + "---|" * (len(columns) + 3)]
    for several in zip(*(c.conditions for c in columns.values()), strict=True):
        first = several[0]
        source = f"*{first.source}*" if first.part == "regime" else first.source
        lines.append(_row([first.says, source, *map(_cell, several), first.hidden]))
    return "\n".join([*lines, _row(["**met**", "", *(c.summary for c in columns.values()), ""])])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _verdict(condition: Condition) -> str:
    return {True: "yes", False: "no", None: "—"}[condition.met]


def _times(condition: Condition) -> str:
    return "" if condition.met is None or isinstance(condition.value, str) else f"×{condition.factor:.2g}"


def _numbers(condition: Condition) -> str:
    if condition.met is None:
        return condition.hidden
    return f"{_shown(condition.value)} ({condition.relation} {_shown(condition.bound)})"


def _cell(condition: Condition) -> str:
    if condition.met is None:
        return "—"
    times = _times(condition)
    return f"{_numbers(condition)}: {times + ', ' if times else ''}{_verdict(condition)}"
