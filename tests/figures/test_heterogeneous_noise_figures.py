"""Claims of paper 001 decide as they should on Datasets with planted answers; pictures carry their labels."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax import theory
from snljax.figures import heterogeneous_noise as figures

mpl.use("Agg")

SETTINGS = {"num_classes": 5, "noise_correlation": 1.2, "samples_per_class": 100, "d": 1000}


def planted(values, coords, seeds=6, noise=0.01, **variables):
    """A Dataset of test accuracy, the same in every seed up to a little noise."""
    values = np.asarray(values, float)[..., None] + noise * np.random.default_rng(0).normal(
        size=(*np.shape(values), seeds)
    )
    dims = (*coords, "seed")
    data = {"test_accuracy": (dims, values), "status": (dims, np.ones(values.shape, np.int8))}
    return xr.Dataset(data | variables, coords | {"seed": range(seeds)}, {"settings": json.dumps(SETTINGS)})


def plane(feature=0.7, correlation=0.7, trained=1.0):
    """Accuracy .2 in the corner, and so much more along each axis."""
    u, gamma = np.linspace(0.001, 3.8, 4), np.linspace(1, 1400, 4)
    by_feature, by_noise = feature * (u / 3.8)[:, None], correlation * ((gamma - 1) / 1399)[None, :]
    larger = np.where(np.abs(by_feature) > np.abs(by_noise), by_feature, by_noise)
    ds = planted(0.2 + larger, {"u_norm": u, "noise_correlation": gamma})
    ds["train_accuracy"] = xr.full_like(ds.test_accuracy, trained)
    return ds


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({"correlation": 0.75}, []),
        ({"correlation": 0.75, "trained": 0.9}, ["fit their training data"]),
        ({"correlation": 0.75, "feature": -0.1}, ["rises with the feature strength"]),
        ({"correlation": 0.5}, ["near-optimal"]),
        ({"correlation": -0.1}, ["rises with Γ", "near-optimal"]),
    ],
)
def test_figure_3(changes, refuted):
    claims = figures.check_noise({"fitted-gaussian": plane(**changes)})
    assert len(claims) == 4
    assert [c.text for c in claims if c.verdict == "refuted"] == [
        c.text for c in claims if any(part in c.text for part in refuted)
    ]
    (page,) = figures.draw_noise({"fitted-gaussian": plane(), "fitted-uniform": plane()}).values()
    titles = [ax.get_title() for ax in page.axes if ax.get_title()]
    assert titles == ["fitted, gaussian", "fitted, uniform"]


def test_what_does_not_move_decides_nothing():
    """Nor does what a single seed shows."""
    verdicts = {c.text: c.verdict for c in figures.check_noise({"fitted-gaussian": plane(correlation=0.0)})}
    assert verdicts["test accuracy rises with Γ at the weakest feature"] == "undecided"
    claims = figures.check_noise({"fitted-gaussian": plane().isel(seed=[0])})
    assert {c.verdict for c in claims} == {"not testable"}


def by_size(slope, axis):
    n = np.array([10, 100, 200])
    accuracy = 0.5 + slope * (n - 10)[:, None] / 190 + np.zeros((3, 3))
    return planted(accuracy, {"samples_per_class": n, axis: [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("with_feature", "without", "expected"),
    [(0.4, 0.0, ["holds", "holds"]), (-0.1, 0.3, ["refuted", "refuted"]), (0.4, -0.2, ["holds", "refuted"])],
)
def test_figure_4(with_feature, without, expected):
    datasets = {
        f"{reading}-{part}": ds
        for reading in ("fitted", "printed")
        for part, ds in (
            ("feature", by_size(with_feature, "u_norm")),
            ("noise", by_size(without, "noise_correlation")),
        )
    }
    assert [c.verdict for c in figures.check_size(datasets)] == expected * 2
    (page,) = figures.draw_size(datasets).values()
    assert page.axes[0].get_title() == "fitted: (a) Γ = 1.2"
    assert len([ax for ax in page.axes if ax.get_title()]) == 4


def lines_of(ax):
    """Label without "Theorem 1" -> the border's x and y."""
    return {line.get_label().removeprefix("Theorem 1 "): np.array(line.get_data()) for line in ax.lines}


def test_theorem_1_on_figure_3():
    """Fitted where the planted mean crosses 0.9: at the largest ‖u‖ about, and before the largest Γ."""
    ds = plane(0.7, 0.75)
    (page,) = figures.draw_noise({"fitted-gaussian": ds, "printed-gaussian": plane(0.3, 0.3)}).values()
    assert list(lines_of(page.axes[1])) == ["(2a), $C_1$ = 1"]  # accuracy stays below 0.9: nothing to fit to
    ax, mean = page.axes[0], ds.test_accuracy.mean("seed")
    found = lines_of(ax)
    one, feature, noise = found.values()
    assert list(found) == [
        "(2a), $C_1$ = 1",
        "(2a), $C_1$ fitted at noise correlation = 1",
        r"(2b), $C_2$ fitted at u norm = 0.001",
    ]
    assert [text.get_text() for text in page.legends[0].get_texts()] == [f"Theorem 1 {label}" for label in found]
    sizes = (100, 1000, 5)
    for line in (one, feature):
        assert (line[1, 0], line[1, -1]) == (1, 1400)
    np.testing.assert_allclose(theory.signal_ratio(*one, *sizes), 1.0)
    crossing = np.interp(0.9, mean.isel(noise_correlation=0), mean.u_norm)
    assert feature[0, 0] == pytest.approx(crossing)
    np.testing.assert_allclose(
        theory.signal_ratio(*feature, *sizes), float(theory.signal_ratio(crossing, 1.0, *sizes)), rtol=1e-9
    )
    assert noise[1].tolist() == [pytest.approx(np.interp(0.9, mean.isel(u_norm=0), mean.noise_correlation))] * 2
    image = ax.collections[0].get_datalim(ax.transData)
    assert (*ax.get_xlim(), *ax.get_ylim()) == pytest.approx((image.x0, image.x1, image.y0, image.y1))


def test_theorem_1_on_figure_4():
    """Planes with a crossing of 0.9 at 2 at the most samples, ‖u‖ in (a) and Γ in (b), and at the fewest as well."""
    n, accuracy = np.array([10, 100, 200]), np.array([0.8, 0.9, 1.0])
    sized = {"samples_per_class": n}
    feature = planted(np.tile(accuracy, (3, 1)), sized | {"u_norm": [1.0, 2.0, 3.0]}, noise=0)
    noise = planted(np.tile(accuracy, (3, 1)), sized | {"noise_correlation": [1.0, 2.0, 3.0]}, noise=0)
    (page,) = figures.draw_size({"fitted-feature": feature, "fitted-noise": noise}).values()
    one, fitted = lines_of(page.axes[0]).values()
    (second,) = lines_of(page.axes[1]).values()
    for line, constant in ((one, 1.0), (fitted, float(theory.signal_ratio(2.0, 1.2, 200, 1000, 5)))):
        assert (line[1, 0], line[1, -1]) == (10, 200)
        np.testing.assert_allclose(theory.signal_ratio(line[0], 1.2, line[1], 1000, 5), constant)
    assert fitted[0, -1] == pytest.approx(2.0)
    assert second[0].tolist() == [pytest.approx(2.0)] * 2
    labels = [text.get_text() for text in page.legends[0].get_texts()]
    assert [label.split(", ")[1] for label in labels] == [
        "$C_1$ = 1",
        "$C_1$ fitted at samples per class = 200",
        "$C_2$ fitted at samples per class = 200",
    ]


def classes(slope):
    """Accuracy of each class over the size of the majority; class 0 moves by slope."""
    ds = planted(np.zeros((3, 2)), {"majority": [50, 100, 200], "noise_correlation": [10.0, 100.0]})
    rng = np.random.default_rng(0)
    accuracy = 0.8 + 0.01 * rng.normal(size=(3, 2, 6, 5))
    accuracy[..., 0] += slope * np.array([0, 0.5, 1])[:, None, None]
    ds = ds.drop_vars("majority").assign_coords(samples_per_class=("majority", [50, 100, 200]))
    return ds.assign(class_accuracy=(("majority", "noise_correlation", "seed", "class"), accuracy))


@pytest.mark.parametrize(("slope", "expected"), [(-0.4, "holds"), (0.3, "refuted")])
def test_minority(slope, expected):
    claims = figures.check_minority({"fitted": classes(slope)})
    assert len(claims) == 2
    assert {c.verdict for c in claims} == {expected}
    (page,) = figures.draw_minority({"fitted": classes(slope)}).values()
    assert page.axes[0].get_xlabel() == "samples of each other class"
    assert [t.get_text() for t in page.legends[0].get_texts()] == ["noise correlation = 10", "noise correlation = 100"]
    np.testing.assert_allclose(page.axes[0].lines[0].get_ydata(), 0.8 + slope * np.array([0, 0.5, 1]), atol=0.02)
    np.testing.assert_allclose(page.axes[1].lines[0].get_ydata(), 0.8, atol=0.02)


def tails(slope):
    ds = planted(np.zeros(2), {"noise_correlation": [1.0, 400.0]})
    bins = np.arange(5)
    accuracy = 0.5 + slope * bins / 4 + 0.01 * np.random.default_rng(0).normal(size=(2, 6, 5))
    dims = ("noise_correlation", "seed", "tail_bin")
    return ds.assign(tail_accuracy=(dims, accuracy), tail_level=(dims, np.broadcast_to(bins - 1.0, accuracy.shape)))


def test_long_tails():
    """Decided where Γ is large, as the statement says."""
    assert [c.verdict for c in figures.check_tail({"fitted": tails(0.3)})] == ["not testable", "holds"]
    assert [c.verdict for c in figures.check_tail({"fitted": tails(-0.3)})][1] == "refuted"
    (page,) = figures.draw_tail({"fitted": tails(0.3)}).values()
    assert "level $L$" in page.axes[0].get_xlabel()
    assert [line.get_xdata().tolist() for line in page.axes[0].lines] == [[-1, 0, 1, 2, 3]] * 2
