"""Single-head self-attention followed by bilateral-ReLU neurons, summed over the tokens."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Attention(NamedTuple):
    """W_Q, W_K, W_V, each of shape (d1, d1)."""

    query: jax.Array
    key: jax.Array
    value: jax.Array


@jax.custom_jvp
def brelu(s: jax.Array, b: jax.Array) -> jax.Array:
    r"""Bilateral ReLU.

    .. math:: \mathrm{BReLU}_b(s) = \mathrm{ReLU}(s - b) - \mathrm{ReLU}(-s - b), \qquad
              \partial_s = \mathbb 1[|s| \ge b]

    Args:
        s: any shape.
        b: threshold >= 0, broadcastable against s; at 0 it is the identity.

    Returns:
        Same shape as s. The derivative at |s| = b is 1, as the paper's gradient has it.

    Example:
        >>> import jax.numpy as jnp
        >>> brelu(jnp.array([-3.0, -0.5, 2.0]), jnp.array([1.0, 1.0, 1.0])).tolist()
        [-2.0, 0.0, 1.0]

    Source: paper 004 (contrastive learning under imbalance), before eq. 4; derivative: eq. 21.
    """
    return jnp.where(jnp.abs(s) < b, jnp.zeros_like(s), s - jnp.sign(s) * b)


@brelu.defjvp
def _brelu_jvp(primals, tangents):
    s, b = primals
    passes = jnp.where(jnp.abs(s) < b, jnp.zeros_like(s), jnp.ones_like(s))
    return brelu(s, b), passes * tangents[0] - passes * jnp.sign(s) * tangents[1]


def attention_weights(x: jax.Array, scale: float | jax.Array, weights: Attention | None = None) -> jax.Array:
    r"""Softmax of the scores of each token with all tokens.

    .. math:: P_{rl} = \operatorname{softmax}_l \bigl(c\, \langle W_Q x^{(r)}, W_K x^{(l)} \rangle\bigr)

    Args:
        x: tokens of one sequence, shape (L, d1).
        scale: c.
        weights: W_Q, W_K, W_V; None for identities.

    Returns:
        P, shape (L, L); rows sum to 1.

    Example:
        >>> import jax.numpy as jnp
        >>> attention_weights(jnp.zeros((2, 3)), scale=1.0).tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Source: paper 004 (contrastive learning under imbalance), eq. 4.
    """
    queries, keys = (x, x) if weights is None else (x @ weights.query.T, x @ weights.key.T)
    return jax.nn.softmax(scale * (queries @ keys.T), axis=-1)


def embed(
    neurons: jax.Array,
    bias: jax.Array,
    x: jax.Array,
    scale: float | jax.Array,
    weights: Attention | None = None,
) -> jax.Array:
    r"""Embedding of one sequence.

    .. math:: h_i = \sum_{r=1}^L \mathrm{BReLU}_{b_i}\bigl(\langle w_i, z^{(r)} \rangle\bigr), \qquad
              z^{(r)} = \sum_l P_{rl} W_V x^{(l)}

    Args:
        neurons: w, shape (m, d1).
        bias: b, shape (m,).
        x: tokens of one sequence, shape (L, d1).
        scale: factor in the softmax of the attention.
        weights: W_Q, W_K, W_V; None for identities.

    Returns:
        h, shape (m,).

    Example:
        >>> import jax.numpy as jnp
        >>> embed(jnp.eye(2), jnp.zeros(2), jnp.ones((3, 2)), scale=1.0).tolist()
        [3.0, 3.0]

    Source: paper 004 (contrastive learning under imbalance), eq. 4.
    """
    values = x if weights is None else x @ weights.value.T
    # Attention mixes the responses instead of the tokens: the same numbers, and m is far below d1.
    return embed_responses(attention_weights(x, scale, weights), values @ neurons.T, bias)


def embed_responses(attention: jax.Array, responses: jax.Array, bias: jax.Array) -> jax.Array:
    r"""Embedding of one sequence from what its tokens have in common and what the neurons respond to them.

    .. math:: h_i = \sum_r \mathrm{BReLU}_{b_i}\Bigl(\sum_l P_{rl} \langle w_i, x^{(l)} \rangle\Bigr)

    Args:
        attention: P, shape (L, L).
        responses: ⟨w_i, W_V x^(l)⟩, shape (L, m).
        bias: b, shape (m,).

    Returns:
        h, shape (m,).

    Example:
        >>> import jax.numpy as jnp
        >>> embed_responses(jnp.eye(2), jnp.array([[1.0], [2.0]]), jnp.ones(1)).tolist()
        [1.0]

    Source: paper 004 (contrastive learning under imbalance), eq. 4.
    """
    mixed = attention @ responses
    return jnp.sum(brelu(mixed, jnp.broadcast_to(bias[None, :], mixed.shape)), axis=0)
