"""Blocks that train together, one on each device: their networks, what was measured of them, and who diverged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from snljax.sweep import codec
from snljax.sweep.program import Program
from snljax.sweep.records import Records
from snljax.sweep.stop import Stop, all_ended


class Round:
    """One round on the devices, from its start or a checkpoint to its end.

    A segment that ends badly is trained again to find out when, from the state that the host last looked at. The
    program overwrites the state that it is given, so that one is copied; the first is made again instead.

    step: of the state. first_bad: (devices, seeds, points), updates after which a network was no longer finite, or -1.

    Args:
        program: of the blocks.
        fixed: what all networks share.
        blocks: draw, swept numbers and state, devices first.
        again: makes that state once more.
        kept: for each block its measurements; those before ``step`` are in them.
        steps: at which networks are measured, ascending.
        step: of the state that is given.
        first_bad: as known by then.
        most_waiting: measurements that may lie on the devices.
        at_once: of these, how many the program may take without the host; 1 where the host takes each.
        stop: when networks end before the last step, if they may.
    """

    def __init__(
        self,
        program: Program,
        fixed: dict[str, Any],
        blocks: dict[str, Any],
        again: Callable[[], Any],
        kept: Sequence[Records],
        steps: Sequence[int],
        step: int,
        first_bad: np.ndarray,
        most_waiting: int,
        at_once: int,
        stop: Stop | None = None,
    ) -> None:
        self.program, self.fixed, self.blocks, self.kept, self.steps = program, fixed, blocks, kept, steps
        self.step = step
        # One attribute, so that an interrupt finds both of the same moment: a checkpoint is made of them.
        self._known: tuple[int, Callable[[], Any]] = step, again
        self.first_bad = first_bad
        self._most_waiting, self._at_once = most_waiting, at_once
        self._measured: list[tuple[Any, int]] = []  # on the devices still, and how many times it is
        self._finite: Any = None
        self._stop, self._ended = stop, False

    @property
    def checked(self) -> int:
        """The step of the state that the host knows."""
        return self._known[0]

    @property
    def state(self) -> Any:
        """The state that the host knows."""
        return self._known[1]()

    @property
    def done(self) -> bool:
        """Whether all is measured, or all networks have ended."""
        return self._next_record is None or self._ended

    @property
    def _next_record(self) -> int | None:
        at = self._recorded
        return self.steps[at] if at < len(self.steps) else None

    @property
    def _recorded(self) -> int:
        return self.kept[0].count + sum(count for _, count in self._measured)

    def go(self, segment: int) -> None:
        """Train until ``segment`` steps after the last look, or to the end, and measure on the way."""
        until = min(self.checked + segment, self.steps[-1])
        while True:
            if (count := self._in_step(until)) > 1:
                self._go_recording(count)
            else:
                self._go_once(until)
            if sum(count for _, count in self._measured) >= self._most_waiting:
                self._fetch()
            if self.step >= until:
                return

    def _in_step(self, until: int) -> int:
        """How many of the next records may be taken without the host: those that are equally far apart."""
        at = self._recorded
        following = self.steps[at : at + self._at_once]
        every = following[0] - self.step if following else 0
        count = 0
        while every > 0 and count < len(following) and following[count] == self.step + (count + 1) * every <= until:
            count += 1
        return count

    def _go_recording(self, count: int) -> None:
        every = self.steps[self._recorded] - self.step
        times = _counted(self.step, every, count)
        state, good, measured = self.program.record(self.fixed | times, self.blocks)
        self._went(state, good, self.step + count * every)
        self._measured.append((measured, count))

    def _go_once(self, until: int) -> None:
        record = self._next_record
        stop = until if record is None else min(record, until)
        bounds = {"start": np.int32(self.step), "stop": np.int32(stop)}
        state, good = self.program.advance(self.fixed | bounds, self.blocks)
        self._went(state, good, stop)
        if stop == record:
            self._measured.append((self.program.measure(self.fixed, self.blocks), 1))

    def _went(self, state: Any, good: Any, step: int) -> None:
        self._finite = good if self._finite is None else self._finite & good
        self.blocks = self.blocks | {"state": state}
        self.step = step

    def look(self) -> int:
        """Find out who diverged since the last look, and take in what was measured; the steps since then."""
        newly_bad = ~np.asarray(self._finite) & (self.first_bad < 0)
        if newly_bad.any():
            bounds = {"start": np.int32(self.checked), "stop": np.int32(self.step)}
            found = self.program.first_bad(self.fixed | bounds, self.blocks | {"state": self.state})
            self.first_bad = np.where(newly_bad, np.asarray(found), self.first_bad)
        self._fetch()
        self._ended = self._stop is not None and all_ended(self._stop, self.kept, self.first_bad)
        since = self.step - self.checked
        state = self.blocks["state"] if self.done else copied(self.blocks["state"])
        self._known, self._finite = (self.step, lambda: state), None
        return since

    def _fetch(self) -> None:
        for values, count in self._measured:
            host = jax.tree.map(np.asarray, values)
            stacked = host if count > 1 else jax.tree.map(lambda a: a[:, None], host)
            for d, records in enumerate(self.kept):
                records.put(jax.tree.map(lambda a, d=d: a[d], stacked), count)
        self._measured.clear()


def copied(state: Any) -> Any:
    """The same numbers elsewhere, for a program takes the state that it is given."""
    return jax.tree.map(jnp.copy, state)


def records_alike(
    program: Program, fixed: dict[str, Any], blocks: dict[str, Any], again: Callable[[], Any], every: int
) -> bool:
    """Whether a program that measures on its way gives the same bits as its parts, called by the host in turn.

    Args:
        program: of a block. fixed, blocks: what it begins with. again: makes its first state once more.
        every: steps before each of two measurements.
    """
    together = program.record(fixed | _counted(0, every, 2), blocks | {"state": again()})
    blocks, measured = blocks | {"state": again()}, []
    for start in (0, every):
        bounds = {"start": np.int32(start), "stop": np.int32(start + every)}
        state, _ = program.advance(fixed | bounds, blocks)
        blocks = blocks | {"state": state}
        measured.append(program.measure(fixed, blocks))
    apart = [codec.to_host(tree) for tree in (blocks["state"], *measured)]
    kept = [np.asarray(a) for a in jax.tree.leaves(together[2])]
    found = [codec.to_host(together[0]), *([a[:, k] for a in kept] for k in (0, 1))]
    return all(a.tobytes() == b.tobytes() for x, y in zip(apart, found, strict=True) for a, b in zip(x, y, strict=True))


def _counted(start: int, every: int, count: int) -> dict[str, np.int32]:
    return {"start": np.int32(start), "every": np.int32(every), "count": np.int32(count)}
