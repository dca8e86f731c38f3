"""Where each cell of a store lies: numbered blocks of seeds × points, appended as the grid grows.

A store holds a list of *boxes*. A box is the product of some values of every axis, or a list of points times some
seeds; it is cut into blocks the way the engine trains them: one bucket for each value of its static axes, in it seeds
outside and points inside. What is asked for later adds boxes with what is new in it, so that no cell ever moves. For
products all of it is arithmetic: nothing grows with the number of cells. Lists are as long as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


class Block(NamedTuple):
    """Shape of the unit of work: how many seeds times how many points one device trains at once."""

    seeds: int
    points: int


class Cells(NamedTuple):
    """Some points × some seeds.

    axes: positions, ``seed`` last. Every combination of them is a cell; or, if the points are listed, the axes without
    ``seed`` are of one length and hold the positions of one point after the other.
    """

    axes: tuple[np.ndarray, ...]
    listed: bool = False

    @property
    def seeds(self) -> np.ndarray:
        """Positions of the seeds."""
        return self.axes[-1]

    @property
    def points(self) -> int:
        """How many points there are."""
        lengths = [len(a) for a in self.axes[:-1]]
        return lengths[0] if self.listed else math.prod(lengths)

    def list(self) -> Cells:
        """The same cells, their points one by one."""
        if self.listed:
            return self
        columns = [a.ravel() for a in np.meshgrid(*self.axes[:-1], indexing="ij")]
        return Cells((*columns, self.seeds), listed=True)


class Box(NamedTuple):
    """Some cells, listed ones of one value on each static axis, and the number of the first block."""

    cells: Cells
    first: int

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Of its cells."""
        return self.cells.axes


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
        return sum(box.cells.points * len(box.cells.seeds) for box in self.boxes)

    def count(self, box: Box) -> int:
        """Blocks of a box."""
        buckets, points = self._points(box)
        return buckets * -(-points // self.block.points) * -(-len(box.cells.seeds) // self.block.seeds)

    def grown(self, asked: Cells) -> Layout:
        """With the cells that are in no box yet, in boxes of their own.

        Args:
            asked: positions of cells.

        Returns:
            The Layout; itself if nothing is new.

        Example:
            >>> layout = Layout(Block(1, 4), (False,)).grown(Cells((np.arange(10), np.arange(2))))
            >>> layout.blocks, layout.cells
            (6, 20)
            >>> layout.grown(Cells((np.arange(10), np.arange(3)))).boxes[1].axes[1]
            array([2])
            >>> layout.grown(Cells((np.array([3, 12]), np.arange(2)), listed=True)).boxes[1].axes[0]
            array([12])
        """
        layout = self
        for cells in self._new(asked):
            layout = layout._replace(boxes=(*layout.boxes, Box(cells, layout.blocks)))
        return layout

    def _new(self, asked: Cells) -> list[Cells]:
        """What is in no box yet: products where products are asked for and all boxes in the way are."""
        if asked.listed:
            return self._outside_of_all(asked)
        new = [asked.axes]
        for box in self.boxes:
            if not box.cells.listed:
                new = [piece for old in new for piece in _outside(old, box.axes)]
        pieces = [Cells(axes) for axes in new]
        lists = [box for box in self.boxes if box.cells.listed]
        if not lists:
            return pieces
        return [cells for piece in pieces for cells in self._outside_of_all(piece)]

    def _outside_of_all(self, asked: Cells) -> list[Cells]:
        """The cells that are in no box: points that lack the same seeds together, for each value of static axes."""
        points = asked.list()
        lacking = self.numbers(points) < 0
        if lacking.all() and not asked.listed:
            return [asked]
        columns = points.axes[:-1]
        fixed = [column for column, static in zip(columns, self.static, strict=True) if static]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i in np.flatnonzero(lacking.any(axis=1)).tolist():
            alike.setdefault((lacking[i].tobytes(), *(int(f[i]) for f in fixed)), []).append(i)
        return [
            Cells((*(column[rows] for column in columns), asked.seeds[lacking[rows[0]]]), listed=True)
            for rows in alike.values()
        ]

    def part(self, block: int) -> tuple[Box, Part]:
        """The box of a block, and its place in it."""
        box = next(b for b in reversed(self.boxes) if b.first <= block)
        _, points = self._points(box)
        along = -(-points // self.block.points)
        seeds = len(box.cells.seeds)
        deep = -(-seeds // self.block.seeds)
        rest, point = divmod(block - box.first, along)
        bucket, seed = divmod(rest, deep)
        start, first = point * self.block.points, seed * self.block.seeds
        return box, Part(
            block,
            bucket,
            np.arange(start, min(start + self.block.points, points)),
            np.arange(first, min(first + self.block.seeds, seeds)),
        )

    def positions(self, box: Box, part: Part) -> tuple[np.ndarray, ...]:
        """Positions of a block's points on every axis without seed, and of its seeds."""
        *axes, seeds = box.axes
        if box.cells.listed:
            return (*(a[part.points] for a in axes), seeds[part.seeds])
        shape = [len(a) for a in axes]
        chosen = _unravel(np.array([part.bucket]), [n for n, s in zip(shape, self.static, strict=True) if s])
        along = _unravel(part.points, [n for n, s in zip(shape, self.static, strict=True) if not s])
        rows = [next(chosen).repeat(len(part.points)) if s else next(along) for s in self.static]
        return (*(a[r] for a, r in zip(axes, rows, strict=True)), seeds[part.seeds])

    def sizes(self) -> np.ndarray:
        """Cells in each block, padding not counted."""
        sizes = []
        for box in self.boxes:
            buckets, points = self._points(box)
            along, deep = _chunks(points, self.block.points), _chunks(len(box.cells.seeds), self.block.seeds)
            sizes.append(np.tile(np.outer(deep, along).ravel(), buckets))
        return np.concatenate([*sizes, np.zeros(0, np.int64)]).astype(np.int64)

    def locate(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """The number of each cell of a product of positions, -1 where it is in no box.

        Args:
            axes: for each axis, ``seed`` last, positions.

        Returns:
            Integers of shape (len(axes[0]), …, number of seeds). Cell c lies in block c // slots.

        Example:
            >>> Layout(Block(1, 4), (False,)).grown(Cells((np.arange(5), np.arange(2)))).locate([[4, 5], [1]])
            array([[12],
                   [-1]])
        """
        found = np.full([len(a) for a in axes], -1, np.int64)
        for box in self.boxes:
            if box.cells.listed:
                self._place_listed(box, axes, found)
                continue
            rows = [_rows(have, wanted) for have, wanted in zip(box.axes, axes, strict=True)]
            inside = [np.flatnonzero(r >= 0) for r in rows]
            if min(map(len, inside)) == 0:
                continue
            place = np.ix_(*(r[i] for r, i in zip(rows, inside, strict=True)))
            found[np.ix_(*inside)] = self._number(box, *self._bucket_and_point(box, place[:-1]), place[-1])
        return found

    def _place_listed(self, box: Box, axes: Sequence[np.ndarray], found: np.ndarray) -> None:
        """The numbers of a list's cells, where they are wanted; some may be wanted twice."""
        different, again = zip(*(np.unique(a, return_inverse=True) for a in axes), strict=True)
        rows = [_rows(wanted, have) for have, wanted in zip(box.axes, different, strict=True)]
        points = np.flatnonzero(np.all([r >= 0 for r in rows[:-1]], axis=0))
        seeds = np.flatnonzero(rows[-1] >= 0)
        if not len(points) or not len(seeds):
            return
        once = np.full([len(d) for d in different], -1, np.int64)
        place: Any = (*(r[points][:, None] for r in rows[:-1]), rows[-1][seeds])
        once[place] = self._number(box, 0, points[:, None], seeds)
        here = once[np.ix_(*again)]
        np.copyto(found, here, where=here >= 0)

    def numbers(self, cells: Cells) -> np.ndarray:
        """The number of each cell, -1 where it is in no box, of shape (points, seeds).

        Args:
            cells: listed or not; the points of a product have their last axis fastest.

        Example:
            >>> layout = Layout(Block(1, 4), (False,)).grown(Cells((np.arange(5), np.arange(2))))
            >>> layout.numbers(Cells((np.array([4, 9]), np.arange(2)), listed=True)).tolist()
            [[4, 12], [-1, -1]]
        """
        *columns, wanted = cells.list().axes
        found = np.full((cells.points, len(wanted)), -1, np.int64)
        for box in self.boxes:
            seeds = _rows(box.cells.seeds, wanted)
            if box.cells.listed:
                known = {point: i for i, point in enumerate(zip(*(a.tolist() for a in box.axes[:-1]), strict=True))}
                points = np.array([known.get(p, -1) for p in zip(*(c.tolist() for c in columns), strict=True)])
                bucket, there = np.zeros(1, np.int64), points >= 0
            else:
                rows = [_rows(have, column) for have, column in zip(box.axes, columns, strict=False)]
                there = np.all([r >= 0 for r in rows], axis=0) if rows else np.ones(cells.points, bool)
                bucket, points = self._bucket_and_point(box, rows)
            numbers = self._number(box, np.broadcast_to(bucket, there.shape)[:, None], points[:, None], seeds)
            np.copyto(found, numbers, where=there[:, None] & (seeds >= 0))
        return found

    def needed(self, asked: Cells) -> np.ndarray:
        """Which blocks hold one of some cells, as true and false."""
        if not asked.listed:
            return np.concatenate([self._needed(box, asked.axes) for box in self.boxes] or [np.zeros(0, bool)])
        needed, numbers = np.zeros(self.blocks, bool), self.numbers(asked)
        needed[numbers[numbers >= 0] // self.slots] = True
        return needed

    def _needed(self, box: Box, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Which blocks of a box hold a cell of a product of positions."""
        wanted = [np.isin(have, a) for have, a in zip(box.axes, axes, strict=True)]
        if all(w.all() for w in wanted):
            return np.ones(self.count(box), bool)
        needed = np.zeros(self.count(box), bool)
        if box.cells.listed:
            points, seeds = np.flatnonzero(np.all(wanted[:-1], axis=0)), np.flatnonzero(wanted[-1])
            cells = self._number(box, 0, points[:, None], seeds).ravel()
        else:
            inside = [np.asarray(a)[w] for a, w in zip(box.axes, wanted, strict=True)]
            cells = Layout(self.block, self.static, (box,)).locate(inside).ravel()
        needed[np.unique(cells // self.slots) - box.first] = True
        return needed

    def _points(self, box: Box) -> tuple[int, int]:
        """Buckets, and points in each."""
        if box.cells.listed:
            return 1, box.cells.points
        buckets = math.prod(len(a) for a, s in zip(box.axes, self.static, strict=False) if s)
        return buckets, box.cells.points // max(buckets, 1)

    def _bucket_and_point(self, box: Box, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Where the points of a product with these rows on each axis stand."""
        bucket = point = np.zeros([1] * (rows[0].ndim if len(rows) else 1), np.int64)
        for have, row, static in zip(box.axes, rows, self.static, strict=False):
            if static:
                bucket = bucket * len(have) + row
            else:
                point = point * len(have) + row
        return bucket, point

    def _number(self, box: Box, bucket: Any, point: Any, seed: Any) -> Any:
        """The number of a cell, from its place in its box."""
        _, points = self._points(box)
        along = -(-points // self.block.points)
        deep = -(-len(box.cells.seeds) // self.block.seeds)
        block = box.first + (bucket * deep + seed // self.block.seeds) * along + point // self.block.points
        return block * self.slots + seed % self.block.seeds * self.block.points + point % self.block.points


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
