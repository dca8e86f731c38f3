"""Blocks on their way, and their files: ``checkpoints/BLOCK.npz``, sealed, with the hash of what the block means."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from snljax.sweep import files

_SEAL = 32  # bytes of a SHA-256 at the end


class Checkpoint(NamedTuple):
    """A block after ``step`` updates. program: hash of the program that was training it. arrays: read when used."""

    step: int
    seconds: float
    program: str
    arrays: Mapping[str, np.ndarray]


def read_checkpoint(file: pathlib.Path, means: str) -> Checkpoint | None:
    """A block on its way, if it was interrupted; one that is damaged, or means another block, is none."""
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(open(file, "rb"))
        except files.GONE:
            return None
        length = os.fstat(opened.fileno()).st_size - _SEAL
        if length < 0 or files.sha256(opened, length) != opened.read(_SEAL):
            return None
        opened.seek(0)
        saved = np.lib.npyio.NpzFile(opened, own_fid=True, allow_pickle=False)
        about = json.loads(str(saved["about"]))
        if about.get("means") != means:
            return None
        stack.pop_all()  # arrays are read when used
        return Checkpoint(about["step"], about["seconds"], about["program"], saved)


def write_checkpoint(file: pathlib.Path, checkpoint: Checkpoint, means: str) -> None:
    """Keep a block on its way."""
    about = {"step": checkpoint.step, "seconds": checkpoint.seconds, "program": checkpoint.program, "means": means}
    file.parent.mkdir(exist_ok=True)
    with files.replacing(file) as opened:
        np.savez(opened, about=np.array(json.dumps(about)), **checkpoint.arrays)  # type: ignore[arg-type]
        length = opened.seek(0, io.SEEK_END)
        opened.seek(0)
        seal = files.sha256(opened, length)
        opened.seek(0, io.SEEK_END)
        opened.write(seal)
