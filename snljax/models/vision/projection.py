"""The head between an encoder and a contrastive loss."""

from __future__ import annotations

import flax.linen as nn
import jax

from snljax.models.vision.convolution import UNIFORM, relu
from snljax.models.vision.resnet import normed


class ProjectionHead(nn.Module):
    r"""Two dense layers with ReLU between them.

    .. math:: z = W_2\, \mathrm{ReLU}(W_1 h + b_1) + b_2

    Args:
        features: of z.
        hidden: units between the layers; None: as many as come in.
        norm: whether a batch norm follows each layer, as in SDCLR's code; the second layer then has no bias.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> z, variables = ProjectionHead(16).init_with_output(jax.random.key(0), jnp.zeros((5, 64)))
        >>> z.shape, sum(p.size for p in jax.tree.leaves(variables))
        ((5, 16), 5200)

    Source: Chen et al., 2020 (SimCLR), and Jiang et al., 2021 (SDCLR), which paper 004 compares with.
    """

    features: int = 128
    hidden: int | None = None
    norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Shape (n, features), of an encoder's features of shape (n, m)."""
        x = nn.Dense(self.hidden or x.shape[-1], kernel_init=UNIFORM, name="dense1")(x)
        x = relu(normed(x, train, "float32", "norm1") if self.norm else x)
        x = nn.Dense(self.features, use_bias=not self.norm, kernel_init=UNIFORM, name="dense2")(x)
        return normed(x, train, "float32", "norm2") if self.norm else x
