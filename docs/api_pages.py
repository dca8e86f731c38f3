"""The API: a page for each function and class that `snljax` names, and for each public module."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from links import file_link, toctree
from names import first_line, home_of, is_public, path_of, value_of

import snljax
from snljax.experiment import Experiment

# Beside what `snljax` names: systems and figures, whose modules are read when a study of one's own begins.
MORE_MODULES = ("experiments", "figures", "finding", "equations", "variables")


class Page(NamedTuple):
    """One page of the API. module: whose file it is. names: what it documents, as users write it."""

    title: str
    module: types.ModuleType
    names: tuple[str, ...]


def api() -> list[Page]:
    """What is public: each function and class that `snljax` names, and each module, part by part."""
    own = [name for name in snljax.__all__ if not isinstance(getattr(snljax, name), types.ModuleType)]
    alone = [Page(f"snljax.{name}", home_of(getattr(snljax, name)), (f"snljax.{name}",)) for name in own]
    modules = sorted({*snljax.__all__} - {*own} | {*MORE_MODULES})
    return alone + [page for name in modules for page in _pages_of(importlib.import_module(f"snljax.{name}"))]


def _pages_of(module: types.ModuleType) -> Iterator[Page]:
    """A module's page; of a package, one for each of its files that defines something public."""
    if listed := getattr(module, "__all__", None):  # users write package.name, wherever it is defined
        homes: dict[str, list[str]] = {}
        for name in listed:
            home = getattr(getattr(module, name), "__module__", None) or ""
            homes.setdefault(home if home.startswith(module.__name__) else module.__name__, []).append(name)
        for home, names in sorted(homes.items()):
            yield Page(home, importlib.import_module(home), tuple(f"{module.__name__}.{name}" for name in names))
        return
    if names := [name for name in vars(module) if is_public(module, name)]:
        yield Page(module.__name__, module, tuple(f"{module.__name__}.{name}" for name in names))
    for found in sorted(pkgutil.iter_modules(getattr(module, "__path__", ())), key=lambda one: one.name):
        if not found.name.startswith("_"):
            yield from _pages_of(importlib.import_module(f"{module.__name__}.{found.name}"))


def api_pages() -> dict[str, str]:
    """A page for each entry of `api`, and the page that lists them."""
    pages = api()
    written = {f"api/{_slug(page)}.md": _api_page(page) for page in pages}
    return written | {"api/index.md": _api_index(pages)}


def _slug(page: Page) -> str:
    return page.title.removeprefix("snljax.")


def _api_page(page: Page) -> str:
    (alone, *others) = page.names
    about = "" if not others and alone == page.title else f"{inspect.getdoc(page.module)}\n\n"
    directives = "\n\n".join(_directive(name) for name in page.names)
    return f"# {page.title}\n\n{about}In {file_link(path_of(page.module))}.\n\n```{{eval-rst}}\n{directives}\n```\n"


def _directive(name: str) -> str:
    value = value_of(name)
    if callable(value) and not inspect.isclass(value):
        return f".. autofunction:: {name}"
    if not inspect.isclass(value):
        return f".. py:data:: {name}\n   :type: {type(value).__name__}\n\n   {_said_of(value)}"
    members = [member for member, what in vars(value).items() if _is_member(member, what)]
    return f".. autoclass:: {name}" + (f"\n   :members: {', '.join(members)}" if members else "")


def _said_of(value: Any) -> str:
    if isinstance(value, Experiment):
        return f"The experiment that ``snljax.experiments.get({value.name!r})`` returns."
    if isinstance(value, Mapping):
        return f"Its keys: {', '.join(f'``{key}``' for key in value)}."
    return f"``{value!r}``"


def _is_member(name: str, what: Any) -> bool:
    own = isinstance(what, (types.FunctionType, classmethod, staticmethod, property))
    return own and not name.startswith("_") and bool(inspect.getdoc(what))


def _api_index(pages: list[Page]) -> str:
    alone = [page for page in pages if (page.title,) == page.names]
    parts = [page for page in pages if page not in alone]
    rows = [
        f"| [`snl.{_slug(page)}`]({_slug(page)}.md) | {_cell(first_line(value_of(page.title)))} |" for page in alone
    ]
    more = [f"| [`{page.title}`]({_slug(page)}.md) | {_cell(first_line(page.module))} |" for page in parts]
    return f"""# API

`import snljax as snl`. Each entry has its equation, arguments with shapes and units, an example that the tests run, and
its source.

## Functions and classes

| name | what it is |
|---|---|
{chr(10).join(rows)}

## Modules

| module | what it holds |
|---|---|
{chr(10).join(more)}

{toctree(_slug(page) for page in pages)}"""


def _cell(text: str) -> str:
    """One line in a table: single backticks of docstrings are names."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text).replace("|", r"\|")
