"""Claims of paper 001 decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from planted.building import dataset
from planted.heterogeneous_noise import SETTINGS, classes, plane, sizes, tails

from snljax import theory
from snljax.figures import heterogeneous_noise as figures

mpl.use("Agg")


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({}, []),
        ({"trained": 0.9}, ["fit their training data"]),
        ({"feature": -0.15}, ["rises with the feature strength", "as the feature gets stronger"]),
        ({"correlation": 0.5}, ["near-optimal"]),
        ({"correlation": -0.15}, ["rises with Γ", "near-optimal", "as Γ grows"]),
    ],
)
def test_figure_3(changes, refuted):
    claims = figures.check_noise({"fitted-gaussian": plane(**changes)})
    assert len(claims) == 6
    assert [c.text for c in claims if c.verdict == "refuted"] == [
        c.text for c in claims if any(part in c.text for part in refuted)
    ]
    (page,) = figures.draw_noise({"fitted-gaussian": plane(), "fitted-uniform": plane()}).values()
    titles = [ax.get_title() for ax in page.axes if ax.get_title()]
    assert titles == ["fitted, gaussian", "fitted, uniform"]


def test_a_single_seed_decides_nothing():
    claims = figures.check_noise({"fitted-gaussian": plane().isel(seed=[0])})
    assert {c.verdict for c in claims} == {"not testable"}


def test_a_fall_anywhere_is_a_fall():
    """One step in one row, though its ends rise; not one that 1000 test samples could show by chance."""
    for fall, expected in ((0.3, "refuted"), (0.02, "holds")):
        ds = plane()
        ds.test_accuracy[2, 3] = ds.test_accuracy[1, 3] - fall
        ds.test_accuracy[3, 3] = 0.999
        by_text = {c.text: c for c in figures.check_noise({"fitted-gaussian": ds})}
        found = by_text["at no Γ does test accuracy fall as the feature gets stronger"]
        assert found.verdict == expected
        assert f"-{fall:.2g}" in found.note
        assert found.threshold.endswith("interval above -0.02236, in each of 12 cells")


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ((1.0, 0.0), ["holds"] * 4),
        ((1.0, 1.0), ["holds", "holds", "holds", "refuted"]),
        ((0.25, 0.0), ["holds", "holds", "refuted", "holds"]),
        ((-0.5, -1.0), ["refuted"] * 4),
    ],
)
def test_figure_4(orders, expected):
    """S = n‖u‖⁴ and S = Γ, as Theorem 1 has them, and with n to other powers."""
    datasets = sizes(*orders)
    datasets |= {name.replace("fitted", "printed"): ds for name, ds in datasets.items()}
    claims = figures.check_size(datasets)
    assert [c.verdict for c in claims] == expected * 2
    for claim, order in zip(claims[2:4], orders, strict=True):
        assert claim.measured.mean == pytest.approx(-order, abs=0.03)
    (page,) = figures.draw_size(datasets).values()
    assert page.axes[0].get_title() == "fitted: (a) Γ = 1.2"
    assert len([ax for ax in page.axes if ax.get_title()]) == 4


def test_an_order_needs_every_size():
    """Where the fewest samples never get half-way, what they would need is unknown: left out it would look constant."""
    datasets = sizes()
    datasets["fitted-noise"] = datasets["fitted-noise"].copy(deep=True)
    datasets["fitted-noise"].test_accuracy[0] = 0.3
    claim = figures.check_size(datasets)[3]
    assert (claim.verdict, claim.measured.kind) == ("not testable", "95 % t")
    figures.draw_size(datasets)


def lines_of(ax):
    """Label without "Theorem 1" -> the border's x and y."""
    return {line.get_label().removeprefix("Theorem 1 "): np.array(line.get_data()) for line in ax.lines}


def test_theorem_1_on_figure_3():
    """Fitted where the planted mean crosses 0.9: before the largest ‖u‖, and before the largest Γ."""
    ds = plane()
    (page,) = figures.draw_noise({"fitted-gaussian": ds, "printed-gaussian": plane(0.3, 0.3)}).values()
    assert list(lines_of(page.axes[1])) == ["(2a), $C_1$ = 1"]  # accuracy stays below 0.9: nothing to fit to
    ax, mean = page.axes[0], ds.test_accuracy.mean("seed")
    found = lines_of(ax)
    one, feature, noise = found.values()
    assert list(found) == [
        "(2a), $C_1$ = 1",
        "(2a), $C_1$ fitted at noise_correlation = 1",
        r"(2b), $C_2$ fitted at u_norm = 0.001",
    ]
    assert [text.get_text() for text in page.legends[0].get_texts()] == [f"Theorem 1 {label}" for label in found]
    settings = (100, 1000, 5)
    for line in (one, feature):
        assert (line[1, 0], line[1, -1]) == (1, 1400)
    np.testing.assert_allclose(theory.signal_ratio(*one, *settings), 1.0)
    crossing = np.interp(0.9, mean.isel(noise_correlation=0), mean.u_norm)
    assert feature[0, 0] == pytest.approx(crossing)
    np.testing.assert_allclose(
        theory.signal_ratio(*feature, *settings), float(theory.signal_ratio(crossing, 1.0, *settings)), rtol=1e-9
    )
    assert noise[1].tolist() == [pytest.approx(np.interp(0.9, mean.isel(u_norm=0), mean.noise_correlation))] * 2
    image = ax.collections[0].get_datalim(ax.transData)
    assert (*ax.get_xlim(), *ax.get_ylim()) == pytest.approx((image.x0, image.x1, image.y0, image.y1))


def test_theorem_1_on_figure_4():
    """Planes with a crossing of 0.9 at 2 at the most samples, ‖u‖ in (a) and Γ in (b), and at the fewest as well."""
    sized = {"samples_per_class": [10, 100, 200], "seed": range(2)}

    def planted(along):
        accuracy = np.array([0.3, 0.9, 1.0])[None, :, None] * np.ones((3, 1, 2))
        coords = sized | {along: [1.0, 2.0, 3.0]}
        return dataset({"test_accuracy": accuracy}, ("samples_per_class", along, "seed"), coords, SETTINGS)

    datasets = {"fitted-feature": planted("u_norm"), "fitted-noise": planted("noise_correlation")}
    (page,) = figures.draw_size(datasets).values()
    one, fitted, halfway = lines_of(page.axes[0]).values()
    second, also = lines_of(page.axes[1]).values()
    for line in (halfway, also):  # where the colours are half-way between guessing and 1
        assert line[1].tolist() == [10, 100, 200]
        assert len({*line[0]}) == 1
        assert 1 < line[0, 0] < 2
    for line, constant in ((one, 1.0), (fitted, float(theory.signal_ratio(2.0, 1.2, 200, 1000, 5)))):
        assert (line[1, 0], line[1, -1]) == (10, 200)
        np.testing.assert_allclose(theory.signal_ratio(line[0], 1.2, line[1], 1000, 5), constant)
    assert fitted[0, -1] == pytest.approx(2.0)
    assert second[0].tolist() == [pytest.approx(2.0)] * 2
    labels = [text.get_text() for text in page.legends[0].get_texts()]
    assert [label.split(", ")[-1] for label in labels] == [
        "$C_1$ = 1",
        "$C_1$ fitted at samples_per_class = 200",
        "accuracy 0.6",
        "$C_2$ fitted at samples_per_class = 200",
    ]


@pytest.mark.parametrize(("slope", "expected"), [(-0.3, "holds"), (0.3, "refuted")])
def test_minority(slope, expected):
    claims = figures.check_minority(classes(slope))
    assert len(claims) == 3
    assert {c.verdict for c in claims} == {expected}
    (page,) = figures.draw_minority(classes(slope)).values()
    assert page.axes[0].get_xlabel() == "samples of each other class"
    labels = [text.get_text() for text in page.legends[0].get_texts()]
    assert labels == [f"noise_correlation = {gamma}" for gamma in (10, 100, 1400)]
    np.testing.assert_allclose(page.axes[0].lines[0].get_ydata(), 0.6 + slope * np.array([0, 0.5, 1]))
    np.testing.assert_allclose(page.axes[1].lines[0].get_ydata(), 0.6)


def test_long_tails():
    """Held to it where Γ is large, as the statement says, by either level; a fall over Γ is one among them all."""
    for slope, by_gamma, expected in ((0.2, 0.1, ["holds"] * 3), (-0.2, 0.1, ["refuted", "refuted", "holds"])):
        claims = figures.check_tail(tails(slope, by_gamma))
        assert [c.verdict for c in claims] == expected * 2
        assert [c.text.split("Γ = ")[-1] for c in claims[:2]] == ["100", "1400"]
    (letter, own) = ([c.source for c in claims if says in c.source] for says in ("to the letter", "own standard"))
    assert (len(letter), len(own)) == (3, 3)
    (page,) = figures.draw_tail(tails(0.2)).values()
    assert "level $L$" in page.axes[0].get_xlabel()
    assert "variance 1" in page.axes[1].get_xlabel()
    for ax, unit in zip(page.axes[:2], (1, 2), strict=True):
        assert [line.get_xdata().tolist() for line in ax.lines] == [[v / unit for v in (-1, 0, 1, 2, 3)]] * 4
