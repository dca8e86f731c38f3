"""Two-layer convolutional network with a fixed second layer: F_j(x) = Σ_r Σ_p σ(⟨w_jr, x_p⟩)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.custom_jvp
def relu(x: jax.Array, grad_at_zero: float | jax.Array = 1.0) -> jax.Array:
    r"""ReLU whose derivative at 0 is chosen.

    .. math:: \sigma(x) = \max(x, 0), \qquad \sigma'(0) = \text{grad\_at\_zero}

    Args:
        x: any shape.
        grad_at_zero: σ'(0), 0 to 1; may be traced. The paper says 1, PyTorch and JAX use 0. It
            decides whether a pruned (exactly zero) signal coordinate can come back.

    Returns:
        σ(x), same shape. NaN stays NaN.

    Example:
        >>> import jax
        >>> float(jax.grad(relu)(0.0, 1.0)), float(jax.grad(relu)(0.0, 0.0))
        (1.0, 0.0)

    Source: paper 000 (dynamic TopK pruning), "Training algorithm" (σ'(0) = 1).
    """
    # A select, not jnp.maximum: XLA on CPU would write out the constant zeros as an array.
    return jnp.where(x <= 0, jnp.zeros_like(x), x)


@relu.defjvp
def _relu_jvp(primals, tangents):
    x, grad_at_zero = primals
    at_zero = jnp.asarray(grad_at_zero, x.dtype)
    slope = jnp.where(x > 0, jnp.ones_like(x), jnp.where(x == 0, at_zero, jnp.zeros_like(x)))
    return relu(x, grad_at_zero), tangents[0] * slope


def relu_power(x: jax.Array, q: float = 1, grad_at_zero: float | jax.Array = 1.0) -> jax.Array:
    r"""ReLU^q.

    .. math:: \sigma(x) = \max(x, 0)^q

    Args:
        x: any shape.
        q: exponent, at least 1; a Python number.
        grad_at_zero: σ'(0), used for q = 1 only (for q > 1 it is 0).

    Returns:
        σ(x), same shape.

    Raises:
        ValueError: if q < 1.

    Example:
        >>> import jax.numpy as jnp
        >>> relu_power(jnp.array([-1.0, 2.0]), q=3).tolist()
        [0.0, 8.0]

    Source: paper 002 (random pruning), network definition (q = 3 in the theory).
    """
    if q < 1:
        raise ValueError(f"relu_power: q is {q}; allowed: 1 or more")
    if q == 1:
        return relu(x, grad_at_zero)
    return relu(x, 0.0) ** (int(q) if float(q).is_integer() else q)


def sum_filters(activations: jax.Array, axis: int, reduction: str) -> jax.Array:
    """Sum (or, as three of the papers print, mean) over the filters of a class."""
    return jnp.sum(activations, axis) if reduction == "sum" else jnp.mean(activations, axis)


def apply(
    weights: jax.Array,
    x: jax.Array,
    *,
    q: float = 1,
    grad_at_zero: float | jax.Array = 1.0,
    reduction: str = "sum",
) -> jax.Array:
    r"""Logits of one example.

    .. math:: F_j = \sum_{r=1}^m \sum_p \sigma(\langle w_{jr}, x_p \rangle)

    Args:
        weights: w, shape (num_classes, m, d).
        x: patches of one example, shape (patches, d).
        q: exponent of the ReLU.
        grad_at_zero: σ'(0) for q = 1.
        reduction: ``"sum"`` over the filters, or ``"mean"`` (a factor 1/m).

    Returns:
        F, shape (num_classes,).

    Example:
        >>> import jax.numpy as jnp
        >>> apply(jnp.ones((2, 3, 4)), jnp.ones((2, 4))).tolist()  # 3 filters, 2 patches, <w, x> = 4
        [24.0, 24.0]

    Source: paper 000 (dynamic TopK pruning), "Network architecture and Loss Function".
    """
    responses = jnp.einsum("jrd,pd->jrp", weights, x)
    return sum_filters(relu_power(responses, q, grad_at_zero).sum(-1), -1, reduction)


def logits_from_responses(
    signal: jax.Array,
    noise: jax.Array,
    targets: jax.Array,
    *,
    q: float = 1,
    grad_at_zero: float | jax.Array = 1.0,
    reduction: str = "sum",
) -> jax.Array:
    r"""Logits of many examples from what the filters respond to their patches.

    Samples of one class share their signal patch, so that there are only 𝒯 signal responses:

    .. math:: F_{ji} = \sum_r \sigma(\langle w_{jr}, \mu_{y_i}\rangle) + \sigma(\langle w_{jr}, \xi_i\rangle)

    Args:
        signal: ⟨w_jr, μ_τ⟩, shape (num_classes, m, num_classes).
        noise: ⟨w_jr, ξ_i⟩, shape (num_classes, m, n).
        targets: one-hot labels, shape (num_classes, n).
        q: exponent of the ReLU.
        grad_at_zero: σ'(0) for q = 1.
        reduction: over the filters.

    Returns:
        F, shape (num_classes, n): the samples lie along the fast axis.

    Example:
        >>> import jax.numpy as jnp
        >>> targets = jnp.eye(2)[:, jnp.array([0, 1, 1])]
        >>> logits_from_responses(jnp.ones((2, 3, 2)), jnp.zeros((2, 3, 3)), targets).tolist()
        [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]

    Source: paper 000 (dynamic TopK pruning), "Network architecture and Loss Function".
    """
    per_class = sum_filters(relu_power(signal, q, grad_at_zero), 1, reduction)
    return per_class @ targets + sum_filters(relu_power(noise, q, grad_at_zero), 1, reduction)
