"""Conditions, thresholds, boundary curves and scales of paper 000, on dynamic TopK pruning, as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from snljax.theory.conditions import Checked, Condition, at_least, at_most, same
from snljax.theory.scaling import averaged


class Bounds(NamedTuple):
    """Between what a quantity lies, with high probability."""

    low: NDArray
    high: NDArray


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

    The selection argument behind it leaves out how many samples a step averages: see `topk_selection_boundary`. The
    exponent has μ as printed; the Gaussian tail that it comes from (Appendix I) has μ², the same at μ = 1.

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


def selection_ratio(mu: ArrayLike, sigma_p: ArrayLike, n: ArrayLike, num_classes: ArrayLike) -> NDArray:
    r"""Signal coordinate over the standard deviation of noise coordinates after the first step, in an active filter.

    .. math:: \frac{\mu \sqrt{2 n (\mathcal T - 1)}}{\mathcal T \sigma_p}

    From weights that are nearly 0 every class has probability 1/𝒯. A filter of class j with ⟨w, μ_j⟩ > 0 gains
    (𝒯−1)/𝒯² · μ on its signal coordinate. Its noise coordinates gather half of the samples (those with ⟨w, ξ_i⟩ > 0),
    with weights 1 − 1/𝒯 of its own class and −1/𝒯 of the others; their standard deviation is
    σ_p √(n(𝒯−1)/2) / (𝒯 n). Appendix I of the paper compares μ with σ_p itself, as if a step saw two samples' worth.

    Args:
        mu: signal strength.
        sigma_p: noise standard deviation, > 0.
        n: training samples.
        num_classes: 𝒯, at least 2.

    Returns:
        The ratio; neither the step size nor m nor their reduction enters.

    Example:
        >>> float(selection_ratio(1.0, 1.0, 200, 10))
        6.0

    Source: paper 000 (dynamic TopK pruning), Appendix I, with the factor in n and 𝒯 that it drops (ours).
    """
    classes = np.asarray(num_classes, float)
    return np.asarray(mu) * np.sqrt(2 * np.asarray(n) * (classes - 1)) / (classes * np.asarray(sigma_p, float))


def topk_selection_boundary(
    mu: ArrayLike, sigma_p: ArrayLike, n: ArrayLike, num_classes: ArrayLike, d: ArrayLike
) -> NDArray:
    r"""Smallest K with which a filter that is cut once, after the first step, keeps its signal coordinate.

    .. math:: K_\mathrm{low} = 2 (d - \mathcal T)\,
              \Phi\!\left(-\frac{\mu\sqrt{2 n (\mathcal T - 1)}}{\mathcal T \sigma_p}\right)

    It is the expected number of noise coordinates that are larger than the signal's; as many are kept before it.
    Classes count as equally large. Labels drawn at random spread the signals, and where few coordinates are larger the
    mean over filters is above this (10 for the 8.6 below).

    Args:
        mu, sigma_p, n, num_classes: as for `selection_ratio`.
        d: patch dimension, above 𝒯.

    Returns:
        K, between 0 and d − 𝒯.

    Example:
        >>> [round(float(k), 1) for k in topk_selection_boundary(1.0, [3.0, 4.0, 6.0], 200, 10, 200)]
        [8.6, 25.4, 60.3]

    Source: paper 000 (dynamic TopK pruning), Appendix I and Theorem 4.4, corrected as in `selection_ratio` (ours).
    """
    ratio = selection_ratio(mu, sigma_p, n, num_classes)
    return 2 * (np.asarray(d) - np.asarray(num_classes)) * ndtr(-ratio)


def topk_upper_scale(mu: ArrayLike, sigma_p: ArrayLike, n: ArrayLike, num_classes: ArrayLike) -> NDArray:
    r"""Largest K in Theorem 4.4 (its Θ with constant 1); Figure 2 has 95 σ_p⁻² where this has 1.41 σ_p⁻².

    .. math:: K_\mathrm{high} = \mu^2 \sqrt n / (\mathcal T \sigma_p^2)

    Args:
        mu, sigma_p, n, num_classes: as for `selection_ratio`.

    Returns:
        K.

    Example:
        >>> round(float(topk_upper_scale(1.0, 1.0, 200, 10)), 3)
        1.414

    Source: paper 000 (dynamic TopK pruning), Theorem 4.4.
    """
    squares = np.asarray(mu, float) ** 2 / np.asarray(sigma_p, float) ** 2
    return squares * np.sqrt(n) / np.asarray(num_classes)


def topk_condition(
    d: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    mu: ArrayLike,
    sigma_p: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    last_step: ArrayLike,
    delta: float = 0.01,
) -> dict[str, NDArray]:
    r"""How far a setting is inside Condition 4.1: each part as a ratio that should be at least 1.

    .. math:: \frac{d}{\mathcal T + 512\, \mathcal T n^2 \alpha^2 \log(4 n^2/\delta)}, \quad d \sigma_p^2, \quad
              \frac{\min\{\mu^{-1}, (\sigma_p \sqrt{d - \mathcal T})^{-1}\}}
              {16 \sqrt{\log(8 m \mathcal T^2/\delta)}\; \mathcal T n^2 \sigma_0}, \quad
              \frac{m \mathcal T}{\eta \mu^2}, \qquad \alpha = 4 \log T^*

    For the network with the printed 1/m; of one that sums, give m σ_0 and m² η (`averaged`). Constants in Θ and O
    are taken as 1.

    Args:
        d, n, m, num_classes: patch dimension, training samples, filters per class, 𝒯 < d.
        mu: signal strength, > 0.
        sigma_p, sigma_0: standard deviations of noise and initial weights, > 0.
        learning_rate: η > 0.
        last_step: T*, the most steps that are looked at, at least 2.
        delta: probability of failure, 0 to 1.

    Returns:
        ``dimension``, ``noise``, ``initialization`` and ``learning_rate`` -> ratio.

    Example:
        >>> ratios = topk_condition(200, 200, 20, 10, 1.0, 1.0, 0.01, 0.05, 5000)
        >>> {name: f"{float(r):.2g}" for name, r in ratios.items()}  # the paper's own experiment
        {'dimension': '5.1e-11', 'noise': '2e+02', 'initialization': '3e-07', 'learning_rate': '4e+03'}

    Source: paper 000 (dynamic TopK pruning), Condition 4.1; α is of Appendix E.
    """
    d, n, m, classes, mu, sigma_p = (np.asarray(v, float) for v in (d, n, m, num_classes, mu, sigma_p))
    alpha = 4 * np.log(np.asarray(last_step, float))
    wanted = classes + 512 * classes * n**2 * alpha**2 * np.log(4 * n**2 / delta)
    smallest = np.minimum(1 / mu, 1 / (sigma_p * np.sqrt(d - classes)))
    largest = smallest / (16 * np.sqrt(np.log(8 * m * classes**2 / delta)) * classes * n**2)
    return {
        "dimension": d / wanted,
        "noise": d * sigma_p**2,
        "initialization": largest / np.asarray(sigma_0, float),
        "learning_rate": m * classes / (np.asarray(learning_rate, float) * mu**2),
    }


def signal_learning_steps(
    mu: ArrayLike,
    sigma_p: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    learning_rate: ArrayLike,
    kept: ArrayLike,
    epsilon: float = 0.01,
) -> NDArray:
    r"""Steps within which the signal is learned and the training loss reaches ε (Õ with constant 1, no logarithms).

    .. math:: T = \frac{m \mathcal T}{\eta \mu^2} + \frac{\mathcal T m n}{\eta \sigma_p^2 K \epsilon}

    For the network with the printed 1/m; of one that sums, give m² η (`averaged`).

    Args:
        mu, sigma_p, n, num_classes: as for `selection_ratio`.
        m: filters per class.
        learning_rate: η > 0.
        kept: K of Theorems 4.4 and 4.5, or d, without pruning, of Theorem 4.2.
        epsilon: target training loss, > 0.

    Returns:
        T in steps, not rounded.

    Example:
        >>> round(float(signal_learning_steps(1.0, 1.0, 200, 20, 10, 0.05, 200)))
        404000

    Source: paper 000 (dynamic TopK pruning), Theorems 4.2, 4.4 and 4.5.
    """
    mn, eta = np.asarray(num_classes) * np.asarray(m, float), np.asarray(learning_rate, float)
    fitted = mn * np.asarray(n) / (eta * np.asarray(sigma_p, float) ** 2 * np.asarray(kept) * epsilon)
    return mn / (eta * np.asarray(mu, float) ** 2) + fitted


def memorization_steps(
    mu: ArrayLike,
    sigma_p: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    learning_rate: ArrayLike,
    d: ArrayLike,
    epsilon: float = 0.01,
) -> NDArray:
    r"""Steps within which noise is memorised and the training loss reaches ε (Õ with constant 1, no logarithms).

    .. math:: T = \frac{m n}{\eta \sigma_p^2 d} + \frac{\mathcal T m}{\eta \mu^2 \epsilon}

    Args:
        mu, sigma_p, n, m, num_classes, learning_rate, epsilon: as for `signal_learning_steps`.
        d: patch dimension.

    Returns:
        T in steps, not rounded.

    Example:
        >>> round(float(memorization_steps(1.0, 1.0, 200, 20, 10, 0.05, 200)))
        400400

    Source: paper 000 (dynamic TopK pruning), Theorem 4.3.
    """
    eta, m = np.asarray(learning_rate, float), np.asarray(m, float)
    grown = m * np.asarray(n) / (eta * np.asarray(sigma_p, float) ** 2 * np.asarray(d))
    return grown + np.asarray(num_classes) * m / (eta * np.asarray(mu, float) ** 2 * epsilon)


def signal_learning_test_loss(train_loss: ArrayLike, num_classes: ArrayLike, n: ArrayLike) -> NDArray:
    r"""Bound on the test loss where the signal is learned; nothing is hidden in it.

    .. math:: L_\mathcal{D} \le 8 e^4 \mathcal T L_S + e^{-n^2}

    Args:
        train_loss: L_S in nats.
        num_classes: 𝒯.
        n: training samples.

    Returns:
        The bound in nats. At 𝒯 = 10 it is below log 𝒯 only for L_S < 5·10⁻⁴.

    Example:
        >>> round(float(signal_learning_test_loss(0.01, 10, 200)), 1)
        43.7

    Source: paper 000 (dynamic TopK pruning), Theorem 4.2, item 4, and Lemma F.8.
    """
    return 8 * np.exp(4.0) * np.asarray(num_classes) * np.asarray(train_loss, float) + np.exp(
        -(np.asarray(n, float) ** 2)
    )


def memorization_test_loss(num_classes: ArrayLike) -> NDArray:
    r"""Least test loss where noise is memorised; nothing is hidden in it.

    .. math:: L_\mathcal{D} \ge \tfrac12 \log\bigl(1 + (\mathcal T - 1) / e\bigr)

    Args:
        num_classes: 𝒯.

    Returns:
        The bound in nats.

    Example:
        >>> round(float(memorization_test_loss(10)), 3)  # guessing has log 10 = 2.303
        0.731

    Source: paper 000 (dynamic TopK pruning), Theorem 4.3, item 4, and Lemma H.4.
    """
    return np.log1p((np.asarray(num_classes, float) - 1) / np.e) / 2


def samples_for_class_counts(num_classes: ArrayLike, delta: float = 0.01) -> NDArray:
    r"""Training samples from which every class has 4n/(5𝒯) to 6n/(5𝒯) of them, with probability 1 − δ.

    .. math:: n \ge \tfrac{25}{2} \mathcal T^2 \log(2 \mathcal T / \delta)

    The paper prints n ≥ 13 𝒯 log(2/δ). Its own Hoeffding bound needs 𝒯² there, and the union over classes 𝒯/δ: with
    𝒯 = 10 and δ = 0.01 the printed 689 samples miss these counts more often than not.

    Args:
        num_classes: 𝒯.
        delta: probability of failure, 0 to 1.

    Returns:
        n, not rounded.

    Example:
        >>> round(float(samples_for_class_counts(10)))
        9501

    Source: paper 000 (dynamic TopK pruning), Lemma C.1, corrected.
    """
    classes = np.asarray(num_classes, float)
    return 12.5 * classes**2 * np.log(2 * classes / delta)


def filters_for_active_counts(num_classes: ArrayLike, n: ArrayLike, delta: float = 0.01) -> NDArray:
    r"""Filters from which m/4 to 3m/4 of each class respond to each signal and to each sample's noise at the start.

    .. math:: m \ge 8 \log\frac{2 \mathcal T (\mathcal T + n)}{\delta}

    Lemmas C.2 and C.3 print a condition on n, 13 𝒯 log(2/δ), where it is the number of filters that is counted; this
    is Hoeffding's bound for m fair coins, with the union over the 𝒯 classes of filters and 𝒯 signals or n samples.

    Args:
        num_classes: 𝒯.
        n: training samples.
        delta: probability of failure, 0 to 1.

    Returns:
        m, not rounded.

    Example:
        >>> round(float(filters_for_active_counts(10, 200)))
        104

    Source: paper 000 (dynamic TopK pruning), Lemmas C.2 and C.3, corrected.
    """
    classes = np.asarray(num_classes, float)
    return 8 * np.log(2 * classes * (classes + np.asarray(n)) / delta)


def noise_norm_bounds(sigma_p: ArrayLike, d: ArrayLike, num_classes: ArrayLike) -> Bounds:
    r"""Between what the squared norms of all samples' noise lie.

    .. math:: \sigma_p^2 (d - \mathcal T) / 2 \le \lVert\xi_i\rVert^2 \le 3 \sigma_p^2 (d - \mathcal T) / 2

    Args:
        sigma_p: noise standard deviation.
        d: patch dimension; the lemma wants d − 𝒯 = Ω(log(4n/δ)).
        num_classes: 𝒯 < d.

    Returns:
        Bounds.

    Example:
        >>> [float(b) for b in noise_norm_bounds(1.0, 210, 10)]
        [100.0, 300.0]

    Source: paper 000 (dynamic TopK pruning), Lemma C.4.
    """
    middle = np.asarray(sigma_p, float) ** 2 * (np.asarray(d) - np.asarray(num_classes))
    return Bounds(middle / 2, 1.5 * middle)


def noise_overlap_bound(
    sigma_p: ArrayLike, d: ArrayLike, num_classes: ArrayLike, n: ArrayLike, delta: float = 0.01
) -> NDArray:
    r"""Largest inner product of two samples' noise.

    .. math:: \lvert\langle\xi_i, \xi_{i'}\rangle\rvert \le
              2 \sigma_p^2 \sqrt{(d - \mathcal T) \log(4 n^2/\delta)}

    Args:
        sigma_p, d, num_classes: as for `noise_norm_bounds`.
        n: training samples.
        delta: probability of failure, 0 to 1.

    Returns:
        The bound.

    Example:
        >>> round(float(noise_overlap_bound(1.0, 210, 10, 200)), 1)  # the norms are 100 to 300
        115.2

    Source: paper 000 (dynamic TopK pruning), Lemma C.4.
    """
    rest = np.asarray(d) - np.asarray(num_classes)
    return 2 * np.asarray(sigma_p, float) ** 2 * np.sqrt(rest * np.log(4 * np.asarray(n, float) ** 2 / delta))


def initial_signal_bounds(
    sigma_0: ArrayLike, mu: ArrayLike, m: ArrayLike, num_classes: ArrayLike, delta: float = 0.01
) -> Bounds:
    r"""Between what the largest initial response to a signal lies, for each class of filters and each signal.

    .. math:: \frac{\sigma_0 \mu}{2} \le \max_r \langle w_{j,r}^{(0)}, \mu_\tau\rangle
              \le \sigma_0 \mu \sqrt{2 \log(8 m \mathcal T^2/\delta)}

    Args:
        sigma_0: initial weight standard deviation.
        mu: signal strength.
        m: filters per class; the lemma wants Ω(log(1/δ)).
        num_classes: 𝒯.
        delta: probability of failure, 0 to 1.

    Returns:
        Bounds; the upper one holds for magnitudes too (eq. 2).

    Example:
        >>> [round(float(b), 4) for b in initial_signal_bounds(0.01, 1.0, 20, 10)]
        [0.005, 0.0535]

    Source: paper 000 (dynamic TopK pruning), Lemma C.5, eq. 2 and 4.
    """
    scale = np.asarray(sigma_0, float) * np.asarray(mu)
    pairs = np.asarray(m, float) * np.asarray(num_classes, float) ** 2
    return Bounds(scale / 2, scale * np.sqrt(2 * np.log(8 * pairs / delta)))


def initial_noise_bounds(
    sigma_0: ArrayLike,
    sigma_p: ArrayLike,
    d: ArrayLike,
    m: ArrayLike,
    n: ArrayLike,
    num_classes: ArrayLike,
    delta: float = 0.01,
) -> Bounds:
    r"""Between what the largest initial response to a sample's noise lies, for each class of filters.

    .. math:: \frac{\sigma_0 \sigma_p \sqrt{d - \mathcal T}}{4} \le
              \max_r \langle w_{j,r}^{(0)}, \xi_i\rangle \le
              2 \sigma_0 \sigma_p \sqrt{d - \mathcal T} \sqrt{\log(8 m n \mathcal T/\delta)}

    Args:
        sigma_0, m, num_classes, delta: as for `initial_signal_bounds`.
        sigma_p: noise standard deviation.
        d: patch dimension.
        n: training samples.

    Returns:
        Bounds; the upper one holds for magnitudes too (eq. 3).

    Example:
        >>> [round(float(b), 3) for b in initial_noise_bounds(0.01, 1.0, 210, 20, 200, 10)]
        [0.035, 1.176]

    Source: paper 000 (dynamic TopK pruning), Lemma C.5, eq. 3 and 5.
    """
    scale = np.asarray(sigma_0, float) * np.asarray(sigma_p) * np.sqrt(np.asarray(d) - np.asarray(num_classes))
    count = np.asarray(m, float) * np.asarray(n) * np.asarray(num_classes)
    return Bounds(scale / 4, 2 * scale * np.sqrt(np.log(8 * count / delta)))


def conditions(config: Any, delta: float = 0.01) -> Checked:
    """Condition 4.1, Lemmas C.1 to C.3 and the regimes of Theorems 4.2 to 4.5 for one setting.

    Args:
        config: a Config of ``topk_pruning``.
        delta: probability of failure, 0 to 1.

    Returns:
        Checked. T* is ``steps``, ε of the numbers of steps is 0.01.

    Example:
        >>> from snljax.experiments.topk_pruning import Config
        >>> conditions(Config(sigma_p=0.01, first_prune=None)).theorems
        ('Theorem 4.2',)

    Source: paper 000 (dynamic TopK pruning), Condition 4.1 and Theorems 4.2 to 4.5.
    """
    c, sums = config, config.filter_reduction == "sum"
    to_mean = averaged(c.m if sums else 1, c.q)
    sigma_0, eta = max(c.sigma_0, _TINY) * float(to_mean.weights), c.learning_rate * float(to_mean.learning_rate)
    d, n, m, classes, mu, sigma_p = c.d, c.n, c.m, c.num_classes, c.mu, max(c.sigma_p, _TINY)
    ratios = topk_condition(d, n, m, classes, mu, sigma_p, sigma_0, eta, max(c.steps, 2), delta)
    ratio, pruned = float(snr(mu, sigma_p, d)), c.first_prune is not None and d > c.K
    cut = ("TopK of a class" if c.prune_scope == "class" else "TopK") if pruned else "none"
    cut += "" if c.batch_size is None else f", batches of {c.batch_size}"  # all samples in the theorems
    kept, at = c.K if pruned else d, (mu, sigma_p, n, m, classes, eta)
    apart, start = float(np.sqrt(d * np.log(1 / delta))), f"δ = {delta:g}"
    rows = [
        at_least(
            "dimension: d ≥ 𝒯 + 512 𝒯 n² α² log(4n²/δ), α = 4 log T*",
            "Condition 4.1 (1)",
            d,
            d / float(ratios["dimension"]),
            f"Θ as 1, T* = steps, {start}",
        ),
        at_least("dimension: d ≥ σ_p⁻²", "Condition 4.1 (1)", d, sigma_p**-2, "none"),
        at_most(
            "initial weights: σ_0 ≤ min{1/μ, 1/(σ_p√(d − 𝒯))} / (16 √log(8m𝒯²/δ) 𝒯 n²)",
            "Condition 4.1 (2)",
            sigma_0,
            sigma_0 * float(ratios["initialization"]),
            start,
        ),
        at_most("learning rate: η ≤ m𝒯/μ²", "Condition 4.1 (3)", eta, m * classes / mu**2, "O as 1"),
        same("activation: ReLU^q, q", "Section 3", f"{c.q:g}", "1"),
        same("activation: σ'(0)", "Section 3", f"{c.relu_grad_at_zero:g}", "1"),
        at_least(
            "class sizes: n ≥ 12.5 𝒯² log(2𝒯/δ); printed: 13 𝒯 log(2/δ)",
            "Lemma C.1, corrected",
            n,
            float(samples_for_class_counts(classes, delta)),
            start,
        ),
        at_least(
            "active filters: m ≥ 8 log(2𝒯(𝒯 + n)/δ); printed: a condition on n",
            "Lemmas C.2, C.3, corrected",
            m,
            float(filters_for_active_counts(classes, n, delta)),
            start,
        ),
    ]

    def bound(rule: Callable[..., Condition], theorem: str, says: str, value: float, limit: Any, hidden: str) -> None:
        rows.append(rule(says, f"Theorem {theorem}", value, float(limit), hidden, "regime"))

    def takes(theorem: str, says: str, steps: Any) -> None:
        hidden = "Õ as 1, ε = 0.01"
        rows.append(at_least(says, f"Theorem {theorem}, time", c.steps, float(steps), hidden, "time"))

    bound(at_least, "4.2", "signal is learned: SNR ≥ 𝒯 n^(−1/4)", ratio, signal_learning_snr(classes, n), "Θ as 1")
    rows.append(same("pruning", "Theorem 4.2", cut, "none", "regime"))
    takes("4.2", "steps ≥ m𝒯/(ημ²) + 𝒯mn/(ησ_p²dε)", signal_learning_steps(*at, d))
    bound(at_most, "4.3", "noise is memorised: SNR ≤ 1/n", ratio, memorization_snr(n), "Θ as 1")
    rows.append(same("pruning", "Theorem 4.3", cut, "none", "regime"))
    takes("4.3", "steps ≥ mn/(ησ_p²d) + 𝒯m/(ημ²ε)", memorization_steps(*at, d))
    bound(at_most, "4.4", "pruning helps: SNR ≤ 1/n", ratio, memorization_snr(n), "Θ as 1")
    low = topk_lower_boundary(sigma_p, d, mu) + apart
    bound(at_least, "4.4", "pruning helps: K ≥ d exp(−μ/(2σ_p²)) + √(d log(1/δ))", kept, low, f"Θ, O as 1, {start}")
    high = topk_upper_scale(mu, sigma_p, n, classes)
    bound(at_most, "4.4", "pruning helps: K ≤ μ²√n/(𝒯σ_p²)", kept, high, "Θ as 1")
    rows.append(same("pruning", "Theorem 4.4", cut, "TopK", "regime"))
    takes("4.4", "steps ≥ m𝒯/(ημ²) + 𝒯mn/(ησ_p²Kε)", signal_learning_steps(*at, kept))
    low = topk_selection_boundary(mu, sigma_p, n, classes, d)
    says = "the cut keeps the signal: K ≥ 2(d − 𝒯) Φ(−μ√(2n(𝒯−1))/(𝒯σ_p))"
    rows.append(at_least(says, "Appendix I, corrected", kept, float(low), "none", "regime"))
    rows.append(same("pruning", "Appendix I, corrected", cut, "TopK", "regime"))
    over = over_pruning_bound(sigma_p, d, mu) - apart
    says = "over-pruning: K ≤ d(1 − √(1 − exp(−2μ²/(πσ_p²)))) − √(d log(1/δ))"
    bound(at_most, "4.5", says, kept, over, f"O as 1, {start}")
    rows.append(same("pruning", "Theorem 4.5", cut, "TopK", "regime"))
    network = f"with 1/m: σ_0 = {sigma_0:.3g}, η = {eta:.3g}"
    if sums:
        network += f" (the same outputs at every step as this sum over m = {m} filters)"
    return Checked("paper 000 (dynamic TopK pruning)", network, tuple(rows))


_TINY = 1e-100  # in the place of a standard deviation of 0
