"""The systems as one would write them without snljax, in weight space with autodiff: what the benchmarks compare with.

One file for each system holds its loss for JAX and for PyTorch; ``loops`` trains any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


class Problem(NamedTuple):
    """Networks that share data and draw of weights, and differ in the settings that are swept."""

    start: dict[str, np.ndarray]  # weights, with a leading axis of cells
    cells: dict[str, np.ndarray]  # what differs between cells, with that axis
    shared: dict[str, Any]  # data, and numbers that all cells have
    learning_rate: float
    weight_decay: float = 0.0
    mask: dict[str, np.ndarray] | None = None  # weights that stay, shaped as ``start``; others are zero after each step


class Written(NamedTuple):
    """A system in one framework.

    loss: (weights, cell, shared) -> scalar, of one network.
    prune: (weights, cells, shared) -> weights, of all networks; before update 0 and every ``prune_every``-th.
    batch: (t, shared) -> shared with the data of update t.
    """

    loss: Callable[..., Any]
    prune: Callable[..., Any] | None = None
    prune_every: int = 1
    batch: Callable[..., Any] | None = None
