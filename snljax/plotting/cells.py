"""Cells on two axes, which may be logarithmic or of names, and which of them are hatched."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from snljax.boundary.scales import is_geometric
from snljax.plotting.axis import edges, fit_ticks, is_named, places
from snljax.variables import DIVERGED


def oriented(values: xr.DataArray, x: str, y: str) -> xr.DataArray:
    """Rows along y and columns along x, numbers ascending and names as they stand.

    ValueError if there are other dimensions, or numbers along one that are not all different and finite.
    """
    if set(values.dims) != {x, y}:
        extra = ", ".join(str(d) for d in values.dims if d not in (x, y))
        missing = ", ".join(d for d in (x, y) if d not in values.dims)
        problem = f"lacks {missing}" if missing else f"also has {extra}"
        raise ValueError(f"values: {problem}; allowed: the two dimensions {x} and {y} (average or select the rest)")
    for argument, name in (("x", x), ("y", y)):
        at = places(values[name])
        if not np.isfinite(at).all() or len(np.unique(at)) < len(at):
            raise ValueError(
                f"{argument}: values of {name!r} are not all different, finite numbers; allowed: each once"
            )
    return _ascending(values, x, y)


def _ascending(values: xr.DataArray, x: str, y: str) -> xr.DataArray:
    return values.transpose(y, x).sortby([d for d in (x, y) if not is_named(values[d])])


def cells(ax: Axes, grid: xr.DataArray, x: str, y: str, **style: Any) -> Any:
    """A rectangle for each value of an oriented grid; the axes take its scales and end where it does.

    What is drawn over it leaves them so.
    """
    for axis, name in (("x", x), ("y", y)):
        if not is_named(grid[name]) and is_geometric(places(grid[name])):
            ax.set(**{f"{axis}scale": "log"})
    x_edges, y_edges = edges(grid[x]), edges(grid[y])
    # Rasterised: a vector page of 10,000 cells is slow to open.
    mesh = ax.pcolormesh(x_edges, y_edges, grid, shading="flat", rasterized=True, **style)
    ax.set(xlim=x_edges[[0, -1]], ylim=y_edges[[0, -1]])
    ax.autoscale(False)
    fit_ticks(ax.xaxis, grid[x])
    fit_ticks(ax.yaxis, grid[y])
    return mesh


def hatched(ax: Axes, status: xr.DataArray, x: str, y: str, **style: Any) -> None:
    """Hatches over the cells in which any network diverged."""
    bad = _ascending((status == DIVERGED).any([d for d in status.dims if d not in (x, y)]), x, y)
    if bad.any():
        only = np.ma.masked_equal(bad.values.astype(float), 0.0)
        look = {"hatch": "////", "facecolor": "none", "edgecolor": "0.2", "lw": 0, "label": "diverged", **style}
        ax.pcolor(edges(bad[x]), edges(bad[y]), only, **look)
