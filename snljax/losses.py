"""Losses of one example, and penalties on the gradients of any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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


def logistic(margin: jax.Array) -> jax.Array:
    r"""Logistic loss of a margin.

    .. math:: \ell(z) = \log(1 + e^{-z}), \qquad z = y f(x), \; y = \pm 1

    Args:
        margin: z, any shape.

    Returns:
        The loss of each example in nats, same shape.

    Example:
        >>> round(float(logistic(jnp.array(0.0))), 4)  # log 2
        0.6931

    Source: 003_42eed53d19772e3c.txt, Section 2.
    """
    return jax.nn.softplus(-margin)


def per_example_gradient_penalty(loss: Callable[..., jax.Array], params: Any, *examples: Any) -> jax.Array:
    r"""Mean squared norm of the examples' own gradients.

    .. math:: \frac1n \sum_{i=1}^n \lVert \nabla_W \ell_i(W) \rVert_F^2

    The paper's PEGR adds λ (or, as printed, λ/2) times this to the training loss.

    Args:
        loss: ``(params, *example) -> scalar``, the loss of one example; twice differentiable where
            the penalty is to be differentiated.
        params: W, pytree of arrays.
        examples: arrays, or pytrees of them, with leading axis n.

    Returns:
        The penalty, scalar.

    Example:
        >>> x = jnp.array([1.0, -3.0])
        >>> float(per_example_gradient_penalty(lambda w, x: w * x, 2.0, x))  # (1 + 9) / 2
        5.0

    Source: 003_42eed53d19772e3c.txt, Section 2 (the regularised loss).
    """
    own = jax.vmap(lambda *example: _squared_norm(jax.grad(loss)(params, *example)))(*examples)
    return jnp.mean(own)


def full_gradient_penalty(loss: Callable[..., jax.Array], params: Any, *examples: Any) -> jax.Array:
    r"""Squared norm of the mean gradient: the paper's full gradient regularisation (FGR).

    .. math:: \Bigl\lVert \frac1n \sum_{i=1}^n \nabla_W \ell_i(W) \Bigr\rVert_F^2

    Args:
        loss, params, examples: as for `per_example_gradient_penalty`.

    Returns:
        The penalty, scalar.

    Example:
        >>> x = jnp.array([1.0, -3.0])
        >>> float(full_gradient_penalty(lambda w, x: w * x, 2.0, x))  # ((1 - 3) / 2)²
        1.0

    Source: 003_42eed53d19772e3c.txt, Section 4.1 (the formula of FGR).
    """
    return _squared_norm(jax.grad(lambda p: jnp.mean(jax.vmap(lambda *example: loss(p, *example))(*examples)))(params))


def _squared_norm(tree: Any) -> jax.Array:
    return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(()))
