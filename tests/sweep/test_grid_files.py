"""Grids as TOML: what is written is read back as the same grid, or is refused."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import tomli_w
from harness import POWERS
from hypothesis import given, settings

import snljax as snl
from snljax import Grid, experiments, supervised
from snljax.experiment import Experiment, field

X = np.arange(12.0, dtype=np.float32).reshape(6, 2)
NET = supervised((lambda key, x: 0.0, lambda params, x: x + params), (X, np.arange(6) % 2, X, np.arange(6) % 2))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Awkward:
    """Fields that are called as what else stands in such a file."""

    start: float = field(1.0)
    stop: int = field(2)
    log: bool = field(False)
    num: int | None = field(None, static=True)
    settings: str = field("a", static=True)
    steps: int = field(3)
    default: str | None = field("b", static=True)


AWKWARD = Experiment('awk\n"ward', Awkward, *(None,) * 4, readings={"one": Awkward(), "two\n": Awkward(start=-0.5)})  # type: ignore[arg-type]
NUMBERS = st.floats(-1e30, 1e30, allow_subnormal=False)
FIELDS = [
    (
        "topk_pruning",
        {
            "sigma_p": st.floats(0, 1e9),
            "K": st.integers(1, 150),
            "mu": st.floats(1e-9, 1e9),
            "d": st.integers(200, 300),
            "first_prune": st.none() | st.integers(0, 9),
            "steps": st.integers(0, 10**9),
            "seed": st.integers(0, 2**31 - 1),
        },
    ),
    (
        AWKWARD,
        {
            "start": NUMBERS,
            "stop": st.integers(-(2**31) + 1, 2**31 - 1),
            "log": st.booleans(),
            "num": st.none() | st.integers(-9, 9),
            "settings": st.text(),
            "default": st.none() | st.text().filter(lambda text: text != "none"),
            "steps": st.integers(0, 99),
            "seed": st.integers(0, 9),
        },
    ),
    (POWERS, {"rate": st.floats(0, 1e9), "start": NUMBERS, "steps": st.integers(0, 9), "width": st.integers(1, 9)}),
]


NET_FIELDS = {
    "learning_rate": st.floats(0, 1e9),
    "epochs": st.integers(1, 50).map(float),
    "label_noise": st.floats(0, 1),
    "batch_size": st.integers(1, 6),
    "seed": st.integers(0, 9),
}
ALONE = ("steps", "seed", "epochs")  # move with no others


@st.composite
def grids(draw, which):
    """What `Grid` is given: fixed fields, axes, and axes of several fields, with a name of their own or not."""
    experiment, fields = draw(st.sampled_from(which))
    names = draw(st.permutations([*fields]))[: draw(st.integers(0, len(fields)))]
    bundles, named = [], {}
    while names:
        name = names.pop()
        values = fields[name]
        how = draw(st.sampled_from(["fixed", "axis"] + ["zip", "named"] * (name not in ALONE)))
        if how == "fixed" or name == "epochs":
            named[name] = draw(values)
        elif how == "axis":
            several = draw(st.lists(values, min_size=1, max_size=3, unique=True))
            named[name] = sorted(several) if name == "steps" else several
        else:
            beside = [n for n in names if n not in ALONE][: draw(st.integers(0, 2))]
            names = [n for n in names if n not in beside]
            rows = st.lists(st.tuples(*(fields[n] for n in (name, *beside))), min_size=1, max_size=3)
            columns = dict(zip((name, *beside), zip(*draw(rows), strict=True), strict=True))
            if how == "zip":
                bundles.append(snl.together(**columns))
            else:
                named[f"rows_of_{name}"] = snl.together(**columns)
    readings = [] if isinstance(experiment, str) else [*experiment.readings]
    return experiment, bundles, named | {"reading": draw(st.sampled_from([None, *readings]))}


def assert_same(a, b):
    assert a.experiment is b.experiment
    assert (a.reading, a.config, a.settings(), a.seeds, a.axes) == (b.reading, b.config, b.settings(), b.seeds, b.axes)
    assert [*a.shape.items()] == [*b.shape.items()]


@settings(max_examples=80, deadline=None)
@given(what=grids(FIELDS))
def test_what_is_written_is_read_back(what):
    come_back(*what)


@settings(max_examples=10, deadline=None)
@given(what=grids([(NET, NET_FIELDS)]))
def test_steps_and_epochs_are_read_back(what):
    """Each follows from the other."""
    come_back(*what)


def come_back(experiment, bundles, named):
    try:
        grid = Grid(experiment, *bundles, **named)
    except ValueError:
        return  # values that are one in float32, or beyond a range that others move
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "grid.toml")
        grid.to_toml(path)
        assert_same(Grid.from_toml(path), grid)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Grid("topk_pruning", protocol=snl.zip(sigma_p=[0.5, 1.0]), K=[4, 8]),
        lambda: Grid("topk_pruning", snl.zip(K=[4, 8]), snl.zip(mu=[1, 2], sigma_p=[1, 2]), seed=[5]),
        lambda: Grid(POWERS, rows=snl.zip(start=[1.0, 2.0])),
        lambda: Grid(NET, learning_rate=[0.1, 0.2]),
        lambda: Grid(NET, epochs=3),
        lambda: Grid(NET, steps=7, seed=2),
        lambda: Grid(POWERS, steps=[2, 5], rate=[0.1, 0.2]),
    ],
    ids=["order of a named zip", "order of zips", "a field start", "epochs", "given epochs", "steps", "axis of steps"],
)
def test_known_losses(build, tmp_path):
    """Each of these came back as another grid, or not at all."""
    grid, path = build(), tmp_path / "grid.toml"
    grid.to_toml(path)
    assert_same(Grid.from_toml(path), grid)


def test_an_experiment_without_a_name_is_not_written(tmp_path, one_line):
    """Its name would be read as one of the package's, or as none."""
    path = tmp_path / "grid.toml"
    for name in ("mine", "topk_pruning"):
        grid = Grid(POWERS._replace(name=name), rate=[0.1, 0.2])
        one_line(lambda grid=grid: grid.to_toml(path), str(path), name, "FILE.py:NAME")
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: No such file|grid\.toml: No such file"):
        Grid("topk_pruning").to_toml(tmp_path / "nowhere" / "grid.toml")


def test_a_file_may_lie_elsewhere_than_the_experiment(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "grids").mkdir()
    (tmp_path / "code" / "elsewhere.py").write_text("from harness import POWERS\nmine = POWERS._replace(name='mine')\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    mine = experiments.get("code/elsewhere.py:mine", tmp_path)
    Grid(mine, rate=[0.5, 0.25]).to_toml(tmp_path / "grids" / "grid.toml")
    assert 'experiment = "../code/elsewhere.py:mine"' in (tmp_path / "grids" / "grid.toml").read_text()
    monkeypatch.chdir("/")
    assert Grid.from_toml(tmp_path / "grids" / "grid.toml").experiment is mine
    del sys.modules["elsewhere"]


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "steps": st.integers(0, 99),
        "mu": st.sampled_from([1.0, [1.0, 2.0]]),
        "sigma_p": st.sampled_from([0.5, [0.25, 0.75]]),
        "K": st.sampled_from([7, [7], [5, 6]]),
        "seed": st.sampled_from([3, [3, 4]]),
        "reading": st.sampled_from(["printed", "fitted"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(changes=CHANGES)
def test_changes_of_a_file_are_what_it_would_say(changes):
    """A file with other words is the file with those changes, but for new axes, which come last."""
    settings_of, axes = {"steps": 5, "mu": 3.0}, {"K": [3, 4], "sigma_p": [0.1, 0.2, 0.3]}
    content = {"experiment": "topk_pruning", "reading": changes.get("reading", "fitted")}
    changed = {n: v for n, v in changes.items() if n != "reading"}
    kept = {n: changed.get(n, v) for n, v in axes.items()}
    late = {n: v for n, v in changed.items() if n not in axes and isinstance(v, list)}
    both = kept | late | {n: v for n, v in (settings_of | changed).items() if n not in kept | late}
    wanted = {
        "settings": {n: v for n, v in both.items() if not isinstance(v, list)},
        "axes": {n: v for n, v in both.items() if isinstance(v, list)},
    }
    with tempfile.TemporaryDirectory() as folder:
        one, other = pathlib.Path(folder, "one.toml"), pathlib.Path(folder, "other.toml")
        one.write_text(tomli_w.dumps(content | {"reading": "fitted", "settings": settings_of, "axes": axes}))
        other.write_text(tomli_w.dumps(content | wanted))
        a, b = Grid.from_toml(one, **changes), Grid.from_toml(other)
    assert (a.reading, a.config, a.seeds, a.axes) == (b.reading, b.config, b.seeds, b.axes)
