"""Where the blocks of a sweep go: into memory, or into a store."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr

from snljax.provenance import versions
from snljax.sweep import keepers
from snljax.sweep.dataset import Results, open_part
from snljax.sweep.keeper import Keeper, Plain
from snljax.sweep.keepers import Outbox, StoreKeeper, WorkersKeeper
from snljax.sweep.layout import Block, Cells
from snljax.sweep.prepare import Announce, Needs
from snljax.sweep.statics import static_key
from snljax.sweep.store import Store
from snljax.sweep.work import Finished, Job, Plan, Prepared, Work, in_memory, whole

_STORE_SECONDS = 0.004  # to write a block, measured


class Todo(NamedTuple):
    """What there is to do. blocks: to train. wanted, finished: cells that were asked for, and those that are there."""

    job: Job
    blocks: list[int]
    wanted: int
    finished: int


class Destination(Keeper, Protocol):
    """Keeps the blocks of a sweep, and gives its Dataset."""

    @property
    def place(self) -> str:
        """What messages call it; empty for memory."""

    @property
    def needs(self) -> Needs:
        """What it asks of preparing."""

    def begin(self, prepared: Prepared) -> bool:
        """Make ready; False if meanwhile another shape of block than the prepared one is needed."""

    def todo(self, prepared: Prepared) -> Todo:
        """Which blocks are to be trained."""

    def for_workers(self) -> Callable[[], WorkersKeeper]:
        """Makes what a worker process keeps its blocks in, there."""

    def take(self, work: Work, arrays: Mapping[str, np.ndarray]) -> None:
        """Take in what a worker has sent."""

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """What there is now."""


class InMemory(Plain):
    """A Destination that ends with this process. block: as asked for, or None."""

    place = ""

    def __init__(self, plan: Plan, block: Block | None) -> None:
        self.plan, self.block = plan, block

    @property
    def needs(self) -> Needs:
        """Nobody compares programs."""
        return Needs(whole(self.plan.grid), self.block, 0.0, 1, fingerprints=False, old_fingerprints=False)

    def begin(self, prepared: Prepared) -> bool:
        """Always ready."""
        self._results = Results(self.plan, prepared.metrics)
        return True

    def todo(self, prepared: Prepared) -> Todo:
        """All."""
        job = in_memory(self.plan, prepared.block)
        return Todo(job, list(range(job.layout.blocks)), self.plan.grid.cells, 0)

    def put(self, finished: Finished) -> None:
        """Keep a trained block."""
        self._results.put(finished.work, finished.arrays, finished.release)

    def for_workers(self) -> Callable[[], WorkersKeeper]:
        """They send it."""
        return Outbox

    def take(self, work: Work, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was sent."""
        self._results.put(work, arrays)

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """What there is now."""
        return self._results.dataset(attrs)


class InStore(StoreKeeper):
    """A Destination on disk, resumed if it exists, made when the block shape is known if not.

    Args:
        plan: what is asked for.
        path: of the folder, absolute.
        block: as asked for, or None; a store that exists keeps its own.
        shard: (i, n), the i-th of n parts of the blocks.
        announce: told what is found.
    """

    def __init__(self, plan: Plan, path: str, block: Block | None, shard: tuple[int, int], announce: Announce) -> None:
        self.plan, self.path, self.shard, self.announce = plan, pathlib.Path(path), shard, announce
        self.accept_program, self.place, self.block, self.migrated = plan.accept_program, path, block, False
        self.cells = whole(plan.grid)
        self._known = Store.exists(path)
        if self._known:
            self._opened(Store.open(path))
            if block not in (None, self.block):
                kept = self.store.catalogue.block
                announce(f"the store's block of {kept.seeds} seeds × {kept.points} points is kept")

    def _opened(self, store: Store) -> None:
        store.catalogue.check(self.plan)
        self.store, self.block = store, store.catalogue.block
        self.migrated = store.catalogue.manifest.get("migrated", False)

    @property
    def needs(self) -> Needs:
        """Its own shape of block; markers say which program trained."""
        processes = self.shard[1]
        return Needs(self.cells, self.block, _STORE_SECONDS, processes, True, old_fingerprints=self.migrated)

    def choose(self, cells: Cells) -> None:
        """Ask for some of the plan's cells, by their positions in its grid, before `begin`; without it for all."""
        self.cells = cells

    def begin(self, prepared: Prepared) -> bool:
        """Made if it is not there, grown by what is asked for; a program that may not train here is refused."""
        if not self._known:
            made_by = {"versions": versions(), "device": prepared.device}
            self._opened(Store.create(self.path, self.plan, prepared.block, made_by))
            self._known = True
        if self.block != prepared.block:  # another process made the store first
            return False
        programs = prepared.fingerprints, prepared.old_fingerprints
        self.store.accepted.admit(*programs, prepared.made_by, self.accept_program)
        self.store.grow(self.plan.grid, self.cells, prepared.metrics)
        return True

    def todo(self, prepared: Prepared) -> Todo:
        """What is missing or damaged, and is this shard's."""
        part, parts = self.shard
        catalogue = self.store.catalogue
        blocks = np.flatnonzero(catalogue.needed(self.plan.grid, self.cells))
        blocks = blocks[blocks % parts == part - 1]
        self._discard_damaged(blocks)
        self.store.tidy()
        job = Job(self.plan, catalogue.over(self.plan.grid), catalogue.layout)
        done, sizes = self.store.done(), catalogue.layout.sizes()
        todo = blocks[~done[blocks]]
        catalogue.check_room(todo, lambda b: prepared.by_program[static_key(job.work(b).config)])
        wanted, finished = int(sizes[blocks].sum()), int(sizes[blocks[done[blocks]]].sum())
        if finished and len(todo):
            self.announce(f"{finished} of {wanted} cells are in the store already")
        return Todo(job, todo.tolist(), wanted, finished)

    def _discard_damaged(self, blocks: np.ndarray) -> None:
        """Take the markers of damaged blocks away, so that they are trained again."""
        done = self.store.done()
        damaged = []
        for block in blocks[done[blocks]].tolist():
            if found := self.store.damaged(block):
                self.store.discard(block)
                damaged.append(f"{block} ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})")
        if damaged:
            shown = ", ".join(damaged[:10]) + (f" and {len(damaged) - 10} more" if len(damaged) > 10 else "")
            self.announce(f"{len(damaged)} damaged blocks are trained again: {shown}")

    def for_workers(self) -> Callable[[], WorkersKeeper]:
        """They write to it."""
        return functools.partial(keepers.open_store, self.place, self.accept_program)

    def take(self, work: Work, arrays: Mapping[str, np.ndarray]) -> None:
        """It is there already."""

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """What there is now; values are read when they are used."""
        return open_part(self.store, self.plan.grid, attrs | {"store": self.place})
