"""Cells of a grid by the values of their axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from snljax.sweep.axes import Axis
from snljax.sweep.field_values import is_sequence
from snljax.sweep.grid import Grid
from snljax.wording import shown, unknown

_SHOWN = 8


class Cell(NamedTuple):
    """One network of a grid. point: positions on the axes without ``seed``. seed: position of its seed."""

    point: tuple[int, ...]
    seed: int


def cells_of(grid: Grid, wanted: Mapping[str, Any]) -> list[Cell]:
    """The product of some values of each axis, as positions.

    Args:
        grid: that they are cells of.
        wanted: axis -> value or values; an axis of one value may be left out.

    Returns:
        Cells, the last axis fastest.

    Raises:
        ValueError: an axis that is not there or is left out, a value that is not on it.

    Example:
        >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0], K=[4, 8], seed=range(3))
        >>> cells_of(grid, {"sigma_p": 1.0, "K": [4, 8], "seed": 2})
        [Cell(point=(1, 0), seed=2), Cell(point=(1, 1), seed=2)]
    """
    seed = Axis("seed", grid.seeds, {})
    axes = {axis.name: axis for axis in (*grid.point_axes, seed)}
    for name in wanted:
        if name not in axes:
            raise ValueError(unknown("axis", name, axes, grid.experiment.name))
    rows = [list(_rows(axis, wanted)) for axis in axes.values()]
    return [Cell(tuple(point), last) for *point, last in itertools.product(*rows)]


def _rows(axis: Axis, wanted: Mapping[str, Any]) -> Iterator[int]:
    """Where the wanted values stand on an axis."""
    if axis.name not in wanted:
        if len(axis.coordinate) > 1:
            raise ValueError(f"{axis.name}: not given; allowed: {_allowed(axis)}")
        yield 0
        return
    given = wanted[axis.name]
    for value in list(given) if is_sequence(given) else [given]:
        yield _row(axis, value)


def _row(axis: Axis, value: Any) -> int:
    """Where a value stands; a float that is written otherwise, as 0.30000000000000004, is the nearest to rounding."""
    if value in axis.coordinate:
        return axis.coordinate.index(value)
    numbers = [isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in (value, *axis.coordinate)]
    if all(numbers):
        near = np.flatnonzero(np.isclose(np.array(axis.coordinate, float), float(value), rtol=1e-6, atol=0))
        if len(near) == 1:
            return int(near[0])
    raise ValueError(f"{axis.name}: {shown(value)} is not on the axis; allowed: {_allowed(axis)}")


def _allowed(axis: Axis) -> str:
    values: Sequence[Any] = axis.coordinate
    more = f" … {values[-1]}" if len(values) > _SHOWN else ""
    return ", ".join(str(v) for v in values[: _SHOWN - 1 if more else _SHOWN]) + more
