"""Plan a sweep of 10^9 cells before it is started: files, bytes, tasks and hours, by arithmetic.

python benchmarks/scale_plan.py [--cells 1e9] [--blocks 4096 16384 65536] [--arrays 10] [--inner 0]
                                [--cell-seconds 0.01] [--workers 64]
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import pathlib
import tempfile
import time
from typing import NamedTuple

BYTES_A_VALUE, CHECKSUM = 4, 4  # float32 and int32; CRC-32C after each chunk
MARKER_BYTES, MARKER_BYTES_AN_ARRAY = 230, 90  # JSON; a SHA-256 and a name for each array
PAGE, INODE = 4096, 256  # ext4: a file takes whole pages, and an inode
MOST_TASKS = 10_000  # of one sweep; a task then holds several blocks
TASK_SECONDS = 1e-3  # of the scheduler, by Dask's own documentation
MOST_SHARDS = 1000  # SLURM: MaxArraySize is 1001 by default, and the first index that we use is 1
MOST_FILES_A_FOLDER = 1_000_000  # our own comfort: listings and backups of larger folders are slow
SIMULATED = 100_000  # marker files


class Disk(NamedTuple):
    """Seconds a file, and a byte, of one file system."""

    create: float
    scan: float
    read: float
    hash_byte: float


class Plan(NamedTuple):
    """What a sweep needs. Bytes and inodes are those of the store alone; hours are of training alone."""

    block_cells: int
    blocks: int
    files: int
    largest_folder: int
    inodes: int
    data_bytes: int
    disk_bytes: int
    scan_seconds: float
    verify_seconds: float
    tasks: int
    blocks_a_task: int
    scheduler_seconds: float
    shards: int
    blocks_a_shard: int
    hours: float
    stores: int


def plan(
    cells: int, block_cells: int, arrays: int, seconds_per_block: float, workers: int, disk: Disk, inner: int = 0
) -> Plan:
    """Arithmetic of one sweep.

    Args:
        cells: networks.
        block_cells: of one block, all seeds and points.
        arrays: metrics and first_bad_step.
        seconds_per_block: on one worker.
        workers: blocks in training at once: devices, or processes.
        disk: from `measure`.
        inner: dimensions of a metric beside its cells (record_every adds one): each is a folder a block.
    """
    blocks = math.ceil(cells / block_cells)
    files = blocks * (arrays + 1)
    folders = blocks * arrays * inner
    chunk = block_cells * BYTES_A_VALUE + CHECKSUM
    marker = MARKER_BYTES + MARKER_BYTES_AN_ARRAY * arrays
    on_disk = blocks * (arrays * pages(chunk) + pages(marker)) + folders * PAGE + (files + folders) * INODE
    tasks = math.ceil(blocks / math.ceil(blocks / MOST_TASKS))
    shards = min(workers, MOST_SHARDS, blocks)
    return Plan(
        block_cells=block_cells,
        blocks=blocks,
        files=files,
        largest_folder=blocks,
        inodes=files + folders,
        data_bytes=blocks * arrays * chunk,
        disk_bytes=on_disk,
        scan_seconds=blocks * disk.scan,
        verify_seconds=files * disk.read + blocks * arrays * chunk * disk.hash_byte,
        tasks=tasks,
        blocks_a_task=math.ceil(blocks / MOST_TASKS),
        scheduler_seconds=tasks * TASK_SECONDS,
        shards=shards,
        blocks_a_shard=math.ceil(blocks / shards),
        hours=math.ceil(blocks / workers) * seconds_per_block / 3600,
        stores=math.ceil(blocks / MOST_FILES_A_FOLDER),
    )


def pages(size: int) -> int:
    """Bytes that a file of this size takes on disk."""
    return math.ceil(size / PAGE) * PAGE


def measure(folder: pathlib.Path, count: int = SIMULATED) -> Disk:
    """Make, list and read small files in one folder of one file system; all of it stays in the page cache."""
    content = os.urandom(MARKER_BYTES + MARKER_BYTES_AN_ARRAY * 10)
    started = time.perf_counter()
    for i in range(count):
        (folder / f".{i}.json").write_bytes(content)
        os.replace(folder / f".{i}.json", folder / f"{i}.json")
    made = time.perf_counter()
    with os.scandir(folder) as entries:
        names = [e.name for e in entries]
    listed = time.perf_counter()
    for name in names[: count // 10]:
        (folder / name).read_bytes()
    read = time.perf_counter()
    hashlib.sha256(bytes(10**8)).digest()
    hashed = time.perf_counter()
    return Disk((made - started) / count, (listed - made) / count, 10 * (read - listed) / count, (hashed - read) / 1e8)


def rows(plans: list[Plan]) -> list[tuple[str, list[str]]]:
    """The table: what, and one text for each plan."""

    def row(name: str, show: str, *of: str, scale: float = 1.0) -> tuple[str, list[str]]:
        return name, [show.format(*(getattr(p, o) * scale for o in of)) for p in plans]

    return [
        row("cells a block", "{:,}", "block_cells", scale=1),
        row("blocks (= files in a folder)", "{:,}", "largest_folder", scale=1),
        row("files in the store", "{:,}", "files", scale=1),
        row("inodes", "{:,}", "inodes", scale=1),
        row("data, GB", "{:.1f}", "data_bytes", scale=1e-9),
        row("on disk, GB", "{:.1f}", "disk_bytes", scale=1e-9),
        row("scan of the markers, s", "{:.2f}", "scan_seconds"),
        row("check of all hashes, minutes", "{:.1f}", "verify_seconds", scale=1 / 60),
        row("Dask tasks × blocks in each", "{:,} × {:,}", "tasks", "blocks_a_task", scale=1),
        row("Dask scheduler, s", "{:.0f}", "scheduler_seconds"),
        row("SLURM array tasks × blocks", "{:,} × {:,}", "shards", "blocks_a_shard", scale=1),
        row("hours of training", "{:,.1f}", "hours"),
        row("stores to split into", "{:,}", "stores", scale=1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=float, default=1e9)
    parser.add_argument("--blocks", type=int, nargs="+", default=[4096, 16384, 65536], help="cells a block")
    parser.add_argument("--arrays", type=int, default=10, help="metrics, and one more")
    parser.add_argument("--inner", type=int, default=0, help="dimensions of a metric beside its cells")
    parser.add_argument("--cell-seconds", type=float, default=0.01, help="time of a cell on one worker")
    parser.add_argument("--workers", type=int, default=64, help="GPUs, or processes")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        disk = measure(pathlib.Path(folder))
    table = rows([plan(int(o.cells), b, o.arrays, b * o.cell_seconds, o.workers, disk, o.inner) for b in o.blocks])
    print(
        f"{int(o.cells):,} cells, {o.arrays} arrays, {o.cell_seconds:g} s a cell, {o.workers} workers; "
        f"on this file system {1e6 * disk.create:.0f} µs to make a file of {SIMULATED:,}, {1e6 * disk.scan:.2f} µs to "
        f"list it, {1e6 * disk.read:.0f} µs to read it, SHA-256 at {1e-9 / disk.hash_byte:.1f} GB/s\n"
    )
    first, *others = table
    for name, values in [first, ("---", ["---:"] * len(o.blocks)), *others]:
        print(f"| {name:<28} | " + " | ".join(f"{v:>15}" for v in values) + " |")


if __name__ == "__main__":
    main()
