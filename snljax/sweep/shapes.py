"""The block shape: given, or the fastest of a few measured ones that fit the memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from snljax.sweep.devices import human_bytes
from snljax.sweep.layout import Block
from snljax.sweep.program import OverBudgetError, Program

SMALLEST = 4  # networks a block, measured; on a single core or device, twice that
_START_ACCELERATOR = 256  # not measured: climbs from there
_PROBE_SECONDS = 0.2
_WORTH_PROBING_SECONDS = 60.0  # shorter sweeps end before probe compiles pay
_BETTER = 1.05
_PROBING_SHARE = 0.15  # of the time that the sweep would take without it
_BLOCKS_A_DEVICE = 8  # fewer are a bad unit of work to share and to resume
_MOST_STEPS = 2**30  # step numbers are int32


def start_width(devices: tuple[Any, ...]) -> int:
    """Networks a block to begin with."""
    if devices[0].platform != "cpu":
        return _START_ACCELERATOR
    return SMALLEST if len(devices) > 1 else 2 * SMALLEST


def choose(
    build: Callable[[Block], Program],
    rate: Callable[[Program, Block], float],
    points: int,
    seeds: int,
    work: int,
    devices: tuple[Any, ...],
    budget: int,
    announce: Callable[[str], None],
) -> tuple[Block, list[Program]]:
    """The block shape for this machine.

    Starts from a width that is good on the backend, halves it until it fits the memory, and, where
    the sweep is long enough to repay the compiling, climbs to twice or half the width while that is
    at least 5 % faster, leaves every device several blocks, and not for longer than a share of the sweep.

    Args:
        build: compiles a shape; raises OverBudgetError.
        rate: measures network-steps per second of a compiled shape.
        points, seeds: how many there are.
        work: network-steps of the whole sweep.
        devices: one block trains on each.
        budget: bytes per device, for the message.
        announce: told about probe compiles.

    Returns:
        The shape, and the programs that were compiled only to be measured.

    Raises:
        ValueError: if not even one network fits the memory.
    """

    def shape(width: int) -> Block:
        along = min(width, _power_of_two(points))
        return Block(min(max(width // along, 1), _power_of_two(seeds)), along)

    width = start_width(devices)
    while True:
        try:
            program = build(shape(width))
            break
        except OverBudgetError as over:
            if shape(width) == Block(1, 1):
                raise ValueError(
                    f"memory: {human_bytes(budget)} a device cannot hold one network; "
                    f"allowed: {human_bytes(over.needed)} or more, or a smaller system"
                ) from None
            width //= 2
    best = rate(program, shape(width))
    until = time.perf_counter() + _PROBING_SHARE * work / best
    if work / best < _WORTH_PROBING_SECONDS:
        return shape(width), []
    discarded: list[Program] = []
    for factor in (2.0, 0.5):
        climbed = False
        while (candidate := int(width * factor)) >= 1 and shape(candidate) != shape(width):
            wanted = shape(candidate)
            blocks = -(-points // wanted.points) * -(-seeds // wanted.seeds)
            if (factor > 1 and blocks < _BLOCKS_A_DEVICE * len(devices)) or time.perf_counter() > until:
                break
            announce(f"measuring a block of {shape(candidate).seeds} seeds × {shape(candidate).points} points")
            try:
                other = build(shape(candidate))
            except OverBudgetError:
                break
            speed = rate(other, shape(candidate))
            if speed < best * _BETTER:
                discarded.append(other)
                break
            discarded.append(program)
            width, best, program, climbed = candidate, speed, other, True
        if climbed:
            break
    return shape(width), discarded


def measured_rate(advance: Callable[[int, int], Any], networks: int) -> float:
    """Network-steps per second of ``advance(start, stop)``, warm, over about 0.2 s."""
    steps = 8
    jax.block_until_ready(advance(0, 1))
    while True:
        started = time.perf_counter()
        jax.block_until_ready(advance(0, steps))
        elapsed = time.perf_counter() - started
        # Steps that change nothing may be left out by the compiler: then no number of them takes any time.
        if elapsed > _PROBE_SECONDS / 2 or steps >= _MOST_STEPS:
            return networks * steps / max(elapsed, 1e-9)
        steps = min(int(steps * np.clip(_PROBE_SECONDS / max(elapsed, 1e-9), 2, 100)), _MOST_STEPS)


def _power_of_two(count: int) -> int:
    """The smallest power of two that is at least count."""
    return 1 << (count - 1).bit_length()
