"""The array script: bash takes it, its tasks fill a store, what sbatch would refuse is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import own_experiments
import pytest
from harness import ROOT, fails

import snljax as snl
from snljax import cli
from snljax.slurm import Limits, script

LIMITS = ["--time", "1:00:00", "--cpus", "2", "--mem", "4G", "--sbatch", "partition=long", "--sbatch", "exclusive"]


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    there = tmp_path_factory.mktemp("array") / "it's a folder"
    own_experiments.write(there, "slurm_own.py", helper="tools_of_slurm")
    (there / "grid.toml").write_text(
        'experiment = "slurm_own.py:powers"\n[settings]\nsteps = 99\n[axes]\nrate = {start = 0.1, stop = 1, num = 7}\n'
    )
    yield there
    sys.path[:] = [path for path in sys.path if path != str(there)]


@pytest.fixture
def folder(there, monkeypatch):
    """Own experiments in a folder whose name the shell would take apart."""
    monkeypatch.chdir(there)
    return there


def environment(task, **more):
    return os.environ | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_ID": "7"} | more


def test_all_tasks_of_an_array_fill_the_store(folder, capsys):
    """As SLURM runs them: each with its number, from any folder; nothing of the cluster is there."""
    cli.main(["slurm", "grid.toml", "--set", "steps=3", "--tasks", "2", "--block", "1", "2", *LIMITS, "--out", "a.sh"])
    assert "sbatch a.sh" in capsys.readouterr().out
    text = (folder / "a.sh").read_text()
    store = re.search(r"--store (\S+)", text)[1]
    asked = re.findall(r"^#SBATCH --(.*)$", text, re.MULTILINE)
    wanted = {"array=1-2", "time=1:00:00", "cpus-per-task=2", "mem=4G", "signal=B:TERM@120", "requeue", "exclusive"}
    assert wanted | {"partition=long", "open-mode=append", "job-name=powers"} == {*asked}
    subprocess.run(["bash", "-n", "a.sh"], check=True)
    tasks = [
        subprocess.Popen(
            ["bash", folder / "a.sh"], cwd="/", env=environment(i, **more), stderr=subprocess.PIPE, text=True
        )
        for i, more in ((1, {"SLURM_MEM_PER_NODE": "4096"}), (2, {"SLURM_MEM_PER_CPU": "2048"}))
    ]
    for task in tasks:
        _, errors = task.communicate(timeout=120)
        assert task.returncode == 0, errors
    ds = snl.open_store(folder / store)
    assert bool((ds.status == 1).all())
    assert dict(ds.sizes) == {"rate": 7}
    assert float(ds["mean"].sel(rate=1.0)) == 1.0
    assert len([*(folder / store / "writers").iterdir()]) == 2


def test_the_script_is_printed_and_says_what_was_asked(folder, capsys):
    words = ["--rate", "0.1:1:7", "2", "--store", "runs/it's", "--memory", "1GB", "--quiet", "--set", "store=2"]
    cli.main(["slurm", "--tasks", "64", "slurm_own.py:powers", *words, "--time", "90"])
    text = capsys.readouterr().out
    run = "run slurm_own.py:powers --rate 0.1:1:7 2 --store 'runs/it'\"'\"'s' --memory 1GB --quiet --set store=2"
    assert f'"$python" -m snljax.cli {run} --shard "$SLURM_ARRAY_TASK_ID/64" "$@" &\n' in text
    assert f"python={sys.executable}\n" in text
    assert "SLURM_MEM" not in text  # a budget was given
    assert "--mem=" not in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_script_that_is_there_stays(folder, capsys):
    (folder / "mine.sh").write_text("mine")
    assert "mine.sh is there" in fails(capsys, "slurm", "grid.toml", "--tasks", "2", "--out", "mine.sh")
    assert (folder / "mine.sh").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["tasks", "--tasks N"]),
        (["--tasks", "0"], ["tasks: 0", "1 or more"]),
        (["--tasks", "2", "--cpus", "0"], ["cpus: 0"]),
        (["--tasks", "2", "--time", "soon"], ["time: 'soon'", "12:00:00"]),
        (["--tasks", "2", "--mem", "16 G"], ["mem: '16 G'", "16G"]),
        (["--tasks", "2", "--sbatch", "a b"], ["sbatch: 'a b'", "partition=long"]),
        (["--tasks", "2", "--sbatch", "x=\n"], ["sbatch", "partition=long"]),
        (["--tasks", "2", "--sbatch", "array=1-9"], ["sbatch: array", "script itself"]),
        (["--tasks", "2", "--shard", "1/2"], ["--shard", "not known"]),
        (["--tasks", "2", "--dask", "a"], ["--dask", "not known"]),
        (["--tasks", "2", "--set", "rate=-1"], ["rate", "-1", "[0, inf)"]),
    ],
)
def test_mistakes_are_one_line(words, parts, folder, capsys):
    error = fails(capsys, "slurm", "grid.toml", *words)
    assert all(part in error for part in parts), error


def test_the_page_shows_the_same_script():
    """What docs/scale.md has for those who write it by hand waits, stops and goes on alike."""
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    text = script("a", ["grid.toml"], "s", Limits(2), "python3", "/")
    waits = text[text.index("training=$!") :]
    assert waits in page
    assert "#SBATCH --signal=B:TERM@120\n#SBATCH --requeue\n" in page


def test_a_budget_follows_the_task_and_not_the_machine():
    text = script("a", ["grid.toml", "--store", "s"], "s", Limits(1), "echo", "/")

    def asked(**env):
        done = subprocess.run(["bash"], input=text, text=True, capture_output=True, env=environment(1, **env))
        return re.findall(r"--memory (\S+)", done.stdout)

    assert asked() == []
    assert asked(SLURM_MEM_PER_NODE="4096") == ["2048MB"]
    assert asked(SLURM_MEM_PER_CPU="1000", SLURM_CPUS_PER_TASK="3") == ["1500MB"]
    assert asked(SLURM_MEM_PER_NODE="4096", SLURM_JOB_GPUS="0") == []
    assert asked(SLURM_MEM_PER_NODE="0") == []
