"""Is what a store holds what its settings give? Blocks are trained again and compared to the bit."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import jax
import numpy as np

from snljax import experiments
from snljax.experiment import Experiment
from snljax.sweep import arguments, program
from snljax.sweep import devices as local_devices
from snljax.sweep.axes import together
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.keeper import Plain
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.stop import Stop
from snljax.sweep.store import Store
from snljax.sweep.train import Trainer
from snljax.sweep.work import Finished, Job, Plan, Work


class Recomputed(NamedTuple):
    """What `recompute` found. wrong: block -> the arrays that another training gives other bits."""

    cells: int
    blocks: int
    wrong: dict[int, list[str]]


def recompute(
    path: str | os.PathLike[str],
    cells: int = 5,
    experiment: Experiment | None = None,
    memory: str | int | None = None,
) -> Recomputed:
    """Train some random finished cells of a store again and compare all bits of their blocks with the store's.

    A block is the unit whose bits are the same wherever and whenever it is trained, so a cell's whole block is.

    Args:
        path: the store's folder.
        cells: how many, at random; all if there are fewer.
        experiment: needed for one of your own; the package's are found by their name.
        memory: budget, as in `sweep`.

    Returns:
        Recomputed.

    Raises:
        StoreError: no store, or another program than the one that trained there, whose bits prove nothing.
        ValueError: an unknown experiment, or a number of cells below 1.

    Example:
        >>> import tempfile, snljax as snl
        >>> grid = snl.Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...                 num_classes=2, K=4)
        >>> folder = tempfile.mkdtemp()
        >>> _ = snl.sweep(grid, store=folder, progress=False)
        >>> recompute(folder, cells=2).wrong
        {}
    """
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise ValueError(f"recompute: {cells!r}; allowed: a whole number of cells, 1 or more")
    store = Store.open(path)
    m = store.catalogue.manifest
    known = known_experiment(store, experiment)
    with jax.enable_x64(m["dtype"] == "float64"):
        plan = plan_of(store, known, memory)
        store.catalogue.check(plan)
        trainer = trainer_of(store, plan)
        done = store.done()
        sizes = np.where(done, store.catalogue.layout.sizes(), 0)
        chosen = np.random.default_rng().permutation(int(sizes.sum()))[:cells]
        blocks = np.unique(np.searchsorted(np.cumsum(sizes), chosen, side="right"))
        wrong = {int(b): found for b in blocks if (found := _differing(store, trainer, int(b)))}
    return Recomputed(len(chosen), len(blocks), wrong)


class _Compared(Plain):
    """Compares a block with what the store has of it, and keeps nothing."""

    def __init__(self, store: Store, marker: dict[str, Any]) -> None:
        self.store, self.marker, self.found = store, marker, list[str]()

    def put(self, finished: Finished) -> None:
        """Compare all bits."""
        self.found += self.store.differing(finished.work.block, self.marker, finished.arrays)


class _Strict:
    """A `Watcher` that takes no error."""

    def compiled(self, seconds: float) -> None:
        """Nobody asks."""

    def went(self, steps: int) -> None:
        """Nobody asks."""

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """Compared."""

    def failed(self, work: Work, error: Exception) -> None:
        """Nothing can be said of the block."""
        raise error


def _differing(store: Store, trainer: Trainer, block: int) -> list[str]:
    """The arrays of a block whose chunks another training writes otherwise."""
    marker = store.marker(block)
    if marker is None:
        return ["marker"]
    refuse_another_program(store, trainer, block, marker)
    compared = _Compared(store, marker)
    trainer.run([block], compared, _Strict())
    return compared.found


def trainer_of(store: Store, plan: Plan) -> Trainer:
    """Trains the blocks of a store again, on one device."""
    devices = local_devices.resolve(1, useful=1)
    job = Job(plan, store.catalogue.over(plan.grid), store.catalogue.layout)
    room = Room(local_devices.parse_memory(plan.memory, devices), len(plan.records))
    return Trainer(job, Systems(job.grid, devices, plan.precision), room)


def refuse_another_program(store: Store, trainer: Trainer, block: int, marker: dict[str, Any]) -> None:
    """StoreError if a block was trained by another program than the trainer's, whose bits prove nothing."""
    recipe = trainer.systems.recipe(trainer.job.work(block).config, store.catalogue.block)
    accepted = {program.fingerprint(recipe)}
    if store.catalogue.manifest.get("migrated"):
        accepted.add(program.old_fingerprint(recipe))
    if marker["program"] not in accepted:
        raise StoreError(
            f"store: {store.path}, block {block} was trained by another program than {recipe.static_key} is here "
            "(another version of jax, another device, or other code), whose bits differ anyway; allowed: that program"
        )


def known_experiment(store: Store, experiment: Experiment | None) -> Experiment:
    """The experiment of a store: as given, or the package's; ValueError for one of its user's that is not given."""
    name = store.catalogue.manifest["experiment"]
    if experiment is None and name not in experiments.NAMES:
        raise ValueError(
            f"experiment: {name!r} of {store.path} is not the package's; allowed: experiment=… in Python, with the one "
            "that it was made with"
        )
    return experiments.get(name) if experiment is None else experiment


def plan_of(store: Store, experiment: Experiment, memory: str | int | None) -> Plan:
    """All that was ever asked of a store, as one plan."""
    m = store.catalogue.manifest
    every = m["record_every"]
    steps = {"steps": every} if isinstance(every, list) else {}
    grid = _grid_of(store, experiment, steps)
    stop = Stop(*m["stop"]) if "stop" in m else None
    return arguments.plan_of(grid, None if steps else every, m["precision"], memory, False, stop)


def _grid_of(store: Store, experiment: Experiment, several: dict[str, list[int]]) -> Grid:
    m = store.catalogue.manifest
    bundles, named = [], {}
    for axis in m["axes"]:
        rows = store.catalogue.values[axis["name"]]
        columns = {f: [row[i] for row in rows] for i, f in enumerate(axis["fields"])}
        if axis["numbered"]:
            named[axis["name"]] = together(**columns)
        elif len(columns) > 1:
            bundles.append(together(**columns))
        else:
            named |= columns
    seeds = [row[0] for row in store.catalogue.values["seed"]]
    settings = {n: "none" if v is None else v for n, v in m["settings"].items()} | several
    return Grid(experiment, *bundles, reading=m["reading"], **settings, **named, seed=seeds)
