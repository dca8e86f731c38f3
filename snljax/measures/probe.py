"""Linear probes: what a linear classifier reads in frozen features."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from snljax import losses

ROUNDING = 1e-10  # of a squared mean, below which single precision knows no variance


class Probe(NamedTuple):
    """A linear classifier. weights: (d, classes). bias: (classes,).

    Source: none (an interface).
    """

    weights: jax.Array
    bias: jax.Array


def ridge(features: jax.Array, targets: jax.Array, weights: jax.Array, decay: float | jax.Array = 1e-3) -> Probe:
    r"""Ridge regression of classes on features, in closed form.

    .. math:: \min_{W, b} \frac{\sum_i v_i \lVert W^\top f_i + b - y_i \rVert^2}{\sum_i v_i}
              + \lambda\, \bar s^2 \lVert W \rVert_F^2, \qquad \bar s^2 = \frac1d \sum_j \mathrm{Var}_v(f_j)

    Args:
        features: f, shape (n, d).
        targets: y, one-hot or any numbers, shape (n, classes).
        weights: v, shape (n,), at least 0 and not all 0.
        decay: λ > 0, in units of the features' mean variance, so that their scale changes nothing; may be traced.

    Returns:
        The Probe.

    Example:
        >>> f = jnp.array([[0.0], [1.0], [2.0], [3.0]])
        >>> probe = ridge(f, 2 * f + 1, jnp.ones(4), decay=1e-6)
        >>> round(float(probe.weights[0, 0]), 3), round(float(probe.bias[0]), 3)
        (2.0, 1.0)

    Source: paper 004 (contrastive learning under imbalance), Section 4 (its linear probe; the closed form is ours).
    """
    share = weights / jnp.sum(weights)
    mean, middle = share @ features, share @ targets
    centred = features - mean[None, :]
    covariance = centred.T @ (share[:, None] * centred)
    size = covariance.shape[0]
    scale = jnp.trace(covariance) / size
    # Constant features say nothing: what rounding leaves of their variance is not divided by itself.
    floor = ROUNDING * jnp.mean(mean**2) + (jnp.sum(mean**2) == 0)
    system = covariance + (decay * scale + floor) * jnp.eye(size, dtype=features.dtype)
    cross = centred.T @ (share[:, None] * (targets - middle[None, :]))
    found = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system, lower=True), cross)
    return Probe(found, middle - mean @ found)


def logistic(
    features: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    decay: float | jax.Array = 1e-3,
    iterations: int = 100,
) -> Probe:
    r"""Multinomial logistic regression of classes on features, by L-BFGS.

    .. math:: \min_{W, b} \frac{\sum_i v_i\, \ell(W^\top \tilde f_i + b, y_i)}{\sum_i v_i}
              + \frac\lambda2 \lVert W \rVert_F^2, \qquad \tilde f_{ij} = \frac{f_{ij} - \bar f_j}{s_j}

    Args:
        features: f, shape (n, d).
        targets: y, one-hot, shape (n, classes).
        weights: v, shape (n,), at least 0 and not all 0.
        decay: λ ≥ 0; may be traced.
        iterations: of L-BFGS, the same for all networks of a program.

    Returns:
        The Probe, for features as given.

    Example:
        >>> f = jnp.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> y = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> accuracy(logistic(f, y, jnp.ones(4)), f, jnp.array([0, 0, 1, 1])).tolist()
        [1.0, 1.0, 1.0, 1.0]

    Source: paper 004 (contrastive learning under imbalance), Section 4 (its linear probe).
    """
    share = weights / jnp.sum(weights)
    mean = share @ features
    spread = jnp.sqrt(share @ (features - mean[None, :]) ** 2)
    spread = jnp.where(spread > 0, spread, 1.0)
    scaled = (features - mean[None, :]) / spread[None, :]

    def loss(probe: Probe) -> jax.Array:
        each = losses.cross_entropy(scaled @ probe.weights + probe.bias[None, :], targets)
        return share @ each + decay / 2 * losses.squared_norm(probe.weights)

    start = Probe(jnp.zeros((features.shape[1], targets.shape[1])), jnp.zeros(targets.shape[1]))
    found = _descended(loss, start, iterations)
    scaled_weights = found.weights / spread[:, None]
    return Probe(scaled_weights, found.bias - mean @ scaled_weights)


def _descended(loss: Any, start: Probe, iterations: int) -> Probe:
    solver = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def one(_: int, carry: tuple[Probe, Any]) -> tuple[Probe, Any]:
        probe, state = carry
        value, gradient = value_and_gradient(probe, state=state)
        updates, state = solver.update(gradient, state, probe, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(probe, updates), state

    return jax.lax.fori_loop(0, iterations, one, (start, solver.init(start)))[0]


def accuracy(probe: Probe, features: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where the probe's largest output is the label's, else 0.

    Args:
        probe: from `ridge` or `logistic`.
        features: shape (n, d).
        labels: whole numbers 0, 1, …, shape (n,).

    Returns:
        Shape (n,), of the features' dtype; NaN where an output is not finite.

    Example:
        >>> probe = Probe(jnp.array([[-1.0, 1.0]]), jnp.zeros(2))
        >>> accuracy(probe, jnp.array([[3.0], [-3.0]]), jnp.array([1, 1])).tolist()
        [1.0, 0.0]
    """
    outputs = features @ probe.weights + probe.bias[None, :]
    hits = (jnp.argmax(outputs, axis=1) == labels).astype(features.dtype)
    return jnp.where(jnp.all(jnp.isfinite(outputs), axis=1), hits, jnp.nan)
