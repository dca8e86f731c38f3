"""What a traced program holds beside its text: constants that the user may change, and functions on the host."""

from __future__ import annotations

import dis
import functools
import hashlib
import types
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.extend.core
import numpy as np

from snljax.sweep.rewriting import rewritten

# A rule for batching of its own is not in the text of one network; equal text may then be another program.
_BATCHES_ITSELF = ("custom_vmap_call", "callback")
_DEEPEST = 20
_LIBRARIES = ("builtins", "jax", "jaxlib", "numpy", "scipy", "flax", "optax", "chex", "equinox")


def snapshot(jaxpr: Any) -> Any:
    """A closed jaxpr with copies of its constants: JAX keeps arrays of a closure, which may change, by reference."""
    return rewritten(jaxpr, _with_own_literals, _copy)


def _with_own_literals(equation: Any) -> Any:
    if not any(np.ndim(getattr(v, "val", 0)) for v in equation.invars):
        return equation
    literals = [type(v)(_copy(v.val), v.aval) if np.ndim(getattr(v, "val", 0)) else v for v in equation.invars]
    return equation.replace(invars=literals)


def _copy(constant: Any) -> Any:
    dtype = getattr(constant, "dtype", None)
    if dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        return constant
    return np.array(constant)


def host_code(jaxpr: Any) -> tuple[bytes, bool]:
    """The hash of the host functions that a traced program calls, and whether its text alone tells all of it.

    The hash is of bytecode, constants, names, defaults and what a closure holds in plain numbers, text and arrays.
    What such a function reads elsewhere, from files or globals, cannot be seen.

    Args:
        jaxpr: closed, as a traced stage has it.

    Returns:
        The hash, empty if nothing is called, and True if nothing is called and no operation batches in its own way.
    """
    digest, found, alone = hashlib.sha256(), False, True
    for equation in _equations(jaxpr.jaxpr):
        name = equation.primitive.name
        alone &= not any(part in name for part in _BATCHES_ITSELF)
        alone &= type(equation.primitive).__module__.split(".")[0] in ("jax", "jaxlib")
        if "callback" in name:
            found = True
            for parameter in sorted(equation.params):
                digest.update(_described(equation.params[parameter]))
    return (digest.digest() if found else b""), alone


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _described(value: Any, depth: int = 0) -> bytes:
    """The hash of code and plain values; of anything else of its type, since its text may hold an address."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    below = functools.partial(_described, depth=depth + 1)
    parts: list[bytes] = []
    if depth > _DEEPEST:
        parts = [b"deeper"]
    elif isinstance(value, (str, bytes, int, float, complex, type(None), bool)):
        parts = [repr(value).encode()]
    elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
        parts = [f"{array.dtype}{array.shape}".encode(), array.tobytes()]
    elif isinstance(value, types.CodeType):
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        parts = [value.co_code, getattr(value, "co_exceptiontable", b""), below(names), below(value.co_consts)]
    elif isinstance(value, functools.partial):
        parts = [below(value.func), below(value.args), below(value.keywords)]
    elif isinstance(value, (tuple, list)):
        parts = [below(item) for item in value]
    elif isinstance(value, (set, frozenset)):
        parts = sorted(below(item) for item in value)
    elif isinstance(value, dict):
        parts = sorted(below(item) for item in value.items())
    elif isinstance(value, slice):
        parts = [below((value.start, value.stop, value.step))]
    elif isinstance(value, types.FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        parts = [below(p) for p in (value.__code__, value.__defaults__, value.__kwdefaults__, cells)]
    elif callable(wrapped := _wrapped(value)):
        parts = [below(wrapped)]
    digest = hashlib.sha256()
    for part in (kind.encode(), *parts):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def code_of(functions: Iterable[Any]) -> str:
    """The hash of Python functions as two processes can compare them without tracing.

    Of their bytecode, defaults and closures, and of the functions, numbers, text and arrays among the globals that
    they name, in modules that they name too; libraries are taken to be alike. Containers and objects, which may change
    as they are used, are left out.

    Args:
        functions: of an experiment; None is none.
    """
    digest, queue, seen = hashlib.sha256(), list(functions), set[int]()
    while queue:
        function = _unwrapped(queue.pop(0))
        if not isinstance(function, types.FunctionType) or _is_library(function.__module__) or id(function) in seen:
            continue
        seen.add(id(function))
        digest.update(_described(function))
        found = {n: function.__globals__.get(n) for n in _named(function.__code__, "LOAD_GLOBAL")}
        attributes = _named(function.__code__, "LOAD_ATTR", "LOAD_METHOD")
        for module in [m for m in found.values() if isinstance(m, types.ModuleType) and not _is_library(m.__name__)]:
            found |= {f"{module.__name__}.{n}": _held(module, n) for n in attributes}
        for name, value in sorted(found.items()):
            if isinstance(_unwrapped(value), types.FunctionType):
                queue.append(value)
            elif isinstance(value, (bool, int, float, complex, str, bytes, np.ndarray, np.generic)):
                digest.update(name.encode() + _described(value))
    return digest.hexdigest()


def _unwrapped(value: Any) -> Any:
    for _ in range(_DEEPEST):
        if isinstance(value, types.FunctionType) or not callable(inner := _wrapped(value)):
            return value
        value = inner
    return value


@functools.lru_cache(maxsize=10_000)
def _named(code: types.CodeType, *operations: str) -> set[str]:
    """The names that some operations of a function's bytecode have, with those of the functions inside it."""
    mine = {i.argval for i in dis.get_instructions(code) if i.opname in operations}
    return mine.union(*(_named(c, *operations) for c in code.co_consts if isinstance(c, types.CodeType)))


def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _LIBRARIES


def _wrapped(value: Any) -> Any:
    """The function inside what JAX makes of a callback, or a bound method's."""
    return next((w for n in ("callback_func", "func", "__wrapped__", "__func__") if (w := _held(value, n))), None)


def _held(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # an object of the user's may answer in any way
        return None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
