"""Crossings with known places, of one column, of seeds and of their mean."""

import numpy as np
import pytest
import xarray as xr

from snljax import boundary, stats
from snljax.boundary import FLAGS
from snljax.boundary.scales import is_geometric
from snljax.variables import DIVERGED, DONE, PENDING


def _row(values, at=None, name=None):
    values = np.array(values, float)
    return xr.DataArray(values, dims="K", coords={"K": np.arange(len(values)) if at is None else at}, name=name)


# --- one crossing of each column ---------------------------------------------------------------------


def test_a_crossing_is_a_place_on_the_axis_and_is_called_so():
    loss = xr.DataArray(np.ones((2, 3, 4)), dims=("sigma_p", "K", "seed"), name="test_loss")
    loss = loss.assign_coords(sigma_p=[1, 2], K=[1, 2, 3], seed=range(4)).assign_attrs(long_name="test loss")
    loss.K.attrs["long_name"] = "weights kept"
    edge = boundary.edge(loss, "K", 2.0, "upper")
    assert (edge.name, edge.attrs, edge.dims) == ("K", {"long_name": "weights kept"}, ("sigma_p", "seed"))
    assert list(edge.coords) == ["sigma_p", "seed"]


def test_lower_and_upper_are_told_apart_and_missing_ones_are_nan():
    k = np.arange(1.0, 8.0)
    rows = np.array([[3, 1, 3, 1, 1, 3, 4], [1, 1, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3.0]])
    loss = xr.DataArray(rows, dims=("case", "K"), coords={"K": k})
    np.testing.assert_allclose(boundary.edge(loss, "K", 2.0, "upper"), [5.5, np.nan, np.nan])
    np.testing.assert_allclose(boundary.edge(loss, "K", 2.0, "lower"), [1.5, np.nan, np.nan])


def test_falling_quantities_have_edges_too():
    """Where an accuracy is above its level, the error is below its own: the same edges, and NaN where it has none."""
    error = np.array([[3, 1, 3, 1, 1, 3, 4], [1, 1, 1, 3, 3, 3, 3], [3, 3, 3, 1, 1, 1, 1], [1] * 7, [3] * 7])
    error = xr.DataArray(error, dims=("case", "K"), coords={"K": np.arange(1.0, 8.0)})
    for side in ("upper", "lower"):
        for beyond in (False, True):
            found = boundary.edge(4.5 - error, "K", 2.5, side, inside="above", beyond=beyond)
            np.testing.assert_allclose(found, boundary.edge(error, "K", 2.0, side, beyond=beyond))
    falling = _row([1.0, 0.9, 0.5, 0.1], [10, 20, 30, 40], "accuracy")
    assert float(boundary.edge(falling, "K", 0.7, "upper", inside="above")) == 25.0
    found = boundary.extract(falling, "K", 0.7)
    assert (found.K.values.tolist(), found.rising.values.tolist()) == ([25.0], [-1])


@pytest.mark.parametrize(
    ("row", "upper", "lower"),
    [
        ([1, 1, 3], 25, -np.inf),
        ([3, 1, 1], np.inf, 15),
        ([1, 1, 1], np.inf, -np.inf),
        ([3, 3, 3], -np.inf, np.inf),
        ([1, 3, 1], 15, 25),
        ([1, np.nan, 1], np.inf, -np.inf),  # which holds none
        ([1, 1, np.nan], np.nan, np.nan),
        ([np.nan, 3, 3], np.nan, np.nan),
        ([1, np.nan, 3], np.nan, np.nan),
        ([np.nan] * 3, np.nan, np.nan),
    ],
)
def test_edges_that_are_not_within_the_axis_lie_beyond_one_of_its_ends(row, upper, lower):
    for side, expected in (("upper", upper), ("lower", lower)):
        values = xr.concat([_row(row, [10, 20, 30]), _row([3, 1, 3], [10, 20, 30])], "case")
        found = boundary.edge(values, "K", 2.0, side, beyond=True)
        np.testing.assert_array_equal(found, [expected, 25.0 if side == "upper" else 15.0])
        without = boundary.edge(values, "K", 2.0, side)
        np.testing.assert_array_equal(without[0], expected if np.isfinite(expected) else np.nan)


def test_an_accuracy_without_edges_because_it_falls_is_said():
    falling = _row([1.0, 0.9, 0.5, 0.1], name="test_accuracy")
    with pytest.warns(UserWarning, match=r"test_accuracy nowhere rises to 0.7 along K; .* inside='above'"):
        assert np.isnan(boundary.edge(falling, "K", 0.7, "upper"))
    with pytest.warns(UserWarning, match=r"nowhere falls below 0.7"):
        assert np.isnan(boundary.edge(falling[::-1].assign_coords(K=falling.K), "K", 0.7, "lower"))
    for quiet in (falling.rename("loss"), 7 + falling):  # which may well have none
        assert np.isnan(boundary.edge(quiet, "K", 0.7, "upper"))
    assert np.isnan(boundary.edge(falling, "K", 0.7, "upper", inside="below"))


@pytest.mark.parametrize("inside", ["over", 1])
def test_sides_of_a_level(one_line, inside):
    one_line(lambda: boundary.edge(_row([1.0, 3.0]), "K", 2.0, "upper", inside=inside), f"inside: {inside!r}")


def test_diverged_cells_do_not_make_a_boundary():
    assert np.isnan(boundary.edge(_row([1.0, np.nan, 3.0]), "K", 2.0, "upper"))


UNKNOWN_AND_INFINITE = [
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
]


@pytest.mark.parametrize(("row", "upper", "lower"), UNKNOWN_AND_INFINITE)
def test_unknown_and_infinite_cells(row, upper, lower):
    """Between 1 and 3 the level 2 is in the middle; cells at 10, 20 and so on."""
    loss = _row(row, 10 * np.arange(1, len(row) + 1))
    np.testing.assert_array_equal(boundary.edge(loss, "K", 2.0, "upper"), upper)
    np.testing.assert_array_equal(boundary.edge(loss, "K", 2.0, "lower"), lower)


def _last_rise(position, row, level):
    """The rule of "upper", cell by cell from the end; "lower" is its mirror image."""
    right, gap = None, False
    for i in reversed(range(len(row))):
        if np.isnan(row[i]):
            gap = True
            continue
        if row[i] < level:
            if right is None and gap:
                return np.nan
            if right is not None and row[right] >= level:
                unplaced = gap or np.isinf(row[i]) or np.isinf(row[right])
                pair = [i, right]
                return np.nan if unplaced else np.interp(level, row[pair], position[pair])
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
    upper, lower = (boundary.edge(loss, "K", 2.0, side).values for side in ("upper", "lower"))
    np.testing.assert_allclose(upper, [_last_rise(position, row, 2.0) for row in rows])
    np.testing.assert_allclose(lower, [-_last_rise(-position[::-1], row[::-1], 2.0) for row in rows])
    assert min(np.isfinite(upper).mean(), np.isfinite(lower).mean()) > 0.3
    found = boundary.extract(loss, "K", 2.0)
    if not special:
        rises = (rows[:, :-1] < 2) & (rows[:, 1:] >= 2)
        falls = (rows[:, :-1] >= 2) & (rows[:, 1:] < 2)
        np.testing.assert_array_equal(np.isfinite(upper), rises.any(1))
        np.testing.assert_array_equal(np.isfinite(lower), falls.any(1))
        np.testing.assert_array_equal((found.rising == 1).sum("crossing"), rises.sum(1))
        np.testing.assert_array_equal((found.rising == -1).sum("crossing"), falls.sum(1))
        np.testing.assert_array_equal(found.flag == FLAGS["found"], (rises | falls).any(1))
    complete = np.isin(found.flag, [FLAGS["found"], FLAGS["none"]])
    assert 0.2 < complete.mean() <= 1
    last = found.K.where(found.rising == 1).max("crossing")
    first = found.K.where(found.rising == -1).min("crossing")
    np.testing.assert_array_equal(last[complete], upper[complete])
    np.testing.assert_array_equal(first[complete], lower[complete])


def test_whole_numbers_do_not_wrap_around():
    loss = xr.DataArray(np.array([3, 1, 3], np.uint8), dims="K")
    assert float(boundary.edge(loss, "K", 2.0, "lower")) == 0.5
    assert float(boundary.edge(loss, "K", np.array(2), "upper")) == 1.5
    np.testing.assert_array_equal(boundary.extract(loss, "K", 2.0).K, [0.5, 1.5])


# --- all of them -------------------------------------------------------------------------------------


def test_all_crossings_in_order_with_their_direction():
    found = boundary.extract(xr.concat([_row([3, 1, 3, 1, 1, 3]), _row([1, 3, 3, 3, 3, 3])], "mu"), "K", 2.0)
    assert dict(found.sizes) == {"mu": 2, "crossing": 4}
    np.testing.assert_array_equal(found.K, [[0.5, 1.5, 2.5, 4.5], [0.5, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(found.rising, [[-1, 1, -1, 1], [1, 0, 0, 0]])
    assert found.rising.dtype == found.flag.dtype == np.int8


def test_crossings_of_a_polynomial():
    at = np.linspace(-2, 2, 401)
    found = boundary.extract(_row((at + 1.5) * (at - 0.25) * (at - 1), at), "K", 0.0)
    np.testing.assert_allclose(found.K, [-1.5, 0.25, 1], atol=1e-4)
    assert found.rising.values.tolist() == [1, -1, 1]


def test_a_level_that_no_column_crosses():
    found = boundary.extract(_row([1, 1]), "K", 2.0)
    assert dict(found.sizes) == {"crossing": 0}
    assert int(found.flag) == FLAGS["none"]


@pytest.mark.parametrize(
    ("row", "status", "flag"),
    [
        ([1, 1, 1], None, "none"),
        ([1, 3, 3], None, "found"),
        ([1, np.nan, 1], [DONE, PENDING, DONE], "none"),
        ([1, 3, np.nan, 3], [DONE, DONE, DIVERGED, DONE], "found"),
        ([1, np.nan, 3], [DONE, PENDING, DONE], "pending"),
        ([1, np.nan, 3], [DONE, DIVERGED, DONE], "diverged"),
        ([1, np.nan, 3], [DONE, DONE, DONE], "unknown"),
        ([1, np.nan, 3], None, "unknown"),
        ([1, np.nan, np.nan, 3], [DONE, DIVERGED, PENDING, DONE], "pending"),
        ([np.nan, 1, 3], [DIVERGED, DONE, DONE], "diverged"),
        ([1, 3, np.nan], [DONE, DONE, PENDING], "pending"),
        ([np.nan, 1, np.nan, 1], [DIVERGED, DONE, PENDING, DONE], "diverged"),
        ([np.nan, np.nan], [DIVERGED, DIVERGED], "diverged"),
        ([1, np.inf], [DONE, DONE], "unknown"),
    ],
)
def test_flags_say_what_can_hide_a_crossing(row, status, flag):
    status = None if status is None else xr.DataArray(np.array(status, np.int8), dims="K")
    found = boundary.extract(_row(row), "K", 2.0, status=status)
    assert int(found.flag) == FLAGS[flag]
    meanings = dict(zip(found.flag.flag_meanings.split(), found.flag.flag_values, strict=True))
    assert meanings == FLAGS


def test_a_crossing_that_has_no_place_is_there():
    found = boundary.extract(_row([1, np.nan, 3, 1]), "K", 2.0)
    np.testing.assert_array_equal(found.K, [np.nan, 2.5])
    assert found.rising.values.tolist() == [1, -1]


def test_the_mean_s_cell_is_diverged_if_a_seed_is():
    status = xr.DataArray(np.array([[DONE, DIVERGED, PENDING], [DONE, PENDING, PENDING]]), dims=("seed", "K"))
    for cell, flag in ((1, "diverged"), (2, "pending")):
        row = _row([1, 3, 3]).where(_row([0, 1, 2]) < cell)
        whole = xr.concat([status.isel(K=[0] * cell), status.isel(K=[cell] * (3 - cell))], "K")
        assert int(boundary.extract(row, "K", 2.0, status=whole).flag) == FLAGS[flag]


def test_sides_of_cells_that_were_not_trained():
    """Of a traced diagram only cells near the line have a value; where it is known on which side the rest lies, nothing
    hides there. A diverged cell stays unknown, whatever its side."""
    traced = _row([np.nan, np.nan, 1, 3, np.nan])
    sides = xr.DataArray(np.array([-1, -1, -1, 1, 1], np.int8), dims="K")
    status = xr.DataArray(np.array([PENDING, PENDING, DONE, DONE, PENDING]), dims="K")

    def flag(**given):
        found = boundary.extract(traced, "K", 2.0, **({"status": status, "sides": sides} | given))
        assert float(found.K[0]) == 2.5
        return int(found.flag)

    assert flag(sides=None) == FLAGS["pending"]
    assert flag() == FLAGS["found"]
    assert flag(sides=sides.where(sides.K != 4, 0)) == FLAGS["pending"]
    assert flag(status=status.where(status.K != 4, DIVERGED)) == FLAGS["diverged"]
    other = boundary.extract(traced, "K", 2.0, sides=sides.where(sides.K != 4, -1))
    np.testing.assert_array_equal(other.K, [2.5, np.nan])  # it falls again, and nobody knows where
    assert other.rising.values.tolist() == [1, -1]
    by_column = boundary.extract(xr.concat([traced, traced], "mu"), "K", 2.0, sides=sides)
    assert by_column.flag.values.tolist() == [FLAGS["found"]] * 2


# --- logarithms --------------------------------------------------------------------------------------


def test_interpolation_in_logarithms_finds_power_laws_exactly():
    """loss = 2 (K / 30)² is a straight line if both are logarithms, whatever the cells."""
    at = np.array([10.0, 20, 40, 80])
    loss = _row(2 * (at / 30) ** 2, at, "test_loss")
    assert float(boundary.edge(loss, "K", 2.0, "upper")) == pytest.approx(30, rel=1e-12)
    assert float(boundary.extract(loss, "K", 2.0).K[0]) == pytest.approx(30, rel=1e-12)
    share = (2 - loss.values[1]) / (loss.values[2] - loss.values[1])
    linear = boundary.edge(loss, "K", 2.0, "upper", scale="linear", log_axes=())
    assert float(linear) == pytest.approx(20 + 20 * share)
    of_axis = boundary.edge(loss, "K", 2.0, "upper", scale="linear", log_axes=("K",))
    assert float(of_axis) == pytest.approx(20 * 2**share)


@pytest.mark.parametrize(
    ("name", "values", "at", "expected"),
    [
        ("test_loss", [1.0, 4.0], [1.0, 3.0], 2.0),  # the logarithm of 2 is half way
        ("regression_mse", [1.0, 4.0], [1.0, 3.0], 2.0),
        ("signal", [1.0, 4.0], [1.0, 3.0], 1 + 2 / 3),
        (None, [1.0, 4.0], [1.0, 3.0], 1 + 2 / 3),
        ("test_loss", [0.0, 4.0], [1.0, 3.0], 2.0),  # no logarithm of 0: half way to 4 itself
        ("signal", [1.0, 1.0, 3.0], [1.0, 10.0, 100.0], 10**1.5),
        ("signal", [1.0, 1.0, 3.0], [1.0, 2.0, 3.0], 2.5),
        ("signal", [1.0, 3.0], [1.0, 10.0], 5.5),  # of two cells nobody knows
    ],
)
def test_what_is_a_logarithm_by_default(name, values, at, expected):
    assert float(boundary.edge(_row(values, at, name), "K", 2.0, "upper")) == pytest.approx(expected)


def test_an_axis_that_could_be_either_is_linear():
    for at in ([1.0, 2, 4, 8], [1, 2, 5, 10, 20], [2, 8, 30, 80, 200], [1, 2, 4, 7, 14, 27, 52, 100]):
        assert is_geometric(np.array(at))
    for at in (
        [100.0, 101, 102],
        [1.0, 2, 3],
        [-1.0, -2, -4],
        [1.0, 10.0],
        [1.0, 2, 10],
        [0.1, 0.2, 0.5, 1.0],
        [1, 2, 2, 50],
    ):
        assert not is_geometric(np.array(at))


# --- of the mean -------------------------------------------------------------------------------------


def _seeds(rows, at=None):
    return xr.concat([_row(row, at) for row in rows], "seed")


def test_the_mean_crosses_where_its_interval_holds_the_level():
    """Lines v = K + s with s = ±1: the mean's interval is K ± half everywhere."""
    half = 12.706204736432095  # t quantile .975 at 1 degree of freedom, by the standard error 1
    at = np.arange(-30.0, 31.0)
    found = boundary.extract(_seeds([at - 1, at + 1], at), "K", 0.25, over="seed")
    np.testing.assert_allclose([found.K[0], found.low[0], found.high[0]], [0.25, 0.25 - half, 0.25 + half])
    assert (found.attrs["over"], found.attrs["coverage"]) == ("seed", 0.95)


def test_the_interval_of_a_crossing_ends_where_that_of_the_mean_leaves_the_level():
    """Of noisy seeds, on any column: inside it holds the level everywhere, at its ends just so."""
    rng = np.random.default_rng(0)
    at = np.linspace(0, 10, 41)
    wave = np.sin(at) + 0.3 * rng.normal(size=(6, 1)) + 0.2 * np.cos(at * rng.uniform(0.5, 1.5, (6, 1)))
    values = _seeds(wave, at)
    found, of_mean = boundary.extract(values, "K", 0.2, over="seed"), stats.interval(values)
    ends = [(float(a), float(b)) for a, b in zip(found.low, found.high, strict=True)]
    assert len(ends) == 3
    mean = boundary.extract(values.mean("seed"), "K", 0.2)
    np.testing.assert_allclose(found.K, mean.K)
    for at_mean, (a, b) in zip(mean.K.values, ends, strict=True):
        assert a < at_mean < b
        for k in np.linspace(a, b, 20)[1:-1]:
            low, high = (float(of_mean[end].interp(K=k)) for end in ("low", "high"))
            assert low <= 0.2 <= high
        for k in (a, b):
            low, high = (float(of_mean[end].interp(K=k)) for end in ("low", "high"))
            assert min(abs(low - 0.2), abs(high - 0.2)) < 1e-12


def test_an_interval_that_the_grid_or_unknown_cells_cut_off():
    rows = np.array([[1.0, 1.9, 3.0, 3.2], [1.2, 2.0, 3.4, 3.6]])
    inside = boundary.extract(_seeds(rows), "K", 2.0, over="seed", coverage=0.5)
    assert 0 < float(inside.low[0]) < float(inside.K[0]) < float(inside.high[0]) < 3
    wide = boundary.extract(_seeds(rows), "K", 2.0, over="seed", coverage=0.999)
    assert (float(wide.low[0]), float(wide.high[0])) == (-np.inf, np.inf)
    cut = boundary.extract(_seeds(np.where(np.arange(4) < 3, rows, np.nan)), "K", 2.0, over="seed", coverage=0.999)
    assert float(cut.low[0]) == -np.inf
    assert np.isnan(float(cut.high[0]))
    single = boundary.extract(_seeds(rows[:1]), "K", 2.0, over="seed")
    assert float(single.K[0]) == pytest.approx(1 + 0.1 / 1.1)
    assert np.isnan([float(single.low[0]), float(single.high[0])]).all()


def test_two_crossings_that_the_seeds_cannot_tell_apart_share_their_interval():
    dip = np.array([3.0, 3, 1.9, 3, 3])
    found = boundary.extract(_seeds([dip - 0.3, dip + 0.3, dip]), "K", 2.0, over="seed")
    assert found.rising.values.tolist() == [-1, 1]
    np.testing.assert_allclose(found.low, [float(found.low[0])] * 2)
    np.testing.assert_allclose(found.high, [float(found.high[0])] * 2)
    assert float(found.low[0]) < float(found.K[0]) < float(found.K[1]) < float(found.high[0])


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [boundary.extract, boundary.edge])
@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"level": np.nan}, ["level: nan", "finite"]),
        ({"level": -np.inf}, ["level: -inf"]),
        ({"level": "2"}, ["level: '2'"]),
        ({"level": 2 + 0j}, ["level: (2+0j)"]),
        ({"level": [1.0, 2.0]}, ["level: [1.0, 2.0]"]),
        ({"along": "step"}, ["along: 'step'", "K"]),
        ({"values": [1j, 2.0]}, ["values: complex128", "real numbers"]),
        ({"values": ["1", "3"]}, ["values: <U1"]),
        ({"K": ["a", "b"]}, ["along", "'K'", "<U1", "real numbers"]),
        ({"K": np.array(["2020", "2021"], "M8[ns]")}, ["along", "'K'", "datetime64"]),
        ({"K": [2, 1]}, ["along", "'K'", "does not ascend"]),
        ({"K": [1, np.inf]}, ["along", "'K'", "does not ascend"]),
        ({"scale": "logit"}, ["scale: 'logit'", "linear, log"]),
        ({"scale": "log", "values": [-1.0, 3.0]}, ["scale: 'log'", "from -1", "positive"]),
        ({"scale": "log", "level": -2.0}, ["scale: 'log'", "from -2"]),
        ({"log_axes": "K"}, ["log_axes: 'K'", "in a tuple"]),
        ({"log_axes": ("mu",)}, ["log_axes: ('mu',)", "some of K"]),
        ({"log_axes": ("K",), "K": [0, 1]}, ["log_axes: 'K'", "0", "positive"]),
    ],
)
def test_what_both_refuse(one_line, call, change, texts):
    given = {"values": [1.0, 3.0], "K": [1, 2], "along": "K", "level": 2.0} | change
    values = xr.DataArray(given.pop("values"), dims="K", coords={"K": given.pop("K")})
    if call is boundary.edge:
        given["side"] = "upper"
    one_line(lambda: call(values, **given), *texts)


@pytest.mark.parametrize("side", ["Upper", None])
def test_sides_of_an_edge(one_line, side):
    one_line(lambda: boundary.edge(_row([1.0, 3.0]), "K", 2.0, side), f"side: {side!r}", "upper, lower")


def test_what_extract_refuses(one_line):
    row = _row([1.0, 3.0])
    one_line(lambda: boundary.extract(row.rename(K="flag"), "flag", 2.0), "along: 'flag'", "crossing")
    one_line(lambda: boundary.extract(row.expand_dims(crossing=2), "K", 2.0), "along: 'K' of crossing, K")
    one_line(lambda: boundary.extract(row, "K", 2.0, over="K"), "over: 'K'", "another dimension")
    one_line(lambda: boundary.extract(row, "K", 2.0, over="seed"), "'seed'", "no dimension")
    one_line(lambda: boundary.extract(row, "K", 2.0, coverage=95), "coverage: 95", "between 0 and 1")
