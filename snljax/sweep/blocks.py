"""The block shape: given, or the fastest of a few measured ones that fit the memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from snljax.sweep.program import Block, OverBudgetError, Program

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_START = {"cpu": 8}  # networks a block; measured on CPU. Accelerators start wider and climb from there.
_START_ACCELERATOR = 256
_PROBE_SECONDS = 0.2
_WORTH_PROBING_SECONDS = 60.0  # shorter sweeps end before probe compiles pay
_BETTER = 1.05


def parse_memory(memory: str | int | None, devices: tuple[Any, ...]) -> int:
    """Bytes that one device's block may take.

    Args:
        memory: bytes, or text such as ``"2GB"``, for all devices together; None is half of the
            machine's memory (on an accelerator, 80 % of each device's).
        devices: on CPU they share the machine's memory.

    Returns:
        Bytes per device.

    Raises:
        ValueError: if the text is not a size, or the size is not positive.

    Example:
        >>> import jax
        >>> parse_memory("2GB", tuple(jax.devices()[:1]))
        2000000000
    """
    if memory is None:
        limit = (devices[0].memory_stats() or {}).get("bytes_limit") if devices[0].platform != "cpu" else None
        if limit:
            return int(0.8 * limit)
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // len(devices)
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kKMGT]?B?)\s*", str(memory))
    unit = match[2].upper() if match else ""
    unit += "B" if unit and not unit.endswith("B") else ""
    try:
        total = float(match[1]) * _UNITS[unit] if match and not isinstance(memory, bool) else 0
    except ValueError:
        total = 0
    if total < 1:
        raise ValueError(f"memory: {memory!r} is not a size; allowed: bytes, or text such as '500MB' or '2GB'")
    return int(total) // len(devices)


def human_bytes(size: int) -> str:
    """Bytes for people."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g} {unit}"
    return f"{size} B"


def parse_block(block: Any) -> Block | None:
    """A Block, or None to let time decide."""
    if block is None:
        return None
    whole = isinstance(block, (tuple, list)) and all(isinstance(b, int) and not isinstance(b, bool) for b in block)
    if not whole or len(block) != 2 or min(block) < 1:
        raise ValueError(f"block: {block!r} is not a shape; allowed: (seeds, points), whole numbers of 1 or more")
    return Block(*block)


def choose(
    build: Callable[[Block], Program],
    rate: Callable[[Program, Block], float],
    points: int,
    seeds: int,
    work: int,
    budget: int,
    announce: Callable[[str], None],
) -> tuple[Block, list[Program]]:
    """The block shape for this machine.

    Starts from a width that is good on the backend, halves it until it fits the memory, and, where
    the sweep is long enough to repay the compiling, climbs to twice or half the width while that is
    at least 5 % faster.

    Args:
        build: compiles a shape; raises OverBudgetError.
        rate: measures network-steps per second of a compiled shape.
        points, seeds: how many there are.
        work: network-steps of the whole sweep.
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

    width = _START.get(jax.default_backend(), _START_ACCELERATOR)
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
    if work / best < _WORTH_PROBING_SECONDS:
        return shape(width), []
    discarded: list[Program] = []
    for factor in (2.0, 0.5):
        climbed = False
        while shape(candidate := int(width * factor)) != shape(width) and candidate >= 1:
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
        if elapsed > _PROBE_SECONDS / 2:
            return networks * steps / elapsed
        steps = int(steps * np.clip(_PROBE_SECONDS / max(elapsed, 1e-9), 2, 100))


def _power_of_two(count: int) -> int:
    """The smallest power of two that is at least count."""
    return 1 << (count - 1).bit_length()
