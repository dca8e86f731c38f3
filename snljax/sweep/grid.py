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
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tomli_w

from snljax import experiments
from snljax.experiment import Experiment, FieldInfo, fields_of, readings_of

_MAX_SEED = 2**31 - 1
_MAX_NUM = 1_000_000  # of the values that {start, stop, num} stands for
_SPACING = {"start", "stop", "num", "log"}
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}
_RESERVED = ("seed", "step", "status", "first_bad_step")
_KEYWORDS = ("self", "experiment", "reading")  # of Grid itself
_REGISTERED = "@jax.tree_util.register_dataclass above @dataclasses.dataclass(frozen=True)"
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

    Attributes:
        checked_dtype: the engine's float type under which the values were last checked, see `check_values`.

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
    checked_dtype: str

    def __init__(self, experiment: str | Experiment, *zips: Zip, reading: str | None = None, **settings: Any) -> None:
        self.experiment = experiments.get(experiment) if isinstance(experiment, str) else experiment
        self._fields = _checked_fields(self.experiment)
        readings = readings_of(self.experiment)
        if reading is not None and not (isinstance(reading, str) and reading in readings):
            raise ValueError(_unknown("reading", reading, readings))
        self.reading = str(reading) if reading is not None else next(iter(readings))

        axes: list[Axis] = []
        fixed: dict[str, Any] = {}
        self.seeds = (0,)
        for bundle in zips:
            if not isinstance(bundle, Zip):
                raise ValueError(
                    f"{_shown(bundle)} is of type {type(bundle).__name__}; "
                    "allowed: zip(field=values, ...), or field=values"
                )
            first = next(iter(bundle.fields))
            checked = {f: self._axis_values(f, v) for f, v in bundle.fields.items()}
            axes.append(Axis(first, checked[first], checked))
        for name, value in settings.items():
            if isinstance(value, Zip):
                if name in self._fields or name in _RESERVED:
                    raise ValueError(f"{name}: names a field; allowed: another name for an axis of several fields")
                checked = {f: self._axis_values(f, v) for f, v in value.fields.items()}
                axes.append(Axis(name, tuple(range(len(next(iter(checked.values()))))), checked))
            elif name == "seed":
                if _is_sequence(value):
                    seeds = tuple(_seed(v) for v in _as_tuple(name, value))
                    _check_length(name, seeds)
                    axes.append(Axis(name, seeds, {}))
                    self.seeds = seeds
                else:
                    self.seeds = (_seed(value),)
            elif _is_sequence(value):
                values = self._axis_values(name, _as_tuple(name, value))
                axes.append(Axis(name, values, {name: values}))
            else:
                fixed[name] = _convert(self._field(name), value)
        self.axes = tuple(axes)
        self._check_names(fixed)
        self.config = dataclasses.replace(readings[self.reading], **fixed)
        self.check_values()
        if self.experiment.check is not None:
            for config in self.configs():
                self.experiment.check(config)

    def check_values(self) -> None:
        """Check every value as the engine sees it under the present float type, and remember that type.

        Traced numbers become float32 (float64 under ``jax.enable_x64``) before anything is trained: two
        values may then be one, and a value just inside an open end may be the end. A grid that was made
        under another type than it is swept under is checked again.

        Raises:
            ValueError: a value that is too large, repeated on its axis, or outside its range.

        Example:
            >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0])
            >>> grid.check_values()
            >>> grid.checked_dtype
            'float32'
        """
        dtype = _float_dtype()
        given = {name: (getattr(self.config, name),) for name in self._fields}
        given |= {name: values for axis in self.axes for name, values in axis.fields.items()}
        seen = {name: _seen(self._fields[name], values, dtype) for name, values in given.items()}
        for axis in self.axes:
            if axis.name == "seed":
                _check_unique(axis.name, axis.coordinate, axis.coordinate, dtype)
            elif axis.name in axis.fields:  # else it is numbered
                _check_unique(axis.name, axis.coordinate, seen[axis.name], dtype)
        self._check_ranges(given, seen, dtype)
        self.checked_dtype = dtype.name

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
        except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits, or brackets
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
                raise ValueError(f"{path}: {name} is {_shown(content[name])}; allowed: a table")
        for table in content.get("zip", []):
            if not isinstance(table, dict):
                raise ValueError(f"{path}: zip holds {_shown(table)}; allowed: a table, [[zip]]")
        for table in ("settings", "axes"):
            for name in set(_KEYWORDS) & content.get(table, {}).keys():
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
            told = " ".join(str(error).splitlines())  # a key of the file may hold line breaks
            raise ValueError(f"{path}: {told}") from None

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

    def _axis_values(self, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if name == "seed":
            raise ValueError("seed: inside a zip; allowed: an axis of its own")
        info = self._field(name)
        if name == "steps":
            raise ValueError("steps: given several values; allowed: one (record_every gives the states on the way)")
        converted = tuple(_convert(info, v) for v in values)
        _check_length(name, converted)
        return converted

    def _check_names(self, fixed: Mapping[str, Any]) -> None:
        """Every field and every dimension is given once."""
        named = [*fixed, *(f for axis in self.axes for f in axis.fields)]
        twice = {n for n in named if named.count(n) > 1}
        dims = [axis.name for axis in self.axes]
        twice |= {n for n in dims if dims.count(n) > 1}
        if twice:
            raise ValueError(f"{min(twice)}: given twice; allowed: once")

    def _check_ranges(
        self, given: Mapping[str, Sequence[Any]], seen: Mapping[str, Sequence[Any]], dtype: np.dtype
    ) -> None:
        """Every value against the range of its field, whose ends may be other fields of this grid."""
        home = {name: axis for axis in self.axes for name in axis.fields}
        for info in self._fields.values():
            if info.range is None:
                continue
            low_open, *ends, high_open = _parse_range(info.range)
            for end, sign, is_open in ((ends[0], 1, low_open), (ends[1], -1, high_open)):

                def inside(value: Any, limit: Any, sign: int = sign, is_open: bool = is_open) -> bool:
                    return sign * value > sign * limit or (value == limit and not is_open)

                limits = given[end] if end in given else (float(end),)
                limits_seen = seen.get(end, limits)
                if _is_traced_float(info):
                    limits_seen = [None if limit is None else _cast(limit, dtype) for limit in limits_seen]
                values = builtins.zip(given[info.name], seen[info.name], strict=True)
                ends_both = builtins.zip(limits, limits_seen, strict=True)
                pairs: Iterable[tuple[tuple[Any, Any], tuple[Any, Any]]]
                if end in given and info.name in home and home[info.name] is home.get(end):
                    pairs = builtins.zip(values, ends_both, strict=True)
                else:
                    pairs = itertools.product(values, ends_both)
                for (value, number), (limit, limit_number) in pairs:
                    if value is None or limit is None or inside(number, limit_number):
                        continue
                    rounded = f" in {dtype.name}, where it is {number}," if inside(value, limit) else ""
                    where = f" ({end} = {limit})" if end in given else ""
                    none = " or none" if info.optional else ""
                    raise ValueError(
                        f"{info.name}: {value} is out of range{rounded}; allowed: {info.range}{where}{none}"
                    )


def _checked_fields(experiment: Any) -> dict[str, FieldInfo]:
    """The fields of a well-formed experiment."""
    if not isinstance(experiment, Experiment):
        raise ValueError(
            f"experiment: {_shown(experiment)} is of type {type(experiment).__name__}; allowed: a name or an Experiment"
        )
    if not (isinstance(experiment.Config, type) and dataclasses.is_dataclass(experiment.Config)):
        raise ValueError(f"{experiment.name}: Config is not a dataclass; allowed: {_REGISTERED}")
    known = fields_of(experiment.Config)
    if "steps" not in known or known["steps"].static:
        raise ValueError(f"{experiment.name}: Config needs a field 'steps: int' that is not static")
    for info in known.values():
        if info.name in (*_RESERVED, *_KEYWORDS):
            user = "Grid" if info.name in _KEYWORDS else "the engine"
            raise ValueError(
                f"{experiment.name}: Config has a field {info.name!r}, which {user} uses itself; allowed: another name"
            )
        if info.type not in _TYPE_NAMES:
            raise ValueError(
                f"{experiment.name}: field {info.name} has type {info.type}; allowed: int, float, bool, str"
            )
        if not info.static and (info.type is str or info.optional):
            raise ValueError(f"{experiment.name}: field {info.name} cannot be traced; allowed: mark it static")
        if info.range is not None:
            _check_range_of(experiment.name, info, known)
    _check_config(experiment, known)
    return known


def _check_range_of(experiment: str, info: FieldInfo, known: Mapping[str, FieldInfo]) -> None:
    """A range needs numbers on both sides."""
    _, *ends, _ = _parse_range(info.range or "")
    numeric = (int, float)
    for end in ends:
        if info.type not in numeric or (known[end].type not in numeric if end in known else not _is_number(end)):
            raise ValueError(
                f"{experiment}: field {info.name} of type {info.type.__name__} has the range {info.range!r}; "
                "allowed: a number between numbers, or between fields that are numbers"
            )


def _check_config(experiment: Experiment, known: Mapping[str, FieldInfo]) -> None:
    """The Configs of an experiment cannot change, hold what their fields say, and are seen by JAX as they say."""
    name, traced = experiment.name, [info.name for info in known.values() if not info.static]
    if not experiment.Config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ValueError(f"{name}: Config is not frozen; allowed: {_REGISTERED}")
    try:
        readings = readings_of(experiment)
    except TypeError as error:  # a field without a default
        told = " ".join(str(error).split())
        raise ValueError(f"{name}: no reading, and {told}; allowed: readings, or a default for every field") from None
    for reading, config in readings.items():
        if not isinstance(config, experiment.Config):
            raise ValueError(
                f"{name}: reading {reading!r} is {_shown(config)}; allowed: a {experiment.Config.__name__}"
            )
        for info in known.values():
            try:
                _convert(info, getattr(config, info.name))
            except ValueError as error:
                raise ValueError(f"{name}: reading {reading!r} has {error}") from None
        leaves, structure = jax.tree_util.tree_flatten_with_path(config)
        if jax.tree_util.treedef_is_leaf(structure):
            raise ValueError(f"{name}: Config is not registered with jax; allowed: {_REGISTERED}")
        seen = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        if seen != traced:
            raise ValueError(
                f"{name}: Config is registered with jax with the traced fields {_listed(seen)}, and {_listed(traced)} "
                f"are not static; allowed: {_REGISTERED}, which reads the marks of the fields"
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _shown(value: Any) -> str:
    """A value in a message: one line, and not a long one."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # thousands of digits
        return f"a {type(value).__name__} of many digits"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _unknown(kind: str, name: Any, known: Iterable[str], of: str | None = None) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.4) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{kind}: {_shown(name)} is not known{f' to {of}' if of else ''}; {hint}allowed: {', '.join(known)}"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, range, dict, set, frozenset)) or getattr(value, "ndim", 0) > 0


def _as_tuple(name: str, value: Any) -> tuple[Any, ...]:
    if not _is_sequence(value) or isinstance(value, (dict, set, frozenset)):
        raise ValueError(f"{name}: a {type(value).__name__}; allowed: a list, tuple, range or array")
    if getattr(value, "ndim", 1) != 1:
        raise ValueError(f"{name}: an array of {value.ndim} dimensions; allowed: 1")
    return tuple(np.asarray(value).tolist()) if hasattr(value, "ndim") else tuple(value)


def _check_length(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError(f"{name}: an empty axis; allowed: one value or more")


def _check_unique(name: str, values: Sequence[Any], seen: Sequence[Any], dtype: np.dtype) -> None:
    """Values are compared as the engine sees them."""
    first: dict[Any, Any] = {}
    for value, number in builtins.zip(values, seen, strict=True):
        if number in first:
            rounded = "" if first[number] == value else f" in {dtype.name}, where it is {_plain(first[number])}"
            raise ValueError(f"{name}: {_plain(value)} is repeated{rounded}; allowed: different values")
        first[number] = value


def _float_dtype() -> np.dtype:
    """What the engine makes of a Python float; asked without starting JAX, whose devices are chosen later."""
    return np.dtype(jax.dtypes.canonicalize_dtype(float))


def _is_traced_float(info: FieldInfo) -> bool:
    return info.type is float and not info.static


def _cast(value: Any, dtype: np.dtype) -> float:
    """A number as the engine computes with it: rounded, and 0 where it is subnormal, as XLA on CPU has it."""
    with np.errstate(over="ignore"):
        number = float(dtype.type(value))
    return 0.0 if abs(number) < np.finfo(dtype).tiny else number


def _seen(info: FieldInfo, values: Sequence[Any], dtype: np.dtype) -> Sequence[Any]:
    """The values of a field as the engine sees them; static ones stay what they are."""
    if not _is_traced_float(info):
        return values
    numbers = [_cast(value, dtype) for value in values]
    for value, number in builtins.zip(values, numbers, strict=True):
        if not math.isfinite(number):
            most = f"{np.finfo(dtype).max:.3g} in magnitude ({dtype.name})"
            raise ValueError(f"{info.name}: {value} is too large; allowed: at most {most}")
    return numbers


def _item(value: Any) -> Any:
    """The number in a NumPy scalar or an array of no dimension."""
    return value.item() if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0 else value


def _seed(value: Any) -> int:
    value = _item(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEED:
        raise ValueError(f"seed: {_shown(value)} is not a seed; allowed: a whole number, 0 to {_MAX_SEED}")
    return int(value)


def _convert(info: FieldInfo, value: Any) -> Any:
    """A value of the field's type, or ValueError. Numbers are never made from text here."""
    value = _item(value)
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
        near = difflib.get_close_matches(_shown(value), choices, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        allowed = ", ".join(choices) or _TYPE_NAMES[info.type]
        none = " or none" if info.optional else ""
        raise ValueError(f"{info.name}: {_shown(value)} does not fit; {hint}allowed: {allowed}{none}")
    if info.type is int and abs(value) > _MAX_SEED:
        raise ValueError(f"{info.name}: {_shown(value)} is too large; allowed: at most {_MAX_SEED} in magnitude")
    try:
        converted = info.type(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise ValueError(f"{info.name}: {_shown(value)} is too large; allowed: a number that fits float64") from None
    if info.type is float and not math.isfinite(converted):
        raise ValueError(f"{info.name}: {converted} is not finite; allowed: a finite number")
    return converted


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
            raise ValueError(f"{name}: {_shown(value)} in [axes]; allowed: a list, or {{start, stop, num}}")
        return value
    spacing = dict(value)
    log = spacing.pop("log", False)
    if set(spacing) != {"start", "stop", "num"} or not isinstance(log, bool):
        raise ValueError(f"{name}: has keys {sorted(value)}; allowed: start, stop, num and log = true")
    for key, number in spacing.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= sys.float_info.max:
            raise ValueError(f"{name}: {key} is {_shown(number)}; allowed: a finite number")
    start, stop, num = float(spacing["start"]), float(spacing["stop"]), spacing["num"]
    if not isinstance(num, int) or not 1 <= num <= _MAX_NUM:
        raise ValueError(f"{name}: num is {_shown(num)}; allowed: a whole number, 1 to {_MAX_NUM}")
    if log and min(start, stop) <= 0:
        raise ValueError(f"{name}: start {start} and stop {stop} on a log scale; allowed: above 0")
    with np.errstate(all="ignore"):
        values = np.geomspace(start, stop, num) if log else np.linspace(start, stop, num)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: start {start} and stop {stop} are too far apart; allowed: numbers closer together")
    whole = (info is not None and info.type is int) or name == "seed"
    return [round(v) for v in values.tolist()] if whole else values.tolist()


def _plain(value: Any) -> Any:
    """For messages and TOML, which has no null."""
    return "none" if value is None else value
