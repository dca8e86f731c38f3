"""What a traced program calls on the host: its text names no Python function, so that their code is looked at here."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator
from typing import Any

import jax.extend.core
import numpy as np

# A rule for batching of its own is not in the text of one network; equal text may then be another program.
_BATCHES_ITSELF = ("custom_vmap_call", "callback")


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
        if "callback" in name:
            found = True
            for parameter in sorted(equation.params):
                _take_in(digest, equation.params[parameter], depth=0)
    return (digest.digest() if found else b""), alone


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _take_in(digest: Any, value: Any, depth: int) -> None:
    """Code and plain values; of anything else its type, since its text may hold an address."""
    if depth > 8:
        return
    below = functools.partial(_take_in, digest, depth=depth + 1)
    if isinstance(value, (str, bytes, int, float, complex, type(None), bool)):
        digest.update(repr(value).encode())
    elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    elif isinstance(value, types.CodeType):
        digest.update(value.co_code)
        below((*value.co_names, *value.co_varnames))
        below(value.co_consts)
    elif isinstance(value, functools.partial):
        below((value.func, value.args, tuple(sorted(value.keywords.items()))))
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)} ".encode())
        for item in value:
            below(item)
    elif isinstance(value, types.FunctionType):
        below((value.__code__, value.__defaults__))
        below([_content(cell) for cell in value.__closure__ or ()])
    else:
        digest.update(f"{type(value).__module__}.{type(value).__qualname__}".encode())
        if callable(wrapped := _wrapped(value)):
            below(wrapped)


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
