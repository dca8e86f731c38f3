"""Factorisations in a block's program are of one matrix at a time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from harness import need_devices

import snljax as snl
from snljax import Experiment, field
from snljax.sweep import program
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems
from snljax.sweep.rewriting import rewritten
from snljax.sweep.sequential import one_by_one

BATCHED_BY_LIBRARIES = ("lu", "cholesky", "eigh", "svd", "qr", "geqrf", "triangular_solve")
linalg = jax.lax.linalg
CALLS_A_LIBRARY = {
    "cholesky": lambda a: linalg.cholesky(a @ a.T),
    "eig": lambda a: linalg.eig(a)[0],
    "eigh": lambda a: linalg.eigh(a + a.T)[0],
    "hessenberg": lambda a: linalg.hessenberg(a)[0],
    "lu": lambda a: linalg.lu(a)[0],
    "qr": lambda a: linalg.qr(a)[0],
    "qr with pivots": lambda a: linalg.qr(a, pivoting=True)[0],
    "schur": lambda a: linalg.schur(a)[0],
    "solve": lambda a: jnp.linalg.solve(a, a[0]),
    "lstsq": lambda a: jnp.linalg.lstsq(a, a[0])[0],
    "svd": lambda a: linalg.svd(a)[1],
    "triangular_solve": lambda a: linalg.triangular_solve(a, a, lower=True),
    "tridiagonal": lambda a: linalg.tridiagonal(a + a.T)[0],
    "tridiagonal_solve": lambda a: linalg.tridiagonal_solve(a[0].at[0].set(0), a[1], a[2].at[-1].set(0), a),
}


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


@pytest.mark.parametrize("function", CALLS_A_LIBRARY.values(), ids=CALLS_A_LIBRARY)
def test_no_call_of_a_library_is_of_a_batch(function):
    """A batch would be shared out over threads that wait for each other: see `sequential`."""
    jaxpr = one_by_one(jax.make_jaxpr(function)(jnp.eye(4)))
    flat = jax.extend.core.jaxpr_as_fun(jaxpr)
    text = jax.jit(jax.vmap(flat)).lower(jnp.ones((7, 4, 4))).as_text()
    calls = [line for line in text.splitlines() if "@lapack_" in line]
    assert calls
    assert not [line for line in calls if re.search(r"tensor<7x", line)]


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
