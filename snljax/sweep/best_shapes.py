"""Block shapes that were measured once, kept for the next sweep of the same size and program on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
from typing import Any

from snljax import cache
from snljax.sweep import files
from snljax.sweep.layout import Block


def key_of(*what: Any) -> str:
    """A name for all that a choice follows from."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def recall(key: str) -> Block | None:
    """The shape that was found best, if that is known."""
    file = _file(key)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        seeds, points = files.unsealed(file.read_bytes())["block"] if file else (0, 0)
        if isinstance(seeds, int) and isinstance(points, int) and min(seeds, points) >= 1:
            return Block(seeds, points)
    return None


def remember(key: str, shape: Block) -> None:
    """Keep it; where that cannot be written, it is looked for again."""
    file = _file(key)
    with contextlib.suppress(OSError):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            files.replace(file, files.sealed({"block": list(shape)}))


def _file(key: str) -> pathlib.Path | None:
    folder = cache.folder()
    return folder and folder / "blocks" / f"{key}.json"
