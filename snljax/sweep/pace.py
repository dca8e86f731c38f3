"""How often the host looks at what the devices do, and how often it writes down how far they are."""

from __future__ import annotations

import numpy as np

SEGMENT_SECONDS = 0.5  # how often the host looks: progress, divergence, Ctrl-C
CHECKPOINT_SECONDS = 30.0  # what a preempted job loses at most, and half of what is promised
CHECKPOINT_SHARE = 20  # a checkpoint that takes a second is made every twenty
_FIRST_SEGMENT = 8
_LONGEST = 1_000_000


class Pace:
    """Kept from round to round. segment: steps between two looks."""

    def __init__(self) -> None:
        self.segment = _FIRST_SEGMENT
        self._looked = self._saved = 0.0
        self._pause = CHECKPOINT_SECONDS

    def begin(self, now: float) -> None:
        """A round begins."""
        self._looked = self._saved = now
        self._pause = CHECKPOINT_SECONDS

    def looked(self, now: float) -> None:
        """The host has looked: the next segment is longer or shorter, by how long this one took."""
        faster = SEGMENT_SECONDS / max(now - self._looked, 1e-6)
        self.segment = int(np.clip(self.segment * np.clip(faster, 0.25, 8.0), 1, _LONGEST))

    def go_on(self, now: float) -> None:
        """The next segment begins."""
        self._looked = now

    def checkpoint_due(self, now: float) -> bool:
        """Whether so long a time has passed since the last one that another is worth its own time."""
        return now - self._saved > self._pause

    def worth_saving(self, now: float) -> bool:
        """Whether, on the way out, more than a moment's work would be lost."""
        return now - self._saved > 2 * SEGMENT_SECONDS

    def saved(self, began: float, now: float) -> None:
        """A checkpoint has been written."""
        self._saved = now
        self._pause = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (now - began))
