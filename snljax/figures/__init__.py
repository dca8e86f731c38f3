"""The papers' figures: presets, drawing and claims. They read Datasets and need no JAX."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from snljax.figures.presets import Computed, Preset, Sweep, Trace
from snljax.wording import unknown

__all__ = ["NAMES", "Computed", "Entry", "Figure", "Preset", "Sweep", "Trace", "get"]


class Entry(NamedTuple):
    """What a list of figures prints. module: of this package. experiment: that it trains, or that is nearest to it.

    paper: its number. summary: one line.
    """

    module: str
    experiment: str
    paper: str
    summary: str


_FIGURES: dict[tuple[str, str, str], dict[str, str]] = {  # (module, experiment, paper) -> figure -> summary
    ("topk_pruning", "topk_pruning", "000"): {
        "topk-heatmap": (
            "Fig. 1 and 2 of paper 000: test loss over noise level and kept weights, with both boundary curves"
        ),
        "topk-protocols": "under which pruning protocol does over-pruning appear? (ours, on paper 000)",
    },
    ("topk_boundaries", "topk_pruning", "000"): {
        "topk-boundary": (
            "the upper boundary of paper 000, traced beyond the plotted range, and its exponents in σ_p, μ, n and 𝒯"
        ),
        "topk-lower-boundary": (
            "is there a lower boundary where masks are irreversible, and where Theorem 4.4 speaks, SNR ≤ 1/n? "
            "(ours, paper 000)"
        ),
    },
    ("topk_images", "image_classification", "000"): {
        "topk-mnist": "Figure 3 of paper 000: test accuracy and training loss of a CNN on MNIST over the kept share",
        "topk-cifar10": "Figure 4 of paper 000: the same on CIFAR-10",
        "topk-cifar100-table": "Table 1 of paper 000: what pruning gains over a dense CNN, over noise levels",
        "topk-vit-table": "Table 2 of paper 000: the same of a vision transformer on MNIST",
    },
    ("heterogeneous_noise", "heterogeneous_noise", "001"): {
        "noise-heatmap": "Figure 3 of paper 001: test accuracy over feature strength and noise correlation",
        "sample-size-heatmap": (
            "Figure 4 of paper 001: test accuracy over the number of samples, with and without a feature"
        ),
        "minority-accuracy": (
            "increasing the majority hurts the minority: accuracy of a class as the others grow (ours, paper 001)"
        ),
        "long-tail-accuracy": "test accuracy against the long-tail level L (ours, paper 001)",
        "noise-boundary": "where test accuracy reaches 0.9, over ‖u‖ and Γ, against Theorem 1 (ours, paper 001)",
    },
    ("image_memorization", "influence_removal", "001"): {
        "influence-extremes": "Figure 5 of paper 001: the images of highest and lowest influence in each class",
        "noise-correlation-matrix": "Figure 6 of paper 001: overlap of the noise of each pair of classes, and Γ",
        "influence-removal": "Figure 7 of paper 001: accuracy of LeNet without images of high, low or random influence",
        "influence-removal-cifar10": "Figure 7 of paper 001 on CIFAR-10: the same of ResNet-18",
        "class-shapes": "Figure 1 of paper 001: t-SNE of the classes, against classes of equal noise",
    },
    ("random_pruning", "random_pruning", "002"): {
        "random-pruning-error": (
            "Figure 2 of paper 002: training and test error over the pruned fraction, at two noise levels"
        ),
    },
    ("random_pruning_theory", "random_pruning", "002"): {
        "random-pruning-theory": "mild benefit and over-pruning collapse in the theory's regime (ours, paper 002)",
    },
    ("random_pruning_images", "image_classification", "002"): {
        "random-pruning-mnist": "Figure 3a of paper 002: an MLP on MNIST, random against iterative magnitude pruning",
        "random-pruning-cifar10": "Figures 3b and 4 of paper 002: VGG-16 and ResNet-20-128 on CIFAR-10, likewise",
    },
    ("gradient_regularization", "gradient_regularization", "003"): {
        "pegr-curves": (
            "Figures 1 to 4 of paper 003: loss, signal, noise and accuracy under PEGR, FGR and standard training"
        ),
        "pegr-heatmap": "where PEGR helps and where it diverges: test accuracy over λ and σ_p (ours, paper 003)",
        "pegr-boundary": (
            "both edges of the window of λ over σ_p, against Theorem 3.2's λ in both scalings (ours, paper 003)"
        ),
    },
    ("pegr_images", "image_classification", "003"): {
        "pegr-mnist": "Figures 5 and 6 of paper 003: LeNet-5 on noisy MNIST under PEGR and standard training",
    },
    ("contrastive", "contrastive", "004"): {
        "contrastive-alignment": (
            "Figures 2 and 3 of paper 004: neurons aligned with the minority feature, over ε_min and noise"
        ),
        "contrastive-similarity": "Figure 4 of paper 004: cosine of positive test pairs, over ε_min and noise",
        "contrastive-regression": (
            "Figure 5 of paper 004: test error of a linear probe of the latents, over ε_min and noise"
        ),
        "contrastive-neurons": "Figure 6 of paper 004: which neurons learn which features, lucky and mixed ones",
        "contrastive-stages": "Figure 1 of paper 004: projections over training, with T₁ and T₂",
    },
    ("contrastive_images", "contrastive_images", "004"): {
        "contrastive-longtail-table": (
            "Table 2 of paper 004: accuracy and Δ20 of a linear probe on long-tailed sets, with and without pruning"
        ),
    },
    ("contrastive_pruning", "contrastive", "004"): {
        "contrastive-pruning": (
            "Theorem 3.2 of paper 004 in its own regime: what pruning specialised neurons does to the minority (ours)"
        ),
        "contrastive-bridge": (
            "from random weights: where the minority has neurons and is weaker, and what pruning does there "
            "(ours, paper 004)"
        ),
    },
}

# Figure name -> Entry, so that listing them imports nothing heavy.
NAMES = {
    name: Entry(module, experiment, paper, summary)
    for (module, experiment, paper), listed in _FIGURES.items()
    for name, summary in listed.items()
}


class Figure(NamedTuple):
    """One figure of a paper, or of ours.

    presets: preset -> name of a Dataset -> what it is made from.
    draw: Datasets by name -> picture name -> matplotlib Figure.
    claims: Datasets by name -> list of Claim.
    """

    presets: Mapping[str, Preset]
    draw: Callable[[dict[str, Any]], dict[str, Any]]
    claims: Callable[[dict[str, Any]], list[Any]]


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
        raise ValueError(unknown("figure", name, NAMES))
    return importlib.import_module(f"snljax.figures.{NAMES[name].module}").FIGURES[name]
