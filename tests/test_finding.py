"""Experiments of a user's own, found in files, modules and installed packages."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import own_experiments
import pytest

import snljax as snl
from snljax import cli, experiments, finding


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A folder to work in; what a test imports from there is forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


ONE = "import snljax as snl\nmlp = snl.Experiment('a', *(None,) * 5)\n"

# --- files ------------------------------------------------------------------------------------------


def test_a_file_has_experiments_of_both_kinds_and_is_imported_once(alone):
    own_experiments.write(alone)
    mlp, powers = finding.at("own.py:mlp"), finding.at("own.py:powers")
    assert (mlp.name, powers.name) == ("supervised", "powers/of mine")
    assert finding.at(str(alone / "own.py") + ":mlp") is mlp
    assert experiments.get("own.py:mlp") is mlp
    assert snl.Grid("own.py:powers", rate=[0.5, 2]).experiment is powers
    assert sys.modules["own"].mlp is mlp
    assert finding.at("own:mlp") is mlp  # as a module, from the working folder
    assert not (alone / "__pycache__" / "own.cpython-311.pyc").exists()


def test_a_file_is_relative_to_its_folder_and_may_be_a_link(alone):
    own_experiments.write(alone / "a", helper="tools_of_a")
    (alone / "b").mkdir()
    (alone / "b" / "linked.py").symlink_to(alone / "a" / "own.py")
    there = finding.at("own.py:mlp", alone / "a")
    assert finding.at("linked.py:mlp", "b") is there
    assert finding.at("../a/own.py:mlp", alone / "b") is there


def test_a_script_that_runs_is_its_own_module(alone):
    own_experiments.write(alone)
    with open("own.py", "a") as file:
        file.write("\nprint(snl.Grid('own.py:mlp').experiment is mlp)\n")
    done = subprocess.run([sys.executable, "own.py"], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_files_of_one_name_are_two_modules(alone):
    one = own_experiments.write(alone / "one", helper="tools_of_one")
    other = own_experiments.write(alone / "other", helper="tools_of_other")
    found = [finding.at(f"{path}:mlp") for path in (one, other, one, other)]
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert found[0] is not found[1]
    names = {finding.home(experiment).module.__name__ for experiment in found}
    assert len(names) == 2
    assert all(name in sys.modules for name in names)


def test_a_file_called_as_a_library_is_not_taken_for_it(alone):
    own_experiments.write(alone, file="json.py", helper="tools_of_json")
    import json

    assert finding.at("json.py:powers").name == "powers/of mine"
    assert sys.modules["json"] is json


def test_another_helper_of_the_same_name_is_not_used(alone, one_line):
    """The second file would silently compute with the first one's helper."""
    first = own_experiments.write(alone / "first", "first.py", helper="shared_name")
    second = own_experiments.write(alone / "second", "second.py", helper="shared_name")
    finding.at(f"{first}:mlp")
    one_line(lambda: finding.at(f"{second}:mlp"), str(second), "shared_name", str(first.parent))


@pytest.mark.parametrize(
    ("content", "place", "parts"),
    [
        ("x = (1,\n", "a.py:mlp", ["a.py, line 1", "never closed"]),
        ("import snljax as snl\n\nsnl.nothing\n", "a.py:mlp", ["a.py, line 3", "AttributeError", "'nothing'"]),
        ("import nowhere_at_all\n", "a.py:mlp", ["a.py, line 1", "No module named 'nowhere_at_all'"]),
        ("\nimport sys\nsys.exit(4)\n", "a.py:mlp", ["a.py, line 3", "SystemExit"]),
        ("import snljax as snl\nx = snl.supervised(0, 0, metrics=['a'])\n", "a.py:x", ["a.py, line 2", "metrics: 'a'"]),
        ("", "a.py:mlp", ["a.py has no 'mlp'", "snl.supervised"]),
        ("", "b.py:mlp", ["b.py cannot be read", "No such file"]),
        ("mlp = 3\n", "a.py:mlp", ["mlp of a.py is of type int"]),
        ("def mlp():\n    return 1\n", "a.py:mlp", ["of type function", "NAME = mlp(…)"]),
        ("\0", "a.py:mlp", ["a.py"]),
        (ONE, "a.py:mlq", ["did you mean 'mlp'", "a.py:mlp"]),
        (ONE, "a.py", ["without a name", "allowed: a.py:mlp"]),
        (ONE, "a.py:", ["without a name", "allowed: a.py:mlp"]),
        ("", "nowhere.at.all:mlp", ["no module nowhere", "FILE.py:NAME"]),
        ("", "os.nowhere:mlp", ["no module os.nowhere"]),
        ("import nowhere_at_all\n", "a:mlp", ["nowhere_at_all", "a.py, line 1"]),
        ("x = 1\nraise KeyError('k')\n", "a:mlp", ["KeyError: 'k'", "a.py, line 2"]),
        ("", "topk_prunning", ["did you mean 'topk_pruning'", "FILE.py:NAME"]),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_is_no_experiment_is_one_line(content, place, parts, alone, one_line, capsys):
    pathlib.Path("a.py").write_text(content)
    one_line(lambda: experiments.get(place), "experiment", *parts)
    for command in (["run", place, "--steps", "3"], ["describe", place], ["trace", place], ["slurm", place]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(command)
        error = capsys.readouterr().err
        assert (stopped.value.code, error.count("\n")) == (2, 1)
        assert all(part in error for part in parts)


def test_a_mended_file_is_imported_again(alone):
    pathlib.Path("mended.py").write_text("from snljax import Experiment\nx = Experiment(")
    with pytest.raises(ValueError, match="line 2"):
        finding.at("mended.py:x")
    pathlib.Path("mended.py").write_text("from snljax import Experiment\nx = Experiment('a', *(None,) * 5)")
    assert finding.at("mended.py:x").name == "a"


def test_every_core_is_a_device_whatever_a_file_does(alone):
    """JAX, once started, keeps the devices that it has."""
    pathlib.Path("starts.py").write_text("import jax.numpy as jnp\nzeros = jnp.zeros(3)\n")
    code = (
        "import contextlib, jax\nfrom snljax import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['run', 'starts.py:zeros'])\n"
        "print(jax.local_device_count())"
    )
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "no Experiment" in done.stderr
    assert done.stdout.split() == [str(len(os.sched_getaffinity(0)))]


# --- names that lead back ---------------------------------------------------------------------------


def test_an_experiment_has_the_place_at_which_it_is_found(alone):
    own_experiments.write(alone / "mine", helper="tools_of_mine")
    mlp = finding.at("mine/own.py:mlp")
    assert finding.place_of(mlp) == "mine/own.py:mlp"
    assert finding.place_of(mlp, "mine") == "own.py:mlp"
    assert finding.at(finding.place_of(mlp, "elsewhere"), "elsewhere") is mlp
    assert experiments.name_of(mlp) == "mine/own.py:mlp"
    assert experiments.is_own(mlp)
    assert finding.place_of(mlp._replace(name="another")) is None


def test_a_module_of_a_package_is_named_by_it(alone):
    own_experiments.write(alone / "my_package", helper="tools_of_package")
    pathlib.Path("my_package", "__init__.py").write_text("")
    source = pathlib.Path("my_package", "own.py")
    source.write_text(source.read_text().replace("from tools_of_package", "from my_package.tools_of_package"))
    mlp = finding.at("my_package.own:mlp")
    assert finding.place_of(mlp, "somewhere") == "my_package.own:mlp"
    assert finding.at("my_package.own:mlp") is mlp
    assert finding.at("my_package/own.py:mlp") is mlp


@pytest.mark.parametrize("name", experiments.NAMES)
def test_the_packages_own_keep_their_names(name):
    assert experiments.name_of(experiments.get(name)) == name
    assert not experiments.is_own(experiments.get(name))


# --- installed with other packages ------------------------------------------------------------------


def install(site: pathlib.Path, package: str, entries: str, summary: str = "Nets of ours") -> None:
    """What pip leaves of a package."""
    about = site / f"{package}-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\nSummary: {summary}\n")
    (about / "entry_points.txt").write_text(entries)


@pytest.fixture
def site(alone, monkeypatch):
    """A folder of installed packages."""
    folder = alone / "site"
    own_experiments.write(folder, "their_nets.py", helper="their_tools")
    install(folder, "their-nets", "[snljax.experiments]\ntheir_mlp = their_nets:mlp\ngone = their_nets:nothing\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_an_installed_experiment_goes_by_its_name(site, capsys, one_line):
    cli.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert "their_nets" not in sys.modules
    assert lines[-3] == "their-nets 1.2"
    assert [line.split() for line in lines[-2:]] == [
        ["snljax", "run", name, "Nets", "of", "ours"] for name in ("gone", "their_mlp")
    ]
    assert snl.Grid("their_mlp").experiment is finding.at("their_nets:mlp")
    cli.main(["describe", "their_mlp"])
    assert "learning_rate" in capsys.readouterr().out
    one_line(lambda: snl.Grid("their_mpl"), "did you mean 'their_mlp'")
    one_line(lambda: snl.Grid("gone"), "their_nets has no 'nothing'", "their_nets:mlp")


def test_the_packages_own_go_first_and_doubles_are_refused(site, capsys, one_line):
    text = "[snljax.experiments]\ntopk_pruning = their_nets:mlp\ntheir_mlp = their_nets:powers\n"
    install(site, "others", text, "")
    assert snl.Grid("topk_pruning").experiment is experiments.get("topk_pruning")
    assert not experiments.is_own(snl.Grid("topk_pruning").experiment)
    one_line(lambda: snl.Grid("their_mlp"), "their-nets 1.2, others 1.2", "their_nets:mlp", "their_nets:powers")
    cli.main(["list"])
    shown = [line.split()[2] for line in capsys.readouterr().out.splitlines()[-5:] if line.startswith(" ")]
    assert sorted(shown) == ["gone", "their_nets:mlp", "their_nets:mlp", "their_nets:powers"]


@pytest.mark.parametrize("entries", ["[snljax.experiments]\nhalf a line\n", "\0[[[", "[snljax.experiments]\nx = \n"])
def test_a_broken_package_breaks_nothing(entries, site, capsys):
    install(site, "broken", entries)
    cli.main(["list"])
    assert "their_mlp" in capsys.readouterr().out
    assert snl.Grid("their_mlp").experiment.name == "supervised"


def test_listing_installed_experiments_stays_light(site):
    code = (
        "import sys\nfrom snljax import cli\ncli.main(['list'])\n"
        "print([n for n in ('jax', 'numpy', 'their_nets', 'flax') if n in sys.modules])"
    )
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "their_mlp" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
