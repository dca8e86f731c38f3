"""Network-steps per second on the heatmap of paper 000 (dynamic TopK pruning), against PyTorch and plain JAX.

    python benchmarks/heatmap.py [--device cpu|gpu] [--points 4 8 16] [--rounds 7] [--quick]

Timed is training alone, not drawing data or testing. All contenders train the same networks from the
same numbers; before anything is timed, their losses after 30 steps must agree. They run in turns, and
ratios are taken within a turn.
"""

from __future__ import annotations

import argparse
import functools
import os
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np
from common import Contender, fastest, rates
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from peers import heatmap as peers

import snljax as snl
from snljax.sweep import devices as local_devices

SETTING = {
    "n": 200, "num_classes": 10, "d": 200, "m": 20, "mu": 1.0, "learning_rate": 0.05, "sigma_0": 0.01, "prune_every": 10
}  # fmt: skip
GRAM_FLOP = 2 * SETTING["num_classes"] * SETTING["m"] * SETTING["n"] ** 2
PRUNING_FLOP = 2 * 2 * SETTING["num_classes"] * SETTING["m"] * SETTING["n"] * SETTING["d"] / SETTING["prune_every"]
CORES = os.cpu_count() or 1
CHECK_STEPS, TOLERANCE = 30, 1e-3
SPAN, DENSE, FREE, PEAK = "snljax span", "snljax dense", "snljax span, no pruning", "matrix product alone"
EAGER, LOOP = "PyTorch eager loop", "JAX jitted loop"
FUNC, COMPILED = "torch.func.vmap", "torch.func.vmap + torch.compile"


def cells(count: int) -> dict[str, list[Any]]:
    """Settings of ``count`` networks across the heatmap."""
    K = np.linspace(SETTING["d"] / 10, SETTING["d"], count).round().astype(int)
    return {"sigma_p": np.linspace(0.1, 1.0, count).tolist(), "K": K.tolist()}


def snljax(count: int, devices: tuple[Any, ...], **settings: Any) -> tuple[Contender, Any]:
    """snljax on the first networks of the benchmark, and its draw of data and weights."""
    networks = count * len(devices)
    grid = snl.Grid("topk_pruning", snl.zip(**cells(networks)), steps=1, n_test=8, **(SETTING | settings))
    return common.snljax_contender(grid, count, devices)


def peer(name: str, count: int, device: Any, draw: Any, prune_every: int | None, threads: int) -> Contender:
    """One of the others, on the same data and weights. PyTorch is told its threads, JAX takes all."""
    problem = peers.Problem(
        np.float32(SETTING["sigma_0"]) * draw.weights, draw.noise, draw.targets.argmax(0),
        *(np.float32(cells(count)["sigma_p"]), np.array(cells(count)["K"])),
        SETTING["mu"], SETTING["learning_rate"], prune_every,
    )  # fmt: skip
    if name == LOOP:
        train = peers.jax_loop(problem, device)
    elif name == EAGER:
        train = peers.torch_loop(problem, torch_device(device), threads)
    else:
        train = peers.torch_func(problem, torch_device(device), threads, compiled=name == COMPILED)
    return Contender(train, count, lambda weights: numpy_loss(problem, weights))


def numpy_loss(problem: peers.Problem, weights: np.ndarray) -> np.ndarray:
    """Training loss of a pruned copy, in float64."""
    losses = []
    for w, sigma, k in zip(np.float64(weights), problem.sigma_p, problem.K, strict=True):
        if problem.prune_every:
            w = w * (np.abs(w) >= np.sort(np.abs(w), axis=-1)[..., -k][..., None])
        patches = [problem.mu * w[..., problem.labels], sigma * (w @ problem.noise.T)]  # (num_classes, m, n)
        logits = sum(np.maximum(responses, 0).sum(1) for responses in patches)
        own = logits[problem.labels, np.arange(logits.shape[1])]
        losses.append(np.mean(np.log(np.exp(logits - own).sum(0))))
    return np.array(losses)


def matrix_product(count: int, devices: tuple[Any, ...]) -> Contender:
    """The Gram product alone, chained: (count · num_classes · m, n) @ (n, n) in float32 on each device."""
    rows, n = count * SETTING["num_classes"] * SETTING["m"], SETTING["n"]
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((n, n)))[0]  # keeps the numbers of one size
    mesh, split = Mesh(np.array(devices), ("block",)), PartitionSpec("block")
    start = jax.device_put(np.float32(rng.standard_normal((rows * len(devices), n))), NamedSharding(mesh, split))
    g = jax.device_put(np.float32(rotation), NamedSharding(mesh, PartitionSpec()))

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(split, PartitionSpec(), PartitionSpec()), out_specs=split)
    def products(x: jax.Array, g: jax.Array, steps: int) -> jax.Array:
        return lax.fori_loop(0, steps, lambda _, x: jnp.matmul(x, g, precision=lax.Precision.HIGHEST), x)

    return Contender(lambda steps: products(start, g, np.int32(steps)).block_until_ready(), count * len(devices))


def torch_device(device: Any) -> str:
    return "cuda" if device.platform == "gpu" and peers.torch.cuda.is_available() else "cpu"


def check(count: int, devices: tuple[Any, ...], names: list[str]) -> dict[str, float]:
    """Largest relative difference from dense's training loss after 30 steps, with and without pruning."""
    worst: dict[str, float] = {}
    print(f"\ncheck: training loss after {CHECK_STEPS} steps against snljax dense (at the start: about log 10 = 2.303)")
    for first_prune, prune_every in ((0, SETTING["prune_every"]), (None, None)):
        dense, draw = snljax(count, devices, descent="dense", first_prune=first_prune)
        wanted = dense.loss(dense.train(CHECK_STEPS))
        rule = f"pruning every {prune_every} steps" if prune_every else "no pruning"
        print(f"  {rule}: losses {wanted.min():.3f} to {wanted.max():.3f}")
        others = {SPAN: snljax(count, devices, first_prune=first_prune)[0]}
        others |= {name: peer(name, dense.networks, devices[0], draw, prune_every, CORES) for name in names}
        for name, other in others.items():
            off = np.max(np.abs(other.loss(other.train(CHECK_STEPS)) / wanted - 1))
            worst[name] = max(worst.get(name, 0.0), float(off))
    return worst


def contend(points: list[int], names: list[str], devices: tuple[Any, ...], seconds: float) -> tuple[dict, dict]:
    """All contenders, each at the width and number of threads that are fastest for it; and what these are."""
    chosen, contenders = {}, {}
    device = devices[0]
    spans = {f"{w} at once on {len(devices)} devices": snljax(w, devices)[0] for w in points}
    chosen[SPAN], contenders[SPAN] = fastest(SPAN, spans, seconds)
    width = contenders[SPAN].networks // len(devices)
    contenders[DENSE], draw = snljax(width, devices, descent="dense")
    contenders[FREE], _ = snljax(width, devices, first_prune=None)
    chosen |= {DENSE: chosen[SPAN], FREE: chosen[SPAN]}
    threads = sorted({1, CORES}) if peers.torch and torch_device(device) == "cpu" else [1]
    for name in names:
        build = functools.partial(peer, name, device=device, draw=draw, prune_every=SETTING["prune_every"])
        if name == LOOP:
            chosen[name], contenders[name] = "one at a time", build(4, threads=1)
            continue
        if name == EAGER:
            variants = {f"one at a time, threads: {t}": build(4, threads=t) for t in threads}
        else:
            variants = {f"{w} at once, threads: {t}": build(w, threads=t) for w in points for t in threads}
        chosen[name], contenders[name] = fastest(name, variants, seconds)
    products = {f"{width} networks on each of {len(devices)} devices": matrix_product(width, devices)}
    products[f"{width} networks on one device"] = matrix_product(width, devices[:1])
    chosen[PEAK], contenders[PEAK] = fastest(PEAK, products, seconds)
    return contenders, chosen


def report(measured: dict[str, np.ndarray], flop: dict[str, float], peak_shape: str) -> dict[str, Any]:
    """Print rates, ratios and what holds of the targets; return the targets. Ratios are within a turn."""
    print(f"\nnetwork-steps per second, median of {len(measured[SPAN])} turns [slowest, fastest]; ratios within a turn")
    for name, found in measured.items():
        s, ratio = common.spread(found), common.spread(measured[SPAN] / found)
        print(f"  {name:32} {s['median']:9,.0f} [{s['min']:7,.0f}, {s['max']:7,.0f}]", end="")
        print(
            "   products per second"
            if name == PEAK
            else f"   span is {ratio['median']:5.2f} times as fast [{ratio['min']:.2f}, {ratio['max']:.2f}]"
        )
    peak = flop[PEAK] * measured[PEAK]
    print(
        f"\nOne Gram product is {GRAM_FLOP / 1e6:.1f} MFLOP a network-step; two rebuilding products every "
        f"{SETTING['prune_every']} steps make it {flop[SPAN] / 1e6:.1f}.\n"
        f"The product alone, float32, {peak_shape}, reaches {np.median(peak) / 1e9:.1f} GFLOP/s."
    )
    ratios = {
        "span / PyTorch eager loop": (EAGER, lambda: measured[SPAN] / measured[EAGER], 5.0),
        "span / torch.func + compile": (COMPILED, lambda: measured[SPAN] / measured[COMPILED], 4.0),
        "share of the peak, with pruning": (SPAN, lambda: flop[SPAN] * measured[SPAN] / peak, 0.65),
        "share of the peak, no pruning": (FREE, lambda: flop[FREE] * measured[FREE] / peak, 0.80),
    }
    targets = {}
    for name, (needed, ratio, wanted) in ratios.items():
        if needed in measured:
            s = common.spread(ratio())
            targets[name] = s | {"wanted": wanted, "holds": s["median"] >= wanted}
            verdict = "holds" if targets[name]["holds"] else "MISSED"
            print(f"  {name:32} {s['median']:5.2f} [{s['min']:.2f}, {s['max']:.2f}]   wanted {wanted:.2f}   {verdict}")
    return targets


def draw_chart(path: Any, measured: dict[str, np.ndarray], chosen: dict[str, str], bound: float, title: str) -> None:
    """Horizontal bars of the median, with the spread over the turns."""
    plt = common.style()
    names = [n for n in measured if n != PEAK]
    labels = [f"{n}\n({chosen[n]})" for n in names]
    colours = [common.BLUE if "snljax" in n else common.GREEN if "JAX" in n else common.ORANGE for n in names]
    spreads = [common.spread(measured[n]) for n in names]
    middle = np.array([s["median"] for s in spreads])
    ends = np.array([[s["median"] - s["min"], s["max"] - s["median"]] for s in spreads]).T
    fig, ax = plt.subplots(figsize=(7.6, 0.58 * len(names) + 1.3), layout="constrained")
    ax.barh(range(len(names)), middle, xerr=ends, color=colours, height=0.62, capsize=3, ecolor="0.25")
    for i, s in enumerate(spreads):
        ax.annotate(f"{s['median']:,.0f}", (s["max"], i), xytext=(5, 0), textcoords="offset points", va="center")
    ax.axvline(bound, color="black", linestyle="--", linewidth=1)
    ax.annotate(
        "bound by the matrix\nproducts, with pruning", (bound, len(names) - 0.6), xytext=(-5, 0), ha="right",
        va="bottom", textcoords="offset points", fontsize=8,
    )  # fmt: skip
    ax.set_yticks(range(len(names)), labels)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.13 * max(bound, max(s["max"] for s in spreads)))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    ax.set_xlabel("network-steps per second (median; whiskers: slowest and fastest turn)")
    ax.set_title(title, loc="left")
    fig.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="JAX platform: cpu, gpu, ... (PyTorch: cuda if it has it)")
    parser.add_argument("--points", type=int, nargs="+", help="block widths to choose from")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="three short turns")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    devices = tuple(jax.devices(options.device))
    device = devices[0]
    points = options.points or ([4, 8, 16] if device.platform == "cpu" else [64, 256, 1024])
    rounds, seconds = (3, 0.1) if options.quick else (options.rounds, 0.4)
    info = common.machine(device)
    names = [EAGER, FUNC, COMPILED, LOOP]
    if peers.torch is None:
        names = [LOOP]
        print("PyTorch is not installed, its rows are left out; pip install 'snljax[bench]' brings it.")
    else:
        info |= {"torch": peers.torch.__version__, "torch device": torch_device(device)}
    print(common.describe(info))

    worst = check(points[0], devices, names)
    for name, off in worst.items():
        print(f"  {name:32} off by {off:.1e} at most  {'ok' if off < TOLERANCE else 'DIFFERS'}")
    if not max(worst.values()) < TOLERANCE:
        raise SystemExit("the contenders do not compute the same thing")

    print("\nnetwork-steps per second by width and threads; the fastest goes on")
    contenders, chosen = contend(points, names, devices, seconds / 3)
    measured, others = rates(contenders, seconds, rounds, patience=10 if options.quick else 120)

    flop = {SPAN: GRAM_FLOP + PRUNING_FLOP, FREE: GRAM_FLOP, PEAK: GRAM_FLOP}
    targets = report(measured, flop, chosen[PEAK])
    common.tell(others)
    content = {
        "machine": info, "setting": SETTING, "check": worst, "ran": chosen, "others_held": others,
        "flop_per_network_step": flop, "targets": targets,
        "rates": {n: common.spread(r) | {"turns": r.round(1).tolist()} for n, r in measured.items()},
    }  # fmt: skip
    path = common.write("heatmap", options.device, content)
    where = info["cpu"] if device.platform == "cpu" else device.device_kind
    title = f"The heatmap of {snl.papers.cite('000')} on {where}"
    title += f" ({info['cores']} cores), float32" if device.platform == "cpu" else ", float32"
    draw_chart(
        path.with_suffix(".png"), measured, chosen, float(np.median(measured[PEAK]) * flop[PEAK] / flop[SPAN]), title
    )


if __name__ == "__main__":
    main()
