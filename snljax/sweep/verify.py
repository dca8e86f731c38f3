"""Is what a store holds what its settings give? Blocks are trained again and compared to the bit."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Any, NamedTuple

import jax
import numpy as np

from snljax import experiments
from snljax.experiment import Experiment
from snljax.sweep import chunks
from snljax.sweep import devices as local_devices
from snljax.sweep.axes import together
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.program import static_key
from snljax.sweep.store import Store
from snljax.sweep.train import Job, Trainer, programs_of, work_of


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
    name = store.manifest["experiment"]
    if experiment is None and name not in experiments.NAMES:
        raise ValueError(
            f"experiment: {name!r} of {store.path} is not the package's; allowed: snl.recompute(store, "
            "experiment=…) in Python, with the one that it was made with"
        )
    known = experiments.get(name) if experiment is None else experiment
    with jax.enable_x64(store.manifest["dtype"] == "float64"):
        grid = _grid_of(store, known)
        m = store.manifest
        store.check(grid, m["precision"], m["dtype"], m["record_every"])
        job = Job(store.over(grid), store.layout, tuple(m["records"]), m["precision"])
        devices = local_devices.resolve(1, useful=1)
        traced = programs_of(job.grid, devices, job.precision, job.records)
        trainer = Trainer(job, traced, local_devices.parse_memory(memory, devices))
        done = store.done()
        sizes = np.where(done, store.layout.sizes(), 0)
        chosen = np.random.default_rng().permutation(int(sizes.sum()))[:cells]
        blocks = np.unique(np.searchsorted(np.cumsum(sizes), chosen, side="right"))
        wrong = {int(b): found for b in blocks if (found := _differing(store, job, trainer, int(b)))}
    return Recomputed(len(chosen), len(blocks), wrong)


def _differing(store: Store, job: Job, trainer: Trainer, block: int) -> list[str]:
    """The arrays of a block whose chunks another training writes otherwise."""
    marker = store.marker(block)
    if marker is None:
        return ["marker"]
    config = work_of(job, block).config
    here = {trainer.traced.fingerprint(config, store.block)}
    if store.manifest.get("migrated"):
        here.add(trainer.traced.old_fingerprint(config, store.block))
    if marker["program"] not in here:
        raise StoreError(
            f"store: {store.path}, block {block} was trained by another program than {static_key(config)} is here "
            "(another version of jax, another device, or other code), whose bits differ anyway; allowed: that program"
        )
    found: list[str] = []

    def compare(finished: Any, _: Any) -> None:
        for name, sha in marker["arrays"].items():
            digest = hashlib.sha256()
            shape, dtype = store.chunk_of(block, name)
            # What does not fit into the store's dtype is not what the store has.
            with contextlib.suppress(StoreError):
                for piece in chunks.encoded(name, finished.arrays[name], store.block, shape, dtype):
                    digest.update(piece)
            if digest.hexdigest() != sha:
                found.append(name)

    def fail(_: Any, error: Exception) -> None:
        raise error

    trainer.run([block], compare, fail, lambda *_: None)
    return found


def _grid_of(store: Store, experiment: Experiment) -> Grid:
    """The grid of all that was ever asked of a store."""
    m = store.manifest
    bundles, named = [], {}
    for axis in m["axes"]:
        rows = store.values[axis["name"]]
        columns = {f: [row[i] for row in rows] for i, f in enumerate(axis["fields"])}
        if axis["numbered"]:
            named[axis["name"]] = together(**columns)
        elif len(columns) > 1:
            bundles.append(together(**columns))
        else:
            named |= columns
    seeds = [row[0] for row in store.values["seed"]]
    settings = {n: "none" if v is None else v for n, v in m["settings"].items()}
    return Grid(experiment, *bundles, reading=m["reading"], **settings, **named, seed=seeds)
