"""Phase boundaries: extract them from a Dataset and fit their law, with intervals over seeds."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from snljax.stats import Interval, check_level, real, sizes, t_interval
from snljax.variables import as_floats


class PowerLaw(NamedTuple):
    """y = constant · x^exponent, fitted seed by seed; points: how many (x, seed) pairs went in."""

    constant: Interval
    exponent: Interval
    points: int


def extract(values: xr.DataArray, along: str, threshold: float, side: Literal["upper", "lower"]) -> xr.DataArray:
    r"""Where a quantity crosses a threshold along one axis, by linear interpolation between cells.

    .. math:: x = x_i + \frac{\theta - v_i}{v_j - v_i}\, (x_j - x_i)

    NaN cells, pending or diverged, are unknown; i and j are known cells that follow each other. A crossing
    cannot be placed, and is NaN, if

    - there are unknown cells between i and j. Between known cells on the same side of the threshold,
      unknown cells are taken to hold no crossing;
    - a later one can hide in unknown cells at the end, after a last known cell below the threshold
      (``"upper"``), or an earlier one in those at the start, before a first known cell below it (``"lower"``);
    - a cell beside it is infinite, which otherwise counts as above or below the threshold.

    Args:
        values: real numbers; any dimensions, one of them ``along`` with an ascending coordinate.
        along: the axis to walk, e.g. ``"K"``; without a coordinate its cells are at 0, 1, 2 and so on.
        threshold: the level θ, a finite number.
        side: ``"upper"`` is the last place where the quantity rises to the threshold (above it the
            quantity is too large); ``"lower"`` the first place where it falls below.

    Returns:
        The coordinate of the crossing for every other index, with the name of that coordinate; NaN where there is
        none, or its place is unknown.

    Raises:
        ValueError: if ``along`` is no dimension or its coordinate does not ascend or is not numeric, the
            threshold is no finite number, the side is another, or the values are no real numbers.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([3.0, 1.0, 1.0, 3.0], dims="K", coords={"K": [10, 20, 30, 40]})
        >>> float(extract(loss, "K", 2.0, "lower")), float(extract(loss, "K", 2.0, "upper"))
        (15.0, 35.0)
        >>> float(extract(loss.where(loss.K != 30), "K", 2.0, "upper"))
        nan
    """
    if side not in ("upper", "lower"):
        raise ValueError(f"side: {side!r}; allowed: upper, lower")
    if not _finite(threshold):
        raise ValueError(f"threshold: {threshold!r}; allowed: a finite number")
    theta = threshold if np.isscalar(threshold) else np.asarray(threshold)[()]
    if along not in values.dims:
        raise ValueError(f"along: {along!r} is no dimension; allowed: {', '.join(map(str, values.dims))}")
    position = real(f"along, the coordinate of {along!r}", values[along].values).astype(float)
    if not (np.isfinite(position).all() and (np.diff(position) > 0).all()):
        raise ValueError(f"along: the coordinate of {along!r} does not ascend; allowed: sorted cells")
    if real("values", values).dtype.kind in "biu":
        values = as_floats(values)  # differences of unsigned numbers would wrap around

    def crossing(row: np.ndarray) -> float:
        known = np.flatnonzero(~np.isnan(row))
        above = row[known] >= theta
        if side == "upper":
            found = np.flatnonzero(~above[:-1] & above[1:])[-1:]
            hidden = known.size > 0 and not above[-1] and known[-1] < row.size - 1
        else:
            found = np.flatnonzero(above[:-1] & ~above[1:])[:1]
            hidden = known.size > 0 and not above[0] and known[0] > 0
        if hidden or found.size == 0:
            return np.nan
        i, j = known[found[0]], known[found[0] + 1]
        if j > i + 1 or not np.isfinite(row[[i, j]]).all():
            return np.nan
        share = (theta - row[i]) / (row[j] - row[i])
        return position[i] + share * (position[j] - position[i])

    found = xr.apply_ufunc(crossing, values, input_core_dims=[[along]], vectorize=True, output_dtypes=[float])
    return found.rename(along).drop_attrs(deep=False).assign_attrs(values[along].attrs)


def fit_power_law(boundary: xr.DataArray, x: str, level: float = 0.95) -> PowerLaw:
    r"""Fit a power law to a boundary, by least squares in logarithms, for each seed by itself.

    .. math:: \log y = \log c + e \log x

    Args:
        boundary: from `extract`, dimensions x and seed (or x alone), positive; NaN is left out.
        x: name of the coordinate, with positive values.
        level: coverage of the intervals over seeds, between 0 and 1.

    Returns:
        PowerLaw. A seed with fewer than two different x left is left out; NaN where none is left.

    Raises:
        ValueError: if a dimension is missing or too many, a value or x is not positive and finite, all x
            are the same, or level is not between 0 and 1.

    Example:
        >>> import xarray as xr
        >>> s = [0.5, 1.0, 2.0]
        >>> b = xr.DataArray([[95 / v**2 for v in s]], dims=("seed", "sigma_p"), coords={"sigma_p": s})
        >>> law = fit_power_law(b, "sigma_p")
        >>> round(law.constant.mean, 6), round(law.exponent.mean, 6)
        (95.0, -2.0)
    """
    check_level(level)
    if x not in boundary.dims or x == "seed" or not set(boundary.dims) <= {x, "seed"}:
        raise ValueError(f"x: {x!r} of a boundary with {sizes(boundary)}; allowed: dimensions x and seed alone")
    boundary = boundary if "seed" in boundary.dims else boundary.expand_dims("seed")
    at = _positive(f"x, the coordinate {x!r}", boundary[x].values)
    rows = real("boundary", boundary.transpose("seed", x).values)
    _positive("boundary", rows[~np.isnan(rows)])
    if at.size > 1 and len(np.unique(at)) == 1:
        raise ValueError(f"x, the coordinate {x!r}: {at[0]} alone; allowed: two or more different numbers")
    constants, exponents, points = [], [], 0
    for y in rows:
        good = ~np.isnan(y)
        if len(np.unique(at[good])) < 2:
            continue
        exponent, intercept = np.polyfit(np.log(at[good]), np.log(y[good]), 1)
        with np.errstate(over="ignore"):  # too steep a line, which no interval can hold
            constants.append(np.exp(intercept))
        exponents.append(exponent)
        points += int(good.sum())
    return PowerLaw(t_interval(np.array(constants), level), t_interval(np.array(exponents), level), points)


def _finite(value: Any) -> bool:
    """Whether a value is one finite real number."""
    value = np.asarray(value)
    return value.ndim == 0 and np.can_cast(value.dtype, float, "same_kind") and bool(np.isfinite(value))


def _positive(name: str, values: np.ndarray) -> np.ndarray:
    values = real(name, values).astype(float)
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if wrong.size:
        raise ValueError(f"{name}: {wrong[0]}; allowed: positive, finite numbers")
    return values
