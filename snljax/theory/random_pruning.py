"""Conditions, thresholds and scales of paper 002, on random pruning, as functions of NumPy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snljax.theory.conditions import LENIENT, Checked, at_least, at_most, of_order, same, unnumbered
from snljax.theory.scaling import averaged


class Coefficients(NamedTuple):
    """Scales of the coefficients of Definition C.1 after training.

    gamma: of a class's own signal, its largest filter. gamma_others: of other classes' signals. zeta: of the noise of
    its own samples. omega: of that of the others'.
    """

    gamma: NDArray
    gamma_others: NDArray
    zeta: NDArray
    omega: NDArray


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


def noise_response_probability(
    keep_fraction: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    sigma_0: ArrayLike,
    sigma_p: ArrayLike,
    d: ArrayLike,
    q: ArrayLike = 3,
) -> NDArray:
    r"""Bound on how often some trained filter responds to new noise with (2m)^(−2/q) or more (its O as 1), at most 1.

    .. math:: 2 K m \exp\!\left(-\frac{(2m)^{-4/q}}{\sigma_0^2 \sigma_n^2 p d}\right)

    It takes the trained filters to be as long as the pruned random ones, ‖w‖ = σ_0 √(pd). The exact tail of a
    Gaussian response of that standard deviation has twice the denominator.

    Args:
        keep_fraction: p, above 0, at most 1.
        m: filters per class.
        num_classes: K.
        sigma_0, sigma_p: standard deviations of the initial weights and (σ_n) of the noise, > 0.
        d: patch dimension.
        q: exponent of the activation ReLU^q.

    Returns:
        The bound, 0 to 1.

    Example:
        >>> [round(float(p), 4) for p in noise_response_probability([1.0, 0.5], 50, 2, 0.008, 2.5 / 1000**0.5, 1000)]
        [0.916, 0.0042]

    Source: paper 002 (random pruning), Lemma 3.6 and Lemma D.25.
    """
    m, q = np.asarray(m, float), np.asarray(q, float)
    variance = pruned_noise_scale(sigma_0, sigma_p, keep_fraction, d) ** 2
    return np.minimum(1.0, 2 * np.asarray(num_classes) * m * np.exp(-((2 * m) ** (-4 / q)) / variance))


def mild_pruning_coefficients(
    keep_fraction: ArrayLike,
    m: ArrayLike,
    sigma_0: ArrayLike,
    sigma_p: ArrayLike,
    mu: ArrayLike,
    d: ArrayLike,
    q: ArrayLike = 3,
) -> Coefficients:
    r"""Scales of γ, ζ and ω after training where enough is kept, p ≥ log d / m (constants 1, logarithms left out).

    .. math:: \max_r \gamma_{j,r,j} \ge m^{-1/q}, \quad \lvert\gamma_{j,r,k}\rvert \le \sigma_0 \mu, \quad
              \zeta_{j,r,i},\; \lvert\omega_{j,r,i}\rvert \le \sigma_0 \sigma_n \sqrt{p d}

    ζ is of samples of the filter's own class, ω of the others': with K ≥ 2 classes, (K − 1)/K of them.

    Args:
        keep_fraction: p, 0 to 1.
        m: filters per class.
        sigma_0, sigma_p: standard deviations of the initial weights and (σ_n) of the noise.
        mu: signal strength.
        d: patch dimension.
        q: exponent of the activation ReLU^q.

    Returns:
        Coefficients: ``gamma`` from below, the others from above, each on the broadcast shape.

    Example:
        >>> scales = mild_pruning_coefficients([1.0, 0.25], 8, 0.01, 0.1, 1.0, 400)
        >>> scales.gamma.tolist(), scales.zeta.round(3).tolist()
        ([0.5, 0.5], [0.02, 0.01])

    Source: paper 002 (random pruning), Theorem D.1, items 2 to 4.
    """
    noise = pruned_noise_scale(sigma_0, sigma_p, keep_fraction, d)
    return _coefficients(np.asarray(m, float) ** (-1 / np.asarray(q, float)), sigma_0, mu, noise, noise)


def over_pruning_coefficients(
    keep_fraction: ArrayLike,
    m: ArrayLike,
    sigma_0: ArrayLike,
    sigma_p: ArrayLike,
    mu: ArrayLike,
    d: ArrayLike,
    q: ArrayLike = 3,
) -> Coefficients:
    r"""Scales of γ, ζ and ω after training where too much is pruned, p = Θ(1/(K m log d)) (constants 1, no logarithms).

    .. math:: \gamma_{j,r,j} = 0, \quad \lvert\gamma_{j,r,k}\rvert \le \sigma_0 \mu, \quad
              \max_r \zeta_{j,r,i} \ge m^{-1/q}, \quad
              \lvert\omega_{j,r,i}\rvert \le \sigma_0 \sigma_n \sqrt{p d}

    Args:
        keep_fraction, m, sigma_0, sigma_p, mu, d, q: as for `mild_pruning_coefficients`.

    Returns:
        Coefficients: ``gamma`` exactly, ``zeta`` from below, the others from above.

    Example:
        >>> scales = over_pruning_coefficients(0.01, 8, 0.01, 0.1, 1.0, 400)
        >>> float(scales.gamma), float(scales.zeta), round(float(scales.omega), 4)
        (0.0, 0.5, 0.002)

    Source: paper 002 (random pruning), Theorem E.1 and Lemma E.3.
    """
    noise = pruned_noise_scale(sigma_0, sigma_p, keep_fraction, d)
    return _coefficients(0.0, sigma_0, mu, np.asarray(m, float) ** (-1 / np.asarray(q, float)), noise)


def _coefficients(
    gamma: ArrayLike, sigma_0: ArrayLike, mu: ArrayLike, zeta: ArrayLike, omega: ArrayLike
) -> Coefficients:
    others = np.asarray(sigma_0, float) * np.asarray(mu)
    return Coefficients(*(np.array(v, float) for v in np.broadcast_arrays(gamma, others, zeta, omega)))


def mild_pruning_test_loss(
    epsilon: ArrayLike, num_classes: ArrayLike, n: ArrayLike, keep_fraction: ArrayLike = 1.0
) -> NDArray:
    r"""Bound on the test loss where enough is kept (its O as 1).

    .. math:: L_\mathcal{D} \le K \epsilon + e^{-n^2/p}

    Args:
        epsilon: training loss in nats.
        num_classes: K.
        n: training samples.
        keep_fraction: p, above 0, at most 1.

    Returns:
        The bound in nats. Pruning enters its second term alone, which is nothing from a few samples on.

    Example:
        >>> float(mild_pruning_test_loss(0.01, 2, 20, 0.5))
        0.02

    Source: paper 002 (random pruning), Theorem 3.1, item 2, and Theorem D.26.
    """
    rest = np.exp(-(np.asarray(n, float) ** 2) / np.asarray(keep_fraction))
    return np.asarray(num_classes) * np.asarray(epsilon, float) + rest


def over_pruning_test_loss(num_classes: ArrayLike) -> NDArray:
    r"""Least test loss where too much is pruned; nothing is hidden in it.

    .. math:: \log\bigl(1 + (K - 1) / e\bigr)

    Args:
        num_classes: K.

    Returns:
        The bound in nats, of all but a share 1/d of new samples; it is written as Ω(log K).

    Example:
        >>> round(float(over_pruning_test_loss(2)), 3)  # guessing has log 2 = 0.693
        0.313

    Source: paper 002 (random pruning), Theorem 4.1, item 2, and Theorem E.10.
    """
    return np.log1p((np.asarray(num_classes, float) - 1) / np.e)


def mild_pruning_steps(
    mu: ArrayLike,
    sigma_0: ArrayLike,
    m: ArrayLike,
    num_classes: ArrayLike,
    learning_rate: ArrayLike,
    epsilon: ArrayLike,
    q: ArrayLike = 3,
) -> NDArray:
    r"""Steps within which Theorem 3.1 has the training loss at ε (Õ with constant 1, no logarithms).

    .. math:: T = \frac{K \sigma_0^{2-q} \mu^{-q}}{\eta} + \frac{K^2 m^4}{\mu^2 \eta\, \epsilon}

    Theorem D.26 prints σ_0^(−2−q) in its place; Lemma D.17 has the power that is meant.

    Args:
        mu: signal strength, > 0.
        sigma_0: initial weight standard deviation, > 0.
        m, num_classes: filters per class, K.
        learning_rate: η > 0, of the mean loss.
        epsilon: target training loss, > 0.
        q: exponent of the activation ReLU^q.

    Returns:
        T in steps, not rounded.

    Example:
        >>> float(mild_pruning_steps(1.0, 0.01, 2, 2, 1.0, 0.5))
        328.0

    Source: paper 002 (random pruning), Theorem 3.1 and Lemma D.17.
    """
    mu, eta, classes = np.asarray(mu, float), np.asarray(learning_rate, float), np.asarray(num_classes, float)
    grown = classes * np.asarray(sigma_0, float) ** (2 - np.asarray(q, float)) * mu ** -np.asarray(q, float) / eta
    return grown + classes**2 * np.asarray(m, float) ** 4 / (mu**2 * eta * np.asarray(epsilon))


def over_pruning_steps(
    keep_fraction: ArrayLike,
    sigma_0: ArrayLike,
    sigma_p: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    d: ArrayLike,
    learning_rate: ArrayLike,
    epsilon: ArrayLike,
    q: ArrayLike = 3,
) -> NDArray:
    r"""Steps within which Theorem 4.1 has the training loss at ε (O with constant 1, no logarithms).

    .. math:: T = \frac{n\, \sigma_0^{2-q}}{\eta\, (\sigma_n \sqrt{p d})^q} +
              \frac{m^4 n}{\eta\, \epsilon\, \sigma_n^2 p d}

    The paper prints σ_0^(q−2), which would make small initial weights fast. In its proof (Lemma E.3) a response grows
    by the factor 1 + η σ_0^(q−2) (σ_n√(pd))^q / n in a step, so the time has the inverse of that.

    Args:
        keep_fraction: p, above 0, at most 1.
        sigma_0, sigma_p: standard deviations of the initial weights and (σ_n) of the noise, > 0.
        n, m, d: training samples, filters per class, patch dimension.
        learning_rate: η > 0, of the mean loss.
        epsilon: target training loss, > 0.
        q: exponent of the activation ReLU^q.

    Returns:
        T in steps, not rounded.

    Example:
        >>> round(float(over_pruning_steps(0.01, 0.1, 1.0, 10, 1, 100, 1.0, 0.1)))
        200

    Source: paper 002 (random pruning), Theorem 4.1, corrected by Lemma E.3.
    """
    q, eta, n = np.asarray(q, float), np.asarray(learning_rate, float), np.asarray(n, float)
    norm = np.asarray(sigma_p, float) * np.sqrt(np.asarray(keep_fraction) * np.asarray(d))
    grown = n * np.asarray(sigma_0, float) ** (2 - q) / (eta * norm**q)
    return grown + np.asarray(m, float) ** 4 * n / (eta * np.asarray(epsilon) * norm**2)


def conditions(config: Any, delta: float = 0.01) -> Checked:
    """Condition 2.2 and the regimes of Theorems 3.1 and 4.1 for one setting.

    Args:
        config: a Config of ``random_pruning``. The fully connected network is not the theorems'; its hidden units are
            counted as filters.
        delta: not used: these theorems fail with probability 1/d.

    Returns:
        Checked. ε is ``target_loss``, or 0.01 where that is 0.

    Example:
        >>> from snljax.experiments.random_pruning import EXPERIMENT
        >>> import dataclasses
        >>> conditions(dataclasses.replace(EXPERIMENT.readings["theory"], keep_fraction=0.002)).theorems
        ('Theorem 4.1',)

    Source: paper 002 (random pruning), Condition 2.2, Theorems 3.1 and 4.1.
    """
    c, means = config, config.filter_reduction == "mean"
    to_mean = averaged(c.m if means else 1, c.q)
    sigma_0, eta = max(c.sigma_0, _TINY) / float(to_mean.weights), c.learning_rate / float(to_mean.learning_rate)
    notes = [f"a sum over filters: σ_0 = {sigma_0:.3g}"]
    if c.sample_reduction == "sum":
        eta *= c.n  # a sum over samples is n times their mean
    notes.append(f"η = {eta:.3g} on the mean loss")
    d, n, m, classes, mu, sigma_p, p = c.d, c.n, c.m, c.num_classes, c.mu, max(c.sigma_p, _TINY), c.keep_fraction
    epsilon, log_d = c.target_loss or 0.01, float(np.log(d))
    mask = c.mask if c.mask_shared_by == "none" else f"shared by {c.mask_shared_by.replace('_', ' ')}"
    mild, over = float(mild_pruning_keep(d, m)), float(over_pruning_keep(classes, m, d))
    ratios = random_pruning_condition(d, n, m, classes, mu, sigma_p, sigma_0, eta)
    rows = (
        at_most("classes: K ≤ log d", "Condition 2.2 (1)", classes, log_d, "O as 1"),
        at_least(
            "samples: n ≥ 2 K² log(4Kd), which n = polylog d is to ensure",
            "Condition 2.2 (2), Lemma D.2",
            n,
            2 * classes**2 * np.log(4 * classes * d),
            "none",
        ),
        unnumbered("dimension: d ≥ C_d", "Condition 2.2 (3)", "C_d is not given"),
        of_order("signal: μ = Θ(σ_n √d log d)", "Condition 2.2 (4)", mu, mu / float(ratios["signal_over_noise"])),
        of_order("signal: μ = Θ(1)", "Condition 2.2 (4)", mu, 1.0),
        at_least("filters: m ≥ polylog d", "Condition 2.2 (5)", m, log_d, LENIENT),
        of_order("initial weights: σ_0 = Θ(m⁻⁴n⁻¹μ⁻¹)", "Condition 2.2 (6)", sigma_0, 1 / (m**4 * n * mu)),
        at_most("learning rate: η ≤ 1/μ²", "Condition 2.2 (7)", eta, mu**-2, "Õ as 1"),
        unnumbered("learning rate: η ≥ 1/poly(d)", "Condition 2.2 (7)", "the power is not given"),
        unnumbered("target loss: ε = Θ(1/poly(d))", "Condition 2.2 (8)", "the power is not given"),
        at_least("activation: ReLU^q, q ≥ 3", "Section 2.1", c.q, 3, "none"),
        same("network: convolutional, second layer fixed", "Section 2.1", c.network, "cnn"),
        same("data: a signal μ e_k for each class", "Definition 2.1", c.form, "multi_class"),
        same("mask: random", "Section 2.1", mask, "random"),
        same("step: plain gradient descent", "Section 2.1", c.step_rule, "plain"),
        at_least("enough is kept: p ≥ log d / m", "Theorem 3.1", p, mild, "C₁ = 1", "regime"),
        at_least(
            "steps ≥ K σ_0^(2−q) μ^(−q)/η + K² m⁴/(μ² η ε)",
            "Theorem 3.1, time",
            c.steps,
            float(mild_pruning_steps(mu, sigma_0, m, classes, eta, epsilon, c.q)),
            f"Õ as 1, ε = {epsilon:g}",
            "time",
        ),
        of_order("too much is pruned: p = Θ(1/(K m log d))", "Theorem 4.1", p, over, "regime"),
        at_least(
            "steps ≥ n σ_0^(2−q) (σ_n√(pd))^(−q)/η + m⁴n/(η ε σ_n² p d)",
            "Theorem 4.1, time",
            c.steps,
            float(over_pruning_steps(p, sigma_0, sigma_p, n, m, d, eta, epsilon, c.q)),
            f"O as 1, ε = {epsilon:g}",
            "time",
        ),
    )
    if means:
        notes.append(f"the same outputs at every step as this mean over m = {m}")
    if c.network != "cnn":
        notes.append(f"{m} hidden units counted as filters")
    return Checked("paper 002 (random pruning)", "; ".join(notes), rows)


_TINY = 1e-100  # in the place of a standard deviation of 0
