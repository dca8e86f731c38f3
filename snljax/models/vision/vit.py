"""A small vision transformer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class ViT(nn.Module):
    r"""ViT-tiny for small images: 138,890 weights for 28 × 28 grey ones of ten classes.

    Patches of 4 × 4 pixels become tokens of 64 numbers with learned positions; four blocks of attention with four heads
    and a hidden layer of 128 units (GELU), each behind a layer norm and added to what came in; the mean of the tokens,
    normed, goes through a dense layer.

    Args:
        num_classes: outputs, at least 2.
        width: factor of the numbers of a token, which stay a multiple of the heads, and of the hidden units.
        patch: pixels of a patch's side; what is left of an image at its edges is left out.
        depth: blocks.
        heads: of each attention.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.zeros((3, 28, 28, 1))
        >>> logits, params = jax.jit(ViT().init_with_output)(jax.random.key(0), images)
        >>> logits.shape, sum(p.size for p in jax.tree.leaves(params))
        ((3, 10), 138890)

    Source: paper 000 (dynamic TopK pruning), Appendix B.2 (its Vision Transformer; the sizes are ours).
    """

    num_classes: int = 10
    width: float = 1.0
    patch: int = 4
    depth: int = 4
    heads: int = 4

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, shape (n, num_classes), of images of shape (n, height, width, channels)."""
        n, height, width, channels = images.shape
        p, rows, columns = self.patch, height // self.patch, width // self.patch
        if min(rows, columns) < 1:
            raise ValueError(f"images: {height} × {width} pixels; allowed: {p} or more a side, a patch")
        size = self.heads * max(1, round(64 * self.width / self.heads))
        x = images[:, : rows * p, : columns * p].reshape(n, rows, p, columns, p, channels)
        x = nn.Dense(size)(x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * columns, -1))
        x = x + self.param("position_embedding", nn.initializers.normal(0.02), (1, rows * columns, size))
        for _ in range(self.depth):
            x = x + nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x))
            hidden = nn.gelu(nn.Dense(round(128 * self.width))(nn.LayerNorm()(x)))
            x = x + nn.Dense(size)(hidden)
        return nn.Dense(self.num_classes)(nn.LayerNorm()(jnp.mean(x, axis=1)))
