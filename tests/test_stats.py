"""Intervals, bootstraps and comparisons with known answers."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats as reference

from snljax import stats
from snljax.variables import DIVERGED, DONE, PENDING


def rows(values, name=None, dims=("K", "seed")):
    return xr.DataArray(np.asarray(values, float), dims=dims, name=name)


T_2 = 0.95 * np.sqrt(2 / (4 * 0.975 * 0.025))  # t quantile .975 at 2 degrees of freedom


# --- one row -----------------------------------------------------------------------------------------


def test_a_t_interval():
    found = stats.t_interval([1.0, 2.0, 6.0])
    half = T_2 * np.sqrt(7.0) / np.sqrt(3)
    np.testing.assert_allclose(found[:3], [3.0, 3 - half, 3 + half], rtol=1e-12)
    assert found.kind == "95 % t"
    assert stats.t_interval([1.0, 2.0, 6.0], 0.999).kind == "99.9 % t"
    assert str(found) == "3 [-3.572, 9.572]"


def test_one_seed_has_no_ends():
    one = stats.t_interval(np.array([4.0, np.nan]))
    assert one.mean == 4.0
    assert np.isnan([one.low, one.high]).all()
    assert str(one) == "4"
    assert np.isnan(stats.t_interval([])[:3]).all()


def test_equal_seeds_have_no_spread_whatever_their_sum_rounds_to():
    assert stats.t_interval([0.1] * 3)[:3] == (0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    ("values", "mean"), [([1, np.inf], np.inf), ([-np.inf, 3, np.nan], -np.inf), ([np.inf, -np.inf], np.nan)]
)
def test_infinite_values_leave_no_interval(values, mean):
    np.testing.assert_array_equal(stats.t_interval(np.array(values))[:3], [mean, np.nan, np.nan])


@pytest.mark.parametrize("level", [0, 1, 1.0, -0.5, 95, np.nan, "0.9", None, [0.5, 0.9]])
def test_levels_are_between_0_and_1(one_line, level):
    values = xr.DataArray([1.0, 2.0, 4.0], dims="seed")
    for call in (
        lambda: stats.t_interval(values, level),
        lambda: stats.t_interval([], level),
        lambda: stats.interval(values, level=level),
        lambda: stats.bootstrap(values, lambda v: float(v.mean()), level=level),
    ):
        one_line(call, f"level: {level!r}")


def test_values_that_are_no_single_row_of_real_numbers(one_line):
    one_line(lambda: stats.t_interval(np.array([1j, 2])), "values: complex128", "real numbers")
    one_line(lambda: stats.t_interval(np.array(["1", "2"])), "values: <U1")
    one_line(lambda: stats.t_interval(np.ones((2, 3))), "values: shape (2, 3)", "one dimension")


# --- every cell --------------------------------------------------------------------------------------


def test_each_cell_has_the_interval_of_its_own_seeds():
    values = np.random.default_rng(0).normal(size=(5, 4, 7))
    values[0, 0, 1], values[1, 1, :6], values[2, 2] = np.nan, np.nan, np.nan
    values[3, 3, 0] = np.inf
    data = xr.DataArray(values, dims=("K", "step", "seed"), coords={"K": range(5)}).transpose("seed", "K", "step")
    found = stats.interval(data)
    assert dict(found.sizes) == {"K": 5, "step": 4}
    assert found.K.values.tolist() == list(range(5))
    assert found.attrs == {"kind": "t", "level": 0.95, "scale": "linear", "over": "seed"}
    for k, step in np.ndindex(5, 4):
        at = found.isel(K=k, step=step)
        np.testing.assert_array_equal(
            [at["mean"], at["low"], at["high"]], stats.t_interval(values[k, step])[:3], err_msg=f"{k}, {step}"
        )
    assert np.isnan(found["low"].values[[1, 2, 3], [1, 2, 3]]).all()
    assert found["low"].notnull().sum() == 17


@pytest.mark.parametrize("scale", ["linear", "log", "logit"])
def test_intervals_cover_as_often_as_they_say(scale):
    """Of 4000 means over 10 seeds, of values close to normal: binomial error 0.35 %."""
    values = 0.5 + 0.05 * np.random.default_rng(0).normal(size=(4000, 10))
    found = stats.interval(rows(values), level=0.9, scale=scale)
    assert float(((found["low"] < 0.5) & (found["high"] > 0.5)).mean()) == pytest.approx(0.9, abs=0.015)


def test_scales_by_the_delta_method():
    values = np.array([0.2, 0.4, 0.6])
    half = T_2 * 0.2 / np.sqrt(3)
    log = stats.interval(rows([values]), scale="log")
    np.testing.assert_allclose([log["low"][0], log["high"][0]], 0.4 * np.exp([-half / 0.4, half / 0.4]), rtol=1e-12)
    logit = stats.interval(rows([values]), scale="logit")
    ends = np.log(0.4 / 0.6) + np.array([-half, half]) / (0.4 * 0.6)
    np.testing.assert_allclose([logit["low"][0], logit["high"][0]], 1 / (1 + np.exp(-ends)), rtol=1e-12)
    for found in (log, logit):
        assert float(found["mean"][0]) == pytest.approx(0.4)


@pytest.mark.parametrize(("name", "scale"), [("test_loss", "log"), ("train_accuracy", "logit")])
def test_losses_and_accuracies_do_not_leave_their_range(name, scale):
    """Also with zeros and ones among the seeds, or nothing else; the mean stays the arithmetic one, and inside."""
    values = np.random.default_rng(0).beta(0.2, 0.2, size=(500, 3))
    values[:100] = values[:100].round()
    found = stats.interval(rows(values, name))
    assert found.scale == scale
    linear = stats.interval(rows(values, name), scale="linear")
    np.testing.assert_array_equal(found["mean"], linear["mean"])
    assert float(linear["low"].min()) < 0 < 1 < float(linear["high"].max())
    assert float(found["low"].min()) >= 0
    assert scale == "log" or float(found["high"].max()) <= 1
    assert bool(((found["low"] <= found["mean"]) & (found["mean"] <= found["high"])).all())
    same = values.min(1) == values.max(1)
    assert same.any()
    np.testing.assert_array_equal((found["low"] == found["high"]).values, same)


@pytest.mark.parametrize("name", ["test_loss", "test_accuracy"])
def test_a_difference_that_keeps_the_metric_s_name_does_not_look_decided(name):
    """Two networks whose mean difference is 0, of seeds among which it happens to be positive."""
    differences = np.abs(np.random.default_rng(0).normal(size=(200, 3))) / 4
    found = stats.interval(rows(differences, name))
    linear = stats.interval(rows(differences, name), scale="linear")
    decided = (linear["low"] > 0).values
    assert 0 < decided.sum() < 200
    np.testing.assert_array_equal((found["low"] > 0).values, decided)
    assert bool((stats.interval(rows(differences), scale="log")["low"] > 0).all())


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("train_loss", [0.1, 0.2], "log"),
        ("regression_mse", [0.1, 0.2], "log"),
        ("test_accuracy", [0.9, 1.0], "logit"),
        ("signal", [0.1, 0.2], "linear"),
        (None, [0.1, 0.2], "linear"),
        ("test_loss", [0.1, -0.2], "linear"),
        ("test_accuracy", [0.9, -0.1], "linear"),
        ("test_accuracy", [0.9, np.nan], "logit"),
    ],
)
def test_the_name_decides_if_the_values_are_possible(name, values, scale):
    assert stats.interval(rows([values], name)).scale == scale


@pytest.mark.parametrize(
    ("values", "options", "texts"),
    [
        ([[0.1, -0.2]], {"scale": "log"}, ["scale: 'log'", "-0.2 to 0.1", "from 0 to inf"]),
        ([[0.1, 1.2]], {"scale": "logit"}, ["scale: 'logit'", "from 0 to 1"]),
        ([[0.1, 0.2]], {"scale": "probit"}, ["scale: 'probit'", "linear, log, logit"]),
        ([[0.1, 0.2]], {"dim": "sed"}, ["dim: 'sed'", "K, seed"]),
    ],
)
def test_what_interval_refuses(one_line, values, options, texts):
    one_line(lambda: stats.interval(rows(values), **options), *texts)


# --- bootstrap ---------------------------------------------------------------------------------------


def mean_of(values):
    return float(values.mean())


def test_the_bootstrap_is_that_of_scipy():
    values = np.random.default_rng(1).exponential(size=12)
    found = stats.bootstrap(rows(values, dims=("seed",)), mean_of)
    by_scipy = reference.bootstrap((values,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(0))
    np.testing.assert_allclose(found[1:3], by_scipy.confidence_interval, rtol=1e-12)
    assert found.mean == pytest.approx(values.mean())
    assert found.kind == "95 % BCa bootstrap"


def test_a_statistic_that_some_resamples_lack():
    """The mean of four seeds, if the last is among them: a share (3/4)⁴ = 0.32 of resamples is without."""

    def known(values):
        return float(values.mean()) if 4.0 in values else np.nan

    found = stats.bootstrap(rows([1.0, 2.0, 3.0, 4.0], dims=("seed",)), known)
    assert found.mean == 2.5
    assert 1.75 <= found.low < 2.5 < found.high <= 4
    share = int(found.kind.split("of the ")[1].split()[0]) / 999
    assert found.kind.startswith("95 % percentile bootstrap")
    assert share == pytest.approx(1 - 0.75**4, abs=0.05)


@pytest.mark.parametrize(
    ("values", "statistic", "ends"),
    [
        ([2.0, 2.0, 2.0], mean_of, (2.0, 2.0)),
        ([2.0, 3.0], lambda v: np.nan, (np.nan, np.nan)),
        ([2.0], mean_of, (np.nan, np.nan)),
    ],
)
def test_degenerate_bootstraps(values, statistic, ends):
    np.testing.assert_array_equal(stats.bootstrap(rows(values, dims=("seed",)), statistic)[1:3], ends)


def test_other_dimensions_come_along():
    """The slope of a mean over seeds, seeds drawn whole."""
    values = np.arange(3)[:, None] * np.array([1.0, 2.0, 3.0, 6.0])
    found = stats.bootstrap(rows(values), lambda v: float(np.polyfit(range(3), v.mean("seed"), 1)[0]))
    assert found.mean == pytest.approx(3.0)
    assert 1 <= found.low < 3 < found.high <= 6


@pytest.mark.parametrize(
    ("values", "options", "texts"),
    [
        (xr.DataArray([1.0, 2.0], dims="x"), {}, ["values: x (2)", "seed"]),
        (xr.DataArray(1.0), {}, ["values: no dimensions", "seed"]),
        (xr.DataArray(np.ones((0, 2)), dims=("seed", "x")), {}, ["values: seed (0), x (2)", "one or more"]),
        (xr.DataArray([1.0, 2.0], dims="seed"), {"resamples": 0}, ["resamples: 0", "1 or more"]),
        (xr.DataArray([1.0, 2.0], dims="seed"), {"resamples": 2.5}, ["resamples: 2.5", "whole"]),
        (xr.DataArray([1.0, 2.0], dims="seed"), {"level": 1.5}, ["level: 1.5"]),
    ],
)
def test_what_bootstrap_refuses(one_line, values, options, texts):
    one_line(lambda: stats.bootstrap(values, mean_of, **options), *texts)


def test_one_resample_is_its_own_interval():
    found = stats.bootstrap(rows([1.0, 2.0, 4.0], dims=("seed",)), mean_of, resamples=1)
    assert found.low == found.high


# --- comparison --------------------------------------------------------------------------------------


def dataset(cells=6, seeds=5):
    """Two penalties; seeds share a large part, so that pairs differ by less than networks do."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1, cells, seeds))
    effect = np.linspace(0, 1, cells)[None, :, None] * np.array([1.0, 0.0])[:, None, None]
    values = shared + effect + 0.2 * rng.normal(size=(2, cells, seeds))
    dims = ("penalty", "sigma_p", "seed")
    variables = {"signal": (dims, values), "status": (dims, np.full(values.shape, DONE, np.int8))}
    return xr.Dataset(variables, {"penalty": ["pegr", "none"], "sigma_p": range(cells), "seed": range(seeds)})


def compared(ds, **options):
    return stats.compare(ds, **{"along": "penalty", "a": "pegr", "b": "none", "metric": "signal"} | options)


def test_a_comparison_is_the_paired_t_test():
    ds = dataset()
    found = compared(ds)
    test = reference.ttest_rel(ds.signal[0].values, ds.signal[1].values, axis=1)
    np.testing.assert_allclose(found.p, test.pvalue, rtol=1e-10)
    np.testing.assert_allclose([found["low"], found["high"]], test.confidence_interval(0.95), rtol=1e-10)
    np.testing.assert_allclose(found.difference, (ds.signal[0] - ds.signal[1]).mean("seed"))
    assert found.pairs.values.tolist() == [5] * 6
    unpaired = reference.ttest_ind(ds.signal[0].values, ds.signal[1].values, axis=1).pvalue
    assert float(found.p[-1]) < 0.1 * unpaired[-1]
    turned = compared(ds, a="none", b="pegr")
    np.testing.assert_allclose(turned.difference, -found.difference)
    np.testing.assert_array_equal(turned.p, found.p)


def planted(p, seeds=9):
    """Cells whose paired t test has these p-values."""
    spread = np.linspace(-1, 1, seeds)
    t = reference.t.isf(np.asarray(p) / 2, seeds - 1)
    values = spread[None] + (t * reference.sem(spread))[:, None]
    both = np.stack([values, np.zeros_like(values)])
    return xr.Dataset({"signal": (("penalty", "sigma_p", "seed"), both)}, {"penalty": ["pegr", "none"]})


@pytest.mark.parametrize(
    ("adjust", "expected"),
    [
        ("holm", [0.03, 0.06, 0.06, 0.02]),  # 0.005·4, 0.01·3, 0.03·2, then no less than before
        ("fdr", [0.02, 0.04, 0.04, 0.02]),  # 0.04·4/4, 0.03·4/3, 0.01·4/2, 0.005·4/1, no more than after
    ],
)
def test_p_values_are_adjusted_over_cells(adjust, expected):
    found = compared(planted([0.01, 0.04, 0.03, 0.005]), adjust=adjust)
    np.testing.assert_allclose(found.p, [0.01, 0.04, 0.03, 0.005], rtol=1e-9)
    np.testing.assert_allclose(found.p_adjusted, expected, rtol=1e-9)
    assert found.attrs["adjusted"] == adjust
    assert found.attrs["adjusted_over"] == 4


def test_an_adjusted_p_is_at_most_1():
    assert float(compared(planted([0.4, 0.9, 0.8])).p_adjusted.max()) == 1.0


@pytest.mark.parametrize("status", [DIVERGED, PENDING])
def test_networks_that_are_not_done_are_left_out_with_their_partner(status):
    ds, whole = dataset(), compared(dataset())
    ds.status[1, 2, 3] = status
    ds.signal[1, 2, 3] = 1e15  # blown up, and finite
    found = compared(ds)
    assert found.pairs.values.tolist() == [5, 5, 4, 5, 5, 5]
    left = np.delete(ds.signal.values[:, 2], 3, axis=1)
    assert float(found.p[2]) == pytest.approx(reference.ttest_rel(*left).pvalue)
    np.testing.assert_array_equal(found.p[3:], whole.p[3:])


def test_unknown_numbers_are_left_out_and_a_single_pair_has_no_p():
    ds = dataset().drop_vars("status")
    ds.signal[0, 0, 0], ds.signal[1, 1, :4], ds.signal[0, 2] = np.nan, np.inf, np.nan
    found = compared(ds)
    assert found.pairs.values.tolist() == [4, 1, 0, 5, 5, 5]
    assert found.p.isnull().values.tolist() == found.p_adjusted.isnull().values.tolist()
    assert found.p.isnull().values.tolist() == found["low"].isnull().values.tolist()
    assert found.p.isnull().values.tolist() == [False, True, True, False, False, False]
    assert found.attrs["adjusted_over"] == 4


@pytest.mark.parametrize(("difference", "p"), [(0.0, 1.0), (0.5, 2.0**-4), (0.1, 2.0**-4)])
def test_equal_differences_have_the_p_of_the_sign_test(difference, p):
    ds = dataset(cells=1)
    ds.signal[0], ds.signal[1] = difference, 0.0
    found = compared(ds)
    assert float(found.p[0]) == p
    assert found["low"].item() == found["high"].item() == found.difference.item() == difference


def test_other_dimensions_of_a_metric_are_cells_too():
    ds = dataset().assign(values=dataset().signal.expand_dims(step=3))
    found = compared(ds, metric="values")
    assert dict(found.sizes) == {"step": 3, "sigma_p": 6}
    assert found.attrs["adjusted_over"] == 18


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"metric": "loss"}, ["metric: 'loss'", "signal, status"]),
        ({"along": "K"}, ["along: 'K'", "penalty, sigma_p"]),
        ({"along": "seed"}, ["along: 'seed'"]),
        ({"dim": "run"}, ["dim: 'run'", "seed"]),
        ({"a": "fgr"}, ["a: 'fgr'", "pegr, none"]),
        ({"b": "pegr"}, ["pegr", "two different values"]),
        ({"adjust": "bonferroni"}, ["adjust: 'bonferroni'", "holm, fdr"]),
        ({"level": 95}, ["level: 95"]),
    ],
)
def test_what_compare_refuses(one_line, options, texts):
    one_line(lambda: compared(dataset(), **options), *texts)


def test_whole_numbers_that_stand_for_nothing_are_left_out():
    """Counts have no NaN: cells that diverged hold `variables.missing` of their dtype."""
    counts = xr.DataArray(np.array([[3, 5, -(2**31)], [-(2**31)] * 3], np.int32), dims=("K", "seed"), name="neurons")
    found = stats.interval(counts)
    assert found["mean"].values[0] == 4.0
    assert np.isnan(found["mean"].values[1])
    assert stats.t_interval(counts.values[0]).mean == 4.0
    assert stats.bootstrap(counts[0], lambda v: float(v.max())).mean == 5.0


def test_ends_lie_on_their_side_of_the_mean():
    """Four equal numbers and one an ulp away: on a transformed scale rounding is larger than the spread."""
    values = np.full(5, 0.05)
    values[2] = np.nextafter(0.05, 1.0)
    found = stats.interval(xr.DataArray(values, dims="seed", name="test_accuracy"))
    assert float(found.low) <= float(found["mean"]) <= float(found.high)
