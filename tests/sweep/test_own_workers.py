"""Experiments that were found in a file train on other processes, which never see the file."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import own_experiments
import pytest
import xarray as xr
from harness import assert_same_bits

import snljax as snl
from snljax import cli


@pytest.fixture(scope="module", params=["file", pytest.param("package", marks=pytest.mark.slow)])
def grids(request, tmp_path_factory):
    """A network and a bare system; file and helper are gone when workers start."""
    folder = tmp_path_factory.mktemp("gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.chdir(folder)
        if request.param == "file":
            own_experiments.write(folder, "worker_own.py", helper="tools_of_worker")
            place = f"{folder}/worker_own.py"
        else:
            own_experiments.write(folder / "worker_package", helper="tools")
            (folder / "worker_package" / "__init__.py").write_text("")
            source = folder / "worker_package" / "own.py"
            source.write_text(source.read_text().replace("from tools", "from worker_package.tools"))
            place = "worker_package.own"
        mlp = snl.Grid(f"{place}:mlp", learning_rate=[0.1, 0.5], seed=range(2))
        powers = snl.Grid(f"{place}:powers", rate=[0.5, 2.0])
        shutil.rmtree(folder)
        patch.chdir("/")
        with own_experiments.compiled_quickly():
            yield place, mlp, powers


def sweep(grid, **options):
    return snl.sweep(grid, block=(1, 2), progress=False, **options)


def test_the_package_is_itself_wherever_it_is_sent():
    """In a process that has not looked for experiments: a function of a script holds the package by its name."""
    call = """
        import copy, pickle, cloudpickle, snljax as snl
        def kept(w): return snl.masks.topk(w, 1)
        assert pickle.loads(pickle.dumps(snl)) is snl
        assert copy.deepcopy(snl) is snl
        assert pickle.loads(cloudpickle.dumps(kept)).__globals__["snl"] is snl
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(call)], check=True)


def test_processes_train_what_was_found(grids, tmp_path):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        _, mlp, powers = grids
        assert_same_bits(sweep(mlp, executor=executor), sweep(mlp, devices=1))
        sweep(powers, executor=executor, store=tmp_path / "a")
        again = sweep(powers, store=tmp_path / "a", devices=1)
        assert again.attrs["programs_compiled"] == 0  # it was the same program
        assert_same_bits(again, sweep(powers, devices=1))


@pytest.mark.slow  # test_store.py has Dask workers, too
@pytest.mark.filterwarnings("default")  # of distributed and tornado, on their way out
def test_dask_trains_what_was_found(grids, tmp_path):
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for grid in grids[1:]:
            assert_same_bits(sweep(grid, executor=client.get_executor()), sweep(grid, devices=1))
        out = tmp_path / "a.nc"
        words = ["--rate", "0.5", "2", "--quiet", "--out", str(out)]
        cli.main(["run", f"{grids[0]}:powers", *words, "--dask", cluster.scheduler_address])
        np.testing.assert_array_equal(xr.load_dataset(out)["mean"], sweep(grids[2], devices=1)["mean"])
