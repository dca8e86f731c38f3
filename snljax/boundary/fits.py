"""Laws of a boundary, fitted seed by seed: their constants with intervals, and rival forms against each other."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from snljax.boundary.scales import Scale, check_coverage, fitting, transform
from snljax.stats import Interval, bootstrap, real, sizes, t_interval

Form = str | Callable[..., Any]


class Fit(NamedTuple):
    """A law fitted to each seed by itself, and what the seeds agree on.

    Attributes:
        form: what was fitted, as text.
        constants: name -> mean over seeds and t interval.
        bootstrap: name -> the same mean and its bootstrap interval over seeds (BCa). All fits draw the same seeds.
        r2: share of the variance (on the fit's scale) that the law explains within a seed.
        aic: Akaike's criterion of the points of one seed; NaN where a seed has no more points than constants.
        points: how many places of how many seeds went in.
        seeds: how many seeds went in; those with fewer different places than constants are left out.
        missing: how many places of seeds have no boundary where other seeds have one. Those that are beyond the axis
            are not missing by chance: what is left there is too low or too high, and a warning says so.
        of_seeds: the variables ``value`` (seed, constant), ``r2``, ``aic`` and ``points``, NaN for seeds left out.
        residuals: boundary minus law of the same seed, on the fit's scale; NaN where nothing was fitted.
        function: the law: ``function(x, *constants)``.
    """

    form: str
    constants: dict[str, Interval]
    bootstrap: dict[str, Interval]
    r2: Interval
    aic: Interval
    points: int
    seeds: int
    missing: int
    of_seeds: xr.Dataset
    residuals: xr.DataArray
    function: Callable[..., Any]


class _Law(NamedTuple):
    """regressor: of a form that is a straight line in it when the boundary is in logarithms."""

    form: str
    names: tuple[str, ...]
    function: Callable[..., Any]
    start: tuple[float, ...]
    regressor: Callable[[np.ndarray], np.ndarray] | None = None


def fit(
    boundary: xr.DataArray,
    form: Form,
    *,
    start: Sequence[float] | None = None,
    scale: Scale = "log",
    coverage: float = 0.95,
) -> Fit:
    r"""Fit a law to a boundary by least squares, for each seed by itself, and compare the seeds.

    .. math:: \min_c \sum_i \bigl(\log y_i - \log f(x_i; c)\bigr)^2, \qquad
              \text{AIC} = n \log\frac{\text{RSS}}{n} + 2 (k + 1)

    with n points of a seed and k constants. Places of one seed share their data and are no independent draws: only
    seeds are, and all intervals go over them.

    Args:
        boundary: from `edge`, dimensions seed and one other, x (or x alone); NaN is left out. Where some seeds have
            none, a warning tells: if theirs lies beyond the axis, the law bends towards what is left. It does less so
            without those places, ``boundary.where(boundary.notnull().all("seed"))``.
        form: ``"power law"``, y = constant · x^exponent; ``"exponential"``, y = constant · exp(rate · x); or a
            function f(x, *constants) of NumPy arrays, such as a boundary of `theory`.
        start: of the constants of a function; by default the function's own defaults, and 1 where it has none.
        scale: ``"log"``: least squares in logarithms of the boundary; ``"linear"``: in itself.
        coverage: of the intervals over seeds, between 0 and 1.

    Returns:
        Fit; NaN where no seed is left.

    Raises:
        ValueError: if the boundary has other dimensions, it or x has no such logarithm or is not finite, all x are
            the same, the form, scale or coverage is another, or the start gives no numbers.

    Example:
        >>> import xarray as xr
        >>> s = [0.5, 1.0, 2.0]
        >>> b = xr.DataArray([[95 / v**2 for v in s]], dims=("seed", "sigma_p"), coords={"sigma_p": s})
        >>> law = fit(b, "power law")
        >>> {name: round(c.mean, 6) for name, c in law.constants.items()}, law.points
        ({'constant': 95.0, 'exponent': -2.0}, 3)
        >>> round(fit(b, lambda sigma_p, c: c / sigma_p**2, start=[1.0]).constants["c"].mean, 6)
        95.0
    """
    check_coverage(coverage)
    law = _law(form, start)
    boundary = boundary if "seed" in boundary.dims else boundary.expand_dims("seed")
    others = [d for d in boundary.dims if d != "seed"]
    if len(others) != 1:
        raise ValueError(f"boundary: {sizes(boundary)}; allowed: the dimension seed and one other")
    (x,) = others
    of_x: Scale = "log" if form == "power law" else "linear"
    at = fitting(f"x, the coordinate {x!r}", boundary[x].values, of_x)
    boundary = boundary.transpose("seed", x)
    rows = real("boundary", boundary.values).astype(float)
    fitting("boundary", rows[~np.isnan(rows)], scale)
    if at.size > 1 and len(np.unique(at)) == 1:
        raise ValueError(f"x, the coordinate {x!r}: {at[0]} alone; allowed: two or more different numbers")
    values, left = np.full((len(rows), len(law.names)), np.nan), np.full(rows.shape, np.nan)
    for i, y in enumerate(rows):
        good = ~np.isnan(y)
        if len(np.unique(at[good])) < max(len(law.names), 1):
            continue
        found = _fitted(law, at[good], y[good], scale)
        if found is not None:
            values[i], left[i, good] = found, _residuals(law, at[good], y[good], found, scale)
    residuals = boundary.copy(data=left).rename("residual").drop_attrs(deep=False)
    return summary(law.form, law.names, law.function, values, boundary, residuals, scale, coverage)


def compare_forms(
    boundary: xr.DataArray,
    forms: Sequence[Form] | Mapping[str, Form],
    *,
    scale: Scale = "log",
    coverage: float = 0.95,
) -> xr.Dataset:
    r"""Rival laws of one boundary, by Akaike's criterion of each seed's points.

    .. math:: w_f = \frac{e^{-\Delta_f / 2}}{\sum_g e^{-\Delta_g / 2}}

    Δ is the mean over seeds of what a form's criterion is above that of the best, paired by seed. So the weights are
    those that the points of one seed give on average; more seeds make the difference surer, and no weight larger.

    Args:
        boundary: as for `fit`.
        forms: two or more forms as for `fit`; a mapping gives functions a name. Functions start at their defaults.
        scale: the same for all, or their criteria could not be compared.
        coverage: of the intervals over seeds, between 0 and 1.

    Returns:
        Dataset on ``form``, best first: ``aic``, ``difference`` with its t interval ``low`` and ``high`` and its BCa
        bootstrap ``bootstrap_low`` and ``bootstrap_high`` over seeds, ``weight``, ``r2`` and ``constants`` (how many).
        NaN where no seed has more points than constants. Its attrs hold ``points``, ``seeds``, ``scale``, ``coverage``.

    Raises:
        ValueError: as `fit`, or if there are fewer than two forms or two of one name.

    Example:
        >>> import xarray as xr
        >>> s = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
        >>> b = xr.DataArray([c / s**2 + 0.1 * np.sin(9 * c * s) for c in (94.0, 95.0, 97.0)],
        ...                  dims=("seed", "sigma_p"), coords={"sigma_p": s})
        >>> found = compare_forms(b, ["exponential", "power law"])
        >>> found.form.values.tolist(), float(found.weight[0]) > 0.99, found.points
        (['power law', 'exponential'], True, 15)
    """
    named = [*forms.items()] if isinstance(forms, Mapping) else [(_law(form, None).form, form) for form in forms]
    names = [name for name, _ in named]
    if len(names) < 2 or len({*names}) < len(names):
        raise ValueError(f"forms: {', '.join(names) or 'none'}; allowed: two or more, of different names")
    fits = [fit(boundary, form, scale=scale, coverage=coverage) for _, form in named]
    aic = xr.concat([one.of_seeds.aic for one in fits], "form").assign_coords(form=names)
    aic = aic.where(aic.notnull().all("form"))  # the same seeds for all
    with np.errstate(invalid="ignore"):
        mean = aic.mean("seed") if aic.notnull().any() else aic.isel(seed=0, drop=True)
    order = np.argsort(mean.values, kind="stable")
    aic, mean = aic.isel(form=order), mean.isel(form=order)
    difference = aic - aic.isel(form=0, drop=True)
    t = [t_interval(row.values, coverage) for row in difference.transpose("form", "seed")]
    drawn = [_mean_of_seeds(row, coverage) for row in difference.transpose("form", "seed")]
    weight = np.exp(-np.array([one.mean for one in t]) / 2)
    variables = {
        "aic": mean.values,
        "difference": [one.mean for one in t],
        "low": [one.low for one in t],
        "high": [one.high for one in t],
        "bootstrap_low": [one.low for one in drawn],
        "bootstrap_high": [one.high for one in drawn],
        "weight": weight / weight.sum(),
        "r2": [fits[i].r2.mean for i in order],
        "constants": [len(fits[i].constants) for i in order],
    }
    used = aic.notnull().all("form").values
    points = int(fits[0].of_seeds.points.values[used].sum())
    attrs = {"points": points, "seeds": int(used.sum()), "scale": scale, "coverage": coverage}
    return xr.Dataset({n: ("form", v) for n, v in variables.items()}, {"form": mean.form.values}, attrs)


def summary(
    form: str,
    names: Sequence[str],
    function: Callable[..., Any],
    values: np.ndarray,
    boundary: xr.DataArray,
    residuals: xr.DataArray,
    scale: Scale,
    coverage: float,
) -> Fit:
    """A Fit from the constants of every seed, shape (seeds, constants), and what is left; NaN for seeds left out."""
    others = [d for d in residuals.dims if d != "seed"]
    points = residuals.count(others)
    missing = _missing(boundary)
    shown = boundary.copy(data=transform(scale)(boundary.values)).where(residuals.notnull())
    rss = (residuals**2).sum(others)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = ((shown - shown.mean(others)) ** 2).sum(others) if points.any() else rss
        r2 = (1 - rss / total).where(total > 0)
        aic = (points * np.log(rss / points) + 2 * (len(names) + 1)).where(points > len(names))
    labels = {"constant": list(names)}
    value = xr.DataArray(values, dims=("seed", "constant"), coords=labels)
    if "seed" in boundary.coords:
        value = value.assign_coords(seed=boundary["seed"])
    of_seeds = xr.Dataset({"value": value, "r2": r2, "aic": aic, "points": points}).drop_attrs(deep=False)
    used = np.flatnonzero(~np.isnan(values).any(1))
    constants = {name: t_interval(values[used, i], coverage) for i, name in enumerate(names)}
    drawn = {name: _mean_of_seeds(value.isel(seed=used, constant=i), coverage) for i, name in enumerate(names)}
    of_r2, of_aic = (t_interval(of_seeds[name].values, coverage) for name in ("r2", "aic"))
    went = int(points.sum()), used.size, missing
    return Fit(form, constants, drawn, of_r2, of_aic, *went, of_seeds, residuals, function)


def _missing(boundary: xr.DataArray) -> int:
    """How many places of seeds have no boundary where other seeds have one; a warning if there are any."""
    known = boundary.notnull()
    missing = int((known.any("seed") & ~known).sum())
    if missing:
        text = (
            f"boundary: {missing} of {boundary.size} places have none where other seeds have one; if theirs is beyond "
            "the axis, the law bends towards what is left. To leave those places out for all seeds: "
            "boundary.where(boundary.notnull().all('seed'))"
        )
        warnings.warn(text, stacklevel=4)
    return missing


def _mean_of_seeds(row: xr.DataArray, coverage: float) -> Interval:
    """The mean of a row over seeds and its bootstrap interval."""
    row = row[np.isfinite(row.values)]
    if row.size == 0:
        return Interval(np.nan, np.nan, np.nan, f"{100 * coverage:.6g} % bootstrap")
    plain = xr.DataArray(row.values, dims="seed")  # without labels it is drawn from faster
    return bootstrap(plain, lambda drawn: float(drawn.values.mean()), level=coverage)


def _law(form: Form, start: Sequence[float] | None) -> _Law:
    if isinstance(form, str):
        if form == "power law":
            names = ("constant", "exponent")
            return _Law(form, names, lambda x, c, e: c * np.asarray(x, float) ** e, (1.0, 1.0), np.log)
        if form == "exponential":
            return _Law(form, ("constant", "rate"), lambda x, c, r: c * np.exp(r * np.asarray(x)), (1.0, 1.0), np.array)
    if not callable(form):
        raise ValueError(f"form: {form!r}; allowed: power law, exponential, or a function of x and constants")
    parameters = [*inspect.signature(form).parameters.values()][1:]
    if not parameters or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ValueError(f"form: {_name(form)}; allowed: a function of x and one or more constants, each with a name")
    defaults = [1.0 if p.default is p.empty else p.default for p in parameters]
    if start is not None and len(start) != len(parameters):
        named = ", ".join(p.name for p in parameters)
        raise ValueError(f"start: {len(start)} values; allowed: one for each of {named}")
    chosen = fitting("start", np.asarray(defaults if start is None else start), "linear")
    return _Law(_name(form), tuple(p.name for p in parameters), form, tuple(chosen.tolist()))


def _name(form: Callable[..., Any]) -> str:
    return getattr(form, "__name__", type(form).__name__)


def _fitted(law: _Law, x: np.ndarray, y: np.ndarray, scale: Scale) -> np.ndarray | None:
    """The constants for one seed; None where the search finds no end."""
    start = np.array(law.start)
    if law.regressor is not None and (y > 0).all():
        slope, intercept = np.polyfit(law.regressor(x), np.log(y), 1)
        with np.errstate(over="ignore"):  # too steep a line, which no interval can hold
            start = np.array([np.exp(intercept), slope])
        if scale == "log":
            return start
    from scipy import optimize  # slow to import, and not needed to train

    def left(constants: np.ndarray) -> np.ndarray:
        return _residuals(law, x, y, constants, scale)

    if not np.isfinite(left(start)).all():
        kind = "positive, finite" if scale == "log" else "finite"
        raise ValueError(f"start: {start.tolist()}, where {law.form} is not {kind}; allowed: a start where it is")
    found = optimize.least_squares(left, start, x_scale="jac", ftol=1e-12, xtol=1e-12, gtol=1e-12)
    return found.x if found.success else None


def _residuals(law: _Law, x: np.ndarray, y: np.ndarray, constants: np.ndarray, scale: Scale) -> np.ndarray:
    if law.regressor is not None and scale == "log":  # also where the law itself overflows
        with np.errstate(all="ignore"):
            return np.log(y) - (np.log(constants[0]) + constants[1] * law.regressor(x))
    with np.errstate(all="ignore"):
        curve = np.asarray(law.function(x, *constants), float)
        return np.log(y) - np.log(curve) if scale == "log" else y - curve
