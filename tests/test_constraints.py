"""Weights that are held at zero: how many, which, and what becomes of the others."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax import constraints

RNG = np.random.default_rng(0)
PARAMS = {
    "conv": {"kernel": jnp.asarray(RNG.normal(size=(5, 5, 3, 4)), jnp.float32), "bias": jnp.ones(4)},
    "dense": {"kernel": jnp.asarray(RNG.normal(size=(30, 7)), jnp.float32), "bias": jnp.ones(7)},
    "embedding": jnp.ones((6, 2)),
}
SIZES = {"conv": 300, "dense": 210}
KEY = jax.random.key(1)


def kept_of(masks):
    return {n: int(masks[n]["kernel"].sum()) for n in SIZES}


def count(share, size):
    """The README of masks: half a weight is rounded down, and one stays."""
    return max(1, int(np.ceil(np.float32(share) * np.float32(size) - np.float32(0.5))))


def rules(share, scope="layer"):
    return {
        "topk": constraints.topk(share, scope=scope),
        "random": constraints.at_init(share, scope=scope),
        "magnitude": constraints.at_init(share, by="magnitude", scope=scope),
    }


@pytest.mark.parametrize("name", ["topk", "random", "magnitude"])
@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.77, 1.0])
def test_each_layer_keeps_exactly_its_share(name, share):
    rule = rules(share)[name]
    held = rule.init(KEY, PARAMS)
    masks = rule.masks(PARAMS, held)
    chex.assert_trees_all_equal_shapes(masks, PARAMS)
    assert kept_of(masks) == {n: count(share, size) for n, size in SIZES.items()}
    for leaf in (masks["conv"]["bias"], masks["dense"]["bias"], masks["embedding"]):
        assert bool(leaf.all())
    pruned, _, restart = rule.apply(PARAMS, held, jnp.int32(0))
    assert restart is False
    for n in SIZES:
        kernel, mask = pruned[n]["kernel"], masks[n]["kernel"]
        np.testing.assert_array_equal(kernel[mask], PARAMS[n]["kernel"][mask])
        assert not kernel[~mask].any()


@pytest.mark.parametrize("name", ["topk", "magnitude"])
def test_the_largest_are_kept_in_each_scope(name):
    """Against sorted magnitudes, in NumPy."""
    share = 0.3
    conv, dense = (np.abs(np.asarray(PARAMS[n]["kernel"])) for n in SIZES)
    both = np.sort(np.concatenate([conv.ravel(), dense.ravel()]))[::-1]
    for scope in ("layer", "network", "filter"):
        rule = rules(share, scope)[name]
        masks = rule.masks(PARAMS, rule.init(KEY, PARAMS))
        for n, w in (("conv", conv), ("dense", dense)):
            mask = np.asarray(masks[n]["kernel"])
            if scope == "network":
                assert (mask == (w >= both[count(share, 510) - 1])).all()
            elif scope == "layer":
                assert (mask == (w >= np.sort(w.ravel())[::-1][count(share, w.size) - 1])).all()
            else:
                rows = w.reshape(-1, w.shape[-1])
                least = np.sort(rows, axis=0)[::-1][count(share, len(rows)) - 1]
                assert (mask.reshape(rows.shape) == (rows >= least)).all()


def test_random_masks_are_nested_and_of_their_key():
    few, more, other = (
        constraints.at_init(share).init(key, PARAMS)
        for share, key in ((0.2, KEY), (0.6, KEY), (0.6, jax.random.key(2)))
    )
    for n in SIZES:
        assert not (few[n]["kernel"] & ~more[n]["kernel"]).any()
        assert (more[n]["kernel"] != other[n]["kernel"]).any()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8, 1.0])
def test_erdos_renyi_keeps_the_share_of_the_network_with_denser_small_layers(share):
    densities = constraints.erdos_renyi(PARAMS, share)
    p = {n: float(densities[n]["kernel"]) for n in SIZES}
    assert float(densities["embedding"]) == 1
    assert sum(p[n] * SIZES[n] for n in SIZES) == pytest.approx(share * 510, rel=1e-5)
    rate = {"conv": (5 + 5 + 3 + 4) / 300, "dense": (30 + 7) / 210}
    if max(p.values()) < 1:
        assert p["conv"] / p["dense"] == pytest.approx(rate["conv"] / rate["dense"], rel=1e-5)
    masks = constraints.at_init(share, by="erdos_renyi").init(KEY, PARAMS)
    assert kept_of(masks) == {n: count(densities[n]["kernel"], SIZES[n]) for n in SIZES}


def test_topk_prunes_every_so_often_and_lets_weights_grow_between():
    apply = jax.jit(constraints.topk(0.5, every=3).apply)
    params = PARAMS
    for t in range(7):
        params, _, _ = apply(params, (), jnp.int32(t))
        zeros = int((params["dense"]["kernel"] == 0).sum())
        assert zeros == (105 if t % 3 == 0 else 0)
        params = jax.tree.map(lambda w: w + 0.01, params)


def test_one_program_serves_every_share():
    apply = jax.jit(
        chex.assert_max_traces(n=1)(lambda share: constraints.topk(share).apply(PARAMS, (), jnp.int32(0))[0])
    )
    for share in (0.1, 0.5, 1.0):
        assert int((apply(jnp.float32(share))["conv"]["kernel"] != 0).sum()) == count(share, 300)


@pytest.mark.parametrize("rewind_to", [0, 2])
def test_imp_prunes_by_levels_and_goes_back(rewind_to):
    """Level ℓ keeps (1 − α)^ℓ of each layer, of what was largest when the last level ended, at early values."""
    every, share = 4, 0.3
    rule = constraints.imp(share, every=every, prune_fraction=0.2, rewind_to=rewind_to)
    params, held = PARAMS, rule.init(KEY, PARAMS)
    early, before, rng = PARAMS, None, np.random.default_rng(3)
    apply = jax.jit(rule.apply)
    for t in range(30):
        ended = params
        params, held, restart = apply(params, held, jnp.int32(t))
        level = t // every
        if t == rewind_to:
            early = ended
        assert bool(restart) == (t > 0 and t % every == 0)
        masks = rule.masks(params, held)
        wanted = max(np.float32(1 - np.float32(0.2)) ** level, share)
        assert kept_of(masks) == {n: count(wanted, size) for n, size in SIZES.items()}
        for n in SIZES:
            mask, kernel = np.asarray(masks[n]["kernel"]), np.asarray(params[n]["kernel"])
            assert not kernel[~mask].any()
            if restart:
                np.testing.assert_array_equal(kernel[mask], np.asarray(early[n]["kernel"])[mask])
                old, were = np.abs(np.asarray(ended[n]["kernel"])), np.asarray(before[n]["kernel"])
                assert not (mask & ~were).any()
                if (were & ~mask).any():
                    assert old[mask].min() >= old[were & ~mask].max()
        before = masks
        params = jax.tree.map(lambda w: w + rng.normal(0, 0.1, w.shape).astype(np.float32), params)
        params = constraints.held(params, masks)


def test_a_rule_of_ones_own_says_what_is_pruned():
    rule = constraints.topk(0.1, prunable=lambda path, leaf: path == "embedding")
    masks = rule.masks(PARAMS, ())
    assert int(masks["embedding"].sum()) == 1
    assert kept_of(masks) == SIZES


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constraints.topk(0.5, every=0), "every: 0 is out of range"),
        (lambda: constraints.topk(0.5, scope="row"), "scope: 'row'; allowed: 'filter', 'layer', 'network'"),
        (lambda: constraints.at_init(0.5, by="snip"), "by: 'snip'; allowed: 'random', 'magnitude', 'erdos_renyi'"),
        (lambda: constraints.at_init(0.5, by="erdos_renyi", scope="network"), "scope: 'network' with densities"),
        (lambda: constraints.imp(0.5, every=0), "every: 0 is out of range"),
        (lambda: constraints.imp(0.5, every=5, rewind_to=5), r"rewind_to: 5 is out of range; allowed: \[0, 5\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
