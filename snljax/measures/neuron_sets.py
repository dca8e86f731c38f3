"""Which filters of a pruned network can see the signal of their class."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def signal_filters(mask: jax.Array, signals: jax.Array) -> jax.Array:
    r"""The set 𝒮_signal: filters whose mask leaves something of their class's signal.

    .. math:: \mathcal S_\mathrm{signal}^j = \{r : \mu_j \odot m_{jr} \ne 0\}, \qquad
              \mathcal S_\mathrm{noise}^j = [m] \setminus \mathcal S_\mathrm{signal}^j

    Args:
        mask: M, boolean, shape (num_classes, m, d).
        signals: μ_j, shape (num_classes, d).

    Returns:
        Boolean, shape (num_classes, m): true for r in 𝒮_signal of class j, false for 𝒮_noise.

    Example:
        >>> import jax.numpy as jnp
        >>> mask = jnp.array([[[True, False], [False, True]], [[True, True], [True, False]]])
        >>> signal_filters(mask, jnp.eye(2)).tolist()
        [[True, False], [True, False]]

    Source: paper 002 (random pruning), Section 2.1 (the sets before "Gradient descent algorithm").
    """
    return jnp.any(mask & (signals != 0)[:, None, :], axis=-1)
