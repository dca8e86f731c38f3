"""Curves with bands, points with bars, and the curves that they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike

from snljax.boundary.scales import is_geometric
from snljax.plotting.axis import fit_ticks, is_named, places
from snljax.plotting.labels import COLORS, Spread, entry_of, fitted, label_of
from snljax.plotting.pages import axes_or_new
from snljax.plotting.spreads import Summary, of_all, summary_of
from snljax.variables import as_floats

LEFT_OUT, OUTSIDE = "hollow: some seeds have none", "some seeds lie beyond (hollow: median)"


class _Row(NamedTuple):
    """One curve: where it is drawn, its middle and the two ends of its spread, and how.

    lost: where some seeds have a value, but not all. beyond: where some have −∞, and where some have ∞.
    """

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    lost: np.ndarray
    beyond: tuple[np.ndarray, np.ndarray]
    style: dict[str, Any]


def curves(
    values: xr.DataArray,
    *,
    x: str,
    hue: str | None = None,
    spread: Spread = "interval",
    colors: Sequence[Any] = COLORS,
    legend: bool = True,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Curves, each with the band of its spread over ``seed``, where there is a seed dimension.

    On a new panel the axis is logarithmic if x is laid out so, and has names where x does. Over a map or other curves
    labels stay as they are, and over a map limits and scales too.

    Args:
        values: dimensions x, optionally hue and seed.
        x: the dimension along the axis, whose numbers are drawn in their order, or a coordinate along it (which hue
            may move), drawn in the order that it has.
        hue: one curve for each of its values.
        spread: ``"interval"``, mean and 95 % t interval; ``"error"``, mean and standard error; ``"quartiles"``, median
            and quartiles, for values of which a few would fill a mean. NaN, a network that diverged, is left out.
        colors: of the curves in turn.
        legend: say which curve is which, where there are several; else see `plotting.legend`.
        ax: draw here; default a new figure.
        style: passed on to ``Axes.plot``.

    Returns:
        The Axes.

    Raises:
        ValueError: if spread is none of the three.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("mask", "step"),
        ...                     coords={"mask": ["random", "magnitude"], "step": [0, 10]}, name="test_loss")
        >>> [line.get_label() for line in curves(loss, x="step", hue="mask").lines]
        ['random', 'magnitude']
    """
    ax = _prepared(ax, values, x)
    for row in _rows(values, x, hue, summary_of(spread), colors, style):
        (line,) = ax.plot(row.x, row.middle, **row.style)
        _end_with(line, row.x)
        if "seed" in values.dims:
            ax.fill_between(row.x, row.low, row.high, color=line.get_color(), alpha=0.2, lw=0)
    return _named(ax, values, x, legend and hue is not None)


def points(
    values: xr.DataArray,
    *,
    x: str,
    hue: str | None = None,
    spread: Spread = "interval",
    colors: Sequence[Any] = COLORS,
    legend: bool = True,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Points, each with a bar of its spread over ``seed``: for few places, or places apart.

    A point is hollow where it is not the mean of all seeds: where some have no value, NaN, it is that of the others;
    where some lie beyond the axis, ±∞ as `boundary.edge` gives them with ``beyond=True``, it is the median of all with
    their quartiles, and a triangle at the panel's end says so. ``legend`` then says what hollow points are.

    Args:
        values, x, hue, spread, colors, legend, ax: as for `curves`.
        style: passed on to ``Axes.errorbar``; ``fmt="o-"`` joins the points.

    Returns:
        The Axes.

    Raises:
        ValueError: if spread is none of the three.

    Example:
        >>> import xarray as xr
        >>> edge = xr.DataArray([[90.0, 100.0], [40.0, 44.0]], dims=("sigma_p", "seed"),
        ...                     coords={"sigma_p": [1.0, 1.5]}, name="K")
        >>> points(edge, x="sigma_p", label="measured").get_xlabel()
        'sigma p'
    """
    ax = _prepared(ax, values, x)
    for row in _rows(values, x, hue, of_all(summary_of(spread)), colors, {"fmt": "o", **style}):
        low, middle, high = (np.where(np.isfinite(end), end, np.nan) for end in (row.low, row.middle, row.high))
        ends = np.nan_to_num(np.maximum([middle - low, high - middle], 0))
        line = ax.errorbar(row.x, middle, ends, **row.style)[0]
        if line is not None:
            _end_with(line, row.x)
            _mark_the_rest(ax, line, row, middle)
    return _named(ax, values, x, legend and hue is not None)


def reference(
    ax: Axes, *, x: ArrayLike | None = None, y: ArrayLike | None = None, label: str | None = None, **style: Any
) -> None:
    """What measurements are held against: a curve, or a line across the panel.

    A curve leaves the limits of a panel with measurements as they are, unless none of it would be seen.

    Args:
        ax: the panel, with its measurements.
        x, y: places of a curve; x alone, a number: a vertical line; y alone, a number: a horizontal one.
        label: its entry in a legend.
        style: how it differs from thin, dark grey and dashed.

    Raises:
        ValueError: if neither x nor y is given.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> ax = plt.subplots()[1]
        >>> reference(ax, y=2.0, label="threshold")
        >>> [line.get_label() for line in ax.lines]
        ['threshold']
    """
    if x is None and y is None:
        raise ValueError("x, y: neither is given; allowed: one of them, a number, or both, a curve")
    look = {"color": "0.35", "lw": 0.9, "ls": "--", "label": label, **style}
    if x is not None and y is not None:
        _add_curve(ax, np.asarray(x), np.asarray(y), look)
    elif x is not None:
        ax.axvline(float(np.asarray(x)), **look)
    else:
        ax.axhline(float(np.asarray(y)), **look)


def _add_curve(ax: Axes, x: np.ndarray, y: np.ndarray, look: dict[str, Any]) -> None:
    if ax.has_data():
        (left, right), (bottom, top) = np.sort(ax.get_xlim()), np.sort(ax.get_ylim())
        seen = Path(np.column_stack([x, y])).intersects_bbox(Bbox.from_extents(left, bottom, right, top), filled=False)
        if seen or not len(x):
            ax.add_artist(Line2D(x, y, **look))  # of which autoscaling does not know
            return
    ax.plot(x, y, **look)


def _prepared(ax: Axes | None, values: xr.DataArray, x: str) -> Axes:
    """The panel; a new one with the scale and ticks that x asks for."""
    ax = axes_or_new(ax)
    if values[x].ndim == 1 and not is_named(values[x]) and not ax.has_data():
        if is_geometric(np.unique(places(values[x]))):
            ax.set_xscale("log")
        fit_ticks(ax.xaxis, values[x], every=False)
    return ax


def _rows(
    values: xr.DataArray, x: str, hue: str | None, summary: Summary, colors: Sequence[Any], style: dict[str, Any]
) -> Iterator[_Row]:
    """One for each value of hue."""
    rows = [values] if hue is None else [values.isel({hue: i}) for i in range(values.sizes[hue])]
    for i, row in enumerate(rows):
        (along,) = row[x].dims
        if x == along and not is_named(row[x]) and not _in_order(row[x].values):
            row = row.sortby(x)
        look = {"color": colors[i % len(colors)], "label": None if hue is None else entry_of(row, hue), **style}
        row = as_floats(row)
        over = row if "seed" in row.dims else row.expand_dims("seed")
        ends = summary(over) if over is row else (row, row, row)
        middle, low, high = (end.transpose(along).values for end in ends)
        there = over.notnull().sum("seed")
        lost = ((there > 0) & (there < over.sizes["seed"])).values
        beyond = (np.isneginf(over).any("seed").values, np.isposinf(over).any("seed").values)
        at = row[x].values.astype(str) if is_named(row[x]) else row[x].values
        yield _Row(at, middle, low, high, lost, beyond, look)


def _in_order(at: np.ndarray) -> bool:
    """Whether numbers go one way, up or down."""
    steps = np.sign(np.diff(at))
    return bool((steps >= 0).all() or (steps <= 0).all())


def _end_with(line: Any, at: np.ndarray) -> None:
    """An axis ends where a line does; where that has markers it goes on, but from positive numbers not below 0."""
    if at.dtype.kind in "iuf" and np.isfinite(at).any():
        least, most = float(np.nanmin(at)), float(np.nanmax(at))
        line.sticky_edges.x.extend([least, most] if _is_plain(line) else [0.0] if least > 0 else [])


def _is_plain(line: Any) -> bool:
    """Whether a line has no markers."""
    return line.get_marker() in (None, "", " ", "None", "none")


def _mark_the_rest(ax: Axes, line: Any, row: _Row, middle: np.ndarray) -> None:
    """Hollow points where not all seeds are in a mean, and triangles at the ends of the panel for those beyond."""
    below, above = row.beyond
    look: dict[str, Any] = {"ls": "none", "color": line.get_color(), "mfc": "white", "zorder": line.get_zorder() + 0.2}
    hollow = {"marker": "o" if _is_plain(line) else line.get_marker(), "ms": line.get_markersize(), **look}
    lost = row.lost & ~below & ~above
    for some, label in ((lost, LEFT_OUT), (below | above, "_")):
        if some.any():
            ax.plot(row.x[some], middle[some], label=_new(ax, label), **hollow)
    for some, marker, end in ((below, "v", 0.0), (above, "^", 1.0)):
        if some.any():
            there: dict[str, Any] = {"marker": marker, "ms": 5, "transform": ax.get_xaxis_transform(), "clip_on": False}
            ax.plot(row.x[some], np.full(some.sum(), end), label=_new(ax, OUTSIDE), **there, **look)


def _new(ax: Axes, label: str) -> str:
    """A label, unless its entry in the legend is there."""
    return "_" if label in ax.get_legend_handles_labels()[1] else label


def _named(ax: Axes, values: xr.DataArray, x: str, legend: bool) -> Axes:
    if not ax.get_xlabel():
        ax.set_xlabel(fitted(label_of(values, x), ax, "x"))
    if not ax.get_ylabel():
        ax.set_ylabel(fitted(label_of(values), ax, "y"))
    if legend:
        ax.legend()
    return ax
