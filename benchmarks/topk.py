"""How long ``masks.topk`` takes by its two methods, for a K that the program does not know (as in a sweep).

python benchmarks/topk.py [--device cpu|gpu] [--networks 8] [--rounds 9] [--quick]
"""

from __future__ import annotations

import argparse
import functools
import itertools

import common
import jax
import numpy as np

from snljax import masks

ROWS = 200  # filters of one network
DIMENSIONS, COUNTS = (200, 1000), (20, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="JAX platform: cpu, gpu, ...")
    parser.add_argument("--networks", type=int, default=8, help="networks pruned at once")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each method")
    parser.add_argument("--quick", action="store_true", help="three turns")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    device = jax.devices(options.device)[0]
    info = common.machine(device)
    print(common.describe(info))
    rng = np.random.default_rng(0)

    turns, per_call = {}, {}
    for d in DIMENSIONS:
        w = jax.device_put(np.float32(rng.standard_normal((options.networks, ROWS, d))), device)
        for method in ("bisect", "top_k"):
            of_one = functools.partial(masks.topk, method=method)
            prune = jax.jit(jax.vmap(lambda w, k, of_one=of_one: w * of_one(w, k)))
            for K in COUNTS:
                k = jax.device_put(np.full(options.networks, K, np.int32), device)

                def calls(count: int, prune=prune, w=w, k=k) -> None:
                    for _ in range(count):
                        prune(w, k).block_until_ready()

                name = f"{method} {d} {K}"
                per_call[name] = common.steps_for(calls, 0.1, multiple=1)
                turns[name] = functools.partial(calls, per_call[name])
    took, others = common.interleaved(turns, rounds)
    micro = {n: 1e6 * s / per_call[n] / options.networks for n, s in took.items()}

    print(f"\nmicroseconds per network of {ROWS} rows, {options.networks} at once: median of {rounds} turns [min, max]")
    print(f"{'d':>6} {'K':>5} {'bisect':>25} {'top_k':>28} {'top_k / bisect':>15}")
    rows = []
    for d, K in itertools.product(DIMENSIONS, COUNTS):
        bisect, top_k = micro[f"bisect {d} {K}"], micro[f"top_k {d} {K}"]
        found = {"bisect": common.spread(bisect), "top_k": common.spread(top_k)}
        rows.append({"d": d, "K": K} | found | {"ratio": float(np.median(top_k / bisect))})
        shown = " ".join(f"{s['median']:10.1f} [{s['min']:6.1f}, {s['max']:6.1f}]" for s in found.values())
        print(f"{d:6} {K:5} {shown} {rows[-1]['ratio']:10.1f}")
    common.tell(others)
    content = {"others_held": others, "machine": info, "unit": "microseconds per network", "rows": rows}
    common.write("topk", options.device, content | {"networks": options.networks, "rows_per_network": ROWS})


if __name__ == "__main__":
    main()
