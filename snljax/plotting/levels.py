"""The line on which a map has a level."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from snljax.boundary.lines import contours
from snljax.boundary.scales import Scale
from snljax.plotting.axis import is_named
from snljax.plotting.labels import short_label_of

_GAP = np.full((1, 2), np.nan)


def casing(width: float) -> list[Any]:
    """A white rim round a line of some points, so that it is seen on every colour."""
    return [withStroke(linewidth=width + 1.2, foreground="white")]


def lines_of(values: xr.DataArray, x: str, y: str, level: float, scale: Scale | None = None) -> np.ndarray:
    """All lines of a level as `boundary.contours` finds them, (points, 2), with a row of NaN behind each.

    None between names, and where there are fewer than two rows or columns.

    Example:
        >>> plane = xr.DataArray([[0.0, 1.0], [0.0, 1.0]], dims=("y", "x"), coords={"y": [0, 1], "x": [0, 1]})
        >>> lines_of(plane, "x", "y", 0.5).tolist()
        [[0.5, 1.0], [0.5, 0.0], [nan, nan]]
    """
    if min(values.shape) < 2 or is_named(values[x]) or is_named(values[y]):
        return np.empty((0, 2))
    found = contours(values, x, y, level, scale=scale)
    return np.concatenate([part for line in found for part in (line.points, _GAP)] or [np.empty((0, 2))])


def level_line(ax: Axes, grid: xr.DataArray, x: str, y: str, level: float, written: bool) -> bool:
    """The line of a level on its map, below what is drawn later; whether there is one.

    written: the level stands beside it, or else in a legend.
    """
    line = lines_of(grid, x, y, level)
    if not len(line):
        return False
    label = "_" if written else f"{short_label_of(grid)} = {level:g}"
    ax.plot(*line.T, color="k", lw=1.4, label=label, path_effects=casing(1.4), zorder=1.9)
    if written:
        halo = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "bbox": halo}
        ax.annotate(f"{level:g}", _middle(ax, line), **look)
    return True


def _middle(ax: Axes, line: np.ndarray) -> tuple[float, float]:
    """The point half way along the part that is longest as it is drawn."""
    shown = ax.transData.transform(line)
    parts = np.split(np.arange(len(line)), np.flatnonzero(np.isnan(line[:, 0])) + 1)
    parts = [part[:-1] for part in parts if len(part) > 1]
    lengths = [np.concatenate([[0], np.hypot(*np.diff(shown[part], axis=0).T).cumsum()]) for part in parts]
    longest = max(range(len(parts)), key=lambda i: lengths[i][-1])
    i = parts[longest][int(np.searchsorted(lengths[longest], lengths[longest][-1] / 2))]
    return float(line[i, 0]), float(line[i, 1])
