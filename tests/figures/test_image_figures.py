"""Claims of paper 001 on images decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax.figures import image_memorization as figures
from snljax.reproduce import reproduce

mpl.use("Agg")

CLASSES = ["a", "b", "c"]
RNG = np.random.default_rng(0)


def extremes(highest, lowest):
    error = np.stack([highest + RNG.uniform(0, 0.02, 3), lowest + RNG.uniform(0, 0.02, 3)], axis=1)
    image = RNG.integers(0, 256, (3, 2, 4, 5, 6, 1)).astype(np.uint8)
    return xr.Dataset(
        {
            "image": (("class", "end", "rank", "height", "width", "channel"), image),
            "neighbour_error": (("class", "end"), error),
        },
        {"class": CLASSES, "end": ["highest", "lowest"]},
        {"tail": 0.1},
    )


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


def correlations(ratio, cosine):
    """Ratios and cosines of pairs of classes, the same in four parts up to a little noise; one pair has ratio 5."""
    diagonal, shape = np.eye(3, dtype=bool)[None], (4, 3, 3)
    ratios = np.where(diagonal, 1.0, ratio + RNG.uniform(0, 0.01, shape))
    ratios[:, 0, 1] = 5
    along = ("part", "class", "other")
    return xr.Dataset(
        {
            "norm": (("class", "other"), np.eye(3) + 1),
            "noise_correlation": (along, 2 * ratios),
            "ratio": (along, ratios),
            "cosine": (along, np.where(diagonal, 1.0, cosine + RNG.uniform(-0.01, 0.01, shape))),
        },
        {"class": CLASSES, "other": CLASSES},
    )


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ((2.0, 0.3), ["holds", "holds"]),
        ((0.8, 1.2), ["refuted", "refuted"]),
        ((0.995, 1.0), ["undecided", "undecided"]),
    ],
)
def test_matrix(planted, expected):
    """Every pair must exceed the value of equal noise: one that does is not enough."""
    claims = figures.check_matrix({"mine": correlations(*planted)})
    assert [c.verdict for c in claims] == expected
    (page,) = figures.draw_matrix({"mine": correlations(*planted)}).values()
    assert page.axes[0].get_ylabel() == "class $i$"


def removal(high, low, random, within_high):
    """Accuracy .9 less so much at half removed, in proportion at less; 0.01 of noise that seeds share."""
    rows = [(0.0, 0.0, 0.0, False, 0.0)]
    for f in (0.25, 0.5):
        rows += [(f, 0.0, 0.0, False, high), (0.0, f, 0.0, False, low), (0.0, 0.0, f, False, random)]
        rows += [(f, 0.0, 0.0, True, within_high), (0.0, f, 0.0, True, low)]
    columns = np.array(rows, float).T
    removed = columns[:3].sum(0)
    seeds = 0.01 * RNG.normal(size=(1, 5))
    accuracy = 0.9 - (removed / 0.5 * columns[4])[:, None] + seeds + 1e-4 * RNG.normal(size=(len(rows), 5))
    names = ("remove_high", "remove_low", "remove_random")
    coords = {name: ("removal", column) for name, column in zip(names, columns[:3], strict=True)}
    return xr.Dataset(
        {"test_accuracy": (("removal", "seed"), accuracy)},
        coords | {"within_class": ("removal", columns[3] > 0), "seed": range(5), "removal": range(len(rows))},
    )


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ((0.3, 0.1, 0.2, 0.3), ["holds"] * 6),
        ((0.1, 0.3, 0.2, 0.3), ["refuted", "refuted", "refuted", "undecided", "holds", "refuted"]),
        ((0.3, 0.1, 0.2, 0.05), ["holds", "holds", "holds", "refuted", "refuted", "holds"]),
    ],
)
def test_removal(planted, expected):
    """The three comparisons under one ranking, then under the ranking within classes."""
    claims = figures.check_removal({"mine": removal(*planted)})
    assert [c.verdict for c in claims] == expected


def test_too_few_seeds_decide_nothing():
    """An interval around 0, that of a single seed, and a diverged network are no evidence either way."""
    ds = removal(0.1, 0.1, 0.1, 0.1)
    assert {c.verdict for c in figures.check_removal({"mine": ds})} == {"undecided"}
    assert {c.verdict for c in figures.check_removal({"mine": ds.isel(seed=[0])})} == {"not testable"}
    ds = removal(0.3, 0.1, 0.2, 0.3)
    ds.test_accuracy[1, 0] = np.nan  # the first fraction without the highest, first seed
    measured = figures.check_removal({"mine": ds})[0].measured
    assert np.isnan(measured.mean) or measured.mean == pytest.approx(0.15, abs=1e-3)


def test_removal_curves_begin_with_nothing_removed():
    (page,) = figures.draw_removal({"mine": removal(0.3, 0.1, 0.2, 0.3)}).values()
    curves = page.axes[0].lines
    assert [line.get_xdata().tolist() for line in curves] == [[0, 0.25, 0.5]] * 3
    np.testing.assert_allclose([line.get_ydata()[0] for line in curves], 0.9, atol=0.02)
    np.testing.assert_allclose([line.get_ydata()[2] for line in curves], [0.6, 0.8, 0.7], atol=0.02)
    assert page.axes[0].get_xlabel().replace("\n", " ") == "fraction of the training images removed"
    labels = [t.get_text() for t in page.legends[0].get_texts()]
    assert labels == ["highest influence", "lowest influence", "at random"]


def shapes(own, equal):
    stretch = np.array([0.5, 1.0, 1.5])
    elongation = np.exp(
        np.stack([2 * stretch, own * stretch, equal * stretch])[None] + 0.01 * RNG.normal(size=(4, 3, 3))
    )
    return xr.Dataset(
        {
            "place": (("seed", "kind", "sample", "axis"), RNG.normal(size=(4, 3, 30, 2))),
            "label": (("seed", "sample"), np.tile(np.arange(30) % 3, (4, 1))),
            "elongation": (("seed", "kind", "class"), elongation),
        },
        {"seed": range(4), "kind": ["data", "own noise", "equal noise"], "class": CLASSES},
    )


@pytest.mark.parametrize(("planted", "expected"), [((1.0, 0.3), "holds"), ((0.3, 1.0), "refuted")])
def test_shapes(planted, expected):
    """The noise alone is compared: images differ from Gaussian data in more than that."""
    (claim,) = figures.check_shapes({"mine": shapes(*planted)})
    assert claim.verdict == expected
    (page,) = figures.draw_shapes({"mine": shapes(*planted)}).values()
    assert page.axes[2].get_title() == "t-SNE: Gaussian, one noise for all"
