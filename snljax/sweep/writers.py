"""What each process that trains for a store says of itself, so that they keep out of each other's way."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from snljax.sweep import files

LIVE_SECONDS = 120.0  # a process that has not been heard of for so long is taken for dead
_BEAT_SECONDS = 1.0
_FIELDS = {
    **{"host": str, "pid": int, "started": float, "updated": float},
    **{"blocks": int, "cells": int, "steps": int, "training": list, "ended": bool},
}


class Writers:
    """The processes of a store, and this one among them. folder: one small file for each."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.started = time.time()
        self.blocks = self.cells = self.steps = 0
        self._written = 0.0
        self._claimed: tuple[float, set[int]] = (0.0, set())

    def count(self, cells: int) -> None:
        """This process has finished a block."""
        self.blocks, self.cells = self.blocks + 1, self.cells + cells

    def beat(self, training: Iterable[int], steps: int = 0, ended: bool = False) -> None:
        """Say what this process does; written at most once a second.

        Args:
            training: blocks in training.
            steps: network-steps done since the last call.
            ended: this process trains no more, for now.
        """
        self.steps += steps
        now = time.time()
        if now - self._written < _BEAT_SECONDS and not ended:
            return
        self._written = now
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": self.started,
            "updated": now,
            "blocks": self.blocks,
            "cells": self.cells,
            "steps": self.steps,
            "training": [] if ended else list(training),
            "ended": ended,
        }
        with files.clear_errors(self.folder.parent):
            self.folder.mkdir(exist_ok=True)
            files.replace(self.folder / f"{self.name}.json", files.to_json(about))

    def all(self) -> list[dict[str, Any]]:
        """What every process that ever wrote here last said, and whether it is likely to go on (``live``)."""
        found = []
        for file in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                about = files.parsed(file.read_bytes())
                about = {name: kind(about[name]) for name, kind in _FIELDS.items()}
                found.append(about | {"name": file.stem, "live": not about["ended"] and _alive(about)})
        return found

    def order(self, blocks: np.ndarray, is_done: Callable[[int], bool]) -> Iterator[int]:
        """Blocks still to train. Processes of one store begin apart, and leave to the last what others train."""
        live = sorted((w["started"], w["name"]) for w in self._live())
        start = len(blocks) * sum(w < (self.started, self.name) for w in live) // (len(live) + 1)
        later = []
        for block in np.roll(blocks, -start).tolist():
            if is_done(block):
                continue
            if block in self._others():
                later.append(block)
            else:
                yield block
        yield from (block for block in later if not is_done(block))

    def _live(self) -> list[dict[str, Any]]:
        """Other processes that were heard of lately."""
        return [w for w in self.all() if w["name"] != self.name and w["live"]]

    def _others(self) -> set[int]:
        """Blocks in the hands of other processes, as of the last second."""
        now = time.time()
        if now - self._claimed[0] > _BEAT_SECONDS:
            self._claimed = (now, {block for w in self._live() for block in w["training"]})
        return self._claimed[1]


def _alive(writer: dict[str, Any]) -> bool:
    """Heard of lately, and, where this host can tell, a process that exists.

    A clock that is ahead by more than that proves nothing either: its last words would stay new for ever.
    """
    if abs(time.time() - writer["updated"]) > LIVE_SECONDS:
        return False
    if writer["host"] != socket.gethostname():
        return True
    try:
        os.kill(writer["pid"], 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # another user's
    return True
