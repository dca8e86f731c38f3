"""How long a figure took, kept beside its stores: a later call that only reads them still knows."""

from __future__ import annotations

import json
import pathlib
from typing import NamedTuple

FILE = "timing.json"


class Part(NamedTuple):
    """One Dataset of a figure.

    seconds: wall clock, of all calls that trained something of it; None where a part of it was trained before this
    was kept. calls: how many they were. date: of the last, year first. device: what that ran on, if it trained.
    """

    seconds: float | None
    calls: int
    date: str
    device: str = ""

    def __str__(self) -> str:
        if self.seconds is None:
            return "trained before its time was kept"
        device = f"{self.device}, " if self.device else ""
        return f"{device}{self.seconds:.0f} s" + (f" in {self.calls} calls" if self.calls > 1 else "")


UNKNOWN = Part(None, 0, "")


class Timing(NamedTuple):
    """A figure: its Datasets by name, and the seconds that drawing it took the last time."""

    parts: dict[str, Part]
    draw: float = 0.0

    @property
    def seconds(self) -> float:
        """All that is known, in wall-clock seconds."""
        return sum(part.seconds or 0.0 for part in self.parts.values()) + self.draw

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out of them."""
        return all(part.seconds is not None for part in self.parts.values())


def counted(known: Part | None, fresh: bool, seconds: float, date: str, device: str = "") -> Part:
    """A Dataset's time after another call trained some of it.

    Args:
        known: from the calls before, if any of them kept it.
        fresh: whether it found nothing to go on with: what is known, if anything, is of a store that is gone.
        seconds: of this call.
        date: of this call.
        device: what it ran on, if that is known.

    Returns:
        Part.

    Example:
        >>> first = counted(None, True, 60.0, "2026-01-31", "cpu")
        >>> str(counted(first, False, 30.0, "2026-02-01"))
        'cpu, 90 s in 2 calls'
    """
    if fresh:
        return Part(seconds, 1, date, device)
    known = known or UNKNOWN
    total = None if known.seconds is None else known.seconds + seconds
    return Part(total, known.calls + 1, date, device or known.device)


def read(folder: pathlib.Path) -> Timing:
    """What is kept in a figure's folder; nothing, if there is no such file or it is not one of ours.

    Example:
        >>> read(pathlib.Path("nowhere"))
        Timing(parts={}, draw=0.0)
    """
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Timing({label: Part(**part) for label, part in content["parts"].items()}, float(content["draw"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Timing({})


def to_json(timing: Timing) -> bytes:
    """The content of the file that `read` reads."""
    parts = {label: part._asdict() for label, part in timing.parts.items()}
    return (json.dumps({"parts": parts, "draw": timing.draw}, indent=2, ensure_ascii=False) + "\n").encode()
