"""Paper 000 on signal-noise data: the diagram, its two boundaries, protocols, and the theorems without pruning."""

from __future__ import annotations

import numpy as np

from planted.building import dataset, sided, spread
from snljax import theory
from snljax.figures.topk_boundaries import EXPONENTS

EVEN = np.array([-1.0, 0.0, 1.0])  # how far each of three seeds is off


# --- Figures 1 and 2, and the theorems without pruning -----------------------------------------------


def diagram(constant=95.0, exponent=-2.0, steps=5000, train_loss=0.001, over_pruned=(1, 1, 1), factors=None, off=0.0):
    """L_D = 2 on K = constant · sigma_p^exponent, and, for a seed that is over-pruned, 4 under both lower curves.

    factors: on the loss, one for each seed. off: by how much the exponents of the first and last seed differ.
    """
    factors = spread(3) if factors is None else np.asarray(factors)
    sigma_p, k = np.linspace(0.05, 1.0, 20).round(3), np.arange(2, 201, 6)
    s, kk = sigma_p[:, None, None], k[None, :, None]
    exponents = exponent + off * EVEN[: len(factors)]
    loss = 2 * kk * factors / (constant * s**exponents)
    low = np.maximum(theory.topk_lower_boundary(s), theory.over_pruning_bound(s, 200))
    loss = np.where((kk <= low) & np.array(over_pruned[: len(factors)], bool), 4.0, loss)
    axes = {"sigma_p": sigma_p, "K": k, "seed": range(len(factors))}
    settings = {"steps": steps, "d": 200, "n": 200, "num_classes": 10}
    variables = {"test_loss": loss, "train_loss": np.full(loss.shape, train_loss)}
    return dataset(variables, ("sigma_p", "K", "seed"), axes, settings)


def regimes(learned=0.5, noise=0.5, bound=0.1, memorised=1.0, signal=0.5, low_snr_loss=3.0, ratio=1.0, wide=0.1):
    """Three noise levels and two records, without pruning.

    learned, memorised: γ at high SNR, ρ at low. noise, signal: ρ at high SNR and γ at low, in units of the theorem's
    scale. bound: L_D at high SNR in units of the theorem's bound. ratio: γ/ρ in units of its scale. wide: of four
    seeds.
    """
    n, d, classes, seeds = 200, 200, 10, 4
    vary, sigma_p = spread(seeds, wide), np.array([0.02, 1.0, 15.0])
    scale = theory.coefficient_ratio_scale(1.0, sigma_p, d, n, classes)
    gamma = np.zeros((3, seeds, 2, classes, 2, classes))
    own = np.arange(classes)
    for i, value in enumerate((learned, 0.1, signal * scale[2])):
        gamma[i][:, :, own, :, own] = value * vary[:, None, None]
    rho = np.array([noise / scale[0], 0.1, memorised])[:, None, None, None, None] * vary[:, None, None, None]
    rho = np.broadcast_to(rho, (3, seeds, 2, classes, 2))[..., None]
    train_loss = np.full((3, seeds, 2), 1e-4)
    high_snr_loss = bound * theory.signal_learning_test_loss(1e-4, classes, n)
    test_loss = np.array([high_snr_loss, 2.0, low_snr_loss])[:, None, None] * vary[:, None] * np.ones(2)
    of_filters = ("regime", "seed", "step", "class", "filter")
    ratios = ratio * scale[:, None, None] * vary[:, None] * np.ones(2)
    axes = {"sigma_p": ("regime", sigma_p), "seed": range(seeds), "step": [0, 1000]}
    ds = dataset(
        {"train_loss": train_loss, "test_loss": test_loss}
        | {f"coefficient_ratio{end}": ratios for end in ("", "_low", "_high")},
        of_filters[:3],
        axes,
        {"n": n, "d": d, "num_classes": classes},
    )
    return ds.assign(
        gamma=((*of_filters, "signal_of_class"), gamma),
        rho_bar=((*of_filters, "sample"), rho),
        rho_underbar=((*of_filters, "sample"), -rho),
    )


def heatmap(regime=regimes, **changes):
    return {"fitted": diagram(**changes), "without_pruning": regime()}


def no_theorem():
    return regimes(learned=0.05, noise=100, bound=30, memorised=0.05, signal=100, low_snr_loss=0.1, ratio=30)


def any_theorem():
    """Four seeds that differ so much that each mean may lie on either side of its threshold."""
    near = {"learned": 0.2, "noise": 8, "bound": 0.8, "memorised": 0.2, "signal": 8, "low_snr_loss": 0.8, "ratio": 8}
    return regimes(**near, wide=0.95)


# --- protocols ---------------------------------------------------------------------------------------


def protocols(first, seeds=3):
    """Test loss over K: ``first`` at the smallest K, then 1 and 3, the same under all protocols."""
    loss = np.array([first, 1.0, 3.0])[None, None, :, None] * spread(seeds, 0.05)
    whole = np.broadcast_to(loss, (9, 1, 3, seeds))
    axes = {"sigma_p": [1.0], "K": [2, 20, 200], "seed": range(seeds)}
    variables = {"test_loss": whole, "train_loss": 0 * whole}
    return {"protocols": dataset(variables, ("protocol", "sigma_p", "K", "seed"), axes, {"steps": 1000})}


# --- the upper boundary ------------------------------------------------------------------------------


def upper(steps=5000, train_loss=0.001, wide=0.03, off=0.0, seeds=3, **exponents):
    """L_D = 2 on K = 95 σ_p⁻² √(n/200) · …, or with other exponents; a loss is proportional to K.

    wide: of the factors that seeds differ by. off: by how much the exponents of the first and the last seed differ.
    """
    law, vary, k = EXPONENTS | exponents, spread(seeds, wide), np.arange(10, 201, 10)
    offs = off * EVEN[:seeds]
    settings = {"steps": steps, "d": 200}
    sigma_p = np.linspace(0.8, 2.0, 7)
    loss = 2 * k[:, None] * vary / (95 * sigma_p[:, None, None] ** (law["sigma_p"] + offs))
    axes = {"sigma_p": sigma_p, "K": k, "seed": range(seeds)}
    variables = {"test_loss": loss, "train_loss": np.full(loss.shape, train_loss)}
    plane = dataset(variables, ("sigma_p", "K", "seed"), axes, settings)
    plane = sided(plane, np.sign(loss.mean(-1) - 2), "test_loss", 2.0, "sigma_p", "K")
    base = {"sigma_p": 1.25, "mu": 1.0, "n": 200, "num_classes": 10}
    rows = [base, *(base | {name: base[name] * 1.4} for name in base)]
    factors = [np.prod([(row[n] / base[n]) ** (law[n] + offs) for n in base], axis=0) for row in rows]
    loss = 2 * k[:, None] * vary / (60 * np.array(factors)[:, None])
    fields = {name: ("size", [row[name] for row in rows]) for name in base}
    axes = {**fields, "K": k, "seed": range(seeds)}
    return {"fitted": plane, "sizes": dataset({"test_loss": loss}, ("size", "K", "seed"), axes, settings)}


# --- the lower boundary ------------------------------------------------------------------------------

WINDOW = (3.0, 1.2, 0.9, 1.1, 2.5, 3.0)
NO_WINDOW = (0.9, 1.1, 1.5, 2.5, 3.0, 3.2)


def lower(shape=WINDOW, law=theory.topk_selection_boundary, off=0.0, wide=0.03, **regime):
    """Losses over K, a share of filters that is ¼ where a law puts its boundary, and the regime of Theorem 4.4.

    off: how much the powers of n, (𝒯−1)/𝒯² and σ_p in the selection differ for the first and the last seed.
    """
    k, sigma_p, vary = np.array([1, 3, 10, 30, 100, 200]), [1.0, 2.0, 4.0], spread(3, wide)
    loss = np.array(shape)[:, None] * vary * np.ones((4, 3, 1, 1))
    axes = {"protocol": range(4), "sigma_p": sigma_p, "K": k, "seed": range(3)}
    settings = {"steps": 300, "d": 200, "mu": 1.0}
    losses = dataset({"test_loss": loss}, ("protocol", "sigma_p", "K", "seed"), axes, settings)
    n, classes, sigma_p = np.array([200, 50, 200, 200]), np.array([10, 10, 4, 20]), np.array([2.0, 3.0, 4.0, 6.0])
    each, other = 2.0 ** (off * EVEN), (n[:, None, None], classes[:, None, None], sigma_p[:, None])
    powers = (other[0] / 100) * ((other[1] - 1) / other[1] ** 2 / 0.1) * (other[2] / 3)
    edge = law(each * powers ** (off * EVEN), other[2], other[0], other[1], 200)
    k = np.unique(np.geomspace(1, 190, 30).round().astype(int))
    share = 0.5 / (1 + (edge[:, :, None] * spread(3, 0.006) / k[:, None]) ** 4)
    axes = {"n": ("size", n), "num_classes": ("size", classes), "sigma_p": sigma_p, "K": k, "seed": range(3)}
    selection = dataset({"kept_signal": share}, ("size", "sigma_p", "K", "seed"), axes, settings)
    return {"loss": losses, "selection": selection, "low_snr": low_snr(wide=wide / 3, **regime)}


def low_snr(smallest=1.3, middle=0.5, dense=1.4, sigma_p=(0.6, 2.5, 2.65, 2.8), wide=0.01):
    """L_D in units of ln 𝒯: at the smallest K, at those between, and without pruning; the same in each setting.

    wide: of the factors that seeds differ by; those with more at both ends have less between.
    """
    k = np.array([1, 8, 40, 200, 1300])
    vary, means = spread(3, wide), np.array([smallest, middle, middle, middle, dense])
    loss = np.log(2) * means[:, None] * np.stack([vary, *[vary[::-1]] * 3, vary])
    loss = np.broadcast_to(loss, (4, *loss.shape))
    axes = {"n": ("regime", [20, 90, 90, 90]), "num_classes": ("regime", [2] * 4), "sigma_p": ("regime", list(sigma_p))}
    variables = {"test_loss": loss, "train_loss": 0 * loss + 0.01}
    settings = {"steps": 3000, "d": 1300}
    return dataset(variables, ("regime", "K", "seed"), {**axes, "K": k, "seed": range(3)}, settings)


def printed_lower(mu, sigma_p, n, classes, d):
    return theory.topk_lower_boundary(sigma_p) * mu + 0 * (n * classes)


CASES = {
    "topk-heatmap": {
        "as the paper says": heatmap,
        "another boundary, no over-pruning, no theorem": lambda: heatmap(
            no_theorem, constant=150.0, exponent=-1.0, train_loss=0.5, over_pruned=(0, 0, 0)
        ),
        "a dense network that generalises": lambda: heatmap(constant=500.0),
        "nothing generalises": lambda: heatmap(constant=0.1),
        "seeds apart": lambda: heatmap(
            any_theorem, factors=spread(3, 0.3), off=0.3, over_pruned=(0, 1, 1), constant=170.0
        ),
        "seeds far apart": lambda: heatmap(factors=[0.01, 1.0, 100.0], over_pruned=(0, 0, 0)),
        "one seed": lambda: heatmap(factors=[1.0]),
    },
    "topk-protocols": {
        "over-pruned": lambda: protocols(3.0),
        "not over-pruned": lambda: protocols(0.5),
        "at the threshold": lambda: protocols(2.0),
    },
    "topk-boundary": {
        "as the paper says": upper,
        "other laws": lambda: upper(train_loss=0.02, sigma_p=-1.0, mu=1.0, n=0.0, num_classes=-0.3),
        "seeds apart": lambda: upper(wide=0.3, off=0.4),
        "one seed": lambda: upper(seeds=1),
    },
    "topk-lower-boundary": {
        "a window, and the corrected selection": lower,
        "no window, and the printed selection": lambda: lower(NO_WINDOW, printed_lower, smallest=0.4),
        "nothing generalises once pruned": lambda: lower(middle=1.5, dense=0.2),
        "little noise, the printed selection, seeds apart": lambda: lower(
            law=printed_lower, off=0.8, sigma_p=[0.6] * 4, smallest=1.0, middle=1.0
        ),
        "seeds apart": lambda: lower((2.0, *WINDOW[1:]), off=0.4, wide=0.5, middle=0.25, dense=0.25),
    },
}
