"""A store of version 0.1, whose markers do not say what their blocks mean, made one of this version."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from snljax.sweep import files
from snljax.sweep.catalogue import FORMAT, MANIFEST, Catalogue
from snljax.sweep.descriptions import read_description, write_group
from snljax.sweep.files import StoreError
from snljax.sweep.store import Store


def migrate(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Make a store of version 0.1 one of this version, in place; run again after a crash, it goes on.

    Each finished block is compared with its hashes. If it is what was written its marker gets the hash of what it
    means, by the store's grids; if not, it loses its marker and is trained again. Checkpoints of blocks on their way
    are left out: these blocks start anew. No value is written: counts stay float32, as that version kept them.

    Args:
        path: its folder; no process may be training in it.

    Returns:
        How many finished blocks were kept, and how many were not what was written.

    Raises:
        StoreError: no store of version 0.1, or one that cannot be read or written.
    """
    path = pathlib.Path(os.path.abspath(path))
    if not path.is_dir():
        raise StoreError(f"store: {path} does not exist; allowed: a folder that a sweep with store= has made")
    manifest = read_description(path / MANIFEST, path / "data.zarr")
    if manifest.get("format") != 1:
        raise StoreError(f"store: {path} has format {manifest.get('format')}; allowed: 1, which this makes {FORMAT}")
    store = Store(Catalogue(path, manifest))
    kept = lost = 0
    with files.clear_errors(path):
        statics = _seal_programs(store)
        for block in np.flatnonzero(store.done()).tolist():
            if (marker := _checked(store, block)) is None:
                store.discard(block)
                lost += 1
                continue
            marker |= store.catalogue.meaning(block) | {"static": _static_key(store, block, statics)}
            files.replace(path / "done" / f"{block}.json", files.sealed(marker), durable=True)
            kept += 1
        for file in (path / "checkpoints").glob("*.npz"):
            file.unlink()
        now = {name: value for name, value in manifest.items() if name != "sha256"}
        now |= {"format": FORMAT, "migrated": True}
        write_group(path / "data.zarr", now)
        files.replace(path / MANIFEST, files.sealed(now), durable=True)
    return kept, lost


def _checked(store: Store, block: int) -> dict[str, Any] | None:
    """A block's marker, if it and all chunks are what was written."""
    try:
        marker = files.unsealed((store.path / "done" / f"{block}.json").read_bytes())
    except (*files.GONE, ValueError):
        return None
    intact = all(store.intact(block, name, sha) for name, sha in marker["arrays"].items())
    return marker if intact else None


def _seal_programs(store: Store) -> list[str]:
    """The lists of programs, sealed from now on; the names of the static fields.

    A damaged list is left out: the next sweep makes it anew from the markers.
    """
    names: list[str] | None = None
    for file in (store.path / "programs").glob("*.json"):
        try:
            about = files.parsed(file.read_bytes())
            static, accepted = dict(about["static"]), dict(about["accepted"])
        except (ValueError, KeyError, TypeError, RecursionError):
            file.unlink()
            continue
        names = sorted(static)
        key = json.dumps(static, sort_keys=True)
        target = store.path / "programs" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
        files.replace(target, files.sealed({"static": static, "accepted": accepted}))
    if names is None and store.done().any():
        raise StoreError(
            f"store: {store.path / 'programs'} is lost, and with it which fields are static; allowed: the folder "
            "restored, or another store"
        )
    return names or []


def _static_key(store: Store, block: int, names: list[str]) -> str:
    """The static fields of a block, as `programs.static_key` writes them."""
    settings = store.catalogue.settings_of(block)
    points = {n: values[0] for n, values in settings["points"].items()}
    return json.dumps({n: (settings["settings"] | points)[n] for n in names}, sort_keys=True)
