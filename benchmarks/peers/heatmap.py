"""Paper 000 (dynamic TopK pruning) as one would write it without snljax: what benchmarks/heatmap.py compares with.

All of them hold the weights of each network, take the gradient by autodiff and exploit that a class's
samples share one signal patch. ReLU has derivative 1 at 0: x * (x >= 0).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


class Problem(NamedTuple):
    """Networks that differ in sigma_p and K and share data and initial weights."""

    weights: np.ndarray  # (num_classes, m, d)
    noise: np.ndarray  # (n, d), unit variance, zero on the signal coordinates
    labels: np.ndarray  # (n,)
    sigma_p: np.ndarray  # (cells,)
    K: np.ndarray  # (cells,)
    mu: float
    learning_rate: float
    prune_every: int | None


Trainer = Callable[[int], Any]  # steps -> trained weights (cells, num_classes, m, d), finished


def torch_loop(problem: Problem, device: str, threads: int) -> Trainer:
    """Eager PyTorch, one network after the other."""
    p, n_classes = problem, len(problem.weights)
    labels = torch.tensor(p.labels, device=device, dtype=torch.long)
    start = torch.tensor(p.weights, device=device)
    cells = [(torch.tensor(s * p.noise, device=device), int(k)) for s, k in zip(p.sigma_p, p.K, strict=True)]

    def loss(w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        signal = _relu(p.mu * w[:, :, :n_classes]).sum(1)[:, labels]  # (num_classes, n)
        return torch.nn.functional.cross_entropy((signal + _relu(w @ noise.T).sum(1)).T, labels)

    def one(noise: torch.Tensor, k: int, steps: int) -> torch.Tensor:
        w = start.clone().requires_grad_()
        for t in range(steps):
            if p.prune_every and t % p.prune_every == 0:
                with torch.no_grad():
                    w.copy_(_torch_topk(w, k))
            (gradient,) = torch.autograd.grad(loss(w, noise), w)
            with torch.no_grad():
                w -= p.learning_rate * gradient
        return w.detach()

    def train(steps: int) -> np.ndarray:
        torch.set_num_threads(threads)
        return torch.stack([one(noise, k, steps) for noise, k in cells]).cpu().numpy()

    return train


def torch_func(problem: Problem, device: str, threads: int, compiled: bool) -> Trainer:
    """torch.func: vmap over the networks of grad of the loss, eager or through torch.compile."""
    p, (n_classes, m, d) = problem, problem.weights.shape
    labels = torch.tensor(p.labels, device=device, dtype=torch.long)
    targets = torch.nn.functional.one_hot(labels, n_classes).T.float()  # (num_classes, n)
    noise = torch.tensor(p.noise, device=device)
    sigma_p = torch.tensor(p.sigma_p, device=device)
    counts = torch.tensor(p.K, device=device, dtype=torch.long)
    start = torch.tensor(p.weights, device=device).expand(len(p.K), -1, -1, -1).contiguous()

    def loss(w: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        responses = (w.reshape(-1, d) @ noise.T).reshape(n_classes, m, -1)  # folds the networks into one product
        logits = _relu(p.mu * w[:, :, :n_classes]).sum(1) @ targets + _relu(sigma * responses).sum(1)
        return -(targets * torch.log_softmax(logits, 0)).sum() / targets.shape[1]

    gradient = torch.func.vmap(torch.func.grad(loss))

    def step(w: torch.Tensor) -> torch.Tensor:
        return w - p.learning_rate * gradient(w, sigma_p)

    def prune(w: torch.Tensor) -> torch.Tensor:
        if device == "cpu":  # faster there than sorting the rows of all networks at once
            return torch.stack([_torch_topk(one, int(k)) for one, k in zip(w, p.K, strict=True)])
        size = w.abs()
        kth = (counts - 1)[:, None, None, None].expand(*w.shape[:-1], 1)
        return w * (size >= size.sort(-1, descending=True).values.gather(-1, kth))

    if compiled:
        torch._dynamo.config.recompile_limit = 64  # after 8 widths and thread counts it would silently run eagerly
        step = torch.compile(step, dynamic=False)

    def train(steps: int) -> np.ndarray:
        torch.set_num_threads(threads)
        w = start
        for t in range(steps):
            if p.prune_every and t % p.prune_every == 0:
                w = prune(w)
            w = step(w)
        return w.cpu().numpy()

    return train


def jax_loop(problem: Problem, device: Any) -> Trainer:
    """JAX, one jitted training loop called for one network after the other."""
    p, n_classes, d = problem, len(problem.weights), problem.weights.shape[-1]
    start, noise, labels = jax.device_put((p.weights, p.noise, p.labels), device)
    cells = [jax.device_put((np.float32(s), np.int32(k)), device) for s, k in zip(p.sigma_p, p.K, strict=True)]

    def loss(w: jax.Array, sigma: jax.Array, noise: jax.Array, labels: jax.Array) -> jax.Array:
        signal = _relu(p.mu * w[:, :, :n_classes]).sum(1)[:, labels]  # (num_classes, n)
        logits = (signal + _relu(sigma * (w @ noise.T)).sum(1)).T
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))

    def prune(w: jax.Array, k: jax.Array) -> jax.Array:
        size = jnp.abs(w)
        largest, _ = lax.top_k(size, d)
        return w * (size >= jnp.take(largest, k - 1, axis=-1)[..., None])

    @functools.partial(jax.jit, static_argnames="pruning")
    def one(w, sigma, k, noise, labels, steps, pruning):
        def body(t: jax.Array, w: jax.Array) -> jax.Array:
            if pruning:
                w = lax.cond(t % pruning == 0, lambda w: prune(w, k), lambda w: w, w)
            return w - p.learning_rate * jax.grad(loss)(w, sigma, noise, labels)

        return lax.fori_loop(0, steps, body, w)

    def train(steps: int) -> np.ndarray:
        with jax.default_matmul_precision("highest"):
            return np.stack([one(start, *cell, noise, labels, steps, pruning=p.prune_every) for cell in cells])

    return train


def _relu(x: Any) -> Any:
    return x * (x >= 0)


def _torch_topk(w: torch.Tensor, k: int) -> torch.Tensor:
    """w with all but the k entries of largest magnitude of each row set to zero."""
    kept = w.abs().topk(k, dim=-1, sorted=False).indices
    return torch.zeros_like(w).scatter_(-1, kept, w.gather(-1, kept))
