"""Head minus tail: the mean over the classes at each end by hand, unknown accuracies, what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.measures.long_tail import ends, head_tail_gap


@pytest.mark.parametrize(
    ("classes", "ends"), [(2, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3), (100, 20), (1000, 200)]
)
def test_gap_is_the_difference_of_means(classes, ends):
    """20 % of the classes, rounded down, one at least."""
    rng = np.random.default_rng(classes)
    accuracy, order = rng.random(classes).astype(np.float32), rng.permutation(classes)
    by_place = accuracy[np.argsort(order)]
    expected = by_place[:ends].mean() - by_place[-ends:].mean()
    np.testing.assert_allclose(head_tail_gap(jnp.array(accuracy), jnp.array(order)), expected, atol=1e-6)


@pytest.mark.parametrize(("share", "count"), [(0.29, 29), (0.07, 7), (0.5, 50), (0.001, 1)])
def test_other_shares(share, count):
    """So many classes at each end, where a class in the head is worth one and one in the tail minus one."""
    order = jnp.arange(100)
    worth = [float(head_tail_gap((order == c) * 1.0, order, share)) * count for c in range(100)]
    np.testing.assert_allclose(worth, [1.0] * count + [0.0] * (100 - 2 * count) + [-1.0] * count, atol=1e-6)


def test_ends_apart():
    accuracy, order = jnp.linspace(0.1, 1.0, 10), jnp.arange(10)[::-1]
    np.testing.assert_allclose(ends(accuracy, order), [0.95, 0.15], atol=1e-6)
    np.testing.assert_allclose(head_tail_gap(accuracy, order), 0.8, atol=1e-6)


def test_unknown_accuracies_count_only_at_the_ends():
    accuracy, order = jnp.linspace(1.0, 0.1, 10), jnp.arange(10)
    middle = accuracy.at[2:8].set(jnp.nan)
    np.testing.assert_allclose(head_tail_gap(middle, order), 0.8, atol=1e-6)
    for place in (0, 1, 8, 9):
        assert jnp.isnan(head_tail_gap(accuracy.at[place].set(jnp.nan), order))


def test_many_networks_at_once():
    accuracy, order = jax.random.uniform(jax.random.key(0), (4, 10)), jax.random.permutation(jax.random.key(1), 10)
    found = jax.jit(jax.vmap(head_tail_gap, (0, None)))(accuracy, order)
    np.testing.assert_allclose(found, [head_tail_gap(a, order) for a in accuracy], atol=1e-6)


def test_what_is_refused(one_line):
    five = jnp.arange(5)
    one_line(lambda: head_tail_gap(jnp.ones(4), five), "shapes (4,) and (5,)")
    one_line(lambda: head_tail_gap(jnp.ones((5, 1)), five), "class_accuracy")
    one_line(lambda: head_tail_gap(jnp.ones(1), jnp.zeros(1)), "C from 2")
    for share in (0.0, -0.2, 0.6, float("nan")):
        one_line(lambda share=share: head_tail_gap(jnp.ones(5), five, share), f"share: {share}")
