"""The fields that come with an experiment of contrastive learning."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from snljax.experiment import field

OWN: Mapping[str, tuple[type, Any]] = types.MappingProxyType(
    {
        "learning_rate": (float, field(0.1, symbol=r"$\eta$", help="step size", range="[0, inf)")),
        "momentum": (float, field(0.9, help="of stochastic gradient descent", range="[0, 1)")),
        "weight_decay": (float, field(1e-4, symbol=r"$\lambda$", help="weight decay", range="[0, inf)")),
        "steps": (int, field(1000, help="gradient steps", range="[0, inf)")),
        "batch_size": (int, field(128, static=True, symbol="$K$", help="pairs a step", range="[2, inf)")),
        "temperature": (float, field(0.2, symbol=r"$\tau$", help="temperature of InfoNCE", range="(0, inf)")),
        "similarity": (str, field("cosine", static=True, help="of two embeddings", choices=("cosine", "dot"))),
        "imbalance_ratio": (
            float,
            field(1.0, symbol=r"$\rho$", help="samples of the largest class over the smallest", range="[1, inf)"),
        ),
        "augment_strength": (float, field(0.5, help="strength of colour jitter in the views", range="[0, 1]")),
        "crop_smallest": (float, field(0.2, help="smallest share of an image that a view shows", range="(0, 1]")),
        "noise_std": (
            float,
            field(0.0, symbol=r"$\sigma_p$", help="standard deviation of noise on each view", range="[0, inf)"),
        ),
        "pruning": (
            str,
            field(
                "none",
                static=True,
                help="what is masked: single weights, or neurons (filters) with their bias",
                choices=("none", "weights", "neurons"),
            ),
        ),
        "prune_fraction": (float, field(0.0, symbol=r"$\alpha$", help="share that is masked", range="[0, 1)")),
        "prune_by": (
            str,
            field(
                "magnitude",
                static=True,
                help="the smallest are masked, or as many at random",
                choices=("magnitude", "random"),
            ),
        ),
        "prune_views": (
            str,
            field("both", static=True, help="which views the masked network embeds", choices=("both", "second")),
        ),
        "prune_scope": (
            str,
            field("layer", static=True, help="what is ranked together", choices=("layer", "network")),
        ),
        "first_prune": (int, field(0, static=True, help="step of the first mask", range="[0, inf)")),
        "prune_every": (int, field(100, static=True, help="steps from one mask to the next", range="[1, inf)")),
        "mask_gradient": (
            str,
            field(
                "literal",
                static=True,
                help="the mask enters the embedding, or the softmax weights only (eq. 5)",
                choices=("literal", "logits"),
            ),
        ),
        "probe": (str, field("ridge", static=True, help="the linear classifier", choices=("ridge", "logistic"))),
        "probe_decay": (float, field(1e-3, help="weight decay of the probe", range="(0, inf)")),
        "probe_on": (
            str,
            field(
                "all",
                static=True,
                help="the probe learns from all samples, or from those trained on",
                choices=("all", "trained"),
            ),
        ),
        "probe_samples": (
            int,
            field(10_000, static=True, help="samples that the probe learns from, at most", range="[2, inf)"),
        ),
    }
)
