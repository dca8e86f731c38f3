"""A sweep on disk: what was asked for, the trained blocks, and which of them are complete.

    manifest.json        what all blocks share; written once
    grids/N.json         the N-th grid that was asked for; only ever added to
    data.zarr/N/METRIC   what grid N added: zarr v3, one chunk a block, CRC-32C
    done/BLOCK.json      written last: SHA-256 of each of the block's chunks, and what the block means; for readers,
                         versions, commits and the command that made it
    programs/ID.json     SHA-256 of each compiled program, by its static fields
    checkpoints/BLOCK.npz  a long block on its way
    writers/ID.json      what each process does and has done

A block is complete when its marker is there, means what the grids say now, and the hashes fit. Chunk files alone
prove nothing: a crash may leave any of them. Every file is written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import pathlib
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snljax.provenance import provenance, versions
from snljax.sweep import chunks, files
from snljax.sweep.accepted import Accepted
from snljax.sweep.catalogue import FORMAT, MANIFEST, Catalogue, manifest_of
from snljax.sweep.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from snljax.sweep.chunk_files import ChunkFiles
from snljax.sweep.descriptions import numbered, read_description
from snljax.sweep.files import StoreError
from snljax.sweep.layout import Block, Cells
from snljax.sweep.writers import Writers
from snljax.variables import FIRST_BAD

if TYPE_CHECKING:  # looking at a store needs neither JAX nor the experiments
    from snljax.sweep.grid import Grid
    from snljax.sweep.returned import Metrics
    from snljax.sweep.work import Finished, Plan

_LEFTOVER_SECONDS = 3600.0


class Store:
    """An open store. Use `Store.open` or `Store.create`.

    path: the folder. catalogue: what was asked for, and where each cell lies. accepted: which programs may train.
    writers: the processes that do.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.path, self.catalogue = catalogue.path, catalogue
        self.accepted = Accepted(self.path, self._programs_by_markers)
        self.writers = Writers(self.path / "writers")
        self._chunks = ChunkFiles(catalogue)

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
            return cls(Catalogue(path, manifest))
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise StoreError(f"store: {path} lacks {error}; allowed: a store of this version of snljax") from None

    @classmethod
    def create(cls, path: str | os.PathLike[str], plan: Plan, block: Block, made_by: dict[str, Any]) -> Store:
        """Make a store, or open the one that another process has made in the meantime.

        Args:
            path: a folder that does not exist or is empty.
            plan: whose experiment and fixed settings all blocks share.
            block: their shape.
            made_by: versions and device, for whoever reads.

        Raises:
            StoreError: the folder holds something else, or cannot be written.
        """
        path = pathlib.Path(os.path.abspath(path))
        manifest = manifest_of(plan, block, made_by)
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

    def grow(self, grid: Grid, cells: Cells, metrics: Metrics) -> None:
        """Add those of a grid's cells that are not here yet; several processes may do so at once."""
        self.catalogue.add(grid, cells, metrics)
        with files.clear_errors(self.path):
            for number in range(len(self.catalogue.grids)):
                self._chunks.describe(number)

    # --- blocks -------------------------------------------------------------------------------------

    def done(self) -> np.ndarray:
        """Which blocks have a marker, as true and false."""
        there = np.zeros(self.catalogue.layout.blocks, bool)
        with self._reading():
            numbers = np.fromiter(numbered(self.path / "done"), np.int64)
        there[numbers[numbers < len(there)]] = True
        return there

    def is_done(self, block: int) -> bool:
        """Whether a block has a marker."""
        return (self.path / "done" / f"{block}.json").exists()

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
        if not self.catalogue.meaning(block).items() <= marker.items():
            return None
        return marker if self.accepted.has(marker["static"], marker["program"]) else None

    def put(self, finished: Finished) -> None:
        """Write a trained block, its marker last.

        Raises:
            StoreError: the disk is full, or the store cannot be written, or cannot hold such numbers exactly.
        """
        block, hashes, bad = finished.work.block, {}, finished.arrays[FIRST_BAD]
        dead = (bad[..., None] >= 0) & (bad[..., None] <= np.array(self.catalogue.manifest["records"]))
        with files.clear_errors(self.path):
            for name, values in finished.arrays.items():
                if self._chunks.dtype(block, name).kind == "f" and values.dtype.kind != "f":
                    values = values.astype(np.float64)  # a count in a store of version 0.1
                    values[dead] = np.nan
                hashes[name] = self._chunks.write(block, name, values, finished.release)
            marker = {
                "arrays": hashes,
                **self.catalogue.meaning(block),
                "static": finished.program[0],
                "program": finished.program[1],
                "cells": int(bad.size),
                "diverged": finished.diverged,
                "seconds": round(finished.seconds, 3),
                "host": socket.gethostname(),
                "finished": _now(),
                "made_by": {"versions": versions(), **provenance()},  # for whoever reads: nothing follows from it
            }
            (self.path / "done").mkdir(exist_ok=True)
            files.replace(self.path / "done" / f"{block}.json", files.sealed(marker), durable=True)
            self._checkpoint(block).unlink(missing_ok=True)
        self.writers.count(bad.size)

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
        return self._chunks.intact(block, name, sha)

    def differing(self, block: int, marker: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> list[str]:
        """The arrays of a marker whose chunks would be others if they were written from these values."""
        found = []
        for name, sha in marker["arrays"].items():
            digest = hashlib.sha256()
            with contextlib.suppress(StoreError):  # what does not fit into the store's dtype is not what it has
                for piece in self._chunks.encoded(block, name, arrays[name]):
                    digest.update(piece)
            if digest.hexdigest() != sha:
                found.append(name)
        return found

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
        flat, slots = cells.reshape(-1), self.catalogue.layout.slots
        dtype = np.dtype(np.int32) if name == FIRST_BAD else self.catalogue.metrics()[name][0]
        out = np.full((len(flat), *inner), chunks.fill(name, dtype), dtype)
        there = np.zeros(len(flat), bool)
        order = np.argsort(flat, kind="stable")
        blocks = flat[order] // slots
        for at in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
            block = int(flat[at[0]]) // slots if len(at) else -1
            if block < 0 or not done[block]:
                continue
            there[at], values = self.values_of(name, block)
            if values is not None:
                inside: Any = (at, *(slice(0, n) for n in values.shape[1:]))
                out[inside] = values[flat[at] - block * slots]
        return out.reshape((*cells.shape, *inner)), there.reshape(cells.shape)

    def values_of(self, name: str, block: int) -> tuple[bool, np.ndarray | None]:
        """Whether a block is to be believed, with a warning if not, and what it has of an array, by its slots."""
        marker = self.marker(block)
        if marker is None:
            if not (self.path / MANIFEST).exists() and not (self.path / "data.zarr").exists():
                raise StoreError(f"store: {self.path} has gone since it was opened; allowed: opened where it is now")
            self._warn(block, "its marker is not what was written")
            return False, None
        if name not in marker["arrays"]:  # a program without this metric
            return True, None
        values = self._chunks.values(block, name, marker["arrays"][name])
        if values is not None:
            return True, values
        dtype = self._chunks.dtype(block, name)
        if dtype.kind != "f" and name != FIRST_BAD:
            raise StoreError(
                f"store: {self.path}, block {block}: {name} is damaged, and {dtype} has no NaN to say so; "
                "allowed: a sweep with this store, which trains the block again"
            )
        self._warn(block, f"{name} is not what was written")
        return False, None

    def _warn(self, block: int, reason: str) -> None:
        message = f"{self.path}: block {block} cannot be read ({reason}); sweep with store= trains it again"
        warnings.warn(message, stacklevel=2)

    def _programs_by_markers(self) -> dict[str, set[str]]:
        """The hashes of the programs that trained finished blocks, by their static fields."""
        found: dict[str, set[str]] = {}
        for block in np.flatnonzero(self.done()).tolist():
            if (marker := self.marker(block)) is not None:
                found.setdefault(marker["static"], set()).add(marker["program"])
        return found

    # --- blocks on their way ------------------------------------------------------------------------

    def checkpoint(self, block: int) -> Checkpoint | None:
        """A block on its way, if it was interrupted; one that is damaged, or means another block, is none."""
        with self._reading():
            return read_checkpoint(self._checkpoint(block), self.catalogue.meaning(block)["means"])

    def save_checkpoint(self, block: int, checkpoint: Checkpoint) -> None:
        """Keep a block on its way."""
        with files.clear_errors(self.path):
            write_checkpoint(self._checkpoint(block), checkpoint, self.catalogue.meaning(block)["means"])

    def _checkpoint(self, block: int) -> pathlib.Path:
        return self.path / "checkpoints" / f"{block}.npz"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with files.clear_errors(self.path, "read"):
            yield


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
