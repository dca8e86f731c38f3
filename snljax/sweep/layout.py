"""Where each cell of a store lies: numbered blocks of seeds × points, appended as the grid grows.

A store holds a list of *boxes*. A box is the product of some values of every axis; it is cut into
blocks the way the engine trains them: one bucket for each value of its static axes, in it seeds
outside and points inside. A grid that is asked for later adds boxes with what is new in it, so that
no cell ever moves. All of it is arithmetic: nothing here grows with the number of cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """Shape of the unit of work: how many seeds times how many points one device trains at once."""

    seeds: int
    points: int


class Box(NamedTuple):
    """Some positions on every axis, ``seed`` last, and the number of the first block."""

    axes: tuple[np.ndarray, ...]
    first: int


class Part(NamedTuple):
    """A block's place in its box: which bucket, which rows of its points, which of the box's seeds."""

    block: int
    bucket: int
    points: np.ndarray
    seeds: np.ndarray


class Layout(NamedTuple):
    """Boxes under one block shape.

    static: for each axis without ``seed``, whether its values are compiled apart.
    """

    block: Block
    static: tuple[bool, ...]
    boxes: tuple[Box, ...] = ()

    @property
    def slots(self) -> int:
        """Cells that one block has room for."""
        return self.block.seeds * self.block.points

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.boxes[-1].first + self.count(self.boxes[-1]) if self.boxes else 0

    @property
    def cells(self) -> int:
        """How many cells there are, padding not counted."""
        return sum(math.prod(map(len, box.axes)) for box in self.boxes)

    def count(self, box: Box) -> int:
        """Blocks of a box."""
        buckets, points = self._points(box)
        return buckets * -(-points // self.block.points) * -(-len(box.axes[-1]) // self.block.seeds)

    def grown(self, axes: Sequence[np.ndarray]) -> Layout:
        """With the cells of a product of positions that are in no box yet, in boxes of their own.

        Args:
            axes: for each axis, ``seed`` last, the positions asked for.

        Returns:
            The Layout; itself if nothing is new.

        Example:
            >>> layout = Layout(Block(1, 4), (False,)).grown([np.arange(10), np.arange(2)])
            >>> layout.blocks, layout.cells
            (6, 20)
            >>> layout.grown([np.arange(10), np.arange(3)]).boxes[1].axes[1]
            array([2])
        """
        new = [tuple(np.asarray(a) for a in axes)]
        for box in self.boxes:
            new = [piece for old in new for piece in _outside(old, box.axes)]
        layout = self
        for piece in new:
            layout = layout._replace(boxes=(*layout.boxes, Box(piece, layout.blocks)))
        return layout

    def part(self, block: int) -> tuple[Box, Part]:
        """The box of a block, and its place in it."""
        box = next(b for b in reversed(self.boxes) if b.first <= block)
        _, points = self._points(box)
        along = -(-points // self.block.points)
        deep = -(-len(box.axes[-1]) // self.block.seeds)
        rest, point = divmod(block - box.first, along)
        bucket, seed = divmod(rest, deep)
        start, first = point * self.block.points, seed * self.block.seeds
        return box, Part(
            block,
            bucket,
            np.arange(start, min(start + self.block.points, points)),
            np.arange(first, min(first + self.block.seeds, len(box.axes[-1]))),
        )

    def positions(self, box: Box, part: Part) -> tuple[np.ndarray, ...]:
        """Positions of a block's points on every axis without seed, and of its seeds."""
        shape = [len(a) for a in box.axes[:-1]]
        chosen = _unravel(np.array([part.bucket]), [n for n, s in zip(shape, self.static, strict=True) if s])
        along = _unravel(part.points, [n for n, s in zip(shape, self.static, strict=True) if not s])
        rows = [next(chosen).repeat(len(part.points)) if s else next(along) for s in self.static]
        return (*(a[r] for a, r in zip(box.axes, rows, strict=False)), box.axes[-1][part.seeds])

    def sizes(self) -> np.ndarray:
        """Cells in each block, padding not counted."""
        sizes = []
        for box in self.boxes:
            buckets, points = self._points(box)
            along, deep = _chunks(points, self.block.points), _chunks(len(box.axes[-1]), self.block.seeds)
            sizes.append(np.tile(np.outer(deep, along).ravel(), buckets))
        return np.concatenate([*sizes, np.zeros(0, np.int64)]).astype(np.int64)

    def locate(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """The number of each cell of a product of positions, -1 where it is in no box.

        Args:
            axes: for each axis, ``seed`` last, positions.

        Returns:
            Integers of shape (len(axes[0]), …, number of seeds). Cell c lies in block c // slots.

        Example:
            >>> Layout(Block(1, 4), (False,)).grown([np.arange(5), np.arange(2)]).locate([[4, 5], [1]])
            array([[12],
                   [-1]])
        """
        found = np.full([len(a) for a in axes], -1, np.int64)
        for box in self.boxes:
            rows = [_rows(have, wanted) for have, wanted in zip(box.axes, axes, strict=True)]
            inside = [np.flatnonzero(r >= 0) for r in rows]
            if min(map(len, inside)) == 0:
                continue
            place = np.ix_(*(r[i] for r, i in zip(rows, inside, strict=True)))
            bucket = point = np.zeros([1] * len(rows), np.int64)
            for have, row, static in zip(box.axes, place, self.static, strict=False):
                if static:
                    bucket = bucket * len(have) + row
                else:
                    point = point * len(have) + row
            _, points = self._points(box)
            along = -(-points // self.block.points)
            deep = -(-len(box.axes[-1]) // self.block.seeds)
            seed = place[-1]
            block = box.first + (bucket * deep + seed // self.block.seeds) * along + point // self.block.points
            slot = seed % self.block.seeds * self.block.points + point % self.block.points
            found[np.ix_(*inside)] = block * self.slots + slot
        return found

    def needed(self, box: Box, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Which blocks of a box hold a cell of a product of positions, as true and false."""
        wanted = [np.isin(have, a) for have, a in zip(box.axes, axes, strict=True)]
        if all(w.all() for w in wanted):
            return np.ones(self.count(box), bool)
        inside = [np.asarray(a)[w] for a, w in zip(box.axes, wanted, strict=True)]
        cells = Layout(self.block, self.static, (box,)).locate(inside)
        needed = np.zeros(self.count(box), bool)
        needed[np.unique(cells // self.slots) - box.first] = True
        return needed

    def _points(self, box: Box) -> tuple[int, int]:
        """Buckets, and points in each."""
        lengths = [len(a) for a in box.axes[:-1]]
        buckets = math.prod(n for n, s in zip(lengths, self.static, strict=True) if s)
        return buckets, math.prod(lengths) // max(buckets, 1)


def _chunks(count: int, size: int) -> np.ndarray:
    """Lengths of the pieces of ``count`` things, ``size`` at a time."""
    return np.diff([*range(0, count, size), count])


def _outside(box: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    """A product of positions without another one, as disjoint products."""
    shared = [np.isin(a, b) for a, b in zip(box, other, strict=True)]
    if not all(s.any() for s in shared):
        return [box]
    pieces, rest = [], list(box)
    for i, both in enumerate(shared):
        if not both.all():
            pieces.append((*rest[:i], rest[i][~both], *rest[i + 1 :]))
        rest[i] = rest[i][both]
    return pieces


def _rows(have: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted position stands among those that a box has, or -1."""
    wanted = np.asarray(wanted)
    rows = np.full(max([-1, *have.tolist(), *wanted.tolist()]) + 1, -1, np.int64)
    rows[have] = np.arange(len(have))
    return rows[wanted]


def _unravel(rows: np.ndarray, lengths: list[int]) -> Iterator[np.ndarray]:
    return iter(np.unravel_index(rows, lengths) if lengths else ())
