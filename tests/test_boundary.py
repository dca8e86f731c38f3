"""Boundaries with known places and laws."""

import numpy as np
import pytest
import xarray as xr

from snljax import boundary


def _loss(constant=95.0, exponent=-2.0, seeds=1):
    """A loss that is exactly 2 on K = constant · sigma_p^exponent and linear in K."""
    sigma_p = np.array([0.8, 1.0, 1.5, 2.0])
    k = np.linspace(2, 200, 34)
    scale = np.asarray(constant) * np.ones(seeds)
    values = 2 * k[None, :, None] / (scale[None, None, :] * sigma_p[:, None, None] ** exponent)
    coords = {"sigma_p": sigma_p, "K": k, "seed": np.arange(seeds)}
    return xr.DataArray(values, dims=("sigma_p", "K", "seed"), coords=coords)


def test_upper_boundary_of_a_known_law():
    law = boundary.fit_power_law(boundary.extract(_loss(), "K", 2.0, "upper"), "sigma_p")
    np.testing.assert_allclose([law.constant.mean, law.exponent.mean], [95.0, -2.0], rtol=1e-6)
    assert law.points == 4


def test_intervals_come_from_the_spread_over_seeds():
    constants = np.array([90.0, 95.0, 100.0])
    law = boundary.fit_power_law(boundary.extract(_loss(constants, seeds=3), "K", 2.0, "upper"), "sigma_p")
    half = 4.302652729911275 * constants.std(ddof=1) / np.sqrt(3)  # t quantile .975 at 2 degrees of freedom
    np.testing.assert_allclose([law.constant.low, law.constant.high], [95 - half, 95 + half], rtol=1e-6)
    np.testing.assert_allclose(law.exponent, [-2.0, -2.0, -2.0], rtol=1e-6)


def test_lower_and_upper_are_told_apart_and_missing_ones_are_nan():
    k = np.arange(1.0, 8.0)
    rows = np.array([[3, 1, 3, 1, 1, 3, 4], [1, 1, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3.0]])
    loss = xr.DataArray(rows, dims=("case", "K"), coords={"K": k})
    np.testing.assert_allclose(boundary.extract(loss, "K", 2.0, "upper"), [5.5, np.nan, np.nan])
    np.testing.assert_allclose(boundary.extract(loss, "K", 2.0, "lower"), [1.5, np.nan, np.nan])


def test_diverged_cells_do_not_make_a_boundary():
    loss = xr.DataArray([1.0, np.nan, 3.0], dims="K", coords={"K": [1, 2, 3]})
    assert np.isnan(boundary.extract(loss, "K", 2.0, "upper"))


def test_interval_of_one_seed_has_no_ends():
    one = boundary.interval(np.array([4.0, np.nan]))
    assert one.mean == 4.0
    assert np.isnan(one.low)
    assert str(one) == "4"


@pytest.mark.parametrize(("along", "message"), [("seed_", "no dimension"), ("sigma_p", "does not ascend")])
def test_bad_axis(along, message):
    loss = _loss().isel(sigma_p=slice(None, None, -1))
    with pytest.raises(ValueError, match=message):
        boundary.extract(loss, along, 2.0, "upper")
