"""Lines in the plane with known places: closed, open, several, of each seed."""

import numpy as np
import pytest
import xarray as xr

from snljax import boundary

AT = np.linspace(-1, 1, 41)


def _plane(function, x=AT, y=AT, name=None):
    return xr.DataArray(function(x, y[:, None]), dims=("y", "x"), coords={"y": y, "x": x}, name=name)


def test_a_circle_is_one_closed_line():
    (line,) = boundary.contours(_plane(lambda x, y: x**2 + y**2), "x", "y", 0.49)
    assert line.closed
    assert line.of == {}
    np.testing.assert_allclose(np.hypot(*line.points.T), 0.7, atol=1e-3)
    np.testing.assert_array_equal(line.points[0], line.points[-1])


def test_a_line_that_turns_back_and_one_that_leaves():
    """y = ± sqrt(x + 0.5) is one open line that has two places in each column."""
    (line,) = boundary.contours(_plane(lambda x, y: y**2 - x), "x", "y", 0.5)
    assert not line.closed
    x, y = line.points.T
    np.testing.assert_allclose(y**2 - x, 0.5, atol=1e-3)
    assert y.min() < -0.9 < 0.9 < y.max()


def test_several_lines_and_none():
    plane = _plane(lambda x, y: np.abs(y) + 0 * x)
    found = boundary.contours(plane, "x", "y", 0.5)
    assert sorted(float(line.points[0, 1]) for line in found) == pytest.approx([-0.5, 0.5])
    assert boundary.contours(plane, "x", "y", 2.0) == []


def test_x_and_y_may_be_turned_round():
    plane = _plane(lambda x, y: 2 * x + y**3)
    (line,), (turned,) = boundary.contours(plane, "x", "y", 0.1), boundary.contours(plane, "y", "x", 0.1)
    one, other = (points[np.lexsort(points.T)] for points in (line.points, turned.points[:, ::-1]))
    np.testing.assert_allclose(one, other)


def test_each_seed_has_its_own_lines():
    seeds = xr.concat([_plane(lambda x, y, r=r: (x**2 + y**2) / r**2) for r in (0.3, 0.8)], "seed")
    found = boundary.contours(seeds.assign_coords(seed=[4, 7]), "x", "y", 1.0)
    assert [line.of for line in found] == [{"seed": 4}, {"seed": 7}]
    for line, radius in zip(found, (0.3, 0.8), strict=True):
        np.testing.assert_allclose(np.hypot(*line.points.T), radius, atol=2e-3)
    assert [line.of for line in boundary.contours(seeds, "x", "y", 1.0)] == [{"seed": 0}, {"seed": 1}]


def test_unknown_and_infinite_cells_cut_a_line_and_no_more():
    """A whole column of cells, or one above the line alone: the squares to its left and right have no line."""
    whole = _plane(lambda x, y: y + 0 * x)
    column = whole.x == AT[20]
    for hole, cells in ((np.nan, column), (np.inf, column), (np.nan, column & (whole.y == AT[21]))):
        found = boundary.contours(whole.where(~cells, hole), "x", "y", 0.03)
        assert len(found) == 2
        reach = sorted((float(line.points[:, 0].min()), float(line.points[:, 0].max())) for line in found)
        np.testing.assert_allclose(reach, [(-1, AT[19]), (AT[21], 1)])
        assert all(np.isfinite(line.points).all() for line in found)


def test_where_only_the_squares_of_the_line_are_known_it_is_the_same():
    """As in a traced diagram: all four corners of every square that the line passes are there, and nothing else."""
    plane = _plane(lambda x, y: x**2 + 1.3 * y**2 + 0.2 * x * y)
    above = (plane >= 0.4).values
    corners = np.stack([above[:-1, :-1], above[1:, :-1], above[:-1, 1:], above[1:, 1:]])
    crossed = corners.any(0) & ~corners.all(0)
    known = np.zeros(plane.shape, bool)
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        known[i : i + crossed.shape[0], j : j + crossed.shape[1]] |= crossed
    traced = plane.where(xr.DataArray(known, dims=("y", "x")))
    assert float(traced.notnull().mean()) < 0.3
    (whole,), (found,) = (boundary.contours(p, "x", "y", 0.4) for p in (plane, traced))
    assert found.closed
    one, other = (np.unique(line.points.round(12), axis=0) for line in (whole, found))
    np.testing.assert_allclose(one, other)
    side = xr.DataArray(np.where(above, 1, -1), dims=("y", "x"))
    dense, of_traced = boundary.extract(plane, "y", 0.4), boundary.extract(traced, "y", 0.4, sides=side)
    assert set(np.unique(dense.flag)) == {0, 1}
    xr.testing.assert_allclose(dense, of_traced)
    for which in ("upper", "lower"):
        xr.testing.assert_allclose(*(boundary.edge(p, "y", 0.4, which) for p in (plane, traced)))


def test_logarithms_make_power_laws_straight():
    x, y = np.geomspace(1, 100, 5), np.geomspace(0.1, 10, 4)
    plane = _plane(lambda x, y: y * x**-0.5 * 3, x, y, "test_loss")
    (line,) = boundary.contours(plane, "x", "y", 1.0)
    np.testing.assert_allclose(line.points[:, 1], line.points[:, 0] ** 0.5 / 3, rtol=1e-12)
    (linear,) = boundary.contours(plane, "x", "y", 1.0, scale="linear", log_axes=())
    assert np.abs(np.log(3 * linear.points[:, 1] / linear.points[:, 0] ** 0.5)).max() > 0.01


def test_lines_meet_the_crossings_of_columns():
    plane = _plane(lambda x, y: np.sin(3 * x) + y + y**3, name="signal")
    (line,) = boundary.contours(plane, "x", "y", 0.2)
    order = np.argsort(line.points[:, 0])
    columns = boundary.edge(plane, "y", 0.2, "upper")
    there = columns.notnull().values
    assert there.sum() > 30
    at = np.interp(columns.x.values[there], *line.points[order].T)
    np.testing.assert_allclose(at, columns.values[there], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"y": "x"}, ["y: 'x' is x"]),
        ({"x": "step"}, ["x: 'step' is no dimension", "y, x"]),
        ({"level": np.inf}, ["level: inf"]),
        ({"scale": "sqrt"}, ["scale: 'sqrt'"]),
        ({"log_axes": ("x",)}, ["log_axes: 'x'", "-1", "positive"]),
    ],
)
def test_what_contours_refuse(one_line, change, texts):
    given = {"values": _plane(lambda x, y: x + y), "x": "x", "y": "y", "level": 0.0} | change
    one_line(lambda: boundary.contours(**given), *texts)


def test_planes_that_contours_refuse(one_line):
    plane = _plane(lambda x, y: x + y)
    one_line(lambda: boundary.contours(plane[:1], "x", "y", 0.0), "y (1), x (41)", "two or more cells")
    one_line(lambda: boundary.contours(plane[::-1], "x", "y", 0.0), "y", "does not ascend")
    one_line(lambda: boundary.contours(plane * 1j, "x", "y", 0.0), "values: complex128")
