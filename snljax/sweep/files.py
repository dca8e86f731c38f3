"""Files that are whole or not there, sealed with a hash, and one clear message where the machine refuses."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
PIECE = 1 << 22  # bytes that are read or written at once
_HINTS = {
    errno.ENOSPC: "space freed, then the same command again",
    errno.EDQUOT: "space freed, then the same command again",
    errno.EROFS: "a folder that can be written",
    errno.EACCES: "a folder that can be written",
    errno.EPERM: "a folder that can be written",
    errno.EMFILE: "fewer open files (ulimit -n), then the same again",
    errno.ENFILE: "fewer open files on this machine, then the same again",
}


class StoreError(ValueError):
    """A store that cannot be used as asked; the message says what is allowed."""


@contextlib.contextmanager
def clear_errors(path: pathlib.Path, done: str = "written") -> Iterator[None]:
    """A StoreError where the operating system refuses."""
    try:
        yield
    except OSError as error:
        wanted = "a folder that can be written and has room" if done == "written" else "a file system that answers"
        raise StoreError(
            f"store: {path} cannot be {done} ({error.strerror or error}); "
            f"finished blocks stay and can be read; allowed: {_HINTS.get(error.errno or 0, wanted)}"
        ) from None


@contextlib.contextmanager
def replacing(file: pathlib.Path, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write, beside the one that it replaces when all is written: never a part is seen."""
    beside = _beside(file)
    try:
        with open(beside, "w+b") as f:
            yield f
            if durable:
                f.flush()
                os.fsync(f.fileno())
        os.replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def replace(file: pathlib.Path, content: bytes | Iterable[bytes], durable: bool = False) -> None:
    """Write a file so that it is either the old one or the new one, never a part."""
    with replacing(file, durable) as f:
        for piece in (content,) if isinstance(content, bytes) else content:
            f.write(piece)


def write_once(file: pathlib.Path, content: bytes) -> None:
    """Write a file whole, unless it exists: of several processes one wins, and all see what that one wrote.

    The winner is whose hard link is made. Without hard links (FAT, some network and FUSE file systems) it is whose
    folder is renamed to the file's claim: renaming onto a folder that is not empty fails. What the claim holds is
    then copied to the file by everybody, so that a process killed between the two leaves nothing undone.
    """
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
        except OSError:
            _claim(file, beside)
    finally:
        beside.unlink(missing_ok=True)
    _make_durable(file.parent)


def _claim(file: pathlib.Path, written: pathlib.Path) -> None:
    if file.exists():
        return
    claim = file.with_name(f".{file.name}.claim")
    folder = _beside(file)
    folder.mkdir()
    try:
        os.replace(written, folder / "content")
        try:
            os.rename(folder, claim)
        except OSError:
            if not (claim / "content").exists() and not file.exists():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):  # another has done it, and taken the claim away
        if not file.exists():
            replace(file, (claim / "content").read_bytes(), durable=True)
    if file.exists():
        shutil.rmtree(claim, ignore_errors=True)  # or it would bring back what was written, should the file be lost


def _make_durable(folder: pathlib.Path) -> None:
    """The folder's entries survive a power cut; where the system has no such thing, the hashes have to do."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(file: BinaryIO, length: int) -> bytes:
    """The hash of the next bytes of a file, which need not fit into memory."""
    digest = hashlib.sha256()
    while length > 0 and (piece := file.read(min(PIECE, length))):
        digest.update(piece)
        length -= len(piece)
    return digest.digest()


def _beside(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")


def to_json(content: Any) -> bytes:
    """JSON that people can read too."""
    return json.dumps(content, indent=1).encode()


def parsed(text: bytes | str) -> Any:
    """JSON that anybody may have written; ValueError if it is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sealed(content: dict[str, Any]) -> bytes:
    """JSON with the hash of the rest, so that a damaged description is not taken for another one."""
    return to_json(content | {"sha256": digest(content)})


def unsealed(text: bytes | str) -> dict[str, Any]:
    """What `sealed` sealed; ValueError if it is anything else."""
    content = parsed(text)
    if not isinstance(content, dict) or content.get("sha256") != digest(content):
        raise ValueError("it is not what was written")
    return content


def digest(content: dict[str, Any]) -> str:
    """The hash of a description without its own hash."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
