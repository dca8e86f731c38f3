"""The middle and the two ends of values over seeds, of which some may be infinite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from snljax.plotting.labels import SPREADS, Spread
from snljax.stats import interval

Summary = Callable[[xr.DataArray], tuple[xr.DataArray, ...]]  # middle, low and high over seeds
_HUGE = 1e300  # in place of infinite, so that differences are finite


def summary_of(spread: Spread) -> Summary:
    """What a spread makes of values over ``seed``; ValueError if it is none of the three.

    Example:
        >>> middle, low, high = summary_of("quartiles")(xr.DataArray([1.0, 2.0, 3.0, np.nan], dims="seed"))
        >>> float(middle), float(low), float(high)
        (2.0, 1.5, 2.5)
    """
    if spread not in SPREADS:
        raise ValueError(f"spread: {spread!r} is not known; allowed: {', '.join(SPREADS)}")
    return _SUMMARIES[spread]


def of_all(summary: Summary) -> Summary:
    """The same, but median and quartiles where a value is infinite, of which there is no mean.

    Example:
        >>> censored = xr.DataArray([[1.0, 2.0, np.inf], [1.0, 2.0, 6.0]], dims=("K", "seed"))
        >>> of_all(summary_of("interval"))(censored)[0].values.tolist()
        [2.0, 3.0]
    """

    def summarised(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
        infinite = (abs(values) == np.inf).any("seed")
        if not bool(infinite.any()):
            return summary(values)
        ends = zip(summary(values.where(~infinite)), _quartiles(values), strict=True)
        return tuple(of_finite.where(~infinite, of_all) for of_finite, of_all in ends)

    return summarised


def _interval(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """On the scale that the values' name decides: the band of a loss or an accuracy stays among possible values."""
    found = interval(values)
    return found["mean"], found["low"], found["high"]


def _standard_error(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    mean, seeds = values.mean("seed"), values.count("seed")
    several = values.where(seeds > 1)
    error = several.std("seed", ddof=1) / np.sqrt(seeds)
    return mean, mean - error, mean + error


def _quartiles(values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Interpolated between two values; beside an infinite one infinite, and NaN between two of them."""
    share, some = [0.5, 0.25, 0.75], values.notnull().any("seed")
    values = values.where(some, 0.0)
    found = values.clip(-_HUGE, _HUGE).quantile(share, "seed")
    if bool(np.isinf(values).any()):
        below, above = (values.quantile(share, "seed", method=way) for way in ("lower", "higher"))
        beside = below.where(np.isinf(below), above).where(np.isfinite(below) | np.isfinite(above) | (below == above))
        found = found.where(np.isfinite(below) & np.isfinite(above), beside)
    return tuple(found.where(some).isel(quantile=i) for i in range(3))


_SUMMARIES: dict[str, Summary] = {"interval": _interval, "error": _standard_error, "quartiles": _quartiles}
