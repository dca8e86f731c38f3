"""Claims of paper 001 on images decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from planted.image_memorization import CLASSES, correlations, extremes, removal, shapes, torn

from snljax.figures import image_memorization as figures
from snljax.reproduce import reproduce

mpl.use("Agg")


@pytest.mark.parametrize(("highest", "lowest", "expected"), [(0.4, 0.1, "holds"), (0.1, 0.4, "refuted")])
def test_extremes(highest, lowest, expected):
    (claim,) = figures.check_extremes({"mine": extremes(highest, lowest)})
    assert claim.verdict == expected


def test_every_image_has_its_place():
    """Row: class. Column: rank. A line of one pixel after each."""
    ds = extremes(0.4, 0.1)
    (picture,) = figures.draw_extremes({"mine": ds}).values()
    page = picture.axes[1].images[0].get_array()
    assert page.shape == (3 * 6, 4 * 7)
    np.testing.assert_array_equal(page[6:11, 14:20], ds.image.sel(end="lowest").values[1, 2, :, :, 0])
    assert (page[5::6] == 0).all()
    assert [t.get_text() for t in picture.axes[0].get_yticklabels()] == CLASSES


def test_images_are_read_from_the_file_as_they_were(tmp_path):
    """Grey levels are unsigned, which netCDF 3 does not know."""
    report = reproduce("influence-extremes", out=tmp_path)
    image = report.datasets["digits"].image
    assert image.max() == 255
    with xr.load_dataset(tmp_path / "influence-extremes-quick" / "digits.nc") as back:
        np.testing.assert_array_equal(back.image, image)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ((2.0, 0.3), ["holds", "holds"]),
        ((0.8, 1.2), ["refuted", "refuted"]),
        ((0.995, 1.0), ["undecided", "undecided"]),
    ],
)
def test_matrix(drawn, expected):
    """Every pair must exceed the value of equal noise: one that does is not enough."""
    claims = figures.check_matrix({"mine": correlations(*drawn)})
    assert [c.verdict for c in claims] == expected
    (page,) = figures.draw_matrix({"mine": correlations(*drawn)}).values()
    assert page.axes[0].get_ylabel() == "class $i$"


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ((0.3, 0.1, 0.2, 0.3), ["holds"] * 6),
        ((0.1, 0.3, 0.2, 0.3), ["refuted", "refuted", "refuted", "undecided", "holds", "refuted"]),
        ((0.3, 0.1, 0.2, 0.05), ["holds", "holds", "holds", "refuted", "refuted", "holds"]),
    ],
)
def test_removal(drawn, expected):
    """The three comparisons under one ranking, then under the ranking within classes."""
    claims = figures.check_removal({"mine": removal(*drawn)})
    assert [c.verdict for c in claims] == expected


def test_too_few_seeds_decide_nothing():
    """An interval around 0, that of a single seed, and a diverged network are no evidence either way."""
    ds = torn()
    assert {c.verdict for c in figures.check_removal({"mine": ds})} == {"undecided"}
    assert {c.verdict for c in figures.check_removal({"mine": ds.isel(seed=[0])})} == {"not testable"}
    ds = removal(0.3, 0.1, 0.2, 0.3)
    ds.test_accuracy[1, 0] = np.nan  # the first fraction without the highest, first seed
    measured = figures.check_removal({"mine": ds})[0].measured
    assert np.isnan(measured.mean) or measured.mean == pytest.approx(0.15, abs=1e-3)


def test_networks_at_chance_decide_nothing():
    ds = removal(0.3, 0.1, 0.2, 0.3)
    found = figures.check_removal({"mine": ds.assign(test_accuracy=ds.test_accuracy - 0.5)})
    assert {c.verdict for c in found} == {"not testable"}
    assert all("at chance, accuracy 0.4" in c.note for c in found)


def test_removal_curves_begin_with_nothing_removed():
    (page,) = figures.draw_removal("influence-removal", {"mine": removal(0.3, 0.1, 0.2, 0.3)}).values()
    curves = page.axes[0].lines
    assert [line.get_xdata().tolist() for line in curves] == [[0, 0.25, 0.5]] * 3
    np.testing.assert_allclose([line.get_ydata()[0] for line in curves], 0.9, atol=0.02)
    np.testing.assert_allclose([line.get_ydata()[2] for line in curves], [0.6, 0.8, 0.7], atol=0.02)
    assert page.axes[0].get_xlabel().replace("\n", " ") == "fraction of the training images removed"
    labels = [t.get_text() for t in page.legends[0].get_texts()]
    assert labels == ["highest influence", "lowest influence", "at random"]


@pytest.mark.parametrize(("drawn", "expected"), [((1.0, 0.3), "holds"), ((0.3, 1.0), "refuted")])
def test_shapes(drawn, expected):
    """The noise alone is compared: images differ from Gaussian data in more than that."""
    (claim,) = figures.check_shapes({"mine": shapes(*drawn)})
    assert claim.verdict == expected
    (page,) = figures.draw_shapes({"mine": shapes(*drawn)}).values()
    assert page.axes[2].get_title() == "t-SNE: Gaussian, one noise for all"
