"""Who trains the blocks of a sweep: this process on its devices, or the workers of an executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from snljax.sweep import devices as local_devices
from snljax.sweep import executors, worker
from snljax.sweep.destination import Destination, Todo
from snljax.sweep.executors import Workers
from snljax.sweep.keeper import Watcher
from snljax.sweep.layout import Block, Layout
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.prepare import Announce, Needs, prepare
from snljax.sweep.program import Program
from snljax.sweep.train import Trainer
from snljax.sweep.work import Plan, Prepared, whole
from snljax.sweep.worker import Outcome


class Runner(Protocol):
    """Prepares a plan and trains its blocks."""

    @property
    def devices(self) -> int | str:
        """How many, or what else to say of them."""

    @property
    def programs(self) -> Sequence[Program]:
        """Those that trained in this process so far."""

    def prepare(self, needs: Needs) -> Prepared:
        """What has to be known before the first block."""

    def run(self, todo: Todo, prepared: Prepared, destination: Destination, watcher: Watcher) -> None:
        """Train what is to do."""


class Here:
    """A Runner on devices of this host.

    Args:
        plan: to be trained.
        devices: as given to `sweep`.
        block: the shape that is known beforehand, if any.
        announce: told what takes time.
    """

    def __init__(
        self, plan: Plan, devices: int | Sequence[Any] | None, block: Block | None, announce: Announce
    ) -> None:
        self.plan, self.announce = plan, announce
        chosen = local_devices.resolve(devices, _useful(plan, block))
        if isinstance(jnp.zeros(()), jax.core.Tracer):
            raise ValueError("sweep: called inside a function that JAX traces (jit, vmap, grad); allowed: outside")
        self.room = Room(local_devices.parse_memory(plan.memory, chosen), len(plan.records))
        self.systems = Systems(plan.grid, chosen, plan.precision)
        self.devices, self._trained = len(chosen), dict[str, tuple[Program, str]]()

    @property
    def programs(self) -> list[Program]:
        """Those that trained so far."""
        return [program for program, _ in self._trained.values()]

    def prepare(self, needs: Needs) -> Prepared:
        """Here."""
        return prepare(self.plan, self.systems, self.room, needs, self.announce)

    def run(self, todo: Todo, prepared: Prepared, destination: Destination, watcher: Watcher) -> None:
        """One block on each device at a time."""
        trainer = Trainer(todo.job, self.systems, self.room)
        self._trained = trainer.programs
        trainer.run(todo.blocks, destination, watcher)


class OnWorkers:
    """A Runner on the workers of an executor, one block on each at a time, on its first device."""

    devices = "workers of an executor"
    programs: Sequence[Program] = ()

    def __init__(self, plan: Plan, workers: Workers, announce: Announce) -> None:
        self.plan, self.workers, self.announce = plan, workers, announce

    def prepare(self, needs: Needs) -> Prepared:
        """On a worker: the program and its pace are theirs."""
        return executors.remote_prepare(self.workers, self.plan, needs)

    def run(self, todo: Todo, prepared: Prepared, destination: Destination, watcher: Watcher) -> None:
        """What a worker sends is taken in; what it writes to a store is counted."""
        job = todo.job

        def take(outcome: Outcome) -> None:
            work = job.work(outcome.block)
            if outcome.arrays:
                destination.take(work, outcome.arrays)
            watcher.went(work.cells * job.plan.steps)
            watcher.kept(outcome.block, work.cells, outcome.diverged)

        task = worker.task_of(job, prepared.fingerprints, destination.for_workers(), self.workers.sharing)
        executors.run(self.workers, task, todo.blocks, take, watcher.failed, self.announce)


def _useful(plan: Plan, block: Block | None) -> int:
    """How many blocks a program has, of one network each where the shape is open: more devices have nothing to do."""
    shape = Block(1, 1) if block is None else block
    layout = Layout(shape, plan.grid.static_axes).grown(whole(plan.grid))
    return layout.blocks // max(sum(1 for _ in plan.grid.configs()), 1)
