"""The papers' conditions, thresholds and boundary curves, as functions of NumPy arrays; one file for each paper."""

from snljax.theory.contrastive import ordinary_neurons_bound
from snljax.theory.gradient_regularization import (
    growth_rates,
    pegr_closing_step,
    pegr_condition,
    pegr_weight,
    suppression_rates,
)
from snljax.theory.heterogeneous_noise import eigenvalue_for_noise_correlation, noise_correlation_for_eigenvalue
from snljax.theory.random_pruning import (
    mild_pruning_keep,
    over_pruning_keep,
    pruned_noise_scale,
    random_pruning_condition,
    signal_loss_probability,
)
from snljax.theory.topk_pruning import (
    coefficient_ratio_scale,
    memorization_snr,
    over_pruning_bound,
    signal_learning_snr,
    snr,
    topk_lower_boundary,
    topk_noise_scale,
    topk_upper_boundary,
)

__all__ = [
    "coefficient_ratio_scale",
    "eigenvalue_for_noise_correlation",
    "growth_rates",
    "memorization_snr",
    "mild_pruning_keep",
    "noise_correlation_for_eigenvalue",
    "ordinary_neurons_bound",
    "over_pruning_bound",
    "over_pruning_keep",
    "pegr_closing_step",
    "pegr_condition",
    "pegr_weight",
    "pruned_noise_scale",
    "random_pruning_condition",
    "signal_learning_snr",
    "signal_loss_probability",
    "snr",
    "suppression_rates",
    "topk_lower_boundary",
    "topk_noise_scale",
    "topk_upper_boundary",
]
