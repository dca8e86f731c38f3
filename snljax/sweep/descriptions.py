"""Descriptions in a store: sealed JSON files, and a copy of each among the attributes of a zarr group."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

from snljax.sweep import files
from snljax.sweep.files import StoreError


def read_description(file: pathlib.Path, group: pathlib.Path) -> dict[str, Any]:
    """A description, or its copy among the attributes of a zarr group; either only if it is what was written."""

    try:
        return files.unsealed(file.read_bytes())
    except (OSError, ValueError) as error:
        try:
            copy = files.unsealed(json.dumps(files.parsed((group / "zarr.json").read_bytes())["attributes"]["snljax"]))
        except (OSError, ValueError, KeyError, TypeError):
            reason = error.strerror if isinstance(error, OSError) else "it is not what was written"
            raise StoreError(
                f"store: {file} cannot be read ({reason}), and {group} holds no copy of it; allowed: the file restored"
            ) from None
        warnings.warn(f"{file} cannot be read; its copy in {group} is used", stacklevel=2)
        return copy


def write_group(folder: pathlib.Path, about: dict[str, Any]) -> None:
    """A zarr group that carries a copy of a description; written anew where it carries anything else."""
    file, copy = folder / "zarr.json", files.sealed(about)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"snljax": json.loads(copy)}}
    with contextlib.suppress(*files.GONE, ValueError):
        if files.parsed(file.read_bytes()) == group:
            return
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(file, files.to_json(group), durable=True)


def numbered(folder: pathlib.Path, suffix: str = ".json") -> Iterator[int]:
    """The numbers N of a folder's entries that are called N and the suffix, as this module writes them."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            number = entry.name.removesuffix(suffix)
            if number.isdecimal() and len(number) < 16 and entry.name == f"{int(number)}{suffix}":
                yield int(number)
