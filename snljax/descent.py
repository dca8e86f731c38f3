"""One step of gradient descent, in weight space or in the span of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Vectors(NamedTuple):
    """One number for each filter and data vector x: the responses ⟨w, x⟩, or the coefficients of x in w.

    signal: over the signals, shape (..., signals), or the filters' shape where there is one signal.
    noise: over the samples' noise vectors, shape (..., n).
    """

    signal: jax.Array
    noise: jax.Array


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


def gram_step(
    coefficients: Vectors, noise_gram: jax.Array, mu: float | jax.Array, sigma_p: float | jax.Array
) -> Vectors:
    r"""What coefficients add to the responses, c G, where signals are orthogonal to each other and to the noise.

    .. math:: \Delta\langle w, \mu_k\rangle = \mu^2 c_k, \qquad
              \Delta\langle w, \xi_i\rangle = \sigma_p^2 \sum_j c_j \langle\zeta_j, \zeta_i\rangle

    Args:
        coefficients: c, over the signals and over the noise vectors ξ = σ_p ζ.
        noise_gram: Gram matrix of the unit noise ζ, shape (n, n).
        mu: norm of each signal.
        sigma_p: σ_p.

    Returns:
        Responses that are added, same shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> added = gram_step(Vectors(jnp.array([1.0]), jnp.array([1.0, 0.0])), 3 * jnp.eye(2), 2.0, 0.5)
        >>> added.signal.tolist(), added.noise.tolist()
        ([4.0], [0.75, 0.0])

    Source: paper 000 (dynamic TopK pruning), Definition 5.1.
    """
    return Vectors(mu**2 * coefficients.signal, sigma_p**2 * (coefficients.noise @ noise_gram))


def span_rows(
    loss: Callable[[Vectors], jax.Array],
    responses: Vectors,
    coefficients: Vectors,
    rows: slice | jax.Array,
    learning_rate: float | jax.Array,
) -> Vectors:
    r"""One step of `span` on a mini-batch: of the noise coefficients, only those of its samples move.

    .. math:: c_k \leftarrow c_k - \eta\,\partial L/\partial r_k, \qquad
              c_i \leftarrow c_i - \eta\,\partial L/\partial r_i \quad (i \in \text{rows})

    Args:
        loss: scalar loss of the batch's responses.
        responses: responses to all signals, (..., signals), and to the batch's noise, (..., rows).
        coefficients: c, of all signals and of all n noise vectors.
        rows: which of the n samples are in the batch; a sample that stands twice moves twice.
        learning_rate: η > 0.

    Returns:
        The new coefficients.

    Example:
        >>> import jax.numpy as jnp
        >>> c = Vectors(jnp.zeros(1), jnp.zeros(3))
        >>> batch = Vectors(jnp.zeros(1), jnp.zeros(2))
        >>> span_rows(lambda r: jnp.sum(r.signal) + jnp.sum(r.noise), batch, c, jnp.array([0, 2]), 0.5).noise.tolist()
        [-0.5, 0.0, -0.5]
    """
    slope = jax.grad(loss)(responses)
    return Vectors(
        coefficients.signal - learning_rate * slope.signal,
        coefficients.noise.at[..., rows].add(-learning_rate * slope.noise),
    )
