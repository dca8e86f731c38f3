"""Twelve sweeps, built-in and own, that differ in all that the choice of a block follows from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import own

import snljax as snl


class Case(NamedTuple):
    """A sweep of the benchmark. blocks: fixed shapes (seeds, points) that it is compared with."""

    grid: Any
    blocks: tuple[tuple[int, int], ...]
    record_every: int | None = None


def cases(scale: float = 1.0) -> dict[str, Case]:
    """By name. scale: of the number of cells along one axis, for a shorter run."""

    def along(start: float, stop: float, count: int) -> list[float]:
        return np.linspace(start, stop, max(2, round(count * scale))).tolist()

    small = {"n": 50, "d": 40, "m": 4, "num_classes": 3, "n_test": 50}
    heavy = ((1, 1), (1, 4), (1, 16), (2, 2))
    return {
        "tiny networks, 10^5 cells": Case(
            snl.Grid(own.TINY, rate=along(0.1, 0.9, 10_000), seed=range(10)),
            ((1, 1000), (10, 100), (10, 1000), (10, 5000)),
        ),
        "tiny networks, 10^6 cells": Case(
            snl.Grid(own.TINY, rate=along(0.1, 0.9, 100_000), seed=range(10)),
            ((1, 1000), (10, 1000), (1, 10_000), (10, 10_000)),
        ),
        "weight space, 20 x 1090": Case(
            snl.Grid(own.WEIGHTS, sigma_p=along(0.1, 2.0, 240), seed=range(10)), ((1, 4), (1, 16), (2, 4), (4, 4))
        ),
        "weight space, 1000 test samples": Case(
            snl.Grid(own.WEIGHTS, sigma_p=along(0.1, 2.0, 300), seed=range(8), steps=100, n_test=1000, m=10, d=700),
            ((1, 4), (1, 16), (2, 4), (4, 4)),
        ),
        "mini-batches with Adam": Case(
            snl.Grid(
                own.ADAM,
                learning_rate=np.logspace(-4, -2, max(2, round(8 * scale))),
                weight_decay=np.logspace(-4, -1, 9),
                seed=range(4),
                steps=800,
                width=48,
            ),
            ((1, 1), (1, 9), (1, 36), (4, 9)),
        ),
        "paper 000, heatmap": Case(
            snl.Grid(
                "topk_pruning", sigma_p=along(0.1, 2.0, 10), K=[20, 60, 100, 140, 180], seed=range(2), steps=600,
                n_test=1000, m=15,
            ),
            heavy,
        ),
        "paper 000, recorded at every step": Case(
            snl.Grid("topk_pruning", sigma_p=along(0.1, 1.0, 10), K=[*range(4, 41, 4)], steps=1000, **small),
            ((1, 4), (1, 10), (1, 25), (1, 50)),
            record_every=1,
        ),
        "paper 001, mini-batches": Case(
            snl.Grid(
                "heterogeneous_noise", reading="mini_batch", u_norm=along(0.1, 3, 9), noise_correlation=[1.5, 30, 900],
                seed=range(4), steps=300, m=60,
            ),
            ((1, 1), (1, 3), (1, 9), (2, 3)),
        ),
        "paper 002, random pruning": Case(
            snl.Grid(
                "random_pruning", sigma_p=along(0.3, 0.9, 6), keep_fraction=[0.05, 0.2, 0.4, 0.6, 0.8, 1.0],
                seed=range(6), steps=300, m=100,
            ),
            heavy,
        ),
        "paper 003, penalty": Case(
            snl.Grid(
                "gradient_regularization", sigma_p=along(0.1, 2.0, 12), penalty_weight=np.geomspace(1e-3, 0.3, 8),
                seed=range(12), m=8,
            ),
            ((1, 4), (1, 8), (2, 6), (1, 24)),
        ),
        "paper 004, contrastive": Case(
            snl.Grid(
                "contrastive", epsilon_min=along(0.1, 1.0, 7), sigma_p=[0.01, 0.03, 0.06], seed=range(6), n_test=64,
                n_probe=64, m=30,
            ),
            ((1, 3), (1, 7), (1, 11), (1, 21)),
        ),
        "paper 001, LeNet on digits": Case(
            snl.Grid("influence_removal", remove_high=along(0, 0.6, 12), seed=range(3), steps=200),
            ((1, 1), (1, 2), (1, 4), (3, 2)),
        ),
    }  # fmt: skip
