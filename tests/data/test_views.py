"""Views of images: against Pillow, NumPy and colorsys; what changes nothing; each sample by its own key."""

from __future__ import annotations

import colorsys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from snljax.data import views

KEY = jax.random.key(0)
# Compiled once for each shape; all numbers are traced.
flip, jitter, grey, noise, crop_resize, cropped = map(
    jax.jit, (views.flip, views.jitter, views.grey, views.noise, views.crop_resize, views.cropped)
)
MANY = (400, 4, 4, 3)


def pictures(n, height=8, width=8, channels=3, seed=0):
    return np.random.default_rng(seed).random((n, height, width, channels), np.float32)


def grey_of(image):
    return image @ np.array([0.299, 0.587, 0.114], np.float32)


def every(key, images):
    """All views one after the other."""
    return views.crop_padded(key, views.noise(key, views.simclr(key, images), 0.1))


# --- what holds for each of them --------------------------------------------------------------------------


def test_each_sample_by_its_own_key():
    """Neither the number nor the content of the others changes anything of it; no two samples get the same.

    Many keys at once give what one gives.
    """
    images = np.broadcast_to(pictures(1), (12, 8, 8, 3))
    found = np.asarray(jax.jit(jax.vmap(every, (0, None)))(jax.random.split(KEY), images))
    chex.assert_shape(found, (2, 12, 8, 8, 3))
    chex.assert_type(found, jnp.float32)
    assert (found.min(), found.max()) == (0, 1)
    assert len(np.unique(found.reshape(24, -1), axis=0)) == 24
    others = pictures(5, seed=1)
    others[3] = images[0]
    np.testing.assert_allclose(jax.jit(every)(jax.random.split(KEY)[1], others)[3], found[1, 3], atol=1e-6)


def test_one_channel_and_sides_of_other_lengths():
    found = jax.jit(every)(KEY, pictures(3, 6, 10, 1))
    chex.assert_shape(found, (3, 6, 10, 1))
    assert (float(found.min()), float(found.max())) == (0, pytest.approx(1, abs=0.1))


def test_dtype_stays():
    """That of the images, whatever the numbers come as."""
    calls = (every, views.crop_resize, views.flip, views.grey, views.crop_padded)
    for dtype in (jnp.bfloat16, jnp.float32):
        images = jnp.zeros((2, 8, 8, 3), dtype)
        for call in calls:
            assert jax.eval_shape(call, KEY, images).dtype == dtype
        for call, numbers in ((views.noise, 1), (views.jitter, 5), (views.simclr, 2)):
            assert jax.eval_shape(call, KEY, images, *[jnp.float32(0.1)] * numbers).dtype == dtype


def test_what_changes_nothing():
    images = pictures(9)
    one = images[..., :1]
    three = one.repeat(3, -1)

    def same(zero, whole):
        return [
            (views.crop_resize(KEY, images, whole, (whole, whole)), images),
            (views.flip(KEY, images, zero), images),
            (views.jitter(KEY, images, 0.9, 0.9, 0.9, 0.4, zero), images),
            (views.jitter(KEY, images, zero, zero, zero, zero, whole), images),
            (views.jitter(KEY, one, zero, zero, 0.9, 0.5, whole), one),
            (views.grey(KEY, images, zero), images),
            (views.grey(KEY, three, whole), three),
            (views.grey(KEY, one, whole), one),
            (views.noise(KEY, images, zero), images),
            (views.crop_padded(KEY, images, 0), images),
        ]

    for found, expected in jax.jit(same)(0.0, 1.0):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_simclr_is_its_parts_in_their_order():
    """And numbers may be traced, many at once."""
    images, keys = pictures(6), jax.random.split(KEY, 4)

    def parts(colour):
        expected = views.flip(keys[1], views.crop_resize(keys[0], images, 0.3))
        return views.grey(keys[3], views.jitter(keys[2], expected, colour, colour, colour, colour / 4))

    found = jax.jit(jax.vmap(lambda s: views.simclr(KEY, images, s, smallest=0.3)))(jnp.array([0.0, 0.4]))
    np.testing.assert_allclose(found[1], jax.jit(parts)(0.32), atol=1e-6)
    assert not np.allclose(found[0], found[1])


# --- crops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(0, 0, 8, 8), (2, 3, 4, 5), (7, 0, 1, 8), (0, 4, 3, 1), (5, 5, 1, 1), (1, 0, 7, 6)])
def test_box_against_pillow(box):
    """Cut out first, then resized bilinearly, each channel as floats."""
    images = pictures(2, 8, 8)
    found = cropped(images, np.array([box, (0, 0, 8, 8)]))
    top, left, height, width = box
    cut = images[0, top : top + height, left : left + width]
    for c in range(3):
        resized = Image.fromarray(np.ascontiguousarray(cut[..., c])).resize((8, 8), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(found[0, ..., c], np.asarray(resized), atol=1e-5)
    np.testing.assert_array_equal(found[1], images[1])


def test_box_of_an_image_that_is_not_square():
    images = pictures(1, 6, 9)
    found = cropped(images, np.array([(1, 2, 3, 6)]))
    for c in range(3):
        cut = Image.fromarray(np.ascontiguousarray(images[0, 1:4, 2:8, c]))
        np.testing.assert_allclose(found[0, ..., c], cut.resize((9, 6), Image.Resampling.BILINEAR), atol=1e-5)


def boxes_of(n, height, width, smallest, ratio=(3 / 4, 4 / 3)):
    """Top, left, height and width that were drawn, read off an image whose colours are the places of its pixels."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    image = np.stack([rows, columns, rows * 0], -1).astype(np.float32)[None].repeat(n, 0)
    seen = np.asarray(crop_resize(KEY, image, smallest, ratio))
    top, left = seen[:, 0, 0, 0], seen[:, 0, 0, 1]
    return top, left, seen[:, -1, 0, 0] - top + 1, seen[:, 0, -1, 1] - left + 1


def test_boxes_have_the_distribution_of_their_formula():
    """Whole pixels; areas, logarithms of ratios, and corners uniform."""
    n, size = 1000, 64
    top, left, height, width = boxes_of(n, size, size, 0.05, (0.5, 4.0))
    for side in (top, left, height, width):
        np.testing.assert_allclose(side, np.round(side), atol=1e-3)
    area, ratio = height * width / size**2, width / height
    assert area.min() == pytest.approx(0.05, abs=0.01)
    assert 0.9 < area.max() <= 1
    assert ratio.min() == pytest.approx(0.5, rel=0.1)
    assert ratio.max() == pytest.approx(4.0, rel=0.2)
    assert (top + height).max() == (left + width).max() == size
    assert top.min() == left.min() == 0
    small = area < 0.25  # these fit whatever their ratio
    assert small.sum() > 200
    for uniform in (
        (area[small] - 0.05) / 0.2,
        (np.log(ratio[small]) - np.log(0.5)) / np.log(8.0),
        (top[small] + 0.5) / (size - height[small] + 1),
        (left[small] + 0.5) / (size - width[small] + 1),
    ):
        assert abs(uniform.mean() - 0.5) < 5 / np.sqrt(12 * small.sum())
        assert abs(uniform.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / small.sum())


def test_middle_of_the_image_where_no_box_fits():
    """As wide as the ratio allows, as torchvision has it."""
    for n, height, width, ratio, expected in (
        (2, 8, 32, (1.0, 1.0), (0, 12, 8, 8)),
        (2, 8, 32, (2.0, 2.0), (0, 8, 8, 16)),
        (2, 32, 8, (1.0, 1.0), (12, 0, 8, 8)),
        (1000, 64, 64, (1.6, 1.6), (12, 0, 40, 64)),
    ):
        for found, side in zip(boxes_of(n, height, width, 1.0, ratio), expected, strict=True):
            np.testing.assert_allclose(found, side, atol=1e-4)


def test_crop_of_the_padded_image():
    """Each view is one of the windows; all of them occur."""
    image = pictures(1, 5, 6)
    around = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    windows = [around[a : a + 5, b : b + 6] for a in range(3) for b in range(3)]
    found = jax.jit(lambda images: views.crop_padded(KEY, images, padding=1))(image.repeat(200, 0))
    hits = np.array([[np.array_equal(view, window) for window in windows] for view in np.asarray(found)])
    assert (hits.sum(1) == 1).all()
    assert hits.sum(0).min() > 5


# --- flips, colours, noise --------------------------------------------------------------------------------


def test_flip():
    images = pictures(*MANY)
    found, mirrored = np.asarray(flip(KEY, images, 0.3)), images[:, :, ::-1]
    flipped = (found == mirrored).all((1, 2, 3))
    np.testing.assert_array_equal(found, np.where(flipped[:, None, None, None], mirrored, images))
    assert abs(flipped.mean() - 0.3) < 5 * np.sqrt(0.21 / 400)


def test_grey_weights():
    images = pictures(*MANY)
    found = np.asarray(grey(KEY, images, 0.2))
    changed = (found != images).any((1, 2, 3))
    expected = np.repeat(grey_of(images)[..., None], 3, -1)
    np.testing.assert_allclose(found[changed], expected[changed], atol=1e-6)
    assert abs(changed.mean() - 0.2) < 5 * np.sqrt(0.16 / 400)


def test_brightness_is_a_factor():
    images = 0.4 * pictures(*MANY)
    found = np.asarray(jitter(KEY, images, 0.8, 0.0, 0.0, 0.0, 1.0))
    factor = found[:, 0, 0, 0] / images[:, 0, 0, 0]
    np.testing.assert_allclose(found, images * factor[:, None, None, None], rtol=1e-4, atol=1e-5)
    assert (factor.min(), factor.max()) == (pytest.approx(0.2, abs=0.03), pytest.approx(1.8, abs=0.03))
    assert abs(factor.mean() - 1) < 5 * 1.6 / np.sqrt(12 * 400)
    strong = np.asarray(jitter(KEY, images / 4, 3.0, 0.0, 0.0, 0.0, 1.0))  # factors from 0, not from -2, to 4
    factor = strong[:, 0, 0, 0] / images[:, 0, 0, 0] * 4
    assert 0 <= factor.min() < 0.05
    assert abs(factor.mean() - 2) < 5 * 4 / np.sqrt(12 * 400)


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_is_the_distance_from_the_mean_grey(channels):
    images = 0.4 + 0.2 * pictures(*MANY)[..., :channels]
    mean = (grey_of(images) if channels == 3 else images[..., 0]).mean((1, 2))[:, None, None, None]
    found = np.asarray(jitter(KEY, images, 0.0, 0.9, 0.0, 0.0, 1.0))
    assert_scaled(images, found, np.broadcast_to(mean, images.shape))


def test_saturation_is_the_distance_from_the_grey_value():
    images = 0.4 + 0.2 * pictures(*MANY)
    found = np.asarray(jitter(KEY, images, 0.0, 0.0, 0.9, 0.0, 1.0))
    assert_scaled(images, found, grey_of(images)[..., None].repeat(3, -1))


def assert_scaled(images, found, centre):
    """Found is the images' distance from a centre, times one uniform factor of each image, 0.1 to 1.9."""
    before, after = (np.reshape(a - centre, (len(images), -1)) for a in (images, found))
    factor = (before * after).sum(1) / (before * before).sum(1)
    np.testing.assert_allclose(after, factor[:, None] * before, atol=1e-5)
    assert (factor.min(), factor.max()) == (pytest.approx(0.1, abs=0.03), pytest.approx(1.9, abs=0.03))
    assert abs(factor.mean() - 1) < 5 * 1.8 / np.sqrt(12 * len(images))


def test_hue_turns_as_colorsys_has_it():
    """One turn for all pixels of an image; saturation and value stay; of pure colours and greys too."""
    images = pictures(*MANY)
    images[:, 2] = np.round(images[:, 2])
    images[:, 3] = images[:, 3, :, :1]
    images[:, 0, 0] = (0.9, 0.2, 0.1)
    start = colorsys.rgb_to_hsv(0.9, 0.2, 0.1)[0]
    for most in (0.5, 0.1):
        found = np.asarray(jitter(KEY, images, 0.0, 0.0, 0.0, most, 1.0))
        turns = np.array([colorsys.rgb_to_hsv(*image[0, 0])[0] - start for image in found])
        turns = (turns + 0.5) % 1 - 0.5
        assert np.abs(turns).max() == pytest.approx(most, rel=0.05)
        assert np.abs(turns).max() <= most + 1e-5
        assert abs(turns.mean()) < 5 * 2 * most / np.sqrt(12 * 400)
        for before, after, turn in zip(images[:20], found, turns, strict=False):
            for a, b in zip(before.reshape(-1, 3), after.reshape(-1, 3), strict=True):
                hue, saturation, value = colorsys.rgb_to_hsv(*map(float, a))
                np.testing.assert_allclose(b, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-5)


def test_colours_change_with_the_given_probability():
    images = pictures(*MANY)
    changed = (np.asarray(jitter(KEY, images, 0.5, 0.5, 0.5, 0.1, 0.8)) != images).any((1, 2, 3))
    assert abs(changed.mean() - 0.8) < 5 * np.sqrt(0.16 / 400)


def test_noise_is_normal_and_cut():
    images = np.full(MANY, 0.5, np.float32)
    added = np.asarray(noise(KEY, images, 0.05)) - 0.5
    n = added.size
    assert abs(added.mean()) < 5 * 0.05 / np.sqrt(n)
    assert abs(added.std() / 0.05 - 1) < 5 / np.sqrt(2 * n)
    assert abs((added**4).mean() / 0.05**4 - 3) < 5 * np.sqrt(96 / n)
    wide = noise(KEY, images, 5.0)
    assert (float(wide.min()), float(wide.max())) == (0.0, 1.0)


def test_what_is_refused(one_line):
    images = pictures(2)
    calls = (views.crop_resize, views.flip, views.grey, views.crop_padded, views.simclr)
    for wrong in (images[0], images[..., :2], (images * 255).astype(np.uint8)):
        for call in (*calls, lambda *a: views.noise(*a, 0.1), lambda *a: views.jitter(*a, 0.4, 0.4, 0.4, 0.1)):
            one_line(lambda call=call, wrong=wrong: call(KEY, wrong), "images: ", str(wrong.shape))
    for smallest in (0.0, -0.1, 1.1, float("nan"), "a"):
        one_line(lambda s=smallest: views.crop_resize(KEY, images, s), f"smallest: {smallest!r}")
    for ratio in ((0.0, 1.0), (2.0, 1.0), (1.0, float("nan"))):
        one_line(lambda r=ratio: views.crop_resize(KEY, images, 0.2, r), "ratio: ")
    for probability in (-0.1, 1.1, float("nan"), None):
        for call in (views.flip, views.grey, lambda *a: views.jitter(*a[:2], 0.1, 0.1, 0.1, 0.1, a[2])):
            one_line(lambda call=call, p=probability: call(KEY, images, p), f"probability: {probability}")
    for k, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        for value in (-0.1, float("inf"), float("nan")):
            amounts = [0.1] * 4
            amounts[k] = value
            one_line(lambda a=amounts: views.jitter(KEY, images, *a), f"{name}: {value}")
    one_line(lambda: views.jitter(KEY, images, 0.1, 0.1, 0.1, 0.6), "hue: 0.6", "0 to 0.5")
    one_line(lambda: views.noise(KEY, images, -1.0), "std: -1.0")
    for padding in (-1, 1.0, True, None):
        one_line(lambda p=padding: views.crop_padded(KEY, images, p), f"padding: {padding}")
    for strength in (-0.1, 2.6):
        one_line(lambda s=strength: views.simclr(KEY, images, s), f"strength: {strength}")
