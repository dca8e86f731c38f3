"""A block's values as the file of a zarr chunk: little-endian numbers and their CRC-32C, and back."""

from __future__ import annotations

from collections.abc import Iterator

import google_crc32c
import numpy as np

from snljax.sweep.files import PIECE, StoreError
from snljax.sweep.layout import Block
from snljax.variables import FIRST_BAD, missing

_CRC_BYTES = 4


def fill(name: str, dtype: np.dtype) -> float:
    """What an array holds where nothing was written."""
    return -1 if name == FIRST_BAD else missing(dtype)


def encoded(name: str, values: np.ndarray, block: Block, chunks: tuple[int, ...], dtype: np.dtype) -> Iterator[bytes]:
    """The file of a chunk, in pieces of some megabytes at most.

    Written without zarr, which takes ten times as long for it and leaves out chunks of nothing but fill values.

    Args:
        name: of the array.
        values: (seeds, points, ...); smaller than the block, or than a cell of the chunk, is padded.
        block: seeds × points.
        chunks: (cells, *shape of a cell).
        dtype: of the chunk.

    Raises:
        StoreError: the dtype cannot hold a value exactly.
    """
    cell = chunks[1:]
    if values.ndim - 2 > len(cell):
        values = values[:, :, 0]  # without recording there is one record and no dimension for it
    cell_bytes = max(dtype.itemsize * int(np.prod(cell)), 1)
    points = max(PIECE // cell_bytes, 1)
    length = cell[0] if cell else 1
    rows = length if cell_bytes <= PIECE else max(length * PIECE // cell_bytes, 1)  # of one long cell
    crc = 0
    for seed in range(block.seeds):
        for point in range(0, block.points, points):
            for row in range(0, max(length, 1), max(rows, 1)):
                shape = (min(rows, length - row), *cell[1:]) if cell else ()
                piece = np.full((min(points, block.points - point), *shape), fill(name, dtype), dtype.newbyteorder("<"))
                if seed < len(values):
                    given = values[seed, point : point + points]
                    _copy(name, given[:, row : row + rows] if cell else given, piece)
                content = piece.tobytes()
                crc = google_crc32c.extend(crc, content)
                yield content
    yield crc.to_bytes(_CRC_BYTES, "little")


def _copy(name: str, given: np.ndarray, piece: np.ndarray) -> None:
    """Into the corner of a piece, exactly or not at all."""
    native = piece.dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        kept = given.astype(native)
        same = given.dtype == native or (kept.astype(given.dtype) == given) | ((kept != kept) & (given != given))
    if not np.all(same):
        raise StoreError(
            f"{name}: the store keeps it as {piece.dtype}, which cannot hold every {given.dtype} exactly; "
            "allowed: another store"
        )
    piece[tuple(slice(0, n) for n in given.shape)] = kept


def decoded(content: bytes, chunks: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """The values of a chunk's file; None if it has another length. Its hash is what says that they are right."""
    if len(content) - _CRC_BYTES != dtype.itemsize * int(np.prod(chunks)):
        return None
    return np.frombuffer(content[:-_CRC_BYTES], dtype.newbyteorder("<")).reshape(chunks)
