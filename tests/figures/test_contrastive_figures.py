"""Claims of paper 004 decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax import figures, theory
from snljax.figures import contrastive

mpl.use("Agg")

SETTINGS = {"d": 9, "d1": 500, "num_minority": 1, "aligned": 0.3, "learning_rate": 0.02, "weight_decay": 0.1}
SETTINGS |= {"epsilon_min": 0.5, "bias_start": 60, "steps": 200}
SETTINGS |= {"batch": 64, "active": 0.2, "temperature": 1.0, "m": 24}


def with_settings(variables, coords, **changes):
    return xr.Dataset(variables, coords, {"settings": json.dumps(SETTINGS | changes)})


def trends(sign=1.0, noise=0.01, seeds=12):
    """Every metric follows the paper, times sign."""
    epsilon, sigma = np.array([0.1, 0.5, 1.0]), np.array([0.03, 0.05])
    jitter = noise * np.random.default_rng(0).normal(size=(3, 2, seeds))
    dims = ("epsilon_min", "sigma_p", "seed")
    data = {
        name: (dims, 2 + sign * way * epsilon[:, None, None] + jitter) for name, (way, _) in contrastive.TRENDS.items()
    }
    return with_settings(data, {"epsilon_min": epsilon, "sigma_p": sigma, "seed": range(seeds)})


TREND_FIGURES = ("contrastive-alignment", "contrastive-similarity", "contrastive-regression")


@pytest.mark.parametrize(
    ("sign", "noise", "expected"), [(1, 0.01, "holds"), (-1, 0.01, "refuted"), (0, 1.0, "undecided")]
)
def test_trends(sign, noise, expected):
    ds = trends(sign, noise)
    claims = [c for name in TREND_FIGURES for c in figures.get(name).claims({"fitted": ds})]
    assert len(claims) == 8
    assert {c.verdict for c in claims} == {expected}
    if noise < 1:
        assert {round(abs(c.measured.mean), 1) for c in claims} == {1.0}
    assert {"NSR = 0.45", "NSR = 1.25"} == {c.text.split(" at ")[-1] for c in claims}


def test_trends_of_a_single_seed_are_not_testable():
    claims = [c for name in TREND_FIGURES for c in figures.get(name).claims({"fitted": trends(seeds=1)})]
    assert {c.verdict for c in claims} == {"not testable"}


def test_trends_are_called_as_the_metric_calls_itself():
    ds = trends()
    ds.regression_mse.attrs["long_name"] = "error of the probe"
    (first, _) = figures.get("contrastive-regression").claims({"fitted": ds})
    assert first.text == "error of the probe falls with ε_min at NSR = 0.45"
    (page,) = figures.get("contrastive-regression").draw({"fitted": ds}).values()
    assert page.axes[0].get_ylabel() == "error of the probe"


def test_trend_pages_have_one_curve_for_each_noise_level():
    (page,) = figures.get("contrastive-alignment").draw({"fitted": trends()}).values()
    assert [len(ax.lines) for ax in page.axes] == [2, 2]
    assert {text.get_text() for ax in page.axes for text in ax.texts} == {"trend holds at 2 of 2 NSR"}
    assert [t.get_text() for t in page.legends[0].get_texts()] == ["NSR = 0.45", "NSR = 1.25"]


def neurons(majority=3, minority=1, mixed=2, seeds=6):
    """So many neurons of cosine 0.5 for each feature; mixed ones show two features."""
    cosines = np.zeros((seeds, 24, 9))
    row = 0
    for j in range(9):
        for _ in range(majority if j < 5 else minority):
            cosines[:, row, j] = 0.5
            row += 1
    cosines[:, :mixed, 1] = 0.5
    cosines += np.random.default_rng(0).uniform(0, 0.1, (seeds, 24, 9))
    cosines[0, -1, :] = 0.0
    strong = (cosines >= 0.3).sum(-1)
    data = {
        "cosines": (("seed", "neuron", "feature"), cosines),
        "lucky_neurons": ("seed", (strong == 1).sum(1)),
        "mixed_neurons": ("seed", (strong > 1).sum(1)),
        "status": ("seed", np.ones(seeds, np.int8)),
    }
    return with_settings(data, {"seed": range(seeds)}, num_minority=4)


def test_neurons():
    def verdicts(**changes):
        return [c.verdict for c in contrastive.check_neurons({"fitted": neurons(**changes)})]

    assert verdicts() == ["holds", "holds", "holds"]
    assert verdicts(mixed=0)[1] == "refuted"
    assert verdicts(majority=1, minority=3)[2] == "refuted"
    lost = neurons()
    lost["lucky_neurons"][0], lost["status"][0] = np.iinfo(np.int32).min, 2
    claims = contrastive.check_neurons({"fitted": lost})
    assert float(claims[0].measured.mean) > 0  # a diverged network has no count
    (page,) = contrastive.draw_neurons({"fitted": neurons()}).values()
    assert page.axes[0].get_ylabel() == "neuron"
    assert "minority" in page.axes[0].get_xlabel()


def stages(ratio=0.5, shrink=1.0, seeds=4):
    """Exponential growth of features at rates 0.004·ε_j − ηλ, decay elsewhere at ηλ."""
    step = np.arange(0, 801, 10)
    rates = 0.02 * np.where(np.arange(9) == 8, ratio, 1.0)
    features = 0.01 * np.exp((rates - 0.002)[None, :] * step[:, None])  # (step, feature), for each of 2 neurons
    outside = 0.5 * np.exp(-0.002 * shrink * step)
    norms = np.sqrt((features**2).sum(1) + outside**2)
    spread = 1 + 0.02 * np.arange(seeds)
    cosines = np.broadcast_to((features / norms[:, None])[None, :, None, :], (seeds, len(step), 2, 9))
    data = {
        "cosines": (("seed", "step", "neuron", "feature"), cosines),
        "norms": (("seed", "step", "neuron"), spread[:, None, None] * norms[None, :, None] * np.ones(2)),
        "feature_share": (("seed", "step"), np.broadcast_to(1 - outside**2 / norms**2, (seeds, len(step)))),
        "train_loss": (("seed", "step"), np.broadcast_to(1.5 + 2.5 * np.exp(-step / 200), (seeds, len(step)))),
    }
    return with_settings(data, {"seed": range(seeds), "step": step}, steps=800)


def test_stages():
    ds = stages()
    claims = contrastive.check_stages({"fitted": ds})
    share = ds.feature_share.isel(seed=0).values
    t1 = 10.0 * np.argmax(share >= 0.5)
    squared = (ds.norms**2).mean("neuron").isel(seed=0)
    t2 = 10.0 * np.argmax(squared.values >= 9 * float(squared.sel(step=t1)))
    assert t2 > t1
    assert claims[2].measured[:3] == (t1, t1, t1)  # of every seed
    assert claims[3].measured[:3] == (t2, t2, t2)
    assert claims[0].measured.mean == pytest.approx(1.0, rel=1e-6)
    assert claims[1].measured.mean == pytest.approx(1.0, rel=1e-6)
    assert [c.verdict for c in claims] == ["holds", "holds", "holds", "holds"]
    claims = contrastive.check_stages({"fitted": stages(ratio=0.8, shrink=2.0)})
    assert [c.verdict for c in claims[:2]] == ["refuted", "refuted"]


def test_stages_without_t2():
    """Too short a run: T₂ is not reached, and the picture says nothing of it."""
    ds = stages().sel(step=slice(0, 200))
    claims = contrastive.check_stages({"fitted": ds})
    assert claims[3].verdict == "refuted"
    (page,) = contrastive.draw_stages({"fitted": ds}).values()
    labels = [t.get_text() for t in page.legends[0].get_texts()]
    assert any("T_1" in label for label in labels)
    assert not any("T_2" in label for label in labels)


def test_the_loss_stands_over_its_floor():
    """Eight features of frequency 0.2 and one of 0.1, in batches of 64."""
    ds = stages()
    (page,) = contrastive.draw_stages({"fitted": ds}).values()
    lines = {line.get_label(): line for line in page.axes[2].lines}
    np.testing.assert_allclose(lines["training loss"].get_ydata(), ds.train_loss.mean("seed"))
    floor = theory.collision_floor(64, [0.2] * 8 + [0.1])
    assert lines["collision floor, pure embeddings"].get_ydata() == pytest.approx([floor] * 2)
    assert lines["collision floor, pure embeddings"].get_linestyle() == "--"


def test_the_range_of_learned_weights_begins_at_t3():
    """τ/Ξ₂ to τ for the majority, half of both for the minority, in their curves' colours; none in a shorter run."""
    (page,) = contrastive.draw_stages({"fitted": stages()}).values()
    curves = {line.get_label(): line.get_color() for line in page.axes[0].lines}
    ends = [line for line in page.axes[0].lines if line.get_linestyle() == "-." and len(line.get_xdata())]
    assert {tuple(line.get_xdata()) for line in ends} == {(float(theory.stages(9, 500, 0.02, 1.0).third), 800.0)}
    least = 1 / float(theory.ordinary_neurons_bound(24, 9, 0.5, gamma=0.0))
    found = sorted((line.get_color(), *line.get_ydata()) for line in ends)
    many, few = curves["majority features"], curves["minority feature"]
    expected = sorted([(many, least, least), (many, 1.0, 1.0), (few, least / 2, least / 2), (few, 0.5, 0.5)])
    assert [color for color, *_ in found] == [color for color, *_ in expected]
    np.testing.assert_allclose([y for _, *y in found], [y for _, *y in expected])
    (short,) = contrastive.draw_stages({"fitted": stages().sel(step=slice(0, 400))}).values()
    assert not any("eq. 12" in text.get_text() for text in short.legends[0].get_texts())


def pruning(logits=0.2, literal=0.0, random=0.0, seeds=6):
    """So much more alignment and weight, and less error, per unit of α."""
    alpha, epsilon = np.array([0.0, 0.25, 0.5]), np.array([0.3, 1.0])
    effect = np.array([[logits, random], [literal, random]])  # (mask_gradient, mask)
    change = effect[:, :, None, None, None] * alpha[None, None, :, None, None]
    noise = 0.01 * np.random.default_rng(0).normal(size=(2, 2, 3, 2, seeds))
    noise[:, :, 0] = 0
    dims = ("mask_gradient", "mask", "prune_fraction", "epsilon_min", "seed")
    data = {name: (dims, 0.5 + way * (change + noise)) for name, way in contrastive.PRUNING.items()}
    coords = {"mask_gradient": ["logits", "literal"], "mask": ["magnitude", "random"], "prune_fraction": alpha}
    return with_settings(data, coords | {"epsilon_min": epsilon, "seed": range(seeds)})


def test_pruning():
    claims = contrastive.check_pruning({"finite-time": pruning(), "saturated": pruning(-0.2)})
    assert len(claims) == 12
    helped = [c for c in claims if c.verdict == "holds"]
    assert {c.text.split(":")[0] for c in helped} == {"finite-time"}
    assert all("gradient logits" in c.source for c in helped)
    assert len(helped) == 3
    assert abs(helped[0].measured.mean - 0.05) < 0.02  # 0.2 · α
    (page,) = contrastive.draw_pruning({"finite-time": pruning()}).values()
    assert len(page.axes) == 12
    assert page.axes[0].get_title() == "logits, magnitude mask"
