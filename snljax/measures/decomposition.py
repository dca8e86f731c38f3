"""The signal-noise decomposition w = w0 + Σ γ_τ μ_τ/‖μ_τ‖² + Σ ρ_i ξ_i/‖ξ_i‖²."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Decomposition(NamedTuple):
    """gamma: shape (..., signals); rho: shape (..., n)."""

    gamma: jax.Array
    rho: jax.Array


class RatioBounds(NamedTuple):
    """Smallest, largest and typical (ratio of means) of the coefficient ratios γ/ρ."""

    low: jax.Array
    high: jax.Array
    typical: jax.Array


def project(change: jax.Array, signals: jax.Array, noise: jax.Array) -> Decomposition:
    r"""Coefficients by least squares on the weights; unique where the data vectors are independent.

    .. math:: \min_{\gamma,\rho} \bigl\| w - w_0 - \sum_\tau \gamma_\tau \mu_\tau / \|\mu_\tau\|^2
              - \sum_i \rho_i \xi_i / \|\xi_i\|^2 \bigr\|^2

    Args:
        change: w - w0, shape (..., d).
        signals: μ_τ, shape (signals, d).
        noise: ξ_i, shape (n, d), with signals + n <= d for a unique answer.

    Returns:
        Decomposition with shapes (..., signals) and (..., n).

    Raises:
        ValueError: if there are more vectors than dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> out = project(jnp.array([2.0, 6.0, 0.0]), jnp.eye(3)[:1], 3 * jnp.eye(3)[1:2])
        >>> [round(float(out.gamma[0]), 4), round(float(out.rho[0]), 4)]
        [2.0, 18.0]

    Source: paper 000 (dynamic TopK pruning), Definition 5.1.
    """
    vectors = jnp.concatenate([signals, noise])
    if vectors.shape[0] > vectors.shape[1]:
        raise ValueError(
            f"project: {vectors.shape[0]} vectors in {vectors.shape[1]} dimensions; allowed: at most as many "
            "vectors as dimensions, else the coefficients are not unique"
        )
    scaled = vectors / jnp.sum(vectors**2, axis=1, keepdims=True)
    flat = change.reshape(-1, change.shape[-1])
    solution = jnp.linalg.lstsq(scaled.T, flat.T)[0].T.reshape(*change.shape[:-1], -1)
    return Decomposition(solution[..., : signals.shape[0]], solution[..., signals.shape[0] :])


def coefficient_ratio(
    coefficients: Decomposition, initial_signal: jax.Array, initial_noise: jax.Array, labels: jax.Array
) -> RatioBounds:
    r"""The ratios γ_{τ,r₁,τ} / ρ_{y_i,r₂,i} over all filters that are active at the start.

    .. math:: r_1 \in \{r : \langle w^{(0)}_{\tau r}, \mu_\tau\rangle > 0\}, \qquad
              r_2 \in \{r : \langle w^{(0)}_{y_i r}, \xi_i\rangle > 0\}

    Args:
        coefficients: gamma (num_classes, m, num_classes), rho (num_classes, m, n).
        initial_signal: ⟨w0, μ_τ⟩, shape of gamma.
        initial_noise: ⟨w0, ξ_i⟩, shape of rho.
        labels: y, shape (n,).

    Returns:
        RatioBounds: smallest and largest ratio, and mean γ over mean ρ. NaN before the first step.

    Example:
        >>> import jax.numpy as jnp
        >>> one = Decomposition(jnp.full((1, 1, 1), 6.0), jnp.full((1, 1, 2), 3.0))
        >>> bounds = coefficient_ratio(one, jnp.ones((1, 1, 1)), jnp.ones((1, 1, 2)), jnp.array([0, 0]))
        >>> float(bounds.low), float(bounds.high), float(bounds.typical)
        (2.0, 2.0, 2.0)

    Source: paper 000 (dynamic TopK pruning), Proposition 5.2.
    """
    classes = jnp.arange(coefficients.gamma.shape[0])
    own_gamma = coefficients.gamma[classes, :, classes]
    active_gamma = initial_signal[classes, :, classes] > 0
    samples = jnp.arange(labels.shape[0])
    own_rho = coefficients.rho[labels, :, samples]
    active_rho = initial_noise[labels, :, samples] > 0

    def low_high_mean(values: jax.Array, active: jax.Array):
        low = jnp.min(jnp.where(active, values, jnp.inf))
        high = jnp.max(jnp.where(active, values, -jnp.inf))
        return low, high, jnp.sum(jnp.where(active, values, 0.0)) / jnp.sum(active)

    gamma_low, gamma_high, gamma_mean = low_high_mean(own_gamma, active_gamma)
    rho_low, rho_high, rho_mean = low_high_mean(own_rho, active_rho)
    return RatioBounds(gamma_low / rho_high, gamma_high / rho_low, gamma_mean / rho_mean)
