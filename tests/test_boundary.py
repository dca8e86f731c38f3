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


def test_a_crossing_is_a_place_on_the_axis_and_is_called_so():
    loss = _loss().rename("test_loss").assign_attrs(long_name="test loss")
    loss.K.attrs["long_name"] = "weights kept"
    edge = boundary.extract(loss, "K", 2.0, "upper")
    assert (edge.name, edge.attrs, edge.dims) == ("K", {"long_name": "weights kept"}, ("sigma_p", "seed"))
    assert list(edge.coords) == ["sigma_p", "seed"]


def test_intervals_come_from_the_spread_over_seeds():
    constants = np.array([90.0, 95.0, 100.0])
    law = boundary.fit_power_law(boundary.extract(_loss(constants, seeds=3), "K", 2.0, "upper"), "sigma_p")
    half = 4.302652729911275 * constants.std(ddof=1) / np.sqrt(3)  # t quantile .975 at 2 degrees of freedom
    np.testing.assert_allclose([law.constant.low, law.constant.high], [95 - half, 95 + half], rtol=1e-6)
    np.testing.assert_allclose(law.exponent[:3], [-2.0, -2.0, -2.0], rtol=1e-6)
    assert law.exponent.kind == "95 % t"


def test_lower_and_upper_are_told_apart_and_missing_ones_are_nan():
    k = np.arange(1.0, 8.0)
    rows = np.array([[3, 1, 3, 1, 1, 3, 4], [1, 1, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3.0]])
    loss = xr.DataArray(rows, dims=("case", "K"), coords={"K": k})
    np.testing.assert_allclose(boundary.extract(loss, "K", 2.0, "upper"), [5.5, np.nan, np.nan])
    np.testing.assert_allclose(boundary.extract(loss, "K", 2.0, "lower"), [1.5, np.nan, np.nan])


def test_diverged_cells_do_not_make_a_boundary():
    loss = xr.DataArray([1.0, np.nan, 3.0], dims="K", coords={"K": [1, 2, 3]})
    assert np.isnan(boundary.extract(loss, "K", 2.0, "upper"))


@pytest.mark.parametrize(
    ("row", "upper", "lower"),
    [
        ([1, 3, 1, np.nan, 3], np.nan, 25),
        ([1, 3, 1, np.nan, np.nan], np.nan, 25),
        ([1, 3, np.nan, 3], 15, np.nan),
        ([1, 3, np.nan], 15, np.nan),
        ([np.nan, 1, 3, 1], 25, np.nan),
        ([np.nan, 3, 1], np.nan, 25),
        ([3, np.nan, 1, 3, 1, 1], 35, np.nan),
        ([1, np.nan, 1, 3], 35, np.nan),
        ([np.nan, np.nan], np.nan, np.nan),
        ([1, np.inf], np.nan, np.nan),
        ([-np.inf, 3, 1], np.nan, 25),
        ([1, 3, np.inf, 3, -np.inf, 1], 15, np.nan),
    ],
)
def test_unknown_and_infinite_cells(row, upper, lower):
    """Between 1 and 3 the threshold 2 is in the middle; cells at 10, 20 and so on."""
    loss = xr.DataArray(np.array(row, float), dims="K", coords={"K": 10 * np.arange(1, len(row) + 1)})
    np.testing.assert_array_equal(boundary.extract(loss, "K", 2.0, "upper"), upper)
    np.testing.assert_array_equal(boundary.extract(loss, "K", 2.0, "lower"), lower)


def _last_rise(position, row, threshold):
    """The rule of "upper", cell by cell from the end; "lower" is its mirror image."""
    right, gap = None, False
    for i in reversed(range(len(row))):
        if np.isnan(row[i]):
            gap = True
            continue
        if row[i] < threshold:
            if right is None and gap:
                return np.nan
            if right is not None and row[right] >= threshold:
                unplaced = gap or np.isinf(row[i]) or np.isinf(row[right])
                pair = [i, right]
                return np.nan if unplaced else np.interp(threshold, row[pair], position[pair])
        right, gap = i, False
    return np.nan


@pytest.mark.parametrize("special", [0.0, 0.2])
def test_crossings_of_random_rows(special):
    """As the rule says, cell by cell; where all cells are known, without regard to unknown ones."""
    rng = np.random.default_rng(0)
    rows = rng.choice([0.0, 1.0, 2.0, 3.0, 5.0], (2000, 7))
    odd = rng.choice([np.nan, np.nan, np.inf, -np.inf], rows.shape)
    rows = np.where(rng.random(rows.shape) < special, odd, rows)
    position = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0])
    loss = xr.DataArray(rows, dims=("case", "K"), coords={"K": position})
    upper, lower = (boundary.extract(loss, "K", 2.0, side).values for side in ("upper", "lower"))
    np.testing.assert_allclose(upper, [_last_rise(position, row, 2.0) for row in rows])
    np.testing.assert_allclose(lower, [-_last_rise(-position[::-1], row[::-1], 2.0) for row in rows])
    assert min(np.isfinite(upper).mean(), np.isfinite(lower).mean()) > 0.3
    if not special:
        rises = (rows[:, :-1] < 2) & (rows[:, 1:] >= 2)
        np.testing.assert_array_equal(np.isfinite(upper), rises.any(1))
        np.testing.assert_array_equal(np.isfinite(lower), ((rows[:, :-1] >= 2) & (rows[:, 1:] < 2)).any(1))


def test_whole_numbers_do_not_wrap_around():
    loss = xr.DataArray(np.array([3, 1, 3], np.uint8), dims="K")
    assert float(boundary.extract(loss, "K", 2.0, "lower")) == 0.5
    assert float(boundary.extract(loss, "K", np.array(2), "upper")) == 1.5


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"side": "Upper"}, ["side: 'Upper'", "upper, lower"]),
        ({"side": None}, ["side: None"]),
        ({"threshold": np.nan}, ["threshold: nan", "finite"]),
        ({"threshold": -np.inf}, ["threshold: -inf"]),
        ({"threshold": "2"}, ["threshold: '2'"]),
        ({"threshold": 2 + 0j}, ["threshold: (2+0j)"]),
        ({"threshold": [1.0, 2.0]}, ["threshold: [1.0, 2.0]"]),
        ({"along": "step"}, ["along: 'step'", "K"]),
        ({"values": [1j, 2.0]}, ["values: complex128", "real numbers"]),
        ({"values": ["1", "3"]}, ["values: <U1"]),
        ({"K": ["a", "b"]}, ["along", "'K'", "<U1", "real numbers"]),
        ({"K": np.array(["2020", "2021"], "M8[ns]")}, ["along", "'K'", "datetime64"]),
        ({"K": [2, 1]}, ["along", "'K'", "does not ascend"]),
        ({"K": [1, np.inf]}, ["along", "'K'", "does not ascend"]),
    ],
)
def test_what_extract_refuses(one_line, change, texts):
    given = {"values": [1.0, 3.0], "K": [1, 2], "along": "K", "threshold": 2.0, "side": "upper"} | change
    values = xr.DataArray(given["values"], dims="K", coords={"K": given["K"]})
    one_line(lambda: boundary.extract(values, given["along"], given["threshold"], given["side"]), *texts)


def _edge(y, x, dims=("seed", "x"), **coords):
    return xr.DataArray(np.array(y), dims=dims, coords={"x": x} | coords)


@pytest.mark.parametrize(
    ("y", "x", "texts"),
    [
        ([[0.0, 1, 2]], [1.0, 2, 3], ["boundary: 0.0", "positive, finite"]),
        ([[1.0, 1, 2], [1, -2, 4]], [1.0, 2, 3], ["boundary: -2.0", "positive"]),
        ([[1.0, np.inf, 2]], [1.0, 2, 3], ["boundary: inf", "finite"]),
        ([[1.0, 1j, 2]], [1.0, 2, 3], ["boundary: complex128", "real numbers"]),
        ([[1.0, 1, 2]], [0.0, 2, 3], ["x, the coordinate 'x': 0.0", "positive"]),
        ([[1.0, 1, 2]], [1.0, -2, 3], ["x, the coordinate 'x': -2.0", "positive"]),
        ([[1.0, 1, 2]], [1.0, 2, np.inf], ["x, the coordinate 'x': inf", "finite"]),
        ([[1.0, 1, 2]], [1.0, 2, np.nan], ["x, the coordinate 'x': nan"]),
        ([[1.0, 1, 2]], ["a", "b", "c"], ["x, the coordinate 'x': <U1", "real numbers"]),
        ([[1.0, 1, 2]], [2.0, 2, 2], ["x, the coordinate 'x': 2.0 alone", "two or more different"]),
    ],
)
def test_what_a_fit_refuses(one_line, y, x, texts):
    one_line(lambda: boundary.fit_power_law(_edge(y, x), "x"), *texts)


def test_dimensions_of_a_fit(one_line):
    edge = _edge([[1.0, 2.0]], [1.0, 2.0])
    for name in ("q", "seed"):
        one_line(lambda name=name: boundary.fit_power_law(edge, name), f"x: {name!r}", "seed (1), x (2)")
    one_line(lambda: boundary.fit_power_law(edge.expand_dims(z=3), "x"), "z (3)", "alone")
    one_line(lambda: boundary.fit_power_law(edge, "x", level=95), "level: 95")
    assert boundary.fit_power_law(edge.isel(seed=0), "x").points == 2
    np.testing.assert_allclose(boundary.fit_power_law(edge, "x").exponent.mean, 1.0)


def test_seeds_with_one_x_alone_are_left_out():
    y = [[1.0, 2.0, np.nan], [np.nan, np.nan, 5.0], [3.0, np.nan, 12.0]]
    law = boundary.fit_power_law(_edge(y, [1.0, 1.0, 2.0], seed=[0, 0, 1]), "x")  # two seeds of one name
    np.testing.assert_allclose([law.constant.mean, law.exponent.mean], [3.0, 2.0])
    assert law.points == 2
    assert np.isnan(boundary.fit_power_law(_edge(y, [1.0, 1.0, 2.0])[:2], "x").exponent.mean)


@pytest.mark.parametrize("level", [0, 1, 1.0, -0.5, 95, np.nan, "0.9", None, [0.5, 0.9]])
def test_levels_are_between_0_and_1(one_line, level):
    one_line(lambda: boundary.fit_power_law(_edge([[1.0, 2.0]], [1.0, 2.0]), "x", level), f"level: {level!r}")


@pytest.mark.parametrize(("along", "message"), [("seed_", "no dimension"), ("sigma_p", "does not ascend")])
def test_bad_axis(along, message):
    loss = _loss().isel(sigma_p=slice(None, None, -1))
    with pytest.raises(ValueError, match=message):
        boundary.extract(loss, along, 2.0, "upper")
