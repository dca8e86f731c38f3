"""The signal-noise decomposition of Definition 5.1 of paper 000."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import topk_reference as reference
from harness import SMALL

from snljax.experiments.topk_pruning import EXPERIMENT, Config
from snljax.measures.decomposition import Decomposition, coefficient_ratio, project


def test_project_recovers_planted_coefficients():
    rng = np.random.default_rng(0)
    d, n, classes = 20, 7, 3
    signals = 1.5 * np.eye(d)[:classes]
    noise = 0.8 * rng.normal(size=(n, d)) * (np.arange(d) >= classes)
    gamma, rho = rng.normal(size=(2, 4, classes)), rng.normal(size=(2, 4, n))
    change = gamma @ (signals / 1.5**2) + rho @ (noise / (noise**2).sum(1, keepdims=True))
    found = project(*(jnp.asarray(a, jnp.float32) for a in (change, signals, noise)))
    chex.assert_shape([found.gamma, found.rho], [(2, 4, classes), (2, 4, n)])
    np.testing.assert_allclose(found.gamma, gamma, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.rho, rho, rtol=1e-4, atol=1e-4)


def test_project_ignores_what_is_orthogonal_to_the_data():
    change = jnp.array([2.0, 6.0, 5.0])
    found = project(change, jnp.array([[2.0, 0.0, 0.0]]), jnp.array([[0.0, 3.0, 0.0]]))
    np.testing.assert_allclose(found.gamma, [4.0], rtol=1e-6)  # 2 = γ 2/4
    np.testing.assert_allclose(found.rho, [18.0], rtol=1e-6)  # 6 = ρ 3/9


def test_project_refuses_coefficients_that_are_not_unique(one_line):
    one_line(lambda: project(jnp.ones(4), jnp.eye(4)[:2], jnp.ones((3, 4))), "5 vectors", "4 dimensions")


@pytest.fixture(scope="module")
def trained():
    """A run in the span without pruning, n = 8 <= (24 - 3)/2, its metrics, and the oracle's float64 weights."""
    made = Config(**(SMALL | {"n": 8, "sigma_p": 0.8, "learning_rate": 0.1}), first_prune=None, decomposition=True)
    config = jax.tree.map(lambda v: jnp.asarray(v, {int: jnp.int32, float: jnp.float32}[type(v)]), made)
    draw = jax.jit(EXPERIMENT.draw)(config, jax.random.key(7))
    state = EXPERIMENT.init(config, draw)
    state = jax.jit(
        lambda c, d, s: jax.lax.fori_loop(0, 200, lambda t, s: EXPERIMENT.step(c, d, s, t), s)
    )(config, draw, state)  # fmt: skip
    problem = reference.problem(config, draw)
    return problem, reference.train(config, problem, 200), jax.jit(EXPERIMENT.measure)(config, draw, state)


def test_span_records_the_coefficients_of_the_weights(trained):
    """γ and ρ of the span against least squares on weights that were trained in weight space: 1e-4 relative."""
    problem, run, metrics = trained
    vectors = np.concatenate([np.eye(24)[:3], problem.x[:, 1]])
    scaled = vectors / (vectors**2).sum(1, keepdims=True)
    change = (run.weights - problem.weights).reshape(-1, 24)
    solution, residual, rank, _ = np.linalg.lstsq(scaled.T, change.T, rcond=None)
    assert rank == 11
    assert residual.max() < 1e-20  # descent moves weights along the data only
    solution = solution.T.reshape(3, 4, 11)
    close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(solution).max()}
    assert np.abs(solution).max() > 0.5
    np.testing.assert_allclose(metrics.gamma, solution[..., :3], **close)
    np.testing.assert_allclose(metrics.rho_bar + metrics.rho_underbar, solution[..., 3:], **close)
    np.testing.assert_allclose(metrics.rho_max, solution[..., 3:].max(), rtol=1e-4)

    projected = project(
        jnp.asarray(change.reshape(3, 4, 24), jnp.float32),
        jnp.eye(24)[:3],
        jnp.asarray(problem.x[:, 1], jnp.float32),
    )
    np.testing.assert_allclose(projected.gamma, solution[..., :3], **close)
    np.testing.assert_allclose(projected.rho, solution[..., 3:], **close)


def test_coefficients_are_of_all_updates_across_prunings():
    """γ and ρ against the oracle's updates, each by least squares, added up; a pruning between adds nothing."""
    every, first, steps = 7, 5, 40
    fields = SMALL | {"n": 8, "sigma_p": 0.8, "learning_rate": 0.1, "K": 6, "prune_every": every, "first_prune": first}
    made = Config(**fields, decomposition=True)
    config = jax.tree.map(lambda v: jnp.asarray(v, {int: jnp.int32, float: jnp.float32}[type(v)]), made)
    draw = jax.jit(EXPERIMENT.draw)(config, jax.random.key(7))
    state = jax.jit(
        lambda c, d, s: jax.lax.fori_loop(0, steps, lambda t, s: EXPERIMENT.step(c, d, s, t), s)
    )(config, draw, EXPERIMENT.init(config, draw))  # fmt: skip
    metrics = jax.jit(EXPERIMENT.measure)(config, draw, state)

    problem, unpruned = reference.problem(config, draw), dataclasses.replace(made, first_prune=None)
    vectors = np.concatenate([np.eye(24)[:3], problem.x[:, 1]])
    scaled = vectors / (vectors**2).sum(1, keepdims=True)
    weights, gathered, prunings = problem.weights, np.zeros((3, 4, 11)), 0
    for t in range(steps):
        if t >= first and (t - first) % every == 0:
            weights, prunings = weights * reference.topk(weights, 6), prunings + 1
        after = reference.train(unpruned, problem._replace(weights=weights), 1).weights
        change = (after - weights).reshape(-1, 24)
        gathered += np.linalg.lstsq(scaled.T, change.T, rcond=None)[0].T.reshape(3, 4, 11)
        weights = after
    assert prunings == 5
    close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(gathered).max()}
    np.testing.assert_allclose(metrics.gamma, gathered[..., :3], **close)
    np.testing.assert_allclose(metrics.rho_bar + metrics.rho_underbar, gathered[..., 3:], **close)
    assert metrics.rho_max < gathered[..., 3:].max()  # of the last 5 updates only


def test_signs_of_the_recorded_coefficients(trained):
    """ρ̄ collects what grows (own class), ρ̲ what shrinks (other classes): Definition 5.1 and the residuals' signs."""
    problem, _, metrics = trained
    own = np.arange(3)[:, None, None] == problem.y[None, None, :]
    own = np.broadcast_to(own, metrics.rho_bar.shape)
    assert np.all(np.asarray(metrics.rho_bar) >= 0)
    assert np.all(np.asarray(metrics.rho_underbar) <= 0)
    np.testing.assert_array_equal(np.asarray(metrics.rho_underbar)[own], 0.0)
    np.testing.assert_array_equal(np.asarray(metrics.rho_bar)[~own], 0.0)


def test_recorded_ratio_is_that_of_the_recorded_coefficients(trained):
    """Proposition 5.2, filter by filter and sample by sample in Python."""
    problem, _, metrics = trained
    gamma, rho = np.asarray(metrics.gamma), np.asarray(metrics.rho_bar + metrics.rho_underbar)
    of_signal = [gamma[t, r, t] for t in range(3) for r in range(4) if problem.weights[t, r, t] > 0]
    of_noise = [
        rho[y, r, i]
        for i, y in enumerate(problem.y)
        for r in range(4)
        if problem.weights[y, r] @ problem.x[i, 1] > 0
    ]  # fmt: skip
    np.testing.assert_allclose(metrics.coefficient_ratio, np.mean(of_signal) / np.mean(of_noise), rtol=1e-4)
    np.testing.assert_allclose(metrics.coefficient_ratio_low, min(of_signal) / max(of_noise), rtol=1e-4)
    np.testing.assert_allclose(metrics.coefficient_ratio_high, max(of_signal) / min(of_noise), rtol=1e-4)


def test_coefficient_ratio_by_hand():
    """Two classes, two filters, labels 1, 0, 1; only filters that are active at the start count, own class only."""
    gamma = jnp.array([[[4.0, -9.0], [100.0, -9.0]], [[-9.0, 2.0], [-9.0, 6.0]]])
    signal = jnp.array([[[1.0, 1.0], [-1.0, 1.0]], [[1.0, 2.0], [1.0, 3.0]]])
    rho = jnp.array([[[-7.0, 1.0, -7.0], [-7.0, 50.0, -7.0]], [[2.0, -7.0, 60.0], [4.0, -7.0, 5.0]]])
    noise = jnp.array([[[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], [[1.0, 1.0, -1.0], [1.0, 1.0, 1.0]]])
    bounds = coefficient_ratio(Decomposition(gamma, rho), signal, noise, jnp.array([1, 0, 1]))
    # γ: 4, 2, 6 (100 is inactive); ρ: 2, 4, 1, 5 (50 and 60 are inactive).
    np.testing.assert_allclose(bounds.low, 2 / 5)
    np.testing.assert_allclose(bounds.high, 6 / 1)
    np.testing.assert_allclose(bounds.typical, 4 / 3, rtol=1e-6)


def test_coefficient_ratio_is_undefined_before_the_first_step():
    zero = Decomposition(jnp.zeros((2, 3, 2)), jnp.zeros((2, 3, 4)))
    bounds = coefficient_ratio(zero, jnp.ones((2, 3, 2)), jnp.ones((2, 3, 4)), jnp.array([0, 1, 1, 0]))
    assert all(np.isnan(b) for b in bounds)
