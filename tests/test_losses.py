"""Losses against their definitions, penalties against finite differences."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import losses
from snljax.losses import cross_entropy


@pytest.mark.parametrize("classes", [2, 10])
def test_uniform_logits_cost_the_logarithm_of_the_classes(classes):
    found = cross_entropy(jnp.full((4, classes), 7.0), jnp.eye(classes)[jnp.array([0, 1, 1, 0])])
    np.testing.assert_allclose(found, np.log(classes), rtol=1e-6)


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


# --- logistic loss and penalties ------------------------------------------------------------------


def smooth(params, x, y):
    """Any smooth loss of one example will do."""
    hidden = jnp.tanh(params["w"] @ x)
    return losses.logistic(y * (params["v"] @ hidden)) + 0.1 * jnp.sum(hidden**2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("penalty", [losses.per_example_gradient_penalty, losses.full_gradient_penalty])
def test_penalty_and_its_gradient_against_central_differences(penalty):
    """Value from differences of the loss, gradient from differences of the value, both to 1e-6."""
    rng = np.random.default_rng(0)
    params = {"w": jnp.array(rng.normal(size=(3, 4))), "v": jnp.array(rng.normal(size=3))}
    x, y = jnp.array(rng.normal(size=(5, 4))), jnp.array([1.0, -1.0, 1.0, 1.0, -1.0])
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    def differences(f, at, h=1e-5):
        eye = np.eye(len(at))
        return np.array([(f(at + h * e) - f(at - h * e)) / (2 * h) for e in eye])

    own = np.array(
        [differences(lambda p, i=i: float(smooth(unravel(p), x[i], y[i])), np.asarray(flat)) for i in range(5)]
    )
    per_example = penalty is losses.per_example_gradient_penalty
    expected = np.mean(np.sum(own**2, 1)) if per_example else np.sum(own.mean(0) ** 2)
    assert float(penalty(smooth, params, x, y)) == pytest.approx(expected, abs=1e-6)
    value = jax.jit(lambda p: penalty(smooth, unravel(p), x, y))
    np.testing.assert_allclose(
        jax.grad(value)(flat), differences(lambda p: float(value(p)), np.asarray(flat)), atol=1e-6
    )


def test_penalties_agree_where_all_examples_are_equal():
    """And the mean of squares is never below the square of the mean."""
    x, w = jax.random.normal(jax.random.key(0), (6, 4)), jnp.arange(4.0)

    def loss(w, x):
        return losses.logistic(jnp.vdot(w, x))

    same = jnp.broadcast_to(x[0], x.shape)
    one = losses.per_example_gradient_penalty(loss, w, same)
    chex.assert_shape(one, ())
    chex.assert_type(one, jnp.float32)
    np.testing.assert_allclose(one, losses.full_gradient_penalty(loss, w, same), rtol=1e-6)
    assert losses.per_example_gradient_penalty(loss, w, x) > losses.full_gradient_penalty(loss, w, x)


def test_logistic_loss():
    z = np.array([-800.0, -2.0, 0.0, 3.0, 800.0])
    expected = np.array([800.0, np.log1p(np.exp(2)), np.log(2), np.log1p(np.exp(-3)), 0.0])
    np.testing.assert_allclose(losses.logistic(jnp.asarray(z, jnp.float32)), expected, rtol=1e-6)


# --- InfoNCE --------------------------------------------------------------------------------------


info_nce = jax.jit(losses.info_nce, static_argnames="similarity")


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
    ],
)
def test_bad_arguments(one_line, call, texts):
    one_line(lambda: call(jnp.ones((4, 3))), *texts)
