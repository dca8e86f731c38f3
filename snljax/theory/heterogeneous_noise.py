"""The noise of paper 001, on benign overfitting, its condition, regimes and bounds, as functions of NumPy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snljax.theory.conditions import Checked, Condition, at_least, at_most, same
from snljax.theory.scaling import averaged


class NoiseShape(NamedTuple):
    """Sizes of the noise matrices A_k of the paper's own construction; all classes and all pairs have the same.

    trace: Tr(A_kᵀA_k), the mean of ‖ξ‖². own, other: Frobenius norms of A_kᵀA_k and, j ≠ k, of A_kᵀA_j. own_operator,
    other_operator: their largest singular values. spread: largest over smallest nonzero singular value of A_k. rank:
    of A_k.
    """

    trace: NDArray
    own: NDArray
    other: NDArray
    own_operator: NDArray
    other_operator: NDArray
    spread: NDArray
    rank: NDArray


def noise_correlation_for_eigenvalue(eigenvalue: ArrayLike, d: ArrayLike, num_classes: ArrayLike) -> NDArray:
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
    square, rest = np.asarray(eigenvalue, float) ** 2, np.asarray(d) - np.asarray(num_classes)
    return (square**2 + (rest - 1) / 16) / (square / 2 + (rest - 2) / 16)


def eigenvalue_for_noise_correlation(gamma: ArrayLike, d: ArrayLike, num_classes: ArrayLike) -> NDArray:
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
    gamma, rest = np.asarray(gamma, float), np.asarray(d) - np.asarray(num_classes)
    if (gamma < 1).any():
        raise ValueError(f"gamma: {gamma.min():g} is not allowed; allowed: [1, inf)")
    return np.sqrt(gamma / 4 + np.sqrt((gamma - 1) * ((gamma + 1) + (rest - 2)) / 4) / 2)


def noise_shape(gamma: ArrayLike, d: ArrayLike, num_classes: ArrayLike) -> NoiseShape:
    r"""Traces and norms of the noise matrices that have the correlation ratio Γ at classes of equal size.

    .. math:: \mathrm{Tr}(A_k^\top A_k) = \lambda^2 + \frac{D-1}{4}, \quad
              \lVert A_k^\top A_k\rVert_F^2 = \lambda^4 + \frac{D-1}{16}, \quad
              \lVert A_k^\top A_j\rVert_F^2 = \frac{\lambda^2}{2} + \frac{D-2}{16}, \quad D = d - K

    Args:
        gamma: Γ >= 1.
        d: patch dimension, at least K + 2.
        num_classes: K.

    Returns:
        NoiseShape.

    Raises:
        ValueError: if a Γ is below 1.

    Example:
        >>> shape = noise_shape(1.0, 1000, 5)
        >>> float(shape.trace), round(float(shape.own), 2), round(float(shape.other), 2)
        (248.75, 7.89, 7.89)

    Source: paper 001 (benign overfitting and long tails), Section 5.1.
    """
    rest = np.asarray(d, float) - np.asarray(num_classes)
    tuned = eigenvalue_for_noise_correlation(gamma, d, num_classes) ** 2
    return NoiseShape(
        trace=tuned + (rest - 1) / 4,
        own=np.sqrt(tuned**2 + (rest - 1) / 16),
        other=np.sqrt(tuned / 2 + (rest - 2) / 16),
        own_operator=np.maximum(tuned, 0.25),
        other_operator=np.maximum(np.sqrt(tuned) / 2, 0.25),
        spread=2 * np.sqrt(tuned),
        rank=rest,
    )


def signal_ratio(
    u_norm: ArrayLike,
    gamma: ArrayLike,
    samples_per_class: ArrayLike,
    d: ArrayLike,
    num_classes: ArrayLike,
    others: ArrayLike = 1.0,
) -> NDArray:
    r"""The signal-to-noise ratio of a class: what statement 2(a) wants to be large, and 3 small.

    .. math:: \frac{\lvert S_k\rvert^2 \lVert u_k\rVert^4}{\lvert S_j\rvert\, \lVert A_k^\top A_j\rVert_F^2}

    Args:
        u_norm: feature strength ‖u‖.
        gamma: Γ at equal class sizes, >= 1.
        samples_per_class: |S_k|, of the class itself.
        d, num_classes: patch dimension and K.
        others: |S_j| / |S_k|, how much larger the other classes are.

    Returns:
        The ratio, on the broadcast shape of the arguments: its level 1 is a contour for Figures 3 and 4a.

    Example:
        >>> round(float(signal_ratio(1.0, 1.0, 100, 1000, 5)), 2)
        1.61

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statement 2(a).
    """
    other = noise_shape(gamma, d, num_classes).other
    return np.asarray(samples_per_class) * np.asarray(u_norm, float) ** 4 / (np.asarray(others) * other**2)


def signal_strength_for_ratio(
    ratio: ArrayLike, gamma: ArrayLike, samples_per_class: ArrayLike, d: ArrayLike, num_classes: ArrayLike
) -> NDArray:
    r"""The feature strength that has a given signal-to-noise ratio: the border of statement 2(a) as a curve.

    .. math:: \lVert u\rVert = \left(\frac{\text{ratio}\, \lVert A_k^\top A_j\rVert_F^2}{\lvert S_k\rvert}\right)^{1/4}

    Args:
        ratio: C₁ (or C₃), > 0; the theorem leaves both open.
        gamma, samples_per_class, d, num_classes: as for `signal_ratio`, classes of equal size.

    Returns:
        ‖u‖. It falls as |S_k|^(−1/4) and rises slowly with Γ.

    Example:
        >>> [round(float(u), 2) for u in signal_strength_for_ratio(1.0, [1.0, 1400.0], 100, 1000, 5)]
        [0.89, 1.47]

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statements 2(a) and 3.
    """
    other = noise_shape(gamma, d, num_classes).other
    return (np.asarray(ratio) * other**2 / np.asarray(samples_per_class, float)) ** 0.25


def signal_error_bound(ratio: ArrayLike, num_classes: ArrayLike, constant: float = 1.0) -> NDArray:
    r"""Bound on the test error of a class whose feature is strong (its c₁ as 1), at most 1.

    .. math:: \sum_{j \ne k} \exp(-c_1 \cdot \text{ratio})

    Args:
        ratio: `signal_ratio`.
        num_classes: K.
        constant: c₁.

    Returns:
        The bound, 0 to 1; the theorem has it where the ratio is at least C₁.

    Example:
        >>> round(float(signal_error_bound(10.0, 5)), 5)
        0.00018

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statement 2(a).
    """
    return np.minimum(1.0, (np.asarray(num_classes) - 1) * np.exp(-constant * np.asarray(ratio, float)))


def long_tail_error_bound(
    gamma: ArrayLike, level: ArrayLike, num_classes: ArrayLike, others: ArrayLike = 1.0, constant: float = 1.0
) -> NDArray:
    r"""Bound on the test error of a class's L-long-tailed data (its c₂ as 1), at most 1.

    .. math:: \sum_{j \ne k} \exp(-c_2 L^2 \Gamma_{kj}), \qquad
              \Gamma_{kj} = \frac{\lvert S_k\rvert\, \lVert A_k^\top A_k\rVert_F^2}
              {\lvert S_j\rvert\, \lVert A_k^\top A_j\rVert_F^2}

    Args:
        gamma: Γ at equal class sizes.
        level: L of Definition 1.
        num_classes: K.
        others: |S_j| / |S_k|; the bound grows with it: a majority hurts the others.
        constant: c₂.

    Returns:
        The bound, 0 to 1; neither ‖u‖ nor n enters.

    Example:
        >>> [round(float(e), 4) for e in long_tail_error_bound(10.0, 1.0, 5, others=[1.0, 2.0])]
        [0.0002, 0.027]

    Source: paper 001 (benign overfitting and long tails), Theorem 1, statement 2(b).
    """
    strength = np.asarray(level, float) ** 2 * np.asarray(gamma) / np.asarray(others)
    return np.minimum(1.0, (np.asarray(num_classes) - 1) * np.exp(-constant * strength))


def overfitting_regime(
    signal: ArrayLike, gamma: ArrayLike, benign_from: float = 1.0, harmful_to: float = 1.0
) -> NDArray:
    r"""Which statement of Theorem 1 speaks: the colours of Figure 2.

    .. math:: \text{ratio} \ge C_1 \text{ or } \Gamma \ge C_2 \text{: benign}, \qquad
              \text{ratio} \le C_3 \text{ and } \Gamma \le C_3 \text{: harmful}

    Args:
        signal: `signal_ratio`.
        gamma: Γ_kj, class sizes included.
        benign_from: C₁ and C₂; the theorem leaves them open.
        harmful_to: C₃, at most that.

    Returns:
        Integers: 3 benign for both reasons, 2 for long-tailed data (2b), 1 by the feature (2a), 0 where the theorem is
        silent (the grey band), −1 harmful (3).

    Raises:
        ValueError: if C₃ is above C₁.

    Example:
        >>> overfitting_regime([0.1, 9.0, 3.0, 0.1, 9.0], [0.5, 0.5, 0.5, 9.0, 9.0], benign_from=5.0).tolist()
        [-1, 1, 0, 2, 3]

    Source: paper 001 (benign overfitting and long tails), Theorem 1 and Figure 2.
    """
    if harmful_to > benign_from:
        raise ValueError(f"harmful_to: {harmful_to:g} is above benign_from = {benign_from:g}; allowed: at most that")
    signal, gamma = np.broadcast_arrays(np.asarray(signal, float), np.asarray(gamma, float))
    benign = (signal >= benign_from) + 2 * (gamma >= benign_from)
    return np.where((benign == 0) & (signal <= harmful_to) & (gamma <= harmful_to), -1, benign)


def loss_slope_ratio(gram: ArrayLike) -> NDArray:
    r"""κ: by how much the residuals 1 − logit of two training samples can differ, from their Gram matrix.

    .. math:: \kappa = \max_{i \ne j}
              \frac{G_{jj}}{0.36\, G_{ii} - \sum_{k \ne i} \lvert G_{ik}\rvert - \sum_{k \ne j} \lvert G_{jk}\rvert}

    What makes the induction of eq. 94 close, with its numbers: at least 2/5 of the filters respond to a sample, and
    the ratio is above 0.9 κ when it could grow. Where samples are orthogonal it is 2.8 times the ratio of their
    squared norms; with the noise within ½ to 3/2 of its mean, that is the paper's
    Θ(max{Tr(A_jᵀA_j) / Tr(A_iᵀA_i), ‖u_j‖² / ‖u_i‖²}).

    Args:
        gram: inner products of the training samples, both patches: of features (within a class) plus of noise,
            shape (n, n), n at least 2. Products of one class's features count as overlaps.

    Returns:
        κ, at least 1; infinite where overlaps are too large for the argument.

    Example:
        >>> import numpy as np
        >>> round(float(loss_slope_ratio(np.diag([1.0, 2.0]))), 2)
        5.56

    Source: paper 001 (benign overfitting and long tails), Lemma 7, from eq. 94 (the constants are read off there).
    """
    gram = np.asarray(gram, float)
    norms = np.diagonal(gram)
    overlaps = np.abs(gram).sum(1) - norms
    room = 0.36 * norms[:, None] - overlaps[:, None] - overlaps[None, :]
    apart = ~np.eye(len(norms), dtype=bool)
    ratio = np.where(room > 0, norms[None, :] / np.where(room > 0, room, 1.0), np.inf)
    return np.maximum(1.0, ratio[apart].max())


def convergence_steps(
    gamma: ArrayLike,
    samples: ArrayLike,
    m: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    d: ArrayLike,
    num_classes: ArrayLike,
    epsilon: float = 0.01,
) -> NDArray:
    r"""Steps until the training loss is ε (Õ with constant 1, no logarithms).

    .. math:: T = \frac{1}{\eta\epsilon}
              \max\bigl\{n\, \mathrm{Tr}(A_k^\top A_k),\; \sqrt{m d}\,\sigma_0,\; \sqrt{m K}\bigr\}

    The root of the second term is printed over σ_0 too; it comes from ‖W^(0)‖_F (Appendix B), where σ_0 stands outside.
    The maximum is the scale of ‖W^(T₀) − W*‖_F, of which Lemma 2 takes the square: the printed T has it once.

    Args:
        gamma, d, num_classes: as for `noise_shape`.
        samples: n, of all classes.
        m: filters per class.
        sigma_0: initial weight standard deviation.
        learning_rate: η > 0, both of the network with 1/m (`averaged`).
        epsilon: target training loss, > 0.

    Returns:
        T in steps, not rounded.

    Example:
        >>> round(float(convergence_steps(1.0, 500, 100, 0.018, 0.05, 1000, 5)))
        248750000

    Source: paper 001 (benign overfitting and long tails), Theorem 1.
    """
    m, trace = np.asarray(m, float), noise_shape(gamma, d, num_classes).trace
    parts = (np.asarray(samples) * trace, np.sqrt(m * np.asarray(d)) * np.asarray(sigma_0), np.sqrt(m * num_classes))
    return np.maximum(np.maximum(*parts[:2]), parts[2]) / (np.asarray(learning_rate, float) * epsilon)


def conditions(config: Any, delta: float = 0.01) -> Checked:
    """Condition 1 and the regimes of Theorem 1 for one setting; the class is class 0, the minority where there is one.

    Args:
        config: a Config of ``heterogeneous_noise``.
        delta: probability of failure, 0 to 1.

    Returns:
        Checked. The initial weights are uniform on ±1/√d there, so σ_0 is 1/√(3d). C is taken as 1 everywhere: where
        it multiplies what is wanted, the condition is at least as hard as shown.

    Example:
        >>> from snljax.experiments.heterogeneous_noise import Config
        >>> conditions(Config(u_norm=3.8)).theorems
        ('Theorem 1, 2(a)', 'Theorem 1, 2(b)')

    Source: paper 001 (benign overfitting and long tails), Condition 1 and Theorem 1.
    """
    c, sums = config, config.filter_reduction == "sum"
    to_mean = averaged(c.m if sums else 1)
    sigma_0 = float(to_mean.weights) / np.sqrt(3 * c.d)
    eta = c.learning_rate * float(to_mean.learning_rate)
    d, m, classes, u = c.d, c.m, c.num_classes, c.u_norm
    size = max(round(c.minority_fraction * c.samples_per_class), 1)
    n, others = size + (classes - 1) * c.samples_per_class, c.samples_per_class / size
    sizes = (float(v) for v in noise_shape(c.noise_correlation, d, classes))
    trace, own, other, own_operator, other_operator, spread, rank = sizes
    flatness, largest, smallest = min(own / own_operator, other / other_operator), max(own, other), min(own, other)
    filters, start, log_t = np.log(classes * m / delta), f"C = 1, δ = {delta:g}", float(np.log(max(c.steps, 2)))
    phi = min(smallest, u**2)
    responses = max(np.sqrt(filters) * u, filters * np.sqrt(trace))
    above_zero = {"gaussian": "c' = 0.25", "uniform": "c' = 0.35", "rademacher": "c' < 1"}[c.noise_distribution]

    def part(letter: str, rule: Any, says: str, value: float, bound: float, hidden: str = start) -> Condition:
        return rule(says, f"Condition 1 ({letter})", value, float(bound), hidden)

    def statement(item: str, rule: Any, says: str, value: Any, hidden: str) -> Condition:
        return rule(says, f"Theorem 1, {item}", float(value), 1.0, hidden, "regime")

    ratio, gamma = signal_ratio(u, c.noise_correlation, size, d, classes, others), c.noise_correlation / others
    signal, noise = "|S_k|²‖u‖⁴ / (|S_j| ‖A_kᵀA_j‖_F²)", "|S_k| ‖A_kᵀA_k‖_F² / (|S_j| ‖A_kᵀA_j‖_F²)"
    steps = convergence_steps(c.noise_correlation, n, m, sigma_0, eta, d, classes)
    rows = (
        part(
            "a", at_least, "noise: Tr(A_iᵀA_i) ≥ n max ‖A_iᵀA_j‖_F log(n²/δ)", trace, n * largest * np.log(n**2 / delta)
        ),
        part(
            "a",
            at_least,
            "noise: ‖A_iᵀA_j‖_F / ‖A_iᵀA_j‖_op ≥ √log(K/δ)",
            flatness,
            np.sqrt(np.log(classes / delta)),
        ),
        part("a", at_least, "noise: ‖A_iᵀA_j‖_F ≥ C⁻¹ max_k ‖A_iᵀA_k‖_F", smallest, largest, "C = 1; met with C ≥ √Γ"),
        part("a", at_least, "noise: P(ζ > c') ≥ 0.4 for some c' > 0", 0.5, 0.4, f"as c' → 0; {above_zero} has 0.4"),
        part("b", at_least, "filters: m ≥ log(n/δ) max (λ_max/λ_min of A)²", m, np.log(n / delta) * spread**2),
        part("b", at_least, "samples: n ≥ log(m/δ)", n, np.log(m / delta)),
        part(
            "b",
            at_least,
            "filters: m ≥ log(n/δ) log(T)² / (n σ_0²)",
            m,
            np.log(n / delta) * log_t**2 / (n * sigma_0**2),
            f"T = steps, {start}",
        ),
        part("b", at_least, "filters: min{m, d, rank A} − 0.9 m ≥ n", min(m, d, rank) - 0.9 * m, n),
        part("b", at_least, "dimension: d ≥ log(mn/δ)", d, np.log(m * n / delta)),
        part("c", at_most, "learning rate: η ≤ (‖u‖ + √(1.5 Tr(AᵀA)))⁻²", eta, (u + np.sqrt(1.5 * trace)) ** -2),
        part("c", at_most, "learning rate: η ≤ m n log(T) / Tr(AᵀA)", eta, m * n * log_t / trace, "T = steps"),
        part(
            "c",
            at_most,
            "initial weights: σ_0 ≤ min{‖A_iᵀA_j‖_F, ‖u‖²} / (n max{√log(Km/δ) ‖u‖, log(Km/δ) ‖A‖_F})",
            sigma_0,
            phi / (n * responses),
            f"{start}; a comma is lost in print, the two are those of Lemma 21",
        ),
        same("samples of a step", "Section 2", c.batch_size or "all", "all"),
        at_least(
            "steps ≥ max{n Tr(AᵀA), √(md) σ_0, √(mK)} / (ηε)",
            "Theorem 1, time",
            c.steps,
            float(steps),
            "Õ as 1, ε = 0.01",
            "time",
        ),
        statement("2(a)", at_least, f"benign: {signal} ≥ C₁", ratio, "C₁ = 1"),
        statement("2(b)", at_least, f"benign for long tails: Γ = {noise} ≥ C₂", gamma, "C₂ = 1"),
        statement("3", at_most, f"harmful: {signal} ≤ C₃", ratio, "C₃ = 1"),
        statement("3", at_most, f"harmful: {noise} ≤ C₃", gamma, "C₃ = 1"),
    )
    network = f"with 1/m: σ_0 = {sigma_0:.3g}, η = {eta:.3g}"
    if sums:
        network += f" (the same outputs at every step as this sum over m = {m} filters)"
    return Checked("paper 001 (benign overfitting and long tails)", network, rows)
