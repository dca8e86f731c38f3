"""Training numbered blocks of a grid on devices of this process; the same code for a loop and for a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import dims_of, traced_fields
from snljax.sweep import blocks as block_shapes
from snljax.sweep import devices as local_devices
from snljax.sweep import memory as memories
from snljax.sweep import program as programs
from snljax.sweep.files import StoreError
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block, Layout
from snljax.sweep.program import OverBudgetError, Program, Programs
from snljax.sweep.records import Records
from snljax.sweep.store import Checkpoint, Store
from snljax.variables import FIRST_BAD

_SEGMENT_SECONDS = 0.5  # how often the host looks: progress, divergence, Ctrl-C
_FIRST_SEGMENT = 8
_CHECKPOINT_SECONDS = 30.0  # what a preempted job loses at most, and half of what is promised
_CHECKPOINT_SHARE = 20  # a checkpoint that takes a second is made every twenty


Metrics = dict[str, tuple[np.dtype, tuple[int, ...]]]


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
    """A trained block.

    arrays: metric -> (seeds, points, records, ...); ``first_bad_step``: (seeds, points). release: lets go of the
    memory of what was read of them, where they lie in a file.
    """

    work: Work
    arrays: dict[str, np.ndarray]
    seconds: float
    release: Callable[[], None]

    @property
    def diverged(self) -> int:
        """Networks that left the finite numbers."""
        return int((self.arrays[FIRST_BAD] >= 0).sum())


class Prepared(NamedTuple):
    """What has to be known before the first block.

    metrics: name -> dtype and shape of one network's value, the largest over the programs. by_program: the same for
    each, by `programs.static_key`, as are fingerprints, and old_fingerprints: those that version 1 of stores took,
    where such a store asks. made_by: what compiled them. device: what they run on.
    """

    block: Block
    metrics: Metrics
    by_program: dict[str, Metrics]
    fingerprints: dict[str, str]
    old_fingerprints: dict[str, str]
    probes: int
    probe_seconds: float
    made_by: dict[str, str]
    device: str


def programs_of(grid: Grid, devices: tuple[Any, ...], precision: str, records: tuple[int, ...]) -> Programs:
    """The programs of a sweep, traced as its functions are now."""
    return Programs(grid.experiment, frozenset(grid.columns()), devices, precision, len(records))


class Trainer:
    """Trains blocks on devices of this process. It belongs to one thread.

    Args:
        job: what to train.
        programs: of this sweep and these devices.
        budget: bytes per device.
        store: where checkpoints lie, if there is one.
        accept_program: train on although the store holds blocks of another program.
        expected: by `programs.static_key`, the fingerprints that the process has which asked for the blocks.
    """

    def __init__(
        self,
        job: Job,
        programs_of_sweep: Programs,
        budget: int,
        store: Store | None = None,
        accept_program: bool = False,
        expected: dict[str, str] | None = None,
    ) -> None:
        self.job, self.traced, self.budget, self.store = job, programs_of_sweep, budget, store
        self.devices = programs_of_sweep.devices
        self.accept_program, self.expected = accept_program, expected or {}
        columns = job.grid.columns()
        values = programs.numbers(type(job.grid.config), {n: v for n, (_, v) in columns.items()})
        self.swept = {n: (columns[n][0], values[n]) for n in columns}
        self.sharding = NamedSharding(Mesh(np.array(self.devices), ("block",)), PartitionSpec("block"))
        self.segment = _FIRST_SEGMENT
        self.programs: dict[str, tuple[Program, str]] = {}
        self._data: tuple[Any, Any] = (None, None)
        self._drawn: tuple[Any, Any] = (None, None)

    def program(self, config: Any) -> tuple[Program, str]:
        """The program of the job's block shape, admitted by the store, and its hash there."""
        key = programs.static_key(config)
        if key not in self.programs:
            block = self.job.layout.block
            try:
                program = self.traced.build(config, block, self.budget)
            except OverBudgetError as over:
                raise _too_large(self.budget, block, over) from None
            mark = ""
            if self.store is not None or self.expected:
                mark = self.traced.fingerprint(config, block)
            if self.expected.get(key, mark) != mark and not self.accept_program:
                raise ValueError(
                    "executor: a worker has another program than the process that sweeps (its version of jax, its "
                    "device, or the code or data that it finds there); allowed: workers alike, or accept_program"
                )
            if self.store is not None:
                self.store.admit({key: mark}, {}, programs.made_by(self.devices), self.accept_program)
            self.programs[key] = program, mark
        return self.programs[key]

    def run(
        self,
        blocks: Iterable[int],
        keep: Callable[[Finished, tuple[str, str]], None],
        fail: Callable[[Work, Exception], None],
        tick: Callable[..., None],
    ) -> None:
        """Train blocks, as many at once as there are devices.

        Args:
            blocks: their numbers, read as needed.
            keep: called with each finished block, and with key and hash of its program.
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
                keep(finished, (programs.static_key(works[0].config), mark))

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
            at = (programs.static_key(work.config), 0 if checkpoint is None else checkpoint.step)
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
        block, steps = self.job.layout.block, self.job.records[-1]
        fixed = self.fixed(works[0].config)
        blocks = self.start(program, works)
        cells = sum(w.cells for w in works)
        metrics = self.traced.metrics(works[0].config)
        folder = None if self.store is None else self.store.path / "checkpoints"
        most = memories.for_records(self.budget)
        kept = [Records(metrics, block, len(self.job.records), most, folder) for _ in works]
        most_waiting = max(1, most // max(1, memories.record_bytes(metrics, block)))
        measured: list[Any] = []  # on the devices still
        first_bad = np.full((len(self.devices), *block), -1, np.int32)
        t, spent = 0, 0.0
        if checkpoints[0] is not None:
            blocks, first_bad = self._resumed(blocks, checkpoints, kept)
            t, spent = checkpoints[0].step, checkpoints[0].seconds
            tick(works, cells * t, True)

        def fetch() -> None:
            for values in measured:
                host = jax.tree.map(np.asarray, values)
                for d, records in enumerate(kept):
                    records.put(jax.tree.map(lambda a, d=d: a[d], host))
            measured.clear()

        # The state that is known to be good; a segment that ends badly is replayed from here.
        checked, good_state = t, blocks["state"]
        began = saved = since = time.perf_counter()
        pause = _CHECKPOINT_SECONDS
        waiting = iter(self.job.records[kept[0].count :])
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
                    measured.append(program.measure(fixed, blocks))
                    record = next(waiting, steps + 1)
                    if len(measured) >= most_waiting:
                        fetch()
                if t < min(checked + self.segment, steps):
                    continue
                newly_bad = ~np.asarray(finite) & (first_bad < 0)
                if newly_bad.any():
                    bounds = {"start": np.int32(checked), "stop": np.int32(t)}
                    found = program.first_bad(fixed | bounds, blocks | {"state": good_state})
                    first_bad = np.where(newly_bad, np.asarray(found), first_bad)
                fetch()
                now = time.perf_counter()
                tick(works, cells * (t - checked) if steps else cells)
                pace = _SEGMENT_SECONDS / max(now - since, 1e-6)
                self.segment = int(np.clip(self.segment * np.clip(pace, 0.25, 8.0), 1, 1_000_000))
                checked, good_state, finite = t, state, None
                if self.store is not None and now - saved > pause and record <= steps:
                    self._save(works, mark, checked, good_state, kept, first_bad, spent + now - began)
                    saved = time.perf_counter()
                    pause = max(_CHECKPOINT_SECONDS, _CHECKPOINT_SHARE * (saved - now))
                since = time.perf_counter()
        except KeyboardInterrupt:
            now = time.perf_counter()
            if self.store is not None and checked > 0 and now - saved > 2 * _SEGMENT_SECONDS:
                self._save(works, mark, checked, good_state, kept, first_bad, spent + now - began)
            raise
        seconds = (spent + time.perf_counter() - began) / len(works)
        return [
            Finished(work, self._arrays(work, records, bad), seconds, records.release)
            for work, records, bad in zip(works, kept, first_bad, strict=False)
        ]

    def _arrays(self, work: Work, records: Records, first_bad: np.ndarray) -> dict[str, np.ndarray]:
        """A block's cells: metric -> (seeds, points, records, ...)."""
        seeds, points = len(work.seeds), len(work.positions[0]) if work.positions else 1
        first_bad = first_bad[:seeds, :points]
        return records.valid(seeds, points, first_bad, list(self.job.records)) | {FIRST_BAD: first_bad}

    def fixed(self, config: Any) -> dict[str, Any]:
        """What all networks of a block share: traced fields that are not swept, and data."""
        traced = traced_fields(config)
        numbers = programs.numbers(type(config), {n: v for n, v in traced.items() if n not in self.swept})
        return {"numbers": numbers, "data": self.data(config)}

    def data(self, config: Any) -> Any:
        """The experiment's data, a copy on each device."""
        key = programs.static_key(config)
        if self._data[0] != key:
            self._data = (None, None)  # let go of the old data before placing the next
            data = self.traced.data(config)
            self._data = (key, jax.device_put(data, NamedSharding(self.sharding.mesh, PartitionSpec())))
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

    def _save(self, works, mark, step, state, kept, first_bad, seconds) -> None:
        """A checkpoint for each block of the round; of the records those up to this step."""
        assert self.store is not None
        leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(state)]
        count = sum(1 for r in self.job.records if r <= step)
        for d, work in enumerate(works):
            arrays = {f"state_{i}": a[d] for i, a in enumerate(leaves)}
            arrays |= {f"metric_{n}": a[:, :, :count] for n, a in kept[d].arrays.items()}
            self.store.save_checkpoint(work.block, Checkpoint(step, seconds, mark, arrays | {FIRST_BAD: first_bad[d]}))
            kept[d].release()

    def _resumed(self, blocks: dict[str, Any], checkpoints: list[Any], kept: list[Records]) -> tuple[Any, Any]:
        """The round as it stood when its checkpoints were made; their records are put back."""
        rows = [c.arrays for c in checkpoints] + [checkpoints[0].arrays] * (len(self.devices) - len(checkpoints))

        def stacked(name: str, like: Any) -> np.ndarray:
            # A dtype that NumPy does not know, such as bfloat16, comes back as plain bytes.
            found = [r[name] for r in rows]
            return np.stack([a.view(like) if a.dtype.kind == "V" else a for a in found])

        leaves, tree = jax.tree.flatten(blocks["state"])
        restored = []
        for i, leaf in enumerate(leaves):
            there = jax.device_put(stacked(f"state_{i}", _plain(leaf).dtype), self.sharding)
            is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            restored.append(jax.random.wrap_key_data(there, impl=jax.random.key_impl(leaf)) if is_key else there)
        for records, checkpoint in zip(kept, checkpoints, strict=True):
            records.restore({n: checkpoint.arrays[f"metric_{n}"] for n in records.arrays})
        first_bad = np.stack([r[FIRST_BAD] for r in rows])
        return blocks | {"state": jax.tree.unflatten(tree, restored)}, first_bad


def prepare(
    grid: Grid,
    traced: Programs,
    budget: int,
    precision: str,
    records: tuple[int, ...],
    block: Block | None,
    stored: bool,
    fingerprints: bool,
    old_fingerprints: bool,
    announce: Callable[[str], None],
) -> Prepared:
    """Trace every program of a grid, and choose the block shape where none is given.

    Args:
        grid, traced, budget, precision, records: of the sweep.
        block: the shape, or None to let time decide.
        stored: whether blocks are written to a store, which takes time.
        fingerprints, old_fingerprints: whether they are asked for; in memory and in one process nobody does.
        announce: told about programs that are compiled only to be measured.

    Returns:
        Prepared.

    Raises:
        ValueError: if the budget is too small, or the experiment's functions do not fit together.
    """

    def trainer(shape: Block) -> Trainer:
        return Trainer(
            Job(grid, Layout(shape, grid.static_axes).grown(whole(grid)), records, precision), traced, budget
        )

    configs, devices = list(grid.configs()), traced.devices
    by_program = {programs.static_key(c): traced.metrics(c) for c in configs}
    metrics = _joined(grid, by_program.values())
    points = math.prod(len(a.coordinate) for a, s in zip(grid.point_axes, grid.static_axes, strict=True) if not s)
    chosen, discarded = block, list[Program]()
    if chosen is None:
        chosen, discarded = block_shapes.choose(
            lambda shape: traced.build(configs[0], shape, budget),
            lambda program, shape: trainer(shape).rate(program, block_shapes.STORE_SECONDS if stored else 0.0),
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
        needed = traced.memory(configs[i], chosen, budget)
        try:
            if needed > budget:
                raise OverBudgetError(needed)
            if needed > budget // 2:
                traced.build(configs[i], chosen, budget)
        except OverBudgetError as over:
            if block is not None or chosen == Block(1, 1):
                raise _too_large(budget, chosen, over) from None
            chosen, i = Block(max(chosen.seeds // 2, 1), chosen.points if chosen.seeds > 1 else chosen.points // 2), 0
            continue
        i += 1
    marks, old_marks = {}, {}
    for config in configs if fingerprints else ():
        key = programs.static_key(config)
        marks[key] = traced.fingerprint(config, chosen)
        if old_fingerprints:
            old_marks[key] = traced.old_fingerprint(config, chosen)
    probing = sum(p.seconds for p in discarded)
    device = f"{devices[0].device_kind} ({devices[0].platform})"
    made_by = programs.made_by(devices)
    return Prepared(chosen, metrics, by_program, marks, old_marks, len(discarded), probing, made_by, device)


def _joined(grid: Grid, by_program: Iterable[Metrics]) -> Metrics:
    """What is measured, over all programs; ValueError where the Dataset could not be labelled."""
    metrics: Metrics = {}
    for one in by_program:
        for name, (dtype, inner) in one.items():
            had_dtype, had = metrics.get(name, (dtype, inner))
            if len(had) != len(inner):
                raise ValueError(
                    f"{name}: of {grid.experiment.name} has {len(had)} dimensions and {len(inner)}, over the values of "
                    "a static field; allowed: as many for all"
                )
            if dtype != had_dtype and {dtype.kind, had_dtype.kind} != {"f"}:
                raise ValueError(
                    f"{name}: of {grid.experiment.name} is {had_dtype} and {dtype}, over the values of a static field; "
                    "allowed: one dtype, or floating ones"
                )
            metrics[name] = (np.result_type(dtype, had_dtype), tuple(map(max, zip(inner, had, strict=True))))
    check_names(grid, {n: inner for n, (_, inner) in metrics.items()})
    return metrics


def check_names(grid: Grid, shapes: dict[str, tuple[int, ...]]) -> None:
    """ValueError where metrics, their dimensions and the axes of a grid have names or lengths that collide."""
    experiment, taken = grid.experiment, {n for axis in grid.axes for n in (axis.name, *axis.fields)}
    for name in taken & shapes.keys():
        raise ValueError(f"{name}: an axis, and a metric of {experiment.name}; allowed: another name for the axis")
    lengths: dict[str, tuple[str, int]] = {}
    for name, inner in shapes.items():
        own = dims_of(experiment).get(name)
        if own is None:
            continue
        if isinstance(own, str) or len(own) != len(inner) or not all(isinstance(d, str) for d in own):
            raise ValueError(
                f"dims: {name} of {experiment.name} has {own!r} for its shape {list(inner)}; "
                f"allowed: a tuple of {len(inner)} names"
            )
        for dim, length in zip(own, inner, strict=True):
            if dim in taken or dim in ("seed", "step") or dim in shapes or own.count(dim) > 1:
                raise ValueError(
                    f"dims: {name} of {experiment.name} calls a dimension {dim!r}, which is an axis, a metric or given "
                    "twice; allowed: another name"
                )
            other, had = lengths.setdefault(dim, (name, length))
            if had != length:
                raise ValueError(
                    f"dims: {dim!r} of {experiment.name} has length {had} in {other} and {length} in {name}; "
                    "allowed: one length for one name"
                )


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


def _plain(leaf: Any) -> Any:
    """The numbers behind a leaf, which may be a random key."""
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
