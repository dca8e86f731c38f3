"""From parsed arguments to what the library takes: a Grid, keywords of `sweep`, a part of a job array."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from snljax import experiments
from snljax.wording import one_line

if TYPE_CHECKING:
    from snljax.experiment import Experiment
    from snljax.sweep.grid import Grid

_RANGE = re.compile(r"(log:)?([^:]+):([^:]+):([^:]+)")


def grid(arguments: argparse.Namespace) -> Grid:
    """The grid that a command is asked for: of a file or of options, with what --set says instead."""
    from snljax.sweep.grid import Grid

    changes = _changes(arguments.set)
    if arguments.what.endswith(".toml"):
        kinds = _kinds(_experiment_of(arguments.what)) if changes else {}
        return Grid.from_toml(arguments.what, **_settings(kinds, changes))
    kinds = _kinds(experiments.get(arguments.what))
    words = {n: getattr(arguments, f"field_{n}", None) for n in kinds}
    given = {n: texts for n, texts in words.items() if texts is not None}
    given |= {} if arguments.reading is None else {"reading": [arguments.reading]}
    for name in given.keys() & changes:
        raise ValueError(f"{name}: given by its option and by --set; allowed: one of them")
    return Grid(arguments.what, **_settings(kinds, given | changes))


def _changes(texts: list[str] | None) -> dict[str, list[str]]:
    """Field -> its words, of NAME=VALUE and NAME=VALUE,VALUE,…"""
    changes: dict[str, list[str]] = {}
    for text in texts or []:
        name, given, value = text.partition("=")
        name = name.replace("-", "_")
        if not given or not name.isidentifier():
            raise ValueError(f"set: {text!r}; allowed: NAME=VALUE, such as steps=2000, K=10,20 or sigma_p=0.1:1:8")
        if name in ("experiment", "self"):
            raise ValueError(f"set: {name}; allowed: fields, seed and reading")
        if name in changes:
            raise ValueError(f"set: {name} is given twice; allowed: once, with commas between several values")
        changes[name] = value.split(",")
    return changes


def _experiment_of(file: str) -> Experiment:
    from snljax.sweep import grid_file

    try:
        return grid_file.read(file).experiment
    except ValueError as error:
        raise ValueError(f"{file}: {one_line(error)}") from None


def _kinds(experiment: Experiment) -> dict[str, type]:
    from snljax.experiment import fields_of

    return {n: f.type for n, f in fields_of(experiment.Config).items()} | {"seed": int}


def _settings(kinds: Mapping[str, type], given: Mapping[str, list[str]]) -> dict[str, Any]:
    """One value fixes a field, several make an axis; names that are none are refused by Grid."""
    values = {n: [v for text in texts for v in _values(n, kinds.get(n, str), text)] for n, texts in given.items()}
    return {n: v if len(v) > 1 else v[0] for n, v in values.items()}


def _values(name: str, kind: type, text: str) -> list[Any]:
    """Text from the shell as values of the field's type; a range of numbers is several."""
    if kind not in (int, float) or ":" not in text:
        return [_value(kind, text)]
    from snljax.sweep.grid_file import spaced

    found = _RANGE.fullmatch(text)
    try:
        log, start, stop, num = found.groups() if found else ()
        ends = float(start), float(stop), int(num)
    except ValueError:
        raise ValueError(
            f"{name}: {text!r} is no number and no range; allowed: start:stop:how many, such as 0.1:1:8, or "
            "log:1e-4:1e-1:7"
        ) from None
    return spaced(name, *ends, log=log is not None, whole=kind is int)


def _value(kind: type, text: str) -> Any:
    """Text from the shell as a value of the field's type."""
    if text == "none":
        return None
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass  # Grid says what is wrong with the text
    return text


def shard(text: str | None) -> tuple[int, int] | None:
    """Which part of how many, or None for all."""
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit()):
        raise ValueError(f"shard: {text!r}; allowed: I/N, such as 2/8")
    return int(part), int(parts)


@contextlib.contextmanager
def sweep_options(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Keywords of `sweep`; a Dask client lives as long as they are used."""
    blocks = arguments.block or [None]
    if len(blocks) > 1:
        raise ValueError(f"block: given {len(blocks)} times; allowed: once")
    with contextlib.nullcontext() if arguments.dask is None else _client(arguments.dask) as client:
        yield {
            "executor": None if client is None else client.get_executor(),
            "accept_program": arguments.accept_program,
            "devices": arguments.devices,
            "memory": arguments.memory,
            "block": None if blocks[0] is None else tuple(blocks[0]),
            "precision": arguments.precision,
            "progress": not arguments.quiet,
        }


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("dask: not installed; allowed: pip install 'snljax[dask]'") from None
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"dask: no scheduler at {address} ({reason}); allowed: its address, such as tcp://127.0.0.1:8786"
        ) from None
