"""Heatmaps, threshold maps and curves on matplotlib Axes."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize

from snljax.boundary import interval

# Okabe and Ito's palette, told apart with every common colour blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BELOW, ABOVE = "#2C7FB8", "#FFFFD9"  # blue and light yellow, as the papers draw thresholds
DIVERGED = 2


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The label of a coordinate, or of the values themselves."""
    target = values if name is None else values[name]
    return str(target.attrs.get("long_name", str(target.name or "value").replace("_", " ")))


def heatmap(
    values: xr.DataArray,
    *,
    x: str,
    y: str,
    threshold: float | None = None,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    status: xr.DataArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A phase diagram in colour, with a colour bar.

    Args:
        values: two dimensions, x and y (take the mean over seeds first).
        x, y: the dimensions along the axes.
        threshold: draw the line where the values cross this level.
        log: logarithmic colours; values must be positive.
        limits: of the colours; default the data's.
        status: ``ds.status``; cells in which any seed diverged are hatched.
        ax: draw here; default a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the values have other dimensions than x and y.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[1.0, 3.0], [2.0, 4.0]], dims=("sigma_p", "K"),
        ...                     coords={"sigma_p": [0.5, 1.0], "K": [20, 100]}, name="test_loss")
        >>> heatmap(loss, x="sigma_p", y="K", threshold=2.5).get_ylabel()
        'K'
    """
    grid = _oriented(values, x, y)
    ax = ax if ax is not None else plt.subplots(figsize=(4.6, 3.6), layout="constrained")[1]
    low, high = limits or (float(grid.min()), float(grid.max()))
    norm = LogNorm(low, high) if log else Normalize(low, high)
    # Rasterised: a vector page of 10,000 cells is slow to open.
    mesh = ax.pcolormesh(grid[x], grid[y], grid, norm=norm, cmap="viridis", shading="nearest", rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label=label_of(values))
    if threshold is not None and float(grid.min()) < threshold <= float(grid.max()):
        lines = ax.contour(grid[x], grid[y], grid, levels=[threshold], colors="white", linewidths=1.5)
        ax.clabel(lines, fmt=f"{threshold:g}", fontsize=8)
    _finish(ax, values, x, y, status)
    return ax


def threshold_map(
    values: xr.DataArray,
    *,
    x: str,
    y: str,
    threshold: float,
    status: xr.DataArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Cells below a threshold in blue, the others in light yellow.

    Args:
        values: two dimensions, x and y.
        x, y: the dimensions along the axes.
        threshold: the level.
        status: as in `heatmap`.
        ax: draw here; default a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the values have other dimensions than x and y.
    """
    grid = _oriented(values, x, y)
    ax = ax if ax is not None else plt.subplots(figsize=(4.2, 3.6), layout="constrained")[1]
    above = (grid >= threshold).where(grid.notnull())
    ax.pcolormesh(
        grid[x],
        grid[y],
        above,
        cmap=ListedColormap([BELOW, ABOVE]),
        vmin=0,
        vmax=1,
        shading="nearest",
        rasterized=True,
    )
    _finish(ax, values, x, y, status)
    return ax


def curves(values: xr.DataArray, *, x: str, hue: str | None = None, ax: Axes | None = None, **style: Any) -> Axes:
    """Curves with a band: mean over ``seed`` and its 95 % t interval, where there is a seed dimension.

    Args:
        values: dimensions x, optionally hue and seed.
        x: the dimension along the axis.
        hue: one curve for each of its values.
        ax: draw here; default a new figure.
        style: passed on to ``Axes.plot``.

    Returns:
        The Axes.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("mask", "step"),
        ...                     coords={"mask": ["random", "magnitude"], "step": [0, 10]}, name="test_loss")
        >>> [line.get_label() for line in curves(loss, x="step", hue="mask").lines]
        ['random', 'magnitude']
    """
    ax = ax if ax is not None else plt.subplots(figsize=(4.2, 3.2), layout="constrained")[1]
    rows = [values] if hue is None else [values.isel({hue: i}) for i in range(values.sizes[hue])]
    for row, color in zip(rows, np.resize(COLORS, len(rows)), strict=True):
        name = None if hue is None else _legend(label_of(values, hue), row[hue].item())
        over_seeds = row.transpose(x, "seed").values if "seed" in row.dims else row.values[:, None]
        bands = [interval(v) for v in over_seeds]
        (line,) = ax.plot(row[x], [b.mean for b in bands], **{"color": color, "label": name, **style})
        low, high = [b.low for b in bands], [b.high for b in bands]
        ax.fill_between(row[x], low, high, color=line.get_color(), alpha=0.2, lw=0)
    ax.set_xlabel(label_of(values, x))
    ax.set_ylabel(label_of(values))
    if hue is not None:
        ax.legend(fontsize=8)
    return ax


def _legend(name: str, value: Any) -> str:
    """A kind speaks for itself, a number needs its name."""
    return value if isinstance(value, str) else f"{name} = {value:g}"


def _oriented(values: xr.DataArray, x: str, y: str) -> xr.DataArray:
    if set(values.dims) != {x, y}:
        extra = ", ".join(str(d) for d in values.dims if d not in (x, y))
        missing = ", ".join(d for d in (x, y) if d not in values.dims)
        problem = f"lacks {missing}" if missing else f"also has {extra}"
        raise ValueError(f"values: {problem}; allowed: the two dimensions {x} and {y} (average or select the rest)")
    return values.transpose(y, x).sortby([x, y])


def _finish(ax: Axes, values: xr.DataArray, x: str, y: str, status: xr.DataArray | None) -> None:
    ax.set_xlabel(label_of(values, x))
    ax.set_ylabel(label_of(values, y))
    if status is None:
        return
    bad = (status == DIVERGED).any([d for d in status.dims if d not in (x, y)]).transpose(y, x).sortby([x, y])
    if bad.any():
        hatched = np.ma.masked_equal(bad.values.astype(float), 0.0)
        ax.pcolor(bad[x], bad[y], hatched, hatch="////", alpha=0.0, shading="nearest", edgecolor="0.2", lw=0)
