"""What a step costs: known counts for small functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from snljax.sweep import cost
from snljax.sweep.cost import POINT, STEP

BOTH = POINT | STEP


def of(function, *inputs):
    """inputs: (array, what it depends on)."""
    arrays, depends = zip(*inputs, strict=True)
    return cost.of_step(jax.make_jaxpr(function)(*arrays), depends)


def test_a_product_counts_its_flop_for_whoever_it_differs():
    """2 · 3 · 5 · 7 of them: of each point, of the seed, or of nobody where neither step nor point is in it."""
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    own, shared, once = (of(jnp.matmul, (a, d), (b, 0)) for d in (BOTH, STEP, 0))
    assert own.points == shared.seeds == pytest.approx(2 * 3 * 5 * 7 / 50e9)
    assert own.seeds == shared.points == once.points == once.seeds == 0
    assert (own.operations, once.operations) == (1, 0)


def test_what_depends_on_a_swept_number_alone_leaves_the_loop():
    """It costs memory for each point, and no time."""
    found = of(lambda s, x: s * x, (jnp.float32(1), POINT), (jnp.ones(100), 0))
    assert (found.points, found.seeds, found.operations) == (0, 0, 0)
    assert found.largest == 400


def test_a_loop_counts_its_rounds_and_a_call_its_inside():
    x = jnp.ones(10)

    def body(c, _):
        return jnp.exp(c), None

    once = of(jnp.exp, (x, BOTH))
    assert of(lambda x: lax.scan(body, x, length=7)[0], (x, BOTH)).points == pytest.approx(7 * once.points)
    assert of(jax.jit(jnp.exp), (x, BOTH)) == once


def test_a_branch_for_some_steps_counts_a_little_and_one_for_some_points_fully():
    x = jnp.ones(1000)

    def either(choice, x):
        return lax.cond(choice, jnp.sort, lambda x: x, x)

    whole = of(jnp.sort, (x, BOTH)).points
    assert of(either, (True, STEP), (x, BOTH)).points < 0.2 * whole
    assert of(either, (True, BOTH), (x, BOTH)).points >= whole


def test_sizes_of_arrays_and_of_sums():
    found = of(lambda x: jnp.sum(jnp.broadcast_to(x, (30, 10)) * 2.0, axis=0), (jnp.ones(10), BOTH))
    assert found.largest == 30 * 10 * 4
    assert found.reduced == 300


def test_random_batches_are_dear_and_shared():
    """A batch drawn from the key and the step alone is made once for all points of a seed."""

    def step(key, t, state):
        return state + jnp.sum(jax.random.normal(jax.random.fold_in(key, t), (1000,)))

    found = of(step, (jax.random.key(0), 0), (0, STEP), (jnp.float32(0), BOTH))
    assert found.seeds > 1000 * 5e-9
    assert found.points < 1e-9
