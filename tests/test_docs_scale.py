"""docs/scale.md: its scripts run as they stand, on a tiny grid."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from harness import assert_same_bits

import snljax as snl

DOCS = pathlib.Path(__file__).parent.parent / "docs"
GRID = """
experiment = "topk_pruning"
[settings]
n = 8
n_test = 10
d = 16
m = 2
num_classes = 2
steps = {steps}
[axes]
sigma_p = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
K = [2, 4, 8]
seed = [0, 1]
"""


def _block(name):
    """The fenced block of the page that stands after the marker of that name."""
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- run: {name} -->\n```\w+\n(.*?)```\n", page, re.DOTALL)
    return found


def _folder(folder, steps=2):
    (folder / "grid.toml").write_text(GRID.format(steps=steps))
    (folder / "sweep.sh").write_text(_block("slurm"))
    (folder / "rest.sh").write_text(_block("slurm-rest"))
    return folder


def _steps(store):
    """Network-steps that the processes on a store have reported."""
    return sum(json.loads(file.read_bytes())["steps"] for file in store.glob("writers/*.json"))


def _environment(task, tasks, path=""):
    """What SLURM sets, and this Python's ``snljax`` first on the path."""
    here = pathlib.Path(sys.executable).parent
    slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(tasks), "SLURM_JOB_ID": "1234"}
    return os.environ | slurm | {"PATH": f"{path}{os.pathsep}{here}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def array_job(tmp_path_factory):
    """A folder in which both tasks of the page's job array have run at the same time."""
    folder = _folder(tmp_path_factory.mktemp("array"))
    assert re.search(r"^#SBATCH --array=1-2$", _block("slurm"), re.MULTILINE)
    started = [
        subprocess.Popen(["bash", "sweep.sh"], cwd=folder, env=_environment(i, 2), stderr=subprocess.PIPE, text=True)
        for i in (1, 2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    return folder


def test_a_job_array_fills_one_store(array_job):
    store = snl.open_store(array_job / "runs" / "a.store")
    assert bool((store.status == 1).all())
    grid = snl.Grid.from_toml(array_job / "grid.toml")
    again = snl.sweep(grid, store=array_job / "runs" / "a.store", progress=False)
    assert again.attrs["programs_compiled"] == 0
    plain = snl.sweep(grid, block=tuple(json.loads(again.attrs["block"])), progress=False)
    assert_same_bits(again, plain)


def test_a_last_run_takes_what_is_left(array_job):
    markers = sorted((array_job / "runs" / "a.store" / "done").glob("*.json"))
    assert len(markers) > 2
    markers[1].unlink()
    subprocess.run(["bash", "rest.sh"], cwd=array_job, env=_environment(1, 2), check=True, stdout=subprocess.DEVNULL)
    assert sorted((array_job / "runs" / "a.store" / "done").glob("*.json")) == markers


def test_export(array_job):
    script = _block("export").replace('"sigma_p", 100', '"sigma_p", 4')
    subprocess.run([sys.executable, "-c", script], cwd=array_job, check=True)
    exported = xr.load_dataset(array_job / "runs" / "a.zarr", engine="zarr", consolidated=False)
    original = snl.open_store(array_job / "runs" / "a.store")
    assert dict(exported.sizes) == dict(original.sizes)
    np.testing.assert_array_equal(exported.test_loss, original.test_loss)


def test_a_task_whose_time_is_over_is_queued_again(tmp_path):
    """SIGTERM reaches the training through the script, which then calls scontrol: here one that only notes it."""
    folder = _folder(tmp_path, steps=20_000_000)
    # Without measuring block shapes, which comes before a long sweep.
    script = (folder / "sweep.sh").read_text().replace("--quiet", "--quiet --block 1 4")
    (folder / "sweep.sh").write_text(script)
    (folder / "bin").mkdir()
    (folder / "bin" / "scontrol").write_text('#!/bin/bash\necho "$@" > scontrol.log\n')
    (folder / "bin" / "scontrol").chmod(0o755)
    with subprocess.Popen(
        ["bash", "sweep.sh"], cwd=folder, env=_environment(2, 2, folder / "bin"), stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 600  # on a machine that does much else; a signal before the training saves nothing
        while not _steps(folder / "runs" / "a.store"):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(1.5)  # a block that has trained for a second is worth a checkpoint
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 143, errors
    assert (folder / "scontrol.log").read_text() == "requeue 1234\n"
    assert list(folder.glob("runs/a.store/checkpoints/*.npz"))


@pytest.mark.slow  # half a minute of starting processes; test_store.py has Dask workers too
def test_local_cluster(tmp_path):
    folder = _folder(tmp_path)
    (folder / "script.py").write_text(_block("dask"))
    subprocess.run([sys.executable, "script.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)
    ds = snl.open_store(folder / "runs" / "dask.store")
    assert bool((ds.status == 1).all())
    assert ds.sizes == {"sigma_p": 6, "K": 3, "seed": 2}
