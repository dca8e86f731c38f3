"""The two-layer network against loops in NumPy, and the derivative of ReLU at 0."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.models import two_layer_cnn
from snljax.models.two_layer_cnn import apply, logits_from_responses, relu, relu_power

POINTS = jnp.array([-2.0, -0.0, 0.0, 1e-30, 3.0])


@pytest.mark.parametrize("at_zero", [0.0, 0.25, 0.5, 1.0])
def test_relu_derivative_at_zero(at_zero):
    expected = [0.0, at_zero, at_zero, 1.0, 1.0]
    np.testing.assert_array_equal(jax.vmap(jax.grad(relu), (0, None))(POINTS, at_zero), expected)
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda x, g: relu(x, g).sum()))(POINTS, at_zero), expected)
    _, tangent = jax.jvp(lambda x: relu(x, at_zero), (POINTS,), (jnp.full(5, 2.0),))
    np.testing.assert_array_equal(tangent, 2 * np.array(expected))


def test_relu_derivative_at_zero_is_one_by_default():
    np.testing.assert_array_equal(jax.vmap(jax.grad(relu))(POINTS), [0, 1, 1, 1, 1])


def test_relu_derivative_at_zero_may_differ_across_a_batch():
    at_zero = jnp.array([0.0, 0.5, 1.0])
    slopes = jax.jit(jax.vmap(jax.vmap(jax.grad(relu), (0, None)), (None, 0)))(POINTS, at_zero)
    np.testing.assert_array_equal(slopes, [[0, g, g, 1, 1] for g in (0, 0.5, 1)])


def test_relu_value_does_not_depend_on_the_derivative_and_keeps_nan():
    x = jnp.array([-jnp.inf, -1.0, -0.0, 2.0, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(relu(x, 0.0), [0, 0, 0, 2, np.inf, np.nan])
    np.testing.assert_array_equal(relu(x, 1.0), relu(x, 0.0))
    assert not np.signbit(relu(x)).any()


@pytest.mark.parametrize("q", [1, 1.5, 2, 2.5, 3, 3.0])
def test_relu_power_and_its_derivative_in_closed_form(q):
    x = np.array([-3.0, -0.5, 0.25, 1.0, 2.0])
    positive = np.maximum(x, 0)
    np.testing.assert_allclose(relu_power(jnp.asarray(x, jnp.float32), q), positive**q, rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda x: relu_power(x, q)))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(slope, np.where(x > 0, q * positive ** (q - 1), 0), rtol=1e-6)
    at_zero = jax.grad(lambda x: relu_power(x, q, 0.75))(0.0)
    assert float(at_zero) == (0.75 if q == 1 else 0.0)


@pytest.mark.parametrize("q", [0.5, 0, -1])
def test_relu_power_refuses_q_below_one(q, one_line):
    one_line(lambda: relu_power(POINTS, q), f"q is {q}", "1 or more")


def loop(weights, x, q, reduction):
    """F_j(x), one filter and one patch after the other."""
    logits = np.zeros(weights.shape[0])
    for j, filters in enumerate(weights):
        for w in filters:
            for patch in x:
                logits[j] += max(np.dot(w, patch), 0.0) ** q
    return logits / (weights.shape[1] if reduction == "mean" else 1)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("q", [1, 3])
def test_apply_and_logits_from_responses_against_a_loop(q, reduction):
    rng = np.random.default_rng(0)
    classes, m, d, n, mu = 3, 4, 7, 5, 1.5
    weights, labels = rng.normal(size=(classes, m, d)), np.array([0, 2, 1, 1, 0])
    noise = rng.normal(size=(n, d))
    signals = mu * np.eye(d)[:classes]
    x = np.stack([signals[labels], noise], axis=1)
    expected = np.stack([loop(weights, sample, q, reduction) for sample in x])

    settings = {"q": q, "grad_at_zero": 1.0, "reduction": reduction}
    f32 = jnp.float32
    applied = jax.vmap(lambda x: apply(jnp.asarray(weights, f32), x, **settings))(jnp.asarray(x, f32))
    chex.assert_shape(applied, (n, classes))
    np.testing.assert_allclose(applied, expected, rtol=2e-5)
    from_responses = logits_from_responses(
        jnp.asarray(weights @ signals.T, f32),
        jnp.asarray(weights @ noise.T, f32),
        jnp.asarray(np.eye(classes)[:, labels], f32),
        **settings,
    )
    chex.assert_shape(from_responses, (classes, n))
    np.testing.assert_allclose(from_responses.T, expected, rtol=2e-5)


def test_mean_is_sum_over_m():
    weights = jax.random.normal(jax.random.key(0), (2, 4, 6))
    x = jax.random.normal(jax.random.key(1), (2, 6))
    np.testing.assert_allclose(4 * apply(weights, x, reduction="mean"), apply(weights, x), rtol=1e-6)


def test_patch_order_and_filter_order_change_nothing():
    weights = jax.random.normal(jax.random.key(0), (2, 4, 6))
    x = jax.random.normal(jax.random.key(1), (3, 6))
    logits = apply(weights, x)
    np.testing.assert_allclose(apply(weights, x[jnp.array([2, 0, 1])]), logits, rtol=1e-6)
    np.testing.assert_allclose(apply(weights[:, ::-1], x), logits, rtol=1e-6)
    np.testing.assert_allclose(apply(weights[::-1], x), logits[::-1], rtol=1e-6)


@pytest.mark.parametrize("q", [1, 2, 3])
def test_homogeneous_of_degree_q_in_the_weights(q):
    weights = jax.random.normal(jax.random.key(0), (2, 4, 6))
    x = jax.random.normal(jax.random.key(1), (2, 6))
    np.testing.assert_allclose(apply(3 * weights, x, q=q), 3**q * apply(weights, x, q=q), rtol=1e-5)


def test_sum_filters_reduces_the_named_axis():
    x = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(two_layer_cnn.sum_filters(x, 1, "sum"), np.arange(24.0).reshape(2, 3, 4).sum(1))
    np.testing.assert_array_equal(two_layer_cnn.sum_filters(x, -1, "mean"), np.arange(24.0).reshape(2, 3, 4).mean(-1))
