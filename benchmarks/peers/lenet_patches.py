"""LeNet-5 with a product of the patches of every pixel, channels last: how it was before ``PooledConvolution``."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

KERNEL = 5


class Convolution(nn.Module):
    """25 shifted copies of the images beside each other, and one product."""

    features: int
    padding: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        p = self.padding
        x = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        height, width = x.shape[1] - KERNEL + 1, x.shape[2] - KERNEL + 1
        shifted = [x[:, i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]
        return nn.Dense(self.features)(jnp.concatenate(shifted, axis=-1))


class LeNet(nn.Module):
    """Of images of 28 × 28 grey pixels."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = average(nn.relu(Convolution(6, padding=2)(images)))
        x = average(nn.relu(Convolution(16, padding=0)(x)))
        x = x.reshape(len(x), -1)
        for units in (120, 84):
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(10)(x)


def average(x: jax.Array) -> jax.Array:
    """Means over 2 × 2 pixels."""
    n, height, width, channels = x.shape
    return jnp.mean(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))
