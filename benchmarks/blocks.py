"""The block shape that a sweep chooses for itself, against fixed ones, over twelve sweeps; all that it takes included.

    python benchmarks/blocks.py [--scale 1] [--turns 2] [--only NAME ...]

Each sweep runs as chosen, without anything remembered, and with each of some fixed shapes, in turns; every run compiles
anew. Compared are wall seconds of the whole call, compiling and probing included, the fastest turn of each.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from typing import Any

os.environ["SNLJAX_CACHE"] = "off"  # nothing compiled or measured before counts

import common
import jax
import numpy as np
import sweeps

import snljax as snl
from snljax.sweep import devices as local_devices
from snljax.sweep import program as programs

MEDIAN, WORST = 0.9, 0.8  # wanted: of the speed of the best fixed shape


def run(case: sweeps.Case, block: tuple[int, int] | None) -> tuple[float, dict[str, Any]]:
    """Wall seconds of one sweep from nothing, and its attributes."""
    programs.forget()
    jax.clear_caches()
    gc.collect()
    started = time.perf_counter()
    ds = snl.sweep(case.grid, block=block, record_every=case.record_every, progress=False)
    return time.perf_counter() - started, ds.attrs


def compare(case: sweeps.Case, turns: int) -> dict[str, Any]:
    """Seconds of each shape, turn by turn; every second turn backwards."""
    shapes = [None, *case.blocks]
    took: dict[str, list[float]] = {}
    chosen: list[dict[str, Any]] = []
    for turn in range(turns):
        for block in shapes[:: -1 if turn % 2 else 1]:
            seconds, attrs = run(case, block)
            took.setdefault("chosen" if block is None else f"{block[0]} x {block[1]}", []).append(seconds)
            if block is None:
                chosen.append({n: attrs[n] for n in ("block", "compile_seconds", "probe_programs", "probe_seconds")})
    fixed = {name: min(seconds) for name, seconds in took.items() if name != "chosen"}
    best = min(fixed, key=fixed.__getitem__)
    return {
        "cells": case.grid.cells,
        "seconds": took,
        "chosen": chosen,
        "best_fixed": best,
        "share_of_best": fixed[best] / min(took["chosen"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of cells")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", default=[], help="sweeps whose name holds one of these; nothing is written"
    )
    options = parser.parse_args()
    local_devices.cores_as_devices()
    info = common.machine(jax.devices()[0])
    print(common.describe(info))
    run(next(iter(sweeps.cases(0.01).values())), (1, 10))  # what a process does once is nobody's
    found = {}
    for name, case in sweeps.cases(options.scale).items():
        if options.only and not any(part in name for part in options.only):
            continue
        found[name] = row = compare(case, options.turns)
        others = ", ".join(f"{n}: {min(s):.2f}" for n, s in row["seconds"].items() if n != "chosen")
        print(
            f"  {name:<36}{row['cells']:>9,} cells  chosen {row['chosen'][0]['block']}: "
            f"{min(row['seconds']['chosen']):.2f} s = {row['share_of_best']:.2f} of the best ({others})",
            flush=True,
        )
    shares = np.array([row["share_of_best"] for row in found.values()])
    print(
        f"  share of the best fixed shape: median {np.median(shares):.2f} (wanted {MEDIAN}), "
        f"worst {shares.min():.2f} (wanted {WORST})"
    )
    if not options.only:
        content = {"machine": info, "scale": options.scale, "turns": options.turns, "sweeps": found}
        common.write("blocks", "cpu", content | {"median": float(np.median(shares)), "worst": float(shares.min())})


if __name__ == "__main__":
    main()
