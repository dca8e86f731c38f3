"""Statistics over seeds: intervals of a mean, the bootstrap, and paired comparisons."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import xarray as xr

from snljax.variables import DIVERGED, DONE, STATUS, as_floats

T = TypeVar("T", np.ndarray, xr.DataArray)
Scale = Literal["linear", "log", "logit"]
POSSIBLE = {"linear": (-np.inf, np.inf), "log": (0.0, np.inf), "logit": (0.0, 1.0)}


class Interval(NamedTuple):
    """A number and its interval; the ends are NaN where there is none (one seed, infinite values).

    kind says what the ends are: ``"95 % t"``, ``"95 % BCa bootstrap"``, ``"range"`` (smallest and largest), and so on.
    """

    mean: float
    low: float
    high: float
    kind: str

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


def interval(values: xr.DataArray, dim: str = "seed", level: float = 0.95, scale: Scale | None = None) -> xr.Dataset:
    r"""Mean and t interval over seeds, in every cell of the other dimensions.

    .. math:: g^{-1}\!\left(g(\bar v) \pm t_{(1+\text{level})/2,\,S-1}\; g'(\bar v)\, s / \sqrt S\right)

    The mean is the arithmetic one on every scale. With g = log or logit (the delta method) the interval holds it and
    stays among the possible values: above 0, or between 0 and 1. A mean of exactly 0 or 1 there means that all seeds
    have that value; both ends are then the mean too. They say that the seeds do not differ, not that no seed could.

    Args:
        values: real numbers, one dimension of them ``dim``. NaN (pending or diverged; of whole numbers what
            `variables.missing` has) is left out. An infinite value
            makes the mean infinite, or NaN if there are both signs, and leaves its cell without ends.
        dim: the dimension to go over.
        level: coverage, between 0 and 1.
        scale: ``"linear"``, ``"log"`` or ``"logit"``. By default the name decides: ``log`` for a name that ends in
            loss or mse, ``logit`` for one that ends in accuracy, ``linear`` for others, and for values outside the
            range of the metric. A difference of two metrics keeps their name in xarray, and a transform would never
            let its interval hold 0. So a lower end that was not asked for is 0 where the linear one is 0 or less;
            still, give ``"linear"`` for a difference, or take `compare`.

    Returns:
        Dataset with ``mean``, ``low`` and ``high`` on all other dimensions; the ends are NaN for a single seed. Its
        attrs hold ``kind`` ("t"), ``level``, ``scale`` and ``over``.

    Raises:
        ValueError: if there is no such dimension, the values are no real numbers or outside the range of a scale that
            was asked for, or level or scale is another.

    Example:
        >>> import xarray as xr
        >>> v = xr.DataArray([[0.9, 1.0], [1.0, 1.0], [0.98, 1.0]], dims=("seed", "K"), name="test_accuracy")
        >>> found = interval(v)
        >>> found.low.values.round(3).tolist(), found.high.values.round(3).tolist(), found.scale
        ([0.439, 1.0], [0.999, 1.0], 'logit')
        >>> interval(v, scale="linear").high.values.round(3).tolist()
        [1.091, 1.0]
    """
    check_level(level)
    if dim not in values.dims:
        raise ValueError(f"dim: {dim!r} is no dimension; allowed: {', '.join(map(str, values.dims)) or 'none here'}")
    values = as_floats(real("values", values))
    asked, scale = scale is not None, scale_of(values) if scale is None else _fitting(scale, values)
    mean, low, high = xr.apply_ufunc(
        lambda v: _t(v, level, scale), values, input_core_dims=[[dim]], output_core_dims=[[], [], []]
    )
    if scale != "linear" and not asked:
        linear = interval(values, dim, level, "linear")["low"]
        low = xr.where((linear <= 0) & (mean > 0), 0.0, low)
    attrs = {"kind": "t", "level": level, "scale": scale, "over": dim}
    return xr.Dataset({"mean": mean, "low": low, "high": high}, attrs=attrs)


def side(values: xr.DataArray, level: float, outside: xr.DataArray | None = None) -> xr.DataArray:
    r"""On which side of a level the mean over seeds lies, as far as the seeds can tell.

    .. math:: +1 \text{ if low} \ge \theta, \quad -1 \text{ if high} < \theta, \quad 0 \text{ else}

    Args:
        values, outside: as for `ends`, which says what low and high are.
        level: θ.

    Returns:
        −1, 0 or +1, int8, on the other dimensions; 0 also where there is no value at all.

    Raises:
        ValueError: if the values are no real numbers, or the level is not a finite one.

    Example:
        >>> loss = xr.DataArray([[1.0, 1.9, 3.0], [1.1, 2.2, 3.1]], dims=("seed", "K"), name="test_loss")
        >>> side(loss, 2.0).values.tolist()
        [-1, 0, 1]
    """
    check_finite("level", level)
    return sides(ends(values, outside), level).drop_attrs(deep=False)


def sides(found: xr.Dataset, level: float) -> xr.DataArray:
    """The rule of `side`, for intervals that are there already.

    Args:
        found: with ``low`` and ``high``; NaN where there is no interval.
        level: θ.

    Returns:
        −1, 0 or +1, int8.

    Example:
        >>> sides(xr.Dataset({"low": ("K", [0.5, 1.5, 2.0]), "high": ("K", [1.0, 2.5, 3.0])}), 2.0).values.tolist()
        [-1, 0, 1]
    """
    above, below = found["low"] >= level, found["high"] < level
    return (above.astype(np.int8) - below.astype(np.int8)).astype(np.int8).rename("side")


def ends(values: xr.DataArray, outside: xr.DataArray | None = None) -> xr.Dataset:
    """The interval over seeds by which a side is told: `interval` where it has ends, and what stands for it elsewhere.

    Of a single seed there is no interval: its value is all three. With a network beyond all numbers there is none
    either: the smallest and the largest value are the ends.

    Args:
        values: real numbers under a metric's name, with a dimension ``seed`` or of one seed. NaN is left out.
        outside: from `beyond`; default where a value is infinite.

    Returns:
        Dataset with ``low``, ``mean`` and ``high`` on the other dimensions; NaN where there is no value at all.

    Raises:
        ValueError: if the values are no real numbers.

    Example:
        >>> loss = xr.DataArray([[1.0, 1.9], [1.1, np.inf]], dims=("seed", "K"), name="test_loss")
        >>> ends(loss).high.values.round(3).tolist()
        [1.923, inf]
    """
    values = as_floats(real("values", values))
    if outside is None:
        outside = beyond(values)
    if "seed" not in values.dims:
        values, outside = values.expand_dims("seed"), outside.expand_dims("seed")
    no_number, inside = outside != 0, values.where(outside == 0)
    found = interval(inside)
    whole = inside.where(~no_number, np.inf * outside)
    alone = (whole.count("seed") == 1) | no_number.any("seed")
    least, most = whole.min("seed"), whole.max("seed")
    middle = xr.where(np.isneginf(least), xr.where(np.isposinf(most), np.nan, least), most)
    return xr.Dataset(
        {
            "low": xr.where(alone, least, found["low"]),
            "mean": xr.where(no_number.any("seed"), middle, found["mean"]),
            "high": xr.where(alone, most, found["high"]),
        },
        attrs={"scale": found.attrs["scale"]},
    )


def beyond(values: xr.DataArray, status: xr.DataArray | None = None, diverged: int = 0) -> xr.DataArray:
    """Which networks lie above or below all numbers.

    Args:
        values: a metric.
        status: ``ds.status``; by default no network diverged.
        diverged: +1 or −1 for a network that diverged, 0 to leave it out.

    Returns:
        +1 and −1 where a value is infinite, ``diverged`` where a network diverged, 0 elsewhere.

    Example:
        >>> beyond(xr.DataArray([3.0, np.inf, np.nan], dims="K"), xr.DataArray([1, 1, 2], dims="K"), 1).values.tolist()
        [0.0, 1.0, 1.0]
    """
    infinite = xr.where(np.isinf(values), np.sign(values), 0)
    return infinite if status is None else xr.where(status == DIVERGED, diverged, infinite)


def finished(values: xr.DataArray, status: xr.DataArray) -> xr.DataArray:
    """The values of networks that are done, NaN where they are pending or diverged.

    Args:
        values: a metric.
        status: ``ds.status``.

    Returns:
        The same, floating.

    Example:
        >>> finished(xr.DataArray([3, 5], dims="K"), xr.DataArray([1, 2], dims="K")).values.tolist()
        [3.0, nan]
    """
    return as_floats(real("values", values)).where(status == DONE)


def t_interval(values: Any, level: float = 0.95) -> Interval:
    r"""Mean and t interval of one row of numbers, on the linear scale: what verdicts go by.

    .. math:: \bar v \pm t_{(1+\text{level})/2,\,S-1}\; s / \sqrt S

    Args:
        values: one real number per seed; NaN is left out. Infinite ones as in `interval`.
        level: coverage, between 0 and 1.

    Returns:
        Interval.

    Raises:
        ValueError: if there is more than one dimension, the values are no real numbers, or level is another.

    Example:
        >>> import numpy as np
        >>> found = t_interval(np.array([1.0, 2.0, 3.0]))
        >>> str(found), found.kind
        ('2 [-0.4841, 4.484]', '95 % t')
    """
    check_level(level)
    row = real("values", np.asarray(values))
    if row.ndim != 1:
        raise ValueError(f"values: shape {row.shape}; allowed: one dimension, the seeds (interval takes the others)")
    mean, low, high = _t(as_floats(row), level, "linear")
    return Interval(float(mean), float(low), float(high), f"{100 * level:.6g} % t")


def bootstrap(
    values: xr.DataArray,
    statistic: Callable[[xr.DataArray], float],
    dim: str = "seed",
    level: float = 0.95,
    resamples: int = 999,
) -> Interval:
    """A number that needs many seeds at once, and its bootstrap interval over seeds (scipy's, BCa).

    For what a single seed does not have: the crossing of a mean over seeds whose own values jump. Where BCa has no
    answer (some resample has no crossing, all resamples are equal), the ends are the percentiles of the resamples
    that have a value, and ``kind`` says so, with their number if it is not all.

    Args:
        values: with a dimension ``dim``.
        statistic: values (seeds drawn with replacement) -> number; NaN where it has none.
        dim: the dimension that is drawn anew.
        level: coverage, between 0 and 1.
        resamples: how many times the seeds are drawn anew, at least once.

    Returns:
        Interval: the statistic of the values themselves, and the ends; these are NaN for a single seed, or if no
        resample has a value.

    Raises:
        ValueError: if the values have no seeds, or level or resamples are out of range.

    Example:
        >>> import xarray as xr
        >>> v = xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="seed")
        >>> found = bootstrap(v, lambda v: float(v.mean()))
        >>> found.mean, found.kind
        (2.5, '95 % BCa bootstrap')
    """
    check_level(level)
    if not isinstance(resamples, int | np.integer) or resamples < 1:
        raise ValueError(f"resamples: {resamples!r}; allowed: 1 or more, a whole number")
    if not values.sizes.get(dim):
        raise ValueError(f"values: {sizes(values)}; allowed: a dimension {dim} with one or more seeds")
    values = as_floats(values) if values.dtype.kind in "iu" else values
    whole, percent = float(statistic(values)), f"{100 * level:.6g} %"
    if values.sizes[dim] == 1:
        return Interval(whole, np.nan, np.nan, f"{percent} bootstrap")
    from scipy import stats  # slow to import, and not needed to train

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where BCa is degenerate; here the kind says it
        found = stats.bootstrap(
            (np.arange(values.sizes[dim]),),
            lambda drawn: float(statistic(values.isel({dim: drawn}))),
            vectorized=False,
            n_resamples=int(resamples),
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(0),
        )
    low, high = found.confidence_interval
    if np.isfinite([low, high]).all():
        return Interval(whole, float(low), float(high), f"{percent} BCa bootstrap")
    drawn = found.bootstrap_distribution
    drawn = drawn[~np.isnan(drawn)]
    left = "" if drawn.size == resamples else f" of the {drawn.size} of {resamples} resamples that have a value"
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if drawn.size else (np.nan, np.nan)
    return Interval(whole, float(low), float(high), f"{percent} percentile bootstrap{left}")


def compare(
    ds: xr.Dataset,
    along: str,
    a: Any,
    b: Any,
    metric: str,
    *,
    dim: str = "seed",
    level: float = 0.95,
    adjust: Literal["holm", "fdr"] = "holm",
) -> xr.Dataset:
    r"""What a is over b, paired by seed: networks of one seed share their data and first weights.

    .. math:: d_s = v_{a,s} - v_{b,s}, \qquad t = \sqrt S\; \bar d / s_d

    A pair counts if both networks have a finite number, and are done where the Dataset has a ``status``: diverged and
    pending ones are left out together with their partner. If all differences of a cell are the same number, there is
    no spread to measure it by: both ends are that number, and p is that of the sign test, 2^(1−S), or 1 if it is 0.

    Args:
        ds: from `sweep`, with the dimension ``along`` and seeds.
        along: the axis whose two values are compared, e.g. ``"penalty"``.
        a, b: two of its values; the difference is a minus b.
        metric: a variable of real numbers, e.g. ``"test_accuracy"``.
        dim: the dimension that makes the pairs.
        level: coverage of the interval, between 0 and 1; on the linear scale, for differences have no bounds.
        adjust: over all cells that have a p-value: ``"holm"`` (no false discovery in the whole table), or ``"fdr"``
            (their expected share, Benjamini and Hochberg).

    Returns:
        Dataset on all other dimensions: ``difference`` (the mean), ``low``, ``high``, ``p`` (two-sided),
        ``p_adjusted`` and ``pairs``, how many counted; p and the ends are NaN with fewer than two.

    Raises:
        ValueError: if a dimension, value or variable is not there, ``a`` is ``b``, or an option is another.

    Example:
        >>> import xarray as xr
        >>> accuracy = (("penalty", "seed"), [[0.9, 0.95, 0.97], [0.5, 0.52, 0.51]])
        >>> ds = xr.Dataset({"test_accuracy": accuracy}, {"penalty": ["pegr", "none"], "seed": [0, 1, 2]})
        >>> found = compare(ds, along="penalty", a="pegr", b="none", metric="test_accuracy")
        >>> round(float(found.difference), 3), round(float(found.p), 4), int(found.pairs)
        (0.43, 0.0016, 3)
    """
    check_level(level)
    if adjust not in ("holm", "fdr"):
        raise ValueError(f"adjust: {adjust!r}; allowed: holm, fdr")
    difference = _paired(ds, along, a, b, metric, dim)
    found = interval(difference, dim, level, "linear")
    p = xr.apply_ufunc(_p_value, difference, input_core_dims=[[dim]])
    known = p.notnull()
    adjusted = p.copy(data=np.full(p.shape, np.nan))
    adjusted.values[known.values] = _adjusted(p.values[known.values], adjust)
    variables = {
        "difference": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "p": p,
        "p_adjusted": adjusted,
        "pairs": difference.notnull().sum(dim),
    }
    attrs = found.attrs | {"metric": metric, "along": along, "a": a, "b": b, "adjusted": adjust}
    return xr.Dataset(variables, attrs=attrs | {"adjusted_over": int(known.sum())})


def _paired(ds: xr.Dataset, along: str, a: Any, b: Any, metric: str, dim: str) -> xr.DataArray:
    """a minus b of each seed; NaN where either network is not done."""
    if metric not in ds.data_vars:
        raise ValueError(f"metric: {metric!r} is no variable; allowed: {', '.join(map(str, ds.data_vars))}")
    values = as_floats(real(f"metric, the variable {metric!r}", ds[metric]))
    for name, wanted in (("along", along), ("dim", dim)):
        if wanted not in values.dims or along == dim:
            others = ", ".join(str(d) for d in values.dims if name == "dim" or d != dim)
            raise ValueError(f"{name}: {wanted!r} is no dimension of {metric} for this; allowed: {others}")
    labels = values[along].values.tolist()
    for name, wanted in (("a", a), ("b", b)):
        if labels.count(wanted) != 1 or a == b:
            raise ValueError(
                f"{name}: {wanted!r}; allowed: two different values of {along}: {', '.join(map(str, labels))}"
            )
    values = values.where(np.isfinite(values))
    if STATUS in ds:
        values = values.where(ds[STATUS] == DONE)
    return values.isel({along: labels.index(a)}, drop=True) - values.isel({along: labels.index(b)}, drop=True)


def _t(values: np.ndarray, level: float, scale: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and ends over the last axis; NaN is left out."""
    from scipy import stats  # slow to import, and not needed to train

    mean, error, n, same = _moments(values)
    with np.errstate(all="ignore"):  # no value, one value, infinite ones: the ends are NaN
        half = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * error
        if scale == "log":
            low, high = mean * np.exp(-half / mean), mean * np.exp(half / mean)
        elif scale == "logit":
            against, spread = (1 - mean) / mean, half / (mean * (1 - mean))
            low, high = 1 / (1 + against * np.exp(spread)), 1 / (1 + against * np.exp(-spread))
        else:
            low, high = mean - half, mean + half
    none = (n < 2) | ~np.isfinite(mean)
    # Without spread no transform is needed; a mean at the end of the range has none.
    ends = np.minimum(low, mean), np.maximum(high, mean)  # rounding could put them on the wrong side
    low, high = (np.where(none, np.nan, np.where(same, mean, end)) for end in ends)
    return mean, low, high


def _p_value(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of the paired t test over the last axis; NaN is left out."""
    from scipy import stats  # slow to import, and not needed to train

    mean, error, n, same = _moments(differences)
    with np.errstate(all="ignore"):
        p = 2 * stats.t.sf(np.abs(mean / error), np.maximum(n - 1, 1))
    sign_test = np.where(mean == 0, 1.0, 2.0 ** (1.0 - n))
    return np.where(n < 2, np.nan, np.where(same, sign_test, p))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, its standard error, how many there are, and whether they are all the same; over the last axis."""
    known = ~np.isnan(values)
    n = known.sum(-1)
    least = np.where(known, values, np.inf).min(-1, initial=np.inf)
    same = least == np.where(known, values, -np.inf).max(-1, initial=-np.inf)
    with np.errstate(all="ignore"):
        # Rounding of the sum must not give equal numbers a spread.
        mean = np.where(same, least, np.where(known, values, 0.0).sum(-1) / n)
        deviation = np.where(known, values - mean[..., None], 0.0)
        error = np.sqrt((deviation**2).sum(-1) / (n - 1) / n)
    return mean, error, n, same


def _adjusted(p: np.ndarray, method: str) -> np.ndarray:
    """p-values of one family, adjusted: Holm's step down, or Benjamini and Hochberg's step up."""
    if p.size == 0:
        return p
    if method == "fdr":
        from scipy import stats  # slow to import, and not needed to train

        return stats.false_discovery_control(p, method="bh")
    order = np.argsort(p)
    stepped = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return stepped[np.argsort(order)]


def scale_of(values: xr.DataArray) -> Scale:
    """The scale of a metric by its name, if its values are possible ones of such a metric."""
    name = str(values.name)
    scale: Scale = "log" if name.endswith(("loss", "mse")) else "logit" if name.endswith("accuracy") else "linear"
    return scale if _inside(scale, values) else "linear"


def _inside(scale: Scale, values: xr.DataArray) -> bool:
    low, high = POSSIBLE[scale]
    return not bool(((values < low) | (values > high)).any())


def _fitting(scale: Scale, values: xr.DataArray) -> Scale:
    if scale not in POSSIBLE:
        raise ValueError(f"scale: {scale!r}; allowed: {', '.join(POSSIBLE)}")
    if not _inside(scale, values):
        low, high = POSSIBLE[scale]
        least, most = float(values.min()), float(values.max())
        raise ValueError(f"scale: {scale!r} for values {least:g} to {most:g}; allowed: values from {low:g} to {high:g}")
    return scale


def check_level(level: Any, name: str = "level") -> None:
    """ValueError if a coverage is not between 0 and 1; name is what the message calls it."""
    number = np.asarray(level)
    one = number.ndim == 0 and np.can_cast(number.dtype, float, "same_kind")
    if not one or not 0 < level < 1:
        raise ValueError(f"{name}: {level!r}; allowed: between 0 and 1, neither of them included")


def check_finite(name: str, value: Any) -> None:
    """ValueError if something is not one finite real number; name is what the message calls it."""
    number = np.asarray(value)
    one = number.ndim == 0 and np.can_cast(number.dtype, float, "same_kind")
    if not one or not np.isfinite(number):
        raise ValueError(f"{name}: {value!r}; allowed: a finite number")


def real(name: str, values: T) -> T:
    """The values, or ValueError if they are no real numbers; name is what the message calls them."""
    if not np.can_cast(values.dtype, float, "same_kind"):
        raise ValueError(f"{name}: {values.dtype}; allowed: real numbers")
    return values


def sizes(values: xr.DataArray) -> str:
    """Dimensions with their lengths, as messages show them."""
    return ", ".join(f"{name} ({size})" for name, size in values.sizes.items()) or "no dimensions"
