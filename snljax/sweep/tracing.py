"""What JAX remembers of functions that it traced, and when that is let go.

JAX keeps what it traced by the identity of functions, those that a user jits or loops over too, and would not see that
a global they read has changed. Another value of a context of our own is another key to all of that.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

import jax

MATMUL_PRECISION = {"highest": "highest", "tf32": "tensorfloat32"}
MOST_MOMENTS = 100  # in whose names JAX keeps things before all of them are let go
_CONTEXT = jax.make_user_context(None)
_moments = itertools.count(1)


def new_moment() -> int:
    """A number for a sweep: what is traced under it is traced anew."""
    _TRACING.begin_sweep()
    return next(_moments)


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
