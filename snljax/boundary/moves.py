"""How far a boundary moves when one field of the protocol does."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax.boundary.scales import Scale, check_coverage, fitting, transform
from snljax.stats import interval, real, sizes


def sensitivity(
    boundary: xr.DataArray,
    field: str,
    *,
    reference: Any = None,
    scale: Scale = "log",
    coverage: float = 0.95,
) -> xr.Dataset:
    r"""How far a boundary moves per unit of a field, or from a reference to each other value, paired by seed.

    .. math:: b_s = \frac{\sum_f (f - \bar f) \log y_{s,f}}{\sum_f (f - \bar f)^2} \qquad\text{or}\qquad
              b_{s,f} = \log y_{s,f} - \log y_{s,\text{reference}}

    Seeds share their data and first weights between values of the field, so that what they differ in cancels out.
    For one number of a boundary with several columns, take the mean over them first, of logarithms:
    ``sensitivity(np.log(edge).mean("sigma_p", skipna=False), "prune_every", scale="linear")``.

    Args:
        boundary: from `edge`; dimensions field, seed and any others. NaN is left out.
        field: the dimension of the field that was swept, e.g. ``"prune_every"``.
        reference: a value of the field to start from, for names, truth values and fields without a straight line; by
            default the slope over all values, which are numbers then.
        scale: ``"log"``: the change is one of the boundary's logarithm, 0.01 about one percent; ``"linear"``: of
            itself.
        coverage: of the intervals over seeds, between 0 and 1.

    Returns:
        Dataset on the other dimensions (and field, without the reference, if there is one): ``change`` with its t
        interval ``low`` and ``high``, and ``seeds``, how many have one: both values, or two or more for a slope.

    Raises:
        ValueError: if a dimension is missing, the boundary has no such logarithm or is not finite, the field is not
            numeric or has one value and no reference is given, or the reference is none of its values.

    Example:
        >>> import xarray as xr
        >>> edge = xr.DataArray([[10.0, 20.0, 40.0], [11.0, 22.0, 44.0]], dims=("seed", "prune_every"),
        ...                     coords={"prune_every": [1, 2, 3]})
        >>> found = sensitivity(edge, "prune_every")
        >>> round(float(np.exp(found.change)), 6), found.attrs["per"]
        (2.0, '1 prune_every')
        >>> sensitivity(edge, "prune_every", reference=1, scale="linear").change.values.tolist()
        [10.5, 31.5]
    """
    check_coverage(coverage)
    if field == "seed" or not {field, "seed"} <= set(boundary.dims):
        raise ValueError(f"field: {field!r} of a boundary with {sizes(boundary)}; allowed: a dimension beside seed")
    numbers = real("boundary", boundary.values).astype(float)
    fitting("boundary", numbers[~np.isnan(numbers)], scale)
    y = boundary.copy(data=transform(scale)(numbers))
    if reference is None:
        change, per = _slope(y, field), f"1 {field}"
    else:
        labels = boundary[field].values.tolist()
        if labels.count(reference) != 1:
            raise ValueError(f"reference: {reference!r}; allowed: one value of {field}: {', '.join(map(str, labels))}")
        at = labels.index(reference)
        rest = [i for i in range(len(labels)) if i != at]
        change, per = y.isel({field: rest}) - y.isel({field: at}, drop=True), f"{field} {reference}"
    found = interval(change, "seed", coverage, "linear")
    variables = {"change": found["mean"], "low": found["low"], "high": found["high"], "seeds": change.count("seed")}
    attrs = {"field": field, "per": per, "scale": scale, "coverage": coverage}
    return xr.Dataset(variables, attrs=attrs)


def _slope(y: xr.DataArray, field: str) -> xr.DataArray:
    """Of least squares over the field; NaN with fewer than two different values of it."""
    values = y[field].values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"field: {field!r}, {values.dtype}; allowed: numbers, or a reference to compare with")
    at = fitting(f"field, the coordinate {field!r}", values, "linear")
    if len(np.unique(at)) < 2:
        raise ValueError(f"field: {field!r} is {', '.join(map(str, at))} alone; allowed: two or more different numbers")
    x = xr.DataArray(at, dims=field).where(y.notnull())
    with np.errstate(invalid="ignore"):
        off = x - x.sum(field) / x.count(field)
        spread = (off**2).sum(field)
        return ((off * y).sum(field) / spread).where(spread > 0)
