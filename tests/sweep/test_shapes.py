"""The choice of a block shape, with planted speeds in place of measured ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from snljax.sweep import shapes
from snljax.sweep.layout import Block
from snljax.sweep.program import OverBudgetError

CORES = (SimpleNamespace(platform="cpu"),) * 2
LONG = 10**9  # network-steps: probing is worth while


def choose(speed, points=1000, seeds=30, work=LONG, largest=10**9):
    """The shape for programs that are known by their width alone; and what was compiled for nothing."""

    def build(shape):
        if shape.seeds * shape.points > largest:
            raise OverBudgetError(1)
        return shape.seeds * shape.points

    return shapes.choose(build, lambda width, shape: speed(width), points, seeds, work, CORES, 1, lambda text: None)


@pytest.mark.parametrize("best", [1, 2, 4, 8, 32])
def test_the_fastest_width_is_found_by_halving_or_doubling(best):
    """Down to a single network, and no further."""
    chosen, discarded = choose(lambda width: 1000 / (1 + abs(width.bit_length() - best.bit_length())))
    assert chosen == Block(1, best)
    assert best not in discarded
    assert 4 in [best, *discarded]


def test_a_short_sweep_is_not_probed():
    assert choose(lambda width: 1000 * width, work=1000) == (Block(1, 4), [])


def test_every_device_keeps_several_blocks():
    """However fast wide blocks are: 64 cells, 2 devices, 8 blocks each."""
    chosen, _ = choose(lambda width: 1000 * width, points=64, seeds=1)
    assert chosen == Block(1, 4)


def test_a_width_over_the_budget_is_never_taken():
    assert choose(lambda width: 1000 * width, largest=8)[0] == Block(1, 8)
    assert choose(lambda width: 1000, largest=2)[0] == Block(1, 2)
    with pytest.raises(ValueError, match="cannot hold one network; allowed"):
        choose(lambda width: 1000, largest=0)
