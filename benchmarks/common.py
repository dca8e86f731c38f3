"""What the benchmarks share: the machine, timing in turns, and the results beside the scripts."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"  # Okabe and Ito's palette


def interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each contender in each round, shape (rounds,).

    Each runs once a round, so that a drift of the machine meets all alike; every second round runs
    backwards. A contender must return only when its work is done, and must be warm.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            started = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(s) for name, s in seconds.items()}


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


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}


def load() -> float:
    """Processes that wanted a core over the last minute; above 0 before the run, others share the machine."""
    return round(os.getloadavg()[0], 2)


def warn_if_busy() -> None:
    """Say so when other processes hold the cores: the contenders do not suffer alike then."""
    if load() > 0.25 * (os.cpu_count() or 1):
        print(
            f"WARNING: load average {load()} on {os.cpu_count()} cores: other processes share them. Numbers are low "
            "then, and ratios unfair (PyTorch's threads wait for each other most). Repeat on an idle machine."
        )


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
        "load_before": load(),
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


def _lines(path: str) -> list[str]:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
