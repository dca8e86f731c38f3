"""Compiled programs in the user's cache: found again, never another one's, and never in anybody's way."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from harness import POWERS, PYTHONPATH, PowersMetrics, assert_same_bits
from jax.experimental.compilation_cache import compilation_cache

import snljax as snl
from snljax import cache
from snljax.sweep import devices as local_devices
from snljax.sweep import program, remembered
from snljax.sweep.layout import Block
from snljax.sweep.network import Systems

GRID = snl.Grid(POWERS, rate=[0.3, 0.9], spread=0.5, seed=range(3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where programs are kept, in an empty cache; JAX's own is off."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    program.forget()
    yield cache.folder() / "programs"
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()
    program.forget()


def lowered(factor=2.0, device=0):
    """x -> factor · x for three numbers, on one device."""
    where = jax.sharding.SingleDeviceSharding(jax.devices()[device])
    x = jax.ShapeDtypeStruct((3,), jnp.float32, sharding=where)
    return jax.jit(lambda x: factor * x, keep_unused=True).lower(x)


class NotToCompile:
    """A lowered function that may only be found."""

    def __init__(self, lowered):
        self.lowered = lowered

    def __getattr__(self, name):
        return getattr(self.lowered, name)

    def compile(self):
        raise AssertionError("compiled")


def found(which) -> bool:
    try:
        called(NotToCompile(which))
    except AssertionError:
        return False
    return True


def called(which, device=0):
    there = (jax.devices()[device],)
    return np.asarray(remembered.compiled(which, there)(jax.device_put(np.ones(3, np.float32), there[0])))


def kept(folder):
    return sorted(p.name for p in folder.glob("*")) if folder.exists() else []


def test_what_was_compiled_is_found_again(folder):
    assert not found(lowered())
    np.testing.assert_array_equal(called(lowered()), [2, 2, 2])
    assert len(kept(folder)) == 1
    assert found(lowered())
    np.testing.assert_array_equal(called(NotToCompile(lowered())), [2, 2, 2])


def test_another_program_device_or_setting_is_not_it(folder, two_devices):
    called(lowered())
    assert not found(lowered(3.0))
    called(lowered(device=1), device=1)
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        assert not found(lowered())
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    assert found(lowered())
    assert len(kept(folder)) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b"", lambda b: b[:99] + bytes([b[99] ^ 1]) + b[100:]])
def test_a_damaged_file_is_made_again_without_a_word(folder, damage):
    called(lowered())
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not found(lowered())
        np.testing.assert_array_equal(called(lowered()), [2, 2, 2])
    assert found(lowered())


def test_what_a_killed_process_left_is_taken_away(folder):
    folder.mkdir(parents=True)
    for age, name in ((7200, ".old"), (0, ".fresh")):
        (folder / name).write_bytes(b"a part")
        os.utime(folder / name, (folder.stat().st_mtime - age,) * 2)
    called(lowered())
    assert ".fresh" in kept(folder)
    assert ".old" not in kept(folder)


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch):
    for factor in (2.0, 3.0, 4.0):
        called(lowered(factor))
        for file in folder.iterdir():
            os.utime(file, (file.stat().st_mtime - 100,) * 2)
    called(lowered(2.0))  # used now
    count, size = remembered.size(folder.parent)
    assert count == 3
    monkeypatch.setattr(remembered, "MOST_BYTES", size + size // 9)  # their sizes differ a little
    called(lowered(5.0))
    assert [found(lowered(f)) for f in (2.0, 3.0, 4.0, 5.0)] == [True, False, True, True]


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(called(lowered()), [2, 2, 2])
    assert (tmp_path / "file").read_text() == ""


def test_off_and_jaxs_own_cache_leave_the_folder_alone(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, "off")
    called(lowered())
    monkeypatch.undo()
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    called(lowered())
    assert kept(folder) == []


def test_functions_on_the_host_are_not_remembered(folder):
    def mean(factor):
        def step(config, draw, x, t):
            return jax.pure_callback(lambda v: v * np.float32(factor), x, config.rate * x, vmap_method="sequential")

        own = snl.Experiment("own", POWERS.Config, POWERS.draw, POWERS.init, step, POWERS.measure, dims=POWERS.dims)
        program.forget()
        return float(snl.sweep(snl.Grid(own, rate=0.5, steps=1), progress=False)["mean"])

    assert [mean(1), mean(3)] == [0.5, 1.5]
    assert len(kept(folder)) == 3  # all but advance


def test_which_of_two_equal_arguments_is_used_is_another_program(folder):
    """Their texts differ only in which argument is left out."""
    numbers = []
    for measure in (
        lambda config, draw, x: PowersMetrics(config.rate, x, x[0]),
        lambda config, draw, x: PowersMetrics(config.start, x, x[0]),
    ):
        own = snl.Experiment("own", POWERS.Config, POWERS.draw, POWERS.init, POWERS.step, measure, dims=POWERS.dims)
        program.forget()
        numbers.append(float(snl.sweep(snl.Grid(own, rate=0.25, start=3.0), progress=False)["mean"]))
    assert numbers == [0.25, 3.0]


def test_bits_and_fingerprints_are_those_without_a_cache(folder, monkeypatch):
    def swept():
        program.forget()
        recipe = Systems(GRID, local_devices.resolve(1, 1), "highest").recipe(GRID.config, Block(1, 2))
        return snl.sweep(GRID, block=(1, 2), progress=False), program.fingerprint(recipe)

    cold, warm = swept(), swept()
    assert len(kept(folder)) == 4
    monkeypatch.setenv(cache.VARIABLE, "off")
    off = swept()
    assert cold[1] == warm[1] == off[1]
    assert_same_bits(cold[0], off[0])
    assert_same_bits(warm[0], off[0])


def test_two_processes_at_once_and_this_one_after_them(folder, tmp_path):
    code = (
        "import sys, harness, jax, snljax as snl\n"
        "jax.config.update('jax_numpy_rank_promotion', 'raise')\n"
        "grid = snl.Grid(harness.POWERS, rate=[0.3, 0.9], spread=0.5, seed=range(3))\n"
        "snl.sweep(grid, block=(1, 2), devices=1, progress=False).to_netcdf(sys.argv[1])"
    )
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}

    def run(name):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return xr.load_dataset(tmp_path / name)

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        both = list(threads.map(run, ("a.nc", "b.nc")))
    files = kept(folder)
    here = snl.sweep(GRID, block=(1, 2), devices=1, progress=False)
    assert len(files) == 4
    assert kept(folder) == files  # it found all of them
    for one in both:
        assert_same_bits(one[list(here.data_vars)], here)
