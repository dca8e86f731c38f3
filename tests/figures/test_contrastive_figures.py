"""Claims of paper 004 decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from planted.contrastive import bridge, neurons, regime, stages, trends

from snljax import figures, theory
from snljax.figures import contrastive, contrastive_pruning

mpl.use("Agg")

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
        assert {round(abs(c.measured.mean), 1) for c in claims} == {0.4 if sign > 0 else 0.5}  # the step that decides
        slopes = {abs(float(c.note.split("slope ")[1].split()[0])) for c in claims}
        assert max(abs(slope - 1) for slope in slopes) < 0.02
    assert {"NSR = 0.45", "NSR = 1.25"} == {c.text.split(" at ")[-1] for c in claims}


def test_trends_of_a_single_seed_are_not_testable():
    claims = [c for name in TREND_FIGURES for c in figures.get(name).claims({"fitted": trends(seeds=1)})]
    assert {c.verdict for c in claims} == {"not testable"}


def test_trends_are_called_as_the_metric_calls_itself():
    ds = trends()
    ds.regression_mse.attrs["long_name"] = "error of the probe"
    (first, _) = figures.get("contrastive-regression").claims({"fitted": ds})
    assert first.text == "fitted: error of the probe falls consistently with ε_min at NSR = 0.45"
    (page,) = figures.get("contrastive-regression").draw({"fitted": ds}).values()
    assert page.axes[0].get_ylabel() == "error of the probe"


def test_trend_pages_have_one_curve_for_each_noise_level():
    (page,) = figures.get("contrastive-alignment").draw({"fitted": trends()}).values()
    assert [len(ax.lines) for ax in page.axes] == [2, 2]
    assert {text.get_text() for ax in page.axes for text in ax.texts} == {"trend holds at 2 of 2 NSR"}
    assert [t.get_text() for t in page.legends[0].get_texts()] == ["NSR = 0.45", "NSR = 1.25"]


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


# --- pruning ------------------------------------------------------------------------------------------


def verdicts(claims):
    return [claim.verdict for claim in claims]


def test_pruning_in_the_regime():
    """Lucky neurons grow by e in 500 steps more than without pruning, others not; in the end all weigh the same."""
    claims = contrastive_pruning.check_pruning({"regime": regime()})
    assert verdicts(claims) == ["holds"] * 9
    assert claims[0].measured.mean == pytest.approx(1 / 500, rel=1e-3)
    rate = 0.02 * 0.06 * 3 / 6 * np.array([0.2, 0.5]) ** 2
    assert claims[1].measured.mean == pytest.approx(1 / 500 / rate[1], rel=1e-3)  # the cell that is nearer to 0.1
    assert claims[6].measured.mean == pytest.approx(1.0, rel=1e-3)
    assert "without pruning 0.2, 0.5 at ε_min = 0.2, 0.5" in claims[6].note


@pytest.mark.parametrize(
    ("change", "refuted"),
    [
        ({"faster": -0.5}, [0, 1, 2, 3, 4, 5]),
        ({"slower": 1.0, "even": 1.0}, [5]),
        ({"even": 0.6}, [6]),
        ({"other": 0.9}, [7]),
        ({"affected": 0.2}, [4]),
    ],
)
def test_what_refutes_a_sentence_of_the_theorem(change, refuted):
    found = verdicts(contrastive_pruning.check_pruning({"regime": regime(**change)}))
    assert [i for i, verdict in enumerate(found) if verdict == "refuted"] == refuted


def test_the_page_of_the_regime():
    (page,) = contrastive_pruning.draw_pruning({"other sizes": regime()}).values()
    assert len(page.axes) == 4
    labels = [text.get_text() for text in page.legends[0].get_texts()]
    assert set(contrastive_pruning.PROTOCOLS) < set(labels)
    floor = theory.collision_floor(8, [0.06, 0.06, 0.06 * 0.5])
    (line,) = [line for line in page.axes[3].lines if line.get_label() == "collision floor"]
    assert line.get_ydata() == pytest.approx([floor] * 2)


def test_the_bridge_counts_settings_by_what_there_is_before_pruning():
    claims = contrastive_pruning.check_bridge({"m = 3d": bridge()})
    assert verdicts(claims) == ["holds"] * 12
    assert [round(claim.measured.mean, 6) for claim in claims] == [0.2] * 9 + [round(2.5 / 3, 6), 0.2, 0.2]
    assert [claim.note.split(":")[0] for claim in claims[:9:3]] == ["1 of 3 settings"] * 3
    claims = contrastive_pruning.check_bridge({"m = 3d": bridge(neurons=[0.0, 0.0, 0.0])})
    assert verdicts(claims) == ["not testable"] * 6 + ["holds"] * 3 + ["not testable"] * 3
    (page,) = contrastive_pruning.draw_bridge({"m = 3d": bridge()}).values()
    assert len(page.axes[2].collections) == 5
