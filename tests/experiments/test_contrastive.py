"""Paper 004: gradients against eq. 21 and 5 written out, data against its formulas, masks, biases, measures."""

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
from snljax import losses, theory
from snljax.data import sparse_coding
from snljax.experiments import contrastive
from snljax.experiments.contrastive import EXPERIMENT, Config
from snljax.measures import specialization
from snljax.models import attention_encoder

SMALL = {"batch": 6, "tokens": 3, "d": 4, "d1": 20, "m": 8, "n_test": 40, "n_probe": 60, "sigma_0": 0.3}
SMALL |= {"active": 0.5, "bias_start": 3, "learning_rate": 0.05, "sigma_p": 0.2, "steps": 10}


def config(**settings) -> Config:
    """A Config as the engine hands it over: traced fields are strong arrays."""
    kinds = {int: jnp.int32, float: jnp.zeros(()).dtype}
    return jax.tree.map(lambda v: jnp.asarray(v, kinds[type(v)]), Config(**(SMALL | settings)))


@jax.jit
def train(c: Config, draw: contrastive.Draw, steps: int):
    return lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, draw, s, t), EXPERIMENT.init(c, draw))


def drawn(c: Config) -> contrastive.Draw:
    return EXPERIMENT.draw(c, jax.random.key(0))


measure = jax.jit(EXPERIMENT.measure)
embeddings = jax.jit(contrastive.embeddings)
next_mask = jax.jit(contrastive.next_mask)
next_bias = jax.jit(contrastive.next_bias)
info_nce = jax.jit(losses.info_nce, static_argnames="similarity")


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


def test_the_two_readings_of_the_mask_differ():
    """Literally, a masked neuron gets no gradient (so that only decay moves it); under eq. 5 it does."""
    settings = {"prune_fraction": 0.5, "weight_decay": 0.0}
    draw = drawn(config())
    start = EXPERIMENT.init(config(), draw).params.neurons
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
    attention = EXPERIMENT.init(trained, draw).params.attention
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


# --- BReLU, encoder, loss ----------------------------------------------------------------------------


def test_brelu_and_its_derivative_at_the_threshold():
    s, b = jnp.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]), jnp.ones(7)
    np.testing.assert_array_equal(attention_encoder.brelu(s, b), jnp.maximum(s - 1, 0) - jnp.maximum(-s - 1, 0))
    slope = jax.vmap(jax.grad(attention_encoder.brelu))
    np.testing.assert_array_equal(slope(s, b), [1, 1, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(slope(s, 0 * b), jnp.ones(7))  # no threshold, no bend: also at 0
    in_b = jax.vmap(jax.grad(attention_encoder.brelu, argnums=1))(s, b)
    np.testing.assert_array_equal(in_b, [1, 1, 0, 0, 0, -1, -1])


def test_equal_tokens_share_attention_and_one_token_keeps_it():
    x = jnp.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    p = attention_encoder.attention_weights(x, 1.0)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(p[0, 0], p[0, 1])
    np.testing.assert_allclose(p[2], 1 / 3, rtol=1e-6)
    neurons = jnp.array([[3.0, -1.0]])
    np.testing.assert_allclose(attention_encoder.embed(neurons, jnp.zeros(1), x[:1], 5.0), [1.0])


def test_info_nce_against_numpy_and_with_explicit_negatives():
    rng = np.random.default_rng(0)
    a, p = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    s = a @ p.T / 0.7
    expected = np.log(np.exp(s).sum(1)) - np.diag(s)
    loss = info_nce(jnp.array(a), jnp.array(p), temperature=0.7)
    chex.assert_shape(loss, (5,))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    one = info_nce(jnp.array(a[:1]), jnp.array(p[:1]), jnp.array(p[1:]), temperature=0.7)
    np.testing.assert_allclose(one, expected[:1], rtol=1e-5)
    huge = info_nce(1e4 * jnp.array(a), jnp.array(p))  # finite where exp would overflow
    assert np.isfinite(huge).all()


def test_no_gradient_flows_into_the_second_argument():
    a, p = jax.random.normal(jax.random.key(0), (2, 4, 3))
    by_anchor, by_positive = jax.grad(lambda a, p: info_nce(a, p).sum(), argnums=(0, 1))(a, p)
    assert float(jnp.abs(by_anchor).max()) > 0.1
    np.testing.assert_array_equal(by_positive, 0)
    np.testing.assert_array_equal(jax.grad(lambda n: info_nce(a, p, n).sum())(p), 0)


def test_cosine_similarity_ignores_lengths_and_survives_zeros():
    a, p = jax.random.normal(jax.random.key(0), (2, 4, 3))
    plain, scaled = (info_nce(c * a, 3 * c * p, similarity="cosine") for c in (1.0, 5.0))
    np.testing.assert_allclose(plain, scaled, rtol=1e-5)
    zero = jax.grad(lambda a: info_nce(a, p, similarity="cosine").sum())(a.at[0].set(0.0))
    assert np.isfinite(zero).all()


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        (lambda a: losses.info_nce(a, a[:2]), ["positives", "(2, 3)"]),
        (lambda a: losses.info_nce(a[:1], a[:1]), ["negatives", "two or more"]),
        (lambda a: losses.info_nce(a, a, a[:, :2]), ["negatives", "(k, 3)"]),
        (lambda a: losses.info_nce(a, a, temperature=0.0), ["temperature", "0.0", "(0, inf)"]),
        (lambda a: losses.info_nce(a, a, similarity="l2"), ["similarity", "'l2'", "'cosine'"]),
        (lambda a: sparse_coding.dictionary(jax.random.key(0), 3, 4), ["d is 4", "d1 = 3"]),
    ],
)
def test_bad_arguments(one_line, call, texts):
    one_line(lambda: call(jnp.ones((4, 3))), *texts)


# --- the data ----------------------------------------------------------------------------------------

N = 40_000


@pytest.fixture(scope="module")
def pairs() -> sparse_coding.Pairs:
    return jax.jit(lambda key: sparse_coding.draw(key, N, 4, 3, 4))(jax.random.key(0))


FREQUENCY = 0.4 * np.array([1.0, 1.0, 0.25])


def within(share: np.ndarray, expected, n: int = N) -> None:
    """A share of n draws within five standard deviations."""
    expected = np.asarray(expected)
    assert (np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()


def test_frequencies_and_signs(pairs):
    f = 0.4 * sparse_coding.frequencies(0.25, 3, 1)
    np.testing.assert_allclose(f, FREQUENCY, rtol=1e-6)
    s = np.asarray(sparse_coding.latents(pairs, f))
    assert set(np.unique(s)) == {-1.0, 0.0, 1.0}
    within((s != 0).mean(0), FREQUENCY)
    within((s > 0).mean(0), FREQUENCY / 2)
    both = (s[:, :, None] * s[:, None, :]).mean(0)[np.triu_indices(3, 1)]  # features of a pair are independent
    assert (np.abs(both) < 5 / np.sqrt(N)).all()
    across = (s[1:, :, None] * s[:-1, None, :]).mean(0)  # and so are different pairs, each other's negatives
    assert (np.abs(across) < 5 / np.sqrt(N)).all()


def test_tokens_share_sign_and_support(pairs):
    s = np.asarray(sparse_coding.latents(pairs, jnp.asarray(FREQUENCY)))
    z = np.asarray(sparse_coding.token_latents(pairs, jnp.asarray(FREQUENCY), 0.5))
    assert ((z == 0) | (z == s[:, None, None, :])).all()  # sign consistency
    support = z.any(2)
    np.testing.assert_array_equal(support[:, 0], support[:, 1])
    np.testing.assert_array_equal(support[:, 0], s != 0)
    # A token shows its feature with ½; with (½)^4 none of four would, and one is forced.
    shown = (z != 0)[..., 0][s[:, 0] != 0]
    within(shown.mean((0, 1)), 0.5 + 0.5**4 / 4, 2 * len(shown))
    agree = (shown[:, 0] == shown[:, 1]).mean()
    assert 0.45 < agree < 0.55  # views choose their tokens independently


def test_noise_is_white_and_fresh(pairs):
    x = np.asarray(sparse_coding.tokens(pairs, jnp.zeros(3), 0.3))
    assert abs(x.var() / 0.09 - 1) < 5 * np.sqrt(2 / x.size)
    flat = x.reshape(N, -1)
    correlation = flat.T @ flat / N / 0.09 - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 6 * np.sqrt(2 / N)


@pytest.mark.usefixtures("x64")
def test_a_dictionary_is_only_a_basis():
    """Tokens, and neurons, turned by an orthogonal matrix whose first columns are M: equal embeddings."""
    pairs = jax.jit(lambda key: sparse_coding.draw(key, 5, 4, 3, 8))(jax.random.key(0))
    basis = jax.jit(lambda key: sparse_coding.dictionary(key, 8, 8))(jax.random.key(1))
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-12)
    f, neurons = jnp.full(3, 0.7), jax.random.normal(jax.random.key(2), (6, 8))

    @jax.jit
    def tokens_and_embedding(noise, neurons, dictionary):
        x = sparse_coding.tokens(pairs._replace(noise=noise), f, 0.5, dictionary=dictionary)
        return x, attention_encoder.embed(neurons, jnp.full(6, 0.2), x[0, 0], 0.3)

    plain, a = tokens_and_embedding(pairs.noise, neurons, None)
    turned, b = tokens_and_embedding(pairs.noise @ basis.T, neurons @ basis.T, basis[:, :3])
    np.testing.assert_allclose(turned, plain @ basis.T, atol=1e-12)
    np.testing.assert_allclose(a, b, atol=1e-12)


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
    state = EXPERIMENT.init(c, draw)
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
    state = EXPERIMENT.init(c, draw)
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


def test_sets_of_definition_b1_by_hand():
    """Against the inequalities in a loop; lucky neurons are ordinary ones; sizes below Lemma B.2's bound."""
    d, m, epsilon = 50, 4000, 0.9
    a = np.asarray(jax.random.normal(jax.random.key(0), (m, d)), float)
    ordinary = np.asarray(specialization.ordinary_neurons(jnp.asarray(a), epsilon))
    lucky = np.asarray(specialization.lucky_neurons(jnp.asarray(a), epsilon))
    level = np.log(d) / d * (a**2).sum(1)
    c1, c2 = 2 * 1.01 / epsilon**2, 2 * 0.99 * epsilon**2
    for i in range(0, m, 17):
        for j in range(d):
            assert ordinary[i, j] == (a[i, j] ** 2 >= c2 * level[i])
            others = np.delete(a[i], j)
            assert lucky[i, j] == (a[i, j] ** 2 >= c1 * level[i] and (others**2 <= c2 * level[i]).all())
    assert lucky.sum() > 100
    assert not (lucky & ~ordinary).any()
    assert lucky.sum(1).max() == 1
    assert ordinary.sum(0).mean() < theory.ordinary_neurons_bound(m, d, epsilon)
    assert lucky.sum(0).mean() < ordinary.sum(0).mean()


def test_cosines_and_participation():
    w = jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    cos = specialization.cosines(w, 3 * jnp.eye(3)[:2])
    np.testing.assert_allclose(cos, [[0.5**0.5, 0.5**0.5], [0, 0], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(specialization.participation(w), [2, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(specialization.participation(jnp.ones(7)), 7, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_probe_against_least_squares():
    """With next to no ridge: NumPy's least squares with a column of ones, also with a dead coordinate."""
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=(40, 3)) + 2, rng.normal(size=(30, 3)) + 2
    s, r = f @ rng.normal(size=(3, 2)) + rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    solved = np.linalg.lstsq(np.c_[f, np.ones(40)], s, rcond=None)[0]
    expected = ((np.c_[g, np.ones(30)] @ solved - r) ** 2).mean(0)
    np.testing.assert_allclose(specialization.probe_errors(*map(jnp.asarray, (f, s, g, r)), ridge=1e-12), expected)
    dead = [np.c_[v, np.zeros(len(v))] for v in (f, g)]
    found = specialization.probe_errors(
        jnp.asarray(dead[0]), jnp.asarray(s), jnp.asarray(dead[1]), jnp.asarray(r), 1e-12
    )
    np.testing.assert_allclose(found, expected)
    nothing = specialization.probe_errors(jnp.zeros((40, 3)), jnp.asarray(s), jnp.zeros((30, 3)), jnp.asarray(r))
    np.testing.assert_allclose(nothing, ((s.mean(0) - r) ** 2).mean(0))


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
