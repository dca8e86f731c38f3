"""What the fault tests run in processes of their own: slow or poisoned blocks, and a trap at file operations.

A process sets the trap off when it is about to replace or link a file: it kills itself before that,
after that, or when half of the file is written. The trap is a file, so it can be laid at any moment
under any process that runs; each kills one process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import jax
import numpy as np
from harness import POWERS, finished

import snljax as snl
from snljax.sweep import pace
from snljax.sweep.arguments import plan_of
from snljax.sweep.layout import Block
from snljax.sweep.statics import static_key
from snljax.sweep.store import Store
from snljax.sweep.work import whole

FOLDER = os.environ.get("FAULT_FOLDER", "")  # where the trap is laid; empty in the test's own process
RATES = [0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125]
OPTIONS = {"block": (1, 2), "record_every": 2, "progress": False}
ENDING = {"block": (1, 4), "stop_when": "mean < 0.1", "check_every": 2, "devices": 1, "progress": False}


def _pause(x):
    time.sleep(float(os.environ.get("FAULT_SECONDS", "0")))
    return np.asarray(x)


def _slow_step(config, draw, x, t):
    x = jax.pure_callback(_pause, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")
    return config.rate * x


def _poisoned(rate, x):
    poison = os.environ.get("FAULT_POISON", "") if rate == np.float32(0.75) else ""
    if poison == "raise":
        raise RuntimeError("poisoned")
    if poison == "die" and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.asarray(x)


def _poisoned_step(config, draw, x, t):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return config.rate * jax.pure_callback(_poisoned, shape, config.rate, x, vmap_method="sequential")


SLOW = POWERS._replace(name="slow", step=_slow_step)
POISONED = POWERS._replace(name="poisoned", step=_poisoned_step)


def slow_grid(seeds: int) -> snl.Grid:
    """Four blocks for each seed."""
    return snl.Grid(SLOW, rate=RATES, spread=0.5, seed=range(seeds), steps=6)


def ending_grid() -> snl.Grid:
    """Two blocks of four networks, which end after a few steps, after some dozens, and in between."""
    return snl.Grid(SLOW, rate=[0.25, 0.75, 0.9375, 0.96875], spread=0.5, seed=range(2), steps=400)


def spring(folder: str | pathlib.Path) -> None:
    """From here on file operations of this process look for the trap."""
    log, trap = pathlib.Path(folder, "log"), pathlib.Path(folder, "trap")
    laid: dict[str, int] = {}  # by the name of a trap: operations left

    def step_on(source, target, operation):
        try:
            name, operations, how, workers = json.loads(trap.read_bytes())
        except (FileNotFoundError, ValueError):
            return operation()
        if workers and multiprocessing.parent_process() is None:
            return operation()
        laid[name] = laid.get(name, operations) - 1
        if laid[name] > 0:
            return operation()
        try:
            os.unlink(trap)
        except FileNotFoundError:  # another process has stepped on it
            return operation()
        with open(log, "a") as f:
            f.write(f"{how} {target}\n")
        pathlib.Path(folder, f"worker-{os.getpid()}").unlink(missing_ok=True)
        if how == "after":
            operation()
        elif how == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    replace, link = os.replace, os.link
    os.replace = lambda source, target, **k: step_on(source, target, lambda: replace(source, target, **k))
    os.link = lambda source, target, **k: step_on(source, target, lambda: link(source, target, **k))


def lay(folder: pathlib.Path, operations: int, how: str, workers: bool = False) -> None:
    """Lay the trap: the first process to do so many file operations dies at the last of them."""
    beside = folder / "laying"
    beside.write_text(json.dumps([os.urandom(8).hex(), operations, how, workers]))
    beside.rename(folder / "trap")


if FOLDER:
    spring(FOLDER)
    # Checkpoints every moment, so that kills fall into writing and resuming them.
    pace.CHECKPOINT_SECONDS, pace.CHECKPOINT_SHARE, pace.SEGMENT_SECONDS = 0.08, 0, 0.02
    if multiprocessing.parent_process() is not None:
        pathlib.Path(FOLDER, f"worker-{os.getpid()}").touch()


def drive(store: str, form: str, seeds: int) -> None:
    """The call that is made again after each kill: a loop, a pool of two workers, a shard, or one that ends early."""
    if form == "ending":
        snl.sweep(ending_grid(), store=store, **ENDING)
        return
    if form == "pool":
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            snl.sweep(slow_grid(seeds), store=store, executor=pool, **OPTIONS)
        return
    shard = {"first of two": (1, 2), "second of two": (2, 2)}.get(form)
    snl.sweep(slow_grid(seeds), store=store, shard=shard, devices=1 if shard else 2, **OPTIONS)


def operations(folder: str) -> None:
    """Make a store for every file operation and kill the maker there, in each way; then do the same again.

    Only the store is at work, without JAX, so that a process is a fork and costs nothing.
    """
    import warnings

    import zarr  # noqa: F401  -- once, for all forks

    warnings.simplefilter("ignore")
    grid = snl.Grid(POWERS, rate=[0.5, 0.25], seed=range(2), steps=1)
    plan = plan_of(grid, None, "highest", None, False)

    def make(path: pathlib.Path) -> None:
        store = Store.create(path, plan, Block(1, 2), {"versions": {}, "device": "none"})
        store.grow(grid, whole(grid), {"mean": (np.dtype(np.float32), ())})
        store.accepted.admit({static_key(grid.config): "program"}, {}, {"jax": "x"}, False)
        for block in range(2):
            if store.is_done(block):
                assert not store.damaged(block)
                continue
            arrays = {"mean": np.full((1, 2), block + 1.0, np.float32), "first_bad_step": np.full((1, 2), -1)}
            store.put(finished(block, arrays, (static_key(grid.config), "program")))
        again = Store.open(path)
        assert again.done().all()
        assert not any(again.damaged(block) for block in range(2))
        values, there = again.read("mean", np.arange(4), again.done(), ())
        assert there.all()
        assert values.tolist() == [1.0, 1.0, 2.0, 2.0]
        assert (path / "data.zarr" / "zarr.json").exists(), "no copy of the manifest"
        assert (path / "data.zarr" / "0" / "zarr.json").exists(), "no copy of the grid"

    def fork(path: pathlib.Path, trapped: bool) -> int:
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        try:
            if trapped:
                spring(path.parent)
            make(path)
            os._exit(0)
        except BaseException as error:
            print(f"{path.name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)

    here = pathlib.Path(folder)
    for how in ("before", "half", "after"):
        at = 0
        while True:
            at += 1
            path = here / f"{how} {at}"
            lay(here, at, how)
            if fork(path, trapped=True) == 0:
                break  # it had fewer operations than that
            markers = {m.name: (m.read_bytes(), m.stat().st_mtime_ns) for m in path.glob("done/*.json")}
            fork(path, trapped=False)
            for name, marker in markers.items():
                m = path / "done" / name
                if (m.read_bytes(), m.stat().st_mtime_ns) != marker:
                    print(f"{path.name}: {name} was written again", flush=True)
        print(f"killed {at - 1} {how}", file=sys.stderr, flush=True)
