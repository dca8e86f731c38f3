"""Descent on the weights and in the span of the data are the same descent."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import descent
from snljax.descent import Vectors


def test_dense_is_one_step_of_gradient_descent_on_a_pytree():
    weights = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
    out = descent.dense(lambda w: jnp.sum(w["a"] ** 2) + 5 * w["b"], weights, 0.25)
    np.testing.assert_array_equal(out["a"], [0.5, -1.0])
    assert float(out["b"]) == 1.75


def test_span_is_one_step_in_closed_form():
    """Loss Σ r²/2 has ∂L/∂r = r = base + cG, so that c <- c - η(base + cG)."""
    x = np.array([[1.0, 2.0], [0.0, 1.0]])
    gram = x @ x.T
    base, c = np.array([1.0, -1.0]), np.array([0.5, 2.0])
    out = descent.span(lambda r: jnp.sum(r**2) / 2, lambda c: c @ gram, jnp.asarray(base), jnp.asarray(c), 0.1)
    np.testing.assert_allclose(out, c - 0.1 * (base + c @ gram), rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", [jnp.tanh, lambda r: jnp.maximum(r, 0.0) ** 2], ids=["tanh", "relu2"])
def test_span_follows_dense_on_any_two_layer_problem(activation):
    """Correlated inputs, more inputs than dimensions, a trained loss of the responses: the weights agree."""
    rng = np.random.default_rng(0)
    n, d, m = 9, 6, 4
    x = jnp.asarray(rng.normal(size=(n, d)) + 0.5)
    weights, second, target = (jnp.asarray(rng.normal(size=s)) for s in ((m, d), (m,), (n,)))

    def loss(responses):
        return jnp.mean((second @ activation(responses) - target) ** 2)

    gram = x @ x.T
    base = weights @ x.T
    w, c = weights, jnp.zeros((m, n))
    start = float(loss(base))
    dense = jax.jit(lambda w: descent.dense(lambda w: loss(w @ x.T), w, 0.005))
    span = jax.jit(lambda c: descent.span(loss, lambda c: c @ gram, base, c, 0.005))
    for _ in range(100):
        w, c = dense(w), span(c)
    assert float(loss(w @ x.T)) < 0.9 * start  # it trained at all
    np.testing.assert_allclose(weights + c @ x, w, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(base + c @ gram, w @ x.T, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_the_gram_step_is_what_moved_weights_respond():
    """Orthogonal signals of norm μ, noise σ ζ on other coordinates: against the vectors themselves."""
    rng = np.random.default_rng(1)
    signals, noise = 1.5 * np.eye(7)[:2], 0.4 * np.c_[np.zeros((5, 2)), rng.normal(size=(5, 5))]
    c = Vectors(jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(rng.normal(size=(3, 5))))
    moved = np.asarray(c.signal) @ signals + np.asarray(c.noise) @ noise
    added = descent.gram_step(c, jnp.asarray(noise @ noise.T) / 0.4**2, 1.5, 0.4)
    np.testing.assert_allclose(added.signal, moved @ signals.T, rtol=1e-12)
    np.testing.assert_allclose(added.noise, moved @ noise.T, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_mini_batch_in_the_span_is_one_on_the_weights():
    """Only the batch's samples get coefficients, one that stands twice gets them twice; all rows are a whole step."""
    rng = np.random.default_rng(2)
    noise, weights = jnp.asarray(rng.normal(size=(6, 8))), jnp.asarray(rng.normal(size=(3, 8)))
    signal, target = jnp.asarray(rng.normal(size=(1, 8))), jnp.asarray(rng.normal(size=6))
    c = Vectors(jnp.asarray(rng.normal(size=(3, 1))), jnp.asarray(rng.normal(size=(3, 6))))
    start = weights + c.signal @ signal + c.noise @ noise

    for rows in (jnp.array([4, 1, 4]), slice(None)):

        def loss(r, rows=rows):
            return jnp.mean((jnp.sum(jnp.tanh(r.noise), axis=0) + jnp.sum(r.signal) - target[rows]) ** 2)

        def respond(w, rows=rows):
            return Vectors(w @ signal.T, w @ noise[rows].T)

        def both(start, c, rows=rows, loss=loss, respond=respond):
            dense = descent.dense(lambda w: loss(respond(w)), start, 0.1)
            return descent.span_rows(loss, respond(start), c, rows, 0.1), dense

        moved, expected = jax.jit(both)(start, c)
        np.testing.assert_allclose(weights + moved.signal @ signal + moved.noise @ noise, expected, atol=1e-12)
        outside = np.setdiff1d(np.arange(6), np.arange(6)[rows])
        np.testing.assert_array_equal(moved.noise[:, outside], c.noise[:, outside])
