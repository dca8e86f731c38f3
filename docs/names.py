"""What stands behind a name that users write, and where."""

from __future__ import annotations

import importlib
import inspect
import types
from typing import Any

from links import file_link


def value_of(name: str) -> Any:
    """What a name such as ``snljax.masks.topk`` stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def home_of(value: Any) -> types.ModuleType:
    """The module that defines it."""
    return importlib.import_module(value.__module__)


def path_of(module: types.ModuleType) -> str:
    """Its file in a checkout, wherever it is installed."""
    return module.__name__.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py")


def first_line(value: Any) -> str:
    """What a docstring says first."""
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def is_public(module: types.ModuleType, name: str) -> bool:
    """Whether a module defines the name for others, and does not only use it."""
    value = vars(module)[name]
    is_code = inspect.isfunction(value) or inspect.isclass(value) or hasattr(value, "__wrapped__")
    is_mine = getattr(value, "__module__", None) == module.__name__
    return not name.startswith("_") and ((is_code and is_mine) or name in ("EXPERIMENT", "NAMES", "PAPERS"))


def api_link(name: str) -> str:
    """A link to its entry in the API."""
    return f"{{py:obj}}`{name.removeprefix('snljax.')} <{name}>`"


def file_of(name: str) -> str:
    """A link to the file that defines it."""
    return file_link(path_of(home_of(inspect.unwrap(value_of(name)))))


def is_callable(name: str) -> bool:
    try:
        return callable(value_of(name))
    except (ImportError, AttributeError):
        return False
