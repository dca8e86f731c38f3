"""The measurements of a block as they come: in memory, or in a file without a name where they are too many."""

from __future__ import annotations

import mmap
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from snljax.sweep import files, memory
from snljax.sweep.layout import Block
from snljax.sweep.returned import Metrics
from snljax.variables import missing

_RELEASE_BYTES = 4_000_000  # written to the file before its pages are let go


class Records:
    """One block's measurements.

    arrays: metric -> (seeds, points, records, ...), filled up to ``count`` records.

    Args:
        metrics: name -> dtype and shape of one network's value.
        block: seeds × points.
        records: how many there will be.
        most: bytes that may lie in memory.
        folder: where a file may lie; None is the system's folder for temporary files.
    """

    def __init__(
        self,
        metrics: Metrics,
        block: Block,
        records: int,
        most: int,
        folder: pathlib.Path | None,
    ) -> None:
        shapes = {n: (block.seeds, block.points, records, *inner) for n, (_, inner) in metrics.items()}
        total = records * memory.record_bytes(metrics, block)
        self._map = _file(total, folder) if total > most else None
        self.count, self._touched, at = 0, 0, 0
        self.arrays: dict[str, np.ndarray] = {}
        for name, (dtype, _) in metrics.items():
            if self._map is None:
                self.arrays[name] = np.empty(shapes[name], dtype)
                continue
            self.arrays[name] = np.ndarray(shapes[name], dtype, self._map, at)
            at += self.arrays[name].nbytes

    def put(self, values: Any, count: int = 1) -> None:
        """The next records: values[name] is (count or more, seeds, points, ...)."""
        for name, array in self.arrays.items():
            value = getattr(values, name)[:count]
            array[:, :, self.count : self.count + count] = np.moveaxis(value, 0, 2)
            self._touched += value.nbytes
        self.count += count
        if self._map is not None and self._touched > _RELEASE_BYTES:
            self.release()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The first records, as a checkpoint has them."""
        for name, values in arrays.items():
            self.count = values.shape[2]
            self.arrays[name][:, :, : self.count] = values
        self.release()

    def release(self) -> None:
        """Give the memory of what was written or read back; the file keeps it."""
        self._touched = 0
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def valid(self, seeds: int, points: int, first_bad: np.ndarray, steps: list[int]) -> dict[str, np.ndarray]:
        """The cells that are not padding; missing from the record at which a cell was bad."""
        dead = np.stack([(first_bad >= 0) & (first_bad <= k) for k in steps], axis=2)
        arrays = {}
        for name, array in self.arrays.items():
            arrays[name] = array[:seeds, :points]
            if dead.any():
                arrays[name][dead] = missing(array.dtype)
        return arrays


def _file(size: int, folder: pathlib.Path | None) -> mmap.mmap:
    """A mapped file without a name: it is gone when the process is."""
    where = pathlib.Path(tempfile.gettempdir()) if folder is None else folder
    with files.clear_errors(where):
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=where) as file:
            # A full disk is an error here; later, under the map, it would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                for at in range(0, size, files.PIECE):
                    file.write(bytes(min(files.PIECE, size - at)))
                file.flush()
            return mmap.mmap(file.fileno(), size)
