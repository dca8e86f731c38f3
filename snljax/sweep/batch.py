"""From the functions of one network to those of a block: vmap over points inside, over seeds outside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from snljax.sweep.layout import Block
from snljax.sweep.recipe import Network

RECORDS_AT_ONCE = 64  # measurements that a device takes before the host comes for them


def block_functions(network: Network, traced: list[str], swept: frozenset[str], block: Block) -> dict[str, Callable]:
    """vmap over points inside, over seeds outside; only swept numbers are batched."""
    axes = {n: 0 if n in swept else None for n in traced}
    point = jnp.arange(block.points)  # something to map over where nothing is swept
    seed = jnp.arange(block.seeds)  # and where nothing is drawn

    def values_of(fixed: dict, blocks: dict) -> dict[str, Any]:
        return {n: (blocks["swept"] if n in swept else fixed["numbers"])[n] for n in traced}

    def over_all(one: Callable, values: Any, draw: Any, *state: Any) -> Any:
        """``one`` for each seed and point; something is always mapped over, whatever a system draws or keeps."""
        if jax.tree.leaves(state):
            over_points = jax.vmap(one, (axes, None, 0))
            return jax.vmap(over_points, (None, 0, 0))(values, draw, *state)
        over_points = jax.vmap(lambda values, draw, _: one(values, draw, *state), (axes, None, 0))
        if jax.tree.leaves(draw):
            return jax.vmap(over_points, (None, 0, None))(values, draw, point)
        return jax.vmap(lambda values, _, p: over_points(values, draw, p), (None, 0, None))(values, seed, point)

    def draw(fixed: dict, blocks: dict) -> Any:
        return jax.vmap(lambda seed: network.draw(seed, fixed["data"]))(blocks["seed"])

    def init(fixed: dict, blocks: dict) -> Any:
        return over_all(
            lambda values, draw: network.init(values, draw, fixed["data"]), values_of(fixed, blocks), blocks["draw"]
        )

    def stepping(fixed: dict, blocks: dict) -> Callable[[Any, Any], Any]:
        """The body of a loop over steps: (t, state) -> state."""
        values = values_of(fixed, blocks)

        def step(t: jax.Array, state: Any) -> Any:
            def one(values: Any, draw: Any, state: Any) -> Any:
                return network.step(values, draw, state, t, fixed["data"])

            return over_all(one, values, blocks["draw"], state)

        return step

    def measure(fixed: dict, blocks: dict) -> Any:
        def one(values: Any, draw: Any, state: Any) -> Any:
            return network.measure(values, draw, state, fixed["data"])

        return over_all(one, values_of(fixed, blocks), blocks["draw"], blocks["state"])

    return {
        "draw": draw,
        "init": init,
        "advance": lambda fixed, blocks: _advance(stepping(fixed, blocks), block, fixed, blocks),
        "measure": measure,
        "record": lambda fixed, blocks: _record(stepping(fixed, blocks), measure, block, fixed, blocks),
        "first_bad": lambda fixed, blocks: _first_bad(stepping(fixed, blocks), block, fixed, blocks),
    }


def _advance(step: Callable, block: Block, fixed: dict, blocks: dict) -> Any:
    state = lax.fori_loop(fixed["start"], fixed["stop"], step, blocks["state"])
    return state, _finite(state, block)


def _record(step: Callable, measure: Callable, block: Block, fixed: dict, blocks: dict) -> Any:
    """``count`` times ``every`` steps and a measurement, as if the host had called the two in turn."""
    measured = jax.eval_shape(measure, fixed, blocks)
    kept = jax.tree.map(lambda a: jnp.zeros((RECORDS_AT_ONCE, *a.shape), a.dtype), measured)

    def one(k: jax.Array, carry: Any) -> Any:
        state, good, kept = carry
        first = fixed["start"] + k * fixed["every"]
        state = lax.fori_loop(first, first + fixed["every"], step, state)
        now = measure(fixed, blocks | {"state": state})
        kept = jax.tree.map(lambda all_of, a: lax.dynamic_update_index_in_dim(all_of, a, k, 0), kept, now)
        return state, good & _finite(state, block), kept

    return lax.fori_loop(0, fixed["count"], one, (blocks["state"], jnp.ones(block, bool), kept))


def _first_bad(step: Callable, block: Block, fixed: dict, blocks: dict) -> Any:
    def one(t: jax.Array, carry: Any) -> Any:
        state, first = carry
        state = step(t, state)
        return state, jnp.where((first < 0) & ~_finite(state, block), t + 1, first)

    first = jnp.where(_finite(blocks["state"], block), -1, fixed["start"])
    return lax.fori_loop(fixed["start"], fixed["stop"], one, (blocks["state"], first))[1]


def _finite(state: Any, block: Block) -> jax.Array:
    """Which cells have a state without NaN or infinity, shape (seeds, points)."""
    leaves = [a for a in jax.tree.leaves(state) if jnp.issubdtype(a.dtype, jnp.inexact)]
    good = [jnp.all(jnp.isfinite(a.reshape(*block, -1)), axis=-1) for a in leaves]
    return functools.reduce(jnp.logical_and, good, jnp.ones(block, bool))


def per_device(function: Callable) -> Callable:
    """Each device sees a leading axis of length 1; the functions of a block do not."""

    def body(fixed: Any, blocks: Any) -> Any:
        return jax.tree.map(lambda a: a[None], function(fixed, jax.tree.map(lambda a: a[0], blocks)))

    return body
