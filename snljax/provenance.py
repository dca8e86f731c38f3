"""Which code made a result: versions, the commits of two repositories, and the command that was called."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time

_PACKAGES = ("snljax", "jax", "jaxlib", "numpy", "flax", "optax")
_GIT_SECONDS = 1.0  # for all that a process ever asks
_MOST = 1000  # characters of a command: it is in the marker of every block
_ANOTHER_REPOSITORY = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result's last bits depend on, as far as they are there.

    Example:
        >>> "snljax" in versions() and "jax" in versions()
        True
    """
    known = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {name: text for name, text in known.items() if text}


@functools.cache
def _version(package: str) -> str:
    """As it was imported, or as it is installed; empty if it is neither."""
    imported = getattr(sys.modules.get(package), "__version__", None)
    try:
        return str(imported or importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return ""


def provenance() -> dict[str, str | int]:
    """The command that was called and the commits of the code, as far as they are known.

    Git is asked once in a process, for at most a second, so that the commits are those of the first time. Without git,
    or where there is no repository, or no commit yet, nothing is said of it.

    Returns:
        Some of these, plain text and numbers:

        - ``command``: ``sys.argv``, quoted for a shell; cut where it is very long.
        - ``commit``: of the repository that the working folder is in, as a rule that of your script or notebook.
        - ``dirty``: 1 if a file that this repository tracks differs from the commit, or 0. Files that it does not
          track do not count.
        - ``snljax_commit``, ``snljax_dirty``: the same of the package, where it runs from a checkout
          (``pip install -e``); ``dirty`` is of the package's folder alone. Otherwise its version says what it is.

    Example:
        >>> set(provenance()) <= {"command", "commit", "dirty", "snljax_commit", "snljax_dirty"}
        True
    """
    return _command() | _commits()


def _command() -> dict[str, str | int]:
    words = [str(word) for word in getattr(sys, "argv", [])]
    text = shlex.join(words).encode(errors="backslashreplace").decode()  # files of results are UTF-8
    return {"command": text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."} if any(words) else {}


@functools.cache
def _commits() -> dict[str, str | int]:
    until = time.monotonic() + _GIT_SECONDS
    package = pathlib.Path(__file__).parent
    # A package that was installed into a repository, which does not track it, is not that repository's.
    return _commit("", ".", until, "HEAD") | _commit("snljax_", str(package), until, "HEAD", "HEAD:./__init__.py")


def _commit(prefix: str, folder: str, until: float, *there: str) -> dict[str, str | int]:
    """The commit of a folder's repository, and whether files differ from it, if all objects are there."""
    objects = _git(folder, until, "rev-parse", *there)
    if not objects:
        return {}
    changes = _git(folder, until, "status", "--porcelain", "--untracked-files=no", *(["."] if prefix else []))
    found: dict[str, str | int] = {f"{prefix}commit": objects.split()[0]}
    return found if changes is None else found | {f"{prefix}dirty": int(changes != "")}


def _git(folder: str, until: float, *arguments: str) -> str | None:
    """What git prints; None if it is not there, fails, or takes too long."""
    environment = {name: value for name, value in os.environ.items() if name not in _ANOTHER_REPOSITORY}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-C", folder, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},  # many jobs may ask at once, and nothing is to be written
            timeout=max(until - time.monotonic(), 0.0),
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
