"""Imports follow docs/architecture.md; tests and benchmarks reach for no private name; the public names are there."""

from __future__ import annotations

import ast
import functools
import importlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
from harness import ROOT, TESTS

import snljax

PACKAGE = pathlib.Path(snljax.__file__).parent
PAGE = ROOT / "docs" / "architecture.md"


class Room(NamedTuple):
    """A row of the page's tables. files: modules or folders of the package. jax: whether it may need JAX."""

    files: tuple[str, ...]
    may_import: frozenset[str]
    jax: bool


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the first table below a heading of the page, without the table's own heading."""
    below = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    assert len(lines) > 3, heading
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def rooms() -> dict[str, Room]:
    """The rooms of the package; each is a module or a folder of that name."""
    found = [(name.strip("`"), re.findall(r"`(\w+)`", allowed), jax) for name, _, allowed, jax in rows("Rooms")]
    return _each_once((name, Room((name,), frozenset(allowed), jax == "with")) for name, allowed, jax in found)


def parts_of_the_sweep() -> dict[str, Room]:
    """The parts of the sweep; each is some files of that folder."""
    found = [(part, re.findall(r"`(\w+)`", files), allowed) for part, files, _, allowed in rows("Inside the sweep")]
    return _each_once(
        (part, Room(tuple(f"sweep/{file}" for file in files), frozenset(allowed.split(", ")) - {"nothing"}, True))
        for part, files, allowed in found
    )


def _each_once(found: Iterable[tuple[str, Room]]) -> dict[str, Room]:
    pairs = list(found)
    files = [file for _, room in pairs for file in room.files]
    assert len({*files}) == len(files), "a file stands twice"
    assert len({name for name, _ in pairs}) == len(pairs), "a name stands twice"
    assert all(room.may_import <= {name for name, _ in pairs} for _, room in pairs), "something unknown may be imported"
    return dict(pairs)


def modules(path: str) -> list[pathlib.Path]:
    """The files of a room."""
    return sorted((PACKAGE / path).rglob("*.py")) if (PACKAGE / path).is_dir() else [PACKAGE / f"{path}.py"]


def imported(path: pathlib.Path) -> Iterator[str]:
    """What of the package a file imports, as paths, anywhere in it but for annotations."""
    for name in _names(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] == "snljax":
            while not (
                (PACKAGE.joinpath(*parts[1:])).is_dir() or PACKAGE.joinpath(*parts[1:]).with_suffix(".py").exists()
            ):
                parts.pop()
            assert len(parts) > 1, f"{path}: {name} is imported from the whole package"
            yield "/".join(parts[1:])


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def room_of(path: str, table: dict[str, Room]) -> str:
    (found,) = [n for n, room in table.items() for file in room.files if path == file or path.startswith(f"{file}/")]
    return found


def inside(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def assert_follows(name: str, table: dict[str, Room], below: str = "") -> None:
    """The files of a room import nothing of the others (of those below a folder) but what its row names."""
    for path in (module for file in table[name].files for module in modules(file)):
        for target in imported(path):
            if target.startswith(below):
                other = room_of(target, table)
                assert other == name or other in table[name].may_import, f"{path}: imports {target}"


def test_every_module_is_in_a_room():
    """And every part of the sweep in one of its parts; the pages name no file that is not there."""
    for table, folder in ((rooms(), PACKAGE), (parts_of_the_sweep(), PACKAGE / "sweep")):
        named = {path for room in table.values() for file in room.files for path in modules(file)}
        assert {*folder.rglob("*.py")} - named == {folder / "__init__.py"} - named
        assert all(path.exists() for path in named)


@pytest.mark.parametrize("room", rooms())
def test_imports_follow_the_page(room):
    assert_follows(room, rooms())


@pytest.mark.parametrize("part", parts_of_the_sweep())
def test_imports_inside_the_sweep_follow_the_page(part):
    assert_follows(part, parts_of_the_sweep(), "sweep/")


@pytest.mark.parametrize("table", [rooms(), parts_of_the_sweep()], ids=["rooms", "sweep"])
def test_the_arrows_never_run_back(table):
    order: list[str] = []
    while len(order) < len(table):
        ready = [name for name, room in table.items() if name not in order and room.may_import <= {*order}]
        assert ready, f"these import each other in a circle: {[name for name in table if name not in order]}"
        order += ready


def test_the_package_itself_imports_its_rooms_on_first_use():
    assert list(imported(PACKAGE / "__init__.py")) == []


def test_rooms_without_jax_do_not_load_it():
    light = [inside(file) for name, room in rooms().items() if not room.jax for file in modules(name)]
    names = [f"snljax.{name.replace('/', '.').removesuffix('.__init__')}" for name in light]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert len(names) > 20
    assert done.stdout.strip() == "False"


def test_importing_the_package_is_light():
    heavy = ("matplotlib", "zarr", "torch", "sklearn", "tyro", "flax", "netCDF4", "h5netcdf", "dask")
    code = f"import sys, snljax; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_dir_shows_the_public_names():
    assert dir(snljax) == sorted(snljax.__all__) == list(snljax.__all__)


@pytest.mark.parametrize("name", snljax.__all__)
def test_public_names_are_there(name):
    """A module, a class or a function that goes by this name."""
    other = {"zip": "together"}
    assert getattr(snljax, name).__name__.rpartition(".")[2] == other.get(name, name)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("compare", "stats"),
        ("metric", "experiment"),
        ("papers", "papers"),
        ("stats", "stats"),
        ("together", "sweep.axes"),
        ("zip", "sweep.axes"),
    ],
)
def test_public_names_are_those_of_their_modules(name, home):
    module = importlib.import_module(f"snljax.{home}")
    assert getattr(snljax, name) is (module if name == home else getattr(module, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        snljax.sweeep  # noqa: B018


# --- private names --------------------------------------------------------------------------------------


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement defines: functions, classes, variables, attributes of self."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


PUBLIC = ("_", "_asdict", "_fields", "_make", "_replace")  # the last four are every NamedTuple's


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@functools.cache
def privates() -> frozenset[str]:
    """Every private name that the package defines."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")]
    return frozenset(name for tree in trees for node in ast.walk(tree) for name in _bound(node) if _is_private(name))


def reached(source: str) -> set[str]:
    """The private names of the package that a file reaches for: imported, as an attribute, or as a text.

    What it defines itself, what it reads of its own ``self``, and what belongs to other packages does not count.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    own = {name for node in nodes for name in _bound(node)}
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snljax"):
            found |= {alias.name for alias in node.names if _is_private(alias.name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found |= {node.attr} & privates()
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            found |= {node.attr} if _is_private(node.attr) else set()  # set from outside
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value.rpartition(".")[2]} & privates() - own
    return found


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from snljax.sweep.store import _plain", {"_plain"}),
        ("from snljax.cli import main\nmain._parser", set()),
        ("from snljax import cli\ncli._main([])", {"_main"}),
        ("program._main.cache_clear()", {"_main"}),
        ("traced._anything = None", {"_anything"}),
        ("monkeypatch.setattr(cli, '_main', None)", {"_main"}),
        ("monkeypatch.setattr('snljax.cli._main', None)", {"_main"}),
        ("draw._replace(normals=0)", set()),
        ("class A:\n    def f(self):\n        self._main = self._main", set()),
        ("torch._dynamo.config.recompile_limit = 64", set()),
    ],
)
def test_private_names_are_found(source, names):
    assert reached(source) == names


def test_tests_and_benchmarks_reach_for_no_private_name():
    files = [*TESTS.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    found = {file.relative_to(ROOT).as_posix(): reached(file.read_text(encoding="utf-8")) for file in files}
    found.pop("tests/test_imports.py")
    assert {file: names for file, names in found.items() if names} == {}
