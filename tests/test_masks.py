"""masks.topk: the k largest magnitudes of each row, ties to the lowest index, the same mask by both methods."""

from __future__ import annotations

import functools

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from snljax.masks import magnitude, random, topk

METHODS = ("top_k", "bisect", "auto")
INF, NAN = np.inf, np.nan


def oracle(w, k):
    """Stable descending sort of the magnitudes, NaN first; its first k places."""
    w = np.asarray(w).astype(np.float64)
    size = np.where(np.isnan(w), 0.0, np.abs(w))
    order = np.lexsort((-size, ~np.isnan(w)), axis=-1)  # lexsort is stable, its last key is the first
    mask = np.zeros(w.shape, bool)
    np.put_along_axis(mask, order[..., :k], True, axis=-1)
    return mask


@functools.cache
def traced(method):
    return jax.jit(functools.partial(topk, method=method))


def rows(dtype, shape=(5, 24), seed=0):
    """Rows with ties, signed zeros, infinities and NaN among the numbers."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=shape)
    w[:, ::3] = rng.choice([0.0, -0.0, 0.5, -0.5, 1.0, INF, -INF, NAN], size=w[:, ::3].shape)
    return jnp.asarray(w, dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.float64])
def test_agrees_with_a_stable_sort_for_every_k_and_dtype(method, dtype):
    with jax.enable_x64(dtype == jnp.float64):
        w = rows(dtype)
        chex.assert_type(w, dtype)
        masks = jax.jit(jax.vmap(functools.partial(topk, method=method), (None, 0)))(w, jnp.arange(1, 25))
        chex.assert_shape(masks, (24, 5, 24))
        chex.assert_type(masks, bool)
        for k, mask in enumerate(masks, 1):
            np.testing.assert_array_equal(mask, oracle(w, k), err_msg=f"k = {k}")
            np.testing.assert_array_equal(np.sum(mask, -1), k)


@pytest.mark.parametrize("k", [1, 7, 24])
def test_is_the_definition_of_lax_top_k(k):
    w = rows(jnp.float32, seed=1)
    _, order = jax.lax.top_k(jnp.abs(w), k)
    for method in METHODS:
        mask = topk(w, k, method)
        kept = [set(np.flatnonzero(row).tolist()) for row in mask]
        assert kept == [set(row) for row in order.tolist()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("w", "k", "kept"),
    [
        ([1.0, -1.0, 1.0, 1.0], 2, [0, 1]),
        ([0.5, 1.0, -1.0, 0.5], 3, [0, 1, 2]),
        ([-0.0, 0.0, -0.0, 0.0], 2, [0, 1]),
        ([0.0, 0.0, 1e-45, 0.0], 1, [2]),  # the smallest subnormal is larger than zero
        ([INF, NAN, 2.0, -NAN], 1, [1]),
        ([INF, NAN, 2.0, -NAN], 2, [1, 3]),
        ([INF, NAN, 2.0, -INF], 2, [0, 1]),
        ([NAN, NAN, NAN], 2, [0, 1]),
        ([3.0], 1, [0]),
        ([3e38, -3.4e38, INF], 2, [1, 2]),
    ],
)
def test_ties_zeros_infinities_and_nan(method, w, k, kept):
    w = jnp.array(w, jnp.float32)
    for mask in (topk(w, k, method), topk(w, jnp.int32(k), method)):
        assert np.flatnonzero(mask).tolist() == kept


@pytest.mark.parametrize("method", METHODS)
def test_static_and_traced_k_and_leading_axes_give_one_mask(method):
    w = rows(jnp.float32, (6, 24), seed=2)
    static = topk(w, 5, method)
    np.testing.assert_array_equal(static, traced(method)(w, 5))
    np.testing.assert_array_equal(static, jax.jit(lambda w: topk(w, 5, method))(w))
    np.testing.assert_array_equal(static.reshape(2, 3, 24), topk(w.reshape(2, 3, 24), 5, method))
    np.testing.assert_array_equal(static, jax.vmap(lambda row: topk(row, 5, method))(w))


@pytest.mark.parametrize("method", METHODS)
def test_vmap_over_rows_with_their_own_k(method):
    w = rows(jnp.float32, (6, 24), seed=3)
    ks = jnp.array([1, 24, 3, 12, 23, 2])
    mask = jax.vmap(functools.partial(topk, method=method))(w, ks)
    np.testing.assert_array_equal(mask, np.stack([oracle(w[i], k) for i, k in enumerate(ks.tolist())]))


@pytest.mark.parametrize("method", METHODS)
def test_gradients_flow_through_the_product_only(method):
    w = jnp.array([[0.5, -2.0, 1.0, 3.0], [1.0, 1.0, 1.0, 0.0]])

    def kept_squares(w, k):
        return jnp.sum((w * topk(w, k, method)) ** 2)

    expected = 2 * np.asarray(w) * oracle(w, 2)
    np.testing.assert_array_equal(jax.grad(kept_squares)(w, 2), expected)
    np.testing.assert_array_equal(jax.jit(jax.grad(kept_squares))(w, jnp.int32(2)), expected)


@hypothesis.given(
    pattern=st.lists(
        st.integers(0, 2**32 - 1) | st.sampled_from([0, 1 << 31, 0x3F800000, 0xBF800000, 0x7F800000, 0x7FC00000]),
        min_size=48,
        max_size=48,
    ),
    k=st.integers(1, 16),
)
@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
def test_any_floats_at_all(pattern, k):
    """Every bit pattern is a float: subnormals, infinities and all NaNs (which count as one value)."""
    w = np.array(pattern, np.uint32).view(np.float32).reshape(3, 16)
    with np.errstate(invalid="ignore"):
        expected = oracle(w, k)
    for method in ("top_k", "bisect"):
        np.testing.assert_array_equal(traced(method)(w, k), expected, err_msg=method)


@pytest.mark.parametrize("k", [0, -1, 5, np.int64(0), np.int32(5)])
def test_k_out_of_range(k, one_line):
    one_line(lambda: topk(jnp.ones((2, 4)), k), f"k is {k}", "1 to 4")


def test_unknown_method(one_line):
    one_line(lambda: topk(jnp.ones(4), 2, "sort"), "method", "'sort'", "'bisect'")


def test_integers_are_refused(one_line):
    one_line(lambda: topk(jnp.arange(4), 2), "int32", "floating-point")


# --- shares -----------------------------------------------------------------------------------------


def test_random_masks_are_nested_and_keep_their_share():
    u = jax.random.uniform(jax.random.key(0), (100, 200))
    before = jnp.zeros(u.shape, bool)
    for keep in (0.001, 0.3, 0.9, 1.0):
        mask = random(u, keep)
        chex.assert_type(mask, bool)
        assert bool((mask | ~before).all())
        assert abs(float(mask.mean()) - keep) < 5 * np.sqrt(keep * (1 - keep) / u.size) + 1e-9
        before = mask
    assert bool(before.all())
    assert not bool(random(u, 0.0).any())


def test_magnitude_keeps_the_largest_of_the_whole_array():
    w = jax.random.normal(jax.random.key(1), (3, 4, 10))
    chex.clear_trace_counter()
    traced_share = jax.jit(chex.assert_max_traces(magnitude, n=1))
    for keep, count in ((1e-6, 1), (0.25, 30), (0.5, 60), (1.0, 120)):
        mask = np.asarray(traced_share(w, keep))
        assert mask.sum() == count
        assert np.abs(w)[mask].min() >= np.abs(w)[~mask].max(initial=0)
