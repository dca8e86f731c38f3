"""The toy system of the model test: every number in closed form, and code that changes in every way that code can.

Workers of process pools import this module, so it needs neither pytest nor hypothesis.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import snljax as snl

SPREAD, STEPS = 0.5, 3
RATES = (0.51, 0.62, 0.73, 0.84, 1.15, 1.26)
FACTORS = (1.0, 3.0, 5.0)  # of the code: far apart, so that no rounding hides which code trained a cell
DATA = (1.0, 7.0, 11.0)
SEEDS = 12
WIDTHS = (2, 3)
TOLERANCE = 1e-5  # float32 rounding over three updates is a tenth of that, other settings are hundreds of times it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """x after t updates is (rate · data)^t · start · (1 + spread · normals), and each function has a factor."""

    rate: float = snl.field(0.5, range="[0, inf)")
    start: float = snl.field(1.5)
    spread: float = snl.field(0.0)
    steps: int = snl.field(STEPS, range="[0, inf)")
    width: int = snl.field(2, static=True, range="[1, inf)")
    source: str = snl.field("", static=True)


class Draw(NamedTuple):
    normals: Any
    ticket: Any


class Plain(NamedTuple):
    mean: Any
    top: Any
    values: Any
    ticket: Any


class Swapped(NamedTuple):
    """The names of the first two changed places: a user has seen that they were the wrong way round."""

    top: Any
    mean: Any
    values: Any
    ticket: Any


class Renamed(NamedTuple):
    mean: Any
    peak: Any
    values: Any
    ticket: Any


METRICS = {"plain": Plain, "swapped": Swapped, "renamed": Renamed}


class Code(NamedTuple):
    """A state of the program: the factor in each of its functions, its data, the names of its metrics."""

    draw: float = 1.0
    init: float = 1.0
    step: float = 1.0
    measure: float = 1.0
    data: float = 1.0
    names: str = "plain"


class Cell(NamedTuple):
    rate: float
    start: float
    width: int
    seed: int


def _draw(config, key, *data, k=1.0):
    return Draw(k * jax.random.normal(key, (config.width,)), jax.random.randint(key, (), 0, 1 << 20))


def _init(config, draw, *data, k=1.0):
    return k * config.start * (1 + config.spread * draw.normals)


def _step(config, draw, x, t, *data, k=1.0):
    for array in data:
        x = array[0] * x
    return k * config.rate * x


def _measure(config, draw, x, *data, k=1.0, names="plain"):
    x = x + (k - 1)
    return METRICS[names](jnp.mean(x), -3 * jnp.max(jnp.abs(x)), x, draw.ticket)


BASE = {"draw": _draw, "init": _init, "step": _step, "measure": _measure}


# --- what must come out -----------------------------------------------------------------------------


@functools.cache
def _drawn(seed: int, width: int) -> tuple[np.ndarray, int]:
    key = jax.random.fold_in(jax.random.key(0), seed)
    normals = jax.random.normal(key, (width,))
    return np.asarray(normals, np.float64), int(jax.random.randint(key, (), 0, 1 << 20))


@functools.cache
def expected(cell: Cell, code: Code, t: int) -> tuple[dict[str, Any], float]:
    """Metric -> its number after t updates, in float64; and the size against which rounding is judged."""
    normals, ticket = _drawn(cell.seed, cell.width)
    x = code.init * cell.start * (1 + SPREAD * code.draw * normals)
    x = x * (cell.rate * code.step * code.data) ** t + (code.measure - 1)
    numbers = METRICS[code.names](x.mean(), -3 * np.abs(x).max(), x, ticket)._asdict()
    return numbers, float(np.abs(x).max()) + code.measure - 1


def all_codes() -> list[Code]:
    """Every state of the program that the machine can make."""
    stages = [Code(**{stage: f}) for stage in BASE for f in FACTORS]
    return list(dict.fromkeys([*stages, *(Code(data=d) for d in DATA)]))


def start_of(rate: float) -> float:
    """In a zip each rate has a start of its own."""
    return 1.0 + 2 * rate


def all_cells() -> list[Cell]:
    return [
        Cell(rate, start, width, seed)
        for rate, width, seed in itertools.product(RATES, WIDTHS, range(SEEDS))
        for start in (1.5, start_of(rate))
    ]


# --- code that is changed by being replaced, and code that changes in place --------------------------


def _with(base: Callable[..., Any], k: float, names: str = "plain") -> Callable[..., Any]:
    """A function of other code; as it was, it is the one of this module, which travels by name."""
    constants = {} if base is not _measure else {"names": names}
    return base if (k, names) == (1.0, "plain") else lambda *arguments: base(*arguments, k=k, **constants)


@functools.cache
def fixed(code: Code) -> snl.Experiment:
    """An experiment that never changes: other code is another function."""
    return snl.Experiment(
        "model",
        Config,
        _with(_draw, k=code.draw),
        _with(_init, k=code.init),
        _with(_step, k=code.step),
        _with(_measure, k=code.measure, names=code.names),
        dims={"values": ("coordinate",)},
    )


class _Object:
    """A step that is an object."""

    def __init__(self, base, k):
        self.base, self.k = base, k

    def __call__(self, *arguments):
        return self.base(*arguments, k=self.k)


def _notebook(source: str, base: Callable[..., Any]) -> dict[str, Any]:
    """What a notebook holds after a cell: a namespace of its own, which no other process can import."""
    space = {"__name__": "a_notebook", "base": base}
    exec(source, space)
    return space


def changing(kind: str, base: Callable[..., Any], k: float) -> tuple[Callable[..., Any], Callable[[float], None]]:
    """A function with a factor, and what changes the factor without making another function."""
    if kind in ("global", "helper", "class"):
        text = {
            "global": ("k = {}", "k"),
            "helper": ("def helper(): return {}", "helper()"),
            "class": ("class Settings: k = {}", "Settings.k"),
        }[kind]
        space = _notebook(f"{text[0].format(k)}\ndef function(*a): return base(*a, k={text[1]})", base)
        return space["function"], lambda new: exec(text[0].format(new), space)
    if kind == "code":  # what IPython's autoreload does
        source = "def function(*a): return base(*a, k={})"
        function = _notebook(source.format(k), base)["function"]

        def reload(new):
            function.__code__ = _notebook(source.format(new), base)["function"].__code__

        return function, reload
    if kind == "closure":

        def change(new):
            nonlocal k
            k = new

        return lambda *a: base(*a, k=k), change
    if kind == "list":
        held = [k]
        return lambda *a: base(*a, k=held[0]), lambda new: held.__setitem__(0, new)
    if kind == "module":
        module: Any = types.ModuleType("a_notebook_settings")
        module.k = k
        return lambda *a: base(*a, k=module.k), lambda new: setattr(module, "k", new)
    if kind == "object":
        thing = _Object(base, k)
        return thing, lambda new: setattr(thing, "k", new)
    if kind == "partial":
        partial = functools.partial(base, k=k)
        return partial, lambda new: partial.keywords.__setitem__("k", new)
    assert kind == "defaults"

    def with_default(*a, k=k):
        return base(*a, k=k)

    return with_default, lambda new: setattr(with_default, "__kwdefaults__", {"k": new})


KINDS = ("global", "helper", "class", "code", "closure", "list", "module", "object", "partial", "defaults")


class Notebook:
    """An experiment whose functions stay the same objects while what they do changes."""

    def __init__(self, kind: str, stage: str) -> None:
        self.stage, self.code = stage, Code()
        function, self._change = changing(kind, BASE[stage], 1.0)
        self.experiment = fixed(Code())._replace(**{stage: function})

    def change(self, factor: float) -> None:
        self._change(factor)
        self.code = Code(**{self.stage: factor})


def read_named(config):
    """Data that a worker reads by importing this function."""
    return np.load(config.source)


class DataFile:
    """An experiment whose data lie in a file."""

    def __init__(self, path: str, by_name: bool) -> None:
        self.source, self.code = path, Code()
        data = read_named if by_name else lambda config: np.load(config.source)
        self.experiment = fixed(Code())._replace(data=data)
        self.change(1.0)

    def change(self, number: float) -> None:
        np.save(self.source, np.full(3, number, np.float32))
        self.code = Code(data=number)
