"""The grid: which experiment, which fields are fixed, which are axes. All input is validated here."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import difflib
import itertools
import math
import numbers
import pathlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tomli_w

from snljax import experiments
from snljax.experiment import Experiment, FieldInfo, fields_of, readings_of

_MAX_SEED = 2**31 - 1
_MAX_FLOAT = float(np.finfo(np.float32).max)
_SPACING = {"start", "stop", "num", "log"}
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}
_RESERVED = ("seed", "step", "status", "first_bad_step")
_TOML_TABLES = ("experiment", "reading", "settings", "axes", "zip")


@dataclasses.dataclass(frozen=True)
class Zip:
    """Fields that move together along one axis."""

    fields: dict[str, tuple[Any, ...]]


def zip(**fields: Iterable[Any]) -> Zip:
    """One axis that moves several fields together.

    Args:
        fields: field name -> values, all of the same length.

    Returns:
        A Zip, for `Grid`: by position its dimension is called after its first field; by keyword,
        ``Grid(..., protocol=snl.zip(...))``, after the keyword, numbered from 0.

    Raises:
        ValueError: if the lengths differ.

    Example:
        >>> grid = Grid("topk_pruning", zip(sigma_p=[0.5, 1.5], sigma_0=[0.01, 0.001]), steps=10)
        >>> grid.shape
        {'sigma_p': 2}
    """
    values = {name: _as_tuple(name, v) for name, v in fields.items()}
    lengths = {name: len(v) for name, v in values.items()}
    if not values or len(set(lengths.values())) > 1:
        raise ValueError(f"zip: the fields have lengths {lengths}; allowed: one or more fields of equal length")
    return Zip(values)


class Axis(NamedTuple):
    """One dimension of the Dataset: its coordinate, and the values of the fields that it moves."""

    name: str
    coordinate: tuple[Any, ...]
    fields: dict[str, tuple[Any, ...]]


class Grid:
    """A grid of settings for one experiment.

    Args:
        experiment: its name, or an `Experiment` of your own.
        *zips: axes that move several fields together, see `zip`.
        reading: which base Config to start from; default is the experiment's first.
        **settings: field=scalar fixes a field, field=sequence makes it an axis; ``seed`` likewise
            (whole numbers, default 0).

    Raises:
        ValueError: unknown experiment, reading or field (the nearest name is offered), a value of
            the wrong type or outside its range, an empty axis, a repeated value.

    Example:
        >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0], K=range(10, 201, 10), seed=range(3))
        >>> grid.shape
        {'sigma_p': 2, 'K': 20, 'seed': 3}
        >>> grid.cells
        120
    """

    experiment: Experiment
    reading: str
    config: Any
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]

    def __init__(self, experiment: str | Experiment, *zips: Zip, reading: str | None = None, **settings: Any) -> None:
        self.experiment = experiments.get(experiment) if isinstance(experiment, str) else experiment
        self._fields = _checked_fields(self.experiment)
        readings = readings_of(self.experiment)
        self.reading = reading if reading is not None else next(iter(readings))
        if self.reading not in readings:
            raise ValueError(_unknown("reading", self.reading, readings))

        axes: list[Axis] = []
        fixed: dict[str, Any] = {}
        self.seeds = (0,)
        for bundle in zips:
            if not isinstance(bundle, Zip):
                raise ValueError(
                    f"{bundle!r} is of type {type(bundle).__name__}; allowed: zip(field=values, ...), or field=values"
                )
            first = next(iter(bundle.fields))
            checked = {f: self._axis_values(f, v, unique=f == first) for f, v in bundle.fields.items()}
            axes.append(Axis(first, checked[first], checked))
        for name, value in settings.items():
            if isinstance(value, Zip):
                if name in self._fields or name in _RESERVED:
                    raise ValueError(f"{name}: names a field; allowed: another name for an axis of several fields")
                checked = {f: self._axis_values(f, v, unique=False) for f, v in value.fields.items()}
                axes.append(Axis(name, tuple(range(len(next(iter(checked.values()))))), checked))
            elif name == "seed":
                if _is_sequence(value):
                    seeds = tuple(_seed(v) for v in _as_tuple(name, value))
                    _check_axis(name, seeds, unique=True)
                    axes.append(Axis(name, seeds, {}))
                    self.seeds = seeds
                else:
                    self.seeds = (_seed(value),)
            elif _is_sequence(value):
                values = self._axis_values(name, _as_tuple(name, value), unique=True)
                axes.append(Axis(name, values, {name: values}))
            else:
                fixed[name] = _convert(self._field(name), value)
        self.axes = tuple(axes)
        self._check_names(fixed)
        self.config = dataclasses.replace(readings[self.reading], **fixed)
        self._check_ranges()
        if self.experiment.check is not None:
            for config in self.configs():
                self.experiment.check(config)

    @property
    def shape(self) -> dict[str, int]:
        """Dimension name -> length, in order."""
        return {axis.name: len(axis.coordinate) for axis in self.axes}

    @property
    def cells(self) -> int:
        """How many networks are trained."""
        return math.prod(self.shape.values())

    @property
    def point_axes(self) -> tuple[Axis, ...]:
        """The axes other than ``seed``."""
        return tuple(axis for axis in self.axes if axis.name != "seed")

    def label(self, name: str) -> str:
        """The symbol of a field, for an axis label."""
        return self._fields[name].symbol if name in self._fields else name.replace("_", " ")

    def settings(self) -> dict[str, Any]:
        """The fields that are not swept, with their values."""
        swept = {f for axis in self.axes for f in axis.fields}
        return {name: getattr(self.config, name) for name in self._fields if name not in swept}

    @property
    def static_axes(self) -> tuple[bool, ...]:
        """For each of `point_axes`, whether its values are compiled apart: it moves a static field."""
        return tuple(any(self._fields[f].static for f in axis.fields) for axis in self.point_axes)

    def configs(self) -> Iterator[Any]:
        """One Config for each program: every value of the static axes, the first of all others."""
        lengths = [
            len(a.coordinate) if s else 1 for a, s in builtins.zip(self.point_axes, self.static_axes, strict=True)
        ]
        for position in itertools.product(*map(range, lengths)):
            yield self.config_at(position)

    def config_at(self, position: Sequence[int]) -> Any:
        """The Config with the fields of static axes as they are at a position on each of `point_axes`."""
        chosen = builtins.zip(self.point_axes, self.static_axes, position, strict=True)
        fixed = {f: values[i] for axis, static, i in chosen if static for f, values in axis.fields.items()}
        return dataclasses.replace(self.config, **fixed)

    def columns(self) -> dict[str, tuple[int, np.ndarray]]:
        """Swept traced field -> which of `point_axes` moves it, and its values along that axis."""
        return {
            f: (i, np.asarray(values))
            for i, (axis, static) in enumerate(builtins.zip(self.point_axes, self.static_axes, strict=True))
            if not static
            for f, values in axis.fields.items()
        }

    def over(self, columns: Mapping[str, dict[str, tuple[Any, ...]]], seeds: tuple[int, ...]) -> Grid:
        """The same experiment and fixed settings over other axes (name -> field -> values), not checked again."""
        other = copy.copy(self)
        axes = [Axis(name, tuple(range(len(next(iter(c.values()))))), c) for name, c in columns.items()]
        other.axes, other.seeds = (*axes, Axis("seed", seeds, {})), seeds
        return other

    def __getstate__(self) -> dict[str, Any]:
        # A mapping proxy cannot be pickled.
        plain = self.experiment._replace(readings=dict(self.experiment.readings), dims=dict(self.experiment.dims))
        return self.__dict__ | {"experiment": plain}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if jax.tree_util.treedef_is_leaf(jax.tree.structure(self.config)):
            # A Config defined in a notebook travels by value, its registration with JAX does not.
            jax.tree_util.register_dataclass(type(self.config))

    def __repr__(self) -> str:
        shape = " × ".join(f"{name} {length}" for name, length in self.shape.items()) or "one cell"
        return f"Grid({self.experiment.name!r}, reading={self.reading!r}: {shape}, {self.cells} cells)"

    @classmethod
    def from_toml(cls, path: str | pathlib.Path) -> Grid:
        """Read a grid from a TOML file.

        The file has ``experiment``, optionally ``reading``, a table ``[settings]`` of fixed fields, a
        table ``[axes]`` whose entries are lists or ``{start, stop, num}`` (``log = true`` for
        logarithmic spacing; whole-number fields are rounded), and tables ``[[zip]]``.

        Args:
            path: the file.

        Returns:
            The Grid.

        Raises:
            ValueError: if the file cannot be read, is not TOML, or says something unknown.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp(), "grid.toml")
            >>> _ = path.write_text('''
            ... experiment = "topk_pruning"
            ... [settings]
            ... steps = 100
            ... [axes]
            ... sigma_p = {start = 0.25, stop = 1.0, num = 4}
            ... K = [20, 100]
            ... ''')
            >>> Grid.from_toml(path).shape
            {'sigma_p': 4, 'K': 2}
        """
        try:
            content = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not valid TOML: {error}") from None
        for name in content:
            if name not in _TOML_TABLES:
                raise ValueError(f"{path}: " + _unknown("key", name, _TOML_TABLES))
        if "experiment" not in content:
            raise ValueError(
                f"{path}: no experiment given; allowed: experiment = one of {', '.join(experiments.NAMES)}"
            )
        for name, kind in (("settings", dict), ("axes", dict), ("zip", list)):
            if not isinstance(content.get(name, kind()), kind):
                raise ValueError(f"{path}: {name} is {content[name]!r}; allowed: a table")
        for table in content.get("zip", []):
            if not isinstance(table, dict):
                raise ValueError(f"{path}: zip holds {table!r}; allowed: a table, [[zip]]")
        for table in ("settings", "axes"):
            for name in {"self", "experiment", "reading"} & content.get(table, {}).keys():
                raise ValueError(f"{path}: {name} stands in [{table}]; allowed: fields, and {name!r} above all tables")
        try:
            experiment = experiments.get(content["experiment"])
            known = _checked_fields(experiment)

            def bundle(table: dict[str, Any]) -> Zip:
                return zip(**{n: _expand(known.get(n), n, v) for n, v in table.items()})

            axes = {
                n: bundle(v) if n not in known and isinstance(v, dict) and v.keys() - _SPACING and n != "seed"
                else _expand(known.get(n), n, v)
                for n, v in content.get("axes", {}).items()
            }  # fmt: skip
            both = axes.keys() & content.get("settings", {}).keys()
            if both:
                raise ValueError(f"{min(both)}: given in [settings] and in [axes]; allowed: one of them")
            bundles = [bundle(table) for table in content.get("zip", [])]
            settings = {**content.get("settings", {}), **axes}
            return cls(experiment, *bundles, reading=content.get("reading"), **settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_toml(self, path: str | pathlib.Path) -> None:
        """Write the grid so that `from_toml` reads it back.

        Args:
            path: the file, overwritten.
        """
        base = readings_of(self.experiment)[self.reading]
        settings = {n: _plain(v) for n, v in self.settings().items() if v != getattr(base, n)}
        if self.seeds != (0,) and "seed" not in self.shape:
            settings["seed"] = self.seeds[0]
        axes: dict[str, Any] = {}
        zips = []
        for axis in self.axes:
            columns = {n: [_plain(v) for v in vs] for n, vs in axis.fields.items()}
            if axis.name == "seed":
                axes["seed"] = list(axis.coordinate)
            elif axis.name not in columns:
                axes[axis.name] = columns  # a named zip: [axes.NAME]
            elif len(columns) > 1:
                zips.append(columns)
            else:
                axes |= columns
        content = {"experiment": self.experiment.name, "reading": self.reading, "settings": settings, "axes": axes}
        pathlib.Path(path).write_text(tomli_w.dumps(content | ({"zip": zips} if zips else {})), encoding="utf-8")

    def _field(self, name: str) -> FieldInfo:
        if name not in self._fields:
            raise ValueError(_unknown("field", name, [*self._fields, "seed"], self.experiment.name))
        return self._fields[name]

    def _axis_values(self, name: str, values: tuple[Any, ...], unique: bool) -> tuple[Any, ...]:
        if name == "seed":
            raise ValueError("seed: inside a zip; allowed: an axis of its own")
        info = self._field(name)
        if name == "steps":
            raise ValueError("steps: given several values; allowed: one (record_every gives the states on the way)")
        converted = tuple(_convert(info, v) for v in values)
        _check_axis(name, converted, unique)
        return converted

    def _check_names(self, fixed: Mapping[str, Any]) -> None:
        """Every field and every dimension is given once."""
        named = [*fixed, *(f for axis in self.axes for f in axis.fields)]
        twice = {n for n in named if named.count(n) > 1}
        dims = [axis.name for axis in self.axes]
        twice |= {n for n in dims if dims.count(n) > 1}
        if twice:
            raise ValueError(f"{min(twice)}: given twice; allowed: once")

    def _check_ranges(self) -> None:
        """Every value against the range of its field, whose ends may be other fields of this grid."""
        given = {name: (getattr(self.config, name),) for name in self._fields}
        home: dict[str, Axis] = {}
        for axis in self.axes:
            given.update(axis.fields)
            home.update(dict.fromkeys(axis.fields, axis))
        for info in self._fields.values():
            if info.range is None:
                continue
            low_open, *ends, high_open = _parse_range(info.range)
            for end, sign, is_open in ((ends[0], 1, low_open), (ends[1], -1, high_open)):
                pairs: Iterable[tuple[Any, Any]]
                if end in given and info.name in home and home[info.name] is home.get(end):
                    pairs = builtins.zip(given[info.name], given[end], strict=True)
                else:
                    pairs = itertools.product(given[info.name], given.get(end) or (float(end),))
                for value, limit in pairs:
                    if value is None or sign * value > sign * limit or (value == limit and not is_open):
                        continue
                    where = f" ({end} = {limit})" if end in given else ""
                    none = " or none" if info.optional else ""
                    raise ValueError(f"{info.name}: {value} is out of range; allowed: {info.range}{where}{none}")


def _checked_fields(experiment: Any) -> dict[str, FieldInfo]:
    """The fields of a well-formed experiment."""
    if not isinstance(experiment, Experiment):
        raise ValueError(
            f"experiment: {experiment!r} is of type {type(experiment).__name__}; allowed: a name or an Experiment"
        )
    if not dataclasses.is_dataclass(experiment.Config):
        raise ValueError(f"{experiment.name}: Config is not a dataclass; allowed: a frozen, registered dataclass")
    known = fields_of(experiment.Config)
    if "steps" not in known or known["steps"].static:
        raise ValueError(f"{experiment.name}: Config needs a field 'steps: int' that is not static")
    for info in known.values():
        if info.name in _RESERVED:
            raise ValueError(f"{experiment.name}: Config has a field {info.name!r}, which the engine uses itself")
        if info.type not in _TYPE_NAMES:
            raise ValueError(
                f"{experiment.name}: field {info.name} has type {info.type}; allowed: int, float, bool, str"
            )
        if not info.static and (info.type is str or info.optional):
            raise ValueError(f"{experiment.name}: field {info.name} cannot be traced; allowed: mark it static")
    return known


def _unknown(kind: str, name: Any, known: Iterable[str], of: str | None = None) -> str:
    near = difflib.get_close_matches(str(name), list(known), 1, 0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{kind}: {name!r} is not known{f' to {of}' if of else ''}; {hint}allowed: {', '.join(known)}"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, range, dict, set, frozenset)) or getattr(value, "ndim", 0) > 0


def _as_tuple(name: str, value: Any) -> tuple[Any, ...]:
    if not _is_sequence(value) or isinstance(value, (dict, set, frozenset)):
        raise ValueError(f"{name}: a {type(value).__name__}; allowed: a list, tuple, range or array")
    if getattr(value, "ndim", 1) != 1:
        raise ValueError(f"{name}: an array of {value.ndim} dimensions; allowed: 1")
    return tuple(np.asarray(value).tolist()) if hasattr(value, "ndim") else tuple(value)


def _check_axis(name: str, values: tuple[Any, ...], unique: bool) -> None:
    if not values:
        raise ValueError(f"{name}: an empty axis; allowed: one value or more")
    seen: set[Any] = set()
    for value in values if unique else ():
        # Floats are compared as the engine will see them.
        number = np.float32(value) if isinstance(value, float) else value
        if number in seen:
            raise ValueError(f"{name}: {_plain(value)} is repeated; allowed: different values")
        seen.add(number)


def _seed(value: Any) -> int:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEED:
        raise ValueError(f"seed: {value!r} is not a seed; allowed: a whole number, 0 to {_MAX_SEED}")
    return int(value)


def _convert(info: FieldInfo, value: Any) -> Any:
    """A value of the field's type, or ValueError. Numbers are never made from text here."""
    value = value.item() if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0 else value
    if info.optional and (value is None or value == "none"):
        return None
    good = {
        bool: isinstance(value, bool),
        int: isinstance(value, numbers.Integral) and not isinstance(value, bool),
        float: isinstance(value, numbers.Real) and not isinstance(value, bool),
        str: isinstance(value, str),
    }[info.type]
    if not good or (info.choices is not None and value not in info.choices):
        choices = [repr(c) for c in info.choices or ()]
        near = difflib.get_close_matches(repr(value), choices, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        allowed = ", ".join(choices) or _TYPE_NAMES[info.type]
        none = " or none" if info.optional else ""
        raise ValueError(f"{info.name}: {value!r} does not fit; {hint}allowed: {allowed}{none}")
    value = info.type(value)
    if info.type is int and abs(value) > _MAX_SEED:
        raise ValueError(f"{info.name}: {value} is too large; allowed: at most {_MAX_SEED} in magnitude")
    if info.type is float and not math.isfinite(value):
        raise ValueError(f"{info.name}: {value} is not finite; allowed: a finite number")
    if info.type is float and abs(value) > _MAX_FLOAT:
        raise ValueError(f"{info.name}: {value} is too large; allowed: at most {_MAX_FLOAT:.3g} in magnitude (float32)")
    return value


def _parse_range(text: str) -> tuple[bool, str, str, bool]:
    """("(0, d]") -> (True, "0", "d", False)."""
    match = re.fullmatch(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])", text)
    if match is None:
        raise ValueError(f"range: {text!r} is not an interval; allowed: for example '[0, inf)' or '(0, d]'")
    return match[1] == "(", match[2], match[3], match[4] == ")"


def _expand(info: FieldInfo | None, name: str, value: Any) -> Any:
    """A list as it stands, or {start, stop, num, log} spelled out."""
    if not isinstance(value, dict):
        if not isinstance(value, list):
            raise ValueError(f"{name}: {value!r} in [axes]; allowed: a list, or {{start, stop, num}}")
        return value
    spacing = dict(value)
    log = spacing.pop("log", False)
    if set(spacing) != {"start", "stop", "num"} or not isinstance(log, bool):
        raise ValueError(f"{name}: has keys {sorted(value)}; allowed: start, stop, num and log = true")
    for key, number in spacing.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ValueError(f"{name}: {key} is {number!r}; allowed: a finite number")
    start, stop, num = spacing["start"], spacing["stop"], spacing["num"]
    if not isinstance(num, int) or num < 1:
        raise ValueError(f"{name}: num is {num}; allowed: a whole number, 1 or more")
    if log and min(start, stop) <= 0:
        raise ValueError(f"{name}: start {start} and stop {stop} on a log scale; allowed: above 0")
    values = np.geomspace(start, stop, num) if log else np.linspace(start, stop, num)
    whole = (info is not None and info.type is int) or name == "seed"
    return [round(v) for v in values.tolist()] if whole else values.tolist()


def _plain(value: Any) -> Any:
    """For messages and TOML, which has no null."""
    return "none" if value is None else value
