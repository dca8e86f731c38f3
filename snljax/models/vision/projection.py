"""The head between an encoder and a contrastive loss."""

from __future__ import annotations

import flax.linen as nn
import jax

from snljax.models.vision.convolution import UNIFORM, relu


class ProjectionHead(nn.Module):
    features: int = 128
    hidden: int | None = None
    norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Shape (n, features), of an encoder's features of shape (n, m)."""

        def normed(x: jax.Array, name: str) -> jax.Array:
            if not self.norm:
                return x
            return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name)(x)

        x = nn.Dense(self.hidden or x.shape[-1], kernel_init=UNIFORM, name="dense1")(x)
        x = relu(normed(x, "norm1"))
        x = nn.Dense(self.features, use_bias=not self.norm, kernel_init=UNIFORM, name="dense2")(x)
        return normed(x, "norm2")
