"""The area of a band over seeds: where a level lies between the two ends of an interval."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr
from contourpy import contour_generator
from matplotlib.path import Path

from snljax.boundary.scales import Scale, is_geometric


def between(
    low: xr.DataArray, high: xr.DataArray, x: str, y: str, level: float, scale: Scale = "linear"
) -> Path | None:
    r"""The area in which a level lies between two surfaces; its edges are their `boundary.contours`.

    .. math:: \{z : \text{low}(z) \le \theta \le \text{high}(z)\}

    Args:
        low, high: dimensions x and y, ascending; low is nowhere above high, and both are NaN in the same cells.
        x, y: the dimensions along the axes; along one that is logarithmic, edges are interpolated in logarithms.
        level: θ, a finite number.
        scale: how the surfaces are interpolated between cells; ``"log"`` for positive ones.

    Returns:
        A path to be filled, in the units of x and y; None where there is no such area, or fewer than two rows or
        columns, or no square of four known cells.

    Example:
        >>> import xarray as xr
        >>> plane = xr.DataArray([[0.0, 1.0], [0.0, 1.0]], dims=("y", "x"), coords={"y": [0, 1], "x": [0, 1]})
        >>> area = between(plane - 0.1, plane + 0.1, "x", "y", 0.5)
        >>> [round(float(ring[:, 0].max()), 2) for ring in area.to_polygons()]  # less the second
        [0.6, 0.4]
    """
    # Round what low has below the level, and the other way round what high has below it too: what is filled is
    # the first without the second, because filling counts how often a place is gone round.
    outer, inner = (_below(surface.transpose(y, x), level, scale) for surface in (low, high))
    if len(outer) == len(inner) and all(map(np.array_equal, outer, inner)):
        return None
    return Path.make_compound_path(*(Path(ring, closed=True) for ring in [*outer, *(ring[::-1] for ring in inner)]))


def _below(surface: xr.DataArray, level: float, scale: Scale) -> list[np.ndarray]:
    """Closed rings round the area in which a surface is below a level."""
    if min(surface.shape) < 2 or not np.isfinite(surface).any():
        return []
    values = np.ma.masked_invalid(np.log(surface.values) if scale == "log" else surface.values)
    height = float(np.log(level)) if scale == "log" else level
    x, y = (np.asarray(surface[d], float) for d in reversed(surface.dims))
    geometric = is_geometric(x), is_geometric(y)
    columns, rows = np.meshgrid(*(np.log(at) if by else at for at, by in zip((x, y), geometric, strict=True)))
    parts = contour_generator(columns, rows, values, corner_mask=False, fill_type="OuterOffset")
    rings = []
    for points, starts in zip(*parts.filled(min(float(values.min()), height) - 1, height), strict=True):
        for start, end in pairwise(map(int, starts)):
            ring = np.array(points[start:end])
            for i, by in enumerate(geometric):
                ring[:, i] = np.exp(ring[:, i]) if by else ring[:, i]
            rings.append(ring)
    return rings
