"""What a store was asked for, and what each of its cells and blocks means.

manifest.json        what all blocks share; written once
grids/N.json         the N-th grid that was asked for; only ever added to
"""

from __future__ import annotations

import contextlib
import json
import operator
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from snljax.experiment import attributes_of, dims_of, fields_of
from snljax.sweep import files
from snljax.sweep.descriptions import numbered, read_description, write_group
from snljax.sweep.files import StoreError
from snljax.sweep.layout import Block, Cells, Layout
from snljax.variables import FIRST_BAD
from snljax.wording import plain

if TYPE_CHECKING:  # looking at a store needs neither JAX nor the experiments
    from snljax.sweep.axes import Axis
    from snljax.sweep.grid import Grid
    from snljax.sweep.returned import Metrics
    from snljax.sweep.work import Plan

FORMAT = 2
MANIFEST = "manifest.json"
PATIENCE_SECONDS = 1.0  # for a grid that another process is just adding


class Catalogue:
    """The descriptions of a store, and what follows from them.

    path: the store's folder. manifest: what all blocks share. grids: what was asked for, oldest first.
    values: axis -> the values of its fields at each position, ``seed`` last; positions never change.
    layout: where each cell lies. first: for each grid, its first block.
    """

    def __init__(self, path: pathlib.Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.block = Block(*manifest["block"])
        self.grids: list[dict[str, Any]] = []
        self.values: dict[str, list[tuple[Any, ...]]] = {
            n: [] for n in (*(a["name"] for a in manifest["axes"]), "seed")
        }
        self.layout = Layout(self.block, tuple(a["static"] for a in manifest["axes"]))
        self.first: list[int] = []
        self._digests: list[str] = []  # of the grids
        self.refresh()
        self._refuse_if_grids_are_lost()

    def refresh(self) -> None:
        """Take in grids that other processes have added."""
        while True:
            number = len(self.grids)
            file, group = self.path / "grids" / f"{number}.json", self.path / "data.zarr" / str(number)
            if not file.exists() and not (group / "zarr.json").exists():
                return
            self._take_in(read_description(file, group))

    def _refuse_if_grids_are_lost(self) -> None:
        """Blocks of a grid that nothing describes any more would be taken for those of the next one."""
        until = time.monotonic() + PATIENCE_SECONDS
        while lost := self._beyond():
            self.refresh()  # another process may just have added it
            if time.monotonic() > until and (lost := self._beyond()):
                file = self.path / "grids" / f"{len(self.grids)}.json"
                raise StoreError(
                    f"store: {file} is lost, and its copy; what {lost} means cannot be told; allowed: the file "
                    "restored, or another store"
                )
            time.sleep(0.05)

    def _beyond(self) -> str:
        """Something that only a grid after the last known one can have made; no stray file."""
        beyond = [self.path / "grids" / f"{n}.json" for n in numbered(self.path / "grids") if n >= len(self.grids)]
        groups = self.path / "data.zarr"
        beyond += [groups / str(n) / "zarr.json" for n in numbered(groups, "") if n >= len(self.grids)]
        done = self.path / "done"
        beyond += [done / f"{n}.json" for n in numbered(done) if n >= self.layout.blocks]
        for file in beyond:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                content = files.parsed(file.read_bytes())
                files.unsealed(json.dumps(content["attributes"]["snljax"] if file.name == "zarr.json" else content))
                return str(file.relative_to(self.path))
        return ""

    def _take_in(self, grid: dict[str, Any]) -> None:
        for name, (dtype, _) in grid["metrics"].items():
            # Names become paths, and dtypes decide how bytes are read.
            if not name.isidentifier() or np.dtype(dtype).kind not in "biuf":
                raise StoreError(
                    f"store: {self.path} has a metric {name!r} of {dtype!r}; allowed: a name of letters, digits and _, "
                    "of numbers or truth values"
                )
        rows = {a["name"]: _rows(grid["axes"][a["name"]], a["fields"]) for a in self.manifest["axes"]}
        rows["seed"] = [(s,) for s in grid["seeds"]]
        positions = []
        for name, wanted in rows.items():
            known = {_exact(row): i for i, row in enumerate(self.values[name])}
            fresh = {_exact(row): row for row in wanted if _exact(row) not in known}
            known |= {row: len(known) + i for i, row in enumerate(fresh)}
            self.values[name] = self.values[name] + list(fresh.values())
            positions.append(np.array(list(dict.fromkeys(known[_exact(row)] for row in wanted))))
        self.first.append(self.layout.blocks)
        self._digests.append(files.digest(grid))
        chosen = grid.get("chosen")
        if chosen is not None:
            positions = [p[np.array(c, np.int64)] for p, c in zip(positions, chosen, strict=True)]
        self.layout = self.layout.grown(Cells(tuple(positions), listed=chosen is not None))
        self.grids.append(grid)

    # --- does a grid belong here --------------------------------------------------------------------

    def check(self, plan: Plan) -> None:
        """Refuse a plan whose grid does not belong in this store.

        Raises:
            StoreError: naming what differs.
        """

        def refuse(name: str, there: Any, here: Any) -> None:
            if _exact((there,)) != _exact((here,)):
                raise StoreError(
                    f"store: {self.path} has {name} = {plain(there)}, and here it is {plain(here)}; "
                    "allowed: the same, or another store"
                )

        m, grid = self.manifest, plan.grid
        refuse("experiment", m["experiment"], grid.experiment.name)
        axes = {a["name"]: sorted(a["fields"]) for a in m["axes"]}
        wanted = {a.name: sorted(a.fields) for a in grid.point_axes}
        if axes != wanted:
            raise StoreError(
                f"store: {self.path} has the axes {_listed(axes)}, and here they are {_listed(wanted)}; "
                "allowed: the same axes (with other values, if you like), or another store"
            )
        settings = grid.settings()
        for name in {**m["settings"], **settings}:
            refuse(name, m["settings"].get(name, "not a field"), settings.get(name, "not a field"))
        refuse("record_every", *(str(v) if isinstance(v, list) else v for v in (m["record_every"], plan.record_every)))
        told = ["none" if s is None else " ".join(map(str, s)) for s in (m.get("stop"), plan.stop)]
        refuse("stop_when, check_every", *told)
        refuse("precision", m["precision"], plan.precision)
        refuse("dtype", m["dtype"], plan.dtype)
        for axis in grid.point_axes:
            self._check_coordinate(axis)

    def _check_coordinate(self, axis: Axis) -> None:
        """A zip is labelled by its first field, which must tell its rows apart in the whole store."""
        about = next(a for a in self.manifest["axes"] if a["name"] == axis.name)
        if about["numbered"] or len(about["fields"]) == 1:
            return
        at = about["fields"].index(axis.name)
        known = {_exact((row[at],)): row for row in self.values[axis.name]}
        for row in _rows(axis.fields, about["fields"]):
            other = known.get(_exact((row[at],)), row)
            if _exact(other) != _exact(row):
                shown = [", ".join(f"{f}={v}" for f, v in zip(about["fields"], r, strict=True)) for r in (other, row)]
                raise StoreError(
                    f"{axis.name}: {row[at]} is in {self.path} with {shown[0]}, and here with {shown[1]}; allowed: a "
                    "name of its own (rows=together(…)), or another store"
                )

    def add(self, grid: Grid, cells: Cells, metrics: Metrics) -> None:
        """Add those of a grid's cells that are not here yet; several processes may do so at once.

        The values of all its axes are known from then on, whichever cells are asked for.

        A metric has one dtype in a store, or several floating ones: of others NaN and what stands for it would mix.
        """
        known = self.metrics()

        def kept(name: str, dtype: np.dtype) -> np.dtype:
            return known[name][0] if name in known and {known[name][0].kind, dtype.kind} != {"f"} else dtype

        entry = {
            "axes": {
                a["name"]: {f: list(_axis(grid, a["name"]).fields[f]) for f in a["fields"]}
                for a in self.manifest["axes"]
            },
            "seeds": list(grid.seeds),
            "metrics": {n: [str(kept(n, dtype)), list(inner)] for n, (dtype, inner) in metrics.items()},
        }
        if cells.listed:
            entry["chosen"] = [a.tolist() for a in self._ordered(grid, cells.axes)]
        with files.clear_errors(self.path):
            (self.path / "grids").mkdir(exist_ok=True)
            self._restore()
            while self.missing(grid, cells):
                files.write_once(self.path / "grids" / f"{len(self.grids)}.json", files.sealed(entry))
                self.refresh()
            write_group(self.path / "data.zarr", self.manifest)
            for number, about in enumerate(self.grids):
                write_group(self.path / "data.zarr" / str(number), about)

    def _restore(self) -> None:
        """Descriptions that were read from their copies are written anew."""
        kept = {MANIFEST: self.manifest} | {f"grids/{n}.json": about for n, about in enumerate(self.grids)}
        for name, about in kept.items():
            try:
                files.unsealed((self.path / name).read_bytes())
            except (*files.GONE, ValueError):
                files.replace(self.path / name, files.sealed(about), durable=True)

    def check_room(self, blocks: np.ndarray, metrics: Callable[[int], Metrics]) -> None:
        """Refuse blocks of programs whose metrics the store has no arrays for.

        Args:
            blocks: to be trained.
            metrics: block -> what its program measures.

        Raises:
            StoreError: naming the metric.
        """
        for block in blocks.tolist():
            kept = self.grids[self.grid_of(block)]["metrics"]
            for name, (_, inner) in metrics(block).items():
                room = kept[name][1] if name in kept else ()
                if name not in kept or len(inner) != len(room) or any(map(operator.gt, inner, room)):
                    raise StoreError(
                        f"store: {self.path} has no room for {name} {list(inner)} of this program beside "
                        f"{', '.join(kept)}; allowed: the metrics of the store, or another store"
                    )

    def missing(self, grid: Grid, cells: Cells) -> bool:
        """Whether values of a grid, or some of its cells, are not here yet."""
        self.refresh()
        if any(-1 in a for a in self.positions(grid)):
            return True
        return len(self.layout.grown(self._placed(grid, cells)).boxes) > len(self.layout.boxes)

    def positions(self, grid: Grid) -> list[np.ndarray]:
        """Positions of a grid's values on the store's axes, ``seed`` last; -1 for a value that is new."""
        rows = {a["name"]: _rows(_axis(grid, a["name"]).fields, a["fields"]) for a in self.manifest["axes"]}
        rows["seed"] = [(s,) for s in grid.seeds]
        known = {name: {_exact(row): i for i, row in enumerate(self.values[name])} for name in rows}
        return [np.array([known[name].get(_exact(row), -1) for row in wanted]) for name, wanted in rows.items()]

    def over(self, grid: Grid) -> Grid:
        """The grid's experiment over all values that this store has, in the store's order."""
        columns = {
            a["name"]: {f: tuple(row[i] for row in self.values[a["name"]]) for i, f in enumerate(a["fields"])}
            for a in self.manifest["axes"]
        }
        return grid.over(columns, tuple(row[0] for row in self.values["seed"]))

    # --- what blocks mean ---------------------------------------------------------------------------

    def needed(self, grid: Grid, cells: Cells) -> np.ndarray:
        """Which blocks hold one of a grid's cells, as true and false."""
        return self.layout.needed(self._placed(grid, cells))

    def _placed(self, grid: Grid, cells: Cells) -> Cells:
        """Where a grid's cells lie on the store's axes."""
        ordered = self._ordered(grid, cells.axes)
        return Cells(tuple(p[a] for p, a in zip(self.positions(grid), ordered, strict=True)), cells.listed)

    def _ordered(self, grid: Grid, axes: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """What belongs to the axes of a grid, ``seed`` last, in the order of the store's."""
        by_name = dict(zip((*(a.name for a in grid.point_axes), "seed"), axes, strict=True))
        return [by_name[name] for name in self.values]

    def settings_of(self, block: int) -> dict[str, Any]:
        """What a block means: the fields that all its networks share, those of its points, and its seeds."""
        box, part = self.layout.part(block)
        *positions, seeds = self.layout.positions(box, part)
        swept: dict[str, Any] = {}
        for axis, chosen in zip(self.manifest["axes"], positions, strict=True):
            rows = [self.values[axis["name"]][p] for p in chosen.tolist()]
            swept |= {f: [row[i] for row in rows] for i, f in enumerate(axis["fields"])}
        return {
            "experiment": self.manifest["experiment"],
            "settings": self.manifest["settings"],
            "records": self.manifest["records"],
            "precision": self.manifest["precision"],
            "points": swept,
            "seeds": [self.values["seed"][s][0] for s in seeds.tolist()],
            **{name: self.manifest[name] for name in ("stop",) if name in self.manifest},
        }

    def meaning(self, block: int) -> dict[str, str]:
        """The hashes by which a marker says which grid, and which networks, its block is of."""
        return {"grid": self._digests[self.grid_of(block)], "means": files.digest(self.settings_of(block))}

    def metrics(self) -> Metrics:
        """Metric -> dtype and shape of one cell's value without records, wide enough for all grids."""
        found: Metrics = {}
        for grid in self.grids:
            for name, (text, inner) in grid["metrics"].items():
                dtype = np.dtype(text)
                had_dtype, had = found.get(name, (dtype, inner))
                found[name] = (np.result_type(dtype, had_dtype), tuple(map(max, zip(inner, had, strict=True))))
        return found

    def grid_of(self, block: int) -> int:
        """The number of the grid that brought a block."""
        return int(np.searchsorted(self.first, block, side="right")) - 1

    def expected(self, grid: int, name: str) -> dict[str, Any]:
        """Shape, chunks and dtype of an array."""
        last = self.first[grid + 1] if grid + 1 < len(self.first) else self.layout.blocks
        dtype, inner = ("int32", []) if name == FIRST_BAD else self.grids[grid]["metrics"][name]
        steps = [] if name == FIRST_BAD or self.manifest["record_every"] is None else [len(self.manifest["records"])]
        return {
            "shape": ((last - self.first[grid]) * self.layout.slots, *steps, *inner),
            "chunks": (self.layout.slots, *steps, *(max(n, 1) for n in inner)),
            "dtype": np.dtype(dtype),
        }


def manifest_of(plan: Plan, block: Block, made_by: dict[str, Any]) -> dict[str, Any]:
    """What all blocks of a store share: the experiment, the fixed settings, and how a block is trained."""
    grid = plan.grid
    return {
        "format": FORMAT,
        "experiment": grid.experiment.name,
        "reading": grid.reading,
        "settings": grid.settings(),
        "axes": [
            {"name": a.name, "fields": list(a.fields), "numbered": a.name not in a.fields, "static": s}
            for a, s in zip(grid.point_axes, grid.static_axes, strict=True)
        ],
        "labels": {n: f.symbol for n, f in fields_of(type(grid.config)).items()},
        "dims": {n: list(d) for n, d in dims_of(grid.experiment).items()},
        "metrics": attributes_of(grid.experiment),
        "seed_axis": "seed" in grid.shape,
        "block": list(block),
        "record_every": plan.record_every,
        "records": list(plan.records),
        "precision": plan.precision,
        "dtype": plan.dtype,
        **({} if plan.stop is None else {"stop": list(plan.stop)}),
        **made_by,
    }


def _exact(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values by what they are: 1 and 1.0 are one, 0.0 and -0.0 are two, and True is no number."""
    told_apart = (bool, str, type(None))
    return tuple((type(v).__name__, v) if isinstance(v, told_apart) else float(v).hex() for v in row)


def _rows(columns: dict[str, Any], fields: list[str]) -> list[tuple[Any, ...]]:
    """The values of an axis position by position."""
    return list(zip(*(columns[f] for f in fields), strict=True))


def _axis(grid: Grid, name: str) -> Axis:
    return next(a for a in grid.point_axes if a.name == name)


def _listed(axes: dict[str, list[str]]) -> str:
    return ", ".join(n if f == [n] else f"{n} ({' + '.join(f)})" for n, f in axes.items()) or "none"
