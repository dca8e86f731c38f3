"""A file of a user, with a helper beside it: what tests of own experiments run."""

from __future__ import annotations

import contextlib
import os
import pathlib
import textwrap
from collections.abc import Iterator

import jax
import pytest

from snljax.sweep import program

OWN = '''
r"""Two systems of my own.

.. math:: x_t = r^t\\,x_0
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Optional

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snljax as snl
from my_tools import grown, halves

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
y = (X[:, 0] > 0).astype(int)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(3)(x)))


mlp = snl.supervised(
    Net(),
    (*halves(X, y),),
    optimizer=lambda c: optax.sgd(c.learning_rate, c.momentum),
    fields={"batch_size": 5, "momentum": 0.5, "steps": 6},
    metrics=("train_loss", "test_loss"),
)


def other():
    return mlp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """x grows by its rate."""

    rate: float = snl.field(0.5, range="[0, inf)", help="what x is multiplied by")
    store: float = snl.field(1.0, help="what x begins with; named as an option of the command is")
    steps: int = snl.field(4, range="[0, inf)")
    width: Optional[int] = snl.field(3, static=True, range="[1, inf)")


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    x: jax.Array
    unit: str = dataclasses.field(default="m", metadata={"static": True})


class Metrics(NamedTuple):
    mean: jax.Array
    above_one: jax.Array


powers = snl.Experiment(
    "powers/of mine",
    Config,
    draw=lambda config, key: jax.random.normal(key, (config.width,)),
    init=lambda config, draw: State(config.store * (1 + 0.0 * draw), "km"),
    step=lambda config, draw, state, t: State(grown(state.x, config.rate), state.unit),
    measure=lambda config, draw, state: Metrics(
        jnp.mean(state.x), jnp.sum(snl.masks.topk(state.x, config.width) & (state.x > 1))
    ),
    readings={"slow": Config(), "fast": Config(rate=2.0)},
    metrics={"mean": snl.metric(help="mean of x", symbol="$x$")},
)
'''

HELPER = """
def halves(X, y):
    return X[:20], y[:20], X[20:], y[20:]


def grown(x, rate):
    return rate * x
"""


def write(folder: pathlib.Path, file: str = "own.py", helper: str = "my_tools") -> pathlib.Path:
    """The file and its helper, under these names; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{helper}.py").write_text(HELPER)
    (folder / file).write_text(textwrap.dedent(OWN).replace("my_tools", helper))
    return folder / file


@contextlib.contextmanager
def compiled_quickly() -> Iterator[None]:
    """Few optimisations of XLA for a while, in this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        program.forget()
        yield
    jax.config.update("jax_disable_most_optimizations", False)
    program.forget()  # other tests compare the last bits with those of other processes
