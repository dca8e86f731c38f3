"""Training numbered blocks of a sweep on devices of this process; the same code for a loop and for a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import traced_fields
from snljax.sweep import codec, memory, program, shapes
from snljax.sweep.batch import RECORDS_AT_ONCE
from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.devices import human_bytes
from snljax.sweep.files import StoreError
from snljax.sweep.keeper import Keeper, Watcher
from snljax.sweep.layout import Block
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.pace import Pace
from snljax.sweep.program import OverBudgetError, Program
from snljax.sweep.records import Records
from snljax.sweep.round import Round, records_alike
from snljax.sweep.statics import numbers, static_key
from snljax.sweep.stop import at_its_end
from snljax.sweep.work import Finished, Job, Work
from snljax.variables import FIRST_BAD

_WORTH_COMPILING_SECONDS = 1.0


class _Start(NamedTuple):
    """A block to train, from its first step or from a checkpoint."""

    work: Work
    checkpoint: Checkpoint | None

    @property
    def step(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.step


class Trainer:
    """Trains blocks on devices of this process. It belongs to one thread.

    Args:
        job: what to train.
        systems: the functions of this sweep, for these devices.
        room: what a block may take of each device.
        expected: by `statics.static_key`, the fingerprints that the process has which asked for the blocks.
    """

    def __init__(self, job: Job, systems: Systems, room: Room, expected: dict[str, str] | None = None) -> None:
        self.job, self.systems, self.room, self.expected = job, systems, room, expected or {}
        self.devices = systems.devices
        columns = job.grid.columns()
        values = numbers(type(job.grid.config), {n: v for n, (_, v) in columns.items()})
        self.swept = {n: (columns[n][0], values[n]) for n in columns}
        self.sharding = NamedSharding(Mesh(np.array(self.devices), ("block",)), PartitionSpec("block"))
        self.programs: dict[str, tuple[Program, str]] = {}
        self._same_bits: dict[Any, bool] = {}  # programs that record, and whether they do so as the others
        self._pace = Pace()
        self._data: tuple[Any, Any] = (None, None)
        self._drawn: tuple[Any, Any] = (None, None)

    def run(self, blocks: Sequence[int], keeper: Keeper, watcher: Watcher) -> None:
        """Train blocks, as many at once as there are devices; those that raise end alone."""
        keeper.beat([])
        try:
            for starts in self._rounds(keeper.order(blocks), keeper):
                since, known = time.perf_counter(), len(self.programs)
                compiled, fingerprint = self.program(starts[0].work.config, keeper)
                if len(self.programs) > known:
                    watcher.compiled(time.perf_counter() - since)
                if any(s.checkpoint is not None and s.checkpoint.program != fingerprint for s in starts):
                    starts = [s._replace(checkpoint=None) for s in starts]  # of another program that was accepted
                _hand_over(self._attempt(compiled, fingerprint, starts, keeper, watcher), keeper, watcher)
        finally:
            keeper.beat([], ended=True)

    def program(self, config: Any, keeper: Keeper) -> tuple[Program, str]:
        """The program of the job's block shape, admitted by the keeper, and its fingerprint if anybody asks for it."""
        key = static_key(config)
        if key not in self.programs:
            recipe = self.systems.recipe(config, self.job.layout.block)
            try:
                compiled = program.build(recipe, self.room)
            except OverBudgetError as over:
                raise too_large(self.room, recipe.block, over) from None
            fingerprint = program.fingerprint(recipe) if keeper.compares or self.expected else ""
            if self.expected.get(key, fingerprint) != fingerprint and not self.job.plan.accept_program:
                raise ValueError(
                    "executor: a worker has another program than the process that sweeps (its version of jax, its "
                    "device, or the code or data that it finds there); allowed: workers alike, or accept_program"
                )
            keeper.admit(key, fingerprint, program.made_by(self.devices))
            self.programs[key] = compiled, fingerprint
        return self.programs[key]

    def _rounds(self, blocks: Iterable[int], keeper: Keeper) -> Iterator[list[_Start]]:
        """Blocks of one program that stand at the same step, one for each device."""
        starts: list[_Start] = []
        key: Any = None
        for block in blocks:
            start = _Start(self.job.work(block), keeper.checkpoint(block))
            at = static_key(start.work.config), start.step
            if starts and at != key:
                yield starts
                starts = []
            key = at
            starts.append(start)
            if len(starts) == len(self.devices):
                yield starts
                starts = []
        if starts:
            yield starts

    def _attempt(
        self, compiled: Program, fingerprint: str, starts: list[_Start], keeper: Keeper, watcher: Watcher
    ) -> list[Finished]:
        """A round; if it raises, each of its blocks alone, so that only the guilty one is lost."""
        keeper.beat([s.work for s in starts])
        try:
            return self._train(compiled, fingerprint, starts, keeper, watcher)
        except StoreError:
            raise
        except Exception as error:
            if len(starts) == 1:
                watcher.failed(starts[0].work, error)
                return []
        return [f for s in starts for f in self._attempt(compiled, fingerprint, [s], keeper, watcher)]

    def _train(
        self, compiled: Program, fingerprint: str, starts: list[_Start], keeper: Keeper, watcher: Watcher
    ) -> list[Finished]:
        works, spent = [s.work for s in starts], starts[0].checkpoint.seconds if starts[0].checkpoint else 0.0
        cells, steps = sum(w.cells for w in works), self.job.plan.records[-1]
        going = self.begin(compiled, starts, keeper)
        if going.step:
            watcher.went(cells * going.step)
            keeper.beat(works)
        began = time.perf_counter()
        self._pace.begin(began)

        def save() -> None:
            since = time.perf_counter()
            self._save(keeper, fingerprint, works, going, spent + since - began)
            self._pace.saved(since, time.perf_counter())

        try:
            while not going.done:
                going.go(self._pace.segment)
                went = going.look()
                now = time.perf_counter()
                done = cells * went if steps else cells
                watcher.went(done)
                keeper.beat(works, done)
                self._pace.looked(now)
                if keeper.checkpoints and self._pace.checkpoint_due(now) and not going.done:
                    save()
                self._pace.go_on(time.perf_counter())
        except KeyboardInterrupt:
            if keeper.checkpoints and going.checked > 0 and self._pace.worth_saving(time.perf_counter()):
                save()
            raise
        if going.checked < steps:  # all networks ended before
            watcher.went(cells * (steps - going.checked))
        seconds = (spent + time.perf_counter() - began) / len(works)
        program_of = static_key(works[0].config), fingerprint
        return [
            Finished(work, self._arrays(work, records, bad), program_of, seconds, records.release)
            for work, records, bad in zip(works, going.kept, going.first_bad, strict=False)
        ]

    def begin(self, compiled: Program, starts: Sequence[_Start], keeper: Keeper) -> Round:
        """The first moment of a round, or that of its checkpoints."""
        works, block, plan = [s.work for s in starts], self.job.layout.block, self.job.plan
        blocks, fixed = self.start(compiled, works), self.fixed(works[0].config)
        metrics = self.systems.metrics(works[0].config)
        most = self.room.for_records
        kept = [Records(metrics, block, len(plan.records), most, keeper.folder) for _ in works]
        first_bad = np.full((len(self.devices), *block), -1, np.int32)
        there = [s.checkpoint for s in starts if s.checkpoint is not None]
        if there:
            state, first_bad = codec.unpacked(there, len(self.devices), blocks["state"], self.sharding)
            blocks = blocks | {"state": state}
            for records, one in zip(kept, there, strict=True):
                codec.measured(one, records)
        waiting = max(1, most // max(1, memory.record_bytes(metrics, block)))

        def again() -> Any:
            state = compiled.init(fixed, {n: a for n, a in blocks.items() if n != "state"})
            return codec.unpacked(there, len(self.devices), state, self.sharding)[0] if there else state

        at_once = self._records_at_once(compiled, fixed, blocks, again, waiting)
        at = starts[0].step
        return Round(compiled, fixed, blocks, again, kept, plan.records, at, first_bad, waiting, at_once, plan.stop)

    def _records_at_once(
        self, compiled: Program, fixed: Any, blocks: Any, again: Callable[[], Any], waiting: int
    ) -> int:
        """How many measurements a device may take without the host.

        One, unless they are so many that calling the program for each of them takes longer than to compile another
        one, and that one was seen to give the same bits, on the first two records of the first round.
        """
        records, rounds = self.job.plan.records, self.job.layout.blocks / len(self.devices)
        saved = rounds * len(records) * shapes.machine_of(self.devices).pause
        if saved < _WORTH_COMPILING_SECONDS or waiting < RECORDS_AT_ONCE or len(records) < 4:
            return 1
        if compiled.advance not in self._same_bits:
            self._same_bits[compiled.advance] = records_alike(compiled, fixed, blocks, again, records[1] - records[0])
        return RECORDS_AT_ONCE if self._same_bits[compiled.advance] else 1

    def _save(self, keeper: Keeper, fingerprint: str, works: list[Work], going: Round, seconds: float) -> None:
        """A checkpoint for each block of the round; of the records those up to its step."""
        leaves = codec.to_host(going.state)
        count = sum(1 for r in self.job.plan.records if r <= going.checked)
        for d, work in enumerate(works):
            arrays = codec.packed(leaves, d, going.kept[d], count, going.first_bad[d])
            keeper.save(work.block, Checkpoint(going.checked, seconds, fingerprint, arrays))
            going.kept[d].release()

    def _arrays(self, work: Work, records: Records, first_bad: np.ndarray) -> dict[str, np.ndarray]:
        """A block's cells: metric -> (seeds, points, records, ...)."""
        seeds, points = len(work.seeds), len(work.positions[0]) if work.positions else 1
        first_bad = first_bad[:seeds, :points]
        plan = self.job.plan
        arrays = records.valid(seeds, points, first_bad, list(plan.records)) | {FIRST_BAD: first_bad}
        return arrays if plan.stop is None else at_its_end(plan.stop, arrays, plan.records, records.count)

    def fixed(self, config: Any) -> dict[str, Any]:
        """What all networks of a block share: traced fields that are not swept, and data."""
        traced = traced_fields(config)
        shared = numbers(type(config), {n: v for n, v in traced.items() if n not in self.swept})
        return {"numbers": shared, "data": self.data(config)}

    def data(self, config: Any) -> Any:
        """The experiment's data, a copy on each device."""
        key = static_key(config)
        if self._data[0] != key:
            self._data = (None, None)  # let go of the old data before placing the next
            data = self.systems.data(config)
            self._data = (key, jax.device_put(data, NamedSharding(self.sharding.mesh, PartitionSpec())))
        return self._data[1]

    def start(self, compiled: Program, works: Sequence[Work]) -> dict[str, Any]:
        """Padded blocks with their draw and initial state; the padding repeats the first entry."""
        block = self.job.layout.block
        seeds = np.array(self.job.grid.seeds, np.uint32)[self._padded([w.seeds for w in works], block.seeds)]
        swept = {
            n: jax.device_put(values[self._padded([w.positions[axis] for w in works], block.points)], self.sharding)
            for n, (axis, values) in self.swept.items()
        }
        if self._drawn[0] != (compiled.draw, seeds.tobytes()):
            self._drawn = (None, None)  # let go of the old draw before making the next
            draw = compiled.draw({"data": self.data(works[0].config)}, {"seed": jax.device_put(seeds, self.sharding)})
            self._drawn = ((compiled.draw, seeds.tobytes()), draw)
        blocks = {"swept": swept, "draw": self._drawn[1]}
        return blocks | {"state": compiled.init(self.fixed(works[0].config), blocks)}

    def _padded(self, rows: list[np.ndarray], length: int) -> np.ndarray:
        rows = rows + rows[:1] * (len(self.devices) - len(rows))
        return np.stack([np.concatenate([r, np.repeat(r[:1], length - len(r))]) for r in rows])


def _hand_over(finished: list[Finished], keeper: Keeper, watcher: Watcher) -> None:
    """All of a round, before anybody hears of it: who does may raise."""
    for one in finished:
        keeper.put(one)
    for one in finished:
        watcher.kept(one.work.block, one.work.cells, one.diverged)


def too_large(room: Room, block: Block, over: OverBudgetError) -> ValueError:
    """What to say of a block that needs more than there is room."""
    return ValueError(
        f"memory: {human_bytes(room.bytes)} a device is too small for block={tuple(block)}; "
        f"allowed: {human_bytes(over.needed)} or more, or a smaller block"
    )
