"""What JAX remembers of functions that it traced, and when that is let go.

JAX keeps what it traced by the identity of functions, those that a user jits or loops over too, and would not see that
a global they read has changed. Another value of a context of our own is another key to all of that.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from snljax.sweep.host_code import code_of

MATMUL_PRECISION = {"highest": "highest", "tf32": "tensorfloat32"}
MOST_MOMENTS = 100  # in whose names JAX keeps things before all of them are let go
_CONTEXT = jax.make_user_context(None)
_moments = itertools.count(1)
_of_package: dict[str, int] = {}


def new_moment() -> int:
    """A number for a sweep: what is traced under it is traced anew."""
    _TRACING.begin_sweep()
    return next(_moments)


def moment_of(functions: Iterable[Any]) -> int:
    """The moment of a sweep of these functions, of an experiment; None is none.

    A new one, but for the package's own, which it has already seen with the same code: all that is called through
    them is the package's or a library's, and most of tracing is to trace that again.
    """
    given = [f for f in functions if f is not None]
    if not all(_is_the_packages(f) for f in given):
        return new_moment()
    code = code_of(given)
    if code not in _of_package:
        _of_package[code] = new_moment()
    return _of_package[code]


def _is_the_packages(function: Any) -> bool:
    """Whether it stands in a module of the built-in experiments under its name, and holds nothing of anybody else's."""
    if not isinstance(function, types.FunctionType) or function.__closure__:
        return False
    module = function.__module__
    there = getattr(sys.modules.get(module), function.__qualname__, None)
    return module.startswith("snljax.experiments.") and there is function


@contextlib.contextmanager
def at(moment: int) -> Iterator[None]:
    """What runs inside is traced under this moment's name."""
    with _CONTEXT(moment):
        yield


@contextlib.contextmanager
def functions_at(moment: int, precision: str) -> Iterator[None]:
    """As `at`, with the precision of matrix products; a key of MATMUL_PRECISION."""
    with at(moment), jax.default_matmul_precision(MATMUL_PRECISION[precision]):
        yield


def going_on() -> contextlib.AbstractContextManager[None]:
    """Somebody traces: JAX's caches stay."""
    return _TRACING.going_on()


class _Tracing:
    """Who traces now. JAX's caches are let go only while nobody does: what is traced would come out in other pieces,
    equal in what it computes and not in its text."""

    def __init__(self) -> None:
        self._lock, self._active, self._since = threading.Lock(), 0, 0

    def begin_sweep(self) -> None:
        with self._lock:
            self._since += 1
            if self._since >= MOST_MOMENTS and self._active == 0:
                jax.clear_caches()
                self._since = 0

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        with self._lock:
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1


_TRACING = _Tracing()
