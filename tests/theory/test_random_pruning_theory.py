"""Paper 002: the noise of trained filters, coefficients over p, and the time of the early growth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm

from snljax import theory

KEPT = np.array([0.05, 0.1, 0.2, 0.5, 1.0])


def test_lemma_3_6_is_a_gaussian_tail_with_twice_the_variance():
    m, classes, sigma_0, sigma_p, d, q = 50, 2, 0.01, 0.05, 1000, 3
    scale = sigma_0 * sigma_p * np.sqrt(KEPT * d)
    exact = 2 * classes * m * norm.sf((2 * m) ** (-2 / q) / scale)
    bound = theory.noise_response_probability(KEPT, m, classes, np.sqrt(2) * sigma_0, sigma_p, d, q)
    assert np.all((exact <= bound) | (bound == 1))
    assert np.all(bound[:3] < 1e-3)
    # The exponent goes as 1/p.
    bound = theory.noise_response_probability(KEPT[:2], m, classes, sigma_0, sigma_p, d, q) / (2 * classes * m)
    assert np.log(bound[0]) / np.log(bound[1]) == pytest.approx(2)


def test_pruning_shrinks_noise_and_leaves_the_signal():
    mild = theory.mild_pruning_coefficients(KEPT, 27, 0.01, 0.1, 2.0, 400)
    np.testing.assert_allclose(mild.gamma, 1 / 3)
    np.testing.assert_allclose(mild.gamma_others, 0.02)
    np.testing.assert_allclose(mild.zeta / mild.zeta[-1], np.sqrt(KEPT))
    np.testing.assert_allclose(mild.zeta, mild.omega)
    over = theory.over_pruning_coefficients(KEPT, 27, 0.01, 0.1, 2.0, 400)
    np.testing.assert_allclose(over.omega, mild.omega)
    np.testing.assert_allclose((over.gamma, over.zeta), (np.zeros(5), np.full(5, 1 / 3)))


def test_losses_of_the_theorems():
    outputs = np.zeros(7)
    outputs[2] = 1.0  # the most that noise gives the right class in Theorem E.10
    assert float(theory.over_pruning_test_loss(7)) == pytest.approx(-log_softmax(outputs)[2])
    assert float(theory.mild_pruning_test_loss(0.1, 3, 2, 0.5)) == pytest.approx(0.3 + np.exp(-8))


@pytest.mark.parametrize("q", [3, 4])
def test_the_time_of_memorising_has_the_inverse_power_of_sigma_0(q):
    """Lemma E.3's recursion, from σ_0 ‖ξ̃‖ to order 1: its time is that of the formula, not of the printed power."""

    def simulated(sigma_0):
        response, steps = sigma_0 * 0.5, 0
        while response < 0.5:
            response += 1.0 * 0.5**2 / 4 * response ** (q - 1)
            steps += 1
        return steps

    # The target loss is any: the growing phase alone.
    first, second = (float(theory.over_pruning_steps(0.25, s, 0.1, 4, 1, 100, 1.0, 1e12, q)) for s in (0.02, 0.01))
    assert second / first == pytest.approx(2 ** (q - 2))
    assert simulated(0.01) / simulated(0.02) == pytest.approx(second / first, rel=0.1)
    assert simulated(0.01) == pytest.approx(second / (q - 2), rel=0.1)


def test_mild_steps_by_hand():
    assert float(theory.mild_pruning_steps(2.0, 0.1, 3, 2, 0.5, 0.25, q=4)) == pytest.approx(25 + 4 * 81 / 0.5)
