"""Losses of one example, and penalties on the gradients of any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax


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

    Source: paper 000 (dynamic TopK pruning), "Network architecture and Loss Function".
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

    Source: paper 003 (per-example gradient regularisation), Section 2.
    """
    return jax.nn.softplus(-margin)


def similarities(anchors: jax.Array, others: jax.Array, similarity: Literal["dot", "cosine"] = "dot") -> jax.Array:
    r"""Similarity of each anchor with each of the others; no gradient flows into these.

    .. math:: S_{nk} = \langle f_n, \mathrm{StopGrad}(g_k) \rangle

    Args:
        anchors: f, shape (n, m).
        others: g, shape (k, m).
        similarity: inner product, or cosine (of a zero vector: 0).

    Returns:
        S, shape (n, k).

    Raises:
        ValueError: if the similarity is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(similarities(jnp.array([[3.0, 4.0]]), jnp.array([[2.0, 0.0]]), "cosine")[0, 0]), 2)
        0.6

    Source: paper 004 (contrastive learning under imbalance), eq. 2.
    """
    if similarity not in ("dot", "cosine"):
        raise ValueError(f"similarity: {similarity!r} is not known; allowed: 'dot', 'cosine'")
    if similarity == "cosine":
        anchors, others = unit(anchors), unit(others)
    return anchors @ lax.stop_gradient(others).T


def info_nce(
    anchors: jax.Array,
    positives: jax.Array,
    negatives: jax.Array | None = None,
    temperature: float | jax.Array = 1.0,
    similarity: Literal["dot", "cosine"] = "dot",
) -> jax.Array:
    r"""InfoNCE, with a stop-gradient on positives and negatives.

    .. math:: \ell_n = -\log \frac{e^{S(f_n, g_n)/\tau}}{\sum_{g \in \{g_n\} \cup \mathfrak N} e^{S(f_n, g)/\tau}}

    Args:
        anchors: f, shape (n, m).
        positives: g, shape (n, m): row n belongs to anchor n.
        negatives: 𝔑, shape (k, m), for all anchors alike; None: the positives of the other anchors.
        temperature: τ > 0; may be traced.
        similarity: ``"dot"`` as in the paper, or ``"cosine"``.

    Returns:
        The loss of each anchor in nats, shape (n,).

    Raises:
        ValueError: if shapes do not fit, there is no negative, or a Python τ is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(info_nce(jnp.zeros((4, 2)), jnp.ones((4, 2)))[0]), 4)  # four equal candidates: log 4
        1.3863

    Source: paper 004 (contrastive learning under imbalance), eq. 1 and 2.
    """
    if anchors.ndim != 2 or anchors.shape != positives.shape:
        raise ValueError(f"positives: shape {positives.shape} with anchors {anchors.shape}; allowed: the same (n, m)")
    if negatives is not None and (negatives.ndim != 2 or negatives.shape[1:] != anchors.shape[1:]):
        raise ValueError(f"negatives: shape {negatives.shape}; allowed: (k, {anchors.shape[1]})")
    if (len(anchors) if negatives is None else len(negatives) + 1) < 2:
        raise ValueError("negatives: there are none; allowed: two or more pairs, or at least one negative")
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(f"temperature: {temperature} is not allowed; allowed: (0, inf)")
    if negatives is None:
        logits = similarities(anchors, positives, similarity) / temperature
        own = jnp.diagonal(logits)
    else:
        own = jax.vmap(lambda a, p: similarities(a[None], p[None], similarity)[0, 0])(anchors, positives) / temperature
        logits = jnp.concatenate([own[:, None], similarities(anchors, negatives, similarity) / temperature], axis=1)
    return jax.nn.logsumexp(logits, axis=1) - own


def unit(rows: jax.Array) -> jax.Array:
    """Rows of length 1; zero rows, and their gradients, stay zero.

    Args:
        rows: shape (..., m).

    Returns:
        The same shape.

    Example:
        >>> unit(jnp.array([[0.0, 2.0], [0.0, 0.0]])).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    squared = jnp.sum(rows**2, axis=-1, keepdims=True)
    is_zero = squared == 0
    return jnp.where(is_zero, 0.0, rows / jnp.sqrt(jnp.where(is_zero, 1.0, squared)))


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

    Source: paper 003 (per-example gradient regularisation), Section 2 (the regularised loss).
    """
    own = jax.vmap(lambda *example: squared_norm(jax.grad(loss)(params, *example)))(*examples)
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

    Source: paper 003 (per-example gradient regularisation), Section 4.1 (the formula of FGR).
    """
    return squared_norm(jax.grad(lambda p: jnp.mean(jax.vmap(lambda *example: loss(p, *example))(*examples)))(params))


def squared_norm(tree: Any) -> jax.Array:
    r"""Squared Frobenius norm of all arrays of a tree together.

    .. math:: \lVert W \rVert_F^2 = \sum_i W_i^2

    Args:
        tree: pytree of arrays, any shapes.

    Returns:
        The squared norm, scalar.

    Example:
        >>> float(squared_norm({"w": jnp.array([1.0, 2.0]), "b": jnp.array(3.0)}))
        14.0
    """
    return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(()))
