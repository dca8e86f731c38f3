"""Network-steps per second by the shape of a block: what docs/fast_experiments.md says comes from here.

    python benchmarks/widths.py [--rounds 5]

Training alone, from the first step, all shapes of a system in turns. For the network in weight space also the share of
the machine's float32 matrix-product peak, measured in the same turns.
"""

from __future__ import annotations

import argparse
import functools
import os
from typing import Any

os.environ.setdefault("SNLJAX_CACHE", "off")

import common
import jax
import jax.numpy as jnp
import numpy as np
import own
from common import Contender
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import snljax as snl
from snljax.sweep import devices as local_devices
from snljax.sweep.layout import Block

PEAK, SIDE = "matrix product", 512
WEIGHTS = "weight space, 20 x 1090"
WEIGHTS_FLOP = 4 * 20 * 20 * 1090  # of a step: responses, and the gradient of the weights


def systems() -> dict[str, tuple[Any, list[tuple[int, int]]]]:
    """A grid of each system, and shapes (seeds, points)."""
    noise = np.linspace(0.1, 2.0, 256)
    penalty = {"sigma_p": noise, "seed": range(4), "steps": 800}
    batch = {"epsilon_min": np.linspace(0.1, 1.0, 64), "seed": range(4), "n_test": 64, "n_probe": 64}
    adam = {"learning_rate": np.logspace(-4, -2, 256), "seed": range(4)}
    return {
        WEIGHTS: (
            snl.Grid(own.WEIGHTS, sigma_p=noise, seed=range(16)),
            [(1, 1), (1, 4), (1, 16), (1, 100), (2, 2), (2, 4), (4, 4), (8, 8)],
        ),
        "paper 003, penalty": (
            snl.Grid("gradient_regularization", **penalty),
            [(1, 1), (1, 4), (1, 10), (1, 12), (1, 64)],
        ),
        "paper 004, a fresh batch a step": (
            snl.Grid("contrastive", **batch),
            [(1, 1), (1, 4), (1, 16), (1, 32), (4, 4)],
        ),
        "mini-batches with Adam": (snl.Grid(own.ADAM, **adam), [(1, 1), (1, 4), (1, 16), (1, 64), (1, 128)]),
    }


def contender(grid: Any, shape: tuple[int, int], devices: tuple[Any, ...]) -> Contender:
    """Blocks of a shape on all devices."""
    first = common.one_round(grid, Block(*shape), devices)

    def train(steps: int) -> None:
        jax.block_until_ready(common.advanced(first, steps))

    return Contender(train, shape[0] * shape[1] * len(devices))


def product(devices: tuple[Any, ...]) -> Contender:
    """Chained products of square matrices, one chain on each device; a "network-step" is one product."""
    mesh, split = Mesh(np.array(devices), ("block",)), PartitionSpec("block")
    rng = np.random.default_rng(0)
    rotation = jnp.float32(np.linalg.qr(rng.standard_normal((SIDE, SIDE)))[0])
    start = jax.device_put(np.float32(rng.standard_normal((len(devices) * SIDE, SIDE))), NamedSharding(mesh, split))

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split)
    def chain(x: jax.Array, steps: int) -> jax.Array:
        return lax.fori_loop(0, steps, lambda _, x: jnp.matmul(x, rotation, precision=lax.Precision.HIGHEST), x)

    return Contender(lambda steps: chain(start, np.int32(steps)).block_until_ready(), len(devices))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices())
    info = common.machine(devices[0])
    print(common.describe(info))
    content: dict[str, Any] = {"machine": info, "rounds": options.rounds, "systems": {}}
    for name, (grid, shapes) in systems().items():
        contenders = {f"{s} x {p}": contender(grid, (s, p), devices) for s, p in shapes}
        if name == WEIGHTS:
            contenders[PEAK] = product(devices)
        rates, others = common.rates(contenders, 0.2, options.rounds, patience=20)
        print(f"\n{name}: network-steps per second, median of {options.rounds} [min, max]")
        peak = rates.pop(PEAK, None)
        for shape, found in rates.items():
            share = ""
            if peak is not None:
                share = f"   {np.median(found * WEIGHTS_FLOP / (peak * 2 * SIDE**3)):.2f} of the peak"
            print("  {:>8} {median:12,.0f} [{min:,.0f}, {max:,.0f}]".format(shape, **common.spread(found)) + share)
        common.tell(others)
        content["systems"][name] = {shape: common.spread(found) for shape, found in rates.items()}
        if peak is not None:
            content["peak_gflops"] = common.spread(peak * 2 * SIDE**3 / 1e9)
            print("  peak: {median:.0f} GFLOP/s [{min:.0f}, {max:.0f}]".format(**content["peak_gflops"]))
    common.write("widths", "cpu", content)


if __name__ == "__main__":
    main()
