"""The papers' figures: presets, drawing and claims. They read Datasets and need no JAX."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

# Figure name -> module, so that listing them imports nothing heavy.
NAMES = {
    "topk-heatmap": "topk_pruning",
    "topk-boundary": "topk_pruning",
    "topk-protocols": "topk_pruning",
    "noise-heatmap": "heterogeneous_noise",
    "sample-size-heatmap": "heterogeneous_noise",
    "minority-accuracy": "heterogeneous_noise",
    "long-tail-accuracy": "heterogeneous_noise",
    "influence-extremes": "image_memorization",
    "noise-correlation-matrix": "image_memorization",
    "influence-removal": "image_memorization",
    "class-shapes": "image_memorization",
    "random-pruning-error": "random_pruning",
    "random-pruning-theory": "random_pruning",
    "pegr-curves": "gradient_regularization",
    "pegr-heatmap": "gradient_regularization",
    "contrastive-alignment": "contrastive",
    "contrastive-similarity": "contrastive",
    "contrastive-regression": "contrastive",
    "contrastive-neurons": "contrastive",
    "contrastive-stages": "contrastive",
    "contrastive-pruning": "contrastive",
}


class Figure(NamedTuple):
    """One figure of a paper, or of ours.

    summary: one line. presets: preset -> sweep name -> keywords of Grid (plus ``record_every``), or of
    the function of `measures.image_statistics` that ``compute`` names, where nothing is trained.
    draw: (datasets by sweep name, preset) -> picture name -> matplotlib Figure.
    claims: (datasets by sweep name, preset) -> list of Claim.
    """

    summary: str
    presets: dict[str, dict[str, dict[str, Any]]]
    draw: Callable[..., dict[str, Any]]
    claims: Callable[..., list[Any]]


def get(name: str) -> Figure:
    """The figure of that name; ValueError with the nearest name if there is none.

    Args:
        name: one of ``NAMES``.

    Returns:
        The Figure.

    Example:
        >>> sorted(get("topk-heatmap").presets)
        ['paper', 'quick']
    """
    if name not in NAMES:
        near = difflib.get_close_matches(str(name), NAMES, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"figure: {name!r} is not known; {hint}allowed: {', '.join(NAMES)}")
    return importlib.import_module(f"snljax.figures.{NAMES[name]}").FIGURES[name]
