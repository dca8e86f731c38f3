"""Boundaries traced through the engine: against the dense grid, from a store, after a kill."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from harness import PYTHONPATH, assert_same_bits

import snljax as snl
from snljax import Experiment, field, stats
from snljax.sweep.store import Store


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HillConfig:
    """A loss over two numbers that falls below 1 inside an ellipse; each seed has a smooth field of its own."""

    a: float = field(0.5)
    b: int = field(10)
    spread: float = field(0.02)
    explode: float = field(2.0, help="networks with a above this leave the finite numbers")
    steps: int = field(1, range="[0, inf)")
    width: int = field(2, static=True, range="[1, inf)")


class HillMetrics(NamedTuple):
    test_loss: jax.Array
    accuracy: jax.Array
    parts: jax.Array


def _loss(config, draw):
    x, y = config.a, config.b / 24
    waves = draw[0] * jnp.sin(2 * x + draw[1]) + draw[2] * jnp.cos(2 * y + draw[3])
    return jnp.exp(6 * (x - 0.45) ** 2 + 3 * (y - 0.5) ** 2 - 0.4 + config.spread * waves)


HILL = Experiment(
    name="hill",
    Config=HillConfig,
    draw=lambda config, key: jax.random.normal(key, (4,)),
    init=lambda config, draw: _loss(config, draw) * jnp.ones(config.width),
    step=lambda config, draw, x, t: jnp.where(config.a > config.explode, jnp.inf, x),
    measure=lambda config, draw, x: HillMetrics(x[0], jnp.exp(-x[0]), x),
)


def hill(seeds=3, **settings):
    axes = {"a": np.linspace(0, 1, 20), "b": range(1, 25)}
    return snl.Grid(HILL, **({**axes, "seed": range(seeds)} | settings))


quietly = {"progress": False, "block": (3, 8)}  # of tiny networks


def traced(grid=None, level=1.0, net=5, **options):
    return snl.trace(hill() if grid is None else grid, "test_loss", level, net=net, **quietly, **options)


@functools.cache
def dense():
    return snl.sweep(hill(), **quietly)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    store = tmp_path_factory.mktemp("trace") / "store"
    return store, traced(store=store).load()


def test_the_traced_grid_is_the_dense_one_where_it_is_trained_and_tells_its_sides_everywhere(kept):
    _, ds = kept
    there = ds.status == 1
    assert int(there.sum()) == ds.attrs["networks"] == sum(json.loads(ds.attrs["rounds"]))
    assert ds.attrs["networks"] < 0.4 * dense().status.size
    assert_same_bits(ds.drop_vars("side"), xr.where(there, dense(), ds.drop_vars("side"), keep_attrs=True))
    side = stats.side(dense().test_loss, 1.0)
    assert ds.side.dtype == np.int8
    assert ds.side.dims == ("a", "b")
    assert (ds.side == side).mean() >= 0.995
    assert {-1, 0, 1} == {*np.unique(ds.side)}
    about = {"metric": "test_loss", "level": 1.0, "diverged": "above", "x": "a", "y": "b"}
    assert about.items() <= ds.side.attrs.items()
    assert (ds.b.dtype.kind, ds.b.values.tolist()) == ("i", list(range(1, 25)))


def test_one_program_trains_all_rounds(kept):
    _, ds = kept
    assert len(json.loads(ds.attrs["rounds"])) > 2
    assert ds.attrs["programs_compiled"] == 1
    assert json.loads(ds.attrs["block"]) == [3, 8]


def test_a_later_sweep_trains_the_rest_and_nothing_twice(kept, tmp_path):
    store, ds = kept
    before = {f.name: f.read_bytes() for f in (store / "done").glob("*.json")}
    whole = snl.sweep(hill(), store=store, **quietly)
    assert_same_bits(whole.load(), dense())
    after = {f.name: f.read_bytes() for f in (store / "done").glob("*.json")}
    assert before.items() <= after.items()
    assert sum(json.loads(text)["cells"] for text in after.values()) == hill().cells
    again = traced(store=store).load()
    assert len([*(store / "done").glob("*.json")]) == len(after)
    xr.testing.assert_identical(again.side, ds.side)
    assert again.attrs["rounds"] == ds.attrs["rounds"], "a store that has more leads to the same cells"
    assert not snl.recompute(store, cells=20, experiment=HILL).wrong


def test_stopped_in_any_round_and_resumed_it_gives_the_same_bits(kept, tmp_path, monkeypatch):
    _, ds = kept
    rounds = json.loads(ds.attrs["rounds"])
    put = Store.put
    for number, networks in enumerate(rounds):
        left = (sum(rounds[:number]) + networks // 2) // 24

        def stop(store, finished):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            put(store, finished)

        store = tmp_path / str(number)
        monkeypatch.setattr(Store, "put", stop)
        with pytest.raises(snl.Interrupted) as stopped:
            traced(store=store)
        assert "the same call again" in str(stopped.value)
        monkeypatch.setattr(Store, "put", put)
        resumed = traced(store=store).load()
        assert_same_bits(resumed, ds)
        assert resumed.attrs["rounds"] == ds.attrs["rounds"]


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_cells_that_are_lost_on_the_way_are_refused_and_trained_again(kept, tmp_path, monkeypatch):
    """To go on without them would look for the boundary elsewhere."""
    put, store = Store.put, tmp_path / "store"

    def lose(store, finished):
        put(store, finished)
        if finished.work.block == 1:
            (chunk,) = [*store.path.glob("data.zarr/0/test_loss/c/1")]
            chunk.unlink()

    monkeypatch.setattr(Store, "put", lose)
    with pytest.raises(snl.StoreError, match="24 cells that were trained cannot be read"):
        traced(store=store)
    monkeypatch.setattr(Store, "put", put)
    assert_same_bits(traced(store=store).load(), kept[1])


KILLED = """
import os, signal, sys
import test_trace
from snljax.sweep.store import Store
put, left = Store.put, int(sys.argv[2])
def stop(store, finished):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(store, finished)
Store.put = stop
test_trace.traced(store=sys.argv[1])
"""


@pytest.mark.slow
def test_killed_in_any_round_and_resumed_it_gives_the_same_bits(kept, tmp_path):
    _, ds = kept
    rounds = json.loads(ds.attrs["rounds"])
    for number, networks in enumerate(rounds):
        left = (sum(rounds[:number]) + networks // 2) // 24
        store = tmp_path / str(number)
        environment = os.environ | {"PYTHONPATH": PYTHONPATH}
        ended = subprocess.run([sys.executable, "-c", KILLED, str(store), str(left)], env=environment, check=False)
        assert ended.returncode == -signal.SIGKILL
        resumed = traced(store=store).load()
        assert_same_bits(resumed, ds)
        assert resumed.attrs["rounds"] == ds.attrs["rounds"]


def test_without_a_store_nothing_is_left_and_the_numbers_are_the_same(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert_same_bits(traced(), kept[1])
    assert not [*tmp_path.iterdir()]


def test_more_seeds_where_the_seeds_disagree():
    grid = hill(seeds=12, spread=0.06)
    ds = traced(grid, seeds=(3, 12))
    count = (ds.status == 1).sum("seed")
    assert {*np.unique(count)} == {0, 3, 6, 12}
    assert (ds.status.isel(seed=slice(3)).min("seed") == ds.status.isel(seed=0)).all()
    few = (count > 0) & (count < 12)
    assert (ds.side.where(few, 1) != 0).all()
    truth = stats.side(snl.sweep(grid, **quietly).test_loss, 1.0)
    full = count == 12
    assert (ds.side.where(full) == truth.where(full)).sum() == full.sum()
    assert (ds.side * truth >= 0).mean() > 0.99, "a cell lies on the other side than all seeds say"


def test_the_boundary_of_each_seed_is_that_of_the_dense_grid():
    grid = hill(spread=0.1)
    ds, whole = traced(grid, each_seed=True), snl.sweep(grid, **quietly)
    for side in ("lower", "upper"):
        there, wanted = (snl.boundary.edge(d.test_loss, "b", 1.0, side) for d in (ds, whole))
        assert (np.isnan(there) == np.isnan(wanted)).mean() > 0.95
        np.testing.assert_array_equal(there.where(wanted.notnull()), wanted.where(there.notnull()))


@pytest.mark.parametrize(("diverged", "side"), [("above", 1), ("below", -1)])
def test_a_diverged_cell_counts_on_the_side_that_is_said(diverged, side):
    ds = traced(hill(explode=0.7), diverged=diverged)
    dead = (ds.status == 2).any("seed")
    assert dead.any()
    assert (ds.side.where(dead, side) == side).all()
    assert ds.side.sel(a=1.0, b=1) == side
    assert ds.side.sel(a=0.45, b=12, method="nearest") == -1


def test_a_level_that_nothing_reaches_is_said_with_the_range_and_no_error():
    with pytest.warns(UserWarning, match=r"test_loss is 0\.\d+ to \d+\.\d+ in the 25 cells .* level 50"):
        ds = traced(level=50.0)
    assert (ds.side == -1).all()
    assert ds.attrs["networks"] == 75


def test_a_single_seed_is_decided_by_its_value():
    grid = snl.Grid(HILL, a=np.linspace(0, 1, 20), b=range(1, 25))
    ds = snl.trace(grid, "accuracy", 0.4, **quietly)
    assert ds.status.dims == ("a", "b")
    truth = snl.sweep(grid, **quietly).accuracy >= 0.4
    assert (ds.side == xr.where(truth, 1, -1)).mean() >= 0.995
    assert not (ds.side == 0).any()


def test_a_static_axis_is_traced_too():
    """Each of its values is a program; only those that are asked for are made."""
    grid = snl.Grid(HILL, b=np.arange(1, 25, 3), width=range(1, 4), seed=range(2))
    ds = traced(grid, net=3)
    truth = stats.side(snl.sweep(grid, **quietly).test_loss, 1.0)
    there = (ds.status == 1).any("seed")
    assert (ds.side.where(there) == truth.where(there)).sum() == there.sum()


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"metric": "test_los"}, ("metric: 'test_los'", "test_loss")),
        ({"metric": "parts"}, ("metric: 'parts'", "shape [2]", "one number")),
        ({"level": np.nan}, ("level: nan", "finite")),
        ({"level": "2"}, ("level: '2'", "finite")),
        ({"x": "a", "y": "a"}, ("x, y: both are a", "a and b")),
        ({"x": "c"}, ("x: 'c'", "a, b")),
        ({"grid": {"spread": [0.1, 0.2]}}, ("a, b, spread", "two dimensions")),
        ({"grid": {"b": 3}}, ("grid: a swept", "two dimensions")),
        ({"grid": {"b": [3]}}, ("b: one value alone", "two or more")),
        ({"seeds": (3, 12)}, ("seeds: (3, 12) of a grid with 3", "1 ≤ first ≤ most ≤ 3")),
        ({"seeds": 3}, ("seeds: 3", "(first, most)")),
        ({"seeds": (2, 1)}, ("seeds: (2, 1)",)),
        ({"net": 1}, ("net: 1", "2 or more")),
        ({"each_seed": True, "seeds": (1, 2)}, ("each_seed: with seeds=(1, 2)", "one of them")),
        ({"diverged": "left"}, ("diverged: 'left'", "above, below")),
        ({"block": (0, 4)}, ("block: (0, 4)",)),
    ],
)
def test_bad_input_is_one_line_before_anything_compiles(change, texts, tmp_path):
    change = dict(change)
    grid = hill(**change.pop("grid", {}))
    given = {"metric": "test_loss", "level": 1.0, "progress": False} | change
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as error:
        snl.trace(grid, given.pop("metric"), given.pop("level"), store=tmp_path / "store", **given)
    assert all(text in str(error.value) for text in texts), str(error.value)
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_the_bar_shows_networks_of_how_many_and_rounds(capsys):
    ds = snl.trace(hill(), "test_loss", 1.0, block=(3, 8))
    networks, rounds = ds.attrs["networks"], len(json.loads(ds.attrs["rounds"]))
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert f"{networks}/{networks} cells of the grid's 1440, round {rounds}]" in last
