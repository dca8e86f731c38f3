"""Condition, weight, closing step and rates of paper 003, on gradient regularisation, as functions of NumPy arrays."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snljax.theory.conditions import LENIENT, Checked, at_least, at_most, fixed, much_less, same, unnumbered
from snljax.theory.scaling import averaged

MEMORIZING_TEST_ERROR = 1 / 2.01  # the least test error of Theorem 3.3, without regularisation

Reduction = Literal["sum", "mean"]


class Pegr(NamedTuple):
    """Numbers of a network that is trained with PEGR.

    penalty_weight: λ. sigma_0: standard deviation of the initial weights. learning_rate: η.
    """

    penalty_weight: NDArray
    sigma_0: NDArray
    learning_rate: NDArray


class Schedule(NamedTuple):
    """What Theorem 3.2 asks of one network.

    penalty_weight: λ. closing_step: T₁. growing_step, least_weight: see `pegr_schedule`.
    """

    penalty_weight: NDArray
    closing_step: NDArray
    growing_step: NDArray
    least_weight: NDArray


class Rates(NamedTuple):
    """By what share of itself a response changes in one early step; see `early_rates`."""

    signal: NDArray
    noise: NDArray
    noise_of_others: NDArray


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

    It is written for the printed 1/m; `pegr_schedule` has it for other networks. The growth behind it is
    η‖μ‖²/m per step, as in the proof of Proposition D.4, which counts half of the samples as all of them: see there.

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


def pegr_as_printed(
    penalty_weight: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    m: ArrayLike,
    filter_reduction: Reduction = "sum",
    penalty_half: bool = False,
    q: ArrayLike = 2,
) -> Pegr:
    r"""The numbers of the paper's network, (1/m) Σ_r and λ/2, that does what a network with other conventions does.

    .. math:: \lambda_\mathrm{printed} = 2 m \lambda, \quad \sigma_{0,\mathrm{printed}} = \sqrt m\, \sigma_0, \quad
              \eta_\mathrm{printed} = m \eta \qquad (\text{a sum, without } \tfrac12, \; q = 2)

    Exact at every step: √m times the weights of the sum are those of the printed network (`averaged`).

    Args:
        penalty_weight, sigma_0, learning_rate: λ, σ_0 and η of the network at hand.
        m: filters per sign.
        filter_reduction: ``"sum"`` or ``"mean"`` over the filters of a sign.
        penalty_half: whether its penalty has the printed ½.
        q: exponent of the activation ReLU^q.

    Returns:
        Pegr, in the paper's conventions.

    Raises:
        ValueError: if the reduction is another.

    Example:
        >>> [round(float(v), 4) for v in pegr_as_printed(0.0025, 0.001, 0.02, m=10)]
        [0.05, 0.0032, 0.2]

    Source: paper 003 (per-example gradient regularisation), Section 2 (the network and the penalty; the rest is ours).
    """
    to_mean = _to_mean(m, filter_reduction, q)
    return Pegr(
        np.asarray(penalty_weight, float) * to_mean.penalty_weight * (1 if penalty_half else 2),
        np.asarray(sigma_0, float) * to_mean.weights,
        np.asarray(learning_rate, float) * to_mean.learning_rate,
    )


def pegr_schedule(
    mu: ArrayLike,
    sigma_p: ArrayLike,
    d: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    filter_reduction: Reduction = "sum",
    penalty_half: bool = False,
    q: ArrayLike = 2,
    delta: float = 0.01,
) -> Schedule:
    r"""λ and T₁ of Theorem 3.2 in the conventions of the network at hand.

    .. math:: \lambda = \frac{1}{2 m\, \sigma_p \sqrt d}, \quad
              T_1 = \frac{1}{\eta \lVert\mu\rVert^2}
              \log\frac{4}{\sqrt{2\log(8m/\delta)}\,\sqrt m\,\sigma_0\lVert\mu\rVert\log n}
              \qquad (\text{a sum, without } \tfrac12, \; q = 2)

    ``growing_step`` is 2 T₁. The proof of Proposition D.4 lets the signal grow by η‖μ‖²/m in a step. But a filter
    gathers it from the half of the samples that have its sign (Lemma B.1), at η‖μ‖²/(2m); at T₁ it has grown by the
    root of what is wanted, and it arrives there at 2 T₁.

    ``least_weight`` is 1/(2 σ_p² d): from that λ on PEGR holds noise back (`early_rates`), as ρ ≤ 0 in
    Proposition D.1 needs. The theorem's λ is as large where σ_p √d ≥ m.

    Args:
        mu, sigma_p, d, n, m: signal norm, noise standard deviation, patch dimension, samples, filters per sign.
        sigma_0, learning_rate: σ_0 and η of the network at hand.
        filter_reduction, penalty_half, q: its conventions, as for `pegr_as_printed`.
        delta: probability of failure, 0 to 1.

    Returns:
        Schedule, steps not rounded.

    Raises:
        ValueError: if the reduction is another.

    Example:
        >>> found = pegr_schedule(1.0, 1.0, 400, 20, 10, 0.01, 0.02)
        >>> [round(float(v), 4) for v in found]
        [0.0025, 114.9255, 229.8509, 0.0013]
        >>> found = pegr_schedule(1.0, 1.0, 400, 20, 10, 0.01, 0.02, "mean", True)
        >>> float(found.penalty_weight), round(float(found.closing_step))
        (0.05, 1725)

    Source: paper 003 (per-example gradient regularisation), Theorem 3.2 and Proposition D.4.
    """
    printed = pegr_as_printed(1.0, sigma_0, learning_rate, m, filter_reduction, penalty_half, q)
    closing = pegr_closing_step(mu, printed.sigma_0, printed.learning_rate, m, n, delta)
    weight = pegr_weight(sigma_p, d)
    least = np.asarray(m, float) * weight**2
    return Schedule(weight / printed.penalty_weight, closing, 2 * closing, least / printed.penalty_weight)


def early_rates(
    mu: ArrayLike,
    noise_norm: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    learning_rate: ArrayLike,
    penalty_weight: ArrayLike = 0.0,
    filter_reduction: Reduction = "sum",
    penalty_half: bool = False,
) -> Rates:
    r"""Growth less suppression in one early step, with the constants of Lemma 5.1 (q = 2).

    .. math:: \frac{\eta\lVert\mu\rVert^2}{2m} \Bigl(1 - \frac{\lambda\lVert\mu\rVert^2}{m}\Bigr), \quad
              \frac{\eta\lVert\xi_i\rVert^2}{n m} \Bigl(1 - \frac{\lambda\lVert\xi_i\rVert^2}{m}\Bigr), \quad
              -\frac{\eta\lVert\xi_i\rVert^2}{n m} \Bigl(1 + \frac{\lambda\lVert\xi_i\rVert^2}{m}\Bigr)

    in the printed conventions, to which others are translated first. Of a filter of sign j: the response j⟨w, μ⟩ > 0
    to the signal; the positive response to noise of a sample of its own sign; and that to noise of one of the other
    sign. Early means: outputs so small that ℓ' = −½; noise counts as orthogonal, and half of the samples have each
    sign. PEGR holds noise back only where λ‖ξ‖² > m: with the theorem's λ, where ‖ξ‖ > m.

    Args:
        mu: signal norm.
        noise_norm: ‖ξ_i‖, about σ_p √d.
        n, m: training samples, filters per sign.
        learning_rate, penalty_weight: η and λ of the network at hand.
        filter_reduction, penalty_half: its conventions, as for `pegr_as_printed`.

    Returns:
        Rates: a response r becomes (1 + rate) r.

    Raises:
        ValueError: if the reduction is another.

    Example:
        >>> [round(float(r), 4) for r in early_rates(1.0, 20.0, 20, 10, 0.02, 0.0025)]  # λ/(2m) at σ_p = 1
        [0.01, -0.4, -1.2]

    Source: paper 003 (per-example gradient regularisation), Lemma 5.1 and Section 5.1.
    """
    weight, _, eta = pegr_as_printed(penalty_weight, 0.0, learning_rate, m, filter_reduction, penalty_half)
    m, signal, noise = np.asarray(m, float), np.asarray(mu, float) ** 2, np.asarray(noise_norm, float) ** 2
    grown, held = eta * noise / (np.asarray(n) * m), weight * noise / m
    return Rates(eta * signal / (2 * m) * (1 - weight * signal / m), grown * (1 - held), -grown * (1 + held))


def early_curve(
    start: ArrayLike, rate: ArrayLike, step: ArrayLike, close_at: ArrayLike = np.inf, rate_after: ArrayLike = 0.0
) -> NDArray:
    r"""A response over the steps of early training, for a line over a trajectory.

    .. math:: r_0\, (1 + \text{rate})^{\min(t, T_1)}\, (1 + \text{rate}')^{\max(t - T_1, 0)}

    Args:
        start: the response r_0 at initialisation.
        rate: from `early_rates`, above −2; what lies below −1 is overshot: taken as −1, the response is gone.
        step: t, any shape.
        close_at: T₁, when the penalty is closed.
        rate_after: rate without the penalty, from there on.

    Returns:
        The response, on the broadcast shape; good while it is well below 1.

    Example:
        >>> early_curve(0.01, 0.0, [0, 100, 102], close_at=100, rate_after=1.0).tolist()
        [0.01, 0.01, 0.04]

    Source: paper 003 (per-example gradient regularisation), Section 5.1.
    """
    step = np.asarray(step, float)
    before, after = np.minimum(step, close_at), np.maximum(step - close_at, 0)
    one, other = (np.maximum(1 + np.asarray(r, float), 0.0) for r in (rate, rate_after))
    return np.asarray(start) * one**before * other**after


def noise_memorizing_step(
    sigma_p: ArrayLike,
    d: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    sigma_0: ArrayLike,
    learning_rate: ArrayLike,
    delta: float = 0.01,
) -> NDArray:
    r"""The step at which standard training has memorised noise to 1/polylog(n), in the printed conventions.

    .. math:: T_1 = \frac{n m}{\eta \sigma_p^2 d}
              \log\frac{0.8}{2 \log(n) \sqrt{\log(8mn/\delta)}\, \sigma_0 \sigma_p \sqrt d}

    Args:
        sigma_p, d, n, m: noise standard deviation, patch dimension, samples, filters per sign.
        sigma_0, learning_rate: σ_0 and η, as printed (`pegr_as_printed`).
        delta: probability of failure, 0 to 1.

    Returns:
        T₁ in steps, not rounded; below 0 where the initial response is past it already.

    Example:
        >>> round(float(noise_memorizing_step(1.0, 400, 20, 10, 0.001, 0.02)))  # the signal's own: 2876
        16

    Source: paper 003 (per-example gradient regularisation), Proposition E.1.
    """
    n, m, norm = np.asarray(n, float), np.asarray(m, float), np.asarray(sigma_p, float) * np.sqrt(d)
    start = 2 * np.log(n) * np.sqrt(np.log(8 * m * n / delta)) * np.asarray(sigma_0, float) * norm
    return n * m / (np.asarray(learning_rate, float) * norm**2) * np.log(0.8 / start)


def pegr_convergence_steps(
    mu: ArrayLike,
    n: ArrayLike,
    m: ArrayLike,
    d: ArrayLike,
    learning_rate: ArrayLike,
    epsilon: float = 0.01,
    delta: float = 0.01,
) -> NDArray:
    r"""Steps after T₁ within which the training loss is ε, in the printed conventions.

    .. math:: T_2 = \frac{2 n m}{\eta\, (1 - e^{-\epsilon}) \lVert\mu\rVert^2}
              \log\bigl(\sqrt{2 \log(8m/\delta)}\, \log(n)\, d\bigr)

    Args:
        mu, n, m, d: signal norm, samples, filters per sign, patch dimension.
        learning_rate: η, as printed.
        epsilon: target training loss, > 0.
        delta: probability of failure, 0 to 1.

    Returns:
        T₂ in steps, not rounded.

    Example:
        >>> round(float(pegr_convergence_steps(1.0, 20, 10, 400, 0.02, epsilon=0.5)))
        433738

    Source: paper 003 (per-example gradient regularisation), Proposition 5.7.
    """
    m, speed = np.asarray(m, float), np.asarray(learning_rate, float) * -np.expm1(-epsilon)
    size = np.sqrt(2 * np.log(8 * m / delta)) * np.log(n) * np.asarray(d)
    return 2 * np.asarray(n) * m / (speed * np.asarray(mu, float) ** 2) * np.log(size)


def pegr_gradient(weights: NDArray, mu: NDArray, noise: NDArray, labels: NDArray, penalty_weight: float) -> NDArray:
    r"""Gradient of the printed loss, Lemma 5.1 with its erratum corrected: m² where 4λζℓ''/m is printed.

    .. math:: \frac{2}{nm} \sum_i \ell_i' \Bigl(1 + \frac{4 \lambda \zeta_i}{m^2} \ell_i''\Bigr) j y_i\, v_i +
              \frac{4 \lambda}{n m^2} \sum_i \ell_i'^2\, u_i, \qquad
              v_i = (\langle w, y_i\mu\rangle)_+ y_i \mu + (\langle w, \xi_i\rangle)_+ \xi_i, \quad
              u_i = (\langle w, y_i\mu\rangle)_+ \lVert\mu\rVert^2 y_i \mu +
              (\langle w, \xi_i\rangle)_+ \lVert\xi_i\rVert^2 \xi_i

    ζ_i is Σ_w of (⟨w, y_iμ⟩)_+² ‖μ‖² + (⟨w, ξ_i⟩)_+² ‖ξ_i‖². The loss is the mean of log(1 + exp(−y f)) plus λ/2 times
    the mean of the examples' squared gradient norms, f with 1/m and q = 2.

    Args:
        weights: w, shape (2, m, d), signs +1 and −1.
        mu: μ, shape (d,).
        noise: ξ, shape (n, d), orthogonal to μ.
        labels: y = ±1, shape (n,).
        penalty_weight: λ.

    Returns:
        The gradient, shape (2, m, d).

    Example:
        >>> import numpy as np
        >>> w, mu, xi = np.ones((2, 1, 2)), np.array([1.0, 0.0]), np.array([[0.0, 1.0]])
        >>> pegr_gradient(w, mu, xi, np.array([1.0]), 0.0).ravel().tolist()  # ℓ' = −½ at f = 0
        [-1.0, -1.0, 1.0, 1.0]

    Source: paper 003 (per-example gradient regularisation), Lemma 5.1, corrected.
    """
    m, n = weights.shape[1], len(noise)
    signed = labels[:, None] * mu[None, :]
    signal, noisy = np.maximum(weights @ signed.T, 0), np.maximum(weights @ noise.T, 0)  # (2, m, n)
    signs = np.array([1.0, -1.0])
    margins = labels * np.einsum("j,jrn->n", signs, signal**2 + noisy**2) / m
    slope = -1 / (1 + np.exp(margins))
    curvature = -slope * (1 + slope)
    mu_norm, noise_norms = mu @ mu, np.sum(noise**2, axis=1)
    zeta = np.sum(signal**2 * mu_norm + noisy**2 * noise_norms, axis=(0, 1))
    pull = 2 / (n * m) * slope * (1 + 4 * penalty_weight * zeta / m**2 * curvature) * labels
    held = 4 * penalty_weight / (n * m**2) * slope**2
    by_sign = signs[:, None, None] * pull
    along_signal = (by_sign + held * mu_norm) * signal
    along_noise = (by_sign + held * noise_norms) * noisy
    return along_signal @ signed + along_noise @ noise


def _to_mean(m: ArrayLike, filter_reduction: str, q: ArrayLike):
    if filter_reduction not in ("sum", "mean"):
        raise ValueError(f"filter_reduction: {filter_reduction!r} is not known; allowed: 'sum', 'mean'")
    return averaged(m if filter_reduction == "sum" else 1, q)


def conditions(config: Any, delta: float = 0.01) -> Checked:
    """Condition 3.1 and the regimes of Theorems 3.2 and 3.3 for one setting.

    Args:
        config: a Config of ``gradient_regularization``.
        delta: probability of failure, 0 to 1.

    Returns:
        Checked, in the printed conventions. α of Condition 3.1 is 0.001.

    Example:
        >>> from snljax.experiments.gradient_regularization import Config
        >>> conditions(Config(penalty="none")).theorems
        ('Theorem 3.3',)

    Source: paper 003 (per-example gradient regularisation), Condition 3.1, Theorems 3.2 and 3.3.
    """
    c = config
    d, n, m, mu, sigma_p = c.d, c.n, c.m, c.mu, max(c.sigma_p, _TINY)
    weight, sigma_0, eta = (
        float(v)
        for v in pegr_as_printed(
            c.penalty_weight, max(c.sigma_0, _TINY), c.learning_rate, m, c.filter_reduction, c.penalty_half, c.q
        )
    )
    weight = weight if c.penalty != "none" else 0.0
    norm = sigma_p * np.sqrt(d)
    ratios = {name: float(r) for name, r in pegr_condition(d, n, m, mu, sigma_p, sigma_0, eta).items()}
    closing = float(pegr_closing_step(mu, sigma_0, eta, m, max(n, 2), delta))
    logs = float(np.log(max(d, 2) / sigma_0))
    steps = closing + float(pegr_convergence_steps(mu, max(n, 2), m, d, eta, 0.01, delta))
    fitted = n * m / (eta * norm**2) + m**3 * n / (eta * 0.01)
    rows = (
        at_least("dimension: d ≥ m² n^(2+2α)", "Condition 3.1 (1)", d, d / ratios["dimension"], "Ω̃ as 1, α = 0.001"),
        much_less("levels: ‖μ‖ + ‖μ‖⁴ ≪ σ_p√d", "Condition 3.1 (2)", mu + mu**4, norm),
        unnumbered("noise: σ_p√d → ∞", "Condition 3.1 (2)", "a limit"),
        at_most(
            "initial weights: σ_0 ≤ 1/(σ_p²d (nm)^(2α))",
            "Condition 3.1 (3)",
            sigma_0,
            sigma_0 * ratios["initialization"],
            "O as 1, α = 0.001",
        ),
        at_most("learning rate: η ≤ nm/(σ_p²d)", "Condition 3.1 (4)", eta, eta * ratios["learning_rate"], "Õ as 1"),
        at_least("samples: n ≥ polylog(d, 1/σ_0), log(d/σ_0) here", "Condition 3.1 (5)", n, logs, LENIENT),
        at_least("filters: m ≥ polylog(d, 1/σ_0), log(d/σ_0) here", "Condition 3.1 (5)", m, logs, LENIENT),
        same("activation: ReLU^q, q", "Section 2", f"{c.q:g}", "2"),
        same("penalty: per example", "Theorem 3.2", c.penalty, "pegr", "regime"),
        fixed("its weight: λ = 1/(σ_p√d)", "Theorem 3.2", weight, 1 / norm, "regime"),
        fixed(
            "its last step: T₁ = m/(η‖μ‖²) log(4/(√(2log(8m/δ)) σ_0‖μ‖ log n))",
            "Theorem 3.2",
            c.close_at,
            closing,
            "regime",
        ),
        at_least(
            "it holds noise back: λσ_p²d ≥ m, as ρ ≤ 0 needs (Proposition D.1)",
            "Theorem 3.2",
            weight * norm**2,
            m,
            "none, rates of Lemma 5.1",
            "regime",
        ),
        at_least(
            "steps ≥ T₁ + 2nm/(η(1 − e^(−ε))‖μ‖²) log(√(2log(8m/δ)) log(n) d)",
            "Theorem 3.2, time",
            c.steps,
            steps,
            "ε = 0.01",
            "time",
        ),
        same("no penalty: λ = 0", "Theorem 3.3", f"{weight:.3g}", "0", "regime"),
        at_least("steps ≥ nm/(ησ_p²d) + m³n/(ηε)", "Theorem 3.3, time", c.steps, fitted, "Õ as 1, ε = 0.01", "time"),
    )
    network = f"with 1/m and λ/2: λ = {weight:.3g}, σ_0 = {sigma_0:.3g}, η = {eta:.3g}"
    if c.filter_reduction == "sum" or not c.penalty_half:
        shape = f"{c.filter_reduction} over m = {m} filters, {'' if c.penalty_half else 'no '}½"
        network += f" (the same outputs at every step as this network: {shape})"
    return Checked("paper 003 (per-example gradient regularisation)", network, rows)


_TINY = 1e-100  # in the place of a standard deviation of 0
