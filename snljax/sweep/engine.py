"""``sweep(grid)``: trains every cell of a grid, block by block, and returns a labelled Dataset; or some, in rounds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr

from snljax.provenance import provenance, versions
from snljax.sweep import arguments, executors
from snljax.sweep.destination import Destination, InMemory, InStore, Todo
from snljax.sweep.grid import Grid
from snljax.sweep.kept_state import check_room, keeping_state
from snljax.sweep.layout import Block, Cells
from snljax.sweep.prepare import Announce
from snljax.sweep.progress import ListenerError, Progress, Telling, announcer
from snljax.sweep.runner import Here, OnWorkers, Runner
from snljax.sweep.statics import static_key
from snljax.sweep.stop import stop_of
from snljax.sweep.stopping import sigterm_raises
from snljax.sweep.work import Plan, Prepared
from snljax.wording import one_line, unknown


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
    stop_when: str | None = None,
    check_every: int | None = None,
    precision: str = "highest",
    keep: str | None = None,
    on_block: Callable[[xr.Dataset], object] | None = None,
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
        block: (seeds, points) that one device trains at once; default what should be fastest or, where the
            sweep is long, measures so; remembered for the next one. Equal block shapes give bit-equal
            results; others differ by rounding. A store keeps its own.
        record_every: measure every so many steps, at step 0 and at the end (dimension ``step``);
            default only at the end.
        stop_when: a metric and where it should be, such as ``"train_loss < 0.01"``: a network ends at the first step of
            0, check_every, 2 check_every, … at which it is, and what the Dataset has of it is of that step, which it
            calls ``stopped_at``. A block trains until all its networks have ended.
        check_every: steps between two looks of ``stop_when``.
        precision: of matrix products, ``"highest"`` (float32) or ``"tf32"``.
        keep: ``"state"``: the Dataset has the weights, too: every array of the state of every network, as a variable
            ``state_…``. For small grids without a store; `replay` gives single networks of a store, `train_one` of a
            grid, equal to the bit.
        on_block: called after each finished block with the Dataset as it is then, the rest pending. If it raises, no
            further block begins, and what is finished is in the SweepError.
        progress: show a progress bar.

    Returns:
        Dataset with one variable per metric over the grid's dimensions, ``status`` (pending, done or
        diverged) and ``first_bad_step`` (updates after which a cell was no longer finite, or -1).
        With a store its values are read from there when they are used.

    Raises:
        ValueError: bad arguments, or a budget too small for one network.
        StoreError: a store that belongs to another sweep, or cannot be read or written (a ValueError).
        SweepError: some blocks raised, or on_block; carries all others as ``dataset``.
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
    shape = arguments.block_of(block)
    stop = stop_of(stop_when, check_every)
    plan = arguments.plan_of(grid, record_every, precision, memory, accept_program, stop)
    arguments.check_places(store, executor, shard, devices)
    arguments.check_keep(keep, store, on_block)
    plan = plan if keep is None else plan._replace(grid=keeping_state(grid))
    announce = announcer(grid.experiment.name, progress)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sigterm_raises())
        destination = _destination(plan, store, shape, shard or (1, 1), announce)
        _announce_programs(grid, announce)
        runner = _runner(plan, executor, devices, destination, announce, stack)
        prepared = runner.prepare(destination.needs)
        while not destination.begin(prepared):
            prepared = runner.prepare(destination.needs)
        if keep is not None:
            check_room(plan, prepared)
        todo = destination.todo(prepared)
        with Progress(todo.job, todo.wanted, todo.finished, announce, progress) as told:
            ds = _run(plan, prepared, destination, runner, started, todo, told, on_block)
        if told.diverged:
            announce(f"{told.diverged} cells diverged; see status and first_bad_step")
        return ds


def in_rounds(
    grid: Grid,
    metric: str,
    choose: Callable[[xr.Dataset], Cells | None],
    first: Cells,
    store: str | os.PathLike[str],
    *,
    executor: Any = None,
    accept_program: bool = False,
    devices: int | Sequence[Any] | None = None,
    memory: str | int | None = None,
    block: tuple[int, int] | None = None,
    precision: str = "highest",
    progress: bool = True,
) -> xr.Dataset:
    """Train some cells of a grid, then those that their results ask for, and so on, as blocks of one shape.

    Args:
        grid: of which cells are chosen.
        metric: that is chosen by, one number of each network.
        choose: what there is -> which cells are wanted next, by their positions in the grid; None if no more are. It
            goes by what was wanted before alone, so that a store that has more cells leads to the same ones.
        first: the cells that are wanted first.
        store, executor, accept_program, devices, memory, block, precision, progress: as for `sweep`.

    Returns:
        The Dataset of the grid; what was not wanted, and is not in the store, is pending.

    Raises:
        as `sweep`.
    """
    started = time.perf_counter()
    shape = arguments.block_of(block)
    plan = arguments.plan_of(grid, None, precision, memory, accept_program)
    arguments.check_places(store, executor, None, devices)
    announce = announcer(grid.experiment.name, progress)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sigterm_raises())
        destination = InStore(plan, os.path.abspath(store), shape, (1, 1), announce)
        runner = _runner(plan, executor, devices, destination, announce, stack)
        told: Progress | None = None
        wanted: Cells | None = first
        while wanted is not None:
            destination.choose(wanted)
            prepared = runner.prepare(destination.needs)
            _check_number(metric, prepared)
            while not destination.begin(prepared):
                prepared = runner.prepare(destination.needs)
            todo = destination.todo(prepared)
            if told is None:
                told = stack.enter_context(Progress(todo.job, 0, 0, announce, progress, whole=grid.cells))
            told.another_round(todo.wanted, todo.finished)
            ds = _run(plan, prepared, destination, runner, started, todo, told)
            wanted = choose(ds)
    return ds


def _run(
    plan: Plan,
    prepared: Prepared,
    destination: Destination,
    runner: Runner,
    started: float,
    todo: Todo,
    progress: Progress,
    on_block: Callable[[xr.Dataset], object] | None = None,
) -> xr.Dataset:
    """Train what is to do, and say how it ended."""

    def dataset() -> xr.Dataset:
        return destination.dataset(_attrs(plan, prepared, runner, started))

    watcher = progress if on_block is None else Telling(progress, lambda: on_block(dataset().copy(deep=True)))
    try:
        if todo.blocks:
            runner.run(todo, prepared, destination, watcher)
    except ListenerError as failed:
        raised = failed.error
        where = f" and in {destination.place}" if destination.place else ""
        message = (
            f"on_block raised {type(raised).__name__}: {one_line(raised)}; {progress.finished} of {progress.wanted} "
            f"cells are trained{where}"
        )
        raise SweepError(message, dataset(), {"on_block": raised}) from raised
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "signal_number", signal.SIGINT)
        where = f"; they are in {destination.place}, and the same call again does the rest" if destination.place else ""
        message = f"interrupted: {progress.finished} of {progress.wanted} cells were finished{where}"
        progress.announce(message)
        raise Interrupted(message, dataset(), number) from None
    ds = dataset()
    if progress.failures:
        raise SweepError(progress.what_failed(destination.place), ds, progress.failures)
    return ds


def _check_number(metric: Any, prepared: Prepared) -> None:
    """ValueError if a metric is not one number of each network."""
    if metric not in prepared.metrics:
        raise ValueError(unknown("metric", metric, prepared.metrics))
    inner = prepared.metrics[metric][1]
    if inner:
        raise ValueError(f"metric: {metric!r} has shape {list(inner)} of each network; allowed: one number")


def _destination(
    plan: Plan, store: Any, block: Block | None, shard: tuple[int, int], announce: Announce
) -> Destination:
    """Memory, or a store, under its absolute path: whatever the working folder is later."""
    return InMemory(plan, block) if store is None else InStore(plan, os.path.abspath(store), block, shard, announce)


def _runner(
    plan: Plan, executor: Any, devices: Any, destination: Destination, announce: Announce, stack: contextlib.ExitStack
) -> Runner:
    """Devices of this host, or workers, until the stack is closed."""
    if executor is None:
        return Here(plan, devices, destination.needs.block, announce)
    return OnWorkers(plan, stack.enter_context(executors.Workers(executor)), announce)


def _attrs(plan: Plan, prepared: Prepared, runner: Runner, started: float) -> dict[str, Any]:
    """What a reader needs to repeat the run; plain numbers and text, so that every format stores them.

    All is of this call: blocks that were in a store before may be of other versions and commits, as their markers say.
    """
    grid = plan.grid
    compiled = [program for program in runner.programs if program.built > started]
    return {
        "experiment": grid.experiment.name,
        "reading": grid.reading,
        "settings": json.dumps(grid.settings()),
        "seeds": json.dumps(list(grid.seeds)),
        "versions": json.dumps(versions()),
        **provenance(),
        "device": prepared.device,
        "devices": runner.devices,
        "dtype": plan.dtype,
        "precision": plan.precision,
        **({} if plan.stop is None else {"stop": json.dumps(plan.stop._asdict())}),
        "block": json.dumps(list(prepared.block)),
        "wall_seconds": round(time.perf_counter() - started, 3),
        "compile_seconds": round(sum(p.seconds for p in compiled), 3),
        "programs_compiled": len(compiled),
        "probe_programs": prepared.probes,
        "probe_seconds": round(prepared.probe_seconds, 3),
    }


def _announce_programs(grid: Grid, announce: Announce) -> None:
    different = len({static_key(config) for config in grid.configs()})
    if different > 1:
        moved = [axis.name for axis, static in zip(grid.point_axes, grid.static_axes, strict=True) if static]
        announce(f"{different} programs to compile, one for each value of {', '.join(moved)}")
