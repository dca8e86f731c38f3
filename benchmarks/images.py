"""Networks on images: steps and evaluation of many of them, against PyTorch's own loop over networks.

    python benchmarks/images.py [--rounds 5] [--quick] [--only NAME]

LeNet-5 at batch 64, MLP-1024-1024 and ResNet-18 of full width at batch 128, plain gradient descent, on random bytes as
images (their content changes no time): 28 × 28 grey pixels, for ResNet-18 32 × 32 in three colours. snljax trains
through ``snl.supervised``; PyTorch in a loop over networks with one thread, with as many as cores, and as a process a
core, ResNet-18 with channels last: its fastest counts. LeNet-5 is also timed as it was before its convolution was one
pooled product. Evaluation is the accuracy of 20 LeNets on 70,000 images. Bounds are a step's multiplications over the
rate of large matrix products in the same run; memory is what one more network adds to a block of snljax.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import common
import jax
import numpy as np
import torch
import widths
from common import Contender
from peers import image_networks, lenet_patches, loops

import snljax as snl
from snljax.models.vision.lenet import LeNet
from snljax.models.vision.mlp import MLP
from snljax.models.vision.resnet import resnet18
from snljax.sweep import devices as local_devices
from snljax.sweep.layout import Block

NETWORKS, IMAGES, TESTED = 20, 4096, 70_000
CORES = os.cpu_count() or 1
TIMED = ("LeNet-5", "MLP-1024-1024", "ResNet-18")
BEFORE = "LeNet-5 as it was"
BATCH = {"LeNet-5": 64, "MLP-1024-1024": 128, "ResNet-18": 128, BEFORE: 64}
MODELS = {"LeNet-5": LeNet, "MLP-1024-1024": MLP, "ResNet-18": resnet18, BEFORE: lenet_patches.LeNet}
SHAPES = {name: (32, 32, 3) if name == "ResNet-18" else (28, 28, 1) for name in MODELS}
# Multiplications and additions of a training step for each sample; no gradient of the images.
_LENET = 2 * (28 * 28 * 6 * 25 * 2 + 10 * 10 * 16 * 150 * 3 + 3 * (400 * 120 + 120 * 84 + 84 * 10))
_MLP = 2 * (784 * 1024 * 2 + 1024 * 1024 * 3 + 1024 * 10 * 3)
# ResNet-18: the first convolution, stages, the dense layer.
_STAGES = sum(
    side**2 * filters * ((filters // 2 * 10 if stage else filters * 9) + 3 * filters * 9)
    for stage, (side, filters) in enumerate(((32, 64), (16, 128), (8, 256), (4, 512)))
)
_RESNET = 2 * (32 * 32 * 64 * 27 * 2 + 3 * _STAGES + 3 * 512 * 10)
FLOPS = {"LeNet-5": _LENET, "MLP-1024-1024": _MLP, "ResNet-18": _RESNET}
# Points of a block on each device.
WIDTHS = {"LeNet-5": (2, 4, 10), "MLP-1024-1024": (1, 2, 5, 10), "ResNet-18": (1, 2), BEFORE: (1, 2, 4, 10)}


def experiment(name: str, images: int, tested: int, metrics: Any = ("train_loss",)) -> Any:
    """Labelled images of random bytes."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, *SHAPES[name]), np.uint8)
    y = np.arange(images) % 10
    test = rng.integers(0, 256, (tested, *SHAPES[name]), np.uint8), np.arange(tested) % 10
    fields = {"batch_size": BATCH[name], "measured": 1, "learning_rate": 0.01}
    return snl.supervised(MODELS[name](), (x, y, *test), fields=fields, metrics=metrics)


def ours(name: str, points: int, devices: tuple[Any, ...]) -> tuple[Contender, int]:
    """Blocks that differ in their learning rate; and the bytes of one on its device."""
    rates = np.linspace(0.005, 0.01, points * len(devices))
    grid = snl.Grid(experiment(name, IMAGES, 10), learning_rate=rates, steps=10**6)
    first = common.one_round(grid, Block(1, points), devices)

    def train(steps: int) -> None:
        jax.block_until_ready(common.advanced(first, steps))

    multiple = 1 if name == "ResNet-18" else 10
    return Contender(train, points * len(devices), multiple=multiple), first.program.memory


def layers(name: str) -> Any:
    nn = torch.nn
    if name == "ResNet-18":
        return image_networks.network("resnet18").to(memory_format=torch.channels_last)
    if name == "LeNet-5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def torch_loop(name: str, networks: int, threads: int) -> Callable[[int], None]:
    """Each network after the other, with fresh batches of images that lie ready as floats."""
    size = BATCH[name]
    height, width, channels = SHAPES[name]
    x = torch.rand(IMAGES, channels, height, width)
    if name == "ResNet-18":
        x = x.to(memory_format=torch.channels_last)
    y = torch.arange(IMAGES) % 10
    made = [layers(name) for _ in range(networks)]
    descents = [torch.optim.SGD(m.parameters(), lr=0.01) for m in made]

    def train(steps: int) -> None:
        torch.set_num_threads(threads)
        order = torch.randperm(IMAGES)
        for model, descent in zip(made, descents, strict=True):
            for t in range(steps):
                at = (t * size) % (IMAGES - size)
                rows = order[at : at + size]
                descent.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                descent.step()

    return train


def _serve(pipe: Any, name: str, networks: int) -> None:
    train = torch_loop(name, networks, 1)
    with contextlib.suppress(EOFError):
        while True:
            train(pipe.recv())
            pipe.send(None)


def training(name: str, devices: tuple[Any, ...], seconds: float, rounds: int, peak: float) -> dict[str, Any]:
    """Network-steps per second of each contender in its fastest form, and ratios within a turn."""
    print(f"\n{name}, batch {BATCH[name]}: network-steps/s", flush=True)
    made = {p: ours(name, p, devices) for p in WIDTHS[name]}
    variants = {f"{p} points on each of {len(devices)} devices": contender for p, (contender, _) in made.items()}
    _, best = common.fastest("snljax", variants, seconds)
    fewest, most = min(made), max(made)
    memory = (made[most][1] - made[fewest][1]) / (most - fewest)
    few = 1 if name == "ResNet-18" else 4  # a loop takes each network as long, however many
    shares = [(name, len(range(worker, 2 * few, CORES))) for worker in range(CORES)]
    with loops.processes(_serve, shares) as spread_out:
        peers = {f"threads: {n}": Contender(torch_loop(name, few, n), few, multiple=1) for n in sorted({1, CORES})}
        peers["a process a core"] = Contender(spread_out.train, 2 * few, multiple=1)
        form, peer = common.fastest("PyTorch", peers, seconds)
        contenders = {"snljax": best, "PyTorch": peer}
        if name == "LeNet-5":
            older = {f"{p} points on each device": ours(BEFORE, p, devices)[0] for p in WIDTHS[BEFORE]}
            contenders[BEFORE] = common.fastest(BEFORE, older, seconds)[1]
        found, others = common.rates(contenders, seconds, rounds, patience=20 * seconds)
    ratio = found["snljax"] / found["PyTorch"]
    bound = peak / (FLOPS[name] * BATCH[name])
    ours_median = float(np.median(found["snljax"]))
    print(
        f"  snljax {ours_median:,.4g}, PyTorch ({form}) {np.median(found['PyTorch']):,.4g}: "
        f"{np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] times; "
        f"{ours_median / bound:.2f} of what products alone allow ({bound:,.2f}); "
        f"{ours_median * BATCH[name]:,.0f} networks x images/s; {memory / 2**20:,.0f} MiB a network",
        flush=True,
    )
    over = {n: found["snljax"] / found[n] for n in contenders if n not in ("snljax", "PyTorch")}
    for n, times in over.items():
        print(f"  {n} {np.median(found[n]):,.0f}: {np.median(times):.2f} [{times.min():.2f}, {times.max():.2f}] times")
    common.tell(others)
    return {
        "model": name, "batch": BATCH[name], "peer": form, "others_held": others, "bound": bound,
        "bytes_a_network": memory,
        "rates": {n: common.spread(r) for n, r in found.items()}, "ratio": common.spread(ratio),
        "over": {n: common.spread(times) for n, times in over.items()},
    }  # fmt: skip


def evaluation(tested: int, devices: tuple[Any, ...]) -> dict[str, float]:
    """Seconds of a sweep that trains nothing and measures 20 LeNets on all images, compiled before."""
    made = experiment("LeNet-5", 10, tested, metrics=("test_accuracy", "test_loss"))
    # One step on ten images: all that is timed is drawing and measuring.
    grid = snl.Grid(made, learning_rate=np.linspace(0.005, 0.01, NETWORKS), steps=1, batch_size=10)
    block = (1, NETWORKS // len(devices))
    took = []
    for _ in range(3):
        began = time.perf_counter()
        snl.sweep(grid, block=block, progress=False)
        took.append(time.perf_counter() - began)
    print(f"\n{NETWORKS} LeNets on {tested:,} images: {min(took[1:]):.1f} s (first {took[0]:.1f} s)")
    return {"images": tested, "seconds": min(took[1:]), "first": took[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="short turns, few images; nothing is written")
    parser.add_argument("--only", choices=TIMED, help="one of the networks, and no evaluation; nothing is written")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices())
    info = common.machine(devices[0]) | {"torch": torch.__version__}
    seconds = 0.3 if options.quick else 2.0
    product = widths.product(devices)
    rate, _ = common.rates({"product": product}, seconds, 3, patience=0)
    peak = float(np.median(rate["product"])) * 2 * widths.SIDE**3
    print(f"large products: {peak / 1e9:.0f} GFLOP/s", flush=True)
    timed = [options.only] if options.only else TIMED
    rows = [training(name, devices, seconds, options.rounds, peak) for name in timed]
    if options.only:
        return
    measured = evaluation(2000 if options.quick else TESTED, devices)
    if not options.quick:
        common.write("images", "cpu", {"machine": info, "peak": peak, "training": rows, "evaluation": measured})


if __name__ == "__main__":
    main()
