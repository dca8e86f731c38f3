"""Thresholds, boundary curves and scales of paper 000, on dynamic TopK pruning, as functions of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def snr(mu: ArrayLike, sigma_p: ArrayLike, d: ArrayLike) -> NDArray:
    r"""Signal-to-noise ratio.

    .. math:: \mathrm{SNR} = \mu / (\sigma_p \sqrt d)

    Args:
        mu: signal norm, > 0.
        sigma_p: noise standard deviation, > 0.
        d: patch dimension.

    Returns:
        SNR, dimensionless.

    Example:
        >>> float(snr(1.0, 0.5, 400))
        0.1

    Source: paper 000 (dynamic TopK pruning), Section 5.1 (μ against σ_p √d; the paper does not write
        the definition out).
    """
    return np.asarray(mu) / (np.asarray(sigma_p) * np.sqrt(d))


def signal_learning_snr(num_classes: ArrayLike, n: ArrayLike) -> NDArray:
    r"""SNR above which Theorem 4.2 says that the signal is learned (its Θ with constant 1).

    .. math:: \mathrm{SNR} \ge \mathcal T n^{-1/4}

    Args:
        num_classes: 𝒯.
        n: training samples.

    Returns:
        The threshold.

    Example:
        >>> round(float(signal_learning_snr(10, 200)), 3)
        2.659

    Source: paper 000 (dynamic TopK pruning), Theorem 4.2.
    """
    return np.asarray(num_classes) * np.asarray(n, float) ** -0.25


def memorization_snr(n: ArrayLike) -> NDArray:
    r"""SNR below which Theorem 4.3 says that noise is memorised (its Θ with constant 1).

    .. math:: \mathrm{SNR} \le 1 / n

    Args:
        n: training samples.

    Returns:
        The threshold.

    Example:
        >>> float(memorization_snr(200))
        0.005

    Source: paper 000 (dynamic TopK pruning), Theorem 4.3.
    """
    return 1 / np.asarray(n, float)


def topk_upper_boundary(sigma_p: ArrayLike, constant: float = 95.0, exponent: float = -2.0) -> NDArray:
    r"""Largest K that still generalises: the red curve of Figure 2.

    .. math:: K = 95\, \sigma_p^{-2}

    Args:
        sigma_p: noise standard deviation, > 0.
        constant: 95 in the paper, for 𝒯 = 10, n = 200, μ = 1; Theorem 4.4 has Θ(μ² √n / 𝒯).
        exponent: -2 in the paper.

    Returns:
        K.

    Example:
        >>> float(topk_upper_boundary(1.0))
        95.0

    Source: paper 000 (dynamic TopK pruning), Figure 2 and Theorem 4.4.
    """
    return constant * np.asarray(sigma_p, float) ** exponent


def topk_lower_boundary(sigma_p: ArrayLike, constant: float = 120.0, mu: float = 1.0) -> NDArray:
    r"""Smallest K that still generalises: the orange curve of Figure 2.

    .. math:: K = 120 \exp(-\mu / (2 \sigma_p^2))

    Args:
        sigma_p: noise standard deviation, > 0.
        constant: 120 in the paper; Theorem 4.4 has Θ(d).
        mu: signal strength.

    Returns:
        K.

    Example:
        >>> round(float(topk_lower_boundary(1.0)), 2)
        72.78

    Source: paper 000 (dynamic TopK pruning), Figure 2 and Theorem 4.4.
    """
    return constant * np.exp(-mu / (2 * np.asarray(sigma_p, float) ** 2))


def over_pruning_bound(sigma_p: ArrayLike, d: int, mu: float = 1.0) -> NDArray:
    r"""K at or below which Theorem 4.5 says that pruning destroys the signal (its O(√d) term left out).

    .. math:: K = d \left(1 - \sqrt{1 - \exp(-2\mu^2 / (\pi\sigma_p^2))}\right)

    Args:
        sigma_p: noise standard deviation, > 0.
        d: patch dimension.
        mu: signal strength.

    Returns:
        K, between 0 and d.

    Example:
        >>> round(float(over_pruning_bound(1.0, d=200)), 1)
        62.8

    Source: paper 000 (dynamic TopK pruning), Theorem 4.5.
    """
    exponent = -2 * mu**2 / (np.pi * np.asarray(sigma_p, float) ** 2)
    return d * (1 - np.sqrt(-np.expm1(exponent)))


def coefficient_ratio_scale(
    mu: ArrayLike, sigma_p: ArrayLike, d: ArrayLike, n: ArrayLike, num_classes: ArrayLike
) -> NDArray:
    r"""The scale that Proposition 5.2 gives to γ/ρ at all times (its Θ with constant 1).

    .. math:: n \, \mathrm{SNR}^2 / \mathcal T

    Args:
        mu: signal strength.
        sigma_p: noise standard deviation, > 0.
        d: patch dimension.
        n: training samples.
        num_classes: 𝒯.

    Returns:
        The scale, dimensionless.

    Example:
        >>> round(float(coefficient_ratio_scale(1.0, 1.0, 200, 200, 10)), 3)
        0.1

    Source: paper 000 (dynamic TopK pruning), Proposition 5.2.
    """
    return np.asarray(n) * snr(mu, sigma_p, d) ** 2 / np.asarray(num_classes)


def topk_noise_scale(mu: ArrayLike, sigma_p: ArrayLike, d: ArrayLike, n: ArrayLike, num_classes: ArrayLike) -> NDArray:
    r"""Bound on max |ρ| where the signal is learned (Theorem 4.2, its Õ with constant 1).

    .. math:: \mathcal T n^{-1} \mathrm{SNR}^{-2}

    Args:
        mu: signal strength.
        sigma_p: noise standard deviation, > 0.
        d: patch dimension.
        n: training samples.
        num_classes: 𝒯.

    Returns:
        The scale, dimensionless; the inverse of `coefficient_ratio_scale`.

    Example:
        >>> round(float(topk_noise_scale(1.0, 0.02, 200, 200, 10)), 4)
        0.004

    Source: paper 000 (dynamic TopK pruning), Theorem 4.2.
    """
    return 1 / coefficient_ratio_scale(mu, sigma_p, d, n, num_classes)
