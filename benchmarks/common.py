"""What the benchmarks share: the machine, timing in turns, and the results beside the scripts."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from snljax.sweep.arguments import plan_of
from snljax.sweep.keeper import Plain
from snljax.sweep.layout import Block
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.round import copied
from snljax.sweep.train import Trainer
from snljax.sweep.work import in_memory

QUIET = 0.03  # share of the cores that other processes may hold
RESULTS = pathlib.Path(__file__).parent / "results"
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"  # Okabe and Ito's palette


class Round(NamedTuple):
    """One block on each device, drawn and initialised, and the program that trains it."""

    program: Any
    fixed: dict[str, Any]
    blocks: dict[str, Any]


class Contender(NamedTuple):
    """train(steps) trains ``networks`` networks from the start and returns when they are done."""

    train: Callable[[int], Any]
    networks: int
    loss: Callable[[Any], np.ndarray] | None = None  # of what train returns -> (networks,)
    multiple: int = 10  # its number of steps is a multiple of that


def one_round(grid: Any, block: Block, devices: tuple[Any, ...]) -> Round:
    """The first blocks of a grid, one on each device."""
    plan = plan_of(grid, None, "highest", None, False)
    job = in_memory(plan, block)
    trainer = Trainer(job, Systems(grid, devices, plan.precision), Room(10**12, len(plan.records)))
    works = [job.work(number) for number in range(min(len(devices), job.layout.blocks))]
    program, _ = trainer.program(works[0].config, Plain())
    return Round(program, trainer.fixed(works[0].config), trainer.start(program, works))


def advanced(first: Round, steps: int) -> Any:
    """The state after so many steps and which networks are finite; the first one stays what it was."""
    bounds = {"start": np.int32(0), "stop": np.int32(steps)}
    return first.program.advance(first.fixed | bounds, first.blocks | {"state": copied(first.blocks["state"])})


def snljax_contender(grid: Any, points: int, devices: tuple[Any, ...]) -> tuple[Contender, Any]:
    """snljax's compiled program for a block of that many points on each device, and its draw of data and weights."""
    first = one_round(grid, Block(1, points), devices)
    program, fixed, blocks = first

    def train(steps: int) -> Any:
        return jax.block_until_ready(advanced(first, steps)[0])

    def loss(state: Any) -> np.ndarray:
        return np.asarray(program.measure(fixed, blocks | {"state": state}).train_loss).reshape(-1)

    draw = jax.tree.map(lambda a: _plain(a)[0, 0], blocks["draw"])
    return Contender(train, points * len(devices), loss), draw


def _plain(a: jax.Array) -> np.ndarray:
    """As a NumPy array; of keys, their data."""
    return np.asarray(jax.random.key_data(a) if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) else a)


def interleaved(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, patience: float = 20.0
) -> tuple[dict[str, np.ndarray], float]:
    """Seconds of each contender in each round, shape (rounds,), and how much of the cores others held.

    Each runs once a round, so that a drift of the machine meets all alike; every second round runs
    backwards. A round in which other processes held more than 3 % of the cores is run again, for
    ``patience`` seconds more at most; the quietest rounds count. A contender must return only when its
    work is done, and must be warm.
    """
    taken: list[tuple[float, dict[str, float]]] = []
    deadline = None
    while True:
        seconds, before = {}, _clocks()
        for name in list(contenders)[:: -1 if len(taken) % 2 else 1]:
            started = time.perf_counter()
            contenders[name]()
            seconds[name] = time.perf_counter() - started
        wall, busy, own = _clocks() - before
        taken.append((max(0.0, busy - own) / (wall * (os.cpu_count() or 1)), seconds))
        if len(taken) == rounds:
            deadline = time.perf_counter() + patience
        quiet = sorted(taken, key=lambda one: one[0])[:rounds]
        if len(taken) >= rounds and (quiet[-1][0] <= QUIET or time.perf_counter() > deadline):
            return {name: np.array([s[name] for _, s in quiet]) for name in contenders}, quiet[-1][0]


def steps_for(train: Callable[[int], Any], seconds: float, multiple: int = 10) -> int:
    """How many steps take about that long; ``train(steps)`` is warmed up on the way."""
    steps = multiple
    train(steps)
    while True:
        started = time.perf_counter()
        train(steps)
        elapsed = time.perf_counter() - started
        if elapsed > seconds / 3:
            return max(multiple, round(steps * seconds / elapsed / multiple) * multiple)
        steps *= 4


def rates(
    contenders: dict[str, Contender], seconds: float, rounds: int, patience: float
) -> tuple[dict[str, np.ndarray], float]:
    """Network-steps per second, one for each turn, and the share of the cores that others held."""
    steps = {name: steps_for(c.train, seconds, c.multiple) for name, c in contenders.items()}
    turns = {name: functools.partial(c.train, steps[name]) for name, c in contenders.items()}
    took, others = interleaved(turns, rounds, patience)
    return {name: c.networks * steps[name] / took[name] for name, c in contenders.items()}, others


def fastest(name: str, variants: dict[str, Contender], seconds: float) -> tuple[str, Contender]:
    """What the fastest of the variants is called, and itself; each is printed."""
    turns, others = rates(variants, seconds, 3, patience=60 * seconds)
    found = {v: float(np.median(r)) for v, r in turns.items()}
    best = max(found, key=found.get)
    print(f"  {name}\n    " + "; ".join(f"{v}: {r:,.4g}" for v, r in found.items()) + f"  -> {best}", flush=True)
    if others > QUIET:  # PyTorch's threads spin while they wait, and lose most where cores are shared
        print(f"    (chosen while others held {100 * others:.0f} % of the cores)")
    return best, variants[best]


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}


def tell(others: float) -> None:
    """Say how quiet the machine was."""
    warning = "" if others <= 2 * QUIET else " (NOT quiet: absolute numbers are low, ratios unsafe)"
    print(f"  other processes held at most {100 * others:.0f} % of the cores in the rounds that count{warning}")


def machine(device: Any) -> dict[str, Any]:
    """Processor, cores, versions and the device that JAX uses."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "device": f"{device.device_kind} ({device.platform})",
    }


def describe(info: Mapping[str, Any]) -> str:
    """The machine on one line."""
    return ", ".join(f"{name} {value}" for name, value in info.items())


def write(name: str, device: str, content: Mapping[str, Any]) -> pathlib.Path:
    """Write ``results/<name>-<device>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{device}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(pathlib.Path.cwd()) if path.is_relative_to(pathlib.Path.cwd()) else path}")
    return path


def style() -> Any:
    """matplotlib.pyplot, set up for plain readable figures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "savefig.dpi": 110}
    )
    return plt


def _clocks() -> np.ndarray:
    """Seconds so far: on the wall, of all processes on all cores, of this process and those that it started."""
    wall, times = time.perf_counter(), os.times()
    own = times.user + times.system + sum(_cpu_seconds(child.pid) for child in multiprocessing.active_children())
    stat = _lines("/proc/stat")
    if not stat:
        return np.array([wall, own, own])  # elsewhere nothing is known of the others
    user, nice, system, _, _, irq, softirq, steal = map(int, stat[0].split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return np.array([wall, busy, own])


def _cpu_seconds(pid: int | None) -> float:
    """User and system time of a running process; its name, in brackets, may hold anything."""
    stat = "".join(_lines(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def _lines(path: str) -> list[str]:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
