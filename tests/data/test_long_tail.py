"""Long-tailed subsets: the profile by its formula, exact sizes, nested in ρ, order and samples by the seed."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.data import long_tail

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 200))  # sorted by nothing


def profile(n_max, classes, rho):
    """As LDAM's code has it, with its imbalance factor 1 / ρ, before int()."""
    return np.array([n_max * (1 / rho) ** (j / max(classes - 1, 1)) for j in range(classes)])


@pytest.mark.parametrize(("n_max", "classes"), [(5000, 10), (500, 100), (1280, 1000), (37, 5), (9, 1)])
def test_profile_is_that_of_the_published_code(n_max, classes):
    """But for values less than a millionth below a whole number, where int() of a float64 may fall to either side."""
    for rho in (1, 1.5, 2, 5, 10, 20, 37.3, 50, 100, 256, 500):
        if rho > n_max:
            continue
        found, exact = np.asarray(long_tail.counts(n_max, classes, float(rho))), profile(n_max, classes, rho)
        near = np.floor(exact * (1 - 1e-12)) != np.floor(exact * (1 + 2e-6))
        np.testing.assert_array_equal(found[~near], exact.astype(int)[~near])
        assert (found >= np.floor(exact * (1 + 5e-7))).all()
        assert (found <= np.floor(exact * (1 + 2e-6))).all()
        assert found.dtype == np.int32
        np.testing.assert_array_equal(jax.jit(long_tail.counts, static_argnums=1)(n_max, classes, rho), found)


def test_known_profiles():
    """Those of CIFAR10-LT and CIFAR100-LT with ρ = 100, 12,406 and 10,847 images; powers that are exact."""
    cifar10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tail.counts(5000, 10, 100.0).tolist() == cifar10
    assert int(long_tail.counts(5000, 10, 100.0).sum()) == 12406
    assert int(long_tail.counts(500, 100, 100.0).sum()) == 10847
    assert long_tail.counts(5000, 4, 1000.0).tolist() == [5000, 500, 50, 5]
    assert long_tail.counts(64, 7, 64.0).tolist() == [64, 32, 16, 8, 4, 2, 1]


def test_profile_is_traced_in_rho():
    rho = jnp.array([1.0, 10.0, 50.0, 100.0])
    found = jax.jit(jax.vmap(lambda r: long_tail.counts(5000, 10, r)))(rho)
    np.testing.assert_array_equal(found, [long_tail.counts(5000, 10, float(r)) for r in rho])


@pytest.mark.parametrize("rho", [1.0, 3.0, 20.0, 150.0])
def test_sizes_of_classes_are_exact(rho):
    """Also where classes are of unequal size: then the smallest is the head's."""
    labels = np.concatenate([LABELS[:1700], np.full(300, 4)])
    smallest = np.bincount(labels).min()
    order, ranks = long_tail.draw(jax.random.key(3), len(labels), 10)
    kept = np.asarray(long_tail.kept(labels, ranks, order, rho))
    np.testing.assert_array_equal(
        np.bincount(labels[kept], minlength=10), np.asarray(long_tail.counts(smallest, 10, rho))[np.asarray(order)]
    )
    smaller = np.asarray(long_tail.kept(labels, ranks, order, min(rho, 50.0), n_max=50))
    assert np.bincount(labels[smaller]).max() == 50


def test_the_whole_of_a_balanced_set_at_rho_one():
    order, ranks = long_tail.draw(jax.random.key(0), len(LABELS), 10)
    assert long_tail.kept(LABELS, ranks, order, 1.0).all()


def test_samples_of_the_lowest_ranks_stay():
    order, ranks = long_tail.draw(jax.random.key(1), len(LABELS), 10)
    kept, ranks = np.asarray(long_tail.kept(LABELS, ranks, order, 30.0)), np.asarray(ranks)
    for k in range(9):
        own = np.equal(LABELS, k)
        assert own.sum() == kept[own].sum() or ranks[own & kept].max() < ranks[own & ~kept].min()


def test_equal_ranks_in_order_of_the_samples():
    kept = np.asarray(long_tail.kept(LABELS, jnp.zeros(len(LABELS)), jnp.arange(10), 100.0))
    for k, size in enumerate(long_tail.counts(200, 10, 100.0).tolist()):
        assert kept[np.equal(LABELS, k)].tolist() == [True] * size + [False] * (200 - size)


def test_nested_in_rho_and_traced():
    """One program for all ρ; a subset holds those of every larger ρ, for traced labels too."""
    order, ranks = long_tail.draw(jax.random.key(2), len(LABELS), 10)
    rho = jnp.geomspace(1.0, 200.0, 12)
    kept = np.asarray(jax.jit(jax.vmap(lambda r: long_tail.kept(LABELS, ranks, order, r)))(rho))
    assert (kept[1:] <= kept[:-1]).all()
    assert (np.diff(kept.sum(1)) < 0).all()
    np.testing.assert_array_equal(kept[5], long_tail.kept(LABELS, ranks, order, float(rho[5])))
    traced = jax.jit(lambda y, r: long_tail.kept(y, ranks, order, r, n_max=200))
    np.testing.assert_array_equal(kept[5], traced(jnp.asarray(LABELS), rho[5]))


def test_order_of_classes_by_the_seed():
    orders = np.asarray(jax.jit(jax.vmap(lambda s: long_tail.draw(jax.random.key(s), 1, 10).order))(jnp.arange(300)))
    assert (np.sort(orders, axis=1) == np.arange(10)).all()
    np.testing.assert_allclose(orders.mean(0), 4.5, atol=5 * math.sqrt(99 / 12 / 300))
    assert len(np.unique(orders, axis=0)) > 295


def test_ranks_stay_when_the_set_grows():
    small, large = (long_tail.draw(jax.random.key(4), n, 10) for n in (5, 2000))
    np.testing.assert_array_equal(small.ranks, large.ranks[:5])
    np.testing.assert_array_equal(small.order, large.order)
    assert abs(large.ranks.mean() - 0.5) < 5 / math.sqrt(12 * 2000)


def test_subset_is_where_kept_is_true():
    found = long_tail.subset(LABELS, 40.0, seed=7)
    order, ranks = long_tail.draw(jax.random.key(7), len(LABELS), 10)
    np.testing.assert_array_equal(found, np.flatnonzero(long_tail.kept(LABELS, ranks, order, 40.0)))
    assert isinstance(found, np.ndarray)
    assert not np.array_equal(found, long_tail.subset(LABELS, 40.0, seed=8))
    assert np.bincount(LABELS[long_tail.subset(LABELS, 10.0, n_max=100)]).max() == 100


def test_place_of_each_sample_in_its_class():
    ranks = np.random.default_rng(1).random(len(LABELS)).astype(np.float32)
    found = jax.jit(long_tail.places)(LABELS, ranks)
    np.testing.assert_array_equal(
        found, [(ranks[np.equal(LABELS, y)] < u).sum() for y, u in zip(LABELS, ranks, strict=True)]
    )


def test_what_is_refused(one_line):
    order, ranks = long_tail.draw(jax.random.key(0), 6, 2)
    labels = np.array([0, 0, 1, 1, 1, 1])
    for rho in (0.99, 0.0, -3.0, math.nan, 201.0):
        one_line(lambda rho=rho: long_tail.counts(200, 10, rho), f"rho: {rho}", "1 to 200")
    one_line(lambda: long_tail.kept(labels, ranks, order, 2.1), "rho: 2.1", "1 to 2")
    one_line(lambda: long_tail.counts(0, 10, 1.0), "n_max: 0")
    one_line(lambda: long_tail.counts(5, 2.0, 1.0), "classes: 2.0")
    one_line(lambda: long_tail.kept(labels, ranks, order, 1.0, n_max=3), "n_max: 3, but a class has 2 samples")
    one_line(lambda: long_tail.kept(labels + 1, ranks, order, 1.0), "labels: 2 with 2 classes", "0 to 1")
    one_line(lambda: long_tail.kept(labels * 0, ranks, order, 1.0), "class 1 has no samples")
    one_line(lambda: long_tail.kept(labels, ranks, jnp.array([0, 0]), 1.0), "order: [0, 0]")
    one_line(lambda: long_tail.subset(labels / 2, 1.0), "labels: float64")
    one_line(lambda: long_tail.subset(labels - 1, 1.0), "from -1")
    one_line(lambda: long_tail.subset(labels[:0], 1.0), "shape (0,)")
    one_line(lambda: jax.jit(lambda y: long_tail.kept(y, ranks, order, 1.0))(labels), "n_max: None with traced labels")


def test_sizes_with_a_head_that_is_traced_and_a_ratio_that_is_known():
    found = jax.jit(lambda n: long_tail.counts(n, 5, 100.0))(500)
    assert found.tolist() == [500, 158, 50, 15, 5]
