"""What a store costs: its share of a sweep, a store of a million cells, and memory while one is filled.

python benchmarks/store.py [--device cpu|gpu] [--pairs 5] [--parts overhead million memory] [--quick]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import common
import jax
import numpy as np

import snljax as snl
from snljax import figures
from snljax.reproduce import grid_of
from snljax.sweep import devices as local_devices
from snljax.sweep import files
from snljax.sweep import program as programs
from snljax.sweep.arguments import plan_of
from snljax.sweep.destination import InStore
from snljax.sweep.keepers import StoreKeeper
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems
from snljax.sweep.status import status
from snljax.sweep.store import Store
from snljax.sweep.work import Finished, Job
from snljax.sweep.writers import Writers
from snljax.variables import FIRST_BAD

PARTS = ("overhead", "million", "memory")
MOST_OVERHEAD, MOST_STATUS_SECONDS, MOST_GROWTH = 0.03, 2.0, 0.05
# What is called only because there is a store. A call inside another one counts once.
STORE_CALLS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (InStore, ("begin", "todo", "dataset")),
    (StoreKeeper, ("admit", "checkpoint", "save", "beat", "put")),
    (Store, ("open", "is_done")),
    (Writers, ("all",)),
    (programs, ("fingerprint",)),
)
BUDGET = "500MB"
SIDE = 1000  # a million cells are a square of it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PowersConfig:
    """The smallest system: x after t updates is rate^t · start."""

    rate: float = snl.field(0.5)
    start: float = snl.field(1.0)
    steps: int = snl.field(8, range="[1, inf)")


class PowersMetrics(NamedTuple):
    value: jax.Array


POWERS = snl.Experiment(
    name="powers",
    Config=PowersConfig,
    draw=lambda config, key: jax.random.normal(key, (1,)),
    init=lambda config, draw: config.start + 0 * draw,
    step=lambda config, draw, x, t: config.rate * x,
    measure=lambda config, draw, x: PowersMetrics(x[0]),
)


def square(rates: int, starts: int) -> snl.Grid:
    """A grid of the smallest system."""
    return snl.Grid(POWERS, rate=np.linspace(0.1, 1.0, rates), start=np.linspace(1.0, 2.0, starts))


# --- overhead -----------------------------------------------------------------------------------------


class Stopwatch:
    """Seconds spent in some functions, by name, while it is installed; nested ones count once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._inside = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        before = []
        for owner, names in STORE_CALLS:
            for name in names:
                before.append((owner, name, vars(owner)[name]))
                bound = isinstance(vars(owner)[name], classmethod)
                timed = self.timed(name, getattr(owner, name))
                setattr(owner, name, staticmethod(timed) if bound else timed)
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its seconds counted under that name."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, started = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
                self.calls[name] = self.calls.get(name, 0) + 1

        return timed


def text_anew(grid: snl.Grid, block: tuple[int, int], device: Any) -> Callable[[], str]:
    """What takes the text of a sweep's program, as a process of its own would have to; here it is known by now."""
    known = programs.traced(Systems(grid, (device,), "highest").recipe(grid.config, Block(*block)))
    return programs.Traced(known.stages, known.later, known.devices, known.held, known.memory, known.seconds).text


def overhead(device: Any, folder: pathlib.Path, pairs: int, quick: bool) -> dict[str, Any]:
    """The quick heatmap with a store against without, and the share of its time that store calls take."""
    heatmap = figures.get("topk-heatmap").presets["quick"]["fitted"]
    grid = grid_of(heatmap.but(steps=100) if quick else heatmap)
    options = {"progress": False, "devices": None if device.platform == "cpu" else [device]}
    watches: list[tuple[Stopwatch, float]] = []

    def with_store(block: Any) -> Any:
        watch, path = Stopwatch(), folder / f"overhead-{len(watches)}"
        text = None if block is None else text_anew(grid, block, device)
        started = time.perf_counter()
        with watch.installed():
            ds = snl.sweep(grid, store=path, block=block, **options)
        if text is not None:
            watch.timed("fingerprint", text)()
        watches.append((watch, time.perf_counter() - started))
        return ds

    # The first one compiles, chooses the block for all, and imports zarr: once in a process.
    block = tuple(json.loads(with_store(None).attrs["block"]))
    turns = {
        "with": functools.partial(with_store, block),
        "without": functools.partial(snl.sweep, grid, block=block, **options),
    }
    took, others = common.interleaved(turns, pairs, patience=0)
    (first, _), *watches = watches
    store = Store.open(folder / "overhead-0")
    blocks, arrays = store.catalogue.layout.blocks, len(store.catalogue.metrics()) + 1
    ratios = took["with"] / took["without"]
    shares = np.array([sum(w.seconds.values()) / wall for w, wall in watches])
    each = {n: float(np.median([w.seconds[n] for w, _ in watches])) for n in watches[0][0].seconds}
    print(f"\nthe quick heatmap: {grid.cells} cells, {grid.config.steps} steps, {blocks} blocks of {arrays} arrays")
    for name, seconds in took.items():
        print("  {:<8} store  {median:7.2f} s [{min:.2f}, {max:.2f}]".format(name, **common.spread(seconds)))
    print("  with / without   {median:.3f} [{min:.3f}, {max:.3f}], {0} pairs".format(pairs, **common.spread(ratios)))
    shown = {n: 100 * s for n, s in common.spread(shares).items()}
    print("  in store calls   {median:.2f} % [{min:.2f}, {max:.2f}] of the sweep's time".format(**shown))
    for name, seconds in sorted(each.items(), key=lambda item: -item[1])[:5]:
        print(f"    {name:<16} {1e3 * seconds:8.1f} ms, {watches[0][0].calls[name]} calls")
    common.tell(others)
    return {
        "cells": grid.cells, "steps": grid.config.steps, "block": list(block), "blocks": blocks,
        "arrays_per_block": arrays, "others_held": others,
        "seconds": {n: common.spread(s) for n, s in took.items()},
        "ratio": common.spread(ratios), "ratios": ratios.tolist(),
        "share_in_store_calls": common.spread(shares),
        "seconds_by_call": each, "calls": watches[0][0].calls, "seconds_by_call_first_sweep": first.seconds,
    }  # fmt: skip


# --- a million cells ----------------------------------------------------------------------------------


def fill(path: pathlib.Path, block: Block, side: int) -> tuple[Store, float]:
    """A finished store without training: some blocks are put, and the files of one copied, each with its own marker.

    Returns:
        The Store, and the seconds that `Store.put` takes, a median.
    """
    grid = square(side, side)
    plan = plan_of(grid, None, "highest", None, False)
    store = Store.create(path, plan, block, {"versions": {}, "device": "none"})
    store.grow(grid, {"value": (np.dtype(np.float32), ())})
    catalogue = store.catalogue
    job, blocks = Job(plan, catalogue.over(grid), catalogue.layout), catalogue.layout.blocks
    arrays = {
        "value": np.random.default_rng(0).random(block, np.float32),
        FIRST_BAD: np.full(block, -1, np.int32),
    }
    recipe = Systems(grid, (jax.devices()[0],), "highest").recipe(grid.config, block)
    program = recipe.static_key, programs.fingerprint(recipe)
    took = []
    for number in range(min(30, blocks)):
        finished = Finished(job.work(number), arrays, program, 0.0, lambda: None)
        started = time.perf_counter()
        store.put(finished)
        took.append(time.perf_counter() - started)
    sources = [path / "data.zarr" / "0" / name / "c" / "0" for name in arrays]
    contents, marker = [source.read_bytes() for source in sources], store.marker(0)
    assert marker is not None
    for number in range(len(took), blocks):
        for source, content in zip(sources, contents, strict=True):
            source.with_name(str(number)).write_bytes(content)
        (path / "done" / f"{number}.json").write_bytes(files.sealed(marker | catalogue.meaning(number)))
    return store, float(np.median(took[1:] or took))


def million(folder: pathlib.Path, shapes: tuple[Block, ...], side: int, repeats: int) -> list[dict[str, Any]]:
    """Looking at a store, reading from it, and finding all of it done; the files are in the page cache."""
    rows = []
    for block in shapes:
        path = folder / f"million-{block.points}"
        started = time.perf_counter()
        store, put = fill(path, block, side)
        made = time.perf_counter() - started

        def command(path: pathlib.Path = path) -> None:
            subprocess.run([sys.executable, "-m", "snljax.cli", "status", str(path)], check=True, capture_output=True)

        def opened(path: pathlib.Path = path) -> Any:
            return snl.open_store(path).value

        def resume(path: pathlib.Path = path) -> None:
            ds = snl.sweep(square(side, side), store=path, progress=False)
            assert ds.attrs["programs_compiled"] == 0

        calls = {
            "status_command": (command, repeats),
            "status_function": (functools.partial(status, path), repeats),
            "scan_markers": (store.done, repeats),
            "open_store": (opened, repeats),
            "read_one_cell": (lambda opened=opened: opened()[0, 0].values, repeats),
            "read_a_row": (lambda opened=opened: opened()[side // 2].values, repeats),
            "read_a_column": (lambda opened=opened: opened()[:, side // 2].values, min(repeats, 3)),
            "resume_all_done": (resume, 2),
        }
        row: dict[str, Any] = {"cells": side * side, "block": list(block), "blocks": store.catalogue.layout.blocks}
        row |= {"put_seconds": put, "made_seconds": made}
        print(f"\n{row['cells']:,} cells in {row['blocks']:,} blocks of {tuple(block)}, made in {made:.0f} s")
        print(f"  {'put':<18}{put:10.4f} s a block of 2 arrays")
        for name, (call, times) in calls.items():
            call()
            row[name] = common.spread(np.array([_seconds(call) for _ in range(times)]))
            print("  {:<18}{median:10.4f} s [{min:.4f}, {max:.4f}]".format(name, **row[name]), flush=True)
        row["verify_seconds_a_block"] = _seconds(lambda s=store: [s.damaged(b) for b in range(200)]) / 200
        looked = status(path)
        assert (looked.blocks_done, looked.damaged) == (row["blocks"], {})
        rows.append(row)
        shutil.rmtree(path)
    return rows


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


# --- memory -------------------------------------------------------------------------------------------


def memory(platform: str, cases: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Resident memory of sweeps that fill a store, each in a process of its own.

    Args:
        platform: of JAX.
        cases: (rates, starts, points of a block or 0 for the engine's choice).
    """
    rows = []
    print(f"\nresident memory of a sweep with a store and memory={BUDGET!r}")
    for case in cases:
        command = [sys.executable, __file__, "--device", platform, "--measure-memory", *map(str, case)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        mb = {n: f"{row[n] / 1e6:.0f} MB" for n in ("imported", "warm", "peak", "first_tenth", "last_tenth")}
        print(
            f"  {row['cells']:>9,} cells, {row['blocks']:>6,} blocks of {tuple(row['block'])}"
            f"{'' if case[2] else ' (chosen)'}, {row['seconds']:.0f} s: imported {mb['imported']}, "
            f"compiled {mb['warm']}, first tenth {mb['first_tenth']}, last tenth {mb['last_tenth']}, peak {mb['peak']}",
            flush=True,
        )
    return rows


def measure_memory(rates: int, starts: int, points: int, device: Any) -> None:
    """One sweep under a budget; prints JSON. A small sweep before it loads JAX, the compiler and zarr."""
    imported = resident()
    options: dict[str, Any] = {"progress": False, "memory": BUDGET}
    if device.platform != "cpu":
        options["devices"] = [device]
    with tempfile.TemporaryDirectory() as folder:
        snl.sweep(square(2, 8), store=pathlib.Path(folder, "small"), **options)
        warm = resident()
        samples, after_block, over = [], [], threading.Event()
        put = Store.put

        def sampled(*args: Any) -> None:
            put(*args)
            after_block.append((time.perf_counter(), resident()))

        def watch() -> None:
            while not over.wait(0.01):
                samples.append((time.perf_counter(), resident()))

        Store.put = sampled  # type: ignore[method-assign]
        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        grid = square(rates, starts)
        ds = snl.sweep(grid, store=pathlib.Path(folder, "sweep"), block=(1, points) if points else None, **options)
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        training = [size for at, size in samples if at <= after_block[-1][0]]
        after = [size for _, size in after_block]
        tenth = max(len(after_block) // 10, 1)
        row = {
            "cells": grid.cells, "block": json.loads(ds.attrs["block"]), "blocks": len(after_block),
            "devices": ds.attrs["devices"], "chosen": not points, "seconds": seconds,
            "seconds_before_the_first_block": ds.attrs["compile_seconds"] + ds.attrs["probe_seconds"],
            "imported": imported, "warm": warm, "peak": max([*training, *after]),
            "peak_with_the_dataset": max(size for _, size in [*samples, *after_block]),
            "first_tenth": float(np.median(after[:tenth])), "last_tenth": float(np.median(after[-tenth:])),
            "budget": local_devices.parse_memory(BUDGET, (device,)),
        }  # fmt: skip
        assert len(after_block) == Store.open(ds.attrs["store"]).catalogue.layout.blocks
    print(json.dumps(row))


def resident() -> int:
    """Bytes that this process holds in memory now."""
    return int(pathlib.Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- all of it ----------------------------------------------------------------------------------------


def accepted(content: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """What was promised: name, measured, allowed, kept."""
    found = []
    if "overhead" in content:
        share = content["overhead"]["share_in_store_calls"]["median"]
        found.append(("share of a sweep in store calls, %", 100 * share, "3", share <= MOST_OVERHEAD))
        ratio = content["overhead"]["ratio"]["median"]
        found.append(("wall time with / without a store", ratio, "1.03", ratio <= 1 + MOST_OVERHEAD))
    for row in content.get("million", []):
        seconds = row["status_command"]["median"]
        name = f"snljax status of {row['blocks']:,} blocks, s"
        found.append((name, seconds, f"{MOST_STATUS_SECONDS:g}", seconds <= MOST_STATUS_SECONDS))
    for row in content.get("memory", []):
        where = f"{row['cells']:,} cells, {row['blocks']:,} blocks"
        used = row["peak"] - row["warm"]
        budget = row["budget"]
        found.append((f"peak above compiled, MB, {where}", used / 1e6, f"{budget / 1e6:g}", used <= budget))
        growth = row["last_tenth"] / row["first_tenth"] - 1
        if row["blocks"] >= 100:
            found.append((f"growth of memory, %, {where}", 100 * growth, "5", growth <= MOST_GROWTH))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="JAX platform: cpu, gpu, ...")
    parser.add_argument("--pairs", type=int, default=5, help="sweeps with and without a store")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="the others keep their last results")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--measure-memory", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cpu":
        local_devices.cores_as_devices()  # before JAX starts
    device = jax.devices(options.device)[0]
    if options.measure_memory:
        return measure_memory(*options.measure_memory, device)
    info = common.machine(device)
    print(common.describe(info))
    quick = options.quick
    earlier = common.RESULTS / f"store-{options.device}.json"
    content = json.loads(earlier.read_text()) if earlier.exists() and set(options.parts) != set(PARTS) else {}
    content["machine"] = info
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if "overhead" in options.parts:
            content["overhead"] = overhead(device, folder, 2 if quick else options.pairs, quick)
        if "million" in options.parts:
            shapes = (Block(1, 1024),) if quick else (Block(1, 8), Block(1, 1024))
            content["million"] = million(folder, shapes, 100 if quick else SIDE, 2 if quick else 5)
        if "memory" in options.parts:
            cases = [(100, 1000, 0), (100, 1000, 256), (1000, 1000, 0), (1000, 1000, 256)]
            content["memory"] = memory(options.device, cases[:2] if quick else cases)
    print("\n                                                              measured   allowed")
    for text, value, most, good in accepted(content):
        print(f"  {text:<58}{value:10.3f}{most:>10}  {'kept' if good else 'NOT KEPT'}")
    common.write("store", options.device, content)
    return None


if __name__ == "__main__":
    main()
