"""The arguments of ``sweep``, looked at before anything else happens."""

from __future__ import annotations

import numbers
import os
from typing import Any

import jax

from snljax.sweep import executors, tracing
from snljax.sweep.field_values import float_dtype
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block
from snljax.sweep.stop import Stop
from snljax.sweep.work import Plan
from snljax.wording import shown


def plan_of(
    grid: Any, record_every: Any, precision: Any, memory: Any, accept_program: bool, stop: Stop | None = None
) -> Plan:
    """What is asked for; ValueError for what cannot be."""
    if not isinstance(grid, Grid):
        raise ValueError(f"grid: {grid!r} is of type {type(grid).__name__}; allowed: a Grid")
    config: Any = jax.config
    if config.jax_disable_jit:
        raise ValueError("sweep: jax.disable_jit is on, and a sweep is one compiled program; allowed: without it")
    dtype = float_dtype().name
    if grid.checked_dtype != dtype:  # made in single precision and swept in double, or the other way round
        grid.check_values()
    if precision not in tracing.MATMUL_PRECISION:
        raise ValueError(f"precision: {precision!r}; allowed: {', '.join(tracing.MATMUL_PRECISION)}")
    steps, every = grid.config.steps, record_every
    if stop is not None:
        if every is not None or grid.record_steps is not None:
            raise ValueError("stop_when: beside record_every, or several steps; allowed: one of them")
        records = tuple(sorted({*range(0, steps, stop.every), steps}))
        return Plan(grid, records, every, precision, dtype, memory, accept_program, stop)
    if grid.record_steps is not None:
        if every is not None:
            raise ValueError(f"record_every: {every!r}, and the grid has several steps; allowed: one of the two")
        return Plan(grid, grid.record_steps, list(grid.record_steps), precision, dtype, memory, accept_program)
    if every is None:
        return Plan(grid, (steps,), every, precision, dtype, memory, accept_program)
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ValueError(f"record_every: {every!r}; allowed: a whole number of steps, 1 or more, or None")
    records = tuple(sorted({*range(0, steps, every), steps}))
    return Plan(grid, records, every, precision, dtype, memory, accept_program)


def check_places(store: Any, executor: Any, shard: Any, devices: Any) -> None:
    """ValueError for a store, an executor, a shard or devices that are none, or do not go together."""
    if not isinstance(store, (str, os.PathLike, type(None))):
        raise ValueError(f"store: {store!r} is of type {type(store).__name__}; allowed: the path of a folder")
    if executor is not None:
        executors.check(executor)
        if devices is not None:
            raise ValueError("devices: given beside an executor; allowed: one of them (a worker has one device)")
    if shard is not None:
        whole_numbers = isinstance(shard, (tuple, list)) and all(
            isinstance(s, int) and not isinstance(s, bool) for s in shard
        )
        if not whole_numbers or len(shard) != 2 or not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"shard: {shard!r}; allowed: (i, n) with 1 ≤ i ≤ n")
        if store is None:
            raise ValueError(f"shard: {tuple(shard)} without a store; allowed: with store, which joins the parts")


def check_keep(keep: Any, store: Any, on_block: Any) -> None:
    """ValueError for what cannot be kept, or kept in a store, and for a listener that cannot be called."""
    if keep not in (None, "state"):
        raise ValueError(f"keep: {shown(keep)}; allowed: 'state', or None")
    if keep is not None and store is not None:
        raise ValueError(
            "keep: 'state' with a store; allowed: without one, or snl.replay(store, …), which gives the same weights"
        )
    if on_block is not None and not callable(on_block):
        raise ValueError(f"on_block: {shown(on_block)}; allowed: a function of a Dataset, or None")


def block_of(block: Any) -> Block | None:
    """A Block, or None to let time decide."""
    if block is None:
        return None
    whole = isinstance(block, (tuple, list)) and all(
        isinstance(b, numbers.Integral) and not isinstance(b, bool) for b in block
    )
    if not whole or len(block) != 2 or min(block) < 1:
        raise ValueError(f"block: {block!r} is not a shape; allowed: (seeds, points), whole numbers of 1 or more")
    return Block(*map(int, block))
