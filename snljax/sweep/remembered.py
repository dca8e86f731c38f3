"""Compiled code that outlives the process: kept in the user's cache, and found again by the text it is compiled from.

JAX has a cache of its own, for all that a process compiles; whoever has set that one keeps it, and nothing is kept
here. Set by us it would take in what the user compiles too, and a process that is killed as it writes leaves a part of
a file there that warns for ever. Here only programs of sweeps are kept; a file is whole or it is not there; what cannot
be read or written is compiled, without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import sys
import time
import zlib
from typing import Any

import jax
import jaxlib
from jax.experimental import serialize_executable

from snljax import cache
from snljax.sweep import files

MOST_BYTES = 500_000_000  # of all machines that share the folder: thousands of programs
_STALE_SECONDS = 3600.0  # of a file that nobody went on writing
# Text that means something else in each process: addresses of functions on the host.
_OF_THIS_PROCESS = ("callback", "CustomSPMDPartitioning")


def compiled(lowered: Any, devices: tuple[Any, ...]) -> Any:
    """The executable of a lowered function for some devices: from the cache, or compiled and left there.

    Its text has to tell all of it: it is lowered with the arguments that it does not use.
    """
    file = _file(lowered, devices)
    if file is None:
        return lowered.compile()
    if (known := _read(file, lowered, devices)) is not None:
        return known
    made = lowered.compile()
    _keep(file, made)
    return made


def size(folder: pathlib.Path) -> tuple[int, int]:
    """How many programs are kept for all machines that share a cache, and their bytes. folder: of this machine."""
    kept = _all(folder)
    return len(kept), sum(size for _, size, _ in kept)


def _file(lowered: Any, devices: tuple[Any, ...]) -> pathlib.Path | None:
    """Where a program lies, or would; None where it is not to be kept."""
    folder = cache.folder()
    config: Any = jax.config
    if folder is None or config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return None
    text = lowered.as_text()
    if any(word in text for word in _OF_THIS_PROCESS):
        return None
    return folder / "programs" / _name(lowered, text, devices)


def _name(lowered: Any, text: str, devices: tuple[Any, ...]) -> str:
    """The hash of all that executables follow from: text, versions, devices, and whatever is set of JAX and XLA."""
    parts: list[Any] = [jax.__version__, jaxlib.__version__, devices[0].client.platform_version]
    parts += [jax.tree.leaves(tree) for tree in (lowered.args_info, lowered.out_info)]
    parts += [[(d.platform, d.device_kind, d.id) for d in devices], len(jax.devices(devices[0].platform))]
    parts += [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    parts += [a for a in sys.argv if a.startswith("--xla")]
    parts += [(n, value) for n, value in sorted(jax.config.values.items()) if n != "jax_compilation_cache_dir"]
    digest = hashlib.sha256(repr(parts).encode())
    digest.update(text.encode())
    return digest.hexdigest()


def _read(file: pathlib.Path, lowered: Any, devices: tuple[Any, ...]) -> Any:
    """None if it is not there, or is not what was written."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    try:
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise ValueError("damaged")
        takes = jax.tree.structure(lowered.args_info)
        known = serialize_executable.deserialize_and_load(
            zlib.decompress(content[32:]), takes, lowered.out_tree, execution_devices=devices
        )
    except Exception:  # whatever JAX makes of it; compiling needs none of it
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # used last now
    return known


def _keep(file: pathlib.Path, executable: Any) -> None:
    """Write it, and let go of what was not used for longest; neither is worth an error."""
    try:
        content, _, _ = serialize_executable.serialize(executable)
    except Exception:  # a platform that cannot
        return
    packed = zlib.compress(content, 1)
    with contextlib.suppress(OSError):
        # What lies there is run: nobody else may write it.
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(file, hashlib.sha256(packed).digest() + packed)
        _make_room(file.parent.parent)


def _make_room(folder: pathlib.Path) -> None:
    now, kept = time.time(), _all(folder)
    over = sum(size for _, size, _ in kept) - MOST_BYTES
    for used, size, path in sorted(kept):
        abandoned = path.name.startswith(".") and now - used > _STALE_SECONDS
        if over > 0 or abandoned:
            with contextlib.suppress(OSError):
                path.unlink()
            over -= size


def _all(folder: pathlib.Path) -> list[tuple[float, int, pathlib.Path]]:
    """When each file was last used, its bytes and its path; of all machines that share a cache."""
    found = []
    for path in folder.parent.glob("*/programs/*"):
        with contextlib.suppress(OSError):  # another process took it away
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return found
