"""Paper 002 (random pruning), written by hand: the fully connected network, both layers trained."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers import Problem, Written, torch

SETTINGS: dict[str, Any] = {"n_test": 8}


def axes(count: int) -> dict[str, list[Any]]:
    return {
        "sigma_p": np.linspace(0.2, 1.0, count).tolist(),
        "keep_fraction": np.linspace(0.1, 1.0, count).tolist(),
    }


def problem(config: Any, draw: Any, count: int) -> Problem:
    own = axes(count)
    kept = draw.uniform < np.float32(own["keep_fraction"])[:, None, None, None]
    mask = _layers(kept[:, 0].astype(np.float32))
    weights = _layers(config.sigma_0 * draw.weights)
    return Problem(
        start={name: np.float32(weights[name] * mask[name]) for name in weights},
        cells={"sigma_p": np.float32(own["sigma_p"])},
        shared={"noise": draw.train.noise, "labels": np.float32(1 - 2 * draw.train.labels), "mu": config.mu},
        learning_rate=config.learning_rate,
        mask=mask,
    )


def _layers(rows: np.ndarray) -> dict[str, np.ndarray]:
    """snljax holds all weights of a hidden unit in a row; here they are three arrays."""
    parts = {"signal": rows[..., 0], "noise": rows[..., 1:-1], "outgoing": rows[..., -1]}
    return {name: np.ascontiguousarray(part) for name, part in parts.items()}


def jax_losses(w: Any, cell: Any, shared: Any) -> jax.Array:
    labels = shared["labels"]
    signal = (shared["mu"] * w["signal"])[:, None] * labels
    hidden = jax.nn.relu(signal + cell["sigma_p"] * (w["noise"] @ shared["noise"].T))
    return jax.nn.softplus(-labels * (w["outgoing"] @ hidden))


def jax_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    return jnp.sum(jax_losses(w, cell, shared))


def mean_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    return jnp.mean(jax_losses(w, cell, shared))


def torch_loss(w: Any, cell: Any, shared: Any) -> Any:
    labels = shared["labels"]
    signal = (shared["mu"] * w["signal"])[:, None] * labels
    hidden = torch.relu(signal + cell["sigma_p"] * (w["noise"] @ shared["noise"].T))
    return torch.nn.functional.softplus(-labels * (w["outgoing"] @ hidden)).sum()


JAX, TORCH = Written(jax_loss), Written(torch_loss)
