"""Claims about boundaries decide as they should where the boundary is planted; the pictures can be drawn."""

from __future__ import annotations

import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from snljax import figures, theory
from snljax.figures.claims import on_side
from snljax.figures.presets import Sweep, Trace
from snljax.figures.topk_boundaries import EXPONENTS

mpl.use("Agg")

SEEDS = np.array([0.97, 1.0, 1.03])


def dataset(variables, dims, coords, settings, **attrs):
    """A Dataset as a sweep makes it, every network done."""
    shape = next(iter(variables.values())).shape
    data = {name: (dims, values) for name, values in variables.items()}
    data["status"] = (dims, np.ones(shape, np.int8))
    coords = {n: c if isinstance(c, tuple) else (n, c) for n, c in coords.items()}
    ds = xr.Dataset(data, coords, {"settings": json.dumps(settings), **attrs})
    for name in ds.coords:
        ds[name].attrs["long_name"] = str(name)
    return ds


def sided(ds, side, metric, level, x, y, diverged="above"):
    """The same as a trace makes it."""
    about = {"metric": metric, "level": level, "x": x, "y": y, "diverged": diverged}
    ds["side"] = xr.Variable((x, y), side.astype(np.int8), about)
    return ds.assign_attrs(networks=int(ds.status.size))


def verdicts(name, datasets):
    return {claim.text: claim.verdict for claim in figures.get(name).claims(datasets)}


def drawn(name, datasets):
    found = figures.get(name).draw(datasets)
    for fig in found.values():
        fig.savefig("/dev/null", format="png")
        plt.close(fig)
    return set(found)


def test_cells_on_one_side():
    assert on_side(xr.DataArray([1, 1], dims="K"), 1, "cells").verdict == "holds"
    assert on_side(xr.DataArray([1, -1, 0], dims="K"), 1, "cells").verdict == "refuted"
    assert on_side(xr.DataArray([-1, 0], dims="K"), -1, "cells").verdict == "undecided"
    assert on_side(xr.DataArray([-1], dims="K"), -1, "cells").measured.mean == 1.0
    for wrong, wanted in (([], 1), ([2], 1), ([1], 0)):
        with pytest.raises(ValueError, match="sides"):
            on_side(xr.DataArray(np.array(wrong, int), dims="K"), wanted, "cells")


# --- paper 000: the upper boundary -------------------------------------------------------------------


def upper(steps=5000, train_loss=0.001, **exponents):
    """L_D = 2 on K = 95 σ_p⁻² √(n/200) · …, or with other exponents; a loss is proportional to K."""
    law = EXPONENTS | exponents
    k = np.arange(10, 201, 10)
    settings = {"steps": steps, "d": 200}
    sigma_p = np.linspace(0.8, 2.0, 7)
    loss = 2 * np.multiply.outer(sigma_p ** -law["sigma_p"], k)[..., None] / (95 * SEEDS)
    axes = {"sigma_p": sigma_p, "K": k, "seed": range(3)}
    plane = dataset(
        {"test_loss": loss, "train_loss": np.full(loss.shape, train_loss)}, ("sigma_p", "K", "seed"), axes, settings
    )
    plane = sided(plane, np.sign(loss.mean(-1) - 2), "test_loss", 2.0, "sigma_p", "K")
    base = {"sigma_p": 1.25, "mu": 1.0, "n": 200, "num_classes": 10}
    rows = [base, *(base | {name: base[name] * 1.4} for name in base)]
    edge = np.array([60 * np.prod([(row[n] / base[n]) ** law[n] for n in base]) for row in rows])
    loss = 2 * k[:, None] / (edge[:, None, None] * SEEDS)
    fields = {name: ("size", [row[name] for row in rows]) for name in base}
    sizes = dataset({"test_loss": loss}, ("size", "K", "seed"), {**fields, "K": k, "seed": range(3)}, settings)
    return {"fitted": plane, "sizes": sizes}


def test_the_upper_boundary_holds_where_it_is_the_papers():
    found = verdicts("topk-boundary", upper())
    assert len(found) == 7
    assert set(found.values()) == {"holds"}
    assert drawn("topk-boundary", upper()) == {"topk-boundary"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"train_loss": 0.02}, "training loss"),
        ({"sigma_p": -1.0}, "exponent −2 in σ_p"),
        ({"mu": 1.0}, "goes as mu"),
        ({"n": 0.0}, "goes as n "),
        ({"num_classes": -0.3}, "goes as num_classes"),
    ],
)
def test_another_law_refutes_its_claim(change, wrong):
    found = verdicts("topk-boundary", upper(**change))
    (verdict,) = [v for text, v in found.items() if wrong in text]
    assert verdict == "refuted"
    assert verdicts("topk-boundary", upper(steps=1000, **change))["upper boundary: K·σ_p² = 95"] == "not testable"


def test_a_network_that_diverged_is_not_trained_and_one_that_is_pending_is_not_asked():
    datasets = upper()
    ds = datasets["fitted"]
    ds["status"][0, 0], ds["train_loss"][0, 0] = 0, np.nan
    (text,) = [text for text in verdicts("topk-boundary", datasets) if "training loss" in text]
    assert verdicts("topk-boundary", datasets)[text] == "holds"
    ds["status"][0, 0] = 2
    assert verdicts("topk-boundary", datasets)[text] == "refuted"


# --- paper 000: the lower boundary -------------------------------------------------------------------


def lower(window, law=theory.topk_selection_boundary):
    """Losses with or without a window in K, and a share of filters that is ¼ where a law puts its boundary."""
    k, sigma_p = np.array([1, 3, 10, 30, 100, 200]), [1.0, 2.0, 4.0]
    shape = np.array([3.0, 1.2, 0.9, 1.1, 2.5, 3.0]) if window else np.array([0.9, 1.1, 1.5, 2.5, 3.0, 3.2])
    loss = shape[:, None] * SEEDS * np.ones((4, 3, 1, 1))
    axes = {"protocol": range(4), "sigma_p": sigma_p, "K": k, "seed": range(3)}
    settings = {"steps": 300, "d": 200, "mu": 1.0}
    losses = dataset({"test_loss": loss}, ("protocol", "sigma_p", "K", "seed"), axes, settings)
    n, classes, sigma_p = np.array([200, 50, 200, 200]), np.array([10, 10, 4, 20]), np.array([2.0, 3.0, 4.0, 6.0])
    edge = law(1.0, sigma_p, n[:, None], classes[:, None], 200)
    k = np.unique(np.geomspace(1, 190, 30).round().astype(int))
    share = 0.5 / (1 + (edge[..., None, None] * SEEDS**0.2 / k[:, None]) ** 4)
    axes = {"n": ("size", n), "num_classes": ("size", classes), "sigma_p": sigma_p, "K": k, "seed": range(3)}
    selection = dataset({"kept_signal": share}, ("size", "sigma_p", "K", "seed"), axes, settings)
    return {"loss": losses, "selection": selection}


def test_a_lower_boundary_and_the_selection_behind_it():
    with_window, without = (figures.get("topk-lower-boundary").claims(lower(w)) for w in (True, False))
    for claims, verdict in ((with_window, "holds"), (without, "refuted")):
        losses, selection = claims[:4], claims[4:]
        assert {claim.verdict for claim in losses} == {verdict}
        assert [claim.verdict for claim in selection] == ["holds", "refuted", "holds", "holds", "holds"]
    assert drawn("topk-lower-boundary", lower(True)) == {"topk-lower-boundary", "topk-selection"}


def test_a_selection_by_another_law_is_told():
    def fewer_samples(mu, sigma_p, n, classes, d):
        return theory.topk_selection_boundary(mu, sigma_p, n / 4, classes, d)

    claims = figures.get("topk-lower-boundary").claims(lower(True, fewer_samples))[4:]
    assert claims[0].verdict == "refuted"


# --- papers 003 and 001 ------------------------------------------------------------------------------


def window(low, high):
    """A window of λ, low/σ_p to high/σ_p, in which every seed learns."""
    sigma_p, weights = np.linspace(0.25, 3.0, 12), np.geomspace(1e-4, 1.0, 25)
    inside = (weights > low / sigma_p[:, None]) & (weights < high / sigma_p[:, None])
    accuracy = np.where(inside, 1.0, 0.5)[..., None] * np.ones(4)
    axes = {"sigma_p": sigma_p, "penalty_weight": weights, "seed": range(4)}
    settings = {"d": 400, "n": 20, "m": 10, "mu": 1.0, "learning_rate": 0.02, "sigma_0": 0.001, "close_at": 800}
    settings |= {"filter_reduction": "sum", "penalty_half": False, "q": 2.0}
    ds = dataset({"test_accuracy": accuracy}, ("sigma_p", "penalty_weight", "seed"), axes, settings)
    side = np.where(inside, 1, -1)
    return {"pegr": sided(ds, side, "test_accuracy", 0.75, "sigma_p", "penalty_weight", "below")}


@pytest.mark.parametrize(
    ("edges", "translated", "printed"), [((0.001, 0.01), "holds", "refuted"), ((0.01, 0.2), "refuted", "holds")]
)
def test_the_weight_of_the_theorem_lies_in_the_window_or_not(edges, translated, printed):
    claims = figures.get("pegr-boundary").claims(window(*edges))
    assert {c.verdict for c in claims if "translated" in c.text} == {translated}
    assert {c.verdict for c in claims if "printed" in c.text} == {printed}
    assert {c.verdict for c in claims if "two edges" in c.text} == {"holds"}
    if translated == "holds":
        assert drawn("pegr-boundary", window(*edges)) == {"pegr-boundary"}


def benign(exponent, tail=True):
    """Accuracy .9 where ‖u‖ is 2 · (border of 2(a))^exponent and, with a tail, everywhere beyond Γ = 1000."""
    u, gamma = np.linspace(0.001, 3.8, 30), np.geomspace(1, 1400, 12)
    border = theory.signal_strength_for_ratio(1.0, gamma, 100, 1000, 5)
    edge = 2 * (border / border[0]) ** exponent
    accuracy = 0.2 + 0.7 * u[:, None, None] / (edge[:, None] * SEEDS)
    accuracy = np.where(tail & (gamma[:, None] > 1000), 0.95, np.minimum(accuracy, 0.99))
    axes = {"u_norm": u, "noise_correlation": gamma, "seed": range(3)}
    settings = {"samples_per_class": 100, "d": 1000, "num_classes": 5}
    ds = dataset({"test_accuracy": accuracy}, ("u_norm", "noise_correlation", "seed"), axes, settings)
    side = np.sign(accuracy.min(-1) - 0.9) * (accuracy.min(-1) >= 0.9) - (accuracy.max(-1) < 0.9)
    return {"fitted": sided(ds, side, "test_accuracy", 0.9, "u_norm", "noise_correlation", "below")}


def test_the_border_of_benign_overfitting():
    found = verdicts("noise-boundary", benign(1.0))
    (border,) = [text for text in found if "border" in text]
    (falls,) = [text for text in found if "weaker feature" in text]
    assert found.pop(falls) == "refuted"
    assert set(found.values()) == {"holds"}
    found = verdicts("noise-boundary", benign(-1.0, tail=False))
    assert (found[border], found[falls]) == ("refuted", "holds")
    assert found["a high Γ alone is benign"] == "refuted"
    assert drawn("noise-boundary", benign(1.0)) == {"noise-boundary"}


def test_a_boundary_has_no_records_on_the_way():
    with pytest.raises(ValueError, match=r"record_every: 10; allowed: none"):
        Trace(Sweep("topk_pruning", record_every=10, sigma_p=[0.5, 1.0], K=[2, 4]), "test_loss", 2.0)
