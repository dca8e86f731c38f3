"""Paper 001: noise matrices written out, regimes and bounds in their limits, κ on a trained network."""

from __future__ import annotations

import numpy as np
import pytest

from snljax import theory


@pytest.mark.parametrize("gamma", [1.0, 1.2, 30.0])
def test_the_noise_s_shape_is_that_of_the_matrices(gamma):
    d, classes = 24, 3
    tuned = float(theory.eigenvalue_for_noise_correlation(gamma, d, classes))
    unitary = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    matrices = []
    for k in range(classes):
        scales = np.concatenate([np.zeros(classes), np.full(d - classes, 0.5)])
        scales[classes + k] = tuned
        matrices.append(unitary @ np.diag(scales))
    found = theory.noise_shape(gamma, d, classes)
    own, other = matrices[0].T @ matrices[0], matrices[0].T @ matrices[1]
    singular = np.linalg.svd(matrices[0], compute_uv=False)
    nonzero = singular[singular > 1e-9]
    by_hand = theory.NoiseShape(
        np.trace(own),
        np.linalg.norm(own),
        np.linalg.norm(other),
        np.linalg.norm(own, 2),
        np.linalg.norm(other, 2),
        nonzero.max() / nonzero.min(),
        len(nonzero),
    )
    assert [float(v) for v in found] == pytest.approx([float(v) for v in by_hand])
    assert float((found.own / found.other) ** 2) == pytest.approx(gamma)


def test_the_contour_of_the_feature():
    gamma, size = np.array([1.0, 10.0, 1400.0]), np.array([[10], [200]])
    u = theory.signal_strength_for_ratio(2.5, gamma, size, 1000, 5)
    assert u.shape == (2, 3)
    np.testing.assert_allclose(theory.signal_ratio(u, gamma, size, 1000, 5), 2.5)
    np.testing.assert_allclose(u[0] / u[1], 20**0.25)
    assert np.all(np.diff(u) > 0)  # larger Γ, more noise between classes
    # Half the samples, in classes as large as before: |S_k|² / |S_j| is a quarter.
    whole = theory.signal_ratio(1.0, 1.2, 100, 1000, 5)
    assert float(theory.signal_ratio(1.0, 1.2, 50, 1000, 5, others=2.0)) == pytest.approx(float(whole) / 4)


def test_error_bounds():
    assert float(theory.signal_error_bound(0.0, 5)) == 1.0  # four terms of 1, of a probability
    assert float(theory.signal_error_bound(3.0, 2)) == pytest.approx(np.exp(-3))
    assert float(theory.long_tail_error_bound(4.0, 1.5, 2)) == pytest.approx(np.exp(-9))
    sizes = theory.long_tail_error_bound(6.0, 1.0, 5, others=np.array([0.5, 1.0, 2.0, 4.0]))
    assert np.all(np.diff(sizes) > 0)  # a majority hurts the others
    assert np.all(np.diff(theory.long_tail_error_bound(6.0, np.linspace(0.6, 3, 9), 5)) < 0)


def test_regimes_cover_the_plane_and_the_band_closes():
    signal, gamma = np.meshgrid(np.geomspace(1e-2, 1e2, 41), np.geomspace(1e-2, 1e2, 41))
    sharp = theory.overfitting_regime(signal, gamma)
    assert {*np.unique(sharp)} == {-1, 1, 2, 3}
    wide = theory.overfitting_regime(signal, gamma, benign_from=10.0, harmful_to=0.5)
    assert {*np.unique(wide)} == {-1, 0, 1, 2, 3}
    assert np.all((wide == -1) == ((signal <= 0.5) & (gamma <= 0.5)))
    assert np.all((wide > 0) == ((signal >= 10) | (gamma >= 10)))


def test_a_harmful_regime_above_the_benign_one_is_refused(one_line):
    one_line(lambda: theory.overfitting_regime(1.0, 1.0, 1.0, 2.0), "harmful_to", "2", "benign_from = 1")


def test_kappa_bounds_the_residuals_of_a_trained_network():
    """1/m, ReLU, two classes of nearly orthogonal samples, one with three times the noise of the other."""
    rng = np.random.default_rng(1)
    m, d, n, eta = 40, 12, 8, 2.0
    labels = np.arange(n) % 2
    features = 0.1 * np.eye(2, d)
    rows = np.linalg.qr(rng.normal(size=(d - 2, n)))[0].T
    noise = np.pad(rows, ((0, 0), (2, 0))) * np.where(labels == 0, 1.0, 3.0**0.5)[:, None]
    gram = noise @ noise.T + features[labels] @ features[labels].T
    kappa = float(theory.loss_slope_ratio(gram))
    products = np.block([[features @ features.T, features @ noise.T], [noise @ features.T, noise @ noise.T]])
    responses = 0.01 * rng.normal(size=(2, m, 2 + n)) @ np.linalg.cholesky(products + 1e-12 * np.eye(2 + n)).T
    largest = 0.0
    for _ in range(600):
        own = np.concatenate([responses[:, :, labels][..., None], responses[:, :, 2:, None]], axis=3)
        logits = np.mean(np.sum(np.maximum(own, 0), axis=3), axis=1)
        probability = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
        residual = 1 - probability[labels, np.arange(n)]
        largest = max(largest, residual.max() / residual.min())
        slope = (np.eye(2)[:, labels] - probability) / (n * m)
        moved = np.zeros_like(responses)
        for i in range(n):
            for column in (labels[i], 2 + i):
                active = responses[:, :, column] > 0
                moved += (slope[:, None, i] * active)[..., None] * products[column]
        responses = responses + eta * m * moved
    assert residual.max() < 0.2  # it has learned
    assert 1.8 < largest < kappa < 14


def test_kappa_in_its_limits():
    norms = np.array([1.0, 2.0, 5.0])
    assert float(theory.loss_slope_ratio(np.diag(norms))) == pytest.approx(5 / 0.36)
    assert float(theory.loss_slope_ratio(3 * np.diag(norms))) == pytest.approx(5 / 0.36)
    assert theory.loss_slope_ratio(np.ones((2, 2))) == np.inf  # equal samples: no room
    rising = [float(theory.loss_slope_ratio(np.eye(3) + a * (1 - np.eye(3)))) for a in (0.0, 0.02, 0.05)]
    assert np.all(np.diff(rising) > 0)


def test_kappa_is_infinite_at_the_paper_s_sizes():
    """500 samples whose noise lives in 995 dimensions: the overlaps of one add up to more than its norm."""
    noise = 0.5 * np.random.default_rng(0).normal(size=(500, 995))
    assert theory.loss_slope_ratio(noise @ noise.T) == np.inf
    assert np.isfinite(theory.loss_slope_ratio(noise[:2] @ noise[:2].T))


def test_convergence_steps_have_three_parts():
    at = {"learning_rate": 0.1, "d": 1000, "num_classes": 5, "epsilon": 0.5}
    assert float(theory.convergence_steps(1.0, 10, 4, 0.01, **at)) == pytest.approx(2487.5 * 20)
    assert float(theory.convergence_steps(1.0, 10, 4, 1000.0, **at)) == pytest.approx(1000 * np.sqrt(4000) * 20)
    assert float(theory.convergence_steps(1.0, 10, 4e9, 0.0, **at)) == pytest.approx(np.sqrt(2e10) * 20)
