"""A sweep on disk: what was asked for, the trained blocks, and which of them are complete.

    manifest.json        what all blocks share; written once
    grids/N.json         the N-th grid that was asked for; only ever added to
    data.zarr/N/METRIC   what grid N added: zarr v3, one chunk a block, CRC-32C
    done/BLOCK.json      written last: SHA-256 of each of the block's chunks, and what the block means
    programs/ID.json     SHA-256 of each compiled program, by its static fields
    checkpoints/BLOCK.npz  a long block on its way
    writers/ID.json      what each process does and has done

A block is complete when its marker is there, means what the grids say now, and the hashes fit. Chunk files alone
prove nothing: a crash may leave any of them. Every file is written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import io
import json
import operator
import os
import pathlib
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snljax.experiment import attributes_of, dims_of, fields_of
from snljax.sweep import chunks, files
from snljax.sweep.files import StoreError
from snljax.sweep.layout import Block, Layout
from snljax.sweep.writers import Writers
from snljax.variables import FIRST_BAD

if TYPE_CHECKING:  # looking at a store needs neither JAX nor the experiments
    from snljax.sweep.axes import Axis
    from snljax.sweep.grid import Grid

FORMAT = 2
MANIFEST = "manifest.json"
_LEFTOVER_SECONDS = 3600.0
_SEAL = hashlib.sha256().digest_size  # bytes at the end of a checkpoint
_PATIENCE_SECONDS = 1.0  # for a grid that another process is just adding


class Checkpoint(NamedTuple):
    """A block after ``step`` updates. program: hash of the program that was training it. arrays: read when used."""

    step: int
    seconds: float
    program: str
    arrays: Mapping[str, np.ndarray]


class Store:
    """An open store. Use `Store.open` or `Store.create`.

    path: the folder. manifest: what all blocks share. grids: what was asked for, oldest first.
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
        self._accepted: dict[str, set[str]] = {}  # static fields -> programs, as last read
        self.writers = Writers(path / "writers")
        self.refresh()
        self._refuse_if_grids_are_lost()

    # --- opening and making -------------------------------------------------------------------------

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether a folder is a store, by its manifest or the copy of that."""
        return any((pathlib.Path(path) / name).exists() for name in (MANIFEST, "data.zarr/zarr.json"))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open a store that exists.

        Raises:
            StoreError: no such folder, no store, or one that cannot be read.
        """
        path = pathlib.Path(os.path.abspath(path))
        if not path.is_dir():
            kind = "is a file" if path.exists() else "does not exist"
            raise StoreError(f"store: {path} {kind}; allowed: a folder that a sweep with store= has made")
        if not cls.exists(path):
            raise StoreError(f"store: {path} is no store, it has no {MANIFEST}; allowed: a folder made by a sweep")
        manifest = read_description(path / MANIFEST, path / "data.zarr")
        if manifest.get("format") == 1:
            raise StoreError(
                f"store: {path} was made by version 0.1 of snljax, whose markers do not say what their blocks mean; "
                f"allowed: snljax migrate {path}, once, or another store"
            )
        if manifest.get("format") != FORMAT:
            raise StoreError(f"store: {path} has format {manifest.get('format')}; allowed: {FORMAT}")
        try:
            return cls(path, manifest)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise StoreError(f"store: {path} lacks {error}; allowed: a store of this version of snljax") from None

    @classmethod
    def create(cls, path: str | os.PathLike[str], grid: Grid, shared: dict[str, Any]) -> Store:
        """Make a store, or open the one that another process has made in the meantime.

        Args:
            path: a folder that does not exist or is empty.
            grid: whose experiment and fixed settings all blocks share.
            shared: block, record_every, records, precision, dtype, versions, device.

        Raises:
            StoreError: the folder holds something else, or cannot be written.
        """
        path = pathlib.Path(os.path.abspath(path))
        info = fields_of(type(grid.config))
        manifest = {
            "format": FORMAT,
            "experiment": grid.experiment.name,
            "reading": grid.reading,
            "settings": grid.settings(),
            "axes": [
                {"name": a.name, "fields": list(a.fields), "numbered": a.name not in a.fields, "static": s}
                for a, s in zip(grid.point_axes, grid.static_axes, strict=True)
            ],
            "labels": {n: f.symbol for n, f in info.items()},
            "dims": {n: list(d) for n, d in dims_of(grid.experiment).items()},
            "metrics": attributes_of(grid.experiment),
            "seed_axis": "seed" in grid.shape,
            **shared,
        }
        with files.clear_errors(path):
            if path.exists() and not path.is_dir():
                raise StoreError(f"store: {path} is a file; allowed: a folder, or a name that is free")
            # A process that was killed here may have left a hidden file.
            others = [p for p in path.iterdir() if not p.name.startswith(".")] if path.is_dir() else []
            if others and not cls.exists(path):
                raise StoreError(f"store: {path} holds other files; allowed: a store, an empty folder, or a free name")
            path.mkdir(parents=True, exist_ok=True)
            files.write_once(path / MANIFEST, files.sealed(manifest))
        return cls.open(path)

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
        until = time.monotonic() + _PATIENCE_SECONDS
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
        beyond = [self.path / "grids" / f"{n}.json" for n in _numbers(self.path / "grids") if n >= len(self.grids)]
        groups = self.path / "data.zarr"
        beyond += [groups / str(n) / "zarr.json" for n in _numbers(groups, "") if n >= len(self.grids)]
        done = self.path / "done"
        beyond += [done / f"{n}.json" for n in _numbers(done) if n >= self.layout.blocks]
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
        self.layout = self.layout.grown(positions)
        self.grids.append(grid)

    # --- does a grid belong here --------------------------------------------------------------------

    def check(self, grid: Grid, precision: str, dtype: str, record_every: int | None) -> None:
        """Refuse a grid that does not belong in this store.

        Raises:
            StoreError: naming what differs.
        """

        def refuse(name: str, there: Any, here: Any) -> None:
            if _exact((there,)) != _exact((here,)):
                raise StoreError(
                    f"store: {self.path} has {name} = {_plain(there)}, and here it is {_plain(here)}; "
                    "allowed: the same, or another store"
                )

        m = self.manifest
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
        refuse("record_every", m["record_every"], record_every)
        refuse("precision", m["precision"], precision)
        refuse("dtype", m["dtype"], dtype)
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
                    "zip under a name of its own (rows=zip(…)), or another store"
                )

    def grow(self, grid: Grid, metrics: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        """Add the cells of a grid that are not here yet; several processes may do so at once.

        A metric has one dtype in a store, or several floating ones: of others NaN and what stands for it would mix.
        """
        known = self.metrics()
        metrics = {
            n: (known[n][0] if n in known and {known[n][0].kind, np.dtype(dtype).kind} != {"f"} else dtype, inner)
            for n, (dtype, inner) in metrics.items()
        }
        entry = {
            "axes": {
                a["name"]: {f: list(_axis(grid, a["name"]).fields[f]) for f in a["fields"]}
                for a in self.manifest["axes"]
            },
            "seeds": list(grid.seeds),
            "metrics": {n: [str(dtype), list(inner)] for n, (dtype, inner) in metrics.items()},
        }
        with files.clear_errors(self.path):
            (self.path / "grids").mkdir(exist_ok=True)
            self._restore()
            while self.missing(grid):
                files.write_once(self.path / "grids" / f"{len(self.grids)}.json", files.sealed(entry))
                self.refresh()
            write_group(self.path / "data.zarr", self.manifest)
            for number, about in enumerate(self.grids):
                write_group(self.path / "data.zarr" / str(number), about)
                self._make_arrays(number)

    def _restore(self) -> None:
        """Descriptions that were read from their copies are written anew."""
        kept = {MANIFEST: self.manifest} | {f"grids/{n}.json": about for n, about in enumerate(self.grids)}
        for name, about in kept.items():
            try:
                files.unsealed((self.path / name).read_bytes())
            except (*files.GONE, ValueError):
                files.replace(self.path / name, files.sealed(about), durable=True)

    def check_room(
        self, blocks: np.ndarray, metrics: Callable[[int], Mapping[str, tuple[Any, tuple[int, ...]]]]
    ) -> None:
        """Refuse blocks of programs whose metrics the store has no arrays for.

        Args:
            blocks: to be trained.
            metrics: block -> what its program measures.

        Raises:
            StoreError: naming the metric.
        """
        for block in blocks.tolist():
            kept = self.grids[self._grid_of(block)]["metrics"]
            for name, (_, inner) in metrics(block).items():
                room = kept[name][1] if name in kept else ()
                if name not in kept or len(inner) != len(room) or any(map(operator.gt, inner, room)):
                    raise StoreError(
                        f"store: {self.path} has no room for {name} {list(inner)} of this program beside "
                        f"{', '.join(kept)}; allowed: the metrics of the store, or another store"
                    )

    def missing(self, grid: Grid) -> bool:
        """Whether a grid has cells that are not here yet."""
        self.refresh()
        axes = self.positions(grid)
        return any(-1 in a for a in axes) or len(self.layout.grown(axes).boxes) > len(self.layout.boxes)

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

    # --- blocks -------------------------------------------------------------------------------------

    def done(self) -> np.ndarray:
        """Which blocks have a marker, as true and false."""
        there = np.zeros(self.layout.blocks, bool)
        with self._reading():
            numbers = np.fromiter(_numbers(self.path / "done"), np.int64)
        there[numbers[numbers < len(there)]] = True
        return there

    def is_done(self, block: int) -> bool:
        """Whether a block has a marker."""
        return (self.path / "done" / f"{block}.json").exists()

    def needed(self, grid: Grid) -> np.ndarray:
        """Which blocks hold a cell of a grid, as true and false."""
        axes = self.positions(grid)
        return np.concatenate([self.layout.needed(box, axes) for box in self.layout.boxes] or [np.zeros(0, bool)])

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
        }

    def meaning(self, block: int) -> dict[str, str]:
        """The hashes by which a marker says which grid, and which networks, its block is of."""
        return {"grid": self._digests[self._grid_of(block)], "means": files.digest(self.settings_of(block))}

    def marker(self, block: int) -> dict[str, Any] | None:
        """A block's marker; None if there is none, or it is not what was written, or of another block or program.

        Raises:
            StoreError: the machine cannot read now (too many open files, say), which proves nothing.
        """
        with self._reading():
            try:
                marker = files.unsealed((self.path / "done" / f"{block}.json").read_bytes())
            except (*files.GONE, ValueError):
                return None
        if not self.meaning(block).items() <= marker.items():
            return None
        return marker if self._is_accepted(marker["static"], marker["program"]) else None

    def _is_accepted(self, key: str, sha: str) -> bool:
        """Whether a program may have trained here; of a list that is lost or damaged markers are what is known."""
        if sha not in self._accepted.get(key, ()):
            known = self._listed(key)  # anew: another process may have added to it
            if known is None:
                return True
            self._accepted[key] = set(known)
        return sha in self._accepted[key]

    def _program_file(self, key: str) -> pathlib.Path:
        return self.path / "programs" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"

    def _listed(self, key: str) -> dict[str, dict[str, str]] | None:
        """The programs that are accepted for some static fields -> what made each; None if there is no good list."""
        with self._reading():
            try:
                about = files.unsealed(self._program_file(key).read_bytes())
            except (*files.GONE, ValueError):
                return None
        good = about.get("static") == json.loads(key) and isinstance(about.get("accepted"), dict)
        return about["accepted"] if good else None

    def put(
        self,
        block: int,
        arrays: dict[str, np.ndarray],
        program: tuple[str, str],
        seconds: float,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """Write a trained block, its marker last.

        Args:
            block: its number.
            arrays: name -> (seeds, points, ...); smaller than the block, or than its chunk, is padded.
            program: key and hash of the program that trained it.
            seconds: that it took.
            release: called after each piece that was written.

        Raises:
            StoreError: the disk is full, or the store cannot be written, or cannot hold such numbers exactly.
        """
        grid = self._grid_of(block)
        hashes = {}
        bad = arrays[FIRST_BAD]
        dead = (bad[..., None] >= 0) & (bad[..., None] <= np.array(self.manifest["records"]))
        with files.clear_errors(self.path):
            for name, values in arrays.items():
                if self._expected(grid, name)["dtype"].kind == "f" and values.dtype.kind != "f":
                    values = values.astype(np.float64)  # a count in a store of version 0.1
                    values[dead] = np.nan
                chunk = self._chunk(grid, name, block)
                chunk.parent.mkdir(parents=True, exist_ok=True)
                hashes[name] = self._write(chunk, name, values, release, **self._expected(grid, name))
            marker = {
                "arrays": hashes,
                **self.meaning(block),
                "static": program[0],
                "program": program[1],
                "cells": int(bad.size),
                "diverged": int((bad >= 0).sum()),
                "seconds": round(seconds, 3),
                "host": socket.gethostname(),
                "finished": _now(),
            }
            (self.path / "done").mkdir(exist_ok=True)
            files.replace(self.path / "done" / f"{block}.json", files.sealed(marker), durable=True)
            (self.path / "checkpoints" / f"{block}.npz").unlink(missing_ok=True)
        self.writers.count(bad.size)

    def _write(
        self, chunk: pathlib.Path, name: str, values: np.ndarray, release: Callable[[], None], **expected: Any
    ) -> str:
        """A block's chunk, piece by piece, and its hash."""
        digest = hashlib.sha256()

        def seen() -> Iterator[bytes]:
            for piece in chunks.encoded(name, values, self.block, expected["chunks"], expected["dtype"]):
                digest.update(piece)
                yield piece
                release()

        files.replace(chunk, seen())
        return digest.hexdigest()

    def damaged(self, block: int) -> list[str]:
        """The arrays of a finished block whose chunk is not what was written; or that its marker is not.

        Raises:
            StoreError: the machine cannot read now (too many open files, say), which proves nothing.
        """
        marker = self.marker(block)
        if marker is None:
            return ["marker"]
        return [name for name, sha in marker["arrays"].items() if not self.intact(block, name, sha)]

    def intact(self, block: int, name: str, sha: str) -> bool:
        """Whether the file of a block's chunk is what was written."""
        return self._content(self._grid_of(block), name, block, sha, keep=False) is not None

    def chunk_of(self, block: int, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of a block's chunk."""
        expected = self._expected(self._grid_of(block), name)
        return expected["chunks"], expected["dtype"]

    def _content(self, grid: int, name: str, block: int, sha: str, keep: bool = True) -> bytes | None:
        """The file of a block's chunk if it is what its marker says; None if it is not, or there is none.

        keep: False if only that is asked.
        """
        with self._reading():
            try:
                with open(self._chunk(grid, name, block), "rb") as file:
                    if not keep:
                        found = files.sha256(file, os.fstat(file.fileno()).st_size)
                        return b"" if found.hex() == sha else None
                    content = file.read()
            except files.GONE:
                return None
            except OSError as error:
                if error.errno != errno.EIO:  # a bad sector is damage
                    raise
                return None
        return content if hashlib.sha256(content).hexdigest() == sha else None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with files.clear_errors(self.path, "read"):
            yield

    def discard(self, block: int) -> None:
        """Take a block's marker away, so that it is trained again."""
        with files.clear_errors(self.path):
            marker = self.path / "done" / f"{block}.json"
            shutil.rmtree(marker) if marker.is_dir() else marker.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what killed processes left behind: checkpoints of finished blocks, files that were never renamed."""
        old = time.time() - _LEFTOVER_SECONDS
        with contextlib.suppress(OSError):  # a finished store may well be read-only
            for file in (self.path / "checkpoints").glob("*.npz"):
                if file.stem.isdigit() and self.is_done(int(file.stem)):
                    file.unlink(missing_ok=True)
            for folder in ("checkpoints", "done", "writers"):
                for file in (self.path / folder).glob(".*"):
                    if file.stat().st_mtime < old:
                        file.unlink(missing_ok=True)

    def read(
        self, name: str, cells: np.ndarray, done: np.ndarray, inner: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values of an array at cells, and which of them are there: in a finished block that is what was written.

        Args:
            name: of the array.
            cells: numbers from `Layout.locate`, any shape, -1 for none.
            done: from `done`; what counts as there.
            inner: shape of one cell's value, as large as in any grid.

        Raises:
            StoreError: the machine cannot read, the store has gone, or a chunk is damaged whose dtype has no NaN.
        """
        flat, slots = cells.reshape(-1), self.layout.slots
        dtype = np.dtype(np.int32) if name == FIRST_BAD else self.metrics()[name][0]
        out = np.full((len(flat), *inner), chunks.fill(name, dtype), dtype)
        there = np.zeros(len(flat), bool)
        order = np.argsort(flat, kind="stable")
        blocks = flat[order] // slots
        for at in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
            block = int(flat[at[0]]) // slots if len(at) else -1
            if block < 0 or not done[block]:
                continue
            there[at], values = self._values(name, block)
            if values is not None:
                inside: Any = (at, *(slice(0, n) for n in values.shape[1:]))
                out[inside] = values[flat[at] - block * slots]
        return out.reshape((*cells.shape, *inner)), there.reshape(cells.shape)

    def _values(self, name: str, block: int) -> tuple[bool, np.ndarray | None]:
        """Whether a block is to be believed, with a warning if not, and what it has of an array, by its slots."""
        marker = self.marker(block)
        if marker is None:
            if not (self.path / MANIFEST).exists() and not (self.path / "data.zarr").exists():
                raise StoreError(f"store: {self.path} has gone since it was opened; allowed: opened where it is now")
            self._warn(block, "its marker is not what was written")
            return False, None
        if name not in marker["arrays"]:  # a program without this metric
            return True, None
        grid = self._grid_of(block)
        expected, content = self._expected(grid, name), self._content(grid, name, block, marker["arrays"][name])
        stored = None if content is None else chunks.decoded(content, expected["chunks"], expected["dtype"])
        if stored is not None:
            return True, stored[(slice(None), *(slice(0, n) for n in expected["shape"][1:]))]
        if expected["dtype"].kind != "f" and name != FIRST_BAD:
            raise StoreError(
                f"store: {self.path}, block {block}: {name} is damaged, and {expected['dtype']} has no NaN to say so; "
                "allowed: a sweep with this store, which trains the block again"
            )
        self._warn(block, f"{name} is not what was written")
        return False, None

    def _warn(self, block: int, reason: str) -> None:
        told = f"{self.path}: block {block} cannot be read ({reason}); sweep with store= trains it again"
        warnings.warn(told, stacklevel=2)

    def metrics(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Metric -> dtype and shape of one cell's value without records, wide enough for all grids."""
        found: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        for grid in self.grids:
            for name, (text, inner) in grid["metrics"].items():
                dtype = np.dtype(text)
                had_dtype, had = found.get(name, (dtype, inner))
                found[name] = (np.result_type(dtype, had_dtype), tuple(map(max, zip(inner, had, strict=True))))
        return found

    def _grid_of(self, block: int) -> int:
        return int(np.searchsorted(self.first, block, side="right")) - 1

    def _expected(self, grid: int, name: str) -> dict[str, Any]:
        """Shape, chunks and dtype of an array."""
        last = self.first[grid + 1] if grid + 1 < len(self.first) else self.layout.blocks
        dtype, inner = ("int32", []) if name == FIRST_BAD else self.grids[grid]["metrics"][name]
        steps = [] if name == FIRST_BAD or self.manifest["record_every"] is None else [len(self.manifest["records"])]
        return {
            "shape": ((last - self.first[grid]) * self.layout.slots, *steps, *inner),
            "chunks": (self.layout.slots, *steps, *(max(n, 1) for n in inner)),
            "dtype": np.dtype(dtype),
        }

    def _make_arrays(self, grid: int) -> None:
        """The arrays of a grid, where they are missing or their description is damaged; chunks stay.

        Only other programs read these descriptions: here chunks are read by what the grids say.
        """
        for name in (*self.grids[grid]["metrics"], FIRST_BAD):
            folder = self.path / "data.zarr" / str(grid) / name
            expected = self._expected(grid, name)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                about = files.parsed((folder / "zarr.json").read_bytes())
                there = about["shape"], about["chunk_grid"]["configuration"]["chunk_shape"], about["data_type"]
                if there == (list(expected["shape"]), list(expected["chunks"]), str(expected["dtype"])):
                    continue
            import zarr  # heavy
            from zarr.codecs import Crc32cCodec

            (folder / "zarr.json").unlink(missing_ok=True)
            inner = range(len(expected["shape"]) - 1)
            with contextlib.suppress(zarr.errors.ContainsArrayError):  # another process was faster
                zarr.create_array(
                    folder,
                    **expected,
                    fill_value=chunks.fill(name, expected["dtype"]),
                    compressors=[Crc32cCodec()],
                    filters=None,
                    dimension_names=("cell", *(f"{name}_{i}" for i in inner)),
                    zarr_format=3,
                )

    def _chunk(self, grid: int, name: str, block: int) -> pathlib.Path:
        """The file of a block's chunk, by zarr's default names."""
        inner = len(self._expected(grid, name)["shape"]) - 1
        return self.path.joinpath("data.zarr", str(grid), name, "c", str(block - self.first[grid]), *["0"] * inner)

    # --- programs -----------------------------------------------------------------------------------

    def admit(self, programs: Mapping[str, str], old: Mapping[str, str], here: dict[str, str], accept: bool) -> None:
        """Record the hash of each program, or refuse one that differs from what trained here before.

        A list of programs that is lost or damaged is made again from the markers of the blocks that they trained.

        Args:
            programs: text of the static fields -> hash.
            old: the same, as version 1 of stores hashed: what it accepted is accepted.
            here: what made them, for the message.
            accept: record it beside the old one instead of refusing.

        Raises:
            StoreError: another program; says whether the versions or the code changed.
        """
        by_markers: dict[str, set[str]] | None = None
        for key, sha in programs.items():
            file = self._program_file(key)
            with files.clear_errors(self.path):
                known = self._listed(key)
                if known is None:
                    by_markers = self._programs_by_markers() if by_markers is None else by_markers
                    file.parent.mkdir(exist_ok=True)
                    if key in by_markers or file.exists():
                        known = {found: {} for found in by_markers.get(key, {sha})}
                        files.replace(file, files.sealed({"static": json.loads(key), "accepted": known}))
                    else:
                        files.write_once(file, files.sealed({"static": json.loads(key), "accepted": {sha: here}}))
                        known = self._listed(key) or {sha: here}
                if sha in known:
                    continue
                if not accept and old.get(key) not in known:
                    raise self._another_program(list(known.values()), here)
                more = {"static": json.loads(key), "accepted": {**known, sha: here}}
                files.replace(file, files.sealed(more))

    def _another_program(self, there: list[dict[str, str]], here: dict[str, str]) -> StoreError:
        changed = [
            f"{name} {', '.join(sorted({str(v.get(name, 'unknown')) for v in there}))} there, {here[name]} here"
            for name in here
            if there and all(name in v and v[name] != here[name] for v in there)
        ]
        return StoreError(
            f"store: {self.path} was trained by another program "
            f"({'; '.join(changed) or 'the code of the experiment or of snljax, or its data, have changed'}); allowed: "
            "the program of the store, another store, or accept_program (--accept-program), which mixes both"
        )

    def _programs_by_markers(self) -> dict[str, set[str]]:
        """The hashes of the programs that trained finished blocks, by their static fields."""
        found: dict[str, set[str]] = {}
        for block in np.flatnonzero(self.done()).tolist():
            if (marker := self.marker(block)) is not None:
                found.setdefault(marker["static"], set()).add(marker["program"])
        return found

    # --- checkpoints --------------------------------------------------------------------------------

    def checkpoint(self, block: int) -> Checkpoint | None:
        """A block on its way, if it was interrupted; one that is damaged, or means another block, is none."""
        with self._reading():
            try:
                file = open(self.path / "checkpoints" / f"{block}.npz", "rb")  # noqa: SIM115  -- read when used
            except files.GONE:
                return None
            length = os.fstat(file.fileno()).st_size - _SEAL
            if length < 0 or files.sha256(file, length) != file.read(_SEAL):
                file.close()
                return None
        file.seek(0)
        saved = np.lib.npyio.NpzFile(file, own_fid=True, allow_pickle=False)
        about = json.loads(str(saved["about"]))
        if about.get("means") != self.meaning(block)["means"]:
            saved.close()
            return None
        return Checkpoint(about["step"], about["seconds"], about["program"], saved)

    def save_checkpoint(self, block: int, checkpoint: Checkpoint) -> None:
        """Keep a block on its way."""
        about = {"step": checkpoint.step, "seconds": checkpoint.seconds, "program": checkpoint.program}
        about |= {"means": self.meaning(block)["means"]}
        with files.clear_errors(self.path):
            (self.path / "checkpoints").mkdir(exist_ok=True)
            with files.replacing(self.path / "checkpoints" / f"{block}.npz") as file:
                np.savez(file, about=np.array(json.dumps(about)), **checkpoint.arrays)  # type: ignore[arg-type]
                length = file.seek(0, io.SEEK_END)
                file.seek(0)
                seal = files.sha256(file, length)
                file.seek(0, io.SEEK_END)
                file.write(seal)


def read_description(file: pathlib.Path, group: pathlib.Path) -> dict[str, Any]:
    """A description, or its copy among the attributes of a zarr group; either only if it is what was written."""

    try:
        return files.unsealed(file.read_bytes())
    except (OSError, ValueError) as error:
        try:
            copy = files.unsealed(json.dumps(files.parsed((group / "zarr.json").read_bytes())["attributes"]["snljax"]))
        except (OSError, ValueError, KeyError, TypeError):
            reason = error.strerror if isinstance(error, OSError) else "it is not what was written"
            raise StoreError(
                f"store: {file} cannot be read ({reason}), and {group} holds no copy of it; allowed: the file restored"
            ) from None
        warnings.warn(f"{file} cannot be read; its copy in {group} is used", stacklevel=2)
        return copy


def write_group(folder: pathlib.Path, about: dict[str, Any]) -> None:
    """A zarr group that carries a copy of a description; written anew where it carries anything else."""
    file, copy = folder / "zarr.json", files.sealed(about)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"snljax": json.loads(copy)}}
    with contextlib.suppress(*files.GONE, ValueError):
        if files.parsed(file.read_bytes()) == group:
            return
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(file, files.to_json(group), durable=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _numbers(folder: pathlib.Path, suffix: str = ".json") -> Iterator[int]:
    """The numbers N of a folder's entries that are called N and the suffix, as this module writes them."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            number = entry.name.removesuffix(suffix)
            if number.isdecimal() and len(number) < 16 and entry.name == f"{int(number)}{suffix}":
                yield int(number)


def _exact(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values by what they are: 1 and 1.0 are one, 0.0 and -0.0 are two, and True is no number."""
    plain = (bool, str, type(None))
    return tuple((type(v).__name__, v) if isinstance(v, plain) else float(v).hex() for v in row)


def _rows(columns: dict[str, Any], fields: list[str]) -> list[tuple[Any, ...]]:
    """The values of an axis position by position."""
    return list(zip(*(columns[f] for f in fields), strict=True))


def _axis(grid: Grid, name: str) -> Axis:
    return next(a for a in grid.point_axes if a.name == name)


def _listed(axes: dict[str, list[str]]) -> str:
    return ", ".join(n if f == [n] else f"{n} ({' + '.join(f)})" for n, f in axes.items()) or "none"


def _plain(value: Any) -> Any:
    return "none" if value is None else value
