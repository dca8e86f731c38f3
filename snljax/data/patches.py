"""Images as sequences of tokens, for networks that read patches."""

from __future__ import annotations

import jax

from snljax.wording import shown


def tokens(images: jax.Array, patch: int) -> jax.Array:
    r"""Images cut into square patches, each written as one vector.

    .. math:: x_{n,\,aW+b,\,(iP+j)C+c} = \text{image}_{n,\,aP+i,\,bP+j,\,c}, \qquad W = w / P

    Args:
        images: shape (n, h, w, C).
        patch: P, pixels of a side; divides h and w.

    Returns:
        Tokens, shape (n, L, P·P·C), L = (h/P)·(w/P): patches row by row from the upper left, and inside a patch pixels
        row by row, their channels together.

    Raises:
        ValueError: images of another shape, or a patch that does not divide them.

    Example:
        >>> import jax.numpy as jnp
        >>> tokens(jnp.arange(16.0).reshape(1, 4, 4, 1), patch=2)[0, :2].tolist()
        [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]

    Source: paper 004 (contrastive learning under imbalance), Section 2, whose encoder reads sequences of L tokens.
    """
    if images.ndim != 4:
        raise ValueError(f"images: shape {images.shape}; allowed: (n, height, width, channels)")
    n, height, width, channels = images.shape
    whole = isinstance(patch, int) and not isinstance(patch, bool) and patch > 0
    if not whole or height % patch or width % patch:
        raise ValueError(f"patch: {shown(patch)} with images of {height} × {width}; allowed: a divisor of both")
    parted = images.reshape(n, height // patch, patch, width // patch, patch, channels)
    return parted.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, patch * patch * channels)
