"""Fits of known laws: constants, intervals over seeds, rival forms, several parameters."""

import numpy as np
import pytest
import xarray as xr

from snljax import boundary, stats, theory

S = np.array([0.8, 1.0, 1.5, 2.0])


def _edge(y, x, dims=("seed", "x"), **coords):
    return xr.DataArray(np.array(y), dims=dims, coords={"x": x} | coords)


def _loss(constant=95.0, exponent=-2.0, seeds=1):
    """A loss that is exactly 2 on K = constant · sigma_p^exponent and linear in K."""
    k = np.linspace(2, 200, 34)
    scale = np.asarray(constant) * np.ones(seeds)
    values = 2 * k[None, :, None] / (scale[None, None, :] * S[:, None, None] ** exponent)
    coords = {"sigma_p": S, "K": k, "seed": np.arange(seeds)}
    return xr.DataArray(values, dims=("sigma_p", "K", "seed"), coords=coords)


# --- one law -----------------------------------------------------------------------------------------


def test_upper_boundary_of_a_known_law():
    law = boundary.fit(boundary.edge(_loss(), "K", 2.0, "upper"), "power law")
    constant, exponent = law.constants.values()
    np.testing.assert_allclose([constant.mean, exponent.mean], [95.0, -2.0], rtol=1e-6)
    assert (law.points, law.seeds, law.form) == (4, 1, "power law")
    assert law.r2.mean == pytest.approx(1)
    np.testing.assert_allclose(law.function(S, constant.mean, exponent.mean), 95 / S**2)


def test_intervals_come_from_the_spread_over_seeds():
    constants = np.array([90.0, 95.0, 100.0])
    law = boundary.fit(boundary.edge(_loss(constants, seeds=3), "K", 2.0, "upper"), "power law")
    half = 4.302652729911275 * constants.std(ddof=1) / np.sqrt(3)  # t quantile .975 at 2 degrees of freedom
    constant, exponent = law.constants.values()
    np.testing.assert_allclose([constant.low, constant.high], [95 - half, 95 + half], rtol=1e-6)
    np.testing.assert_allclose(exponent[:3], [-2.0, -2.0, -2.0], rtol=1e-6)
    assert exponent.kind == "95 % t"
    np.testing.assert_allclose(law.of_seeds.value.sel(constant="constant"), constants, rtol=1e-6)
    drawn = law.bootstrap["constant"]
    expected = stats.bootstrap(law.of_seeds.value.sel(constant="constant"), lambda v: float(v.mean()))
    assert drawn == expected
    assert 90 <= drawn.low < 95 < drawn.high <= 100


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize(
    ("form", "y", "constants"),
    [
        ("power law", lambda x, c: c * x**-1.5, {"constant": (2, 3), "exponent": (-1.5, -1.5)}),
        ("exponential", lambda x, c: c * np.exp(0.7 * x), {"constant": (2, 3), "rate": (0.7, 0.7)}),
        (lambda x, a, b: a + b * x, lambda x, c: c + 5 * x, {"a": (2, 3), "b": (5, 5)}),
    ],
)
def test_forms_find_their_own_constants_on_both_scales(form, y, constants, scale):
    x = np.array([0.5, 1, 2, 3, 4.5])
    law = boundary.fit(_edge([y(x, 2.0), y(x, 3.0)], x), form, scale=scale)
    assert list(law.constants) == list(constants)
    for name, values in constants.items():
        np.testing.assert_allclose(law.of_seeds.value.sel(constant=name), values, rtol=1e-6)
    np.testing.assert_allclose(law.residuals, 0, atol=1e-6)


def test_the_scale_says_what_is_least_squares():
    """Against NumPy's own lines: in logarithms, and in itself for a form that is a straight line there."""
    rng, x = np.random.default_rng(0), np.linspace(1, 3, 8)
    y = np.exp(rng.normal(size=8) / 4) * x
    law = boundary.fit(_edge([y], x), "power law")
    slope, intercept = np.polyfit(np.log(x), np.log(y), 1)
    found = [c.mean for c in law.constants.values()]
    np.testing.assert_allclose(found, [np.exp(intercept), slope])
    residuals = np.log(y) - intercept - slope * np.log(x)
    np.testing.assert_allclose(law.residuals[0], residuals)
    rss, n = (residuals**2).sum(), 8
    assert law.r2.mean == pytest.approx(1 - rss / ((np.log(y) - np.log(y).mean()) ** 2).sum())
    assert law.aic.mean == pytest.approx(n * np.log(rss / n) + 2 * 3)
    linear = boundary.fit(_edge([y], x), lambda x, a, b: a * x + b, scale="linear")
    np.testing.assert_allclose([c.mean for c in linear.constants.values()], np.polyfit(x, y, 1), rtol=1e-6)


def test_a_curve_of_theory_with_free_constants():
    """Its own defaults are the start; others can be given."""
    y = [theory.topk_lower_boundary(S, constant, 1.3) for constant in (100.0, 110.0)]
    edge = _edge(y, S)
    law = boundary.fit(edge, theory.topk_lower_boundary)
    assert law.form == "topk_lower_boundary"
    assert law.constants["constant"].mean == pytest.approx(105, rel=1e-5)
    assert law.constants["mu"].mean == pytest.approx(1.3, rel=1e-5)

    def even(sigma_p, constant=100.0, signal=-1.0):
        return constant * np.exp(-(signal**2) / (2 * sigma_p**2))

    for start, sign in ((None, -1), ([100.0, 1.0], 1)):
        signal = boundary.fit(edge, even, start=start).constants["signal"]
        assert signal.mean == pytest.approx(sign * 1.3**0.5, rel=1e-5)


def _ending(highest=np.inf):
    """95 · σ_p⁻² with noise of its own in each place, on an axis that may end."""
    sigma_p, rng = np.linspace(0.55, 1.2, 10), np.random.default_rng(0)
    y = 95 / sigma_p**2 * np.exp(0.3 * rng.normal(size=(100, 10)))
    return xr.DataArray(y, dims=("seed", "sigma_p"), coords={"sigma_p": sigma_p}, name="K").where(y < highest)


def test_places_that_only_some_seeds_have_are_counted_and_told():
    """What lies beyond an axis is not missing by chance: the fit is sure of an exponent that is wrong."""
    whole, edge = boundary.fit(_ending(), "power law"), _ending(highest=200.0)
    assert (whole.points, whole.missing) == (1000, 0)
    assert whole.constants["exponent"].low < -2 < whole.constants["exponent"].high
    with pytest.warns(UserWarning, match="boundary: 240 of 1000 places have none where other seeds have one") as told:
        law = boundary.fit(edge, "power law")
    assert told[0].filename == __file__
    assert (law.points, law.missing) == (760, 240)
    assert law.constants["exponent"].low > -1.7
    less = boundary.fit(edge.where(edge.notnull().all("seed")), "power law")
    assert (less.points, less.missing) == (400, 0)
    assert less.constants["exponent"].low < -2 < less.constants["exponent"].high
    with pytest.warns(UserWarning, match="boundary: 240 of 1000"):
        assert boundary.scaling(edge, ["sigma_p"]).missing == 240
    assert boundary.fit(edge.where(edge.sigma_p > 1), "power law").missing == 0  # what no seed has tells nothing


@pytest.mark.filterwarnings("ignore:boundary")
def test_seeds_with_one_x_alone_are_left_out():
    y = [[1.0, 2.0, np.nan], [np.nan, np.nan, 5.0], [3.0, np.nan, 12.0]]
    law = boundary.fit(_edge(y, [1.0, 1.0, 2.0], seed=[0, 0, 1]), "power law")  # two seeds of one name
    np.testing.assert_allclose([c.mean for c in law.constants.values()], [3.0, 2.0])
    assert (law.points, law.seeds) == (2, 1)
    np.testing.assert_array_equal(law.residuals.notnull(), [[0, 0, 0], [0, 0, 0], [1, 0, 1]])
    assert np.isnan(law.aic.mean)  # two points, two constants: nothing is left to judge by
    none = boundary.fit(_edge(y, [1.0, 1.0, 2.0])[:2], "power law")
    assert np.isnan([none.constants["exponent"].mean, none.bootstrap["exponent"].mean, none.r2.mean]).all()
    assert (none.points, none.seeds) == (0, 0)


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
    one_line(lambda: boundary.fit(_edge(y, x), "power law"), *texts)


def test_an_exponential_takes_any_x_and_a_linear_scale_any_boundary():
    x = np.array([-1.0, 0, 2])
    assert boundary.fit(_edge([np.exp(x)], x), "exponential").constants["rate"].mean == pytest.approx(1)
    law = boundary.fit(_edge([3 - 2 * x], x), lambda x, a, b: a + b * x, scale="linear")
    np.testing.assert_allclose([c.mean for c in law.constants.values()], [3, -2])


def test_dimensions_and_options_of_a_fit(one_line):
    edge = _edge([[1.0, 2.0]], [1.0, 2.0])
    one_line(lambda: boundary.fit(edge.expand_dims(z=3), "power law"), "z (3)", "seed and one other")
    one_line(lambda: boundary.fit(edge.isel(x=0), "power law"), "seed (1)", "one other")
    one_line(lambda: boundary.fit(edge, "parabola"), "form: 'parabola'", "power law, exponential")
    one_line(lambda: boundary.fit(edge, lambda x: x), "form: <lambda>", "one or more constants")
    one_line(lambda: boundary.fit(edge, lambda x, *c: x), "form: <lambda>", "with a name")
    one_line(lambda: boundary.fit(edge, lambda x, a, b: a + b * x, start=[1.0]), "start: 1 values", "a, b")
    one_line(lambda: boundary.fit(edge, lambda x, a: a * x, start=[-1.0]), "start: [-1.0]", "positive")
    one_line(lambda: boundary.fit(edge, lambda x, a: a * x, start=[np.nan]), "start: nan", "finite")
    one_line(lambda: boundary.fit(edge, "power law", scale="logit"), "scale: 'logit'", "linear, log")
    assert boundary.fit(edge.isel(seed=0), "power law").points == 2
    assert boundary.fit(edge.T, "power law").constants["exponent"].mean == pytest.approx(1.0)


@pytest.mark.parametrize("coverage", [0, 1, 1.0, -0.5, 95, np.nan, "0.9", None, [0.5, 0.9]])
def test_coverages_are_between_0_and_1(one_line, coverage):
    edge = _edge([[1.0, 2.0]], [1.0, 2.0])
    for call in (
        lambda: boundary.fit(edge, "power law", coverage=coverage),
        lambda: boundary.scaling(edge, coverage=coverage),
        lambda: boundary.sensitivity(edge, "x", coverage=coverage),
    ):
        one_line(call, f"coverage: {coverage!r}")


# --- rival forms -------------------------------------------------------------------------------------


def _noisy(y, seeds=6, noise=0.05):
    rng = np.random.default_rng(3)
    return np.exp(noise * rng.normal(size=(seeds, len(y)))) * y


def test_the_true_form_wins_and_its_rival_is_paired_with_it_by_seed():
    x = np.geomspace(0.5, 4, 10)
    forms = ["power law", "exponential"]
    for true, y in (("power law", 90 * x**-2), ("exponential", 90 * np.exp(-x))):
        edge = _edge(_noisy(y), x)
        found = boundary.compare_forms(edge, forms)
        assert found.form.values.tolist() == sorted(forms, key=lambda name: name != true)
    fits = [boundary.fit(edge, name) for name in found.form.values]
    difference = fits[1].of_seeds.aic - fits[0].of_seeds.aic
    expected = stats.t_interval(difference.values)
    got = found.isel(form=1)
    np.testing.assert_allclose([got.difference, got.low, got.high], expected[:3])
    drawn = stats.bootstrap(difference, lambda d: float(d.mean()))
    np.testing.assert_allclose([got.bootstrap_low, got.bootstrap_high], [drawn.low, drawn.high])
    assert float(got.low) > 0
    np.testing.assert_allclose(found.weight[1] / found.weight[0], np.exp(-expected.mean / 2))
    assert float(found.weight.sum()) == pytest.approx(1)
    np.testing.assert_allclose(found.aic, [fit.aic.mean for fit in fits])
    assert (found.attrs["points"], found.attrs["seeds"]) == (60, 6)


def test_a_constant_that_explains_nothing_costs_two():
    """The same curve with one constant more than it needs: AIC differs by the penalty alone."""
    x = np.geomspace(0.5, 4, 10)
    edge = _edge(_noisy(90 * x**-2), x)

    def with_another(x, constant=90.0, exponent=-2.0, idle=1.0):
        return constant * x**exponent + 0 * idle

    found = boundary.compare_forms(edge, {"needed": "power law", "more": with_another})
    assert found.form.values.tolist() == ["needed", "more"]
    np.testing.assert_allclose(found.difference, [0, 2], atol=1e-6)
    assert found.constants.values.tolist() == [2, 3]


@pytest.mark.filterwarnings("ignore:boundary")
def test_forms_are_compared_on_the_same_seeds():
    """A seed that has too few points for one of them counts for none."""
    x = np.geomspace(0.5, 4, 6)
    y = _noisy(90 * x**-2, 3)
    y[1, 3:] = np.nan  # enough for two constants, not for three
    found = boundary.compare_forms(
        _edge(y, x), {"power": "power law", "more": lambda x, a, b=-2.0, c=0.0: a * x**b + c}
    )
    assert (found.attrs["points"], found.attrs["seeds"]) == (12, 2)
    both = boundary.fit(_edge(y[[0, 2]], x), "power law")
    assert float(found.aic.sel(form="power")) == pytest.approx(both.aic.mean)
    none = boundary.compare_forms(_edge(y[:, :2], x[:2]), ["power law", "exponential"])
    assert none.attrs["seeds"] == 0
    assert none.aic.isnull().all()


def test_what_a_comparison_refuses(one_line):
    edge = _edge([[1.0, 2.0, 3.0]], [1.0, 2.0, 3.0])
    one_line(lambda: boundary.compare_forms(edge, ["power law"]), "forms: power law", "two or more")
    one_line(lambda: boundary.compare_forms(edge, ["power law"] * 2), "forms: power law, power law", "different names")


# --- several parameters ------------------------------------------------------------------------------


def _joint(exponents, seeds=3):
    """Boundaries that scale exactly with n, mu and sigma_p; constants 2, 3, 4 by seed."""
    n, mu, sigma_p = [50.0, 100, 200], [0.5, 1.0], [0.8, 1.0, 1.5, 2.0]
    c = xr.DataArray(np.arange(2.0, 2 + seeds), dims="seed")
    edge = c
    for name, values, e in zip(("n", "mu", "sigma_p"), (n, mu, sigma_p), exponents, strict=True):
        edge = edge * xr.DataArray(values, dims=name, coords={name: values}) ** e
    return edge


def test_joint_exponents_of_a_known_law():
    law = boundary.scaling(_joint((0.5, 2.0, -2.0)).transpose("mu", "seed", "n", "sigma_p"))
    constants = {name: c.mean for name, c in law.constants.items()}
    assert constants == pytest.approx({"constant": 3.0, "n": 0.5, "mu": 2.0, "sigma_p": -2.0})
    assert law.constants["constant"].high > 4 > 2 > law.constants["constant"].low
    assert (law.points, law.seeds) == (72, 3)
    at = {"n": 100.0, "mu": 1.0, "sigma_p": np.array([1.0, 2.0])}
    np.testing.assert_allclose(law.function(at, *constants.values()), 3 * 10 / np.array([1, 4]))


def test_one_parameter_is_a_power_law():
    edge = _edge(_noisy(3 * S**-2), S)
    joint, alone = boundary.scaling(edge), boundary.fit(edge, "power law")
    np.testing.assert_allclose(joint.constants["x"][:3], alone.constants["exponent"][:3])
    np.testing.assert_allclose(joint.residuals, alone.residuals, atol=1e-12)
    assert joint.aic.mean == pytest.approx(alone.aic.mean)


@pytest.mark.filterwarnings("ignore:boundary")
def test_joint_fits_leave_gaps_and_seeds_out_that_say_too_little():
    edge = _joint((0.5, 2.0, -2.0))
    edge = edge.where((edge.n + 100 * edge.mu + 31 * edge.sigma_p) % 3 < 2)
    assert edge.isnull().any()
    edge = edge.where((edge.n == 50) | (xr.DataArray([0, 1, 2], dims="seed") != 1))  # the second seed has one n alone
    law = boundary.scaling(edge)
    assert law.seeds == 2
    assert law.constants["n"].mean == pytest.approx(0.5)
    assert law.constants["constant"].mean == pytest.approx(3.0)
    np.testing.assert_array_equal(law.of_seeds.r2.isnull(), [False, True, False])


def test_parameters_that_were_swept_together():
    """One dimension, two coordinates along it."""
    n, d = np.array([10.0, 20, 40, 40]), np.array([100.0, 100, 200, 400])
    edge = xr.DataArray([5 * n**0.5 / d], dims=("seed", "setting"), coords={"n": ("setting", n), "d": ("setting", d)})
    law = boundary.scaling(edge, ["n", "d"])
    assert {name: c.mean for name, c in law.constants.items()} == pytest.approx({"constant": 5, "n": 0.5, "d": -1})


def test_exponents_that_no_data_could_tell(one_line):
    n = np.array([10.0, 20, 40])
    coords = {
        "n": ("setting", n),
        "d": ("setting", 3 * n**2),
        "one": ("setting", np.ones(3)),
        "bad": ("setting", n - 10),
    }
    edge = xr.DataArray([n], dims=("seed", "setting"), coords=coords)
    one_line(lambda: boundary.scaling(edge, ["n", "d"]), "parameters: n, d on 3 different places", "exponents open")
    one_line(lambda: boundary.scaling(edge, ["n", "one"]), "'one' is 1 wherever", "two values")
    one_line(lambda: boundary.scaling(edge[:, :1], ["n"]), "'n' is 10 wherever")
    one_line(lambda: boundary.scaling(edge, ["n", "mu"]), "parameters: 'mu'", "n, d, one, bad")
    one_line(lambda: boundary.scaling(edge, ["bad"]), "'bad'", "0.0", "positive")
    one_line(lambda: boundary.scaling(edge, ["n", "n"]), "parameters: n, n", "different")
    one_line(lambda: boundary.scaling(edge, "n"), "parameters: 'n'", "in a list")
    one_line(lambda: boundary.scaling(-edge, ["n"]), "boundary: -10.0", "positive")
    grid = _joint((0.5, 2.0, -2.0))
    only = grid.where((grid.n == 100) & (grid.mu == 1))  # a boundary in one corner of the grid alone
    one_line(lambda: boundary.scaling(only), "'n' is 100 wherever")


# --- what moves a boundary ---------------------------------------------------------------------------


def _moved(seeds=4):
    """log K = log(95/σ²) + 0.02 · every + what is the seed's own."""
    own = xr.DataArray(np.linspace(-0.3, 0.3, seeds), dims="seed", coords={"seed": range(seeds)})
    every = xr.DataArray([1, 10, 30], dims="prune_every", coords={"prune_every": [1, 10, 30]})
    sigma_p = xr.DataArray(S, dims="sigma_p", coords={"sigma_p": S})
    return 95 / sigma_p**2 * np.exp(0.02 * every + own)


def test_a_slope_is_paired_by_seed():
    """What a seed has of its own in all values of the field is no spread of the slope."""
    found = boundary.sensitivity(_moved(), "prune_every")
    for name in ("change", "low", "high"):
        np.testing.assert_allclose(found[name], np.full(4, 0.02), rtol=1e-9)
    assert found.change.dims == ("sigma_p",)
    assert found.seeds.values.tolist() == [4] * 4


def test_slopes_are_those_of_least_squares_and_their_interval_is_over_seeds():
    rng = np.random.default_rng(0)
    edge = _moved() * np.exp(0.1 * rng.normal(size=(4, 3, 4)))
    edge[0, 1, 2] = np.nan
    edge[1, 1:, 1] = np.nan
    dims = edge.dims
    edge = edge.transpose("sigma_p", "seed", "prune_every")
    for scale in ("log", "linear"):
        found = boundary.sensitivity(edge, "prune_every", scale=scale)
        for i, column in enumerate(edge.values):
            y = np.log(column) if scale == "log" else column
            known = [row for row in y if np.isfinite(row).sum() > 1]
            at = np.array([1.0, 10, 30])
            slopes = [np.polyfit(at[np.isfinite(row)], row[np.isfinite(row)], 1)[0] for row in known]
            expected = stats.t_interval(slopes)
            got = found.isel(sigma_p=i)
            np.testing.assert_allclose([got.change, got.low, got.high], expected[:3], rtol=1e-9)
            assert int(got.seeds) == len(slopes)
    assert set(dims) == {"sigma_p", "prune_every", "seed"}
    assert found.seeds.min() == 3


def test_names_are_compared_with_a_reference():
    factor = xr.DataArray([1.0, 1.1, 0.8], dims="reading", coords={"reading": ["fitted", "printed", "frozen"]})
    edge = (_moved().isel(prune_every=0) * factor).transpose("reading", ...)
    found = boundary.sensitivity(edge, "reading", reference="fitted")
    assert found.reading.values.tolist() == ["printed", "frozen"]
    np.testing.assert_allclose(found.change, np.log([[1.1] * 4, [0.8] * 4]))
    linear = boundary.sensitivity(edge, "reading", reference="frozen", scale="linear")
    assert linear.reading.values.tolist() == ["fitted", "printed"]
    np.testing.assert_allclose(linear.change, (edge[:2] - edge[2]).mean("seed"))
    assert (linear.attrs["per"], linear.attrs["scale"]) == ("reading frozen", "linear")
    edge[1, 0, 0] = np.nan
    assert boundary.sensitivity(edge, "reading", reference="fitted").seeds.values.tolist() == [[3, 4, 4, 4], [4] * 4]


def test_one_number_of_several_columns():
    edge = _moved()
    found = boundary.sensitivity(np.log(edge).mean("sigma_p", skipna=False), "prune_every", scale="linear")
    assert float(found.change) == pytest.approx(0.02)
    assert found.change.dims == ()


def test_what_a_sensitivity_refuses(one_line):
    edge = _moved()
    names = edge.assign_coords(prune_every=["a", "b", "c"])
    one_line(lambda: boundary.sensitivity(edge, "K"), "field: 'K'", "prune_every (3)", "beside seed")
    one_line(lambda: boundary.sensitivity(edge, "seed"), "field: 'seed'")
    one_line(lambda: boundary.sensitivity(edge.isel(seed=0), "prune_every"), "beside seed")
    one_line(lambda: boundary.sensitivity(names, "prune_every"), "field: 'prune_every', <U1", "a reference")
    one_line(lambda: boundary.sensitivity(names, "prune_every", reference="d"), "reference: 'd'", "a, b, c")
    one_line(lambda: boundary.sensitivity(edge[..., [0]].isel(prune_every=[1]), "prune_every"), "10.0 alone")
    one_line(lambda: boundary.sensitivity(-edge, "prune_every"), "boundary: -", "positive")
    one_line(lambda: boundary.sensitivity(edge, "prune_every", scale="logit"), "scale: 'logit'")
