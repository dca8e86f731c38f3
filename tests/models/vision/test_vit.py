"""The small vision transformer: size, symmetries, and what it refuses."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np

from snljax.models.vision.vit import ViT

IMAGES = jax.random.normal(jax.random.key(0), (3, 28, 28, 1))


def test_size_and_outputs():
    logits, params = jax.eval_shape(ViT().init_with_output, jax.random.key(1), IMAGES)
    assert sum(p.size for p in jax.tree.leaves(params)) == 138_890
    chex.assert_shape(logits, (3, 10))
    chex.assert_type(logits, jnp.float32)
    logits, narrow = jax.eval_shape(ViT(num_classes=4, width=0.5).init_with_output, jax.random.key(1), IMAGES)
    chex.assert_shape(logits, (3, 4))
    assert narrow["params"]["Dense_0"]["kernel"].shape == (16, 32)


def test_only_positions_tell_patches_apart():
    """With equal positions, images whose patches are exchanged give equal outputs; with learned ones they do not."""
    params = jax.jit(ViT(depth=1).init)(jax.random.key(1), IMAGES)
    tiles = IMAGES.reshape(3, 7, 4, 7, 4, 1)
    moved = tiles[:, ::-1, :, jnp.array([3, 0, 1, 2, 6, 5, 4])].reshape(IMAGES.shape)
    apply = jax.jit(ViT(depth=1).apply)
    logits = apply(params, jnp.concatenate([IMAGES, moved]))
    assert float(jnp.abs(logits[:3] - logits[3:]).max()) > 1e-4
    params["params"]["position_embedding"] = jnp.zeros_like(params["params"]["position_embedding"])
    logits = apply(params, jnp.concatenate([IMAGES, moved]))
    np.testing.assert_allclose(logits[:3], logits[3:], rtol=1e-4, atol=1e-5)


def test_images_below_a_patch(one_line):
    one_line(lambda: ViT().init(jax.random.key(0), IMAGES[:, :3]), "3 × 28", "4 or more")
