"""Pictures that commands write: each is written whole, and over no picture that is not one of ours as we left it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import uuid
import zlib
from collections.abc import Iterator

# Ending -> how a comment is written behind the end of such a file; PNG has a chunk for it.
_COMMENTS = {".svg": "\n<!-- {} -->\n", ".pdf": "\n% {}\n", ".eps": "\n% {}\n", ".ps": "\n% {}\n", ".pgf": "\n% {}\n"}
_PNG, _PNG_END = ".png", 12  # bytes of the chunk that ends it


def check(out: pathlib.Path) -> None:
    """Look whether a picture may be written, before any work is done for it.

    Args:
        out: the picture.

    Raises:
        ValueError: a name without an ending, or something is there that is not a picture as snljax drew it.
    """
    if not out.suffix:
        raise ValueError(f"out: {out} has no ending, which says what kind of picture; allowed: {out}.png, for example")
    if not out.exists():
        return
    try:
        ours = out.is_file() and is_ours(out.read_bytes(), out.suffix)
    except OSError as error:
        raise ValueError(f"out: {out} cannot be read ({error.strerror}); allowed: another name") from None
    if not ours:
        raise ValueError(
            f"out: {out} was not drawn by this command, or changed since; allowed: another name, or it moved away"
        )


@contextlib.contextmanager
def replacing(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """A place beside a picture, to draw it at; then it is marked as ours and put in its place.

    Args:
        out: the picture; its ending says which kind.

    Yields:
        Where to draw.

    Raises:
        ValueError: as `check`, and whatever drawing raises, about out.
    """
    check(out)
    out = out.resolve() if out.is_symlink() else out  # what it leads to is replaced, not the link
    part = out.with_name(f".{out.stem}-{uuid.uuid4().hex[:8]}{out.suffix}")
    try:
        yield part
        part.write_bytes(marked(part.read_bytes(), out.suffix))
        os.replace(part, out)
    except ValueError as error:
        raise ValueError(str(error).replace(str(part), str(out))) from None
    except OSError as error:
        raise ValueError(f"out: {out} cannot be written ({error.strerror}); allowed: a folder with room") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def marked(content: bytes, ending: str) -> bytes:
    """A picture with a mark that holds its hash, where its format takes comments; else as it is.

    Args:
        content: the file's bytes.
        ending: of its name, such as ``".png"``.

    Example:
        >>> marked(b"<svg></svg>", ".svg").decode().split("sha256")[0]
        '<svg></svg>\\n<!-- drawn by snljax, '
    """
    note = f"drawn by snljax, sha256 {hashlib.sha256(content).hexdigest()}"
    if ending == _PNG:
        chunk = b"tEXt" + b"Comment\0" + note.encode()
        whole = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        return content[:-_PNG_END] + whole + content[-_PNG_END:]
    return content + _COMMENTS[ending].format(note).encode() if ending in _COMMENTS else content


def is_ours(content: bytes, ending: str) -> bool:
    """Whether a picture is one that `marked` returned, to the last byte.

    Example:
        >>> is_ours(marked(b"<svg></svg>", ".svg"), ".svg"), is_ours(b"<svg></svg>", ".svg")
        (True, False)
    """
    added = len(marked(bytes(_PNG_END), ending)) - _PNG_END
    end = len(content) - (_PNG_END if ending == _PNG else 0)
    plain = content[: end - added] + content[end:]
    return 0 < added < end and marked(plain, ending) == content
