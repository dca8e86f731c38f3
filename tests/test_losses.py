"""Cross-entropy against its definition."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.losses import cross_entropy


@pytest.mark.parametrize("classes", [2, 10])
def test_uniform_logits_cost_the_logarithm_of_the_classes(classes):
    losses = cross_entropy(jnp.full((4, classes), 7.0), jnp.eye(classes)[jnp.array([0, 1, 1, 0])])
    np.testing.assert_allclose(losses, np.log(classes), rtol=1e-6)


def test_definition_and_gradient():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)), np.array([0, 3, 1, 2, 2, 0])
    target = np.eye(4)[labels]
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    f, y = jnp.asarray(logits, jnp.float32), jnp.asarray(target, jnp.float32)
    np.testing.assert_allclose(cross_entropy(f, y), -np.log(softmax[np.arange(6), labels]), rtol=1e-5)
    gradient = jax.grad(lambda f: cross_entropy(f, y).sum())(f)
    np.testing.assert_allclose(gradient, softmax - target, atol=1e-6)


def test_is_shift_invariant_and_stable():
    y = jnp.array([1.0, 0.0, 0.0])
    shifted = cross_entropy(jnp.array([5.0, 3.0, 4.0]) + 1000, y)
    np.testing.assert_allclose(shifted, np.log(1 + np.exp(-2) + np.exp(-1)), rtol=1e-6)
    assert float(cross_entropy(jnp.array([-1e4, 0.0, 0.0]), y)) == pytest.approx(1e4 + np.log(2))
