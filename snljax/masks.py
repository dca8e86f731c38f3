"""Masks that keep some of a network's weights."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SLICES = 8  # of a row; see _bisect


def topk(w: jax.Array, k: int | jax.Array, method: Literal["auto", "top_k", "bisect"] = "auto") -> jax.Array:
    r"""Mask of the k entries of largest magnitude in each row.

    .. math:: \mathrm{mask}_i = \mathbb 1[\,|w_i| \text{ is among the } k \text{ largest of its row}\,]

    Exactly k entries of each row are true: of equal magnitudes the lowest index wins, +0 and -0 are
    equal, NaN is larger than every number. Gradients flow through the product ``w * mask``, never
    through the mask.

    Args:
        w: weights, shape (..., d), floating point. Each row along the last axis is ranked by itself.
        k: how many to keep, 1 to d. A Python int or an integer array of shape (), which may be
            traced: one program then serves every k.
        method: ``"top_k"`` is ``lax.top_k``, the definition; for a traced k it sorts the whole row.
            ``"bisect"`` finds the k-th magnitude by bisection on the bits of the float and gives the
            same mask bit for bit. ``"auto"`` is bisect, which is over ten times faster on CPU for a
            traced k (``benchmarks/topk.py``); accelerators have not been measured.

    Returns:
        Boolean mask of the shape of w.

    Raises:
        ValueError: if a Python int k lies outside 1..d, or w is not floating point.

    Example:
        >>> import jax.numpy as jnp
        >>> topk(jnp.array([0.5, -2.0, 1.0, 1.0]), 2).tolist()
        [False, True, True, False]

    Source: paper 000 (dynamic TopK pruning), "TopK Weight Pruning Strategy", steps 1 to 3.
    """
    w = lax.stop_gradient(jnp.asarray(w))
    d = w.shape[-1]
    if not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"topk: w has dtype {w.dtype}; allowed: a floating-point dtype")
    if method not in ("auto", "top_k", "bisect"):
        raise ValueError(f"topk: method is {method!r}; allowed: 'auto', 'top_k', 'bisect'")
    if isinstance(k, (int, np.integer)) and not 1 <= k <= d:
        raise ValueError(f"topk: k is {k}; allowed: 1 to {d}, the length of a row")
    return _top_k(w, k) if method == "top_k" else _bisect(w, k)


def _top_k(w: jax.Array, k: int | jax.Array) -> jax.Array:
    d = w.shape[-1]
    bound = int(k) if isinstance(k, (int, np.integer)) else d
    _, order = lax.top_k(jnp.where(jnp.isnan(w), jnp.nan, jnp.abs(w)), bound)
    rows = order.reshape(-1, bound)
    kept = jnp.broadcast_to((jnp.arange(bound) < k)[None, :], rows.shape)
    mask = jnp.zeros((rows.shape[0], d), bool)
    return jax.vmap(lambda m, i, v: m.at[i].set(v))(mask, rows, kept).reshape(w.shape)


@functools.partial(jax.jit, inline=True)  # or every call outside jit would compile its loops anew
def _bisect(w: jax.Array, k: int | jax.Array) -> jax.Array:
    """The k-th magnitude by bisection, most significant bit first; ties by bisection on the index.

    Both loops stop as soon as every row is settled: the first needs all bits only where magnitudes
    tie, the second runs only then.
    """
    d = w.shape[-1]
    width = jnp.finfo(w.dtype).bits
    integer = jnp.dtype(f"int{width}")
    # The order of non-negative floats is the order of their bits; all NaNs count as one value.
    bits = lax.bitcast_convert_type(jnp.where(jnp.isnan(w), jnp.nan, jnp.abs(w)), integer)
    # Compared slice by slice, added up elementwise, then summed: XLA on CPU vectorises that, and not
    # the sum over a row of comparisons (2.7 times slower). The padding, -1, is below every threshold.
    size = -(-d // _SLICES)
    padding = [(0, 0)] * (w.ndim - 1) + [(0, size * _SLICES - d)]
    slices = jnp.split(jnp.pad(bits, padding, constant_values=-1), _SLICES, axis=-1)

    def count(kept: list[jax.Array]) -> jax.Array:
        return jnp.sum(sum(part.astype(jnp.int32) for part in kept), axis=-1, keepdims=True, dtype=jnp.int32)

    k = jnp.asarray(k).astype(jnp.int32)
    one = jnp.ones((), integer)
    rows = (*w.shape[:-1], 1)

    def unsettled(carry):
        bit, _, kept = carry
        return (bit >= 0) & jnp.any(kept != k)

    def halve(carry):
        bit, low, kept = carry
        middle = low + (one << bit)
        above = count([part >= middle for part in slices])
        enough = above >= k
        return bit - 1, jnp.where(enough, middle, low), jnp.where(enough, above, kept)

    start = (jnp.asarray(width - 2, integer), jnp.zeros(rows, integer), jnp.full(rows, d, jnp.int32))
    _, low, kept = lax.while_loop(unsettled, halve, start)

    tied = bits == low
    index = jnp.broadcast_to(jnp.arange(d, dtype=jnp.int32), w.shape)
    wanted = count([tied]) - (kept - k)  # of the tied, these many of lowest index stay

    def untie(carry):
        bit, end = carry
        middle = end + (jnp.int32(1) << bit)
        return bit - 1, jnp.where(count([tied & (index < middle)]) <= wanted, middle, end)

    first_bit = jnp.int32(d.bit_length() - 1)
    _, end = lax.while_loop(
        lambda carry: (carry[0] >= 0) & jnp.any(kept > k), untie, (first_bit, jnp.zeros(rows, jnp.int32))
    )
    return (bits >= low) & ~((kept > k) & tied & (index >= end))


def random(uniform: jax.Array, keep_fraction: float | jax.Array) -> jax.Array:
    r"""Bernoulli mask: each weight is kept by itself with the same probability.

    .. math:: M_i = \mathbb 1[u_i < p], \qquad u_i \sim \mathrm{Uniform}[0, 1)

    Masks made from the same numbers are nested: what a smaller p keeps, a larger one keeps too.

    Args:
        uniform: u, any shape, in [0, 1) (``jax.random.uniform``).
        keep_fraction: p, the probability to be kept, 0 to 1; may be traced. At 1 all is kept.

    Returns:
        Boolean mask of the shape of u.

    Example:
        >>> import jax.numpy as jnp
        >>> random(jnp.array([0.1, 0.5, 0.9]), 0.5).tolist()
        [True, False, False]

    Source: paper 002 (random pruning), "Network architecture and random pruning".
    """
    return uniform < jnp.asarray(keep_fraction, uniform.dtype)


def magnitude(w: jax.Array, keep_fraction: float | jax.Array) -> jax.Array:
    r"""Mask of the largest magnitudes of a whole array, all its rows ranked together.

    .. math:: M_i = \mathbb 1[\,|w_i| \text{ is among the } \max(1, \lceil p N - \tfrac12 \rceil) \text{ largest}\,]

    Args:
        w: weights, any shape with N entries, floating point.
        keep_fraction: p, the share that is kept, 0 to 1; may be traced.

    Returns:
        Boolean mask of the shape of w.

    Example:
        >>> import jax.numpy as jnp
        >>> magnitude(jnp.array([[0.5, -2.0], [1.0, 0.1]]), 0.5).tolist()
        [[False, True], [True, False]]

    Source: paper 002 (random pruning), Section 1.1 (ours: magnitude at initialisation, for comparison).
    """
    share = jnp.asarray(keep_fraction, w.dtype)
    k = jnp.clip(jnp.ceil(share * w.size - 0.5).astype(jnp.int32), 1, w.size)
    return topk(w.reshape(1, -1), k).reshape(w.shape)
