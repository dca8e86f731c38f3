"""Paper 004: the floor by simulated batches, the logit's slope, growth, stages and counts of neurons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from snljax import theory


@pytest.mark.parametrize(("batch", "frequency"), [(64, [0.2] * 9), (16, [0.3] * 4 + [0.1] * 2)])
def test_the_floor_is_what_large_pure_embeddings_reach(batch, frequency):
    rng = np.random.default_rng(0)
    shape = (300, batch, len(frequency))
    latents = np.where(rng.uniform(size=shape) < frequency, rng.choice([-1.0, 1.0], size=shape), 0.0)
    similar = latents @ np.swapaxes(latents, 1, 2)
    own = np.diagonal(similar, axis1=1, axis2=2)
    losses = np.mean(logsumexp(40 * similar, axis=2) - 40 * own, axis=1)
    floor = theory.collision_floor(batch, frequency)
    assert np.mean(losses) == pytest.approx(floor, abs=4 * np.std(losses) / np.sqrt(len(losses)))
    assert np.all(np.mean(logsumexp(similar, axis=2) - own, axis=1) > losses)  # a smaller embedding is above it
    alike = np.all(latents[:, :, None] == latents[:, None], axis=3).sum(2)
    equal = np.mean(np.log(alike), axis=1)
    found = theory.collision_floor(batch, frequency, supersets=False)
    assert np.mean(equal) == pytest.approx(found, abs=4 * np.std(equal) / np.sqrt(len(equal)))
    assert found < floor


def test_the_floor_in_its_limits():
    assert theory.collision_floor(64, [0.0, 0.0]) == pytest.approx(np.log(64))  # nothing to tell pairs by
    assert theory.collision_floor(2, [1.0]) == pytest.approx(np.log(2) / 2)
    assert theory.collision_floor(64, [1.0] * 40) == pytest.approx(0, abs=1e-9)
    assert theory.collision_floor(64, [0.2] * 9) == pytest.approx(1.27, abs=0.005)
    # One feature more never hurts.
    assert theory.collision_floor(16, [0.2] * 5 + [0.4]) < theory.collision_floor(16, [0.2] * 5)


@pytest.mark.parametrize(("batch", "frequency", "part"), [(1, [0.2], "batch"), (4, [0.2, 1.2], "frequency")])
def test_floors_of_nothing_are_refused(one_line, batch, frequency, part):
    one_line(lambda: theory.collision_floor(batch, frequency), part)


def test_weights_over_the_frequency():
    epsilon = np.linspace(0.1, 1, 10)
    found = theory.learned_weights(epsilon, 3.0, 64, 16, 100, 0.5)
    many = float(theory.ordinary_neurons_bound(64, 16, 0.5, gamma=0.0))
    assert many == pytest.approx(64 / 2)
    np.testing.assert_allclose(found.high, 3 * epsilon)
    np.testing.assert_allclose(found.high / found.low, many)
    np.testing.assert_allclose(found.others, epsilon / 4)
    assert float(found.outside) == pytest.approx(0.1)
    pruned = theory.pruned_weights(3.0, 64, 16, 100, 0.5)
    assert [float(pruned.low), float(pruned.high)] == pytest.approx([found.low[-1], found.high[-1]])
    assert float(pruned.others) == pytest.approx(17 / 16 / 4)


def test_counts_of_neurons_and_features():
    ratio = np.linspace(0.2, 1.0, 9)
    lucky, ordinary = (b(1e4, 20, ratio) for b in (theory.lucky_neurons_bound, theory.ordinary_neurons_bound))
    assert np.all(lucky < ordinary)
    assert np.all(np.diff(lucky) > 0)
    assert np.all(np.diff(ordinary) < 0)
    assert float(theory.lucky_neurons_bound(100, 10, 0.5, gamma=0.0)) == pytest.approx(100 * 10.0**-4)
    # A neuron is dominated by as many features as have it among their ordinary neurons: d Ξ₂ / m.
    np.testing.assert_allclose(
        theory.features_of_a_neuron(20, ratio), 20 * theory.ordinary_neurons_bound(1e4, 20, ratio, 0.0) / 1e4
    )
    # Ξ₂ is a Gaussian tail: of m normal numbers, those whose square is above c₂ log d.
    tail = 2e4 * norm.sf(np.sqrt(2 * 0.99 * ratio**2 * np.log(20)))
    assert np.all(tail <= ordinary)


def test_the_gap_is_the_slope_of_the_softmax():
    """ℓ'_p = 1 − 1/τ, and a similarity that loses as much as masked neurons give it."""
    tau, alpha, epsilon, m, d, ratio = 20.0, 0.1, 0.5, 40, 30, 0.5
    lost = alpha * m * (tau / float(theory.ordinary_neurons_bound(m, d, ratio, 0.0))) ** 2
    lost *= float(theory.feature_frequency(d, epsilon))
    negatives = 7
    positive = tau * np.log((tau - 1) * negatives)
    gap = [1 - np.exp(p / tau) / (np.exp(p / tau) + negatives) for p in (positive, positive - lost)]
    assert gap[0] == pytest.approx(1 / tau)
    without, masked = (float(theory.positive_logit_gap(a, epsilon, tau, m, d, ratio)) for a in (0.0, alpha))
    assert without == pytest.approx(gap[0])
    assert masked - without == pytest.approx(gap[1] - gap[0], rel=2 / tau)
    assert masked - without > 1e-4


def test_growth_under_pruning_has_the_room_for_eq_15():
    at = {"learning_rate": 0.1, "weight_decay": 0.02}
    gains, simple = [], []
    for alpha in (0.0, 0.05):
        gains.append(theory.growth_under_pruning(alpha, 0.4, 1.0, temperature=4.0, m=60, d=20, epsilon_ratio=0.4, **at))
        simple.append(theory.simplified_growth_under_pruning(alpha, 0.4, d=20, **at))
    gained, printed = gains[1].minority - gains[0].minority, simple[1].minority - simple[0].minority
    assert float(gained / printed) == pytest.approx(float(theory.pruning_room(60, 20, 0.4)), rel=1e-6)
    assert float(gains[1].other - gains[0].other) < float(gained)
    # A feature that is no more frequent than the minority, in samples without it: the same but for them.
    f = float(theory.feature_frequency(20, 0.4))
    plain = theory.growth_under_pruning(0.0, 0.4, 0.4, temperature=4.0, m=60, d=20, epsilon_ratio=0.4, **at)
    assert float(plain.minority) == pytest.approx(1 - 0.002 + 0.1 * f / 4)
    assert float(plain.other - plain.minority) == pytest.approx(0.1 * f * f / 4)


def test_eq_15_does_not_follow_with_as_many_neurons_as_features():
    d = np.geomspace(5, 1e6, 40)
    room = theory.pruning_room(d, d, np.linspace(0.05, 0.7, 14)[:, None])
    assert np.all(room < 1)
    assert float(theory.pruning_room(100, 100, 1.0)) == pytest.approx(np.log(np.log(100)))  # without imbalance it does


def test_pruning_closes_the_gap_at_its_own_rate():
    steps = float(theory.pruning_steps(0.25, 0.5, 0.2, 30))
    gain = float(theory.simplified_growth_under_pruning(0.25, 0.5, 0.2, 0.0, 30).minority) - 1
    assert steps * gain == pytest.approx(1 / 0.5 - 1)  # 1 + T x reads it as caught up
    assert float(theory.pruning_steps(0.25, 1.0, 0.2, 30)) == 0


def test_stages_are_out_of_order_for_every_dictionary():
    d = np.geomspace(5, 1e4, 30)
    found = theory.stages(d, d, 0.1, np.log(d))
    assert np.all(found.first > found.third)
    assert np.all(found.second > found.first)
    assert np.all(found.fourth > found.third)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_features_outgrow_the_rest_when_it_says(decay):
    d, d1, eta, f = 10, 400, 0.05, 0.2
    on, off, steps = d / d1, 1 - d / d1, 0
    while on < off:
        on, off = on * (1 - eta * decay + eta * f) ** 2, off * (1 - eta * decay) ** 2
        steps += 1
    assert steps == int(np.ceil(theory.feature_growing_steps(d, d1, eta, f, decay)))
