"""Own experiments in the shell: run, shards, status, plot, trace, TOML; results that are another grid's stay."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import own_experiments
import pytest
import xarray as xr
from harness import fails

import snljax as snl
from snljax import cli, finding, output

engine = sys.modules[snl.sweep.__module__]  # snljax.sweep is the function
QUICK = ["--quiet", "--devices", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with own.py, whose modules the tests of this file share."""
    there = tmp_path_factory.mktemp("shell")
    own_experiments.write(there, "shell_own.py", helper="tools_of_shell")
    (there / "deeper").mkdir()
    (there / "deeper" / "grid.toml").write_text(
        'experiment = "../shell_own.py:powers"\nreading = "fast"\n[axes]\nrate = [0.5, 2.0]\nwidth = [2, 3]\n'
    )
    with own_experiments.compiled_quickly():
        yield there
    sys.path[:] = [path for path in sys.path if path != str(there)]


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_an_own_network_runs_in_shards_into_a_store(here, capsys):
    grid = ["shell_own.py:mlp", "--learning-rate", "0.1", "1.0", "--seed", "0:1:2", "--momentum", "0.0"]
    where = ["--store", "runs/mlp", "--block", "1", "2", *QUICK]
    cli.main(["run", *grid, *where, "--shard", "1/2"])
    assert int((snl.open_store("runs/mlp").status == 1).sum()) == 2
    cli.main(["run", *where, *grid, "--shard", "2/2", "--out", "runs/mlp.nc"])
    whole = xr.load_dataset("runs/mlp.nc")
    assert bool((whole.status == 1).all())
    cli.main(["status", "runs/mlp", "--png", "runs/now.png"])
    assert "4 of 4 done" in capsys.readouterr().out
    cli.main(["plot", "runs/mlp", "--metric", "train_loss"])
    assert {"mlp.png", "now.png"} <= {path.name for path in pathlib.Path("runs").iterdir()}


def test_a_file_names_its_experiment_relative_to_itself(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = str(here / "deeper" / "grid.toml")
    cli.main(["run", grid, *QUICK, "--set", "steps=3"])
    (written,) = (tmp_path / "runs").iterdir()
    assert written.name.startswith("powers-")  # by its variable: its own name is none of a file
    ds = xr.load_dataset(written)
    np.testing.assert_allclose(ds["mean"].transpose("rate", "width"), [[0.125] * 2, [8.0] * 2])
    assert ds["mean"].attrs["long_name"] == "mean of x"


STOP = ["--stop-when", "mean < 0.3", "--check-every", "2"]  # 0.5^t at the steps 0, 2, 4: at 2; 0.9^t: never


def test_networks_end_by_themselves_in_the_shell(here, capsys):
    """Without a store and with one in parts, from options and over a TOML file; as `sweep` has it."""
    grid = ["--rate", "0.5", "0.9", *QUICK, "--block", "1", "1"]
    cli.main(["run", "shell_own.py:powers", *grid, *STOP, "--out", "ended.nc"])
    cli.main(["run", "shell_own.py:powers", *grid, *STOP, "--store", "runs/ended", "--shard", "1/2"])
    cli.main(["run", "shell_own.py:powers", *grid, *STOP, "--store", "runs/ended", "--shard", "2/2"])
    asked = snl.Grid(finding.at("shell_own.py:powers"), rate=[0.5, 0.9])
    wanted = snl.sweep(asked, stop_when="mean<0.3", check_every=2, block=(1, 1), devices=1, progress=False)
    for ds in (xr.load_dataset("ended.nc"), snl.open_store("runs/ended"), wanted):
        np.testing.assert_array_equal(ds.stopped_at, [2, 4])
        np.testing.assert_array_equal(ds["mean"], wanted["mean"])
    assert xr.load_dataset("ended.nc").attrs["stop"] == wanted.attrs["stop"]
    cli.main(["run", "deeper/grid.toml", *STOP, *QUICK, "--out", "ended_toml.nc"])
    np.testing.assert_array_equal(xr.load_dataset("ended_toml.nc").stopped_at.transpose("rate", ...), [[2, 2], [4, 4]])
    cli.main(["slurm", "deeper/grid.toml", *STOP, "--tasks", "2"])
    assert "--stop-when 'mean < 0.3' --check-every 2" in capsys.readouterr().out


def test_another_rule_is_another_result(here, capsys, monkeypatch):
    run = ["run", "shell_own.py:powers", "--rate", "0.5", *QUICK]
    where = ["--store", "runs/rule", "--out", "rule.nc"]
    cli.main([*run, *STOP, *where])
    before = pathlib.Path("rule.nc").read_bytes()
    others = ([], [*STOP[:3], "1"], ["--stop-when", "mean < 0.2", *STOP[2:]], ["--stop-when", "mean <= 0.3", *STOP[2:]])
    for other in others:
        assert "stop_when, check_every = mean < 0.3 2" in fails(capsys, *run, *other, *where[:2])
    monkeypatch.setattr(engine, "sweep", no_training)
    for other in others:
        assert "rule.nc holds the result of another grid, or of one trained otherwise" in fails(
            capsys, *run, *other, "--out", "rule.nc"
        )
    assert pathlib.Path("rule.nc").read_bytes() == before
    monkeypatch.undo()
    monkeypatch.chdir(here)
    cli.main([*run, "--stop-when", "mean<3e-1", *STOP[2:], *where])  # the same in other words


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--stop-when", "mean < 0.3"], "check_every: None; allowed: a whole number"),
        (["--check-every", "2"], "check_every: 2 without stop_when"),
        (["--stop-when", "mean = 0.3", "--check-every", "2"], "stop_when: 'mean = 0.3'; allowed: a metric, one of"),
        (["--stop-when", "mean < 0.3", "--check-every", "0"], "check_every: 0; allowed"),
        ([*STOP, "--record-every", "2"], "stop_when: beside record_every"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["slurm", "--tasks", "2"]])
def test_a_rule_that_is_none_is_one_line(command, asked, message, here, capsys):
    assert message in fails(capsys, *command, "shell_own.py:powers", "--rate", "0.5", "--quiet", *asked)


def test_a_rule_about_no_metric_is_one_line(here, capsys):
    error = fails(capsys, "run", "shell_own.py:powers", *QUICK, "--stop-when", "mea < 1", "--check-every", "2")
    assert "stop_when: 'mea' is not known; did you mean 'mean'" in error


def test_a_field_called_as_an_option_is_set(here, capsys):
    """--store is the command's; the field goes by --set."""
    with pytest.raises(SystemExit):
        cli.main(["run", "shell_own.py:powers", "--help"])
    assert "store by --set" in " ".join(capsys.readouterr().out.split())
    cli.main(["run", "shell_own.py:powers", "--rate", "1", "--set", "store=2,5", *QUICK, "--out", "field.nc"])
    np.testing.assert_array_equal(xr.load_dataset("field.nc")["mean"], [2.0, 5.0])


def test_an_own_boundary_is_traced(here, capsys):
    asked = ["--metric", "mean", "--level", "1.0", "--net", "2", "--store", "runs/edge", "--png", "runs/edge.png"]
    cli.main(["trace", "shell_own.py:powers", "--rate", "0.5:1.5:5", "--set", "store=0.5:1.5:5", *asked, *QUICK])
    assert "cells" in capsys.readouterr().out
    ds = snl.open_store("runs/edge")
    assert 4 <= int((ds.status == 1).sum()) <= 25
    assert pathlib.Path("runs/edge.png").exists()


def test_an_own_experiment_is_described(here, capsys):
    cli.main(["describe", "shell_own.py:powers"])
    text = capsys.readouterr().out
    for part in ("file: shell_own.py:powers", "x grows by its rate.", "x_t = r^t\\,x_0", "mean of x", "reading fast"):
        assert part in text
    cli.main(["describe", "shell_own.py:mlp"])
    text = capsys.readouterr().out
    assert "supervised.door.supervised: An Experiment that trains any network" in text
    assert "\\min_W" in text


def test_an_own_store_is_trained_again_by_its_place(here, capsys):
    cli.main(["run", "shell_own.py:powers", "--rate", "0.5", "2", "--store", "runs/again", *QUICK])
    assert "--experiment" in fails(capsys, "status", "runs/again", "--recompute", "2")
    assert "did you mean 'powers'" in fails(
        capsys, "status", "runs/again", "--recompute", "2", "--experiment", "shell_own.py:power"
    )
    cli.main(["status", "runs/again", "--recompute", "2", "--experiment", "shell_own.py:powers"])
    assert "equal to the bit" in capsys.readouterr().out


# --- results of others ------------------------------------------------------------------------------


def no_training(*_, **__):
    raise AssertionError("it was trained")


def test_the_result_of_another_grid_stays(here, capsys, monkeypatch):
    run = ["run", "shell_own.py:powers", *QUICK, "--out", "kept.nc"]
    cli.main([*run, "--rate", "0.5", "2"])
    before = pathlib.Path("kept.nc").read_bytes()
    cli.main([*run, "--rate", "0.5", "2"])  # the same grid is the same result
    before = pathlib.Path("kept.nc").read_bytes()
    monkeypatch.setattr(engine, "sweep", no_training)
    others = ["--rate 0.5 3", "--rate 0.5 2 --seed 1", "--rate 0.5 2 --steps 2 4", "--rate 0.5 2 --record-every 2"]
    for other in [*others, "--rate 0.5 2 --reading fast", "--rate 0.5 2 --set store=3", "--rate 2 0.5"]:
        error = fails(capsys, *run, *other.split())
        assert "kept.nc holds the result of another grid" in error
        assert "another name" in error
    assert pathlib.Path("kept.nc").read_bytes() == before


def test_the_same_fields_of_another_experiment_are_another_result(here, capsys, monkeypatch):
    """They may have one name: all networks of `supervised` do, unless they are given one."""
    source = (here / "shell_own.py").read_text()
    (here / "shell_two.py").write_text(source + "\nothers = powers._replace(check=None)\n")
    run = ["--rate", "0.5", *QUICK, "--out", "nets.nc"]
    cli.main(["run", "shell_two.py:powers", *run])
    monkeypatch.setattr(engine, "sweep", no_training)
    assert "another grid" in fails(capsys, "run", "shell_two.py:others", *run)
    assert "another grid" in fails(capsys, "run", "shell_own.py:powers", *run)


@pytest.mark.parametrize("content", [b"", b"mine", b"CDF\x01"])
def test_what_is_no_result_stays(content, here, capsys, monkeypatch):
    monkeypatch.setattr(engine, "sweep", no_training)
    pathlib.Path("mine.nc").write_bytes(content)
    error = fails(capsys, "run", "shell_own.py:powers", "--rate", "1", *QUICK, "--out", "mine.nc")
    assert "mine.nc holds something else" in error
    assert pathlib.Path("mine.nc").read_bytes() == content


def test_a_trace_goes_over_the_same_trace_alone(here, capsys):
    run = ["trace", "shell_own.py:powers", "--rate", "0.5:1.5:3", "--set", "store=0.5:1.5:3", *QUICK, "--net", "2"]
    where = ["--store", "runs/alone", "--out", "traced.nc"]
    asked = ["--metric", "mean", "--level"]
    cli.main([*run, *where, *asked, "1.0"])
    cli.main([*run, *where, *asked, "1.0"])
    assert "another grid" in fails(capsys, *run, *where, *asked, "0.9")
    plt_made = pathlib.Path("mine.png")
    plt_made.write_bytes(b"mine")
    assert "mine.png" in fails(capsys, *run, "--store", "runs/new", *asked, "1.0", "--png", "mine.png")
    assert not pathlib.Path("runs/new").exists()  # told before anything was trained


def test_a_file_that_appears_meanwhile_stays(here, capsys, monkeypatch):
    """Two commands with one --out: the second to end is told, and what it trained is kept."""
    run = ["run", "shell_own.py:powers", *QUICK, "--out", "meanwhile.nc"]
    sweep = engine.sweep

    def slow(grid, **options):
        ds = sweep(grid, **options)
        monkeypatch.undo()
        monkeypatch.chdir(here)
        cli.main([*run, "--rate", "3"])
        return ds

    monkeypatch.setattr(engine, "sweep", slow)
    error = fails(capsys, *run, "--rate", "0.5")
    assert "another grid" in error
    assert "kept in" in error
    assert float(xr.load_dataset("meanwhile.nc").rate if "rate" in xr.load_dataset("meanwhile.nc") else 3.0) == 3.0
    grid = snl.Grid(finding.at("shell_own.py:powers"), rate=0.5)
    hidden = output.hidden_store(pathlib.Path("meanwhile.nc"), output.digest(grid, None, "highest"))
    assert bool((snl.open_store(hidden).status == 1).all())
