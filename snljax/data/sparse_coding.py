"""Sparse coding data for contrastive learning: tokens M z + ξ, in positive pairs that share their features."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Pairs(NamedTuple):
    """Standardised pairs: what is random, before any frequency or strength is applied.

    sign: ±1, shape (n, d). active: uniform, shape (n, d): feature j is in pair i where it is below the
    feature's frequency. shown: uniform, shape (n, 2, L, d): which tokens of each view show it.
    noise: unit normals, shape (n, 2, L, d1).
    """

    sign: jax.Array
    active: jax.Array
    shown: jax.Array
    noise: jax.Array


def frequencies(epsilon_min: float | jax.Array, d: int, num_minority: int) -> jax.Array:
    r"""Relative frequencies ε_j: 1 for majority features, ε_min for the last ``num_minority``.

    .. math:: \epsilon_j = 1 \;(j < d - k), \qquad \epsilon_j = \epsilon_\mathrm{min} \;(j \ge d - k)

    Args:
        epsilon_min: ε_min, in (0, 1]; may be traced.
        d: number of features.
        num_minority: k, 0 to d.

    Returns:
        ε, shape (d,).

    Example:
        >>> frequencies(0.5, d=3, num_minority=1).tolist()
        [1.0, 1.0, 0.5]

    Source: paper 004 (contrastive learning under imbalance), Definition 3.1.
    """
    return jnp.where(jnp.arange(d) < d - num_minority, 1.0, epsilon_min)


def dictionary(key: jax.Array, d1: int, d: int) -> jax.Array:
    r"""A random column-orthonormal dictionary.

    .. math:: M \in \mathbb R^{d_1 \times d}, \qquad M^\top M = I

    Args:
        key: a JAX random key.
        d1: token dimension.
        d: number of features, at most d1.

    Returns:
        M, shape (d1, d), uniform over such matrices.

    Raises:
        ValueError: if d > d1.

    Example:
        >>> import jax
        >>> m = dictionary(jax.random.key(0), d1=20, d=3)
        >>> m.shape, bool(abs(m.T @ m - jnp.eye(3)).max() < 1e-5)
        ((20, 3), True)

    Source: paper 004 (contrastive learning under imbalance), Assumption 3.1.
    """
    if d > d1:
        raise ValueError(f"dictionary: d is {d} with d1 = {d1}; allowed: at most as many features as dimensions")
    q, r = jnp.linalg.qr(jax.random.normal(key, (d1, d)))
    return q * jnp.sign(jnp.diagonal(r))[None, :]  # without the signs it is not uniform


def draw(key: jax.Array, n: int, tokens: int, d: int, d1: int) -> Pairs:
    """What is random in n positive pairs.

    Args:
        key: a JAX random key.
        n: pairs.
        tokens: L, tokens of each view.
        d: features.
        d1: token dimension.

    Returns:
        Pairs.

    Example:
        >>> import jax
        >>> draw(jax.random.key(0), n=5, tokens=4, d=3, d1=20).noise.shape
        (5, 2, 4, 20)
    """
    feature_key, noise_key = jax.random.split(key)
    uniform = jax.random.uniform(feature_key, (n, 2 + 2 * tokens, d))
    sign = jnp.where(uniform[:, 0] < 0.5, -1.0, 1.0)
    shown = uniform[:, 2:].reshape(n, 2, tokens, d)
    return Pairs(sign, uniform[:, 1], shown, jax.random.normal(noise_key, (n, 2, tokens, d1)))


def latents(pairs: Pairs, frequency: jax.Array) -> jax.Array:
    r"""The features of each pair, with their signs.

    .. math:: s_j \in \{-1, 0, 1\}, \qquad P(s_j \ne 0) = f_j

    Args:
        pairs: from `draw`.
        frequency: f, the probability of each feature, shape (d,).

    Returns:
        s, shape (n, d); both views of the pair share it.

    Example:
        >>> import jax
        >>> latents(draw(jax.random.key(0), 2, 4, 3, 5), jnp.ones(3)).shape
        (2, 3)

    Source: paper 004 (contrastive learning under imbalance), Assumptions 3.2 and 3.4 and Definition 3.1.
    """
    return pairs.sign * (pairs.active < frequency[None, :])


def token_latents(pairs: Pairs, frequency: jax.Array, show: float | jax.Array = 0.5) -> jax.Array:
    r"""The features of each token: those of the pair, each shown with a probability, in one token at least.

    .. math:: z_j^{(l)} \in \{0, s_j\}, \qquad \operatorname{supp} \sum_l z^{(l)} = \operatorname{supp} s

    Args:
        pairs: from `draw`.
        frequency: f, shape (d,).
        show: probability that a token shows a feature of its pair, 0 to 1.

    Returns:
        z, shape (n, 2, L, d).

    Example:
        >>> import jax
        >>> z = token_latents(draw(jax.random.key(0), 2, 4, 3, 5), jnp.ones(3), show=0.0)
        >>> z.shape, abs(z).sum(2).tolist() == jnp.ones((2, 2, 3)).tolist()  # one token each
        ((2, 2, 4, 3), True)

    Source: paper 004 (contrastive learning under imbalance), Assumptions 3.2 and 3.4; the probability is our reading.
    """
    lowest = jnp.min(pairs.shown, axis=2, keepdims=True)
    shown = (pairs.shown < show) | (pairs.shown == lowest)
    return latents(pairs, frequency)[:, None, None, :] * shown


def tokens(
    pairs: Pairs,
    frequency: jax.Array,
    sigma_p: float | jax.Array,
    show: float | jax.Array = 0.5,
    dictionary: jax.Array | None = None,
) -> jax.Array:
    r"""The inputs themselves: both views of each pair.

    .. math:: x^{(l)} = M z^{(l)} + \sigma_\xi \xi^{(l)}

    Args:
        pairs: from `draw`.
        frequency: f, shape (d,).
        sigma_p: σ_ξ >= 0, of each coordinate.
        show: probability that a token shows a feature of its pair.
        dictionary: M, shape (d1, d); None for the first d unit vectors. Gaussian noise looks the same
            in every orthonormal basis, so this is any M, seen in M's own basis.

    Returns:
        x, shape (n, 2, L, d1).

    Example:
        >>> import jax
        >>> tokens(draw(jax.random.key(0), 2, 4, 3, 5), jnp.ones(3), sigma_p=0.1).shape
        (2, 2, 4, 5)

    Source: paper 004 (contrastive learning under imbalance), Assumption 3.1, eq. 6.
    """
    z = token_latents(pairs, frequency, show)
    rest = pairs.noise.shape[-1] - z.shape[-1]
    signal = jnp.pad(z, ((0, 0), (0, 0), (0, 0), (0, rest))) if dictionary is None else z @ dictionary.T
    return signal + sigma_p * pairs.noise
