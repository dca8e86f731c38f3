"""The noise correlation ratio of paper 001 and the eigenvalue that tunes it, as functions of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def noise_correlation_for_eigenvalue(eigenvalue: ArrayLike, d: int, num_classes: int) -> NDArray:
    r"""Noise correlation ratio Γ of classes of equal size whose noise has one tuned direction each.

    .. math:: \Gamma = \frac{\lambda^4 + (D-1)/16}{\lambda^2/2 + (D-2)/16}, \qquad D = d - K

    A_k is 0 on the K features, λ on a direction of class k alone, and ½ elsewhere.

    Args:
        eigenvalue: λ >= 0.
        d: patch dimension, at least K + 2.
        num_classes: K.

    Returns:
        Γ.

    Example:
        >>> round(float(noise_correlation_for_eigenvalue(0.5, 1000, 5)), 6)
        1.0

    Source: paper 001 (benign overfitting and long tails), Theorem 1 and Section 5.1.
    """
    square, rest = np.asarray(eigenvalue, float) ** 2, d - num_classes
    return (square**2 + (rest - 1) / 16) / (square / 2 + (rest - 2) / 16)


def eigenvalue_for_noise_correlation(gamma: ArrayLike, d: int, num_classes: int) -> NDArray:
    r"""The tuned eigenvalue λ that gives classes the noise correlation ratio Γ.

    .. math:: \lambda^2 = \frac{\Gamma}{4} + \frac12 \sqrt{(\Gamma - 1)
              \left(\frac{\Gamma + 1}{4} + \frac{D - 2}{4}\right)}, \qquad D = d - K

    Args:
        gamma: Γ >= 1; at 1 the root is double, λ = ½.
        d: patch dimension, at least K + 2.
        num_classes: K.

    Returns:
        λ, at least ½.

    Raises:
        ValueError: if a Γ is below 1.

    Example:
        >>> [round(float(v), 2) for v in eigenvalue_for_noise_correlation([1.0, 10.0, 1400.0], 1000, 5)]
        [0.5, 5.12, 28.42]

    Source: paper 001 (benign overfitting and long tails), Section 5.1.
    """
    gamma, rest = np.asarray(gamma, float), d - num_classes
    if (gamma < 1).any():
        raise ValueError(f"gamma: {gamma.min():g} is not allowed; allowed: [1, inf)")
    return np.sqrt(gamma / 4 + np.sqrt((gamma - 1) * ((gamma + 1) + (rest - 2)) / 4) / 2)
