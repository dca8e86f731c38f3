"""LeNet against JAX's own convolution and pooling, and against its published size."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from snljax.models.vision.lenet import LeNet


def reference(params, images):
    """The same layers from lax.conv_general_dilated and lax.reduce_window."""

    def convolution(x, layer, padding):
        channels, features = x.shape[-1], layer["kernel"].shape[-1]
        kernel = layer["kernel"]
        assert kernel.shape == (5, 5, channels, features)
        numbers = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, kernel, (1, 1), [(padding, padding)] * 2, dimension_numbers=numbers)
        y = jnp.maximum(y + layer["bias"].reshape(1, 1, 1, -1), 0)
        return lax.reduce_window(y, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4

    p = params["params"]
    x = convolution(images, p["PooledConvolution_0"], 2)
    x = convolution(x, p["PooledConvolution_1"], 0 if min(x.shape[1:3]) > 10 else 2)
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        x = x @ p[name]["kernel"] + p[name]["bias"].reshape(1, -1)
        x = jnp.maximum(x, 0) if name != "Dense_2" else x
    return x


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 13, 3)])
def test_against_lax(shape):
    images = jax.random.normal(jax.random.key(0), (3, *shape))
    params = jax.jit(LeNet(7).init)(jax.random.key(1), images)
    logits = jax.jit(LeNet(7).apply)(params, images)
    chex.assert_shape(logits, (3, 7))
    chex.assert_type(logits, jnp.float32)
    np.testing.assert_allclose(logits, jax.jit(reference)(params, images), rtol=2e-4, atol=2e-5)


def test_size_of_the_original():
    """61,706 numbers for 28 × 28 grey pixels, as LeNet-5 with full connections has."""
    params = jax.eval_shape(LeNet().init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    assert sum(p.size for p in jax.tree.leaves(params)) == 61_706


def test_images_that_are_too_small(one_line):
    one_line(lambda: LeNet().init(jax.random.key(0), jnp.zeros((1, 28, 5, 1))), "28 × 5", "8 or more")
