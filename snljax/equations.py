"""The equations behind a module's code: those in the docstrings of the functions that it names."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re
import types
from collections.abc import Callable
from typing import Any, NamedTuple

_MATH = re.compile(r"^\.\. math::[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


class Equation(NamedTuple):
    """What a function computes. function: module and name. summary: its first line. tex: one or more equations."""

    function: str
    summary: str
    tex: tuple[str, ...]


def tex_of(text: str) -> tuple[str, ...]:
    """The equations in a docstring, each on one line.

    Example:
        >>> tex_of("A sum.\\n\\n.. math:: a +\\n    b\\n\\nMore.")
        ('a + b',)
    """
    return tuple(" ".join(found.split()) for found in _MATH.findall(inspect.cleandoc(text)))


def equations_of(module: types.ModuleType) -> list[Equation]:
    """The functions that a module's source names, of the package and of its own, that say an equation.

    Args:
        module: imported; one without a file has none.

    Returns:
        In the order in which they are named first.

    Example:
        >>> from snljax.experiments import gradient_regularization
        >>> [one.function for one in equations_of(gradient_regularization) if "penalty" in one.function]
        ['losses.full_gradient_penalty', 'losses.per_example_gradient_penalty']
    """
    file = vars(module).get("__file__")
    if not isinstance(file, str) or not file.endswith(".py"):
        return []
    mine = {"snljax", module.__name__}
    found = {}
    for node in _names(ast.parse(pathlib.Path(file).read_bytes())):
        function = _meant(node, vars(module))
        home = getattr(function, "__module__", None) or ""
        if callable(function) and (home in mine or home.startswith("snljax.")):
            found[id(function)] = function
    told = [_said(function) for function in found.values()]
    return [one for one in told if one.tex]


def _names(tree: ast.AST) -> list[ast.Name | ast.Attribute]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def _meant(node: ast.expr, names: dict[str, Any]) -> Any:
    """What a name means at the top of a module, or an attribute of the package's modules; None for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _meant(node.value, names)
        ours = isinstance(owner, types.ModuleType) and owner.__name__.partition(".")[0] == "snljax"
        return getattr(owner, node.attr, None) if ours else None
    return None


def _said(function: Callable[..., Any]) -> Equation:
    text = inspect.cleandoc(function.__doc__ or "")
    name = f"{function.__module__.removeprefix('snljax.')}.{getattr(function, '__name__', '')}"
    return Equation(name, text.partition("\n")[0], tex_of(text))
