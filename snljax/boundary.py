"""Phase boundaries: extract them from a Dataset and fit their law, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import xarray as xr

T = TypeVar("T", np.ndarray, xr.DataArray)


class Interval(NamedTuple):
    """Mean over seeds and its two-sided t interval; the ends are NaN for a single seed and an infinite one."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


class PowerLaw(NamedTuple):
    """y = constant · x^exponent, fitted seed by seed; points: how many (x, seed) pairs went in."""

    constant: Interval
    exponent: Interval
    points: int


def interval(values: xr.DataArray | np.ndarray, level: float = 0.95) -> Interval:
    r"""Mean and t interval over seeds.

    .. math:: \bar v \pm t_{(1+\text{level})/2,\,S-1}\; s / \sqrt S

    Args:
        values: one real number per seed; NaN is left out. An infinite one (a ratio to 0) makes the mean
            infinite, or NaN if there are both signs, and leaves the interval without ends.
        level: coverage, between 0 and 1.

    Returns:
        Interval.

    Raises:
        ValueError: if the values are no real numbers, or level is not between 0 and 1.

    Example:
        >>> import numpy as np
        >>> str(interval(np.array([1.0, 2.0, 3.0])))
        '2 [-0.4841, 4.484]'
    """
    _check_level(level)
    values = _real("values", np.asarray(values)).astype(float).ravel()
    values = values[~np.isnan(values)]
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    if values.size == 1 or not np.isfinite(values).all():
        with np.errstate(invalid="ignore"):  # ∞ - ∞
            return Interval(float(values.mean()), np.nan, np.nan)
    from scipy import stats  # slow to import, and not needed to train

    half = stats.t.ppf((1 + level) / 2, values.size - 1) * stats.sem(values)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def bootstrap(
    values: xr.DataArray, statistic: Callable[[xr.DataArray], float], level: float = 0.95, resamples: int = 999
) -> Interval:
    """A number that needs many seeds at once, and its percentile bootstrap interval over seeds.

    For what a single seed does not have: the crossing of a mean over seeds whose own values jump.

    Args:
        values: with a dimension ``seed``.
        statistic: values (seeds drawn with replacement) -> number; NaN where it has none.
        level: coverage, between 0 and 1.
        resamples: how many times the seeds are drawn anew, at least once.

    Returns:
        Interval: the statistic of the values themselves, and the percentiles of the resamples that
        have one; the ends are NaN for a single seed.

    Raises:
        ValueError: if the values have no seeds, or level or resamples are out of range.

    Example:
        >>> import xarray as xr
        >>> v = xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="seed")
        >>> bootstrap(v, lambda v: float(v.mean())).mean
        2.5
    """
    _check_level(level)
    if not isinstance(resamples, int | np.integer) or resamples < 1:
        raise ValueError(f"resamples: {resamples!r}; allowed: 1 or more, a whole number")
    if not values.sizes.get("seed"):
        raise ValueError(f"values: {_sizes(values)}; allowed: a dimension seed with one or more seeds")
    seeds, rng = values.sizes["seed"], np.random.default_rng(0)
    whole = float(statistic(values))
    if seeds == 1:
        return Interval(whole, np.nan, np.nan)
    drawn = [float(statistic(values.isel(seed=rng.integers(seeds, size=seeds)))) for _ in range(resamples)]
    if np.isnan(drawn).all():
        return Interval(whole, np.nan, np.nan)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(whole, float(low), float(high))


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
        The coordinate of the crossing for every other index; NaN where there is none, or its place is unknown.

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
    position = _real(f"along, the coordinate of {along!r}", values[along].values).astype(float)
    if not (np.isfinite(position).all() and (np.diff(position) > 0).all()):
        raise ValueError(f"along: the coordinate of {along!r} does not ascend; allowed: sorted cells")
    if _real("values", values).dtype.kind in "biu":
        values = values.astype(float)  # differences of unsigned numbers would wrap around

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

    return xr.apply_ufunc(crossing, values, input_core_dims=[[along]], vectorize=True, output_dtypes=[float])


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
    _check_level(level)
    if x not in boundary.dims or x == "seed" or not set(boundary.dims) <= {x, "seed"}:
        raise ValueError(f"x: {x!r} of a boundary with {_sizes(boundary)}; allowed: dimensions x and seed alone")
    boundary = boundary if "seed" in boundary.dims else boundary.expand_dims("seed")
    at = _positive(f"x, the coordinate {x!r}", boundary[x].values)
    rows = _real("boundary", boundary.transpose("seed", x).values)
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
    return PowerLaw(interval(np.array(constants), level), interval(np.array(exponents), level), points)


def _finite(value: Any) -> bool:
    """Whether a value is one finite real number."""
    value = np.asarray(value)
    return value.ndim == 0 and np.can_cast(value.dtype, float, "same_kind") and bool(np.isfinite(value))


def _check_level(level: float) -> None:
    if not _finite(level) or not 0 < level < 1:
        raise ValueError(f"level: {level!r}; allowed: between 0 and 1, neither of them included")


def _real(name: str, values: T) -> T:
    if not np.can_cast(values.dtype, float, "same_kind"):
        raise ValueError(f"{name}: {values.dtype}; allowed: real numbers")
    return values


def _positive(name: str, values: np.ndarray) -> np.ndarray:
    values = _real(name, values).astype(float)
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if wrong.size:
        raise ValueError(f"{name}: {wrong[0]}; allowed: positive, finite numbers")
    return values


def _sizes(values: xr.DataArray) -> str:
    return ", ".join(f"{name} ({size})" for name, size in values.sizes.items()) or "no dimensions"
