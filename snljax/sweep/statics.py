"""Static fields of a Config, for which programs are compiled apart, and traced ones, which they take as numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from snljax.experiment import fields_of, traced_fields


class _Unreadable:
    """Stands in for a traced field inside ``draw`` and ``data``: any use names the field and why it is closed.

    The class carries the message as its name, since JAX's own errors print the type.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(repr(self))

    def __repr__(self) -> str:
        return type(self).__name__

    def __getattr__(self, attribute: str) -> Any:
        return self._refuse()


_OPERATIONS = """
    abs add and array bool call complex contains eq float floordiv format ge getitem gt hash index int invert iter
    le len lt matmul mod mul ne neg or pos pow radd rand rfloordiv rmatmul rmod rmul ror round rpow rsub
    rtruediv rxor str sub truediv xor
"""
for _operation in _OPERATIONS.split():
    setattr(_Unreadable, f"__{_operation}__", _Unreadable._refuse)


def _unreadable(name: str, reader: str) -> Any:
    """What ``draw`` and ``data`` see in place of a traced field."""
    hint = " (draw standardised randomness, and scale it in init or step)" if reader == "draw" else ""
    refusal = f"{reader} reads {name}, which may be swept; allowed: static fields only{hint}"
    return type(refusal, (_Unreadable,), {})()


def statics_of(config: Any) -> Any:
    """The Config with its traced fields left blank: what a program is compiled for."""
    return dataclasses.replace(config, **dict.fromkeys(traced_fields(config)))


def static_key(config: Any) -> str:
    """Text that names a program: the static fields of a Config, so that 1, 1.0, True and -0.0 are four things."""
    traced = traced_fields(config)
    return json.dumps({n: getattr(config, n) for n in fields_of(type(config)) if n not in traced}, sort_keys=True)


def numbers(config_type: type, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of traced fields as strong arrays of the default dtype, so that no Python number retraces."""
    info = fields_of(config_type)
    return {n: np.asarray(v, dtype_of(info[n].type)) for n, v in values.items()}


def dtype_of(kind: type) -> Any:
    """The dtype of a traced field."""
    return jax.dtypes.canonicalize_dtype(kind)


def blind(config: Any, reader: str = "draw") -> Any:
    """The Config whose traced fields raise where they are read: what ``draw`` and ``data`` are given."""
    return dataclasses.replace(config, **{n: _unreadable(n, reader) for n in traced_fields(config)})
