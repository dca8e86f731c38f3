"""An experiment that measures its state too, so that the weights of all networks come with the Dataset."""

from __future__ import annotations

import collections
import copy
import math
import re
from typing import Any

import jax

from snljax.sweep import devices
from snljax.sweep.grid import Grid
from snljax.sweep.work import Plan, Prepared

PREFIX = "state"


def keeping_state(grid: Grid) -> Grid:
    """The same grid, whose networks are measured with all arrays of their state, as ``state_`` and its path.

    What is trained is the same to the bit: only the program that measures is another.
    """
    experiment, other = grid.experiment, copy.copy(grid)

    def measure(config: Any, draw: Any, state: Any, *data: Any) -> Any:
        measured = experiment.measure(config, draw, state, *data)
        kept = _named(experiment.name, state)
        both = kept.keys() & {*measured._fields}
        if both:
            raise ValueError(f"keep: {min(both)} is a metric of {experiment.name}; allowed: another name for it")
        return collections.namedtuple("Metrics", (*measured._fields, *kept))(*measured, *kept.values())

    other.experiment = experiment._replace(measure=measure)
    return other


def check_room(plan: Plan, prepared: Prepared) -> None:
    """ValueError where the states of all networks are more than may lie in memory."""
    size = sum(dtype.itemsize * math.prod(inner) for dtype, inner in prepared.metrics.values())
    needed = size * plan.grid.cells * len(plan.records)
    budget = devices.parse_memory(plan.memory, devices.resolve(1, useful=1))
    if needed > budget:
        raise ValueError(
            f"keep: the states of {plan.grid.cells} networks take {devices.human_bytes(needed)}; allowed: "
            f"{devices.human_bytes(budget)} (memory), or without keep: train_one and replay give single networks"
        )


def _named(experiment: str, state: Any) -> dict[str, Any]:
    """Name -> array of a state; a random key as the numbers that it is made of."""
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        words = re.findall(r"\w+", jax.tree_util.keystr(path, simple=True, separator=" "))
        name = "_".join([PREFIX, *words])
        if name in named:
            raise ValueError(
                f"keep: two arrays of {experiment}'s state are called {name}; allowed: names that differ by letters"
            )
        named[name] = jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return named
