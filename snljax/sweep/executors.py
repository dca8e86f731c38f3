"""Blocks on the workers of a ``concurrent.futures.Executor``: process pools, Dask, thread pools."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import math
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
from snljax.sweep.progress import WorkerError
from snljax.sweep.train import Trainer
from snljax.sweep.work import Job, Plan, Prepared, Work

_MOST_TASKS = 10_000  # a scheduler's comfort: a task then holds several blocks
_IN_FLIGHT = 1_000  # where the number of workers is unknown
_DEATHS = 3  # workers that a block may take with it before it is given up


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


def _ended(error: BaseException) -> ValueError:
    reason = str(error) or type(error).__name__
    return ValueError(f"executor: it takes no more work ({reason}); allowed: one that runs, and the same call again")


def check(executor: Any) -> None:
    """ValueError for what is no executor, and for a pool that forks: JAX deadlocks in its workers."""
    if not isinstance(executor, concurrent.futures.Executor):
        raise ValueError(
            f"executor: {executor!r} is of type {type(executor).__name__}; allowed: a concurrent.futures.Executor, "
            "such as ProcessPoolExecutor or a Dask client's get_executor()"
        )
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor) and _context(executor).get_start_method() == "fork":
        raise ValueError(
            "executor: its processes start by fork, in which JAX can deadlock; allowed: "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        )


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


class Workers:
    """An executor of the user, who shuts it down; a process pool that breaks is built anew."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self._own = contextlib.ExitStack()
        # A pool says how many workers it has: no more tasks than that, and a break tells which were running.
        self.count: int | None = getattr(executor, "_max_workers", None)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: Any) -> None:
        self._own.close()

    @property
    def sharing(self) -> int:
        """How many workers are known to share this machine's memory."""
        return self.count or 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A future; one that has failed where the pool is broken already.

        Raises:
            ValueError: the executor was shut down.
        """
        try:
            return self.executor.submit(function, *arguments)
        except RuntimeError as error:
            if not isinstance(error, concurrent.futures.BrokenExecutor):
                raise _ended(error) from None
            failed: concurrent.futures.Future[Any] = concurrent.futures.Future()
            failed.set_exception(error)
            return failed

    def rebuild(self) -> None:
        """A pool like the one that broke, in its place."""
        pool = self.executor
        if not isinstance(pool, concurrent.futures.ProcessPoolExecutor):
            raise ValueError("executor: it is broken; allowed: a new one, and the same call again")
        private: Any = pool
        self.executor = self._own.enter_context(
            concurrent.futures.ProcessPoolExecutor(
                private._max_workers,
                _context(pool),
                private._initializer,
                private._initargs,
                max_tasks_per_child=private._max_tasks_per_child,
            )
        )


def remote_prepare(workers: Workers, plan: Plan, needs: Needs) -> Prepared:
    """`prepare` on a worker: the program and its pace are those of the workers, not of this process."""
    code = "" if plan.accept_program else code_here(plan.grid)
    payload = pack((plan, needs._replace(fingerprints=True), workers.sharing, code, numerics()))
    for _ in range(_DEATHS):
        try:
            return workers.submit(_prepare, payload).result()
        except concurrent.futures.CancelledError as error:
            raise _ended(error) from None
        except concurrent.futures.BrokenExecutor:
            workers.rebuild()
    raise ValueError(
        f"executor: {_DEATHS} workers died before the first block; allowed: workers that live, with more memory perhaps"
    )


def _prepare(payload: bytes) -> Prepared:
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


def task_of(workers: Workers, job: Job, fingerprints: dict[str, str], keeper: Callable[[], WorkersKeeper]) -> Task:
    """The task of this call of sweep."""
    code = "" if job.plan.accept_program else code_here(job.grid)
    return Task(uuid.uuid4().hex, code, job, fingerprints, keeper, workers.sharing, numerics())


def run(
    workers: Workers,
    task: Task,
    blocks: list[int],
    take: Callable[[Outcome], None],
    fail: Callable[[Work, Exception], None],
    announce: Callable[[str], None],
) -> None:
    """Train blocks on the workers.

    A block that raises ends alone. When a worker dies, what it held is given to another; a pool
    that broke is built anew; a block whose worker dies again is tried with nothing beside it, and
    given up after three.

    Args:
        workers: who train.
        task: what every worker needs.
        blocks: their numbers.
        take: called with each block that is finished.
        fail: called with each block that raised or was given up.
        announce: told about workers that died.
    """
    payload = pack(task)
    queue = _Queue(blocks)
    running: dict[Any, list[int]] = {}
    window = workers.count or _IN_FLIGHT

    def lost(held: list[int]) -> None:
        for block in queue.lost(held):
            fail(task.job.work(block), WorkerError(f"its worker died {_DEATHS} times"))

    try:
        while queue.waiting or running:
            while held := queue.next(len(running), window):
                running[workers.submit(_work, payload, held)] = held
            done, _ = concurrent.futures.wait(running, timeout=1.0, return_when="FIRST_COMPLETED")
            broken = False
            for future in done:
                held = running.pop(future)
                outcomes, died = _outcomes(future)
                broken |= isinstance(died, concurrent.futures.BrokenExecutor)
                if died is not None:
                    lost(held)
                for outcome in outcomes:
                    if outcome.error:
                        fail(task.job.work(outcome.block), WorkerError(outcome.error))
                    else:
                        take(outcome)
            if broken:
                concurrent.futures.wait(running)  # a broken pool ends all it has
                for future, held in running.items():
                    if future.exception() is None:
                        queue.again(held)  # finished in the same moment: with a store it is skipped
                    else:
                        lost(held)
                running.clear()
                announce("a worker died; its pool is built anew")
                workers.rebuild()
    finally:
        for future in running:
            future.cancel()


class _Queue:
    """Blocks to train, some at a time; one whose worker died comes again, the second time with nothing beside it."""

    def __init__(self, blocks: list[int]) -> None:
        size = max(math.ceil(len(blocks) / _MOST_TASKS), 1)
        self._waiting = collections.deque(blocks[i : i + size] for i in range(0, len(blocks), size))
        self._alone: collections.deque[int] = collections.deque()
        self._deaths: collections.Counter[int] = collections.Counter()

    @property
    def waiting(self) -> bool:
        return bool(self._waiting or self._alone)

    def next(self, running: int, window: int) -> list[int]:
        """What to train beside so many that run; nothing if that is enough."""
        if self._waiting and running < window:
            return self._waiting.popleft()
        return [self._alone.popleft()] if self._alone and not self._waiting and running == 0 else []

    def again(self, held: list[int]) -> None:
        """Not known to be finished."""
        self._waiting.appendleft(held)

    def lost(self, held: list[int]) -> list[int]:
        """Their worker died. Those that are given up."""
        for block in held:
            self._deaths[block] += 1
            if self._deaths[block] == 1:
                self._waiting.append([block])
            elif self._deaths[block] < _DEATHS:
                self._alone.append(block)
        return [block for block in held if self._deaths[block] >= _DEATHS]


def _outcomes(future: Any) -> tuple[list[Outcome], Exception | None]:
    """What a worker says of its blocks, or what it died of."""
    try:
        return future.result(), None
    except concurrent.futures.BrokenExecutor as error:
        return [], error
    except concurrent.futures.CancelledError as error:
        raise _ended(error) from None
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # Dask's, which need not be installed
            raise
        return [], error


class _Notes:
    """A `Watcher` in a worker: what is to be said of each block."""

    def __init__(self) -> None:
        self.diverged: dict[int, int] = {}
        self.errors: dict[int, str] = {}

    def went(self, steps: int) -> None:
        """Said when the block is finished."""

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """To be sent."""
        self.diverged[block] = diverged

    def failed(self, work: Work, error: Exception) -> None:
        """To be sent as text."""
        self.errors[work.block] = f"{type(error).__name__}: {error}"


def _work(payload: bytes, blocks: list[int]) -> list[Outcome]:
    """In a worker: train blocks one after the other on its first device."""
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


def _context(pool: Any) -> Any:
    return getattr(pool, "_mp_context", None) or multiprocessing.get_context()
