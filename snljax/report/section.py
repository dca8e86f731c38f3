"""What a page says of one figure, read from the folder that ``reproduce`` filled."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any, NamedTuple

from snljax import figures
from snljax.report import timing
from snljax.report.pictures import reduced


class Checked(NamedTuple):
    """A claim as its file has it, all of it text."""

    text: str
    source: str
    verdict: str
    measured: str
    threshold: str


class Section(NamedTuple):
    """One figure.

    name, paper, summary: as ``figures.NAMES`` has them. trouble: why this call has not made it, nothing if it has.
    claims, remarks: of its report. pictures: name -> content of a PNG file. timing: of all calls.
    """

    name: str
    paper: str
    summary: str
    trouble: str = ""
    claims: tuple[Checked, ...] = ()
    remarks: tuple[str, ...] = ()
    pictures: dict[str, bytes] = {}  # noqa: RUF012  # never written to
    timing: timing.Timing = timing.Timing({})

    @property
    def is_there(self) -> bool:
        """Whether there is a report to show."""
        return bool(self.remarks)


def section(name: str, folder: pathlib.Path, trouble: str = "", earlier: bool = False) -> Section:
    """What a page says of a figure.

    Args:
        name: of ``figures.NAMES``.
        folder: that ``reproduce`` filled, or began to.
        trouble: why this call has not made it; nothing if it has.
        earlier: whether what an earlier call has left there is shown beside the trouble.

    Returns:
        Section; without a report where the folder has none that can be read, or none that is to be shown.

    Example:
        >>> section("topk-heatmap", pathlib.Path("nowhere"), "stopped before it").is_there
        False
    """
    entry = figures.NAMES[name]
    empty = Section(name, entry.paper, entry.summary, trouble)
    if trouble and not earlier:
        return empty
    try:
        claims, remarks = claims_of(folder)
        pictures = {_picture_name(name, file.stem): reduced(file) for file in sorted(folder.glob("*.png"))}
        return empty._replace(claims=claims, remarks=remarks, pictures=pictures, timing=timing.read(folder))
    except (OSError, ValueError, TypeError, KeyError):  # none yet, or what a call that was killed left of it
        return empty if trouble else empty._replace(trouble="its report cannot be read")


def claims_of(folder: pathlib.Path) -> tuple[tuple[Checked, ...], tuple[str, ...]]:
    """The claims and the remarks of the report in a folder; OSError, ValueError, TypeError or KeyError without one."""
    content = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    return tuple(_checked(**claim) for claim in content["claims"]), tuple(content["remarks"])


def _picture_name(figure: str, picture: str) -> str:
    """Unlike that of any other figure's picture."""
    return picture if picture.startswith(figure) else f"{figure}-{picture}"


def _checked(
    text: str, source: str, verdict: str, measured: Any, threshold: str, note: str, interval: Any, kind: str
) -> Checked:
    """A claim of claims.json, which has null for what is not a number."""
    number = "no number" if measured is None else f"{measured:.4g}"
    ends = [math.nan if end is None else float(end) for end in interval or ()]
    shown = f"{number} [{ends[0]:.4g}, {ends[1]:.4g}] ({kind})" if ends else f"{number} ({_alone(kind)})"
    return Checked(text, source, verdict, f"{shown}; {note}" if note else shown, threshold)


def _alone(kind: str) -> str:
    return "exact" if kind == "exact" else "no interval"
