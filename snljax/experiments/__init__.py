"""The papers' systems, by name."""

from __future__ import annotations

import difflib
import importlib

from snljax.experiment import Experiment

NAMES = (
    "topk_pruning",
    "heterogeneous_noise",
    "influence_removal",
    "random_pruning",
    "gradient_regularization",
    "contrastive",
)


def get(name: str) -> Experiment:
    """The experiment of that name; ValueError with the nearest name if there is none.

    Args:
        name: one of ``NAMES``, each a module here with an ``EXPERIMENT``.

    Returns:
        The Experiment.

    Example:
        >>> get("topk_pruning").name
        'topk_pruning'
    """
    if name not in NAMES:
        near = difflib.get_close_matches(str(name), NAMES, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"experiment: {name!r} is not known; {hint}allowed: {', '.join(NAMES)}")
    return importlib.import_module(f"snljax.experiments.{name}").EXPERIMENT
