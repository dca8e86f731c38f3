"""Files that are whole or not there, sealed with a hash, and one clear message where the machine refuses."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_HINTS = {
    errno.ENOSPC: "space freed, then the same command again",
    errno.EDQUOT: "space freed, then the same command again",
    errno.EROFS: "a folder that can be written",
    errno.EACCES: "a folder that can be written",
    errno.EPERM: "a folder that can be written",
}


class StoreError(ValueError):
    """A store that cannot be used as asked; the message says what is allowed."""


@contextlib.contextmanager
def clear_errors(path: pathlib.Path, done: str = "written") -> Iterator[None]:
    """A StoreError where the operating system refuses."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "a folder that can be written and has room")
        raise StoreError(
            f"store: {path} cannot be {done} ({error.strerror or error}); "
            f"finished blocks stay and can be read; allowed: {hint}"
        ) from None


def replace(file: pathlib.Path, content: bytes | memoryview, durable: bool = False) -> None:
    """Write a file so that it is either the old one or the new one, never a part."""
    beside = _beside(file)
    try:
        with open(beside, "wb") as f:
            f.write(content)
            if durable:
                f.flush()
                os.fsync(f.fileno())
        os.replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_once(file: pathlib.Path, content: bytes) -> None:
    """Write a file whole, unless it exists: of several processes one wins."""
    beside = _beside(file)
    try:
        with open(beside, "wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        try:
            os.link(beside, file)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            if not file.exists():  # a file system without hard links
                os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def _beside(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")


def to_json(content: Any) -> bytes:
    """JSON that people can read too."""
    return json.dumps(content, indent=1).encode()


def sealed(content: dict[str, Any]) -> bytes:
    """JSON with the hash of the rest, so that a damaged description is not taken for another one."""
    return to_json(content | {"sha256": _digest(content)})


def unsealed(text: bytes | str) -> dict[str, Any]:
    """What `sealed` sealed; ValueError if it is anything else."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("sha256") != _digest(content):
        raise ValueError("it is not what was written")
    return content


def _digest(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
