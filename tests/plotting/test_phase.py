"""A phase map draws what the seeds say: lines and bands where they are by hand, dots where seeds leave a side open."""

from __future__ import annotations

import io
import shutil

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.patches import PathPatch
from scipy import stats

from snljax import plotting
from snljax.plotting import Curve, phase_map
from snljax.variables import DIVERGED, DONE, PENDING

mpl.use("Agg")

S, K = np.linspace(0.0, 2.0, 9), np.arange(1, 8)
SPREAD = np.array([-0.3, 0.0, 0.3])
HALF = stats.t.ppf(0.975, 2) * 0.3 / np.sqrt(3)  # of the 95 % interval of a mean over these seeds
TILTED = S[:, None] + K  # crosses a level on a straight line


def sweep(surface=TILTED, spread=SPREAD, name="error", x=S, y=K):
    """Seeds that differ from a surface by constants."""
    values = np.asarray(surface, float)[..., None] + spread
    dims = ("s", "K", "seed")
    cells = {name: (dims, values, {"symbol": "$E$"}), "status": (dims, np.full(values.shape, DONE, np.int8))}
    return xr.Dataset(cells, {"s": x, "K": y, "seed": range(values.shape[-1])})


def traced(level=5.0):
    """As `sweep`, trained at two corners and where a square of four cells, or its neighbour, holds the level."""
    ds = sweep()
    side = np.sign(TILTED - level) * (np.abs(TILTED - level) > HALF)
    trained = np.abs(TILTED - level) < 1.6
    trained[0, 0] = trained[-1, -1] = True
    kept = xr.DataArray(trained, dims=("s", "K"))
    ds = ds.assign(error=ds.error.where(kept), status=ds.status.where(kept, PENDING))
    ds["side"] = ("s", "K"), side.astype(np.int8), {"metric": "error", "level": level}
    return ds


def panel(*arguments, **options):
    """The Axes of a map on a figure of its own, which is neither laid out nor has a legend."""
    ax = plt.figure().add_subplot()
    phase_map(*arguments, ax=ax, **options)
    return ax


def entries(ax):
    return dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))


def line_of(ax, label):
    """The points of a labelled line, without its breaks."""
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line.get_xydata()[~np.isnan(line.get_xydata()[:, 0])]


def names(ax):
    """Each name with the cell, an index along x and along y, in which its middle lies."""
    found = []
    edges = [np.unique(ax.collections[0].get_coordinates()[..., i]) for i in (0, 1)]
    for text in ax.texts:
        at = ax.transData.inverted().transform(text.get_transform().transform(text.get_position()))
        found.append((text.get_text(), *(int(np.searchsorted(e, a)) - 1 for e, a in zip(edges, at, strict=True))))
    return found


def dots(ax):
    return sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection))


def colours(ax):
    """The last cells drawn are the trained ones; untrained ones lie below them."""
    return [c for c in ax.collections if isinstance(c, QuadMesh) and not c.get_hatch()][-1]


# --- boundary, band and dots -------------------------------------------------------------------------


def test_the_boundary_is_where_the_mean_has_the_level():
    line = line_of(panel(sweep(), level=5.0), "mean $E$ = 5")
    np.testing.assert_allclose(line.sum(1), 5.0)
    assert (line[:, 0].min(), line[:, 0].max()) == (0.0, 2.0)


def test_a_loss_on_logarithmic_axes_is_interpolated_in_logarithms():
    """x y = 30 is straight in logarithms, and nowhere else."""
    x, y = np.geomspace(1, 100, 7), np.geomspace(0.5, 50, 5)
    ax = panel(sweep(np.multiply.outer(x, y), np.zeros(1), "test_loss", x, y), level=30.0)
    line = line_of(ax, "$E$ = 30")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(line.prod(1), 30.0)


def test_the_band_is_where_the_interval_holds_the_level():
    ax = panel(sweep(), level=5.0)
    (area,) = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    rings = area.get_path().to_polygons(closed_only=True)
    size = sum((np.roll(x, -1) * y - x * np.roll(y, -1)).sum() / 2 for x, y in (ring.T for ring in rings))
    np.testing.assert_allclose(abs(size), 2 * HALF * 2.0)  # a parallelogram, two wide
    ends = [line.get_xydata() for line in ax.lines if line.get_linewidth() < 1]
    assert sorted(round(float(np.nanmean(end.sum(1))), 6) for end in ends) == [
        round(5 - HALF, 6),
        round(5 + HALF, 6),
    ]
    assert not panel(sweep(), level=5.0, band=False).patches


def test_the_band_is_drawn_with_its_hole():
    """Round an island the band is a ring: the island inside it has its own colour."""
    at = np.linspace(-1, 1, 21)
    ds = sweep(10 * (1 - np.hypot(at[:, None], at)), SPREAD, x=at, y=at)
    pictures = []
    for band in (False, True):
        ax = panel(ds, level=5.0, band=band, names=())
        ax.figure.canvas.draw()
        places = ax.transData.transform([(0, 0), (0.2, 0), (-0.53, 0), (0, 0.53), (-0.8, -0.8)]).astype(int)
        pictures.append(np.asarray(ax.figure.canvas.buffer_rgba())[::-1][places[:, 1], places[:, 0]])
    assert (pictures[0] != pictures[1]).any(-1).tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("level", [3.0, 5.1, 8.0])
def test_dots_are_the_cells_whose_interval_holds_the_level(level):
    ax = panel(sweep(), level=level)
    assert dots(ax) == (np.abs(TILTED - level) <= HALF).sum() > 0
    assert "seeds cannot tell" in entries(ax)


def test_a_single_seed_leaves_nothing_open():
    for ds in (sweep(spread=np.zeros(1)), sweep(spread=np.zeros(1)).isel(seed=0, drop=True)):
        ax = panel(ds, level=5.0)
        assert [*entries(ax)] == ["$E$ = 5"]
        assert dots(ax) == 0


def test_several_levels_have_lines_bands_and_dots_of_their_own():
    ax = panel(sweep(), level=[7.0, 3.0])
    looks = [entries(ax)[f"mean $E$ = {level}"].get_linestyle() for level in (3, 7)]
    assert len(set(looks)) == 2
    assert "--" not in looks  # which is theory's
    np.testing.assert_allclose(line_of(ax, "mean $E$ = 7").sum(1), 7.0)
    assert len(ax.patches) == 2 + 2  # with what stands for them in the legend
    assert dots(ax) == sum((np.abs(TILTED - level) <= HALF).sum() for level in (3, 7))


def test_no_boundary_no_line():
    ax = panel(sweep(), level=100.0)
    assert not ax.lines
    assert not ax.patches
    assert [name for name, *_ in names(ax)] == ["below 100"]
    assert not panel(sweep()).texts


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [2.5, 5.0, 7.5])
def test_names_stand_in_their_regions(level):
    found = names(panel(sweep(), level=level))
    assert {name for name, *_ in found} == {f"below {level:g}", f"above {level:g}"}
    for name, i, j in found:
        away = TILTED[i, j] - level
        assert away > HALF if name.startswith("above") else away < -HALF


def test_names_of_more_regions_run_from_the_lowest():
    found = {name: TILTED[i, j] for name, i, j in names(panel(sweep(), level=[3.5, 6.5], names=("a", "b", "c")))}
    assert found["a"] < 3.5 < found["b"] < 6.5 < found["c"]
    assert {name for name, *_ in names(panel(sweep(), level=[3.5, 6.5]))} == {"below 3.5", "3.5 to 6.5", "above 6.5"}


def test_a_region_in_two_parts_is_named_in_both():
    valley = np.abs(S - 1.0)[:, None] * 4 + 0 * K
    found = [(name, S[i] < 1) for name, i, _ in names(panel(sweep(valley), level=2.0)) if name == "above 2"]
    assert sorted(found) == [("above 2", False), ("above 2", True)]


# --- colours -----------------------------------------------------------------------------------------


def test_colours_are_means_and_an_outlier_leaves_them_as_they_were():
    ds = sweep(np.add.outer(np.linspace(0, 1, 12), np.linspace(0, 1, 12)), x=np.arange(12), y=np.arange(12))
    wild = ds.copy(deep=True)
    wild["error"][3, 4] = 1e6
    ax, of_wild = panel(ds), panel(wild)
    np.testing.assert_allclose(colours(ax).get_array(), ds.error.mean("seed").T)
    assert colours(of_wild).norm.vmax < 1.1 * colours(ax).norm.vmax
    assert colours(panel(wild, robust=False)).norm.vmax == pytest.approx(1e6)
    assert [colours(drawn).colorbar.extend for drawn in (of_wild, panel(wild, robust=False))] == ["both", "neither"]


def test_losses_that_span_a_factor_of_ten_have_logarithmic_colours():
    wide = np.exp(TILTED)
    for ds, log, expected in [
        (sweep(wide, np.zeros(1), "test_loss"), None, "LogNorm"),
        (sweep(wide, np.zeros(1), "test_loss"), False, "Normalize"),
        (sweep(wide, np.zeros(1), "norm"), None, "Normalize"),
        (sweep(wide, np.zeros(1), "norm"), True, "LogNorm"),
        (sweep(1 + TILTED / 10, np.zeros(1), "test_loss"), None, "Normalize"),
    ]:
        assert type(colours(panel(ds, log=log)).norm).__name__ == expected


def test_equal_cells_and_no_cells_are_drawn():
    panel(sweep(1 + 0 * TILTED, np.zeros(2), "test_loss"), level=1.0, log=True).figure.canvas.draw()
    panel(sweep(np.nan * TILTED), level=2.0).figure.canvas.draw()


# --- what was not trained, or diverged ---------------------------------------------------------------


def test_a_traced_map_says_which_cells_were_trained():
    ds = traced()
    trained = (ds.status == DONE).any("seed").transpose("K", "s").values
    ax = panel(ds)
    assert f"trained: {trained.sum()} of {trained.size} cells" in entries(ax)
    (outline,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(outline.get_segments()) == np.diff(trained, axis=0).sum() + np.diff(trained, axis=1).sum()
    tinted, coloured = (c.get_array() for c in ax.collections[:2])
    np.testing.assert_array_equal(np.ma.getmaskarray(tinted), trained)
    np.testing.assert_array_equal(np.ma.getmaskarray(coloured), ~trained)
    np.testing.assert_array_equal(tinted.compressed(), ds.side.transpose("K", "s").values[~trained])
    tints = ax.collections[0].cmap(np.array([0, 1, 2]))[:, :3] @ [0.3, 0.59, 0.11]
    assert (np.diff(tints) > 0.05).all()  # told apart in grey
    assert not any("trained" in label for label in entries(panel(sweep(), level=5.0)))


def test_metric_and_level_are_the_traced_ones():
    """All squares on the boundary are trained, so it is that of the whole grid, and so are dots and names."""
    ax, dense = panel(traced().assign(other=traced().error)), panel(sweep(), level=5.0)
    np.testing.assert_allclose(line_of(ax, "mean $E$ = 5"), line_of(dense, "mean $E$ = 5"))
    assert dots(ax) == dots(dense)
    assert names(ax) == names(dense)


def test_dots_of_a_traced_map_are_of_cells_that_were_not_trained_too():
    ds = traced()
    ds["side"][0, 1] = 0
    assert int((ds.status[0, 1] == DONE).sum()) == 0
    assert dots(panel(ds)) == (ds.side == 0).sum()


def test_diverged_cells_are_hatched_and_left_out_of_the_mean():
    x = np.geomspace(1, 100, 9)
    ds = sweep(x=x)
    ds["error"][2, 3, 0], ds["status"][2, 3, 0] = np.inf, DIVERGED
    ds["error"][5, 5], ds["status"][5, 5] = np.nan, DIVERGED
    ax = panel(ds, level=5.0)
    hatched = entries(ax)["diverged"]
    boxes = [path.get_extents() for path in hatched.get_paths()]
    assert [(np.searchsorted(x, b.xmin), np.searchsorted(x, b.xmax)) for b in boxes] == [(2, 3), (5, 6)]
    np.testing.assert_allclose(np.sqrt(boxes[0].xmin * boxes[0].xmax), x[2])  # on the axis as it is drawn
    means = colours(ax).get_array()
    assert means[3, 2] == pytest.approx(TILTED[2, 3] + 0.15)
    assert np.ma.getmaskarray(means).sum() == 1


def test_a_traced_map_counts_diverged_networks_where_its_search_did():
    ds = traced()
    ds["error"][8, 2, 0], ds["status"][8, 2, 0] = np.nan, DIVERGED
    assert np.isfinite(colours(panel(ds)).get_array()[2, 8])
    ds.side.attrs["diverged"] = "above"
    cells = colours(panel(ds))
    assert cells.get_array()[2, 8] > cells.norm.vmax
    assert cells.colorbar.extend in ("both", "max")


def test_pending_cells_of_whole_numbers_are_no_numbers():
    ds = sweep(name="count")
    ds["count"] = (ds["count"] * 10).astype(np.int32).assign_attrs(symbol="$E$")
    ds["count"][0, 0], ds["status"][0, 0] = np.iinfo(np.int32).min, PENDING
    assert colours(panel(ds)).norm.vmin > 0


# --- theory, axes, facets ----------------------------------------------------------------------------


def test_theory_is_solid_where_it_was_fitted():
    curves = [
        Curve("fitted", lambda s: 5 - s, fitted=True),
        Curve("not", np.array([1.0, 400.0]), np.array([0.0, 2.0])),
        Curve("here", lambda s: 1 / s, x=[0.5, 1.0]),
    ]
    ax = panel(sweep(), level=5.0, theory=curves)
    assert [entries(ax)[name].get_linestyle() for name in ("fitted", "not", "here")] == ["-", "--", "--"]
    np.testing.assert_allclose(line_of(ax, "fitted").sum(1), 5.0)
    assert line_of(ax, "here").tolist() == [[0.5, 2.0], [1.0, 1.0]]
    fitted = line_of(ax, "fitted")[:, 0]
    assert (fitted.min(), fitted.max()) == pytest.approx(ax.get_xlim()) == (-0.125, 2.125)
    assert ax.get_ylim() == (0.5, 7.5)  # of the cells, wherever a curve goes


def test_ticks_of_whole_numbers_are_whole():
    fig = phase_map(sweep(TILTED[:, :3], y=K[:3]))
    assert all(float(tick).is_integer() for tick in fig.axes[0].get_yticks())
    assert any(not float(tick).is_integer() for tick in fig.axes[0].get_xticks())


def test_axes_are_those_that_were_asked_for():
    ax = panel(sweep().transpose("seed", "K", "s").isel(K=slice(None, None, -1)), level=5.0, x="s")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("s", "K")
    np.testing.assert_allclose(line_of(ax, "mean $E$ = 5").sum(1), 5.0)


def test_facets_share_colours_and_one_colour_bar():
    n = xr.DataArray([0.0, 1.0, 2.0], dims="n", attrs={"symbol": "$n$"})
    ds = sweep()
    ds = ds.assign(error=(ds.error + n).assign_attrs(ds.error.attrs)).assign_coords(n=n)
    fig = phase_map(ds, level=5.0, facet="n", theory=[Curve("theory", lambda s: 5 - s)])
    *panels, _bar = fig.axes
    assert [ax.get_title() for ax in panels] == ["$n$ = 0", "$n$ = 1", "$n$ = 2"]
    assert len({id(colours(ax).norm) for ax in panels}) == 1
    for shift, ax in enumerate(panels):
        np.testing.assert_allclose(line_of(ax, "mean $E$ = 5").sum(1), 5.0 - shift)
    (shared,) = fig.legends
    labels = [text.get_text() for text in shared.get_texts()]
    assert len(labels) == len({*labels}) == 4


def test_panels_in_a_column_have_room_for_ticks_on_logarithmic_axes():
    """There were none at all. Titles say truth values as they are."""
    x, y = np.geomspace(1e-4, 1e-1, 4), [1, 2, 5, 10, 20, 50, 100]
    ds = sweep(np.add.outer(np.arange(4.0), np.arange(7.0)), x=x, y=y).expand_dims(regrow=[True, False])
    fig = phase_map(ds, level=4.0, facet="regrow")
    left, right = fig.axes[:2]
    assert [left.get_title(), right.get_title()] == ["regrow = True", "regrow = False"]
    low, high = left.get_ylim()
    inside = [t.label1 for t in left.yaxis.get_major_ticks() if low < t.get_loc() < high]
    assert {"1", "10", "100"} <= {text.get_text() for text in inside}
    boxes = [text.get_window_extent() for text in inside]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert left.get_window_extent().height > left.get_window_extent().width


# --- page and files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", plotting.WIDTHS)
def test_a_map_fits_its_page_and_leaves_settings_alone(width):
    before = dict(plt.rcParams)
    fig = phase_map(traced(), width=width, theory=[Curve("theory", lambda s: 5 - s)])
    assert dict(plt.rcParams) == before
    assert fig.get_size_inches()[0] == plotting.WIDTHS[width]
    assert min(t.get_fontsize() for t in fig.findobj(mpl.text.Text) if t.get_text()) >= 6
    page = fig.bbox
    for box in (fig.legends[0].get_window_extent(), *(ax.get_tightbbox() for ax in fig.axes)):
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1
    assert not fig.legends[0].get_window_extent().overlaps(fig.axes[0].get_tightbbox())


def test_on_a_given_panel_the_page_is_the_callers():
    fig, axes = plotting.panels(1, 2)
    assert phase_map(sweep(), level=5.0, ax=axes[0, 1]) is fig
    assert not axes[0, 0].collections
    assert not fig.legends
    plotting.legend(fig)
    assert "mean $E$ = 5" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_a_map_is_saved_as_pdf_with_its_letters():
    file = io.BytesIO()
    fig = phase_map(traced(), names=("low", "high"))
    with plotting.style():
        fig.savefig(file, format="pdf")
    assert file.getvalue().startswith(b"%PDF")
    assert b"/Type3" not in file.getvalue()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pgf measures its letters with LaTeX")
def test_a_map_is_saved_as_pgf(tmp_path):
    fig = phase_map(traced(), names=("low", "high"))
    with mpl.rc_context({"pgf.texsystem": "pdflatex", "pgf.rcfonts": False}):
        fig.savefig(tmp_path / "map.pgf")
    text = (tmp_path / "map.pgf").read_text(encoding="utf-8")
    assert all(part in text for part in ("high", "seeds cannot tell", r"\pgfusepath"))


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"metric": "loss"}, ("metric: 'loss'", "allowed: error")),
        ({"metric": "kind"}, ("metric, the variable 'kind'",)),
        ({"level": np.nan}, ("level: nan",)),
        ({"level": [1.0, np.inf]}, ("level: [1.0, inf]",)),
        ({"level": "2"}, ("level: '2'",)),
        ({"x": "K", "y": "K"}, ("'K'", "once")),
        ({"x": "mu"}, ("x: 'mu'", "allowed: s, K")),
        ({"x": "seed"}, ("x: 'seed'",)),
        ({"facet": "mu"}, ("facet: 'mu'",)),
        ({"level": 5.0, "names": ("a",)}, ("names: ('a',)", "2 names")),
        ({"level": 5.0, "names": "ab"}, ("names: 'ab'",)),
        ({"theory": [("theory", 1.0)]}, ("theory: ('theory', 1.0)",)),
        ({"theory": [Curve("flat", 1.0)]}, ("theory, 'flat'",)),
        ({"log": True}, ("log: True for error from -1",)),
        ({"width": "slide"}, ("width: 'slide'",)),
    ],
)
def test_what_cannot_be_drawn_is_refused(one_line, options, texts):
    ds = sweep(TILTED - 2).assign(kind=(("s", "K"), np.full(TILTED.shape, "a")))
    one_line(lambda: phase_map(ds, **options), *texts)


def test_dimensions_that_no_axis_shows_are_refused(one_line):
    ds = sweep().expand_dims(step=[0, 10])
    one_line(lambda: phase_map(ds, x="s", y="K"), "facet: None leaves step (2)")
    one_line(lambda: phase_map(ds, facet="step", ax=plt.subplots()[1]), "facet: 'step' with an ax")
    one_line(lambda: phase_map(sweep(x=[0.0] * 9)), "x: values of 's'")
    one_line(lambda: phase_map(sweep(x=list("abcdefghi"))), "x, the coordinate 's'")
    one_line(lambda: phase_map(sweep().isel(K=0)), "y: None")
    assert len(phase_map(ds, facet="step", level=5.0).axes) == 3


@pytest.mark.parametrize(
    ("counts", "level", "wanted"), [("below", 2.0, 3.5), ("above", 4.0, 3.5), ("below", 4.0, None)]
)
def test_a_line_runs_between_finite_cells_and_diverged_ones_that_count_on_the_other_side(counts, level, wanted):
    ds = sweep(np.full((9, 7), 3.0) + 0.01 * K, x=np.arange(9))
    dead = xr.DataArray(np.arange(9) > 3, dims="s")
    ds = ds.assign(error=ds.error.where(~dead), status=ds.status.where(~dead, DIVERGED))
    ds["side"] = ("s", "K"), np.zeros((9, 7), np.int8), {"metric": "error", "level": level, "diverged": counts}
    ax = panel(ds)
    lines = [line.get_xydata() for line in ax.lines if line.get_label() == f"mean $E$ = {level:g}"]
    if wanted is None:
        assert not lines
    else:
        np.testing.assert_allclose(lines[0][~np.isnan(lines[0][:, 0]), 0], wanted, atol=0.03)
