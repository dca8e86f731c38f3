"""Measurements that a device takes on its way: the bits of those that the host asks for one by one."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from harness import POWERS, SMALL, assert_same_bits, bits, need_devices

import snljax as snl
from snljax.sweep import codec
from snljax.sweep.arguments import plan_of
from snljax.sweep.batch import RECORDS_AT_ONCE
from snljax.sweep.keeper import Plain
from snljax.sweep.layout import Block
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.records import Records
from snljax.sweep.round import Round, records_alike
from snljax.sweep.train import Trainer
from snljax.sweep.work import in_memory

BLOCK = Block(2, 3)
GRIDS = {
    "powers": (POWERS, {"rate": [0.5, 1.5, 30.0], "spread": 0.5, "steps": 200}),
    "topk_pruning": ("topk_pruning", {"sigma_p": [0.5, 1.0, 1.5], "steps": 200, **SMALL}),
    "gradient_regularization": (
        "gradient_regularization",
        {"sigma_p": [0.5, 1.0, 1.5], "steps": 200, "close_at": 90, "n_test": 20, "d": 16, "m": 3, "n": 8},
    ),
}


def trained(trainer, every, at_once, segment=70):
    """Records of one round, its first bad steps, and how often the host called the device."""
    plan = trainer.job.plan
    works = [trainer.job.work(0)]
    compiled, _ = trainer.program(works[0].config, Plain())
    calls = []

    def counted(name):
        def call(*arguments):
            calls.append(name)
            return getattr(compiled, name)(*arguments)

        return call

    program = compiled._replace(**{n: counted(n) for n in ("advance", "measure", "record")})
    steps = sorted({*range(0, plan.steps, every), plan.steps})
    kept = Records(trainer.systems.metrics(works[0].config), BLOCK, len(steps), 10**9, None)
    bad = np.full((1, *BLOCK), -1, np.int32)
    fixed, blocks, again = started(trainer, compiled, works)
    going = Round(program, fixed, blocks, again, [kept], steps, 0, bad, 100, at_once)
    while not going.done:
        going.go(segment)
        going.look()
    return kept.arrays, going.first_bad, calls


def started(trainer, compiled, works):
    """What a round begins with, and what makes its first state once more."""
    blocks = trainer.start(compiled, works)
    return trainer.fixed(works[0].config), blocks, lambda: trainer.start(compiled, works)["state"]


@pytest.fixture(
    scope="module", params=["powers", "gradient_regularization", pytest.param("topk_pruning", marks=pytest.mark.slow)]
)
def trainer(request):
    experiment, fields = GRIDS[request.param]
    grid = snl.Grid(experiment, **fields, seed=range(2))
    plan = plan_of(grid, None, "highest", None, False)
    devices = tuple(need_devices(1))
    return Trainer(in_memory(plan, BLOCK), Systems(grid, devices, "highest"), Room(10**9, len(plan.records)))


@pytest.mark.parametrize("every", [1, 7])
def test_records_taken_on_the_device_have_the_bits_of_those_that_the_host_takes(trainer, every):
    """Across segments that end between records, with an irregular last one, and with networks that diverge."""
    one_by_one, first_bad, calls = trained(trainer, every, at_once=1)
    on_the_way, first_bad_too, fewer = trained(trainer, every, at_once=RECORDS_AT_ONCE)
    for name, values in one_by_one.items():
        assert values.tobytes() == on_the_way[name].tobytes(), name
    assert first_bad.tobytes() == first_bad_too.tobytes()
    assert "record" not in calls
    assert calls.count("measure") == len(range(0, 200, every)) + 1
    assert len(fewer) < len(calls) / 3


def test_the_check_before_the_first_round_sees_other_bits(trainer):
    works = [trainer.job.work(0)]
    compiled, _ = trainer.program(works[0].config, Plain())
    fixed, blocks, again = started(trainer, compiled, works)
    assert records_alike(compiled, fixed, blocks, again, 3)

    def off_by_a_bit(*arguments):
        state, good, metrics = compiled.record(*arguments)
        return (
            state,
            good,
            jax.tree.map(lambda a: a + a.dtype.type(1) if a.dtype.kind == "i" else a * 1.0000002, metrics),
        )

    assert not records_alike(compiled._replace(record=off_by_a_bit), fixed, blocks, again, 3)


def test_a_sweep_recorded_closely_calls_the_device_rarely(monkeypatch):
    """3000 records of a round: as they are taken by a sweep, they equal the closed form."""
    calls = []
    go = Round.go
    monkeypatch.setattr(Round, "go", lambda self, segment: calls.append(self.step) or go(self, segment))
    grid = snl.Grid(POWERS, rate=[0.999, 1.0], steps=3000)
    ds = snl.sweep(grid, record_every=1, progress=False, block=(1, 2), devices=1)
    t = np.arange(3001)
    np.testing.assert_allclose(ds["mean"].values, np.float64([[0.999], [1.0]]) ** t, rtol=1e-3)
    assert (ds.step.values == t).all()


def test_steps_write_the_state_where_it_was(trainer):
    """A block holds its networks once while it trains: the old state is gone when the new one is there."""
    works = [trainer.job.work(0)]
    compiled, _ = trainer.program(works[0].config, Plain())
    fixed, blocks, again = started(trainer, compiled, works)
    before = jax.tree.leaves(blocks["state"])
    after, _ = compiled.advance(fixed | {"start": np.int32(0), "stop": np.int32(1)}, blocks)
    assert all(leaf.is_deleted() for leaf in before)
    others = jax.tree.leaves((blocks["draw"], blocks["swept"], fixed, after))
    assert not any(leaf.is_deleted() for leaf in others if isinstance(leaf, jax.Array))
    assert [a.shape for a in jax.tree.leaves(again())] == [a.shape for a in jax.tree.leaves(after)]


def test_the_state_that_is_known_is_that_of_its_step(trainer):
    """What a checkpoint is made of, also in the middle of a segment and after the last step."""
    works = [trainer.job.work(0)]
    compiled, _ = trainer.program(works[0].config, Plain())
    fixed, blocks, again = started(trainer, compiled, works)
    kept = Records(trainer.systems.metrics(works[0].config), BLOCK, 1, 10**9, None)
    going = Round(compiled, fixed, blocks, again, [kept], [20], 0, np.full((1, *BLOCK), -1, np.int32), 100, 1)
    known = []
    while not going.done:
        going.go(7)
        known.append((going.checked, codec.to_host(going.state)))
        going.look()
        known.append((going.checked, codec.to_host(going.state)))
    assert [step for step, _ in known] == [0, 7, 7, 14, 14, 20]
    for step, leaves in known:
        bounds = {"start": np.int32(0), "stop": np.int32(step)}
        state, _ = compiled.advance(fixed | bounds, started(trainer, compiled, works)[1])
        assert [a.tobytes() for a in codec.to_host(state)] == [a.tobytes() for a in leaves]


def test_a_network_that_diverges_early_is_found_without_a_copy_of_its_first_state(trainer):
    """In the first segment or in a later one: the same update."""
    _, in_one, _ = trained(trainer, every=200, at_once=1, segment=200)
    _, in_many, _ = trained(trainer, every=200, at_once=1, segment=3)
    assert in_one.tobytes() == in_many.tobytes()


# --- steps as an axis -----------------------------------------------------------------------------------


def test_steps_as_an_axis_are_records_of_one_training(monkeypatch):
    """Equal to the bit to separate sweeps; no program more than for one number of steps."""
    axes = {"rate": [0.5, 0.9, 1.1], "spread": 0.3, "seed": [3, 5]}
    grid = snl.Grid(POWERS, steps=[0, 2, 7, 11], **axes)
    assert (grid.shape, grid.cells) == ({"rate": 3, "seed": 2, "steps": 4}, 6)
    ds = snl.sweep(grid, block=(2, 3), progress=False)
    assert ds["mean"].dims == ("rate", "seed", "steps")
    assert ds["values"].dims == ("rate", "seed", "steps", "coordinate")
    assert ds.steps.values.tolist() == [0, 2, 7, 11]
    for steps in ds.steps.values.tolist():
        one = snl.sweep(snl.Grid(POWERS, steps=steps, **axes), block=(2, 3), progress=False)
        np.testing.assert_array_equal(bits(ds["values"].sel(steps=steps)), bits(one["values"]))
        assert one.attrs["programs_compiled"] <= 1
    assert ds.attrs["programs_compiled"] <= 1


def test_steps_as_an_axis_in_a_store(tmp_path, one_line):
    grid = snl.Grid(POWERS, rate=[0.5, 0.9], steps=[2, 7])
    ds = snl.sweep(grid, store=tmp_path / "a", progress=False).load()
    assert_same_bits(ds, snl.open_store(tmp_path / "a"))
    assert not snl.recompute(tmp_path / "a", experiment=POWERS).wrong
    [network] = snl.replay(tmp_path / "a", experiment=POWERS, rate=0.9, step=2)
    np.testing.assert_array_equal(bits(network.state), bits(ds["values"].sel(rate=0.9, steps=2)))
    more = snl.Grid(POWERS, rate=[0.5, 0.7, 0.9], steps=[2, 7])
    assert int((snl.sweep(more, store=tmp_path / "a", progress=False).status == 1).sum()) == 3
    other = snl.Grid(POWERS, rate=[0.5, 0.9], steps=[3, 7])
    one_line(lambda: snl.sweep(other, store=tmp_path / "a"), "record_every = [2, 7]", "[3, 7]")


def test_steps_that_are_no_axis(one_line):
    grid = snl.Grid(POWERS, steps=[2, 4])
    one_line(lambda: snl.sweep(grid, record_every=1), "record_every: 1", "several steps")
    one_line(lambda: snl.Grid(POWERS, steps=[4, 2]), "steps: [4, 2]", "ascending")
    one_line(lambda: snl.Grid(POWERS, steps=[2, 2]), "steps: [2, 2]")
    one_line(lambda: snl.Grid(POWERS, steps=[]), "steps")
    one_line(lambda: snl.Grid(POWERS, steps=[-1, 2]), "steps")
    one_line(lambda: snl.Grid(POWERS, snl.together(rate=[0.1, 0.2], steps=[1, 2])), "steps: inside together")
    two = snl.Grid(POWERS, rate=[0.1, 0.2], start=[1.0, 2.0], steps=[2, 4])
    one_line(lambda: snl.trace(two, "mean", 0.5), "steps: [2, 4]", "trace")


@pytest.mark.parametrize("name", ["init", "step", "measure"])
def test_a_training_that_goes_by_its_length_has_no_states_of_a_shorter_one(one_line, name):
    """A schedule over all steps, for example."""
    honest = getattr(POWERS, name)
    places = {"init": (lambda c, d: honest(c, d) * c.steps), "step": (lambda c, d, x, t: x * (1 - t / c.steps))}
    places["measure"] = lambda c, d, x: honest(c, d, x)._replace(mean=x.sum() / c.steps)
    other = POWERS._replace(**{name: places[name]})
    one_line(lambda: snl.sweep(snl.Grid(other, steps=[2, 4])), f"{name} of powers goes by their number")
    snl.sweep(snl.Grid(other, steps=4), progress=False)
    unused = POWERS._replace(**{name: lambda c, *rest: (c.steps * 2, honest(c, *rest))[1]})
    assert snl.sweep(snl.Grid(unused, steps=[2, 4]), progress=False).sizes == {"steps": 2, "coordinate": 3}
