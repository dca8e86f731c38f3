"""A fully connected network with two hidden layers."""

from __future__ import annotations

import flax.linen as nn
import jax

from snljax.models.vision.convolution import UNIFORM, relu


class MLP(nn.Module):
    r"""MLP-1024-1024 with ReLU: 1,863,690 weights for 28 × 28 grey images of ten classes.

    Weights start uniform in ±√(6/fan_in), biases at 0.

    Args:
        num_classes: outputs, at least 2.
        width: factor of the 1024 units of each hidden layer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.zeros((3, 28, 28, 1))
        >>> logits, params = jax.jit(MLP().init_with_output)(jax.random.key(0), images)
        >>> logits.shape, sum(p.size for p in jax.tree.leaves(params))
        ((3, 10), 1863690)

    Source: paper 002 (random pruning), Section 5.2.
    """

    num_classes: int = 10
    width: float = 1.0

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, ...)."""
        x = images.reshape(len(images), -1)
        for _ in range(2):
            x = relu(nn.Dense(round(1024 * self.width), kernel_init=UNIFORM)(x))
        return nn.Dense(self.num_classes, kernel_init=UNIFORM)(x)
