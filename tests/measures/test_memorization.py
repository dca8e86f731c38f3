"""Influence scores and noise correlation against covariances in NumPy; the eigenvalue of paper 001."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import snljax as snl
from snljax import theory
from snljax.measures import memorization


def data(sizes=(9, 14, 30), shape=(3, 4), seed=0):
    """Classes 2, 5, 7, ... of correlated features with a mean."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([2, 5, 7, 11][: len(sizes)], sizes)
    x = rng.normal(size=(len(labels), *shape)) * rng.uniform(0.5, 2, shape) + labels[:, None, None]
    order = rng.permutation(len(labels))
    return x[order], labels[order]


@pytest.mark.parametrize("ddof", [0, 1])
def test_influence_against_leaving_out(ddof):
    """Covariances with and without each sample, in NumPy, to 1e-8."""
    x, y = data()
    scores = snl.influence_scores(x, y, ddof=ddof, dtype=np.float64)
    flat = x.reshape(len(x), -1)

    def squared(rows):
        return (np.cov(rows.T, ddof=ddof) ** 2).sum()

    for i in range(len(x)):
        own = y == y[i]
        without = own.copy()
        without[i] = False
        assert scores[i] == pytest.approx(squared(flat[own]) - squared(flat[without]), abs=1e-8)


def test_influence_ignores_means_order_and_chunks(monkeypatch):
    x, y = data()
    scores = snl.influence_scores(x, y, dtype=np.float64)
    moved = snl.influence_scores(x + 100 * y[:, None, None], y, dtype=np.float64)
    np.testing.assert_allclose(moved, scores, rtol=1e-7, atol=1e-9)
    turned = snl.influence_scores(x[::-1], y[::-1], dtype=np.float64)[::-1]
    np.testing.assert_allclose(turned, scores, rtol=1e-12)
    np.testing.assert_allclose(snl.influence_scores(3 * x, y, dtype=np.float64), 81 * scores, rtol=1e-9)
    monkeypatch.setattr(memorization, "CHUNK", 4)
    np.testing.assert_allclose(snl.influence_scores(x, y, dtype=np.float64), scores, rtol=1e-12)


def test_influence_in_single_precision():
    """Differences of a share 1/n of the norm keep their digits."""
    x, y = data((2000, 3000))
    single, double = (snl.influence_scores(x, y, dtype=t) for t in (np.float32, np.float64))
    assert single.dtype == np.float64
    assert np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_an_outlier_has_the_highest_score():
    x, y = data()
    x[3] += 20
    assert snl.influence_scores(x, y).argmax() == 3


def test_overlaps_and_noise_correlation_against_covariances():
    x, y = data()
    flat = x.reshape(len(x), -1)
    covariances = [np.cov(flat[y == k].T, ddof=0) for k in (2, 5, 7)]
    expected = np.array([[(a * b).sum() for b in covariances] for a in covariances])  # tr(ΣΣ'), both symmetric
    overlaps = memorization.class_overlaps(x, y, dtype=np.float64)
    np.testing.assert_allclose(overlaps, expected, rtol=1e-10)
    gamma = snl.noise_correlation(x, y, dtype=np.float64)
    sizes = np.array([9, 14, 30])
    np.testing.assert_allclose(gamma, sizes[:, None] * np.diag(expected)[:, None] / (sizes * expected), rtol=1e-10)
    np.testing.assert_allclose(np.diag(gamma), 1)


def test_empirical_noise_correlation_of_drawn_noise():
    """Noise with a tuned direction for each class: Γ within its sampling error, for a known bias."""
    d, classes, n = 60, 3, 4000
    lam = float(theory.eigenvalue_for_noise_correlation(5.0, d, classes))
    rng, scales = np.random.default_rng(0), np.full((classes, d), 0.5)
    scales[:, :classes] = 0
    scales[np.arange(classes), classes + np.arange(classes)] = lam
    x = np.concatenate([scales[k] * rng.normal(size=(n, d)) for k in range(classes)])
    gamma = snl.noise_correlation(x, np.repeat(range(classes), n))
    power, trace = (scales**4).sum(1)[0], (scales**2).sum(1)[0]
    bias = 1 + trace**2 / n / power  # of the squared norm of an estimate
    off = gamma[~np.eye(classes, dtype=bool)]
    np.testing.assert_allclose(off / bias, 5.0, rtol=0.12)


def test_eigenvalue_and_noise_correlation_are_inverse():
    gamma = np.r_[1.0, 1 + 1e-12, np.geomspace(1.001, 1e4, 400)]
    for d, classes in ((1000, 5), (50, 2), (12, 10)):
        lam = theory.eigenvalue_for_noise_correlation(gamma, d, classes)
        np.testing.assert_allclose(theory.noise_correlation_for_eigenvalue(lam, d, classes), gamma, rtol=1e-9)
        assert (np.diff(lam) >= 0).all()


def test_the_eigenvalue_table():
    """λ for Γ of the paper's figures, d = 1000 and K = 5."""
    lam = theory.eigenvalue_for_noise_correlation([1, 1.2, 10, 100, 400, 800, 1400], 1000, 5)
    np.testing.assert_allclose(lam, [0.5, 1.956, 5.12, 10.36, 16.92, 22.35, 28.42], atol=6e-3)
    explicit = np.full((2, 1000), 0.25)
    explicit[:, :5], explicit[0, 5], explicit[1, 6] = 0, lam[2] ** 2, lam[2] ** 2
    assert (explicit[0] ** 2).sum() / (explicit[0] * explicit[1]).sum() == pytest.approx(10)


def test_long_tail_level():
    """In standard deviations: a fresh noise vector that keeps all filters active has variance 1 there."""
    rng = np.random.default_rng(0)
    filters, scales = jnp.array(rng.normal(size=(4, 30))), jnp.array(rng.uniform(0.2, 2, 30))
    noise = scales * jnp.array(rng.normal(size=30))
    active = np.asarray(filters @ noise) > 0
    total = np.asarray(filters)[active].sum(0)
    expected = total @ np.asarray(noise) / np.linalg.norm(np.asarray(scales) * total)
    assert float(memorization.long_tail_level(filters, noise, scales)) == pytest.approx(expected, rel=1e-5)
    doubled = memorization.long_tail_level(3 * filters, 2 * noise, scales)
    assert float(doubled) == pytest.approx(2 * expected, rel=1e-5)
    assert float(memorization.long_tail_level(filters, 0 * noise, scales)) == 0


def test_equivalent_noise():
    """⟨w_R, ξ⟩ of Definition 1, of variance 1 over the samples whatever the scales of filters and noise."""
    rng = np.random.default_rng(0)
    filters, noise = jnp.array(rng.normal(size=(4, 30))), jnp.array(rng.normal(size=(50, 30)))
    found = np.asarray(memorization.equivalent_noise(filters, noise))
    totals = [np.asarray(filters)[np.asarray(filters @ row) > 0].sum(0) @ np.asarray(row) for row in noise]
    np.testing.assert_allclose(found, totals / np.std(totals), rtol=1e-5)
    np.testing.assert_allclose(memorization.equivalent_noise(3 * filters, 2 * noise), found, rtol=1e-5)
    assert not memorization.equivalent_noise(filters, 0 * noise).any()


def test_what_the_letter_of_a_level_measures():
    """√(m/π) where m filters respond each by chance, the noise in its own deviations where they respond together."""
    rng, m, d = np.random.default_rng(0), 100, 2000
    noise = jnp.array(rng.normal(size=(40, d)))
    by_chance = jnp.array(rng.normal(size=(m, d)) / np.sqrt(d))
    together = jnp.zeros((m, d)).at[:, 0].set(jnp.repeat(jnp.array([1.0, -1.0]), m // 2))

    def letter(filters):
        return np.array([memorization.long_tail_level(filters, row, jnp.ones(d)) for row in noise])

    assert letter(by_chance).mean() == pytest.approx(np.sqrt(m / np.pi), rel=0.05)
    assert letter(by_chance).std() < 0.7
    np.testing.assert_allclose(letter(together), np.abs(noise[:, 0]), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda x, y: (x, y[:-1]), ["labels", "(52,)", "(53, 3, 4)"]),
        (lambda x, y: (x[:, 0, 0], y), ["labels", "(n, ...)"]),
        (lambda x, y: (np.where(x == x.max(), np.nan, x), y), ["features", "finite"]),
        (lambda x, y: (x, np.r_[99, y[1:]]), ["labels", "class 99 has 1 samples", "2 or more"]),
    ],
)
def test_bad_input(one_line, change, texts):
    one_line(lambda: snl.influence_scores(*change(*data())), *texts)


def test_gamma_below_one(one_line):
    one_line(lambda: theory.eigenvalue_for_noise_correlation([2.0, 0.5], 1000, 5), "gamma", "0.5", "[1, inf)")
