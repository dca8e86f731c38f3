"""Curves with bands, points with bars, and the curves that they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from snljax.plotting.labels import COLORS, SPREADS, Spread, entry_of, fitted, label_of
from snljax.plotting.pages import axes_or_new
from snljax.stats import interval
from snljax.variables import as_floats


class _Row(NamedTuple):
    """One curve: where it is drawn, its middle and the two ends of its spread, and how."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
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

    Args:
        values: dimensions x, optionally hue and seed.
        x: the dimension along the axis, or a coordinate along it (which hue may move).
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
    ax = axes_or_new(ax)
    for row in _rows(values, x, hue, spread, colors, style):
        (line,) = ax.plot(row.x, row.middle, **row.style)
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
    ax = axes_or_new(ax)
    for row in _rows(values, x, hue, spread, colors, {"fmt": "o", **style}):
        ends = np.array([row.middle - row.low, row.high - row.middle])
        ax.errorbar(row.x, row.middle, np.maximum(np.where(np.isfinite(ends), ends, 0), 0), **row.style)
    return _named(ax, values, x, legend and hue is not None)


def reference(
    ax: Axes, *, x: ArrayLike | None = None, y: ArrayLike | None = None, label: str | None = None, **style: Any
) -> None:
    """What measurements are held against: a curve, or a line across the panel.

    Args:
        ax: the panel.
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
        ax.plot(np.asarray(x), np.asarray(y), **look)
    elif x is not None:
        ax.axvline(float(np.asarray(x)), **look)
    else:
        ax.axhline(float(np.asarray(y)), **look)


def _rows(
    values: xr.DataArray, x: str, hue: str | None, spread: Spread, colors: Sequence[Any], style: dict[str, Any]
) -> Iterator[_Row]:
    """One for each value of hue."""
    if spread not in SPREADS:
        raise ValueError(f"spread: {spread!r} is not known; allowed: {', '.join(SPREADS)}")
    rows = [values] if hue is None else [values.isel({hue: i}) for i in range(values.sizes[hue])]
    for i, row in enumerate(rows):
        (along,) = row[x].dims
        look = {"color": colors[i % len(colors)], "label": None if hue is None else entry_of(row, hue), **style}
        ends = _SUMMARIES[spread](as_floats(row)) if "seed" in row.dims else (row, row, row)
        middle, low, high = (end.transpose(along).values for end in ends)
        yield _Row(row[x].values, middle, low, high, look)


def _interval(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """On the scale that the values' name decides: the band of a loss or an accuracy stays among possible values."""
    found = interval(values)
    return found["mean"], found["low"], found["high"]


def _standard_error(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    mean, seeds = values.mean("seed"), values.count("seed")
    several = values.where(seeds > 1)
    error = several.std("seed", ddof=1) / np.sqrt(seeds)
    return mean, mean - error, mean + error


def _quartiles(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    some = values.notnull().any("seed")
    shares = values.where(some, 0.0).quantile([0.5, 0.25, 0.75], "seed").where(some)
    return tuple(shares.isel(quantile=i) for i in range(3))


_SUMMARIES = {"interval": _interval, "error": _standard_error, "quartiles": _quartiles}


def _named(ax: Axes, values: xr.DataArray, x: str, legend: bool) -> Axes:
    ax.set_xlabel(fitted(label_of(values, x), ax, "x"))
    ax.set_ylabel(fitted(label_of(values), ax, "y"))
    if legend:
        ax.legend()
    return ax
