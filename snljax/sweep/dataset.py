"""From arrays of cells, in memory or on disk, to a labelled Dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from snljax.experiment import attributes_of, dims_of
from snljax.sweep.axes import Axis
from snljax.sweep.files import PIECE
from snljax.sweep.grid import Grid
from snljax.sweep.returned import Metrics
from snljax.sweep.stop import Stop
from snljax.sweep.store import Store
from snljax.sweep.work import Plan, Work
from snljax.variables import DIVERGED, DONE, FIRST_BAD, PENDING, STATUS, missing


class Labels(NamedTuple):
    """How a Dataset is labelled.

    axes: its dimensions in order; ``seed`` among them unless there is one seed and no such axis.
    names: field -> symbol. dims: metric -> names of its own dimensions. metrics: metric -> its attributes.
    records: steps, or None. step: name of their dimension.
    """

    axes: tuple[Axis, ...]
    names: Mapping[str, str]
    dims: Mapping[str, Sequence[str]]
    metrics: Mapping[str, Mapping[str, str]]
    records: tuple[int, ...] | None
    step: str


def labels_of(grid: Grid, records: tuple[int, ...] | None) -> Labels:
    """The labels of a grid's Dataset."""
    step = "step" if grid.record_steps is None else "steps"
    names = {n: grid.label(n) for axis in grid.axes for n in (axis.name, *axis.fields)}
    return Labels(grid.axes, names, dims_of(grid.experiment), attributes_of(grid.experiment), records, step)


class Results:
    """Fills up in memory with finished blocks, in any order; ``dataset`` labels what is there."""

    def __init__(self, plan: Plan, metrics: Metrics) -> None:
        grid, records = plan.grid, plan.kept
        self.grid, self.records, self.recorded = grid, records, plan.record_every is not None
        shape = [len(axis.coordinate) for axis in grid.point_axes] + [len(grid.seeds)]
        self.status = np.full(shape, PENDING, np.int8)
        self.first_bad = np.full(shape, -1, np.int32)
        self.metrics = {
            name: np.full((*shape, len(records), *inner), missing(dtype), dtype)
            for name, (dtype, inner) in metrics.items()
        }

    def put(self, work: Work, arrays: Mapping[str, np.ndarray], release: Callable[[], None] = lambda: None) -> None:
        """Take in a block, arrays (seeds, points, ...), some cells at a time; ``release`` is called after each time."""
        seeds, points = arrays[FIRST_BAD].shape
        step = max(1, PIECE * seeds * points // max(1, *(a.nbytes for a in arrays.values())))
        for row, seed in enumerate(work.seeds.tolist()):
            for start in range(0, points, step):
                part = slice(start, start + step)
                cells: Any = (*(p[part] for p in work.positions), seed)
                for name, values in arrays.items():
                    mine = values[row, part] if work.positions else values[row, 0]
                    if name == FIRST_BAD:
                        self.first_bad[cells] = mine
                        self.status[cells] = np.where(mine >= 0, DIVERGED, DONE)
                        continue
                    self.metrics[name][(*cells, slice(None), *(slice(0, n) for n in values.shape[3:]))] = mine
                release()

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """The labelled Dataset, dimensions in the order of the grid."""
        grid = self.grid
        stored = [*(a.name for a in grid.point_axes), "seed"]
        order = [stored.index(axis.name) for axis in grid.axes]
        last = len(stored) - 1

        def arranged(values: np.ndarray) -> np.ndarray:
            values = values if "seed" in grid.shape else _first(values, last)
            return values.transpose(*order, *range(len(order), values.ndim))

        variables = {n: arranged(v if self.recorded else _first(v, last + 1)) for n, v in self.metrics.items()}
        variables |= {STATUS: arranged(self.status), FIRST_BAD: arranged(self.first_bad)}
        return labelled(labels_of(grid, self.records if self.recorded else None), variables, attrs)


def _first(values: np.ndarray, axis: int) -> np.ndarray:
    """The first along an axis, without a copy."""
    return values[(slice(None),) * axis + (0,)]


def labelled(labels: Labels, variables: Mapping[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    """A Dataset of arrays whose dimensions are those of the labels, then ``step``, then a metric's own."""
    outer = [axis.name for axis in labels.axes]
    step = [] if labels.records is None else [labels.step]
    meanings = {"flag_values": [PENDING, DONE, DIVERGED], "flag_meanings": "pending done diverged"}
    bad = {"long_name": "updates after which the cell was not finite, or -1"}
    data = {}
    for name, values in variables.items():
        if name in (STATUS, FIRST_BAD):
            data[name] = xr.Variable(outer, values, meanings if name == STATUS else bad)
            continue
        inner = values.ndim - len(outer) - len(step)
        own = list(labels.dims.get(name, ()))
        own = own if len(own) == inner else [f"{name}_dim_{i}" for i in range(inner)]
        about = {"long_name": name.replace("_", " "), **labels.metrics.get(name, {})}
        if values.dtype.kind != "f":
            about["comment"] = f"{missing(values.dtype)} where status is not done"
        data[name] = xr.Variable([*outer, *step, *own], values, about)
    coordinates: dict[str, Any] = {}
    for axis in labels.axes:
        for name, column in {axis.name: axis.coordinate, **axis.fields}.items():
            about = {"long_name": labels.names.get(name, name.replace("_", " "))}
            coordinates[name] = xr.Variable(axis.name, _column(column), about)
    if labels.records is not None:
        coordinates[labels.step] = xr.Variable(labels.step, list(labels.records), {"long_name": "gradient steps"})
    return xr.Dataset(data, coordinates, attrs)


def _column(values: Iterable[Any]) -> list[Any]:
    """None is no number and no text: such a column becomes text throughout."""
    values = list(values)
    return ["none" if v is None else str(v) for v in values] if None in values else values


# --- a store as a Dataset ---------------------------------------------------------------------------


def open_store(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open the store of a sweep, finished or not, without loading it.

    What is complete at this moment is there; the rest is NaN and has ``status`` 0, pending. Values are
    read when they are used. ``xarray.open_dataset(path, engine="snljax")`` does the same.

    Args:
        path: the folder given to `sweep` as ``store``.

    Returns:
        Dataset over all values that were ever asked of this store; numbers in ascending order.

    Raises:
        StoreError: no such folder, no store, or one whose manifest cannot be read.

    Example:
        >>> import tempfile, snljax as snl
        >>> grid = snl.Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...                 num_classes=2, K=4)
        >>> folder = tempfile.mkdtemp()
        >>> _ = snl.sweep(grid, store=folder, progress=False)
        >>> int((open_store(folder).status == 1).sum())
        2
    """
    return _open(Store.open(path))


def open_part(store: Store, grid: Grid, attrs: dict[str, Any]) -> xr.Dataset:
    """The part of a store that a grid asks for, in the grid's order."""
    return _open(store, grid).assign_attrs(attrs)


def _open(store: Store, grid: Grid | None = None) -> xr.Dataset:
    # Through xarray's own front door, so that values are read lazily, kept once read, and can be chunked.
    return xr.open_dataset(store.path, engine=StoreBackend, store=store, grid=grid)


class StoreBackend(BackendEntrypoint):
    """Lets xarray open a store: ``xarray.open_dataset("runs/a", engine="snljax")``."""

    description = "Sweeps of snljax"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "store", "grid")

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        store: Store | None = None,
        grid: Grid | None = None,
    ) -> xr.Dataset:
        store = Store.open(filename_or_obj) if store is None else store
        done = store.done()
        m = store.catalogue.manifest
        records = None if m["record_every"] is None else tuple(m["records"])
        steps = () if records is None else (len(records),)
        if grid is None:
            labels, positions = _labels_of(store, records)
        else:
            labels, by_name = (
                labels_of(grid, records),
                dict(zip(store.catalogue.values, store.catalogue.positions(grid), strict=True)),
            )
            positions = {axis.name: by_name[axis.name] for axis in grid.axes} | {"seed": by_name["seed"]}
        order = [axis.name for axis in labels.axes]
        variables: dict[str, Any] = {
            name: _CellArray(store, name, positions, order, done, (*steps, *inner), dtype)
            for name, (dtype, inner) in store.catalogue.metrics().items()
        }
        whole = np.dtype(np.int32)
        variables[STATUS] = _CellArray(store, STATUS, positions, order, done, (), np.dtype(np.int8))
        variables[FIRST_BAD] = _CellArray(store, FIRST_BAD, positions, order, done, (), whole)
        drop = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        lazy = {n: indexing.LazilyIndexedArray(a) for n, a in variables.items() if n not in drop}
        attrs = {name: m[name] for name in ("experiment", "reading", "dtype", "precision", "device")}
        attrs |= {name: json.dumps(m[name]) for name in ("settings", "versions")}
        attrs |= {"stop": json.dumps(Stop(*m["stop"])._asdict())} if "stop" in m else {}
        return labelled(labels, lazy, attrs | {"store": str(store.path)})

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        try:
            return Store.exists(filename_or_obj)
        except TypeError:
            return False


def _labels_of(store: Store, records: tuple[int, ...] | None) -> tuple[Labels, dict[str, np.ndarray]]:
    """Labels of everything in a store, and the position of each coordinate."""
    axes, positions = [], {}
    described = [*store.catalogue.manifest["axes"], {"name": "seed", "fields": ["seed"], "numbered": False}]
    for about in described:
        name, rows = about["name"], store.catalogue.values[about["name"]]
        plain = len(about["fields"]) == 1 and all(
            isinstance(r[0], (int, float)) and not isinstance(r[0], bool) for r in rows
        )
        positions[name] = np.array(sorted(range(len(rows)), key=lambda i: rows[i]) if plain else range(len(rows)))
        columns = {f: tuple(rows[p][i] for p in positions[name]) for i, f in enumerate(about["fields"])}
        coordinate = tuple(range(len(rows))) if about["numbered"] else columns[name]
        axes.append(Axis(name, coordinate, columns))
    if not store.catalogue.manifest["seed_axis"] and len(store.catalogue.values["seed"]) == 1:
        axes.pop()
    m = store.catalogue.manifest
    step = "steps" if isinstance(m["record_every"], list) else "step"
    return Labels(tuple(axes), m["labels"], m["dims"], m.get("metrics", {}), records, step), positions


class _CellArray(BackendArray):
    """One variable of a store, read where it is indexed."""

    def __init__(
        self,
        store: Store,
        name: str,
        positions: Mapping[str, np.ndarray],
        order: list[str],
        done: np.ndarray,
        inner: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self.store, self.name, self.positions, self.order = store, name, positions, order
        self.done, self.inner, self.dtype = done, inner, dtype
        self.shape = (*(len(positions[n]) for n in order), *inner)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        outer, inner = key[: len(self.order)], key[len(self.order) :]
        chosen = {n: self.positions[n][k] for n, k in zip(self.order, outer, strict=True)}
        scalar = tuple(i for i, n in enumerate(self.order) if np.ndim(chosen[n]) == 0)
        stored = list(self.store.catalogue.values)
        axes = [np.atleast_1d(chosen.get(n, self.positions[n][:1])) for n in stored]
        cells = self.store.catalogue.layout.locate(axes)
        if "seed" not in self.order:
            cells = cells[..., 0]
        cells = cells.transpose([[n for n in stored if n in self.order].index(n) for n in self.order])
        values, there = self.store.read(FIRST_BAD if self.name == STATUS else self.name, cells, self.done, self.inner)
        if self.name == STATUS:
            values = np.where(there, np.where(values >= 0, DIVERGED, DONE), PENDING).astype(np.int8)
        values = values.reshape([n for i, n in enumerate(values.shape) if i not in scalar])
        for i, k in reversed(list(enumerate(inner))):
            at = len(self.order) - len(scalar) + i
            values = values[(slice(None),) * at + (k,)]
        return values
