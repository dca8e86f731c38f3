"""Keepers of a worker process, and of a check: an outbox for what is sent, and a store."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.keeper import Keeper, Plain
from snljax.sweep.store import Store
from snljax.sweep.work import Finished, Work

Arrays = dict[str, np.ndarray]


class WorkersKeeper(Keeper, Protocol):
    """What a worker keeps its blocks in."""

    def left(self, blocks: Sequence[int]) -> list[int]:
        """Those blocks that are still to be trained."""

    def sent(self, block: int) -> Arrays:
        """What goes back to the process that sweeps; nothing of a block that is kept where both can read it."""


class Outbox(Plain):
    """Keeps what is finished until it is sent."""

    def __init__(self) -> None:
        self._arrays: dict[int, Arrays] = {}

    def put(self, finished: Finished) -> None:
        """Keep a copy: the arrays may lie in a file that goes with this process."""
        self._arrays[finished.work.block] = {n: np.array(a) for n, a in finished.arrays.items()}

    def left(self, blocks: Sequence[int]) -> list[int]:
        """All."""
        return list(blocks)

    def sent(self, block: int) -> Arrays:
        """A block's arrays; they are kept no longer."""
        return self._arrays.pop(block)


class StoreKeeper:
    """Keeps blocks in a store, those on their way too.

    Args:
        store: opened.
        accept_program: train on although the store holds blocks of another program.
    """

    checkpoints = compares = True

    def __init__(self, store: Store, accept_program: bool) -> None:
        self.store, self.accept_program = store, accept_program

    @property
    def folder(self) -> pathlib.Path:
        """Beside the checkpoints."""
        return self.store.path / "checkpoints"

    def order(self, blocks: Sequence[int]) -> Iterable[int]:
        """Processes of one store keep out of each other's way."""
        return self.store.writers.order(np.asarray(blocks, int), self.store.is_done)

    def admit(self, key: str, fingerprint: str, made_by: dict[str, str]) -> None:
        """Refuse a program that differs from what trained here before."""
        self.store.accepted.admit({key: fingerprint}, {}, made_by, self.accept_program)

    def checkpoint(self, block: int) -> Checkpoint | None:
        """A block on its way."""
        return self.store.checkpoint(block)

    def save(self, block: int, checkpoint: Checkpoint) -> None:
        """Keep a block on its way."""
        self.store.save_checkpoint(block, checkpoint)

    def beat(self, works: Sequence[Work], steps: int = 0, ended: bool = False) -> None:
        """Said to the other processes of the store."""
        self.store.writers.beat([w.block for w in works], steps, ended)

    def put(self, finished: Finished) -> None:
        """Write it."""
        self.store.put(finished)

    def left(self, blocks: Sequence[int]) -> list[int]:
        """Those without a marker."""
        self.store.catalogue.refresh()
        return [block for block in blocks if not self.store.is_done(block)]

    def sent(self, block: int) -> Arrays:
        """Nothing: it is in the store."""
        return {}


class _Handed(StoreKeeper):
    """Of blocks that the process that sweeps has chosen, in its order: no need to read what all others do."""

    def order(self, blocks: Sequence[int]) -> Iterable[int]:
        """As they come."""
        return blocks


def open_store(path: str, accept_program: bool) -> StoreKeeper:
    """The keeper of a store, in a worker."""
    return _Handed(Store.open(path), accept_program)
