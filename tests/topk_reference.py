"""Paper 000 in plain NumPy, float64, weight space: the oracle that shares no line with the package."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Everything a run depends on; x holds the inputs (n, 2, d), y their labels."""

    weights: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Run(NamedTuple):
    """weights after the last update; kept: one mask for each pruning; losses: after 0, 1, 2, ... updates."""

    weights: np.ndarray
    kept: list[np.ndarray]
    losses: list[float]


def problem(config: Any, draw: Any) -> Problem:
    def inputs(noise: Any, y: np.ndarray) -> np.ndarray:
        x = np.zeros((y.size, 2, config.d))
        x[np.arange(y.size), 0, y] = float(config.mu)
        x[:, 1] = float(config.sigma_p) * np.asarray(noise, np.float64)
        return x

    y, y_test = np.argmax(np.asarray(draw.targets), axis=0), np.asarray(draw.test.labels)
    weights = float(config.sigma_0) * np.asarray(draw.weights, np.float64)
    return Problem(weights, inputs(draw.noise, y), y, inputs(draw.test.noise, y_test), y_test)


def topk(w: np.ndarray, k: int) -> np.ndarray:
    order = np.argsort(-np.abs(w), axis=-1, kind="stable")
    mask = np.zeros(w.shape, bool)
    np.put_along_axis(mask, order[..., :k], True, axis=-1)
    return mask


def kept(config: Any, w: np.ndarray) -> np.ndarray:
    """What a pruning keeps of the weights: K of each filter, or K m of all filters of a class."""
    if config.prune_scope == "filter":
        return topk(w, int(config.K))
    return topk(w.reshape(config.num_classes, -1), int(config.K) * config.m).reshape(w.shape)


def forward(config: Any, w: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Responses (n, class, filter, patch), probabilities (n, class) and losses (n,)."""
    responses = np.einsum("jrd,ipd->ijrp", w, x, optimize=True)
    logits = (np.maximum(responses, 0) ** config.q).sum((2, 3))
    logits /= config.m if config.filter_reduction == "mean" else 1
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    return responses, probabilities, -np.log(probabilities[np.arange(y.size), y])


def train(config: Any, problem: Problem, steps: int, rows: list[np.ndarray] | None = None) -> Run:
    """rows: the samples of each update; without them every update has all."""
    w = problem.weights
    at_zero = float(config.relu_grad_at_zero)
    frozen = np.ones(w.shape, bool)
    masks, losses = [], [forward(config, w, problem.x, problem.y)[2].mean()]
    for t in range(steps):
        since = -1 if config.first_prune is None else t - config.first_prune
        if since >= 0 and (since % config.prune_every == 0 if config.regrow else since == 0):
            before = masks[-1:] if config.monotone else []
            masks.append(np.all([kept(config, w), *before], axis=0))
            w = w * masks[-1]
            frozen = frozen if config.regrow else masks[-1]
        batch = slice(None) if rows is None else rows[t]
        x, y = problem.x[batch], problem.y[batch]
        responses, probabilities, _ = forward(config, w, x, y)
        residual = probabilities.copy()
        residual[np.arange(y.size), y] -= 1
        if config.q == 1:
            slope = np.where(responses > 0, 1.0, np.where(responses == 0, at_zero, 0.0))
        else:
            slope = config.q * np.maximum(responses, 0) ** (config.q - 1)
        scale = y.size * (config.m if config.filter_reduction == "mean" else 1)
        gradient = np.einsum("ij,ijrp,ipd->jrd", residual, slope, x, optimize=True) / scale
        w = (w - float(config.learning_rate) * gradient) * frozen
        losses.append(forward(config, w, problem.x, problem.y)[2].mean())
    return Run(w, masks, losses)


def metrics(config: Any, problem: Problem, w: np.ndarray) -> dict[str, float]:
    """What `measure` says of the weights w: pruned first, unless pruning is off or they are measured as they are."""
    mask = np.ones(w.shape, bool) if config.first_prune is None else kept(config, w)
    w = w * mask if config.measure_pruned else w
    responses, probabilities, losses = forward(config, w, problem.x, problem.y)
    _, test_probabilities, test_losses = forward(config, w, problem.x_test, problem.y_test)
    classes = range(config.num_classes)
    own = [float(config.mu) * w[j, :, j].max() for j in classes]
    return {
        "train_loss": losses.mean(),
        "test_loss": test_losses.mean(),
        "train_accuracy": np.mean(probabilities.argmax(1) == problem.y),
        "test_accuracy": np.mean(test_probabilities.argmax(1) == problem.y_test),
        "signal": np.mean(own),
        "signal_min": np.min(own),
        "noise": responses[..., 1].max(),
        "kept_signal": np.mean([mask[j, :, j] for j in classes]),
    }
