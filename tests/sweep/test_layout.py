"""Where cells lie: each in one place, for good, whatever is asked for later."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snljax.sweep.layout import Block, Cells, Layout

AXES = 3  # two of points, and seed
positions = st.lists(st.integers(0, 5), min_size=1, max_size=5, unique=True).map(np.array)
products = st.tuples(*[positions] * AXES).map(Cells)
points = st.lists(st.tuples(*[st.integers(0, 5)] * (AXES - 1)), min_size=1, max_size=7, unique=True)
lists = st.builds(lambda p, seeds: Cells((*map(np.array, zip(*p, strict=True)), seeds), listed=True), points, positions)
requests = st.lists(products | lists, min_size=1, max_size=4)
shapes = st.builds(Block, st.integers(1, 3), st.integers(1, 5))
statics = st.tuples(*[st.booleans()] * (AXES - 1))


def members(cells):
    """Every cell of a request: its positions."""
    *points, seeds = (a.tolist() for a in cells.list().axes)
    return {(*point, seed) for point in zip(*points, strict=True) for seed in seeds}


def cells_of(layout):
    """Every cell of every block: its positions -> the number that its place in the block gives it."""
    found = {}
    for block in range(layout.blocks):
        box, part = layout.part(block)
        *points, seeds = layout.positions(box, part)
        for (s, seed), p in itertools.product(enumerate(seeds), range(len(points[0]))):
            cell = (*(int(axis[p]) for axis in points), int(seed))
            assert cell not in found, "a cell lies in two places"
            found[cell] = block * layout.slots + s * layout.block.points + p
    return found


@settings(max_examples=150, deadline=None)
@given(requests, shapes, statics)
def test_each_cell_has_one_place_and_keeps_it(asked, shape, static):
    layout, before = Layout(shape, static), {}
    wanted = set()
    for cells in asked:
        layout = layout.grown(cells)
        found = cells_of(layout)
        wanted |= members(cells)
        assert set(found) == wanted
        assert before.items() <= found.items()
        assert layout.cells == len(wanted) == layout.sizes().sum()
        before = found
    everywhere = [np.arange(6)] * AXES
    located = layout.locate(everywhere)
    for cell in np.ndindex(located.shape):
        assert located[cell] == before.get(cell, -1)


@settings(max_examples=100, deadline=None)
@given(requests, shapes, statics, products | lists)
def test_the_blocks_that_a_request_needs_are_those_that_hold_its_cells(asked, shape, static, request):
    layout = Layout(shape, static)
    for cells in asked:
        layout = layout.grown(cells)
    placed = cells_of(layout)
    inside = [placed[cell] for cell in members(request) if cell in placed]
    assert set(np.flatnonzero(layout.needed(request))) == {number // layout.slots for number in inside}
    numbers = layout.numbers(request)
    assert numbers.shape == (request.points, len(request.seeds))
    assert sorted(numbers[numbers >= 0].tolist()) == sorted(inside)


@settings(max_examples=60, deadline=None)
@given(requests, shapes, statics, st.tuples(*[st.lists(st.integers(0, 5), min_size=1, max_size=6)] * AXES))
def test_a_cell_is_found_as_often_as_it_is_looked_for(asked, shape, static, axes):
    layout = Layout(shape, static)
    for cells in asked:
        layout = layout.grown(cells)
    placed, found = cells_of(layout), layout.locate([np.array(a) for a in axes])
    for place in np.ndindex(found.shape):
        assert found[place] == placed.get(tuple(a[i] for a, i in zip(axes, place, strict=True)), -1)


@settings(max_examples=60, deadline=None)
@given(requests, shapes, statics)
def test_asking_for_some_again_changes_nothing(asked, shape, static):
    layout = Layout(shape, static)
    for cells in asked:
        layout = layout.grown(cells)
    for cells in asked:
        assert layout.grown(cells) is layout
        assert layout.grown(cells.list()) is layout


@settings(max_examples=60, deadline=None)
@given(requests, shapes)
def test_a_block_has_one_value_of_a_static_axis(asked, shape):
    layout = Layout(shape, (True, False))
    for cells in asked:
        layout = layout.grown(cells)
    for block in range(layout.blocks):
        static, *_ = layout.positions(*layout.part(block))
        assert len(set(static.tolist())) == 1


def test_asking_again_changes_nothing():
    axes = [np.arange(10), np.arange(7), np.arange(2)]
    layout = Layout(Block(2, 8), (False, False)).grown(Cells(tuple(axes)))
    assert layout.grown(Cells(tuple(axes))) is layout
    assert layout.grown(Cells(tuple(a[:1] for a in axes))) is layout


def test_a_grid_without_axes_is_one_cell():
    layout = Layout(Block(1, 4), ()).grown(Cells((np.arange(1),)))
    assert (layout.blocks, layout.cells) == (1, 1)
    assert layout.locate([np.arange(1)]).tolist() == [0]


def test_a_billion_cells_cost_nothing():
    """Arithmetic only: no array as long as the sweep."""
    layout = Layout(Block(1, 4096), (False, False, False)).grown(Cells((*[np.arange(1000)] * 3, np.arange(1))))
    assert layout.cells == 10**9
    assert layout.locate([[999], [999], [999], [0]]).item() == 10**9 - 1
    box, part = layout.part(layout.blocks - 1)
    assert [int(axis[-1]) for axis in layout.positions(box, part)] == [999, 999, 999, 0]
