"""Tokens from patches: where each pixel goes, and back again."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snljax.data.patches import tokens


@pytest.mark.parametrize(("height", "width", "patch", "channels"), [(4, 6, 2, 3), (8, 8, 8, 1), (3, 5, 1, 3)])
def test_each_pixel_has_its_place(height, width, patch, channels):
    """Against the formula, one number at a time, and put together again."""
    images = np.random.default_rng(0).random((3, height, width, channels)).astype(np.float32)
    found = np.asarray(jax.jit(tokens, static_argnums=1)(jnp.array(images), patch))
    across = width // patch
    assert found.shape == (3, height // patch * across, patch * patch * channels)
    again = np.empty_like(images)
    for a, b, i, j in itertools.product(range(height // patch), range(across), range(patch), range(patch)):
        place = slice((i * patch + j) * channels, (i * patch + j + 1) * channels)
        again[:, a * patch + i, b * patch + j] = found[:, a * across + b, place]
    np.testing.assert_array_equal(again, images)


def test_what_is_refused(one_line):
    images = jnp.zeros((1, 4, 6, 3))
    for patch in (4, 3, 0, -2, 2.0, True):
        one_line(lambda patch=patch: tokens(images, patch), f"patch: {patch}", "4 × 6")
    one_line(lambda: tokens(images[0], 2), "images: shape (4, 6, 3)")
