"""Grids as TOML files."""

from __future__ import annotations

import os
import pathlib
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tomli_w

from snljax import experiments
from snljax.experiment import Experiment, FieldInfo
from snljax.finding import PLACES
from snljax.sweep.axes import Axis, Together, together
from snljax.sweep.contract import KEYWORDS, checked_fields
from snljax.sweep.field_values import is_sequence
from snljax.wording import plain, shown, unknown

_TABLES = ("experiment", "reading", "settings", "axes", "zip")
_MAX_NUM = 1_000_000  # of the values that {start, stop, num} stands for


class Content(NamedTuple):
    """What a file says, as `Grid` takes it."""

    experiment: Experiment
    bundles: list[Together]
    reading: Any
    settings: dict[str, Any]


def read(path: str | os.PathLike[str]) -> Content:
    """What a TOML file says of a grid; its values are checked by `Grid`.

    Raises:
        ValueError: the file cannot be read, is not TOML, or has tables or keys that are not known.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return parsed(text, pathlib.Path(path).parent)


def parsed(text: str, folder: pathlib.Path) -> Content:
    """What TOML says of a grid.

    Args:
        text: of the file.
        folder: that the file is in, to which the file of an experiment of your own is relative.

    Raises:
        ValueError: it is not TOML, or has tables or keys that are not known.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits, or brackets
        raise ValueError(f"not valid TOML: {error}") from None
    _check_tables(content)
    experiment = experiments.get(content["experiment"], folder)
    known = checked_fields(experiment)

    def bundle(table: dict[str, Any]) -> Together:
        return together(**{n: _expanded(known.get(n), n, v) for n, v in table.items()})

    def is_bundle(name: str, value: Any) -> bool:  # else {start, stop, num} of a field, or of what should be one
        several = isinstance(value, dict) and any(isinstance(v, (list, dict)) for v in value.values())
        return several and name not in known and name != "seed"

    axes = {
        n: bundle(v) if is_bundle(n, v) else _expanded(known.get(n), n, v) for n, v in content.get("axes", {}).items()
    }
    both = axes.keys() & content.get("settings", {}).keys()
    if both:
        raise ValueError(f"{min(both)}: given in [settings] and in [axes]; allowed: one of them")
    bundles = [bundle(table) for table in content.get("zip", [])]
    return Content(experiment, bundles, content.get("reading"), {**content.get("settings", {}), **axes})


def _check_tables(content: dict[str, Any]) -> None:
    for name in content:
        if name not in _TABLES:
            raise ValueError(unknown("key", name, _TABLES))
    if "experiment" not in content:
        raise ValueError(f"no experiment given; allowed: experiment = {', '.join(experiments.NAMES)}, or {PLACES}")
    for name, kind in (("settings", dict), ("axes", dict), ("zip", list)):
        if not isinstance(content.get(name, kind()), kind):
            raise ValueError(f"{name} is {shown(content[name])}; allowed: a table")
    for table in content.get("zip", []):
        if not isinstance(table, dict):
            raise ValueError(f"zip holds {shown(table)}; allowed: a table, [[zip]]")
    for table in ("settings", "axes"):
        for name in set(KEYWORDS) & content.get(table, {}).keys():
            raise ValueError(f"{name} stands in [{table}]; allowed: fields, and {name!r} above all tables")


def changed(content: Content, changes: Mapping[str, Any]) -> Content:
    """What a file says, with other values for some fields: an axis stays in its place, or is fixed by one value.

    Raises:
        ValueError: a field that the file moves together with others, or what is no field.
    """
    bundles = [*content.bundles, *(v for v in content.settings.values() if isinstance(v, Together))]
    for name in changes:
        if name in KEYWORDS and name != "reading":
            raise ValueError(f"{name}: cannot be changed; allowed: fields, seed and reading")
        if beside := [others.fields for others in bundles if name in others.fields]:
            raise ValueError(
                f"{name}: moves with {', '.join({*beside[0]} - {name})} here; allowed: fields on their own"
            )
    values = {n: v for n, v in changes.items() if n != "reading"}
    kept = {n: v for n, v in content.settings.items() if n not in values or is_sequence(v)}
    return content._replace(settings=kept | values, reading=changes.get("reading", content.reading))


def text_of(experiment: str, reading: str, settings: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    """TOML that `parsed` reads back; axes stand in their order, of which those in ``[[zip]]`` come first."""
    columns = [{n: [plain(v) for v in vs] for n, vs in axis.fields.items()} for axis in axes]
    numbered = [axis.name not in (*axis.fields, "seed") for axis in axes]
    last = max((i for i, c in enumerate(columns) if len(c) > 1 and not numbered[i]), default=-1)
    head = {"experiment": experiment, "reading": reading, "settings": {n: plain(v) for n, v in settings.items()}}
    lines = [tomli_w.dumps(head), "\n[axes]\n"]
    for axis, column, own in zip(axes[last + 1 :], columns[last + 1 :], numbered[last + 1 :], strict=True):
        if own:  # on one line: a table would stand behind all that is none
            inner = ", ".join(_entries(column))
            lines.append("\n".join(_entries({axis.name: 0})).removesuffix("0") + f"{{{inner}}}\n")
        else:
            lines += _entries({axis.name: list(axis.coordinate)} if axis.name == "seed" else column)
            lines.append("\n")
    bundles = columns[: last + 1]
    return "".join([*lines, "\n" + tomli_w.dumps({"zip": bundles}) if bundles else ""])


def _entries(table: Mapping[str, Any]) -> Iterator[str]:
    """``key = value`` for each."""
    return (tomli_w.dumps({name: value}).strip() for name, value in table.items())


def _expanded(info: FieldInfo | None, name: str, value: Any) -> Any:
    """A list as it stands, or {start, stop, num, log} spelled out."""
    if not isinstance(value, dict):
        if not isinstance(value, list):
            raise ValueError(f"{name}: {shown(value)} in [axes]; allowed: a list, or {{start, stop, num}}")
        return value
    log = value.get("log", False)
    if {*value} - {"log"} != {"start", "stop", "num"} or not isinstance(log, bool):
        raise ValueError(f"{name}: has keys {sorted(value)}; allowed: start, stop, num and log = true")
    whole = (info is not None and info.type is int) or name == "seed"
    return spaced(name, value["start"], value["stop"], value["num"], log, whole)


def spaced(name: str, start: Any, stop: Any, num: Any, log: bool, whole: bool) -> list[Any]:
    """Evenly spaced values of a field, both ends among them.

    Args:
        name: of the field, for messages.
        start, stop: the ends.
        num: how many, 1 to 1,000,000.
        log: evenly in their logarithm.
        whole: rounded to whole numbers.

    Raises:
        ValueError: what is no such number.

    Example:
        >>> spaced("K", 1, 100, 3, log=True, whole=True)
        [1, 10, 100]
    """
    for key, number in (("start", start), ("stop", stop), ("num", num)):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= sys.float_info.max:
            raise ValueError(f"{name}: {key} is {shown(number)}; allowed: a finite number")
    start, stop = float(start), float(stop)
    if not isinstance(num, int) or not 1 <= num <= _MAX_NUM:
        raise ValueError(f"{name}: num is {shown(num)}; allowed: a whole number, 1 to {_MAX_NUM}")
    if log and min(start, stop) <= 0:
        raise ValueError(f"{name}: start {start} and stop {stop} on a log scale; allowed: above 0")
    with np.errstate(all="ignore"):
        values = np.geomspace(start, stop, num) if log else np.linspace(start, stop, num)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: start {start} and stop {stop} are too far apart; allowed: numbers closer together")
    return [round(v) for v in values.tolist()] if whole else values.tolist()
