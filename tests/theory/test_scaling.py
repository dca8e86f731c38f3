"""A network that sums over filters and the one with 1/m that corresponds to it take the same path."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from snljax import theory

CLASSES, M, D, N = 3, 4, 6, 9


def trained(weights, x, targets, q, learning_rate, reduction, keep, steps=12):
    """Outputs (steps, classes, n) of gradient descent on cross-entropy; TopK of each filter in every third step."""
    outputs = []
    for t in range(steps):
        if t % 3 == 2:
            weights = np.where(np.abs(weights) >= np.sort(np.abs(weights), axis=2)[..., -keep, None], weights, 0)
        responses = weights @ x.T
        share = 1 if reduction == "sum" else 1 / M
        logits = share * np.sum(np.maximum(responses, 0) ** q, axis=1)
        outputs.append(logits)
        slope = (np.exp(log_softmax(logits, axis=0)) - targets) / N
        inner = q * np.maximum(responses, 0) ** (q - 1) if q > 1 else (responses > 0).astype(float)
        weights = weights - learning_rate * share * (slope[:, None, :] * inner) @ x
    return np.array(outputs)


@pytest.mark.parametrize(("q", "eta"), [(1, 0.3), (2, 0.2), (3, 0.05)])
def test_the_outputs_are_the_same_at_every_step(q, eta):
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(N, D)), np.eye(CLASSES)[:, np.arange(N) % CLASSES]
    weights = 0.4 * rng.normal(size=(CLASSES, M, D))
    factor = theory.averaged(M, q)
    summed = trained(weights, x, targets, q, eta, "sum", keep=4)
    mean = trained(factor.weights * weights, x, targets, q, factor.learning_rate * eta, "mean", keep=4)
    np.testing.assert_allclose(mean, summed, rtol=1e-9, atol=1e-12)
    assert np.abs(summed[-1] - summed[0]).max() > 0.1
    # The step alone is not enough: the initial weights belong to it.
    unscaled = trained(weights, x, targets, q, factor.learning_rate * eta, "mean", keep=4)
    assert np.abs(unscaled - summed).max() > 0.1


def test_one_filter_needs_no_factor():
    assert [float(f) for f in theory.averaged(1, 3)] == [1.0, 1.0, 1.0]
