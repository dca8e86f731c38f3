"""Conditions, thresholds and scales of paper 002, on random pruning, as functions of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def random_pruning_condition(
    d: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    mu: ArrayLike,
    sigma_p: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
) -> dict[str, NDArray]:
    r"""How far a setting is from Condition 2.2 of the paper on random pruning, part by part, as ratios.

    .. math:: \frac{\log d}{K}, \quad \frac{\mu}{\sigma_n \sqrt d \log d}, \quad
              \frac{1}{\sigma_0\, m^4 n \mu}, \quad \frac{1}{\eta\mu^2}

    Constants and logarithms, which the paper hides, are taken as 1. The first and the last should be
    at least 1, the two in the middle (Θ in the paper) of order 1. Polylogarithmic n and m and the
    target loss have no number.

    Args:
        d, n, m: patch dimension, training samples, filters per class.
        num_classes: K.
        mu: signal strength, > 0.
        sigma_p, sigma_0: standard deviations σ_n of the noise and of the initial weights, > 0.
        learning_rate: η > 0.

    Returns:
        ``classes``, ``signal_over_noise``, ``initialization`` and ``learning_rate`` -> ratio.

    Example:
        >>> ratios = random_pruning_condition(1000, 20, 50, 2, 1.0, 0.01, 1e-8, 0.1)
        >>> {name: round(float(r), 2) for name, r in ratios.items()}
        {'classes': 3.45, 'signal_over_noise': 0.46, 'initialization': 0.8, 'learning_rate': 10.0}

    Source: paper 002 (random pruning), Condition 2.2.
    """
    d, mu = np.asarray(d, float), np.asarray(mu, float)
    return {
        "classes": np.log(d) / np.asarray(num_classes),
        "signal_over_noise": mu / (np.asarray(sigma_p, float) * np.sqrt(d) * np.log(d)),
        "initialization": 1 / (np.asarray(sigma_0, float) * np.asarray(m, float) ** 4 * np.asarray(n) * mu),
        "learning_rate": 1 / (np.asarray(learning_rate, float) * mu**2),
    }


def mild_pruning_keep(d: ArrayLike, m: ArrayLike) -> NDArray:
    r"""Kept fraction above which Theorem 3.1 says that a pruned network generalises (its C₁ as 1).

    .. math:: p = \log d / m

    Args:
        d: patch dimension.
        m: filters per class.

    Returns:
        p, above 1 where the theorem says nothing.

    Example:
        >>> round(float(mild_pruning_keep(1000, 50)), 3)
        0.138

    Source: paper 002 (random pruning), Theorem 3.1.
    """
    return np.log(d) / np.asarray(m, float)


def over_pruning_keep(num_classes: ArrayLike, m: ArrayLike, d: ArrayLike) -> NDArray:
    r"""Kept fraction at which Theorem 4.1 says that a pruned network memorises (its Θ with constant 1).

    .. math:: p = 1 / (K m \log d)

    Args:
        num_classes: K.
        m: filters per class.
        d: patch dimension.

    Returns:
        p.

    Example:
        >>> round(float(over_pruning_keep(2, 50, 1000)), 5)
        0.00145

    Source: paper 002 (random pruning), Theorem 4.1.
    """
    return 1 / (np.asarray(num_classes) * np.asarray(m, float) * np.log(d))


def signal_loss_probability(keep_fraction: ArrayLike, filters: ArrayLike) -> NDArray:
    r"""Probability that none of so many filters can learn its signal.

    .. math:: \bigl(1 - \tfrac p2\bigr)^{\text{filters}}

    A filter learns the signal if its mask keeps the signal's coordinate and its initial weight there is
    positive: ReLU^q passes nothing on to the others. With m filters it is one class that loses its
    signal, with K m all classes do.

    Args:
        keep_fraction: p, 0 to 1.
        filters: how many.

    Returns:
        The probability.

    Example:
        >>> round(float(signal_loss_probability(0.01, 100)), 3)
        0.606

    Source: paper 002 (random pruning), Section 2.1 (masks and initial weights; the formula is ours).
    """
    return (1 - np.asarray(keep_fraction, float) / 2) ** np.asarray(filters)


def pruned_noise_scale(sigma_0: ArrayLike, sigma_p: ArrayLike, keep_fraction: ArrayLike, d: ArrayLike) -> NDArray:
    r"""Scale of the responses of pruned random filters to noise (Lemma 3.2, lower bound).

    .. math:: \sigma_0 \sigma_n \sqrt{p d}

    Args:
        sigma_0, sigma_p: standard deviations of the initial weights and (σ_n) of the noise.
        keep_fraction: p, 0 to 1.
        d: patch dimension.

    Returns:
        The scale.

    Example:
        >>> float(pruned_noise_scale(0.1, 0.5, 0.25, 400))
        0.5

    Source: paper 002 (random pruning), Lemma 3.2 and Theorem D.1, part 4.
    """
    return np.asarray(sigma_0) * np.asarray(sigma_p) * np.sqrt(np.asarray(keep_fraction) * np.asarray(d))
