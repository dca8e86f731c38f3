"""Claims of papers 000, 002 and 003 on images decide as they should on planted answers; pictures carry their labels."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pytest
from planted.pegr_images import lenet
from planted.random_pruning import LEVELS, falling, pruned
from planted.topk_images import AS_PRINTED, FULL, OPPOSITE, shares, table

from snljax.figures import image_sets, pegr_images, random_pruning_images, topk_images

mpl.use("Agg")

# --- TopK: figures 3 and 4 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "name", "expected"),
    [
        ([0.3, 0.6, 0.8, 0.9, 0.8, 0.7], "mnist", ["holds", "holds", "holds"]),
        ([0.3, 0.6, 0.8, 0.9, 0.8, 0.7], "cifar10", ["holds", "holds", "holds"]),
        ([0.3, 0.4, 0.5, 0.6, 0.7, 0.8], "mnist", ["holds", "refuted", "refuted"]),
        ([0.3, 0.4, 0.9, 0.6, 0.7, 0.8], "cifar10", ["holds", "holds", "refuted"]),
    ],
)
def test_where_test_accuracy_is_best(test, name, expected):
    assert [c.verdict for c in topk_images.check_shares(shares(test, name=name))] == expected


def test_training_that_gets_worse_with_more_weights():
    claims = topk_images.check_shares(shares([0.5] * 6, train=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5]))
    assert claims[0].verdict == "refuted"


def test_what_is_reduced_is_said_in_picture_and_claim():
    small = shares([0.5] * 6, n_train=1000, width=0.5, side=14)
    assert topk_images.check_shares(small)[0].source.endswith("Figure 3, reduced")
    assert topk_images.check_shares(shares([0.5] * 6))[0].source.endswith("Figure 3")
    assert topk_images.check_shares(shares([0.5] * 6, n_train=60_000))[0].source.endswith("Figure 3")
    (page,) = topk_images.draw_shares(small).values()
    title = page.get_suptitle()
    assert title == "CNN at 0.5 of its width, MNIST, 1,000 of 60,000 images, at 14 × 14 pixels; 100 steps of 64"
    assert page.axes[0].get_xscale() == "log"
    digits = shares([0.5] * 6)
    digits["mnist"].attrs["settings"] = json.dumps(FULL | {"dataset": "digits"})
    assert "scikit-learn's digits, in place of MNIST;" in image_sets.said(digits["mnist"], "mnist")
    assert image_sets.is_reduced(digits["mnist"], "mnist")


def test_the_digits_stand_in_where_a_set_is_not_at_hand(monkeypatch):
    monkeypatch.setattr(image_sets.images, "at_hand", lambda name: False)
    assert image_sets.smaller("mnist", {"side": 14}, {"epochs": 3}) == {"dataset": "digits", "epochs": 3}
    monkeypatch.setattr(image_sets.images, "at_hand", lambda name: True)
    assert image_sets.smaller("mnist", {"side": 14}, {"epochs": 3}) == {"dataset": "mnist", "side": 14}


# --- TopK: the tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", topk_images.SETS)
def test_tables(figure):
    check = topk_images.FIGURES[figure].claims
    assert {c.verdict for c in check(table(AS_PRINTED))} == {"holds"}
    assert {c.verdict for c in check(table(OPPOSITE))} == {"refuted"}
    assert "printed" in check(table(OPPOSITE))[0].note
    blind = check(table(AS_PRINTED, dense=(0.9, 0.8, 0.12)))[-1]
    assert blind.verdict == "not testable"
    assert "at chance" in blind.note


@pytest.mark.parametrize("figure", topk_images.SETS)
def test_the_printed_tables_are_beside_ours(figure):
    datasets = table(AS_PRINTED)
    (page,) = topk_images.FIGURES[figure].draw(datasets).values()
    ours, theirs = page.axes[:2]
    assert [t.get_text() for t in ours.get_xticklabels()] == ["80%", "50%", "30%", "10%"]
    ds = datasets["accuracy"].isel(noise_std=0).test_accuracy.mean("seed")
    gains = [float(ds.sel(keep_fraction=k) - ds.sel(keep_fraction=1.0)) for k in (0.8, 0.5, 0.3, 0.1)]
    assert [t.get_text() for t in ours.texts[:4]] == [f"{100 * g:+.2f}*" for g in gains]
    printed = topk_images.printed(figure)
    assert theirs.texts[0].get_text() == f"{float(printed.gain[0, 0]):+.2f}"
    assert theirs.get_yticklabels()[2].get_text() == f"5 ({float(printed.dense.sel(noise_std=5)):.1f} %)"


def test_the_printed_tables_are_typed_as_printed():
    """Sums over columns, added up from the paper's text by hand."""
    vit, cnn = (topk_images.printed(f) for f in ("topk-vit-table", "topk-cifar100-table"))
    assert float(vit.dense.sum()) == pytest.approx(1115.16)
    assert float(cnn.dense.sum()) == pytest.approx(402.70)


# --- PEGR ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "expected"), [(0.05, "holds"), (-0.05, "refuted")])
def test_pegr_against_standard_training(gain, expected):
    claims = pegr_images.check(lenet(gain))
    compared = [c for c in claims if "PEGR, λ = 0.1:" in c.text and ("higher" in c.text or "as well" in c.text)]
    assert [c.verdict for c in compared] == [expected] * 3
    assert {c.verdict for c in claims if "decreases" in c.text} == {"holds"}


def test_a_network_that_diverged_is_no_gain():
    ds = lenet(0.05)
    ds["lenet"].status[0, 2, 1] = 2
    claims = pegr_images.check(ds)
    (training,) = [c for c in claims if c.text == "PEGR, λ = 0.1: the training loss decreases"]
    assert (training.verdict, "1 diverged" in training.note) == ("refuted", True)
    (page,) = pegr_images.draw(ds).values()
    assert "1 of 30 networks diverged" in page.get_suptitle()
    assert [t.get_text() for t in page.legends[0].get_texts()] == ["PEGR, λ = 0.1", "standard"]


# --- random pruning --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "train", "expected"),
    [(8, 10, ["holds", "holds"]), (5, 3, ["refuted", "refuted"]), (3, 5, ["refuted", "holds"])],
)
def test_where_accuracies_fall(test, train, expected):
    claims = random_pruning_images.check(random_pruning_images.MNIST, pruned(falling(test), falling(train)))
    assert [c.verdict for c in claims[::2]] == expected
    assert [c.verdict for c in claims[1::2]] == expected


def test_levels_lie_where_their_masks_do():
    """A record after level k shows the network that keeps .8^k."""
    test = 0.9 - 0.01 * LEVELS
    (page,) = random_pruning_images.draw(random_pruning_images.MNIST, pruned(test, test)).values()
    for line in page.axes[0].lines[:2]:
        np.testing.assert_allclose(line.get_xdata(), 0.8**LEVELS, rtol=1e-5)
        np.testing.assert_allclose(np.diff(line.get_ydata()), -0.01, atol=2e-3)
