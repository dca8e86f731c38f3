"""Grids: what they hold, how they are split, their TOML form, and what they refuse."""

from __future__ import annotations

import dataclasses
import types

import jax
import numpy as np
import pytest
from conftest import PowersConfig

import snljax as snl
from snljax import Grid, experiments
from snljax.experiment import fields_of, readings_of
from snljax.experiments.topk_pruning import Config

NAME = "topk_pruning"


# --- what a grid holds ------------------------------------------------------------------------------


def test_axes_scalars_and_defaults():
    grid = Grid(NAME, sigma_p=np.linspace(0.5, 1.0, 3), mu=2, K=range(10, 41, 10), seed=range(5), steps=np.int64(7))
    assert grid.shape == {"sigma_p": 3, "K": 4, "seed": 5}
    assert list(grid.shape) == ["sigma_p", "K", "seed"]
    assert grid.cells == 60
    assert grid.axes[0].coordinate == (0.5, 0.75, 1.0)
    assert grid.seeds == (0, 1, 2, 3, 4)
    assert (grid.config.mu, grid.config.steps, grid.config.d) == (2.0, 7, Config().d)
    assert all(type(v) is float for v in (*grid.axes[0].coordinate, grid.config.mu))
    assert type(grid.config.steps) is int
    assert not {"sigma_p", "K", "seed"} & grid.settings().keys()
    assert grid.settings()["mu"] == 2.0


def test_numpy_numbers_are_numbers():
    grid = Grid(NAME, seed=np.int64(3), K=np.int32(5), mu=np.float32(0.5), regrow=np.True_)
    assert (grid.seeds, grid.config.K, grid.config.mu, grid.config.regrow) == ((3,), 5, 0.5, True)
    assert Grid(NAME, seed=[np.int64(1), np.int64(2)]).seeds == (1, 2)
    assert Grid(NAME, seed=np.arange(3)).seeds == (0, 1, 2)


def test_no_axis_at_all_is_one_cell():
    grid = Grid(NAME, seed=3)
    assert (grid.shape, grid.cells, grid.seeds, grid.axes) == ({}, 1, (3,), ())


def test_readings_and_their_overrides():
    assert Grid(NAME).reading == "fitted"
    assert Grid(NAME).config.filter_reduction == "sum"
    printed = Grid(NAME, reading="printed")
    assert printed.config.filter_reduction == "mean"
    assert Grid(NAME, reading="printed", filter_reduction="sum").config == Grid(NAME).config


def test_an_experiment_of_ones_own_has_one_reading(powers):
    grid = Grid(powers, rate=[0.5, 2.0])
    assert (grid.reading, grid.config) == ("default", PowersConfig())


def test_zip_by_position_is_called_after_its_first_field():
    grid = Grid(NAME, snl.zip(sigma_p=[0.5, 1.5], sigma_0=[0.01, 0.001]), K=[5, 6, 7])
    assert grid.shape == {"sigma_p": 2, "K": 3}
    assert grid.axes[0].fields == {"sigma_p": (0.5, 1.5), "sigma_0": (0.01, 0.001)}


def test_zip_by_keyword_is_numbered_and_may_repeat_values():
    grid = Grid(NAME, K=[5, 6], protocol=snl.zip(sigma_p=[0.5, 0.5, 1.0], sigma_0=[0.01, 0.02, 0.01]))
    assert grid.shape == {"K": 2, "protocol": 3}
    assert grid.axes[1].coordinate == (0, 1, 2)


def test_labels_are_the_papers_symbols():
    grid = Grid(NAME)
    assert grid.label("sigma_p") == r"$\sigma_p$"
    assert grid.label("prune_every") == "prune every"
    assert grid.label("seed") == "seed"


@pytest.mark.parametrize(
    ("build", "programs"),
    [
        (lambda: Grid(NAME), 1),
        (lambda: Grid(NAME, seed=range(4)), 1),
        (lambda: Grid(NAME, sigma_p=[0.1, 0.2, 0.3], K=[5, 6], seed=[1, 2]), 1),
        (lambda: Grid(NAME, d=[100, 200, 300], sigma_p=[0.1, 0.2], K=50), 3),
        (lambda: Grid(NAME, sigma_p=[0.1, 0.2], prune_every=[5, 10], first_prune=[None, 0]), 4),
        (lambda: Grid(NAME, snl.zip(K=[50, 300], d=[200, 400]), sigma_p=[0.1, 0.2]), 2),
        (lambda: Grid(NAME, snl.zip(sigma_p=[0.5, 1.5], sigma_0=[0.01, 0.001]), K=[5, 6]), 1),
    ],
)
def test_every_cell_gets_its_settings_from_its_program_or_its_column(build, programs):
    grid = build()
    assert len(list(grid.configs())) == programs
    axes = grid.point_axes
    columns = grid.columns()
    static = {f.name for f in fields_of(grid.experiment.Config).values() if f.static}
    # An axis that moves a static field is not batched, nor are the other fields that it moves.
    assert columns.keys() == {f for axis in axes for f in axis.fields if not static & axis.fields.keys()}
    for position in np.ndindex(*(len(a.coordinate) for a in axes)):
        settings = vars(grid.config_at(position)) | {f: v[position[i]] for f, (i, v) in columns.items()}
        expected = {f: vs[i] for axis, i in zip(axes, position, strict=True) for f, vs in axis.fields.items()}
        for name, value in (vars(grid.config) | expected).items():
            assert settings[name] == value, (position, name)


@pytest.mark.parametrize("grid", [Grid(NAME, sigma_p=[0.1, 0.2], seed=[3, 4]), Grid(NAME, d=[100, 200])])
def test_a_grid_survives_pickling(grid):
    import pickle

    again = pickle.loads(pickle.dumps(grid))
    assert (again.axes, again.seeds, again.config) == (grid.axes, grid.seeds, grid.config)
    assert again.experiment.step is grid.experiment.step


# --- TOML -------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "grid.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def assert_same_grid(a, b):
    assert a.experiment is b.experiment
    assert (a.reading, a.config, a.seeds, a.axes, a.shape) == (b.reading, b.config, b.seeds, b.axes, b.shape)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Grid(NAME),
        lambda: Grid(NAME, sigma_p=[0.1, 0.25], K=range(10, 31, 10), seed=[3, 1], steps=12, mu=0.1),
        lambda: Grid(NAME, reading="printed", seed=5, first_prune=None),
        lambda: Grid(NAME, reading="printed", filter_reduction="sum"),
        lambda: Grid(NAME, descent="dense", regrow=[True, False], first_prune=[None, 0, 20]),
        lambda: Grid(NAME, snl.zip(sigma_p=[0.5, 1.5], sigma_0=[0.01, 0.001]), seed=range(2), K=[4, 8]),
        lambda: Grid(NAME, snl.zip(K=[50, 300], d=[200, 400]), snl.zip(mu=[1, 2], sigma_p=[1, 2])),
        lambda: Grid(NAME, sigma_p=np.geomspace(1e-3, 1, 7)),
        lambda: Grid(NAME, K=[4, 8], protocol=snl.zip(sigma_p=[0.5, 0.5, 1.0], sigma_0=[0.01, 0.02, 0.01])),
        lambda: Grid(NAME, protocol=snl.zip(sigma_p=[0.5, 1.0])),
    ],
    ids=[
        "nothing", "axes", "one seed", "override", "none", "zip", "two zips", "floats", "named zip", "named zip of one",
    ],
)  # fmt: skip
def test_toml_round_trip(build, tmp_path):
    grid = build()
    path = tmp_path / "grid.toml"
    grid.to_toml(path)
    assert_same_grid(Grid.from_toml(path), grid)


def test_toml_spellings(write):
    path = write(
        """
        experiment = "topk_pruning"
        reading = "printed"
        [settings]
        first_prune = "none"
        mu = 2
        [axes]
        sigma_p = {start = 0.25, stop = 1.0, num = 4}
        K = {start = 1, stop = 100, num = 3, log = true}
        seed = {start = 0, stop = 4, num = 5}
        [[zip]]
        sigma_0 = [0.1, 0.2]
        learning_rate = {start = 0.01, stop = 0.02, num = 2}
        """
    )
    grid = Grid.from_toml(path)
    assert grid.shape == {"sigma_0": 2, "sigma_p": 4, "K": 3, "seed": 5}
    coordinates = {axis.name: axis.coordinate for axis in grid.axes}
    assert coordinates["sigma_p"] == (0.25, 0.5, 0.75, 1.0)
    assert coordinates["K"] == (1, 10, 100)
    assert all(type(k) is int for k in coordinates["K"])
    assert grid.seeds == (0, 1, 2, 3, 4)
    assert grid.axes[0].fields == {"sigma_0": (0.1, 0.2), "learning_rate": (0.01, 0.02)}
    assert (grid.config.first_prune, grid.config.mu, grid.config.filter_reduction) == (None, 2.0, "mean")


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "named"),
    [
        # unknown names; the nearest is offered
        (lambda: Grid("topk_prunning"), ("experiment", "'topk_prunning'", "did you mean 'topk_pruning'?")),
        (lambda: Grid(5), ("experiment", "5", "a name or an Experiment")),
        (lambda: Grid(NAME, sigma=1.0), ("'sigma'", "topk_pruning", "did you mean 'sigma_", "K, mu")),
        (lambda: Grid(NAME, learning_rte=[1.0, 2.0]), ("'learning_rte'", "did you mean 'learning_rate'?")),
        (lambda: Grid(NAME, snl.zip(sgima_p=[1.0])), ("'sgima_p'", "did you mean 'sigma_p'?")),
        (lambda: Grid(NAME, reading="fited"), ("reading", "'fited'", "did you mean 'fitted'?", "printed")),
        (lambda: Grid(NAME, descent="dens"), ("descent", "'dens'", "did you mean 'dense'?", "'span'")),
        # ranges, also against other fields
        (lambda: Grid(NAME, K=201), ("K", "201", "[1, d]", "d = 200")),
        (lambda: Grid(NAME, K=[1, 0]), ("K", "0", "[1, d]")),
        (lambda: Grid(NAME, K=range(10, 211, 10)), ("K", "210", "[1, d]", "d = 200")),
        (lambda: Grid(NAME, d=50), ("K", "100", "[1, d]", "d = 50")),
        (lambda: Grid(NAME, K=[50, 300], d=[200, 400]), ("K", "300", "[1, d]", "d = 200")),
        (lambda: Grid(NAME, snl.zip(K=[300, 50], d=[200, 400])), ("K", "300", "[1, d]", "d = 200")),
        (lambda: Grid(NAME, num_classes=200), ("num_classes", "200", "[2, d)", "d = 200")),
        (lambda: Grid(NAME, sigma_p=-0.1), ("sigma_p", "-0.1", "[0, inf)")),
        (lambda: Grid(NAME, sigma_p=[0.5, -1.0]), ("sigma_p", "-1.0", "[0, inf)")),
        (lambda: Grid(NAME, mu=0), ("mu", "0", "(0, inf)")),
        (lambda: Grid(NAME, relu_grad_at_zero=1.5), ("relu_grad_at_zero", "1.5", "[0, 1]")),
        (lambda: Grid(NAME, first_prune=-1), ("first_prune", "-1", "[0, inf)", "none")),
        (lambda: Grid(NAME, q=0.5), ("q", "0.5", "[1, inf)")),
        (lambda: Grid(NAME, sigma_p=float("nan")), ("sigma_p", "nan", "finite")),
        (lambda: Grid(NAME, sigma_p=[0.5, np.nan]), ("sigma_p", "nan", "finite")),
        (lambda: Grid(NAME, sigma_p=np.inf), ("sigma_p", "inf", "finite")),
        (lambda: Grid(NAME, sigma_p=[1.0, 1e300]), ("sigma_p", "1e+300")),
        (lambda: Grid(NAME, sigma_p=1e300), ("sigma_p", "1e+300")),
        (lambda: Grid(NAME, steps=2**31), ("steps", "2147483648", "2147483647")),
        # axes
        (lambda: Grid(NAME, sigma_p=[]), ("sigma_p", "empty")),
        (lambda: Grid(NAME, seed=[]), ("seed", "empty")),
        (lambda: Grid(NAME, snl.zip(sigma_p=[], mu=[])), ("sigma_p", "empty")),
        (lambda: Grid(NAME, sigma_p=[0.1, 0.2, 0.1]), ("sigma_p", "0.1", "repeated")),
        (lambda: Grid(NAME, sigma_p=[0.1, 0.1 + 1e-10]), ("sigma_p", "0.1", "repeated")),  # one float32
        (lambda: Grid(NAME, seed=[1, 1]), ("seed", "1", "repeated")),
        (lambda: Grid(NAME, first_prune=[None, 0, None]), ("first_prune", "none", "repeated")),
        (lambda: Grid(NAME, snl.zip(sigma_p=[0.1, 0.1], mu=[1, 2])), ("sigma_p", "0.1", "repeated")),
        (lambda: Grid(NAME, sigma_p=np.ones((2, 2))), ("sigma_p", "2 dimensions", "1")),
        (lambda: Grid(NAME, sigma_p={0.1, 0.2}), ("sigma_p", "set", "list")),
        (lambda: Grid(NAME, steps=[10, 20]), ("steps", "record_every")),
        (lambda: Grid(NAME, snl.zip(steps=[10, 20])), ("steps", "record_every")),
        # types
        (lambda: Grid(NAME, sigma_p="0.1"), ("sigma_p", "'0.1'", "a number")),
        (lambda: Grid(NAME, sigma_p=[0.1, "a"]), ("sigma_p", "'a'", "a number")),
        (lambda: Grid(NAME, sigma_p=True), ("sigma_p", "True", "a number")),
        (lambda: Grid(NAME, sigma_p=None), ("sigma_p", "None", "a number")),
        (lambda: Grid(NAME, K=2.0), ("K", "2.0", "a whole number")),
        (lambda: Grid(NAME, K=np.linspace(1, 10, 4)), ("K", "1.0", "a whole number")),
        (lambda: Grid(NAME, regrow=1), ("regrow", "1", "true or false")),
        (lambda: Grid(NAME, descent=["span", 3]), ("descent", "3", "'dense'")),
        (lambda: Grid(NAME, seed=[0.0, 1.0]), ("seed", "0.0", "a whole number")),
        (lambda: Grid(NAME, seed=-1), ("seed", "-1", "0 to")),
        (lambda: Grid(NAME, seed="0"), ("seed", "'0'", "a whole number")),
        # zips
        (lambda: snl.zip(sigma_p=[1.0, 2.0], mu=[1.0]), ("zip", "'sigma_p': 2", "'mu': 1", "equal length")),
        (lambda: snl.zip(), ("zip", "one or more fields")),
        (lambda: snl.zip(sigma_p=0.5), ("sigma_p", "float", "list")),
        (lambda: Grid(NAME, snl.zip(seed=[0, 1], mu=[1, 2])), ("seed", "an axis of its own")),
        (lambda: Grid(NAME, snl.zip(sigma_p=[0.1], mu=[1]), mu=2), ("mu", "twice")),
        (lambda: Grid(NAME, snl.zip(sigma_p=[0.1], mu=[1]), mu=[2, 3]), ("mu", "twice")),
        (lambda: Grid(NAME, mu=snl.zip(sigma_p=[0.1])), ("mu", "another name")),
        (lambda: Grid(NAME, step=snl.zip(sigma_p=[0.1])), ("step", "another name")),
        (lambda: Grid(NAME, {"sigma_p": [0.1, 0.2]}), ("dict", "zip")),
        (lambda: Grid(NAME, [0.1, 0.2]), ("list", "zip")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(build, named, one_line):
    one_line(build, *named)


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ([("rate", float, snl.field(1.0))], ("steps",)),
        ([("steps", int, snl.field(1, static=True))], ("steps",)),
        ([("steps", int, snl.field(1)), ("seed", int, snl.field(0))], ("'seed'",)),
        ([("steps", int, snl.field(1)), ("step", int, snl.field(0))], ("'step'",)),
        ([("steps", int, snl.field(1)), ("kind", str, snl.field("a"))], ("kind", "static")),
        ([("steps", int, snl.field(1)), ("size", tuple, snl.field((), static=True))], ("size", "int, float, bool")),
    ],
)  # fmt: skip
def test_a_malformed_experiment_is_refused(declared, named, powers):
    config = jax.tree_util.register_dataclass(dataclasses.make_dataclass("Made", declared, frozen=True))
    with pytest.raises(ValueError, match="powers: ") as refused:
        Grid(powers._replace(Config=config))
    assert "\n" not in str(refused.value)
    assert all(n in str(refused.value) for n in named)


def test_a_check_of_ones_own_sees_every_bucket(powers, one_line):
    def check(config):
        if config.width == 5:
            raise ValueError("width: 5 is unlucky; allowed: any other")

    checked = powers._replace(check=check)
    assert Grid(checked, width=[3, 4]).cells == 2
    one_line(lambda: Grid(checked, width=[3, 5]), "width", "5")


HEADER = 'experiment = "topk_pruning"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("experiment = \n", ("not valid TOML", "line 1")),
        ("", ("no experiment", "topk_pruning")),
        ('experiment = "topk"\n', ("'topk'", "did you mean 'topk_pruning'?")),
        ("experiment = 3\n", ("experiment", "3")),
        (HEADER + "setings = 1\n", ("'setings'", "did you mean 'settings'?")),
        (HEADER + "axes = 1\n", ("axes", "a table")),
        (HEADER + "zip = [1]\n", ("zip", "a table")),
        (HEADER + 'reading = "fited"\n', ("'fited'", "did you mean 'fitted'?")),
        (HEADER + "[settings]\nsigmap = 0.1\n", ("'sigmap'", "did you mean 'sigma_p'?")),
        (HEADER + "[axes]\nsigmap = [0.1]\n", ("'sigmap'", "did you mean 'sigma_p'?")),
        (HEADER + "[settings]\nsigma_p = 'x'\n", ("sigma_p", "'x'", "a number")),
        (HEADER + '[settings]\nreading = "printed"\n', ("reading",)),
        (HEADER + '[settings]\nexperiment = "printed"\n', ("experiment",)),
        (HEADER + "[settings]\nself = 1\n", ("self",)),
        (HEADER + "[axes]\nreading = ['fitted']\n", ("reading",)),
        (HEADER + "[settings]\nmu = 1\n[axes]\nmu = [1, 2]\n", ("mu", "[settings]", "[axes]")),
        (HEADER + "[axes]\nsigma_p = 0.1\n", ("sigma_p", "0.1", "{start, stop, num}")),
        (HEADER + "[axes]\nsigma_p = []\n", ("sigma_p", "empty")),
        (HEADER + "[axes]\nsigma_p = {start = 1, stop = 2}\n", ("sigma_p", "start, stop, num")),
        (HEADER + "[axes]\nmu = {start = 1, stop = 2, num = 2, step = 1}\n", ("mu", "step", "start, stop, num")),
        (HEADER + "[axes]\nsigma_p = {start = 'a', stop = 2, num = 2}\n", ("sigma_p", "start", "'a'", "number")),
        (HEADER + "[axes]\nsigma_p = {start = 1, stop = 2, num = 0}\n", ("sigma_p", "num", "0")),
        (HEADER + "[axes]\nsigma_p = {start = 1, stop = 2, num = 1.5}\n", ("sigma_p", "num", "1.5")),
        (HEADER + "[axes]\nsigma_p = {start = 0, stop = 2, num = 2, log = true}\n", ("sigma_p", "log", "above 0")),
        (HEADER + "[axes]\nsigma_p = {start = 1, stop = inf, num = 3}\n", ("sigma_p", "inf")),
        (HEADER + "[axes]\nK = {start = nan, stop = 3, num = 3}\n", ("K", "nan")),
        (HEADER + "[axes]\nK = {start = 1, stop = 3, num = 9}\n", ("K", "repeated")),
        (HEADER + "[[zip]]\nsigma_p = [1.0, 2.0]\nmu = [1.0]\n", ("'sigma_p': 2", "'mu': 1")),
        (HEADER + "[[zip]]\n", ("zip", "one or more fields")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_toml_is_refused_in_one_line_with_the_file(text, named, write):
    path = write(text)
    with pytest.raises(ValueError, match=r"grid\.toml") as refused:
        Grid.from_toml(path)
    message = str(refused.value)
    assert "\n" not in message
    missing = [n for n in named if n not in message.replace(str(path), "")]
    assert not missing, f"{missing} not in {message!r}"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.toml: cannot be read"):
        Grid.from_toml(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match="cannot be read"):
        Grid.from_toml(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'experiment = "\xff"')
    with pytest.raises(ValueError, match=r"latin\.toml: cannot be read"):
        Grid.from_toml(tmp_path / "latin.toml")


# --- every experiment -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_experiment_keeps_the_contract(name):
    """Readings are Configs that their own Grid accepts; the first is the default; every field says what it is."""
    experiment = experiments.get(name)
    assert experiment.name == name
    info = fields_of(experiment.Config)
    for reading, config in readings_of(experiment).items():
        assert Grid(name, reading=reading).config == config
    for field in info.values():
        assert field.help, field.name
        assert field.range or field.choices or field.type in (bool, str), field.name
    assert isinstance(experiment.readings, (dict, types.MappingProxyType))
    leaves = [f.name for f in info.values() if not f.static]
    assert len(jax.tree.leaves(experiment.Config())) == len(leaves)  # what is not static is traced
