"""What a result says of the code that made it: versions, commits, command; and that nothing follows from it."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import snljax as snl
from snljax.provenance import provenance, versions
from snljax.sweep import files
from snljax.sweep.store import Store

PACKAGE = pathlib.Path(snl.__file__).parent
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
ASK = "import json; from snljax.provenance import provenance as p; p(); print(json.dumps(p()))"


def git(folder, *arguments):
    who = "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"
    done = subprocess.run(["git", *who, "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(folder):
    """A repository with all that lies in a folder; its commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "all")
    return git(folder, "rev-parse", "HEAD")


def asked(folder, package=PACKAGE, **environment):
    """What a process of its own says in a folder."""
    environment = os.environ | {"PYTHONPATH": str(package.parent)} | environment
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def of_the_user(found):
    return {name: value for name, value in found.items() if name in ("commit", "dirty")}


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "own.py").write_text("x = 1\n")
    return folder


@needs_git
def test_the_commit_of_the_working_folder_and_whether_files_differ(repository):
    commit = committed(repository)
    (repository / "untracked.txt").write_text("results")
    assert of_the_user(asked(repository / "deep")) == {"commit": commit, "dirty": 0}
    (repository / "deep" / "own.py").write_text("x = 2\n")
    assert of_the_user(asked(repository)) == {"commit": commit, "dirty": 1}


@needs_git
def test_another_repository_of_the_environment_is_not_taken(repository, tmp_path):
    """As in a hook of git's, which sets these."""
    (tmp_path / "other").mkdir()
    committed(tmp_path / "other")
    commit = committed(repository)
    assert asked(repository, GIT_DIR=str(tmp_path / "other" / ".git"))["commit"] == commit


@needs_git
def test_without_a_commit_nothing_is_said(repository):
    assert of_the_user(asked(repository)) == {}
    git(repository, "init", "--quiet")
    assert of_the_user(asked(repository)) == {}


@needs_git
def test_the_package_s_own_commit_is_that_of_its_checkout(repository):
    """Not that of a repository into which it was installed, which does not track it."""
    for place in ("source", "environment"):
        (repository / place / "snljax").mkdir(parents=True)
        for name in ("__init__.py", "provenance.py"):
            shutil.copy(PACKAGE / name, repository / place / "snljax" / name)
    (repository / ".gitignore").write_text("environment/\n__pycache__/\n")
    commit = committed(repository)
    own = asked(repository / "deep", repository / "source" / "snljax")
    assert (own["snljax_commit"], own["snljax_dirty"]) == (commit, 0)
    installed = asked(repository, repository / "environment" / "snljax")
    assert installed["commit"] == commit
    assert "snljax_commit" not in installed
    with (repository / "source" / "snljax" / "__init__.py").open("a") as file:
        file.write("# changed\n")
    assert asked(repository, repository / "source" / "snljax")["snljax_dirty"] == 1


def test_without_git_nothing_is_said(repository, tmp_path):
    (tmp_path / "empty").mkdir()
    assert {*asked(repository, PATH=str(tmp_path / "empty"))} == {"command"}


@pytest.mark.skipif(os.name != "posix", reason="a script in place of git")
def test_git_is_asked_once_and_not_waited_for(repository, tmp_path):
    (tmp_path / "bin").mkdir()
    fake, log = tmp_path / "bin" / "git", tmp_path / "log"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ -z "$SLOW" ] || exec sleep 60\necho abc\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    assert of_the_user(asked(repository, PATH=path)) == {"commit": "abc", "dirty": 1}
    assert len(log.read_text().splitlines()) == 4  # a commit and changes, of two repositories; asked twice for
    begun = time.monotonic()
    assert {*asked(repository, PATH=path, SLOW="1")} == {"command"}
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["study.py", "--name", "two words"], "study.py --name 'two words'"),
        (["study.py", pathlib.Path("a b"), 3], "study.py 'a b' 3"),
        (["study.py", "caf\udce9"], "study.py 'caf\\udce9'"),
        ([""], None),
        ([], None),
    ],
)
def test_the_command_is_what_a_shell_takes(monkeypatch, argv, command):
    monkeypatch.setattr(sys, "argv", argv)
    assert provenance().get("command") == command


def test_a_long_command_is_cut(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study.py", *map(str, range(10_000))])
    command = provenance()["command"]
    assert len(command) == 1000
    assert shlex.join(sys.argv).startswith(command.removesuffix("..."))


def test_versions_are_those_that_run():
    assert versions()["snljax"] == snl.__version__
    assert versions()["numpy"] == np.__version__
    assert {"python", "jax", "jaxlib", "flax", "optax"} <= {*versions()}


# --- in Datasets and stores -----------------------------------------------------------------------------


def markers(store):
    """block -> its marker."""
    return {int(f.stem): files.unsealed(f.read_bytes()) for f in (pathlib.Path(store) / "done").glob("*.json")}


def meaning(marker):
    """What of a marker must not depend on who made it, or when."""
    return {n: v for n, v in marker.items() if n not in ("made_by", "finished", "seconds", "host", "sha256")}


def grid(powers, *seeds):
    return snl.Grid(powers, rate=[0.5, 2.0], seed=seeds)


def test_a_dataset_says_what_made_it_in_plain_text_and_numbers(powers, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["study.py", "caf\udce9"])
    ds = snl.sweep(grid(powers, 0), progress=False)
    assert provenance().items() <= ds.attrs.items()
    assert json.loads(ds.attrs["versions"]) == versions()
    assert all(isinstance(value, (int, float, str)) for value in ds.attrs.values())
    ds.to_netcdf(tmp_path / "ds.nc")
    assert xr.load_dataset(tmp_path / "ds.nc").attrs["command"] == ds.attrs["command"]


def test_each_block_says_what_made_it_and_nothing_follows_from_it(powers, monkeypatch, tmp_path):
    for name, calls in {"a": [(0,), (0, 1)], "b": [(0,), (0, 1)]}.items():
        for number, seeds in enumerate(calls):
            monkeypatch.setattr(sys, "argv", [f"{name}.py", str(number)])
            ds = snl.sweep(grid(powers, *seeds), store=tmp_path / name, block=(1, 2), progress=False)
            assert ds.attrs["command"] == f"{name}.py {number}"
    a, b = markers(tmp_path / "a"), markers(tmp_path / "b")
    assert [a[block]["made_by"]["command"] for block in (0, 1)] == ["a.py 0", "a.py 1"]
    assert b[1]["made_by"] == {"versions": versions(), **provenance()}
    assert {n: meaning(m) for n, m in a.items()} == {n: meaning(m) for n, m in b.items()}
    xr.testing.assert_identical(*(snl.open_store(tmp_path / name).load().drop_attrs(deep=False) for name in ("a", "b")))


def test_stores_whose_markers_say_nothing_of_it_go_on(powers, tmp_path):
    """As those that were made before."""
    snl.sweep(grid(powers, 0), store=tmp_path, block=(1, 2), progress=False)
    for block, marker in markers(tmp_path).items():
        older = {name: value for name, value in marker.items() if name not in ("made_by", "sha256")}
        (tmp_path / "done" / f"{block}.json").write_bytes(files.sealed(older))
    before = (tmp_path / "done" / "0.json").read_bytes()
    ds = snl.sweep(grid(powers, 0, 1), store=tmp_path, progress=False)
    assert (tmp_path / "done" / "0.json").read_bytes() == before
    assert bool((ds.status > 0).all())
    again = snl.recompute(tmp_path, cells=4, experiment=powers)
    assert (again.cells, again.wrong) == (4, {})
    assert Store.open(tmp_path).damaged(0) == Store.open(tmp_path).damaged(1) == []
