"""Losses and hits of samples, and means over many of them, a fixed number at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from snljax import losses


def chunked_mean(per_sample: Callable[[Any], Any], samples: Any, chunk: int = 1000) -> Any:
    r"""Mean of a per-sample quantity, over chunks of fixed size so that memory does not grow with n.

    .. math:: \frac1n \sum_{i=1}^n f(x_i)

    Args:
        per_sample: takes a pytree of arrays with leading axis ``chunk`` and returns a pytree of
            arrays with the same leading axis.
        samples: pytree of arrays with leading axis n.
        chunk: samples at a time, at least 1. The last chunk is filled up with copies of the first
            samples, which weigh nothing.

    Returns:
        The means, without that axis.

    Example:
        >>> import jax.numpy as jnp
        >>> float(chunked_mean(lambda x: x**2, jnp.arange(5.0), chunk=2))
        6.0
    """
    n = jax.tree.leaves(samples)[0].shape[0]
    chunk = min(chunk, n)
    chunks = -(-n // chunk)
    index = jnp.arange(chunks * chunk).reshape(chunks, chunk)

    def one(rows: jax.Array) -> Any:
        values = per_sample(jax.tree.map(lambda a: a[rows % n], samples))
        return jax.tree.map(lambda v: total(v, rows), values)

    def total(v: jax.Array, rows: jax.Array) -> jax.Array:
        inside = (rows < n).reshape(-1, *[1] * (v.ndim - 1))
        return jnp.sum(jnp.where(inside, v, jnp.zeros_like(v)), axis=0)

    return jax.tree.map(lambda v: jnp.sum(v, axis=0) / n, lax.map(one, index))


def per_sample(function: Callable[[Any], jax.Array], samples: Any, chunk: int = 1000) -> jax.Array:
    """A number of each sample, or an array, over chunks of fixed size so that memory does not grow with n.

    Args:
        function: takes a pytree of arrays with leading axis ``chunk`` and returns an array with that leading axis.
        samples: pytree of arrays with leading axis n.
        chunk: samples at a time, at least 1; the last chunk is filled up with the first samples.

    Returns:
        Shape (n, ...).

    Example:
        >>> import jax.numpy as jnp
        >>> per_sample(lambda x: x**2, jnp.arange(5.0), chunk=2).tolist()
        [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    n = jax.tree.leaves(samples)[0].shape[0]
    rows = (jnp.arange(-(-n // chunk) * chunk) % n).reshape(-1, chunk)
    found = lax.map(lambda r: function(jax.tree.map(lambda a: a[r], samples)), rows)
    return found.reshape(-1, *found.shape[2:])[:n]


def loss_and_accuracy(
    outputs: Callable[[Any], tuple[jax.Array, jax.Array]], samples: Any
) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy and share of hits on a test set, a chunk of samples at a time.

    Args:
        outputs: samples -> logits and one-hot targets, shape (num_classes, chunk) each.
        samples: pytree of arrays with leading axis n.

    Returns:
        Loss in nats and accuracy, scalars.

    Example:
        >>> import jax.numpy as jnp
        >>> loss, accuracy = loss_and_accuracy(lambda x: (jnp.zeros((2, len(x))), x.T), jnp.eye(2))
        >>> round(float(loss), 3), float(accuracy)  # equal logits: the first class wins
        (0.693, 0.5)
    """

    def each(chunk: Any) -> tuple[jax.Array, jax.Array]:
        logits, targets = outputs(chunk)
        return cross_entropies(logits, targets), hits(logits, targets)

    return chunked_mean(each, samples)


def cross_entropies(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Cross-entropy of each sample, the samples along the last axis.

    Args:
        logits: F, shape (num_classes, n).
        targets: one-hot, same shape.

    Returns:
        Shape (n,), in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(v), 3) for v in cross_entropies(jnp.zeros((2, 3)), jnp.eye(2)[:, jnp.array([0, 1, 1])])]
        [0.693, 0.693, 0.693]
    """
    return jax.vmap(losses.cross_entropy, in_axes=1)(logits, targets)


def hits(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """1 where the largest logit is the target's, else 0, the samples along the last axis.

    Args:
        logits: F, shape (num_classes, n).
        targets: one-hot, same shape.

    Returns:
        Shape (n,), of the logits' dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> hits(jnp.array([[1.0, 1.0], [0.0, 2.0]]), jnp.eye(2)[:, jnp.array([0, 0])]).tolist()
        [1.0, 0.0]
    """
    return (jnp.argmax(logits, axis=0) == jnp.argmax(targets, axis=0)).astype(logits.dtype)
