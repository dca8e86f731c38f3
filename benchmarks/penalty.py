"""Network-steps per second under the penalty of paper 003 (per-example gradient regularisation), against PyTorch.

    python benchmarks/penalty.py [--points 4 8 16] [--rounds 7] [--quick]

Every step differentiates a penalty on the gradients of the single examples, so that each contender
needs second derivatives. All train the same networks (σ_p from 0.1 to 1) from the same numbers; before
anything is timed, their losses after 30 steps must agree. They run in turns, and ratios are taken
within a turn.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import common
import jax
import numpy as np
from common import Contender

import snljax as snl
from snljax.sweep import devices as local_devices

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

# The paper's experiment, with the penalty on throughout.
SETTING = {"n": 20, "d": 400, "m": 10, "sigma_0": 0.01, "learning_rate": 0.02, "penalty_weight": 0.01}
SPAN, DENSE = "snljax span", "snljax generic (dense)"
EXAMPLES, SINGLE, BATCHED = "PyTorch double backward, example by example", "torch.func, one network", "torch.func.vmap"
CORES = os.cpu_count() or 1
CHECK_STEPS, TOLERANCE = 30, 1e-3


def sigma_p(count: int) -> np.ndarray:
    return np.linspace(0.1, 1.0, count)


def snljax(count: int, devices: tuple[Any, ...], **settings: Any) -> tuple[Contender, Any]:
    """snljax on the first networks of the benchmark, and its draw of data and weights."""
    networks = count * len(devices)
    fixed_settings = SETTING | {"close_at": 10**9, "steps": 10**9, "n_test": 8} | settings
    grid = snl.Grid("gradient_regularization", sigma_p=sigma_p(networks).tolist(), **fixed_settings)
    return common.snljax_contender(grid, count, devices)


class Pytorch:
    """The network in PyTorch: weights (2, m, d), patches (n, 2, d) of every network."""

    def __init__(self, draw: Any, count: int, threads: int) -> None:
        self.threads, self.count = threads, count
        labels = torch.tensor(np.asarray(draw.train.labels))
        signal = labels[:, None] * torch.tensor(np.asarray(draw.direction))
        noise = torch.tensor(np.asarray(draw.train.noise))
        self.labels = labels
        self.x = torch.stack([torch.stack([signal, float(s) * noise], 1) for s in sigma_p(count)])
        self.start = SETTING["sigma_0"] * torch.tensor(np.asarray(draw.weights))

    @staticmethod
    def example(w: Any, x: Any, y: Any) -> Any:
        plus, minus = (torch.relu(w @ x.T) ** 2).sum((1, 2))
        return torch.nn.functional.softplus(-y * (plus - minus))

    def by_example(self, steps: int) -> Any:
        """A graph for every example's gradient, then backward through all of them."""
        torch.set_num_threads(self.threads)
        trained = []
        for x in self.x:
            w = self.start.clone().requires_grad_()
            for _ in range(steps):
                losses = [self.example(w, a, y) for a, y in zip(x, self.labels, strict=True)]
                own = [torch.autograd.grad(one, w, create_graph=True)[0] for one in losses]
                norms = torch.stack([(g**2).sum() for g in own])
                total = torch.stack(losses).mean() + SETTING["penalty_weight"] * norms.mean()
                (gradient,) = torch.autograd.grad(total, w)
                with torch.no_grad():
                    w -= SETTING["learning_rate"] * gradient
            trained.append(w.detach())
        return torch.stack(trained).numpy()

    def objective(self, w: Any, x: Any) -> Any:
        own, losses = torch.func.vmap(torch.func.grad_and_value(self.example), in_dims=(None, 0, 0))(w, x, self.labels)
        return losses.mean() + SETTING["penalty_weight"] * (own**2).sum((1, 2, 3)).mean()

    def one_network(self, steps: int) -> Any:
        torch.set_num_threads(self.threads)
        step = torch.func.grad(self.objective)
        trained = []
        for x in self.x:
            w = self.start
            for _ in range(steps):
                w = w - SETTING["learning_rate"] * step(w, x)
            trained.append(w)
        return torch.stack(trained).numpy()

    def batched(self, steps: int) -> Any:
        torch.set_num_threads(self.threads)
        step = torch.func.vmap(torch.func.grad(self.objective))
        w = self.start.expand(self.count, *self.start.shape).contiguous()
        for _ in range(steps):
            w = w - SETTING["learning_rate"] * step(w, self.x)
        return w.numpy()

    def loss(self, weights: np.ndarray) -> np.ndarray:
        """Training loss in NumPy."""
        responses = np.einsum("bjrd,bipd->bjrip", np.float64(weights), self.x.numpy())
        plus, minus = (np.maximum(responses, 0) ** 2).sum((2, 4)).transpose(1, 0, 2)
        return np.logaddexp(0, -self.labels.numpy() * (plus - minus)).mean(1)


def pytorch(name: str, draw: Any, count: int, threads: int) -> Contender:
    peer = Pytorch(draw, count, threads)
    train: Callable[[int], Any] = {EXAMPLES: peer.by_example, SINGLE: peer.one_network, BATCHED: peer.batched}[name]
    return Contender(train, count, peer.loss)


def check(count: int, devices: tuple[Any, ...], names: list[str]) -> dict[str, float]:
    """Largest relative difference from the generic training loss after 30 steps."""
    dense, draw = snljax(count, devices, descent="dense")
    wanted = dense.loss(dense.train(CHECK_STEPS))
    others = {SPAN: snljax(count, devices)[0]}
    others |= {name: pytorch(name, draw, dense.networks, CORES) for name in names}
    print(f"\ntraining loss after {CHECK_STEPS} steps: {wanted.min():.4f} to {wanted.max():.4f}")
    worst = {n: float(np.max(np.abs(c.loss(c.train(CHECK_STEPS)) / wanted - 1))) for n, c in others.items()}
    for name, off in worst.items():
        print(f"  {name:44} off by {off:.1e} at most  {'ok' if off < TOLERANCE else 'DIFFERS'}")
    if not max(worst.values()) < TOLERANCE:
        raise SystemExit("the contenders do not compute the same thing")
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="JAX platform; PyTorch runs on the CPU")
    parser.add_argument("--points", type=int, nargs="+", help="block widths to choose from")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="three short turns")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices(options.device))
    points = options.points or ([4, 8, 16, 32] if devices[0].platform == "cpu" else [64, 256, 1024])
    rounds, seconds = (3, 0.1) if options.quick else (options.rounds, 0.4)
    info, names = common.machine(devices[0]), [EXAMPLES, SINGLE, BATCHED]
    if torch is None:
        names = []
        print("PyTorch is not installed, its rows are left out; pip install 'snljax[bench]' brings it.")
    else:
        info |= {"torch": torch.__version__}
    print(common.describe(info))
    worst = check(points[0], devices, names)

    print("\nnetwork-steps per second by width and threads; the fastest goes on")
    chosen, contenders = {}, {}
    for name, descent in ((SPAN, "span"), (DENSE, "dense")):
        widths = {f"{w} at once on {len(devices)} devices": snljax(w, devices, descent=descent)[0] for w in points}
        chosen[name], contenders[name] = common.fastest(name, widths, seconds / 3)
    draw = snljax(points[0], devices)[1]
    for name in names:
        widths = {f"{w} at once": w for w in points} if name == BATCHED else {"one at a time": 4}
        variants = {
            f"{way}, threads: {t}": pytorch(name, draw, w, t) for way, w in widths.items() for t in sorted({1, CORES})
        }
        chosen[name], contenders[name] = common.fastest(name, variants, seconds / 3)
    measured, others = common.rates(contenders, seconds, rounds, patience=10 if options.quick else 120)

    print(f"\nnetwork-steps per second, median of {rounds} turns [slowest, fastest]; ratios within a turn")
    ratios = {}
    for name, found in measured.items():
        s, ratio = common.spread(found), common.spread(measured[SPAN] / found)
        ratios[name] = ratio
        print(
            f"  {name:44} {s['median']:9,.0f} [{s['min']:7,.0f}, {s['max']:7,.0f}]"
            f"   span is {ratio['median']:5.1f} times as fast [{ratio['min']:.1f}, {ratio['max']:.1f}]"
        )
    common.tell(others)
    content = {
        "machine": info, "setting": SETTING, "check": worst, "ran": chosen, "others_held": others,
        "span_over": ratios,
        "rates": {n: common.spread(r) | {"turns": r.round(1).tolist()} for n, r in measured.items()},
    }  # fmt: skip
    common.write("penalty", options.device, content)


if __name__ == "__main__":
    main()
