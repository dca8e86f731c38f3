"""A sweep on disk: what was asked for, the trained blocks, and which of them are complete.

    manifest.json        what all blocks share; written once
    grids/N.json         the N-th grid that was asked for; only ever added to
    data.zarr/N/METRIC   what grid N added: zarr v3, one chunk a block, CRC-32C
    done/BLOCK.json      written last: SHA-256 of each of the block's chunks. No marker, no block
    programs/ID.json     SHA-256 of each compiled program, by its static fields
    checkpoints/BLOCK.npz  a long block on its way
    writers/ID.json      what each process does and has done

A block is complete when its marker is there and the hashes fit. Chunk files alone prove nothing: a
crash may leave any of them. Every file is written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import io
import json
import os
import pathlib
import socket
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import google_crc32c
import numpy as np

from snljax.experiment import fields_of, traced_fields
from snljax.sweep import files
from snljax.sweep.files import StoreError
from snljax.sweep.layout import Block, Layout
from snljax.sweep.writers import Writers

if TYPE_CHECKING:  # looking at a store needs neither JAX nor the experiments
    from snljax.sweep.grid import Axis, Grid

FORMAT = 1
MANIFEST = "manifest.json"
FIRST_BAD = "first_bad_step"
UNREADABLE = -2  # in place of a first_bad_step whose chunk is damaged
_LEFTOVER_SECONDS = 3600.0
_SEAL = hashlib.sha256().digest_size  # bytes at the end of a checkpoint


class Checkpoint(NamedTuple):
    """A block after ``step`` updates. program: hash of the program that was training it."""

    step: int
    seconds: float
    program: str
    arrays: dict[str, np.ndarray]


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
        self._arrays: dict[tuple[int, str], Any] = {}
        self.writers = Writers(path / "writers")
        self.refresh()

    # --- opening and making -------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open a store that exists.

        Raises:
            StoreError: no such folder, no store, or one that cannot be read.
        """
        path = pathlib.Path(path)
        if not path.is_dir():
            kind = "is a file" if path.exists() else "does not exist"
            raise StoreError(f"store: {path} {kind}; allowed: a folder that a sweep with store= has made")
        if not (path / MANIFEST).exists():
            raise StoreError(f"store: {path} is no store, it has no {MANIFEST}; allowed: a folder made by a sweep")
        manifest = _read(path / MANIFEST, path / "data.zarr")
        if manifest.get("format") != FORMAT:
            raise StoreError(f"store: {path} has format {manifest.get('format')}; allowed: {FORMAT}")
        try:
            return cls(path, manifest)
        except (KeyError, TypeError, IndexError) as error:
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
        path = pathlib.Path(path)
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
            "dims": {n: list(d) for n, d in grid.experiment.dims.items()},
            "seed_axis": "seed" in grid.shape,
            **shared,
        }
        with files.clear_errors(path):
            if path.exists() and not path.is_dir():
                raise StoreError(f"store: {path} is a file; allowed: a folder, or a name that is free")
            # A process that was killed here may have left a hidden file.
            others = [p for p in path.iterdir() if not p.name.startswith(".")] if path.is_dir() else []
            if others and not (path / MANIFEST).exists():
                raise StoreError(f"store: {path} holds other files; allowed: a store, an empty folder, or a free name")
            path.mkdir(parents=True, exist_ok=True)
            files.write_once(path / MANIFEST, files.sealed(manifest))
        return cls.open(path)

    def refresh(self) -> None:
        """Take in grids that other processes have added."""
        while (file := self.path / "grids" / f"{len(self.grids)}.json").exists():
            self._take_in(_read(file, self.path / "data.zarr" / str(len(self.grids))))

    def _take_in(self, grid: dict[str, Any]) -> None:
        rows = {a["name"]: _rows(grid["axes"][a["name"]], a["fields"]) for a in self.manifest["axes"]}
        rows["seed"] = [(s,) for s in grid["seeds"]]
        positions = []
        for name, wanted in rows.items():
            known = {row: i for i, row in enumerate(self.values[name])}
            fresh = [row for row in dict.fromkeys(wanted) if row not in known]
            known |= {row: len(known) + i for i, row in enumerate(fresh)}
            self.values[name] = self.values[name] + fresh
            positions.append(np.array(list(dict.fromkeys(known[row] for row in wanted))))
        self.first.append(self.layout.blocks)
        self.layout = self.layout.grown(positions)
        self.grids.append(grid)

    # --- does a grid belong here --------------------------------------------------------------------

    def check(self, grid: Grid, precision: str, dtype: str, record_every: int | None) -> None:
        """Refuse a grid that does not belong in this store.

        Raises:
            StoreError: naming what differs.
        """

        def refuse(name: str, there: Any, here: Any) -> None:
            if there != here:
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

    def grow(self, grid: Grid, metrics: dict[str, tuple[str, tuple[int, ...]]]) -> None:
        """Add the cells of a grid that are not here yet; several processes may do so at once."""
        entry = {
            "axes": {
                a["name"]: {f: list(_axis(grid, a["name"]).fields[f]) for f in a["fields"]}
                for a in self.manifest["axes"]
            },
            "seeds": list(grid.seeds),
            "metrics": {n: [dtype, list(inner)] for n, (dtype, inner) in metrics.items()},
        }
        with files.clear_errors(self.path):
            (self.path / "grids").mkdir(exist_ok=True)
            while self.missing(grid):
                files.write_once(self.path / "grids" / f"{len(self.grids)}.json", files.sealed(entry))
                self.refresh()
            _group(self.path / "data.zarr", self.manifest)
            for number, about in enumerate(self.grids):
                _group(self.path / "data.zarr" / str(number), about)
                self._make_arrays(number)

    def missing(self, grid: Grid) -> bool:
        """Whether a grid has cells that are not here yet."""
        self.refresh()
        axes = self.positions(grid)
        return any(-1 in a for a in axes) or len(self.layout.grown(axes).boxes) > len(self.layout.boxes)

    def positions(self, grid: Grid) -> list[np.ndarray]:
        """Positions of a grid's values on the store's axes, ``seed`` last; -1 for a value that is new."""
        rows = {a["name"]: _rows(_axis(grid, a["name"]).fields, a["fields"]) for a in self.manifest["axes"]}
        rows["seed"] = [(s,) for s in grid.seeds]
        known = {name: {row: i for i, row in enumerate(self.values[name])} for name in rows}
        return [np.array([known[name].get(row, -1) for row in wanted]) for name, wanted in rows.items()]

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
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path / "done") as entries:
            for entry in entries:
                number, _, suffix = entry.name.partition(".")
                if suffix == "json" and number.isdigit() and int(number) < len(there):
                    there[int(number)] = True
        return there

    def is_done(self, block: int) -> bool:
        """Whether a block has a marker."""
        return (self.path / "done" / f"{block}.json").exists()

    def needed(self, grid: Grid) -> np.ndarray:
        """Which blocks hold a cell of a grid, as true and false."""
        axes = self.positions(grid)
        return np.concatenate([self.layout.needed(box, axes) for box in self.layout.boxes] or [np.zeros(0, bool)])

    def put(self, block: int, arrays: dict[str, np.ndarray], program: str, seconds: float) -> None:
        """Write a trained block, its marker last.

        Args:
            block: its number.
            arrays: name -> (seeds, points, ...); smaller than the block, or than its chunk, is padded.
            program: hash of the program that trained it.
            seconds: that it took.

        Raises:
            StoreError: the disk is full, or the store cannot be written.
        """
        grid = self._grid_of(block)
        hashes = {}
        with files.clear_errors(self.path):
            for name, values in arrays.items():
                content = _encoded(values, self.block, **self._expected(grid, name))
                chunk = self._chunk(grid, name, block)
                chunk.parent.mkdir(parents=True, exist_ok=True)
                files.replace(chunk, content)
                hashes[name] = hashlib.sha256(content).hexdigest()
            bad = arrays[FIRST_BAD]
            marker = {
                "arrays": hashes,
                "program": program,
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

    def damaged(self, block: int) -> list[str]:
        """The arrays of a finished block whose chunk is not what was written; or that its marker is not.

        Raises:
            StoreError: the machine cannot read now (too many open files, say), which proves nothing.
        """
        grid = self._grid_of(block)
        found = []
        with files.clear_errors(self.path, "read"):
            try:
                hashes = files.unsealed((self.path / "done" / f"{block}.json").read_bytes())["arrays"]
            except (*files.GONE, ValueError):
                return ["marker"]
            for name, sha in hashes.items():
                try:
                    if self._hash(grid, name, block) != sha:
                        found.append(name)
                except files.GONE:
                    found.append(name)
                except OSError as error:
                    if error.errno != errno.EIO:  # a bad sector is damage
                        raise
                    found.append(name)
        return found

    def discard(self, block: int) -> None:
        """Take a block's marker away, so that it is trained again."""
        with files.clear_errors(self.path):
            (self.path / "done" / f"{block}.json").unlink(missing_ok=True)

    def there(self, cells: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Which cells, numbered by `Layout.locate`, lie in a block that is done."""
        return (cells >= 0) & done[np.maximum(cells, 0) // self.layout.slots]

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

    def read(self, name: str, cells: np.ndarray, done: np.ndarray, inner: tuple[int, ...], fill: Any) -> np.ndarray:
        """Values of an array at cells. Where a block cannot be read: NaN, or UNREADABLE for ``first_bad_step``.

        Args:
            name: of the array.
            cells: numbers from `Layout.locate`, any shape, -1 for none.
            done: from `done`; what counts as there.
            inner: shape of one cell's value, as large as in any grid.
            fill: value for what is not done.
        """
        flat = cells.reshape(-1)
        slots = self.layout.slots
        there = self.there(flat, done)
        dtype = np.dtype(np.int32 if name == FIRST_BAD else self._dtype(name))
        out = np.full((len(flat), *inner), fill, dtype)
        for grid, first in enumerate(self.first):
            last = self.first[grid + 1] if grid + 1 < len(self.first) else self.layout.blocks
            mine = np.flatnonzero(there & (flat // slots >= first) & (flat // slots < last))
            if not len(mine) or name not in {**self.grids[grid]["metrics"], FIRST_BAD: None}:
                continue
            try:
                array = self._array(grid, name)
            except (OSError, ValueError) as error:
                told = f"{self.path}: array {name} of grid {grid} cannot be read ({error}); sweep with store= mends it"
                warnings.warn(told, stacklevel=2)
                out[mine] = self._broken(name)
                continue
            rows = flat[mine] - first * slots
            for at, values in self._runs(array, rows, grid, name):
                inside = tuple(slice(0, n) for n in values.shape[1:])
                out[(mine[at], *inside)] = values
        return out.reshape((*cells.shape, *inner))

    def _runs(self, array: Any, rows: np.ndarray, grid: int, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Contiguous stretches of blocks that hold some rows: which of the rows, and their values."""
        slots = self.layout.slots
        order = np.argsort(rows, kind="stable")
        blocks = rows[order] // slots
        most = max(1, 64_000_000 // (slots * array.dtype.itemsize * max(int(np.prod(array.shape[1:])), 1)))
        edges = np.unique(blocks)
        cuts = np.flatnonzero(np.diff(edges) != 1) + 1
        for run in np.split(edges, cuts):
            for i in range(0, len(run), most):
                low, high = int(run[i]), int(run[min(i + most, len(run)) - 1]) + 1
                at = order[np.searchsorted(blocks, low) : np.searchsorted(blocks, high)]
                values = self._slice(array, low, high, grid, name)
                yield at, values[rows[at] - low * slots]

    def _slice(self, array: Any, low: int, high: int, grid: int, name: str) -> np.ndarray:
        """A stretch of finished blocks; the fill value, and a warning, for one that cannot be read."""
        slots, first = self.layout.slots, self.first[grid]
        try:
            values = np.asarray(array[low * slots : high * slots])
        except Exception as error:  # zarr raises whatever its codecs raise
            if high - low == 1:
                self._warn(first + low, name, error)
                return np.full((slots, *array.shape[1:]), self._broken(name), array.dtype)
            middle = (low + high) // 2
            halves = (self._slice(array, *ends, grid, name) for ends in ((low, middle), (middle, high)))
            return np.concatenate(list(halves))
        for block in range(first + low, first + high):
            # zarr takes a missing chunk for fill values; so it is where a program has no such metric.
            if not self._chunk(grid, name, block).exists() and name in self.damaged(block):
                self._warn(block, name, "its chunk is missing")
                values[(block - first - low) * slots :][:slots] = self._broken(name)
        return values

    def _broken(self, name: str) -> float:
        return UNREADABLE if name == FIRST_BAD else np.nan

    def _warn(self, block: int, name: str, reason: Any) -> None:
        told = f"{self.path}: block {block} cannot be read ({name}: {reason}); sweep with store= trains it again"
        warnings.warn(told, stacklevel=2)

    def metrics(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Metric -> dtype and shape of one cell's value without records, the largest over the grids."""
        found: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        for grid in self.grids:
            for name, (dtype, inner) in grid["metrics"].items():
                had = found.get(name, (None, inner))[1]
                found[name] = (np.dtype(dtype), tuple(max(pair) for pair in zip(inner, had, strict=True)))
        return found

    def _dtype(self, name: str) -> np.dtype:
        return self.metrics()[name][0]

    def _grid_of(self, block: int) -> int:
        return int(np.searchsorted(self.first, block, side="right")) - 1

    def _array(self, grid: int, name: str) -> Any:
        """The zarr array of what a grid added; ValueError or OSError where it is not what was made."""
        if (grid, name) not in self._arrays:
            import zarr  # heavy

            try:
                array = zarr.open_array(self.path / "data.zarr" / str(grid) / name, mode="r")
            except (KeyError, TypeError) as error:
                raise ValueError(str(error)) from None
            expected = self._expected(grid, name)
            if {n: getattr(array, n) for n in ("shape", "chunks", "dtype")} != expected:
                raise ValueError(f"{name} of grid {grid} is described wrongly")
            self._arrays[grid, name] = array
        return self._arrays[grid, name]

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
        """The arrays of a grid, where they are missing or their description is damaged; chunks stay."""
        import zarr
        from zarr.codecs import Crc32cCodec

        for name in (*self.grids[grid]["metrics"], FIRST_BAD):
            folder = self.path / "data.zarr" / str(grid) / name
            with contextlib.suppress(OSError, ValueError):
                self._array(grid, name)
                continue
            (folder / "zarr.json").unlink(missing_ok=True)
            expected = self._expected(grid, name)
            inner = range(len(expected["shape"]) - 1)
            with contextlib.suppress(zarr.errors.ContainsArrayError):  # another process was faster
                zarr.create_array(
                    folder,
                    **expected,
                    fill_value=-1 if name == FIRST_BAD else np.nan,
                    compressors=[Crc32cCodec()],
                    filters=None,
                    dimension_names=("cell", *(f"{name}_{i}" for i in inner)),
                    zarr_format=3,
                )

    def _chunk(self, grid: int, name: str, block: int) -> pathlib.Path:
        """The file of a block's chunk, by zarr's default names."""
        inner = len(self._expected(grid, name)["shape"]) - 1
        return self.path.joinpath("data.zarr", str(grid), name, "c", str(block - self.first[grid]), *["0"] * inner)

    def _hash(self, grid: int, name: str, block: int) -> str:
        """SHA-256 of the file of a block's chunk."""
        return hashlib.sha256(self._chunk(grid, name, block).read_bytes()).hexdigest()

    # --- programs -----------------------------------------------------------------------------------

    @staticmethod
    def program_key(config: Any) -> str:
        """Text that names a program: the static fields of a Config."""
        traced = traced_fields(config)
        return json.dumps({n: getattr(config, n) for n in fields_of(type(config)) if n not in traced}, sort_keys=True)

    def admit(self, programs: dict[str, str], here: dict[str, str], accept: bool) -> None:
        """Record the hash of each program, or refuse one that differs from what trained here before.

        Args:
            programs: program key -> hash.
            here: what made them, for the message.
            accept: record it beside the old one instead of refusing.

        Raises:
            StoreError: another program; says whether the versions or the code changed.
        """
        for key, sha in programs.items():
            file = self.path / "programs" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
            if not file.exists():
                with files.clear_errors(self.path):
                    file.parent.mkdir(exist_ok=True)
                    files.write_once(file, files.to_json({"static": json.loads(key), "accepted": {sha: here}}))
            try:
                known = json.loads(file.read_bytes())
                there = [dict(v) for v in known["accepted"].values()]
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                raise StoreError(
                    f"store: {file} cannot be read; allowed: the file restored, or removed if the program is the same"
                ) from None
            if sha in known["accepted"]:
                continue
            if not accept:
                changed = [
                    f"{name} {', '.join(sorted({str(v.get(name)) for v in there}))} there, {here[name]} here"
                    for name in here
                    if all(v.get(name) != here[name] for v in there)
                ]
                raise StoreError(
                    f"store: {self.path} was trained by another program "
                    f"({'; '.join(changed) or 'the code of the experiment or of snljax has changed'}); allowed: the "
                    "program of the store, another store, or accept_program (--accept-program), which mixes both"
                )
            with files.clear_errors(self.path):
                files.replace(file, files.to_json({**known, "accepted": {**known["accepted"], sha: here}}))

    # --- checkpoints --------------------------------------------------------------------------------

    def checkpoint(self, block: int) -> Checkpoint | None:
        """A block on its way, if it was interrupted; a damaged checkpoint is none."""
        file = self.path / "checkpoints" / f"{block}.npz"
        try:
            content = file.read_bytes()
        except OSError:
            return None
        content, seal = content[:-_SEAL], content[-_SEAL:]
        if hashlib.sha256(content).digest() != seal:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        about = json.loads(str(arrays.pop("about")))
        return Checkpoint(about["step"], about["seconds"], about["program"], arrays)

    def save_checkpoint(self, block: int, checkpoint: Checkpoint) -> None:
        """Keep a block on its way."""
        about = {"step": checkpoint.step, "seconds": checkpoint.seconds, "program": checkpoint.program}
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(about)), **checkpoint.arrays)  # type: ignore[arg-type]
        with files.clear_errors(self.path):
            (self.path / "checkpoints").mkdir(exist_ok=True)
            content = buffer.getvalue()
            files.replace(self.path / "checkpoints" / f"{block}.npz", content + hashlib.sha256(content).digest())


def _read(file: pathlib.Path, group: pathlib.Path) -> dict[str, Any]:
    """A description, or its copy among the attributes of a zarr group; either only if it is what was written."""

    try:
        return files.unsealed(file.read_bytes())
    except (OSError, ValueError) as error:
        try:
            copy = files.unsealed(json.dumps(json.loads((group / "zarr.json").read_bytes())["attributes"]["snljax"]))
        except (OSError, ValueError, KeyError, TypeError):
            reason = error.strerror if isinstance(error, OSError) else "it is not what was written"
            raise StoreError(
                f"store: {file} cannot be read ({reason}), and {group} holds no copy of it; allowed: the file restored"
            ) from None
        warnings.warn(f"{file} cannot be read; its copy in {group} is used", stacklevel=2)
        return copy


def _encoded(
    values: np.ndarray, block: Block, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype
) -> bytes:
    """A block's values, (seeds, points, ...), as the file of a zarr chunk: little-endian numbers and their CRC-32C.

    Written without zarr, which takes ten times as long for it and leaves out chunks of nothing but fill values.
    """
    inner = chunks[1:]
    if values.ndim - 2 > len(inner):
        values = values[:, :, 0]  # without recording there is one record and no dimension for it
    fill = -1 if np.issubdtype(dtype, np.integer) else np.nan
    filled = np.full((*block, *inner), fill, dtype.newbyteorder("<"))
    filled[tuple(slice(0, n) for n in values.shape)] = values
    content = filled.tobytes()
    return content + google_crc32c.value(content).to_bytes(4, "little")


def _group(folder: pathlib.Path, attributes: dict[str, Any]) -> None:
    """A zarr group that carries a copy of a JSON file."""
    if not (folder / "zarr.json").exists():
        import zarr

        with contextlib.suppress(zarr.errors.ContainsGroupError):
            zarr.create_group(folder, zarr_format=3, attributes={"snljax": attributes})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _rows(columns: dict[str, Any], fields: list[str]) -> list[tuple[Any, ...]]:
    """The values of an axis position by position."""
    return list(zip(*(columns[f] for f in fields), strict=True))


def _axis(grid: Grid, name: str) -> Axis:
    return next(a for a in grid.point_axes if a.name == name)


def _listed(axes: dict[str, list[str]]) -> str:
    return ", ".join(n if f == [n] else f"{n} ({' + '.join(f)})" for n, f in axes.items()) or "none"


def _plain(value: Any) -> Any:
    return "none" if value is None else value
