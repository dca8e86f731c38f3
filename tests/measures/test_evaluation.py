"""Means over chunks."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.measures.evaluation import chunked_mean, loss_and_accuracy


@pytest.mark.parametrize(("n", "chunk"), [(1, 4), (5, 1), (6, 3), (7, 3), (10, 4), (10, 10), (10, 1000)])
def test_is_the_mean_over_all_samples(n, chunk):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=n)

    def per_sample(samples):
        x, y = samples
        chex.assert_shape(x, (min(chunk, n), 2))  # never more than a chunk at a time
        return {"product": x[:, 0] * y, "square": jnp.sum(x**2, axis=1)}

    samples = (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    means = jax.jit(lambda s: chunked_mean(per_sample, s, chunk))(samples)
    np.testing.assert_allclose(means["product"], np.mean(x[:, 0] * y), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(means["square"], np.mean(np.sum(x**2, axis=1)), rtol=1e-5)
    chex.assert_shape(list(means.values()), ())


def test_the_padding_weighs_nothing_even_where_it_is_not_finite():
    """A chunk of 3 over 4 samples repeats samples 0 and 1; were they counted, or weighted by 0, it would show."""
    x = jnp.array([1e30, 2.0, 3.0, 4.0])
    assert float(chunked_mean(lambda x: jnp.where(x > 1e20, 8.0, x), x, chunk=3)) == 17 / 4
    # The last chunk alone: sample 3, then copies of samples 0 and 1, whose value is infinite there.
    first_of_chunk = chunked_mean(lambda x: jnp.where(x[0] == 4.0, jnp.where(x > 1e20, jnp.inf, x), 0.0), x, chunk=3)
    assert float(first_of_chunk) == 1.0


def test_under_vmap():
    x = jnp.arange(21.0).reshape(3, 7)
    means = jax.vmap(lambda x: chunked_mean(lambda v: v, x, chunk=2))(x)
    np.testing.assert_allclose(means, np.arange(21.0).reshape(3, 7).mean(1))


def test_loss_and_accuracy_of_more_samples_than_a_chunk():
    """Against the softmax written out, over 1100 samples of three classes."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(1100, 3)), rng.integers(3, size=1100)
    samples = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    loss, accuracy = jax.jit(
        lambda s: loss_and_accuracy(lambda part: (part[0].T, jax.nn.one_hot(part[1], 3, axis=0)), s)
    )(samples)
    own = logits[np.arange(1100), labels]
    assert float(loss) == pytest.approx((np.log(np.exp(logits).sum(1)) - own).mean(), rel=1e-5)
    assert float(accuracy) == pytest.approx((logits.argmax(1) == labels).mean(), rel=1e-6)
