"""Which conditions of its paper a setting meets, and by what factor."""

from __future__ import annotations

from typing import Any

from snljax.theory import contrastive, gradient_regularization, heterogeneous_noise, random_pruning, topk_pruning
from snljax.theory.conditions import Checked

_OF = {
    "topk_pruning": topk_pruning.conditions,
    "heterogeneous_noise": heterogeneous_noise.conditions,
    "random_pruning": random_pruning.conditions,
    "gradient_regularization": gradient_regularization.conditions,
    "contrastive": contrastive.conditions,
}


def check(config: Any, delta: float = 0.01) -> Checked:
    """Every condition of the paper's main theorems for one setting: met or not, and by what factor.

    Constants that the paper hides are taken as 1 and each condition says so. A network that sums over filters where
    the paper averages (or the other way round) is translated first (`averaged`), so ``filter_reduction`` and
    ``penalty_half`` are part of what is checked.

    Args:
        config: the Config of one of the papers' synthetic systems, its fields plain numbers.
        delta: probability of failure δ that the theorems allow, between 0 and 1.

    Returns:
        Checked: prints as a table; ``conditions``, ``met``, ``failed``, ``theorems`` and ``summary`` for programs, and
        `table` for Markdown.

    Raises:
        ValueError: if the config is of another system, or delta is not between 0 and 1.

    Example:
        >>> from snljax import experiments
        >>> found = check(experiments.get("topk_pruning").readings["printed"])
        >>> found.summary
        '4 of 8 conditions met; regime of: Appendix I, corrected'
        >>> found.failed[0].says, f"{found.failed[0].factor:.1g}"
        ('dimension: d ≥ 𝒯 + 512 𝒯 n² α² log(4n²/δ), α = 4 log T*', '5e-11')
    """
    module = type(config).__module__
    room, _, name = module.rpartition(".")
    if room != "snljax.experiments" or name not in _OF:
        given, known = f"{type(config).__name__} of {module}", ", ".join(_OF)
        raise ValueError(f"config: {given} has no conditions here; allowed: the Config of {known}")
    if not 0 < delta < 1:
        raise ValueError(f"delta: {delta!r} is not allowed; allowed: between 0 and 1, both excluded")
    return _OF[name](config, delta)
