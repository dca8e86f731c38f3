"""Paper 000 (dynamic TopK pruning), by hand: a class's samples share one signal patch, all cells the unit noise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from peers import Problem, Written, torch

SETTINGS: dict[str, Any] = {}


def axes(count: int) -> dict[str, list[Any]]:
    """Settings of so many networks across the heatmap."""
    return {
        "sigma_p": np.linspace(0.1, 1.0, count).tolist(),
        "K": np.linspace(20, 200, count).round().astype(int).tolist(),
    }


def problem(config: Any, draw: Any, count: int) -> Problem:
    own = axes(count)
    weights = np.float32(config.sigma_0) * draw.weights
    return Problem(
        start={"w": np.tile(weights, (count, 1, 1, 1))},
        cells={"sigma_p": np.float32(own["sigma_p"]), "K": np.int32(own["K"])},
        shared={"noise": draw.noise, "targets": draw.targets, "mu": config.mu},
        learning_rate=config.learning_rate,
    )


def _relu(x: Any) -> Any:
    return x * (x >= 0)  # derivative 1 at 0


def jax_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    targets, w = shared["targets"], w["w"]
    signal = _relu(shared["mu"] * w[..., : len(targets)]).sum(1)
    logits = signal @ targets + _relu(cell["sigma_p"] * (w @ shared["noise"].T)).sum(1)
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits, axis=0), axis=0))


def jax_prune(w: Any, cells: Any, shared: Any) -> Any:
    size = jnp.abs(w["w"])
    place = (size.shape[-1] - cells["K"])[:, None, None, None]
    return {"w": w["w"] * (size >= jnp.take_along_axis(jnp.sort(size), place, axis=-1))}


def mean_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    """Training loss of a pruned copy."""
    one = {name: value[None] for name, value in cell.items()}
    pruned = jax_prune({"w": w["w"][None]}, one, shared)
    return jax_loss({"w": pruned["w"][0]}, cell, shared)


def torch_loss(w: Any, cell: Any, shared: Any) -> Any:
    targets, w = shared["targets"], w["w"]
    classes, m, d = w.shape
    responses = (w.reshape(-1, d) @ shared["noise"].T).reshape(classes, m, -1)  # folds the networks into one product
    signal = _relu(shared["mu"] * w[..., :classes]).sum(1)
    logits = signal @ targets + _relu(cell["sigma_p"] * responses).sum(1)
    return -(targets * torch.log_softmax(logits, 0)).sum() / targets.shape[1]


def torch_prune(w: Any, cells: Any, shared: Any) -> Any:
    """Network by network: faster on a CPU than sorting the rows of all of them at once."""
    return {"w": torch.stack([_torch_topk(one, int(k)) for one, k in zip(w["w"], cells["K"], strict=True)])}


def _torch_topk(w: Any, k: int) -> Any:
    kept = w.abs().topk(k, dim=-1, sorted=False).indices
    return torch.zeros_like(w).scatter_(-1, kept, w.gather(-1, kept))


JAX, TORCH = Written(jax_loss, jax_prune, 10), Written(torch_loss, torch_prune, 10)
