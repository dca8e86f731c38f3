"""Blocks that train together, one on each device: their networks, what was measured of them, and who diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from snljax.sweep.program import Program
from snljax.sweep.records import Records


class Round:
    """One round on the devices, from its start or a checkpoint to its end.

    step: of the state. checked: of the state that the host has looked at, and knows. first_bad: (devices, seeds,
    points), updates after which a network was no longer finite, or -1. done: whether the last record is measured.

    Args:
        program: of the blocks.
        fixed: what all networks share.
        blocks: draw, swept numbers and state, devices first.
        kept: for each block its measurements; those before ``step`` are in them.
        steps: at which networks are measured, ascending.
        step: of the state that is given.
        first_bad: as known by then.
        most_waiting: measurements that may lie on the devices.
    """

    def __init__(
        self,
        program: Program,
        fixed: dict[str, Any],
        blocks: dict[str, Any],
        kept: Sequence[Records],
        steps: Sequence[int],
        step: int,
        first_bad: np.ndarray,
        most_waiting: int,
    ) -> None:
        self.program, self.fixed, self.blocks, self.kept, self.steps = program, fixed, blocks, kept, steps
        self.step = self.checked = step
        self.first_bad = first_bad
        self._most_waiting = most_waiting
        self._measured: list[Any] = []  # on the devices still
        self._sound = blocks["state"]  # a segment that ends badly is replayed from here
        self._finite: Any = None

    @property
    def state(self) -> Any:
        """The state that the host knows."""
        return self._sound

    @property
    def done(self) -> bool:
        """Whether all is measured."""
        return self._next_record is None

    @property
    def _next_record(self) -> int | None:
        at = self.kept[0].count + len(self._measured)
        return self.steps[at] if at < len(self.steps) else None

    def go(self, segment: int) -> None:
        """Train until ``segment`` steps after the last look, or to the end, and measure on the way."""
        until = min(self.checked + segment, self.steps[-1])
        while True:
            record = self._next_record
            stop = until if record is None else min(record, until)
            bounds = {"start": np.int32(self.step), "stop": np.int32(stop)}
            state, good = self.program.advance(self.fixed | bounds, self.blocks)
            self._finite = good if self._finite is None else self._finite & good
            self.blocks = self.blocks | {"state": state}
            self.step = stop
            if stop == record:
                self._measured.append(self.program.measure(self.fixed, self.blocks))
                if len(self._measured) >= self._most_waiting:
                    self._fetch()
            if stop == until:
                return

    def look(self) -> int:
        """Find out who diverged since the last look, and take in what was measured; the steps since then."""
        newly_bad = ~np.asarray(self._finite) & (self.first_bad < 0)
        if newly_bad.any():
            bounds = {"start": np.int32(self.checked), "stop": np.int32(self.step)}
            found = self.program.first_bad(self.fixed | bounds, self.blocks | {"state": self._sound})
            self.first_bad = np.where(newly_bad, np.asarray(found), self.first_bad)
        self._fetch()
        since = self.step - self.checked
        self.checked, self._sound, self._finite = self.step, self.blocks["state"], None
        return since

    def _fetch(self) -> None:
        for values in self._measured:
            host = jax.tree.map(np.asarray, values)
            for d, records in enumerate(self.kept):
                records.put(jax.tree.map(lambda a, d=d: a[d], host))
        self._measured.clear()
