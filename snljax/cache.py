"""The folder of the user's machine in which the package remembers what it can make again: compiled code, block shapes.

Nothing that a result needs lies there. It may be deleted at any time, by whoever likes to.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform

import platformdirs

VARIABLE = "SNLJAX_CACHE"


def folder() -> pathlib.Path | None:
    """Where things are remembered for this machine, whether or not it exists yet.

    The environment variable SNLJAX_CACHE names another folder than the platform's, or is "off". Below it each kind of
    machine has its own: a home folder may be shared by computers with other processors, and what one of them compiled
    or measured is not the other's.

    Returns:
        A folder, or None where nothing is to be remembered.

    Example:
        >>> remembered = folder()
        >>> remembered is None or remembered.is_absolute()
        True
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.strip().lower() == "off":
        return None
    try:
        root = pathlib.Path(chosen or platformdirs.user_cache_dir("snljax")).expanduser().absolute()
    except (OSError, RuntimeError):  # no home, or no working folder
        return None
    return root / machine()


@functools.cache
def machine() -> str:
    """A name for machines on which compiled code and measured speeds are alike: processor, cores, version of jaxlib."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = [platform.system(), platform.machine(), _processor(), str(cores), importlib.metadata.version("jaxlib")]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _processor() -> str:
    """Its name and what it can do, as far as the system tells."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return platform.processor()
    told = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU")  # not its clock, which moves
    return "\n".join(line for line in lines.splitlines() if line.startswith(told))
