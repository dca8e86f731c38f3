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

    def some(count: int) -> int:
        return max(2, round(count * scale))

    wide = tuple((1, p) for p in (2, 4, 8, 16, 32, 64, 128))
    noise = np.linspace(0.1, 2.0, some(24))
    topk = {"n_test": 1000}
    removal = np.linspace(0, 0.6, some(16)).tolist()
    return {
        "tiny networks, 10^5 cells": Case(
            snl.Grid(own.TINY, rate=np.linspace(0.1, 0.9, some(10_000)), seed=range(10)),
            ((1, 100), (1, 1000), (10, 100), (10, 1000), (10, 5000)),
        ),
        "tiny networks, 10^6 cells": Case(
            snl.Grid(own.TINY, rate=np.linspace(0.1, 0.9, some(100_000)), seed=range(10)),
            ((1, 1000), (10, 1000), (1, 10_000), (10, 10_000), (10, 50_000)),
        ),
        "weight space, 20 x 1090": Case(
            snl.Grid(own.WEIGHTS, sigma_p=np.linspace(0.1, 2.0, some(240)), seed=range(10)), wide
        ),
        "weight space, 1000 test samples": Case(
            snl.Grid(own.WEIGHTS, sigma_p=np.linspace(0.1, 2.0, some(800)), seed=range(10), steps=100, n_test=1000),
            wide,
        ),
        "mini-batches with Adam": Case(
            snl.Grid(
                own.ADAM,
                learning_rate=np.logspace(-4, -2, some(16)),
                weight_decay=np.logspace(-4, -1, 16),
                seed=range(5),
                steps=500,
            ),
            wide,
        ),
        "paper 000, heatmap": Case(
            snl.Grid("topk_pruning", sigma_p=noise, K=np.linspace(10, 200, 12).astype(int).tolist(), steps=500, **topk),
            wide,
        ),
        "paper 000, recorded at every step": Case(
            snl.Grid(
                "topk_pruning",
                sigma_p=np.linspace(0.1, 1.0, some(10)),
                K=np.linspace(4, 40, 10).astype(int).tolist(),
                n=50, d=40, m=4, num_classes=3, n_test=50, steps=1000,
            ),
            wide,
            record_every=1,
        ),
        "paper 001, mini-batches": Case(
            snl.Grid(
                "heterogeneous_noise",
                reading="mini_batch",
                u_norm=np.linspace(0.001, 3.8, some(10)),
                noise_correlation=np.linspace(1, 1400, 8),
                seed=range(2),
                steps=400,
            ),
            wide,
        ),
        "paper 002, random pruning": Case(
            snl.Grid(
                "random_pruning",
                sigma_p=np.linspace(0.2, 1.0, some(8)),
                keep_fraction=np.linspace(0.1, 1.0, 8),
                seed=range(4),
                steps=400,
            ),
            wide,
        ),
        "paper 003, penalty": Case(
            snl.Grid(
                "gradient_regularization",
                sigma_p=np.linspace(0.1, 2.0, some(10)),
                penalty_weight=np.geomspace(1e-3, 1, 10),
                seed=range(20),
                steps=1500,
            ),
            (*wide, (4, 32), (2, 128), (8, 128)),
        ),
        "paper 004, contrastive": Case(
            snl.Grid(
                "contrastive",
                epsilon_min=np.linspace(0.1, 1.0, some(8)),
                sigma_p=[0.01, 0.03, 0.05, 0.07],
                seed=range(8),
                n_test=64,
                n_probe=64,
            ),
            (*wide[:5], (2, 4), (4, 4), (2, 16)),
        ),
        "paper 001, LeNet on digits": Case(
            snl.Grid("influence_removal", remove_high=removal, seed=range(4), steps=300),
            (*wide[:5], (2, 4), (4, 4)),
        ),
    }  # fmt: skip
