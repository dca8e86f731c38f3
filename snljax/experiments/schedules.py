"""How a learning rate falls over a run, or over each level of iterative magnitude pruning."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from snljax.experiment import field

FIELDS = {
    "schedule": field(
        "constant",
        static=True,
        help="the learning rate: as it is; a tenth of it from 1/2 and from 3/4 of schedule_steps on; or half a cosine",
        choices=("constant", "steps", "cosine"),
    ),
    "schedule_steps": field(0, help="steps that a schedule spans, from each start of the optimiser", range="[0, inf)"),
}


def learning_rate(config: Any) -> Any:
    r"""The learning rate as optax takes it: a number, or a function of the steps since the optimiser began.

    .. math:: \eta_t = \eta\, 10^{-[t \ge S/2] - [t \ge 3S/4]} \quad\text{or}\quad
              \eta_t = \frac\eta2 \Bigl(1 + \cos \frac{\pi \min(t, S)}{S}\Bigr)

    Args:
        config: with the fields above and ``learning_rate``.

    Returns:
        Number or function.

    Example:
        >>> import types
        >>> asked = types.SimpleNamespace(learning_rate=0.1, schedule="steps", schedule_steps=160)
        >>> [round(float(learning_rate(asked)(t)), 4) for t in (0, 79, 80, 119, 120)]
        [0.1, 0.1, 0.01, 0.01, 0.001]

    Source: paper 002 (random pruning), Table 1 (the steps, at epochs 80 and 120 of 160).
    """
    if config.schedule == "constant":
        return config.learning_rate
    span = config.schedule_steps

    def steps(t: jax.Array) -> jax.Array:
        return config.learning_rate * jnp.where(4 * t >= 3 * span, 0.01, jnp.where(2 * t >= span, 0.1, 1.0))

    def cosine(t: jax.Array) -> jax.Array:
        return config.learning_rate / 2 * (1 + jnp.cos(jnp.pi * jnp.minimum(t, span) / span))

    return steps if config.schedule == "steps" else cosine


def descent(config: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum, after weight decay, by the schedule.

    Args:
        config: with the fields above, ``learning_rate``, ``momentum`` and ``weight_decay``.

    Returns:
        The optax transformation.
    """
    decay = optax.add_decayed_weights(config.weight_decay)
    return optax.chain(decay, optax.sgd(learning_rate(config), momentum=config.momentum))


def check(config: Any) -> None:
    """Whether a schedule spans something.

    Args:
        config: with the fields above.

    Raises:
        ValueError: it spans nothing, or steps are given without a schedule.
    """
    if (config.schedule == "constant") != (config.schedule_steps == 0):
        raise ValueError(
            f"schedule_steps: {config.schedule_steps} with schedule {config.schedule!r}; allowed: 0 with 'constant', "
            "[1, inf) with others"
        )
