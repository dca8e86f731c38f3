"""Paper 003 (per-example gradient regularisation), written by hand, with the penalty on throughout.

The norms of the examples' gradients are written down, not taken by autodiff: ∇ℓ_i has one row for each
filter, along the signal and along the example's own noise. So one gradient of one loss is enough.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers import Problem, Written, torch

SETTINGS: dict[str, Any] = {"n_test": 8, "close_at": 10**9}


def axes(count: int) -> dict[str, list[Any]]:
    return {
        "sigma_p": np.linspace(0.1, 1.0, count).tolist(),
        "penalty_weight": np.geomspace(1e-3, 1e-2, count).tolist(),
    }


def problem(config: Any, draw: Any, count: int) -> Problem:
    own = axes(count)
    weights = np.float32(config.sigma_0) * draw.weights
    return Problem(
        start={"w": np.tile(weights, (count, 1, 1, 1))},
        cells={name: np.float32(values) for name, values in own.items()},
        shared={
            "noise": draw.train.noise,
            "norms": np.sum(draw.train.noise**2, axis=1),
            "labels": draw.train.labels,
            "mu": config.mu,
        },
        learning_rate=config.learning_rate,
    )


def jax_parts(w: Any, cell: Any, shared: Any) -> tuple[jax.Array, jax.Array]:
    """Loss of each example, and the squared norm of its gradient; the signal lies along the first axis."""
    labels, mu, sigma = shared["labels"], shared["mu"], cell["sigma_p"]
    signal = jax.nn.relu(mu * w["w"][..., 0, None] * labels) ** 2  # (2, m, n)
    noise = jax.nn.relu(sigma * (w["w"] @ shared["noise"].T)) ** 2
    along_signal, along_noise = signal.sum((0, 1)), noise.sum((0, 1))
    plus, minus = (signal + noise).sum(1)
    margin = labels * (plus - minus)
    size = mu**2 * along_signal + sigma**2 * shared["norms"] * along_noise
    return jax.nn.softplus(-margin), 4 * jax.nn.sigmoid(-margin) ** 2 * size


def jax_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    losses, norms = jax_parts(w, cell, shared)
    return jnp.mean(losses + cell["penalty_weight"] * norms)


def mean_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    return jnp.mean(jax_parts(w, cell, shared)[0])


def torch_loss(w: Any, cell: Any, shared: Any) -> Any:
    labels, mu, sigma, (signs, m, d) = shared["labels"], shared["mu"], cell["sigma_p"], w["w"].shape
    responses = (w["w"].reshape(-1, d) @ shared["noise"].T).reshape(signs, m, -1)
    signal = torch.relu(mu * w["w"][..., 0, None] * labels) ** 2
    noise = torch.relu(sigma * responses) ** 2
    along_signal, along_noise = signal.sum((0, 1)), noise.sum((0, 1))
    outputs = (signal + noise).sum(1)
    margin = labels * (outputs[0] - outputs[1])
    size = mu**2 * along_signal + sigma**2 * shared["norms"] * along_noise
    norms = 4 * torch.sigmoid(-margin) ** 2 * size
    return (torch.nn.functional.softplus(-margin) + cell["penalty_weight"] * norms).mean()


JAX, TORCH = Written(jax_loss), Written(torch_loss)
