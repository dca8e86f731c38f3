"""Networks that sum over a class's filters, as networks that average over them: which of their numbers correspond."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Scaling(NamedTuple):
    """What the numbers of a summing network are multiplied by to give those of the averaging one."""

    weights: NDArray
    learning_rate: NDArray
    penalty_weight: NDArray


def averaged(m: ArrayLike, q: ArrayLike = 1) -> Scaling:
    r"""From a network that sums over m filters to the one with 1/m that has the same outputs at every step.

    .. math:: \sum_{r=1}^m \sigma(\langle w_r, x\rangle) = \frac1m \sum_{r=1}^m \sigma(\langle v_r, x\rangle),
              \quad v = m^{1/q} w, \quad \sigma(z) = \max(z, 0)^q

    Gradients with respect to v are those with respect to w over m^(1/q). So a step η on w is a step m^(2/q) η on v,
    a penalty λ‖∇_w ℓ‖² is m^(2/q) λ‖∇_v ℓ‖², and initial weights of standard deviation σ_0 have m^(1/q) σ_0. That is
    exact for gradient descent from the first step to the last, with masks and with TopK (the order of magnitudes
    stays). It holds for an η that multiplies the gradient, not where the gradient is divided by its norm first.

    Keeping σ_0 and scaling η and λ alone is another network: its weights take the same path only while they are so
    small that the slope of the loss is that of an output of 0.

    Args:
        m: filters per class, at least 1.
        q: exponent of the activation ReLU^q, at least 1.

    Returns:
        Scaling: the factors m^(1/q) of weights and σ_0, m^(2/q) of the learning rate and of the penalty's weight.
        Divide by them for the way back.

    Example:
        >>> [round(float(f), 2) for f in averaged(10, q=2)]
        [3.16, 10.0, 10.0]

    Source: ours.
    """
    root = np.asarray(m, float) ** (1 / np.asarray(q, float))
    return Scaling(root, root**2, root**2)
