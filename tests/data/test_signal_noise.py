"""Signal-noise data of Definition 3.1 of paper 000."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.data.signal_noise import Samples, draw, patches, sample_keys

N, D, CLASSES = 2000, 20, 4


@pytest.fixture(scope="module")
def samples() -> Samples:
    return jax.jit(draw, static_argnums=(1, 2))(sample_keys(jax.random.key(3), N), D, CLASSES)


def test_shapes_and_types(samples):
    chex.assert_shape(samples.noise, (N, D))
    chex.assert_shape(samples.labels, (N,))
    chex.assert_type([samples.noise, samples.labels], [jnp.float32, jnp.int32])


def test_noise_is_zero_on_the_signal_coordinates_only(samples):
    np.testing.assert_array_equal(samples.noise[:, :CLASSES], 0.0)
    assert np.all(np.asarray(samples.noise[:, CLASSES:]) != 0)


def test_noise_is_standard_normal_and_uncorrelated_within_sampling_error(samples):
    """All bounds are five standard errors of n independent standard normals."""
    tail = np.asarray(samples.noise[:, CLASSES:], np.float64)
    count = tail.size
    assert abs(tail.mean()) < 5 / np.sqrt(count)
    assert abs(tail.var() - 1) < 5 * np.sqrt(2 / count)
    assert abs((tail**4).mean() - 3) < 5 * np.sqrt(96 / count)
    covariance = tail.T @ tail / N
    assert np.abs(covariance - np.diag(np.diagonal(covariance))).max() < 5 / np.sqrt(N)
    between_samples = tail[::2] * tail[1::2]
    assert abs(between_samples.mean()) < 5 / np.sqrt(between_samples.size)


def test_labels_are_uniform_and_independent_of_the_noise(samples):
    labels = np.asarray(samples.labels)
    counts = np.bincount(labels, minlength=CLASSES)
    assert counts.size == CLASSES  # none outside the classes
    p = 1 / CLASSES
    assert np.abs(counts - N * p).max() < 5 * np.sqrt(N * p * (1 - p))
    for k in range(CLASSES):
        means = np.asarray(samples.noise)[labels == k, CLASSES:].mean(0)
        assert np.abs(means).max() < 5 / np.sqrt(counts[k])


def test_samples_stay_the_same_when_n_grows(samples):
    fewer = jax.jit(draw, static_argnums=(1, 2))(sample_keys(jax.random.key(3), 7), D, CLASSES)
    np.testing.assert_array_equal(fewer.noise, samples.noise[:7])
    np.testing.assert_array_equal(fewer.labels, samples.labels[:7])


def test_keys_give_different_samples(samples):
    assert len(np.unique(np.asarray(samples.noise[:, CLASSES:]))) > 0.99 * N * (D - CLASSES)
    other = jax.jit(draw, static_argnums=(1, 2))(sample_keys(jax.random.key(4), 7), D, CLASSES)
    assert not np.any(np.asarray(other.noise[:, CLASSES:]) == np.asarray(samples.noise[:7, CLASSES:]))


def test_patches_are_signal_then_noise(samples):
    few = jax.tree.map(lambda a: a[:9], samples)
    x = patches(few, mu=1.5, sigma_p=0.25, num_classes=CLASSES)
    chex.assert_shape(x, (9, 2, D))
    expected = np.zeros((9, D))
    expected[np.arange(9), np.asarray(few.labels)] = 1.5
    np.testing.assert_array_equal(x[:, 0], expected)
    np.testing.assert_array_equal(x[:, 1], 0.25 * np.asarray(few.noise))
    np.testing.assert_array_equal(np.einsum("ik,jk->ij", x[:, 0], x[:, 1]), 0.0)  # orthogonal, all pairs
