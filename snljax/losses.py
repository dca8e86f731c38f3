"""Losses of one example."""

from __future__ import annotations

import jax
import optax


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    r"""Cross-entropy of a softmax over the classes.

    .. math:: \ell = \log \sum_j e^{F_j} - \sum_j y_j F_j

    Args:
        logits: F, shape (..., num_classes).
        target: one-hot labels or class probabilities y, same shape.

    Returns:
        The loss of each example in nats, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(cross_entropy(jnp.zeros(4), jnp.array([1.0, 0.0, 0.0, 0.0]))), 4)  # log 4
        1.3863

    Source: 000_00bc3c8244f7a20d.txt, "Network architecture and Loss Function".
    """
    return optax.losses.softmax_cross_entropy(logits, target)
