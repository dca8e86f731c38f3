"""What words of the shell become: ranges, --set over a file, either spelling of an option."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest

from snljax import __version__, cli, sweep

engine = sys.modules[sweep.__module__]  # snljax.sweep is the function

FILE = """
experiment = "topk_pruning"
reading = "printed"
[settings]
steps = 100
mu = 2
[axes]
sigma_p = {start = 0.1, stop = 0.5, num = 3}
K = [3, 4]
both = {sigma_0 = [0.1, 0.2], learning_rate = [0.3, 0.4]}
"""


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The grid that a command is about to train."""
    seen = []

    def sweep(grid, **_):
        seen.append(grid)
        raise ValueError("seen; allowed: nothing")

    monkeypatch.setattr(engine, "sweep", sweep)
    monkeypatch.chdir(tmp_path)
    pathlib.Path("grid.toml").write_text(FILE)

    def grid(*argv):
        with pytest.raises(SystemExit):
            cli.main(["run", *argv])
        return seen.pop()

    return grid


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("grid.toml").write_text(FILE)

    def error(*argv):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["run", *argv])
        text = capsys.readouterr().err
        assert (stopped.value.code, text.count("\n")) == (2, 1)
        return text

    return error


def axis(grid, name):
    return next(axis.coordinate for axis in grid.axes if axis.name == name)


@pytest.mark.parametrize(
    ("words", "name", "values"),
    [
        ("--sigma-p 0.1:1:8", "sigma_p", np.linspace(0.1, 1, 8)),
        ("--sigma-p log:1e-4:1e-1:7", "sigma_p", np.geomspace(1e-4, 1e-1, 7)),
        ("--sigma-p 0.1:0.3:3 0.9 log:1:10:2", "sigma_p", [*np.linspace(0.1, 0.3, 3), 0.9, 1, 10]),
        ("--K 1:100:4", "K", [1, 34, 67, 100]),
        ("--K log:1:100:3", "K", [1, 10, 100]),
        ("--seed 0:4:5 7", "seed", [0, 1, 2, 3, 4, 7]),
        ("--sigma-p 1:0.5:3", "sigma_p", [1, 0.75, 0.5]),
        ("--set sigma_p=0.1:1:8", "sigma_p", np.linspace(0.1, 1, 8)),
        ("--set K=3,4,10:20:2", "K", [3, 4, 10, 20]),
    ],
)
def test_ranges_are_evenly_spaced_with_both_ends(words, name, values, asked):
    grid = asked("topk_pruning", *words.split())
    assert axis(grid, name) == tuple(values)
    assert all(type(v) is (float if name == "sigma_p" else int) for v in axis(grid, name))


def test_a_range_of_one_value_fixes_the_field(asked):
    grid = asked("topk_pruning", "--sigma-p", "0.25:9:1", "--K", "3")
    assert (grid.axes, grid.config.sigma_p, grid.config.K) == ((), 0.25, 3)


def test_underscores_are_hyphens(asked):
    grid = asked("topk_pruning", "--sigma_p", "0.1", "0.2", "--n_test=30", "--record_every", "5", "--K", "3")
    assert (axis(grid, "sigma_p"), grid.config.n_test) == ((0.1, 0.2), 30)


def test_small_negative_numbers_are_values_and_no_options(refused):
    assert "sigma_p: -0.001 is out of range" in refused("topk_pruning", "--sigma-p", "-1e-3")
    assert "sigma_p: -1.0 is out of range" in refused("topk_pruning", "--sigma-p", "-1:1:5")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--sigma-p 0.1:1", ["sigma_p: '0.1:1' is no number and no range", "0.1:1:8"]),
        ("--sigma-p a:1:8", ["sigma_p: 'a:1:8'"]),
        ("--sigma-p 0.1:1:2.5", ["sigma_p: '0.1:1:2.5'"]),
        ("--sigma-p log:0:1:3", ["sigma_p", "log scale", "above 0"]),
        ("--sigma-p 0:inf:3", ["sigma_p", "inf", "finite"]),
        ("--sigma-p 0.1:1:0", ["sigma_p", "num is 0"]),
        ("--K 1:3:9", ["K", "repeated"]),
        ("--descent a:b:3", ["descent", "'a:b:3'"]),
        ("--K 3 --set K=4", ["K", "option", "--set"]),
        ("--set K", ["set: 'K'", "NAME=VALUE"]),
        ("--set K=3 --set K=4", ["K is given twice", "commas"]),
        ("--set k_=3", ["field: 'k_' is not known", "K"]),
    ],
)
def test_mistakes_in_values_are_one_line(words, parts, refused):
    error = refused("topk_pruning", *words.split())
    assert all(part in error for part in parts), error


def test_set_goes_over_a_file(asked):
    plain = asked("grid.toml")
    assert plain.shape == {"sigma_p": 3, "K": 2, "both": 2}
    assert plain.config.steps == 100
    assert asked("grid.toml", "--set", "steps=2000").config.steps == 2000
    other = asked("--set", "sigma-p=0.1:1:8", "grid.toml", "--set=K=5", "--set", "mu=1,2", "--set", "seed=0:2:3")
    assert other.shape == {"sigma_p": 8, "both": 2, "mu": 2, "seed": 3}  # what was an axis keeps its place
    assert (other.config.K, other.config.steps, other.reading) == (5, 100, "printed")
    assert asked("grid.toml", "--set", "reading=fitted").reading == "fitted"
    assert asked("grid.toml", "--set", "descent=dense,span").shape["descent"] == 2
    assert asked("grid.toml", "--set", "first_prune=none").config.first_prune is None
    assert asked("grid.toml", "--set", "regrow=false", "--set", "descent=dense").config.regrow is False


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("steps=many", ["grid.toml", "steps", "'many'"]),
        ("sigma_0=0.1", ["grid.toml", "sigma_0", "learning_rate", "on their own"]),
        ("sigma=0.1", ["grid.toml", "'sigma'", "did you mean"]),
        ("reading=fited", ["grid.toml", "did you mean 'fitted'"]),
        ("experiment=contrastive", ["set: experiment", "fields, seed and reading"]),
    ],
)
def test_set_is_checked_like_the_file(words, parts, refused):
    error = refused("grid.toml", "--set", words)
    assert all(part in error for part in parts), error


def test_a_file_may_become_right_by_what_is_set(asked):
    pathlib.Path("grid.toml").write_text('experiment = "topk_pruning"\n[settings]\nsteps = -5\n')
    assert asked("grid.toml", "--set", "steps=5").config.steps == 5


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"snljax {__version__}\n"
