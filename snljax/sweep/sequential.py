"""Factorisations of matrices, and solutions by them, in a batched program: one matrix after the other.

On CPU, JAX shares a batch of them out over the threads on which all devices run, and waits there: two devices that do
so at once wait for each other for ever (seen with jaxlib 0.10 and batches of LU decompositions and triangular systems).
"""

from __future__ import annotations

from typing import Any

import jax

from snljax.sweep.rewriting import rewritten

_NAMES = """
    cholesky eig eigh geqrf geqp3 hessenberg householder_product lu ormqr qr schur svd symmetric_product
    triangular_solve tridiagonal tridiagonal_solve
"""
_FACTORISATIONS = frozenset(_NAMES.split())


def one_by_one(jaxpr: Any) -> Any:
    """A closed jaxpr of one network whose factorisations stay single when it is batched; itself if it has none."""
    return rewritten(jaxpr, lambda e: _single(e) if e.primitive.name in _FACTORISATIONS else e)


def _single(equation: Any) -> Any:
    """The same operation with a rule for batching of its own: a loop over the batch."""

    @jax.custom_batching.sequential_vmap
    def one(*arguments: Any) -> Any:
        return equation.primitive.bind(*arguments, **equation.params)

    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
    [call] = jax.make_jaxpr(one)(*shapes).jaxpr.eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars)
