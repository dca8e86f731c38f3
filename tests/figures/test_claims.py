"""Rules: what holds, is refuted, undecided or not testable, and that reports say it."""

import json
import math

import numpy as np
import pytest
import xarray as xr

from snljax.figures.claims import Claim, above, below, every, exact, to_json, to_markdown, to_terminal, within
from snljax.stats import Interval, t_interval


def around(mean, half=0.5, seeds=6):
    """Values over seeds with this mean and half width of their 95 % interval."""
    spread = np.linspace(-1, 1, seeds)
    unit = t_interval(spread)
    return mean + spread * half / unit.high


@pytest.mark.parametrize(
    ("mean", "verdict_above", "verdict_below"),
    [
        (3.0, "holds", "refuted"),
        (2.51, "holds", "refuted"),
        (2.49, "undecided", "undecided"),
        (1.51, "undecided", "undecided"),
        (1.49, "refuted", "holds"),
    ],
)
def test_an_interval_that_straddles_the_threshold_is_undecided(mean, verdict_above, verdict_below):
    """Half a unit wide to either side of the mean, held against 2."""
    found = above(around(mean), 2.0, "gain")
    assert found.verdict == verdict_above
    assert below(around(mean), 2.0, "gain").verdict == verdict_below
    assert found.measured.mean == pytest.approx(mean)
    assert (found.measured.low, found.measured.high) == pytest.approx((mean - 0.5, mean + 0.5))
    assert found.measured.kind == "95 % t"
    assert found.threshold == "gain: interval above 2"
    assert below(around(mean), 2.0, "gain").threshold == "gain: interval below 2"


@pytest.mark.parametrize(
    ("mean", "verdict"), [(2.0, "holds"), (2.6, "undecided"), (1.2, "undecided"), (3.6, "refuted"), (0.4, "refuted")]
)
def test_within(mean, verdict):
    found = within(around(mean), 1.0, 3.0, "ratio")
    assert found.verdict == verdict
    assert found.threshold == "ratio: interval within 1 to 3"


def test_an_interval_around_both_thresholds_decides_nothing():
    assert within(around(2.0, half=5.0), 1.0, 3.0, "ratio").verdict == "undecided"


@pytest.mark.parametrize(("rule", "verdict"), [(above, "refuted"), (below, "refuted")])
def test_no_spread_at_the_threshold_is_not_beyond_it(rule, verdict):
    assert rule([0.5, 0.5, 0.5], 0.5, "x").verdict == verdict
    assert within([0.5, 0.5, 0.5], 0.5, 1.0, "x").verdict == "holds"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([5.0], "a single seed"),
        ([5.0, np.nan], "a single seed; 1 of 2 have no value"),
        ([np.nan, np.nan], "nothing measured; 2 of 2 have no value"),
        ([], "nothing measured"),
        ([5.0, np.inf], "infinite values"),
    ],
)
def test_without_an_interval_nothing_is_testable(values, reason):
    for found in (above(values, 0.0, "x"), below(values, 0.0, "x"), within(values, 0.0, 9.0, "x")):
        assert (found.verdict, found.reason) == ("not testable", reason)


def test_seeds_without_a_value_are_told():
    found = above([3.0, 3.1, 3.2, np.nan], 0.0, "x")
    assert (found.verdict, found.reason) == ("holds", "1 of 4 have no value")


def test_an_interval_that_was_computed_already():
    assert below(Interval(0.01, 0.004, 0.02, "95 % BCa bootstrap"), 0.03, "p").verdict == "holds"
    assert below(Interval(0.01, 0.004, 0.02, "95 % BCa bootstrap"), 0.015, "p").verdict == "undecided"
    alone = below(Interval(0.01, math.nan, math.nan, "95 % bootstrap"), 0.015, "p")
    assert (alone.verdict, alone.reason) == ("not testable", "no interval")


def cells(*means, half=0.5):
    return xr.DataArray([around(mean, half) for mean in means], dims=("K", "seed"))


@pytest.mark.parametrize(
    ("means", "verdict", "measured"),
    [
        ((3.0, 2.6, 4.0), "holds", 2.6),
        ((3.0, 2.2, 4.0), "undecided", 2.2),
        ((3.0, 1.4, 4.0), "undecided", 1.4),  # below 2 by itself, but not when three are looked at
        ((3.0, 1.0, 4.0), "refuted", 1.0),
    ],
)
def test_a_sentence_about_every_cell(means, verdict, measured):
    found = above(cells(*means), 2.0, "gain")
    assert found.verdict == verdict
    assert found.measured.mean == pytest.approx(measured)
    assert found.threshold == "gain: interval above 2, in each of 3 cells"
    if verdict == "refuted":
        assert found.measured.kind == "95 % t, widened for 3 cells"
        np.testing.assert_allclose(found.measured[:3], t_interval(around(measured), 1 - 0.05 / 3)[:3])
    else:
        assert found.measured.kind == "95 % t"


@pytest.mark.parametrize(
    ("means", "verdict", "measured"),
    [
        ((1.0, 1.4, 0.0), "refuted", 1.4),
        ((1.0, 1.8, 0.0), "undecided", 1.8),
        ((1.0, 2.6, 0.0), "undecided", 2.6),  # above 2 by itself, but not when three are looked at
        ((1.0, 3.0, 0.0), "holds", 3.0),
    ],
)
def test_a_sentence_about_some_cell(means, verdict, measured):
    found = above(cells(*means), 2.0, "gain", cells="some")
    assert found.verdict == verdict
    assert found.measured.mean == pytest.approx(measured)
    assert found.threshold == "gain: interval above 2, in one of 3 cells"
    assert ("widened" in found.measured.kind) == (verdict == "holds")
    opposite = {"holds": "refuted", "refuted": "holds", "undecided": "undecided"}
    assert below(cells(*means), 2.0, "gain").verdict == opposite[verdict]


def test_a_cell_without_an_interval_leaves_the_sentence_open():
    values = cells(3.0, 2.6, 4.0)
    values[1, 1:] = np.nan
    assert above(values, 2.0, "gain").verdict == "not testable"
    assert above(values.isel(seed=[0]), 2.0, "gain").verdict == "not testable"


def test_the_dimensions_of_the_values(one_line):
    turned = above(cells(3.0, 2.6).transpose("seed", "K"), 2.0, "x")
    assert turned == above(cells(3.0, 2.6), 2.0, "x")
    assert above(cells(3.0, 2.6)[:0], 2.0, "x").reason == "nothing measured"
    one = xr.DataArray(around(3.0), dims="class")
    assert above(one, 2.0, "over classes").verdict == "holds"
    one_line(lambda: above(one.expand_dims(part=2), 2.0, "x"), "dimensions part, class", "seed")


def test_false_verdicts_are_as_rare_as_the_level_says():
    """Values whose true mean is the threshold: one verdict in twenty, half of them each way, also over ten cells."""
    draws = np.random.default_rng(0).normal(size=(2000, 6))
    found = [above(row, 0.0, "x").verdict for row in draws]
    assert found.count("undecided") / 2000 == pytest.approx(0.95, abs=0.015)
    many = [above(xr.DataArray(rows, dims=("K", "seed")), 0.0, "x").verdict for rows in draws.reshape(200, 10, 6)]
    assert many.count("refuted") / 200 <= 0.06
    assert many.count("holds") == 0


def losses():
    return xr.DataArray([[0.001, 0.002, 0.003], [0.003, 0.004, 0.009]], dims=("K", "seed"))


def test_every_network():
    found = every(losses(), "<", 0.01, "training loss")
    assert found.verdict == "holds"
    assert found.threshold == "training loss < 0.01 in each of 6 networks"
    assert found.measured[:3] == pytest.approx((0.022 / 6, 0.001, 0.009))
    assert found.measured.kind == "range"


@pytest.mark.parametrize("bad", [0.01, 0.5, np.nan, np.inf])
def test_one_counterexample_refutes(bad):
    values = losses()
    values[1, 2] = bad
    found = every(values, "<", 0.01, "training loss")
    lost = ", 1 of them without a number" if np.isnan(bad) else ""
    assert (found.verdict, found.reason) == ("refuted", f"1 of 6 networks do not{lost}")
    assert found.measured.low == 0.001
    assert found.measured.high == (0.004 if np.isnan(bad) else bad)


@pytest.mark.parametrize(("relation", "holds"), [("<", False), ("≤", True), ("≥", True), (">", False)])
def test_relations_at_their_edge(relation, holds):
    verdict = "holds" if holds else "refuted"
    assert every(xr.DataArray([2.0, 2.0], dims="seed"), relation, 2.0, "x").verdict == verdict
    assert exact(2.0, relation, 2.0, "x").verdict == verdict


@pytest.mark.parametrize("value", [0.001, 0.5])
def test_a_single_seed_is_not_testable_whatever_it_shows(value):
    found = every(xr.DataArray([[value], [0.001]], dims=("K", "seed")), "<", 0.01, "training loss")
    assert found.verdict == "not testable"
    assert found.reason.startswith("a single seed")


def test_exact_numbers():
    found = exact(3.0, "≥", 1.0, "part")
    assert (found.verdict, found.measured.mean, found.measured.kind) == ("holds", 3.0, "exact")
    assert exact([3.0, 0.2], "≥", 1.0, "parts").measured.mean == 0.2
    assert exact([3.0, 0.2], "≤", 1.0, "parts").measured.mean == 3.0
    assert exact(np.array([3.0, 0.2]), "≤", 4.0, "parts").verdict == "holds"


def test_what_rules_refuse(one_line):
    one_line(lambda: every(losses(), "==", 1.0, "x"), "relation: '=='", "<, ≤, ≥, >")
    one_line(lambda: every(losses().rename(seed="run"), "<", 1.0, "x"), "dimensions K, run", "seed")
    one_line(lambda: every(losses()[:, :0], "<", 1.0, "x"), "one or more")
    one_line(lambda: above(cells(1.0), 1.0, "x", cells="most"), "cells: 'most'", "every, some")
    one_line(lambda: exact([1.0], "in", 1.0, "x"), "relation: 'in'")
    one_line(lambda: exact([1.0, np.nan], "<", 1.0, "x"), "none of them NaN")
    one_line(lambda: exact([], "<", 1.0, "x"), "one or more")


def test_what_a_preset_cannot_test():
    rule = above(around(3.0), 2.0, "gain")
    found = rule.untestable("1000 of 5000 steps")
    assert (found.verdict, found.reason) == ("not testable", "1000 of 5000 steps")
    assert (found.measured, found.threshold) == (rule.measured, rule.threshold)
    assert rule.untestable("") is rule
    assert every(losses(), "<", 0.005, "x").untestable("short").reason == "short; 1 of 6 networks do not"


# --- reports -----------------------------------------------------------------------------------------


def report():
    return [
        Claim.of("a | b", "paper", above(around(1.0), 0.0, "x"), "a caveat"),
        Claim.of("c", "paper", below(around(1.0), 0.0, "y")),
        Claim.of("d", "paper", below(around(1.0), 1.2, "y")),
        Claim.of("e", "paper", above([2.0], 0.0, "z"), "a caveat"),
        Claim.of("f", "paper", exact(0.2, "≥", 1.0, "parts")),
        Claim.of("g", "paper", every(losses(), "<", 0.01, "loss")),
        Claim.of("h", "paper", above([np.nan], 0.0, "z")),
    ]


def test_a_claim_keeps_what_its_rule_found():
    rule = above([2.0], 0.0, "z")
    claim = Claim.of("e", "paper", rule, "a caveat")
    assert (claim.verdict, claim.measured, claim.threshold) == rule[:3]
    assert claim.note == "a single seed; a caveat"


def test_markdown_says_what_each_interval_is():
    page = to_markdown("title", report(), ["remark"])
    assert "a \\| b" in page
    assert "| **holds** | 1 [0.5, 1.5] (95 % t); a caveat | x: interval above 0 |" in page
    assert "**undecided**" in page
    assert "| **not testable** | 2 (no interval); a single seed; a caveat |" in page
    assert "0.2 (exact)" in page
    assert "0.003667 [0.001, 0.009] (range)" in page
    assert "nan (no interval)" in page
    assert "- remark" in page


def test_json_holds_the_interval_and_its_kind():
    rows = json.loads(to_json("title", report(), []))["claims"]
    assert [row["verdict"] for row in rows] == [c.verdict for c in report()]
    assert (rows[0]["measured"], rows[0]["kind"]) == (pytest.approx(1.0), "95 % t")
    assert rows[0]["interval"] == pytest.approx([0.5, 1.5])
    assert (rows[4]["measured"], rows[4]["interval"], rows[4]["kind"]) == (0.2, None, "exact")
    assert rows[5]["kind"] == "range"
    assert (rows[6]["measured"], rows[6]["interval"]) == (None, None)


def test_the_terminal_shows_each_verdict():
    shown = to_terminal(report())
    for mark in ("✓ holds: a | b", "✗ refuted: c", "~ undecided: d", "? not testable: e"):
        assert mark in shown
    assert "measured 1 [0.5, 1.5] (95 % t); held against x: interval above 0; a caveat" in shown


def test_a_count_of_a_network_that_diverged_is_a_counterexample_and_no_number():
    counts = xr.DataArray(np.array([[3, 5], [4, -(2**31)]], np.int32), dims=("K", "seed"))
    assert every(counts, "<", 100, "neurons").verdict == "refuted"
    assert every(counts.isel(K=[0]), "<", 100, "neurons").verdict == "holds"
    assert below(xr.DataArray(np.full(3, -(2**31), np.int32), dims="seed"), 0, "neurons").verdict == "not testable"


def test_a_bootstrap_whose_statistic_has_no_value_decides_nothing():
    found = above(Interval(math.nan, 0.51, 0.6, "95 % percentile bootstrap"), 0.4, "crossing")
    assert (found.verdict, found.reason) == ("not testable", "nothing measured")
