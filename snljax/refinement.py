"""Which cells of a grid decide on which side of a level a quantity lies, everywhere: chosen round by round.

A net over the whole grid comes first. What is known is interpolated over the others, so that each round looks where the
boundary should be, and learns from what it finds there how far such a guess is off.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

LOW, MEAN, HIGH = range(3)  # the last axis of margins

_FIRST_STRIDE = 4  # of the lines on which the boundary is looked for first; what lies between is then well guessed
_ERRORS_WITHIN = 0.8  # share of the guesses' errors that counts as the usual one, which could change a sign
_REMEMBERED = 2  # rounds whose errors still say something
_FAR = 4.0  # times the usual distance to the level; what lies farther off, or has diverged, would bend the guess


class Request(NamedTuple):
    """Cells to train: positions on both axes, and which of the seeds."""

    x: np.ndarray
    y: np.ndarray
    seeds: range


class Search:
    """A search for the boundary on a grid of cells. It belongs to one thread.

    Margins, which it is told, are how far the quantity lies above the level: the lower end of the interval of the
    mean over seeds, the mean, and the upper end; of shape (x, y, 3), NaN where nothing is known, of any scale that is
    about linear near 0. Whatever comes after these three on the last axis has a boundary that is followed as the
    mean's: margins of single seeds, for example.

    Args:
        shape: cells along x and y, two or more each.
        net: lines of the first round along each axis, two or more.
        seeds: how many a cell begins with, and how many it can have.

    Attributes:
        asked: how many seeds of each cell have been asked for.

    Example:
        >>> x, y = np.mgrid[:33, :33]
        >>> truth = np.repeat((x + y - 40.5)[..., None], 3, axis=2)
        >>> search = Search((33, 33), net=5, seeds=(1, 1))
        >>> request = search.first()
        >>> while request is not None:
        ...     request = search.next(np.where(search.asked[..., None] > 0, truth, np.nan))
        >>> bool((search.sides == np.sign(truth[..., MEAN])).all()), int((search.asked > 0).sum())
        (True, 117)
    """

    def __init__(self, shape: tuple[int, int], net: int, seeds: tuple[int, int]) -> None:
        self.asked = np.zeros(shape, int)
        self._net, (self._seeds, self._most) = net, seeds
        self._stride = _FIRST_STRIDE
        self._every_other = True  # of the first doubtful cells: what lies between is then better guessed
        self._guess: np.ndarray | None = None
        self._fresh = np.zeros(shape, bool)  # cells of the last round
        self._lost = np.zeros(shape, bool)  # cells without a number
        self._errors: list[np.ndarray] = []

    def first(self) -> Request:
        """The net: lines evenly apart, the edges of the grid among them."""
        lines = [np.unique(np.linspace(0, n - 1, min(n, self._net)).round().astype(int)) for n in self.asked.shape]
        cells = np.zeros(self.asked.shape, bool)
        cells[np.ix_(*lines)] = True
        return self._ask(cells)

    def next(self, margins: np.ndarray) -> Request | None:
        """What to train when so much is known; None if that decides every cell.

        First all corners of each square of four cells that a boundary passes, on some lines of the grid and then on
        all; then more seeds where the interval holds the level; then cells at the edges of the region that
        the seeds cannot decide, as far as the guess there can be wrong.
        """
        self._learn(margins)
        self._guess = _interpolated(margins)
        self._lost = (self.asked > 0) & np.isnan(margins).any(axis=-1)
        if (corners := self._boundary()).any():
            return self._ask(corners)
        few = (self.asked > 0) & (self.asked < self._most) & (_sides(margins) == 0)
        if few.any():
            have = int(self.asked[few].min())
            return self._ask(few & (self.asked == have), range(have, min(2 * have, self._most)))
        doubtful = self._doubtful()
        return self._ask(doubtful) if doubtful.any() else None

    @property
    def sides(self) -> np.ndarray:
        """−1, 0 or +1 of every cell, as far as it is known or else guessed.

        0 is what the seeds cannot decide, and what was trained and has no number.
        """
        assert self._guess is not None
        return np.where(self._lost, np.int8(0), _sides(self._guess))

    @property
    def above(self) -> np.ndarray:
        """Whether each cell lies at the level or above, as far as it is known or else guessed.

        Of shape (x, y, boundaries that are followed), the mean's first.
        """
        assert self._guess is not None
        return self._guess[..., [MEAN, *range(HIGH + 1, self._guess.shape[-1])]] >= 0

    def _ask(self, cells: np.ndarray, seeds: range | None = None) -> Request:
        seeds = range(self._seeds) if seeds is None else seeds
        self._fresh = cells & (self.asked == 0)
        self.asked[cells] = seeds.stop
        x, y = np.nonzero(cells)
        return Request(x, y, seeds)

    def _learn(self, margins: np.ndarray) -> None:
        """How far the last guess was off, where it was put to the test."""
        if self._guess is not None and self._fresh.any():
            errors = np.abs(self._guess - _tamed(margins))[self._fresh]
            self._errors = [*self._errors, errors[~np.isnan(errors).any(axis=-1)]][-_REMEMBERED:]

    def _boundary(self) -> np.ndarray:
        """Cells that are not asked for yet, at squares that a boundary passes; on few lines at first."""
        passed, open_cells = np.asarray(_mixed(self.above).any(axis=-1)), self.asked == 0
        x, y = (np.arange(n) for n in passed.shape)
        while self._stride > 1:
            on_lines = (x[:, None] % self._stride == 0) | (y % self._stride == 0)
            self._stride //= 2
            if (cells := _corners(passed & on_lines) & open_cells).any():
                return cells
        return _corners(passed) & open_cells

    def _doubtful(self) -> np.ndarray:
        """Cells that are not asked for yet, at an edge of what the seeds cannot decide, whose guess can be wrong."""
        assert self._guess is not None
        errors = np.concatenate([*self._errors, np.zeros((0, self._guess.shape[-1]))])
        usual = np.quantile(errors, _ERRORS_WITHIN, axis=0) if len(errors) else np.full(errors.shape[1], np.inf)
        close = np.abs(self._guess[..., [LOW, HIGH]]) <= usual[[LOW, HIGH]]
        doubtful = _edges(self.sides) & (self.asked == 0) & close.any(axis=-1)
        some = doubtful & (np.add.outer(*map(np.arange, doubtful.shape)) % 2 == 0)
        first, self._every_other = self._every_other, False
        return some if first and some.any() else doubtful


def _sides(margins: np.ndarray) -> np.ndarray:
    return (margins[..., LOW] >= 0).astype(np.int8) - (margins[..., HIGH] < 0).astype(np.int8)


def _mixed(above: np.ndarray) -> np.ndarray:
    """Squares of four cells that do not all lie on one side."""
    count = above[:-1, :-1].astype(int) + above[1:, :-1] + above[:-1, 1:] + above[1:, 1:]
    return (count > 0) & (count < 4)


def _corners(squares: np.ndarray) -> np.ndarray:
    """The cells of some squares."""
    padded = np.pad(squares, 1)
    return padded[:-1, :-1] | padded[1:, :-1] | padded[:-1, 1:] | padded[1:, 1:]


def _edges(sides: np.ndarray) -> np.ndarray:
    """Cells beside one of another side."""
    edges = np.zeros(sides.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = sides[here] != sides[there]
        edges[here] |= differ
        edges[there] |= differ
    return edges


def _tamed(margins: np.ndarray) -> np.ndarray:
    """Margins without what is far from the level, which says nothing of where that lies."""
    finite = np.abs(margins[..., MEAN][np.isfinite(margins[..., MEAN])])
    far = _FAR * np.median(finite) if finite.size else 1.0
    return np.clip(margins, -far, far) if far > 0 else np.sign(margins)


def _interpolated(margins: np.ndarray) -> np.ndarray:
    """Margins of all cells: smooth between those that are known, which keep theirs."""
    from scipy import interpolate  # slow to import

    tamed = _tamed(margins)
    known = ~np.isnan(tamed).any(axis=-1)
    places, values = np.argwhere(known).astype(float), tamed[known]
    filled = np.where(known[..., None], tamed, np.nan)
    wanted = np.argwhere(~known)
    if len(values) and len(wanted):
        guess = interpolate.NearestNDInterpolator(places, values)(wanted)
        if len(np.unique(places[:, 0])) > 1 and len(np.unique(places[:, 1])) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its gradients converge or they do not: the guess is put to the test
                smooth = interpolate.CloughTocher2DInterpolator(places, values)(wanted)
            guess = np.where(np.isnan(smooth), guess, smooth)
        filled[~known] = guess
    return filled
