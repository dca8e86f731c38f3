"""Numbers are right or missing, never wrong: each way in which they once were not (docs/reliability.md)."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import pickle
import random
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
import types
import warnings
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import POWERS, PYTHONPATH, TESTS, PowersConfig, PowersMetrics, assert_same_bits, finished

import snljax as snl
from snljax import Grid, StoreError, field
from snljax.sweep import catalogue, files, program, tracing
from snljax.sweep.layout import Block
from snljax.sweep.records import Records
from snljax.sweep.store import Store
from snljax.sweep.writers import Writers
from snljax.variables import DIVERGED, DONE, PENDING

RATES = [0.1, 0.2, 0.3, 0.4]


def sweep(grid, store=None, **options):
    return snl.sweep(grid, store=store, **({"devices": 1, "block": (1, 2), "progress": False} | options))


def means(experiment, **settings):
    """The mean of one network after one step from 1: 1 · rate."""
    return float(sweep(Grid(experiment, **({"rate": 0.5, "steps": 1} | settings)))["mean"])


# --- A.1: threads -----------------------------------------------------------------------------------


@pytest.fixture
def restless():
    """New threads give way to others at any line where a draw and data are made and taken."""
    rng = random.Random(0)

    def trace(frame, event, _):
        code = frame.f_code
        if not code.co_filename.endswith("/snljax/sweep/train.py") or code.co_name not in ("start", "data"):
            return None
        if event == "line" and rng.random() < 0.5:
            time.sleep(rng.choice([0, 5e-3]))
        return trace

    threading.settrace(trace)
    yield
    threading.settrace(None)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("width", [2, [2, 3, 4]], ids=["one program", "a static axis"])
def test_threads_keep_their_seeds_apart(width):
    grid = Grid(POWERS, rate=[0.9], width=width, spread=0.5, seed=range(12), steps=2)
    expected = sweep(grid, block=(1, 1))
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert_same_bits(sweep(grid, block=(1, 1), devices=None, executor=pool), expected)


@pytest.mark.slow
@pytest.mark.parametrize("threads", range(2, 9))
def test_threads_keep_their_seeds_apart_in_twenty_runs(threads, tmp_path):
    grid = Grid(POWERS, rate=[0.9, 0.8], spread=0.5, seed=range(200), steps=2)
    expected = sweep(grid, block=(1, 1))
    for run in range(20):
        store = tmp_path / str(run) if run % 2 else None
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            assert_same_bits(sweep(grid, store, block=(1, 1), devices=None, executor=pool), expected)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 4, 8])
def test_dask_threads_keep_their_seeds_apart_in_twenty_runs(threads):
    from distributed import Client, LocalCluster

    grid = Grid(POWERS, rate=[0.9, 0.8], spread=0.5, seed=range(200), steps=2)
    expected = sweep(grid, block=(1, 1))
    cluster = LocalCluster(n_workers=1, threads_per_worker=threads, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for _ in range(20):
            assert_same_bits(sweep(grid, block=(1, 1), devices=None, executor=client.get_executor()), expected)


# --- A.2: descriptions that are lost ----------------------------------------------------------------


GROWN = {"rate": [0.5, 0.25], "width": [2, 3], "spread": 0.5, "steps": 2}


def grow(path, **settings):
    for seeds in (1, 2, 3):
        ds = sweep(Grid(POWERS, seed=range(seeds), **(GROWN | settings)), path)
    return path, ds.load()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return grow(tmp_path_factory.mktemp("grown") / "a")


@pytest.fixture
def grown(untouched, tmp_path):
    """A store that grew twice, its last grid, and what is in it."""
    path, ds = untouched
    return pathlib.Path(shutil.copytree(path, tmp_path / "grown")), Grid(POWERS, seed=range(3), **GROWN), ds


def lose(path, *names):
    for name in names:
        target = path / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()


@pytest.mark.parametrize("names", [("grids",), ("grids/2.json",), ("grids/0.json", "grids/1.json"), ("manifest.json",)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_lost_description_is_taken_from_its_copy(grown, names, turned):
    path, grid, expected = grown
    written = {f: f.stat().st_mtime_ns for f in (path / "done").iterdir()}
    lose(path, *names)
    if turned:
        grid = Grid(POWERS, seed=[2, 1, 0], rate=[0.25, 0.5], width=[3, 2], spread=0.5, steps=2)
    with pytest.warns(UserWarning, match="its copy"):
        ds = sweep(grid, path).load()
    assert_same_bits(ds.sel(seed=range(3), rate=[0.5, 0.25], width=[2, 3]).transpose(*expected.dims, ...), expected)
    assert {f: f.stat().st_mtime_ns for f in (path / "done").iterdir()} == written
    assert (path / names[0]).exists()  # written anew, so that the next loss can be made good too


@pytest.mark.parametrize("names", [("grids/2.json", "data.zarr/2"), ("grids", "data.zarr")])
def test_without_a_description_and_its_copy_a_store_is_refused(grown, one_line, monkeypatch, names):
    monkeypatch.setattr(catalogue, "PATIENCE_SECONDS", 0.1)
    path, grid, _ = grown
    lose(path, *names)
    for call in (lambda: sweep(grid, path), lambda: snl.open_store(path)):
        one_line(call, "is lost", "restored, or another store")


def test_blocks_of_another_grid_are_no_blocks_of_this_one(grown, tmp_path):
    """Markers and chunks of another store, whole and under the same numbers, mean something else."""
    path, grid, expected = grown
    other, _ = grow(tmp_path / "other", spread=0.25)
    for folder in ("done", "data.zarr"):
        shutil.rmtree(path / folder)
        shutil.copytree(other / folder, path / folder)
    assert_same_bits(sweep(grid, path), expected)


def test_a_stray_file_is_no_sign_of_a_lost_grid(grown):
    path, grid, expected = grown
    for name in ("done/junk.txt", "done/999.json", "grids/7.json", "grids/junk"):
        (path / name).touch()
    (path / "data.zarr" / "9").mkdir()
    assert_same_bits(sweep(grid, path), expected)


# --- A.3: programs of a notebook whose cells change -------------------------------------------------

FACTOR = 1.0


def times_global(config, draw, x, t):
    return FACTOR * config.rate * x


@jax.jit
def jitted(x):
    return FACTOR * x


def body(_, x):
    return FACTOR * x


class Callable:
    """Stands for a function, and can be changed."""

    factor = 1.0

    def __call__(self, config, draw, x, t):
        return self.factor * config.rate * x


@pytest.mark.parametrize(
    "step",
    [
        times_global,
        lambda config, draw, x, t: config.rate * jitted(x),
        lambda config, draw, x, t: config.rate * jax.lax.fori_loop(0, 1, body, x),
        lambda config, draw, x, t: config.rate * jax.lax.scan(lambda c, _: (body(0, c), None), x, length=1)[0],
    ],
    ids=["global", "a jitted helper", "the body of a loop", "a scan"],
)
def test_a_changed_global_changes_the_numbers(monkeypatch, tmp_path, step):
    """In the same session, with the same function objects: in memory and in a fresh store."""
    own = POWERS._replace(step=step)
    for run, factor in enumerate((1.0, 3.0, 1.0)):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        assert means(own) == 0.5 * factor
        assert float(sweep(Grid(own, rate=0.5, steps=1), tmp_path / str(run))["mean"]) == 0.5 * factor


def test_a_changed_closure_or_callable_changes_the_numbers():
    factor = 1.0
    closure = POWERS._replace(step=lambda config, draw, x, t: factor * config.rate * x)
    own = Callable()
    mutable = POWERS._replace(step=own)
    for factor in (1.0, 3.0):
        own.factor = factor
        assert means(closure) == means(mutable) == 0.5 * factor


def test_a_changed_helper_is_refused_by_a_store(monkeypatch, tmp_path, one_line):
    own = POWERS._replace(step=times_global)
    sweep(Grid(own, rate=RATES, steps=1), tmp_path / "a")
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    one_line(lambda: sweep(Grid(own, rate=[*RATES, 0.5], steps=1), tmp_path / "a"), "another program")


def test_a_changed_host_function_changes_the_numbers():
    """What runs in a callback is in no program's text."""

    def with_host(factor):
        def step(config, draw, x, t):
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            return jax.pure_callback(
                lambda r, v: np.float32(factor) * r * v, shape, config.rate, x, vmap_method="sequential"
            )

        return POWERS._replace(step=step)

    assert [means(with_host(f)) for f in (1.0, 3.0, 1.0)] == [0.5, 1.5, 0.5]


def test_a_changed_host_function_is_refused_by_a_store(tmp_path, one_line):
    def with_host(factor):
        def step(config, draw, x, t):
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            return jax.pure_callback(lambda v: np.float32(factor) * v, shape, x, vmap_method="sequential")

        return POWERS._replace(step=step)

    sweep(Grid(with_host(1.0), rate=RATES), tmp_path / "a")
    sweep(Grid(with_host(1.0), rate=RATES), tmp_path / "a")
    one_line(lambda: sweep(Grid(with_host(2.0), rate=RATES), tmp_path / "a"), "another program")


def test_functions_are_traced_once_at_one_moment():
    """What data leave behind in a global is what measure reads for that width, also with other widths beside it."""
    mean = [0.0]

    def load(config):
        mean[0] = float(config.width)
        return np.zeros(3, np.float32)

    own = reading("")._replace(data=load, measure=lambda c, d, x, t: PowersMetrics(jnp.sum(t) + mean[0], None, None))
    own = own._replace(dims={})
    assert sweep(Grid(own, width=[1, 2, 5], rate=0.5))["mean"].values.tolist() == [1.0, 2.0, 5.0]
    assert float(sweep(Grid(own, width=1, rate=0.5))["mean"]) == 1.0


def test_a_global_that_changes_while_a_sweep_runs_changes_nothing(monkeypatch):
    """Also where the first bad step is looked for, which is compiled only when a network has diverged."""
    own = POWERS._replace(step=lambda config, draw, x, t: FACTOR * config.rate * x)
    monkeypatch.setitem(globals(), "FACTOR", 1e30)
    grid = Grid(own, rate=[1e-30, 1.0], steps=3)
    expected = sweep(grid, block=(1, 1))

    build = program.build

    def changing(*arguments):
        built = build(*arguments)
        monkeypatch.setitem(globals(), "FACTOR", 1.0)
        return built

    monkeypatch.setattr(program, "build", changing)
    assert_same_bits(sweep(grid, block=(1, 1)), expected)
    assert expected.first_bad_step.values.tolist() == [-1, 2]


def test_arrays_of_a_closure_may_change_between_sweeps(tmp_path, one_line):
    """JAX keeps them by reference; a program keeps its own."""
    table = np.ones(3, np.float32)
    own = POWERS._replace(step=lambda config, draw, x, t: config.rate * x * table)
    grid = Grid(own, rate=RATES, steps=1)
    first = sweep(grid)
    table *= 100
    hundred = sweep(grid)
    np.testing.assert_allclose(hundred["mean"], 100 * first["mean"])
    table /= 100
    assert_same_bits(sweep(grid, tmp_path / "a", shard=(1, 2)).isel(rate=slice(2)), first.isel(rate=slice(2)))
    table *= 100
    one_line(lambda: sweep(grid, tmp_path / "a"), "another program")
    assert_same_bits(sweep(grid), hundred)


def test_host_functions_are_told_apart(tmp_path, one_line):
    """By constants that run together, by defaults of keywords, by members of a set."""

    def with_host(function):
        def step(config, draw, x, t):
            return jax.pure_callback(function, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")

        return POWERS._replace(step=step)

    def two(x, *, k=2):
        return x * np.float32(k)

    def three(x, *, k=3):
        return x * np.float32(k)

    pairs = [
        (lambda x: np.float32(x * 1 + 12), lambda x: np.float32(x * 11 + 2)),
        (two, three),
        (lambda x: x * np.float32(2 in {1, 2, 3}), lambda x: x * np.float32(2 in {1, 3, 5})),
    ]
    for i, (one, other) in enumerate(pairs):
        sweep(Grid(with_host(one), start=[1.0, 2.0, 3.0]), tmp_path / str(i), shard=(1, 2))
        again = Grid(with_host(other), start=[1.0, 2.0, 3.0])
        one_line(lambda again=again, i=i: sweep(again, tmp_path / str(i)), "another program")


def test_user_code_runs_under_no_lock():
    """A data function that trains a teacher of its own, and two sweeps that wait for each other's trace."""

    def load(config):
        return np.asarray(sweep(Grid(POWERS, rate=[0.5, 0.25]))["mean"])

    own = reading("")._replace(data=load)
    assert float(sweep(Grid(own, rate=0.5))["mean"]) == 0.5**4 + 0.25**4
    mine, turns = threading.Lock(), threading.Barrier(2)

    def step(config, draw, x, t):
        turns.wait(timeout=20)  # both are tracing
        with mine:
            return config.rate * x

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        grid = Grid(POWERS._replace(step=step), rate=[0.5, 0.25])
        results = list(pool.map(lambda _: sweep(grid), range(2)))
    assert_same_bits(*results)


def test_what_jax_remembers_is_let_go_only_while_nobody_traces(monkeypatch):
    """Or the other thread's text would come out in other pieces, and its program be refused."""
    cleared, inside = [], []
    monkeypatch.setattr(tracing, "MOST_MOMENTS", 1)
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(1))

    def step(config, draw, x, t):
        before = len(cleared)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(sweep, Grid(POWERS)).result(timeout=60)
        inside.append(len(cleared) - before)
        return config.rate * x

    sweep(Grid(POWERS._replace(step=step)))
    assert inside == [0]
    before = len(cleared)
    sweep(Grid(POWERS))
    assert len(cleared) == before + 1


# --- A.4, A.8, A.12: what a program's hash holds -----------------------------------------------------


class AB(NamedTuple):
    a: Any
    b: Any


class BA(NamedTuple):
    b: Any
    a: Any


class AC(NamedTuple):
    a: Any
    c: Any


def named(metrics):
    return POWERS._replace(measure=lambda config, draw, x: metrics(jnp.mean(x), jnp.sum(x * x)), dims={})


@pytest.mark.parametrize("metrics", [BA, AC], ids=["swapped", "renamed"])
def test_other_names_of_metrics_are_another_program(tmp_path, one_line, metrics):
    sweep(Grid(named(AB), rate=RATES, start=2.0), tmp_path / "a", shard=(1, 2))
    one_line(lambda: sweep(Grid(named(metrics), rate=RATES, start=2.0), tmp_path / "a"), "another program")
    fresh = sweep(Grid(named(metrics), rate=RATES, start=2.0))
    assert list(fresh.data_vars)[:2] == list(metrics._fields)
    np.testing.assert_array_equal(fresh[metrics._fields[0]], sweep(Grid(named(AB), rate=RATES, start=2.0))["a"])


def test_a_program_whose_metrics_have_no_room_is_refused(tmp_path, one_line):
    """Also if it is accepted in spite of its hash: there are no arrays for them."""
    sweep(Grid(named(AB), rate=RATES), tmp_path / "a", shard=(1, 2))
    one_line(lambda: sweep(Grid(named(AC), rate=RATES), tmp_path / "a", accept_program=True), "no room for c")
    swapped = sweep(Grid(named(BA), rate=RATES), tmp_path / "a", accept_program=True)
    halves = [sweep(Grid(named(metrics), rate=RATES)) for metrics in (AB, BA)]
    assert swapped["a"].values.tolist() == [*halves[0]["a"].values[:2], *halves[1]["a"].values[2:]]


def test_which_of_two_equal_arguments_is_used_is_another_program(tmp_path, one_line):
    """Both lower to the same text once the argument that is not used is left out."""

    def using(name):
        return POWERS._replace(step=lambda config, draw, x, t: config.rate * getattr(config, name) * x)

    axes = {"rate": RATES, "start": 2.0, "spread": 3.0}
    sweep(Grid(using("start"), **axes), tmp_path / "a", shard=(1, 2))
    one_line(lambda: sweep(Grid(using("spread"), **axes), tmp_path / "a"), "another program")
    assert (sweep(Grid(using("spread"), **axes))["mean"] != sweep(Grid(using("start"), **axes))["mean"]).all()


def test_a_large_constant_is_part_of_a_program(tmp_path, one_line):
    table = np.zeros(100_000, np.float32)

    def using(values):
        return POWERS._replace(step=lambda config, draw, x, t: config.rate * x + jnp.sum(jnp.asarray(values)))

    sweep(Grid(using(table), rate=RATES), tmp_path / "a", shard=(1, 2))
    other = table.copy()
    other[54_321] = 1.0
    one_line(lambda: sweep(Grid(using(other), rate=RATES), tmp_path / "a"), "another program")
    assert (sweep(Grid(using(other), rate=RATES))["mean"] != sweep(Grid(using(table), rate=RATES))["mean"]).all()


def test_the_random_number_generator_is_part_of_a_program(tmp_path, one_line):
    grid = Grid(POWERS, rate=RATES, spread=0.5)
    plain = sweep(grid, tmp_path / "a", shard=(1, 2))
    before = jax.config.jax_default_prng_impl
    jax.config.update("jax_default_prng_impl", "rbg")
    try:
        one_line(lambda: sweep(grid, tmp_path / "a"), "another program")
        other = sweep(grid)
    finally:
        jax.config.update("jax_default_prng_impl", before)
    again = sweep(grid)
    assert (other["mean"] != again["mean"]).all()
    done = plain.status == DONE
    np.testing.assert_array_equal(plain["mean"].where(done), again["mean"].where(done))


def test_the_sign_of_zero_is_kept_apart(tmp_path, one_line):
    own = POWERS._replace(init=lambda config, draw: jnp.full(config.width, jnp.copysign(1.0, config.start)))
    grid = {"rate": 0.5, "steps": 1}
    assert means(own, start=0.0) == -means(own, start=-0.0) == 0.5
    sweep(Grid(own, start=0.0, **grid), tmp_path / "fixed")
    one_line(lambda: sweep(Grid(own, start=-0.0, **grid), tmp_path / "fixed"), "start = 0.0", "-0.0")
    sweep(Grid(own, start=[0.0, 1.0], **grid), tmp_path / "axis")
    ds = sweep(Grid(own, start=[-0.0, 1.0], **grid), tmp_path / "axis")
    assert ds["mean"].values.tolist() == [-0.5, 0.5]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StaticConfig(PowersConfig):
    shift: float = field(0.0, static=True)


def test_the_sign_of_a_static_zero_is_kept_apart():
    own = POWERS._replace(Config=StaticConfig, step=lambda c, d, x, t: x * np.float32(np.copysign(1.0, c.shift)))
    rows = snl.zip(shift=[0.0, -0.0], start=[1.0, 1.0])
    assert sweep(Grid(own, rows=rows, steps=1))["mean"].values.tolist() == [1.0, -1.0]


def test_a_zip_that_would_have_one_coordinate_twice_is_refused(tmp_path, one_line):
    sweep(Grid(POWERS, snl.zip(rate=[0.1, 0.2], start=[1.0, 2.0])), tmp_path / "a")
    again = Grid(POWERS, snl.zip(rate=[0.2, 0.1, 0.3], start=[2.0, 1.0, 3.0]))
    assert sweep(again, tmp_path / "a").sizes["rate"] == 3
    other = Grid(POWERS, snl.zip(rate=[0.1, 0.2], start=[5.0, 6.0]))
    one_line(lambda: sweep(other, tmp_path / "a"), "rate: 0.1", "start=1.0", "start=5.0")
    assert snl.open_store(tmp_path / "a").indexes["rate"].is_unique


# --- A.5: workers that live longer than the data ----------------------------------------------------


def reading(file):
    """The table is read from a file, and is the mean."""
    return POWERS._replace(
        data=lambda config: np.load(file),
        draw=lambda config, key, table: POWERS.draw(config, key),
        init=lambda config, draw, table: POWERS.init(config, draw),
        step=lambda config, draw, x, t, table: POWERS.step(config, draw, x, t),
        measure=lambda config, draw, x, table: PowersMetrics(jnp.sum(table) + 0 * x[0], x, jnp.sum(x > 1)),
    )


def test_workers_read_data_anew_for_each_sweep(tmp_path):
    file = tmp_path / "table.npy"
    grid = Grid(reading(file), rate=RATES)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for value in (1, 2):
            np.save(file, np.full(5, value, np.float32))
            for store in (None, tmp_path / str(value)):
                ds = sweep(grid, store, executor=pool, devices=None)
                assert ds["mean"].values.tolist() == [5.0 * value] * 4


MODULE = """
from harness import POWERS
SCALE = {scale}
def helper(x):
    return {factor} * x
def step(config, draw, x, t):
    return SCALE * helper(config.rate * x)
OWN = POWERS._replace(step=step)
"""


@pytest.mark.parametrize("change", [{"scale": 2.0}, {"factor": 3.0}])
def test_workers_with_an_older_module_are_refused(monkeypatch, tmp_path, one_line, change):
    """A pool that imported a module before it was edited, and reloaded here: functions travel by name."""
    kinds = []
    for settings in ({}, change):
        module = types.ModuleType("edited_module")
        exec(MODULE.format(**({"scale": 1.0, "factor": 1.0} | settings)), module.__dict__)
        kinds.append(module)

    class Elsewhere(Travelling):
        """Has the module as it was."""

        def submit(self, function, /, *arguments, **options):
            sys.modules["edited_module"] = kinds[0]
            try:
                return super().submit(function, *arguments, **options)
            finally:
                sys.modules["edited_module"] = here

    for here in reversed(kinds):
        monkeypatch.setitem(sys.modules, "edited_module", here)
        grid = Grid(here.OWN, rate=RATES)
        if here is kinds[0]:
            assert_same_bits(sweep(grid, executor=Elsewhere(), devices=None), sweep(grid))
        else:
            one_line(lambda grid=grid: sweep(grid, executor=Elsewhere(), devices=None), "other code for powers")


def test_data_are_copied_when_they_are_read():
    """A buffer that the next reading fills is no data of the reading before."""
    buffer = np.zeros(3, np.float32)

    def load(config):
        buffer[:] = config.width
        return buffer

    ds = sweep(Grid(reading("")._replace(data=load), width=[1, 2, 5], rate=0.5))
    assert ds["mean"].values.tolist() == [3.0, 6.0, 15.0]


def test_what_data_call_is_called_anew(monkeypatch):
    own = reading("")._replace(data=lambda config: jitted(np.ones(3, np.float32)))
    for factor in (1.0, 10.0):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        assert float(sweep(Grid(own, rate=0.5))["mean"]) == 3 * factor


@jax.tree_util.register_pytree_node_class
class Tagged:
    """Data with something beside its arrays that prints alike."""

    def __init__(self, array, tag):
        self.array, self.tag = array, tag

    def tree_flatten(self):
        return (self.array,), Tag(self.tag)

    @classmethod
    def tree_unflatten(cls, tag, arrays):
        return cls(arrays[0], tag.value)


class Tag:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __hash__(self):
        return hash(self.value)

    def __repr__(self):
        return "tag"


def test_data_that_print_alike_are_not_exchanged():
    own = reading("")._replace(
        data=lambda config: Tagged(np.ones(3, np.float32), config.width),
        measure=lambda c, d, x, t: PowersMetrics(jnp.sum(t.array) * t.tag, x, jnp.sum(x > 1)),
    )
    assert sweep(Grid(own, width=[1, 2], rate=0.5))["mean"].values.tolist() == [3.0, 6.0]


@pytest.mark.parametrize("wrong", [np.ma.masked_array([1.0, 2.0], [0, 1]), jax.random.key(0), np.array(["a"])])
def test_data_are_arrays_of_numbers(one_line, wrong):
    one_line(lambda: sweep(Grid(reading("")._replace(data=lambda config: wrong))), "data", "numbers")


@pytest.mark.usefixtures("restless")
def test_workers_draw_with_the_generator_of_the_caller():
    grid = Grid(POWERS, rate=RATES, spread=0.5)
    with jax.default_prng_impl("rbg"), concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert_same_bits(sweep(grid, executor=pool, devices=None), sweep(grid))


def test_data_that_change_while_a_sweep_runs_are_refused(monkeypatch, one_line):
    """A worker that finds other data than the process that asked."""
    tables = iter([np.ones(2, np.float32), np.zeros(2, np.float32)])
    own = reading("")._replace(data=lambda config: next(tables))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        # cloudpickle would copy the iterator with its place: the function is found by name instead.
        monkeypatch.setattr(sys.modules[__name__], "changing", own.data, raising=False)
        own = own._replace(data=lambda config: sys.modules[__name__].changing(config))
        one_line(lambda: sweep(Grid(own, rate=RATES), executor=pool, devices=None), "another program", "workers alike")


def test_data_of_equal_bytes_and_other_shape_are_other_data(tmp_path, one_line):
    table = np.ones((2, 6), np.float32)
    first = tmp_path / "table.npy"
    own = reading(first)
    np.save(first, table)
    sweep(Grid(own, rate=RATES), tmp_path / "a")
    for other in (table.reshape(6, 2), table.view(np.int32)):
        np.save(first, other)
        one_line(lambda: sweep(Grid(own, rate=RATES), tmp_path / "a"), "another program")


# --- A.6: two writers without hard links ------------------------------------------------------------


def refuse_links(monkeypatch):
    def link(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def test_of_two_writers_without_hard_links_one_wins(monkeypatch, tmp_path):
    """The other one comes in at any file operation of the first, and both see the same from then on."""
    refuse_links(monkeypatch)
    names, real = ("replace", "rename"), {n: getattr(os, n) for n in ("replace", "rename")}
    moment = 0
    while True:
        moment += 1
        file, calls, seen = tmp_path / f"{moment}.json", [], []

        def between(name, *arguments, file=file, calls=calls, seen=seen, moment=moment, **options):
            calls.append(name)
            if len(calls) == moment:
                files.write_once(file, b"second")
                seen.append(file.read_bytes())
            return real[name](*arguments, **options)

        for name in names:
            monkeypatch.setattr(os, name, lambda *a, name=name, between=between, **k: between(name, *a, **k))
        files.write_once(file, b"first")
        if not seen:
            break
        assert file.read_bytes() == seen[0]
    assert moment > 2


def test_many_writers_without_hard_links_agree(monkeypatch, tmp_path):
    refuse_links(monkeypatch)
    barrier, seen = threading.Barrier(4), [[] for _ in range(50)]

    def write(name):
        for i in range(50):
            barrier.wait()
            files.write_once(tmp_path / f"{i}.json", name)
            seen[i].append((tmp_path / f"{i}.json").read_bytes())

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [b"a", b"bb", b"ccc", b"dddd"]))
    assert all(len(set(row)) == 1 for row in seen)


def test_a_claim_whose_maker_died_is_carried_out(monkeypatch, tmp_path):
    """Killed after the claim and before the file: the next writer writes what was claimed."""
    refuse_links(monkeypatch)
    file, replace = tmp_path / "0.json", os.replace

    def dies(source, target):
        if pathlib.Path(target) == file:
            raise KeyboardInterrupt
        return replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        files.write_once(file, b"first")
    monkeypatch.setattr(os, "replace", replace)
    assert not file.exists()
    files.write_once(file, b"second")
    assert file.read_bytes() == b"first"


def test_two_grids_at_once_without_hard_links(monkeypatch, tmp_path):
    """Each sweep comes in while the other makes its first grid."""
    refuse_links(monkeypatch)
    grids = [Grid(POWERS, rate=rates, spread=0.5) for rates in (RATES, [0.5, 0.6, 0.7, 0.8])]
    replace, inside = os.replace, []

    def slow(source, target, **options):
        if pathlib.Path(target).parent.name == "grids" and not inside:
            inside.append(None)
            inside.append(sweep(grids[1], tmp_path / "a").load())
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", slow)
    first = sweep(grids[0], tmp_path / "a").load()
    assert_same_bits(first, sweep(grids[0]))
    assert_same_bits(inside[1], sweep(grids[1]))
    for grid in grids:
        assert_same_bits(sweep(grid, tmp_path / "a"), sweep(grid))


# --- A.7: errors of reading -------------------------------------------------------------------------


def test_a_relative_store_is_found_from_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    grid = Grid(POWERS, rate=RATES)
    ds, opened = sweep(grid, "a"), snl.open_store("a")
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert_same_bits(ds.load(), sweep(grid))
    assert_same_bits(opened.load(), sweep(grid))


def test_too_many_open_files_are_an_error(tmp_path, one_line):
    """Not NaN, which would be written on as if it were a number's place."""
    ds = sweep(Grid(POWERS, rate=RATES), tmp_path / "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, hard))
    held = []
    try:
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        one_line(lambda: ds["mean"].values, "cannot be read", "open files")
        one_line(lambda: ds.status.values, "cannot be read", "open files")
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert_same_bits(ds.load(), sweep(Grid(POWERS, rate=RATES)))


def test_a_store_that_was_moved_is_an_error(tmp_path, one_line):
    ds = sweep(Grid(POWERS, rate=RATES), tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    one_line(lambda: ds["mean"].values, "has gone")
    assert_same_bits(snl.open_store(tmp_path / "b"), sweep(Grid(POWERS, rate=RATES)))


# --- A.10: dtypes -----------------------------------------------------------------------------------


class Numbers(NamedTuple):
    count: Any
    small: Any
    flag: Any
    half: Any
    brain: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CountConfig(PowersConfig):
    number: int = field(1)


COUNTS = POWERS._replace(
    Config=CountConfig,
    measure=lambda config, draw, x: Numbers(
        config.number + 0, jnp.uint8(200), config.rate > 0.5, x[0].astype(jnp.float16), x[0].astype(jnp.bfloat16)
    ),
    dims={},
)


@pytest.mark.parametrize("stored", [False, True])
def test_metrics_keep_their_dtypes(tmp_path, stored):
    store = tmp_path / "a" if stored else None
    grid = Grid(COUNTS, number=[16_777_216, 16_777_217, 2**31 - 1], rate=[0.25, 1e30])
    ds = sweep(grid, store, shard=(2, 3) if stored else None)
    if stored:
        assert (ds.status == PENDING).sum() == 4
        missing = ds["count"].where(ds.status != DONE, drop=False).values
        assert set(np.unique(missing[~np.isnan(missing)])) == {-(2.0**31)}
        ds = sweep(grid, store)
    good = ds.sel(rate=0.25)
    assert good["count"].values.tolist() == [16_777_216, 16_777_217, 2**31 - 1]
    assert [str(ds[n].dtype) for n in Numbers._fields] == ["int32", "uint8", "bool", "float16", "float32"]
    assert (good.small == 200).all()
    assert not good.flag.any()
    assert (ds.status.sel(rate=1e30) == DIVERGED).all()
    assert (ds["count"].sel(rate=1e30) == -(2**31)).all()
    assert (ds.small.sel(rate=1e30) == 255).all()
    assert np.isnan(ds.half.sel(rate=1e30)).all()


@pytest.mark.parametrize("stored", [False, True])
def test_a_static_axis_of_two_widths_keeps_the_wider(tmp_path, stored):
    def measure(config, draw, x):
        kind = jnp.float16 if config.width == 2 else jnp.float32
        return PowersMetrics(jnp.mean(x).astype(kind), None, None)

    own = POWERS._replace(measure=measure, dims={})
    third = np.float32(1 / 3)
    ds = sweep(Grid(own, width=[2, 3], rate=1 / 3, steps=1), tmp_path / "a" if stored else None)
    assert ds["mean"].values.tolist() == [np.float32(np.float16(third)), third]


@pytest.mark.parametrize("kinds", [(jnp.int32, jnp.float32), (jnp.uint8, jnp.int16), (jnp.bool_, jnp.int32)])
def test_a_static_axis_of_unlike_dtypes_is_refused(tmp_path, one_line, kinds):
    """What stands for a missing number in the one may be a number in the other."""

    def measure(config, draw, x):
        return PowersMetrics(None, None, jnp.asarray(1).astype(kinds[config.width - 2]))

    own = POWERS._replace(measure=measure, dims={})
    one_line(lambda: sweep(Grid(own, width=[2, 3]), tmp_path / "a"), "above_one", str(np.dtype(kinds[0])), "one dtype")


def test_what_cannot_be_kept_is_refused(one_line, tmp_path):
    own = POWERS._replace(measure=lambda c, d, x: PowersMetrics(x[0] + 1j, None, None), dims={})
    one_line(lambda: sweep(Grid(own), tmp_path / "a"), "mean", "complex")
    assert not (tmp_path / "a").exists()


# --- B: loud, but wrong -----------------------------------------------------------------------------


class Travelling(concurrent.futures.Executor):
    """Results travel as a process pool's do."""

    def submit(self, function, /, *arguments, **options):
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(pickle.loads(pickle.dumps(function(*arguments, **options))))
        except Exception as error:
            future.set_exception(error)
        return future


def test_an_experiment_that_cannot_be_named_elsewhere_comes_back():
    """Its Config is a class of this function, which pickle cannot find."""

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Config(PowersConfig):
        pass

    grid = Grid(POWERS._replace(Config=Config), rate=RATES)
    assert_same_bits(sweep(grid, executor=Travelling(), devices=None), sweep(Grid(POWERS, rate=RATES)))


@pytest.mark.parametrize("block", [None, (1, 1)])
def test_systems_that_do_nothing(block):
    still = POWERS._replace(step=lambda config, draw, x, t: x)
    assert (sweep(Grid(still, rate=RATES, start=3.0), block=block)["mean"] == 9.0).all()
    none = POWERS._replace(
        draw=lambda config, key: None,
        init=lambda config, draw: (),
        step=lambda config, draw, x, t: (),
        measure=lambda config, draw, x: PowersMetrics(2 * config.rate, None, None),
        dims={},
    )
    np.testing.assert_allclose(
        sweep(Grid(none, rate=RATES, seed=[0, 1]), block=block)["mean"][:, 1], [0.2, 0.4, 0.6, 0.8]
    )
    assert float(sweep(Grid(none, rate=0.5), block=block)["mean"]) == 1.0


WIDE = {"width": 500, "rate": RATES, "spread": 0.5, "seed": [0, 1], "steps": 40}


@pytest.mark.parametrize("stored", [False, True])
def test_records_in_a_file_are_those_in_memory(tmp_path, stored):
    """5.1 MB of records a block, of which a budget of this size keeps none in memory."""
    budget = 130_000_000
    store = tmp_path / "a" if stored else None
    tight = sweep(Grid(POWERS, **(WIDE | {"width": 8000})), store, record_every=1, memory=budget)
    assert_same_bits(tight, sweep(Grid(POWERS, **(WIDE | {"width": 8000})), record_every=1))


def test_records_beyond_their_limit_go_to_a_file(tmp_path):
    metrics = {"a": (np.dtype(np.float32), (7,)), "b": (np.dtype(np.int32), ())}
    rng = np.random.default_rng(0)
    values = [AB(rng.normal(size=(2, 3, 7)).astype(np.float32), rng.integers(0, 9, (2, 3), np.int32)) for _ in range(5)]
    for most in (10_000, 0):
        records = Records(metrics, Block(2, 3), 5, most, tmp_path / "made")
        for value in values:
            records.put(AB(*(v[None] for v in value)))
            records.release()
        valid = records.valid(2, 2, np.array([[-1, 3], [-1, -1]]), [0, 1, 2, 3, 4])
        np.testing.assert_array_equal(valid["a"][:, :, :3], np.stack([v.a[:, :2] for v in values], 2)[:, :, :3])
        assert np.isnan(valid["a"][0, 1, 3:]).all()
        assert (valid["b"][0, 1, 3:] == -(2**31)).all()
    assert list((tmp_path / "made").iterdir()) == []  # a file without a name


PEAK = """
    import resource, snljax as snl
    from harness import POWERS
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = peak()
    grid = snl.Grid(POWERS, width=20_000, rate=[.1, .2, .3, .4], steps=2500)
    snl.sweep(grid, record_every=1, memory="200MB", store={store!r}, progress=False, devices=1)
    print(peak() - start)
"""


@pytest.mark.slow
def test_records_stay_within_the_memory(tmp_path):
    """800 MB of records, 200 MB allowed."""
    code = textwrap.dedent(PEAK.format(store=str(tmp_path / "a")))
    env = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) < 200_000_000


def counted(traces, loads):
    """Counts how often its step is traced, and its data are read, by width."""

    def step(config, draw, x, t, table):
        traces.append(config.width)
        return config.rate * x

    def load(config):
        loads.append(config.width)
        return np.ones(2, np.float32)

    return reading("")._replace(step=step, data=load)


def test_each_static_value_is_traced_and_its_data_read_once(tmp_path):
    traces, loads, widths = [], [], list(range(1, 7))
    sweep(Grid(counted(traces, loads), width=widths, steps=1), tmp_path / "a")
    assert loads == widths
    assert traces == widths


@pytest.mark.slow
def test_more_static_values_than_stay_compiled_are_traced_once(tmp_path):
    traces, loads, widths = [], [], list(range(1, 141))
    ds = sweep(Grid(counted(traces, loads), width=widths, steps=1), tmp_path / "a")
    assert ds.attrs["programs_compiled"] == 140
    assert loads == widths
    assert traces == widths


def test_unlike_dims_are_refused_before_training(tmp_path, one_line):
    two = POWERS._replace(measure=lambda c, d, x: AB(x, x[:2]))
    for dims, texts in (
        ({"a": ("rate",)}, ["'rate'", "axis"]),
        ({"a": ("d",), "b": ("d",)}, ["'d'", "length 3", "2"]),
        ({"a": ("d", "e")}, ["a of powers", "1 names"]),
        ({"a": "d"}, ["a of powers", "'d'"]),
        ({"a": ("b",)}, ["'b'", "metric"]),
        ({"a": ("step",)}, ["'step'"]),
    ):
        one_line(lambda dims=dims: sweep(Grid(two._replace(dims=dims), rate=RATES), tmp_path / "a"), "dims", *texts)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["status", "first_bad_step", "step", "seed"])
def test_metrics_may_not_be_called_as_the_datasets_own_variables(one_line, name):
    metrics = NamedTuple("metrics", [(name, Any)])
    one_line(lambda: sweep(Grid(POWERS._replace(measure=lambda c, d, x: metrics(x[0]), dims={}))), name, "another name")


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"measure": lambda c, d, x: {"a": x}}, ["measure", "dict", "NamedTuple"]),
        ({"measure": lambda c, d, x: PowersMetrics((x,), None, None)}, ["mean", "tuple"]),
        ({"measure": lambda c, d, x: PowersMetrics(jax.random.key(0), None, None)}, ["mean", "key"]),
        ({"step": lambda c, d, x, t: (x,)}, ["step", "one array"]),
        ({"step": lambda c, d, x, t: x[:1]}, ["step", "[1]", "[3]"]),
        ({"step": lambda c, d, x, t: x > 0}, ["step", "bool", "float32"]),
    ],
)
def test_functions_that_do_not_fit_together(one_line, change, texts):
    one_line(lambda: sweep(Grid(POWERS._replace(dims={}, **change), rate=RATES)), *texts)


def test_a_sweep_inside_a_traced_function_is_refused(one_line):
    one_line(lambda: jax.jit(lambda x: x + float(sweep(Grid(POWERS))["mean"]))(1.0), "sweep", "outside")


def test_an_executor_that_was_shut_down_is_refused(one_line):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    one_line(lambda: sweep(Grid(POWERS), executor=pool, devices=None), "executor", "no more work")


def test_a_grid_of_single_precision_is_checked_again_in_double(one_line):
    with jax.enable_x64(True):
        grid = Grid(POWERS, rate=[0.1, 0.1 + 1e-12])
        assert sweep(grid).sizes["rate"] == 2
    one_line(lambda: sweep(grid), "rate", "repeated")


# --- C: hostile stores ------------------------------------------------------------------------------


def resealed(file, change):
    content = json.loads(file.read_bytes())
    change(content)
    file.write_bytes(files.sealed(content))


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/b", ""])
def test_names_that_climb_out_of_a_store_are_refused(grown, one_line, name):
    path, grid, _ = grown
    resealed(path / "grids" / "0.json", lambda c: c["metrics"].update({name: c["metrics"].pop("mean")}))
    for call in (lambda: snl.open_store(path).load(), lambda: sweep(grid, path)):
        one_line(call, "metric", repr(name))


@pytest.mark.parametrize("dtype", ["O", "V8", "U4", "complex64", "M8[s]"])
def test_dtypes_that_are_no_numbers_are_refused(grown, one_line, dtype):
    path, _, _ = grown
    resealed(path / "grids" / "0.json", lambda c: c["metrics"]["mean"].__setitem__(0, dtype))
    one_line(lambda: snl.open_store(path).load(), "mean", dtype)


def test_opening_and_reading_need_no_pickle(grown, monkeypatch):
    path, _, expected = grown

    def never(*_, **__):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    ds = snl.open_store(path)
    assert_same_bits(ds.sel(expected.coords).transpose(*expected.dims, ...), expected)


def test_a_hostile_array_description_is_never_used(grown):
    """zarr knows codecs that unpickle; chunks are read without them."""
    path, _, expected = grown
    for file in path.glob("data.zarr/*/*/zarr.json"):
        about = json.loads(file.read_bytes())
        about["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
        file.write_text(json.dumps(about))
    assert_same_bits(snl.open_store(path).sel(expected.coords).transpose(*expected.dims, ...), expected)


@pytest.mark.parametrize(("ahead", "live"), [(0, True), (60, True), (3600, False), (1e9, False), (-3600, False)])
def test_a_writer_whose_clock_is_ahead_is_not_alive_for_ever(tmp_path, ahead, live):
    writers = Writers(tmp_path)
    about = {"host": "elsewhere", "pid": 1, "started": 0.0, "updated": time.time() + ahead}
    about |= {"blocks": 0, "cells": 0, "steps": 0, "training": [0], "ended": False}
    (tmp_path / "other.json").write_text(json.dumps(about))
    assert [w["live"] for w in writers.all()] == [live]


def test_blocks_of_two_programs_are_not_mixed_by_copying(tmp_path):
    """Two stores of the same grid, one copied into the holes of the other."""
    grid, faster = Grid(POWERS, rate=RATES), POWERS._replace(step=lambda c, d, x, t: 2 * c.rate * x)
    sweep(grid, tmp_path / "a", shard=(1, 2))
    sweep(Grid(faster, rate=RATES), tmp_path / "b")
    for file in sorted((tmp_path / "b").rglob("*")):
        target = tmp_path / "a" / file.relative_to(tmp_path / "b")
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    with pytest.warns(UserWarning, match="block 1 cannot be read"):
        assert (snl.open_store(tmp_path / "a").status == PENDING).sum() == 2
    assert_same_bits(sweep(grid, tmp_path / "a"), sweep(grid))


def test_lists_of_programs_that_changed_places_are_made_again(grown):
    path, grid, expected = grown
    one, other = sorted((path / "programs").glob("*.json"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert_same_bits(sweep(grid, path), expected)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"zarr_format": 3, "node_type": "group"}', b"[" * 100_000, None])
@pytest.mark.parametrize("group", ["data.zarr", "data.zarr/1"])
def test_a_damaged_copy_is_written_anew(grown, group, content):
    """So that the next loss can be made good."""
    path, grid, expected = grown
    copy = path / group / "zarr.json"
    copy.write_bytes(content) if content is not None else copy.unlink()
    assert_same_bits(sweep(grid, path), expected)
    lose(path, "manifest.json" if group == "data.zarr" else "grids/1.json")
    with pytest.warns(UserWarning, match="its copy"):
        assert_same_bits(sweep(grid, path), expected)


@pytest.mark.parametrize(
    "name", ["done/99999999999999999999999.json", "done/00.json", "done/1e3.json", "grids/-1.json"]
)
def test_files_with_strange_numbers_are_none_of_ours(grown, name):
    path, grid, expected = grown
    (path / name).write_bytes((path / "done" / "0.json").read_bytes())
    (path / "done" / "1.json").unlink()
    assert_same_bits(sweep(grid, path), expected)


@pytest.mark.parametrize("name", ["manifest.json", "grids/1.json", "done/1.json", "programs", "writers/x.json"])
def test_deep_nesting_is_damage(grown, name):
    path, grid, expected = grown
    file = next((path / name).glob("*.json")) if name == "programs" else path / name
    file.write_bytes(b"[" * 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same_bits(sweep(grid, path), expected)


def test_a_writer_of_an_impossible_process_is_ignored(grown):
    path, grid, expected = grown
    about = {"host": socket.gethostname(), "pid": 10**12, "started": 0.0, "updated": time.time()}
    about |= {"blocks": 0, "cells": 0, "steps": 0, "training": [0], "ended": False}
    (path / "writers" / "other.json").write_text(json.dumps(about))
    assert_same_bits(sweep(grid, path), expected)


# --- is a number that of its settings? --------------------------------------------------------------


def test_recomputing_finds_numbers_that_are_not_their_settings(grown):
    """Written whole, with the right marker and hashes, and false: only training again can tell."""
    path, _, _ = grown
    assert snl.recompute(path, cells=100, experiment=POWERS) == (12, 6, {})
    store = Store.open(path)
    marker = store.marker(2)
    values = {n: np.array(store.values_of(n, 2)[1]) for n in marker["arrays"]}
    arrays = {n: v.reshape(1, 2, *v.shape[1:]) for n, v in values.items()}
    arrays["mean"][0, 1] += 1e-3
    store.put(finished(2, arrays, (marker["static"], marker["program"])))
    assert not store.damaged(2)
    assert snl.recompute(path, cells=100, experiment=POWERS).wrong == {2: ["mean"]}


def test_recomputing_by_another_program_proves_nothing(grown, one_line):
    path, _, _ = grown
    other = POWERS._replace(step=lambda config, draw, x, t: config.rate * x + 0.0 * t)
    one_line(lambda: snl.recompute(path, experiment=other), "another program")
    one_line(lambda: snl.recompute(path), "'powers'", "experiment=")
    one_line(lambda: snl.recompute(path, cells=0, experiment=POWERS), "recompute: 0")


# --- stores of the version before -------------------------------------------------------------------

OLD = TESTS / "stores" / "store-0.1.zip"  # half of OLD_GRID, by jax 0.10.2 on CPU
OLD_GRID = {"rate": [0.5, 0.25, 1e30, 1.5], "spread": [0.0, 0.5], "width": [2, 3], "seed": [3, 1], "steps": 6}


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "powers"


def test_an_old_store_is_refused_with_what_to_do(old, one_line):
    for call in (lambda: snl.open_store(old), lambda: sweep(Grid(POWERS, **OLD_GRID), old)):
        one_line(call, "snljax migrate")


@pytest.mark.parametrize("crashes", [0, 1, 3, 6])
def test_an_old_store_goes_on_after_one_command(old, monkeypatch, one_line, crashes):
    """Also if that command was killed on its way."""
    from snljax.sweep.migrate import migrate

    replace, left = os.replace, [crashes]

    def dies(source, target):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        replace(source, target)

    if crashes:
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dies)
            with pytest.raises(KeyboardInterrupt):
                migrate(old)
    assert migrate(old) == (4, 0)
    one_line(lambda: migrate(old), "format 2")
    finished = {f.name: f.stat().st_mtime_ns for f in (old / "done").iterdir()}
    half, expected = snl.open_store(old).load(), sweep(Grid(POWERS, **OLD_GRID), block=(1, 4))
    assert int((half.status != PENDING).sum()) == 16
    there = half.status != PENDING
    for name in ("mean", "values"):
        ours = expected[name].sel(half.coords).transpose(*half[name].dims).where(there)
        np.testing.assert_allclose(half[name].where(there), ours, rtol=1e-6)  # another machine's last bits
    by_the_same_jax = json.loads((old / "manifest.json").read_bytes())["versions"]["jax"] == jax.__version__
    if not by_the_same_jax:
        one_line(lambda: sweep(Grid(POWERS, **OLD_GRID), old), f"jax 0.10.2 there, {jax.__version__} here")
    whole = sweep(Grid(POWERS, **OLD_GRID), old, accept_program=not by_the_same_jax)
    np.testing.assert_array_equal(whole.status, expected.status)
    np.testing.assert_allclose(whole["mean"], expected["mean"], rtol=1e-6)
    assert whole.above_one.dtype == np.float32  # as that version kept counts
    assert finished.items() <= {f.name: f.stat().st_mtime_ns for f in (old / "done").iterdir()}.items()


def test_a_damaged_block_of_an_old_store_is_trained_again(old, capsys):
    from snljax import cli

    rng = random.Random(0)
    chunk = rng.choice(sorted((old / "data.zarr" / "0" / "mean" / "c").iterdir()))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    cli.main(["migrate", str(old)])
    assert "3 finished blocks kept, 1 damaged" in capsys.readouterr().out
    assert (snl.open_store(old).status != PENDING).sum() == 12


@pytest.mark.parametrize("content", [None, b"", b"[" * 100_000, b'{"zarr_format": 3, "node_type": "group"}'])
def test_an_old_store_with_a_damaged_copy_is_migrated(old, content):
    from snljax.sweep.migrate import migrate

    copy = old / "data.zarr" / "zarr.json"
    copy.write_bytes(content) if content is not None else copy.unlink()
    (old / "programs" / "notes.json").write_text("mine")
    assert migrate(old) == (4, 0)
    assert (snl.open_store(old).status != PENDING).sum() == 16


def test_an_old_store_without_its_programs_is_refused(old, one_line):
    """Nothing would say which program trained there."""
    from snljax.sweep.migrate import migrate

    lose(old, "programs")
    one_line(lambda: migrate(old), "programs", "is lost")


def test_an_old_store_refuses_another_program(old, one_line):
    from snljax.sweep.migrate import migrate

    migrate(old)
    other = POWERS._replace(step=lambda config, draw, x, t: 2 * config.rate * x)
    one_line(lambda: sweep(Grid(other, **OLD_GRID), old), "there, " if jax.__version__ != "0.10.2" else "code")


def test_a_store_keeps_only_what_it_can_hold_exactly(old, monkeypatch):
    """Counts of a store of version 0.1 are float32."""
    from snljax.sweep.migrate import migrate

    migrate(old)
    store = Store.open(old)
    arrays = {"above_one": np.full((1, 4, 1), 16_777_217, np.int32), "first_bad_step": np.full((1, 4), -1, np.int32)}
    with pytest.raises(StoreError, match="above_one: the store keeps it as float32"):
        store.put(finished(1, arrays, ("{}", "x")))


# --- a store of this version, made before its inside was redesigned ---------------------------------

BEFORE = TESTS / "stores" / "store-0.2.zip"  # half of OLD_GRID in blocks of (1, 2), recorded at every 3rd step


def test_a_store_made_before_the_redesign_resumes_grows_and_reads(tmp_path, one_line):
    """Its programs are the same text, so that nothing is refused and no finished block is trained again."""
    with zipfile.ZipFile(BEFORE) as archive:
        archive.extractall(tmp_path)
    path = tmp_path / "powers"
    kept = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in path.glob("**/*") if "c" in f.parts and f.is_file()}
    kept |= {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in (path / "done").iterdir()}
    half = snl.open_store(path).load()
    there = half.status != PENDING
    assert int(there.sum()) == 16
    grown = OLD_GRID | {"seed": [3, 1, 7]}
    by_the_same_jax = json.loads((path / "manifest.json").read_bytes())["versions"]["jax"] == jax.__version__
    if not by_the_same_jax:
        one_line(lambda: sweep(Grid(POWERS, **grown), path, record_every=3), f"{jax.__version__} here")
    options = {"record_every": 3, "accept_program": not by_the_same_jax}
    for settings in (OLD_GRID, grown):
        ds, expected = sweep(Grid(POWERS, **settings), path, **options), sweep(Grid(POWERS, **settings), record_every=3)
        np.testing.assert_array_equal(ds.status, expected.status)
        for name in ("mean", "values", "above_one"):
            assert ds[name].dtype == expected[name].dtype
            np.testing.assert_allclose(ds[name], expected[name], rtol=1e-6)  # another machine's last bits
    np.testing.assert_array_equal(snl.open_store(path).sel(half.coords)["mean"].where(there), half["mean"].where(there))
    assert kept == {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in kept}
