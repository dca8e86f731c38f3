"""Steps of blocks of other shapes, timed: what is trained in them, and what has no room."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import NamedTuple

import jax
import pytest
from harness import need_devices

import snljax as snl
from snljax import Experiment, field
from snljax.sweep import program
from snljax.sweep.arguments import plan_of
from snljax.sweep.layout import Block
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.probing import Probe
from snljax.sweep.train import Trainer
from snljax.sweep.work import in_memory


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = field(0.5)
    steps: int = field(50, range="[0, inf)")


class Key(NamedTuple):
    key: jax.Array


class Last(NamedTuple):
    last: jax.Array


WALK = Experiment(  # with a key in its draw, as fresh batches have it
    "walk",
    Config,
    lambda config, key: Key(key),
    lambda config, draw: jax.random.normal(draw.key, (7,)),
    lambda config, draw, x, t: config.rate * x + jax.random.normal(jax.random.fold_in(draw.key, t), (7,)),
    lambda config, draw, x: Last(x[0]),
)
FIRST = Block(2, 3)


def probe(most=10**9):
    grid = snl.Grid(WALK, rate=[0.1, 0.2, 0.3, 0.4], seed=range(6))
    systems = Systems(grid, tuple(need_devices(2)), "highest")
    said = []
    plan = plan_of(grid, None, "highest", None, False)
    return Probe(Trainer(in_memory(plan, FIRST), systems, Room(most, 1)), Room(most, 1), said.append), said, systems


def test_shapes_wider_and_narrower_than_the_first_are_timed_side_by_side():
    """Also where the draw holds random keys; each new shape is announced once."""
    one, said, _ = probe()
    [first] = one.step_seconds(FIRST)
    assert first > 0
    assert said == []
    for shape in (Block(1, 2), Block(3, 4), Block(5, 1)):
        both = one.step_seconds(FIRST, shape)
        assert min(both) > 0
        one.step_seconds(FIRST, shape)
        assert sum(f"{shape.seeds} seeds × {shape.points} points" in text for text in said) == 1


@pytest.mark.parametrize("shape", [Block(1, 2), Block(3, 4)])
def test_no_more_steps_are_trained_than_the_sweep_has(shape, monkeypatch):
    """What comes after may be cheaper, such as a penalty that is over."""
    trained = []
    real = program.advance_only

    def noting(recipe):
        advance = real(recipe)
        return lambda fixed, blocks: trained.append(int(fixed["stop"])) or advance(fixed, blocks)

    monkeypatch.setattr(program, "advance_only", noting)
    one, _, _ = probe()
    one.step_seconds(shape)
    assert max(trained) == 50


def test_shapes_without_room_for_all_that_take_turns_are_not_compiled():
    _, _, systems = probe()
    config = systems.experiment.Config()
    narrow, wide = (program.needed(systems.recipe(config, shape), Room(10**9, 1)) for shape in (FIRST, Block(6, 400)))
    assert narrow < wide
    one, said, _ = probe(most=narrow + wide - 1)
    assert one.step_seconds(FIRST, Block(6, 400)) is None
    assert said == []
    assert len(one.step_seconds(FIRST)) == 1
    one, said, _ = probe(most=narrow + wide)
    assert len(one.step_seconds(FIRST, Block(6, 400))) == 2


def test_a_probe_lets_go_of_its_networks_with_its_last_name():
    """Not whenever Python looks for circles: the sweep that follows needs the room."""
    one, _, _ = probe()
    one.step_seconds(FIRST, Block(1, 2))
    gc.disable()
    try:
        gone = weakref.ref(one)
        del one
        assert gone() is None
    finally:
        gc.enable()
