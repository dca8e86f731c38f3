"""Samples per class as an axis: one program with padding and weights, or one program for each size.

Both train the plane of paper 001 (benign overfitting and long tails), Figure 4 (a), from nothing, compiling included,
and must give the same accuracies. A size of its own saves the work on padding and pays with a compile.
"""

from __future__ import annotations

import argparse

import common
import jax
import numpy as np

import snljax as snl
from snljax.sweep import devices as local_devices
from snljax.sweep import program

PADDED, SEPARATE = "one program, padded to the largest size", "one program for each size"


def sizes(number: int) -> list[int]:
    return np.linspace(10, 200, number).round().astype(int).tolist()


def sweep(number: int, strengths: int, seeds: int, **settings: object) -> np.ndarray:
    grid = snl.Grid(
        "heterogeneous_noise",
        u_norm=np.linspace(0.01, 4, strengths),
        noise_correlation=1.2,
        seed=range(seeds),
        **settings,
    )
    return snl.sweep(grid, progress=False).test_accuracy.transpose(..., "u_norm", "seed").values


def forget() -> None:
    """As in a fresh process: nothing is compiled yet."""
    program.forget()
    jax.clear_caches()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=20, help="values of samples_per_class")
    parser.add_argument("--strengths", type=int, default=20, help="values of u_norm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    options = parser.parse_args()
    local_devices.cores_as_devices()
    info = common.machine(jax.devices()[0])
    print(common.describe(info))
    plane, values = (options.sizes, options.strengths, options.seeds), sizes(options.sizes)
    found: dict[str, np.ndarray] = {}

    def padded() -> None:
        forget()
        found[PADDED] = sweep(*plane, samples_per_class=values, capacity=max(values))

    def separate() -> None:
        forget()
        found[SEPARATE] = np.stack([sweep(*plane, samples_per_class=n, capacity=n) for n in values])

    seconds, others = common.interleaved({PADDED: padded, SEPARATE: separate}, options.rounds, patience=0)
    off = float(np.abs(found[PADDED] - found[SEPARATE]).max())
    print(f"\n{options.sizes} sizes × {options.strengths} strengths × {options.seeds} seeds, seconds with compiling")
    for name, s in seconds.items():
        print(f"  {name:42} {np.median(s):6.1f} [{s.min():.1f}, {s.max():.1f}]")
    ratio = common.spread(seconds[SEPARATE] / seconds[PADDED])
    print(f"  padded is {ratio['median']:.2f} times as fast [{ratio['min']:.2f}, {ratio['max']:.2f}]")
    print(f"  accuracies differ by {off:.1e} at most (one test sample is {1 / 1000:.0e})")
    if off > 5e-3:
        raise SystemExit("the contenders do not compute the same thing")
    common.tell(others)
    content = {
        "machine": info, "plane": dict(zip(("sizes", "strengths", "seeds"), plane, strict=True)),
        "padded_over_separate": ratio, "largest_difference": off, "others_held": others,
        "seconds": {n: s.round(1).tolist() for n, s in seconds.items()},
    }  # fmt: skip
    common.write("sample-sizes", "cpu" if info["device"].endswith("(cpu)") else "gpu", content)


if __name__ == "__main__":
    main()
