"""Factorisations in a block's program are of one matrix at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from harness import need_devices

import snljax as snl
from snljax import Experiment, field
from snljax.sweep import program
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems
from snljax.sweep.rewriting import rewritten
from snljax.sweep.sequential import one_by_one

BATCHED_BY_LIBRARIES = ("lu", "cholesky", "eigh", "svd", "qr", "geqrf")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    ridge: float = field(0.1, range="(0, inf)")
    steps: int = field(1, range="[0, inf)")


class Drawn(NamedTuple):
    matrix: jax.Array


class Found(NamedTuple):
    solved: jax.Array
    roots: jax.Array
    largest: jax.Array


def _regular(config, matrix):
    return matrix @ matrix.T + config.ridge * jnp.eye(5)


FACTORS = Experiment(
    "factors",
    Config,
    lambda config, key: Drawn(jax.random.normal(key, (5, 5))),
    lambda config, draw: draw.matrix,
    lambda config, draw, state, t: state / jnp.linalg.svd(state, compute_uv=False)[0],
    lambda config, draw, state: Found(
        jnp.linalg.solve(_regular(config, state), jnp.ones(5)),
        jnp.linalg.eigh(_regular(config, state))[0],
        jnp.max(jnp.linalg.cholesky(_regular(config, state))),
    ),
    dims={"solved": ("row",), "roots": ("rank",)},
)
GRID = snl.Grid(FACTORS, ridge=[0.1, 1.0, 10.0], seed=range(4))


def equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_no_block_factorises_a_batch():
    systems = Systems(GRID, tuple(need_devices(1)), "highest")
    stages = program.traced(systems.recipe(GRID.config, Block(2, 3))).stages
    found = [e for name in ("advance", "measure") for e in equations(stages[name].jaxpr.jaxpr)]
    factorised = [e for e in found if e.primitive.name in BATCHED_BY_LIBRARIES]
    assert len(factorised) >= 4
    assert {e.invars[0].aval.ndim for e in factorised} == {2}


def test_its_numbers_are_those_of_numpy():
    ds = snl.sweep(GRID, progress=False, block=(2, 3))
    for cell in range(3):
        for seed in range(4):
            matrix = np.asarray(jax.random.normal(jax.random.fold_in(jax.random.key(0), seed), (5, 5)), np.float64)
            matrix /= np.linalg.svd(matrix, compute_uv=False)[0]
            regular = matrix @ matrix.T + GRID.point_axes[0].coordinate[cell] * np.eye(5)
            one = ds.isel(ridge=cell, seed=seed)
            np.testing.assert_allclose(one.solved, np.linalg.solve(regular, np.ones(5)), rtol=1e-3)
            np.testing.assert_allclose(one.roots, np.linalg.eigvalsh(regular), rtol=1e-4)
            np.testing.assert_allclose(one.largest, np.linalg.cholesky(regular).max(), rtol=1e-4)


def test_a_function_without_any_stays_itself():
    jaxpr = jax.make_jaxpr(lambda x: jax.jit(jnp.sin)(x) @ x)(jnp.ones(3))
    assert one_by_one(jaxpr) is jaxpr


def test_what_is_rewritten_is_found_in_loops_and_calls_and_a_piece_that_occurs_twice_stays_one():
    """Sines become cosines; a jitted function that is called twice is one jaxpr before and after."""
    sine = jax.jit(jnp.sin)
    jaxpr = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 2, lambda _, y: sine(y), sine(x)) + sine(x))(0.7)
    (cosine,) = jax.make_jaxpr(jnp.cos)(0.7).jaxpr.eqns
    other = rewritten(jaxpr, lambda e: e.replace(primitive=cosine.primitive) if e.primitive.name == "sin" else e)
    calls = [e.params["jaxpr"] for e in other.jaxpr.eqns if "jaxpr" in e.params and e.primitive.name in ("jit", "pjit")]
    assert len(calls) >= 2
    assert calls[0] is calls[-1]
    np.testing.assert_allclose(
        jax.extend.core.jaxpr_as_fun(other)(0.7)[0], np.cos(np.cos(np.cos(0.7))) + np.cos(0.7), rtol=1e-6
    )
