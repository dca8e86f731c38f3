"""How sure a boundary is over seeds: the band in which they cannot tell on which side of the level a cell lies."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from snljax import stats
from snljax.boundary.lines import contours
from snljax.boundary.scales import check_coverage
from snljax.variables import as_floats


def band(
    values: xr.DataArray,
    level: float,
    *,
    over: str = "seed",
    coverage: float = 0.95,
    of: Literal["point", "line"] = "point",
    scale: stats.Scale | None = None,
) -> xr.Dataset:
    r"""The band of the boundary of a mean over seeds: where the interval of the mean holds the level.

    .. math:: \{z : \text{low}(z) \le \theta \le \text{high}(z)\}

    At a point of the true boundary the true mean is the level, so the band misses the point as often as the interval
    there misses its mean, however many lines there are and whatever way they take. Its edges are the `contours` of
    ``low`` and of ``high``, the boundary itself is that of ``mean``.

    ``of="point"`` covers each point of the true line as often as said, and the whole line less often. ``of="line"``
    widens the intervals so that the whole line is covered as often as said. With L₀ open lines of the mean, and
    their length L₁ in units of how far the seeds stay alike, the intervals' half width in standard errors solves

    .. math:: 2\left[L_0\, P(T_\nu > u) + \frac{L_1}{2\pi}\left(1 + \frac{u^2}{\nu}\right)^{-(\nu-1)/2}\right]
              = 1 - \text{coverage}, \qquad
              L_1 = \int \sqrt{\textstyle\sum_s \lVert\partial_t \hat e_s\rVert^2}\, dt

    where ê are the residuals of the S = ν + 1 seeds along the line, of length 1 at each point. Seeds share no noise
    with each other; neighbouring cells of one seed may share as much as they like.

    Args:
        values: real numbers, one dimension of them ``over``; for ``of="line"``, two others with ascending coordinates.
        level: θ, a finite number.
        over: the dimension of the seeds.
        coverage: between 0 and 1.
        of: what is covered that often: ``"point"`` or ``"line"``.
        scale: of the intervals, as in `stats.interval`; by default the name decides.

    Returns:
        Dataset on the other dimensions: ``mean``, ``low``, ``high``, and ``side``: 1 where the interval lies at or
        above the level, −1 below, 0 where it holds it or there is none (a single seed, whose value alone `stats.side`
        goes by). A boundary is sure where there are both signs. Its attrs hold level, over, coverage, of, scale, and
        ``pointwise``, the coverage that each single interval has.

    Raises:
        ValueError: if a dimension, the coverage or the scale is not as said, or the level is no finite number.

    Example:
        >>> import xarray as xr
        >>> seeds = xr.DataArray([[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]], dims=("seed", "K"))
        >>> band(seeds, 2.25, coverage=0.5).side.values.tolist()
        [-1, -1, 0, 1]

    Source: for ``of="line"``, F. Telschow and A. Schwartzman, Simultaneous confidence bands for functional data using
    the Gaussian kinematic formula, 2022; L₁ from residuals: J. Taylor and K. Worsley, Detecting sparse signals in
    random fields, 2007.
    """
    stats.check_finite("level", level)
    check_coverage(coverage)
    if of not in ("point", "line"):
        raise ValueError(f"of: {of!r}; allowed: point, line")
    pointwise = coverage
    if of == "line":
        others = [str(d) for d in values.dims if d != over]
        if over not in values.dims or len(others) != 2:
            raise ValueError(
                f"values: {stats.sizes(values)}; allowed: {over} and two other dimensions, which a line needs"
            )
        pointwise = _pointwise(as_floats(stats.real("values", values)).transpose(over, *others), level, coverage)
    found = stats.interval(values, over, pointwise, scale)
    side = stats.sides(found, level)
    side.attrs = {"flag_values": [-1, 0, 1], "flag_meanings": "below undecided at_or_above"}
    attrs = {"level": float(level), "over": over, "coverage": coverage, "of": of}
    attrs |= {"scale": found.attrs["scale"], "pointwise": pointwise}
    return found.assign(side=side).drop_attrs(deep=False).assign_attrs(attrs)


def _pointwise(values: xr.DataArray, level: float, coverage: float) -> float:
    """The coverage of each interval with which the whole line of the mean is covered as often as asked."""
    from scipy import optimize  # slow to import, and not needed to train
    from scipy import stats as distributions

    if len(values) < 2:
        return coverage
    plain = xr.DataArray(values.values, dims=("seed", "y", "x"))  # places are numbers of cells
    mean = plain.mean("seed")
    deviation = plain.values - mean.values
    with np.errstate(invalid="ignore"):  # where all seeds agree, or none is known
        unit = np.nan_to_num(deviation / np.sqrt(np.nansum(deviation**2, 0)))
    lines = contours(mean, "x", "y", level, scale="linear")
    opened = sum(not line.closed for line in lines)
    length = sum(_length(unit, line.points) for line in lines)
    if not lines:
        return coverage
    places = np.concatenate([line.points for line in lines])[:, ::-1].round().astype(int)
    nu = max(int(plain.count("seed").values[tuple(places.T)].min()), 2) - 1  # where the line has fewest seeds

    def missed(u: float) -> float:
        tail = opened * distributions.t.sf(u, nu)
        return 2 * (tail + length / (2 * np.pi) * (1 + u**2 / nu) ** (-(nu - 1) / 2)) - (1 - coverage)

    narrow = float(distributions.t.ppf((1 + coverage) / 2, nu))
    if missed(narrow) <= 0:
        return coverage
    most = narrow
    while missed(most) > 0 and most < 1e6:
        most *= 2
    u = optimize.brentq(missed, narrow, most) if missed(most) <= 0 else most
    return float(1 - 2 * distributions.t.sf(u, nu))


def _length(unit: np.ndarray, points: np.ndarray) -> float:
    """Of a line, by how far the vector of the seeds' residuals turns on the way; points: in numbers of cells."""
    from scipy import ndimage

    along = np.stack([ndimage.map_coordinates(one, points.T[::-1], order=1) for one in unit])
    size = np.sqrt((along**2).sum(0))
    along = along[:, size > 0] / size[size > 0]
    return float(np.sqrt((np.diff(along) ** 2).sum(0)).sum())
