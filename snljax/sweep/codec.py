"""Networks on their way as plain arrays, which a store can keep, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.records import Records
from snljax.variables import FIRST_BAD


def to_host(state: Any) -> list[np.ndarray]:
    """The leaves of a state as arrays, devices first; random keys as the numbers behind them."""
    return [np.asarray(_numbers(leaf)) for leaf in jax.tree.leaves(state)]


def packed(
    leaves: Sequence[np.ndarray], device: int, records: Records, count: int, bad: np.ndarray
) -> dict[str, np.ndarray]:
    """What a checkpoint of one device's block holds.

    Args:
        leaves: from `to_host`. device: the block's row in them.
        records: the block's measurements, of which the first ``count`` are kept.
        bad: first bad step of each network.
    """
    arrays = {f"state_{i}": leaf[device] for i, leaf in enumerate(leaves)}
    arrays |= {f"metric_{n}": a[:, :, :count] for n, a in records.arrays.items()}
    return arrays | {FIRST_BAD: bad}


def measured(checkpoint: Checkpoint, records: Records) -> None:
    """Put back what was measured before a checkpoint."""
    records.restore({n: checkpoint.arrays[f"metric_{n}"] for n in records.arrays})


def unpacked(checkpoints: Sequence[Checkpoint], devices: int, like: Any, sharding: Any) -> tuple[Any, np.ndarray]:
    """The state of a round and its first bad steps, as they stood when the checkpoints were made.

    Args:
        checkpoints: of the round's blocks; devices without a block repeat the first.
        devices: how many.
        like: a state of the same structure and dtypes.
        sharding: of the state over the devices.
    """
    rows = [c.arrays for c in checkpoints]
    rows += rows[:1] * (devices - len(rows))

    def stacked(name: str, dtype: Any) -> np.ndarray:
        # A dtype that NumPy does not know, such as bfloat16, comes back as plain bytes.
        found = [row[name] for row in rows]
        return np.stack([a.view(dtype) if a.dtype.kind == "V" else a for a in found])

    leaves, tree = jax.tree.flatten(like)
    restored = []
    for i, leaf in enumerate(leaves):
        there = jax.device_put(stacked(f"state_{i}", _numbers(leaf).dtype), sharding)
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        restored.append(jax.random.wrap_key_data(there, impl=jax.random.key_impl(leaf)) if is_key else there)
    return jax.tree.unflatten(tree, restored), np.stack([row[FIRST_BAD] for row in rows])


def _numbers(leaf: Any) -> Any:
    """The numbers behind a leaf, which may be a random key."""
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
