"""Tables for papers: mean ± half-width of the interval over seeds, and in bold what the paired test finds best."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from snljax import stats
from snljax.plotting import label_of
from snljax.sources import at as at_one
from snljax.sources import opened
from snljax.variables import DIVERGED, DONE, FIRST_BAD, PENDING, STATUS
from snljax.wording import listed, shown, unknown

Best = Literal["max", "min"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LOWER, _HIGHER = ("loss", "mse", "error"), ("accuracy",)  # ends of names whose better side is known
_DIGITS = 4  # of a mean without an interval


class Cell(NamedTuple):
    """One entry. half: of the interval, NaN where there is none. best: bold. p: against the best, adjusted, or NaN."""

    mean: float
    half: float
    seeds: int
    diverged: int
    pending: int
    best: bool
    p: float


class Table(NamedTuple):
    """What a format writes.

    rows, columns: the dimensions. row_keys, column_keys: their values, row by row and column by column.
    cells: (metric, row, column) -> Cell. labels: dimension or metric -> its label, symbols in TeX. note: what it shows.
    """

    metrics: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_keys: list[tuple[Any, ...]]
    column_keys: list[tuple[Any, ...]]
    cells: dict[tuple[str, int, int], Cell]
    labels: dict[str, str]
    note: str


def to_latex(
    source: xr.Dataset | str | os.PathLike[str],
    metric: str | Sequence[str],
    *,
    rows: str | Sequence[str],
    columns: str | Sequence[str] = (),
    at: Mapping[str, Any] = _NOTHING,
    best: Best | None = None,
    among: str | None = None,
    level: float = 0.95,
) -> str:
    r"""A table in LaTeX (booktabs): mean ± half-width of the t interval over seeds, the best in bold.

    .. math:: \bar v \pm t_{(1+\text{level})/2,\,S-1}\; s / \sqrt S

    The half-width has two significant digits, and the mean as many decimals. Bold is the best mean of its competitors,
    and all that the paired t test over seeds cannot tell from it at 1 − level, p adjusted by Holm over all entries of
    a metric. An entry with a diverged or a pending network is not compared: its mean is that of the others. With one
    seed there is no test and nothing is bold.

    Args:
        source: a Dataset of `sweep`, or the path of a netCDF file or a store.
        metric: one variable, or several, which stand beside each other.
        rows, columns: dimensions; steps that were recorded need not be named, their last is taken.
        at: dimension -> the one of its values that is shown, where it is in neither.
        best: ``"max"`` or ``"min"``. By default the name decides: lower for one that ends in loss, mse or error, higher
            for accuracy; of any other nothing is bold.
        among: the dimension whose values compete, one of rows and columns; default the last of rows.
        level: coverage of the interval, between 0 and 1.

    Returns:
        Text; its first line is a comment that says what the numbers are.

    Raises:
        ValueError: a metric, dimension or value that is not there, or a dimension that is nowhere.

    Example:
        >>> accuracy = (("penalty", "seed"), [[0.90, 0.95, 0.97], [0.50, 0.52, 0.51]])
        >>> ds = xr.Dataset({"test_accuracy": accuracy}, {"penalty": ["pegr", "none"], "seed": [0, 1, 2]})
        >>> print(to_latex(ds, "test_accuracy", rows="penalty").split("midrule")[1].split(r"\bottom")[0].strip())
        pegr & $\mathbf{0.940 \pm 0.090}$ \\
        none & $0.510 \pm 0.025$ \\

    Source: the test is `stats.compare`'s.
    """
    table = _table(source, metric, rows, columns, at, best, among, level)
    count = len(table.column_keys)
    head = [_tex(table.labels[name]) for name in table.rows]
    under = [_column_label(table, key, _tex) for _ in table.metrics for key in table.column_keys]
    top = [_tex(table.labels[name]) for name in table.metrics]
    if len(table.metrics) == 1 and table.columns:
        top = [", ".join(_tex(table.labels[name]) for name in table.columns)]
    lines = [f"% {table.note}", rf"\begin{{tabular}}{{{'l' * len(head)}{'c' * len(under)}}}", r"\toprule"]
    if table.columns:
        spans = [rf"\multicolumn{{{count}}}{{c}}{{{text}}}" for text in top]
        first = [len(head) + 1 + i * count for i in range(len(top))]
        rules = "".join(rf"\cmidrule(lr){{{start}-{start + count - 1}}}" for start in first)
        lines += [" & ".join([*[""] * len(head), *spans]).strip() + r" \\", rules]
    lines += [" & ".join([*head, *(under if table.columns else top)]) + r" \\", r"\midrule"]
    for names, cells in _lines(table):
        lines.append(" & ".join([*map(_tex, names), *map(_tex_cell, cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def to_markdown(
    source: xr.Dataset | str | os.PathLike[str],
    metric: str | Sequence[str],
    *,
    rows: str | Sequence[str],
    columns: str | Sequence[str] = (),
    at: Mapping[str, Any] = _NOTHING,
    best: Best | None = None,
    among: str | None = None,
    level: float = 0.95,
) -> str:
    """The table of `to_latex` in Markdown, with a line below that says what the numbers are.

    Args:
        source, metric, rows, columns, at, best, among, level: as for `to_latex`.

    Returns:
        Text.

    Raises:
        ValueError: as `to_latex`.

    Example:
        >>> accuracy = (("penalty", "seed"), [[0.90, 0.95, 0.97], [0.50, 0.52, 0.51]])
        >>> ds = xr.Dataset({"test_accuracy": accuracy}, {"penalty": ["pegr", "none"], "seed": [0, 1, 2]})
        >>> print(to_markdown(ds, "test_accuracy", rows="penalty").partition("\\n\\n")[0])
        | penalty | test accuracy |
        |---|---|
        | pegr | **0.940 ± 0.090** |
        | none | 0.510 ± 0.025 |
    """
    table = _table(source, metric, rows, columns, at, best, among, level)
    named = len(table.metrics) > 1 or not table.columns
    head = [table.labels[name] for name in table.rows]
    for name in table.metrics:
        for key in table.column_keys:
            under = ", ".join(f"{table.labels[d]} = {_value(v)}" for d, v in zip(table.columns, key, strict=True))
            head.append(", ".join([table.labels[name]] * named + [under] * bool(under)))
    lines = [_piped(head), "|" + "---|" * len(head)]
    lines += [_piped([*names, *map(_markdown_cell, cells)]) for names, cells in _lines(table)]
    what = "" if named else f"{table.labels[table.metrics[0]]}: "
    return "\n".join([*lines, "", f"{what}{table.note}.", ""])


def to_csv(
    source: xr.Dataset | str | os.PathLike[str],
    metric: str | Sequence[str],
    *,
    rows: str | Sequence[str],
    columns: str | Sequence[str] = (),
    at: Mapping[str, Any] = _NOTHING,
    best: Best | None = None,
    among: str | None = None,
    level: float = 0.95,
) -> str:
    """The entries of `to_latex` as comma-separated values, one a line, in full precision.

    Args:
        source, metric, rows, columns, at, best, among, level: as for `to_latex`.

    Returns:
        Text: the dimensions, then metric, mean, half_width (empty without an interval), seeds (with a number),
        diverged, pending, best (true or false) and p_adjusted (empty where nothing was compared).

    Raises:
        ValueError: as `to_latex`.

    Example:
        >>> ds = xr.Dataset({"test_loss": (("K", "seed"), [[1.0, 3.0]])}, {"K": [10]})
        >>> to_csv(ds, "test_loss", rows="K").splitlines()[1].split(",")[:3]
        ['10', 'test_loss', '2.0']
    """
    table = _table(source, metric, rows, columns, at, best, among, level)
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    numbers = ("mean", "half_width", "seeds", "diverged", "pending", "best", "p_adjusted")
    writer.writerow([*table.rows, *table.columns, "metric", *numbers])
    for name in table.metrics:
        for (i, row), (j, column) in itertools.product(enumerate(table.row_keys), enumerate(table.column_keys)):
            cell = table.cells[name, i, j]
            known = [_empty(cell.mean), _empty(cell.half), cell.seeds, cell.diverged, cell.pending]
            writer.writerow([*row, *column, name, *known, str(cell.best).lower(), _empty(cell.p)])
    return written.getvalue()


FORMATS = {"latex": to_latex, "markdown": to_markdown, "csv": to_csv}


def _empty(number: float) -> Any:
    return "" if np.isnan(number) else float(number)


# --- what is in a table -----------------------------------------------------------------------------


def _table(
    source: Any, metric: Any, rows: Any, columns: Any, at: Mapping[str, Any], best: Any, among: Any, level: float
) -> Table:
    stats.check_level(level)
    ds = at_one(opened(source).ds, at)
    metrics, rows, columns = (_names(one) for one in (metric, rows, columns))
    if best not in (None, "max", "min"):
        raise ValueError(f"best: {shown(best)}; allowed: max, min")
    if not rows or not metrics:
        raise ValueError(f"{'metric' if rows else 'rows'}: nothing named; allowed: one or more")
    numbers = [str(n) for n in ds.data_vars if n not in (STATUS, FIRST_BAD) and ds[n].dtype.kind in "biuf"]
    for name in metrics:
        if name not in numbers:
            raise ValueError(unknown("metric", name, numbers))
    among = rows[-1] if among is None else among
    if among not in (*rows, *columns):
        raise ValueError(f"among: {among!r}; allowed: {listed((*rows, *columns))}")
    dims = (*rows, *columns)
    keys = [[v.item() if hasattr(v, "item") else v for v in ds[d].values] for d in dims if d in ds.dims]
    cells: dict[tuple[str, int, int], Cell] = {}
    labels: dict[str, str] = {}
    seeds = 1
    for name in metrics:
        values, status = _values(ds, name, dims)
        seeds = values.sizes["seed"]
        labels |= {name: label_of(ds[name]), **{d: label_of(values, d) for d in dims}}
        cells |= _cells(name, values, status, len(rows), best or _side(name), among, level)
    split = len(rows)
    row_keys, column_keys = list(itertools.product(*keys[:split])), list(itertools.product(*keys[split:]))
    return Table(metrics, rows, columns, row_keys, column_keys, cells, labels, _note(cells, seeds, level))


def _names(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _side(name: str) -> Best | None:
    return "min" if name.endswith(_LOWER) else "max" if name.endswith(_HIGHER) else None


def _values(ds: xr.Dataset, name: str, dims: tuple[str, ...]) -> tuple[xr.DataArray, xr.DataArray]:
    """A metric of what is done, and the status, over the dimensions of the table and seeds."""
    values = ds[name]
    for dim in dims:
        if dim not in values.dims or dims.count(dim) > 1 or dim == "seed":
            others = listed(str(d) for d in values.dims if d != "seed")
            raise ValueError(f"rows, columns: {dim!r} is no dimension of {name}, or named twice; allowed: {others}")
    for dim in map(str, values.dims):
        if dim in ("step", "steps"):
            values = values.isel({dim: -1}) if dim not in dims else values
        elif dim not in (*dims, "seed"):
            if values.sizes[dim] > 1:
                raise ValueError(
                    f"rows, columns: {name} has {values.sizes[dim]} values of {dim}, which is in neither; allowed: "
                    f"{dim} in one of them, or one of its values (at)"
                )
            values = values.isel({dim: 0})
    status = ds[STATUS].isel({d: 0 for d in ds[STATUS].dims if d not in (*dims, "seed")})
    values, status = xr.broadcast(stats.finished(values, status), status)
    values, status = (one if "seed" in one.dims else one.expand_dims("seed") for one in (values, status))
    return values.transpose(*dims, "seed").load(), status.transpose(*dims, "seed").load()


def _cells(
    name: str, values: xr.DataArray, status: xr.DataArray, rows: int, side: Best | None, among: str, level: float
) -> dict[tuple[str, int, int], Cell]:
    found = stats.interval(values, level=level, scale="linear")
    whole = (status == DONE).all("seed") & np.isfinite(found["mean"])
    best, p = _best(name, values.where(whole), side, among, level)
    fields = (
        found["mean"],
        found["high"] - found["mean"],
        values.notnull().sum("seed"),
        (status == DIVERGED).sum("seed"),
        (status == PENDING).sum("seed"),
        best,
        p,
    )
    shape = found["mean"].shape
    down, across = int(np.prod(shape[:rows])), int(np.prod(shape[rows:], dtype=int))
    flat = [field.transpose(*found["mean"].dims).values.reshape(down, across) for field in fields]
    kinds = (float, float, int, int, int, bool, float)
    return {
        (name, i, j): Cell(*(kind(field[i, j]) for kind, field in zip(kinds, flat, strict=True)))
        for i, j in np.ndindex(down, across)
    }


def _best(
    name: str, values: xr.DataArray, side: Best | None, among: str, level: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Which entries are the best or as good, and the adjusted p of the best against each; NaN where there is none."""
    mean = values.mean("seed")
    p = xr.full_like(mean, np.nan)
    none = xr.zeros_like(mean, dtype=bool)
    if side is None or values.sizes["seed"] < 2:
        return none, p
    signed = mean if side == "max" else -mean
    is_best = signed.fillna(-np.inf).argmax(among) == xr.DataArray(np.arange(mean.sizes[among]), dims=among)
    is_best = is_best & mean.notnull()
    one = values.where(is_best).max(among)
    # All pairs of the table in one comparison, so that they are one family; the best is not compared with itself.
    pairs = xr.concat([one.broadcast_like(values), values], "_of").where(~is_best)
    pairs = pairs.assign_coords(_of=["best", "other"]).rename(name)
    p = stats.compare(pairs.to_dataset(), "_of", "best", "other", name, level=level)["p_adjusted"]
    return is_best | (p >= 1 - level), p


def _note(cells: Mapping[Any, Cell], seeds: int, level: float) -> str:
    if seeds == 1:
        return "a single seed"
    text = f"mean and half-width of the {100 * level:.6g} % t interval over {seeds} seeds"
    if any(cell.best for cell in cells.values()):
        text += (
            f"; bold: the best, and what the paired t test cannot tell from it "
            f"(Holm over all of a metric, p of {1 - level:.3g} and more)"
        )
    return text


def _lines(table: Table) -> Iterator[tuple[list[str], list[Cell]]]:
    for i, key in enumerate(table.row_keys):
        cells = [table.cells[name, i, j] for name in table.metrics for j in range(len(table.column_keys))]
        yield [_value(value) for value in key], cells


# --- how numbers and names are written ---------------------------------------------------------------


class Rounded(NamedTuple):
    """A mean and its half-width as text, both times 10 to the power; half is empty where there is none."""

    mean: str
    half: str
    power: int


def rounded(mean: float, half: float) -> Rounded:
    """A number to the digits that its uncertainty leaves: two of the half-width, and as many decimals of the mean.

    Args:
        mean: finite.
        half: 0 or more; NaN or infinite where there is none, and the mean has four digits.

    Returns:
        Rounded; the power is 0 for numbers that are read without it.

    Example:
        >>> rounded(0.51249, 0.0996)
        Rounded(mean='0.51', half='0.10', power=0)
        >>> rounded(2.3e-7, 4.1e-9)
        Rounded(mean='2.300', half='0.041', power=-7)
    """
    size = max(abs(mean), half if np.isfinite(half) else 0.0)
    power = int(f"{size:e}".partition("e")[2]) if size > 0 else 0
    power = 0 if -4 < power < 6 else power
    mean, half = float(mean) / 10.0**power, float(half) / 10.0**power
    if not np.isfinite(half):
        return Rounded(f"{mean:.{_DIGITS}g}", "", power)
    if half == 0:
        return Rounded(f"{mean:.{_DIGITS}g}", "0", power)
    decimals = 1 - int(f"{half:.1e}".partition("e")[2])
    if decimals > 0:
        return Rounded(f"{mean:.{decimals}f}", f"{half:.{decimals}f}", power)
    return Rounded(f"{round(mean, decimals):.0f}", f"{round(half, decimals):.0f}", power)


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _words(cell: Cell) -> str:
    """What is to be said beside a number, or instead of one."""
    kinds = {"diverged": cell.diverged, "pending": cell.pending}
    if cell.seeds == 0 and any(kinds.values()):
        return ", ".join(word for word, number in kinds.items() if number)
    return ", ".join(f"{number} {word}" for word, number in kinds.items() if number)


def _tex_cell(cell: Cell) -> str:
    words = _words(cell)
    if cell.seeds == 0:
        return words or "--"
    if not np.isfinite(cell.mean):
        number = {np.inf: r"\infty", -np.inf: r"-\infty"}.get(cell.mean, r"\text{no number}")
    else:
        mean, half, power = rounded(cell.mean, cell.half)
        number = rf"{mean} \pm {half}" if half else mean
        number = rf"({number}) \times 10^{{{power}}}" if power and half else number
        number = rf"{number} \times 10^{{{power}}}" if power and not half else number
    number = rf"$\mathbf{{{number}}}$" if cell.best else f"${number}$"
    return rf"{number} ({words})" if words else number


def _markdown_cell(cell: Cell) -> str:
    words = _words(cell)
    if cell.seeds == 0:
        return words or "–"
    if not np.isfinite(cell.mean):
        number = {np.inf: "∞", -np.inf: "−∞"}.get(cell.mean, "no number")
    else:
        mean, half, power = rounded(cell.mean, cell.half)
        number = f"{mean} ± {half}" if half else mean
        scaled = f"({number})" if half else number
        number = f"{scaled} × 10^{power}" if power else number
    number = f"**{number}**" if cell.best else number
    return f"{number} ({words})" if words else number


def _piped(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("|", r"\|") for entry in entries) + " |"


def _column_label(table: Table, key: tuple[Any, ...], written: Any) -> str:
    """The values of a column; under several metrics, or of several dimensions, each with its name."""
    if len(table.metrics) == 1 and len(table.columns) == 1:
        return str(written(_value(key[0])))
    pairs = zip(table.columns, key, strict=True)
    return ", ".join(f"{written(table.labels[d])} = {written(_value(v))}" for d, v in pairs)


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def _tex(text: str) -> str:
    """Text for LaTeX: what stands between dollars is a formula, all else is shown as it is."""
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # a dollar that closes nothing
        parts = [text]
    escaped = ["".join(_SPECIAL.get(letter, letter) for letter in part) for part in parts[::2]]
    formulas = [f"${part}$" for part in parts[1::2]]
    return "".join(itertools.chain(*itertools.zip_longest(escaped, formulas, fillvalue="")))
