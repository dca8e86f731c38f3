"""A user's arrays, checked, as all networks of a sweep share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from snljax.experiment import fields_of

_FORM = "(X, y, X_test, y_test)"


class Data(NamedTuple):
    """Samples of both sets. Bytes stay bytes; networks see them divided by 255.

    x: (n, ...). y: (n,) whole numbers, which are classes; or (n,) or (n, outputs) numbers. x_test, y_test: likewise.
    tested: test samples of each class, (classes,), or of length 0 where targets are numbers.
    more: what a user's own functions read beside them; ``()`` where there is nothing.
    """

    x: NDArray
    y: NDArray
    x_test: NDArray
    y_test: NDArray
    tested: NDArray
    more: Any = ()


def checked(given: Any) -> Data:
    """Samples as `Data`.

    Args:
        given: (X, y, X_test, y_test), and a fifth entry for functions of the user's own.

    Returns:
        Data: labels are int32, inputs are bytes or floats.

    Raises:
        ValueError: lengths or shapes that do not fit, numbers that are not finite, a class without a training sample,
            or test labels of another class.

    Example:
        >>> import numpy as np
        >>> checked((np.ones((4, 2)), [0, 1, 0, 1], np.ones((1, 2)), [1])).y.dtype
        dtype('int32')
    """
    if not isinstance(given, (tuple, list)) or len(given) not in (4, 5):
        kind = type(given).__name__
        raise ValueError(f"data: {kind} of {len(given) if hasattr(given, '__len__') else 1}; allowed: {_FORM}")
    x, y, x_test, y_test = (np.asarray(part) for part in given[:4])
    for name, inputs in (("X", x), ("X_test", x_test)):
        if inputs.dtype.kind not in "uifb" or inputs.ndim < 1 or len(inputs) == 0:
            raise ValueError(f"{name}: {_about(inputs)}; allowed: one or more samples, numbers along the first axis")
        if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
            raise ValueError(
                f"{name}: {int((~np.isfinite(inputs)).sum())} numbers are NaN or infinite; allowed: finite ones"
            )
    if x.shape[1:] != x_test.shape[1:] or x.dtype.kind != x_test.dtype.kind:
        raise ValueError(f"X_test: {_about(x_test)} with X {_about(x)}; allowed: samples of one shape and kind")
    for name, labels, inputs in (("y", y, x), ("y_test", y_test, x_test)):
        if labels.ndim not in (1, 2) or len(labels) != len(inputs):
            raise ValueError(f"{name}: shape {labels.shape} for {len(inputs)} samples; allowed: one label for each")
        if labels.dtype.kind not in "uifb" or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
            raise ValueError(f"{name}: {_about(labels)}, not all finite numbers; allowed: classes 0, 1, … or numbers")
    if y.ndim != y_test.ndim or (y.dtype.kind == "f") != (y_test.dtype.kind == "f") or y.shape[1:] != y_test.shape[1:]:
        raise ValueError(f"y_test: {_about(y_test)} with y {_about(y)}; allowed: labels of one kind")
    tested = np.zeros(0, np.float32)
    if y.dtype.kind != "f":
        if y.ndim != 1:
            raise ValueError(f"y: {_about(y)}; allowed: one whole number for each sample, its class, or floats")
        y, y_test = _classes(y, y_test)
        tested = np.bincount(y_test, minlength=int(y.max()) + 1).astype(np.float32)
    else:
        y, y_test = _floats(y), _floats(y_test)
    return Data(_inputs(x), y, _inputs(x_test), y_test, tested, given[4] if len(given) == 5 else ())


class Seen:
    """What is known of an experiment's data, which is read once for each value of the static fields.

    Args:
        read: Config -> Data.
        look: Data -> what is kept of it, such as `shapes`.
    """

    def __init__(self, read: Callable[[Any], Data], look: Callable[[Data], Any]) -> None:
        self.read, self.look = read, look
        self._known: dict[Any, Any] = {}

    def __call__(self, config: Any) -> Any:
        key = tuple((n, getattr(config, n)) for n, f in fields_of(type(config)).items() if f.static)
        if key not in self._known:
            self._known[key] = self.look(self.read(config))
        return self._known[key]


def same(whole: Data, config: Any) -> Data:
    """Arrays that were given, whatever the Config."""
    return whole


def shapes(data: Data) -> Data:
    """The same with shapes in place of arrays."""
    return jax.tree.map(_shape, data)


def _shape(a: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(a), jax.dtypes.canonicalize_dtype(np.asarray(a).dtype))


def _classes(y: NDArray, y_test: NDArray) -> tuple[NDArray, NDArray]:
    for name, labels in (("y", y), ("y_test", y_test)):
        if labels.min() < 0:
            raise ValueError(f"{name}: a label is {labels.min()}; allowed: classes 0, 1, …")
    count = int(y.max()) + 1
    if count < 2:
        raise ValueError("y: all samples are of one class; allowed: two classes or more")
    empty = np.flatnonzero(np.bincount(y.astype(np.int64), minlength=count)[:count] == 0)
    if len(empty):
        raise ValueError(f"y: class {empty[0]} of 0 … {count - 1} has no training sample; allowed: one or more of each")
    if y_test.max() >= count:
        raise ValueError(f"y_test: a label is {y_test.max()}; allowed: 0 … {count - 1}, the classes of y")
    return y.astype(np.int32), y_test.astype(np.int32)


def _inputs(x: NDArray) -> NDArray:
    """Bytes, or floats."""
    return x if x.dtype == np.uint8 else _floats(x)


def _floats(a: NDArray) -> NDArray:
    """Of a type that JAX has: single precision, unless double is enabled."""
    return a.astype(jax.dtypes.canonicalize_dtype(a.dtype if a.dtype.kind == "f" else np.float32))


def _about(a: NDArray) -> str:
    return f"{a.dtype} of shape {a.shape}"
