"""Block shapes that are timed on the sweep's own networks, each with nothing compiled but its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from snljax.sweep import program
from snljax.sweep.layout import Block
from snljax.sweep.memory import Room
from snljax.sweep.round import copied
from snljax.sweep.statics import static_key
from snljax.sweep.train import Trainer

_SECONDS = 0.04  # that one timing takes, about
_TURNS = 3  # the fastest counts: whatever else the machine does only slows


class Probe:
    """Times steps of blocks of other shapes than the first, whose networks it repeats or leaves out.

    trial_seconds: what it takes to try another shape, about.

    Args:
        trainer: of the first shape.
        room: what a block may take.
        announce: told about each shape that is compiled to be timed.
    """

    def __init__(self, trainer: Trainer, room: Room, announce: Callable[[str], None]) -> None:
        self.trainer, self.room, self.announce = trainer, room, announce
        job = trainer.job
        self.first = job.layout.block
        works = [job.work(block) for block in range(min(len(trainer.devices), job.layout.blocks))]
        works = [w for w in works if static_key(w.config) == static_key(works[0].config)]
        self.config = works[0].config
        self.fixed = trainer.fixed(self.config)
        compiled = program.build(trainer.systems.recipe(self.config, self.first), room)
        self.blocks = trainer.start(compiled, works)
        self._runs: dict[Block, tuple[Callable[[int], float], int]] = {}
        self._announced: set[Block] = set()
        self.trial_seconds = compiled.seconds / 2 + (_TURNS + 2) * _SECONDS

    def step_seconds(self, *wanted: Block) -> list[float] | None:
        """Seconds of a step in blocks of these shapes, one block on each device; None if they have no room."""
        together = {self.first, *wanted}  # as all of them are held while they take turns
        if len(together) > 1 and sum(self._needed(shape) for shape in together) > self.room.bytes:
            return None
        self._runs = {shape: run for shape, run in self._runs.items() if shape in together}
        runs = [self._run(shape) for shape in wanted]
        turns = [[timed(steps) / steps for timed, steps in runs] for _ in range(_TURNS)]
        return np.min(turns, axis=0).tolist()

    def _needed(self, shape: Block) -> int:
        return program.needed(self.trainer.systems.recipe(self.config, shape), self.room)

    def _run(self, shape: Block) -> Any:
        """What trains such blocks for some steps and says how long that took, and how many steps take long enough."""
        if shape in self._runs:
            return self._runs[shape]
        recipe = self.trainer.systems.recipe(self.config, shape)
        if shape != self.first and shape not in self._announced:
            self._announced.add(shape)
            self.announce(f"measuring a block of {shape.seeds} seeds × {shape.points} points")
        advance, blocks, fixed = program.advance_only(recipe), self._resized(shape), self.fixed

        def timed(steps: int) -> float:
            own = jax.block_until_ready(blocks | {"state": copied(blocks["state"])})
            since = time.perf_counter()
            bounds = {"start": np.int32(0), "stop": np.int32(steps)}
            jax.block_until_ready(advance(fixed | bounds, own))
            return time.perf_counter() - since

        self._runs[shape] = timed, _steps(timed, self.trainer.job.plan.steps)
        return self._runs[shape]

    def _resized(self, shape: Block) -> Any:
        """The first block, cut or repeated to another shape."""
        if shape == self.first:
            return self.blocks
        seeds, points = np.arange(shape.seeds) % self.first.seeds, np.arange(shape.points) % self.first.points
        cut = {
            "swept": jax.tree.map(lambda a: a[:, points], self.blocks["swept"]),
            "draw": jax.tree.map(lambda a: a[:, seeds], self.blocks["draw"]),
            "state": jax.tree.map(lambda a: a[:, seeds][:, :, points], self.blocks["state"]),
        }
        return jax.device_put(cut, self.trainer.sharding)


def _steps(timed: Callable[[int], float], most: int) -> int:
    """How many steps take long enough to be timed, no more than are trained: what comes after may be cheaper.

    None of them counts, so that all is warm.
    """
    timed(1)
    steps = min(8, most)
    while (took := timed(steps)) < _SECONDS / 2 and steps < most:
        steps = min(int(steps * np.clip(_SECONDS / max(took, 1e-9), 2, 100)), most)
    return steps
