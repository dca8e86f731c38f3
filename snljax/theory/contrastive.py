"""The bound of paper 004, on contrastive learning, as functions of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ordinary_neurons_bound(m: ArrayLike, d: ArrayLike, epsilon_ratio: ArrayLike, gamma: float = 0.01) -> NDArray:
    r"""How many ordinary neurons a feature has at initialisation, at most (its O with constant 1).

    .. math:: \Xi_2 = m \, d^{-(\epsilon_\mathrm{min}/\epsilon_\mathrm{max})^2 (1 - \gamma)}

    Args:
        m: neurons.
        d: features.
        epsilon_ratio: ε_min / ε_max, in (0, 1].
        gamma: the small constant of Definition B.1.

    Returns:
        The number.

    Example:
        >>> round(float(ordinary_neurons_bound(100, 10, 1.0)), 2)
        10.23

    Source: paper 004 (contrastive learning under imbalance), Lemma B.2 (c), eq. 31 and 32.
    """
    return np.asarray(m) * np.asarray(d, float) ** (-(1 - gamma) * np.asarray(epsilon_ratio, float) ** 2)
