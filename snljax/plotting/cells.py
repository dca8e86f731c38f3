"""Cells on two axes: where each begins and ends, whether an axis is logarithmic, and which cells are hatched."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from snljax.boundary.scales import is_geometric
from snljax.variables import DIVERGED


def oriented(values: xr.DataArray, x: str, y: str) -> xr.DataArray:
    """Rows along y and columns along x, both ascending; ValueError if there are other dimensions."""
    if set(values.dims) != {x, y}:
        extra = ", ".join(str(d) for d in values.dims if d not in (x, y))
        missing = ", ".join(d for d in (x, y) if d not in values.dims)
        problem = f"lacks {missing}" if missing else f"also has {extra}"
        raise ValueError(f"values: {problem}; allowed: the two dimensions {x} and {y} (average or select the rest)")
    return values.transpose(y, x).sortby([x, y])


def cells(ax: Axes, grid: xr.DataArray, x: str, y: str, **style: Any) -> Any:
    """A rectangle for each value of an oriented grid, on axes that are logarithmic where the places are even so."""
    if is_geometric(np.asarray(grid[x], float)):
        ax.set_xscale("log")
    if is_geometric(np.asarray(grid[y], float)):
        ax.set_yscale("log")
    # Rasterised: a vector page of 10,000 cells is slow to open.
    return ax.pcolormesh(edges(grid[x]), edges(grid[y]), grid, shading="flat", rasterized=True, **style)


def hatched(ax: Axes, status: xr.DataArray, x: str, y: str, **style: Any) -> None:
    """Hatches over the cells in which any network diverged."""
    bad = (status == DIVERGED).any([d for d in status.dims if d not in (x, y)]).transpose(y, x).sortby([x, y])
    if bad.any():
        only = np.ma.masked_equal(bad.values.astype(float), 0.0)
        look = {"hatch": "////", "alpha": 0.0, "edgecolor": "0.2", "lw": 0, **style}
        ax.pcolor(edges(bad[x]), edges(bad[y]), only, **look)


def edges(at: Any) -> np.ndarray:
    """Half way between ascending neighbours on the axis that is drawn, and as far beyond the first and the last."""
    at = np.asarray(at, float)
    if is_geometric(at):
        return np.exp(_half_way(np.log(at)))
    return _half_way(at)


def _half_way(at: np.ndarray) -> np.ndarray:
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middle = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
