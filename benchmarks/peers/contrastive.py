"""Paper 004 (contrastive learning under imbalance), written by hand.

Every update draws a fresh batch, which all networks at once share; what follows from the batch alone (its
inner products, which tokens show a feature) is computed once for all of them. JAX draws the same batches as
snljax, from the same keys. PyTorch has generators of its own: it draws as many numbers of the same kinds.
For the check it is given the batches of the first updates, under ``given``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers import Problem, Written, torch
from snljax.data import sparse_coding

# The bias is set early and steps are long, so that the check sees both.
SETTINGS: dict[str, Any] = {"n_test": 64, "n_probe": 64, "bias_start": 10, "learning_rate": 0.2}
BATCH, TOKENS, D, D1, M = 64, 4, 9, 500, 24  # of the default Config
SHOW, ACTIVE, BIAS = 0.5, 0.2, 0.1 * (2 * np.log(D) / D) ** 0.5
LOSS_BATCHES = 8  # that the training loss is the mean over


def axes(count: int) -> dict[str, list[Any]]:
    return {
        "epsilon_min": np.linspace(0.1, 1.0, count).tolist(),
        "prune_fraction": np.linspace(0.0, 0.75, count).tolist(),
    }


def problem(config: Any, draw: Any, count: int) -> Problem:
    own = axes(count)
    frequency = np.full((count, D), ACTIVE)
    frequency[:, -1] *= own["epsilon_min"]
    pruned = np.floor(np.array(own["prune_fraction"]) * M + 1e-4)  # the norm of that place is the smallest that is kept
    weights = np.float32(config.sigma_0) * draw.weights
    return Problem(
        start={"w": np.tile(weights, (count, 1, 1))},
        cells={"frequency": np.float32(frequency), "pruned": np.int32(pruned)},
        shared={"key": draw.batches, "sigma_p": config.sigma_p},
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
    )


def drawn(key: jax.Array) -> dict[str, Any]:
    """The batch of one update."""
    pairs = sparse_coding.draw(key, BATCH, TOKENS, D, D1)
    return pairs._asdict()


def given(problem: Problem, steps: int) -> Problem:
    """The same, with the batches of the first updates for those who cannot draw them."""
    key = jax.random.wrap_key_data(problem.shared["key"])
    batches = [jax.tree.map(np.array, drawn(jax.random.fold_in(key, t))) for t in range(steps)]
    return problem._replace(shared=problem.shared | {"given": batches})


def jax_prepared(batch: dict[str, Any], shared: Any) -> Any:
    """What all networks have in common in a batch."""
    shown = (batch["shown"] < SHOW) | (batch["shown"] == batch["shown"].min(2, keepdims=True))
    noise = shared["sigma_p"] * batch["noise"]
    return shared | {
        "sign": batch["sign"], "active": batch["active"], "shown": shown, "noise": noise,
        "inner": jnp.einsum("nvri,nvli->nvrl", noise, noise),
    }  # fmt: skip


def jax_batch(t: jax.Array, shared: Any) -> Any:
    key = jax.random.fold_in(jax.random.wrap_key_data(shared["key"]), t)
    return jax_prepared(drawn(key), shared) | {"biased": t >= SETTINGS["bias_start"]}


def jax_embeddings(w: jax.Array, cell: Any, shared: Any) -> tuple[jax.Array, jax.Array]:
    """Of both views; gradients flow through the first one only."""
    z = (shared["sign"] * (shared["active"] < cell["frequency"]))[:, None, None, :] * shared["shown"]
    bias = lax.stop_gradient(jnp.where(shared["biased"], BIAS * jnp.linalg.norm(w, axis=1), 0.0))

    def view(w: jax.Array, v: int) -> jax.Array:
        z_v, noise = z[:, v], shared["noise"][:, v]
        mixed = jnp.einsum("nrj,nlj->nrl", z_v, noise[..., :D])
        scores = jnp.einsum("nrj,nlj->nrl", z_v, z_v) + mixed + jnp.swapaxes(mixed, 1, 2) + shared["inner"][:, v]
        responses = z_v @ w[:, :D].T + noise @ w.T
        s = jax.nn.softmax(scores * D1**-0.5, axis=-1) @ responses
        return jnp.where(jnp.abs(s) < bias, 0.0, s - jnp.sign(s) * bias).sum(1)

    return view(w, 0), view(lax.stop_gradient(w), 1)


def jax_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    """A scalar whose gradient is eq. 5: softmax weights of the masked network, embeddings of the full one."""
    w = w["w"]
    norms = lax.stop_gradient(jnp.linalg.norm(w, axis=1))
    kept = norms >= jnp.sort(norms)[cell["pruned"]]
    anchors, positives = jax_embeddings(w, cell, shared)
    weights = jax.nn.softmax(lax.stop_gradient((anchors * kept) @ positives.T), axis=1)
    full = anchors @ positives.T
    return jnp.mean(jnp.sum(weights * full, axis=1) - jnp.diagonal(full))


def mean_loss(w: Any, cell: Any, shared: Any) -> jax.Array:
    """InfoNCE of the network without its mask, on the fixed batches that snljax measures it on."""

    def one(i: jax.Array) -> jax.Array:
        batch = drawn(jax.random.fold_in(jax.random.key(1), i))
        anchors, positives = jax_embeddings(w["w"], cell, jax_prepared(batch, shared) | {"biased": True})
        logits = anchors @ positives.T
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits))

    return jnp.mean(lax.map(one, jnp.arange(LOSS_BATCHES)))


def torch_batch(t: int, shared: Any) -> Any:
    if "given" in shared:
        batch = shared["given"][t]
    else:
        uniform = torch.rand(BATCH, 2 + 2 * TOKENS, D)
        batch = {
            "sign": torch.where(uniform[:, 0] < 0.5, -1.0, 1.0),
            "active": uniform[:, 1],
            "shown": uniform[:, 2:].reshape(BATCH, 2, TOKENS, D),
            "noise": torch.randn(BATCH, 2, TOKENS, D1),
        }
    shown = (batch["shown"] < SHOW) | (batch["shown"] == batch["shown"].amin(2, keepdim=True))
    noise = shared["sigma_p"] * batch["noise"]
    bias = torch.tensor(BIAS if t >= SETTINGS["bias_start"] else 0.0)
    return {
        "sign": batch["sign"], "active": batch["active"], "shown": shown, "noise": noise,
        "inner": noise @ noise.transpose(-1, -2), "bias": bias,
    }  # fmt: skip


def torch_loss(w: Any, cell: Any, shared: Any) -> Any:
    w = w["w"]
    z = (shared["sign"] * (shared["active"] < cell["frequency"]))[:, None, None, :] * shared["shown"]
    norms = w.detach().norm(dim=1)
    kept = (norms >= norms.sort().values.gather(0, cell["pruned"].long()[None])).float()
    bias = shared["bias"] * norms

    def view(w: Any, v: int) -> Any:
        z_v, noise = z[:, v], shared["noise"][:, v]
        mixed = z_v @ noise[..., :D].transpose(1, 2)
        scores = z_v @ z_v.transpose(1, 2) + mixed + mixed.transpose(1, 2) + shared["inner"][:, v]
        # The networks' rows fold into one product with the noise that they share.
        along_noise = (w @ noise.reshape(-1, D1).T).reshape(M, BATCH, TOKENS).permute(1, 2, 0)
        responses = z_v @ w[:, :D].T + along_noise
        s = torch.softmax(scores * D1**-0.5, -1) @ responses
        return torch.where(s.abs() < bias, 0.0, s - torch.sign(s) * bias).sum(1)

    anchors, positives = view(w, 0), view(w.detach(), 1)
    full = anchors @ positives.T
    weights = torch.softmax(((anchors * kept) @ positives.T).detach(), 1)
    return ((weights * full).sum(1) - full.diagonal()).mean()


JAX, TORCH = Written(jax_loss, batch=jax_batch), Written(torch_loss, batch=torch_batch)
