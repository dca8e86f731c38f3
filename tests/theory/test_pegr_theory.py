"""Paper 003: the gradient by finite differences, both scalings of the network, and the early rates, by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from snljax import theory


def test_condition_3_1_scales_as_its_parts():
    base = theory.pegr_condition(400, 20, 10, 1.0, 1.0, 0.01, 0.02, alpha=0.0)
    assert {n: round(float(v), 6) for n, v in base.items()} == {
        "dimension": 0.01,  # 400 / (100 · 400)
        "noise_over_signal": 10.0,  # √400 / 2
        "initialization": 0.25,  # 1 / (0.01 · 400)
        "learning_rate": 25.0,  # 200 / (0.02 · 400)
    }
    wide = theory.pegr_condition(400, 20, 20, 1.0, 2.0, 0.01, 0.02, alpha=0.0)
    ratio = {n: float(wide[n] / base[n]) for n in base}
    assert ratio == pytest.approx(
        {"dimension": 1 / 4, "noise_over_signal": 2, "initialization": 1 / 4, "learning_rate": 1 / 2}
    )


def test_the_closing_step_is_when_growth_reaches_its_target():
    """The printed early dynamics ⟨w, μ⟩(t) = ⟨w, μ⟩(0)·exp(η‖μ‖² t / m) reach 4 / log n at T₁."""
    mu, sigma_0, eta, m, n, delta = 2.0, 0.001, 0.05, 8, 50, 0.1
    start = np.sqrt(2 * np.log(8 * m / delta)) * sigma_0 * mu
    t = theory.pegr_closing_step(mu, sigma_0, eta, m, n, delta)
    assert start * np.exp(eta * mu**2 * t / m) == pytest.approx(4 / np.log(n))


def test_the_theorem_s_weight_balances_as_section_5_1_says():
    """λ = 1/‖ξ‖: suppression over growth is ‖ξ‖ for noise and ‖μ‖²/‖ξ‖ for the signal."""
    norm = 0.7 * np.sqrt(900)
    weight = theory.pegr_weight(0.7, 900)
    grown = theory.growth_rates(1.5, norm, 30, 0.01)
    held = theory.suppression_rates(1.5, norm, 30, 0.01, weight)
    assert float(held[1] / grown[1]) == pytest.approx(norm)
    assert float(held[0] / grown[0]) == pytest.approx(1.5**2 / norm)


# --- the network's two scalings -----------------------------------------------------------------------


def loss(weights, mu, noise, labels, weight, reduction):
    """Mean logistic loss and ``weight`` times the mean squared norm of the examples' gradients; q = 2."""
    m, signs = weights.shape[1], np.array([1.0, -1.0])
    share = 1 / m if reduction == "mean" else 1.0
    total = 0.0
    for xi, y in zip(noise, labels, strict=True):
        signal, noisy = np.maximum(weights @ (y * mu), 0), np.maximum(weights @ xi, 0)
        margin = y * share * signs @ np.sum(signal**2 + noisy**2, axis=1)
        slope = -1 / (1 + np.exp(margin))
        gradient = slope * share * signs[:, None, None] * 2 * (signal[..., None] * y * mu + noisy[..., None] * xi)
        total += np.log1p(np.exp(-margin)) + weight * np.sum(gradient**2)
    return total / len(noise)


def numerical_gradient(function, weights, width=1e-5):
    gradient = np.zeros_like(weights)
    for index in itertools.product(*map(range, weights.shape)):
        moved = [weights.copy(), weights.copy()]
        moved[0][index] += width
        moved[1][index] -= width
        gradient[index] = (function(moved[0]) - function(moved[1])) / (2 * width)
    return gradient


@pytest.fixture
def small():
    rng = np.random.default_rng(3)
    mu, noise = np.array([1.3, 0.0, 0.0, 0.0]), 0.9 * rng.normal(size=(3, 4))
    noise[:, 0] = 0.0
    return 0.6 * rng.normal(size=(2, 3, 4)), mu, noise, np.array([1.0, -1.0, 1.0])


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_lemma_5_1_has_the_square_of_m(small, weight):
    weights, mu, noise, labels = small
    numerical = numerical_gradient(lambda w: loss(w, mu, noise, labels, weight / 2, "mean"), weights)
    np.testing.assert_allclose(theory.pegr_gradient(weights, mu, noise, labels, weight), numerical, atol=1e-8)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_printed_network_takes_the_same_path(small, reduction, half):
    weights, mu, noise, labels = small
    m, eta, weight = weights.shape[1], 0.2, 0.15
    printed = theory.pegr_as_printed(weight, 1.0, eta, m, reduction, half)
    other = printed.sigma_0 * weights
    for _ in range(4):
        step = numerical_gradient(lambda w: loss(w, mu, noise, labels, weight / (2 if half else 1), reduction), weights)
        weights = weights - eta * step
        gradient = theory.pegr_gradient(other, mu, noise, labels, float(printed.penalty_weight))
        other = other - printed.learning_rate * gradient
        np.testing.assert_allclose(other, printed.sigma_0 * weights, atol=1e-7)


def test_the_schedule_of_the_printed_network_is_the_theorem_s():
    found = theory.pegr_schedule(1.0, 1.0, 400, 20, 10, [0.01, 0.001], 0.02, "mean", True)
    assert found.penalty_weight == pytest.approx(theory.pegr_weight(1.0, 400))
    assert found.closing_step == pytest.approx([1725, 2876], abs=0.5)  # the paper closes at 800
    summed = theory.pegr_schedule(1.0, 1.0, 400, 20, 10, [0.01, 0.001], 0.02)
    assert summed.penalty_weight == pytest.approx(0.05 / 20)
    # m times sooner, and sooner still: the same σ_0 is √m times as far on the way.
    gained = 10 / (0.2 * 1.0**2) * np.log(np.sqrt(10))
    assert summed.closing_step == pytest.approx(np.array([1725, 2876]) / 10 - gained, abs=0.1)
    half = theory.pegr_schedule(1.0, 1.0, 400, 20, 10, 0.01, 0.02, penalty_half=True)
    assert half.penalty_weight == pytest.approx(0.05 / 10)


def test_another_reduction_is_refused(one_line):
    one_line(lambda: theory.pegr_as_printed(0.1, 0.1, 0.1, 10, "max"), "filter_reduction", "'max'", "'sum', 'mean'")


# --- early training -----------------------------------------------------------------------------------


def early(weights, mu, noise, labels, eta, weight, m, steps, reduction, close_at):
    """Responses to the signal (2, m) and to noise (2, m, n) over the steps, from the printed gradient."""
    printed = theory.pegr_as_printed(weight, 1.0, eta, m, reduction, False)
    path, v = [], printed.sigma_0 * weights
    for t in range(steps + 1):
        path.append((v @ mu / printed.sigma_0, v @ noise.T / printed.sigma_0))
        penalty = float(printed.penalty_weight) if t < close_at else 0.0
        v = v - printed.learning_rate * theory.pegr_gradient(v, mu, noise, labels, penalty)
    return np.array([s for s, _ in path]), np.array([r for _, r in path])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_early_curves_lie_on_trajectories(reduction):
    n, m, d, eta, mu_norm, close_at, steps = 8, 5, 40, 0.02, 1.2, 30, 60
    rng = np.random.default_rng(4)
    mu = np.zeros(d)
    mu[0] = mu_norm
    noise = np.linalg.qr(rng.normal(size=(d - 1, n)))[0].T * 2.5
    noise = np.concatenate([np.zeros((n, 1)), noise], axis=1)
    labels = np.repeat([1.0, -1.0], n // 2)
    weight = 1.5 * m / 2.5**2 / (1 if reduction == "mean" else m) / 2  # λ‖ξ‖² = 1.5 m: noise shrinks
    weights = 1e-5 * rng.normal(size=(2, m, d))
    signal, noisy = early(weights, mu, noise, labels, eta, weight, m, steps, reduction, close_at)
    rates = theory.early_rates(mu_norm, 2.5, n, m, eta, weight, reduction)
    free = theory.early_rates(mu_norm, 2.5, n, m, eta, 0.0, reduction)
    assert rates.signal > 0 > rates.noise > rates.noise_of_others
    t = np.arange(steps + 1)
    seen = set()
    for sign, filters, responses in ((1.0, signal[:, 0], noisy[:, 0]), (-1.0, signal[:, 1], noisy[:, 1])):
        for r in range(m):
            if sign * filters[0, r] > 0:  # it grows; of the other sign, it stays
                curve = theory.early_curve(filters[0, r], rates.signal, t, close_at, free.signal)
                np.testing.assert_allclose(filters[:, r], curve, rtol=1e-6)
                seen.add("signal")
            for i in range(n):
                if responses[0, r, i] > 0:
                    own = labels[i] == sign
                    rate, after = (rates.noise, free.noise) if own else (rates.noise_of_others, free.noise_of_others)
                    curve = theory.early_curve(responses[0, r, i], rate, t, close_at, after)
                    np.testing.assert_allclose(responses[:, r, i], curve, rtol=1e-6)
                    seen.add(own)
    assert seen == {"signal", True, False}


def test_pegr_holds_noise_back_from_a_weight_on():
    """λ‖ξ‖² = m in the printed conventions: the theorem's λ = 1/‖ξ‖ does it where ‖ξ‖ > m."""
    assert float(theory.early_rates(1.0, 20.0, 20, 10, 0.02, 10 / 400, "mean", True).noise) == pytest.approx(0)
    for norm, sign in ((9.0, 1), (11.0, -1)):
        assert np.sign(theory.early_rates(1.0, norm, 20, 10, 0.02, 1 / norm, "mean", True).noise) == sign


def test_the_signal_needs_twice_the_closing_step():
    mu, sigma_0, eta, m, n, delta = 2.0, 0.001, 1e-3, 8, 50, 0.1
    found = theory.pegr_schedule(mu, 1.0, 100, n, m, sigma_0, eta, "mean", True, delta=delta)
    start = np.sqrt(2 * np.log(8 * m / delta)) * sigma_0 * mu
    rate = theory.early_rates(mu, 10.0, n, m, eta, 0.0, "mean", True).signal
    assert float(theory.early_curve(start, rate, found.growing_step)) == pytest.approx(4 / np.log(n), rel=1e-2)
    half_way = np.sqrt(start * 4 / np.log(n))
    assert float(theory.early_curve(start, rate, found.closing_step)) == pytest.approx(half_way, rel=1e-2)


def test_noise_is_memorised_when_its_growth_says():
    sigma_p, d, n, m, sigma_0, eta = 0.5, 900, 20, 10, 1e-4, 1e-3
    start = 2 * np.sqrt(np.log(8 * m * n / 0.01)) * sigma_0 * sigma_p * np.sqrt(d)
    rate = theory.early_rates(1.0, sigma_p * np.sqrt(d), n, m, eta, 0.0, "mean", True).noise
    steps = theory.noise_memorizing_step(sigma_p, d, n, m, sigma_0, eta)
    assert float(theory.early_curve(start, rate, steps)) == pytest.approx(0.8 / np.log(n), rel=1e-2)


def test_convergence_takes_longer_for_smaller_losses():
    steps = [float(theory.pegr_convergence_steps(1.0, 20, 10, 400, 0.02, epsilon)) for epsilon in (1e-4, 1e-3)]
    assert steps[0] / steps[1] == pytest.approx(10, rel=1e-3)
