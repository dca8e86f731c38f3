"""A picture of a Dataset fits what was swept: a curve, a heatmap, panels, or one line that says why not."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from snljax import picture
from snljax.picture import Choice
from snljax.variables import DIVERGED, DONE, PENDING

mpl.use("Agg")

K, S = np.array([10, 20, 40]), np.array([0.5, 1.0, 1.5, 2.0])


def swept(seeds=3, record=None, **axes):
    """1, 2, 3 and so on over the cells, ± 0.1 over seeds; twice that at the last of two records."""
    shape = tuple(len(at) for at in axes.values())
    values = 1.0 + np.arange(np.prod(shape, dtype=int)).reshape(shape)[..., None] + np.linspace(-0.1, 0.1, seeds)
    dims = [*axes, "seed"]
    status = np.full(values.shape, DONE, np.int8)
    coordinates = {**axes, "seed": range(seeds)}
    if record is not None:
        values, dims = values[..., None] * [0.5, 1.0], [*dims, "step"]
        coordinates["step"] = record
    return xr.Dataset({"error": (dims, values), "status": ([*axes, "seed"], status)}, coordinates)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The figure that `draw` writes."""
    made = []
    monkeypatch.setattr(Figure, "savefig", lambda fig, out: made.append((fig, out)))

    def draw(ds, *chosen, **named):
        picture.draw(ds, Choice(*chosen, **named), "a.nc", tmp_path / "a.png")
        fig, out = made.pop()
        assert out == tmp_path / "a.png"
        assert not made
        assert not plt.get_fignums()
        return fig

    return draw


def panels(fig):
    """Axes with a map whose title says which value of the third dimension it is of."""
    return [ax for ax in fig.axes if ax.get_title()]


def colours(ax):
    return next(c for c in ax.collections if isinstance(c, QuadMesh)).get_array()


def test_of_one_axis_there_is_a_curve_with_its_band_over_seeds(drawn):
    ds = swept(K=K)
    ax = drawn(ds, threshold=2.0).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), K)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), ds.error.mean("seed"))
    assert ax.lines[1].get_ydata()[0] == 2.0
    assert len(ax.collections) == 1
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("K", "error", "log")
    assert drawn(ds, log=True).axes[0].get_yscale() == "log"
    assert len(drawn(ds.isel(seed=0, drop=True)).axes[0].collections) == 0


def test_names_are_points(drawn):
    ax = drawn(swept(mask=["random", "magnitude"])).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["random", "magnitude"]
    assert ax.lines[0].get_linestyle() == "None"


def test_of_two_axes_there_is_a_heatmap_with_the_level_s_line(drawn):
    ds = swept(K=K, S=S)
    ax = drawn(ds, threshold=5.0).axes[0]
    np.testing.assert_allclose(colours(ax), ds.error.mean("seed").T)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("K", "S")
    assert ax.lines
    turned = drawn(ds, x="S").axes[0]
    assert (turned.get_xlabel(), turned.get_ylabel()) == ("S", "K")


def test_of_three_axes_there_are_panels_over_the_third(drawn):
    ds = swept(K=K, S=S, n=[6, 50])
    shown = panels(drawn(ds, threshold=8.0))
    assert [ax.get_title() for ax in shown] == ["n = 6", "n = 50"]
    for i, ax in enumerate(shown):
        np.testing.assert_allclose(colours(ax), ds.error.isel(n=i).mean("seed").T)
        assert ax.lines
    assert [ax.get_title() for ax in panels(drawn(ds, "error", "K", "S"))] == ["n = 6", "n = 50"]
    assert [ax.get_title() for ax in panels(drawn(ds, x="n", facet="K"))] == ["K = 10", "K = 20", "K = 40"]


def test_pictures_are_written_and_closed(tmp_path):
    for axes in ({"K": K}, {"K": K, "S": S}, {"K": K, "S": S[:2], "n": [6, 50]}):
        picture.draw(swept(**axes), Choice(), "a.nc", tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "a.png").unlink()
    assert not plt.get_fignums()


def test_names_are_what_panels_are_over(drawn):
    ds = swept(mask=["random", "magnitude"], K=K, S=S)
    assert [ax.get_title() for ax in panels(drawn(ds))] == ["mask = random", "mask = magnitude"]


def test_of_many_values_of_a_third_dimension_some_are_shown(drawn):
    fig = drawn(swept(1, K=K[:2], S=S[:2], n=np.arange(30)))
    titles = [ax.get_title() for ax in panels(fig)]
    assert len(titles) == 12
    assert (titles[0], titles[-1]) == ("n = 0", "n = 29")
    assert "12 of 30 values of n" in fig.get_suptitle()


def test_further_dimensions_are_at_their_first_value_and_the_title_says_so(drawn):
    ds = swept(K=K, S=S, n=[6, 50], m=[7, 8])
    fig = drawn(ds)
    np.testing.assert_allclose(colours(panels(fig)[1]), ds.error.isel(n=1, m=0).mean("seed").T)
    assert "m = 7" in fig.get_suptitle()


@pytest.mark.parametrize("wanted", [50, "50", "50.0"])
def test_a_value_may_be_chosen(drawn, wanted):
    ds = swept(K=K, S=S, n=[6, 50])
    fig = drawn(ds, at={"n": wanted})
    np.testing.assert_allclose(colours(fig.axes[0]), ds.error.sel(n=50).mean("seed").T)
    curve = drawn(ds, at={"n": 6, "S": "1.5"}).axes[0]
    np.testing.assert_allclose(curve.lines[0].get_ydata(), ds.error.sel(n=6, S=1.5).mean("seed"))


def test_without_an_axis_records_are_the_curve(drawn):
    ax = drawn(swept(record=[0, 100])).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.5, 1.0])
    assert ax.get_xlabel() == "step"


def test_records_are_of_the_end_unless_they_are_asked_for(drawn):
    ds = swept(K=K, record=[0, 100])
    fig = drawn(ds)
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), ds.error.isel(step=-1).mean("seed"))
    assert "step = 100" in fig.get_suptitle()
    np.testing.assert_allclose(colours(drawn(ds, x="step").axes[0]), ds.error.mean("seed"))


def test_a_coordinate_may_stand_for_its_dimension(drawn):
    ds = swept(protocol=[0, 1, 2], K=K).assign_coords(keep=("protocol", [0.9, 0.5, 0.1]))
    ax = drawn(ds, x="keep").axes[0]
    np.testing.assert_allclose(colours(ax), ds.error.mean("seed").isel(protocol=[2, 1, 0]).T)
    assert ax.get_xlabel() == "keep"


def test_a_numbered_dimension_has_the_settings_that_it_moves(drawn):
    keep, regrow = [0.9, 0.5, 0.5], [True, True, False]
    ds = swept(protocol=[0, 1, 2], K=K)
    named = ds.assign_coords(keep=("protocol", keep), regrow=("protocol", regrow), n=("protocol", [6, 6, 6]))
    ax = drawn(named).axes[0]
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks == ["keep = 0.9, regrow = True", "keep = 0.5, regrow = True", "keep = 0.5, regrow = False"]
    np.testing.assert_allclose(colours(ax), ds.error.mean("seed"))
    assert drawn(named.assign_coords(m=("protocol", [1, 2, 3]))).axes[0].get_xlabel() == "protocol"  # too long
    assert drawn(named, at={"protocol": 1}).axes[0].get_xlabel() == "K"


def test_a_metric_s_own_dimensions_are_no_axes_unless_they_are_asked_for(drawn):
    ds = swept(K=K)
    ds["norm"] = ds.error * xr.DataArray([1.0, 10.0], dims="neuron")
    np.testing.assert_allclose(drawn(ds, "norm").axes[0].lines[0].get_ydata(), ds.error.mean("seed"))
    assert drawn(ds, "norm", y="neuron").axes[0].get_ylabel() == "neuron"


def test_titles_say_what_is_missing(drawn):
    ds = swept(K=K, S=S).copy(deep=True)
    for code, cell in ((DIVERGED, (0, 1, 2)), (PENDING, (1, 0, 0)), (PENDING, (1, 0, 1))):
        ds["status"][cell], ds["error"][cell] = code, np.nan
    title = drawn(ds).get_suptitle().replace("\n", " ")
    assert title == "mean of 3 seeds, 1 of 36 networks diverged (hatched), 2 of 36 networks are pending"


@pytest.mark.parametrize(
    ("axes", "chosen", "parts"),
    [
        ({}, {}, ("error", "one cell")),
        ({"K": K}, {"x": "mu"}, ("x: 'mu'", "no dimension", "allowed: K")),
        ({"K": K, "S": S}, {"x": "K", "y": "K"}, ("'K'", "each of K, S once")),
        ({"K": K, "S": S}, {"facet": "seed"}, ("facet: 'seed'",)),
        ({"K": K, "S": S}, {"at": {"n": 1}}, ("at: 'n'", "allowed: K, S, seed")),
        ({"K": K, "S": S}, {"at": {"K": "15"}}, ("at: K = 15", "allowed: 10, 20, 40")),
        ({"K": K, "a": ["p", "q"], "b": ["r", "s"]}, {}, ("y: 'a' in a.nc holds names", "--at")),
    ],
)
def test_what_cannot_be_drawn_is_one_line(one_line, tmp_path, axes, chosen, parts):
    one_line(lambda: picture.draw(swept(**axes), Choice(**chosen), "a.nc", tmp_path / "a.png"), "a.nc", *parts)
    assert not list(tmp_path.iterdir())
    assert not plt.get_fignums()
