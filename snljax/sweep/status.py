"""What is in a store right now, from its markers and its writers; nothing is loaded or changed."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm.std import Bar

from snljax.sweep.files import StoreError
from snljax.sweep.store import Store


class Host(NamedTuple):
    """What the processes of one host did. rate: network-steps per second of those that live."""

    name: str
    processes: int
    live: int
    blocks: int
    cells: int
    rate: float


class Status(NamedTuple):
    """A store at one moment.

    checked: how many finished blocks were compared with their hashes. damaged: those that differ,
    with the arrays. rate: network-steps per second of all live processes. seconds_left: at that rate,
    NaN where nothing runs.
    """

    cells: int
    cells_done: int
    blocks: int
    blocks_done: int
    checked: int
    damaged: dict[int, list[str]]
    training: list[int]
    checkpoints: int
    rate: float
    seconds_left: float
    hosts: list[Host]


def wait(path: str | os.PathLike[str], say: Callable[[str], object], seconds: float = 1.0) -> None:
    """Wait until there is a store: a sweep makes it when its programs are traced and its block shape is measured.

    Args:
        path: its folder, or where that will be.
        say: told that it is waited for, and when it is there, with the time; nothing if it is there already.
        seconds: between two looks.

    Raises:
        StoreError: the path is a file, which no sweep makes a store of.
    """
    since, told = time.monotonic(), False
    while not Store.exists(path):
        if pathlib.Path(path).is_file():
            raise StoreError(f"store: {path} is a file; allowed: a folder that a sweep with store= makes")
        if not told:
            say(f"{path} is not there yet; a sweep makes it when it has traced its programs and measured its blocks")
        told = True
        time.sleep(seconds)
    if told:
        say(f"{path} is there, after {_duration(time.monotonic() - since)}")


def status(path: str | os.PathLike[str], seconds: float = 0.5) -> Status:
    """Look at a store.

    Args:
        path: its folder.
        seconds: for how long to compare blocks with their hashes, at random; infinity for all.

    Returns:
        Status.

    Raises:
        StoreError: no store, or one whose manifest cannot be read.
    """
    store = Store.open(path)
    sizes, done = store.catalogue.layout.sizes(), store.done()
    finished = np.flatnonzero(done)
    np.random.default_rng().shuffle(finished)
    damaged, checked, until = {}, 0, time.monotonic() + seconds
    for block in finished.tolist():
        if time.monotonic() > until:
            break
        checked += 1
        if found := store.damaged(block):
            damaged[block] = found
    writers = store.writers.all()
    hosts = [_host(name, [w for w in writers if w["host"] == name]) for name in sorted({w["host"] for w in writers})]
    rate = sum(h.rate for h in hosts)
    steps = max(store.catalogue.manifest["records"][-1], 1)
    cells_done = int(sizes[done].sum())
    left = (int(sizes.sum()) - cells_done) * steps - sum(_ahead(w, sizes, steps) for w in writers if w["live"])
    folder = store.path / "checkpoints"
    return Status(
        cells=int(sizes.sum()),
        cells_done=cells_done,
        blocks=len(done),
        blocks_done=int(done.sum()),
        checked=checked,
        damaged=dict(sorted(damaged.items())),
        training=sorted(b for w in writers if w["live"] for b in w["training"]),
        checkpoints=sum(1 for _ in folder.glob("*.npz")) if folder.is_dir() else 0,
        rate=rate,
        seconds_left=0.0 if left == 0 else left / rate if rate > 0 else float("nan"),
        hosts=hosts,
    )


def _ahead(writer: dict[str, Any], sizes: np.ndarray, steps: int) -> int:
    """Network-steps that a process is into the blocks that it trains."""
    into = writer["steps"] - writer["cells"] * steps
    return int(np.clip(into, 0, sizes[np.array(writer["training"], int)].sum() * steps))


def _host(name: str, writers: list[dict[str, Any]]) -> Host:
    live = [w for w in writers if w["live"]]
    return Host(
        name,
        len(writers),
        len(live),
        sum(w["blocks"] for w in writers),
        sum(w["cells"] for w in writers),
        sum(w["steps"] / max(w["updated"] - w["started"], 1.0) for w in live),
    )


def report(s: Status, width: int = 0) -> str:
    """A Status for people, a few lines. width: letters of a bar, for a terminal that has its blocks; 0 for none."""
    share = 100 * s.cells_done / max(s.cells, 1)
    compared = "all" if s.checked == s.blocks_done else f"{s.checked:,} of them, --verify for all"
    shown = ", ".join(f"{b} ({', '.join(a[:3])})" for b, a in list(s.damaged.items())[:5])
    bar = [f"         |{Bar(s.cells_done / max(s.cells, 1), width, Bar.UTF)}|"] if width else []
    lines = [
        *bar,
        f"cells    {s.cells_done:,} of {s.cells:,} done ({share:.1f} %)",
        f"blocks   {s.blocks_done:,} done, {s.blocks - s.blocks_done:,} pending, {len(s.damaged):,} damaged "
        f"(compared: {compared}){': ' + shown if shown else ''}",
        f"running  {len(s.training)} blocks in training, {s.checkpoints} with a checkpoint",
    ]
    if s.cells_done < s.cells:
        lines.append(f"rate     {s.rate:,.0f} network-steps/s, {_left(s)}")
    if s.hosts:
        lines.append(f"{'host':<24}{'processes':>10}{'live':>6}{'blocks':>10}{'cells':>12}{'network-steps/s':>17}")
    for h in s.hosts:
        lines.append(f"{h.name:<24}{h.processes:>10}{h.live:>6}{h.blocks:>10,}{h.cells:>12,}{h.rate:>17,.0f}")
    return "\n".join(lines)


def _left(s: Status) -> str:
    if not np.isnan(s.seconds_left):
        return f"about {_duration(s.seconds_left)} left"
    return "no step is done yet: programs compile first" if any(h.live for h in s.hosts) else "nothing runs"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
