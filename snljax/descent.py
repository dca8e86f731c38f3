"""One step of gradient descent, in weight space or in the span of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def dense(loss: Callable[[Any], jax.Array], weights: Any, learning_rate: float | jax.Array) -> Any:
    r"""One gradient step on the weights themselves.

    .. math:: w \leftarrow w - \eta \, \partial L / \partial w

    Args:
        loss: scalar loss of the weights.
        weights: pytree of arrays.
        learning_rate: η > 0.

    Returns:
        The new weights, same shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> dense(lambda w: jnp.sum(w**2), jnp.array([1.0, -2.0]), 0.25).tolist()
        [0.5, -1.0]

    Source: paper 000 (dynamic TopK pruning), "Training algorithm".
    """
    return jax.tree.map(lambda w, g: w - learning_rate * g, weights, jax.grad(loss)(weights))


def span(
    loss: Callable[[Any], jax.Array],
    gram: Callable[[Any], Any],
    base: Any,
    coefficients: Any,
    learning_rate: float | jax.Array,
) -> Any:
    r"""One gradient step on the coefficients of the data vectors, exact up to rounding.

    A loss that sees the weights only through the responses r = ⟨w, x⟩ moves each filter along the
    data vectors alone, w = w_base + Σ c_x x, so that

    .. math:: r = r_\mathrm{base} + c\,G, \qquad c \leftarrow c - \eta\,\partial L/\partial r,
              \qquad G_{xx'} = \langle x, x'\rangle .

    Args:
        loss: scalar loss of the responses.
        gram: the linear map c -> c G, from coefficients to the responses that they add.
        base: responses of the weights at c = 0; pytree of arrays.
        coefficients: c; pytree of the same structure.
        learning_rate: η > 0.

    Returns:
        The new coefficients.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[3.0, 0.0], [0.0, 4.0]])  # two data vectors; loss = sum of responses
        >>> c = span(jnp.sum, lambda c: c @ (x @ x.T), jnp.zeros(2), jnp.zeros(2), 0.5)
        >>> (c @ x).tolist()
        [-1.5, -2.0]

    Source: paper 000 (dynamic TopK pruning), "Training algorithm" and Definition 5.1.
    """
    responses = jax.tree.map(lambda b, change: b + change, base, gram(coefficients))
    gradient = jax.grad(loss)(responses)
    return jax.tree.map(lambda c, g: c - learning_rate * g, coefficients, gradient)
