"""How unevenly a network does: accuracy of the frequent classes minus that of the rare ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def ends(class_accuracy: jax.Array, order: jax.Array, share: float = 0.2) -> tuple[jax.Array, jax.Array]:
    r"""Mean accuracy of the head classes, and of the tail classes.

    .. math:: \frac1k \sum_{\pi(c) < k} a_c, \quad \frac1k \sum_{\pi(c) \ge C - k} a_c, \qquad
              k = \max(1, \lfloor 0.2 \, C \rfloor)

    Args:
        class_accuracy: a, accuracy of each class, 0 to 1 (or in percent), shape (C,).
        order: π, place of each class in the training set, 0 for the most frequent one to C - 1 for the rarest,
            shape (C,).
        share: of the classes at each end, above 0 and at most 0.5; static.

    Returns:
        Two scalars, in the accuracies' unit. NaN if the accuracy of a class of that end is NaN (no test samples of it).

    Raises:
        ValueError: fewer than two classes, arrays of other shapes, or a share that is not allowed.

    Example:
        >>> import jax.numpy as jnp
        >>> [float(mean) for mean in ends(jnp.array([0.25, 1.0, 0.5]), order=jnp.array([2, 0, 1]))]
        [1.0, 0.25]

    Source: paper 004 (contrastive learning under imbalance), Table 2; that the share is rounded down is ours.
    """
    if class_accuracy.ndim != 1 or class_accuracy.shape != order.shape or len(order) < 2:
        raise ValueError(
            f"class_accuracy, order: shapes {class_accuracy.shape} and {order.shape}; allowed: both (C,), C from 2"
        )
    if not 0 < share <= 0.5:
        raise ValueError(f"share: {share!r}; allowed: above 0, at most 0.5")
    classes = len(order)
    count = max(1, int(share * classes + 1e-9))  # 0.29 · 100 is 28.999… in floats

    def mean(inside: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(inside, class_accuracy, 0.0)) / count

    return mean(order < count), mean(order >= classes - count)


def head_tail_gap(class_accuracy: jax.Array, order: jax.Array, share: float = 0.2) -> jax.Array:
    r"""Mean accuracy of the head classes minus that of the tail classes.

    .. math:: \Delta_{20} = \frac1k \sum_{\pi(c) < k} a_c - \frac1k \sum_{\pi(c) \ge C - k} a_c, \qquad
              k = \max(1, \lfloor 0.2 \, C \rfloor)

    Args:
        class_accuracy: a, accuracy of each class, 0 to 1 (or in percent), shape (C,).
        order: π, place of each class in the training set, 0 for the most frequent one to C - 1 for the rarest,
            shape (C,).
        share: of the classes at each end, above 0 and at most 0.5; static.

    Returns:
        Scalar, in the accuracies' unit; above 0 where the head is ahead. NaN if the accuracy of a class of the
        head or of the tail is NaN (no test samples of it); the classes between them change nothing.

    Raises:
        ValueError: fewer than two classes, arrays of other shapes, or a share that is not allowed.

    Example:
        >>> import jax.numpy as jnp
        >>> float(head_tail_gap(jnp.array([0.25, 1.0, 0.5, 0.75, 0.5]), order=jnp.array([4, 0, 1, 2, 3])))
        0.75

    Source: paper 004 (contrastive learning under imbalance), Table 2; that the share is rounded down is ours.
    """
    head, tail = ends(class_accuracy, order, share)
    return head - tail
