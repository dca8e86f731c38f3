"""Long-tailed subsets of balanced data: each class keeps a share that falls exponentially from head to tail."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from snljax.data.signal_noise import sample_keys
from snljax.wording import shown

ROUNDING = 1e-6  # relative, what powers in single precision may be wrong by


class Draw(NamedTuple):
    """What is random in a long-tailed subset, before any imbalance is applied.

    order: place of each class, shape (classes,): 0 is the head, classes - 1 the end of the tail.
    ranks: uniform, shape (n,): a class keeps its samples of the lowest ranks.
    """

    order: jax.Array
    ranks: jax.Array


def draw(key: jax.Array, n: int, classes: int) -> Draw:
    """Which classes are the head and which the tail, and who leaves first.

    Args:
        key: a JAX random key.
        n: samples, at least 1; sample i keeps its rank when n grows.
        classes: number of classes, at least 1.

    Returns:
        Draw.

    Example:
        >>> import jax
        >>> order, ranks = draw(jax.random.key(0), n=4, classes=2)
        >>> sorted(order.tolist()), ranks.shape
        ([0, 1], (4,))
    """
    order_key, rank_key = jax.random.split(key)
    return Draw(jax.random.permutation(order_key, classes), jax.vmap(jax.random.uniform)(sample_keys(rank_key, n)))


def counts(n_max: int | jax.Array, classes: int, rho: float | jax.Array) -> jax.Array:
    r"""Samples of each class in the exponential profile, from head to tail.

    .. math:: n_j = \Bigl\lfloor n_\mathrm{max} \, \rho^{-j/(C-1)} \Bigr\rfloor, \qquad j = 0, \dots, C - 1

    Rounded down, as the published code of long-tailed CIFAR does (int() in that of LDAM, on which others build);
    a value less than a millionth of itself below a whole number counts as that number, since powers of floats are
    not exact.

    Args:
        n_max: n_max, samples of the head class, at least 1; may be traced.
        classes: C, number of classes, at least 1.
        rho: ρ, samples of the first class over those of the last, 1 to n_max; may be traced, and is not looked at then.

    Returns:
        n_j, int32, shape (classes,).

    Raises:
        ValueError: n_max or classes below 1; ρ that is known and below 1, or so large that the last class is empty.

    Example:
        >>> counts(500, classes=5, rho=100.0).tolist()
        [500, 158, 50, 15, 5]

    Source: paper 004 (contrastive learning under imbalance), Table 2, whose ρ is this; the profile is Cui et al. 2019,
    "Class-Balanced Loss Based on Effective Number of Samples", Section 5.1, and Cao et al. 2019 (LDAM).
    """
    for name, number in (("n_max", n_max), ("classes", classes)):
        if not isinstance(number, jax.core.Tracer) and not _counted(number):
            raise ValueError(f"{name}: {shown(number)}; allowed: a whole number from 1")
    known = not any(isinstance(number, jax.core.Tracer) for number in (n_max, rho))
    if known and not 1 <= rho <= n_max:
        raise ValueError(f"rho: {shown(rho)}; allowed: 1 to {n_max}, so that the smallest class has a sample")
    steps = jnp.arange(classes) / max(classes - 1, 1)
    head = jnp.asarray(n_max, steps.dtype) * (1 + ROUNDING)
    return jnp.floor(head * jnp.asarray(rho, steps.dtype) ** -steps).astype(jnp.int32)


def kept(
    labels: NDArray | jax.Array,
    ranks: jax.Array,
    order: jax.Array,
    rho: float | jax.Array,
    n_max: int | None = None,
) -> jax.Array:
    r"""Which samples are in the long-tailed subset; those of a larger ρ are among those of a smaller one.

    .. math:: i \in S_\rho \iff \#\{k : y_k = y_i, \; u_k < u_i\} < n_{\pi(y_i)}(\rho)

    Args:
        labels: y, class of each sample, whole numbers 0 to classes - 1, shape (n,); traced only if n_max is given.
        ranks: u, shape (n,); of equal ranks the earlier sample goes first.
        order: π, place of each class, shape (classes,), from `draw`.
        rho: ρ, as for `counts`; may be traced.
        n_max: samples of the head class; None for the size of the smallest class.

    Returns:
        Boolean, shape (n,).

    Raises:
        ValueError: a class with fewer than n_max samples, a label that is no class, an order that is no permutation,
            and what `counts` refuses.

    Example:
        >>> kept(np.array([0, 0, 1, 1]), jnp.array([0.9, 0.1, 0.4, 0.6]), order=jnp.array([1, 0]), rho=2.0).tolist()
        [False, True, True, True]

    Source: paper 004 (contrastive learning under imbalance), Table 2.
    """
    classes = len(order)
    if not isinstance(order, jax.core.Tracer) and sorted(np.asarray(order).tolist()) != list(range(classes)):
        raise ValueError(f"order: {shown(np.asarray(order).tolist())}; allowed: each of 0 to {classes - 1} once")
    if not isinstance(labels, jax.core.Tracer):
        smallest = _smallest_class(np.asarray(labels), classes)
        n_max = smallest if n_max is None else n_max
        if n_max > smallest:
            raise ValueError(f"n_max: {n_max}, but a class has {smallest} samples; allowed: 1 to {smallest}")
    elif n_max is None:
        raise ValueError("n_max: None with traced labels; allowed: a whole number, or labels that are known")
    return places(labels, ranks) < counts(n_max, classes, rho)[order][labels]


def subset(labels: NDArray, rho: float, seed: int = 0, n_max: int | None = None) -> NDArray:
    """The samples of a long-tailed subset, as positions: for code without JAX.

    Args:
        labels: class of each sample, whole numbers 0 to classes - 1, shape (n,), every class at least once.
        rho: ρ, as for `counts`.
        seed: draws which classes are the tail and which samples stay.
        n_max: samples of the head class; None for the size of the smallest class.

    Returns:
        Ascending positions, int64: where `kept` is true for the `draw` of ``jax.random.key(seed)``.

    Raises:
        ValueError: as `kept`.

    Example:
        >>> labels = np.array([0, 0, 1, 1])
        >>> sorted(np.bincount(labels[subset(labels, rho=2.0)]).tolist())
        [1, 2]

    Source: paper 004 (contrastive learning under imbalance), Table 2.
    """
    labels = np.asarray(labels)
    _check_labels(labels)
    order, ranks = draw(jax.random.key(seed), len(labels), int(labels.max()) + 1)
    return np.flatnonzero(np.asarray(kept(labels, ranks, order, rho, n_max)))


def places(labels: NDArray | jax.Array, ranks: jax.Array) -> jax.Array:
    """Place of each sample among those of its class.

    Args:
        labels: class of each sample, whole numbers from 0, shape (n,).
        ranks: u, shape (n,); of equal ranks the earlier sample goes first.

    Returns:
        int32, shape (n,): 0 for the lowest rank of a class. A sample is in the subset of ρ where its place is below
        the size of its class.

    Example:
        >>> places(np.array([0, 0, 1, 1]), jnp.array([0.9, 0.1, 0.4, 0.6])).tolist()
        [1, 0, 0, 1]

    Source: none (an order).
    """
    labels = jnp.asarray(labels)
    by_class = jnp.lexsort((ranks, labels))
    ordered = labels[by_class]
    first = jnp.searchsorted(ordered, ordered)  # where its class begins
    return jnp.zeros(len(labels), jnp.int32).at[by_class].set((jnp.arange(len(labels)) - first).astype(jnp.int32))


def _counted(number: Any) -> bool:
    array = np.asarray(number)
    return array.ndim == 0 and array.dtype.kind in "iu" and bool(array >= 1)


def _check_labels(labels: NDArray) -> None:
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"labels: {labels.dtype} of shape {labels.shape}"
            f"{f', from {labels.min()}' if labels.size else ''}; allowed: whole numbers from 0, shape (n,)"
        )


def _smallest_class(labels: NDArray, classes: int) -> int:
    _check_labels(labels)
    if labels.max() >= classes:
        raise ValueError(f"labels: {labels.max()} with {classes} classes; allowed: 0 to {classes - 1}")
    smallest = int(np.bincount(labels, minlength=classes).min())
    if smallest == 0:
        absent = int(np.bincount(labels, minlength=classes).argmin())
        raise ValueError(f"labels: class {absent} has no samples; allowed: one or more of each class")
    return smallest
