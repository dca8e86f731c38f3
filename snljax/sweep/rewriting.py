"""A traced function with some of its operations or constants replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.extend.core


def rewritten(
    jaxpr: Any, equation: Callable[[Any], Any], constant: Callable[[Any], Any] = lambda constant: constant
) -> Any:
    """A closed jaxpr, also inside of its operations; itself where nothing is replaced.

    A piece that occurs twice stays one piece: lowering tells two apart.

    Args:
        jaxpr: closed.
        equation, constant: what stands in place of each; itself if it stays.
    """
    known: dict[int, Any] = {}

    def closed(jaxpr: Any) -> Any:
        if id(jaxpr) not in known:
            inner, constants = inside(jaxpr.jaxpr), [constant(c) for c in jaxpr.consts]
            same = inner is jaxpr.jaxpr and _same(constants, jaxpr.consts)
            known[id(jaxpr)] = jaxpr if same else jax.extend.core.ClosedJaxpr(inner, constants)
        return known[id(jaxpr)]

    def inside(jaxpr: Any) -> Any:
        if id(jaxpr) not in known:
            equations = [one(e) for e in jaxpr.eqns]
            known[id(jaxpr)] = jaxpr if _same(equations, jaxpr.eqns) else jaxpr.replace(eqns=equations)
        return known[id(jaxpr)]

    def one(old: Any) -> Any:
        parameters = {name: parameter(value) for name, value in old.params.items()}
        return equation(old if _same(parameters.values(), old.params.values()) else old.replace(params=parameters))

    def parameter(value: Any) -> Any:
        if isinstance(value, (tuple, list)) and any(_is_jaxpr(part) for part in value):
            parts = [parameter(part) for part in value]
            named = hasattr(value, "_fields")
            return value if _same(parts, value) else type(value)(*parts) if named else type(value)(parts)
        if not _is_jaxpr(value):
            return value
        return closed(value) if hasattr(value, "consts") else inside(value)

    return closed(jaxpr)


def _same(new: Any, old: Any) -> bool:
    return all(a is b for a, b in zip(new, old, strict=True))


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") and hasattr(value, "replace")
