"""Phase boundaries: extract them from a Dataset and fit their law, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr


class Interval(NamedTuple):
    """Mean over seeds and its two-sided t interval; the ends are NaN for a single seed."""

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
        values: one number per seed; NaN is left out.
        level: coverage, 0 to 1.

    Returns:
        Interval.

    Example:
        >>> import numpy as np
        >>> str(interval(np.array([1.0, 2.0, 3.0])))
        '2 [-0.4841, 4.484]'
    """
    values = np.asarray(values, float).ravel()
    values = values[~np.isnan(values)]
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    if values.size == 1:
        return Interval(float(values[0]), np.nan, np.nan)
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
        level: coverage, 0 to 1.
        resamples: how many times the seeds are drawn anew.

    Returns:
        Interval: the statistic of the values themselves, and the percentiles of the resamples that
        have one; the ends are NaN for a single seed.

    Example:
        >>> import xarray as xr
        >>> v = xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="seed")
        >>> bootstrap(v, lambda v: float(v.mean())).mean
        2.5
    """
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
    """Where a quantity crosses a threshold along one axis, by linear interpolation between cells.

    Args:
        values: any dimensions, one of them ``along`` with an ascending coordinate.
        along: the axis to walk, e.g. ``"K"``.
        threshold: the level.
        side: ``"upper"`` is the last place where the quantity rises to the threshold (above it the
            quantity is too large); ``"lower"`` the first place where it falls below.

    Returns:
        The coordinate of the crossing for every other index; NaN where there is none.

    Raises:
        ValueError: if ``along`` is no dimension or its coordinate does not ascend.

    Example:
        >>> import xarray as xr
        >>> loss = xr.DataArray([3.0, 1.0, 1.0, 3.0], dims="K", coords={"K": [10, 20, 30, 40]})
        >>> float(extract(loss, "K", 2.0, "lower")), float(extract(loss, "K", 2.0, "upper"))
        (15.0, 35.0)
    """
    if along not in values.dims:
        raise ValueError(f"along: {along!r} is no dimension; allowed: {', '.join(map(str, values.dims))}")
    position = values[along].values.astype(float)
    if not (np.diff(position) > 0).all():
        raise ValueError(f"along: the coordinate of {along!r} does not ascend; allowed: sorted cells")

    def crossing(row: np.ndarray) -> float:
        left, right = row[:-1], row[1:]
        if side == "upper":
            found = np.flatnonzero((left < threshold) & (right >= threshold))[-1:]
        else:
            found = np.flatnonzero((left >= threshold) & (right < threshold))[:1]
        if found.size == 0:
            return np.nan
        i = found[0]
        share = (threshold - row[i]) / (row[i + 1] - row[i])
        return position[i] + share * (position[i + 1] - position[i])

    return xr.apply_ufunc(crossing, values, input_core_dims=[[along]], vectorize=True, output_dtypes=[float])


def fit_power_law(boundary: xr.DataArray, x: str, level: float = 0.95) -> PowerLaw:
    r"""Fit a power law to a boundary, by least squares in logarithms, for each seed by itself.

    .. math:: \log y = \log c + e \log x

    Args:
        boundary: from `extract`, dimensions x and seed; NaN is left out.
        x: name of the coordinate, with positive values.
        level: coverage of the intervals over seeds.

    Returns:
        PowerLaw; NaN where fewer than two points are left.

    Example:
        >>> import xarray as xr
        >>> s = [0.5, 1.0, 2.0]
        >>> b = xr.DataArray([[95 / v**2 for v in s]], dims=("seed", "sigma_p"), coords={"sigma_p": s})
        >>> law = fit_power_law(b, "sigma_p")
        >>> round(law.constant.mean, 6), round(law.exponent.mean, 6)
        (95.0, -2.0)
    """
    boundary = boundary if "seed" in boundary.dims else boundary.expand_dims("seed")
    constants, exponents, points = [], [], 0
    for _, row in boundary.transpose("seed", x).groupby("seed"):
        y = row.values.ravel()
        good = ~np.isnan(y)
        if good.sum() < 2:
            continue
        exponent, intercept = np.polyfit(np.log(row[x].values[good]), np.log(y[good]), 1)
        constants.append(np.exp(intercept))
        exponents.append(exponent)
        points += int(good.sum())
    return PowerLaw(interval(np.array(constants), level), interval(np.array(exponents), level), points)
