"""The block shape: the one that should be fastest or, where a sweep is long, what measures fastest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from snljax.sweep.cost import Cost
from snljax.sweep.layout import Block

_SETUP_SECONDS = 0.3  # of any sweep; what is small beside it need not be saved
_AS_GOOD = 1.05  # so little is not worth a larger block
_FEW = 8  # networks a block where it makes no difference: few files, and little is lost when a job dies
_WIDE_ENOUGH = 4  # networks a block, to stay below the size of a reduction
_CROWDING = 0.2  # slower by so much for each doubling of what a block touches beyond the cache
_FINENESS = 1.1  # of the widths that are looked at
_BETTER = 0.95
_PROBING_SHARE = 0.08  # of the time that the sweep would take without it
_WORTH_PROBING_SECONDS = 5.0
_PLAUSIBLE = 1.5  # what should take longer by that is not tried


class Size(NamedTuple):
    """What a sweep consists of.

    points, seeds: of each program. programs: how many. steps: of each network. pauses: how often the host comes in
    between, to measure. at_once: blocks that train side by side. keeping: seconds that it takes to keep a block.
    """

    points: int
    seeds: int
    programs: int
    steps: int
    pauses: int
    at_once: int
    keeping: float


class Network(NamedTuple):
    """What a network costs. step: of one step. touched: bytes that it reads and writes in each."""

    step: Cost
    touched: int


class Machine(NamedTuple):
    """What one device of a kind takes, measured on two cores (benchmarks/widths.py), guessed for accelerators.

    operation: seconds that starting one takes, within a loop. block, pause: seconds of the host for each round of
    blocks, and each time that it measures on the way. speed: in cores. cache: bytes. reduced: numbers in a block's
    reduction from where on it is much slower.
    """

    operation: float
    block: float
    pause: float
    speed: float
    cache: float
    reduced: float


def machine_of(devices: tuple[Any, ...]) -> Machine:
    """That of some devices."""
    if devices[0].platform == "cpu":
        # XLA gives larger reductions to a library that takes ten times as long for short rows.
        return Machine(operation=0.03e-6, block=1.5e-3, pause=0.5e-3, speed=1.0, cache=2e6, reduced=4096)
    return Machine(operation=4e-6, block=3e-3, pause=1e-3, speed=300.0, cache=math.inf, reduced=math.inf)


def rounds(shape: Block, size: Size) -> int:
    """How many rounds of blocks train one after the other."""
    return -(-_blocks(shape, size) // size.at_once)


def _blocks(shape: Block, size: Size) -> int:
    return -(-size.points // shape.points) * -(-size.seeds // shape.seeds) * size.programs


def whole(shape: Block, size: Size, step: float, machine: Machine) -> float:
    """Seconds of a sweep in which one step of a block takes ``step`` seconds."""
    a_round = machine.block + size.pauses * machine.pause + size.steps * step
    return rounds(shape, size) * a_round + _blocks(shape, size) * size.keeping


def expected_step(shape: Block, network: Network, machine: Machine) -> float:
    """Seconds that one step of a block should take."""
    width, cost = shape.seeds * shape.points, network.step
    crowding = 1 + _CROWDING * max(0.0, math.log2(max(width * network.touched, 1) / machine.cache))
    own = width * cost.points * crowding
    return machine.operation * cost.operations + (shape.seeds * cost.seeds + own) / machine.speed


def expected(shape: Block, size: Size, network: Network, machine: Machine) -> float:
    """Seconds that the sweep should take."""
    return whole(shape, size, expected_step(shape, network, machine), machine)


def choose(size: Size, network: Network, machine: Machine, fits: Callable[[Block], bool]) -> Block | None:
    """The shape to begin with; None if not even one network fits.

    Of all that are about as fast as the fastest: one with two seeds at least, since XLA lays out the weights of one
    seed anew at each product, and of these the one that is closest to a few networks.

    Args:
        size, network, machine: of the sweep.
        fits: whether a block of a shape has room.
    """
    most = size.points * size.seeds
    if (narrow := machine.reduced / max(network.step.reduced, 1)) >= _WIDE_ENOUGH:
        most = min(most, int(narrow))
    while most >= 1:
        found = [(expected(s, size, network, machine), s) for s in _shapes(size, most)]
        limit = _AS_GOOD * (min(found)[0] + _SETUP_SECONDS) - _SETUP_SECONDS
        good = [shape for seconds, shape in found if seconds <= limit]
        best = min(good, key=lambda s: (s.seeds == 1 < size.seeds, abs(math.log2(s.seeds * s.points / _FEW)), s))
        if fits(best):
            return best
        most = min(best.seeds * best.points - 1, best.seeds * best.points // 2)
    return None


def refine(
    first: Block,
    size: Size,
    network: Network,
    machine: Machine,
    step_seconds: Callable[..., list[float] | None],
    trial: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Block, list[Block], float]:
    """A shape that measures faster than the first, as far as the sweep is long enough to look for one.

    Args:
        first: the shape to begin with.
        size, network, machine: of the sweep.
        step_seconds: measures, side by side, the seconds that a step takes in blocks of some shapes; None if one of
            them does not fit.
        trial: seconds that it takes to try a shape, about.
        clock: what time it is, in seconds.

    Returns:
        The fastest, all that were tried, and the seconds that this took.
    """
    began = clock()

    def spent() -> float:
        return clock() - began

    def sweep_seconds(*wanted: Block) -> list[float] | None:
        steps = step_seconds(*wanted)
        return steps and [whole(shape, size, step, machine) for shape, step in zip(wanted, steps, strict=True)]

    best, tried = first, [first]
    [seconds] = sweep_seconds(first) or [0.0]
    moved = True
    while moved:
        moved = False
        for shape in _neighbours(best, size):
            likely = expected(shape, size, network, machine) / expected(best, size, network, machine)
            if shape in tried or likely > _PLAUSIBLE:
                continue
            if seconds < _WORTH_PROBING_SECONDS or spent() + trial > _PROBING_SHARE * seconds:
                return best, tried, spent()
            tried.append(shape)
            if (measured := sweep_seconds(best, shape)) is None:
                continue
            seconds, other = measured
            if other < _BETTER * seconds:
                best, seconds, moved = shape, other, True
                break
    return best, tried, spent()


def _neighbours(shape: Block, size: Size) -> Iterator[Block]:
    """Other shapes nearby: half as wide, twice as wide, other seeds for points."""
    seeds, points = shape
    for s, p in (
        (seeds, -(-points // 2)),
        (seeds, 2 * points),
        (2 * seeds, -(-points // 2)),
        (2 * seeds, points),
        (-(-seeds // 2), points),
        (-(-seeds // 2), 2 * points),
    ):
        yield Block(_even(size.seeds, s), _even(size.points, p))


def _even(count: int, about: int) -> int:
    """The size of equal pieces of ``count`` things, ``about`` in each, so that the last one is not short."""
    pieces = max(1, round(count / min(about, count)))
    return -(-count // pieces)


def _shapes(size: Size, most: int) -> Iterator[Block]:
    """Shapes that cut the sweep into equal pieces."""
    for seeds in _pieces(size.seeds):
        for points in _pieces(size.points):
            if seeds * points <= most:
                yield Block(seeds, points)


def _pieces(count: int) -> list[int]:
    """Sizes of equal pieces, from 1 up, none much like the one before."""
    sizes, width = [1], 1.0
    while sizes[-1] < count:
        width = max(width * _FINENESS, sizes[-1] + 1)
        sizes.append(min(max(_even(count, int(width)), sizes[-1] + 1), count))
    return sizes
