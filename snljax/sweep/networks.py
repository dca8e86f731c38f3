"""Trained networks themselves: chosen cells of a grid or a store, trained again to the bit, and kept in files."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.serialization
import jax
import numpy as np
import xarray as xr

from snljax import experiments
from snljax.experiment import Experiment
from snljax.provenance import versions
from snljax.sweep import arguments, files
from snljax.sweep import devices as local_devices
from snljax.sweep.chosen import Cell, cells_of
from snljax.sweep.dataset import open_part
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.keeper import Plain
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.pace import Pace
from snljax.sweep.prepare import Needs, prepare
from snljax.sweep.stop import STOPPED
from snljax.sweep.store import Store
from snljax.sweep.train import Trainer
from snljax.sweep.verify import known_experiment, plan_of, refuse_another_program, trainer_of
from snljax.sweep.work import Finished, Job, Plan, Work, in_memory, whole
from snljax.wording import plain


class TrainedNetwork(NamedTuple):
    """One network of a sweep.

    config: of the experiment, its fields as plain numbers. seed, step: after so many updates. draw, state: what the
    experiment's ``draw`` returned, and what its ``step`` did last; ``state`` holds the weights. metrics: what its
    ``measure`` says of them, arrays of NumPy.
    """

    experiment: Experiment
    config: Any
    seed: int
    step: int
    draw: Any
    state: Any
    metrics: dict[str, np.ndarray]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, draw, metrics and settings to one file, in flax's msgpack form; `load_network` reads it.

        Args:
            path: the file, replaced if it is there.

        Raises:
            ValueError: it cannot be written.
        """
        about = {
            "experiment": self.experiment.name,
            "settings": {f.name: plain(getattr(self.config, f.name)) for f in dataclasses.fields(self.config)},
            "seed": self.seed,
            "step": self.step,
            "versions": versions(),
            "keys": {"draw": _keys(self.draw), "state": _keys(self.state)},
        }
        content = {
            "snljax": json.dumps(about),
            "draw": _leaves(self.draw),
            "state": _leaves(self.state),
            "metrics": dict(self.metrics),
        }
        try:
            files.replace(pathlib.Path(path), flax.serialization.msgpack_serialize(content), durable=True)
        except OSError as error:
            raise ValueError(
                f"path: {path} cannot be written ({error.strerror or error}); allowed: a file in a folder that exists"
            ) from None


def train_one(
    grid: Grid,
    *,
    step: int | None = None,
    block: tuple[int, int] | None = None,
    precision: str = "highest",
    memory: str | int | None = None,
    **cell: Any,
) -> TrainedNetwork:
    """Train one cell of a grid and return the network: its weights, and what it was trained on.

    The cell's whole block is trained, for a network's last bits depend on the shape of the block that it is in.

    Args:
        grid: as for `sweep`.
        step: after how many updates; default the grid's ``steps``.
        block: (seeds, points), as for `sweep`; for weights that are equal to the bit to a sweep's, the shape that its
            Dataset names: ``json.loads(ds.attrs["block"])``. Default as `sweep` chooses. (1, 1) trains this network
            alone; it differs from the sweep's by rounding.
        precision, memory: as for `sweep`.
        **cell: axis=value for each axis of more than one value, ``seed`` among them.

    Returns:
        TrainedNetwork.

    Raises:
        ValueError: bad arguments, or a network that diverged.

    Example:
        >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...             num_classes=2, K=4, seed=range(3))
        >>> network = train_one(grid, sigma_p=1.0, seed=2)
        >>> network.state.weights.shape, network.config.sigma_p, network.seed
        ((2, 2, 16), 1.0, 2)
    """
    shape = arguments.block_of(block)
    plan = arguments.plan_of(grid, None, precision, memory, False)
    at = _step(plan, step)
    cells = cells_of(grid, cell)
    if len(cells) != 1:
        raise ValueError(f"train_one: {len(cells)} cells are asked for; allowed: one value of each axis")
    devices = local_devices.resolve(1, useful=1)
    room = Room(local_devices.parse_memory(memory, devices), 1)
    systems = Systems(grid, devices, precision)
    needs = Needs(whole(grid), shape, 0.0, 1, fingerprints=False, old_fingerprints=False)
    job = in_memory(plan, prepare(plan, systems, room, needs, lambda _: None).block)
    return _networks(Trainer(job, systems, room), cells, at)[0]


def replay(
    store: str | os.PathLike[str],
    *,
    step: int | None = None,
    experiment: Experiment | None = None,
    memory: str | int | None = None,
    **cells: Any,
) -> list[TrainedNetwork]:
    """Networks of a store with their weights: trained again, and compared to the bit with what the store says of them.

    Args:
        store: its folder.
        step: after how many updates; default all. What is compared then is what the store recorded at that step.
        experiment: needed for one of your own; the package's are found by their name.
        memory: budget, as in `sweep`.
        **cells: axis=value or axis=values for each axis of more than one value, ``seed`` among them; every combination.

    Returns:
        One TrainedNetwork for each combination, the last axis (``seed`` where it is one) fastest.

    Raises:
        StoreError: no store, another program than the one that trained there, or other numbers than it holds.
        ValueError: an unknown experiment, a cell that is not there or not finished, or that diverged.

    Example:
        >>> import tempfile, snljax as snl
        >>> grid = snl.Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...                 num_classes=2, K=4)
        >>> folder = tempfile.mkdtemp()
        >>> ds = snl.sweep(grid, store=folder, progress=False)
        >>> [network] = replay(folder, sigma_p=1.0)
        >>> float(network.metrics["test_loss"]) == float(ds.test_loss[1])
        True
    """
    kept = Store.open(store)
    m = kept.catalogue.manifest
    known = known_experiment(kept, experiment)
    with jax.enable_x64(m["dtype"] == "float64"):
        plan = plan_of(kept, known, memory)
        kept.catalogue.check(plan)
        wanted = cells_of(plan.grid, cells)
        if plan.stop is not None and step is None:
            raise ValueError(f"step: not given, and networks ended by themselves; allowed: {_ends(kept, plan, wanted)}")
        at = _step(plan, step)
        trainer = trainer_of(kept, plan)
        placed = _in_store(kept, plan, wanted)
        for block in dict.fromkeys(_block_of(trainer.job, cell) for cell in placed):
            refuse_another_program(kept, trainer, block, _marker(kept, block))
        found = _networks(trainer, placed, at)
        _compare(kept, plan, wanted, found)
    return found


def load_network(path: str | os.PathLike[str], experiment: Experiment | None = None) -> TrainedNetwork:
    """A network that `TrainedNetwork.save` wrote.

    Args:
        path: the file.
        experiment: needed for one of your own; the package's are found by their name.

    Returns:
        TrainedNetwork, its arrays equal to the bit to those that were saved.

    Raises:
        ValueError: no such file, not one of ours, or its experiment has other fields or another state now.

    Example:
        >>> import pathlib, tempfile
        >>> grid = Grid("topk_pruning", steps=2, n=8, n_test=10, d=16, m=2, num_classes=2, K=4)
        >>> file = pathlib.Path(tempfile.mkdtemp(), "network.msgpack")
        >>> network = train_one(grid)
        >>> network.save(file)
        >>> bool((load_network(file).state.weights == network.state.weights).all())
        True
    """
    try:
        content = flax.serialization.msgpack_restore(pathlib.Path(path).read_bytes())
        about = json.loads(content["snljax"])
        kept = {name: content[name] for name in ("draw", "state", "metrics")}
    except OSError as error:
        raise ValueError(f"path: {path} cannot be read ({error.strerror or error})") from None
    except Exception:  # readers raise whatever a file that is not theirs leads them to
        raise ValueError(f"path: {path} is not a network; allowed: a file that TrainedNetwork.save wrote") from None
    if experiment is None and about["experiment"] not in experiments.NAMES:
        raise ValueError(
            f"experiment: {about['experiment']!r} of {path} is not the package's; allowed: "
            "load_network(path, experiment=…), with the one that it was made with"
        )
    known = experiments.get(about["experiment"]) if experiment is None else experiment
    double = any(a.dtype == np.float64 for a in kept["state"].values())
    with jax.enable_x64(double):
        grid = Grid(known, **about["settings"], seed=about["seed"])
        system = Systems(grid, local_devices.resolve(1, useful=1), "highest").system(grid.config)
        draw, state = (
            _tree(kept[name], about["keys"][name], system.returns[function], path)
            for name, function in (("draw", "draw"), ("state", "init"))
        )
    return TrainedNetwork(known, grid.config, about["seed"], about["step"], draw, state, kept["metrics"])


# --- training the blocks of some cells ----------------------------------------------------------------


class _Nothing(Plain):
    """A `Keeper` that nothing is given to."""

    def put(self, finished: Finished) -> None:
        """Nothing is kept."""


class _OfBlock(NamedTuple):
    """What a block holds after its last step, on one device: trees with leading axes (1, seeds[, points])."""

    draw: Any
    state: Any
    metrics: Any


def _networks(trainer: Trainer, cells: Sequence[Cell], step: int) -> list[TrainedNetwork]:
    """Networks of cells, by positions in the trainer's grid; each block is trained once."""
    grid, blocks = trainer.job.grid, [_block_of(trainer.job, cell) for cell in cells]
    found: dict[int, TrainedNetwork] = {}
    for block in dict.fromkeys(blocks):
        work = trainer.job.work(block)
        trained = _trained(trainer, work, step)
        for i, cell in enumerate(cells):
            if blocks[i] == block:
                found[i] = _of_cell(grid, cell, work, trained, step)
    return [found[i] for i in range(len(cells))]


def _block_of(job: Job, cell: Cell) -> int:
    """The block that a cell is in; -1 if it is in none."""
    [number] = job.layout.locate([np.array([p]) for p in (*cell.point, cell.seed)]).ravel().tolist()
    return number // job.layout.slots if number >= 0 else -1


def _trained(trainer: Trainer, work: Work, step: int) -> _OfBlock:
    """A block from its start; in pieces, so that Ctrl-C is heard. Its bits do not depend on them."""
    compiled, _ = trainer.program(work.config, _Nothing())
    fixed, blocks = trainer.fixed(work.config), trainer.start(compiled, [work])
    pace, at = Pace(), 0
    while at < step:
        pace.go_on(time.perf_counter())
        until = min(at + pace.segment, step)
        state, finite = compiled.advance(fixed | {"start": np.int32(at), "stop": np.int32(until)}, blocks)
        blocks, at = blocks | {"state": state}, until
        jax.block_until_ready(finite)
        pace.looked(time.perf_counter())
    return _OfBlock(blocks["draw"], blocks["state"], compiled.measure(fixed, blocks))


def _of_cell(grid: Grid, cell: Cell, work: Work, trained: _OfBlock, step: int) -> TrainedNetwork:
    """One network of a block."""
    point = np.flatnonzero(np.all([p == c for p, c in zip(work.positions, cell.point, strict=True)], axis=0))
    place = int(np.flatnonzero(work.seeds == cell.seed)[0]), int(point[0]) if work.positions else 0
    state = jax.tree.map(lambda a: a[(0, *place)], trained.state)
    config = dataclasses.replace(
        grid.config,
        **{
            name: values[i]
            for axis, i in zip(grid.point_axes, cell.point, strict=True)
            for name, values in axis.fields.items()
        },
    )
    network = TrainedNetwork(
        experiment=grid.experiment,
        config=config,
        seed=grid.seeds[cell.seed],
        step=step,
        draw=jax.tree.map(lambda a: a[0, place[0]], trained.draw),
        state=state,
        metrics={
            name: np.asarray(values[(0, *place)])
            for name in trained.metrics._fields
            if (values := getattr(trained.metrics, name)) is not None
        },
    )
    floats = [a for a in jax.tree.leaves(state) if jax.numpy.issubdtype(a.dtype, jax.numpy.inexact)]
    if not all(bool(jax.numpy.isfinite(a).all()) for a in floats):
        raise ValueError(
            f"step: {_named(grid, cell)} has diverged by step {step}; allowed: a cell that has not, or an earlier step"
        )
    return network


def _named(grid: Grid, cell: Cell) -> str:
    axes = [f"{axis.name}={axis.coordinate[i]}" for axis, i in zip(grid.point_axes, cell.point, strict=True)]
    return ", ".join([*axes, f"seed={grid.seeds[cell.seed]}"])


def _step(plan: Plan, step: Any) -> int:
    """The step that was asked for; ValueError if it is none of the plan's."""
    last = plan.records[-1]
    if step is None:
        return last
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= last:
        raise ValueError(f"step: {step!r}; allowed: a whole number from 0 to {last}")
    return step


# --- what the store says of them ----------------------------------------------------------------------


def _in_store(store: Store, plan: Plan, cells: Sequence[Cell]) -> list[Cell]:
    """The same cells by positions on the store's axes; ValueError for one that is not finished there."""
    names = [axis.name for axis in plan.grid.point_axes]
    *axes, seeds = store.catalogue.positions(plan.grid)
    order = [names.index(name) for name in store.catalogue.values if name != "seed"]
    placed = []
    for cell in cells:
        point = tuple(int(positions[cell.point[i]]) for positions, i in zip(axes, order, strict=True))
        placed.append(Cell(point, int(seeds[cell.seed])))
        number = store.catalogue.layout.locate([np.array([p]) for p in (*placed[-1].point, placed[-1].seed)]).item()
        if number < 0 or not store.is_done(number // store.catalogue.layout.slots):
            raise ValueError(
                f"{_named(plan.grid, cell)}: not finished in {store.path}; allowed: a cell that is (snljax status says "
                "how far it is)"
            )
    return placed


def _marker(store: Store, block: int) -> dict[str, Any]:
    """The marker of a finished block; StoreError for one that is damaged."""
    marker = store.marker(block)
    if marker is None:
        raise StoreError(
            f"store: {store.path}, block {block} is damaged; allowed: the command that made the store, which trains it "
            "again"
        )
    return marker


def _there(ds: xr.Dataset, plan: Plan, cell: Cell) -> xr.Dataset:
    """What a store has of a cell."""
    at: dict[Any, int] = dict(zip((axis.name for axis in plan.grid.point_axes), cell.point, strict=True))
    return ds.isel(at | ({"seed": cell.seed} if "seed" in ds.dims else {}))


def _ends(store: Store, plan: Plan, cells: Sequence[Cell]) -> str:
    """At which steps cells have ended, as a message says it."""
    ds = open_part(store, plan.grid, {})
    steps = {int(_there(ds, plan, cell)[STOPPED]) for cell in cells}
    return f"step=…, where {STOPPED} is {', '.join(map(str, sorted(steps)))}"


def _compare(store: Store, plan: Plan, cells: Sequence[Cell], networks: Sequence[TrainedNetwork]) -> None:
    """StoreError where a store holds other numbers of a network than its training gives."""
    ds = open_part(store, plan.grid, {})
    for cell, network in zip(cells, networks, strict=True):
        there = _there(ds, plan, cell)
        if network.step != int(there[STOPPED]) if plan.stop else network.step not in plan.records:
            continue  # the store says nothing of that step
        there = there.isel({dim: plan.records.index(network.step) for dim in ("step", "steps") if dim in ds.dims})
        for name, value in network.metrics.items():
            kept = there[name].values[tuple(slice(n) for n in value.shape)]
            if np.asarray(value, kept.dtype).tobytes() != kept.tobytes():
                raise StoreError(
                    f"store: {store.path} holds another {name} of {_named(plan.grid, cell)} than its settings give; "
                    "allowed: a sound store (snljax status --verify --recompute says what is wrong)"
                )


# --- files --------------------------------------------------------------------------------------------


def _leaves(tree: Any) -> dict[str, np.ndarray]:
    """Path -> array; a random key as the numbers that it is made of."""
    return {jax.tree_util.keystr(path): _plain(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _keys(tree: Any) -> dict[str, str]:
    """Path of a random key -> which generator's it is."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): str(jax.random.key_impl(leaf)) for path, leaf in leaves if _is_key(leaf)}


def _tree(leaves: dict[str, np.ndarray], keys: dict[str, str], like: Any, path: Any) -> Any:
    """Arrays by path in a tree of such shapes."""
    wanted, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(at) for at, _ in wanted]
    found = []
    for name, (_, shape) in zip(names, wanted, strict=True):
        leaf = leaves.get(name)
        if leaf is not None and name in keys:
            leaf = jax.random.wrap_key_data(jax.numpy.asarray(leaf), impl=keys[name])
        if leaf is None or leaves.keys() != {*names} or (leaf.shape, leaf.dtype) != (shape.shape, shape.dtype):
            raise ValueError(
                f"path: {path} holds another network than its experiment makes now ({name}); allowed: the experiment "
                "that it was saved with"
            )
        found.append(jax.numpy.asarray(leaf))
    return jax.tree.unflatten(structure, found)
