"""Marks draw the numbers they are given, at the size of a page, and leave the user's settings alone."""

from __future__ import annotations

import functools
import io
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from snljax import plotting

mpl.use("Agg")


def plane(seeds=2):
    """Loss over (sigma_p, K, seed), other at every cell."""
    sigma_p, k = np.linspace(0.1, 1.0, 5).round(3), np.array([2, 8, 20])
    loss = 0.1 + sigma_p[:, None, None] * k[:, None] + np.arange(seeds)
    dims = ("sigma_p", "K", "seed")
    return xr.Dataset(
        {"test_loss": (dims, loss), "status": (dims, np.ones(loss.shape, np.int8))},
        {"sigma_p": sigma_p, "K": k, "seed": range(seeds)},
    )


def over_seeds(*rows, dim="x"):
    """One row of values over seeds for each place."""
    values = np.array(rows, float)
    return xr.DataArray(values, dims=(dim, "seed"), coords={dim: np.arange(len(rows))}, name="error")


# --- maps --------------------------------------------------------------------------------------------


def test_heatmap_labels_and_orientation():
    ds = plane()
    ax = plotting.heatmap(ds.test_loss.mean("seed"), x="sigma_p", y="K", threshold=2.0, log=True, status=ds.status)
    assert ax.get_ylabel() == "K"
    mesh = ax.collections[0].get_array().reshape(ds.sizes["K"], ds.sizes["sigma_p"])
    np.testing.assert_allclose(mesh, ds.test_loss.mean("seed").transpose("K", "sigma_p"))


@pytest.mark.parametrize("draw", [plotting.heatmap, functools.partial(plotting.threshold_map, threshold=2.0)])
def test_axes_that_are_even_in_their_logarithm_are_logarithmic(draw):
    """Each cell reaches half way to its neighbours on the axis that is drawn."""
    rates = np.logspace(-4, -1, 4)
    values = xr.DataArray(
        np.arange(8.0).reshape(2, 4), dims=("noise", "rate"), coords={"noise": [0.0, 1.0], "rate": rates}
    )
    ax = draw(values, x="rate", y="noise")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    corners = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], 10.0 ** np.array([-4.5, -3.5, -2.5, -1.5, -0.5]))
    np.testing.assert_allclose(corners[:, 0, 1], [-0.5, 0.5, 1.5])
    even = draw(values.assign_coords(rate=[0.1, 0.2, 0.3, 0.4]), x="rate", y="noise")
    assert even.get_xscale() == "linear"


def test_colour_bar_says_what_the_metric_says_of_itself():
    loss = plane().test_loss.isel(seed=0).assign_attrs(long_name=r"test loss $L_\mathcal{D}$ (nats)", units="nats")
    ax = plotting.heatmap(loss, x="sigma_p", y="K")
    assert ax.figure.axes[1].get_ylabel() == r"test loss $L_\mathcal{D}$ (nats)"


@pytest.mark.parametrize("draw", [plotting.heatmap, lambda v, **k: plotting.threshold_map(v, threshold=2.0, **k)])
def test_diverged_cells_are_hatched(draw):
    ds = plane()
    ds.status[3, 2, 0] = plotting.DIVERGED
    ax = draw(ds.test_loss.mean("seed"), x="sigma_p", y="K", status=ds.status)
    hatched = [c for c in ax.collections if c.get_hatch()]
    assert len(hatched) == 1
    assert len(hatched[0].get_paths()) == 1


def test_threshold_map_has_two_colours():
    values = plane().test_loss.isel(seed=0)
    ax = plotting.threshold_map(values, x="sigma_p", y="K", threshold=5.0)
    above = ax.collections[0].get_array().reshape(3, 5)
    np.testing.assert_array_equal(above, (values >= 5.0).transpose("K", "sigma_p"))


def test_heatmap_refuses_other_dimensions():
    with pytest.raises(ValueError, match="also has seed; allowed: the two dimensions"):
        plotting.heatmap(plane().test_loss, x="sigma_p", y="K")


# --- curves and points -------------------------------------------------------------------------------


def band(ax):
    """x -> (low, high) of the one band."""
    (area,) = ax.collections
    corners = area.get_paths()[0].vertices
    return {x: (corners[corners[:, 0] == x, 1].min(), corners[corners[:, 0] == x, 1].max()) for x in corners[:, 0]}


SAMPLE = [1.0, 2.0, 4.0, 9.0]
SPREADS = {
    "interval": (4.0, *stats.t.interval(0.95, 3, 4.0, stats.sem(SAMPLE))),
    "error": (4.0, 4.0 - stats.sem(SAMPLE), 4.0 + stats.sem(SAMPLE)),
    "quartiles": tuple(np.quantile(SAMPLE, [0.5, 0.25, 0.75])),
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("lost", [False, True])
def test_bands_and_bars_are_the_spread_over_seeds(spread, lost):
    """A network that diverged has no part in it."""
    sample = [*SAMPLE, np.nan] if lost else SAMPLE
    values = over_seeds(sample, [2 * v for v in sample])
    middle, low, high = SPREADS[spread]
    ax = plotting.curves(values, x="x", spread=spread)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [middle, 2 * middle])
    np.testing.assert_allclose(band(ax)[1.0], (2 * low, 2 * high))
    ax = plotting.points(values, x="x", spread=spread)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [middle, 2 * middle])
    (bars,) = [c for c in ax.collections if len(c.get_paths()) == 2]
    np.testing.assert_allclose(bars.get_paths()[1].vertices[:, 1], (2 * low, 2 * high))


def test_bands_of_an_accuracy_stay_below_one():
    values = over_seeds([0.7, 0.99, 0.99], [0.98, 1.0, 1.0]).rename("test_accuracy")
    found = band(plotting.curves(values, x="x"))
    assert 0 < found[0.0][0] < values.isel(x=0).mean() < found[0.0][1] < 1
    assert found[1.0][1] < 1


@pytest.mark.parametrize("draw", [plotting.curves, plotting.points])
@pytest.mark.parametrize("spread", SPREADS)
def test_one_seed_and_none_are_drawn_without_spread(draw, spread):
    ax = draw(over_seeds([1.0], [np.nan], [3.0]), x="x", spread=spread)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, np.nan, 3.0])
    ax.figure.canvas.draw()


def test_curves_are_told_apart_by_hue():
    loss = plane().test_loss.assign_coords(sigma_p=("sigma_p", np.linspace(0.1, 1.0, 5).round(3), {"symbol": "s"}))
    ax = plotting.curves(loss, x="K", hue="sigma_p", colors=plotting.shades(5))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [f"s = {v:g}" for v in loss.sigma_p.values]
    assert len({tuple(mpl.colors.to_rgba(line.get_color())) for line in ax.lines}) == 5
    assert plotting.curves(loss, x="K", hue="sigma_p", legend=False).get_legend() is None


def test_truth_values_are_told_as_they_are():
    values = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("regrow", "K"), coords={"regrow": [True, False]})
    labels = [line.get_label() for line in plotting.curves(values, x="K", hue="regrow").lines]
    assert labels == ["regrow = True", "regrow = False"]


def test_x_may_be_a_coordinate_that_hue_moves():
    values = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("gamma", "bin"), coords={"gamma": [1, 10]})
    ax = plotting.curves(values.assign_coords(level=(("gamma", "bin"), [[0, 1], [5, 7]])), x="level", hue="gamma")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0, 1], [5, 7]]


def test_an_unknown_spread_is_refused():
    with pytest.raises(ValueError, match="spread: 'range' is not known; allowed: interval, error, quartiles"):
        plotting.curves(over_seeds([1.0, 2.0]), x="x", spread="range")


def test_references():
    ax = plt.subplots()[1]
    plotting.reference(ax, x=[1, 2], y=[3, 4], label="curve")
    plotting.reference(ax, x=np.float64(1.5))
    plotting.reference(ax, y=2, ls=":")
    assert [line.get_linestyle() for line in ax.lines] == ["--", "--", ":"]
    assert ax.lines[0].get_ydata().tolist() == [3, 4]
    assert list(ax.lines[1].get_xdata()) == [1.5, 1.5]
    with pytest.raises(ValueError, match="neither is given"):
        plotting.reference(ax)


# --- labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({}, "test loss"),
        ({"symbol": "$L$"}, "$L$"),
        ({"symbol": "$L$", "long_name": "test loss $L$ (nats)", "units": "nats"}, "test loss $L$ (nats)"),
        ({"long_name": "loss", "units": "nats"}, "loss (nats)"),
    ],
)
def test_labels(attrs, expected):
    values = xr.DataArray([1.0], dims="a_b", name="test_loss", attrs=attrs)
    assert plotting.label_of(values) == expected
    assert plotting.label_of(values.assign_coords(a_b=[1]), "a_b") == "a b"


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", plotting.WIDTHS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
def test_pages_are_as_wide_as_they_say(width, shape):
    fig, axes = plotting.panels(*shape, width=width)
    assert axes.shape == shape
    assert fig.get_size_inches()[0] == plotting.WIDTHS[width]


def test_unknown_widths_and_corners_are_refused():
    with pytest.raises(ValueError, match="width: 'slide' is not known; allowed: column, page"):
        plotting.panels(width="slide")
    with pytest.raises(ValueError, match="corner: 'top' is not known; allowed: upper left"):
        plotting.note(plt.subplots()[1], "text", "top")


def test_style_is_for_what_is_inside():
    before = dict(plt.rcParams)
    with plotting.style():
        axes = plotting.panels(1, 2, width="column")[1]
        plotting.curves(over_seeds([1.0, 2.0], [2.0, 3.0]), x="x", ax=axes[0, 0])
        assert plt.rcParams != before
    assert dict(plt.rcParams) == before


def test_everything_on_a_styled_page_is_legible():
    """At column width no letter is below 6 points, and the picture is no wider than the column."""
    with plotting.style():
        fig, axes = plotting.panels(2, 1, width="column")
        ds = plane()
        plotting.heatmap(ds.test_loss.mean("seed"), x="sigma_p", y="K", threshold=5.0, ax=axes[0, 0])
        plotting.curves(ds.test_loss, x="K", hue="sigma_p", ax=axes[1, 0])
        plotting.note(axes[1, 0], "a note", "lower right")
        fig.suptitle(plotting.caption(ds))
        fig.canvas.draw()
        sizes = {t.get_text(): t.get_fontsize() for t in fig.findobj(mpl.text.Text) if t.get_text()}
        assert {"a note", "K", "test loss"} <= set(sizes)
        assert min(sizes.values()) >= 6
        picture = io.BytesIO()
        fig.savefig(picture, format="png")
        assert plt.imread(io.BytesIO(picture.getvalue())).shape[1] == 990


@pytest.mark.parametrize("form", ["pdf", "ps"])
def test_fonts_are_embedded_as_truetype(form):
    file = io.BytesIO()
    with plotting.style():
        fig, axes = plotting.panels(width="column")
        axes[0, 0].set_title(r"ε_min, $\sigma_p^{-2}$")
        fig.savefig(file, format=form)
    text = file.getvalue()
    assert b"/FontType 3" not in text
    assert b"/Type3" not in text
    assert re.search(rb"/FontFile2|/FontType 42", text)


def test_one_legend_has_each_label_once():
    fig, axes = plotting.panels(1, 2)
    for ax in axes[0]:
        plotting.curves(plane().test_loss, x="K", hue="sigma_p", ax=ax)
    plotting.reference(axes[0, 1], y=1.0, label="threshold")
    plotting.legend(fig)
    (shared,) = fig.legends
    labels = [t.get_text() for t in shared.get_texts()]
    assert labels == [*(f"sigma p = {v:g}" for v in plane().sigma_p.values), "threshold"]
    assert [ax.get_legend() for ax in axes[0]] == [None, None]


def test_notes_stay_inside_their_panel():
    with plotting.style():
        fig, axes = plotting.panels(width="column")
        for corner in ("upper left", "upper right", "lower left", "lower right"):
            plotting.note(axes[0, 0], corner, corner)
        fig.canvas.draw()
        panel = axes[0, 0].get_window_extent()
        for text in axes[0, 0].texts:
            box = text.get_window_extent()
            assert panel.x0 < box.x0 < box.x1 < panel.x1
            assert panel.y0 < box.y0 < box.y1 < panel.y1


def test_ticks_are_plain_numbers():
    ax = plt.subplots()[1]
    ax.set(xscale="log", xlim=(1, 100))
    plotting.ticks(ax, x=[2, 5, 50])
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "5", "50"]
    assert len(ax.xaxis.get_minorticklocs()) == 0


@pytest.mark.parametrize("draw", [lambda v, ax: plotting.curves(v, x="x", ax=ax), lambda v, ax: _map(v, ax)])
def test_long_labels_stay_within_their_panels(draw):
    """Panels of a quarter of a page: their labels are broken, and never inside a formula."""
    label = r"test error of the linear probe of a class, $\| a - b \|^2 / \| b \|^2$ (nats)"
    values = over_seeds([1.0, 2.0], [2.0, 3.0]).assign_attrs(long_name=label)
    with plotting.style():
        fig, axes = plotting.panels(4, 2)
        for ax in axes.flat:
            draw(values, ax)
        fig.canvas.draw()
        labels = [ax.yaxis.label for ax in fig.axes if ax.get_ylabel() not in ("", "x", "seed")]
        assert len(labels) == 8
        assert all(text.get_text().replace("\n", " ") == label for text in labels)
        assert all(r"$\| a - b \|^2 / \| b \|^2$" in text.get_text() for text in labels)
        boxes = [text.get_window_extent() for text in labels]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def _map(values, ax):
    plotting.heatmap(values, x="x", y="seed", ax=ax)


def test_one_row_and_nothing_trained_are_drawn_too():
    values = xr.DataArray(
        [[1.0, 2.0, 3.0]], dims=("K", "sigma_p"), coords={"K": [2], "sigma_p": [0.1, 0.2, 0.3]}, name="test_loss"
    )
    assert plotting.heatmap(values, x="sigma_p", y="K", threshold=2.0).get_xlabel()
    assert plotting.heatmap(values * np.nan, x="sigma_p", y="K", log=True).get_xlabel()


def test_points_of_seeds_that_are_almost_equal_are_drawn():
    almost = np.full(5, 0.05)
    almost[2] = np.nextafter(0.05, 1.0)
    values = xr.DataArray(almost[:, None], dims=("seed", "K"), coords={"K": [2]}, name="test_accuracy")
    assert plotting.points(values, x="K").get_xlabel()


def test_a_matrix_writes_its_numbers_with_the_first_row_on_top():
    names = ["a", "b"]
    values = xr.DataArray([[0.5, -2.0], [1.0, 0.0]], dims=("row", "column"), coords={"row": names, "column": names})
    ax = plotting.matrix(values, x="column", y="row", form="{:.1f}", around_zero=True)
    assert [text.get_text() for text in ax.texts] == ["0.5", "-2.0", "1.0", "0.0"]
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), values)
    assert (image.norm.vmin, image.norm.vmax) == (-2.0, 2.0)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    many = xr.DataArray(np.eye(13), dims=("row", "column"), coords={d: range(13) for d in ("row", "column")})
    assert not plotting.matrix(many, x="column", y="row").texts
