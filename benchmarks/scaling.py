"""How the cost of a sweep grows: with the number of cells, with the dimension d, and memory against its budget.

python benchmarks/scaling.py [--device cpu|gpu] [--quick]
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import pathlib
import resource
import subprocess
import sys
import time
from typing import Any

import common
import jax
import numpy as np

import snljax as snl
from snljax.sweep import devices as local_devices
from snljax.sweep import program as programs
from snljax.sweep.layout import Block

CELL_COUNTS, CELL_STEPS = (8, 16, 32, 64, 128), 100
DIMENSIONS = (10**2, 10**3, 10**4, 10**5, 10**6)
IN_D = {"num_classes": 2, "m": 5, "n": 100, "n_test": 100, "steps": 1, "first_prune": None}
BUDGETS = ("250MB", "500MB", "2GB")
IN_MEMORY = {"num_classes": 10, "m": 50, "d": 3000, "n": 200, "n_test": 2000, "steps": 11}


def against_cells(device: Any, counts: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Wall seconds of a whole warm ``sweep`` (drawing, training, testing) by the number of cells."""

    def run(count: int) -> None:
        grid = snl.Grid("topk_pruning", sigma_p=np.linspace(0.1, 1.0, count), steps=CELL_STEPS, n_test=1000)
        snl.sweep(grid, devices=[device], block=(1, 8), progress=False)

    run(counts[0])
    took, others = common.interleaved({str(c): functools.partial(run, c) for c in counts}, rounds)
    middle = np.array([np.median(s) for s in took.values()])
    slope, start = np.polyfit(counts, middle, 1, w=1 / middle)
    residual = float(np.max(np.abs(slope * np.array(counts) + start - middle) / middle))
    print(f"\nwall seconds of a sweep of {CELL_STEPS} steps, blocks of 8 points, median of {rounds} [min, max]")
    for count, seconds in took.items():
        print("  {:>4} cells  {median:7.3f} [{min:.3f}, {max:.3f}]".format(count, **common.spread(seconds)))
    print(
        f"  a straight line: {1e3 * slope:.2f} ms a cell ({CELL_STEPS / slope:,.0f} network-steps/s) "
        f"+ {1e3 * start:.0f} ms, off by {100 * residual:.0f} % at most"
    )
    common.tell(others)
    return {
        "others_held": others, "cells": counts, "steps": CELL_STEPS,
        "seconds": [common.spread(s) for s in took.values()],
        "seconds_per_cell": slope, "seconds_at_zero": start, "largest_relative_residual": residual,
    }  # fmt: skip


def against_d(device: Any, dimensions: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """Seconds of one network's step in the span by d, and of all that comes before the first step."""
    points = 4
    print(f"\nmicroseconds per network-step in the span, no pruning, {points} points, median of {rounds} [min, max]")
    rows = []
    for d in dimensions:
        gc.collect()
        started = time.perf_counter()
        grid = snl.Grid("topk_pruning", sigma_p=np.linspace(0.1, 1.0, points), d=d, **IN_D)
        first = common.one_round(grid, Block(1, points), (device,))
        jax.block_until_ready(first.blocks)
        ready = time.perf_counter()

        def train(steps: int, first=first) -> None:
            jax.block_until_ready(common.advanced(first, steps))

        # Each turn begins with a copy of the state, weights included; the step is what more steps cost.
        few, many = 10, 60_000
        train(few)
        turns = {"few": functools.partial(train, few), "many": functools.partial(train, many)}
        took, others = common.interleaved(turns, rounds, patience=5)
        step = common.spread((took["many"] - took["few"]) / ((many - few) * points))
        call = float(np.median(took["few"])) - few * points * step["median"]
        row = {"d": d, "seconds_per_network_step": step, "call_seconds": max(call, 0.0), "others_held": others}
        compiled = first.program.seconds
        rows.append(row | {"compile_seconds": compiled, "draw_and_init_seconds": ready - started - compiled})
        shown = "{median:7.2f} [{min:.2f}, {max:.2f}]".format(**{n: 1e6 * s for n, s in step.items()})
        print(
            f"  d {d:>9,}: {shown}   apart: compile {compiled:5.1f} s, "
            f"draw and init {ready - started - compiled:6.2f} s, a call {1e3 * row['call_seconds']:6.1f} ms",
            flush=True,
        )
        del first, train, took
        programs.forget()
    common.tell(max(row["others_held"] for row in rows))
    return rows


def against_budget(platform: str, budgets: tuple[str, ...]) -> list[dict[str, Any]]:
    """Peak resident memory of sweeps that choose their own block, each in a process of its own."""
    print("\npeak resident memory of a sweep that chooses its block, over that of the process before it")
    rows = []
    for budget in budgets:
        command = [sys.executable, __file__, "--device", platform, "--measure-memory", budget]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        row = rows[-1] | {n: local_devices.human_bytes(rows[-1][n]) for n in ("estimate", "measured", "compiler")}
        print(
            f"  budget {budget:>6}: block {row['block']}, estimate {row['estimate']}, measured {row['measured']} "
            f"(+ {row['compiler']} for JAX and its compiler): {'within' if row['within'] else 'OVER'}",
            flush=True,
        )
    return rows


def measure_memory(budget: str, device: Any) -> None:
    """One sweep under a budget; prints JSON. A sweep of tiny networks before it loads JAX and the compiler."""
    axes = {"sigma_p": np.linspace(0.1, 1.0, 16), "K": IN_MEMORY["d"] // 2}
    tiny = {"num_classes": 10, "m": 1, "d": 16, "n": 4, "n_test": 4, "steps": 1, "K": 8}
    imported = peak_resident()
    snl.sweep(snl.Grid("topk_pruning", **(axes | tiny)), devices=[device], progress=False)
    before = peak_resident()
    grid = snl.Grid("topk_pruning", **axes, **IN_MEMORY)
    found = snl.sweep(grid, devices=[device], memory=budget, progress=False)
    measured = peak_resident() - before
    allowed = local_devices.parse_memory(budget, (device,))
    shape = Block(*json.loads(found.attrs["block"]))
    estimate = common.one_round(grid, shape, (device,)).program.memory
    row = {"budget": allowed, "block": list(shape), "estimate": estimate, "measured": measured}
    print(json.dumps(row | {"compiler": before - imported, "within": measured <= allowed}))


def peak_resident() -> int:
    """Bytes that this process has held in memory at most."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # ru_maxrss would begin with the peak of the parent process
        line = next(s for s in status.read_text(encoding="utf-8").splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def draw_chart(path: pathlib.Path, in_cells: dict[str, Any], in_d: list[dict], in_memory: list[dict]) -> None:
    """Three panels: cells, dimension, memory."""
    plt = common.style()
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.3), layout="constrained")

    def points(ax: Any, x: Any, spreads: list[dict[str, float]], scale: float, label: str | None) -> None:
        y, low, high = (scale * np.array([s[n] for s in spreads]) for n in ("median", "min", "max"))
        ax.errorbar(x, y, [y - low, high - y], fmt="o", color=common.BLUE, capsize=3, markersize=5, label=label)

    counts = np.array(in_cells["cells"])
    points(left, counts, in_cells["seconds"], 1, "measured (median, range)")
    line = in_cells["seconds_per_cell"] * counts + in_cells["seconds_at_zero"]
    left.plot(counts, line, color="0.4", linewidth=1, label=f"line: {1e3 * in_cells['seconds_per_cell']:.1f} ms a cell")
    left.set(xlabel="cells", ylabel="wall time of the sweep (s)", xlim=(0, None), ylim=(0, None))
    left.set_title(f"Cells ({in_cells['steps']} steps each)", loc="left")
    left.legend(frameon=False)

    d = [row["d"] for row in in_d]
    setup = [row["compile_seconds"] + row["draw_and_init_seconds"] for row in in_d]
    points(middle, d, [row["seconds_per_network_step"] for row in in_d], 1e6, None)
    middle.set(xscale="log", xlabel="patch dimension $d$", ylabel="time of a network-step (µs)")
    middle.set_ylim(0, 1.6e6 * max(row["seconds_per_network_step"]["max"] for row in in_d))
    middle.yaxis.label.set_color(common.BLUE)
    other = middle.twinx()
    other.spines["right"].set_visible(True)
    other.plot(d, setup, "s--", color=common.RED, markersize=4, linewidth=1)
    other.set_ylim(0, 1.15 * max(setup))
    other.set_ylabel("set-up: compile, draw, init (s)", color=common.RED)
    middle.set_title("Dimension (span, no pruning)", loc="left")

    at = np.arange(len(in_memory))
    for shift, name, colour in (
        (-0.27, "budget", "0.75"),
        (0, "estimate", common.ORANGE),
        (0.27, "measured", common.BLUE),
    ):
        right.bar(at + shift, [row[name] / 1e6 for row in in_memory], width=0.25, color=colour, label=name)
    right.set_xticks(
        at, [f"{local_devices.human_bytes(r['budget'])}\nblock of {np.prod(r['block'])}" for r in in_memory]
    )
    right.set(xlabel="budget, and the block chosen for it", ylabel="memory (MB)")
    right.set_ylim(0, 1.2 * max(row["budget"] for row in in_memory) / 1e6)
    right.set_title("Memory of a sweep", loc="left")
    right.legend(frameon=False, ncols=3, loc="upper left", columnspacing=1, handlelength=1.2)
    fig.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="JAX platform: cpu, gpu, ...")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--measure-memory", metavar="BUDGET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = jax.devices(options.device)[0]
    if options.measure_memory:
        return measure_memory(options.measure_memory, device)
    info = common.machine(device)
    print(common.describe(info))
    quick = options.quick
    in_memory = against_budget(options.device, BUDGETS[1:2] if quick else BUDGETS)
    in_cells = against_cells(device, CELL_COUNTS[:3] if quick else CELL_COUNTS, 2 if quick else 3)
    in_d = against_d(device, DIMENSIONS[:4] if quick else DIMENSIONS, 3 if quick else 5)
    content = {"machine": info, "cells": in_cells, "dimension": in_d, "memory": in_memory}
    path = common.write("scaling", options.device, content)
    draw_chart(path.with_suffix(".png"), in_cells, in_d, in_memory)
    return None


if __name__ == "__main__":
    main()
