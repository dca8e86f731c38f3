"""Blocks on the workers of a ``concurrent.futures.Executor``: process pools, Dask, thread pools."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import math
import multiprocessing
from collections.abc import Callable
from typing import Any

from snljax.sweep import worker
from snljax.sweep.prepare import Needs
from snljax.sweep.progress import WorkerError
from snljax.sweep.work import Plan, Prepared, Work
from snljax.sweep.worker import Outcome, Task

_MOST_TASKS = 10_000  # a scheduler's comfort: a task then holds several blocks
_IN_FLIGHT = 1_000  # where the number of workers is unknown
_DEATHS = 3  # workers that a block may take with it before it is given up


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
    payload = worker.preparation(plan, needs, workers.sharing)
    for _ in range(_DEATHS):
        try:
            return workers.submit(worker.prepared, payload).result()
        except concurrent.futures.CancelledError as error:
            raise _ended(error) from None
        except concurrent.futures.BrokenExecutor:
            workers.rebuild()
    raise ValueError(
        f"executor: {_DEATHS} workers died before the first block; allowed: workers that live, with more memory perhaps"
    )


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
    payload = worker.pack(task)
    queue = _Queue(blocks)
    running: dict[Any, list[int]] = {}
    window = workers.count or _IN_FLIGHT

    def lost(held: list[int]) -> None:
        for block in queue.lost(held):
            fail(task.job.work(block), WorkerError(f"its worker died {_DEATHS} times"))

    try:
        while queue.waiting or running:
            while held := queue.next(len(running), window):
                running[workers.submit(worker.trained, payload, held)] = held
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


def _context(pool: Any) -> Any:
    return getattr(pool, "_mp_context", None) or multiprocessing.get_context()
