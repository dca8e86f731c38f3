"""Condition, weight, closing step and rates of paper 003, on gradient regularisation, as functions of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pegr_condition(
    d: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    mu: ArrayLike,
    sigma_p: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    alpha: float = 1e-3,
) -> dict[str, NDArray]:
    r"""How far a setting is inside Condition 3.1: each part as a ratio that should be at least 1.

    .. math:: \frac{d}{m^2 n^{2+2\alpha}}, \quad \frac{\sigma_p\sqrt d}{\lVert\mu\rVert + \lVert\mu\rVert^4}, \quad
              \frac{1}{\sigma_0\, \sigma_p^2 d\, (nm)^{2\alpha}}, \quad \frac{nm}{\eta\, \sigma_p^2 d}

    Constants and logarithms, which the paper hides, are taken as 1. The second ratio should be large
    (≪ in the paper). Part 5 (n and m at least polylogarithmic) has no number.

    Args:
        d, n, m: patch dimension, training samples, filters per sign.
        mu: signal norm, > 0.
        sigma_p, sigma_0: standard deviations of noise and initial weights, > 0.
        learning_rate: η > 0.
        alpha: the condition's small constant, 0 to 0.001.

    Returns:
        ``dimension``, ``noise_over_signal``, ``initialization`` and ``learning_rate`` -> ratio.

    Example:
        >>> ratios = pegr_condition(400, 20, 10, 1.0, 1.0, 0.01, 0.02)
        >>> {name: round(float(r), 3) for name, r in ratios.items()}  # the paper's own experiment
        {'dimension': 0.01, 'noise_over_signal': 10.0, 'initialization': 0.247, 'learning_rate': 25.0}

    Source: paper 003 (per-example gradient regularisation), Condition 3.1.
    """
    d, n, m, mu = (np.asarray(v, float) for v in (d, n, m, mu))
    noise = np.asarray(sigma_p, float) ** 2 * d
    return {
        "dimension": d / (m**2 * n ** (2 + 2 * alpha)),
        "noise_over_signal": np.sqrt(noise) / (mu + mu**4),
        "initialization": 1 / (np.asarray(sigma_0, float) * noise * (n * m) ** (2 * alpha)),
        "learning_rate": n * m / (np.asarray(learning_rate, float) * noise),
    }


def pegr_weight(sigma_p: ArrayLike, d: ArrayLike) -> NDArray:
    r"""The weight of the penalty in Theorem 3.2.

    .. math:: \lambda = \sigma_p^{-1} d^{-1/2}

    Args:
        sigma_p: noise standard deviation, > 0.
        d: patch dimension.

    Returns:
        λ.

    Example:
        >>> float(pegr_weight(0.5, 400))
        0.1

    Source: paper 003 (per-example gradient regularisation), Condition 3.1 and Theorem 3.2.
    """
    return 1 / (np.asarray(sigma_p, float) * np.sqrt(d))


def pegr_closing_step(
    mu: ArrayLike, sigma_0: ArrayLike, learning_rate: ArrayLike, m: ArrayLike, n: ArrayLike, delta: float = 0.01
) -> NDArray:
    r"""The step at which Theorem 3.2 closes the penalty.

    .. math:: T_1 = \frac{m}{\eta\lVert\mu\rVert^2}
              \log\frac{4}{\sqrt{2\log(8m/\delta)}\,\sigma_0\lVert\mu\rVert\log n}

    It is written for the printed 1/m; under a plain sum over filters the factor m in front is 1.

    Args:
        mu: signal norm, > 0.
        sigma_0: initial weight standard deviation, > 0.
        learning_rate: η > 0.
        m: filters per sign.
        n: training samples, at least 2.
        delta: probability of failure, 0 to 1; the paper leaves it open.

    Returns:
        T₁ in steps, not rounded.

    Example:
        >>> round(float(pegr_closing_step(1.0, 0.01, 0.02, 10, 20)))  # the paper closes at 800
        1725

    Source: paper 003 (per-example gradient regularisation), Theorem 3.2.
    """
    mu, m = np.asarray(mu, float), np.asarray(m, float)
    start = np.sqrt(2 * np.log(8 * m / delta)) * np.asarray(sigma_0, float) * mu * np.log(n)
    return m / (np.asarray(learning_rate, float) * mu**2) * np.log(4 / start)


def growth_rates(
    mu: ArrayLike, noise_norm: ArrayLike, n: ArrayLike, learning_rate: ArrayLike
) -> tuple[NDArray, NDArray]:
    r"""How fast signal and noise grow early in training (the Θ of § 5.1 with constant 1).

    .. math:: \eta\lVert\mu\rVert^2, \qquad \eta\lVert\xi_i\rVert^2 / n

    Args:
        mu: signal norm.
        noise_norm: ‖ξ_i‖, about σ_p √d.
        n: training samples.
        learning_rate: η.

    Returns:
        Rates per step of signal and of noise.

    Example:
        >>> [round(float(r), 3) for r in growth_rates(1.0, 20.0, 20, 0.02)]  # noise is 20 times as fast
        [0.02, 0.4]

    Source: paper 003 (per-example gradient regularisation), Section 5.1.
    """
    eta = np.asarray(learning_rate, float)
    return eta * np.asarray(mu, float) ** 2, eta * np.asarray(noise_norm, float) ** 2 / np.asarray(n)


def suppression_rates(
    mu: ArrayLike, noise_norm: ArrayLike, n: ArrayLike, learning_rate: ArrayLike, penalty_weight: ArrayLike
) -> tuple[NDArray, NDArray]:
    r"""How fast PEGR drives signal and noise back early in training (the Θ of § 5.1 with constant 1).

    .. math:: \lambda\eta\lVert\mu\rVert^4, \qquad \lambda\eta\lVert\xi_i\rVert^4 / n

    With λ = 1/‖ξ‖ noise is held back ‖ξ‖ times as fast as it grows, the signal only ‖μ‖²/‖ξ‖ times.

    Args:
        mu, noise_norm, n, learning_rate: as for `growth_rates`.
        penalty_weight: λ.

    Returns:
        Rates per step of signal and of noise.

    Example:
        >>> [round(float(r), 3) for r in suppression_rates(1.0, 20.0, 20, 0.02, 0.05)]
        [0.001, 8.0]

    Source: paper 003 (per-example gradient regularisation), Section 5.1.
    """
    signal, noise = growth_rates(mu, noise_norm, n, learning_rate)
    weight = np.asarray(penalty_weight, float)
    return weight * signal * np.asarray(mu, float) ** 2, weight * noise * np.asarray(noise_norm, float) ** 2
