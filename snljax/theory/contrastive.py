"""Assumptions, stages, scales and floors of paper 004, on contrastive learning, as functions of NumPy arrays."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb
from scipy.stats import binom

from snljax.theory.conditions import LENIENT, Checked, at_least, at_most, fixed, of_order, same


class Stages(NamedTuple):
    """When the stages of training end, in steps: T₁ to T₄."""

    first: NDArray
    second: NDArray
    third: NDArray
    fourth: NDArray


class LearnedWeights(NamedTuple):
    """What a trained neuron holds of each direction (eq. 12).

    low, high: α, of a feature it is dominated by. others, outside: α' and β, of other features and of directions that
    are no feature, at most, in units of ‖w‖.
    """

    low: NDArray
    high: NDArray
    others: NDArray
    outside: NDArray


class Growth(NamedTuple):
    """By what factor ⟨w, M_j⟩ grows in a step: of the minority in its lucky neurons, and of another feature."""

    minority: NDArray
    other: NDArray


def ordinary_neurons_bound(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.01) -> NDArray:
    r"""How many ordinary neurons a feature has at initialisation, at most (its O with constant 1).

    .. math:: \Xi_2 = m \, d^{-(\epsilon_\mathrm{min}/\epsilon_\mathrm{max})^2 (1 - \gamma)}

    Args:
        m: neurons.
        d: features.
        epsilon_ratio: ε_min / ε_max, in (0, 1].
        gamma: the small constant of Definition B.1.

    Returns:
        The number.

    Example:
        >>> round(float(ordinary_neurons_bound(100, 10, 1.0)), 2)
        10.23

    Source: paper 004 (contrastive learning under imbalance), Lemma B.2 (c), eq. 31 and 32.
    """
    return np.asarray(m) * np.asarray(d, float) ** (-(1 - gamma) * np.asarray(epsilon_ratio, float) ** 2)


def lucky_neurons_bound(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.01) -> NDArray:
    r"""How many lucky neurons a feature has at initialisation, at least (its Ω with constant 1).

    .. math:: \Xi_1 = m \, d^{-(\epsilon_\mathrm{max}/\epsilon_\mathrm{min})^2 (1 + \gamma)}

    Args:
        m, d, epsilon_ratio: as for `ordinary_neurons_bound`.
        gamma: the small constant of Definition B.1; 0 for the bound of eq. 9.

    Returns:
        The number; below 1 it promises none.

    Example:
        >>> round(float(lucky_neurons_bound(100, 10, 1.0)), 2), f"{float(lucky_neurons_bound(24, 9, 0.5)):.1g}"
        (9.77, '0.003')

    Source: paper 004 (contrastive learning under imbalance), Lemma B.2 (c), eq. 31 and 32; Lemma 3.2, eq. 9.
    """
    return np.asarray(m) * np.asarray(d, float) ** (-(1 + gamma) / np.asarray(epsilon_ratio, float) ** 2)


def features_of_a_neuron(d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.0) -> NDArray:
    r"""How many features dominate a trained neuron, at most (its O with constant 1).

    .. math:: \lvert\mathcal N_i\rvert = d^{\,1 - (\epsilon_\mathrm{min}/\epsilon_\mathrm{max})^2 (1 - \gamma)}

    Args:
        d, epsilon_ratio: as for `ordinary_neurons_bound`.
        gamma: 0 for eq. 14, the small constant of Definition B.1 for Lemma B.2 (d).

    Returns:
        The number: 1 without imbalance, d at ε_min → 0.

    Example:
        >>> features_of_a_neuron(16, [1.0, 0.5]).tolist()
        [1.0, 8.0]

    Source: paper 004 (contrastive learning under imbalance), Theorem 3.1, eq. 14, and Lemma B.2 (d).
    """
    return np.asarray(d, float) ** (1 - (1 - gamma) * np.asarray(epsilon_ratio, float) ** 2)


def feature_frequency(d: ArrayLike, epsilon: ArrayLike = 1.0) -> NDArray:
    r"""How often a token has a feature (its Θ with constant 1).

    .. math:: \Pr(z_j \ne 0) = \epsilon_j \log\log d / d

    Args:
        d: features, at least 3.
        epsilon: ε_j.

    Returns:
        The probability.

    Example:
        >>> round(float(feature_frequency(9)), 4)
        0.0875

    Source: paper 004 (contrastive learning under imbalance), Assumption 3.2 and Definition 3.1.
    """
    d = np.asarray(d, float)
    return np.asarray(epsilon) * np.log(np.log(d)) / d


def stages(
    d: ArrayLike, d1: ArrayLike, learning_rate: ArrayLike, temperature: ArrayLike, epsilon_max: ArrayLike = 1.0
) -> Stages:
    r"""When the paper's stages of training end (Θ with constant 1).

    .. math:: T_1 = \frac{d_1 \log d}{\eta \log\log d}, \quad
              T_2 = T_1 + \frac{d\, \tau \log d}{\epsilon_\mathrm{max} \eta \log\log d}, \quad
              T_3 = \frac{d^{1.01}}{\eta}, \quad T_4 = \frac{d^{1.99}}{\eta}

    T₁ reads the growth (1 + x)^T of eq. 7 as 1 + T x; it is exponential, and `feature_growing_steps` has that time.
    In order T₂ < T₃ they are only for d₁ below d: no dictionary of d orthogonal features has that.

    Args:
        d: features, at least 3.
        d1: token dimension.
        learning_rate: η > 0.
        temperature: τ.
        epsilon_max: highest ε_j.

    Returns:
        Stages, steps not rounded.

    Example:
        >>> [round(float(t)) for t in stages(9, 500, 0.02, 1.0)]
        [69780, 71036, 460, 3962]

    Source: paper 004 (contrastive learning under imbalance), Lemmas 3.1 and 3.2, Theorem 3.1, eq. 33.
    """
    d, eta = np.asarray(d, float), np.asarray(learning_rate, float)
    scale = np.log(d) / (eta * np.log(np.log(d)))
    first = np.asarray(d1) * scale
    return Stages(
        first, first + d * np.asarray(temperature) * scale / np.asarray(epsilon_max), d**1.01 / eta, d**1.99 / eta
    )


def feature_growing_steps(
    d: ArrayLike, d1: ArrayLike, learning_rate: ArrayLike, frequency: ArrayLike, weight_decay: ArrayLike = 0.0
) -> NDArray:
    r"""Steps until half of a random neuron lies on the features, by the exponential growth of eq. 7 (C_z as 1).

    .. math:: T = \frac{\log\bigl((d_1 - d)/d\bigr)}
              {2 \bigl(\log(1 - \eta\lambda + \eta f) - \log(1 - \eta\lambda)\bigr)}

    Args:
        d, d1: features, token dimension above 2d.
        learning_rate: η > 0.
        frequency: f, of all features alike: `feature_frequency`, or that of the data at hand.
        weight_decay: λ < 1/η.

    Returns:
        T in steps, not rounded.

    Example:
        >>> round(float(feature_growing_steps(9, 500, 0.02, 0.0875)))
        1144

    Source: paper 004 (contrastive learning under imbalance), Lemma 3.1, eq. 7, 8 and 34 (the time is ours).
    """
    left = 1 - np.asarray(learning_rate, float) * np.asarray(weight_decay)
    rate = np.log1p(np.asarray(learning_rate) * np.asarray(frequency, float) / left)
    features = np.asarray(d, float)
    return np.log((np.asarray(d1) - features) / features) / (2 * rate)


def learned_weights(
    epsilon: ArrayLike, temperature: ArrayLike, m: ArrayLike, d: ArrayLike, d1: ArrayLike, epsilon_ratio: ArrayLike
) -> LearnedWeights:
    r"""What a neuron holds of its features after training without pruning (o with constant 1).

    .. math:: \alpha_{ij} \in \Bigl[\frac{\epsilon_j}{\epsilon_\mathrm{max}} \frac{\tau}{\Xi_2},\;
              \frac{\epsilon_j}{\epsilon_\mathrm{max}} \tau\Bigr], \quad
              \alpha'_{ij} \le \frac{\epsilon_j}{\epsilon_\mathrm{max}} \frac{\lVert w\rVert}{\sqrt d}, \quad
              \lvert\beta_{ij}\rvert \le \frac{\lVert w\rVert}{\sqrt{d_1}}

    Args:
        epsilon: ε_j / ε_max of the feature.
        temperature: τ.
        m, d, d1: neurons, features, token dimension.
        epsilon_ratio: ε_min / ε_max, in Ξ₂ (`ordinary_neurons_bound` with γ = 0).

    Returns:
        LearnedWeights: the ends of α are lines through 0 over ε_j / ε_max.

    Example:
        >>> found = learned_weights([1.0, 0.5], 1.0, 16, 16, 64, 1.0)
        >>> found.low.tolist(), found.high.tolist(), float(found.outside)
        ([1.0, 0.5], [1.0, 0.5], 0.125)

    Source: paper 004 (contrastive learning under imbalance), Theorem 3.1, eq. 12 and 13.
    """
    high = np.asarray(epsilon, float) * np.asarray(temperature)
    others = np.asarray(epsilon, float) / np.sqrt(d)
    low = high / ordinary_neurons_bound(m, d, epsilon_ratio, gamma=0.0)
    return LearnedWeights(low, high, others, 1 / np.sqrt(np.asarray(d1, float)))


def pruned_weights(
    temperature: ArrayLike, m: ArrayLike, d: ArrayLike, d1: ArrayLike, epsilon_ratio: ArrayLike
) -> LearnedWeights:
    r"""What a lucky neuron holds of the minority feature after training with pruning (o with constant 1).

    .. math:: \alpha_{ij^*} \in \Bigl[\frac{\tau}{\Xi_2},\, \tau\Bigr], \quad
              \alpha'_{ij} \le \Bigl(1 + \frac1d\Bigr) \frac{\lVert w\rVert}{\sqrt d}, \quad
              \lvert\beta_{ij}\rvert \le \frac{\lVert w\rVert}{\sqrt{d_1}}

    Args:
        temperature, m, d, d1, epsilon_ratio: as for `learned_weights`.

    Returns:
        LearnedWeights; ε_j is gone from α.

    Example:
        >>> found = pruned_weights(1.0, 16, 16, 64, 1.0)
        >>> float(found.low), float(found.high)
        (1.0, 1.0)

    Source: paper 004 (contrastive learning under imbalance), Theorem 3.2, eq. 17 and 18.
    """
    d, tau = np.asarray(d, float), np.asarray(temperature, float)
    low = tau / ordinary_neurons_bound(m, d, epsilon_ratio, gamma=0.0)
    return LearnedWeights(low, tau * np.ones_like(low), (1 + 1 / d) / np.sqrt(d), 1 / np.sqrt(np.asarray(d1, float)))


def positive_logit_gap(
    prune_fraction: ArrayLike,
    epsilon: ArrayLike,
    temperature: ArrayLike,
    m: ArrayLike,
    d: ArrayLike,
    epsilon_ratio: ArrayLike,
) -> NDArray:
    r"""1 − ℓ'_p of samples with the minority feature while α m of its lucky neurons are masked (constants 1).

    .. math:: \frac1\tau + \frac{\alpha m}{\Xi_2^2}\, \epsilon_{j^*} \frac{\log\log d}{d}

    Masking takes α m · (τ/Ξ₂)² · ε log log d / d of a positive pair's similarity (eq. 178), and the slope of ℓ'_p there
    is ℓ'_p (1 − ℓ'_p) / τ, about 1/τ².

    Args:
        prune_fraction: α.
        epsilon: ε of the minority feature.
        temperature: τ > 0.
        m, d: neurons, features.
        epsilon_ratio: ε_min / ε_max, in Ξ₂.

    Returns:
        The gap.

    Example:
        >>> round(float(positive_logit_gap(0.0, 0.5, 4.0, 96, 32, 0.5)), 3)
        0.25

    Source: paper 004 (contrastive learning under imbalance), Lemma F.2, eq. 181.
    """
    many = ordinary_neurons_bound(m, d, epsilon_ratio, gamma=0.0)
    masked = np.asarray(prune_fraction, float) * np.asarray(m) / many**2
    return 1 / np.asarray(temperature, float) + masked * feature_frequency(d, epsilon)


def growth_under_pruning(
    prune_fraction: ArrayLike,
    epsilon: ArrayLike,
    epsilon_other: ArrayLike,
    learning_rate: ArrayLike,
    weight_decay: ArrayLike,
    temperature: ArrayLike,
    m: ArrayLike,
    d: ArrayLike,
    epsilon_ratio: ArrayLike,
) -> Growth:
    r"""How minority and other features grow in a step from T₄ on, with α m lucky neurons masked (constants 1).

    .. math:: 1 - \eta\lambda + \eta f_{j^*} \Bigl(\frac1\tau + \frac{\alpha m f_{j^*}}{\Xi_2^2}\Bigr), \qquad
              1 - \eta\lambda + \eta f_j \Bigl(\frac1\tau + f_{j^*}\Bigl(\frac1\tau +
              \frac{\alpha m f_{j^*}}{\Xi_2^2}\Bigr)\Bigr), \qquad f_j = \epsilon_j \frac{\log\log d}{d}

    The paper's 1/polylog(d) is 1/τ in its proof (eq. 186 and 188), as here.

    Args:
        prune_fraction: α.
        epsilon, epsilon_other: ε of the minority feature j*, and of another feature j.
        learning_rate, weight_decay, temperature: η, λ, τ.
        m, d: neurons, features.
        epsilon_ratio: ε_min / ε_max, in Ξ₂.

    Returns:
        Growth: factors of ⟨w, M_j*⟩ (from below) and of ⟨w, M_j⟩ (from above).

    Example:
        >>> without = growth_under_pruning(0.0, 0.3, 1.0, 0.05, 0.01, 4.0, 96, 32, 0.3)
        >>> masked = growth_under_pruning(3 / 96, 0.3, 1.0, 0.05, 0.01, 4.0, 96, 32, 0.3)
        >>> bool(masked.minority > without.minority), f"{float(masked.minority - without.minority):.0e}"
        (True, '4e-09')

    Source: paper 004 (contrastive learning under imbalance), Theorem F.1, eq. 174 and 175.
    """
    eta, left = np.asarray(learning_rate, float), 1 / np.asarray(temperature, float)
    own, other = feature_frequency(d, epsilon), feature_frequency(d, epsilon_other)
    gap = positive_logit_gap(prune_fraction, epsilon, temperature, m, d, epsilon_ratio)
    kept = 1 - eta * np.asarray(weight_decay)
    return Growth(kept + eta * own * gap, kept + eta * other * (left + own * gap))


def simplified_growth_under_pruning(
    prune_fraction: ArrayLike, epsilon: ArrayLike, learning_rate: ArrayLike, weight_decay: ArrayLike, d: ArrayLike
) -> Growth:
    r"""The same as Theorem 3.2 prints it (constants 1).

    .. math:: 1 - \eta\lambda + \eta\, \epsilon_{j^*}^2 \alpha \frac{\log\log d}{d}, \qquad
              1 + \eta\, \epsilon_{j^*}^3 \alpha \frac{\log\log d}{d^2}

    It is said to simplify eq. 174, but the minority's gain there is less by the factor of `pruning_room`.

    Args:
        prune_fraction, epsilon, learning_rate, weight_decay, d: as for `growth_under_pruning`.

    Returns:
        Growth.

    Example:
        >>> [round(float(g), 6) for g in simplified_growth_under_pruning(3 / 96, 0.3, 0.05, 0.0, 32)]
        [1.000005, 1.0]

    Source: paper 004 (contrastive learning under imbalance), Theorem 3.2, eq. 15 and 16.
    """
    eta, epsilon, d = np.asarray(learning_rate, float), np.asarray(epsilon, float), np.asarray(d, float)
    gain = eta * epsilon**2 * np.asarray(prune_fraction) * feature_frequency(d)
    return Growth(1 - eta * np.asarray(weight_decay) + gain, 1 + gain * epsilon / d)


def pruning_room(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike) -> NDArray:
    r"""The minority's gain of eq. 174 over that of eq. 15 (constants 1): eq. 15 follows where it is 1 or more.

    .. math:: \frac{m \log\log d}{d\, \Xi_2^2} =
              \frac{\log\log d}{m}\, d^{\,2 (\epsilon_\mathrm{min}/\epsilon_\mathrm{max})^2 - 1}

    Args:
        m, d, epsilon_ratio: as for `ordinary_neurons_bound`.

    Returns:
        The ratio: at m ≥ d at most log log d · d^(−2(1 − (ε_min/ε_max)²)), so below 1 but for the mildest imbalance.

    Example:
        >>> f"{float(pruning_room(24, 9, 0.5)):.2g}"
        '0.011'

    Source: paper 004 (contrastive learning under imbalance), Theorem 3.2, eq. 15, against Theorem F.1, eq. 174 (ours).
    """
    many = ordinary_neurons_bound(m, d, epsilon_ratio, gamma=0.0)
    return np.asarray(m) * feature_frequency(d) / many**2


def pruning_steps(
    prune_fraction: ArrayLike, epsilon: ArrayLike, learning_rate: ArrayLike, d: ArrayLike, epsilon_max: ArrayLike = 1.0
) -> NDArray:
    r"""Steps of pruning after which the minority has caught up (C_z as 1).

    .. math:: T_5 - T_4 = \frac{(\epsilon_\mathrm{max} / \epsilon_{j^*} - 1)\, d}
              {\eta\, \alpha\, \epsilon_{j^*}^2 \log\log d}

    Args:
        prune_fraction, epsilon, learning_rate, d: as for `growth_under_pruning`, α > 0.
        epsilon_max: highest ε_j.

    Returns:
        Steps, not rounded.

    Example:
        >>> round(float(pruning_steps(3 / 96, 0.3, 0.05, 32)))
        427188

    Source: paper 004 (contrastive learning under imbalance), Appendix F.4.
    """
    epsilon = np.asarray(epsilon, float)
    speed = np.asarray(learning_rate, float) * np.asarray(prune_fraction) * epsilon**2 * feature_frequency(d)
    return (np.asarray(epsilon_max) / epsilon - 1) / speed


def collision_floor(batch: int, frequency: ArrayLike, supersets: bool = True) -> float:
    r"""Least InfoNCE loss of embeddings that are as good as can be, because pairs of a batch share features.

    .. math:: \mathbb E\, \log(1 + C), \qquad C \sim \mathrm{Binomial}\Bigl(B - 1,\;
              \prod_{j:\, s_j \ne 0} \frac{f_j}{2}\, \bigl[\textstyle\prod_{j:\, s_j = 0} (1 - f_j)\bigr]\Bigr)

    A pair with the same features and signs cannot be told from the positive one. An embedding that adds up its
    features, f(s) = Σ_j s_j v_j with orthogonal v_j, is no more similar to itself than to one that has further
    features too, by inner products: there, supersets collide as well (without the bracket), and a pair without any
    feature collides with the whole batch. The mean is over the features s of a pair. Larger embeddings come arbitrarily
    close to it, at any temperature.

    Args:
        batch: B, pairs of a batch; the positives of the others are the negatives. At least 2.
        frequency: f_j, how often a pair has each feature, shape (d,), each 0 to 1; signs are even. Few different
            values: it goes through their numbers of present features.
        supersets: whether supersets collide (pure, additive embeddings), or equal features alone (any embedding).

    Returns:
        The floor in nats.

    Raises:
        ValueError: if there is no negative, or a frequency is no probability.

    Example:
        >>> round(collision_floor(64, [0.2] * 9), 2), round(collision_floor(64, [0.2] * 9, supersets=False), 2)
        (1.27, 0.51)

    Source: ours, for paper 004 (contrastive learning under imbalance), eq. 1.
    """
    frequency = np.asarray(frequency, float)
    if batch < 2:
        raise ValueError(f"batch: {batch} is not allowed; allowed: 2 or more pairs")
    if not ((frequency >= 0) & (frequency <= 1)).all():
        raise ValueError(
            f"frequency: {frequency.min():g} to {frequency.max():g} is not allowed; allowed: between 0 and 1"
        )
    values, sizes = np.unique(frequency, return_counts=True)
    others, total = np.arange(batch), 0.0
    for present in itertools.product(*(range(size + 1) for size in sizes)):
        absent = sizes - present
        often = float(np.prod(comb(sizes, present) * values**present * (1 - values) ** absent))
        alike = float(np.prod((values / 2) ** present)) * (1.0 if supersets else float(np.prod((1 - values) ** absent)))
        total += often * float(binom.pmf(others, batch - 1, alike) @ np.log1p(others))
    return total


def conditions(config: Any, delta: float = 0.01) -> Checked:
    """The assumptions of Theorem 3.1 and the regime of Theorem 3.2 for one setting.

    Args:
        config: a Config of ``contrastive``.
        delta: not used: these theorems hold with high probability, without a number.

    Returns:
        Checked. γ of Definition B.1 is 0.01; ε_max is 1.

    Example:
        >>> from snljax.experiments.contrastive import Config
        >>> [c.says for c in conditions(Config()).failed][:2]
        ['noise: σ_ξ² = Θ(√log d / d)', 'batch: K = poly(d₁)']

    Source: paper 004 (contrastive learning under imbalance), Assumptions 3.1 to 3.3, Theorems 3.1, 3.2 and F.1.
    """
    c = config
    m, d, d1, tau, eta, alpha = c.m, max(c.d, 3), c.d1, c.temperature, c.learning_rate, c.prune_fraction
    in_token = c.active * (c.show + (1 - c.show) ** c.tokens / c.tokens)
    log_d, (first, second, third, fourth) = float(np.log(d)), (float(t) for t in stages(d, d1, eta, tau))
    lucky, many = (float(b(m, d, c.epsilon_min)) for b in (lucky_neurons_bound, ordinary_neurons_bound))
    raised = c.bias if c.bias_rule != "constant" else float("nan")
    theorem, masked = "Theorem 3.1", alpha * m
    rows = [
        at_least("tokens: d₁ = poly(d)", "Assumption 3.1", d1, d, LENIENT),
        of_order(
            "frequency of a feature in a token: Θ(log log d / d)",
            "Assumption 3.2",
            in_token,
            float(feature_frequency(d)),
        ),
        of_order("noise: σ_ξ² = Θ(√log d / d)", "Assumption 3.3", c.sigma_p**2, np.sqrt(log_d) / d),
        at_least("batch: K = poly(d₁)", "Section 2, Lemma B.1", c.batch, d1, LENIENT),
        at_least(
            "neurons: a lucky one for each feature, m ≥ d^((ε_max/ε_min)²(1+γ))",
            "Lemma B.2 (c)",
            m,
            m / lucky,
            "Ω as 1, γ = 0.01",
        ),
        of_order("temperature: τ = polylog(d), log d here", theorem, tau, log_d),
        at_most("initial weights: σ_0² = 1/poly(d₁)", "Appendix H.2", c.sigma_0**2, 1 / d1, LENIENT),
        at_most("learning rate: η = 1/poly(d)", "Appendix E.3", eta, 1 / d, LENIENT),
        at_least("weight decay: λ ≥ d^(−1.49)", "Appendix E.3", c.weight_decay, d**-1.49, "none"),
        at_most("weight decay: λ ≤ d^(−1.01)", "Appendix E.3", c.weight_decay, d**-1.01, "none"),
        fixed("bias: √(2 log d / d) ‖w‖, in that unit", "Theorem C.1, Lemma D.1", raised, 1.0)
        if raised == raised
        else same("bias: √(2 log d / d) ‖w‖, in that unit", "Theorem C.1, Lemma D.1", "constant", "√(2 log d / d) ‖w‖"),
        of_order("bias: set at T₁ = d₁ log d/(η log log d)", "Lemma 3.1", c.bias_start, first),
        at_most("stages in order: T₂ ≤ T₃", theorem, second, third, "Θ as 1"),
        at_least("steps ≥ T₃ = d^1.01/η", theorem, c.steps, third, "none"),
        at_most("steps ≤ T₄ = d^1.99/η", theorem, min(c.steps, c.first_prune) if alpha else c.steps, fourth, "none"),
        same("attention", "Algorithm 1", "trained" if c.train_attention else "identities", "identities"),
        at_least("some neurons are masked: αm ≥ 1", "Theorem 3.2", masked, 1, "none", "regime"),
        at_most(
            "only lucky ones of the minority: αm ≤ |𝓜*_j*|", "Theorem 3.2", masked, lucky, "Ω as 1, γ = 0.01", "regime"
        ),
        same("masked neurons: the smallest", "Theorem 3.2", c.mask, "magnitude", "regime"),
        same("minority features", "Theorem 3.2", c.num_minority, 1, "regime"),
        same("the mask enters the softmax weights (eq. 5)", "Theorem 3.2", c.mask_gradient, "logits", "regime"),
        at_least("from T₄ = d^1.99/η on", "Theorem 3.2", c.first_prune, fourth, "none", "regime"),
        at_least(
            "eq. 15 follows from eq. 174: m log log d ≥ d Ξ₂²",
            "Theorem 3.2",
            float(pruning_room(m, d, c.epsilon_min)),
            1.0,
            "constants 1",
            "regime",
        ),
    ]
    caught_up = c.first_prune + float(pruning_steps(alpha, c.epsilon_min, eta, d)) if alpha else np.inf
    says = "steps ≥ first_prune + (ε_max/ε − 1) d/(η α ε² log log d)"
    rows.append(at_least(says, "Theorem 3.2, time", c.steps, caught_up, "C_z as 1", "time"))
    network = f"as it is; Ξ₁ = {lucky:.3g} lucky and Ξ₂ = {many:.3g} ordinary neurons for a feature"
    return Checked("paper 004 (contrastive learning under imbalance)", network, tuple(rows))
