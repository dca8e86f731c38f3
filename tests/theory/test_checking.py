"""Conditions met and by what factor: for every reading, in both scalings of the network, as tables."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from snljax import experiments, theory
from snljax.experiments import image_classification

SYSTEMS = ("topk_pruning", "heterogeneous_noise", "random_pruning", "gradient_regularization", "contrastive")
READINGS = [(name, reading) for name in SYSTEMS for reading in experiments.get(name).readings]


def config(name, reading="fitted", **changes):
    return dataclasses.replace(experiments.get(name).readings[reading], **changes)


def by_source(checked):
    return {(c.source, c.says): c for c in checked.conditions}


@pytest.mark.parametrize(("name", "reading"), READINGS)
def test_every_reading_has_its_conditions(name, reading):
    found = theory.check(config(name, reading))
    (number,) = experiments.NAMES[name].papers
    assert found.paper.startswith(f"paper {number} (")
    assert len(found.conditions) > 12
    for c in found.conditions:
        assert c.says
        assert c.source
        assert c.part in ("condition", "regime", "time")
        if c.met is None:
            assert math.isnan(c.factor)
            assert c.hidden
        else:
            assert c.met == (c.factor >= 1)
            compared = {"≥": lambda v, b: v >= b, "≤": lambda v, b: v <= b, "=": None, "≈": None, "≪": None}[c.relation]
            assert compared is None or compared(c.value, c.bound) == c.met
    counted = [c for c in found.conditions if c.part == "condition" and c.met is not None]
    assert len(found.met) + len(found.failed) == len(counted)
    assert 0 < len(found.met) < len(counted)  # none of the papers' experiments is inside its theory
    assert found.summary.startswith(f"{len(found.met)} of {len(counted)} conditions met")


@pytest.mark.parametrize(("name", "reading"), READINGS)
def test_it_prints_as_a_table(name, reading):
    found = theory.check(config(name, reading))
    lines = str(found).splitlines()
    assert lines[0] == found.paper
    assert len(lines) == len(found.conditions) + 3
    assert all(c.says in line for c, line in zip(found.conditions, lines[2:-1], strict=True))
    markdown = theory.table({"one": found, "other": found}).splitlines()
    assert len(markdown) == len(found.conditions) + 3
    assert {line.replace("\\|", "").count("|") for line in markdown} == {6}


# --- both scalings ------------------------------------------------------------------------------------


def assert_same_numbers(one, other):
    for a, b in zip(one.conditions, other.conditions, strict=True):
        assert (a.says, a.met) == (b.says, b.met)
        if isinstance(a.value, float):
            assert (a.value, a.bound) == pytest.approx((b.value, b.bound))


def test_a_sum_is_checked_as_the_mean_that_it_equals():
    one = config("topk_pruning")
    same = dataclasses.replace(one, filter_reduction="mean", sigma_0=20 * one.sigma_0, learning_rate=400 * 0.05)
    assert_same_numbers(theory.check(one), theory.check(same))
    assert theory.check(one).conditions != theory.check(config("topk_pruning", "printed")).conditions
    one = config("gradient_regularization")
    same = dataclasses.replace(
        one,
        filter_reduction="mean",
        penalty_half=True,
        penalty_weight=2 * 10 * one.penalty_weight,
        sigma_0=np.sqrt(10) * one.sigma_0,
        learning_rate=10 * one.learning_rate,
    )
    assert_same_numbers(theory.check(one), theory.check(same))


def test_random_pruning_is_printed_as_a_sum():
    one = config("random_pruning", "theory", step_rule="plain")
    factor = theory.averaged(50, 3)
    same = dataclasses.replace(
        one,
        filter_reduction="mean",
        sigma_0=float(factor.weights) * one.sigma_0,
        learning_rate=float(factor.learning_rate) * one.learning_rate,
    )
    assert_same_numbers(theory.check(one), theory.check(same))
    # A sum over samples is a step that is n times as long.
    same = dataclasses.replace(one, sample_reduction="sum", learning_rate=one.learning_rate / 20)
    assert_same_numbers(theory.check(one), theory.check(same))


# --- known numbers ------------------------------------------------------------------------------------


def test_paper_002_s_signal_is_too_weak_for_its_noise():
    """σ_n√d = 2.5: μ over σ_n√d log d is 0.058."""
    found = by_source(theory.check(config("random_pruning", "theory")))
    c = found["Condition 2.2 (4)", "signal: μ = Θ(σ_n √d log d)"]
    assert c.value / c.bound == pytest.approx(0.058, abs=5e-4)
    assert (c.met, c.factor) == (False, pytest.approx(0.58, abs=5e-3))


def test_paper_003_closes_too_early_or_too_late():
    late = theory.check(config("gradient_regularization"))
    early = theory.check(config("gradient_regularization", "printed"))
    steps = [next(c for c in found.conditions if c.says.startswith("its last step")) for found in (late, early)]
    assert [c.value for c in steps] == [800, 800]
    assert [round(c.bound) for c in steps] == [115, 1725]
    assert [c.met for c in steps] == [False, False]


def test_the_regimes_of_paper_000():
    at = {"first_prune": None, "filter_reduction": "mean"}
    assert theory.check(config("topk_pruning", sigma_p=0.02, **at)).theorems == ("Theorem 4.2",)
    assert theory.check(config("topk_pruning", sigma_p=15.0, **at)).theorems == ("Theorem 4.3",)
    # K = d prunes nothing.
    assert theory.check(config("topk_pruning", sigma_p=0.02, K=200)).theorems == ("Theorem 4.2",)
    assert theory.check(config("topk_pruning", sigma_p=1.0, K=30)).theorems == ("Appendix I, corrected", "Theorem 4.5")


def test_the_regimes_of_paper_001():
    found = [
        theory.check(config("heterogeneous_noise", u_norm=u, noise_correlation=gamma)).theorems
        for u, gamma in ((0.001, 1.0), (3.8, 1.0), (0.001, 1400.0))
    ]
    assert "Theorem 1, 3" in found[0]
    assert "Theorem 1, 2(a)" in found[1]
    assert "Theorem 1, 3" not in found[1] + found[2]
    assert found[2] == ("Theorem 1, 2(b)",)
    # Where others are ten times as many, Γ = 1.2 is 0.12.
    minority = config("heterogeneous_noise", u_norm=0.001, minority_fraction=0.1)
    assert theory.check(minority).theorems == ("Theorem 1, 3",)


def test_a_setting_inside_the_theory():
    """Paper 003 with a dimension and initial weights as its condition wants them: nothing fails."""
    n = m = 200
    d, norm, sigma_0 = 2_000_000_000, 2e9**0.5, 1e-10
    eta = 1e-5
    found = theory.pegr_schedule(1.0, 1.0, d, n, m, sigma_0, eta, "mean", True)
    inside = config(
        "gradient_regularization",
        "printed",
        d=d,
        n=n,
        m=m,
        sigma_p=1.0,
        sigma_0=sigma_0,
        learning_rate=eta,
        penalty_weight=1 / norm,
        close_at=round(float(found.closing_step)),
    )
    checked = theory.check(inside)
    assert checked.failed == ()
    assert checked.theorems == ("Theorem 3.2",)
    # One step aside each, and the condition that it leaves says so.
    for change, says in (
        ({"learning_rate": 1e-4}, "learning rate"),
        ({"sigma_0": 1e-8}, "initial weights"),
        ({"m": 2000}, "dimension"),
        ({"mu": 10.0}, "levels"),
        ({"q": 3}, "activation"),
    ):
        failed = theory.check(dataclasses.replace(inside, **change)).failed
        assert any(c.says.startswith(says) for c in failed), says


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_noise_and_no_initial_weights_are_settings_too(name):
    names = {f.name for f in dataclasses.fields(config(name))}
    zeros = {"sigma_p": 0.0, "sigma_0": 0.0, "steps": 0, "u_norm": 0.0}
    found = theory.check(config(name, **{k: v for k, v in zeros.items() if k in names}))
    assert all(c.met is None or c.met == (c.factor >= 1) for c in found.conditions)


# --- what is refused ----------------------------------------------------------------------------------


def test_other_configs_are_refused(one_line):
    for other in (image_classification.EXPERIMENT.Config(), {"sigma_p": 1.0}, None):
        one_line(lambda other=other: theory.check(other), "config", type(other).__name__, "topk_pruning, ")


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, float("nan")])
def test_a_delta_that_is_no_probability_is_refused(one_line, delta):
    one_line(lambda: theory.check(config("topk_pruning"), delta), "delta", repr(delta), "between 0 and 1")


def test_a_smaller_delta_asks_for_more():
    one, other = (theory.check(config("topk_pruning"), delta) for delta in (0.1, 1e-6))
    factors = [[c.factor for c in found.conditions] for found in (one, other)]
    assert np.all(np.array(factors[0][:8]) >= factors[1][:8])
    assert factors[0][0] > factors[1][0]


def test_tables_of_two_papers_or_none_are_refused(one_line):
    checked = {name: theory.check(config(name)) for name in SYSTEMS[:2]}
    one_line(lambda: theory.table(checked), "2 papers", "settings of one paper")
    one_line(lambda: theory.table({}), "0 papers")
