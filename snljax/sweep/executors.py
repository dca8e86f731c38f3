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
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np

from snljax.sweep import devices as local_devices
from snljax.sweep.grid import Grid
from snljax.sweep.host_code import code_of
from snljax.sweep.layout import Block
from snljax.sweep.store import Store
from snljax.sweep.train import Finished, Job, Prepared, Trainer, Work, prepare, programs_of

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

    sweep: a name for this call of sweep, so that a worker takes code and data anew for each. code: of the experiment,
    as the calling process has it. fingerprints: of the programs that it is to train.
    """

    sweep: str
    code: str
    job: Job
    fingerprints: dict[str, str]
    store: str | None
    memory: str | int | None
    sharing: int
    accept_program: bool
    numerics: Numerics


class Outcome(NamedTuple):
    """What a worker says of a block, in plain arrays and text: the experiment's classes may not exist elsewhere.

    arrays: without a store only. error: if it raised.
    """

    block: int
    arrays: dict[str, np.ndarray] | None
    diverged: int
    error: str | None


def _ended(error: BaseException) -> ValueError:
    told = str(error) or type(error).__name__
    return ValueError(f"executor: it takes no more work ({told}); allowed: one that runs, and the same call again")


class WorkerError(RuntimeError):
    """What a block raised in a worker, as text: not every exception can travel."""


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


def _budget(memory: str | int | None, sharing: int, devices: tuple[Any, ...]) -> int:
    """Bytes for a worker's device: what it was given, or its share of the default."""
    shared = memory is None and devices[0].platform == "cpu"
    return local_devices.parse_memory(memory, devices) // (sharing if shared else 1)


def numerics() -> Numerics:
    """Those of this thread, asked without starting JAX."""
    config: Any = jax.config
    return Numerics(jax.dtypes.canonicalize_dtype(float) == "float64", config.jax_default_prng_impl)


def code_here(grid: Grid) -> str:
    """The hash of an experiment's functions as this process has them."""
    e = grid.experiment
    return code_of((e.draw, e.init, e.step, e.measure, e.data))


def _check_code(grid: Grid, expected: str | None) -> None:
    if expected is not None and code_here(grid) != expected:
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


def remote_prepare(
    workers: Workers,
    grid: Grid,
    memory: Any,
    precision: str,
    records: tuple[int, ...],
    block: Block | None,
    stored: bool,
    old_fingerprints: bool,
    accept_program: bool,
) -> Prepared:
    """`prepare` on a worker: the program and its pace are those of the workers, not of this process."""
    code = None if accept_program else code_here(grid)
    payload = pack(
        (grid, memory, workers.sharing, precision, records, block, stored, old_fingerprints, code, numerics())
    )
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
    grid, memory, sharing, precision, records, block, stored, old_fingerprints, code, wanted = cloudpickle.loads(
        payload
    )
    _check_code(grid, code)
    with wanted.in_force():
        devices = local_devices.resolve(1, useful=1)
        budget = _budget(memory, sharing, devices)
        traced = programs_of(grid, devices, precision, records)
        return prepare(grid, traced, budget, precision, records, block, stored, True, old_fingerprints, lambda _: None)


def run(
    workers: Workers,
    task: Task,
    blocks: list[int],
    work_of: Callable[[int], Work],
    keep: Callable[[int, dict[str, np.ndarray] | None, int], None],
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
        work_of: what is in a block.
        keep: called with each finished block, what is in it (without a store), and its diverged cells.
        fail: called with each block that raised or was given up.
        announce: told about workers that died.
    """
    payload = pack(task)
    size = math.ceil(len(blocks) / _MOST_TASKS)
    queue = collections.deque(blocks[i : i + size] for i in range(0, len(blocks), size))
    alone: collections.deque[int] = collections.deque()
    deaths: collections.Counter[int] = collections.Counter()
    running: dict[Any, list[int]] = {}
    window = workers.count or _IN_FLIGHT

    def died(held: list[int]) -> None:
        for block in held:
            deaths[block] += 1
            if deaths[block] == 1:
                queue.append([block])
            elif deaths[block] < _DEATHS:
                alone.append(block)
            else:
                fail(work_of(block), WorkerError(f"its worker died {_DEATHS} times"))

    try:
        while queue or alone or running:
            while queue and len(running) < window:
                held = queue.popleft()
                running[workers.submit(_work, payload, held)] = held
            if not running:
                held = [alone.popleft()]
                running[workers.submit(_work, payload, held)] = held
            done, _ = concurrent.futures.wait(running, timeout=1.0, return_when="FIRST_COMPLETED")
            broken = False
            for future in done:
                held = running.pop(future)
                try:
                    outcomes = future.result()
                except concurrent.futures.BrokenExecutor:
                    broken = True
                    died(held)
                    continue
                except concurrent.futures.CancelledError as error:
                    raise _ended(error) from None
                except Exception as error:
                    if type(error).__name__ != "KilledWorker":  # Dask's, which need not be installed
                        raise
                    died(held)
                    continue
                for outcome in outcomes:
                    if outcome.error is None:
                        keep(outcome.block, outcome.arrays, outcome.diverged)
                    else:
                        fail(work_of(outcome.block), WorkerError(outcome.error))
            if broken:
                concurrent.futures.wait(running)  # a broken pool ends all it has
                for future, held in running.items():
                    if future.exception() is None:
                        queue.appendleft(held)  # finished in the same moment: with a store it is skipped
                    else:
                        died(held)
                running.clear()
                announce("a worker died; its pool is built anew")
                workers.rebuild()
    finally:
        for future in running:
            future.cancel()


def _work(payload: bytes, blocks: list[int]) -> list[Outcome]:
    """In a worker: train blocks one after the other on its first device."""
    _end_with_parent()
    task, trainer = _trainer(payload)
    store = trainer.store
    outcomes: dict[int, Outcome] = {}

    def keep(finished: Finished, program: tuple[str, str]) -> None:
        block = finished.work.block
        if store is not None:
            store.put(block, finished.arrays, program, finished.seconds, finished.release)
        arrays = {n: np.array(a) for n, a in finished.arrays.items()} if store is None else None
        outcomes[block] = Outcome(block, arrays, finished.diverged, None)

    def fail(work: Work, error: Exception) -> None:
        outcomes[work.block] = Outcome(work.block, None, 0, f"{type(error).__name__}: {error}")

    def tick(works: list[Work], steps: int, resumed: bool = False) -> None:
        if store is not None:
            store.writers.beat([w.block for w in works], 0 if resumed else steps)

    with task.numerics.in_force():
        if store is not None:
            store.refresh()
        missing = [b for b in blocks if store is None or not store.is_done(b)]
        trainer.run(missing, keep, fail, tick)
        if store is not None:
            store.writers.beat([], ended=True)
    return [outcomes.get(block, Outcome(block, None, 0, None)) for block in blocks]


class _Kept(threading.local):
    """What a thread keeps between tasks of one sweep: a Trainer belongs to one thread."""

    payload: bytes = b""
    trainer: tuple[Task, Trainer] | None = None


_kept = _Kept()


def _trainer(payload: bytes) -> tuple[Task, Trainer]:
    """Kept between tasks of one sweep, so that a worker traces and reads data once for it."""
    if _kept.trainer is not None and _kept.payload == payload:
        return _kept.trainer
    _kept.trainer = None
    task: Task = cloudpickle.loads(payload)
    _check_code(task.job.grid, None if task.accept_program else task.code)
    with task.numerics.in_force():
        devices = local_devices.resolve(1, useful=1)
        store = None if task.store is None else Store.open(task.store)
        budget = _budget(task.memory, task.sharing, devices)
        traced = programs_of(task.job.grid, devices, task.job.precision, task.job.records)
        trainer = Trainer(task.job, traced, budget, store, task.accept_program, task.fingerprints)
    _kept.payload, _kept.trainer = payload, (task, trainer)
    return _kept.trainer


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
