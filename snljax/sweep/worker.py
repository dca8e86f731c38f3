"""In a worker: what it is sent, prepared or trained there, and what it answers.

Payloads are bytes by cloudpickle, so that functions and classes of a notebook travel by value.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np

from snljax.sweep import devices as local_devices
from snljax.sweep.grid import Grid
from snljax.sweep.host_code import code_of
from snljax.sweep.keepers import WorkersKeeper
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.prepare import Needs, prepare
from snljax.sweep.train import Trainer
from snljax.sweep.work import Job, Plan, Prepared, Work


class Numerics(NamedTuple):
    """How JAX computes in the calling thread, so that workers compute alike."""

    x64: bool
    generator: str

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Here too, for a while."""
        with jax.enable_x64(self.x64), jax.default_prng_impl(self.generator):
            yield


class Task(NamedTuple):
    """What a worker needs beside the numbers of its blocks.

    sweep: a name for this call of sweep, so that a worker takes code and data anew for each. code: the hash of the
    experiment's functions, as the calling process has them; empty if any will do. fingerprints: of the programs that
    it is to train. keeper: makes what it keeps blocks in. sharing: how many workers share its machine's memory.
    """

    sweep: str
    code: str
    job: Job
    fingerprints: dict[str, str]
    keeper: Callable[[], WorkersKeeper]
    sharing: int
    numerics: Numerics


class Outcome(NamedTuple):
    """What a worker says of a block, in plain arrays and text: the experiment's classes may not exist elsewhere.

    arrays: of a block that is not in a store. error: what it raised; empty if it did not.
    """

    block: int
    arrays: dict[str, np.ndarray]
    diverged: int
    error: str


def numerics() -> Numerics:
    """Those of this thread, asked without starting JAX."""
    config: Any = jax.config
    return Numerics(jax.dtypes.canonicalize_dtype(float) == "float64", config.jax_default_prng_impl)


def code_here(grid: Grid) -> str:
    """The hash of an experiment's functions as this process has them."""
    e = grid.experiment
    return code_of((e.draw, e.init, e.step, e.measure, e.data))


def _check_code(grid: Grid, expected: str) -> None:
    """ValueError for other code than the process has that sweeps; no text stands for any code."""
    if expected and code_here(grid) != expected:
        raise ValueError(
            f"executor: a worker has other code for {grid.experiment.name} than the process that sweeps (a module that "
            "was changed since the worker imported it, or another version of Python); allowed: workers started anew, "
            "or accept_program"
        )


def pack(content: Any) -> bytes:
    """Bytes for a worker; functions and classes of a notebook travel by value."""
    try:
        return cloudpickle.dumps(content)
    except Exception as error:  # whatever an object's own pickling raises
        raise ValueError(
            f"executor: the experiment cannot be sent to other processes ({error}); allowed: functions that can be "
            "pickled"
        ) from None


def preparation(plan: Plan, needs: Needs, sharing: int) -> bytes:
    """The payload of `prepared`."""
    return pack(
        (plan, needs._replace(fingerprints=True, processes=sharing), sharing, _code(plan, plan.grid), numerics())
    )


def prepared(payload: bytes) -> Prepared:
    """`prepare` here."""
    _end_with_parent()
    plan, needs, sharing, code, wanted = cloudpickle.loads(payload)
    _check_code(plan.grid, code)
    with wanted.in_force():
        systems, room = _here(plan, plan.grid, sharing)
        return prepare(plan, systems, room, needs, lambda _: None)


def _here(plan: Plan, grid: Grid, sharing: int) -> tuple[Systems, Room]:
    """The functions of a sweep for this worker's first device, and what a block may take of it."""
    devices = local_devices.resolve(1, useful=1)
    shared = plan.memory is None and devices[0].platform == "cpu"
    budget = local_devices.parse_memory(plan.memory, devices) // (sharing if shared else 1)
    return Systems(grid, devices, plan.precision), Room(budget, len(plan.records))


def task_of(job: Job, fingerprints: dict[str, str], keeper: Callable[[], WorkersKeeper], sharing: int) -> Task:
    """The task of this call of sweep."""
    code = _code(job.plan, job.grid)
    return Task(uuid.uuid4().hex, code, job, fingerprints, keeper, sharing, numerics())


def _code(plan: Plan, grid: Grid) -> str:
    """The hash of the code that workers must have; empty if any will do."""
    return "" if plan.accept_program else code_here(grid)


class _Notes:
    """A `Watcher` in a worker: what is to be said of each block."""

    def __init__(self) -> None:
        self.diverged: dict[int, int] = {}
        self.errors: dict[int, str] = {}

    def compiled(self, seconds: float) -> None:
        """Not told: every worker does."""

    def went(self, steps: int) -> None:
        """Said when the block is finished."""

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """To be sent."""
        self.diverged[block] = diverged

    def failed(self, work: Work, error: Exception) -> None:
        """To be sent as text."""
        self.errors[work.block] = f"{type(error).__name__}: {error}"


def trained(payload: bytes, blocks: list[int]) -> list[Outcome]:
    """Train blocks of a packed Task, one after the other on this worker's first device."""
    _end_with_parent()
    task, trainer, keeper = _opened(payload)
    notes = _Notes()
    with task.numerics.in_force():
        trainer.run(keeper.left(blocks), keeper, notes)
    return [
        Outcome(
            block,
            keeper.sent(block) if block in notes.diverged else {},
            notes.diverged.get(block, 0),
            notes.errors.get(block, ""),
        )
        for block in blocks
    ]


class _Kept(threading.local):
    """What a thread keeps between tasks of one sweep: a Trainer belongs to one thread."""

    payload: bytes = b""
    opened: tuple[Task, Trainer, WorkersKeeper] | None = None


_kept = _Kept()


def _opened(payload: bytes) -> tuple[Task, Trainer, WorkersKeeper]:
    """Kept between tasks of one sweep, so that a worker traces and reads data once for it."""
    if _kept.opened is not None and _kept.payload == payload:
        return _kept.opened
    _kept.opened = None
    task: Task = cloudpickle.loads(payload)
    _check_code(task.job.grid, task.code)
    with task.numerics.in_force():
        systems, room = _here(task.job.plan, task.job.grid, task.sharing)
        _kept.opened = task, Trainer(task.job, systems, room, task.fingerprints), task.keeper()
    _kept.payload = payload
    return _kept.opened


@functools.cache
def _end_with_parent() -> None:
    """A worker whose driver was killed would wait for work for ever, and keep its device's memory."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
