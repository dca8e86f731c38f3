"""A store under fire: processes killed at any moment, flipped bits, poisoned blocks, full and read-only disks."""

from __future__ import annotations

import builtins
import collections
import contextlib
import errno
import io
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import fault_driver
import jax
import numpy as np
import pytest
from fault_driver import ENDING, OPTIONS, POISONED, ending_grid, slow_grid
from harness import POWERS, PYTHONPATH, assert_same_bits, need_devices

import snljax as snl
from snljax.sweep import pace
from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.status import status
from snljax.sweep.store import Store
from snljax.variables import DONE, PENDING

SHARDS = ("first of two", "second of two")


def sweep(grid, **options):
    return snl.sweep(grid, **({"devices": 1, "block": (1, 4), "progress": False} | options))


def powers_grid(experiment=POWERS, **settings):
    """Thirty blocks of four."""
    axes = {"rate": [0.1 * k for k in range(1, 11)], "spread": [0.0, 0.5], "seed": range(6)}
    return snl.Grid(experiment, **(axes | {"steps": 3} | settings))


def markers(store):
    """Marker -> its content and the moment when it was written."""
    return {int(m.stem): (m.read_bytes(), m.stat().st_mtime_ns) for m in (store / "done").glob("[0-9]*.json")}


def trained_again(store, before):
    """Blocks whose marker is not what it was."""
    now = markers(store)
    return {block for block, marker in before.items() if now.get(block) != marker}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A finished store that is never touched, and what is in it."""
    path = tmp_path_factory.mktemp("faults") / "original"
    return path, sweep(powers_grid(), store=path).load()


@pytest.fixture
def store(original, tmp_path):
    """A copy of a finished store, to be damaged."""
    return pathlib.Path(shutil.copytree(original[0], tmp_path / "store"))


# --- killed at any moment ---------------------------------------------------------------------------


class Campaign:
    """Drivers that work on one store, and what is done to them."""

    def __init__(self, folder, seeds, seed, seconds):
        folder.mkdir()
        self.folder, self.store, self.seeds, self.random = folder, folder / "store", seeds, random.Random(seed)
        self.seconds = seconds  # for one step of a cell; a block takes twelve times that
        self.drivers, self.markers, self.recomputed = {}, {}, set()
        self.kills, self.exits, self.last = collections.Counter(), [], 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for form in list(self.drivers):
            self.end(form)

    def start(self, form):
        """The driver of this form: the same call after each kill."""
        if form in self.drivers and self.drivers[form].poll() is None:
            return
        self.end(form)
        call = f"import fault_driver; fault_driver.drive({str(self.store)!r}, {form!r}, {self.seeds})"
        env = os.environ | {"FAULT_FOLDER": str(self.folder), "PYTHONPATH": PYTHONPATH}
        env["FAULT_SECONDS"] = str(self.seconds)
        with open(self.folder / f"{form}.log", "ab") as log:
            self.drivers[form] = subprocess.Popen(
                [sys.executable, "-c", call], env=env, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, form):
        """The driver and the workers that it left behind."""
        if form not in self.drivers:
            return
        driver = self.drivers.pop(form)
        if driver.poll() not in (None, 0, -signal.SIGKILL):
            self.exits.append((self.folder / f"{form}.log").read_text().strip().splitlines()[-1])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        for worker in self.folder.glob("worker-*") if form == "pool" else ():
            worker.unlink()

    def until(self, happened, forms):
        """Wait; False if all drivers ended before."""
        deadline = time.monotonic() + 90
        while not happened():
            if all(self.drivers[form].poll() is not None for form in forms):
                return happened()
            assert time.monotonic() < deadline, f"{forms}: no progress"
            time.sleep(0.002)
        return True

    def look(self):
        """Take in the markers; one that was there before has to be there still, unchanged."""
        now = markers(self.store)
        self.recomputed |= {block for block, marker in self.markers.items() if now.get(block) != marker}
        self.markers = now | self.markers

    def workers(self):
        """Workers of the pool as it is since the last kill."""
        found = []
        for file in self.folder.glob("worker-*"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime > self.last:
                    found.append(int(file.name.partition("-")[2]))
        return found

    def kill_a_worker(self):
        """False if there is none; one that started late is ended with the broken pool that it belongs to."""
        for worker in self.random.sample(found := self.workers(), len(found)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                return True
        return False

    def strike(self, kind, forms, restart=True, soon=False):
        """Kill one process, at the start, in training or in writing."""
        for form in forms if restart else ():
            self.start(form)
        there, more = len(markers(self.store)), 0 if soon else self.random.choice([0, 1, 1, 2])
        self.until(lambda: more == 0 or len(markers(self.store)) >= there + more, forms)
        time.sleep(self.random.uniform(0, 2.0 if more == 0 else 0.2))
        if kind == "mid-write":
            trap = self.folder / "trap"
            fault_driver.lay(
                self.folder,
                self.random.randint(1, 15),
                self.random.choice(["before", "half", "after"]),
                workers=forms == ("pool",),
            )
            struck = self.until(lambda: not trap.exists(), forms)
            trap.unlink(missing_ok=True)
        elif kind == "worker":
            struck = self.until(self.kill_a_worker, forms)
        else:
            victim = self.drivers[self.random.choice([f for f in forms if self.drivers[f].poll() is None] or forms)]
            victim.kill()
            struck = victim.wait() == -signal.SIGKILL
        self.kills[kind] += bool(struck)
        self.last = time.time()
        time.sleep(self.random.uniform(0, 0.3))  # workers whose driver was killed go on for a while
        self.look()

    def finish(self, forms):
        """The same call once more, to the end; everything is checked."""
        for form in forms:
            self.start(form)
        for form in forms:
            assert self.drivers[form].wait(timeout=120) == 0, (self.folder / f"{form}.log").read_text()
        self.check()

    def check(self):
        expected = snl.sweep(slow_grid(self.seeds), devices=1, **OPTIONS)
        assert_same_bits(snl.open_store(self.store), expected)
        assert not status(self.store, seconds=float("inf")).damaged
        self.look()
        assert len(self.markers) == 4 * self.seeds
        assert not self.recomputed


def told(campaigns, seconds):
    kills = sum((c.kills for c in campaigns), collections.Counter())
    during = collections.Counter()
    for c in campaigns:
        log = c.folder / "log"
        for line in log.read_text().splitlines() if log.exists() else ():
            how, _, target = line.partition(" ")
            during[f"{how} {pathlib.Path(target).relative_to(c.store).parts[0]}"] += 1
    blocks, again = sum(len(c.markers) for c in campaigns), sum(len(c.recomputed) for c in campaigns)
    print(
        f"\n{kills.total()} kills {dict(kills)}, {blocks} blocks, {again} finished blocks recomputed, {seconds:.0f} s"
    )
    print(f"mid-write: {dict(during)}")
    print(f"drivers that ended by themselves, and not well: {[e for c in campaigns for e in c.exits]}")
    return kills


def test_killed_processes_lose_no_finished_block(tmp_path, capsys):
    """Two shards, then a pool, then a loop in this process, all on one store; five kills between."""
    since = time.monotonic()
    with Campaign(tmp_path / "all", seeds=16, seed=0, seconds=0.012) as campaign:
        campaign.strike("driver", SHARDS)
        campaign.strike("mid-write", SHARDS, restart=False)
        for form in SHARDS:
            campaign.end(form)
        campaign.strike("mid-write", ("pool",))
        campaign.strike("worker", ("pool",))
        campaign.strike("driver", ("pool",), soon=True)  # while the pool is built anew
        campaign.end("pool")
        snl.sweep(slow_grid(16), store=campaign.store, devices=need_devices(1), **OPTIONS)
        campaign.check()
    with capsys.disabled():
        kills = told([campaign], time.monotonic() - since)
    assert kills == {"driver": 2, "worker": 1, "mid-write": 2}


@pytest.mark.slow
def test_fifty_kills_lose_no_finished_block(tmp_path, capsys):
    """A loop, a pool and two shards at once, each on a store of its own."""
    since = time.monotonic()
    plans = [
        (("loop",), ["driver", "mid-write"] * 9, 0.012),
        (("pool",), ["worker", "mid-write", "worker", "driver"] * 5, 0.04),
        (SHARDS, ["mid-write", "driver"] * 9, 0.02),
    ]
    campaigns = []
    for number, (forms, kinds, seconds) in enumerate(plans):
        with Campaign(tmp_path / str(number), seeds=25, seed=number, seconds=seconds) as campaign:
            for kind in kinds:
                # Of two shards both are killed, or one has trained all before the other is back.
                campaign.strike(kind, forms, restart=(forms, kind) != (SHARDS, "driver"))
            campaign.finish(forms)
        campaigns.append(campaign)
    with capsys.disabled():
        kills = told(campaigns, time.monotonic() - since)
    assert kills == {"driver": 23, "worker": 10, "mid-write": 23}


@pytest.mark.slow
def test_a_kill_among_networks_that_ended_and_others_is_made_good(tmp_path, monkeypatch):
    """In the middle of a block that stops early: it goes on from its checkpoint, to the same bits."""
    expected = snl.sweep(ending_grid(), **ENDING)
    ends = expected.stopped_at.transpose("seed", "rate").values
    with Campaign(tmp_path / "ending", seeds=2, seed=0, seconds=0.01) as campaign:

        def checkpoint():
            there = (campaign.store / "checkpoints" / "1.npz").exists()
            return Store.open(campaign.store).checkpoint(1) if there else None

        campaign.start("ending")
        second = ends[1]
        assert campaign.until(lambda: (at := checkpoint()) is not None and at.step > second[1] + 8, ("ending",))
        campaign.drivers["ending"].kill()
        assert campaign.drivers["ending"].wait() == -signal.SIGKILL
    before, left = markers(campaign.store), checkpoint()
    assert set(before) == {0}
    assert second[0] < second[1] < left.step - 8 < second[3] < 400
    monkeypatch.setattr(pace, "SEGMENT_SECONDS", 1e-9)  # so that it stops soon after the last has ended
    resumed = snl.sweep(ending_grid(), store=campaign.store, **ENDING)
    assert_same_bits(resumed, expected)
    assert_same_bits(snl.open_store(campaign.store), expected)
    assert trained_again(campaign.store, before) == set()
    last = max(Store.open(campaign.store).writers.all(), key=lambda writer: writer["started"])
    assert last["steps"] <= 4 * (second[3] + 8 - left.step) < 4 * second[3]


def test_a_kill_at_any_file_operation_is_made_good(tmp_path):
    """Before it, after it, and with half of the file written: the same calls again complete the store."""
    call = f"import fault_driver; fault_driver.operations({str(tmp_path)!r})"
    env = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", call], env=env, capture_output=True, text=True, check=True, timeout=120
    )
    struck = (tmp_path / "log").read_text()
    for target in ("manifest.json", "grids/0.json", "data.zarr/zarr.json", "mean/c/0", "mean/c/1", "done/1.json"):
        assert struck.count(target) == 3
    assert done.stdout == ""


# --- flipped bits and cut files ---------------------------------------------------------------------


def chunk(store, name, block):
    folder = store / "data.zarr" / "0" / name / "c" / str(block)
    return next(f for f in (folder, *folder.rglob("*")) if f.is_file())


def flip(file, rng):
    content = bytearray(file.read_bytes())
    bit = rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def cut(file, rng):
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content))])


def blocks_of(path, ds):
    """The block of each cell, as the Dataset lies."""
    store = Store.open(path)
    layout, values = store.catalogue.layout, store.catalogue.values
    assert list(ds.sizes)[:3] == list(values)
    return layout.locate([np.arange(len(v)) for v in values.values()]) // layout.slots


@pytest.mark.parametrize("damage", [flip, cut])
def test_every_damaged_block_is_found_and_only_those_are_trained_again(store, original, damage):
    """One chunk in each of 20 random blocks; reading warns of each, leaves its cells out and no others."""
    ds, rng = original[1], random.Random(20)
    names = ["mean", "values", "first_bad_step"]  # whole numbers have no NaN: see the next test
    harmed = {block: [rng.choice(names)] for block in sorted(rng.sample(range(30), 20))}
    for block, (name,) in harmed.items():
        damage(chunk(store, name, block), rng)
    before = markers(store)
    found = status(store, seconds=float("inf"))
    assert found.checked == found.blocks == 30
    assert found.damaged == harmed

    where = blocks_of(store, ds)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        seen = snl.open_store(store).load()
    assert {int(re.search(r"\bblock (\d+)\b", str(w.message))[1]) for w in said} == set(harmed)
    for name in names:
        bad = np.isin(where, [block for block, harm in harmed.items() if harm == [name]])
        assert bad.any()
        values, good = seen[name].values, ds[name].values
        assert (values[bad] == -1 if name == "first_bad_step" else np.isnan(values[bad])).all()
        np.testing.assert_array_equal(values[~bad], good[~bad])

    again = sweep(powers_grid(), store=store)
    assert trained_again(store, before) == set(harmed)
    assert_same_bits(again, ds)
    assert not status(store, seconds=float("inf")).damaged


@pytest.mark.parametrize("damage", [flip, cut, lambda file, rng: file.unlink()])
def test_whole_numbers_that_are_damaged_are_an_error(store, original, one_line, damage):
    """They have no NaN to say that they are missing."""
    damage(chunk(store, "above_one", 3), random.Random(0))
    seen = snl.open_store(store)
    one_line(lambda: seen["above_one"].load(), "block 3", "above_one is damaged")
    assert_same_bits(seen.drop_vars("above_one"), original[1].drop_vars("above_one"))
    assert_same_bits(sweep(powers_grid(), store=store), original[1])


def test_chunks_that_changed_places_are_found(store, original):
    """Each is whole, and of another block."""
    one, other = chunk(store, "mean", 3), chunk(store, "mean", 4)
    one.write_bytes(other.read_bytes())
    with pytest.warns(UserWarning, match="block 3 cannot be read"):
        seen = snl.open_store(store)["mean"].values
    np.testing.assert_array_equal(np.isnan(seen), blocks_of(store, original[1]) == 3)
    assert_same_bits(sweep(powers_grid(), store=store), original[1])


def test_markers_that_changed_places_are_found(store, original):
    before = markers(store)
    done = store / "done"
    for a, b in (("3", "hold"), ("4", "3"), ("hold", "4")):
        (done / f"{a}.json").rename(done / f"{b}.json")
    with pytest.warns(UserWarning, match="its marker is not what was written"):
        seen = snl.open_store(store).load()
    assert (seen.status.values == PENDING).sum() == 8
    assert status(store, seconds=float("inf")).damaged == {3: ["marker"], 4: ["marker"]}
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert trained_again(store, before) == {3, 4}


def test_a_missing_chunk_is_found(store, original):
    before = markers(store)
    chunk(store, "mean", 3).unlink()
    chunk(store, "first_bad_step", 5).unlink()
    assert status(store, seconds=float("inf")).damaged == {3: ["mean"], 5: ["first_bad_step"]}
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert trained_again(store, before) == {3, 5}


@pytest.mark.parametrize("name", ["mean", "first_bad_step"])
def test_reading_a_missing_chunk_warns(store, name):
    chunk(store, name, 3).unlink()
    with pytest.warns(UserWarning, match="block 3 "):
        snl.open_store(store)[name].load()


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_marker_is_found_or_harmless(store, original, damage):
    """Its hashes are intact, or the block is trained again."""
    rng, opened = random.Random(3), Store.open(store)
    for _ in range(200):
        block = rng.randrange(30)
        marker = store / "done" / f"{block}.json"
        good = marker.read_bytes()
        damage(marker, rng)
        if not opened.damaged(block):
            assert json.loads(marker.read_bytes())["arrays"] == json.loads(good)["arrays"]
        marker.write_bytes(good)


@pytest.mark.parametrize("content", ["", "{", "null", "5", "[]", "{}", '{"arrays": 5}', '{"arrays": {"mean": 5}}'])
def test_a_marker_of_nonsense_is_found(store, original, content):
    before = markers(store)
    (store / "done" / "7.json").write_text(content)
    assert list(status(store, seconds=float("inf")).damaged) == [7]
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert trained_again(store, before) == {7}


def checkpoint_of(store):
    """One that would be resumed, and spoil the block, if it were read."""
    program = json.loads((store.path / "done" / "1.json").read_bytes())["program"]
    arrays = {"state_0": np.arange(8, dtype=np.float32), "first_bad_step": np.full((1, 4), -1, np.int32)}
    store.save_checkpoint(0, Checkpoint(2, 0.5, program, arrays))
    return store.path / "checkpoints" / "0.npz"


def test_a_cut_checkpoint_is_none(store):
    opened = Store.open(store)
    file = checkpoint_of(opened)
    good = file.read_bytes()
    for length in range(0, len(good), 7):
        file.write_bytes(good[:length])
        assert opened.checkpoint(0) is None


def test_a_flipped_checkpoint_is_none_or_whole(store):
    opened = Store.open(store)
    file = checkpoint_of(opened)
    good, whole = file.read_bytes(), opened.checkpoint(0)
    for bit in range(0, 8 * len(good), 3):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        read = opened.checkpoint(0)
        if read is not None:
            assert read[:3] == whole[:3]
            assert read.arrays.keys() == whole.arrays.keys()
            for name, values in whole.arrays.items():
                np.testing.assert_array_equal(read.arrays[name], values)


def test_a_cut_checkpoint_is_started_over(store, original):
    (store / "done" / "0.json").unlink()
    cut(checkpoint_of(Store.open(store)), random.Random(0))
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert not list((store / "checkpoints").iterdir())


# --- nothing but NaN --------------------------------------------------------------------------------


@pytest.mark.parametrize("record_every", [None, 1])
def test_a_block_of_nan_is_done(tmp_path, record_every):
    """Not finite from the start: every number is NaN, and a resumed sweep trains nothing."""
    grid = snl.Grid(POWERS, start=[0.5, 1.0, 1e30, 2e30, 3e30, 4e30], seed=range(2), steps=3)
    options = {"block": (1, 2), "record_every": record_every}
    first = sweep(grid, store=tmp_path / "a", **options)
    assert np.isnan(first["mean"].sel(start=slice(1e29, None))).all()
    assert (first.first_bad_step.sel(start=slice(1e29, None)) == 0).all()
    before = markers(tmp_path / "a")
    assert len(before) == 6
    assert not status(tmp_path / "a", seconds=float("inf")).damaged
    again = sweep(grid, store=tmp_path / "a", **options)
    assert trained_again(tmp_path / "a", before) == set()
    assert_same_bits(again, first)
    assert_same_bits(again, sweep(grid, **options))


# --- poisoned blocks --------------------------------------------------------------------------------

POISON_GRID = {"rate": [0.25, 0.5, 0.75, 0.875, 1.0], "seed": [0, 1], "steps": 3}


def spawned(workers=2):
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


@pytest.fixture
def poison(monkeypatch):
    """Sets what happens to the block of rate 0.75: it raises, or its worker dies. Workers inherit it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([PYTHONPATH, os.environ.get("PYTHONPATH", "")]))
    yield lambda what: monkeypatch.setenv("FAULT_POISON", what)
    # A callback that raised is remembered by its device, and told again at exit, until the next one runs.
    monkeypatch.setenv("FAULT_POISON", "")
    sweep(snl.Grid(POISONED, **POISON_GRID), devices=len(jax.local_devices()[:2]), block=(1, 2))


def assert_only_the_poisoned_block_is_missing(error, settings, seeds=(0, 1)):
    assert (error.dataset.status.sel(rate=[0.75, 0.875]) == PENDING).all()
    assert (error.dataset.status.sel(rate=[0.25, 0.5, 1.0]) == DONE).all()
    assert len(error.failures) == len(seeds)
    for seed in seeds:
        assert f"rate=0.75 0.875, seed={seed}" in str(error)
    assert settings in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_poisoned_block_is_lost_alone(poison, devices):
    need_devices(devices)
    poison("raise")
    with pytest.raises(snl.SweepError) as caught:
        sweep(snl.Grid(POISONED, **POISON_GRID), devices=devices, block=(1, 2))
    assert_only_the_poisoned_block_is_missing(caught.value, "poisoned")


def test_a_poisoned_block_is_tried_again_and_completes_when_the_poison_is_gone(poison, tmp_path):
    grid, options = snl.Grid(POISONED, **POISON_GRID), {"store": tmp_path / "a", "block": (1, 2)}
    poison("raise")
    with pytest.raises(snl.SweepError) as caught:
        sweep(grid, **options)
    assert_only_the_poisoned_block_is_missing(caught.value, "poisoned")
    before = markers(tmp_path / "a")
    assert len(before) == 4
    with pytest.raises(snl.SweepError) as caught:
        sweep(grid, **options)
    assert len(caught.value.failures) == 2
    assert markers(tmp_path / "a") == before
    poison("")
    ds = sweep(grid, **options)
    assert trained_again(tmp_path / "a", before) == set()
    assert_same_bits(ds, sweep(grid, block=(1, 2)))


@pytest.mark.parametrize(("what", "settings"), [("raise", "poisoned"), ("die", "its worker died 3 times")])
def test_a_poisoned_block_is_lost_alone_on_workers(poison, tmp_path, what, settings):
    """One that kills its worker is given up after three; a store then needs nothing else."""
    grid, options = snl.Grid(POISONED, **(POISON_GRID | {"seed": [0]})), {"store": tmp_path / "a", "block": (1, 2)}
    poison(what)
    with spawned() as pool, pytest.raises(snl.SweepError) as caught:
        sweep(grid, devices=None, executor=pool, **options)
    assert_only_the_poisoned_block_is_missing(caught.value, settings, seeds=[0])
    before = markers(tmp_path / "a")
    assert len(before) == 2
    poison("")
    ds = sweep(grid, **options)
    assert trained_again(tmp_path / "a", before) == set()
    assert_same_bits(ds, sweep(grid, block=(1, 2)))


# --- disks ------------------------------------------------------------------------------------------


def refuse_from(monkeypatch, blocks):
    """The disk is full once so many blocks are complete."""
    replace, done = os.replace, []

    def full(source, target, **k):
        if len(done) >= blocks:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target, **k)
        if pathlib.Path(target).parent.name == "done":
            done.append(target)

    monkeypatch.setattr(os, "replace", full)


@pytest.mark.parametrize("blocks", [0, 7])
def test_a_full_disk_is_told_and_what_was_complete_stays(monkeypatch, tmp_path, one_line, original, blocks):
    path = tmp_path / "a"
    with monkeypatch.context() as patched:
        refuse_from(patched, blocks)
        one_line(lambda: sweep(powers_grid(), store=path), str(path), "No space left on device", "space freed")
        part = snl.open_store(path).load()
    before = markers(path)
    assert len(before) == blocks
    there = part.status.values == DONE
    assert there.sum() == 4 * blocks
    if blocks:
        np.testing.assert_array_equal(part["mean"].values[there], original[1]["mean"].values[there])
        assert np.isnan(part["mean"].values[~there]).all()
    assert_same_bits(sweep(powers_grid(), store=path), original[1])
    assert trained_again(path, before) == set()


def test_a_file_that_cannot_be_written_to_its_end_is_no_block(tmp_path):
    """The kernel cuts a write short: wide blocks are larger than a file may be, narrow ones are not."""
    code = f"""
import resource, sys, snljax as snl
from harness import POWERS
def sweep(*width):
    grid = snl.Grid(POWERS, width=width, seed=range(2), steps=2)
    ds = snl.sweep(grid, store={str(tmp_path / "a")!r}, block=(1, 1), devices=1, progress=False)
    return ds.status.values.tolist()
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
sweep(2)
try:
    sweep(2, 5000)
except snl.StoreError as error:
    print(error)
ds = snl.open_store({str(tmp_path / "a")!r}).load()
print(ds.status.values.tolist(), ds["mean"].isnull().values.tolist())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(sweep(2, 5000))
"""
    env = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    error, part, whole = done.stdout.splitlines()
    assert "File too large" in error
    assert "allowed: " in error
    assert (part, whole) == ("[[1, 1], [0, 0]] [[False, False], [True, True]]", "[[1, 1], [1, 1]]")


@pytest.fixture
def read_only(monkeypatch):
    """Call it, and every change of any file is refused, as on a read-only file system."""

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def mkdir(path, *_, **__):
        if os.path.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        refuse(path)

    def start():
        opens = open

        def reads(file, mode="r", *a, **k):
            return refuse(file) if set(mode) & set("wax+") else opens(file, mode, *a, **k)

        for module in (builtins, io):
            monkeypatch.setattr(module, "open", reads)
        monkeypatch.setattr(os, "mkdir", mkdir)
        for name in ("replace", "rename", "link", "unlink"):
            monkeypatch.setattr(os, name, refuse)

    return start


def test_a_read_only_store_is_read_and_a_finished_one_resumed(store, original, read_only):
    read_only()
    assert_same_bits(snl.open_store(store), original[1])
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert status(store, seconds=float("inf")).blocks_done == 30


def test_a_read_only_disk_is_told(store, read_only, one_line, tmp_path):
    (store / "done" / "4.json").unlink()
    read_only()
    one_line(lambda: sweep(powers_grid(), store=store), str(store), "Read-only file system")
    one_line(lambda: sweep(powers_grid(), store=tmp_path / "new"), "new", "Read-only file system")
    assert int((snl.open_store(store).status == DONE).sum()) == 116


# --- paths that are no store, and hands that were in it ---------------------------------------------


def test_a_path_that_is_no_store_is_refused(tmp_path, one_line):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("text")
    folder.mkdir()
    (folder / "notes.txt").write_text("text")
    one_line(lambda: sweep(powers_grid(), store=file), str(file), "is a file")
    one_line(lambda: sweep(powers_grid(), store=file / "below"), str(file / "below"), "Not a directory")
    one_line(lambda: sweep(powers_grid(), store=folder), str(folder), "other files")
    for path in (file, folder, tmp_path / "none"):
        one_line(lambda path=path: snl.open_store(path), str(path))
    assert [f.name for f in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("file", "copy"), [("manifest.json", "data.zarr"), ("grids/0.json", "data.zarr/0")])
def test_a_half_written_description_is_read_from_its_copy(store, original, one_line, file, copy):
    content = (store / file).read_bytes()
    (store / file).write_bytes(content[: len(content) // 2])
    before = markers(store)
    with pytest.warns(UserWarning, match=re.escape(f"{store / file} cannot be read; its copy")):
        assert_same_bits(snl.open_store(store), original[1])
    with pytest.warns(UserWarning, match="its copy"):
        assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert trained_again(store, before) == set()
    assert (store / file).read_bytes() == content  # written anew
    (store / file).write_bytes(content[: len(content) // 2])
    (store / copy / "zarr.json").unlink()
    for call in (lambda: snl.open_store(store), lambda: sweep(powers_grid(), store=store), lambda: status(store)):
        one_line(call, str(store / file), "no copy", "the file restored")
    assert markers(store) == before


@pytest.mark.parametrize("content", ["null", "[]"])
@pytest.mark.parametrize("file", ["manifest.json", "grids/0.json"])
def test_a_description_of_nonsense_is_refused_by_name(store, one_line, file, content):
    (store / file).write_text(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a copy may be used
        try:
            snl.open_store(store).load()
        except Exception:
            one_line(lambda: snl.open_store(store), str(store / file))


@pytest.mark.parametrize(
    ("file", "text", "flipped"),
    [
        ("grids/0.json", b"0.5", b"0.7"),
        ("grids/0.json", b"mean", b"meaf"),
        ("manifest.json", b'"steps": 3', b'"steps": 2'),
    ],
)
def test_a_flipped_digit_of_a_description_is_found(store, file, text, flipped):
    content = (store / file).read_bytes()
    assert text in content
    (store / file).write_bytes(content.replace(text, flipped, 1))
    with pytest.warns(UserWarning, match=re.escape(str(store / file))):
        snl.open_store(store).load()


@pytest.mark.parametrize("content", ["", '{\n  "shape": [\n'])
def test_a_cut_array_description_costs_no_finished_block(store, original, content):
    """The chunks are all there: a sweep writes the description anew, or refuses in one line."""
    before = markers(store)
    (store / "data.zarr" / "0" / "mean" / "zarr.json").write_text(content)
    with contextlib.suppress(snl.StoreError):
        assert_same_bits(sweep(powers_grid(), store=store), original[1])
    assert trained_again(store, before) == set()


def test_reading_needs_no_array_description(store, original):
    """It is for other programs: chunks are read by what grids and markers say."""
    (store / "data.zarr" / "0" / "mean" / "zarr.json").write_text("{")
    assert_same_bits(snl.open_store(store), original[1])


@pytest.mark.parametrize("content", [None, "{", "{}", '{"accepted": {}}'])
def test_a_lost_list_of_programs_is_made_again_from_the_markers(store, original, one_line, content):
    """The same program goes on; another one is refused as before."""
    (program,) = (store / "programs").iterdir()
    before = markers(store)
    (store / "done" / "4.json").unlink()
    faster = POWERS._replace(step=lambda config, draw, x, t: 2 * config.rate * x)
    grids = [powers_grid(), powers_grid(faster)]
    for again in (False, True):
        program.write_text(content) if content is not None else program.unlink()
        if again:
            assert_same_bits(sweep(grids[0], store=store), original[1])
        else:
            one_line(lambda: sweep(grids[1], store=store), "another program", "accept_program")
    assert trained_again(store, before) == {4}


@pytest.mark.parametrize("content", ["{}", "5", "[]", '{"updated": "now"}'])
def test_a_writer_of_nonsense_is_ignored(store, original, content):
    (store / "writers" / "elsewhere.json").write_text(content)
    (store / "done" / "4.json").unlink()
    assert status(store).blocks_done == 29
    assert_same_bits(sweep(powers_grid(), store=store), original[1])
