"""Paper 000: values by hand, limits, and the lemmas and the selection of a first step by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import binom

from snljax import theory
from snljax.experiments.topk_pruning import Config

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


# --- the first step -----------------------------------------------------------------------------------


def noise_above_signal(mu, sigma_p, n, classes, d, m, rng):
    """In filters that respond to their signal, how many noise coordinates the first step makes larger than it."""
    noise = np.zeros((n, d))
    noise[:, classes:] = sigma_p * rng.normal(size=(n, d - classes))
    labels = np.arange(n) % classes
    start = rng.normal(size=(classes, m, d))
    slope = (labels[None, :] == np.arange(classes)[:, None]) - 1 / classes  # logits are 0
    along_signal = np.zeros((classes, m, d))
    for k in range(classes):
        along_signal[:, :, k] = mu * (start[:, :, k] > 0) * slope[:, None, labels == k].sum(2)
    gained = (slope[:, None, :] * (start @ noise.T > 0)) @ noise + along_signal
    own = gained[np.arange(classes), :, np.arange(classes)]
    active = start[np.arange(classes), :, np.arange(classes)] > 0
    return (np.abs(gained[:, :, classes:]) > np.abs(own)[..., None]).sum(2)[active]


@pytest.mark.parametrize(("sigma_p", "k"), [(3.0, 8.6), (4.0, 25.4), (6.0, 60.3)])
def test_the_selection_boundary_is_where_a_first_step_puts_the_signal(sigma_p, k):
    assert float(theory.topk_selection_boundary(1.0, sigma_p, 200, 10, 200)) == pytest.approx(k, abs=0.05)
    rng = np.random.default_rng(1)
    counts = [noise_above_signal(1.0, sigma_p, 200, 10, 200, 20, rng) for _ in range(4)]
    assert np.mean(np.concatenate(counts)) == pytest.approx(k, rel=0.1)
    # As printed, μ against σ_p alone: more than half of all 190 coordinates.
    assert float(theory.topk_lower_boundary(sigma_p, constant=200)) > 180 > 2 * k


def test_the_selection_boundary_at_its_ends():
    low = theory.topk_selection_boundary(1.0, SIGMAS, 200, 10, 200)
    assert np.all(np.diff(low) >= 0)
    assert float(theory.topk_selection_boundary(1.0, 1e9, 200, 10, 200)) == pytest.approx(190)
    assert float(theory.selection_ratio(1.0, 1.0, 200, 10)) == 6.0
    # For two classes a step sees n samples' worth of signal: √(2n)/2.
    assert float(theory.selection_ratio(3.0, 1.5, 32, 2)) == pytest.approx(2 * 4)


def test_the_upper_scale_knows_n_classes_and_mu():
    base = theory.topk_upper_scale(1.0, SIGMAS, 100, 10)
    np.testing.assert_allclose(theory.topk_upper_scale(3.0, 3 * SIGMAS, 100, 10), base)
    np.testing.assert_allclose(theory.topk_upper_scale(1.0, SIGMAS, 400, 20), base)
    # Over σ_p it is a multiple of the curve of Figure 2.
    np.testing.assert_allclose(np.ptp(base / theory.topk_upper_boundary(SIGMAS)), 0, atol=1e-12)


# --- conditions and lemmas ----------------------------------------------------------------------------


def test_condition_4_1_is_1_on_its_edges():
    last, delta = 1000, 0.1
    d = 7 + 512 * 7 * 9**2 * (4 * np.log(last)) ** 2 * np.log(4 * 81 / delta)
    sigma_0 = 1 / (16 * np.sqrt(np.log(8 * 5 * 49 / delta)) * 7 * 81 * 3.0 * np.sqrt(d - 7))
    edges = theory.topk_condition(d, 9, 5, 7, 2.0, 3.0, sigma_0, 5 * 7 / 4, last, delta)
    assert {name: float(r) for name, r in edges.items()} == pytest.approx(
        {"dimension": 1, "noise": 9 * d, "initialization": 1, "learning_rate": 1}
    )


@pytest.mark.parametrize("change", [{"batch_size": 6}, {"prune_scope": "class"}])
def test_no_theorem_speaks_of_batches_or_of_a_class_ranked_together(change):
    assert theory.check(Config(K=30)).theorems
    assert not theory.check(Config(K=30, **change)).theorems


def test_class_counts_need_the_square_of_the_classes():
    """13 𝒯 log(2/δ) samples miss Lemma C.1's counts more often than not; the corrected number keeps its promise."""
    classes, delta = 10, 0.01

    def missed(n):
        counts = np.random.default_rng(0).multinomial(n, np.full(classes, 1 / classes), size=4000)
        return np.mean(np.any(np.abs(counts / n - 1 / classes) > 1 / (5 * classes), axis=1))

    assert missed(round(13 * classes * np.log(2 / delta))) > 0.5
    assert missed(round(float(theory.samples_for_class_counts(classes, delta)))) < delta


def test_active_counts_need_filters():
    classes, n, delta = 10, 200, 0.01
    m = int(np.ceil(theory.filters_for_active_counts(classes, n, delta)))
    outside = 1 - (binom.cdf(np.floor(3 * m / 4), m, 0.5) - binom.cdf(np.ceil(m / 4) - 1, m, 0.5))
    assert classes * (classes + n) * outside < delta
    few = 20  # the paper's m
    outside = 1 - (binom.cdf(15, few, 0.5) - binom.cdf(4, few, 0.5))
    assert classes * (classes + n) * outside > 10


def test_the_concentration_of_noise_and_initial_weights():
    d, classes, n, m, sigma_p, sigma_0, mu = 410, 10, 30, 40, 0.7, 0.02, 1.5
    rng = np.random.default_rng(2)
    for _ in range(20):
        noise = sigma_p * rng.normal(size=(n, d - classes))
        weights = sigma_0 * rng.normal(size=(classes, m, d))
        gram = noise @ noise.T
        low, high = theory.noise_norm_bounds(sigma_p, d, classes)
        assert np.all((np.diagonal(gram) >= low) & (np.diagonal(gram) <= high))
        between = np.abs(gram[~np.eye(n, dtype=bool)]).max()
        assert float(theory.noise_overlap_bound(sigma_p, d, classes, n)) / 4 < between
        assert between < float(theory.noise_overlap_bound(sigma_p, d, classes, n))
        signal, noisy = mu * weights[..., :classes], weights[..., classes:] @ noise.T
        for responses, (low, high) in (
            (signal, theory.initial_signal_bounds(sigma_0, mu, m, classes)),
            (noisy, theory.initial_noise_bounds(sigma_0, sigma_p, d, m, n, classes)),
        ):
            assert np.all(responses.max(1) >= low)
            assert low < np.abs(responses).max() < high


def test_the_losses_of_the_theorems():
    outputs = np.zeros(10)
    outputs[3] = 1.0  # the most that noise gives the right class in Lemma H.4
    assert float(theory.memorization_test_loss(10)) == pytest.approx(-log_softmax(outputs)[3] / 2)
    assert float(theory.signal_learning_test_loss(0.0, 10, 2)) == pytest.approx(np.exp(-4))
    slope = np.diff(theory.signal_learning_test_loss([0.0, 1.0], 10, 200))
    assert slope == pytest.approx(8 * np.exp(4) * 10)


def test_steps_of_the_theorems_by_hand():
    assert float(theory.signal_learning_steps(2.0, 0.5, 3, 4, 5, 0.1, 8, epsilon=0.5)) == pytest.approx(50 + 600)
    assert float(theory.memorization_steps(2.0, 0.5, 3, 4, 5, 0.1, 8, epsilon=0.5)) == pytest.approx(60 + 100)
