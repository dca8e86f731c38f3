"""One sweep on 1 to 16 CPU devices: the same bits, blocks shared out evenly, and what more devices than cores cost.

    python benchmarks/devices.py [--devices 1 2 4 8 16]

Strong scaling: the same 64 blocks on more devices. Weak scaling: four blocks for each device. Each number of devices is
a process of its own. On a machine with two cores only the first step can be faster; the rest shows what is lost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time

import common
import jax
import numpy as np

import snljax as snl

BLOCKS, OF_EACH, STEPS = 64, 4, 200


def measure(blocks: int) -> None:
    """One sweep of so many blocks on all devices of this process, warm; prints JSON."""
    grid = snl.Grid("topk_pruning", sigma_p=np.linspace(0.1, 1.0, 2 * blocks), steps=STEPS, n_test=100)
    snl.sweep(grid, block=(1, 2), progress=False)
    started = time.perf_counter()
    ds = snl.sweep(grid, block=(1, 2), progress=False)
    seconds = time.perf_counter() - started
    bits = hashlib.sha256(b"".join(ds[name].values.tobytes() for name in ds.data_vars)).hexdigest()
    print(json.dumps({"devices": ds.attrs["devices"], "seconds": seconds, "bits": bits}))


def run(devices: int, blocks: int) -> dict:
    """`measure` in a process that has so many devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, __file__, "--measure", str(blocks)]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, check=True, capture_output=True, text=True)
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["devices"] == devices, "not all devices had a block"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure)
    info = common.machine(jax.devices()[0])
    print(common.describe(info))
    strong = [run(devices, BLOCKS) for devices in options.devices]
    weak = [run(devices, OF_EACH * devices) for devices in options.devices]
    assert len({row["bits"] for row in strong}) == 1, "the number of devices changes the numbers"
    print(f"the same bits on {', '.join(map(str, options.devices))} devices")
    for devices, one, more in zip(options.devices, strong, weak, strict=True):
        faster = strong[0]["seconds"] / one["seconds"]
        print(
            f"  {devices:>2} devices: {BLOCKS} blocks in {one['seconds']:6.2f} s ({faster:.2f} times as fast); "
            f"{OF_EACH} blocks a device in {more['seconds']:6.2f} s"
        )
    common.write("devices", "cpu", {"machine": info, "strong": strong, "weak": weak})
    return None


if __name__ == "__main__":
    main()
