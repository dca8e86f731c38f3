"""The grid: which experiment, which fields are fixed, which are axes. All input is validated here."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from snljax import experiments
from snljax.experiment import Experiment, FieldInfo, readings_of
from snljax.sweep import grid_file, grid_html
from snljax.sweep.axes import Axis, Together
from snljax.sweep.contract import RESERVED, checked_fields
from snljax.sweep.field_values import (
    as_seen,
    as_tuple,
    check_length,
    check_ranges,
    check_unique,
    converted,
    float_dtype,
    is_sequence,
    seed,
)
from snljax.wording import one_line, shown, unknown


class Grid:
    """A grid of settings for one experiment.

    Args:
        experiment: its name, or an `Experiment` of your own, or where that is: ``"own.py:NAME"``,
            ``"package.module:NAME"``.
        *bundles: axes that move several fields together, see `together`.
        reading: which base Config to start from; default is the experiment's first.
        **settings: field=scalar fixes a field, field=sequence makes it an axis; ``seed`` likewise
            (whole numbers, default 0). ``steps``, ascending, is an axis of states that one training passes through:
            nothing more is trained or compiled for it, and it is the Dataset's last dimension before a metric's own.

    Raises:
        ValueError: unknown experiment, reading or field (the nearest name is offered), a value of
            the wrong type or outside its range, an empty axis, a repeated value.

    Attributes:
        record_steps: values of the axis ``steps``; None where it is one number.
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
    record_steps: tuple[int, ...] | None
    checked_dtype: str

    def __init__(
        self, experiment: str | Experiment, *bundles: Together, reading: str | None = None, **settings: Any
    ) -> None:
        self.experiment = experiments.get(experiment) if isinstance(experiment, str) else experiment
        self._fields = checked_fields(self.experiment)
        readings = readings_of(self.experiment)
        if reading is not None and not (isinstance(reading, str) and reading in readings):
            raise ValueError(unknown("reading", reading, readings))
        self.reading = str(reading) if reading is not None else next(iter(readings))

        axes: list[Axis] = []
        fixed: dict[str, Any] = {}
        self.seeds, self.record_steps = (0,), None
        for bundle in bundles:
            if not isinstance(bundle, Together):
                raise ValueError(
                    f"{shown(bundle)} is of type {type(bundle).__name__}; "
                    "allowed: together(field=values, ...), or field=values"
                )
            first = next(iter(bundle.fields))
            checked = {f: self._axis_values(f, v) for f, v in bundle.fields.items()}
            axes.append(Axis(first, checked[first], checked))
        for name, value in settings.items():
            if isinstance(value, Together):
                if name in self._fields or name in RESERVED:
                    raise ValueError(f"{name}: names a field; allowed: another name for an axis of several fields")
                checked = {f: self._axis_values(f, v) for f, v in value.fields.items()}
                axes.append(Axis(name, tuple(range(len(next(iter(checked.values()))))), checked))
            elif name == "seed":
                if is_sequence(value):
                    seeds = tuple(seed(v) for v in as_tuple(name, value))
                    check_length(name, seeds)
                    axes.append(Axis(name, seeds, {}))
                    self.seeds = seeds
                else:
                    self.seeds = (seed(value),)
            elif name == "steps" and is_sequence(value):
                self.record_steps = self._record_steps(as_tuple(name, value))
                fixed[name] = self.record_steps[-1]
            elif is_sequence(value):
                values = self._axis_values(name, as_tuple(name, value))
                axes.append(Axis(name, values, {name: values}))
            else:
                fixed[name] = converted(self._field(name), value)
        self.axes = tuple(axes)
        self._check_names(fixed)
        self.config = dataclasses.replace(readings[self.reading], **fixed)
        self.check_values()
        if self.experiment.settle is not None:
            self.config = self.experiment.settle(self.config)
        if self.record_steps is not None and self.config.steps != self.record_steps[-1]:
            raise ValueError(
                f"steps: several values, and {self.experiment.name} makes them {self.config.steps} by other fields; "
                "allowed: one of the two"
            )
        if self.experiment.check is not None:
            for config in self._corners():
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
        dtype = float_dtype()
        given = {name: (getattr(self.config, name),) for name in self._fields}
        given |= {name: values for axis in self.axes for name, values in axis.fields.items()}
        seen = {name: as_seen(self._fields[name], values, dtype) for name, values in given.items()}
        for axis in self.axes:
            if axis.name == "seed":
                check_unique(axis.name, axis.coordinate, axis.coordinate, dtype)
            elif axis.name in axis.fields:  # else it is numbered
                check_unique(axis.name, axis.coordinate, seen[axis.name], dtype)
        moved = {name: tuple(axis.fields) for axis in self.axes for name in axis.fields}
        check_ranges(self._fields, moved, given, seen, dtype)
        self.checked_dtype = dtype.name

    @property
    def shape(self) -> dict[str, int]:
        """Dimension name -> length, in order; ``steps`` last, where it is an axis."""
        steps = {} if self.record_steps is None else {"steps": len(self.record_steps)}
        return {axis.name: len(axis.coordinate) for axis in self.axes} | steps

    @property
    def cells(self) -> int:
        """How many networks are trained."""
        return math.prod(len(axis.coordinate) for axis in self.axes)

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
        lengths = [len(a.coordinate) if s else 1 for a, s in zip(self.point_axes, self.static_axes, strict=True)]
        for position in itertools.product(*map(range, lengths)):
            yield self.config_at(position)

    def _corners(self) -> Iterator[Any]:
        """Each of `configs` with the first value of every other axis, and with the last."""
        others = [axis.fields for axis, static in zip(self.point_axes, self.static_axes, strict=True) if not static]
        for config in self.configs():
            for end in (0, -1) if others else (0,):
                yield dataclasses.replace(
                    config, **{f: values[end] for fields in others for f, values in fields.items()}
                )

    def config_at(self, position: Sequence[int]) -> Any:
        """The Config with the fields of static axes as they are at a position on each of `point_axes`."""
        chosen = zip(self.point_axes, self.static_axes, position, strict=True)
        fixed = {f: values[i] for axis, static, i in chosen if static for f, values in axis.fields.items()}
        return dataclasses.replace(self.config, **fixed)

    def columns(self) -> dict[str, tuple[int, np.ndarray]]:
        """Swept traced field -> which of `point_axes` moves it, and its values along that axis."""
        return {
            f: (i, np.asarray(values))
            for i, (axis, static) in enumerate(zip(self.point_axes, self.static_axes, strict=True))
            if not static
            for f, values in axis.fields.items()
        }

    def over(self, columns: Mapping[str, dict[str, tuple[Any, ...]]], seeds: tuple[int, ...]) -> Grid:
        """The same experiment and fixed settings over other axes (name -> field -> values), not checked again."""
        other = copy.copy(self)
        axes = [Axis(name, tuple(range(len(next(iter(c.values()))))), c) for name, c in columns.items()]
        other.axes, other.seeds = (*axes, Axis("seed", seeds, {})), seeds
        return other

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if jax.tree_util.treedef_is_leaf(jax.tree.structure(self.config)):
            # A Config defined in a notebook travels by value, its registration with JAX does not.
            jax.tree_util.register_dataclass(type(self.config))

    def __repr__(self) -> str:
        shape = " × ".join(f"{name} {length}" for name, length in self.shape.items()) or "one cell"
        return f"Grid({self.experiment.name!r}, reading={self.reading!r}: {shape}, {self.cells} cells)"

    def _repr_html_(self) -> str:
        return grid_html.to_html(self)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], /, **changes: Any) -> Grid:
        """Read a grid from a TOML file.

        The file has ``experiment``, a name or the place of one of your own (``own.py:NAME``, relative to the file, or
        ``package.module:NAME``); optionally ``reading``, a table ``[settings]`` of fixed fields, a
        table ``[axes]`` whose entries are lists or ``{start, stop, num}`` (``log = true`` for
        logarithmic spacing; whole-number fields are rounded), and tables ``[[zip]]``.

        Args:
            path: the file.
            **changes: field=value or field=values instead of what the file says of it; ``reading`` too.

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
            >>> Grid.from_toml(path, K=50, seed=range(3)).shape
            {'sigma_p': 4, 'seed': 3}
        """
        try:
            content = grid_file.changed(grid_file.read(path), changes)
            return cls(content.experiment, *content.bundles, reading=content.reading, **content.settings)
        except ValueError as error:
            raise ValueError(f"{path}: {one_line(error)}") from None  # a key of the file may hold line breaks

    def to_toml(self, path: str | os.PathLike[str]) -> None:
        """Write the grid so that `from_toml` reads it back, in another process too.

        Args:
            path: the file, overwritten.

        Raises:
            ValueError: what would be read back is not this grid, as its experiment has no name outside this process
                or the value of a field cannot be written; or the file cannot be written. Nothing is written then.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp(), "grid.toml")
            >>> Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=10).to_toml(path)
            >>> Grid.from_toml(path)
            Grid('topk_pruning', reading='fitted': sigma_p 2, 2 cells)
        """
        folder = pathlib.Path(path).parent
        try:
            name = experiments.name_of(self.experiment, folder)
            steps = [Axis("steps", r, {"steps": r}) for r in (self.record_steps,) if r is not None]
            text = grid_file.text_of(name, self.reading, self._given(), [*self.axes, *steps])
            content = grid_file.parsed(text, folder)
            again = type(self)(content.experiment, *content.bundles, reading=content.reading, **content.settings)
            if (again.experiment is not self.experiment) or again._said() != self._said():
                raise ValueError(f"{again!r} would be read back for {self!r}; allowed: a grid that TOML can hold")
            pathlib.Path(path).write_bytes(text.encode())
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {getattr(error, 'strerror', None) or one_line(error)}") from None

    def _said(self) -> tuple[Any, ...]:
        return self.reading, self.config, self.seeds, self.axes, self.record_steps

    def _given(self) -> dict[str, Any]:
        """The settings that this grid follows from: other than the reading's, and not settled by the others."""
        base, settle = readings_of(self.experiment)[self.reading], self.experiment.settle
        given = {n: v for n, v in self.settings().items() if v != getattr(base, n)}
        for name in [*given]:
            others = {n: v for n, v in given.items() if n != name}
            with contextlib.suppress(ValueError):
                if settle is not None and settle(dataclasses.replace(base, **others)) == self.config:
                    given = others
        if self.record_steps is not None:
            given.pop("steps", None)
        if self.seeds != (0,) and "seed" not in self.shape:
            given["seed"] = self.seeds[0]
        return given

    def _field(self, name: str) -> FieldInfo:
        if name not in self._fields:
            raise ValueError(unknown("field", name, [*self._fields, "seed"], self.experiment.name))
        return self._fields[name]

    def _axis_values(self, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if name == "seed":
            raise ValueError("seed: inside together(…); allowed: an axis of its own")
        info = self._field(name)
        if name == "steps":
            raise ValueError("steps: inside together(…); allowed: an axis of its own")
        checked = tuple(converted(info, v) for v in values)
        check_length(name, checked)
        return checked

    def _record_steps(self, values: tuple[Any, ...]) -> tuple[int, ...]:
        """Checked values of the axis ``steps``."""
        steps = tuple(int(converted(self._field("steps"), v)) for v in values)
        check_length("steps", steps)
        if list(steps) != sorted({*steps}) or steps[0] < 0:
            raise ValueError(f"steps: {shown(list(values))}; allowed: whole numbers of 0 or more, in ascending order")
        return steps

    def _check_names(self, fixed: Mapping[str, Any]) -> None:
        """Every field and every dimension is given once."""
        named = [*fixed, *(f for axis in self.axes for f in axis.fields)]
        twice = {n for n in named if named.count(n) > 1}
        dims = [axis.name for axis in self.axes]
        twice |= {n for n in dims if dims.count(n) > 1}
        if twice:
            raise ValueError(f"{min(twice)}: given twice; allowed: once")
