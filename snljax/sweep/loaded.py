"""The data that all networks of a program share, and the hash of what they are."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np


class Loaded(NamedTuple):
    """Arrays, and the hash of what they are. old_digest: as version 1 of stores took it."""

    arrays: Any
    digest: str
    old_digest: str
    size: int


def marked(loaded: Any) -> Loaded:
    """A copy of loaded data, which nobody else can change, with its hash: places, shapes, dtypes and bytes."""
    digest, old = hashlib.sha256(), hashlib.sha256()

    def copied(path: Any, leaf: Any) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)
        array = None if is_key or isinstance(leaf, np.ma.MaskedArray) else np.array(leaf)
        if array is None or array.dtype.kind not in "biuf":
            kind = type(leaf).__name__ if array is None else f"an array of {array.dtype}"
            raise ValueError(f"data: {kind}; allowed: arrays of numbers and truth values")
        digest.update(jax.tree_util.keystr(path).encode())
        update(digest, [array])
        old.update(array.tobytes())
        return array

    arrays = jax.tree_util.tree_map_with_path(copied, loaded)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    return Loaded(arrays, digest.hexdigest(), old.hexdigest(), size)


def update(digest: Any, arrays: Any) -> None:
    """Take arrays into a hash: dtype, shape and bytes."""
    for array in arrays:
        is_key = hasattr(array, "dtype") and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(array) if is_key else array)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # no copy: images may be large
