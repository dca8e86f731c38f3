"""Boundaries in a plane as lines: closed ones and such that turn back, too, which have no one place in a column."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax.boundary.scales import Scale, ascending, between_cells, log_axes_of, transform
from snljax.stats import check_finite, real, sizes
from snljax.variables import as_floats


class Line(NamedTuple):
    """A line in the plane. points: shape (points, 2), x and y; a closed line ends where it begins.

    of: whose line it is, a label (an index without labels) for each dimension but x and y, e.g. ``{"seed": 3}``.
    """

    points: np.ndarray
    closed: bool
    of: dict[Hashable, Any]


def contours(
    values: xr.DataArray,
    x: str,
    y: str,
    level: float,
    *,
    scale: Scale | None = None,
    log_axes: Collection[str] | None = None,
) -> list[Line]:
    """The lines on which a quantity has a level, whatever way they take (contourpy's, which matplotlib draws with).

    Values are interpolated along the edges of the unit squares between four cells. A square with a corner that is
    unknown (NaN) or infinite has no line, and lines end there.

    Args:
        values: real numbers, with the dimensions x and y, two cells or more along each. Each index of the other
            dimensions, such as seeds, has lines of its own.
        x, y: two dimensions with ascending coordinates.
        level: a finite number.
        scale: of the values between cells, ``"linear"`` or ``"log"``; by default log for positive values whose name
            ends in loss or mse.
        log_axes: those of x and y that are interpolated in logarithms; by default those laid out so,
            as pictures draw them (1, 2, 4, 8; 1, 2, 5, 10, 20).

    Returns:
        The lines, in the order of the other dimensions; none where the level is not crossed.

    Raises:
        ValueError: if x and y are not two dimensions with ascending coordinates and two cells, the level is no finite
            number, the values are no real numbers, or there is no logarithm of what should have one.

    Example:
        >>> import xarray as xr
        >>> at = np.arange(-2.0, 3.0)
        >>> hill = xr.DataArray(abs(at)[:, None] + abs(at), dims=("y", "x"), coords={"y": at, "x": at})
        >>> (line,) = contours(hill, "x", "y", 1.5)
        >>> line.closed, np.abs(line.points).sum(1).tolist() == [1.5] * len(line.points)
        (True, True)
    """
    if x == y:
        raise ValueError(f"y: {y!r} is x; allowed: another dimension")
    places = [ascending(values, name, axis) for name, axis in (("x", x), ("y", y))]
    if min(map(len, places)) < 2:
        raise ValueError(f"values: {sizes(values)}; allowed: two or more cells along {x} and {y}")
    check_finite("level", level)
    if real("values", values).dtype.kind in "biu":
        values = as_floats(values)
    log = log_axes_of(values, (x, y), log_axes)
    to = transform(between_cells(values, level, scale))
    logarithmic = [axis in log for axis in (x, y)]
    in_x, in_y = (np.log(at) if by else at for at, by in zip(places, logarithmic, strict=True))
    others = [d for d in values.dims if d not in (x, y)]
    fields = values.transpose(*others, y, x)
    labels = [fields[d].values.tolist() for d in others]
    lines = []
    for index in np.ndindex(*(fields.sizes[d] for d in others)):
        of = {d: names[i] for d, names, i in zip(others, labels, index, strict=True)}
        for points in _lines(in_x, in_y, to(fields.values[index]), float(to(float(level)))):
            for i, by in enumerate(logarithmic):
                points[:, i] = np.exp(points[:, i]) if by else points[:, i]
            lines.append(Line(points, bool(len(points) > 2 and (points[0] == points[-1]).all()), of))
    return lines


def _lines(x: np.ndarray, y: np.ndarray, z: np.ndarray, level: float) -> list[np.ndarray]:
    from contourpy import contour_generator  # not needed to train

    known = np.ma.masked_invalid(z)
    return [np.array(line) for line in contour_generator(x, y, known, corner_mask=False).lines(level)]
