"""The papers' systems, by name. Listing them imports none of them, and no JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from snljax.wording import unknown

if TYPE_CHECKING:
    from snljax.experiment import Experiment


class Entry(NamedTuple):
    """What a list says of an experiment. papers: numbers in `snljax.papers`. summary: what it asks, one line."""

    papers: tuple[str, ...]
    summary: str


# Experiment name, which is that of its module here -> entry. Its Config's first line ends with the same summary.
NAMES = {
    "topk_pruning": Entry(("000",), "does pruning suppress noise or lose the signal?"),
    "heterogeneous_noise": Entry(("001",), "when does memorised noise help to generalise?"),
    "influence_removal": Entry(("001",), "which images can a network do without?"),
    "random_pruning": Entry(("002",), "how much helps, how much is too much?"),
    "gradient_regularization": Entry(("003",), "does penalising per-example gradients suppress noise?"),
    "image_classification": Entry(("000", "002", "003"), "do pruning and penalties suppress noise?"),
    "contrastive": Entry(("004",), "does a minority feature get neurons of its own?"),
}


def get(name: str) -> Experiment:
    """The experiment of that name; ValueError with the nearest name if there is none.

    Args:
        name: one of ``NAMES``, each a module here with an ``EXPERIMENT``.

    Returns:
        The Experiment.

    Raises:
        ValueError: if there is none of that name.

    Example:
        >>> get("topk_pruning").name
        'topk_pruning'
    """
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(unknown("experiment", name, NAMES))
    return importlib.import_module(f"snljax.experiments.{name}").EXPERIMENT
