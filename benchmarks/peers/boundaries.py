"""Other ways to find where a quantity crosses 0 on a square grid: a uniform grid, bisection, python-adaptive.

A quantity is a function of places in cells, (N, 2) -> (N, 3): the lower end of its interval, its mean, the upper end.
Each way returns these three on all cells of the grid, found from few of them, and how many it asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import interpolate

Quantity = Callable[[np.ndarray], np.ndarray]
Asked = tuple[np.ndarray, int]  # (cells, cells, 3), and how many were asked for
MEAN = 1
WIDTH, FAR_OFF = 0.2, 0.1  # of the range of all values; weight of what lies farther off


def places(cells: int) -> np.ndarray:
    """All cells of the grid, shape (cells², 2)."""
    return np.argwhere(np.ones((cells, cells), bool)).astype(float)


def uniform(quantity: Quantity, cells: int, budget: int, method: str) -> Asked:
    """A square grid of as many places as the budget has, corner to corner; it need not lie on cells."""
    side = max(int(np.sqrt(budget)), 4 if method == "cubic" else 2)
    at = np.linspace(0, cells - 1, side)
    x, y = np.meshgrid(at, at, indexing="ij")
    known = quantity(np.stack([x.ravel(), y.ravel()], 1)).reshape(side, side, -1)
    filled = interpolate.RegularGridInterpolator((at, at), known, method=method)(places(cells))
    return filled.reshape(cells, cells, -1), side**2


def bisection(quantity: Quantity, cells: int, rows: bool, ends: bool) -> Asked:
    """Each column by itself: its two ends, then halves where they differ; with ``ends``, for low and high as well.

    It has no budget. What lies between the cells of a column is interpolated; with ``rows`` it goes by these.
    """
    filled, asked = np.empty((cells, cells, 3)), 0
    for column in range(cells):
        known: dict[int, np.ndarray] = {}

        def value(place: int, which: int, known: dict[int, np.ndarray] = known, column: int = column) -> float:
            if place not in known:
                here = (place, column) if rows else (column, place)
                known[place] = quantity(np.array([here], float))[0]
            return known[place][which]

        for which in (MEAN, 0, 2) if ends else (MEAN,):
            first, last = 0, cells - 1
            for place in (first, last):
                value(place, which)
            tight = sorted(known)
            for left, right in pairwise(tight):  # what other lines have told
                if (value(left, which) < 0) != (value(right, which) < 0):
                    first, last = left, right
                    break
            else:
                continue
            while last - first > 1:
                middle = (first + last) // 2
                if (value(middle, which) < 0) == (value(first, which) < 0):
                    first = middle
                else:
                    last = middle
        at = sorted(known)
        line = np.stack([np.interp(np.arange(cells), at, [known[p][i] for p in at]) for i in range(3)], -1)
        filled[(slice(None), column) if rows else column] = line
        asked += len(known)
    return filled, asked


def learner(quantity: Quantity, cells: int, budgets: list[int], loss: Any, method: str) -> Iterator[Asked]:
    """python-adaptive's Learner2D, one place after the other, read at each of some budgets.

    Places need not lie on cells.
    """
    import adaptive

    grid = places(cells)
    learner = adaptive.Learner2D(lambda xy: quantity(np.array([xy]))[0], [(0, cells - 1)] * 2, loss_per_triangle=loss)
    for budget in sorted(budgets):
        while learner.npoints < budget:
            ((place,), _) = learner.ask(1)
            learner.tell(place, learner.function(place))
        at, known = np.array(list(learner.data)), np.array(list(learner.data.values()))
        make = interpolate.CloughTocher2DInterpolator if method == "cubic" else interpolate.LinearNDInterpolator
        filled = make(at, known)(grid)
        lost = np.isnan(filled)  # rounded out of the hull
        filled[lost] = interpolate.NearestNDInterpolator(at, known)(grid)[lost]
        yield filled.reshape(cells, cells, -1), learner.npoints


def of_mean(triangles: Any, loss: Any) -> np.ndarray:
    """A loss of Learner2D that sees the mean alone."""
    return loss(interpolate.LinearNDInterpolator(triangles.tri, triangles.values[:, [MEAN]]))


def near(triangles: Any) -> np.ndarray:
    """A loss of Learner2D after its authors' recipe for isolines: a Gaussian of a triangle's distance from the level.

    The recipe (their pull request 219, of LearnerND) adds it to the default loss, and would then refine what is near
    without an end. Here it weighs that loss.
    """
    from adaptive.learner.learner2D import default_loss

    mean = triangles.values[:, MEAN]
    off = np.abs(mean[triangles.tri.simplices]).mean(1) / (np.ptp(mean) or 1)
    return default_loss(triangles) * (FAR_OFF + np.exp(-((off / WIDTH) ** 2)))


def losses() -> dict[str, Any]:
    """The losses for isolines that Learner2D can have: its own with both thresholds at the level, and the recipe."""
    from adaptive.learner.learner2D import thresholded_loss_function

    return {
        "thresholded at the mean, 0.1": partial(of_mean, loss=thresholded_loss_function(0, 0, 0.1)),
        "thresholded at the mean, 0.01": partial(of_mean, loss=thresholded_loss_function(0, 0, 0.01)),
        "thresholded at mean and ends, 0.01": thresholded_loss_function(0, 0, 0.01),
        "near": near,
    }
