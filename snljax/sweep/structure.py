"""Whether two traced functions are alike in all that lowering reads, told without lowering them: that takes longest.

Only what is understood to the last piece is told. Anything else, of a user's or of a later JAX, is lowered.
"""

from __future__ import annotations

import enum
import hashlib
import sys
import types
from typing import Any

import jax
import jax.extend.core
import numpy as np

from snljax.sweep.loaded import update

_MOST = 10_000  # texts whose hashes are remembered
# Read by differentiation alone, which is over when a function is traced.
_NOT_LOWERED = {
    ("custom_jvp_call", "jvp_jaxpr_fun"),
    ("custom_vjp_call", "fwd_jaxpr_thunk"),
    ("custom_vjp_call", "bwd"),
}
_KEYS = ("key<fry>", "key<rbg>", "key<urbg>")
_OF_JAX = frozenset(
    value
    for module in (jax.extend.core.primitives, jax.lax)
    for value in vars(module).values()
    if isinstance(value, jax.extend.core.Primitive)
)
_NAMED_NOWHERE = ("platform_index",)  # JAX's own too, of `lax.platform_dependent`
_texts: dict[bytes, bytes] = {}


def text_of(stage: Any, jaxpr: Any) -> bytes:
    """The hash of what a traced function lowers to; lowered only if none was that is alike.

    Args:
        stage: traced, of `jax.jit`. jaxpr: its own, or `host_code.snapshot` of it.
    """
    alike = _hash(jaxpr, stage.out_info)
    text = _texts.get(alike) if alike else None
    if text is None:
        text = hashlib.sha256(stage.lower().as_text().encode()).digest()
        if alike:
            if len(_texts) >= _MOST:
                _texts.clear()
            _texts[alike] = text
    return text


def _hash(jaxpr: Any, returns: Any) -> bytes | None:
    """Of a closed jaxpr, of the names of what it returns, and of what is set of JAX; None if it is not understood."""
    walk = _Walk()
    walk.say(*sorted(jax.config.values.items()))
    walk.say(*(jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(returns)))
    try:
        walk.closed(jaxpr)
    except Exception:  # of things that are not understood, whatever they are
        return None
    return walk.digest.digest()


class _UnknownError(Exception):
    pass


class _Walk:
    """Takes a jaxpr into a hash. A piece that occurs twice is told from two equal ones, as lowering does."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._pieces: dict[tuple[int, str], int] = {}
        self._told: dict[int, str] = {}  # by address: all of it lives as long as the jaxpr

    def say(self, *parts: Any) -> None:
        self.digest.update(repr(parts).encode())

    def closed(self, jaxpr: Any) -> None:
        if self._is_new(jaxpr, "closed"):
            self._arrays(jaxpr.consts)
            self.open(jaxpr.jaxpr)

    def open(self, jaxpr: Any) -> None:
        if not self._is_new(jaxpr, "open"):
            return
        if jaxpr.effects:
            raise _UnknownError
        names: dict[Any, int] = {}

        def bound(variables: Any) -> list[Any]:
            return [(names.setdefault(v, len(names)), self._aval(v.aval)) for v in variables]

        def read(variable: Any) -> Any:
            if not isinstance(variable, jax.extend.core.Literal):
                return names[variable]
            value = np.asarray(variable.val)
            return self._aval(variable.aval), value.dtype.str, value.shape, value.tobytes()

        self.say(bound(jaxpr.constvars), bound(jaxpr.invars))
        for equation in jaxpr.eqns:
            primitive = equation.primitive
            if primitive not in _OF_JAX and primitive.name not in _NAMED_NOWHERE:
                raise _UnknownError
            taken, context = [read(v) for v in equation.invars], self._context(equation.ctx)
            self.say(primitive.name, context, taken, bound(equation.outvars), sorted(equation.params))
            for name in sorted(equation.params):
                if (primitive.name, name) not in _NOT_LOWERED:
                    self._value(equation.params[name])
        self.say([read(v) for v in jaxpr.outvars])

    def _is_new(self, piece: Any, role: str) -> bool:
        """role: in which it is met; later versions of JAX have one object for both."""
        count = len(self._pieces)
        number = self._pieces.setdefault((id(piece), role), count)
        self.say(role, number)
        return number == count

    def _context(self, context: Any) -> str:
        if id(context) not in self._told:
            self._told[id(context)] = repr(context)
        return self._told[id(context)]

    def _aval(self, aval: Any) -> str:
        if id(aval) not in self._told:
            dtype = str(aval.dtype)
            if type(aval) is not jax.core.ShapedArray or (dtype.startswith("key<") and dtype not in _KEYS):
                raise _UnknownError
            parts = [getattr(aval, name) for name in type(aval).__slots__ if not name.startswith("_")]
            self._told[id(aval)] = f"{dtype}{parts}"
        return self._told[id(aval)]

    def _arrays(self, arrays: Any) -> None:
        if not all(isinstance(a, (np.ndarray, np.generic, jax.Array)) for a in arrays):
            raise _UnknownError
        self.say(len(arrays))
        update(self.digest, arrays)

    def _value(self, value: Any) -> None:
        """A parameter of an operation."""
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes):
            self.say(value)
        elif isinstance(value, (tuple, list)):
            self.say(kind.__qualname__, len(value))
            for part in value:
                self._value(part)
        elif isinstance(value, (np.ndarray, np.generic)):
            self._arrays([value])
        elif isinstance(value, (enum.Enum, np.dtype)):
            self.say(kind.__qualname__, str(value))
        elif hasattr(value, "eqns"):
            self.closed(value) if hasattr(value, "consts") else self.open(value)
        elif isinstance(value, types.FunctionType) and _has_a_place(value):
            self.say(value.__module__, value.__qualname__)
        elif isinstance(value, jax.sharding.Mesh) and value.empty:
            self.say("no mesh")
        elif kind.__name__ == "UnspecifiedValue":
            self.say(kind.__name__)
        elif hasattr(value, "vals") and hasattr(value, "unpack") and all(v is None for v in value.vals):
            self.say(kind.__name__, repr(value))  # how the arguments of a scan are grouped
        else:
            raise _UnknownError


def _has_a_place(function: types.FunctionType) -> bool:
    """Whether it is a function of JAX's that stands in a module under its name."""
    module = sys.modules.get(function.__module__)
    return function.__module__.startswith("jax.") and getattr(module, function.__qualname__, None) is function
