"""Paper 002: training against an independent NumPy loop, masks that hold, Definition C.1, limits."""

from __future__ import annotations

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import snljax as snl
from snljax.experiments import random_pruning
from snljax.experiments.random_pruning import EXPERIMENT, Config
from snljax.measures import decomposition, neuron_sets

SMALL = {"n": 8, "n_test": 30, "d": 24, "m": 5, "steps": 40, "keep_fraction": 0.6, "sigma_0": 0.3}
FC = SMALL | {"network": "fully_connected", "learning_rate": 0.02}
CNN = SMALL | {"network": "cnn", "learning_rate": 0.1, "sample_reduction": "mean"}
CASES = {
    "fc": FC,
    "fc classes": FC | {"form": "multi_class", "num_classes": 3},
    "fc mean q2": FC | {"filter_reduction": "mean", "sample_reduction": "mean", "q": 2, "learning_rate": 0.5},
    "cnn": CNN,
    "cnn classes q3": CNN | {"form": "multi_class", "num_classes": 3, "q": 3},
    "cnn normalized": CNN | {"step_rule": "normalized", "sample_reduction": "sum", "filter_reduction": "mean"},
}


def config(**settings) -> Config:
    """A Config as the engine hands it over: traced fields are strong arrays."""
    kinds = {int: jnp.int32, float: jnp.zeros(()).dtype}
    return jax.tree.map(lambda v: jnp.asarray(v, kinds[type(v)]), Config(**settings))


def drawn(c: Config) -> random_pruning.Draw:
    """Drawn once for all cases of equal sizes: a draw takes long to compile."""
    sizes = ("n", "n_test", "d", "m", "num_classes", "network", "form")
    return _draw(config(**{name: getattr(c, name) for name in sizes}))


@jax.jit
def _draw(c: Config) -> random_pruning.Draw:
    return EXPERIMENT.draw(c, jax.random.key(0))


@jax.jit
def train(c: Config, draw: random_pruning.Draw, steps: int):
    return lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, draw, s, t), EXPERIMENT.init(c, draw))


measure = jax.jit(EXPERIMENT.measure)


# --- against NumPy -----------------------------------------------------------------------------------


def whole_inputs(c: Config, labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """x = [signal, noise] with both patches in full, shape (n, 2, d): nothing is left out."""
    signal = np.zeros((len(labels), c.d))
    if c.form == "binary":
        signal[:, 0] = float(c.mu) * (1 - 2 * labels)
    else:
        signal[np.arange(len(labels)), labels] = float(c.mu)
    return np.stack([signal, float(c.sigma_p) * noise], axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def scaled(c: Config, gradients: list[np.ndarray], n: int) -> list[np.ndarray]:
    """The updates that the masked gradients of the summed loss lead to."""
    rate = float(c.learning_rate) / (n if c.sample_reduction == "mean" else 1)
    if c.step_rule == "normalized":
        rate = float(c.learning_rate) / np.sqrt(sum((g**2).sum() for g in gradients))
    return [rate * g for g in gradients]


def numpy_cnn(c: Config, w: np.ndarray, mask: np.ndarray, x: np.ndarray, labels: np.ndarray, steps: int) -> np.ndarray:
    """Gradient by hand: ∂ℓ_i/∂F_j = softmax_j − 1[j = y_i]."""
    w, mean = w * mask, 1 / c.m if c.filter_reduction == "mean" else 1.0
    for _ in range(steps):
        r = np.einsum("jrd,ipd->jrip", w, x)
        logits = mean * (np.maximum(r, 0) ** c.q).sum((1, 3)).T
        residual = softmax(logits) - np.eye(c.num_classes)[labels]  # (n, classes)
        slope = c.q * np.maximum(r, 0) ** (c.q - 1) * (r > 0)
        gradient = mean * np.einsum("ij,jrip,ipd->jrd", residual, slope, x) * mask
        (update,) = scaled(c, [gradient], len(x))
        w = w - update
    return w


def numpy_fc(c: Config, w, v, w_mask, v_mask, x, labels, steps):
    """Both layers of a network on R^{2d}, dead coordinates and all; v has shape (outputs, m)."""
    x = x.reshape(len(x), -1)
    w, v, mean = w * w_mask, v * v_mask, 1 / c.m if c.filter_reduction == "mean" else 1.0
    for _ in range(steps):
        r = x @ w.T
        h = np.maximum(r, 0) ** c.q
        out = mean * h @ v.T
        if c.form == "binary":  # logistic loss of y f
            y = 1 - 2 * labels
            residual = (-y / (1 + np.exp(y * out[:, 0])))[:, None]
        else:
            residual = softmax(out) - np.eye(c.num_classes)[labels]
        slope = c.q * np.maximum(r, 0) ** (c.q - 1) * (r > 0)
        gradients = [mean * ((residual @ v) * slope).T @ x * w_mask, mean * residual.T @ h * v_mask]
        updates = scaled(c, gradients, len(x))
        w, v = w - updates[0], v - updates[1]
    return w, v


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES)
def test_training_against_numpy(case):
    """40 steps in float64, to 1e-10; the fully connected one against a network on all of R^{2d}."""
    c = config(**CASES[case])
    draw = drawn(c)
    labels, noise = np.asarray(draw.train.labels), np.asarray(draw.train.noise)
    state = train(c, draw, 40)
    start, mask = float(c.sigma_0) * np.asarray(draw.weights), np.asarray(draw.uniform) < float(c.keep_fraction)
    assert_pruned(state)
    x = whole_inputs(c, labels, noise)
    if c.network == "cnn":
        np.testing.assert_allclose(state.weights, numpy_cnn(c, start, mask, x, labels, 40), atol=1e-10)
        return
    signals = 1 if c.form == "binary" else c.num_classes

    def unpack(rows):  # our rows are signal coordinates, noise patch, outgoing weights
        incoming = np.random.default_rng(0).normal(size=(c.m, 2 * c.d))  # whatever lies on the dead coordinates
        incoming[:, :signals], incoming[:, c.d :] = rows[0][:, :signals], rows[0][:, signals : signals + c.d]
        return incoming, rows[0][:, signals + c.d :].T

    (w, v), (w_mask, v_mask) = unpack(start), unpack(mask.astype(float))
    w_mask[:, signals : c.d] = 1  # kept: they must not matter
    trained_w, trained_v = numpy_fc(c, w, v, w_mask, v_mask, x, labels, 40)
    rows = np.asarray(state.weights)[0]
    np.testing.assert_allclose(rows[:, :signals], trained_w[:, :signals], atol=1e-10)
    np.testing.assert_allclose(rows[:, signals : signals + c.d], trained_w[:, c.d :], atol=1e-10)
    np.testing.assert_allclose(rows[:, signals + c.d :], trained_v.T, atol=1e-10)
    np.testing.assert_array_equal(trained_w[:, signals : c.d], w[:, signals : c.d])


@pytest.mark.parametrize("case", ["fc", "cnn classes q3"])
def test_single_precision_stays_close(case):
    """And dtypes and shapes are as promised."""
    c = config(**CASES[case])
    draw = drawn(c)
    single = train(c, draw, 40)
    chex.assert_type([single.weights, single.mask], [jnp.float32, bool])
    chex.assert_equal_shape([single.weights, single.mask])
    with jax.enable_x64(True):
        double = train(config(**CASES[case]), jax.tree.map(_widened, draw), 40)
    np.testing.assert_allclose(single.weights, double.weights, atol=2e-5)


def _widened(a: jax.Array) -> jax.Array:
    return jnp.asarray(np.asarray(a), jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a


# --- the masks hold ----------------------------------------------------------------------------------


def assert_pruned(state: random_pruning.State) -> None:
    """Exactly +0 where the mask is false, and elsewhere something."""
    weights, kept = np.asarray(state.weights), np.asarray(state.mask)
    assert 0.4 < kept.mean() < 0.8
    assert (weights[~kept] == 0).all()
    assert not np.signbit(weights[~kept]).any()
    assert (weights[kept] != 0).all()


@pytest.mark.parametrize("case", ["fc", "cnn normalized"])
def test_masked_weights_stay_exactly_zero(case):
    """Under the other mask and in single precision; the random one is part of the test against NumPy."""
    c = config(**CASES[case] | {"mask": "magnitude"})
    state = train(c, drawn(c), 40)
    assert_pruned(state)
    start = EXPERIMENT.init(c, drawn(c))
    np.testing.assert_array_equal(start.mask, state.mask)
    assert (np.asarray(state.weights) != np.asarray(start.weights))[np.asarray(state.mask)].mean() > 0.5
    kept, cut = (np.abs(np.asarray(drawn(c).weights))[np.asarray(m)] for m in (start.mask, ~start.mask))
    assert kept.min() > cut.max()


def test_a_masked_weight_stays_zero_where_the_network_diverges():
    c = config(**CASES["cnn classes q3"] | {"learning_rate": 1e30})
    state = train(c, drawn(c), 10)
    assert not np.isfinite(state.weights).all()
    assert (np.asarray(state.weights)[~np.asarray(state.mask)] == 0).all()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", ["fc", "cnn"])
def test_keeping_everything_is_the_unpruned_network(case):
    """Whatever the mask was drawn from, and equal to the NumPy loop without masks."""
    c = config(**CASES[case] | {"keep_fraction": 1.0})
    draw = drawn(c)
    a = train(c, draw, 40)
    b = train(config(**CASES[case] | {"keep_fraction": 1.0, "mask": "magnitude"}), draw, 40)
    c_ = train(c, draw._replace(uniform=1 - draw.uniform), 40)
    assert np.asarray(a.mask).all()
    np.testing.assert_array_equal(a.weights, b.weights)
    np.testing.assert_array_equal(a.weights, c_.weights)
    if case == "cnn":
        labels = np.asarray(draw.train.labels)
        x = whole_inputs(c, labels, np.asarray(draw.train.noise))
        unpruned = numpy_cnn(c, float(c.sigma_0) * np.asarray(draw.weights), np.ones(1), x, labels, 40)
        np.testing.assert_allclose(a.weights, unpruned, atol=1e-10)


@jax.jit
def uniform(c: Config, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda key: EXPERIMENT.draw(c, key).uniform)(keys)


@pytest.mark.parametrize("network", ["fully_connected", "cnn"])
def test_what_shares_a_mask(network):
    """Runs: the same numbers whatever the key. Filters: a mask of the input; outgoing weights keep their own."""
    keys = jax.random.split(jax.random.key(5), 2)
    tiny = {"network": network, "form": "multi_class", "num_classes": 3, "n": 2, "n_test": 1, "d": 40, "m": 6}
    shared = ("none", "runs", "filters", "filters_and_runs")
    found = {name: np.asarray(uniform(config(**tiny | {"mask_shared_by": name}), keys)) for name in shared}
    for name, u in found.items():
        inputs, outgoing = np.split(u, [40 if network == "cnn" else 43], axis=-1)
        assert (u[0] == u[1]).all() == ("runs" in name)
        assert (u[0] != u[1]).all() == ("runs" not in name)
        one_mask = inputs == inputs[:, :1, :1]
        assert one_mask.all() == ("filters" in name)
        assert len(np.unique(inputs[0])) == (inputs[0].size if "filters" not in name else inputs.shape[-1])
        assert len(np.unique(outgoing[0])) == outgoing[0].size
    np.testing.assert_array_equal(found["filters"][:, 0, 0], found["none"][:, 0, 0])
    np.testing.assert_array_equal(found["filters_and_runs"][:, 0, 0], found["runs"][:, 0, 0])


def test_a_shared_mask_is_not_the_theorems():
    """They draw each entry of the mask by itself."""
    failed = {
        sharing: [c.value for c in snl.theory.check(Config(mask_shared_by=sharing)).failed if c.says == "mask: random"]
        for sharing in ("none", "filters_and_runs")
    }
    assert failed == {"none": [], "filters_and_runs": ["shared by filters and runs"]}


def test_one_mask_is_nested_in_the_kept_fraction_and_trains():
    """What a smaller p keeps a larger one keeps too; weights of the one mask stay zero."""
    c = config(**CASES["cnn classes q3"] | {"mask_shared_by": "filters_and_runs"})
    draw = jax.jit(EXPERIMENT.draw)(c, jax.random.key(0))
    few, many = (EXPERIMENT.init(config(**CNN | {"keep_fraction": p}), draw).mask for p in (0.3, 0.6))
    assert (np.asarray(few) <= np.asarray(many)).all()
    assert np.asarray(few).sum() < np.asarray(many).sum()
    state = train(c, draw, 40)
    assert (np.asarray(state.mask) == np.asarray(state.mask)[0, 0]).all()
    assert (np.asarray(state.weights)[~np.asarray(state.mask)] == 0).all()
    assert (np.asarray(measure(c, draw, state).signal_filters) % c.m == 0).all()


def test_one_program_for_the_whole_axis():
    """Every kept fraction, noise level, strength and target shares one trace and one compile."""
    once = EXPERIMENT._replace(step=chex.assert_max_traces(EXPERIMENT.step, n=1))
    axes = {"keep_fraction": [0.01, 0.3, 0.7, 1.0], "sigma_p": [0.5, 1.0], "target_loss": [0.0, 0.1]}
    ds = snl.sweep(snl.Grid(once, **(CNN | axes)), progress=False, devices=1, block=(1, 16))
    assert ds.attrs["programs_compiled"] == 1
    alone = snl.sweep(snl.Grid(EXPERIMENT, **(CNN | {"keep_fraction": 0.3})), progress=False)
    np.testing.assert_allclose(
        ds.test_loss.sel(keep_fraction=0.3, sigma_p=0.5, target_loss=0.0), alone.test_loss, rtol=1e-5
    )


# --- steps -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_a_normalized_step_has_the_length_of_the_learning_rate():
    """And the direction of the plain one."""
    plain, unit = (config(**CNN | {"step_rule": rule}) for rule in ("plain", "normalized"))
    draw = drawn(plain)
    start = EXPERIMENT.init(plain, draw).weights
    a, b = (np.asarray(train(c, draw, 1).weights - start).ravel() for c in (plain, unit))
    assert np.linalg.norm(b) == pytest.approx(float(unit.learning_rate), rel=1e-9)
    assert a @ b == pytest.approx(np.linalg.norm(a) * np.linalg.norm(b), rel=1e-9)


def test_no_gradient_no_normalized_step():
    """All weights zero: ReLU passes nothing on, and 0/0 must not appear."""
    c = config(**CNN | {"step_rule": "normalized", "sigma_0": 0.0})
    assert (np.asarray(train(c, drawn(c), 5).weights) == 0).all()


def test_training_stops_at_the_target_loss():
    """The first state at or below the target stays; the one before was above it."""
    c = config(**CNN | {"target_loss": 0.4})
    draw = drawn(c)
    losses = [float(measure(c, draw, train(c, draw, t)).train_loss) for t in range(0, 61, 10)]
    reached = next(i for i, loss in enumerate(losses) if loss <= 0.4)
    assert 0 < reached < len(losses) - 1
    assert len(set(losses[reached:])) == 1
    assert all(a > b for a, b in itertools.pairwise(losses[: reached + 1]))
    lower = config(**CNN | {"target_loss": 0.3})
    assert float(measure(lower, draw, train(lower, draw, 60)).train_loss) <= 0.3


# --- Definition C.1 ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("form", ["multi_class", "binary"])
def test_the_masked_decomposition(form):
    """It rebuilds the weights, has the signs of Definition C.1, and is the only one (least squares)."""
    settings = CNN | {"form": form, "num_classes": 3 if form == "multi_class" else 2, "decomposition": True, "q": 2}
    c = config(**settings | {"keep_fraction": 0.8})
    draw = drawn(c)
    state = train(c, draw, 40)
    measured = measure(c, draw, state)
    chex.assert_shape(measured.gamma, (c.num_classes, c.m, c.num_classes))
    chex.assert_shape([measured.zeta, measured.omega], (c.num_classes, c.m, c.n))
    gamma, zeta, omega = (np.asarray(v) for v in (measured.gamma, measured.zeta, measured.omega))
    mask, own = np.asarray(state.mask), np.eye(c.num_classes, dtype=bool)
    assert (zeta >= 0).all()
    assert (omega <= 0).all()
    assert (gamma.transpose(0, 2, 1)[own] >= 0).all()
    assert (gamma.transpose(0, 2, 1)[~own] <= 0).all()
    assert gamma.max() > 0.01
    assert zeta.max() > 0.01
    assert omega.min() < -0.01

    directions = np.eye(c.d)[: c.num_classes] if form == "multi_class" else np.array([[1], [-1]]) * np.eye(c.d)[:1]
    noise = float(c.sigma_p) * np.asarray(draw.train.noise)
    change = np.asarray(state.weights) - float(c.sigma_0) * np.asarray(draw.weights) * mask
    for j in range(c.num_classes):
        for r in range(c.m):
            signals, masked = directions * mask[j, r], noise * mask[j, r]  # mu = 1
            coefficients = (zeta + omega)[j, r] / (masked**2).sum(1)
            np.testing.assert_allclose(gamma[j, r] @ signals + coefficients @ masked, change[j, r], atol=1e-10)
            if form == "multi_class" and mask[j, r, :3].all():
                only = decomposition.project(jnp.asarray(change[j, r]), jnp.asarray(signals), jnp.asarray(masked))
                np.testing.assert_allclose(only.gamma, gamma[j, r], atol=1e-8)
                np.testing.assert_allclose(only.rho, (zeta + omega)[j, r], atol=1e-8)
    # A filter that cannot see a signal gathers none of it.
    kept = mask[..., :1] if form == "binary" else mask[..., : c.num_classes]
    assert (gamma[~np.broadcast_to(kept, gamma.shape)] == 0).all()


def test_neuron_sets_split_the_filters():
    """𝒮_signal has about p m filters (its complement is 𝒮_noise), and is counted in the metrics."""
    c = config(**CNN | {"form": "multi_class", "num_classes": 3, "m": 400, "keep_fraction": 0.3, "n_test": 1})
    draw = drawn(c)
    state = EXPERIMENT.init(c, draw)
    sees = neuron_sets.signal_filters(state.mask, jnp.eye(3, c.d))
    chex.assert_shape(sees, (3, 400))
    chex.assert_type(sees, bool)
    np.testing.assert_array_equal(sees, np.asarray(state.mask)[np.arange(3), :, np.arange(3)])
    assert np.abs(np.asarray(sees).sum(1) - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)
    np.testing.assert_array_equal(measure(c, draw, state).signal_filters, np.asarray(sees).sum(1))
    responses = np.asarray(state.weights)[np.arange(3), :, np.arange(3)]
    assert (responses[~np.asarray(sees)] == 0).all()


def test_the_response_to_other_classes_noise():
    """Of a filter and a sample of another class, either sign; there are no such filters in the other network."""
    c = config(**CASES["cnn classes q3"])
    draw = drawn(c)
    state = train(c, draw, 40)
    labels, responses = np.asarray(draw.train.labels), np.asarray(state.weights) @ np.asarray(draw.train.noise).T
    others = [abs(responses[j][:, labels != j]).max() for j in range(3)]
    found = measure(c, draw, state)
    assert float(found.noise_others) == pytest.approx(float(c.sigma_p) * max(others), rel=1e-5)
    assert float(found.noise_others) != pytest.approx(float(found.noise), rel=1e-3)
    c = config(**CASES["fc"])
    assert measure(c, drawn(c), EXPERIMENT.init(c, drawn(c))).noise_others is None


def test_pruned_random_filters_respond_as_lemma_3_2_says():
    """σ_0 σ_n √(p d) ≤ max_r ⟨w̃, ξ_i⟩ ≤ √(2 log(K m d)) of it, at every kept fraction."""
    for keep in (1.0, 0.5, 0.1):
        c = config(network="cnn", form="multi_class", n=20, n_test=1, d=1000, m=100, keep_fraction=keep)
        draw = drawn(c)
        responses = float(c.sigma_p) * (EXPERIMENT.init(c, draw).weights @ draw.train.noise.T)
        largest = np.asarray(jnp.max(responses, axis=1)) / snl.theory.pruned_noise_scale(0.1, 0.5, keep, 1000)
        assert largest.min() > 1
        assert largest.max() < np.sqrt(2 * np.log(2 * 100 * 1000))


# --- input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"keep_fraction": 0.0}, ["keep_fraction", "0.0", "(0, 1]"]),
        ({"keep_fraction": [0.5, 1.01]}, ["keep_fraction", "1.01", "(0, 1]"]),
        ({"keep_fraction": -0.1}, ["keep_fraction", "-0.1"]),
        ({"q": 0.5}, ["q", "0.5", "[1, inf)"]),
        ({"target_loss": -1.0}, ["target_loss", "-1.0"]),
        ({"num_classes": 3}, ["num_classes", "3", "form='multi_class'"]),
        ({"decomposition": True}, ["decomposition", "network='cnn'"]),
        ({"form": "multiclass"}, ["form", "did you mean 'multi_class'"]),
        ({"network": "mlp"}, ["network", "fully_connected"]),
        ({"mask_shared_by": "filter"}, ["mask_shared_by", "did you mean 'filters'"]),
        ({"mask_shared_by": "runs", "mask": "magnitude"}, ["mask_shared_by", "'runs'", "mask='random'"]),
        ({"prune_fraction": 0.5}, ["prune_fraction", "keep_fraction"]),
    ],
)
def test_bad_input(one_line, settings, texts):
    one_line(lambda: snl.Grid("random_pruning", **settings), *texts)
