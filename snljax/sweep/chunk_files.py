"""The files of a store's numbers: ``data.zarr/N/METRIC``, what grid N added, zarr v3, one chunk a block, CRC-32C.

They are written and read without zarr, by what the catalogue says and the hashes of the markers; the descriptions of
arrays are there for other programs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from snljax.sweep import chunks, files
from snljax.sweep.catalogue import Catalogue
from snljax.variables import FIRST_BAD


class ChunkFiles:
    """The chunks of a store's blocks, and their hashes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue, self.path = catalogue, catalogue.path

    def write(self, block: int, name: str, values: np.ndarray, release: Callable[[], None]) -> str:
        """Write a block's chunk of an array, piece by piece; its hash.

        Args:
            block, name: which.
            values: (seeds, points, ...); smaller than the block, or than its chunk, is padded.
            release: called after each piece that was written.

        Raises:
            StoreError: the array cannot hold such numbers exactly.
        """
        digest = hashlib.sha256()

        def seen() -> Iterator[bytes]:
            for piece in self.encoded(block, name, values):
                digest.update(piece)
                yield piece
                release()

        chunk = self._chunk(block, name)
        chunk.parent.mkdir(parents=True, exist_ok=True)
        files.replace(chunk, seen())
        return digest.hexdigest()

    def encoded(self, block: int, name: str, values: np.ndarray) -> Iterator[bytes]:
        """What the file of a block's chunk holds."""
        expected = self._expected(block, name)
        return chunks.encoded(name, values, self.catalogue.block, expected["chunks"], expected["dtype"])

    def dtype(self, block: int, name: str) -> np.dtype:
        """In which a block's values of an array are kept."""
        return self._expected(block, name)["dtype"]

    def intact(self, block: int, name: str, sha: str) -> bool:
        """Whether the file of a block's chunk is what was written."""
        return self._content(block, name, sha, keep=False) is not None

    def values(self, block: int, name: str, sha: str) -> np.ndarray | None:
        """The values in a block's chunk, by its slots; None if it is not what was written."""
        expected, content = self._expected(block, name), self._content(block, name, sha)
        stored = None if content is None else chunks.decoded(content, expected["chunks"], expected["dtype"])
        return None if stored is None else stored[(slice(None), *(slice(0, n) for n in expected["shape"][1:]))]

    def _expected(self, block: int, name: str) -> dict[str, Any]:
        return self.catalogue.expected(self.catalogue.grid_of(block), name)

    def _content(self, block: int, name: str, sha: str, keep: bool = True) -> bytes | None:
        """The file of a block's chunk if it is what its marker says; None if it is not, or there is none.

        keep: False if only that is asked.
        """
        with files.clear_errors(self.path, "read"):
            try:
                with open(self._chunk(block, name), "rb") as file:
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

    def describe(self, grid: int) -> None:
        """The arrays of a grid, where they are missing or their description is damaged; chunks stay.

        Only other programs read these descriptions: here chunks are read by what the grids say.
        """
        for name in (*self.catalogue.grids[grid]["metrics"], FIRST_BAD):
            folder = self.path / "data.zarr" / str(grid) / name
            expected = self.catalogue.expected(grid, name)
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

    def _chunk(self, block: int, name: str) -> pathlib.Path:
        """The file of a block's chunk, by zarr's default names."""
        grid = self.catalogue.grid_of(block)
        inner = len(self._expected(block, name)["shape"]) - 1
        at = str(block - self.catalogue.first[grid])
        return self.path.joinpath("data.zarr", str(grid), name, "c", at, *["0"] * inner)
