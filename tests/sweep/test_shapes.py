"""The choice of a block shape: what is expected of planted costs, and what planted speeds make of it."""

from __future__ import annotations

import itertools
import time

import pytest

from snljax.sweep import shapes
from snljax.sweep.cost import Cost
from snljax.sweep.layout import Block
from snljax.sweep.shapes import Machine, Network, Size

MACHINE = Machine(operation=1e-7, block=1e-3, pause=5e-4, speed=1.0, cache=1e6, reduced=4096)
FIRST = Block(1, 8)
SIZE = Size(points=240, seeds=10, programs=1, steps=300, pauses=1, at_once=2, keeping=0.0)


def network(points=1e-4, seeds=0.0, touched=1000, reduced=0, operations=10):
    return Network(Cost(points, seeds, operations, touched, reduced), touched)


def choose(size=SIZE, net=None, fits=lambda shape: True):
    return shapes.choose(size, net or network(), MACHINE, fits)


def test_tiny_networks_begin_with_thousands():
    """A million networks of nanoseconds each: what a block costs the host is all that there is to save."""
    size = SIZE._replace(points=100_000, steps=4)
    shape = choose(size, network(points=1e-9, touched=12, operations=1))
    assert shape.seeds * shape.points >= 2000
    assert shapes.expected(shape, size, network(points=1e-9, touched=12, operations=1), MACHINE) < 0.5


def test_heavy_networks_stay_few_and_are_cut_evenly():
    """Nothing is gained by more of them; seeds in twos, and no block has an empty place."""
    shape = choose()
    assert shape.seeds >= 2
    assert shape.seeds * shape.points <= 8
    assert SIZE.points % shape.points == 0
    assert SIZE.seeds % shape.seeds == 0


def test_what_the_points_of_a_seed_share_makes_blocks_of_many_points():
    """A fresh batch that costs ten times what a point adds: hundreds of points, where few are as good without."""
    assert choose(net=network(points=1e-4, seeds=1e-3)).points >= 10 * choose().points


def test_a_network_that_fills_the_cache_is_trained_in_ones_or_twos():
    assert max(choose(net=network(touched=10**6))) <= 2


def test_reductions_stay_below_the_size_from_where_they_are_slow():
    """Unless even four networks are beyond it: then nothing is gained by fewer."""
    small = {"points": 1e-6, "touched": 4000, "operations": 500}
    assert choose(net=network(**small)).seeds * choose(net=network(**small)).points > 10
    shape = choose(net=network(**small, reduced=400))
    assert shape.seeds * shape.points * 400 <= 4096
    shape = choose(net=network(**small, reduced=3000))
    assert shape.seeds * shape.points > 4


def test_all_devices_have_work():
    """Nine long networks on two devices: two blocks, one of them with an empty place."""
    shape = choose(SIZE._replace(points=9, seeds=1, steps=10**5))
    assert shapes.rounds(shape, SIZE._replace(points=9, seeds=1)) * shape.points <= 5


@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_shape_over_the_budget_is_never_taken(most):
    assert choose(net=network(seeds=1e-3), fits=lambda s: s.seeds * s.points <= most) is not None
    shape = choose(net=network(seeds=1e-3), fits=lambda s: s.seeds * s.points <= most)
    assert shape.seeds * shape.points <= most


def test_not_even_one_network_fits():
    assert choose(fits=lambda shape: False) is None


@pytest.mark.parametrize(("points", "seeds"), [(p, s) for p in (1, 2, 7, 9, 240) for s in (1, 3, 10)])
def test_a_shape_is_never_larger_than_the_sweep(points, seeds):
    shape = choose(SIZE._replace(points=points, seeds=seeds), network(points=1e-9))
    assert 1 <= shape.points <= points
    assert 1 <= shape.seeds <= seeds


# --- with measured speeds ------------------------------------------------------------------------------


def refine(step, first=FIRST, size=SIZE, trial=0.01, clock=time.perf_counter):
    """The shape that planted seconds of a step lead to, and what was tried."""
    timed = []

    def step_seconds(*wanted):
        timed.extend(wanted)
        return None if None in map(step, wanted) else [step(s) for s in wanted]

    best, tried, _ = shapes.refine(first, size, network(), MACHINE, step_seconds, trial, clock)
    assert set(timed) == set(tried)
    return best, tried


@pytest.mark.parametrize("target", [Block(1, 2), Block(1, 30), Block(2, 8), Block(5, 4)])
def test_the_fastest_shape_is_found(target):
    """From one neighbour to the next, over seeds and points, where every step closer pays."""

    def step(shape):
        away = abs(shape.seeds / target.seeds - 1) + abs(shape.points / target.points - 1)
        return 1e-4 * shape.seeds * shape.points * (1 + away)

    best, _ = refine(step, size=SIZE._replace(steps=10**6))
    assert step(best) / (best.seeds * best.points) <= 1.3 * 1e-4
    assert step(best) / (best.seeds * best.points) < step(Block(1, 8)) / 8


def test_what_is_no_faster_is_left():
    """The first stays where the others are as fast, or faster by less than the noise."""
    assert refine(lambda s: 1e-3 * s.seeds * s.points)[0] == Block(1, 8)
    assert refine(lambda s: 1e-3 * s.seeds * s.points * (1.02 if s == Block(1, 8) else 1))[0] == Block(1, 8)


def test_a_short_sweep_is_not_probed():
    """However much faster another shape would be."""
    best, tried = refine(lambda s: 1e-6 * (1 if s == Block(1, 8) else 1e-3) * s.points)
    assert (best, tried) == (Block(1, 8), [Block(1, 8)])


def test_probing_ends_when_it_has_taken_its_share():
    """A sweep of 72 s and trials of 2 s, the clock looked at before each: one, and no second."""
    now = itertools.count(0, 2)
    _, tried = refine(lambda s: 1e-3 * s.seeds * s.points, size=SIZE._replace(steps=60), trial=2.0, clock=now.__next__)
    assert len(tried) == 2


def test_a_shape_without_room_is_passed_over():
    best, tried = refine(lambda s: 1e-3 * s.points if s.points <= 8 else None, size=SIZE._replace(steps=10**5))
    assert best.points <= 8
    assert any(s.points > 8 for s in tried)
