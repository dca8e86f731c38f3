"""Bilateral ReLU, and attention whose weights are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from snljax.models import attention_encoder


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
