"""Factorisations of matrices in a batched program: one matrix after the other.

On CPU, JAX shares a batch of them out over the threads on which all devices run, and waits there: two devices that do
so at once wait for each other for ever (jaxlib 0.10 to 0.12, measured with a batched LU decomposition).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.extend.core

_NAMES = """
    cholesky eig eigh geqrf geqp3 hessenberg householder_product lu qr schur svd symmetric_product tridiagonal
"""
_FACTORISATIONS = frozenset(_NAMES.split())


def one_by_one(jaxpr: Any) -> Any:
    """A closed jaxpr of one network whose factorisations stay single when it is batched; itself if it has none."""
    return _closed(jaxpr)


def _closed(jaxpr: Any) -> Any:
    inner = _open(jaxpr.jaxpr)
    return jaxpr if inner is jaxpr.jaxpr else jax.extend.core.ClosedJaxpr(inner, jaxpr.consts)


def _open(jaxpr: Any) -> Any:
    equations = [_equation(e) for e in jaxpr.eqns]
    same = all(new is old for new, old in zip(equations, jaxpr.eqns, strict=True))
    return jaxpr if same else jaxpr.replace(eqns=equations)


def _equation(equation: Any) -> Any:
    if equation.primitive.name in _FACTORISATIONS:
        return _single(equation)
    parameters = {n: _parameter(p) for n, p in equation.params.items()}
    changed = any(parameters[n] is not p for n, p in equation.params.items())
    return equation.replace(params=parameters) if changed else equation


def _parameter(value: Any) -> Any:
    if isinstance(value, jax.extend.core.ClosedJaxpr):
        return _closed(value)
    if isinstance(value, jax.extend.core.Jaxpr):
        return _open(value)
    if isinstance(value, (tuple, list)):
        new = [_parameter(v) for v in value]
        if any(a is not b for a, b in zip(new, value, strict=True)):
            return type(value)(*new) if hasattr(value, "_fields") else type(value)(new)
    return value


def _single(equation: Any) -> Any:
    """The same operation with a rule for batching of its own: a loop over the batch."""

    @jax.custom_batching.sequential_vmap
    def one(*arguments: Any) -> Any:
        return equation.primitive.bind(*arguments, **equation.params)

    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
    [call] = jax.make_jaxpr(one)(*shapes).jaxpr.eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars)
