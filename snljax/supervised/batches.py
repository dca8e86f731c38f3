"""Which samples a step takes: the next ones in the order of its epoch, of all samples or of chosen ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp

ORDERS = 16  # of the samples; those of ORDERS² epochs follow from them


def sizes(batch_size: int, n: int) -> tuple[int, int, int]:
    """Samples of a batch, batches of an epoch, samples of its last one.

    Args:
        batch_size: as asked for, 1 or more. n: samples.

    Returns:
        The three.

    Example:
        >>> sizes(64, 150)
        (64, 3, 22)
    """
    size = min(batch_size, n)
    batches = -(-n // size)
    return size, batches, n - (batches - 1) * size


def random_orders(key: jax.Array, n: int, count: int = ORDERS) -> jax.Array:
    """Random orders of n samples, shape (count, n), int32.

    Example:
        >>> random_orders(jax.random.key(0), 5).shape
        (16, 5)
    """
    # One sort for all: a permutation each takes long to compile.
    return jnp.argsort(jax.random.uniform(key, (count, n)), axis=1).astype(jnp.int32)


def of_all(orders: jax.Array, t: jax.Array, size: int, batches: int, count: int) -> jax.Array:
    """The samples of step t: the next ``count`` in the order of its epoch.

    Args:
        orders: from `random_orders`. t: step, 0-based. size: samples of a whole batch. batches: of an epoch.
        count: samples of this batch; the last one of an epoch may be shorter.

    Returns:
        Shape (count,).

    Example:
        >>> orders = random_orders(jax.random.key(0), 5)
        >>> len({int(i) for t in range(2) for i in of_all(orders, jnp.int32(t), 2, 3, 2)})
        4
    """
    epoch = t // batches
    places = (t % batches) * size + jnp.arange(count)
    # Two of the orders after one another are one more: as many as pairs.
    return orders[epoch % ORDERS][orders[(epoch // ORDERS) % ORDERS][places]]


def of_chosen(orders: jax.Array, chosen: jax.Array, t: jax.Array, size: int) -> jax.Array:
    """The samples of step t where only chosen ones are trained on: as many as in any other batch.

    What is left of an epoch that fills no batch is left out. Where fewer are chosen than a batch has, they come again.

    Args:
        orders: from `random_orders`. chosen: shape (n,), bool; may be traced, so that networks of one program train on
            sets of unlike size. t: step, 0-based. size: samples of a batch.

    Returns:
        Shape (size,).

    Example:
        >>> orders = random_orders(jax.random.key(0), 5)
        >>> chosen = jnp.array([True, False, True, True, True])
        >>> sorted(int(i) for t in range(2) for i in of_chosen(orders, chosen, jnp.int32(t), 2))
        [0, 2, 3, 4]
    """
    count = jnp.maximum(1, jnp.sum(chosen))
    batches = jnp.maximum(1, count // size)
    epoch = t // batches
    order = orders[epoch % ORDERS][orders[(epoch // ORDERS) % ORDERS]]
    places = ((t % batches) * size + jnp.arange(size)) % count
    # The i-th chosen one stands where the i-th is counted.
    return order[jnp.searchsorted(jnp.cumsum(chosen[order]), places + 1)]
