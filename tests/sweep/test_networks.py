"""Weights of single networks, equal to the bit to a sweep's: trained again, kept in files, kept in the Dataset."""

from __future__ import annotations

import dataclasses
import json
from typing import NamedTuple

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import POWERS, bits

import snljax as snl
from snljax import Experiment, StoreError, SweepError, field


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WalkConfig:
    """Weights that wander: their last bits tell any two trainings apart that are not the same."""

    rate: float = field(0.1)
    width: int = field(5, static=True, range="[1, inf)")
    steps: int = field(30, range="[0, inf)")


class WalkState(NamedTuple):
    weights: dict
    key: jax.Array
    count: jax.Array


class WalkMetrics(NamedTuple):
    norm: jax.Array


def walk_step(config, draw, state, t):
    noise = jax.random.normal(jax.random.fold_in(state.key, t), draw.shape)
    a, b = state.weights["a"], state.weights["b"]
    return state._replace(
        weights={"a": a - config.rate * jnp.outer(jnp.sin(a @ b), b), "b": b + noise}, count=state.count + 1
    )


def walk_init(config, draw):
    return WalkState({"a": jnp.outer(draw, draw), "b": draw}, jax.random.key(3), jnp.int32(0))


WALK = Experiment(
    name="walk",
    Config=WalkConfig,
    draw=lambda config, key: jax.random.normal(key, (config.width,)),
    init=walk_init,
    step=walk_step,
    measure=lambda config, draw, state: WalkMetrics(jnp.sum(state.weights["a"] ** 2)),
)


def walk_grid(**more):
    return snl.Grid(WALK, rate=[0.1, 0.2, 0.3], width=[4, 5], seed=[0, 7, 9], **more)


@pytest.fixture(scope="module")
def walked():
    """A sweep that keeps all states, in blocks that its cells do not fill."""
    return snl.sweep(walk_grid(), block=(2, 2), keep="state", progress=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "store"
    snl.sweep(walk_grid(), store=path, block=(2, 2), record_every=10, progress=False)
    return path


def assert_is(network, ds, rate, width, seed):
    there = ds.sel(rate=rate, width=width, seed=seed)
    state = network.state
    a, b = there.state_weights_a.values[:width, :width], there.state_weights_b.values[:width]
    np.testing.assert_array_equal(bits(state.weights["a"]), bits(a))
    np.testing.assert_array_equal(bits(state.weights["b"]), bits(b))
    np.testing.assert_array_equal(jax.random.key_data(state.key), there.state_key)
    assert bits(network.metrics["norm"]) == bits(there.norm.values)
    assert (network.config, network.seed, int(state.count)) == (WalkConfig(rate, width), seed, 30)


def test_the_state_of_all_networks_in_the_dataset(walked):
    assert walked.state_weights_a.dims == (
        "rate",
        "width",
        "seed",
        "state_weights_a_dim_0",
        "state_weights_a_dim_1",
    )
    chex.assert_shape(walked.state_weights_a.values, (3, 2, 3, 5, 5))
    assert walked.state_weights_a.dtype == np.float32
    plain = snl.sweep(walk_grid(), block=(2, 2), progress=False)
    np.testing.assert_array_equal(bits(walked.norm), bits(plain.norm))
    norms = (walked.state_weights_a**2).sum(("state_weights_a_dim_0", "state_weights_a_dim_1"))
    np.testing.assert_allclose(walked.norm, norms, rtol=1e-5)


@pytest.mark.parametrize(("rate", "width", "seed"), [(0.1, 4, 0), (0.3, 5, 9), (0.2, 4, 7)])
def test_one_network_of_a_grid_has_the_bits_of_the_sweep(walked, rate, width, seed):
    block = tuple(json.loads(walked.attrs["block"]))
    assert_is(snl.train_one(walk_grid(), block=block, rate=rate, width=width, seed=seed), walked, rate, width, seed)


def test_networks_of_a_store_have_the_bits_of_the_sweep(walked, store):
    rates, seeds = [0.3, 0.1], [9, 0, 7]
    networks = snl.replay(store, experiment=WALK, rate=rates, width=5, seed=seeds)
    wanted = [(rate, 5, seed) for rate in rates for seed in seeds]
    for network, cell in zip(networks, wanted, strict=True):
        assert_is(network, walked, *cell)


def test_a_network_on_its_way(store):
    """At every record the store says what its norm was; between them nothing is compared."""
    ds = snl.open_store(store)
    for step in (0, 10, 30):
        [network] = snl.replay(store, experiment=WALK, step=step, rate=0.2, width=4, seed=7)
        assert bits(network.metrics["norm"]) == bits(ds.norm.sel(rate=0.2, width=4, seed=7, step=step).values)
    [network] = snl.replay(store, experiment=WALK, step=13, rate=0.2, width=4, seed=7)
    assert (network.step, int(network.state.count)) == (13, 13)


def test_a_store_with_other_numbers_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "store"
    snl.sweep(walk_grid(), store=path, block=(2, 2), progress=False)
    from snljax.sweep import networks

    honest = networks.open_part
    monkeypatch.setattr(networks, "open_part", lambda *a: honest(*a).assign(norm=honest(*a).norm + 1))
    with pytest.raises(StoreError, match=r"another norm of rate=0\.1, width=4, seed=0"):
        snl.replay(path, experiment=WALK, rate=0.1, width=4, seed=0)


def test_another_program_and_unfinished_cells_are_refused(store, tmp_path, one_line):
    cell = {"rate": 0.1, "width": 4, "seed": 0}
    other = WALK._replace(step=lambda c, d, s, t: walk_step(c, d, s, t + 1))
    one_line(lambda: snl.replay(store, experiment=other, **cell), "another program")
    one_line(lambda: snl.replay(store, **cell), "'walk'", "experiment=")
    part = tmp_path / "part"
    snl.sweep(walk_grid(), store=part, block=(2, 2), shard=(1, 4), progress=False)
    done = snl.open_store(part).status.stack(cell=("rate", "width", "seed"))
    pending = dict(zip(("rate", "width", "seed"), done[done == 0].cell.values[0], strict=True))
    one_line(lambda: snl.replay(part, experiment=WALK, **pending), "not finished")


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ({"rate": 0.1, "width": 4}, ["seed: not given", "0, 7, 9"]),
        ({"rate": 0.15, "width": 4, "seed": 0}, ["rate: 0.15 is not on the axis", "0.1, 0.2, 0.3"]),
        ({"rat": 0.1, "width": 4, "seed": 0}, ["axis: 'rat'", "'rate'"]),
        ({"rate": [0.1, 0.2], "width": 4, "seed": 0}, ["2 cells"]),
        ({"rate": 0.1, "width": 4, "seed": 0, "step": 31}, ["step: 31", "0 to 30"]),
        ({"rate": 0.1, "width": 4, "seed": 0, "step": True}, ["step: True"]),
    ],
)
def test_a_cell_that_is_not_there_is_refused(one_line, cell, texts):
    one_line(lambda: snl.train_one(walk_grid(), **cell), *texts)


def test_a_number_that_is_written_otherwise_is_found():
    grid = snl.Grid(POWERS, rate=[0.1 + 0.2, 0.5], steps=1)
    assert snl.train_one(grid, rate=0.3, block=(1, 2)).config.rate == 0.1 + 0.2


def test_rows_that_move_together_and_a_grid_of_one_cell():
    grid = snl.Grid(POWERS, rows=snl.together(rate=[0.5, 0.25], start=[1.0, 2.0]), steps=2)
    network = snl.train_one(grid, rows=1)
    assert (network.config.rate, network.config.start) == (0.25, 2.0)
    np.testing.assert_allclose(network.state, 4 * 0.25**2)
    np.testing.assert_allclose(snl.train_one(snl.Grid(POWERS, steps=3)).state, 0.5**3)


def test_a_network_that_diverged_is_refused_and_was_finite_before(one_line):
    grid = snl.Grid(POWERS, rate=[0.5, 1e30], steps=4)
    one_line(lambda: snl.train_one(grid, rate=1e30), "rate=1e+30", "diverged by step 4")
    np.testing.assert_allclose(snl.train_one(grid, rate=1e30, step=1).state, 1e30)


def test_a_file_has_the_same_network(tmp_path, one_line):
    network = snl.train_one(walk_grid(), rate=0.2, width=4, seed=7)
    file = tmp_path / "network.msgpack"
    network.save(file)
    again = snl.load_network(file, experiment=WALK)
    chex.assert_trees_all_equal(network.state._replace(key=0), again.state._replace(key=0))
    assert again.state.key == network.state.key
    chex.assert_trees_all_equal_shapes_and_dtypes(network.draw, again.draw)
    assert again[1:4] == network[1:4]
    assert {n: bits(a) for n, a in again.metrics.items()} == {n: bits(a) for n, a in network.metrics.items()}
    plain = flax.serialization.msgpack_restore(file.read_bytes())  # without this package
    np.testing.assert_array_equal(plain["state"][".weights['b']"], network.state.weights["b"])

    one_line(lambda: snl.load_network(file), "'walk'", "experiment=")
    other = WALK._replace(init=lambda c, d: walk_init(c, d)._replace(count=jnp.float32(0)))
    one_line(lambda: snl.load_network(file, experiment=other), ".count")
    file.write_bytes(b"no network")
    one_line(lambda: snl.load_network(file), "is not a network")
    with pytest.raises(ValueError, match="cannot be read"):
        snl.load_network(tmp_path / "none")
    with pytest.raises(ValueError, match="cannot be written"):
        network.save(tmp_path / "none" / "a")


def test_a_built_in_network_goes_through_a_file(tmp_path):
    grid = snl.Grid("topk_pruning", K=[2, 4], steps=3, n=8, n_test=10, d=16, m=2, num_classes=2)
    network = snl.train_one(grid, K=4)
    network.save(tmp_path / "a")
    again = snl.load_network(tmp_path / "a")
    chex.assert_trees_all_equal(network.state, again.state)
    assert again.config == network.config


def test_what_can_be_kept(tmp_path, one_line):
    grid = walk_grid()
    one_line(lambda: snl.sweep(grid, keep="weights"), "keep: 'weights'")
    one_line(lambda: snl.sweep(grid, keep="state", store=tmp_path), "keep: 'state' with a store", "replay")
    large = snl.Grid(WALK, rate=[0.1, 0.2, 0.3], width=2000, seed=range(9))  # 16 MB a network
    one_line(lambda: snl.sweep(large, keep="state", memory="400MB", block=(1, 1)), "keep: the states of 27 networks")
    same = POWERS._replace(measure=lambda c, d, x: NamedTuple("M", [("state", jax.Array)])(x))
    one_line(lambda: snl.sweep(snl.Grid(same), keep="state"), "keep: state is a metric of powers")


# --- told of every block --------------------------------------------------------------------------------


def test_somebody_is_told_of_every_block():
    seen = []
    grid = snl.Grid(POWERS, rate=[0.1, 0.2, 0.3, 0.4], seed=range(2), steps=2)
    ds = snl.sweep(grid, block=(1, 2), devices=1, on_block=seen.append, progress=False)
    assert [int((s.status == 1).sum()) for s in seen] == [2, 4, 6, 8]
    assert np.isnan(seen[0]["mean"]).sum() == 6  # as it was then
    np.testing.assert_array_equal(seen[-1]["mean"], ds["mean"])


@pytest.mark.parametrize("kept", [False, True])
def test_a_listener_that_raises_ends_the_sweep_and_nothing_is_lost(tmp_path, kept):
    def refuse(ds):
        raise RuntimeError("no more")

    grid = snl.Grid(POWERS, rate=[0.1, 0.2, 0.3, 0.4], seed=range(2), steps=2)
    store = tmp_path / "store" if kept else None
    with pytest.raises(SweepError, match="on_block raised RuntimeError: no more; 2 of 8 cells are trained") as failed:
        snl.sweep(grid, store=store, block=(1, 2), devices=1, on_block=refuse, progress=False)
    assert int((failed.value.dataset.status == 1).sum()) == 2
    assert isinstance(failed.value.failures["on_block"], RuntimeError)
    if kept:
        assert int((snl.sweep(grid, store=store, progress=False).status == 1).sum()) == 8


def test_a_listener_is_a_function(one_line):
    one_line(lambda: snl.sweep(snl.Grid(POWERS), on_block="print"), "on_block: 'print'")
