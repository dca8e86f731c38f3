"""What trainers ask of whoever keeps the blocks that they finish, and what they say while they train."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from snljax.sweep.checkpoint import Checkpoint
from snljax.sweep.work import Finished, Work


class Keeper(Protocol):
    """Keeps trained blocks."""

    @property
    def checkpoints(self) -> bool:
        """Whether it keeps blocks on their way, too."""

    @property
    def compares(self) -> bool:
        """Whether it asks which program trained a block."""

    @property
    def folder(self) -> pathlib.Path | None:
        """Where measurements may lie that are too many for the memory; None is the system's."""

    def order(self, blocks: Sequence[int]) -> Iterable[int]:
        """Blocks still to train, in the order in which that is best."""

    def admit(self, key: str, fingerprint: str, made_by: dict[str, str]) -> None:
        """Refuse a program that may not train here."""

    def checkpoint(self, block: int) -> Checkpoint | None:
        """A block on its way."""

    def save(self, block: int, checkpoint: Checkpoint) -> None:
        """Keep a block on its way."""

    def beat(self, works: Sequence[Work], steps: int = 0, ended: bool = False) -> None:
        """What is in training now, and the network-steps that were done since the last call."""

    def put(self, finished: Finished) -> None:
        """Keep a trained block."""


class Watcher(Protocol):
    """Hears what happens."""

    def compiled(self, seconds: float) -> None:
        """A program is ready, after so long."""

    def went(self, steps: int) -> None:
        """So many network-steps are done."""

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """A block is finished and kept, with so many networks, of which so many diverged."""

    def failed(self, work: Work, error: Exception) -> None:
        """A block raised; the others go on."""


class Plain:
    """A Keeper of finished blocks and of nothing else; what it does with them is for its heirs to say."""

    checkpoints, compares, folder = False, False, None

    def order(self, blocks: Sequence[int]) -> Iterable[int]:
        """As they come."""
        return blocks

    def admit(self, key: str, fingerprint: str, made_by: dict[str, str]) -> None:
        """Any program may."""

    def checkpoint(self, block: int) -> Checkpoint | None:
        """None."""
        return None

    def save(self, block: int, checkpoint: Checkpoint) -> None:
        """Nothing is kept."""

    def beat(self, works: Sequence[Work], steps: int = 0, ended: bool = False) -> None:
        """Nobody listens."""
