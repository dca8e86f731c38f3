"""Linear probes against scikit-learn, and what they must not notice."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from snljax.measures import alignment, probe

N, D, CLASSES = 60, 4, 3
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % CLASSES
FEATURES = (RNG.normal(size=(N, D)) * [1.0, 10.0, 0.1, 3.0] + 1.5 * np.eye(CLASSES, D)[LABELS] + 5).astype("float32")
ONE_HOT = np.eye(CLASSES, dtype="float32")[LABELS]
WEIGHTS = RNG.uniform(0.1, 2.0, N).astype("float32")
EVEN = jnp.ones(N)


def test_ridge_is_that_of_sklearn():
    """Their penalty is of the sum of squares, ours of the weighted mean, in units of the features' mean variance."""
    found = probe.ridge(FEATURES, ONE_HOT, WEIGHTS, 0.05)
    share = WEIGHTS / WEIGHTS.sum()
    variance = (share @ (FEATURES - share @ FEATURES) ** 2).mean()
    theirs = Ridge(alpha=0.05 * variance * WEIGHTS.sum()).fit(FEATURES, ONE_HOT, sample_weight=WEIGHTS)
    np.testing.assert_allclose(found.weights, theirs.coef_.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.bias, theirs.intercept_, rtol=1e-3, atol=1e-4)


def test_logistic_is_that_of_sklearn():
    found = jax.jit(probe.logistic)(FEATURES, ONE_HOT, WEIGHTS, 0.01)
    share = WEIGHTS / WEIGHTS.sum()
    mean = share @ FEATURES
    spread = np.sqrt(share @ (FEATURES - mean) ** 2)
    theirs = LogisticRegression(C=1 / (0.01 * WEIGHTS.sum()), tol=1e-8, max_iter=1000)
    theirs.fit((FEATURES - mean) / spread, LABELS, sample_weight=WEIGHTS)
    np.testing.assert_allclose(found.weights * spread[:, None], theirs.coef_.T, atol=2e-3)
    ours, wanted = FEATURES @ found.weights + found.bias[None, :], theirs.decision_function((FEATURES - mean) / spread)
    np.testing.assert_allclose(ours - ours.mean(1, keepdims=True), wanted, atol=5e-3)


@pytest.mark.parametrize("fitted", [probe.ridge, jax.jit(probe.logistic)], ids=["ridge", "logistic"])
def test_scale_shift_and_samples_without_weight_change_nothing(fitted):
    def hits(features, weights=EVEN):
        return probe.accuracy(fitted(features, ONE_HOT, weights), features, LABELS)

    np.testing.assert_array_equal(hits(FEATURES), hits(8 * FEATURES + 3))
    half = jnp.where(jnp.arange(N) < 30, 1.0, 0.0)
    wrong = FEATURES.copy()
    wrong[30:] = RNG.normal(size=(30, D)) * 100
    a, b = (fitted(x, ONE_HOT, half) for x in (FEATURES, wrong))
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-3, atol=1e-5)


def test_features_that_say_nothing_and_outputs_that_are_no_numbers():
    constant = probe.ridge(jnp.ones((N, D)), ONE_HOT, EVEN)
    np.testing.assert_allclose(constant.weights, np.zeros((D, CLASSES)), atol=1e-3)
    np.testing.assert_allclose(constant.bias, np.full(CLASSES, 1 / CLASSES), atol=1e-3)
    broken = probe.ridge(jnp.full((N, D), jnp.nan), ONE_HOT, EVEN)
    assert np.isnan(probe.accuracy(broken, FEATURES, LABELS)).all()


def test_alignment_and_uniformity_by_loops():
    first, second = RNG.normal(size=(2, 7, 3))
    f, g = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    distance = np.mean([np.sum((a - b) ** 2) for a, b in zip(f, g, strict=True)])
    assert float(alignment.positive_distance(first, second)) == pytest.approx(distance, rel=1e-5)
    pairs = [np.exp(-2 * np.sum((f[i] - f[j]) ** 2)) for i in range(7) for j in range(7) if i != j]
    assert float(alignment.uniformity(first)) == pytest.approx(np.log(np.mean(pairs)), rel=1e-4)
