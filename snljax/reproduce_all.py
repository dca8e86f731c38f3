"""``reproduce_all()``: every figure, one after the other, and one page about them."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import time
from typing import Any, NamedTuple

from snljax import figures
from snljax.output import make_folder
from snljax.report import Section, page, section, to_html, to_markdown, verdicts
from snljax.reproduce import reproduce
from snljax.sweep import devices as local_devices
from snljax.sweep.files import replace
from snljax.sweep.progress import announcer
from snljax.sweep.stopping import sigterm_raises
from snljax.wording import listed, shortened

PAGE = "REPRODUCTION"
PACKAGES = ("snljax", "jax", "numpy", "scipy", "xarray", "matplotlib")
_MOST = 300  # characters of what a figure raised


class Reproduced(NamedTuple):
    """What ``reproduce_all`` made.

    sections: of the page, one for each figure. failed: figure -> what it raised, on one line. files: the page, and the
    pictures beside it. seconds: of this call, wall clock.
    """

    sections: list[Section]
    failed: dict[str, str]
    files: list[pathlib.Path]
    seconds: float


def reproduce_all(
    preset: str = "quick", out: str | pathlib.Path = "runs", progress: bool = True, **options: Any
) -> Reproduced:
    """Make every figure as `reproduce` does, and write one page about all of them.

    A figure that raises is told on the page, and the others go on. Ctrl-C and SIGTERM stop at once; the page is then
    about what there is, and the same call again goes on from there.

    Args:
        preset: of every figure; one that has none of that name says so on the page.
        out: a folder; each figure's files go into ``out/name-preset``.
        progress: show which figure is made, and progress bars.
        options: as for `reproduce`.

    Returns:
        Reproduced. On disk, besides what `reproduce` writes: ``REPRODUCTION.md``, its pictures in
        ``REPRODUCTION-pictures``, ``REPRODUCTION.html``, one file with all of them inside, and ``VERDICTS.md``, one
        table of all sentences.

    Raises:
        ValueError: no figure has such a preset, or the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, when the page is written.

    Example:
        >>> reproduce_all("fast")
        Traceback (most recent call last):
        ValueError: preset: 'fast' is not known to any figure; allowed: medium, paper, quick
    """
    known, failed = _presets()
    if not any(preset in presets for presets in known.values()):
        allowed = listed(sorted({one for presets in known.values() for one in presets}))
        raise ValueError(f"preset: {preset!r} is not known to any figure; allowed: {allowed}")
    out, started, announce = pathlib.Path(out), time.perf_counter(), announcer("reproduce", progress)
    make_folder(out)
    trouble = {name: failed.get(name, "this call was stopped before it") for name in figures.NAMES}
    try:
        with sigterm_raises():
            for number, (name, presets) in enumerate(known.items(), 1):
                if preset not in presets:
                    trouble[name] = f"it has no preset {preset}; there are {listed(presets)}"
                    continue
                announce(f"{name}, {number} of {len(known)}")
                trouble[name] = "this call was stopped here"
                try:
                    reproduce(name, preset, out, progress, **options)
                    trouble[name] = ""
                except Exception as error:  # whatever it is, the other figures can still be made
                    trouble[name] = failed[name] = _told(error)
                    announce(f"{name} raised {failed[name]}; the others go on")
    except KeyboardInterrupt:
        _, files = _write(preset, out, trouble, failed, started)
        announce(f"stopped; {files[0]} is about what there is")
        raise
    sections, files = _write(preset, out, trouble, failed, started)
    return Reproduced(sections, failed, files, time.perf_counter() - started)


def _presets() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Of each figure the names of its presets, or what it raises already as it is imported."""
    known, failed = {}, {}
    for name in figures.NAMES:
        try:
            known[name] = list(figures.get(name).presets)
        except Exception as error:  # such as a package that only it needs
            failed[name] = _told(error)
    return known, failed


def _write(
    preset: str, out: pathlib.Path, trouble: dict[str, str], failed: dict[str, str], started: float
) -> tuple[list[Section], list[pathlib.Path]]:
    """The page, in both forms. What an earlier call made is on it too, but not of a figure that fails now."""
    sections = [
        section(name, out / f"{name}-{preset}", why, earlier=name not in failed) for name, why in trouble.items()
    ]
    blocks = page(preset, sections, _facts(time.perf_counter() - started))
    folder = out / f"{PAGE}-pictures"
    pictures = {folder / f"{name}.png": png for one in sections for name, png in one.pictures.items()}
    make_folder(folder)
    for file in {*folder.glob("*.png")} - {*pictures}:  # of another preset, or of a figure that is no more
        file.unlink()
    contents = {
        out / f"{PAGE}.md": to_markdown(blocks, folder.name).encode(),
        out / f"{PAGE}.html": to_html(blocks).encode(),
        out / "VERDICTS.md": to_markdown(verdicts(sections), folder.name).encode(),
        **pictures,
    }
    for file, content in contents.items():
        replace(file, content)
    return sections, list(contents)


def _facts(seconds: float) -> list[str]:
    """About this call: versions and machine, but not which machine."""
    devices = local_devices.resolve(None, useful=1_000_000)
    return [
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        f"devices to train on: {len(devices)} × {devices[0].device_kind} ({devices[0].platform})",
        f"written {datetime.date.today().isoformat()} by a call of {seconds:,.0f} s",
    ]


def _told(error: Exception) -> str:
    """What a figure raised, on one line, without the folders of this machine."""
    name = "" if isinstance(error, ValueError) else type(error).__name__
    text = re.sub(r"(?<![\w.:/])(?:[A-Za-z]:\\|~?/)(?:[^\s/\\:;,'\"()]+[/\\])+", "…/", str(error))
    return shortened(": ".join(part for part in (name, text) if part), _MOST)
