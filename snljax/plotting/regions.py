"""Where the name of a region of a phase diagram has most room."""

from __future__ import annotations

import numpy as np

_FINE = 256  # samples along each axis of a panel


def roomy_places(
    mask: np.ndarray, x_edges: np.ndarray, y_edges: np.ndarray, box: tuple[float, float]
) -> list[tuple[float, float]]:
    """Where a text fits into a region best: farthest from the region's edges and the panel's.

    Distances count in widths and heights of the text, for a text is wide and low.

    Args:
        mask: which cells (rows, columns) belong to the region.
        x_edges, y_edges: where the cells begin and end along an axis as it is drawn (its logarithm, if it is
            logarithmic), ascending.
        box: width and height of the text, as shares of the panel's.

    Returns:
        The text's middle, as shares of the panel from its lower left corner: one place in each connected part in which
        it fits, or else one in the part with most room; none in an empty region.

    Example:
        >>> half = np.array([[True, True, False, False]] * 4)
        >>> [(x, y)] = roomy_places(half, np.arange(5), np.arange(5), (0.2, 0.1))
        >>> round(x, 1), round(y, 1)
        (0.2, 0.5)
    """
    from scipy import ndimage  # slow to import

    at = (np.arange(_FINE) + 0.5) / _FINE
    columns, rows = (
        np.searchsorted(edges, edges[0] + at * (edges[-1] - edges[0]), side="right") - 1 for edges in (x_edges, y_edges)
    )
    fine = np.pad(mask[np.ix_(rows, columns)], 1)  # beyond the panel there is no region
    halves = box[1] / 2 * _FINE, box[0] / 2 * _FINE
    distance = ndimage.distance_transform_edt(fine, sampling=(1 / halves[0], 1 / halves[1]))
    parts, number = ndimage.label(fine)
    if number == 0:
        return []
    most = np.zeros(number + 1)
    np.maximum.at(most, parts, distance)
    fits = np.flatnonzero(most >= np.sqrt(2))  # an ellipse round the box
    return [_middle(np.where(parts == i, distance, 0)) for i in (fits if fits.size else [np.argmax(most)])]


def _middle(distance: np.ndarray) -> tuple[float, float]:
    """The most central of the places that are almost as far from the edges as can be."""
    rows, columns = np.nonzero(distance >= 0.95 * distance.max())
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return float(columns[nearest] - 0.5) / _FINE, float(rows[nearest] - 0.5) / _FINE
