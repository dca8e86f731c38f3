"""paper 001 (benign overfitting and long tails), written by hand.

Cells differ in the feature's strength and in Γ, which scales one direction of each class. The product of
the weights with the noise that all cells share is folded into one; what is left is of rank 1 in each class.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers import Problem, Written, torch
from snljax import theory

SETTINGS: dict[str, Any] = {"n_test": 5}


def axes(count: int) -> dict[str, list[Any]]:
    return {
        "u_norm": np.linspace(0.1, 3.8, count).tolist(),
        "noise_correlation": np.geomspace(1.0, 1400.0, count).tolist(),
    }


def problem(config: Any, draw: Any, count: int) -> Problem:
    own, k = axes(count), config.num_classes
    tuned = theory.heterogeneous_noise.eigenvalue_for_noise_correlation(own["noise_correlation"], config.d, k) - 0.5
    common = 0.5 * draw.train * (np.arange(config.d) >= k)  # as if every direction were scaled by ½
    classes = np.arange(k)
    weights = np.float32(config.d**-0.5) * draw.weights
    return Problem(
        start={"w": np.tile(weights, (count, 1, 1, 1))},
        cells={"u_norm": np.float32(own["u_norm"]), "tuned": np.float32(tuned)},
        shared={
            "noise": np.float32(common.reshape(-1, config.d)),
            "own": draw.train[classes, :, k + classes],  # each sample along its class's direction, (K, samples)
            "targets": np.repeat(np.eye(k, dtype=np.float32), config.capacity, axis=1),
        },
        learning_rate=config.learning_rate,
    )


def jax_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    targets, own, w = shared["targets"], shared["own"], w["w"]
    k = len(targets)
    tuned = cell["tuned"] * w[..., k : 2 * k, None] * own  # (K, m, K, samples)
    responses = w @ shared["noise"].T + tuned.reshape(*w.shape[:2], -1)
    logits = jax.nn.relu(cell["u_norm"] * w[..., :k]).sum(1) @ targets + jax.nn.relu(responses).sum(1)
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits, axis=0), axis=0))


mean_loss = jax_loss


def torch_loss(w: Any, cell: Any, shared: Any) -> Any:
    targets, own, w = shared["targets"], shared["own"], w["w"]
    k, m, d = w.shape
    tuned = cell["tuned"] * w[..., k : 2 * k, None] * own
    shared_part = (w.reshape(-1, d) @ shared["noise"].T).reshape(k, m, -1)
    responses = shared_part + tuned.reshape(k, m, -1)
    logits = torch.relu(cell["u_norm"] * w[..., :k]).sum(1) @ targets + torch.relu(responses).sum(1)
    return -(targets * torch.log_softmax(logits, 0)).sum() / targets.shape[1]


JAX, TORCH = Written(jax_loss), Written(torch_loss)
