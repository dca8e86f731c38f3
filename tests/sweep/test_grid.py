"""Grids: what they hold, how they are split, their TOML form, and what they refuse."""

from __future__ import annotations

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
from harness import POWERS, PowersConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snljax as snl
from snljax import Grid, experiments
from snljax.experiment import fields_of, readings_of
from snljax.experiments.topk_pruning import Config
from snljax.sweep.grid_html import to_html

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


def test_arrays_of_no_dimension_are_numbers():
    grid = Grid(NAME, snl.zip(mu=[np.array(2), jnp.float32(3)]), seed=np.array(3), K=jnp.int32(5))
    assert (grid.seeds, grid.config.K, grid.axes[0].coordinate) == ((3,), 5, (2.0, 3.0))
    assert type(grid.seeds[0]) is type(grid.config.K) is int
    assert Grid(NAME, seed=[np.array(4), 5], reading=np.str_("printed")).seeds == (4, 5)


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
        (lambda: Grid(NAME, reading=["printed"]), ("reading", "['printed']", "printed")),
        (lambda: Grid(NAME, reading=np.ones((9, 9))), ("reading", "array", "printed")),
        (lambda: Grid(NAME, reading=snl.zip(mu=[1])), ("reading", "Together", "printed")),
        (lambda: Grid(np.ones((9, 9))), ("experiment", "ndarray", "a name or an Experiment")),
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
        (lambda: Grid(NAME, sigma_p=10**400), ("sigma_p", "1000", "too large")),
        (lambda: Grid(NAME, steps=2**31), ("steps", "2147483648", "2147483647")),
        (lambda: Grid(NAME, steps=10**5000), ("steps", "many digits", "2147483647")),
        # what the engine sees: float32
        (lambda: Grid(NAME, mu=1e-60), ("mu", "1e-60", "float32, where it is 0.0", "(0, inf)")),
        (lambda: Grid(NAME, mu=[1.0, 1e-40]), ("mu", "1e-40", "float32, where it is 0.0", "(0, inf)")),  # subnormal
        (lambda: Grid(NAME, sigma_p=[0.0, -0.0]), ("sigma_p", "-0.0", "repeated")),
        (lambda: Grid(NAME, sigma_p=[0.0, 1e-60]), ("sigma_p", "1e-60", "repeated", "float32, where it is 0.0")),
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
        (lambda: Grid(NAME, snl.zip(steps=[10, 20])), ("steps", "an axis of its own")),
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
        (lambda: Grid(NAME, {"sigma_p": [0.1, 0.2]}), ("dict", "together")),
        (lambda: Grid(NAME, [0.1, 0.2]), ("list", "together")),
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
        ([("steps", int, snl.field(1)), ("reading", float, snl.field(0.0))], ("'reading'", "Grid", "another name")),
        ([("steps", int, snl.field(1)), ("experiment", float, snl.field(0.0))], ("'experiment'", "Grid")),
        ([("steps", int, snl.field(1)), ("self", float, snl.field(0.0))], ("'self'", "Grid")),
        ([("steps", int, snl.field(1)), ("rate", float, snl.field("a"))], ("default", "rate", "'a'", "a number")),
        ([("steps", int, snl.field(1, range="[0, most]"))], ("steps", "[0, most]")),
        ([("steps", int, snl.field(1)), ("k", str, snl.field("a", static=True, range="[0, 1]"))], ("k", "[0, 1]")),
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


REGISTER = "@jax.tree_util.register_dataclass above @dataclasses.dataclass(frozen=True)"
DECLARED = [("rate", float, snl.field(1.0)), ("steps", int, snl.field(1)), ("width", int, snl.field(3, static=True))]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda make: make(frozen=True), ("not registered",)),
        (lambda make: jax.tree_util.register_dataclass(make()), ("not frozen",)),
        (
            lambda make: jax.tree_util.register_dataclass(make(frozen=True), ["rate", "steps", "width"], []),
            ("rate, steps, width", "and rate, steps are"),
        ),
        (
            lambda make: jax.tree_util.register_dataclass(make(frozen=True), ["steps"], ["rate", "width"]),
            ("fields steps,", "and rate, steps are"),
        ),
        (
            lambda make: jax.tree_util.register_dataclass(make(frozen=True), ["steps", "rate"], ["width"]),
            ("fields steps, rate,", "and rate, steps are"),
        ),
        (lambda make: lambda: None, ("not a dataclass",)),
        (lambda make: make(frozen=True)(), ("not a dataclass",)),
    ],
    ids=["unregistered", "not frozen", "static traced", "traced static", "order", "function", "instance"],
)
def test_a_config_that_jax_does_not_see_as_it_says_is_refused(make, named, powers, one_line):
    config = make(lambda **how: dataclasses.make_dataclass("Made", DECLARED, **how))
    one_line(lambda: Grid(powers._replace(Config=config)), "powers: ", REGISTER, *named)


def test_readings_are_configs(powers, one_line):
    Nameless = dataclasses.make_dataclass("Nameless", [("rate", float), ("steps", int)], frozen=True)
    nameless = powers._replace(Config=jax.tree_util.register_dataclass(Nameless))
    one_line(lambda: Grid(nameless), "powers", "'rate'", "a default")
    assert Grid(nameless._replace(readings={"one": Nameless(0.5, 2)})).config.rate == 0.5
    one_line(lambda: Grid(powers._replace(readings={"one": 5})), "powers", "'one'", "5", "PowersConfig")


def test_none_at_the_end_of_a_range_is_no_end(powers):
    fields = [
        ("steps", int, snl.field(1, range="[0, most]")),
        ("most", int | None, snl.field(None, static=True, range="[1, inf)")),
    ]
    capped = powers._replace(
        Config=jax.tree_util.register_dataclass(dataclasses.make_dataclass("Made", fields, frozen=True))
    )
    assert Grid(capped, steps=10**6).config.steps == 10**6
    with pytest.raises(ValueError, match="steps: 6 is out of range"):
        Grid(capped, steps=6, most=[None, 5])


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
        (HEADER + 'reading = ["x"]\n', ("reading", "['x']", "fitted")),
        (HEADER + "reading = 1979-05-27\n", ("reading", "1979", "fitted")),
        ('experiment = ["topk_pruning"]\n', ("experiment", "['topk_pruning']")),
        ("experiment = {}\n", ("experiment", "{}")),
        (HEADER + f"[settings]\nmu = {'9' * 5000}\n", ("not valid TOML", "digits")),
        (HEADER + f"[settings]\nmu = 0x{'f' * 5000}\n", ("mu", "too large")),
        (HEADER + f"[settings]\nmu = {'9' * 400}\n", ("mu", "too large")),
        (HEADER + f"[settings]\nmu = {'[' * 9999}\n", ("not valid TOML",)),
        (HEADER + '[axes]\n"a\\nb" = 1\n', ("a b", "1 in [axes]")),
        (HEADER + "[axes]\nsigma_p = {start = 1, stop = 2, num = 1000000000000}\n", ("sigma_p", "num", "1000000")),
        (HEADER + "[axes]\nseed = {start = 0, stop = 1, num = 1000000000000}\n", ("seed", "num", "1000000")),
        (HEADER + f"[axes]\nmu = {{start = 1{'0' * 400}, stop = 2, num = 2}}\n", ("mu", "start", "finite")),
        (HEADER + "[axes]\nmu = {start = -1.7e308, stop = 1.7e308, num = 3}\n", ("mu", "too far apart")),
        (HEADER + "[axes]\nK = {start = -1.7e308, stop = 1.7e308, num = 3}\n", ("K", "too far apart")),
        (HEADER + "[axes]\nseed = {start = 0, stop = 2147483648, num = 2}\n", ("seed", "2147483648")),
        (HEADER + "[axes]\nseed = {start = -1, stop = 1, num = 3}\n", ("seed", "-1")),
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


TOML_KEYS = st.sampled_from(
    ["sigma_p", "K", "d", "mu", "steps", "seed", "descent", "first_prune", "reading", "experiment", "self", "protocol",
     "start", "stop", "num", "log", "status", "a\nb", ""]
)  # fmt: skip
TOML_VALUES = st.recursive(
    st.booleans()
    | st.sampled_from(
        [0, 1, 3, -1, 2**31, 10**13, 10**400, 0.0, 0.5, 1e-60, 1e300, 1.7e308, float("inf"), float("nan")]
    )
    | st.sampled_from(["", "none", "dense", "printed", NAME, "a\nb", "\u2028"])
    | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TOML_KEYS, inner, max_size=3),
    max_leaves=5,
)
TOML_TABLES = st.dictionaries(
    TOML_KEYS,
    TOML_VALUES | st.fixed_dictionaries({"start": TOML_VALUES, "stop": TOML_VALUES, "num": TOML_VALUES | st.just(2)}),
    max_size=2,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.fixed_dictionaries(
        {"experiment": st.just(NAME) | TOML_VALUES},
        optional={
            "reading": TOML_VALUES,
            "settings": TOML_TABLES | TOML_VALUES,
            "axes": TOML_TABLES | TOML_VALUES,
            "zip": st.lists(TOML_TABLES, max_size=2) | TOML_VALUES,
        },
    )
)
def test_any_toml_is_a_grid_or_one_line(content, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    try:
        grid = Grid.from_toml(path)
    except ValueError as refused:
        message = str(refused)
        assert message.startswith(f"{path}: ")
        assert len(message.splitlines()) == 1
    else:
        grid.to_toml(path)
        assert_same_grid(Grid.from_toml(path), grid)


# --- what the engine sees ---------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ends:
    """Traced and static numbers between open and closed ends."""

    inner: float = snl.field(0.5, range="(0, 1)")
    closed: float = snl.field(0.05, range="[0, 0.1]")
    below: float = snl.field(0.5, range="(0, top)")
    top: float = snl.field(1.0)
    still: float = snl.field(0.5, static=True, range="(0, 1)")
    steps: int = snl.field(1)


@pytest.fixture
def ends(powers):
    return powers._replace(name="ends", Config=Ends)


BESIDE_ONE, BESIDE_ZERO = 1 - 1e-12, 1e-60


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"inner": BESIDE_ONE}, ("inner", "0.999999999999", "where it is 1.0", "(0, 1)")),
        ({"inner": [0.5, BESIDE_ZERO]}, ("inner", "1e-60", "where it is 0.0", "(0, 1)")),
        ({"below": 0.3, "top": 0.3 + 1e-12}, ("below", "0.3", "(0, top)", "top = 0.3")),
        ({"below": [0.1, 0.3], "top": [0.9, 0.3 + 1e-12]}, ("below", "0.3", "top = 0.3")),
        ({"closed": 0.1 + 1e-6}, ("closed", "0.100001", "[0, 0.1]")),
        ({"top": [1e300, 2.0]}, ("top", "1e+300", "too large", "float32")),
        ({"top": [1.0, 1.0 + 1e-12]}, ("top", "1.000000000001", "repeated", "float32, where it is 1.0")),
    ],
)
def test_traced_numbers_are_checked_as_the_engine_sees_them(settings, named, ends, one_line):
    """Refused in float32; in float64 all but what is outside there too."""
    one_line(lambda: Grid(ends, **settings), *named)
    with jax.enable_x64(True):
        if "closed" in settings:
            one_line(lambda: Grid(ends, **settings), "closed")
        else:
            assert Grid(ends, **settings).checked_dtype == "float64"


def test_a_closed_end_is_inside_and_static_numbers_stay_what_they_are(ends):
    for x64 in (False, True):
        with jax.enable_x64(x64):
            assert Grid(ends, closed=[0.0, 0.1]).config.closed == 0.05
            values = (BESIDE_ZERO, 0.5, 0.5 + 1e-12, BESIDE_ONE)
            assert Grid(ends, still=values).axes[0].coordinate == values


def test_a_grid_made_in_float64_is_checked_again_in_float32(ends, one_line):
    with jax.enable_x64(True):
        good, bad = Grid(ends, top=[1.0, 2.0]), Grid(ends, top=[1.0, 1.0 + 1e-12])
    assert good.checked_dtype == bad.checked_dtype == "float64"
    good.check_values()
    assert good.checked_dtype == "float32"
    one_line(bad.check_values, "top", "repeated", "float32")
    assert bad.checked_dtype == "float64"


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


@pytest.mark.parametrize("value", ["two", ["4"]])
def test_text_for_a_choice_of_numbers_is_refused_in_one_line(value, one_line):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Config(PowersConfig):
        width: int = snl.field(4, static=True, choices=(2, 4, 8))

    own = POWERS._replace(Config=Config)
    message = one_line(lambda: Grid(own, width=value), "width", "2, 4, 8")
    assert ("did you mean 4?" in message) == (value == ["4"])


def test_a_metric_that_is_not_described_as_one_is_refused(one_line):
    one_line(lambda: Grid(POWERS._replace(metrics={"mean": "the mean"})), "metrics", "mean", "snl.metric")


def test_a_notebook_shows_axes_settings_and_what_it_costs():
    rate = np.linspace(0, 1, 30)
    grid = Grid(POWERS, rate=rate, width=[2, 3], label="a<b", seed=range(3), steps=[5, 10])
    html = to_html(grid)
    for shown in ("<b>powers</b>", "<td>rate</td>", "<td>30</td>", "0, 0.0344828, …, 1", "compiled apart", "a&lt;b"):
        assert shown in html
    assert "180 networks × 10 steps = 1.8e+03 network-steps; 2 programs to compile" in html
    assert "a<b" not in html
    assert "1 network × 4 steps = 4 network-steps; 1 program to compile" in to_html(Grid(POWERS))
