"""Text files that list images and their labels, a line ``path label`` for each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from snljax.wording import one_line, shown


class Line(NamedTuple):
    """An image of a list.

    where: the list and the line, as an error should call it. file: the image. label: its class, from 0.
    """

    where: str
    file: Path
    label: int


def read(list_file: Path, root: Path) -> list[Line]:
    """The images of a list, in its order; each file is there.

    Args:
        list_file: text, UTF-8; what follows the last blank of a line is the label, so that paths may hold blanks.
        root: folder that the paths begin in.

    Returns:
        One for each line that is not blank, at least one.

    Raises:
        ValueError: what is wrong with the list, or with the first line that is wrong.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a.png").touch()
        >>> written = (folder / "list.txt").write_text("a.png 3")
        >>> [(line.file.name, line.label) for line in read(folder / "list.txt", folder)]
        [('a.png', 3)]
    """
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{list_file}: cannot be read ({one_line(f'{type(error).__name__}: {error}')}); allowed: a text file"
        ) from None
    lines = text.split("\n")
    found = [_line(f"{list_file}, line {i}", line, root) for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{list_file}: no images; allowed: a line 'path label' for each")
    return found


def _line(where: str, line: str, root: Path) -> Line:
    parts = line.rsplit(maxsplit=1)
    if len(parts) < 2:
        raise ValueError(f"{where}: {shown(line.strip())}; allowed: a path and a label")
    path, label = parts[0].strip(), parts[1]
    # More than 18 digits fit no int64, and int() takes signs, underscores and other scripts' digits too.
    if not (label.isascii() and label.isdigit() and len(label) <= 18):
        raise ValueError(f"{where}: label {shown(label)}; allowed: a whole number from 0")
    file = root / path
    if not file.is_file():
        raise ValueError(f"{where}: {str(file)!r} is missing; allowed: the path of a file, below {root}")
    return Line(where, file, int(label))
