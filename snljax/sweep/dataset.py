"""From arrays of cells to a labelled Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from snljax.sweep.grid import Axis, Grid

PENDING, DONE, DIVERGED = 0, 1, 2


class Results:
    """Fills up with finished cells, in any order; ``dataset`` labels what is there."""

    def __init__(self, grid: Grid, records: list[int] | None) -> None:
        self.grid, self.records = grid, records
        shape = [len(axis.coordinate) for axis in grid.point_axes] + [len(grid.seeds)]
        self.status = np.full(shape, PENDING, np.int8)
        self.first_bad = np.full(shape, -1, np.int32)
        self.metrics: dict[str, np.ndarray] = {}

    def put(self, points: tuple[np.ndarray, ...], seeds: np.ndarray, records: list[Any], first_bad: np.ndarray) -> None:
        """Store cells.

        Args:
            points: for each axis without seed, the position of each point.
            seeds: positions of the seeds.
            records: for each record, Metrics of arrays (points, seeds, ...).
            first_bad: (seeds, points), -1 where all is finite.
        """
        cells = (*(np.asarray(p)[:, None] for p in points), np.asarray(seeds)[None, :]) if points else (seeds,)
        first_bad = first_bad.T if points else first_bad[:, 0]
        at = [0] if self.records is None else self.records
        dead = np.stack([(first_bad >= 0) & ((first_bad <= k) | (self.records is None)) for k in at])
        for name in records[0]._fields:
            values = [getattr(r, name) for r in records]
            if values[0] is None:
                continue
            stacked = np.stack(values)
            stacked = stacked if np.issubdtype(stacked.dtype, np.floating) else stacked.astype(np.float32)
            stacked = stacked if points else stacked[:, 0]
            stacked[dead] = np.nan
            target = self._room(name, stacked.shape[dead.ndim :], stacked.dtype)
            inside = tuple(slice(0, size) for size in stacked.shape[dead.ndim :])
            for k in range(len(at)):
                target[k][(*cells, *inside)] = stacked[k]
        self.first_bad[cells] = first_bad
        self.status[cells] = np.where(first_bad >= 0, DIVERGED, DONE)

    def _room(self, name: str, inner: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The array of a metric; grows where a static axis makes its own dimensions longer."""
        length = 1 if self.records is None else len(self.records)
        outer = (length, *self.status.shape)
        old = self.metrics.get(name)
        if old is None:
            self.metrics[name] = np.full((*outer, *inner), np.nan, dtype)
        elif any(new > had for new, had in zip(inner, old.shape[len(outer) :], strict=True)):
            grown = [max(pair) for pair in zip(inner, old.shape[len(outer) :], strict=True)]
            self.metrics[name] = np.full((*outer, *grown), np.nan, dtype)
            self.metrics[name][tuple(slice(0, s) for s in old.shape)] = old
        return self.metrics[name]

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """The labelled Dataset, dimensions in the order of the grid."""
        grid = self.grid
        dims = [axis.name for axis in grid.point_axes] + ["seed"]
        variables: dict[str, Any] = {}
        for name, values in self.metrics.items():
            outer = ["step", *dims]
            own = grid.experiment.dims.get(name, ())
            inner = values.ndim - len(outer)
            named = own if len(own) == inner else tuple(f"{name}_dim_{i}" for i in range(inner))
            variables[name] = xr.DataArray(values, dims=[*outer, *named], attrs={"long_name": name.replace("_", " ")})
        meanings = {"flag_values": [PENDING, DONE, DIVERGED], "flag_meanings": "pending done diverged"}
        variables["status"] = xr.DataArray(self.status, dims=dims, attrs=meanings)
        variables["first_bad_step"] = xr.DataArray(
            self.first_bad, dims=dims, attrs={"long_name": "updates after which the cell was not finite, or -1"}
        )
        ds = xr.Dataset(variables, attrs=attrs)
        for axis in grid.axes:
            ds = ds.assign_coords(_coordinates(grid, axis))
        if self.records is None:
            ds = ds.isel(step=0) if "step" in ds.dims else ds
        else:
            ds = ds.assign_coords(step=("step", self.records, {"long_name": "gradient steps"}))
        if "seed" not in grid.shape:
            ds = ds.isel(seed=0)
        last = ["step"] if self.records is not None else []
        return ds.transpose(*grid.shape, *last, ...)


def _coordinates(grid: Grid, axis: Axis) -> dict[str, Any]:
    columns = {axis.name: axis.coordinate, **axis.fields}
    return {name: (axis.name, _column(values), {"long_name": grid.label(name)}) for name, values in columns.items()}


def _column(values: tuple[Any, ...]) -> list[Any]:
    """None is no number and no text: such a column becomes text throughout."""
    return ["none" if v is None else str(v) for v in values] if None in values else list(values)
