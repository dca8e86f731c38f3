"""Networks on images: steps and evaluation of many of them, against PyTorch's own loop over networks.

    python benchmarks/images.py [--rounds 5] [--quick] [--only NAME]

LeNet-5 at batch 64, MLP-1024-1024 at 128, ResNet-18 of full width at 32 and of a quarter at 128, plain gradient
descent, and the step of contrastive learning (ResNet-18 of a quarter of the width with its head, InfoNCE with 128
pairs), on random bytes as images (their content changes no time): 28 × 28 grey pixels, for ResNet-18 32 × 32 in colour.
snljax trains through ``snl.supervised`` and ``snl.contrastive``, and cuts and colours its views anew in each step;
PyTorch in a loop over networks with one thread, with as many as cores, and as a process a core, ResNet-18 with channels
last, its batches and its pairs of views lying ready: its fastest counts. LeNet-5 is also timed as it was before its
convolution was one pooled product. Evaluation is the accuracy of 20 LeNets on 70,000 images. Bounds are a step's
multiplications over the rate of large matrix products in the same run; memory is what one more network adds to a block
of snljax, and beside it the bytes of a network's state.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import numpy as np
import torch
import widths
from common import Contender
from peers import image_networks, lenet_patches, loops
from torch.nn import functional

import snljax as snl
from snljax.models.vision.lenet import LeNet
from snljax.models.vision.mlp import MLP
from snljax.models.vision.projection import ProjectionHead
from snljax.models.vision.resnet import resnet18
from snljax.sweep import devices as local_devices
from snljax.sweep.layout import Block

NETWORKS, IMAGES, TESTED = 20, 4096, 70_000
CORES = os.cpu_count() or 1
EMBEDDING, TEMPERATURE = 128, 0.2
GREY, COLOUR = (28, 28, 1), (32, 32, 3)


class Case(NamedTuple):
    """What is timed. model, peer: its networks. flops: multiplications and additions of a step for each sample, none
    for the gradient of the images. points: of a block on each device, each tried. deep: whether a step takes seconds.
    """

    model: Callable[[], Any]
    peer: Callable[[], Any]
    batch: int
    shape: tuple[int, int, int]
    flops: float
    points: tuple[int, ...]
    pairs: bool = False
    deep: bool = False


def resnet_flops(width: float, forward: int, backward: int) -> float:
    """Of passes of ResNet-18 through an image: the first convolution, stages, the dense layer."""
    stages = 0.0
    for stage, (side, filters) in enumerate(((32, 64), (16, 128), (8, 256), (4, 512))):
        wide = filters * width
        stages += side**2 * wide * ((wide / 2 * 10 if stage else wide * 9) + 3 * wide * 9)
    first, last = 32 * 32 * 64 * width * 27, 512 * width * 10
    return 2 * ((forward + backward) * (first + stages + last) + backward * (stages + last))


def lenet_layers() -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp_layers() -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def resnet_layers(width: float) -> Any:
    return image_networks.network("resnet18", width).to(memory_format=torch.channels_last)


def encoder_layers(width: float) -> Any:
    """With a projection head for its classifier."""
    made = resnet_layers(width)
    nn, features = torch.nn, made.head.in_features
    made.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, EMBEDDING))
    return made


_LENET = 2 * (28 * 28 * 6 * 25 * 2 + 10 * 10 * 16 * 150 * 3 + 3 * (400 * 120 + 120 * 84 + 84 * 10))
_MLP = 2 * (784 * 1024 * 2 + 1024 * 1024 * 3 + 1024 * 10 * 3)
NARROW = 0.25
BEFORE = "LeNet-5 as it was"
CASES = {
    "LeNet-5": Case(LeNet, lenet_layers, 64, GREY, _LENET, (2, 4, 10)),
    "MLP-1024-1024": Case(MLP, mlp_layers, 128, GREY, _MLP, (1, 2, 5, 10)),
    "ResNet-18": Case(resnet18, lambda: resnet_layers(1), 32, COLOUR, resnet_flops(1, 1, 1), (1, 2), deep=True),
    "ResNet-18 / 4": Case(
        lambda: resnet18(width=NARROW), lambda: resnet_layers(NARROW), 128, COLOUR, resnet_flops(NARROW, 1, 1), (1, 3),
        deep=True,
    ),
    "contrastive step": Case(
        lambda: resnet18(width=NARROW, num_classes=0), lambda: encoder_layers(NARROW), 128, COLOUR,
        resnet_flops(NARROW, 2, 1), (1, 3), pairs=True, deep=True,
    ),
}  # fmt: skip
OLDER = CASES["LeNet-5"]._replace(model=lenet_patches.LeNet, points=(1, 2, 4, 10))


def experiment(case: Case, images: int, tested: int, metrics: Any = ("train_loss",)) -> Any:
    """Labelled images of random bytes."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, *case.shape), np.uint8)
    test = rng.integers(0, 256, (tested, *case.shape), np.uint8)
    data = x, np.arange(images) % 10, test, np.arange(tested) % 10
    fields = {"batch_size": case.batch, "learning_rate": 0.01}
    if case.pairs:
        own = {"momentum": 0.0, "weight_decay": 0.0, "temperature": TEMPERATURE}
        return snl.contrastive(case.model(), data, head=ProjectionHead(EMBEDDING), fields=fields | own)
    return snl.supervised(case.model(), data, fields=fields | {"measured": 1}, metrics=metrics)


def ours(case: Case, points: int, devices: tuple[Any, ...]) -> tuple[Contender, int, int]:
    """Blocks that differ in their learning rate; the bytes of one on its device, and those of its state."""
    rates = np.linspace(0.005, 0.01, points * len(devices))
    grid = snl.Grid(experiment(case, IMAGES, 10), learning_rate=rates, steps=10**6)
    first = common.one_round(grid, Block(1, points), devices)

    def train(steps: int) -> None:
        jax.block_until_ready(common.advanced(first, steps))

    multiple = 1 if case.deep else 10
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(first.blocks["state"])) // len(devices)
    return Contender(train, points * len(devices), multiple=multiple), first.program.memory, state


def supervised_loss(model: Any, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(x[rows]), y[rows])


def pair_loss(model: Any, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """InfoNCE of two views that lie ready, the second without gradient."""
    first = functional.normalize(model(x[rows]), dim=1)
    with torch.no_grad():
        second = functional.normalize(model(x[rows.flip(0)]), dim=1)
    return functional.cross_entropy(first @ second.T / TEMPERATURE, torch.arange(len(rows)))


def torch_loop(name: str, networks: int, threads: int) -> Callable[[int], None]:
    """Each network after the other, with fresh batches of images that lie ready as floats."""
    case = CASES[name]
    size, loss = case.batch, pair_loss if case.pairs else supervised_loss
    height, width, channels = case.shape
    x = torch.rand(IMAGES, channels, height, width)
    if case.deep:
        x = x.to(memory_format=torch.channels_last)
    y = torch.arange(IMAGES) % 10
    made = [case.peer() for _ in range(networks)]
    descents = [torch.optim.SGD(m.parameters(), lr=0.01) for m in made]

    def train(steps: int) -> None:
        torch.set_num_threads(threads)
        order = torch.randperm(IMAGES)
        for model, descent in zip(made, descents, strict=True):
            for t in range(steps):
                at = (t * size) % (IMAGES - size)
                descent.zero_grad(set_to_none=True)
                loss(model, x, y, order[at : at + size]).backward()
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
    case = CASES[name]
    print(f"\n{name}, batch {case.batch}: network-steps/s", flush=True)
    made = {p: ours(case, p, devices) for p in case.points}
    variants = {f"{p} points on each of {len(devices)} devices": contender for p, (contender, *_) in made.items()}
    shape, best = common.fastest("snljax", variants, seconds)
    fewest, most = min(made), max(made)
    memory = (made[most][1] - made[fewest][1]) / (most - fewest)
    few = 1 if case.deep else 4  # a loop takes each network as long, however many
    shares = [(name, len(range(worker, 2 * few, CORES))) for worker in range(CORES)]
    with loops.processes(_serve, shares) as spread_out:
        peers = {f"threads: {n}": Contender(torch_loop(name, few, n), few, multiple=1) for n in sorted({1, CORES})}
        peers["a process a core"] = Contender(spread_out.train, 2 * few, multiple=1)
        form, peer = common.fastest("PyTorch", peers, seconds)
        contenders = {"snljax": best, "PyTorch": peer}
        if name == "LeNet-5":
            older = {f"{p} points on each device": ours(OLDER, p, devices)[0] for p in OLDER.points}
            contenders[BEFORE] = common.fastest(BEFORE, older, seconds)[1]
        found, others = common.rates(contenders, seconds, rounds, patience=20 * seconds)
    ratio = found["snljax"] / found["PyTorch"]
    bound = peak / (case.flops * case.batch)
    ours_median = float(np.median(found["snljax"]))
    print(
        f"  snljax {ours_median:,.4g}, PyTorch ({form}) {np.median(found['PyTorch']):,.4g}: "
        f"{np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] times; "
        f"{ours_median / bound:.2f} of what products alone allow ({bound:,.2f}); "
        f"{ours_median * case.batch:,.0f} networks x images/s; {memory / 2**20:,.0f} MiB a network, "
        f"{made[fewest][2] / fewest / 2**20:,.1f} of them its state",
        flush=True,
    )
    over = {n: found["snljax"] / found[n] for n in contenders if n not in ("snljax", "PyTorch")}
    for n, times in over.items():
        print(f"  {n} {np.median(found[n]):,.0f}: {np.median(times):.2f} [{times.min():.2f}, {times.max():.2f}] times")
    common.tell(others)
    return {
        "model": name, "batch": case.batch, "block": shape, "peer": form, "others_held": others, "bound": bound,
        "bytes_a_network": memory, "bytes_of_state": made[fewest][2] / fewest,
        "rates": {n: common.spread(r) for n, r in found.items()}, "ratio": common.spread(ratio),
        "over": {n: common.spread(times) for n, times in over.items()},
    }  # fmt: skip


def evaluation(tested: int, devices: tuple[Any, ...]) -> dict[str, float]:
    """Seconds of a sweep that trains nothing and measures 20 LeNets on all images, compiled before."""
    made = experiment(CASES["LeNet-5"], 10, tested, metrics=("test_accuracy", "test_loss"))
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
    parser.add_argument("--only", choices=CASES, help="one of the networks, and no evaluation; nothing is written")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices())
    info = common.machine(devices[0]) | {"torch": torch.__version__}
    seconds = 0.3 if options.quick else 2.0
    product = widths.product(devices)
    rate, _ = common.rates({"product": product}, seconds, 3, patience=0)
    peak = float(np.median(rate["product"])) * 2 * widths.SIDE**3
    print(f"large products: {peak / 1e9:.0f} GFLOP/s", flush=True)
    timed = [options.only] if options.only else list(CASES)
    rows = [training(name, devices, seconds, options.rounds, peak) for name in timed]
    if options.only:
        return
    measured = evaluation(2000 if options.quick else TESTED, devices)
    if not options.quick:
        common.write("images", "cpu", {"machine": info, "peak": peak, "training": rows, "evaluation": measured})


if __name__ == "__main__":
    main()
