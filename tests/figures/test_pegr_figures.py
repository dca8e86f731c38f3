"""Claims of paper 003 decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax import figures, theory

mpl.use("Agg")

CURVES, HEATMAP = figures.get("pegr-curves"), figures.get("pegr-heatmap")

SETTINGS = {"n": 20, "d": 400, "m": 10, "mu": 1.0, "learning_rate": 0.02, "close_at": 800, "steps": 1500}
SETTINGS |= {"penalty_weight": 0.01, "filter_reduction": "sum", "penalty_half": False, "q": 2}


def curves(seeds=4, **changes):
    """What the paper says, as trajectories of two records: the start and the end."""
    shape = (3, 4, seeds, 2)
    data = {name: np.zeros(shape) for name in ("train_loss", "signal", "noise", "test_accuracy")}
    data["train_loss"][..., 0] = 0.69
    data["train_loss"][..., 1] = 0.01
    data["signal"][..., 0], data["signal"][..., 1] = 0.01, 1.0
    data["noise"][..., 1] = 1.0
    data["noise"][0, 1:, :, 1] = 0.05
    data["test_accuracy"][..., 0] = 0.5
    data["test_accuracy"][..., 1] = 0.5
    data["test_accuracy"][0, :, :, 1] = 1.0
    data["test_accuracy"][:, 0, :, 1] = 1.0
    status = np.ones(shape[:3], np.int8)
    for name, (where, value) in changes.items():
        (status if name == "status" else data[name])[where] = value
    dims = ("penalty", "level", "seed", "step")
    coords = {
        "penalty": ["pegr", "fgr", "none"],
        "sigma_p": ("level", [0.1, 0.5, 1.0, 1.5]),
        "sigma_0": ("level", [0.01, 0.01, 0.01, 0.001]),
        "seed": range(seeds),
        "step": [0, 1500],
    }
    variables = {name: (dims, values) for name, values in data.items()} | {"status": (dims[:3], status)}
    return xr.Dataset(variables, coords, {"settings": json.dumps(SETTINGS)})


def verdicts(ds):
    return {c.text: c.verdict for c in CURVES.claims({"fitted": ds})}


def test_the_paper_s_sentences_hold_where_the_paper_is_right():
    found = verdicts(curves())
    of_theory = {text for text in found if "Condition 3.1" in text or "Theorem 3.2" in text}
    assert len(of_theory) == 5
    assert {v for text, v in found.items() if text not in of_theory} == {"holds"}
    # The paper's own setting is outside its conditions: d = 400 < m² n² = 40,000.
    assert {found[text] for text in of_theory} == {"refuted"}


PEGR, FGR, NONE, END = 0, 1, 2, np.s_[..., 1]


@pytest.mark.parametrize(
    ("change", "refuted"),
    [
        ({"train_loss": (np.s_[PEGR, 2, 0, 1], 0.3)}, "PEGR: all training losses go to 0 after closing"),
        ({"train_loss": (np.s_[FGR, :, :, 1], 0.3)}, "FGR: all training losses go to 0 after closing"),
        ({"test_accuracy": (np.s_[PEGR, 3, 1, 1], 0.8)}, "PEGR: test accuracy tends to 1 at σ_p = 1.5"),
        ({"status": (np.s_[PEGR, 3, 1], 2)}, "PEGR: test accuracy tends to 1 at σ_p = 1.5"),
        ({"test_accuracy": (np.s_[FGR, 0, :, 1], 0.9)}, "FGR: test accuracy tends to 1 at σ_p = 0.1"),
        ({"test_accuracy": (np.s_[NONE, 2, :, 1], 0.9)}, "standard: test accuracy does not at σ_p = 1"),
        ({"noise": (np.s_[PEGR, 1, :, 1], 0.9)}, "PEGR suppresses noise memorising at σ_p = 0.5"),
        ({"signal": (np.s_[PEGR, 0, :, 1], 0.02)}, "PEGR: the signal grows at σ_p = 0.1"),
    ],
)
def test_a_wrong_curve_refutes_its_sentence_and_no_other(change, refuted):
    right, wrong = verdicts(curves()), verdicts(curves(**change))
    changed = {text for text in right if right[text] != wrong[text]}
    assert wrong[refuted] == "refuted"
    assert changed - {"PEGR: all training losses go to 0 after closing"} <= {refuted}


OF_THEORY = ("Condition 3.1", "Theorem 3.2")


def test_a_network_that_blows_up_and_stays_finite_leaves_its_ratios_undecided():
    """As one of ten at σ_p = 1.5 does."""
    found = verdicts(curves(noise=(np.s_[PEGR, 3, 1, 1], 1e15), signal=(np.s_[PEGR, 3, 1, 1], 1e9)))
    undecided = {text for text, verdict in found.items() if verdict == "undecided"}
    assert undecided == {"PEGR suppresses noise memorising at σ_p = 1.5", "PEGR: the signal grows at σ_p = 1.5"}


def test_a_single_seed_tests_nothing_but_formulas():
    found = verdicts(curves(seeds=1))
    measured = {verdict for text, verdict in found.items() if not any(part in text for part in OF_THEORY)}
    assert measured == {"not testable"}
    assert {found[text] for text in found if any(part in text for part in OF_THEORY)} == {"refuted"}


def test_the_page_shows_four_quantities_of_three_algorithms():
    (page,) = CURVES.draw({"fitted": curves()}).values()
    axes = np.array(page.axes).reshape(4, 3)
    assert [ax.get_title() for ax in axes[0]] == ["PEGR", "FGR", "standard"]
    assert [ax.get_ylabel() != "" for ax in axes[:, 0]] == [True] * 4
    assert {ax.get_xlabel() for ax in axes[-1]} == {"gradient steps"}


def trajectories(early=300, **settings):
    """Loss at ln 2 until a step, and far below from the next record on; every quantity starts at its own level."""
    step = np.arange(0, 1501, 100)
    ds = curves().isel(step=[0] * len(step)).assign_coords(step=step)
    ds["train_loss"] = xr.where(ds.step <= early, np.log(2.0), 0.1).broadcast_like(ds.train_loss)
    factor = 1 + 0.1 * (ds.seed - 1.5)  # median 1
    ds["signal"] = (ds.sigma_0 * factor).broadcast_like(ds.train_loss)
    ds["noise"] = (20 * ds.sigma_0 * ds.sigma_p * factor).broadcast_like(ds.train_loss)
    return ds.assign_attrs(settings=json.dumps(SETTINGS | settings))


def drawn(ds):
    """The page's legend entries, its panels, and (quantity, algorithm, label) -> lines as arrays of x and y."""
    (page,) = CURVES.draw({"fitted": ds}).values()
    names = [(name, kind) for name in ("loss", "signal", "noise", "accuracy") for kind in ("pegr", "fgr", "none")]
    lines = {}
    for at, ax in zip(names, page.axes, strict=True):
        for line in ax.lines:
            lines.setdefault((*at, line.get_label()), []).append(np.array(line.get_data()))
    return [text.get_text() for text in page.legends[0].get_texts()], page.axes, lines


def of(label, lines):
    return {at[:2]: found for at, found in lines.items() if at[2] == label}


EARLY = "early, by Lemma 5.1"
PRINTED = {"filter_reduction": "mean", "penalty_half": True}


@pytest.mark.parametrize(("conventions", "early"), [({}, 300), (PRINTED, 1500)])
def test_early_lines_are_those_of_lemma_5_1(conventions, early):
    """From the median start to the last record with a loss of ln 2; the penalty is gone from step 800 on."""
    entries, _, lines = drawn(trajectories(early, **conventions))
    found = of(EARLY, lines)
    assert set(found) == {(name, kind) for name in ("signal", "noise") for kind in ("pegr", "none")}
    assert entries.count(EARLY) == 1
    step = np.arange(early + 1)
    for (name, kind), lines in found.items():
        weights = (0.01 if kind == "pegr" else 0.0, 0.0)
        for line, sigma_p, sigma_0 in zip(lines, (0.1, 0.5, 1.0, 1.5), (0.01, 0.01, 0.01, 0.001), strict=True):
            rates = [
                getattr(theory.early_rates(1, 20 * sigma_p, 20, 10, 0.02, w, **conventions), name) for w in weights
            ]
            start = sigma_0 * (20 * sigma_p if name == "noise" else 1)
            grown = theory.early_curve(start, rates[0], np.minimum(step, 800))
            np.testing.assert_array_equal(line[0], step)
            np.testing.assert_allclose(line[1], grown * (1 + rates[1]) ** np.maximum(step - 800, 0), rtol=1e-9)


def test_early_lines_end_with_the_early_phase():
    """A loss that comes back to ln 2 is not early again; a network that leaves at once has no line, nor a dead one."""
    ds = trajectories(300)
    ds["train_loss"] = xr.where(ds.step == 1500, np.log(2.0), ds.train_loss)
    ds["train_loss"] = xr.where((ds.level == 1) & (ds.step > 0), 0.1, ds.train_loss)
    ds["status"] = xr.where(ds.level == 3, 2, ds.status)
    _, _, lines = drawn(ds)
    assert [line[0, -1] for line in of(EARLY, lines)["signal", "none"]] == [300, 300]


@pytest.mark.parametrize(("conventions", "steps"), [({}, (115, 230)), (PRINTED, (1725, 2876))])
def test_the_theorem_s_closing_steps_stand_beside_the_one_used(conventions, steps):
    entries, axes, lines = drawn(trajectories(**conventions))
    theorem, used = f"Theorem 3.2 closes at {steps[0]} or {steps[1]}", "penalty closed at step 800"
    assert {theorem, used} < set(entries)
    assert {kind for _, kind in of(theorem, lines)} == {"pegr"}
    assert {kind for _, kind in of(used, lines)} == {"pegr", "fgr"}
    for found in of(theorem, lines).values():
        assert [line[0, 0] for line in found] == list(steps)
    assert {ax.get_xlim() for ax in axes} == {(-75.0, 1575.0)}  # also where they are beyond what was trained


def heatmap(best=0.1):
    """Accuracy 1 in a decade around the best λ, and divergence far above it."""
    sigma_p, weights = np.array([0.1, 0.5, 1.0]), np.geomspace(1e-3, 1, 7)
    far = np.abs(np.log10(weights / best))
    accuracy = np.broadcast_to(np.where(far <= 0.6, 1.0, 0.6)[None, :, None], (3, 7, 4)).copy()
    status = np.ones((3, 7, 4), np.int8)
    status[:, weights > 0.9, 0] = 2
    accuracy[status == 2] = np.nan
    dims = ("sigma_p", "penalty_weight", "seed")
    coords = {"sigma_p": sigma_p, "penalty_weight": weights, "seed": range(4)}
    variables = {"test_accuracy": (dims, accuracy), "status": (dims, status)}
    return xr.Dataset(variables, coords, {"settings": json.dumps(SETTINGS)})


@pytest.mark.parametrize(("best", "expected"), [(0.07, "holds"), (0.001, "refuted")])
def test_the_theorem_s_weight_is_looked_up_on_the_grid(best, expected):
    """1/(σ_p √400) is 0.1 and 0.05 at σ_p = 0.5 and 1."""
    claims = {c.text: c.verdict for c in HEATMAP.claims({"pegr": heatmap(best)})}
    assert claims.pop("λ = σ_p⁻¹d^(−1/2) is such a λ for every σ_p ≥ 0.5") == expected
    assert set(claims.values()) == {"holds"}
    assert len(claims) == 2


def test_the_heatmap_shows_divergence_apart():
    (fig,) = HEATMAP.draw({"pegr": heatmap()}).values()
    labels = [ax.get_ylabel() for ax in fig.axes]
    assert any("accuracy" in label for label in labels)
    assert any("diverge" in label for label in labels)
