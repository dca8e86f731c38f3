"""Axes fit what is drawn on them: scales, ends, ticks, and what is laid over a map."""

from __future__ import annotations

import functools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from snljax import boundary, plotting

mpl.use("Agg")

GEOMETRIC = [
    np.logspace(-5, -1, 5),
    np.array([1, 2, 5, 10, 20, 50]),
    np.array([2, 8, 30, 80, 200]),
    np.geomspace(1, 100, 8).round().astype(int),
    np.array([0.003, 0.01, 0.03, 0.1]),
]
EVEN = [np.arange(0, 50, 10), np.linspace(0.05, 1.0, 12), np.array([2, 8, 20]), np.array([0.0, 1e-3, 1e-2, 1e-1])]


def surface(x, y, name="error"):
    """A sum of the places' numbers in their order."""
    x, y = np.asarray(x), np.asarray(y)
    values = np.add.outer(np.argsort(np.argsort(x)), np.argsort(np.argsort(y))).astype(float)
    return xr.DataArray(values, dims=("x", "y"), coords={"x": x, "y": y}, name=name)


def row(x, seeds=3, name="error"):
    """Over x and seeds, about 1, 2, 3 and so on."""
    values = 1.0 + np.arange(len(x))[:, None] + np.linspace(-0.1, 0.1, seeds)
    return xr.DataArray(values, dims=("x", "seed"), coords={"x": x}, name=name)


threshold_map = functools.partial(plotting.threshold_map, threshold=2.5)
MAPS = [plotting.heatmap, threshold_map]


def looks(ax):
    return ax.get_xlim(), ax.get_ylim(), ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()


# --- over a map, and over measurements ---------------------------------------------------------------


@pytest.mark.parametrize("draw", MAPS)
@pytest.mark.parametrize("x", [np.arange(10, 60, 10), np.array([1, 10, 100])])
def test_what_is_drawn_over_a_map_leaves_its_axes_as_they_are(draw, x):
    ax = draw(surface(x, [1, 2, 3]), x="x", y="y")
    before = looks(ax)
    over = row([0.5, 1, 2, 400], name="other") * 100
    plotting.curves(over, x="x", ax=ax)
    plotting.points(over, x="x", ax=ax)
    plotting.reference(ax, x=[0.01, 1e4], y=[1e4, 0.01], label="theory")
    plotting.reference(ax, y=77.0)
    ax.plot([0.1, 1e3], [-5, 50])
    ax.figure.canvas.draw()
    assert looks(ax) == before


@pytest.mark.parametrize("draw", [plotting.curves, plotting.points])
def test_theory_does_not_stretch_the_axes_of_measurements(draw):
    ax = draw(row([1.0, 2.0, 3.0]), x="x", label="measured")
    before = looks(ax)
    at = np.linspace(1e-3, 9, 300)
    plotting.reference(ax, x=at, y=2 / at**2, label="theory")
    plotting.reference(ax, x=[-100.0, 100.0], y=[-98.0, 102.0])  # no point of it is within, but the line is
    ax.figure.canvas.draw()
    assert looks(ax) == before
    assert "theory" in ax.get_legend_handles_labels()[1]
    draw(row([1.0, 2.0, 3.0, 4.0]), x="x", ax=ax)
    assert ax.get_ylim()[1] < 6  # nor later


def test_theory_that_would_not_be_seen_is_shown():
    ax = plotting.curves(row([1.0, 2.0, 3.0]), x="x")
    plotting.reference(ax, x=[1.0, 3.0], y=[50.0, 60.0])
    assert ax.get_ylim()[1] > 60
    alone = plt.figure().add_subplot()
    plotting.reference(alone, x=[1.0, 3.0], y=[50.0, 60.0])
    assert alone.get_ylim()[0] < 50 < 60 < alone.get_ylim()[1]


def test_labels_that_are_there_stay():
    ax = plt.figure().add_subplot()
    ax.set(xlabel="mine", ylabel="too")
    plotting.curves(row([1, 2, 3]), x="x", ax=ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("mine", "too")


# --- scales and ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [plotting.curves, plotting.points])
@pytest.mark.parametrize(("scale", "at"), [*(("log", at) for at in GEOMETRIC), *(("linear", at) for at in EVEN)])
def test_curves_over_geometric_numbers_have_a_logarithmic_axis(draw, scale, at):
    ax = draw(row(at), x="x")
    assert (ax.get_xscale(), ax.get_yscale()) == (scale, "linear")
    ax.figure.canvas.draw()
    ax = plt.figure().add_subplot()
    ax.plot([1, 2], [1, 2])
    assert draw(row(at), x="x", ax=ax).get_xscale() == "linear"  # somebody's panel


@pytest.mark.parametrize("draw", MAPS)
@pytest.mark.parametrize(("scale", "at"), [*(("log", at) for at in GEOMETRIC), *(("linear", at) for at in EVEN)])
def test_maps_over_geometric_numbers_have_geometric_edges(draw, scale, at):
    ax = draw(surface(at, [1, 2, 3]), x="x", y="y")
    assert ax.get_xscale() == scale
    edges = ax.collections[0].get_coordinates()[0, :, 0]
    at = np.log(at) if scale == "log" else at
    edges = np.log(edges) if scale == "log" else edges
    np.testing.assert_allclose(edges[1:-1], (at[1:] + at[:-1]) / 2, rtol=1e-12)
    if edges[0] != at[0] / 2:  # where the cell would reach down to 0
        np.testing.assert_allclose(edges[[0, -1]] - at[[0, -1]], at[[0, -1]] - edges[[1, -2]], atol=1e-12)


@pytest.mark.parametrize("k", [[2, 20], [2, 20, 38], [1e-4], [1e-4, 1e-1], [0.1, 0.9]])
@pytest.mark.parametrize("draw", MAPS)
def test_maps_of_positive_numbers_end_above_0(draw, k):
    """K = 2, 20, 38 had cells from -7 on."""
    ax = draw(surface([1, 2, 3], k), x="x", y="y")
    assert 0 < ax.get_ylim()[0] < k[0]
    assert ax.get_ylim() == (ax.collections[0].get_coordinates()[..., 1].min(), ax.get_ylim()[1])
    negative = draw(surface([1, 2, 3], [-at for at in k]), x="x", y="y")
    assert -k[0] < negative.get_ylim()[1] < 0


def test_curves_end_where_their_numbers_do():
    at = np.linspace(2, 180, 9)
    ax = plotting.curves(row(at), x="x")
    assert ax.get_xlim() == (2, 180)
    plotting.curves(row(2 * at), x="x", ax=ax)
    assert ax.get_xlim() == (2, 360)
    for draw in (functools.partial(plotting.curves, marker="o"), plotting.points):
        assert draw(row(at), x="x").get_xlim()[0] == 0  # room for a marker, and none below 0
        assert draw(row(at - 2), x="x").get_xlim()[0] < 0


# --- order, names, single cells ----------------------------------------------------------------------


@pytest.mark.parametrize("draw", MAPS)
@pytest.mark.parametrize("at", [[40, 30, 20, 10], [20, 10, 40, 30]])
def test_order_of_numbers_does_not_matter_to_a_map(draw, at):
    status = xr.ones_like(surface(at, [1, 2, 3]), np.int8)
    status.loc[{"x": 20, "y": 3}] = plotting.DIVERGED
    found, expected = (
        draw(each, x="x", y="y", status=of.transpose("y", "x"))
        for each, of in ((surface(at, [1, 2, 3]), status), (surface(sorted(at), [1, 2, 3]), status.sortby("x")))
    )
    for one, other in zip(found.collections, expected.collections, strict=True):
        np.testing.assert_array_equal(one.get_array(), other.get_array())
        np.testing.assert_array_equal(one.get_coordinates(), other.get_coordinates())
    assert looks(found) == looks(expected)


@pytest.mark.parametrize("draw", [plotting.curves, plotting.points])
def test_order_of_numbers_does_not_matter_to_a_curve(draw):
    values = row([10, 20, 30, 40])
    line = draw(values.isel(x=[2, 0, 3, 1]), x="x").lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [10, 20, 30, 40])
    np.testing.assert_allclose(line.get_ydata(), [1, 2, 3, 4])


@pytest.mark.parametrize("names", [["random", "oracle", "magnitude"], [True, False]])
@pytest.mark.parametrize("draw", MAPS)
def test_maps_have_names_and_truth_values_in_their_order(draw, names):
    status = xr.ones_like(surface(names, [1, 2, 3]), np.int8)
    status[0, 2] = plotting.DIVERGED
    values = surface(names, [1, 2, 3]).copy(data=np.arange(3.0 * len(names)).reshape(len(names), 3))
    ax = draw(values, x="x", y="y", status=status)
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(name) for name in names]
    np.testing.assert_array_equal(ax.get_xticks(), range(len(names)))
    if draw is plotting.heatmap:
        np.testing.assert_array_equal(ax.collections[0].get_array(), values.T)
    (hatched,) = [c for c in ax.collections if c.get_hatch()]
    assert hatched.get_paths()[0].get_extents().x0 == -0.5
    assert not ax.lines  # between names there is no line


@pytest.mark.parametrize("draw", [plotting.curves, plotting.points])
@pytest.mark.parametrize("names", [["random", "oracle", "magnitude"], [True, False]])
def test_curves_have_names_and_truth_values_in_their_order(draw, names):
    ax = draw(row(names), x="x")
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(name) for name in names]


@pytest.mark.parametrize("at", [0.5, 3, 0, -2.0, 1e-4])
def test_one_cell_is_labelled_with_its_number(at):
    ax = plotting.heatmap(surface([at], [1, 2]), x="x", y="y", threshold=0.5)
    assert [text.get_text() for text in ax.get_xticklabels()] == [f"{at:g}"]
    np.testing.assert_allclose(ax.get_xticks(), [at])


@pytest.mark.parametrize("wrong", [[1, 2, 2], [1.0, 2.0, np.nan], [1.0, 2.0, np.inf]])
@pytest.mark.parametrize("draw", MAPS)
def test_a_number_that_stands_twice_or_is_none_is_refused(one_line, draw, wrong):
    one_line(lambda: draw(surface(wrong, [1, 2, 3]), x="x", y="y"), "x: values of 'x'", "each once")


COORDINATES = {
    "many": np.linspace(0.05, 1.0, 12).round(4),
    "whole": np.arange(2, 201, 18),
    "few": np.array([0.125, 0.25, 0.5, 1.0]),
    "decades": np.logspace(-5, -1, 9),
    "1-2-5": np.array([1, 2, 5, 10, 20, 50, 100, 200, 500]),
    "thousands": np.array([1000, 2000, 4000, 8000]),
    "one": np.array([1e-4]),
    "close": np.array([1.0, 1.01, 50.0, 100.0]),
    "numbered": np.arange(4),
    "names": np.array(["iterative magnitude pruning", "random, shared by layer", "oracle"]),
    "truths": np.array([True, False]),
    "many names": np.array([f"class {i}" for i in range(20)]),
}


@pytest.mark.parametrize("kind", COORDINATES)
def test_labels_keep_clear_of_each_other(kind):
    """On a third of a page."""
    at = COORDINATES[kind]
    with plotting.style():
        fig, axes = plotting.panels(1, 3, ratio=1.0)
        ax = plotting.heatmap(surface(at, at), x="x", y="y", threshold=1.5, ax=axes[0, 0])
        fig.canvas.draw()
        page = fig.bbox
        for axis in (ax.xaxis, ax.yaxis):
            low, high = np.sort(axis.get_view_interval())
            inside = [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_text()]
            assert inside
            if not any(text.get_rotation() for text in inside):
                boxes = [text.get_window_extent() for text in inside]
                assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        box = ax.get_tightbbox()
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1


# --- colours and levels ------------------------------------------------------------------------------


def test_infinite_cells_leave_the_colours_alone():
    values = surface([1, 2, 3], [1, 2, 3])
    values[2, 2], values[0, 0] = np.inf, np.nan
    norm = plotting.heatmap(values, x="x", y="y").collections[0].norm
    assert (norm.vmin, norm.vmax) == (1.0, 3.0)
    plotting.heatmap(values * 0 + 1, x="x", y="y", log=True, threshold=1.0).figure.canvas.draw()


def test_logarithmic_colours_of_what_is_not_positive_are_refused(one_line):
    one_line(lambda: plotting.heatmap(surface([1, 2], [1, 2]), x="x", y="y", log=True), "log: error from 0")


@pytest.mark.parametrize("draw", [functools.partial(plotting.heatmap, threshold=2.5), threshold_map])
@pytest.mark.parametrize("name", ["error", "test_loss"])
def test_a_map_has_the_line_that_boundaries_have(draw, name):
    """On a logarithmic axis, and of a loss, it is interpolated in logarithms."""
    values = (surface([1, 10, 100, 1000], [1, 2, 3]) + 1).rename(name)
    ax = draw(values, x="x", y="y")
    (expected,) = boundary.contours(values, "x", "y", 2.5)
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata()[:-1], expected.points)
    if draw is threshold_map:
        assert ax.get_legend_handles_labels()[1] == [f"{name.replace('_', ' ')} = 2.5"]


def test_the_line_of_a_level_is_named_and_is_on_the_colour_bar():
    ax = plotting.heatmap(surface([1, 2, 3], [1, 2, 3]), x="x", y="y", threshold=2.5)
    assert [text.get_text() for text in ax.texts] == ["2.5"]
    (mark,) = ax.figure.axes[1].lines
    assert mark.get_ydata()[0] == 2.5
    none = plotting.heatmap(surface([1, 2, 3], [1, 2, 3]), x="x", y="y", threshold=25.0)
    assert not none.texts
    assert not none.lines


# --- seeds without a value ---------------------------------------------------------------------------


def at_least(values, seeds):
    return [text for text in values.get_legend_handles_labels()[1] if seeds in text]


def test_points_of_fewer_seeds_are_hollow():
    values = row([1, 2, 3, 4]).copy(deep=True)
    values[1, 0], values[2, :] = np.nan, np.nan
    ax = plotting.points(values, x="x", label="measured")
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [[2]]
    np.testing.assert_allclose(hollow[0].get_ydata(), values[1].mean())
    assert at_least(ax, "some seeds have none")
    assert not at_least(plotting.points(row([1, 2, 3]), x="x", label="measured"), "some")


def test_seeds_beyond_the_axis_are_marked_and_not_averaged_away():
    """Of five seeds: one above, three above, one below, and all above."""
    up, down = np.inf, -np.inf
    seeds = [[1, 2, 3, 4, up], [1, 2, up, up, up], [down, 2, 3, 4, 5], [up] * 5, [1, 2, 3, 4, 5]]
    values = xr.DataArray(np.array(seeds, float), dims=("x", "seed"), coords={"x": range(5)}, name="K")
    ax = plotting.points(values, x="x")
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, np.nan, 3, np.nan, 3])  # medians, and the last a mean
    triangles = {line.get_marker(): line.get_xdata().tolist() for line in ax.lines if line.get_marker() in ("^", "v")}
    assert triangles == {"^": [0, 1, 3], "v": [2]}
    assert len(at_least(ax, "some seeds lie beyond")) == 1
    assert ax.get_ylim()[1] < 10


@pytest.mark.parametrize("spread", ["interval", "error", "quartiles"])
def test_quartiles_count_seeds_beyond_the_axis(spread):
    values = xr.DataArray([[1.0, 2.0, 4.0, np.inf]], dims=("x", "seed"), coords={"x": [0]}, name="K")
    ax = plotting.points(values, x="x", spread=spread)
    (bars,) = [c for c in ax.collections if c.get_paths()]
    assert ax.lines[0].get_ydata().tolist() == [3.0]
    assert bars.get_paths()[0].vertices[:, 1].tolist() == [1.75, 3.0]  # the upper one is nowhere
    of_both = xr.DataArray([[-np.inf, np.inf], [np.inf, np.inf]], dims=("x", "seed"), coords={"x": [0, 1]}, name="K")
    assert np.isnan(plotting.points(of_both, x="x", spread=spread).lines[0].get_ydata()).all()


def test_edges_that_lie_beyond_are_drawn_as_such():
    """One seed of three has no boundary within the axis: the mean of the others would be too low."""
    k = np.arange(1.0, 8.0)
    level = xr.DataArray([[4.0, 5.0, 9.0], [2.0, 3.0, 4.0]], dims=("sigma_p", "seed"), coords={"sigma_p": [1, 2]})
    loss = xr.DataArray(k, dims="K", coords={"K": k}) - level
    edge = boundary.edge(loss, "K", 0.0, "upper", beyond=True)
    ax = plotting.points(edge, x="sigma_p")
    assert ax.lines[0].get_ydata().tolist() == [5.0, 3.0]
    assert [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "^"] == [[1]]
