"""Training numbered blocks of a grid on devices of this process; the same code for a loop and for a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import traced_fields
from snljax.sweep import blocks as block_shapes
from snljax.sweep import devices as local_devices
from snljax.sweep import program as programs
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block, Layout
from snljax.sweep.program import OverBudgetError, Program
from snljax.sweep.store import FIRST_BAD, Checkpoint, Store

_SEGMENT_SECONDS = 0.5  # how often the host looks: progress, divergence, Ctrl-C
_FIRST_SEGMENT = 8
_CHECKPOINT_SECONDS = 30.0  # what a preempted job loses at most, and half of what is promised
_CHECKPOINT_SHARE = 20  # a checkpoint that takes a second is made every twenty


class Job(NamedTuple):
    """What any process has to know to train blocks of a sweep."""

    grid: Grid
    layout: Layout
    records: tuple[int, ...]
    precision: str


class Work(NamedTuple):
    """One block. positions: of its points on each axis without seed. seeds: positions of its seeds."""

    block: int
    config: Any
    positions: tuple[np.ndarray, ...]
    seeds: np.ndarray

    @property
    def cells(self) -> int:
        """Networks in it; without axes there is one point."""
        return len(self.seeds) * (len(self.positions[0]) if self.positions else 1)


class Finished(NamedTuple):
    """A trained block. arrays: metric -> (seeds, points, records, ...); ``first_bad_step``: (seeds, points)."""

    work: Work
    arrays: dict[str, np.ndarray]
    seconds: float

    @property
    def diverged(self) -> int:
        """Networks that left the finite numbers."""
        return int((self.arrays[FIRST_BAD] >= 0).sum())


class Prepared(NamedTuple):
    """What has to be known before the first block.

    fingerprints: by `Store.program_key`. made_by: what compiled them. device: what they run on.
    """

    block: Block
    metrics: dict[str, tuple[str, tuple[int, ...]]]
    fingerprints: dict[str, str]
    probes: int
    probe_seconds: float
    made_by: dict[str, str]
    device: str


class Trainer:
    """Trains blocks on devices of this process.

    Args:
        job: what to train.
        devices: one block on each.
        budget: bytes per device.
        store: where checkpoints lie, if there is one.
        accept_program: train on although the store holds blocks of another program.
    """

    def __init__(
        self,
        job: Job,
        devices: tuple[Any, ...],
        budget: int,
        store: Store | None = None,
        accept_program: bool = False,
    ) -> None:
        self.job, self.devices, self.budget, self.store = job, devices, budget, store
        self.accept_program = accept_program
        config_type = type(job.grid.config)
        columns = job.grid.columns()
        values = programs.numbers(config_type, {n: v for n, (_, v) in columns.items()})
        self.swept = {n: (columns[n][0], values[n]) for n in columns}
        self.sharding = NamedSharding(Mesh(np.array(devices), ("block",)), PartitionSpec("block"))
        self.segment = _FIRST_SEGMENT
        self.programs: dict[Any, tuple[Program, str]] = {}
        self._data: tuple[Any, Any] = (None, None)
        self._drawn: tuple[Any, Any] = (None, None)

    def build(self, config: Any) -> Program:
        """The program for a Config; compiled once."""
        return programs.build(**self._asked(config), budget=self.budget)

    def trace(self, config: Any) -> programs.Traced:
        """The program for a Config, traced but not compiled."""
        return programs.trace(**self._asked(config))

    def fingerprint(self, config: Any) -> str:
        """Hash of the program for a Config, which need not be compiled."""
        return programs.fingerprint(**self._asked(config))

    def _asked(self, config: Any) -> dict[str, Any]:
        return {
            "experiment": self.job.grid.experiment,
            "config": config,
            "swept": frozenset(self.swept),
            "block": self.job.layout.block,
            "devices": self.devices,
            "precision": self.job.precision,
        }

    def program(self, config: Any) -> tuple[Program, str]:
        """The program of the job's block shape, admitted by the store, and its hash there."""
        statics = programs.statics_of(config)
        if statics in self.programs:
            return self.programs[statics]
        try:
            program = self.build(config)
        except OverBudgetError as over:
            raise _too_large(self.budget, self.job.layout.block, over) from None
        mark = ""
        if self.store is not None:
            mark = self.fingerprint(config)
            key = self.store.program_key(config)
            self.store.admit({key: mark}, programs.made_by(self.devices), self.accept_program)
        self.programs[statics] = program, mark
        return self.programs[statics]

    def run(
        self,
        blocks: Iterable[int],
        keep: Callable[[Finished, str], None],
        fail: Callable[[Work, Exception], None],
        tick: Callable[..., None],
    ) -> None:
        """Train blocks, as many at once as there are devices.

        Args:
            blocks: their numbers, read as needed.
            keep: called with each finished block and its program's hash.
            fail: called with each block that raised; the others go on.
            tick: called with the blocks in training, the network-steps done since the last call, and
                True where a checkpoint had done them.
        """
        for works, checkpoints in self._rounds(blocks):
            program, mark = self.program(works[0].config)
            if any(c is not None and c.program != mark for c in checkpoints):
                checkpoints = [None] * len(works)  # of another program that was accepted
            tick(works, 0)
            for finished in self._attempt(program, mark, works, checkpoints, fail, tick):
                keep(finished, mark)

    def rate(self, program: Program, per_block: float) -> float:
        """Network-steps per second of a sweep of such blocks, with what each block costs beside its steps."""
        works, _ = next(self._rounds(range(self.job.layout.blocks)))
        fixed = self.fixed(works[0].config)

        def once() -> float:
            since = time.perf_counter()
            jax.block_until_ready(program.measure(fixed, self.start(program, works)))
            return time.perf_counter() - since

        once()
        start = self.start(program, works)

        def advance(first: int, stop: int) -> Any:
            return program.advance(fixed | {"start": np.int32(first), "stop": np.int32(stop)}, start)

        networks = self.job.layout.slots * len(self.devices)
        work = networks * max(self.job.records[-1], 1)
        training = work / block_shapes.measured_rate(advance, networks)
        return work / (training + len(self.job.records) * once() + per_block * len(self.devices))

    def _rounds(self, blocks: Iterable[int]) -> Iterator[tuple[list[Work], list[Checkpoint | None]]]:
        """Blocks of one program that stand at the same step, one for each device."""
        works: list[Work] = []
        checkpoints: list[Checkpoint | None] = []
        key: Any = None
        for block in blocks:
            work = work_of(self.job, block)
            checkpoint = None if self.store is None else self.store.checkpoint(block)
            at = (work.config, 0 if checkpoint is None else checkpoint.step)
            if works and at != key:
                yield works, checkpoints
                works, checkpoints = [], []
            key = at
            works.append(work)
            checkpoints.append(checkpoint)
            if len(works) == len(self.devices):
                yield works, checkpoints
                works, checkpoints = [], []
        if works:
            yield works, checkpoints

    def _attempt(self, program, mark, works, checkpoints, fail, tick) -> list[Finished]:
        """A round; if it raises, each of its blocks alone, so that only the guilty one is lost."""
        try:
            return self._train(program, mark, works, checkpoints, tick)
        except StoreError:
            raise
        except Exception as error:
            if len(works) == 1:
                fail(works[0], error)
                return []
        alone = zip(works, checkpoints, strict=True)
        return [f for w, c in alone for f in self._attempt(program, mark, [w], [c], fail, tick)]

    def _train(self, program, mark, works, checkpoints, tick) -> list[Finished]:
        """One block on each device, to the end."""
        block = self.job.layout.block
        records = list(self.job.records)
        fixed = self.fixed(works[0].config)
        blocks = self.start(program, works)
        cells = sum(w.cells for w in works)
        steps = records[-1]
        metrics: list[Any] = []
        first_bad = np.full((len(self.devices), *block), -1, np.int32)
        t, spent = 0, 0.0
        if checkpoints[0] is not None:
            blocks, metrics, first_bad = self._resumed(works[0].config, blocks, checkpoints)
            t, spent = checkpoints[0].step, checkpoints[0].seconds
            tick(works, cells * t, True)
        # The state that is known to be good; a segment that ends badly is replayed from here.
        checked, good_state = t, blocks["state"]
        began = saved = since = time.perf_counter()
        pause = _CHECKPOINT_SECONDS
        waiting = iter(records[len(metrics) :])
        record = next(waiting, steps + 1)
        finite = None
        try:
            while record <= steps:
                stop = min(record, checked + self.segment, steps)
                state, good = program.advance(fixed | {"start": np.int32(t), "stop": np.int32(stop)}, blocks)
                finite = good if finite is None else finite & good
                blocks = blocks | {"state": state}
                t = stop
                if t == record:
                    metrics.append(program.measure(fixed, blocks))
                    record = next(waiting, steps + 1)
                if t < min(checked + self.segment, steps):
                    continue
                newly_bad = ~np.asarray(finite) & (first_bad < 0)
                if newly_bad.any():
                    bounds = {"start": np.int32(checked), "stop": np.int32(t)}
                    found = program.first_bad(fixed | bounds, blocks | {"state": good_state})
                    first_bad = np.where(newly_bad, np.asarray(found), first_bad)
                now = time.perf_counter()
                tick(works, cells * (t - checked) if steps else cells)
                pace = _SEGMENT_SECONDS / max(now - since, 1e-6)
                self.segment = int(np.clip(self.segment * np.clip(pace, 0.25, 8.0), 1, 1_000_000))
                checked, good_state, finite = t, state, None
                if self.store is not None and now - saved > pause and record <= steps:
                    self._save(works, mark, checked, good_state, metrics, first_bad, spent + now - began)
                    saved = time.perf_counter()
                    pause = max(_CHECKPOINT_SECONDS, _CHECKPOINT_SHARE * (saved - now))
                since = time.perf_counter()
        except KeyboardInterrupt:
            now = time.perf_counter()
            if self.store is not None and checked > 0 and now - saved > 2 * _SEGMENT_SECONDS:
                kept = sum(1 for r in records if r <= checked)
                self._save(works, mark, checked, good_state, metrics[:kept], first_bad, spent + now - began)
            raise
        host = [jax.tree.map(np.asarray, m) for m in metrics]
        seconds = (spent + time.perf_counter() - began) / len(works)
        return [Finished(work, _arrays(host, first_bad[d], work, d, records), seconds) for d, work in enumerate(works)]

    def fixed(self, config: Any) -> dict[str, Any]:
        """What all networks of a block share: traced fields that are not swept, and data."""
        traced = traced_fields(config)
        numbers = programs.numbers(type(config), {n: v for n, v in traced.items() if n not in self.swept})
        return {"numbers": numbers, "data": self.data(config)}

    def data(self, config: Any) -> Any:
        """The experiment's data, a copy on each device."""
        statics = programs.statics_of(config)
        if self._data[0] != statics:
            self._data = (None, None)  # let go of the old data before placing the next
            data = programs.data_of(self.job.grid.experiment, config)
            self._data = (statics, jax.device_put(data, NamedSharding(self.sharding.mesh, PartitionSpec())))
        return self._data[1]

    def start(self, program: Program, works: list[Work]) -> dict[str, Any]:
        """Padded blocks with their draw and initial state; the padding repeats the first entry."""
        block = self.job.layout.block
        seeds = np.array(self.job.grid.seeds, np.uint32)[self._padded([w.seeds for w in works], block.seeds)]
        swept = {
            n: jax.device_put(values[self._padded([w.positions[axis] for w in works], block.points)], self.sharding)
            for n, (axis, values) in self.swept.items()
        }
        if self._drawn[0] != (program.draw, seeds.tobytes()):
            self._drawn = (None, None)  # let go of the old draw before making the next
            draw = program.draw({"data": self.data(works[0].config)}, {"seed": jax.device_put(seeds, self.sharding)})
            self._drawn = ((program.draw, seeds.tobytes()), draw)
        blocks = {"swept": swept, "draw": self._drawn[1]}
        return blocks | {"state": program.init(self.fixed(works[0].config), blocks)}

    def _padded(self, rows: list[np.ndarray], length: int) -> np.ndarray:
        rows = rows + rows[:1] * (len(self.devices) - len(rows))
        return np.stack([np.concatenate([r, np.repeat(r[:1], length - len(r))]) for r in rows])

    def _save(self, works, mark, step, state, metrics, first_bad, seconds) -> None:
        """A checkpoint for each block of the round."""
        assert self.store is not None
        leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(state)]
        host = [jax.tree.map(np.asarray, jax.tree.leaves(m)) for m in metrics]
        for d, work in enumerate(works):
            arrays = {f"state_{i}": a[d] for i, a in enumerate(leaves)}
            arrays |= {f"metric_{k}_{i}": a[d] for k, m in enumerate(host) for i, a in enumerate(m)}
            self.store.save_checkpoint(work.block, Checkpoint(step, seconds, mark, arrays | {FIRST_BAD: first_bad[d]}))

    def _resumed(self, config: Any, blocks: dict[str, Any], checkpoints: list[Any]) -> tuple[Any, list[Any], Any]:
        """The round as it stood when its checkpoints were made."""
        rows = [c.arrays for c in checkpoints] + [checkpoints[0].arrays] * (len(self.devices) - len(checkpoints))

        def stacked(name: str, like: Any) -> np.ndarray:
            # A dtype that NumPy does not know, such as bfloat16, comes back as plain bytes.
            return np.stack([r[name].view(like) if r[name].dtype.kind == "V" else r[name] for r in rows])

        leaves, tree = jax.tree.flatten(blocks["state"])
        restored = []
        for i, leaf in enumerate(leaves):
            there = jax.device_put(stacked(f"state_{i}", _plain(leaf).dtype), self.sharding)
            is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            restored.append(jax.random.wrap_key_data(there, impl=jax.random.key_impl(leaf)) if is_key else there)
        traced = self.trace(config)
        shapes, metric_tree = jax.tree.flatten(traced.stages["measure"].out_info)
        count = sum(1 for name in rows[0] if name.startswith("metric_")) // max(len(shapes), 1)
        metrics = [
            jax.tree.unflatten(metric_tree, [stacked(f"metric_{k}_{i}", s.dtype) for i, s in enumerate(shapes)])
            for k in range(count)
        ]
        first_bad = np.stack([r[FIRST_BAD] for r in rows])
        return blocks | {"state": jax.tree.unflatten(tree, restored)}, metrics, first_bad


def prepare(
    grid: Grid,
    devices: tuple[Any, ...],
    budget: int,
    precision: str,
    records: tuple[int, ...],
    block: Block | None,
    store_key: Callable[[Any], str] | None,
    announce: Callable[[str], None],
) -> Prepared:
    """Trace every program of a grid, and choose the block shape where none is given.

    Args:
        grid, devices, budget, precision, records: of the sweep.
        block: the shape, or None to let time decide.
        store_key: names a Config in a store; without a store no hash is taken.
        announce: told about programs that are compiled only to be measured.

    Returns:
        Prepared.

    Raises:
        ValueError: if the budget is too small.
    """

    def trainer(shape: Block) -> Trainer:
        layout = Layout(shape, grid.static_axes).grown(whole(grid))
        return Trainer(Job(grid, layout, records, precision), devices, budget)

    configs = list(grid.configs())
    points = math.prod(len(a.coordinate) for a, s in zip(grid.point_axes, grid.static_axes, strict=True) if not s)
    chosen, discarded = block, list[Program]()
    per_block = 0.0 if store_key is None else block_shapes.STORE_SECONDS
    if chosen is None:
        chosen, discarded = block_shapes.choose(
            lambda shape: trainer(shape).build(configs[0]),
            lambda program, shape: trainer(shape).rate(program, per_block),
            points,
            len(grid.seeds),
            grid.cells * max(records[-1], 1),
            devices,
            budget,
            announce,
        )
    i = 0
    while i < len(configs):
        # Near the budget only the compiler knows; elsewhere tracing says enough.
        needed = trainer(chosen).trace(configs[i]).memory
        try:
            if needed > budget:
                raise OverBudgetError(needed)
            if needed > budget // 2:
                trainer(chosen).build(configs[i])
        except OverBudgetError as over:
            if block is not None or chosen == Block(1, 1):
                raise _too_large(budget, chosen, over) from None
            chosen, i = Block(max(chosen.seeds // 2, 1), chosen.points if chosen.seeds > 1 else chosen.points // 2), 0
            continue
        i += 1
    last = trainer(chosen)
    metrics: dict[str, tuple[str, tuple[int, ...]]] = {}
    for config in configs:
        for name, (dtype, inner) in programs.metrics_of(last.trace(config)).items():
            known = metrics.get(name, (dtype, inner))[1]
            metrics[name] = (dtype, tuple(max(pair) for pair in zip(inner, known, strict=True)))
    for name in {n for axis in grid.axes for n in (axis.name, *axis.fields)} & metrics.keys():
        raise ValueError(f"{name}: an axis, and a metric of {grid.experiment.name}; allowed: another name for the axis")
    marks = {} if store_key is None else {store_key(c): last.fingerprint(c) for c in configs}
    probing = sum(p.seconds for p in discarded)
    device = f"{devices[0].device_kind} ({devices[0].platform})"
    return Prepared(chosen, metrics, marks, len(discarded), probing, programs.made_by(devices), device)


def work_of(job: Job, block: int) -> Work:
    """What is in a block."""
    box, part = job.layout.part(block)
    *positions, seeds = job.layout.positions(box, part)
    return Work(block, job.grid.config_at([int(p[0]) for p in positions]), tuple(positions), seeds)


def _too_large(budget: int, block: Block, over: OverBudgetError) -> ValueError:
    return ValueError(
        f"memory: {local_devices.human_bytes(budget)} a device is too small for block={tuple(block)}; "
        f"allowed: {local_devices.human_bytes(over.needed)} or more, or a smaller block"
    )


def whole(grid: Grid) -> list[np.ndarray]:
    """All positions on every axis of a grid, ``seed`` last."""
    return [np.arange(len(axis.coordinate)) for axis in grid.point_axes] + [np.arange(len(grid.seeds))]


def _arrays(host: list[Any], first_bad: np.ndarray, work: Work, device: int, records: list[int]) -> dict[str, Any]:
    """One block's valid cells, (seeds, points, records, ...); NaN from the record at which a cell was bad."""
    seeds, points = len(work.seeds), len(work.positions[0]) if work.positions else 1
    first_bad = first_bad[:seeds, :points]
    dead = np.stack([(first_bad >= 0) & (first_bad <= k) for k in records], axis=2)
    arrays = {}
    for name in host[0]._fields:
        values = [getattr(record, name) for record in host]
        if values[0] is None:
            continue
        stacked = np.stack([v[device][:seeds, :points] for v in values], axis=2)
        arrays[name] = stacked.astype(programs.stored_dtype(stacked.dtype))
        arrays[name][dead] = np.nan
    return arrays | {FIRST_BAD: first_bad}


def _plain(leaf: Any) -> Any:
    """The numbers behind a leaf, which may be a random key."""
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
