"""What it costs that every sweep traces its functions anew, on the built-in systems, compiled code being there.

python benchmarks/retrace.py [--rounds 11]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import common
import jax
import numpy as np

import snljax as snl
from snljax import experiments
from snljax.sweep import devices as local_devices
from snljax.sweep import program as programs
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems

MOST_SECONDS = 0.3
BLOCK = Block(1, 4)
# With images of its own on the disk; its network is LeNet on scikit-learn's digits.
SETTINGS: dict[str, dict[str, Any]] = {"influence_removal": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = (jax.devices()[0],)
    info = common.machine(devices[0])
    print(common.describe(info))
    print(f"seconds of tracing before a sweep whose programs are compiled, median of {options.rounds} [min, max]")
    content: dict[str, Any] = {"machine": info, "rounds": options.rounds, "seconds": {}}
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        swept = {"sigma_p": [0.5, 1.0]} if hasattr(experiment.Config(), "sigma_p") else {}
        grid = snl.Grid(experiment, **swept, **SETTINGS.get(name, {}))
        took, kept = [], 0

        def once(grid: Any = grid) -> tuple[float, Any]:
            systems = Systems(grid, devices, "highest")
            systems.data(grid.config)  # read from the disk, apart
            since = time.perf_counter()
            found = programs.traced(systems.recipe(grid.config, BLOCK))
            return time.perf_counter() - since, found

        _, first = once()
        first.text()
        for _ in range(options.rounds):
            seconds, again = once()
            took.append(seconds)
            kept += again is first
        content["seconds"][name] = common.spread(np.array(took))
        shown = "{median:.3f} [{min:.3f}, {max:.3f}]".format(**content["seconds"][name])
        good = content["seconds"][name]["median"] <= MOST_SECONDS
        print(f"  {name:<26}{shown}   {'kept' if good else 'NOT KEPT'}, allowed {MOST_SECONDS}", flush=True)
        assert kept == options.rounds, "another program each time"
        programs.forget()
    common.write("retrace", "cpu", content)


if __name__ == "__main__":
    main()
