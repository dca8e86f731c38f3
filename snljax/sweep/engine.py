"""``sweep(grid)``: trains every cell of a grid, block by block, and returns a labelled Dataset."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from snljax.sweep import blocks as block_shapes
from snljax.sweep import devices as local_devices
from snljax.sweep import executors
from snljax.sweep import program as programs
from snljax.sweep.dataset import Results, open_part
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block, Layout
from snljax.sweep.store import Store
from snljax.sweep.train import (
    Finished,
    Job,
    Prepared,
    Trainer,
    Work,
    prepare,
    programs_of,
    whole,
    work_of,
)

_SHOWN = 5  # failed blocks that an error spells out


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a sweep. ``dataset`` holds the blocks that were finished, the rest is pending."""

    def __init__(self, message: str, dataset: xr.Dataset, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.add_note("The finished cells are in the exception's .dataset.")
        self.dataset = dataset
        self.signal_number = signal_number


class SweepError(RuntimeError):
    """Some blocks raised; all others were trained and are in ``dataset``. ``failures``: what is in them -> error."""

    def __init__(self, message: str, dataset: xr.Dataset, failures: dict[str, Exception]) -> None:
        super().__init__(message)
        self.dataset = dataset
        self.failures = failures


class _Terminated(KeyboardInterrupt):
    """SIGTERM, while a sweep runs."""

    signal_number = signal.SIGTERM


def sweep(
    grid: Grid,
    *,
    store: str | os.PathLike[str] | None = None,
    executor: Any = None,
    shard: tuple[int, int] | None = None,
    accept_program: bool = False,
    devices: int | Sequence[Any] | None = None,
    memory: str | int | None = None,
    block: tuple[int, int] | None = None,
    record_every: int | None = None,
    precision: str = "highest",
    progress: bool = True,
) -> xr.Dataset:
    """Train every cell of a grid and return a labelled Dataset.

    All points of a seed share one draw of data and initial weights; blocks of seeds × points train
    together as one compiled program, one program for each value of the static fields.

    With a store every finished block is on disk at once. The same call again trains only what is
    missing or damaged; more values on an axis, or more seeds, add to it. Several processes may work
    on one store.

    Args:
        grid: what to train.
        store: folder that keeps the results; made if it does not exist, resumed if it does.
        executor: a ``concurrent.futures.Executor`` whose workers train, one block each at a time on
            their first device: a ProcessPoolExecutor that spawns, or a Dask client's
            ``get_executor()``. Default: this process. With a store, the workers write to it.
        shard: (i, n): train only the i-th of n parts, 1 to n, of a store; for job arrays.
        accept_program: go on with a store although its program has changed (another version of
            jax); cells of both are then mixed.
        devices: how many of this host's devices, or which; default as many as have a block to train.
            On CPU each core is a device, unless JAX was already running when sweep was first called.
        memory: budget for all devices together (with an executor: of each worker), bytes or text such
            as ``"2GB"``; default half of the machine's (80 % of an accelerator's), shared by a pool.
        block: (seeds, points) that one device trains at once; default what measures fastest. Equal
            block shapes give bit-equal results; others differ by rounding. A store keeps its own.
        record_every: measure every so many steps, at step 0 and at the end (dimension ``step``);
            default only at the end.
        precision: of matrix products, ``"highest"`` (float32) or ``"tf32"``.
        progress: show a progress bar.

    Returns:
        Dataset with one variable per metric over the grid's dimensions, ``status`` (pending, done or
        diverged) and ``first_bad_step`` (updates after which a cell was no longer finite, or -1).
        With a store its values are read from there when they are used.

    Raises:
        ValueError: bad arguments, or a budget too small for one network.
        StoreError: a store that belongs to another sweep, or cannot be read or written (a ValueError).
        SweepError: some blocks raised; carries all others as ``dataset``.
        Interrupted: on Ctrl-C or SIGTERM; carries the finished part as ``dataset``.

    Example:
        >>> from snljax.sweep.grid import Grid
        >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...             num_classes=2, K=4)
        >>> ds = sweep(grid, progress=False)
        >>> ds.test_loss.dims, int(ds.status.max())
        (('sigma_p',), 1)
    """
    started = time.perf_counter()
    fixed_block = _check(grid, store, executor, shard, devices, block, record_every, precision)
    steps = grid.config.steps
    records = (steps,) if record_every is None else tuple(sorted({*range(0, steps, record_every), steps}))

    def announce(text: str) -> None:
        if progress:
            tqdm.write(f"{grid.experiment.name}: {text}", file=sys.stderr)

    opened = None
    store = None if store is None else os.path.abspath(store)  # whatever the working folder is later
    if store is not None and Store.exists(store):
        opened = Store.open(store)
        opened.check(grid, precision, _dtype(), record_every)
        if fixed_block not in (None, opened.block):
            announce(f"the store's block of {opened.block.seeds} seeds × {opened.block.points} points is kept")
        fixed_block = opened.block
    different = len({programs.static_key(config) for config in grid.configs()})
    if different > 1:
        announce(f"{different} programs to compile, one for each value of {_static_axes(grid)}")

    here = () if executor is not None else local_devices.resolve(devices, _useful(grid, fixed_block))
    if here and isinstance(jnp.zeros(()), jax.core.Tracer):
        raise ValueError("sweep: called inside a function that JAX traces (jit, vmap, grad); allowed: outside of it")
    budget = local_devices.parse_memory(memory, here) if here else 0

    with contextlib.ExitStack() as stack:
        stack.enter_context(_sigterm_raises())
        workers = None if executor is None else stack.enter_context(executors.Workers(executor))

        traced = programs_of(grid, here, precision, records) if here else None

        def prepared_for(shape: Block | None) -> Prepared:
            stored, old = store is not None, opened is not None and opened.manifest.get("migrated", False)
            if workers is not None:
                return executors.remote_prepare(
                    workers, grid, memory, precision, records, shape, stored, old, accept_program
                )
            assert traced is not None
            return prepare(grid, traced, budget, precision, records, shape, stored, stored, old, announce)

        prepared = prepared_for(fixed_block)
        if store is None:
            job = Job(grid, Layout(prepared.block, grid.static_axes).grown(whole(grid)), records, precision)
            blocks = np.arange(job.layout.blocks)
        else:
            if opened is None:
                shared = {
                    "block": list(prepared.block),
                    "record_every": record_every,
                    "records": list(records),
                    "precision": precision,
                    "dtype": _dtype(),
                    "versions": _versions(),
                    "device": prepared.device,
                }
                opened = Store.create(store, grid, shared)
                opened.check(grid, precision, _dtype(), record_every)
                if opened.block != prepared.block:  # another process made the store first
                    prepared = prepared_for(opened.block)
            opened.admit(prepared.fingerprints, prepared.old_fingerprints, prepared.made_by, accept_program)
            opened.grow(grid, prepared.metrics)
            blocks = np.flatnonzero(opened.needed(grid))
            if shard is not None:
                blocks = blocks[blocks % shard[1] == shard[0] - 1]
            _verify(opened, blocks, announce)
            opened.tidy()
            job = Job(opened.over(grid), opened.layout, records, precision)
            todo = blocks[~opened.done()[blocks]]
            opened.check_room(todo, lambda b: prepared.by_program[programs.static_key(work_of(job, b).config)])
        results = None
        if opened is None:
            results = Results(grid, records, record_every is not None, prepared.metrics)
        about = _About(grid, here, precision, prepared, started)
        run = _Run(job, opened, results, about, announce, progress)
        return run.train(blocks, workers, memory, traced, budget, accept_program)


class _About:
    """What a Dataset says of the run that made it."""

    def __init__(
        self, grid: Grid, devices: tuple[Any, ...], precision: str, prepared: Prepared, started: float
    ) -> None:
        self.grid, self.precision, self.prepared, self.started = grid, precision, prepared, started
        self.devices = len(devices)

    def attrs(self, used: Sequence[Any]) -> dict[str, Any]:
        """What a reader needs to repeat the run; plain numbers and text, so that every format stores them."""
        grid = self.grid
        compiled = [program for program in used if program.built > self.started]
        return {
            "experiment": grid.experiment.name,
            "reading": grid.reading,
            "settings": json.dumps(grid.settings()),
            "seeds": json.dumps(list(grid.seeds)),
            "versions": json.dumps(_versions()),
            "device": self.prepared.device,
            "devices": self.devices or "workers of an executor",
            "dtype": _dtype(),
            "precision": self.precision,
            "block": json.dumps(list(self.prepared.block)),
            "wall_seconds": round(time.perf_counter() - self.started, 3),
            "compile_seconds": round(sum(p.seconds for p in compiled), 3),
            "programs_compiled": len(compiled),
            "probe_programs": self.prepared.probes,
            "probe_seconds": round(self.prepared.probe_seconds, 3),
        }


class _Run:
    """One call of sweep, from the first block to the Dataset. Either a store or results in memory."""

    def __init__(
        self, job: Job, store: Store | None, results: Results | None, about: _About, announce: Any, progress: bool
    ) -> None:
        self.job, self.store, self.results, self.about, self.announce = job, store, results, about, announce
        self.progress = progress
        self.finished = self.diverged = 0
        self.failures: dict[str, Exception] = {}
        self.programs: dict[Any, Any] = {}

    def train(
        self, blocks: np.ndarray, workers: Any, memory: Any, traced: Any, budget: int, accept: bool
    ) -> xr.Dataset:
        """Train blocks that are not done, here or on the workers."""
        layout, store = self.job.layout, self.store
        steps = max(self.job.records[-1], 1)
        done = np.zeros(layout.blocks, bool) if store is None else store.done()
        sizes = layout.sizes()
        wanted, self.finished = int(sizes[blocks].sum()), int(sizes[blocks[done[blocks]]].sum())
        todo = blocks[~done[blocks]]
        if self.finished and len(todo):
            self.announce(f"{self.finished} of {wanted} cells are in the store already")
        self.wanted = wanted
        self.bar = tqdm(
            total=wanted * steps,
            initial=self.finished * steps,
            desc=self.job.grid.experiment.name,
            unit="step",
            unit_scale=True,
            disable=not self.progress,
            smoothing=0.1,
            dynamic_ncols=True,
        )
        try:
            self._show()
            if len(todo) and workers is not None:
                task = executors.Task(
                    uuid.uuid4().hex,
                    executors.code_here(self.job.grid),
                    self.job,
                    self.about.prepared.fingerprints,
                    None if store is None else os.fspath(store.path),
                    memory,
                    workers.sharing,
                    accept,
                    executors.numerics(),
                )
                executors.run(workers, task, todo.tolist(), self._work, self._took, self._failed, self.announce)
            elif len(todo):
                self._here(todo, traced, budget, accept)
        except KeyboardInterrupt as stopped:
            number = getattr(stopped, "signal_number", signal.SIGINT)
            where = "" if store is None else f"; they are in {store.path}, and the same call again does the rest"
            message = f"interrupted: {self.finished} of {wanted} cells were finished{where}"
            self.announce(message)
            raise Interrupted(message, self.dataset(), number) from None
        finally:
            self.bar.close()
        ds = self.dataset()
        if self.failures:
            raise SweepError(self._told(), ds, self.failures)
        if self.diverged:
            self.announce(f"{self.diverged} cells diverged; see status and first_bad_step")
        return ds

    def _here(self, blocks: np.ndarray, traced: Any, budget: int, accept: bool) -> None:
        store = self.store
        trainer = Trainer(self.job, traced, budget, store, accept)
        self.programs = trainer.programs

        def keep(finished: Finished, program: tuple[str, str]) -> None:
            if store is not None:
                store.put(finished.work.block, finished.arrays, program, finished.seconds, finished.release)
            else:
                assert self.results is not None
                self.results.put(finished.work, finished.arrays, finished.release)
            self.finished += finished.work.cells
            self.diverged += finished.diverged
            self._show()

        def tick(works: list[Work], steps: int, resumed: bool = False) -> None:
            if steps:
                self.bar.update(steps)
            if store is not None:
                store.writers.beat([w.block for w in works], 0 if resumed else steps)

        if store is None:
            trainer.run(blocks.tolist(), keep, self._failed, tick)
            return
        store.writers.beat([])
        try:
            trainer.run(store.writers.order(blocks, store.is_done), keep, self._failed, tick)
        finally:
            store.writers.beat([], ended=True)

    def _work(self, block: int) -> Work:
        return work_of(self.job, block)

    def _took(self, block: int, arrays: dict[str, np.ndarray] | None, diverged: int) -> None:
        """A worker has finished a block."""
        self.diverged += diverged
        if arrays is not None and self.results is not None:
            self.results.put(self._work(block), arrays)
        cells = self._work(block).cells
        self.finished += cells
        self.bar.update(cells * max(self.job.records[-1], 1))
        self._show()

    def _failed(self, work: Work, error: Exception) -> None:
        text = f"block {work.block} ({_described(self.job.grid, work)})"
        self.failures[text] = error
        self.announce(f"{text} raised {_one_line(error)}; the others go on")

    def _told(self) -> str:
        told = [f"{text}: {_one_line(error)}" for text, error in list(self.failures.items())[:_SHOWN]]
        more = len(self.failures) - len(told)
        return (
            f"{len(self.failures)} blocks raised, all others are trained"
            f"{'' if self.store is None else f' and in {self.store.path}'}: "
            f"{'; '.join(told)}{f'; and {more} more' if more else ''}"
        )

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.finished}/{self.wanted} cells")

    def dataset(self) -> xr.Dataset:
        """What there is now."""
        attrs = self.about.attrs([program for program, _ in self.programs.values()])
        if self.results is not None:
            return self.results.dataset(attrs)
        assert self.store is not None
        return open_part(self.store, self.about.grid, attrs | {"store": str(self.store.path)})


def _check(grid, store, executor, shard, devices, block, record_every, precision) -> Block | None:
    if not isinstance(grid, Grid):
        raise ValueError(f"grid: {grid!r} is of type {type(grid).__name__}; allowed: a Grid")
    config: Any = jax.config
    if config.jax_disable_jit:
        raise ValueError("sweep: jax.disable_jit is on, and a sweep is one compiled program; allowed: without it")
    if grid.checked_dtype != _dtype():  # made in single precision and swept in double, or the other way round
        grid.check_values()
    if store is not None and not isinstance(store, (str, os.PathLike)):
        raise ValueError(f"store: {store!r} is of type {type(store).__name__}; allowed: the path of a folder")
    if executor is not None:
        executors.check(executor)
        if devices is not None:
            raise ValueError("devices: given beside an executor; allowed: one of them (a worker has one device)")
    if shard is not None:
        whole_numbers = isinstance(shard, (tuple, list)) and all(
            isinstance(s, int) and not isinstance(s, bool) for s in shard
        )
        if not whole_numbers or len(shard) != 2 or not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"shard: {shard!r}; allowed: (i, n) with 1 ≤ i ≤ n")
        if store is None:
            raise ValueError(f"shard: {tuple(shard)} without a store; allowed: with store, which joins the parts")
    shape = block_shapes.parse_block(block)
    if precision not in programs.MATMUL_PRECISION:
        raise ValueError(f"precision: {precision!r}; allowed: {', '.join(programs.MATMUL_PRECISION)}")
    number = isinstance(record_every, int) and not isinstance(record_every, bool) and record_every >= 1
    if record_every is not None and not number:
        raise ValueError(f"record_every: {record_every!r}; allowed: a whole number of steps, 1 or more, or None")
    return shape


def _verify(store: Store, blocks: np.ndarray, announce: Any) -> None:
    """Take the markers of damaged blocks away, so that they are trained again."""
    done = store.done()
    damaged = []
    for block in blocks[done[blocks]].tolist():
        if found := store.damaged(block):
            store.discard(block)
            damaged.append(f"{block} ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})")
    if damaged:
        shown = ", ".join(damaged[:10]) + (f" and {len(damaged) - 10} more" if len(damaged) > 10 else "")
        announce(f"{len(damaged)} damaged blocks are trained again: {shown}")


def _useful(grid: Grid, shape: Block | None) -> int:
    """How many blocks a program has: more devices than that have nothing to do."""
    shape = Block(1, block_shapes.SMALLEST) if shape is None else shape
    layout = Layout(shape, grid.static_axes).grown(whole(grid))
    return layout.blocks // max(sum(1 for _ in grid.configs()), 1)


def _described(grid: Grid, work: Work) -> str:
    """The settings of a block: field = values."""
    shown = []
    for axis, positions in zip(grid.point_axes, work.positions, strict=True):
        for name, values in axis.fields.items():
            shown.append(f"{name}={_span([values[p] for p in positions.tolist()])}")
    return ", ".join([*shown, f"seed={_span([grid.seeds[s] for s in work.seeds.tolist()])}"])


def _span(values: list[Any]) -> str:
    different = list(dict.fromkeys(values))
    return " ".join(map(str, different)) if len(different) <= 4 else f"{different[0]} … {different[-1]}"


def _one_line(error: Exception) -> str:
    name = "" if isinstance(error, executors.WorkerError) else f"{type(error).__name__}: "
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What a callback raised comes as a whole traceback: its last line says what happened.
    told = [lines[0].partition("Traceback")[0].strip(), lines[-1]] if "Traceback" in str(error) else lines
    return name + " ".join(told)[:300]


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM ends a sweep as Ctrl-C does, unless the program has its own way with it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(*_: Any) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _static_axes(grid: Grid) -> str:
    return ", ".join(axis.name for axis, static in zip(grid.point_axes, grid.static_axes, strict=True) if static)


def _dtype() -> str:
    return str(jax.dtypes.canonicalize_dtype(float))  # without starting JAX, whose devices are chosen later


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "jax": jax.__version__, "numpy": np.__version__}
