"""Network-steps per second on every synthetic system, against PyTorch and JAX written by hand, each in its best form.

    python benchmarks/systems.py [--systems topk_pruning ...] [--rounds 5] [--quick]

Each system trains at its default Config, on a grid of a few dozen cells in which two settings are swept.
Timed is training alone. All contenders start from the same data and weights; before anything is timed,
their losses after 30 steps must agree with snljax's. They run in turns, and ratios are taken within a turn.

The peers hold weights, take the gradient by autodiff and fold what the cells share into one product. On
contrastive, snljax and JAX draw the same fresh batch at every step; PyTorch draws as many numbers with its
own generator, and is checked on the batches of the others.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
from types import ModuleType
from typing import Any

import common
import jax
import numpy as np
from common import Contender
from peers import (
    Problem,
    contrastive,
    gradient_regularization,
    heterogeneous_noise,
    loops,
    random_pruning,
    topk_pruning,
    torch,
)

import snljax as snl
from snljax import experiments
from snljax.sweep import devices as local_devices

SYSTEMS: dict[str, ModuleType] = {
    "topk_pruning": topk_pruning,
    "heterogeneous_noise": heterogeneous_noise,
    "random_pruning": random_pruning,
    "gradient_regularization": gradient_regularization,
    "contrastive": contrastive,
}
CELLS = {name: 64 for name in SYSTEMS} | {"heterogeneous_noise": 16}  # a network of that one holds 2 MB
WIDTHS = (2, 4, 8, 16, 32)  # points a block on each device; the widest is all cells on two devices
TORCH_WIDTHS = (8, 32)  # networks at once
OURS, HAND, OPTAX = "snljax", "JAX by hand", "JAX, vmapped optax"
COMPILED, FUNC, EAGER = "torch.func.vmap + torch.compile", "torch.func.vmap", "PyTorch eager, a process a core"
CORES = os.cpu_count() or 1
CHECK_STEPS, TOLERANCE, CHECK_CELLS = 30, 1e-3, 8


def snljax(name: str, points: int, devices: tuple[Any, ...]) -> tuple[Contender, Any]:
    """snljax on the system's grid, so many points on each device, and its draw of data and weights."""
    system = SYSTEMS[name]
    grid = snl.Grid(
        name, snl.zip(**system.axes(points * len(devices))), steps=10**9, **({"n_test": 8} | system.SETTINGS)
    )
    contender, draw = common.snljax_contender(grid, points, devices)
    return contender._replace(multiple=system.JAX.prune_every), draw


def problem_of(name: str, draw: Any, count: int) -> Problem:
    """The same data and weights for the peers, in plain arrays."""
    system = SYSTEMS[name]
    config = dataclasses.replace(experiments.get(name).readings["fitted"], **system.SETTINGS)
    return system.problem(config, draw, count)


def loss_of(name: str, problem: Problem, weights: dict[str, Any]) -> np.ndarray:
    """Training loss of each network of a peer."""
    weights = {part: np.asarray(value) for part, value in weights.items()}
    shared = {part: value for part, value in problem.shared.items() if part != "given"}
    return np.asarray(jax.jit(jax.vmap(SYSTEMS[name].mean_loss, in_axes=(0, 0, None)))(weights, problem.cells, shared))


def contender(name: str, problem: Problem, train: Any) -> Contender:
    """A peer that trains all cells of the problem."""
    cells, every = len(next(iter(problem.start.values()))), SYSTEMS[name].JAX.prune_every
    return Contender(train, cells, lambda weights: loss_of(name, problem, weights), every)


def by_jax(name: str, problem: Problem, devices: tuple[Any, ...], with_optax: bool) -> Contender:
    """All cells at once."""
    return contender(name, problem, loops.jax_at_once(SYSTEMS[name].JAX, problem, devices, with_optax))


def by_torch(name: str, problem: Problem, threads: int, compiled: bool) -> Contender:
    """All cells at once."""
    return contender(name, problem, loops.torch_vmapped(SYSTEMS[name].TORCH, problem, threads, compiled))


def check(name: str, devices: tuple[Any, ...]) -> dict[str, float]:
    """Largest relative difference from snljax's training loss after 30 steps."""
    ours, draw = snljax(name, CHECK_CELLS // len(devices), devices)
    before, wanted = ours.loss(ours.train(0)), ours.loss(ours.train(CHECK_STEPS))
    print(f"\n{name}: training loss {before.min():.4f} to {before.max():.4f} at the start, "
          f"{wanted.min():.4f} to {wanted.max():.4f} after {CHECK_STEPS} steps")  # fmt: skip
    problem = problem_of(name, draw, ours.networks)
    others = {HAND: by_jax(name, problem, devices[:1], False), OPTAX: by_jax(name, problem, devices, True)}
    worst = {n: _off(c.loss(c.train(CHECK_STEPS)), wanted) for n, c in others.items()}
    if torch is not None:
        given = contrastive.given(problem, CHECK_STEPS) if name == "contrastive" else problem
        for other, compiled in ((COMPILED, True), (FUNC, False)):
            one = by_torch(name, given, CORES, compiled)
            worst[other] = _off(one.loss(one.train(CHECK_STEPS)), wanted)
        with loops.written_in_processes(SYSTEMS[name].TORCH, given, CORES) as pool:
            pool.train(CHECK_STEPS)
            worst[EAGER] = _off(loss_of(name, given, pool.weights()), wanted)
    for other, off in worst.items():
        print(f"  {other:34} off by {off:.1e} at most  {'ok' if off < TOLERANCE else 'DIFFERS'}", flush=True)
    if not max(worst.values()) < TOLERANCE:
        raise SystemExit(f"{name}: the contenders do not compute the same thing")
    return worst


def _off(losses: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(losses / wanted - 1)))


def contend(
    name: str, devices: tuple[Any, ...], pool: Any, problem: Problem, seconds: float, quick: bool
) -> tuple[dict[str, str], dict[str, Contender]]:
    """All contenders, each at the width, threads and devices that are fastest for it; and what these are."""
    chosen, contenders = {}, {}

    def best_of(contender: str, variants: dict[str, Contender]) -> None:
        chosen[contender], contenders[contender] = common.fastest(contender, variants, seconds)

    widths, cells = (WIDTHS[1::2] if quick else WIDTHS), CELLS[name]
    best_of(OURS, {f"{w} points on each of {len(devices)} devices": snljax(name, w, devices)[0] for w in widths})
    on = {"one device": devices[:1], f"{len(devices)} devices": devices}
    for peer, with_optax in ((HAND, False), (OPTAX, True)):
        best_of(peer, {f"{cells} cells on {d}": by_jax(name, problem, on[d], with_optax) for d in on})
    if torch is not None:
        parts = {w: _first(problem, w) for w in TORCH_WIDTHS if w <= cells}
        for peer, compiled in ((COMPILED, True), (FUNC, False)):
            # Compiled for one number of threads, it is compiled again for another; many networks feed all cores.
            threads = [CORES] if compiled or quick else sorted({1, CORES})
            variants = {
                f"{w} cells, threads: {t}": by_torch(name, part, t, compiled)
                for w, part in parts.items()
                for t in threads
            }
            best_of(peer, variants)
        chosen[EAGER] = f"one at a time in each of {CORES} processes"
        contenders[EAGER] = contender(name, _first(problem, 2 * CORES), pool.train)
    return chosen, contenders


def _first(problem: Problem, count: int) -> Problem:
    """So many of the cells, from all over the grid."""
    cells = len(next(iter(problem.start.values())))
    picked = np.linspace(0, cells - 1, count).round().astype(int)
    start, own, mask = jax.tree.map(lambda a: a[picked], (problem.start, problem.cells, problem.mask))
    return problem._replace(start=start, cells=own, mask=mask)


def measure(name: str, devices: tuple[Any, ...], seconds: float, rounds: int, quick: bool) -> dict[str, Any]:
    """One system: checked, chosen, measured in turns, printed."""
    worst = check(name, devices)
    problem = problem_of(name, snljax(name, 2, devices)[1], CELLS[name])
    with contextlib.ExitStack() as stack:
        pool = torch and stack.enter_context(
            loops.written_in_processes(SYSTEMS[name].TORCH, _first(problem, 2 * CORES), CORES)
        )
        chosen, contenders = contend(name, devices, pool, problem, seconds / 3, quick)
        measured, others = common.rates(contenders, seconds, rounds, patience=5 if quick else 15)
    ratios = {n: common.spread(measured[OURS] / found) for n, found in measured.items() if n != OURS}
    for peer, found in measured.items():
        s = common.spread(found)
        print(f"  {peer:34} {s['median']:9,.0f} [{s['min']:8,.0f}, {s['max']:8,.0f}]", end="")
        print(f"   snljax is {_told(ratios[peer])} times as fast" if peer in ratios else "")
    common.tell(others)
    return {
        "check": worst, "ran": chosen, "others_held": others, "snljax_over": ratios,
        "rates": {n: common.spread(r) | {"turns": r.round(1).tolist()} for n, r in measured.items()},
    }  # fmt: skip


def _told(s: dict[str, float]) -> str:
    return f"{s['median']:6.2f} [{s['min']:.2f}, {s['max']:.2f}]"


def table(found: dict[str, dict[str, Any]]) -> None:
    """How many times as fast as each peer snljax is, a line for each system."""
    print("\nsnljax over each, median [least, most of the turns]")
    for peer in next(iter(found.values()))["snljax_over"]:
        print(f"  {peer}")
        for name, one in found.items():
            s = one["snljax_over"][peer]
            print(f"    {name:26} {_told(s)}" + ("" if s["median"] >= 1 else "   AHEAD OF US"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), help="only some of them")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="fewer shapes, three short turns; writes nothing")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices("cpu"))
    rounds, seconds = (3, 0.1) if options.quick else (options.rounds, 0.4)
    info = common.machine(devices[0])
    if torch is None:
        print("PyTorch is not installed, its rows are left out; pip install 'snljax[bench]' brings it.")
    else:
        info |= {"torch": torch.__version__}
    print(common.describe(info))
    found = {name: measure(name, devices, seconds, rounds, options.quick) for name in options.systems}
    table(found)
    if not options.quick and options.systems == list(SYSTEMS):
        common.write("systems", "cpu", {"machine": info, "cells": CELLS, "systems": found})


if __name__ == "__main__":
    main()
