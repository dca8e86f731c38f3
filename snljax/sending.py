"""What an experiment needs to reach other processes: code that they cannot import, and classes that JAX knows.

Importing this module makes cloudpickle, by which worker processes are sent what they train, do so.
"""

from __future__ import annotations

import copyreg
import dataclasses
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle

from snljax.experiment import Experiment

_Registered = tuple[type, list[str], list[str]]  # a dataclass, its traced fields and the others


def by_value(folder: pathlib.Path) -> None:
    """Send what was imported from this very folder with its code: other machines may not see the folder.

    Args:
        folder: that files and packages were found in.
    """
    for module in [*sys.modules.values()]:
        if not isinstance(module, types.ModuleType) or sys.modules.get(module.__name__) is not module:
            continue
        if "." in module.__name__ or module.__name__ in ("__main__", "snljax"):
            continue  # sent with its package; sent by value anyway; never
        if folder in _folders(module):
            cloudpickle.register_pickle_by_value(module)


def _folders(module: types.ModuleType) -> list[pathlib.Path]:
    """Where a top-level module was found."""
    inside = vars(module).get("__path__")
    paths = [vars(module).get("__file__")] if inside is None else [*inside]
    return [pathlib.Path(path).resolve().parent for path in paths if isinstance(path, str)]


# --- classes that JAX knows -------------------------------------------------------------------------


def _classes() -> Iterator[type]:
    """The dataclasses that are sent by value: another process makes them anew, and its JAX knows nothing of them."""
    sent = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] in sent and isinstance(module, types.ModuleType):
            for value in [*vars(module).values()]:
                if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == name:
                    yield value


def _registered() -> list[_Registered]:
    """Those that are registered with JAX here, by whatever decorator."""
    found = ((cls, _traced(cls)) for cls in _classes())
    return [
        (cls, traced, [f.name for f in dataclasses.fields(cls) if f.name not in traced])
        for cls, traced in found
        if traced is not None
    ]


def _traced(cls: type) -> list[str] | None:
    """The fields of a class that are parts of its tree, in their order there; None if JAX takes it for a leaf."""
    import jax

    try:
        one: Any = object.__new__(cls)
        marks = {f.name: object() for f in dataclasses.fields(cls)}
        for name, mark in marks.items():
            object.__setattr__(one, name, mark)
        leaves, tree = jax.tree_util.tree_flatten(one)
        names = [name for leaf in leaves for name, mark in marks.items() if mark is leaf]
    except Exception:  # a class may want to be made in its own way
        return None
    return None if jax.tree_util.treedef_is_leaf(tree) or len(names) < len(leaves) else names


def _received(registered: list[_Registered], parts: tuple[Any, ...]) -> Experiment:
    import jax

    for cls, traced, others in registered:
        if _traced(cls) is None:
            jax.tree_util.register_dataclass(cls, traced, others)
    return Experiment(*parts)


def _sent(experiment: Experiment) -> tuple[Any, ...]:
    return _received, (_registered(), experiment.__reduce__()[1])


copyreg.pickle(Experiment, _sent)
