"""Curves and conditions of the papers: values by hand, limits, monotonicity."""

from __future__ import annotations

import numpy as np
import pytest

from snljax import theory

SIGMAS = np.linspace(0.05, 3.0, 60)


@pytest.mark.parametrize(
    ("value", "by_hand"),
    [
        (theory.snr(1.0, 0.5, 400), 0.1),
        (theory.snr(3.0, 2.0, 9), 0.5),
        (theory.signal_learning_snr(10, 10_000), 1.0),
        (theory.signal_learning_snr(2, 16), 1.0),
        (theory.memorization_snr(200), 0.005),
        (theory.topk_upper_boundary(1.0), 95.0),
        (theory.topk_upper_boundary(0.5), 380.0),
        (theory.topk_upper_boundary(2.0, constant=8.0, exponent=-3.0), 1.0),
        (theory.topk_lower_boundary(1.0), 120 * 0.6065306597),
        (theory.topk_lower_boundary(0.5), 120 * 0.1353352832),
        (theory.topk_lower_boundary(0.5, constant=10.0, mu=0.5), 10 * 0.3678794412),
        (theory.over_pruning_bound(np.sqrt(2 / (np.pi * np.log(4 / 3))), d=200), 100.0),
        (theory.over_pruning_bound(np.sqrt(2 * 9 / (np.pi * np.log(4 / 3))), d=50, mu=3.0), 25.0),
        (theory.coefficient_ratio_scale(1.0, 0.5, 400, 200, 10), 0.2),
        (theory.topk_noise_scale(1.0, 0.5, 400, 200, 10), 5.0),
    ],
)
def test_values_by_hand(value, by_hand):
    """over_pruning_bound: where exp(-2μ²/(πσ²)) = 3/4, K = d(1 - √(1/4)) = d/2."""
    assert float(value) == pytest.approx(by_hand, rel=1e-9)


def test_limits():
    assert float(theory.topk_lower_boundary(1e-2)) == 0.0
    assert float(theory.topk_lower_boundary(1e6)) == pytest.approx(120)
    assert float(theory.over_pruning_bound(1e-2, d=200)) == pytest.approx(0, abs=1e-12)
    assert float(theory.over_pruning_bound(1e9, d=200)) == pytest.approx(200)
    # 1 - √(1 - x) ≈ x/2 for small x: no cancellation to zero while x is far above the rounding.
    x = np.exp(-2 / (np.pi * 0.2**2))
    assert float(theory.over_pruning_bound(0.2, d=200)) == pytest.approx(100 * x, rel=1e-6)


def test_monotonicity():
    assert np.all(np.diff(theory.topk_upper_boundary(SIGMAS)) < 0)
    assert np.all(np.diff(theory.topk_lower_boundary(SIGMAS)) > 0)
    assert np.all(np.diff(theory.over_pruning_bound(SIGMAS[4:], d=200)) > 0)
    assert np.all(np.diff(theory.snr(1.0, SIGMAS, 200)) < 0)
    bound = theory.over_pruning_bound(SIGMAS, d=200)
    assert np.all((bound >= 0) & (bound <= 200))


def test_scalings():
    np.testing.assert_allclose(theory.topk_upper_boundary(2 * SIGMAS), theory.topk_upper_boundary(SIGMAS) / 4)
    np.testing.assert_allclose(theory.signal_learning_snr(6, 16 * 50), theory.signal_learning_snr(3, 50))
    base = theory.coefficient_ratio_scale(1.0, SIGMAS, 200, 100, 10)
    np.testing.assert_allclose(theory.coefficient_ratio_scale(2.0, 2 * SIGMAS, 200, 100, 10), base)
    np.testing.assert_allclose(theory.coefficient_ratio_scale(1.0, SIGMAS, 400, 200, 10), base)
    np.testing.assert_allclose(base * theory.topk_noise_scale(1.0, SIGMAS, 200, 100, 10), 1.0)


def test_arrays_broadcast():
    d = np.array([100, 400])
    assert theory.snr(1.0, SIGMAS[:, None], d[None, :]).shape == (60, 2)
    assert theory.over_pruning_bound(SIGMAS, d=200).shape == (60,)
    assert theory.memorization_snr([10, 20]).tolist() == [0.1, 0.05]


def test_the_two_curves_of_figure_2_cross_once():
    """95 σ^-2 and 120 exp(-1/(2σ²)) enclose a band where σ_p is small, and none where it is large."""
    band = theory.topk_upper_boundary(SIGMAS) - theory.topk_lower_boundary(SIGMAS)
    assert band[np.isclose(SIGMAS, 1.0)] == pytest.approx(95 - 120 * np.exp(-0.5))
    assert np.count_nonzero(np.diff(np.sign(band))) == 1
    assert band[0] > 0 > band[-1]


# --- paper 003 --------------------------------------------------------------------------------------


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
