"""How close the embeddings of two views lie, and how evenly embeddings fill the sphere."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from snljax.losses import unit


def positive_distance(first: jax.Array, second: jax.Array) -> jax.Array:
    r"""Mean squared distance of positive pairs on the unit sphere ("alignment").

    .. math:: \frac1n \sum_i \Bigl\lVert \frac{f_i}{\lVert f_i \rVert} - \frac{g_i}{\lVert g_i \rVert} \Bigr\rVert^2

    Args:
        first, second: f and g, embeddings of both views, shape (n, m) each.

    Returns:
        Scalar, 0 (equal directions) to 4.

    Example:
        >>> float(positive_distance(jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 3.0]])))
        2.0

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere" (2020), eq. 2.
    """
    return jnp.mean(jnp.sum((unit(first) - unit(second)) ** 2, axis=1))


def uniformity(embeddings: jax.Array) -> jax.Array:
    r"""Logarithm of the mean Gaussian potential of pairs on the unit sphere; the lower, the more even.

    .. math:: \log \frac{1}{n (n-1)} \sum_{i \ne j} e^{-2 \lVert \tilde f_i - \tilde f_j \rVert^2},
              \qquad \tilde f = \frac{f}{\lVert f \rVert}

    Args:
        embeddings: f, shape (n, m), n at least 2.

    Returns:
        Scalar, 0 (all in one direction) and below.

    Example:
        >>> round(float(uniformity(jnp.array([[1.0, 0.0], [-2.0, 0.0]]))), 4)  # opposite: squared distance 4
        -8.0

    Source: Wang and Isola (2020), eq. 3, with t = 2.
    """
    rows = unit(embeddings)
    squared = 2 - 2 * rows @ rows.T
    n = len(rows)
    return jax.nn.logsumexp(-2 * squared, where=~jnp.eye(n, dtype=bool)) - jnp.log(n * (n - 1.0))
