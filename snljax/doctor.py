"""Does this installation work: versions, devices, memory, and one small training run against its known answer."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time

from snljax import cache
from snljax.sweep import devices as local_devices
from snljax.sweep import remembered
from snljax.sweep.engine import sweep
from snljax.sweep.grid import Grid

PACKAGES = ("snljax", "jax", "jaxlib", "numpy", "xarray", "zarr", "optax", "flax", "matplotlib")
MOST_LOSS = 0.1


def doctor() -> bool:
    """Print what this installation runs on, and whether a small network trains to the loss that it should.

    Returns:
        True if it does.

    Example:
        >>> doctor()  # doctest: +SKIP
    """
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    for name in PACKAGES:
        print(f"{name} {importlib.metadata.version(name)}")
    devices = local_devices.resolve(None, useful=1_000_000)
    print(f"devices: {', '.join(map(str, devices))} ({devices[0].device_kind})")
    print(f"memory for training: {local_devices.human_bytes(local_devices.parse_memory(None, devices))} a device")
    folder = cache.folder()
    programs, size = (0, 0) if folder is None else remembered.size(folder)
    held = f"{programs} compiled programs, {local_devices.human_bytes(size)}"
    print(f"cache: {'off' if folder is None else f'{folder.parent}, {held}'} (environment variable {cache.VARIABLE})")
    started = time.perf_counter()
    grid = Grid("topk_pruning", sigma_p=0.1, K=8, n=32, n_test=100, d=32, m=4, num_classes=2, steps=500)
    loss = float(sweep(grid, progress=False).test_loss)
    good = loss < MOST_LOSS
    print(
        f"a small network trained in {time.perf_counter() - started:.1f} s to test loss {loss:.3f}: "
        f"{'as it should' if good else f'NOT as it should (below {MOST_LOSS})'}"
    )
    return good
