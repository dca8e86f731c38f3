"""Paper 001: training against explicit matrices A_k = U·D_k, span against dense, class sizes, batches, tails."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import snljax as snl
from snljax import theory
from snljax.experiments import heterogeneous_noise
from snljax.experiments.heterogeneous_noise import EXPERIMENT, Config

SMALL = {"capacity": 6, "n_test": 30, "d": 20, "m": 4, "num_classes": 3, "samples_per_class": 5, "steps": 10}
SMALL |= {"noise_correlation": 3.0, "minority_fraction": 0.6, "learning_rate": 0.2}


def config(**settings) -> Config:
    """A Config as the engine hands it over: traced fields are strong arrays."""
    kinds = {int: jnp.int32, float: jnp.zeros(()).dtype}
    return jax.tree.map(lambda v: jnp.asarray(v, kinds[type(v)]), Config(**(SMALL | settings)))


@functools.cache
def _drawn(capacity: int, distribution: str, x64: bool) -> heterogeneous_noise.Draw:
    with jax.enable_x64(x64):
        return jax.jit(EXPERIMENT.draw)(config(capacity=capacity, noise_distribution=distribution), jax.random.key(0))


def drawn(c: Config) -> heterogeneous_noise.Draw:
    return _drawn(c.capacity, c.noise_distribution, jnp.zeros(()).dtype == jnp.float64)


@jax.jit
def train(c: Config, draw: heterogeneous_noise.Draw, steps: int):
    return lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, draw, s, t), EXPERIMENT.init(c, draw))


measure = jax.jit(EXPERIMENT.measure)
batch_of = jax.jit(heterogeneous_noise.batch_of)


def weights_of(c: Config, draw: heterogeneous_noise.Draw, state) -> np.ndarray:
    return np.asarray(heterogeneous_noise.weights_of(c, draw, state))


# --- against the paper's matrices --------------------------------------------------------------------


def explicit(c: Config, zeta: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features u_k (K, d) and noise patches (K, n, d) with A_k = U·D_k as matrices, from their definition."""
    k, d = c.num_classes, c.d
    lam = float(theory.eigenvalue_for_noise_correlation(float(c.noise_correlation), d, k))
    features = float(c.u_norm) * np.eye(k, d) @ u.T
    noise = np.empty_like(zeta)
    for j in range(k):
        diagonal = np.full(d, 0.5)
        diagonal[:k], diagonal[k + j] = 0, lam
        noise[j] = zeta[j] @ (u @ np.diag(diagonal)).T
        assert np.abs(features @ u @ np.diag(diagonal)).max() < 1e-12  # u_kᵀ A = 0
    return features, noise


def numpy_training(c: Config, w: np.ndarray, features: np.ndarray, noise: np.ndarray, sizes, steps: int) -> np.ndarray:
    """Full-batch descent on cross-entropy in the original basis, gradient by hand."""
    labels = np.repeat(np.arange(c.num_classes), sizes)
    x = np.concatenate([noise[k, :size] for k, size in enumerate(sizes)])
    mean = 1 / c.m if c.filter_reduction == "mean" else 1.0
    for _ in range(steps):
        signal, other = np.einsum("jrd,id->jri", w, features[labels]), np.einsum("jrd,id->jri", w, x)
        logits = mean * (np.maximum(signal, 0) + np.maximum(other, 0)).sum(1)
        p = np.exp(logits - logits.max(0))
        residual = p / p.sum(0) - np.eye(c.num_classes)[labels].T  # (K, n)
        gradient = np.einsum("ji,jri,id->jrd", residual, signal >= 0, features[labels])
        gradient += np.einsum("ji,jri,id->jrd", residual, other >= 0, x)
        w = w - float(c.learning_rate) * mean * gradient / len(labels)
    return w


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("descent", ["span", "dense"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_training_against_explicit_matrices(descent, reduction):
    """Turned by a random orthogonal U, with A_k written out: equal weights, losses and accuracies, to 1e-10."""
    c = config(descent=descent, filter_reduction=reduction)
    draw = drawn(c)
    u = np.linalg.qr(np.random.default_rng(0).normal(size=(c.d, c.d)))[0]
    features, noise = explicit(c, np.asarray(draw.train), u)
    start = np.asarray(draw.weights) / np.sqrt(c.d) @ u.T
    expected = numpy_training(c, start, features, noise, [3, 5, 5], 10)  # 0.6 · 5 = 3 of class 0
    state = train(c, draw, 10)
    np.testing.assert_allclose(weights_of(c, draw, state) @ u.T, expected, atol=1e-10)

    _, tested = explicit(c, np.asarray(draw.test), u)
    mean = 1 / c.m if reduction == "mean" else 1.0
    of_feature = np.maximum(np.einsum("jrd,kd->jrk", expected, features), 0).sum(1)
    of_noise = np.maximum(np.einsum("jrd,kid->jrki", expected, tested), 0).sum(1)
    logits = mean * (of_feature[:, :, None] + of_noise)  # (j, k, i)
    hits = logits.argmax(0) == np.arange(c.num_classes)[:, None]
    m = measure(c, draw, state)
    np.testing.assert_allclose(m.class_accuracy, hits.mean(1), atol=1e-12)
    own = np.einsum("kki->ki", logits)
    np.testing.assert_allclose(m.test_loss, (np.log(np.exp(logits).sum(0)) - own).mean(), rtol=1e-9)


def test_span_equals_dense_in_single_precision():
    a, b = (config(descent=kind) for kind in ("span", "dense"))
    draw = drawn(a)
    first, second = (weights_of(c, draw, train(c, draw, 10)) for c in (a, b))
    chex.assert_type(first, jnp.float32)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_the_traced_eigenvalue_is_the_theory_s():
    for gamma in (1.0, 1.2, 10.0, 1400.0):
        found = float(heterogeneous_noise.eigenvalue(config(noise_correlation=gamma, d=1000, num_classes=5)))
        assert found == pytest.approx(float(theory.eigenvalue_for_noise_correlation(gamma, 1000, 5)), rel=1e-5)


@pytest.mark.parametrize(("kind", "fourth"), [("gaussian", 3.0), ("uniform", 1.8), ("rademacher", 1.0)])
def test_noise_distributions(kind, fourth):
    """Variance 1 and the fourth moment of each."""
    zeta = np.asarray(drawn(config(noise_distribution=kind, capacity=200)).train)
    n = zeta.size
    assert abs(zeta.mean()) < 5 / np.sqrt(n)
    assert abs((zeta**2).mean() - 1) < 5 * np.sqrt(max(fourth - 1, 1e-9) / n) + 1e-6
    assert abs((zeta**4).mean() - fourth) < 0.15


# --- class sizes and batches -------------------------------------------------------------------------


def test_capacity_changes_nothing():
    """Samples that are drawn and not used do not matter, and more of them leave the first ones alone."""
    small, large = config(capacity=6), config(capacity=9)
    a, b = drawn(small), drawn(large)
    np.testing.assert_array_equal(a.train, b.train[:, :6])
    np.testing.assert_array_equal(a.test, b.test)
    first, second = (measure(c, d, train(c, d, 10)) for c, d in ((small, a), (large, b)))
    for name in ("train_loss", "test_loss", "train_accuracy", "noise", "tail_level"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-5, err_msg=name)


def test_class_sizes():
    for each, share, sizes in ((5, 0.6, [3, 5, 5]), (6, 1.0, [6, 6, 6]), (4, 0.01, [1, 4, 4])):
        active = np.asarray(heterogeneous_noise.active_samples(config(samples_per_class=each, minority_fraction=share)))
        assert active.reshape(3, 6).sum(1).tolist() == sizes


def test_mini_batches_go_through_all_samples():
    """13 samples in batches of 4: four updates an epoch, each sample once, and epochs differ."""
    c = config(batch_size=4)
    draw = drawn(c)
    used = np.zeros((8, 18))
    for t in range(8):
        rows, shares = batch_of(c, draw, jnp.int32(t))
        np.add.at(used[t], np.asarray(rows), np.asarray(shares))
    np.testing.assert_allclose(used.sum(1), 1.0, rtol=1e-6)
    assert (used > 0).sum(1).tolist() == [4, 4, 4, 1] * 2
    active = np.asarray(heterogeneous_noise.active_samples(c))
    for epoch in (used[:4], used[4:]):
        np.testing.assert_array_equal((epoch > 0).sum(0), active)
    assert ((used[:4] > 0) != (used[4:] > 0)).any()
    dense = config(batch_size=4, descent="dense")
    np.testing.assert_allclose(
        weights_of(c, draw, train(c, draw, 6)), weights_of(dense, draw, train(dense, draw, 6)), atol=1e-5
    )
    whole, all_at_once = config(), config(batch_size=18)
    a, b = (train(c, draw, 5) for c in (whole, all_at_once))
    chex.assert_trees_all_close(a, b, atol=1e-6)


def test_tail_bins():
    """Fifths by level, lowest first."""
    level = jnp.array([[5.0, 1.0, 3.0, 2.0, 4.0], [10.0, 20.0, 30.0, 40.0, 50.0]])
    mean_level, accuracy = heterogeneous_noise.by_tail(level, (level > 2.5).astype(jnp.float32))
    np.testing.assert_allclose(mean_level, [5.5, 11, 16.5, 22, 27.5])
    np.testing.assert_allclose(accuracy, [0.5, 0.5, 1, 1, 1])


def test_one_program_for_all_axes():
    once = EXPERIMENT._replace(step=chex.assert_max_traces(EXPERIMENT.step, n=1))
    axes = {"u_norm": [0.01, 2.0], "noise_correlation": [1.0, 50.0], "samples_per_class": [2, 6]}
    ds = snl.sweep(snl.Grid(once, **(SMALL | axes)), progress=False, devices=1, block=(1, 8))
    assert ds.attrs["programs_compiled"] == 1
    assert ds.tail_accuracy.dims[-1:] == ds.equivalent_noise_accuracy.dims[-1:] == ("tail_bin",)
    assert bool((ds.tail_level.diff("tail_bin") >= 0).all())
    assert bool((ds.equivalent_noise.diff("tail_bin") >= 0).all())
    assert bool((ds.equivalent_noise >= 0).all())
    assert bool(np.isfinite(ds.test_loss).all())
    assert (ds.test_accuracy.sel(u_norm=2.0).mean() > ds.test_accuracy.sel(u_norm=0.01).mean()).item()


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"noise_correlation": 0.9}, ["noise_correlation", "0.9", "[1, inf)"]),
        ({"samples_per_class": [50, 101]}, ["samples_per_class", "101", "capacity = 100"]),
        ({"minority_fraction": 0.0}, ["minority_fraction", "0.0", "(0, 1]"]),
        ({"num_classes": 500}, ["d is 1000", "1001 or more"]),
        ({"n_test": 3}, ["n_test", "3", "num_classes = 5"]),
        ({"noise_distribution": "laplace"}, ["noise_distribution", "rademacher"]),
    ],
)
def test_bad_input(one_line, settings, texts):
    one_line(lambda: snl.Grid("heterogeneous_noise", **settings), *texts)
