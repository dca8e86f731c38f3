"""What a sweep trains, in the pieces in which it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block, Cells, Layout
from snljax.sweep.returned import Metrics
from snljax.sweep.stop import Stop
from snljax.variables import FIRST_BAD


class Plan(NamedTuple):
    """What `sweep` was asked for, checked, wherever it runs and whatever keeps it.

    records: steps at which networks are measured. record_every: as given, None for the end alone; or those
    steps, where they are an axis of the grid. memory: as given. stop: when networks end before their last step; one
    record of each network is kept then.
    """

    grid: Grid
    records: tuple[int, ...]
    record_every: int | list[int] | None
    precision: str
    dtype: str
    memory: str | int | None
    accept_program: bool
    stop: Stop | None = None

    @property
    def kept(self) -> tuple[int, ...]:
        """The steps of the records that are kept of each network."""
        return self.records if self.stop is None else self.records[-1:]

    @property
    def steps(self) -> int:
        """Updates that count as the work of one network; at least 1, so that there is something to count."""
        return max(self.records[-1], 1)


class Job(NamedTuple):
    """What any process has to know to train blocks of a sweep."""

    plan: Plan
    grid: Grid
    layout: Layout

    def work(self, block: int) -> Work:
        """What is in a block."""
        box, part = self.layout.part(block)
        *positions, seeds = self.layout.positions(box, part)
        return Work(block, self.grid.config_at([int(p[0]) for p in positions]), tuple(positions), seeds)

    def described(self, work: Work) -> str:
        """The settings of a block: field = values."""
        shown = []
        for axis, positions in zip(self.grid.point_axes, work.positions, strict=True):
            for name, values in axis.fields.items():
                shown.append(f"{name}={_range([values[p] for p in positions.tolist()])}")
        return ", ".join([*shown, f"seed={_range([self.grid.seeds[s] for s in work.seeds.tolist()])}"])


class Work(NamedTuple):
    """One block. positions: of its points on each axis without seed. seeds: positions of its seeds."""

    block: int
    config: Any
    positions: tuple[np.ndarray, ...]
    seeds: np.ndarray

    @property
    def cells(self) -> int:
        """Networks in it; without axes there is one point."""
        return len(self.seeds) * (len(self.positions[0]) if self.positions else 1)


class Finished(NamedTuple):
    """A trained block.

    arrays: metric -> (seeds, points, records, ...); ``first_bad_step``: (seeds, points). program: static fields and
    fingerprint of what trained it. release: lets go of the memory of what was read of the arrays, where they lie in
    a file.
    """

    work: Work
    arrays: dict[str, np.ndarray]
    program: tuple[str, str]
    seconds: float
    release: Callable[[], None]

    @property
    def diverged(self) -> int:
        """Networks that left the finite numbers."""
        return int((self.arrays[FIRST_BAD] >= 0).sum())


class Prepared(NamedTuple):
    """What has to be known before the first block.

    metrics: name -> dtype and shape of one network's value, the largest over the programs. by_program: the same for
    each, by `statics.static_key`, as are fingerprints, and old_fingerprints: those that version 1 of stores took.
    Fingerprints are there as far as they were asked for. probes: programs that were compiled only to be measured.
    made_by: what compiled them. device: what they run on.
    """

    block: Block
    metrics: Metrics
    by_program: dict[str, Metrics]
    fingerprints: dict[str, str]
    old_fingerprints: dict[str, str]
    probes: int
    probe_seconds: float
    made_by: dict[str, str]
    device: str


def in_memory(plan: Plan, block: Block) -> Job:
    """The job of a plan whose grid is all that there is."""
    return Job(plan, plan.grid, Layout(block, plan.grid.static_axes).grown(whole(plan.grid)))


def whole(grid: Grid) -> Cells:
    """All cells of a grid."""
    return Cells((*(np.arange(len(axis.coordinate)) for axis in grid.point_axes), np.arange(len(grid.seeds))))


def _range(values: list[Any]) -> str:
    different = list(dict.fromkeys(values))
    return " ".join(map(str, different)) if len(different) <= 4 else f"{different[0]} … {different[-1]}"
