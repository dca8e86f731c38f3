"""``sweep(grid)``: trains every cell of a grid, block by block, and returns a labelled Dataset."""

from __future__ import annotations

import itertools
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm.auto import tqdm

from snljax.experiment import fields_of
from snljax.sweep import blocks as block_shapes
from snljax.sweep import devices as local_devices
from snljax.sweep import program as programs
from snljax.sweep.dataset import DIVERGED, Results
from snljax.sweep.grid import Bucket, Grid
from snljax.sweep.program import Block, OverBudgetError, Program

_SEGMENT_SECONDS = 0.5  # how often the host looks: progress, divergence, Ctrl-C
_FIRST_SEGMENT = 8


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep. ``dataset`` holds the blocks that were finished, the rest is pending."""

    def __init__(self, message: str, dataset: xr.Dataset) -> None:
        super().__init__(message)
        self.add_note("The finished cells are in the exception's .dataset.")
        self.dataset = dataset


class _Round(NamedTuple):
    """One block per device: which points and seeds of the bucket each of them trains."""

    points: list[np.ndarray]
    seeds: list[np.ndarray]


def sweep(
    grid: Grid,
    *,
    devices: int | Sequence[Any] | None = None,
    memory: str | int | None = None,
    block: tuple[int, int] | None = None,
    record_every: int | None = None,
    precision: str = "highest",
    progress: bool = True,
) -> xr.Dataset:
    """Train every cell of a grid and return a labelled Dataset.

    All points of a seed share one draw of data and initial weights; blocks of seeds × points train
    together as one compiled program, one program for each value of the static fields.

    Args:
        grid: what to train.
        devices: how many of this host's devices, or which; default as many as have a block to train.
            On CPU each core is a device, unless JAX was already running when sweep was first called.
        memory: budget for all devices together, bytes or text such as ``"2GB"``; default half of the
            machine's (80 % of an accelerator's).
        block: (seeds, points) that one device trains at once; default what measures fastest. Equal
            block shapes give bit-equal results; others differ by rounding.
        record_every: measure every so many steps, at step 0 and at the end (dimension ``step``);
            default only at the end.
        precision: of matrix products, ``"highest"`` (float32) or ``"tf32"``.
        progress: show a progress bar.

    Returns:
        Dataset with one variable per metric over the grid's dimensions, ``status`` (done, or
        diverged) and ``first_bad_step`` (updates after which a cell was no longer finite, or -1).

    Raises:
        ValueError: bad arguments, or a budget too small for one network.
        Interrupted: on Ctrl-C; carries the finished part as ``dataset``.

    Example:
        >>> from snljax.sweep.grid import Grid
        >>> grid = Grid("topk_pruning", sigma_p=[0.5, 1.0], steps=2, n=8, n_test=10, d=16, m=2,
        ...             num_classes=2, K=4)
        >>> ds = sweep(grid, progress=False)
        >>> ds.test_loss.dims, int(ds.status.max())
        (('sigma_p',), 1)
    """
    started = time.perf_counter()
    devices, budget, fixed_block = _check(grid, devices, memory, block, record_every, precision)
    steps = grid.config.steps
    records = [steps] if record_every is None else sorted({*range(0, steps, record_every), steps})
    results = Results(grid, None if record_every is None else records)
    buckets = list(grid.buckets())
    compile_seconds = probe_seconds = 0.0
    probes = compiled = finished = 0
    shape = fixed_block
    shapes: list[Block] = []

    bar = tqdm(
        total=grid.cells * max(steps, 1),
        desc=grid.experiment.name,
        unit="step",
        unit_scale=True,
        disable=not progress,
        smoothing=0.1,
        dynamic_ncols=True,
    )

    def announce(text: str) -> None:
        if progress:
            tqdm.write(f"{grid.experiment.name}: {text}", file=sys.stderr)

    different = len({programs.statics_of(bucket.config) for bucket in buckets})
    if different > 1:
        announce(f"{different} programs to compile, one for each value of {_static_axes(grid)}")
    try:
        for bucket in buckets:
            run = _Runner(grid, bucket, devices, precision, budget)
            if shape is None:
                bar.set_postfix_str("compiling")
                shape, discarded = block_shapes.choose(
                    run.build,
                    run.rate,
                    run.point_count,
                    len(grid.seeds),
                    grid.cells * max(steps, 1),
                    devices,
                    budget,
                    announce,
                )
                probes += len(discarded)
                probe_seconds += sum(p.seconds for p in discarded)
            try:
                bar.set_postfix_str("compiling")
                program, own_shape = run.fitted(shape, keep=fixed_block is not None)
            except OverBudgetError as over:
                raise ValueError(
                    f"memory: {local_devices.human_bytes(budget)} a device is too small for block={tuple(shape)}; "
                    f"allowed: {local_devices.human_bytes(over.needed)} or more, or a smaller block"
                ) from None
            shapes.append(own_shape)
            if program.built > started:
                compiled += 1
                compile_seconds += program.seconds
            for part in run.rounds(own_shape):
                bar.set_postfix_str(f"{finished}/{grid.cells} cells")
                metrics, first_bad = run.train(program, part, own_shape, records, bar)
                for device, (points, seeds) in enumerate(zip(part.points, part.seeds, strict=True)):
                    cells = tuple(index[points] for index in bucket.position)
                    results.put(
                        cells,
                        seeds,
                        [_take(m, device, seeds, points) for m in metrics],
                        first_bad[device, : len(seeds), : len(points)],
                    )
                    finished += len(points) * len(seeds)
        bar.set_postfix_str(f"{finished}/{grid.cells} cells")
    except KeyboardInterrupt:
        message = f"interrupted: {finished} of {grid.cells} cells were finished"
        announce(message)
        raise Interrupted(message, results.dataset(_attrs(grid, devices, precision, shapes, started))) from None
    finally:
        bar.close()
    diverged = int((results.status == DIVERGED).sum())
    if diverged:
        announce(f"{diverged} of {grid.cells} cells diverged; see status and first_bad_step")
    timings = {
        "compile_seconds": round(compile_seconds, 3),
        "programs_compiled": compiled,
        "probe_programs": probes,
        "probe_seconds": round(probe_seconds, 3),
    }
    return results.dataset(_attrs(grid, devices, precision, shapes, started) | timings)


class _Runner:
    """The cells of one bucket on the devices of this host."""

    def __init__(self, grid: Grid, bucket: Bucket, devices: tuple[Any, ...], precision: str, budget: int) -> None:
        self.grid, self.bucket, self.devices = grid, bucket, devices
        self.precision, self.budget = precision, budget
        self.swept = programs.swept_numbers(bucket.config, bucket.points)
        self.fixed = programs.numbers(
            bucket.config, [n for n in programs.traced_fields(bucket.config) if n not in self.swept]
        )
        self.point_count = len(bucket.position[0]) if bucket.position else 1
        self.sharding = NamedSharding(Mesh(np.array(devices), ("block",)), PartitionSpec("block"))
        self.segment = _FIRST_SEGMENT
        self._drawn: tuple[Any, Any] = (None, None)

    def build(self, block: Block) -> Program:
        return programs.build(
            self.grid.experiment,
            self.bucket.config,
            frozenset(self.swept),
            block,
            self.devices,
            self.precision,
            self.budget,
        )

    def fitted(self, shape: Block, keep: bool) -> tuple[Program, Block]:
        """The program of that shape, halved until it fits this bucket unless the shape was asked for."""
        while True:
            try:
                return self.build(shape), shape
            except OverBudgetError:
                if keep or shape == Block(1, 1):
                    raise
                shape = Block(max(shape.seeds // 2, 1), shape.points if shape.seeds > 1 else shape.points // 2)

    def rate(self, program: Program, shape: Block) -> float:
        part = next(self.rounds(shape))
        blocks = self._start(program, part, shape)
        fixed = self.fixed

        def advance(start: int, stop: int) -> Any:
            return program.advance(fixed | {"start": np.int32(start), "stop": np.int32(stop)}, blocks)

        return block_shapes.measured_rate(advance, shape.seeds * shape.points * len(self.devices))

    def rounds(self, shape: Block) -> Iterator[_Round]:
        """Seeds outside, so that consecutive blocks share their draw."""
        seeds = np.arange(len(self.grid.seeds))
        points = np.arange(self.point_count)
        work = list(itertools.product(_chunks(seeds, shape.seeds), _chunks(points, shape.points)))
        for part in _chunks(work, len(self.devices)):
            yield _Round([p for _, p in part], [s for s, _ in part])

    def train(
        self, program: Program, part: _Round, shape: Block, records: list[int], bar: Any
    ) -> tuple[list[Any], np.ndarray]:
        """Train one block on each device. Returns host metrics of every record, and first bad steps."""
        blocks = self._start(program, part, shape)
        cells = sum(len(p) * len(s) for p, s in zip(part.points, part.seeds, strict=True))
        steps = records[-1]
        metrics = []
        # The state that is known to be good; a segment that ends badly is replayed from here.
        checked, good_state = 0, blocks["state"]
        first_bad = np.full((len(self.devices), *shape), -1, np.int32)
        waiting = iter(records)
        record = next(waiting)
        t, finite, since = 0, None, time.perf_counter()
        while True:
            stop = min(record, checked + self.segment, steps)
            bounds = {"start": np.int32(t), "stop": np.int32(stop)}
            state, good = program.advance(self.fixed | bounds, blocks)
            finite = good if finite is None else finite & good
            blocks = blocks | {"state": state}
            t = stop
            if t == record:
                metrics.append(program.measure(self.fixed, blocks))
                record = next(waiting, steps + 1)
            if t < min(checked + self.segment, steps):
                continue
            newly_bad = ~np.asarray(finite) & (first_bad < 0)
            if newly_bad.any():
                bounds = {"start": np.int32(checked), "stop": np.int32(t)}
                found = program.first_bad(self.fixed | bounds, blocks | {"state": good_state})
                first_bad = np.where(newly_bad, np.asarray(found), first_bad)
            now = time.perf_counter()
            bar.update(cells * (t - checked) if steps else cells)
            pace = _SEGMENT_SECONDS / max(now - since, 1e-6)
            self.segment = int(np.clip(self.segment * np.clip(pace, 0.25, 8.0), 1, 1_000_000))
            checked, good_state, finite, since = t, state, None, now
            if record > steps:
                break
        return [jax.tree.map(np.asarray, m) for m in metrics], first_bad

    def _start(self, program: Program, part: _Round, shape: Block) -> dict[str, Any]:
        """Padded blocks with their draw and initial state; the padding repeats the first entry."""
        points = self._padded(part.points, shape.points)
        seeds = np.array(self.grid.seeds, np.uint32)[self._padded(part.seeds, shape.seeds)]
        swept = {n: jax.device_put(v[points], self.sharding) for n, v in self.swept.items()}
        if self._drawn[0] != (program.draw, seeds.tobytes()):
            self._drawn = (None, None)  # let go of the old draw before making the next
            draw = program.draw({}, {"seed": jax.device_put(seeds, self.sharding)})
            self._drawn = ((program.draw, seeds.tobytes()), draw)
        blocks = {"swept": swept, "draw": self._drawn[1]}
        return blocks | {"state": program.init(self.fixed, blocks)}

    def _padded(self, chunks: list[np.ndarray], length: int) -> np.ndarray:
        rows = chunks + chunks[:1] * (len(self.devices) - len(chunks))
        return np.stack([np.concatenate([r, np.repeat(r[:1], length - len(r))]) for r in rows])


def _check(grid, devices, memory, block, record_every, precision) -> tuple[tuple[Any, ...], int, Block | None]:
    if not isinstance(grid, Grid):
        raise ValueError(f"grid: {grid!r} is of type {type(grid).__name__}; allowed: a Grid")
    shape = block_shapes.parse_block(block)
    devices = local_devices.resolve(devices, _blocks(grid, shape))
    if precision not in programs.MATMUL_PRECISION:
        raise ValueError(f"precision: {precision!r}; allowed: {', '.join(programs.MATMUL_PRECISION)}")
    whole = isinstance(record_every, int) and not isinstance(record_every, bool) and record_every >= 1
    if record_every is not None and not whole:
        raise ValueError(f"record_every: {record_every!r}; allowed: a whole number of steps, 1 or more, or None")
    return devices, local_devices.parse_memory(memory, devices), shape


def _blocks(grid: Grid, shape: Block | None) -> int:
    """How many blocks the largest bucket has: more devices than that have nothing to do."""
    points = max(len(bucket.position[0]) if bucket.position else 1 for bucket in grid.buckets())
    if shape is None:
        shape = Block(1, block_shapes.SMALLEST)
    return -(-points // shape.points) * -(-len(grid.seeds) // shape.seeds)


def _chunks(items: Any, size: int) -> Iterator[Any]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _take(metrics: Any, device: int, seeds: np.ndarray, points: np.ndarray) -> Any:
    """One device's valid cells, points first: (points, seeds, ...)."""
    return jax.tree.map(lambda a: np.swapaxes(a[device][: len(seeds), : len(points)], 0, 1), metrics)


def _static_axes(grid: Grid) -> str:
    config = grid.experiment.Config
    static = {f.name for f in fields_of(config).values() if f.static}
    return ", ".join(axis.name for axis in grid.point_axes if static & axis.fields.keys())


def _attrs(grid: Grid, devices: tuple[Any, ...], precision: str, shapes: list[Block], started: float) -> dict[str, Any]:
    """What a reader needs to repeat the run; plain numbers and text, so that every format stores them."""
    versions = {"python": platform.python_version(), "jax": jax.__version__, "numpy": np.__version__}
    return {
        "experiment": grid.experiment.name,
        "reading": grid.reading,
        "settings": json.dumps(grid.settings()),
        "seeds": json.dumps(list(grid.seeds)),
        "versions": json.dumps(versions),
        "device": f"{devices[0].device_kind} ({devices[0].platform})",
        "devices": len(devices),
        "dtype": str(jnp.zeros(()).dtype),
        "precision": precision,
        "blocks": json.dumps(sorted({tuple(s) for s in shapes})),
        "wall_seconds": round(time.perf_counter() - started, 3),
    }
