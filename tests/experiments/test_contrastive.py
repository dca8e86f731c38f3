"""Paper 004: gradients against eq. 21 and 5 written out, masks, biases, measures."""

from __future__ import annotations

import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import snljax as snl
from snljax.data import sparse_coding
from snljax.experiments import contrastive
from snljax.experiments.contrastive import EXPERIMENT, Config

SMALL = {"batch": 6, "tokens": 3, "d": 4, "d1": 20, "m": 8, "n_test": 40, "n_probe": 60, "sigma_0": 0.3}
SMALL |= {"active": 0.5, "bias_start": 3, "learning_rate": 0.05, "sigma_p": 0.2, "steps": 10}


def config(**settings) -> Config:
    """A Config as the engine hands it over: traced fields are strong arrays."""
    kinds = {int: jnp.int32, float: jnp.zeros(()).dtype}
    return jax.tree.map(lambda v: jnp.asarray(v, kinds[type(v)]), Config(**(SMALL | settings)))


@jax.jit
def train(c: Config, draw: contrastive.Draw, steps: int):
    return lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, draw, s, t), EXPERIMENT.init(c, draw))


@jax.jit
def drawn(c: Config) -> contrastive.Draw:
    return EXPERIMENT.draw(c, jax.random.key(0))


begun = jax.jit(EXPERIMENT.init)
measure = jax.jit(EXPERIMENT.measure)
embeddings = jax.jit(contrastive.embeddings)
next_mask = jax.jit(contrastive.next_mask)
next_bias = jax.jit(contrastive.next_bias)


# --- the gradient ------------------------------------------------------------------------------------


def numpy_tokens(c: Config, pairs: sparse_coding.Pairs) -> np.ndarray:
    """x = M z + σ ξ with M the first d unit vectors, shape (n, 2, L, d1)."""
    frequency = np.array([1.0] * (c.d - c.num_minority) + [float(c.epsilon_min)] * c.num_minority) * float(c.active)
    s = np.asarray(pairs.sign) * (np.asarray(pairs.active) < frequency)
    shown = np.asarray(pairs.shown) < float(c.show)
    never = ~shown.any(2, keepdims=True)
    first = np.asarray(pairs.shown).argmin(2)[:, :, None, :] == np.arange(c.tokens)[None, None, :, None]
    x = float(c.sigma_p) * np.asarray(pairs.noise)
    x[..., : c.d] += s[:, None, None, :] * (shown | (never & first))
    return x


def numpy_gradient(c: Config, w: np.ndarray, b: np.ndarray, kept: np.ndarray, x: np.ndarray, literal: bool):
    """Eq. 21 (nothing masked) and eq. 5, sample by sample, over τ, which the paper leaves out."""
    scale = c.d1**-0.5 if c.scaled_attention else 1.0
    scores = scale * np.einsum("nvri,nvli->nvrl", x, x)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    z = np.einsum("nvrl,nvli->nvri", scores / scores.sum(-1, keepdims=True), x)
    u = z @ w.T  # (n, 2, L, m)
    h = (np.maximum(u - b, 0) - np.maximum(-u - b, 0)).sum(2)  # (n, 2, m)
    slope = np.einsum("nri,nrj->nij", np.abs(u[:, 0]) >= b, z[:, 0])  # ∇_{w_i} h_i(X_n), (n, m, d1)
    masked, n = h * kept, len(x)
    gradient = np.zeros_like(w)
    for k in range(n):
        e = np.exp(masked[k, 0] @ masked[:, 1].T / float(c.temperature))
        logits = e / e.sum()
        full = masked if literal else h
        own = kept if literal else np.ones(len(w))
        gradient += ((logits[k] - 1) * full[k, 1] * own)[:, None] * slope[k]
        for s in range(n):
            if s != k:
                gradient += (logits[s] * full[s, 1] * own)[:, None] * slope[k]
    return gradient / n / float(c.temperature)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "settings",
    [
        {},  # eq. 21, before and after the bias is set
        {"temperature": 0.5, "scaled_attention": False},
        {"prune_fraction": 0.3},  # eq. 5
        {"prune_fraction": 0.3, "mask_gradient": "literal", "decay": "masked"},
    ],
    ids=["eq21", "eq21 temperature", "eq5", "literal"],
)
def test_training_against_the_equations(settings):
    """Five updates in float64, to 1e-10, mask and biases included."""
    c = config(**settings)
    draw = drawn(c)
    w, b = float(c.sigma_0) * np.asarray(draw.weights), np.zeros(c.m)
    for t in range(5):
        pairs = sparse_coding.draw(jax.random.fold_in(draw.batches, t), c.batch, c.tokens, c.d, c.d1)
        kept = np.ones(c.m)
        kept[np.argsort(np.linalg.norm(w, axis=1))[: int(float(c.prune_fraction) * c.m)]] = 0
        g = numpy_gradient(c, w, b, kept, numpy_tokens(c, pairs), c.mask_gradient == "literal")
        decayed = kept[:, None] if c.decay == "masked" else 1.0
        w = (1 - float(c.learning_rate) * float(c.weight_decay) * decayed) * w - float(c.learning_rate) * g
        if t + 1 >= 3:
            b = float(c.bias) * np.sqrt(2 * np.log(c.d) / c.d) * np.linalg.norm(w, axis=1)
    state = train(c, draw, 5)
    np.testing.assert_allclose(state.params.neurons, w, atol=1e-10)
    np.testing.assert_allclose(state.bias, b, atol=1e-10)
    np.testing.assert_array_equal(state.kept, kept > 0)
    chex.assert_shape(state.params.neurons, (c.m, c.d1))


@pytest.mark.usefixtures("x64")
def test_the_gap_of_the_positive_logit_by_type_of_pair():
    """1 − ℓ'_p written out, with two minority features, of which the first decides; masked neurons do not count."""
    c = config(num_minority=2, prune_fraction=0.3, temperature=0.7)
    state = train(c, drawn(c), 4)
    assert not state.kept.all()
    plain = np.asarray(contrastive.feature_frequency(c, c.epsilon_min))
    frequencies = {"having": plain * [1, 1, 0, 1] + [0, 0, 1, 0], "without": plain * [1, 1, 0, 0]}
    found = {name: [] for name in frequencies}
    visible = np.asarray(state.kept)
    for i in range(-(-contrastive.GAP_ANCHORS // c.batch)):
        own, other = jax.random.split(jax.random.fold_in(jax.random.key(2), i))
        pairs, others = (sparse_coding.draw(k, n, c.tokens, c.d, c.d1) for k, n in ((own, 6), (other, 5)))
        negatives = np.asarray(embeddings(c, state.params, state.bias, others, plain)[1]) * visible
        for name, frequency in frequencies.items():
            anchors, positives = map(np.asarray, embeddings(c, state.params, state.bias, pairs, frequency))
            for anchor, positive in zip(anchors * visible, positives, strict=True):
                e = np.exp(np.array([anchor @ positive, *(negatives @ anchor)]) / float(c.temperature))
                found[name].append(1 - e[0] / e.sum())
    gaps = jax.jit(contrastive.positive_gaps)(c, state)
    np.testing.assert_allclose(gaps, [np.mean(found["having"]), np.mean(found["without"])], rtol=1e-6)
    metrics = measure(c, drawn(c), state)
    np.testing.assert_allclose((metrics.gap_minority, metrics.gap_others), gaps, rtol=1e-6)


def test_specialised_neurons_and_the_mask_that_knows_them():
    """Eight neurons of four features, two each; the minority's are 3 and 7, whatever their norms."""
    c = config(initial="specialised", mask="oracle", prune_fraction=0.4, sigma_0=0.0, epsilon_min=0.25, temperature=2.0)
    state = begun(c, drawn(c))
    expected = np.zeros((8, c.d1))
    expected[np.arange(8), np.arange(8) % 4] = [2, 2, 2, 0.5] * 2
    np.testing.assert_array_equal(state.params.neurons, expected)
    neurons = np.array(state.params.neurons)
    neurons[3] *= 50  # the longer one is the purer one
    neurons[7, 0] = 0.1
    longer = state._replace(params=state.params._replace(neurons=neurons))
    for fraction, masked in ((0.4, [3, 7]), (0.25, [3, 7]), (0.125, [3]), (0.0, [])):
        kept = next_mask(config(mask="oracle", prune_fraction=fraction), drawn(c), longer, 0)
        np.testing.assert_array_equal(np.flatnonzero(~np.asarray(kept)), masked)
    after = train(config(initial="specialised", mask="oracle", prune_fraction=0.4, sigma_0=0.0), drawn(c), 1)
    assert int(measure(c, drawn(c), after).masked_minority) == 2


def test_the_two_readings_of_the_mask_differ():
    """Literally, a masked neuron gets no gradient (so that only decay moves it); under eq. 5 it does."""
    settings = {"prune_fraction": 0.5, "weight_decay": 0.0}
    draw = drawn(config())
    start = begun(config(), draw).params.neurons
    literal, logits = (train(config(**settings, mask_gradient=r), draw, 1) for r in ("literal", "logits"))
    np.testing.assert_array_equal(literal.kept, logits.kept)
    masked = ~np.asarray(literal.kept)
    assert masked.sum() == 4
    np.testing.assert_array_equal(np.asarray(literal.params.neurons)[masked], np.asarray(start)[masked])
    assert (np.abs(np.asarray(logits.params.neurons - start)[masked]).max(1) > 1e-4).all()
    nothing = {"prune_fraction": 0.0}
    a, b = (train(config(**nothing, mask_gradient=r), draw, 5).params.neurons for r in ("literal", "logits"))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_single_precision_and_the_generic_encoder():
    """Inner products of signal and noise give what the encoder gives on the tokens themselves."""
    c, trained = config(), config(train_attention=True)
    draw = drawn(c)
    pairs = sparse_coding.draw(jax.random.key(3), 6, c.tokens, c.d, c.d1)
    neurons, bias = draw.weights, 0.1 * jnp.arange(c.m)
    f = contrastive.feature_frequency(c, c.epsilon_min)
    fast = embeddings(c, contrastive.Params(neurons, None), bias, pairs, f)
    attention = begun(trained, draw).params.attention
    generic = embeddings(trained, contrastive.Params(neurons, attention), bias, pairs, f)
    chex.assert_shape(fast, (6, c.m))
    chex.assert_type(fast, jnp.float32)
    for a, b in zip(fast, generic, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_attention_can_be_trained():
    c = config(train_attention=True)
    state = train(c, drawn(c), 3)
    moved = [float(jnp.abs(w - jnp.eye(c.d1)).max()) for w in state.params.attention]
    assert min(moved) > 1e-4
    assert train(config(), drawn(c), 3).params.attention is None


# --- batches -----------------------------------------------------------------------------------------


def test_every_step_has_its_own_batch():
    draw = drawn(config())
    batch = jax.jit(lambda t: sparse_coding.draw(jax.random.fold_in(draw.batches, t), 2, 3, 4, 20))
    a, b = batch(0), batch(1)
    assert all(float(jnp.abs(x - y).min()) > 0 for x, y in zip(a[1:], b[1:], strict=True))


# --- masks and biases --------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "masked"), [(0.0, 0), (0.1, 0), (0.125, 1), (0.5, 4), (0.99, 7)])
def test_the_smallest_neurons_are_masked(alpha, masked):
    c = config(prune_fraction=alpha)
    draw = drawn(c)
    state = begun(c, draw)
    kept = np.asarray(next_mask(c, draw, state, jnp.int32(0)))
    assert (~kept).sum() == masked
    norms = np.linalg.norm(state.params.neurons, axis=1)
    assert masked == 0 or norms[~kept].max() < norms[kept].min()
    control = config(prune_fraction=alpha, mask="random")
    random = [np.asarray(next_mask(control, draw, state, jnp.int32(t))) for t in range(6)]
    assert {int((~r).sum()) for r in random} == {masked}
    assert masked in (0, 7) or len({r.tobytes() for r in random}) > 1


def test_when_masks_are_made():
    """From first_prune on, every prune_every steps; in between the mask stays although norms change."""
    c = config(prune_fraction=0.5, first_prune=2, prune_every=3)
    draw = drawn(c)
    state = begun(c, draw)
    fixed = jnp.arange(8) < 2
    reversed_norms = state._replace(kept=fixed, params=state.params._replace(neurons=draw.weights[::-1]))
    made = [not bool((next_mask(c, draw, reversed_norms, jnp.int32(t)) == fixed).all()) for t in range(9)]
    assert made == [t in (2, 5, 8) for t in range(9)]


def test_bias_rules():
    """Zero until bias_start, then in proportion to the norm, raised as in eq. 285, or constant."""
    before, after = jnp.ones((2, 4)), jnp.array([[2.0] * 4, [0.5] * 4])
    level = 0.1 * np.sqrt(2 * np.log(4) / 4) * np.array([4.0, 1.0])  # norms 4 and 1, before 2 and 2
    old = jnp.array([0.3, 0.3])

    def bias(rule, t):
        return next_bias(config(bias_rule=rule, m=2, bias=0.1), t, old, before, after)

    for rule in ("norm", "raised", "constant"):
        np.testing.assert_array_equal(bias(rule, 2), 0)
    for rule in ("norm", "raised"):
        np.testing.assert_allclose(bias(rule, 3), level, rtol=1e-6)
    np.testing.assert_allclose(bias("norm", 4), level, rtol=1e-6)
    np.testing.assert_allclose(bias("raised", 4), 0.3 * np.array([2.0, 1 + 0.05 / 4]), rtol=1e-6)
    np.testing.assert_allclose(bias("constant", 9), 0.1, rtol=1e-6)


# --- measures ----------------------------------------------------------------------------------------


def test_planted_neurons_are_measured():
    """A pure neuron for each feature, and one mixed of two."""
    c = config(m=5, sigma_p=0.0, active=0.4, n_probe=200)
    neurons = jnp.zeros((5, c.d1)).at[jnp.arange(4), jnp.arange(4)].set(jnp.array([2.0, 2.0, 2.0, 0.5]))
    neurons = neurons.at[4, :2].set(0.01)
    state = contrastive.State(contrastive.Params(neurons, None), jnp.zeros(5), jnp.ones(5, bool))
    m = measure(c, drawn(config(m=5)), state)
    assert (int(m.lucky_neurons), int(m.mixed_neurons), float(m.aligned_neurons)) == (4, 1, 1.0)
    assert float(m.max_alignment) == 1.0
    assert float(m.majority_alignment) == 1.0
    np.testing.assert_allclose(m.weight_ratio, 0.25, rtol=1e-6)
    np.testing.assert_allclose(m.feature_share, 1.0, rtol=1e-6)
    np.testing.assert_allclose(m.participation, (4 + 2) / 5, rtol=1e-5)
    assert float(m.regression_mse) < 0.2 * 0.4  # of a variance of 0.4: how many tokens show a feature varies
    assert 0.5 < float(m.pair_cosine) + float(m.dead) <= 1.0
    chex.assert_shape(m.cosines, (5, c.d))


def test_one_program_for_all_axes():
    once = EXPERIMENT._replace(step=chex.assert_max_traces(EXPERIMENT.step, n=1))
    axes = {"epsilon_min": [0.2, 1.0], "sigma_p": [0.1, 0.2], "prune_fraction": [0.0, 0.5], "bias": [0.0, 0.1]}
    ds = snl.sweep(snl.Grid(once, **(SMALL | axes)), progress=False, devices=1, block=(1, 16))
    assert ds.attrs["programs_compiled"] == 1
    assert ds.cosines.dims[-2:] == ("neuron", "feature")
    assert bool(np.isfinite(ds.regression_mse).all())


def test_the_printed_reading_runs():
    c = EXPERIMENT.readings["printed"]
    assert c.active == pytest.approx(np.log(np.log(9)) / 9, abs=1e-4)
    small = {k: v for k, v in SMALL.items() if k not in ("active", "bias_start")}
    kinds = {f: getattr(c, f) for f in ("active", "bias", "bias_rule", "scaled_attention", "mask_gradient")}
    c = config(**(small | kinds | {"bias_start": 2}))
    state = train(c, drawn(c), 6)
    assert np.isfinite(state.params.neurons).all()
    assert float(state.bias.min()) > 0


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"epsilon_min": 0.0}, ["epsilon_min", "0.0", "(0, 1]"]),
        ({"epsilon_min": [0.5, 1.5]}, ["epsilon_min", "1.5", "(0, 1]"]),
        ({"prune_fraction": 1.0}, ["prune_fraction", "1.0", "[0, 1)"]),
        ({"prune_fraction": -0.1}, ["prune_fraction", "-0.1"]),
        ({"d": 30, "d1": 20}, ["d", "30", "d1 = 20"]),
        ({"batch": 1}, ["batch", "1", "[2, inf)"]),
        ({"temperature": 0.0}, ["temperature", "0.0", "(0, inf)"]),
        ({"num_minority": 9}, ["num_minority", "9", "d = 9"]),
        ({"prune_every": 0}, ["prune_every", "0", "[1, inf)"]),
        ({"mask_gradient": "logit"}, ["mask_gradient", "did you mean 'logits'"]),
    ],
)
def test_bad_input(one_line, settings, texts):
    one_line(lambda: snl.Grid("contrastive", **settings), *texts)


@pytest.mark.slow
def test_ten_times_the_steps_need_no_more_memory():
    """Batches are drawn inside the loop: peak memory of a process of its own moves by less than 5 %."""
    code = """
import resource, snljax as snl
grid = snl.Grid("contrastive", epsilon_min=[.3, .6], steps={steps}, n_test=64, n_probe=64)
snl.sweep(grid, progress=False, block=(1, 2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = [
        int(subprocess.run([sys.executable, "-c", code.format(steps=s)], check=True, capture_output=True).stdout)
        for s in (60, 600)
    ]
    assert peaks[1] < 1.05 * peaks[0]
