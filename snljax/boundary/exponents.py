"""How a boundary scales with several parameters at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from snljax.boundary.fits import Fit, summary
from snljax.boundary.scales import check_coverage, fitting
from snljax.stats import real


def scaling(boundary: xr.DataArray, parameters: Sequence[str] | None = None, *, coverage: float = 0.95) -> Fit:
    r"""The exponents of all parameters in a boundary, by one least squares in logarithms for each seed.

    .. math:: \log y = \log c + \sum_i e_i \log p_i

    Args:
        boundary: from `edge`, positive; one dimension ``seed`` (or none), the others along the parameters. NaN is
            left out: the parameters need not form a full grid.
        parameters: coordinates of the boundary with positive values, one or more along its dimensions (axes that were
            swept together have several); by default all dimensions but ``seed``.
        coverage: of the intervals over seeds, between 0 and 1.

    Returns:
        Fit, whose constants are ``constant`` (c, the boundary where all parameters are 1) and the exponents, each by
        the parameter's name; ``function`` takes a mapping of parameters first. Seeds whose places do not tell all
        exponents apart are left out.

    Raises:
        ValueError: if a parameter is no coordinate or not positive, the boundary is not positive, coverage is
            another, or no places could tell the exponents apart: a parameter has one value alone, or is a product of
            powers of the others.

    Example:
        >>> import xarray as xr
        >>> n, mu = xr.DataArray([10.0, 20, 40], dims="n"), xr.DataArray([1.0, 2], dims="mu")
        >>> edge = (3 * n**0.5 * mu**2).assign_coords(n=n, mu=mu)
        >>> {name: round(c.mean, 6) for name, c in scaling(edge).constants.items()}
        {'constant': 3.0, 'n': 0.5, 'mu': 2.0}
    """
    check_coverage(coverage)
    boundary = boundary if "seed" in boundary.dims else boundary.expand_dims("seed")
    if isinstance(parameters, str):
        raise ValueError(f"parameters: {parameters!r}; allowed: several names, in a list")
    names = [str(d) for d in boundary.dims if d != "seed"] if parameters is None else [*parameters]
    others = [d for d in boundary.dims if d != "seed"]
    for name in names:
        if name == "constant" or not (name in boundary.coords or name in others) or "seed" in boundary[name].dims:
            known = ", ".join(str(c) for c in boundary.coords if c != "seed") or "none here"
            raise ValueError(f"parameters: {name!r} is no coordinate for this; allowed: {known}")
    if not names or len({*names}) < len(names):
        raise ValueError(f"parameters: {', '.join(names) or 'none'}; allowed: one or more different ones")
    boundary = boundary.transpose("seed", *others)
    rows = real("boundary", boundary.values).astype(float).reshape(boundary.sizes["seed"], -1)
    fitting("boundary", rows[~np.isnan(rows)], "log")
    place = boundary.isel(seed=0, drop=True)
    columns = [np.ones(place.size)]
    for name in names:
        fitting(f"parameters, the coordinate {name!r}", np.asarray(boundary[name].values), "log")
        columns.append(np.log(xr.broadcast(boundary[name].astype(float), place)[0].transpose(*others).values.ravel()))
    design = np.stack(columns, 1)
    _check_apart(names, design[~np.isnan(rows).all(0)])
    values, left = np.full((len(rows), len(names) + 1), np.nan), np.full(rows.shape, np.nan)
    for i, row in enumerate(rows):
        good = ~np.isnan(row)
        if _rank(design[good]) == design.shape[1]:
            found = np.linalg.lstsq(design[good], np.log(row[good]))[0]
            left[i, good] = np.log(row[good]) - design[good] @ found
            values[i] = found
    with np.errstate(over="ignore"):
        values[:, 0] = np.exp(values[:, 0])
    residuals = boundary.copy(data=left.reshape(boundary.shape)).rename("residual").drop_attrs(deep=False)

    def function(at: Mapping[str, Any], constant: float, *exponents: float) -> Any:
        factors = [np.asarray(at[name], float) ** e for name, e in zip(names, exponents, strict=True)]
        return constant * np.prod(np.broadcast_arrays(*factors), 0)

    form = " · ".join(["constant", *(f"{name}^e" for name in names)])
    return summary(form, ["constant", *names], function, values, boundary, residuals, "log", coverage)


def _check_apart(names: list[str], design: np.ndarray) -> None:
    """ValueError if the places with a boundary leave an exponent open."""
    if len(design) == 0:
        return  # no boundary anywhere: all is NaN
    for i, name in enumerate(names, 1):
        if len(np.unique(design[:, i])) == 1:
            only = np.exp(design[0, i])
            raise ValueError(f"parameters: {name!r} is {only:.6g} wherever there is a boundary; allowed: two values")
    if _rank(design) < design.shape[1]:
        text = f"parameters: {', '.join(names)} on {len(np.unique(design, axis=0))} different places"
        raise ValueError(f"{text}, which leave exponents open; allowed: parameters that vary on their own")


def _rank(design: np.ndarray) -> int:
    """Of the parameters about their means in units of their spread, so that no unit decides; 1 for the constant."""
    if len(design) == 0:
        return 0
    centred = design[:, 1:] - design[:, 1:].mean(0)
    spread = np.sqrt((centred**2).mean(0))
    varied = spread > 1e-9 * np.maximum(1, np.abs(design[:, 1:]).max(0))
    return 1 + int(np.linalg.matrix_rank(centred[:, varied] / spread[varied], tol=1e-8 * np.sqrt(len(design))))
