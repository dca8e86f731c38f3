"""Sparse coding data against its formulas; all bounds are in standard errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.data import sparse_coding
from snljax.models import attention_encoder

N = 40_000


@pytest.fixture(scope="module")
def pairs() -> sparse_coding.Pairs:
    return jax.jit(lambda key: sparse_coding.draw(key, N, 4, 3, 4))(jax.random.key(0))


FREQUENCY = 0.4 * np.array([1.0, 1.0, 0.25])


def within(share: np.ndarray, expected, n: int = N) -> None:
    """A share of n draws within five standard deviations."""
    expected = np.asarray(expected)
    assert (np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()


def test_frequencies_and_signs(pairs):
    f = 0.4 * sparse_coding.frequencies(0.25, 3, 1)
    np.testing.assert_allclose(f, FREQUENCY, rtol=1e-6)
    s = np.asarray(sparse_coding.latents(pairs, f))
    assert set(np.unique(s)) == {-1.0, 0.0, 1.0}
    within((s != 0).mean(0), FREQUENCY)
    within((s > 0).mean(0), FREQUENCY / 2)
    both = (s[:, :, None] * s[:, None, :]).mean(0)[np.triu_indices(3, 1)]  # features of a pair are independent
    assert (np.abs(both) < 5 / np.sqrt(N)).all()
    across = (s[1:, :, None] * s[:-1, None, :]).mean(0)  # and so are different pairs, each other's negatives
    assert (np.abs(across) < 5 / np.sqrt(N)).all()


def test_tokens_share_sign_and_support(pairs):
    s = np.asarray(sparse_coding.latents(pairs, jnp.asarray(FREQUENCY)))
    z = np.asarray(sparse_coding.token_latents(pairs, jnp.asarray(FREQUENCY), 0.5))
    assert ((z == 0) | (z == s[:, None, None, :])).all()  # sign consistency
    support = z.any(2)
    np.testing.assert_array_equal(support[:, 0], support[:, 1])
    np.testing.assert_array_equal(support[:, 0], s != 0)
    # A token shows its feature with ½; with (½)^4 none of four would, and one is forced.
    shown = (z != 0)[..., 0][s[:, 0] != 0]
    within(shown.mean((0, 1)), 0.5 + 0.5**4 / 4, 2 * len(shown))
    agree = (shown[:, 0] == shown[:, 1]).mean()
    assert 0.45 < agree < 0.55  # views choose their tokens independently


def test_noise_is_white_and_fresh(pairs):
    x = np.asarray(sparse_coding.tokens(pairs, jnp.zeros(3), 0.3))
    assert abs(x.var() / 0.09 - 1) < 5 * np.sqrt(2 / x.size)
    flat = x.reshape(N, -1)
    correlation = flat.T @ flat / N / 0.09 - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 6 * np.sqrt(2 / N)


@pytest.mark.usefixtures("x64")
def test_a_dictionary_is_only_a_basis():
    """Tokens, and neurons, turned by an orthogonal matrix whose first columns are M: equal embeddings."""
    pairs = jax.jit(lambda key: sparse_coding.draw(key, 5, 4, 3, 8))(jax.random.key(0))
    basis = jax.jit(lambda key: sparse_coding.dictionary(key, 8, 8))(jax.random.key(1))
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-12)
    f, neurons = jnp.full(3, 0.7), jax.random.normal(jax.random.key(2), (6, 8))

    @jax.jit
    def tokens_and_embedding(noise, neurons, dictionary):
        x = sparse_coding.tokens(pairs._replace(noise=noise), f, 0.5, dictionary=dictionary)
        return x, attention_encoder.embed(neurons, jnp.full(6, 0.2), x[0, 0], 0.3)

    plain, a = tokens_and_embedding(pairs.noise, neurons, None)
    turned, b = tokens_and_embedding(pairs.noise @ basis.T, neurons @ basis.T, basis[:, :3])
    np.testing.assert_allclose(turned, plain @ basis.T, atol=1e-12)
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_more_features_than_dimensions(one_line):
    one_line(lambda: sparse_coding.dictionary(jax.random.key(0), 3, 4), "d is 4", "d1 = 3")
