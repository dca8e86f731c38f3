"""What a user's own file looks like: `mypy --strict` has nothing to say about it, and it runs.

`tests/test_typing.py` checks both.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import optax  # type: ignore[import-untyped]
import xarray as xr

import snljax as snl


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    """A ridge regression by gradient descent on noisy samples of a line."""

    sigma_p: float = snl.field(0.5, symbol=r"$\sigma_p$", help="noise of a target", range="[0, inf)")
    penalty_weight: float = snl.field(0.0, help="weight of the squared norm", range="[0, inf)")
    learning_rate: float = snl.field(0.1, range="(0, inf)")
    steps: int = snl.field(20, range="[0, inf)")
    n: int = snl.field(8, static=True, range="[1, inf)")
    d: int = snl.field(4, static=True, range="[1, inf)")


class Draw(NamedTuple):
    inputs: jax.Array
    normals: jax.Array


class Metrics(NamedTuple):
    train_loss: jax.Array
    distance: jax.Array


def draw(config: Config, key: jax.Array) -> Draw:
    inputs, normals = jax.random.split(key)
    return Draw(jax.random.normal(inputs, (config.n, config.d)), jax.random.normal(normals, (config.n,)))


def init(config: Config, draw: Draw) -> jax.Array:
    return jnp.zeros(config.d)


def loss(config: Config, draw: Draw, w: jax.Array) -> jax.Array:
    residuals = draw.inputs @ (w - 1) - config.sigma_p * draw.normals
    return jnp.mean(residuals**2) + config.penalty_weight * jnp.sum(w**2)


def step(config: Config, draw: Draw, w: jax.Array, t: jax.Array) -> jax.Array:
    gradient: jax.Array = jax.grad(loss, argnums=2)(config, draw, w)
    return w - config.learning_rate * gradient


def measure(config: Config, draw: Draw, w: jax.Array) -> Metrics:
    return Metrics(loss(config, draw, w), jnp.linalg.norm(w - 1))


def check(config: Config) -> None:
    if config.d > 1000:
        raise ValueError(f"d: {config.d}; allowed: up to 1000")


ridge = snl.Experiment(
    name="ridge",
    Config=Config,
    draw=draw,
    init=init,
    step=step,
    measure=measure,
    check=check,
    readings={"plain": Config(), "long": Config(steps=50)},
    metrics={"distance": snl.metric(help="distance from the line", symbol=r"$\|w - 1\|$")},
)


def own_system(folder: pathlib.Path) -> xr.Dataset:
    """A grid in a store, its boundary, pictures, and the weights of one cell."""
    grid = snl.Grid(ridge, sigma_p=np.linspace(0.1, 2.0, 5), penalty_weight=[0.0, 0.1, 0.5], seed=range(3))
    ds = snl.sweep(grid, store=folder / "ridge", progress=False)
    assert bool((snl.open_store(folder / "ridge").status == 1).all())
    level = float(ds.distance.mean())
    edge: xr.DataArray = snl.boundary.edge(ds.distance, "sigma_p", level, "upper")
    found: xr.Dataset = snl.boundary.extract(ds.distance, "sigma_p", level, over="seed")
    lines: list[snl.boundary.Line] = snl.boundary.contours(ds.distance.mean("seed"), "sigma_p", "penalty_weight", level)
    widths = {name: values.sizes for name, values in found.items()}
    print(edge.dims, len(lines), widths)

    ax = snl.plotting.heatmap(ds.distance.mean("seed"), x="sigma_p", y="penalty_weight", threshold=level)
    ax.set_title("distance")
    snl.plotting.curves(ds.distance, x="sigma_p", hue="penalty_weight")
    with snl.plotting.style():
        fig, axes = snl.plotting.panels(1, 2)
        snl.plotting.points(ds.train_loss.isel(penalty_weight=0), x="sigma_p", ax=axes[0, 0])
        fig.savefig(folder / "ridge.png")
    plt.close("all")

    network: snl.TrainedNetwork = snl.train_one(grid, sigma_p=2.0, penalty_weight=0.1, seed=1)
    network.save(folder / "network.msgpack")
    again = snl.load_network(folder / "network.msgpack", ridge)
    networks = snl.replay(folder / "ridge", experiment=ridge, sigma_p=[0.1, 2.0], penalty_weight=0.1, seed=1)
    print(again.seed, [float(one.metrics["distance"]) for one in networks])
    return ds


def statistics(ds: xr.Dataset) -> None:
    """Intervals over seeds, and a paired comparison."""
    interval: xr.Dataset = snl.stats.interval(ds.distance)
    paired: xr.Dataset = snl.compare(ds, along="penalty_weight", a=0.0, b=0.5, metric="distance")
    shift: snl.stats.Interval = snl.stats.t_interval(np.array([0.1, 0.2, 0.3]))
    print(interval.low.dims, list(paired), shift.low)


def traced(folder: pathlib.Path) -> None:
    """The boundary without the whole grid."""
    grid = snl.Grid(
        ridge, sigma_p=np.linspace(0.1, 2, 9), penalty_weight=np.linspace(0, 1, 9), seed=range(2), reading="long"
    )
    ds = snl.trace(grid, "distance", 0.5, store=folder / "edge", progress=False)
    snl.plotting.phase_map(ds)
    plt.close("all")


class MLP(nn.Module):
    """Two layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(2)(nn.relu(nn.Dense(8)(x)))


def own_network() -> None:
    """A flax network on arrays of one's own."""
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int32)

    def optimizer(config: object) -> optax.GradientTransformation:
        return optax.adamw(0.01)

    experiment = snl.supervised(MLP(), (X[:40], y[:40], X[40:], y[40:]), optimizer=optimizer, fields={"batch_size": 20})
    print(snl.describe(experiment))
    rows = snl.together(noise_std=[0.0, 0.5], label_noise=[0.0, 0.1])
    shown: list[str] = []

    def on_block(ds: xr.Dataset) -> None:
        shown.append(str(ds.sizes))

    grid = snl.Grid(experiment, rows, seed=range(2), epochs=1)
    try:
        ds = snl.sweep(grid, record_every=1, on_block=on_block, keep="state", progress=False)
    except (snl.SweepError, snl.Interrupted) as stopped:
        ds = stopped.dataset
    print(len(shown), ds.sizes)


def theory() -> None:
    """Conditions of a paper, and scores of samples."""
    scores = snl.influence_scores(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]))
    print(snl.papers.PAPERS["000"].title, snl.masks.topk(jnp.arange(6.0).reshape(2, 3), 1), scores)


def main(folder: pathlib.Path) -> None:
    statistics(own_system(folder))
    traced(folder)
    own_network()
    theory()


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        main(pathlib.Path(name))
