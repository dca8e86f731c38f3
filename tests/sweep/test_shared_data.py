"""Data that all networks share: an argument of the programs, loaded once, part of what a store stands for."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import PowersMetrics, assert_same_bits

import snljax as snl
from snljax import Experiment, Grid, field
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems
from snljax.sweep.program import traced


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """x after t updates is start + t · rate · (mean of the table's rows that are drawn)."""

    rate: float = field(0.5, range="[0, inf)")
    start: float = field(1.0)
    steps: int = field(3, range="[0, inf)")
    rows: int = field(2, static=True, range="[1, inf)")


TABLE = np.arange(12.0, dtype=np.float32).reshape(6, 2)


def system(load) -> Experiment:
    """Each of the four functions uses the table, and the step uses a field that is called start."""
    return Experiment(
        name="table",
        Config=Config,
        draw=lambda config, key, table: jax.random.permutation(key, table.shape[0])[: config.rows],
        init=lambda config, draw, table: config.start + 0 * table[0],
        step=lambda config, draw, x, t, table: x + config.rate * config.start * jnp.mean(table[draw], axis=0),
        measure=lambda config, draw, x, table: PowersMetrics(jnp.mean(x), x - table[0], jnp.sum(x > 1)),
        dims={"values": ("column",)},
        data=load,
    )


def sweep(experiment, **options):
    grid = Grid(experiment, rate=[0.5, 1.0, 2.0], start=3.0, seed=range(3))
    return snl.sweep(grid, **({"devices": 1, "block": (1, 2), "progress": False} | options))


def test_data_reach_all_functions_and_are_loaded_once():
    calls = []

    def load(config):
        calls.append(config.rows)
        return TABLE

    ds = sweep(system(load))
    assert calls == [2]
    for seed in range(3):
        key = jax.random.fold_in(jax.random.key(0), seed)
        rows = np.asarray(jax.random.permutation(key, 6)[:2])
        for rate in (0.5, 1.0, 2.0):
            end = 3 + 3 * rate * 3 * TABLE[rows].mean(0)
            cell = ds.sel(seed=seed, rate=rate)
            np.testing.assert_allclose(cell["values"], end - TABLE[0], rtol=1e-6)
            np.testing.assert_allclose(cell["mean"], end.mean(), rtol=1e-6)


def test_data_are_an_argument_not_a_constant_and_on_each_device(two_devices):
    """No program grows with the data; two devices give the bits of one."""
    grid = Grid(system(lambda config: TABLE), rate=[1.0], seed=[0])
    stages = traced(Systems(grid, tuple(two_devices[:1]), "highest").recipe(grid.config, Block(1, 1))).stages
    assert all(np.size(c) < TABLE.size for stage in stages.values() for c in stage.jaxpr.consts)
    assert "dense<[[0.0" not in stages["advance"].lower().as_text()
    assert_same_bits(sweep(system(lambda config: TABLE)), sweep(system(lambda config: TABLE), devices=2))


def test_data_count_in_the_memory_of_a_block():
    small, large = (
        traced(
            Systems(Grid(s, rate=[1.0]), tuple(jax.local_devices()[:1]), "highest").recipe(Config(), Block(1, 1))
        ).memory
        for s in (system(lambda config: TABLE), system(lambda config: np.zeros((1_000_000, 2), np.float32)))
    )
    assert large - small >= 8_000_000


def test_a_store_stands_for_its_data(one_line, tmp_path):
    sweep(system(lambda config: TABLE), store=tmp_path / "s")
    again = sweep(system(lambda config: TABLE.copy()), store=tmp_path / "s")
    assert int((again.status == 1).sum()) == 9
    one_line(lambda: sweep(system(lambda config: TABLE + 1), store=tmp_path / "s"), "program")


def test_files_that_changed_are_read_again():
    """Data are kept within a sweep, not beyond it: the next one sees what lies there then."""
    tables = iter([TABLE, TABLE + 100])
    changing = system(lambda config: next(tables))
    first, second = sweep(changing), sweep(changing)
    assert (second["values"] - first["values"] > 100).all()


def test_data_are_numbers(one_line):
    one_line(lambda: sweep(system(lambda config: np.array(["a", "b"]))), "data", "numbers")


def test_data_may_not_read_what_could_be_swept():
    with pytest.raises(TypeError, match="data reads rate, which may be swept; allowed: static fields only"):
        sweep(system(lambda config: TABLE * config.rate))
