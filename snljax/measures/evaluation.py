"""Means over many samples, a fixed number at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def chunked_mean(per_sample: Callable[[Any], Any], samples: Any, chunk: int = 1000) -> Any:
    r"""Mean of a per-sample quantity, over chunks of fixed size so that memory does not grow with n.

    .. math:: \frac1n \sum_{i=1}^n f(x_i)

    Args:
        per_sample: takes a pytree of arrays with leading axis ``chunk`` and returns a pytree of
            arrays of shape (chunk,).
        samples: pytree of arrays with leading axis n.
        chunk: samples at a time, at least 1. The last chunk is filled up with copies of the first
            samples, which weigh nothing.

    Returns:
        The means, scalars.

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
        return jax.tree.map(lambda v: jnp.sum(jnp.where(rows < n, v, jnp.zeros_like(v))), values)

    return jax.tree.map(lambda v: jnp.sum(v) / n, lax.map(one, index))
