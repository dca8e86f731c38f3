"""The papers' conditions, thresholds and boundary curves, as functions of NumPy arrays."""

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

    Source: 000_00bc3c8244f7a20d.txt, Section 5.1 (μ against σ_p √d; the paper does not write the definition out).
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

    Source: 000_00bc3c8244f7a20d.txt, Theorem 4.2.
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

    Source: 000_00bc3c8244f7a20d.txt, Theorem 4.3.
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

    Source: 000_00bc3c8244f7a20d.txt, Figure 2 and Theorem 4.4.
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

    Source: 000_00bc3c8244f7a20d.txt, Figure 2 and Theorem 4.4.
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

    Source: 000_00bc3c8244f7a20d.txt, Theorem 4.5.
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

    Source: 000_00bc3c8244f7a20d.txt, Proposition 5.2.
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

    Source: 000_00bc3c8244f7a20d.txt, Theorem 4.2.
    """
    return 1 / coefficient_ratio_scale(mu, sigma_p, d, n, num_classes)


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

    Source: 003_42eed53d19772e3c.txt, Condition 3.1.
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

    Source: 003_42eed53d19772e3c.txt, Condition 3.1 and Theorem 3.2.
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

    Source: 003_42eed53d19772e3c.txt, Theorem 3.2.
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

    Source: 003_42eed53d19772e3c.txt, Section 5.1.
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

    Source: 003_42eed53d19772e3c.txt, Section 5.1.
    """
    signal, noise = growth_rates(mu, noise_norm, n, learning_rate)
    weight = np.asarray(penalty_weight, float)
    return weight * signal * np.asarray(mu, float) ** 2, weight * noise * np.asarray(noise_norm, float) ** 2


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

    Source: 002_e556ebe0d8150778.txt, Condition 2.2.
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

    Source: 002_e556ebe0d8150778.txt, Theorem 3.1.
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

    Source: 002_e556ebe0d8150778.txt, Theorem 4.1.
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

    Source: 002_e556ebe0d8150778.txt, Section 2.1 (masks and initial weights; the formula is ours).
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

    Source: 002_e556ebe0d8150778.txt, Lemma 3.2 and Theorem D.1, part 4.
    """
    return np.asarray(sigma_0) * np.asarray(sigma_p) * np.sqrt(np.asarray(keep_fraction) * np.asarray(d))


def lucky_neurons_bound(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.01) -> NDArray:
    r"""How many lucky neurons a feature has at initialisation, at least (its Ω with constant 1).

    .. math:: \Xi_1 = m \, d^{-(\epsilon_\mathrm{max}/\epsilon_\mathrm{min})^2 (1 + \gamma)}

    Args:
        m: neurons.
        d: features.
        epsilon_ratio: ε_min / ε_max, in (0, 1].
        gamma: the small constant of Definition B.1.

    Returns:
        The number.

    Example:
        >>> round(float(lucky_neurons_bound(100, 10, 1.0)), 2)
        9.77

    Source: 004_4649f4726ba76075.txt, Lemma B.2 (c), eq. 31 and 32.
    """
    return np.asarray(m) * np.asarray(d, float) ** (-(1 + gamma) / np.asarray(epsilon_ratio, float) ** 2)


def ordinary_neurons_bound(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.01) -> NDArray:
    r"""How many ordinary neurons a feature has at initialisation, at most (its O with constant 1).

    .. math:: \Xi_2 = m \, d^{-(\epsilon_\mathrm{min}/\epsilon_\mathrm{max})^2 (1 - \gamma)}

    Args:
        m, d, epsilon_ratio, gamma: as for `lucky_neurons_bound`.

    Returns:
        The number.

    Example:
        >>> round(float(ordinary_neurons_bound(100, 10, 1.0)), 2)
        10.23

    Source: 004_4649f4726ba76075.txt, Lemma B.2 (c), eq. 31 and 32.
    """
    return np.asarray(m) * np.asarray(d, float) ** (-(1 - gamma) * np.asarray(epsilon_ratio, float) ** 2)


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

    Source: 001_bf8ff98528848446.txt, Theorem 1 and Section 5.1.
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

    Source: 001_bf8ff98528848446.txt, Section 5.1.
    """
    gamma, rest = np.asarray(gamma, float), d - num_classes
    if (gamma < 1).any():
        raise ValueError(f"gamma: {gamma.min():g} is not allowed; allowed: [1, inf)")
    return np.sqrt(gamma / 4 + np.sqrt((gamma - 1) * ((gamma + 1) + (rest - 2)) / 4) / 2)
