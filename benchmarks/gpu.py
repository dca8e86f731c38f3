"""What an accelerator makes of the sweeps: one command, at most eight minutes, that goes on where it was stopped.

    python benchmarks/gpu.py [--device gpu|cpu] [--quick] [--out DIR] [--parts headline precision ...]

Measured are the headline (10,000 networks × 5000 steps of paper 000, one whole ``snl.sweep``), blocks of several
sizes with their memory, bits and precision, TopK by several methods, papers 003 and 004, and LeNet by two
convolutions. Each part is in the JSON as soon as it is done. Parts that are there, of the same machine, versions and
settings, are not run again; those that raised, or for which no time was left, are. On an accelerator each part has a
process of its own, so that its peak of memory is its own and an error harms no other.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import Contender
from jax import lax

import snljax as snl
from snljax import cache, masks
from snljax.measures import evaluation
from snljax.models.vision.convolution import by_convolution, by_product
from snljax.models.vision.lenet import KERNEL, LeNet
from snljax.sweep.devices import human_bytes
from snljax.sweep.layout import Block
from snljax.variables import DIVERGED

TARGET_SECONDS, TARGET_RATIO = 30.0, 50.0  # of the headline: whole call, and over two CPU cores
WHOLE_SECONDS, PART_SECONDS = 470.0, 150.0  # after which a run, and a part, is stopped
THRESHOLD = 2.0  # of the test loss, paper 000, Figure 2
PRECISIONS = ("highest", "tf32")
# Where nothing is measured: compiled in half the time, and only once.
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05"}
RESULT = "result of a part: "  # begins the lines that are for the process which started this one
SMALL = {"n": 16, "n_test": 40, "d": 24, "m": 2, "num_classes": 3}  # paper 000, for a look at the code


class Part(NamedTuple):
    """measure(device, **settings) returns what can be written as JSON."""

    measure: Callable[..., dict[str, Any]]
    settings: dict[str, Any]


def parts(quick: bool) -> dict[str, Part]:
    """What is measured, the most wanted first."""
    seconds = 0.01 if quick else 0.5
    topk = SMALL if quick else {}
    alike = {"side": 3, "points": 8, "steps": 20} | topk if quick else {"side": 20, "points": 400}
    penalty = {"close_at": 10**9, "steps": 10**9, "n_test": 8} | ({"n": 4, "d": 16, "m": 2} if quick else {})
    contrastive = {"n_test": 8, "n_probe": 8} | ({"batch": 4, "d": 4, "d1": 16, "m": 4} if quick else {})
    vision = {"networks": [2], "batch": 4, "side": 8} if quick else {"networks": [8, 64], "batch": 64, "side": 28}
    rows = {"networks": 2, "rows": 4, "d": [24], "K": [8]} if quick else {
        "networks": 256, "rows": 200, "d": [200, 1000], "K": [20, 100],
    }  # fmt: skip
    return {
        "headline": Part(headline, {"side": 3, "steps": 20} | topk if quick else {"side": 100}),
        "product": Part(product, {"networks": 2 if quick else 1024, "seconds": seconds}),
        **{
            f"block of {points}": Part(block, {"points": points, "seconds": seconds} | topk)
            for points in ([8] if quick else [64, 256, 1024, 4096])
        },
        "precision": Part(precision, alike),
        "another process": Part(another_process, alike),
        "topk": Part(topk_methods, rows | {"seconds": seconds}),
        "penalty": Part(speed, {
            "experiment": "gradient_regularization", "widths": [2] if quick else [256, 2048], "seconds": seconds,
        } | penalty),
        "contrastive": Part(speed, {
            "experiment": "contrastive", "widths": [2] if quick else [64, 512], "seconds": seconds,
        } | contrastive),
        "lenet": Part(lenet, vision | {"seconds": seconds}),
    }  # fmt: skip


# --- what is measured ----------------------------------------------------------------------------------


def machine(device: Any) -> dict[str, Any]:
    """What results may be compared within, and how much memory JAX may take of the device."""
    module = pathlib.Path("/proc/driver/nvidia/version")
    driver = re.search(r"\d+\.\d+(\.\d+)?", module.read_text(encoding="utf-8")) if module.exists() else None
    info = common.machine(device) | {
        "jaxlib": importlib.metadata.version("jaxlib"),
        "platform": " ".join(str(device.client.platform_version).split()),  # of CUDA: its version
        "driver": driver and driver[0],
    }
    return {"machine": info, "kind": device.device_kind, "memory": of_memory(device, "bytes_limit")}


def headline(device: Any, side: int, **settings: Any) -> dict[str, Any]:
    """A whole sweep of side × side networks as a user calls it, compiling and the choice of a block included."""
    grid = heatmap(side, **settings)
    started = time.perf_counter()
    ds = snl.sweep(grid, devices=[device], progress=False)
    wall, peak = time.perf_counter() - started, of_memory(device, "peak_bytes_in_use")
    shape = json.loads(ds.attrs["block"])
    return {
        "networks": grid.cells, "steps": grid.config.steps, "wall_seconds": wall,
        "compile_seconds": ds.attrs["compile_seconds"], "programs_compiled": ds.attrs["programs_compiled"],
        "programs_probed": ds.attrs["probe_programs"], "block": shape,
        "network_steps_per_second": grid.cells * grid.config.steps / wall,
        "diverged": int((ds.status == DIVERGED).sum()),
        "memory_estimate": common.one_round(grid, Block(*shape), (device,)).program.memory, "memory_peak": peak,
    }  # fmt: skip


def product(device: Any, networks: int, seconds: float) -> dict[str, Any]:
    """The Gram product of paper 000 alone, chained: FLOP/s by precision, which bound all steps."""
    n, rows = 200, 200 * networks
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((n, n)))[0]  # keeps the numbers of one size
    start, g = jax.device_put((np.float32(rng.standard_normal((rows, n))), np.float32(rotation)), device)

    @functools.partial(jax.jit, static_argnames="precision")
    def products(x: jax.Array, g: jax.Array, steps: int, precision: str) -> jax.Array:
        return lax.fori_loop(0, steps, lambda _, x: jnp.matmul(x, g, precision=precision), x)

    def train(name: str, steps: int) -> Any:
        return products(start, g, np.int32(steps), precision=name).block_until_ready()

    names = dict(zip(PRECISIONS, ("highest", "tensorfloat32"), strict=True))
    found = rates({p: Contender(functools.partial(train, name), 1) for p, name in names.items()}, seconds)
    return {p: {k: 2 * rows * n * n * v for k, v in s.items()} for p, s in found.items()}


def block(device: Any, points: int, seconds: float, **settings: Any) -> dict[str, Any]:
    """Blocks of so many points: network-steps per second, and memory of a sweep of two against what was estimated."""
    networks, d = 2 * points, settings.get("d", 200)
    K = np.linspace(d / 10, d, networks).round().astype(int).tolist()
    cells = snl.zip(sigma_p=np.linspace(0.1, 1.0, networks).tolist(), K=K)
    grid = snl.Grid("topk_pruning", cells, steps=20, **settings)
    snl.sweep(grid, devices=[device], block=(1, points), progress=False)
    peak = of_memory(device, "peak_bytes_in_use")  # before anything else, as it never falls
    going = common.one_round(grid, Block(1, points), (device,))
    rate = rates({"block": training(going, points)}, seconds)["block"]
    return {"network_steps_per_second": rate, "memory_estimate": going.program.memory, "memory_peak": peak}


def precision(device: Any, side: int, points: int, **settings: Any) -> dict[str, Any]:
    """One heatmap twice in float32 and twice in TF32: are the bits equal, and what does TF32 move and save?"""
    grid = heatmap(side, **settings)
    runs, seconds = {}, {}
    for name in PRECISIONS:
        runs[name] = [snl.sweep(grid, devices=[device], block=(1, points), precision=name, progress=False)]
        started = time.perf_counter()
        runs[name].append(snl.sweep(grid, devices=[device], block=(1, points), precision=name, progress=False))
        seconds[name] = time.perf_counter() - started
    exact, rounded = (runs[name][0].test_loss for name in PRECISIONS)
    return {
        "bits": digest(runs["highest"][0]),
        "equal_bits": {name: digest(first) == digest(second) for name, (first, second) in runs.items()},
        "warm_seconds": seconds,
        "tf32_is_faster_by": seconds["highest"] / seconds["tf32"],
    } | moves(exact, rounded)


def moves(exact: Any, rounded: Any) -> dict[str, Any]:
    """How far two phase diagrams of the test loss are apart, cell by cell and along their boundary."""
    edges = [snl.boundary.edge(loss, "K", THRESHOLD, "upper").values for loss in (exact, rounded)]
    apart = np.abs(edges[1] - edges[0])
    apart = apart[np.isfinite(apart)]
    return {
        "cells": exact.size,
        "test_loss_moves": number(np.nanmax(np.abs(rounded - exact))),
        "cells_change_sides": int(((rounded >= THRESHOLD) != (exact >= THRESHOLD)).sum()),
        "boundary_columns": len(apart),
        "boundary_columns_of_one_alone": int(np.sum(np.isnan(edges[0]) != np.isnan(edges[1]))),
        "boundary_moves_median": number(np.median(apart)) if len(apart) else None,
        "boundary_moves_most": number(np.max(apart)) if len(apart) else None,
        "K_between_cells": float(exact.K[1] - exact.K[0]),
    }


def another_process(device: Any, side: int, points: int, **settings: Any) -> dict[str, Any]:
    """The bits of `precision` once more, compiled anew: a compiler that tries kernels may take others."""
    return {"bits": digest(snl.sweep(heatmap(side, **settings), devices=[device], block=(1, points), progress=False))}


def topk_methods(device: Any, networks: int, rows: int, d: list[int], K: list[int], seconds: float) -> dict[str, Any]:
    """Seconds of one call for K that the program does not know, and whether all methods keep the same weights."""
    rng, found = np.random.default_rng(0), []
    methods = {name: functools.partial(masks.topk, method=name) for name in ("bisect", "top_k")}
    methods |= {"sort, ties kept": by_sort, "all bits, ties kept": by_all_bits}
    for width in d:
        w = jax.device_put(np.float32(rng.standard_normal((networks, rows, width))), device)
        prune = {name: jax.jit(jax.vmap(lambda w, k, of=of: w * of(w, k))) for name, of in methods.items()}
        for kept in K:
            k = jax.device_put(np.full(networks, kept, np.int32), device)

            def calls(count: int, name: str, w=w, k=k, prune=prune) -> None:
                for _ in range(count):  # one after the other on the device; the last is waited for
                    last = prune[name](w, k)
                last.block_until_ready()

            turns = {name: Contender(functools.partial(calls, name=name), 1) for name in methods}
            took = {name: 1 / s["median"] for name, s in rates(turns, seconds).items()}
            alike = [np.array_equal(prune["top_k"](w, k), prune[name](w, k)) for name in methods]
            found.append({"d": width, "K": kept, "seconds": took, "same": all(alike)})
    return {"calls": found}


def by_sort(w: jax.Array, k: jax.Array) -> jax.Array:
    """A bound for methods that sort: the threshold alone, without a rule for ties."""
    size = jnp.abs(w)
    return size >= jnp.take(jnp.sort(size, axis=-1), w.shape[-1] - k, axis=-1)[..., None]


def by_all_bits(w: jax.Array, k: jax.Array) -> jax.Array:
    """Bisection that asks for no end: no loop whose condition the host has to see, and no rule for ties."""
    bits = lax.bitcast_convert_type(jnp.abs(w), jnp.int32)

    def halve(i: jax.Array, low: jax.Array) -> jax.Array:
        middle = low + (jnp.int32(1 << 30) >> i)
        return jnp.where(jnp.sum(bits >= middle, axis=-1, keepdims=True) >= k, middle, low)

    return bits >= lax.fori_loop(0, 31, halve, jnp.zeros((*w.shape[:-1], 1), jnp.int32))


def speed(device: Any, experiment: str, widths: list[int], seconds: float, **settings: Any) -> dict[str, Any]:
    """Network-steps per second of training by the width of the block."""
    found = {}
    for points in widths:
        grid = snl.Grid(experiment, sigma_p=np.linspace(0.01, 1.0, points).tolist(), **settings)
        going = common.one_round(grid, Block(1, points), (device,))
        found[str(points)] = rates({"block": training(going, points)}, seconds)["block"]
    return {"network_steps_per_second": found}


def lenet(device: Any, networks: list[int], batch: int, side: int, seconds: float) -> dict[str, Any]:
    """Training LeNet by the patches of `snljax.models` and by XLA's convolution, from equal weights and images."""
    rng, found = np.random.default_rng(0), {}
    images = jax.device_put(np.float32(rng.random((batch, side, side, 1))), device)
    labels = jax.device_put(np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch)].T, device)
    model = LeNet(10)
    for count in networks:
        start = jax.jit(jax.vmap(model.init, (0, None)))(jax.random.split(jax.random.key(0), count), images)
        forms = {n: functools.partial(lenet_by, f) for n, f in (("patches", by_product), ("native", by_convolution))}
        train = {name: functools.partial(trainer(form, images, labels), start) for name, form in forms.items()}
        patches, native = (jax.tree.leaves(train[name](3)) for name in forms)
        off = max(float(np.max(np.abs(np.subtract(a, b)))) for a, b in zip(patches, native, strict=True))
        if not off < 1e-2:
            raise ValueError(f"the two forms differ by {off:.1e} after 3 steps: they are not the same network")
        found[str(count)] = rates({name: Contender(of, count) for name, of in train.items()}, seconds)
        found[str(count)]["weights_differ"] = off
    return {"network_steps_per_second": found}


def lenet_by(convolution: Callable[..., jax.Array], params: Any, images: jax.Array) -> jax.Array:
    """`LeNet` on its own weights, by one of the forms of its convolution, whatever the platform."""
    layers, x = params["params"], jnp.transpose(images, (3, 1, 2, 0))
    for name in ("PooledConvolution_0", "PooledConvolution_1"):
        p = 0 if name == "PooledConvolution_1" and x.shape[1] > 2 * KERNEL else 2
        x = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        x = convolution(x, layers[name]["kernel"], layers[name]["bias"])
    x = x.reshape(-1, len(images)).T
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        x = x @ layers[name]["kernel"] + layers[name]["bias"][None, :]
        x = x if name == "Dense_2" else jnp.where(x > 0, x, 0.0)
    return x


def trainer(form: Callable[..., Any], images: jax.Array, labels: jax.Array) -> Callable[..., Any]:
    """(params of many networks, steps) -> params: gradient descent with momentum, one batch for all, as in a sweep."""
    descent = optax.sgd(0.05, momentum=0.9)

    def step(params: Any, velocity: Any) -> tuple[Any, Any]:
        gradient = jax.grad(lambda p: jnp.mean(evaluation.cross_entropies(form(p, images).T, labels)))(params)
        updates, velocity = descent.update(gradient, velocity)
        return optax.apply_updates(params, updates), velocity

    @jax.jit
    def train(params: Any, steps: jax.Array) -> Any:
        with jax.default_matmul_precision("highest"):
            start = params, jax.vmap(descent.init)(params)
            return lax.fori_loop(0, steps, lambda _, state: jax.vmap(step)(*state), start)[0]

    return lambda params, steps: jax.block_until_ready(train(params, np.int32(steps)))


def heatmap(side: int, **settings: Any) -> snl.Grid:
    """Paper 000's phase diagram, side × side networks of one seed."""
    K = np.linspace(2, settings.get("d", 200), side).round().astype(int).tolist()
    return snl.Grid("topk_pruning", sigma_p=np.linspace(0.01, 1.0, side).round(4).tolist(), K=K, **settings)


def training(going: common.Round, networks: int) -> Contender:
    """The steps of a block, always from its start."""

    def train(steps: int) -> Any:
        return jax.block_until_ready(common.advanced(going, steps))

    return Contender(train, networks)


def rates(contenders: dict[str, Contender], seconds: float) -> dict[str, dict[str, float]]:
    """Network-steps per second of each, over three turns."""
    found, _ = common.rates(contenders, seconds, 3, patience=0)
    return {name: common.spread(turns) for name, turns in found.items()}


def of_memory(device: Any, name: str) -> int | None:
    """One of the numbers that a device keeps of its memory, if it does."""
    return (device.memory_stats() or {}).get(name)


def digest(ds: Any) -> str:
    """SHA-256 of all values of a Dataset."""
    found = hashlib.sha256()
    for name in sorted(ds.data_vars):
        found.update(np.ascontiguousarray(ds[name].values).tobytes())
    return found.hexdigest()


def number(value: Any) -> float | None:
    """A number of JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


# --- parts in processes --------------------------------------------------------------------------------


def attempt(name: str, part: Part, platform: str) -> dict[str, Any]:
    """A part's name, and its result or its error, and seconds."""
    started = time.perf_counter()
    try:
        found = {"result": part.measure(jax.devices(platform)[0], **part.settings)}
        json.dumps(found, allow_nan=False)
    except Exception as error:  # whatever it is: the others go on
        shown = " ".join(f"{type(error).__name__}: {error}".split())
        found = {"error": shown[:500], "traceback": traceback.format_exc()[-4000:]}
    return {"part": name, "seconds": round(time.perf_counter() - started, 2)} | found


def results(
    command: list[str], names: list[str], until: float, environment: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Run the command on parts; each result as it comes.

    A process that dies costs the part that it was at, and another one does the rest; at ``until``, a moment of
    ``time.perf_counter()``, the process is killed.
    """
    left = list(names)
    while left and time.perf_counter() < until:
        own = dict(environment) | {cache.VARIABLE: "off"}  # compiled here and now, and no block remembered
        started = [*command, *left]
        with subprocess.Popen(started, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=own) as process:
            timer = threading.Timer(until - time.perf_counter(), process.kill)
            timer.start()
            try:
                for line in process.stdout or ():
                    if not line.startswith(RESULT):
                        print(line, end="", flush=True)
                        continue
                    found = json.loads(line.removeprefix(RESULT))
                    left.remove(found["part"])
                    yield found
                process.wait()
            except BaseException:  # whoever asked was interrupted, or has left
                process.kill()
                raise
            finally:
                timer.cancel()
        if left and time.perf_counter() < until:
            yield {"part": left.pop(0), "error": f"the process ended with code {process.returncode}"}
    for name in left:
        yield {"part": name, "error": "stopped: it took too long, or no time was left"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="gpu", help="JAX platform: gpu, cpu, ...")
    parser.add_argument("--quick", action="store_true", help="tiny networks: a look at the code, not at the device")
    parser.add_argument("--out", type=pathlib.Path, default=common.RESULTS, help="folder of the JSON and the picture")
    parser.add_argument("--parts", nargs="+", metavar="PART", help=f"only these of: {', '.join(parts(False))}")
    parser.add_argument("--in-this-process", nargs="+", metavar="PART", help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = parts(options.quick)
    if options.in_this_process:
        for name in options.in_this_process:
            found = attempt(name, Part(machine, {}) if name == "machine" else known[name], options.device)
            print(RESULT + json.dumps(found), flush=True)
        return 0
    wanted = options.parts or list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"--parts: {', '.join(unknown)}; allowed: {', '.join(known)}")
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | ({"JAX_PLATFORMS": "cpu"} if options.device == "cpu" else {})
        if options.quick:
            environment = QUICKLY | {"JAX_COMPILATION_CACHE_DIR": compiled} | environment
        return run(options, known, wanted, environment)


def run(options: argparse.Namespace, known: dict[str, Part], wanted: list[str], environment: Mapping[str, str]) -> int:
    """Measure what is wanted and not there, part by part; 0, or 1 where some failed, or 2 without the device."""
    until = time.perf_counter() + WHOLE_SECONDS
    command = [sys.executable, __file__, "--device", options.device, *["--quick"] * options.quick, "--in-this-process"]
    (here,) = results(command, ["machine"], until, environment)
    if "error" in here:
        print(f"gpu.py: JAX finds no device {options.device!r} here ({here['error'][:200]})", file=sys.stderr)
        return 2
    path, content = opened(options.out, here["result"], options.quick)
    print(common.describe(content["machine"]), flush=True)
    todo = [name for name in wanted if not done(content, name, known[name])]
    if kept := [name for name in wanted if name not in todo]:
        print(f"already in {path.name}: {', '.join(kept)}")
    # Where nothing is measured, a process for each part would only take time.
    alone = ["another process"] if options.quick else todo
    together = [name for name in todo if name not in alone]
    for names in [together] * bool(together) + [[name] for name in todo if name in alone]:
        limit = min(until, time.perf_counter() + PART_SECONDS * len(names))
        for found in results(command, names, limit, environment):
            name = found.pop("part")
            content["errors"].pop(name, None)
            if "result" in found:
                content["parts"][name] = {"machine": content["machine"], "settings": known[name].settings} | found
            else:  # a result of another machine or version stays
                content["errors"][name] = found
            save(path, content)
            print(f"{name}: {found.get('error') or str(found['seconds']) + ' s'}", flush=True)
    measured = {name: content["parts"][name]["result"] for name in known if done(content, name, known[name])}
    print("\n" + "\n".join(report(measured)))
    draw_chart(path.with_suffix(".png"), measured, content, options.quick)
    print(f"wrote {path} and {path.with_suffix('.png').name}")
    failed = [name for name in wanted if name not in measured]
    if failed:
        print(f"without a result: {', '.join(failed)}; the same command again tries them", file=sys.stderr)
    return 1 if failed else 0


def opened(folder: pathlib.Path, here: dict[str, Any], quick: bool) -> tuple[pathlib.Path, dict[str, Any]]:
    """The file of this kind of device, and what is in it."""
    kind = re.sub(r"[^a-z0-9]+", "-", here["kind"].lower()).strip("-")
    path = folder / f"gpu-{kind}{'-quick' * quick}.json"
    folder.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parts": {}, "errors": {}}
    return path, here | {"parts": before["parts"], "errors": before["errors"]}


def done(content: dict[str, Any], name: str, part: Part) -> bool:
    """Whether there is a result of this machine, these versions and these settings."""
    found = content["parts"].get(name, {})
    return found.get("machine") == content["machine"] and found.get("settings") == part.settings


def save(path: pathlib.Path, content: dict[str, Any]) -> None:
    """The whole file or the one before."""
    other = path.with_suffix(".part")
    other.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    other.replace(path)


# --- what a reader sees --------------------------------------------------------------------------------


class TwoCores(NamedTuple):
    """Paper 000 on two CPU cores, training alone: network-steps per second; and the FLOP of one."""

    rate: float
    flop: float


def two_cores() -> TwoCores:
    """As benchmarks/heatmap.py wrote it."""
    found = json.loads((common.RESULTS / "heatmap-cpu.json").read_text(encoding="utf-8"))
    return TwoCores(found["rates"]["snljax span"]["median"], found["flop_per_network_step"]["snljax span"])


def report(found: dict[str, Any]) -> list[str]:
    """Lines of what was measured, against what is wanted."""
    lines, cores = [], two_cores()
    if top := found.get("headline"):
        lines.append(
            f"headline: {top['networks']:,} networks × {top['steps']:,} steps in {top['wall_seconds']:.1f} s, "
            f"of it compiling {top['compile_seconds']:.1f} s; {top['network_steps_per_second']:,.0f} network-steps/s, "
            f"block {top['block']}"
        )
        if whole(top):
            ratio = top["network_steps_per_second"] / cores.rate
            met = {True: "met", False: "MISSED"}
            lines.append(f"  wanted in {TARGET_SECONDS:.0f} s: {met[top['wall_seconds'] <= TARGET_SECONDS]}")
            lines.append(f"  {ratio:.0f} × two CPU cores; wanted {TARGET_RATIO:.0f} ×: {met[ratio >= TARGET_RATIO]}")
        lines.append(f"  memory: {memory_line(top)}")
    if peak := found.get("product"):
        shown = ", ".join(f"{p} {s['median'] / 1e12:.2f} TFLOP/s" for p, s in peak.items())
        lines.append(f"matrix product alone: {shown}")
    for points, one in blocks(found).items():
        rate = one["network_steps_per_second"]["median"]
        lines.append(f"block of {points}: {rate:,.0f} network-steps/s; memory: {memory_line(one)}")
    lines += precision_lines(found)
    if one := found.get("precision"):
        lines.append(f"TF32: {one['tf32_is_faster_by']:.2f} × as fast on the whole sweep")
    for call in found.get("topk", {}).get("calls", ()):
        shown = ", ".join(f"{name} {1e6 * s:,.0f} µs" for name, s in call["seconds"].items())
        lines.append(f"TopK, d {call['d']}, K {call['K']}: {shown}{'' if call['same'] else '; the masks DIFFER'}")
    for name in ("penalty", "contrastive"):
        for points, rate in found.get(name, {}).get("network_steps_per_second", {}).items():
            lines.append(f"{name}, block of {points}: {rate['median']:,.0f} network-steps/s")
    for count, form in found.get("lenet", {}).get("network_steps_per_second", {}).items():
        shown = ", ".join(f"{name} {form[name]['median']:,.0f}" for name in ("patches", "native"))
        lines.append(f"LeNet, {count} networks: {shown} network-steps/s")
    return lines


def precision_lines(found: dict[str, Any]) -> list[str]:
    """What a second run and TF32 change."""
    one, other = found.get("precision"), found.get("another process")
    if one is None:
        return []
    equal = {True: "equal", False: "DIFFERENT"}
    bits = ", ".join(f"{name} {equal[same]}" for name, same in one["equal_bits"].items())
    bits += f", highest in another process {equal[other['bits'] == one['bits']]}" if other else ""
    moved = one["boundary_moves_most"]
    edge = "there is no boundary" if moved is None else f"the boundary moves by {moved:.2g} in K at most"
    return [
        f"bits of a second run: {bits}",
        f"TF32 moves the test loss by {one['test_loss_moves']:.2g} at most, and {one['cells_change_sides']} of "
        f"{one['cells']} cells across {THRESHOLD:g}; {edge} (cells: {one['K_between_cells']:.3g} apart)",
    ]


def whole(top: dict[str, Any]) -> bool:
    """Whether a headline is the one of which there are figures: 10,000 networks of paper 000 × 5000 steps."""
    return top["networks"] * top["steps"] == 50_000_000


def blocks(found: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The parts that are blocks, by their points."""
    return {int(name.removeprefix("block of ")): one for name, one in found.items() if name.startswith("block of ")}


def memory_line(one: dict[str, Any]) -> str:
    """Estimate and peak."""
    estimate, peak = one["memory_estimate"], one["memory_peak"]
    known = f"{human_bytes(peak)} at its peak ({estimate / peak:.2f})" if peak else "its peak is not known here"
    return f"{human_bytes(estimate)} estimated, {known}"


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """How many times as fast as today's choice something else is."""
    shown = {}
    if one := found.get("precision"):
        shown["TF32 for float32,\nwhole sweep"] = one["tf32_is_faster_by"]
    if peak := found.get("product"):
        shown["TF32 for float32,\nproduct alone"] = peak["tf32"]["median"] / peak["highest"]["median"]
    for call in found.get("topk", {}).get("calls", ()):
        took = call["seconds"]
        others = {name: took["bisect"] / took[name] for name in took if name != "bisect"}
        best = max(others, key=others.__getitem__)
        shown[f"{best}\nfor bisection, d {call['d']}, K {call['K']}"] = others[best]
    for count, form in found.get("lenet", {}).get("network_steps_per_second", {}).items():
        shown[f"XLA's convolution\nfor patches, {count} LeNets"] = form["native"]["median"] / form["patches"]["median"]
    return shown


def draw_chart(path: pathlib.Path, found: dict[str, Any], content: dict[str, Any], quick: bool) -> None:
    """The headline, the choice of a block, memory, and what else could be chosen."""
    plt = common.style()
    fig, axes = plt.subplots(2, 2, figsize=(10.5, 7), layout="constrained")
    draw_headline(axes[0, 0], found.get("headline"))
    draw_blocks(axes[0, 1], found, quick)
    draw_memory(axes[1, 0], found)
    draw_ratios(axes[1, 1], ratios(found))
    size = f", {human_bytes(content['memory'])} for JAX" if content["memory"] else ""
    title = f"snljax on {content['kind']}{size} (jax {content['machine']['jax']})"
    title += ": tiny networks, no measurement" if quick else ""
    fig.suptitle("\n".join([title, *precision_lines(found)]), x=0.01, ha="left", fontsize=10)
    fig.savefig(path)


def draw_headline(ax: Any, top: dict[str, Any] | None) -> None:
    """Seconds of the whole call, beside those of two cores and those that are wanted."""
    ax.set_title("The heatmap of paper 000, one whole call", loc="left")
    if top is None:
        return nothing(ax)
    rows = [("this device", top["wall_seconds"], common.BLUE)]
    rows.append(("of that, compiling", top["compile_seconds"], common.GREY))
    if whole(top):
        alone = top["networks"] * top["steps"] / two_cores().rate
        rows.insert(0, ("2 CPU cores\n(training alone)", alone, common.ORANGE))
        ax.axvline(TARGET_SECONDS, color="black", linestyle="--", linewidth=1)
        wanted = f"wanted: {TARGET_SECONDS:.0f} s"
        ax.annotate(wanted, (TARGET_SECONDS, -0.6), xytext=(4, 0), textcoords="offset points", fontsize=8)
    for place, (_, seconds, colour) in enumerate(rows):
        ax.plot(seconds, place, "o", color=colour, markersize=9)
        shown = duration(seconds)
        if whole(top) and seconds == top["wall_seconds"]:
            shown += f"   ({alone / seconds:,.0f} × two cores)"
        ax.annotate(shown, (seconds, place), xytext=(9, 0), textcoords="offset points", va="center")
    seconds = [s for _, s, _ in rows if s > 0]
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set(xscale="log", ylim=(len(rows) - 0.5, -0.9), xlim=(min(seconds) / 3, max(seconds) * 8))
    plain_ticks(ax)
    ax.set_xlabel(f"seconds for {top['networks']:,} networks × {top['steps']:,} steps")
    return None


def draw_blocks(ax: Any, found: dict[str, Any], quick: bool) -> None:
    """Speed by the number of networks in a block, under the bound of the matrix product."""
    ax.set_title("Choice of the block", loc="left")
    by_points = blocks(found)
    if not by_points:
        return nothing(ax)
    spreads = [one["network_steps_per_second"] for one in by_points.values()]
    middle, low, high = (np.array([s[n] for s in spreads]) for n in ("median", "min", "max"))
    ends = [middle - low, high - middle]
    ax.errorbar(list(by_points), middle, ends, fmt="o-", color=common.BLUE, capsize=3, label="training, fixed blocks")
    ticks, top = set(by_points), found.get("headline")
    if top:
        chosen = int(np.prod(top["block"]))
        ticks.add(chosen)
        label = "the headline, whole call, block as chosen"
        ax.plot(chosen, top["network_steps_per_second"], "*", color=common.RED, markersize=13, label=label)
    if "product" in found and not quick:
        bound = found["product"]["highest"]["median"] / two_cores().flop
        ax.axhline(bound, color="black", linestyle="--", linewidth=1, label="bound by the matrix product")
    ax.set(xscale="log", ylim=(0, None), xlabel="networks in a block", ylabel="network-steps per second")
    ax.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    ax.legend(frameon=False, loc="lower right")
    return None


def draw_memory(ax: Any, found: dict[str, Any]) -> None:
    """Estimate beside peak."""
    ax.set_title("Memory of a sweep: estimate and peak", loc="left")
    rows = {f"block\nof {points}": one for points, one in blocks(found).items()}
    rows |= {"headline": found["headline"]} if "headline" in found else {}
    if not rows:
        return nothing(ax)
    for name, colour in (("estimate", common.ORANGE), ("peak", common.BLUE)):
        values = [(one[f"memory_{name}"] or np.nan) / 1e6 for one in rows.values()]
        known = "" if np.isfinite(values).any() else " (not known here)"
        ax.plot(range(len(rows)), values, "o", color=colour, markersize=8, label=name + known)
    for place, one in enumerate(rows.values()):
        estimate, peak = one["memory_estimate"] / 1e6, (one["memory_peak"] or np.nan) / 1e6
        ax.plot([place, place], [estimate, peak], color="0.75", linewidth=2, zorder=1)
        if one["memory_peak"]:
            at = place, max(estimate, peak)
            ax.annotate(f"{estimate / peak:.2f}", at, xytext=(0, 8), textcoords="offset points", ha="center")
    ax.set_xticks(range(len(rows)), list(rows))
    ax.set(yscale="log", ylabel="MB (number: estimate over peak)", xlim=(-0.5, len(rows) - 0.5))
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.3)
    ax.legend(frameon=False, loc="upper left", ncols=2)
    return None


def draw_ratios(ax: Any, shown: dict[str, float]) -> None:
    """What would be faster than what is used today: right of the line."""
    ax.set_title("What else could be chosen", loc="left")
    if not shown:
        return nothing(ax)
    for place, ratio in enumerate(shown.values()):
        ax.plot([1, ratio], [place, place], color="0.75", linewidth=2, zorder=1)
        ax.plot(ratio, place, "o", color=common.GREEN if ratio > 1 else common.GREY, markersize=7)
        right = ratio >= 1
        beside = {"xytext": (8 if right else -8, 0), "ha": "left" if right else "right"}
        ax.annotate(f"{ratio:.2g}", (ratio, place), textcoords="offset points", va="center", **beside)
    ax.axvline(1, color="black", linewidth=1)
    ax.set_yticks(range(len(shown)), list(shown), fontsize=8)
    ax.set(xscale="log", ylim=(len(shown) - 0.4, -0.6), xlabel="times as fast as what is used today")
    ax.set_xlim(min(*shown.values(), 1) / 2, max(*shown.values(), 1) * 2)
    plain_ticks(ax)
    return None


def plain_ticks(ax: Any) -> None:
    """Ordinary numbers along a logarithmic axis, about five of them."""
    low, high = ax.get_xlim()
    marks = (1, 2, 5) if high / low < 1000 else (1,)
    ticks = [m * 10.0**e for e in range(-4, 7) for m in marks if low <= m * 10.0**e <= high]
    ax.set_xticks(ticks, [f"{tick:,.6g}" for tick in ticks])
    ax.minorticks_off()


def nothing(ax: Any) -> None:
    """A panel without results."""
    ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=common.GREY)
    ax.set_axis_off()


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.2g} s"


if __name__ == "__main__":
    sys.exit(main())
