"""Experiments that the package does not have: in a file, in a module, or installed with another package."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
import traceback
import types
import typing
import warnings
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from snljax import sending
from snljax.experiment import Experiment
from snljax.wording import nearest, one_line, shown

GROUP = "snljax.experiments"  # of entry points
PLACES = "FILE.py:NAME or PACKAGE.MODULE:NAME for one of your own"
_IN_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


# --- by place ---------------------------------------------------------------------------------------


def is_place(text: str) -> bool:
    """Whether a text says where an experiment is: in which file or module, and under which name.

    Example:
        >>> is_place("own.py:mlp"), is_place("package.module:mlp"), is_place("topk_pruning"), is_place("log:1:2:5")
        (True, True, False, False)
    """
    return text.endswith(".py") or ".py:" in text or _IN_MODULE.fullmatch(text) is not None


def at(place: str, folder: str | os.PathLike[str] = "") -> Experiment:
    """The experiment at a place. Its module is imported once, and is sent to other processes by value.

    A file is imported as Python imports what lies beside a script: under its own name, its folder first on the path.
    A module is looked for where Python looks, and in the working folder.

    Args:
        place: ``FILE.py:NAME`` or ``PACKAGE.MODULE:NAME``.
        folder: what FILE is relative to; default the working folder.

    Returns:
        The Experiment.

    Raises:
        ValueError: it cannot be imported (with the line), or has no Experiment of that name (with the nearest).

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> lines = "import snljax as snl", "net = snl.supervised(None, lambda c: None, name='net')"
        >>> _ = pathlib.Path(folder, "my_nets.py").write_text("\\n".join(lines))
        >>> at("my_nets.py:net", folder).name
        'net'
    """
    where, _, name = (place, "", "") if place.endswith(".py") else place.rpartition(":")
    module = _of_file(pathlib.Path(folder, where), where) if where.endswith(".py") else _of_name(where)
    found = vars(module).get(name)
    if not isinstance(found, Experiment):
        _refuse(module, where, name)
    with contextlib.suppress(Exception):  # in another process names in annotations that are text mean nothing
        found.Config.__annotations__ = typing.get_type_hints(found.Config)
    return found


def _refuse(module: types.ModuleType, where: str, name: str) -> NoReturn:
    """Say what is there instead of an experiment of that name."""
    own = {n: v for n, v in vars(module).items() if isinstance(v, Experiment)}
    allowed = ", ".join(f"{where}:{n}" for n in own) or "NAME = snl.supervised(…) or snl.Experiment(…) in it"
    if not name:
        raise ValueError(f"experiment: {where} without a name in it; allowed: {allowed}")
    if name not in vars(module):
        raise ValueError(f"experiment: {where} has no {shown(name)}; {nearest(name, own)}allowed: {allowed}")
    kind = type(vars(module)[name]).__name__
    hint = f"; call it there (NAME = {name}(…))" if kind == "function" else ""
    raise ValueError(f"experiment: {name} of {where} is of type {kind}, no Experiment{hint}; allowed: {allowed}")


class _FromSource(importlib.machinery.SourceFileLoader):
    """No bytecode beside the file: what was kept of it may be another text of the same second and length."""

    def get_code(self, fullname: str) -> types.CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _of_file(file: pathlib.Path, where: str) -> types.ModuleType:
    file = file.resolve()
    known = next(
        iter(sorted((m for m in _modules() if _is_file(m, file)), key=lambda m: m.__name__ != file.stem)), None
    )
    module = _imported(file, where) if known is None else known
    sending.by_value(file.parent)
    return module


def _imported(file: pathlib.Path, where: str) -> types.ModuleType:
    """A file as a module of this process, known by the file's name if no other module is."""
    taken = file.stem in sys.modules or not file.stem.isidentifier()
    name = f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}" if taken else file.stem
    loader = _FromSource(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        _check_neighbours(file)
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))
        sys.modules[name] = module
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a file of the user's raises
        sys.modules.pop(name, None)
        raise ValueError(f"experiment: {where}{_said(error, str(file))}") from error
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _check_neighbours(file: pathlib.Path) -> None:
    """A module that the file means to import from beside it must not be one of that name from elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said once, when it runs
        tree = ast.parse(file.read_bytes(), str(file))
    for node in ast.walk(tree):
        absolute = isinstance(node, ast.ImportFrom) and node.level == 0
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and absolute else []
        for top in {name.partition(".")[0] for name in names} - {"snljax"}:  # this one, whatever lies there
            beside = [file.with_name(f"{top}.py"), file.parent / top / "__init__.py"]
            known, there = sys.modules.get(top), [path for path in beside if path.exists()]
            if known is not None and there and not any(_is_file(known, path) for path in there):
                raise ValueError(
                    f"imports {top}, which lies beside it, and this process has another {top} already "
                    f"({vars(known).get('__file__')}); allowed: another name, or another process"
                )


def _of_name(name: str) -> types.ModuleType:
    folder = os.getcwd()
    if not {"", folder} & {*sys.path}:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"experiment: {name}{_said(error)}") from error
        raise ValueError(
            f"experiment: there is no module {error.name}; allowed: one that is installed or lies in {folder}, or "
            "FILE.py:NAME"
        ) from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"experiment: {name}{_said(error)}") from error
    sending.by_value(pathlib.Path(folder).resolve())
    return module


def _said(error: BaseException, file: str = "") -> str:
    """Where and why importing failed: a line of the file that was asked for, or the last one that was reached."""
    text = one_line(error)
    if isinstance(error, OSError) and error.filename == file:
        return f" cannot be read ({error.strerror}); allowed: {PLACES}"
    if isinstance(error, SyntaxError):
        other = "" if error.filename in (file, None) else f", {error.filename}"
        return f"{other}, line {error.lineno}: {error.msg}; allowed: Python"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame.lineno for frame in frames if frame.filename == file]
    line = (
        f", line {mine[-1]}: " if mine else f" ({frames[-1].filename}, line {frames[-1].lineno}): " if frames else ": "
    )
    if isinstance(error, ValueError) and "allowed: " in text:
        return (line if mine else ": ") + text
    return f"{line}{type(error).__name__}: {text}; allowed: what Python imports without an error"


# --- what a process has imported --------------------------------------------------------------------


def _modules() -> Iterator[types.ModuleType]:
    """All modules of this process, those imported last first."""
    return (module for module in reversed([*sys.modules.values()]) if isinstance(module, types.ModuleType))


def _is_file(module: types.ModuleType, file: pathlib.Path) -> bool:
    its = vars(module).get("__file__")
    return isinstance(its, str) and os.path.basename(its) == file.name and os.path.realpath(its) == str(file.resolve())


class Home(NamedTuple):
    """Where an experiment stands: a variable of a module."""

    module: types.ModuleType
    name: str


def home(experiment: Experiment) -> Home | None:
    """The module that has this very experiment as one of its names; that of its Config, or the last imported.

    Example:
        >>> from snljax import experiments
        >>> home(experiments.get("topk_pruning")).module.__name__
        'snljax.experiments.topk_pruning'
    """
    homes = [Home(m, n) for m in _modules() for n, v in [*vars(m).items()] if v is experiment and n.isidentifier()]
    own = [h for h in homes if h.module.__name__ == getattr(experiment.Config, "__module__", None)]
    return next(iter(own or homes), None)


def place_of(experiment: Experiment, folder: str | os.PathLike[str] = "") -> str | None:
    """The place at which another process finds an experiment, or None: it was made in a notebook, or in a function.

    Args:
        experiment: an Experiment.
        folder: what the place is relative to.

    Returns:
        ``FILE.py:NAME``, or ``PACKAGE.MODULE:NAME`` for what is part of a package.

    Example:
        >>> from snljax import experiments
        >>> place_of(experiments.get("topk_pruning"))
        'snljax.experiments.topk_pruning:EXPERIMENT'
        >>> place_of(experiments.get("topk_pruning")._replace(name="other")) is None
        True
    """
    found = home(experiment)
    if found is None:
        return None
    spec, file = vars(found.module).get("__spec__"), vars(found.module).get("__file__")
    if spec is not None and "." in spec.name:
        return f"{spec.name}:{found.name}"
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    path, start = pathlib.Path(file).resolve(), pathlib.Path(folder).resolve()
    try:
        where = os.path.relpath(path, start)
    except ValueError:  # another drive
        where = str(path)
    return f"{pathlib.Path(where).as_posix()}:{found.name}"


# --- installed with other packages ------------------------------------------------------------------


class Installed(NamedTuple):
    """An experiment that a package brings as an entry point. place: as for `at`. package: its name and version."""

    name: str
    place: str
    package: str
    summary: str


def installed() -> list[Installed]:
    """The experiments that installed packages bring, by name; none of them is imported.

    A package whose description cannot be read is left out.

    Example:
        >>> all(is_place(one.place) for one in installed())
        True
    """
    found: dict[tuple[str, str], Installed] = {}
    for package in importlib.metadata.distributions():
        try:
            for entry in package.entry_points.select(group=GROUP):
                about = package.metadata
                told = f"{about['Name']} {about['Version']}", one_line(about["Summary"] or "")
                one = Installed(entry.name, f"{entry.module}:{entry.attr}", *told)
                found.setdefault((one.name, one.place), one)
        except Exception:  # whatever a broken package leads its reader to
            continue
    return sorted(found.values())


def installed_at(name: str) -> str | None:
    """The place of an installed experiment, or None; ValueError if two packages have one of that name."""
    found = [one for one in installed() if one.name == name]
    if len(found) > 1:
        packages, places = (", ".join(texts) for texts in zip(*((o.package, o.place) for o in found), strict=True))
        raise ValueError(f"experiment: {name!r} is in several packages ({packages}); allowed: {places}")
    return found[0].place if found else None
