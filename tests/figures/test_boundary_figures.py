"""Claims about boundaries decide as they should where the boundary is planted; the pictures can be drawn."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from planted.gradient_regularization import window
from planted.heterogeneous_noise import benign
from planted.topk import NO_WINDOW, WINDOW, lower, upper

from snljax import figures, theory
from snljax.figures.claims import above, on_side
from snljax.figures.presets import Sweep, Trace
from snljax.figures.topk_boundaries import fall

mpl.use("Agg")


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


def test_a_lower_boundary_and_the_selection_behind_it():
    for shape, verdict in ((WINDOW, "holds"), (NO_WINDOW, "refuted")):
        claims = figures.get("topk-lower-boundary").claims(lower(shape))
        losses, selection = claims[:4], claims[4:9]
        assert {claim.verdict for claim in losses} == {verdict}
        assert [claim.verdict for claim in selection] == ["holds", "refuted", "holds", "holds", "holds"]
    assert drawn("topk-lower-boundary", lower()) == {"topk-lower-boundary", "topk-selection", "topk-low-snr"}


def test_a_selection_by_another_law_is_told():
    def fewer_samples(mu, sigma_p, n, classes, d):
        return theory.topk_selection_boundary(mu, sigma_p, n / 4, classes, d)

    claims = figures.get("topk-lower-boundary").claims(lower(law=fewer_samples))[4:]
    assert claims[0].verdict == "refuted"


def test_a_loss_that_hovers_about_the_threshold_has_no_lower_boundary():
    """In each seed some K is above 2 and a larger one below, another in each: chance, and not a boundary."""
    rng = np.random.default_rng(0)
    loss = xr.DataArray(2 * np.exp(0.02 * rng.normal(size=(12, 8))), {"K": range(1, 13)}, ("K", "seed"))
    highest = xr.apply_ufunc(np.maximum.accumulate, loss)
    assert bool((np.minimum(highest / 2, 2 / loss).max("K") > 1).all())
    assert above(fall(loss), 0.0, "fall", "some").verdict != "holds"


@pytest.mark.parametrize(
    ("change", "setting", "ends"),
    [
        ({}, "holds holds holds", "refuted holds"),
        ({"smallest": 0.4}, "holds refuted refuted", "refuted holds"),
        ({"smallest": 0.8}, "holds holds refuted", "refuted holds"),
        ({"middle": 1.1}, "refuted holds refuted", "refuted refuted"),
        ({"dense": 0.4}, "refuted refuted holds", "refuted refuted"),
        ({"sigma_p": [0.6] * 4}, "holds holds holds", "holds holds"),
    ],
)
def test_pruning_at_low_snr(change, setting, ends):
    """In each setting: good with some K, worse on both sides, a lower edge. Room between the ends, and all K there."""
    claims = figures.get("topk-lower-boundary").claims(lower(**change))[9:]
    verdicts = [claim.verdict for claim in claims]
    assert verdicts[:2] == ["refuted" if "sigma_p" in change else "holds", "holds"]
    assert verdicts[2:14] == 4 * setting.split()
    assert verdicts[14:] == ends.split()
    assert "at the best K, " in claims[2].note


# --- papers 003 and 001 ------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("low", "expected"), [(0.00125, ["holds", "holds"]), (0.005, ["refuted", "holds"]), (0.0003, ["holds", "refuted"])]
)
def test_the_lower_edge_is_held_to_lemma_5_1_from_both_sides(low, expected):
    """m/(σ_p²d) is 0.00125/σ_p² for the sum without ½."""
    claims = figures.get("pegr-boundary").claims(window(low, 0.2, power=2.0))
    assert [c.verdict for c in claims if "Lemma 5.1" in c.text] == expected


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
