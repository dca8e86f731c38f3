"""Statistics of image classes on folders written here, with planted outliers and planted noise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import snljax as snl
from snljax.measures import image_statistics, memorization

SIDE = 6


def write(folder, x, labels):
    """One PNG for each grey image; all of them count as training images."""
    for i, (picture, label) in enumerate(zip(x, labels, strict=True)):
        place = folder / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(place / f"{i:04}.png")
    return str(folder)


def noisy(labels, scales, seed=0):
    """Class means far apart; noise of each class on rows of its own, scales (classes, SIDE)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(labels), SIDE, SIDE)) * np.asarray(scales)[labels][:, :, None] + 100
    x[np.arange(len(labels)), labels] += 80
    return x


def test_extremes_find_planted_images(tmp_path):
    """A class's far outlier has the highest score; an image in the wrong folder is misplaced by its neighbours."""
    labels = np.repeat([0, 1], 30)
    x = noisy(labels, np.full((2, SIDE), 5.0))
    x[7], x[40] = 255 - x[7], noisy(np.array([0]), np.full((2, SIDE), 5.0), seed=9)[0]
    ds = image_statistics.influence_extremes(write(tmp_path, x, labels), each=4, split="all")
    assert ds.image.shape == (2, 2, 4, SIDE, SIDE, 1)
    for k, planted in ((0, 7), (1, 40)):
        first = ds.image.sel(end="highest").isel({"class": k, "rank": 0, "channel": 0}).values
        np.testing.assert_array_equal(first, np.clip(x[planted], 0, 255).astype(np.uint8))
    assert (ds.score.diff("rank").sel(end="highest") <= 0).all()
    assert (ds.score.diff("rank").sel(end="lowest") >= 0).all()
    error = ds.neighbour_error
    assert float(error.sel(end="highest").isel({"class": 1})) == pytest.approx(1 / 3)
    assert (error.sel(end="lowest") == 0).all()


def test_correlations_are_those_of_the_images(tmp_path):
    labels = np.repeat([0, 1, 2], [40, 60, 80])
    scales = np.array([[20, 20, 2, 2, 2, 2], [2, 2, 20, 20, 2, 2], [2, 2, 2, 2, 20, 20]])
    ds = image_statistics.class_correlations(write(tmp_path, noisy(labels, scales), labels), split="all")
    found = snl.data.images.load(str(tmp_path), "all")
    np.testing.assert_allclose(ds.norm**2, memorization.class_overlaps(found.images, found.labels), rtol=1e-12)
    np.testing.assert_allclose(ds.noise_correlation, snl.noise_correlation(found.images, found.labels), rtol=1e-12)
    assert (ds.cosine_within > 0.5).all()
    assert (ds.cosine_between < 0.2).all()


def test_equal_noise_looks_equal(tmp_path):
    """The cosine of two classes is that of two halves of one, where all classes have the same noise."""
    labels = np.repeat([0, 1, 2], 200)
    scales = np.tile([20.0, 20, 2, 2, 2, 2], (3, 1))
    ds = image_statistics.class_correlations(write(tmp_path, noisy(labels, scales), labels), split="all")
    assert abs(float((ds.cosine_within - ds.cosine_between).mean())) < 0.03


def test_shapes_of_a_stretched_class(tmp_path):
    """One class on a line, the others round: t-SNE stretches it, and not where all classes have the same noise."""
    labels = np.repeat([0, 1, 2], 80)
    rng = np.random.default_rng(0)
    x = noisy(labels, np.full((3, SIDE), 3.0))
    x[labels == 2] += 60 * rng.uniform(-1, 1, 80)[:, None, None] * np.eye(SIDE)[4][None, :, None]
    ds = image_statistics.class_shapes(write(tmp_path, x, labels), n=200, seeds=1, split="all")
    stretched = ds.elongation.sel(kind="data").values[0]
    assert stretched[2] > 1.5 * stretched[:2].max()
    for kind, seed in np.ndindex(2, 1):
        at, label = ds.place.values[seed, kind], ds.label.values[seed]
        values = [np.linalg.eigvalsh(np.cov(at[label == k].T)) for k in range(3)]
        np.testing.assert_allclose(ds.elongation.values[seed, kind], [np.sqrt(v[1] / v[0]) for v in values])


@pytest.mark.parametrize(
    ("function", "settings", "texts"),
    [
        ("influence_extremes", {"tail": 0.6}, ["tail", "0.6", "(0, 0.5]"]),
        ("influence_extremes", {"each": 100}, ["each", "100"]),
        ("influence_extremes", {"dataset": "digit"}, ["digit", "digits"]),
        ("class_shapes", {"n": 10_000}, ["n: 10000", "100 to"]),
    ],
)
def test_bad_input(one_line, function, settings, texts):
    one_line(lambda: getattr(image_statistics, function)(**settings), *texts)
