"""Bands: what they are cell by cell, and how often they cover a boundary that is known."""

import sys

import numpy as np
import pytest
import xarray as xr
from harness import ROOT
from scipy import stats as reference

from snljax import boundary, stats

sys.path.insert(0, str(ROOT / "benchmarks"))
import bands as simulated


def _seeds(side=12, seeds=5, name="test_loss"):
    return simulated.simulate(simulated.SURFACES["diagonal"], seeds, 1, side)[0].rename(name)


def test_a_band_is_the_intervals_and_the_side_they_lie_on():
    loss = _seeds()
    found, expected = boundary.band(loss, 2.0, coverage=0.9), stats.interval(loss, level=0.9)
    for name in ("mean", "low", "high"):
        np.testing.assert_array_equal(found[name], expected[name])
    above, below = (expected["low"] >= 2.0).values, (expected["high"] < 2.0).values
    np.testing.assert_array_equal(found.side == 1, above)
    np.testing.assert_array_equal(found.side == -1, below)
    assert 0 < (found.side == 0).mean() < 0.5
    assert min(above.sum(), below.sum()) > 10
    assert found.side.dtype == np.int8
    assert found.attrs["scale"] == "log"
    assert found.attrs["pointwise"] == found.attrs["coverage"] == 0.9


def test_a_single_seed_is_sure_of_nothing():
    for of in ("point", "line"):
        found = boundary.band(_seeds(seeds=1), 2.0, of=of)
        assert found["low"].isnull().all()
        assert (found.side == 0).all()


def test_cells_that_were_not_trained_are_on_no_side():
    loss = _seeds()
    found = boundary.band(loss.where(loss.x > 1), 2.0, of="line")
    assert (found.side == 0).where(found.x <= 1, True).all()
    assert set(np.unique(found.side.where(found.x > 1, 0))) == {-1, 0, 1}


def test_the_band_of_a_whole_line_holds_that_of_its_points():
    loss = _seeds()
    point, line = (boundary.band(loss, 2.0, of=of) for of in ("point", "line"))
    assert (line["low"] < point["low"]).all()
    assert (line["high"] > point["high"]).all()
    assert 0.95 < line.attrs["pointwise"] < 1
    again = stats.interval(loss, level=line.attrs["pointwise"])
    np.testing.assert_array_equal(line["low"], again["low"])


def test_seeds_that_differ_by_a_constant_have_a_line_as_sure_as_a_point():
    """Their residuals never turn: one open line is one draw, whatever its length, and of two, each may miss."""
    at = np.linspace(-1, 1, 21)
    shifts = xr.DataArray([-0.2, 0.1, 0.0, 0.15, -0.05], dims="seed")
    x, y = xr.DataArray(at, dims="x"), xr.DataArray(at, dims="y")
    for surface, pointwise in ((x + y, 0.9), (x**2 + y**2 - 0.5, 0.9), (y**2 - 0.3 + 0 * x, 0.95)):
        found = boundary.band((surface + shifts).assign_coords(x=at, y=at), 0.01, of="line", coverage=0.9)
        assert found.attrs["pointwise"] == pytest.approx(pointwise, abs=1e-9)


def test_seeds_whose_residuals_turn_by_a_known_angle():
    """A straight line along which the five residuals turn by 2 radians in their space: its length L₁ is 2."""
    x = np.linspace(0, 2, 81)
    basis = np.array([[1.0, -1, 0, 0, 0], [1, 1, -2, 0, 0]])
    one, other = basis / np.sqrt((basis**2).sum(1, keepdims=True))
    residuals = one[:, None] * np.cos(x) + other[:, None] * np.sin(x)
    y = np.linspace(-1, 1, 20)
    values = xr.DataArray(y[:, None] + residuals[:, None], dims=("seed", "y", "x"), coords={"x": x, "y": y})
    never = xr.full_like(values, np.nan)  # seeds that were not trained here
    for given in (values, xr.concat([values, never], "seed")):
        u = reference.t.ppf((1 + boundary.band(given, 0.0, of="line").attrs["pointwise"]) / 2, 4)
        exceeded = reference.t.sf(u, 4) + 2 / (2 * np.pi) * (1 + u**2 / 4) ** (-3 / 2)
        assert 2 * exceeded == pytest.approx(0.05, rel=1e-3)


def test_the_longer_the_line_and_the_less_alike_its_points_the_wider():
    """Noise of its own in every cell: a little wider than Bonferroni's correction over the cells of the line."""
    rng, side, seeds = np.random.default_rng(0), 41, 20
    at = np.linspace(-1, 1, side)
    noise = xr.DataArray(rng.normal(size=(seeds, side, side)), dims=("seed", "y", "x"), coords={"x": at, "y": at})
    steep = (20 * noise.y + 0 * noise).transpose("seed", "y", "x") + 0.1 * noise
    found = {width: boundary.band(steep[:, :, :width], 0.0, of="line").attrs["pointwise"] for width in (2, 5, 41)}
    assert found[2] < found[5] < found[41]
    width = float(reference.t.ppf((1 + found[41]) / 2, seeds - 1))
    bonferroni = float(reference.t.ppf(1 - 0.05 / 2 / 41, seeds - 1))
    assert bonferroni < width < 1.15 * bonferroni


@pytest.mark.parametrize("name", [name for name in simulated.SURFACES if name != "none"])
def test_the_surfaces_are_at_the_level_on_their_lines(name):
    surface = simulated.SURFACES[name]
    u, v = surface.line.T
    assert len(u) > 200
    np.testing.assert_allclose(surface.height(u, v), 0, atol=2e-3)
    columns = surface.columns(np.linspace(-0.95, 0.95, 20))
    heights = surface.height(np.linspace(-0.95, 0.95, 20), columns)
    np.testing.assert_allclose(heights[np.isfinite(columns)], 0, atol=1e-12)


@pytest.mark.parametrize("name", ["two boundaries", "island", "diagonal", "cusp"])
def test_bands_cover_the_true_boundary_as_often_as_they_say(name):
    """30 data sets of 6 seeds. Points: about 5 of a line are independent, and ±3.5 % are two standard errors. Lines:
    23 or more of 30, or a coverage of 90 % would have a probability below 2.5 %."""
    sets = 30
    found = simulated.measure(simulated.SURFACES[name], 6, sets, side=20)
    assert found["band_of_a_point"]["points"] == pytest.approx(0.95, abs=0.035)
    assert 0.9 < found["columns"] < 0.99
    whole = round(sets * found["band_of_a_line"]["whole_line"])
    assert reference.binom.cdf(whole, sets, 0.9) > 0.025
    assert found["band_of_a_point"]["whole_line"] < 0.85  # which is why there is the other band
    assert found["error_in_cells"]["median"] < 0.6
    assert found["sure_of_a_boundary"]["point"] == 1.0


def test_where_there_is_no_boundary_seeds_are_seldom_sure_of_one():
    """The mean is closer to the level than its own spread, so that it often crosses. Of 30 data sets, 5 or more
    have a probability of 1.6 % at a rate of 5 %."""
    found = simulated.measure(simulated.SURFACES["none"], 6, 30, side=20)
    assert found["the_mean_has_a_line"] > 0.3
    assert found["sure_of_a_boundary"]["point"] <= 4 / 30
    assert found["sure_of_a_boundary"]["line"] <= found["sure_of_a_boundary"]["point"]


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"level": np.nan}, ["level: nan", "finite"]),
        ({"coverage": 95}, ["coverage: 95", "between 0 and 1"]),
        ({"of": "plane"}, ["of: 'plane'", "point, line"]),
        ({"over": "network"}, ["'network'", "y, x"]),
        ({"over": "network", "of": "line"}, ["seed (5), y (12), x (12)", "network and two other"]),
        ({"scale": "sqrt"}, ["scale: 'sqrt'"]),
    ],
)
def test_what_a_band_refuses(one_line, change, texts):
    given = {"level": 2.0} | change
    one_line(lambda: boundary.band(_seeds(), **given), *texts)
    one_line(
        lambda: boundary.band(_seeds().isel(x=0), 2.0, of="line"), "seed (5), y (12)", "seed and two other dimensions"
    )
