"""Grids as TOML files."""

from __future__ import annotations

import pathlib
import sys
import tomllib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tomli_w

from snljax import experiments
from snljax.experiment import Experiment, FieldInfo
from snljax.sweep.axes import Axis, Together, together
from snljax.sweep.contract import KEYWORDS, checked_fields
from snljax.wording import plain, shown, unknown

_TABLES = ("experiment", "reading", "settings", "axes", "zip")
_SPACING = {"start", "stop", "num", "log"}
_MAX_NUM = 1_000_000  # of the values that {start, stop, num} stands for


class Content(NamedTuple):
    """What a file says, as `Grid` takes it."""

    experiment: Experiment
    bundles: list[Together]
    reading: Any
    settings: dict[str, Any]


def read(path: str | pathlib.Path) -> Content:
    """What a TOML file says of a grid; its values are checked by `Grid`.

    Raises:
        ValueError: the file cannot be read, is not TOML, or has tables or keys that are not known.
    """
    try:
        content = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits, or brackets
        raise ValueError(f"not valid TOML: {error}") from None
    _check_tables(content)
    experiment = experiments.get(content["experiment"])
    known = checked_fields(experiment)

    def bundle(table: dict[str, Any]) -> Together:
        return together(**{n: _expanded(known.get(n), n, v) for n, v in table.items()})

    def is_bundle(name: str, value: Any) -> bool:
        return name not in known and name != "seed" and isinstance(value, dict) and bool(value.keys() - _SPACING)

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
        raise ValueError(f"no experiment given; allowed: experiment = one of {', '.join(experiments.NAMES)}")
    for name, kind in (("settings", dict), ("axes", dict), ("zip", list)):
        if not isinstance(content.get(name, kind()), kind):
            raise ValueError(f"{name} is {shown(content[name])}; allowed: a table")
    for table in content.get("zip", []):
        if not isinstance(table, dict):
            raise ValueError(f"zip holds {shown(table)}; allowed: a table, [[zip]]")
    for table in ("settings", "axes"):
        for name in set(KEYWORDS) & content.get(table, {}).keys():
            raise ValueError(f"{name} stands in [{table}]; allowed: fields, and {name!r} above all tables")


def write(
    path: str | pathlib.Path, experiment: str, reading: str, settings: dict[str, Any], axes: Sequence[Axis]
) -> None:
    """Write a file that `read` reads back; whatever is there is overwritten."""
    tables: dict[str, Any] = {}
    bundles = []
    for axis in axes:
        columns = {n: [plain(v) for v in vs] for n, vs in axis.fields.items()}
        if axis.name == "seed":
            tables["seed"] = list(axis.coordinate)
        elif axis.name not in columns:
            tables[axis.name] = columns  # under a name of its own: [axes.NAME]
        elif len(columns) > 1:
            bundles.append(columns)
        else:
            tables |= columns
    content = {"experiment": experiment, "reading": reading, "settings": settings, "axes": tables}
    pathlib.Path(path).write_text(tomli_w.dumps(content | ({"zip": bundles} if bundles else {})), encoding="utf-8")


def _expanded(info: FieldInfo | None, name: str, value: Any) -> Any:
    """A list as it stands, or {start, stop, num, log} spelled out."""
    if not isinstance(value, dict):
        if not isinstance(value, list):
            raise ValueError(f"{name}: {shown(value)} in [axes]; allowed: a list, or {{start, stop, num}}")
        return value
    spacing = dict(value)
    log = spacing.pop("log", False)
    if set(spacing) != {"start", "stop", "num"} or not isinstance(log, bool):
        raise ValueError(f"{name}: has keys {sorted(value)}; allowed: start, stop, num and log = true")
    for key, number in spacing.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= sys.float_info.max:
            raise ValueError(f"{name}: {key} is {shown(number)}; allowed: a finite number")
    start, stop, num = float(spacing["start"]), float(spacing["stop"]), spacing["num"]
    if not isinstance(num, int) or not 1 <= num <= _MAX_NUM:
        raise ValueError(f"{name}: num is {shown(num)}; allowed: a whole number, 1 to {_MAX_NUM}")
    if log and min(start, stop) <= 0:
        raise ValueError(f"{name}: start {start} and stop {stop} on a log scale; allowed: above 0")
    with np.errstate(all="ignore"):
        values = np.geomspace(start, stop, num) if log else np.linspace(start, stop, num)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: start {start} and stop {stop} are too far apart; allowed: numbers closer together")
    whole = (info is not None and info.type is int) or name == "seed"
    return [round(v) for v in values.tolist()] if whole else values.tolist()
