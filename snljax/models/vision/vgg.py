"""VGG-16 with batch norm, in its form for small images."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from snljax.models.vision.convolution import UNIFORM, relu
from snljax.models.vision.resnet import check, convolution, norm

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(nn.Module):
    num_classes: int = 10
    width: float = 1.0
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        check(images, self.dtype)
        stage, x = nn.remat(Stage) if self.remat else Stage, images
        for number, (filters, count) in enumerate(STAGES):
            x = stage(max(1, round(filters * self.width)), count, train, self.dtype, name=f"stage{number + 1}")(x)
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        if not self.num_classes:
            return features
        return nn.Dense(self.num_classes, kernel_init=UNIFORM, name="head")(features)


class Stage(nn.Module):
    filters: int
    count: int
    train: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.count):
            x = convolution(self.filters, 3, 1, self.dtype, f"convolution{i + 1}")(x)
            x = relu(norm(self.train, self.dtype, f"norm{i + 1}")(x))
        return largest(x) if min(x.shape[1:3]) > 1 else x


def largest(x: jax.Array) -> jax.Array:
    """Of each 2 × 2 pixels, the first of equals; an odd last row or column is left out."""
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)
    return jnp.max(even, axis=(2, 4))
