"""The store: the same bits whoever trains, growth without training again, resuming, refusing, reading."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from typing import NamedTuple

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from harness import POWERS, PYTHONPATH, PowersConfig, PowersMetrics, assert_same_bits, need_devices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snljax as snl
from snljax import Grid
from snljax.sweep import pace, program
from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.status import report, status
from snljax.sweep.store import Store
from snljax.sweep.writers import Writers
from snljax.variables import DIVERGED, PENDING

BLOCK = (1, 4)
RATES = [0.5, 0.25, 2.0, 1e30, 1.5, 0.75]  # the fourth leaves float32 after two updates


def grid_of(experiment=POWERS, **changes):
    return Grid(experiment, **({"rate": RATES, "spread": [0.0, 0.5, 1.0], "seed": [3, 1, 4], "steps": 6} | changes))


def sweep(grid, store=None, **options):
    return snl.sweep(grid, store=store, **({"devices": 1, "block": BLOCK, "progress": False} | options))


def files_of(store):
    """What was computed, file by file."""
    root = pathlib.Path(store) / "data.zarr"
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def markers_of(store):
    """Marker -> when it was written; a block that is trained again gets a new one."""
    return {f.name: f.stat().st_mtime_ns for f in (pathlib.Path(store) / "done").glob("*.json")}


@pytest.fixture(scope="module")
def whole():
    return sweep(grid_of())


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished store, not to be changed."""
    path = tmp_path_factory.mktemp("kept") / "runs" / "a"
    sweep(grid_of(), path)
    return path


# --- the same bits, whoever trains ------------------------------------------------------------------


def test_a_store_holds_what_memory_holds(whole, kept):
    assert (whole.status == DIVERGED).any()
    assert_same_bits(sweep(grid_of(), kept), whole)
    assert_same_bits(snl.open_store(kept).sel(rate=RATES, seed=[3, 1, 4]), whole)


def test_two_devices_write_the_same_bytes(kept, tmp_path):
    sweep(grid_of(), tmp_path / "a", devices=need_devices(2))
    assert files_of(tmp_path / "a") == files_of(kept)


def test_two_processes_write_the_same_bytes(whole, kept, tmp_path):
    """And without a store they send the same arrays."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        options = {"executor": executor, "devices": None}
        assert_same_bits(sweep(grid_of(), **options), whole)
        sweep(grid_of(), tmp_path / "a", **options)
    assert files_of(tmp_path / "a") == files_of(kept)


def test_threads_send_the_same_arrays(whole):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        assert_same_bits(sweep(grid_of(), executor=executor, devices=None), whole)


@pytest.mark.filterwarnings("default")  # of distributed and tornado, on their way out
def test_dask_workers_write_the_same_bytes(whole, kept, tmp_path):
    """A scheduler and two worker processes on loopback; the experiment of this test travels by value."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        options = {"executor": client.get_executor(), "devices": None}
        assert_same_bits(sweep(grid_of(), **options), whole)
        own = POWERS._replace(step=lambda config, draw, x, t: config.rate * x)  # a function of this call
        sweep(grid_of(own), tmp_path / "a", **options)
    assert files_of(tmp_path / "a") == files_of(kept)


SHARD = """
from test_store import grid_of, sweep
sweep(grid_of(), {store!r}, shard=({part}, 2))
"""


def test_two_shards_at_once_write_the_same_bytes(kept, tmp_path):
    store = str(tmp_path / "a")
    commands = [[sys.executable, "-c", SHARD.format(store=store, part=i)] for i in (1, 2)]
    env = os.environ | {"PYTHONPATH": PYTHONPATH}
    running = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True, env=env) for c in commands]
    for process in running:
        assert process.wait(timeout=120) == 0, process.stderr.read()
        process.stderr.close()
    assert files_of(store) == files_of(kept)
    assert len(Store.open(store).writers.all()) == 2
    before = markers_of(store)
    sweep(grid_of(), store)  # nothing is left for a later run
    assert markers_of(store) == before


def test_a_shard_leaves_the_rest_to_others(whole, tmp_path):
    parts = [sweep(grid_of(), tmp_path / "a", shard=(i, 3)) for i in (1, 2, 3)]
    done = [int((part.status != PENDING).sum()) for part in parts]
    assert 0 < done[0] < done[1] < done[2] == whole.status.size
    pending = parts[0].status == PENDING
    assert parts[0]["mean"].where(pending, drop=True).isnull().all()
    assert_same_bits(parts[2], whole)


# --- growing ----------------------------------------------------------------------------------------


def test_more_values_and_seeds_train_no_old_cell(tmp_path):
    """K from 10 to 20 values and seeds from 2 to 3, here as rates: only new cells are trained."""
    rates = np.linspace(0.1, 0.9, 20)
    small, large = grid_of(rate=rates[::2], seed=[0, 1]), grid_of(rate=rates, seed=[0, 1, 2])
    sweep(small, tmp_path / "a")
    before, cells = markers_of(tmp_path / "a"), Store.open(tmp_path / "a").catalogue.layout.cells
    grown = sweep(large, tmp_path / "a")
    after = markers_of(tmp_path / "a")
    assert before.items() <= after.items()
    trained = [json.loads((tmp_path / "a" / "done" / n).read_bytes())["cells"] for n in after.keys() - before.keys()]
    assert sum(trained) == large.cells - cells
    assert_same_bits(grown, sweep(large))


def test_a_new_value_of_a_static_axis_is_a_new_program_beside_the_old(tmp_path):
    """Its metric is longer; that of the old cells stays as it is, padded with NaN."""
    first, more = grid_of(width=[2], rate=RATES[:2]), grid_of(width=[2, 3], rate=RATES[:2])
    sweep(first, tmp_path / "a")
    before = markers_of(tmp_path / "a")
    grown = sweep(more, tmp_path / "a")
    assert before.items() <= markers_of(tmp_path / "a").items()
    assert_same_bits(grown, sweep(more))
    assert len(list((tmp_path / "a" / "programs").glob("*.json"))) == 2


def test_part_of_a_grid_is_read_and_its_missing_part_trained(whole, tmp_path):
    """Asked for piece by piece, in any order, also overlapping."""
    asked = set()
    for rate, seed in (([2.0, 0.5], [1]), ([0.25], [3, 4]), ([1.5, 0.5, 1e30], [4, 1])):
        part = sweep(grid_of(rate=rate, seed=seed), tmp_path / "a")
        assert_same_bits(part, whole.sel(rate=rate, seed=seed))
        asked |= {(r, s) for r in rate for s in seed}
    everything = snl.open_store(tmp_path / "a")
    assert everything.rate.values.tolist() == sorted(everything.rate.values.tolist())
    assert (
        int((everything.status != PENDING).sum()) == 3 * len(asked) == Store.open(tmp_path / "a").catalogue.layout.cells
    )
    assert_same_bits(sweep(grid_of(), tmp_path / "a"), whole)


def test_a_zip_grows_by_its_rows(tmp_path):
    def rows(count):
        both = snl.zip(rate=RATES[:count], start=[1.0, 2.0, 1.0, 2.0][:count])
        return Grid(POWERS, protocol=both, spread=[0.0, 1.0], steps=3)

    sweep(rows(2), tmp_path / "a")
    before = markers_of(tmp_path / "a")
    assert_same_bits(sweep(rows(4), tmp_path / "a"), sweep(rows(4)))
    assert before.items() <= markers_of(tmp_path / "a").items()
    assert_same_bits(snl.open_store(tmp_path / "a"), sweep(rows(4)))


# --- resuming ---------------------------------------------------------------------------------------


def stop_after(monkeypatch, blocks):
    """Ctrl-C when so many blocks have been written."""
    put, count = Store.put, []

    def counted(self, *arguments):
        put(self, *arguments)
        count.append(arguments[0])
        if len(count) == blocks:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "put", counted)


def test_a_store_reads_while_it_fills_and_goes_on(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(snl.Interrupted, match="the same call again") as stopped:
            sweep(grid_of(), tmp_path / "a")
    part = snl.open_store(tmp_path / "a").sel(rate=RATES, seed=[3, 1, 4])
    assert_same_bits(part.transpose(*whole.dims, ...), stopped.value.dataset)
    there = part.status != PENDING
    assert int(there.sum()) == 16
    xr.testing.assert_identical(part["mean"].where(there), whole["mean"].where(there))
    assert part["mean"].where(~there).isnull().all()
    assert (part.first_bad_step.where(~there, -1) == -1).all()
    before = markers_of(tmp_path / "a")
    assert_same_bits(sweep(grid_of(), tmp_path / "a"), whole)
    assert before.items() <= markers_of(tmp_path / "a").items()


class KeyedState(NamedTuple):
    x: jax.Array
    key: jax.Array
    half: jax.Array


def noisy(draw):
    """POWERS with a walk that has a random key and a bfloat16 number in its state."""

    def step(config, _, state, t):
        key, now = jax.random.split(state.key)
        x = config.rate * state.x + config.spread * jax.random.normal(now, state.x.shape)
        return KeyedState(x, key, state.half * jnp.bfloat16(0.99))

    return POWERS._replace(
        init=lambda config, d: KeyedState(POWERS.init(config, d), jax.random.key(7), jnp.bfloat16(1.5)),
        step=step,
        measure=lambda config, d, s: PowersMetrics(jnp.mean(s.x), s.x, s.half.astype(jnp.float32)),
    )


@pytest.mark.parametrize("record_every", [None, 50])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_long_block_goes_on_from_its_checkpoint(tmp_path, monkeypatch, record_every, devices):
    """Stopped in the middle: no update is done twice but those since the checkpoint, and the bits are the same."""
    need_devices(2)
    grid = grid_of(noisy(None), rate=[0.5, 0.9, 1e30, 1.0], seed=[0, 1], spread=0.1, steps=400)
    options = {"record_every": record_every, "devices": devices}
    expected = sweep(grid, **options)
    monkeypatch.setattr(pace, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(pace, "CHECKPOINT_SHARE", 0)
    monkeypatch.setattr(pace, "SEGMENT_SECONDS", 1e-9)  # segments stay short
    save, saved = Store.save_checkpoint, []

    def fragile(self, block, checkpoint):
        save(self, block, checkpoint)
        saved.append(checkpoint.step)
        if len(saved) == 40:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_checkpoint", fragile)
        with pytest.raises(snl.Interrupted):
            sweep(grid, tmp_path / "a", **options)
    stopped = Store.open(tmp_path / "a")
    blocks_there = stopped.catalogue.layout.blocks
    left = [c for b in range(blocks_there) if (c := stopped.checkpoint(b)) is not None]
    assert left
    assert 0 < max(c.step for c in left) < 400
    sizes = stopped.catalogue.layout.sizes()
    before = 400 * sizes[stopped.done()].sum()
    before += sum(c.step * sizes[b] for b in range(blocks_there) if (c := stopped.checkpoint(b)) is not None)
    assert_same_bits(sweep(grid, tmp_path / "a", **options), expected)
    assert (expected.status == DIVERGED).any()
    assert not list((tmp_path / "a" / "checkpoints").glob("*.npz"))
    second = max(Store.open(tmp_path / "a").writers.all(), key=lambda w: w["started"])
    assert before + second["steps"] == 400 * grid.cells


def test_a_damaged_checkpoint_is_none(tmp_path):
    grid = grid_of(rate=[0.5], spread=0.0, seed=0, steps=50)
    sweep(grid, tmp_path / "a")
    store = Store.open(tmp_path / "a")
    store.discard(0)
    store.save_checkpoint(0, Checkpoint(3, 1.0, "x", {"state_0": np.zeros(3, np.float32)}))
    assert store.checkpoint(0).step == 3
    file = tmp_path / "a" / "checkpoints" / "0.npz"
    file.write_bytes(file.read_bytes()[:-20])
    assert store.checkpoint(0) is None
    assert_same_bits(sweep(grid, tmp_path / "a"), sweep(grid))


# --- refusing ---------------------------------------------------------------------------------------


OTHER_STEP = POWERS._replace(step=lambda config, draw, x, t: config.rate * x + 0.0 * t)


@pytest.mark.parametrize(
    ("grid", "options", "texts"),
    [
        (grid_of(start=2.0), {}, ["start = 1.0", "2.0"]),
        (grid_of(steps=7), {}, ["steps = 6", "7"]),
        (grid_of(label="b"), {}, ["label = none", "b"]),
        (grid_of(spread=0.5), {}, ["axes rate, spread", "here they are rate;"]),
        (grid_of(POWERS._replace(name="roots")), {}, ["experiment = powers", "roots"]),
        (grid_of(), {"precision": "tf32"}, ["precision = highest", "tf32"]),
        (grid_of(), {"record_every": 2}, ["record_every = none", "2"]),
        (grid_of(OTHER_STEP), {}, ["another program", "code", "accept_program"]),
    ],
)
def test_another_sweep_is_refused_and_said_why(one_line, kept, grid, options, texts):
    before = files_of(kept), markers_of(kept)
    assert "store: " in one_line(lambda: sweep(grid, kept, **options), *texts)
    assert (files_of(kept), markers_of(kept)) == before


def test_other_data_behind_the_same_code_is_refused(one_line, tmp_path):
    """An array that a step closes over is part of the program."""

    def with_shift(shift):
        return grid_of(POWERS._replace(step=lambda config, draw, x, t: config.rate * x + shift))

    sweep(with_shift(jnp.arange(3.0)), tmp_path / "a")
    sweep(with_shift(jnp.arange(3.0)), tmp_path / "a")
    for other in (jnp.arange(3.0) * 2, np.arange(3.0, dtype=np.float32) * 2):
        one_line(lambda other=other: sweep(with_shift(other), tmp_path / "a"), "another program")


@pytest.mark.usefixtures("x64")
def test_another_dtype_is_refused(one_line, kept):
    one_line(lambda: sweep(grid_of(), kept), "dtype = float32", "float64")


def test_another_version_of_jax_is_refused_until_accepted(one_line, tmp_path, monkeypatch):
    """The refusal names the version; accepted, both are known from then on, and each block says which it is of."""
    path, part = tmp_path / "a", grid_of(rate=RATES[:2])
    sweep(part, path)
    old = {json.loads(f.read_bytes())["program"] for f in (path / "done").glob("*.json")}
    made_by = program.made_by
    monkeypatch.setattr(program, "made_by", lambda devices: made_by(devices) | {"jax": "99.0"})
    one_line(lambda: sweep(grid_of(), path), f"jax {jax.__version__} there, 99.0 here", "accept_program")
    assert_same_bits(sweep(grid_of(), path, accept_program=True), sweep(grid_of()))
    sweep(grid_of(), path)
    marks = {json.loads(f.read_bytes())["program"] for f in (path / "done").glob("*.json")}
    assert len(old) == 1
    assert len(marks) == 2
    assert old < marks


def test_the_store_keeps_its_block_shape(kept, capsys):
    ds = sweep(grid_of(), kept, block=(2, 8), progress=True)
    assert json.loads(ds.attrs["block"]) == list(BLOCK)
    assert "is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"store": 3}, ["store", "int"]),
        ({"shard": (1, 2)}, ["shard", "store"]),
        ({"shard": (3, 2), "store": "a"}, ["shard", "(3, 2)"]),
        ({"shard": 2, "store": "a"}, ["shard", "2"]),
        ({"executor": 2}, ["executor", "int"]),
        ({"executor": concurrent.futures.ThreadPoolExecutor(1)}, ["devices", "executor"]),
    ],
)
def test_bad_options(one_line, options, texts):
    one_line(lambda: sweep(grid_of(), **options), *texts)


def test_a_pool_that_forks_is_refused(one_line):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        one_line(lambda: sweep(grid_of(), executor=executor, devices=None), "executor", "spawn")


def test_what_cannot_travel_is_refused(one_line):
    import threading

    lock = threading.Lock()
    own = POWERS._replace(step=lambda config, draw, x, t: config.rate * x if lock else x)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        one_line(lambda: sweep(grid_of(own), executor=executor, devices=None), "executor", "pickle")


def test_a_config_of_a_notebook_is_registered_where_it_arrives():
    """Sent by value, a class loses its registration with JAX; unpickling a grid makes up for it."""

    @dataclasses.dataclass(frozen=True)
    class Config(PowersConfig):
        pass

    state = dict(Grid(POWERS, rate=[0.5, 0.25], steps=2).__dict__)
    state["config"] = Config()
    assert len(jax.tree.leaves(state["config"])) == 1
    arrived = Grid.__new__(Grid)
    arrived.__setstate__(state)
    assert len(jax.tree.leaves(arrived.config)) == 4  # rate, start, spread, steps
    assert isinstance(POWERS.readings, types.MappingProxyType)
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(POWERS)).readings, dict)


# --- reading ----------------------------------------------------------------------------------------


def test_opening_reads_no_values(kept, monkeypatch):
    def never(*_):
        raise AssertionError("values were read")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "read", never)
        ds = snl.open_store(kept)
        ds = ds.isel(rate=slice(1, 4)).transpose(*ds.dims)
        assert ds.sizes["rate"] == 3
        with pytest.raises(AssertionError, match="read"):
            ds["mean"].load()


def xarray_can(s):
    """xarray trips over an empty slice that runs backwards."""
    return all((s.step or 1) > 0 or len(range(*s.indices(n))) > 0 for n in (3, 6))


index = st.one_of(
    st.integers(-3, 2),
    st.slices(3).filter(xarray_can),
    st.lists(st.integers(0, 2), max_size=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["rate", "spread", "seed", "coordinate"]), index))
def test_a_part_reads_as_part_of_the_whole(kept, where):
    lazy = snl.open_store(kept)
    loaded = snl.open_store(kept).load()
    for name in ("values", "status", "first_bad_step"):
        here = {n: i for n, i in where.items() if n in lazy[name].dims}
        xr.testing.assert_identical(lazy[name].isel(here).load(), loaded[name].isel(here))


def test_xarray_opens_a_store_by_name(kept, whole):
    ds = xr.open_dataset(kept, engine="snljax", drop_variables="values")
    assert "values" not in ds
    xr.testing.assert_equal(ds["mean"].sel(rate=RATES, seed=[3, 1, 4]), whole["mean"].transpose(*ds["mean"].dims))


def test_other_tools_can_read_the_arrays(kept):
    """Plain zarr, with dimension names, and the settings among the attributes."""
    import zarr

    group = zarr.open_group(kept / "data.zarr", mode="r")
    assert group.attrs["snljax"]["experiment"] == "powers"
    array = group["0/values"]
    assert array.metadata.dimension_names == ("cell", "values_0")
    assert array.chunks[0] == BLOCK[0] * BLOCK[1]
    assert array.shape[0] == Store.open(kept).catalogue.layout.blocks * array.chunks[0]


def test_trajectories(tmp_path):
    grid = grid_of()
    recorded = sweep(grid, tmp_path / "a", record_every=2)
    assert recorded["mean"].dims == ("rate", "spread", "seed", "step")
    assert_same_bits(recorded, sweep(grid, record_every=2))
    assert_same_bits(snl.open_store(tmp_path / "a").sel(rate=RATES, seed=[3, 1, 4]), recorded)


def test_one_cell(tmp_path):
    grid = Grid(POWERS, rate=0.5, steps=3)
    ds = sweep(grid, tmp_path / "a")
    assert ds.sizes == {"coordinate": 3}
    assert_same_bits(ds, sweep(grid))
    assert_same_bits(snl.open_store(tmp_path / "a"), ds)


# --- several writers, and status --------------------------------------------------------------------


def test_writers_begin_apart_and_leave_each_other_their_blocks(tmp_path):
    sweep(grid_of(), tmp_path / "a")
    first, second = Store.open(tmp_path / "a"), Store.open(tmp_path / "a")
    blocks = np.arange(first.catalogue.layout.blocks)
    for block in blocks.tolist():
        first.discard(block)
    first.writers.beat([0, 1])
    time.sleep(0.01)
    second.writers.beat([])
    assert list(first.writers.order(blocks, first.is_done)) == blocks.tolist()
    order = list(second.writers.order(blocks, second.is_done))
    assert sorted(order) == blocks.tolist()
    assert order[0] == len(blocks) // 2
    assert order[-2:] == [0, 1]


def test_status_counts(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(snl.Interrupted):
            sweep(grid_of(), tmp_path / "a")
    now = status(tmp_path / "a")
    assert (now.cells_done, now.cells) == (18, 54)
    assert (now.blocks_done, now.blocks, now.checked, now.damaged) == (5, 15, 5, {})
    assert [h.live for h in now.hosts] == [0]
    assert "nothing runs" in report(now)
    Store.open(tmp_path / "a").writers.beat([7], steps=8)
    busy = status(tmp_path / "a")
    assert busy.training == [7]
    assert busy.hosts[0].live == 1
    assert busy.seconds_left == pytest.approx((36 * 6 - 8) / busy.rate)  # it is 8 steps into its block
    chunk = tmp_path / "a" / "data.zarr" / "0" / "mean" / "c" / "2"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert status(tmp_path / "a", seconds=float("inf")).damaged == {2: ["mean"]}


# --- the shell --------------------------------------------------------------------------------------


COMMAND = [
    *("run", "topk_pruning", "--n", "12", "--n-test", "20", "--d", "16", "--m", "2", "--num-classes", "3"),
    *("--K", "4", "8", "--sigma-p", "0.5", "1", "--seed", "0", "1", "--block", "1", "2"),
]


# A shell starts what it puts in the background with SIGINT ignored, and that is passed on.
LISTENING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from snljax.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_leaves_a_store_that_goes_on(tmp_path, number):
    """Exit code 143 or 130, the command that resumes, and a checkpoint of what was on its way."""
    store = tmp_path / "a"
    command = [sys.executable, "-c", LISTENING, *COMMAND, "--steps", "2000000", "--store", str(store)]
    env = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # no number is looked at
    running = subprocess.Popen(
        [*command, "--quiet"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    deadline = time.monotonic() + 120
    while not any(w["steps"] for w in (Store.open(store).writers.all() if (store / "manifest.json").exists() else [])):
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2.0)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "Traceback" not in errors
    assert f"to go on: snljax run topk_pruning --n 12 {' '.join(COMMAND[4:])} --steps 2000000" in errors
    now = status(store)
    assert now.blocks_done or now.checkpoints
    assert not now.training


def test_run_status_and_plot_of_a_store(tmp_path, capsys):
    from snljax import cli

    run = [*COMMAND, "--steps", "4", "--store", str(tmp_path / "a"), "--quiet"]
    cli.main([*run, "--shard", "1/2"])
    cli.main(["status", str(tmp_path / "a")])
    assert "4 of 8 done" in capsys.readouterr().out
    cli.main([*run, "--out", str(tmp_path / "a.nc")])
    cli.main(["status", str(tmp_path / "a"), "--watch", "--verify", "--png", str(tmp_path / "a.png")])
    assert "8 of 8 done (100.0 %)" in capsys.readouterr().out
    cli.main(["status", str(tmp_path / "a"), "--verify", "--recompute", "3"])
    assert "trained  3 cells again" in capsys.readouterr().out
    cli.main(["plot", str(tmp_path / "a"), "--metric", "train_loss", "--out", str(tmp_path / "b.png")])
    for picture in ("a.png", "b.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(tmp_path / "a.nc") as exported:
        assert_same_bits(exported, snl.open_store(tmp_path / "a"))


def test_a_look_at_a_store_needs_no_jax(kept):
    code = f"import sys\nfrom snljax import cli\ncli.main(['status', {str(kept)!r}])\nprint('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "False"


def test_workers_train_what_they_are_handed_without_reading_of_others(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(Writers, "all", lambda self: read.append(self) or [])
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        sweep(grid_of(), tmp_path / "a", executor=executor, devices=None)
    assert Store.open(tmp_path / "a").done().all()
    assert read == []
