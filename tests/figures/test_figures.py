"""Claims decide as they should on Datasets with planted answers; pictures carry their labels."""

import json
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax import figures, theory
from snljax.experiment import metrics_of
from snljax.figures import Computed, Sweep, Trace
from snljax.reproduce import grid_of, reproduce

mpl.use("Agg")


def _planted(constant=95.0, steps=5000, train_loss=0.001, over_pruned=True, spread=0.01):
    """A phase diagram with L_D = 2 on K = constant / sigma_p², and, if asked, above 2 under both lower curves.

    Three seeds, whose losses differ by the factor ``spread``.
    """
    sigma_p = np.linspace(0.05, 1.0, 20).round(3)
    k = np.arange(2, 201, 6)
    s, kk = np.meshgrid(sigma_p, k, indexing="ij")
    loss = 2 * kk * s**2 / constant
    if over_pruned:
        low = np.maximum(theory.topk_lower_boundary(s), theory.over_pruning_bound(s, 200))
        loss = np.where(kk <= low, 4.0, loss)
    seeds = np.stack([loss / (1 + spread), loss, loss * (1 + spread)], -1)
    dims = ("sigma_p", "K", "seed")
    coords = {"sigma_p": sigma_p, "K": k, "seed": [0, 1, 2]}
    data = {
        "test_loss": (dims, seeds),
        "train_loss": (dims, np.full_like(seeds, train_loss)),
        "status": (dims, np.ones(seeds.shape, np.int8)),
    }
    settings = {"steps": steps, "d": 200, "n": 200, "num_classes": 10}
    return xr.Dataset(data, coords, {"settings": json.dumps(settings)})


def _verdicts(ds):
    return {c.text: c.verdict for c in figures.get("topk-heatmap").claims({"fitted": ds})}


def test_all_claims_hold_where_the_paper_is_right():
    assert set(_verdicts(_planted()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"constant": 150.0}, "K·σ_p² = 95"),
        ({"train_loss": 0.5}, "training loss below"),
        ({"over_pruned": False}, "lower curve"),
        ({"over_pruned": False}, "over-pruning"),
        ({"constant": 500.0}, "dense network"),
    ],
)
def test_a_wrong_diagram_refutes_its_claim(change, claim):
    verdicts = _verdicts(_planted(**change))
    (found,) = [v for text, v in verdicts.items() if claim in text]
    assert found in ("refuted", "not testable")
    if claim != "K·σ_p² = 95" or change["constant"] < 190:
        assert found == "refuted"


def test_a_diverged_cell_is_not_trained():
    ds = _planted()
    ds.train_loss[3, 4, 0] = np.nan
    assert _verdicts(ds)["training loss below 0.01 in every cell"] == "refuted"


def test_reduced_steps_test_nothing():
    assert set(_verdicts(_planted(steps=1000)).values()) == {"not testable"}


def test_no_crossing_cannot_be_tested():
    verdicts = _verdicts(_planted(constant=5000.0, over_pruned=False))
    assert verdicts["upper boundary: K·σ_p² = 95"] == "not testable"


def test_seeds_that_straddle_a_threshold_decide_nothing():
    """The same means as where the paper is right."""
    verdicts = _verdicts(_planted(spread=0.1))
    assert verdicts["upper boundary: K·σ_p² = 95"] == "undecided"
    assert verdicts["at σ_p = 1 the dense network generalises badly"] == "holds"
    assert _verdicts(_planted(spread=1.5))["at σ_p = 1 the dense network generalises badly"] == "undecided"


def test_a_single_seed_tests_nothing():
    assert set(_verdicts(_planted().isel(seed=[1])).values()) == {"not testable"}


def _protocols(first, seeds=3):
    """Test loss over K: ``first`` at the smallest K, then 1 and 3, the same under all protocols."""
    loss = np.array([first, 1.0, 3.0])[None, None, :, None] * np.linspace(0.95, 1.05, seeds)
    dims = ("protocol", "sigma_p", "K", "seed")
    whole = np.broadcast_to(loss, (12, 1, 3, seeds))
    coords = {"sigma_p": [1.0], "K": [2, 20, 200], "seed": range(seeds)}
    return {"protocols": xr.Dataset({"test_loss": (dims, whole), "train_loss": (dims, 0 * whole)}, coords)}


@pytest.mark.parametrize(
    ("first", "seeds", "verdict"),
    [(3.0, 3, "holds"), (2.0, 3, "undecided"), (0.5, 3, "refuted"), (3.0, 1, "not testable")],
)
def test_a_lower_boundary_is_where_the_loss_falls_through_2(first, seeds, verdict):
    claims = figures.get("topk-protocols").claims(_protocols(first, seeds))
    assert [c.verdict for c in claims] == [verdict] * 12
    assert ("K = " in claims[0].note) == (first >= 2)  # where the mean crosses is told, and does not count


def _regimes(memorised=1.0, spread=0.1, seeds=4):
    """Three noise levels and two records; coefficients of the sizes that the theorems give."""
    n, d, num_classes = 200, 200, 10
    vary = 1 + spread * np.linspace(-1, 1, seeds)
    names = ("regime", "seed", "step", "class", "filter")
    shape = (3, seeds, 2, num_classes, 2)
    gamma = np.zeros((*shape, num_classes))
    own = np.arange(num_classes)
    scales = [float(theory.coefficient_ratio_scale(1.0, s, d, n, num_classes)) for s in (0.02, 1.0, 15.0)]
    for i, (learned, noise) in enumerate(((0.5, 0.5 / scales[0]), (0.1, 0.1), (0.5 * scales[2], memorised))):
        gamma[i][:, :, own, :, own] = learned * vary[:, None, None]
        scales[i] = (scales[i], noise)
    rho = np.stack([np.broadcast_to(noise * vary[:, None, None, None], shape[1:]) for _, noise in scales])[..., None]
    ratio = np.stack([np.broadcast_to(scale * vary[:, None], (seeds, 2)) for scale, _ in scales])
    variables = {
        "gamma": ((*names, "signal_of_class"), gamma),
        "rho_bar": ((*names, "sample"), rho),
        "rho_underbar": ((*names, "sample"), -rho),
        "test_loss": (names[:3], 3.0 * np.broadcast_to(vary[None, :, None], (3, seeds, 2))),
        **{f"coefficient_ratio{end}": (names[:3], ratio) for end in ("", "_low", "_high")},
    }
    coords = {"sigma_p": ("regime", [0.02, 1.0, 15.0]), "seed": range(seeds), "step": [0, 5]}
    settings = {"n": n, "d": d, "num_classes": num_classes}
    return {"without_pruning": xr.Dataset(variables, coords, {"settings": json.dumps(settings)})}


def test_the_theorems_without_pruning():
    found = figures.get("topk-heatmap").claims(_regimes())
    assert len(found) == 8
    assert {c.verdict for c in found} == {"holds"}
    undecided = [c for c in figures.get("topk-heatmap").claims(_regimes(spread=1.9)) if c.verdict == "undecided"]
    assert "low SNR memorises noise: min_j max_ri ρ = Ω(1)" in {c.text for c in undecided}
    refuted = [c for c in figures.get("topk-heatmap").claims(_regimes(memorised=0.05)) if c.verdict == "refuted"]
    assert [c.text for c in refuted] == ["low SNR memorises noise: min_j max_ri ρ = Ω(1)"]


@pytest.mark.parametrize("name", figures.NAMES)
def test_presets_make_grids(name):
    """Each is something to train, or a function with arguments that it takes, which `Computed` sees to."""
    figure = figures.get(name)
    assert {"quick", "paper"} <= set(figure.presets)
    for preset in figure.presets.values():
        for part in preset.values():
            if isinstance(part, Computed):
                continue
            grid = grid_of(part.sweep if isinstance(part, Trace) else part)
            assert grid.cells > 1
            if isinstance(part, Trace):
                assert len(grid.point_axes) == 2
                assert part.metric in metrics_of(grid.experiment)


def test_what_is_computed_names_arguments_that_there_are():
    with pytest.raises(TypeError, match="seed"):
        Computed(lambda dataset: dataset, dataset="digits", seed=3)


def test_a_sweep_with_changes_keeps_the_rest_and_its_order():
    sweep = Sweep("topk_pruning", reading="printed", record_every=5, sigma_p=[0.1, 0.2], seed=range(2), steps=10)
    changed = sweep.but(sigma_p=[0.3], steps=20, K=[3, 4])
    grid = grid_of(changed)
    assert (grid.reading, changed.record_every, grid.config.steps) == ("printed", 5, 20)
    assert list(grid.shape.items()) == [("sigma_p", 1), ("seed", 2), ("K", 2)]
    assert sweep.fields["steps"] == 10


def test_a_table_of_columns_moves_fields_together():
    grid = grid_of(Sweep("topk_pruning", level={"sigma_p": [0.1, 0.2], "K": [3, 4]}))
    assert grid.shape == {"level": 2}
    assert grid.axes[0].fields == {"sigma_p": (0.1, 0.2), "K": (3, 4)}


def test_listing_figures_is_light():
    heavy = ("jax", "matplotlib", "scipy", "xarray", "numpy")
    code = f"import sys; from snljax import figures; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_presets_and_pictures_need_no_jax():
    code = (
        "import sys; from snljax import figures; [figures.get(n) for n in figures.NAMES]; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_quick_heatmap_is_large_enough():
    grid = grid_of(figures.get("topk-heatmap").presets["quick"]["fitted"])
    assert min(grid.shape["sigma_p"], grid.shape["K"]) >= 12
    assert grid.shape["seed"] >= 2


def test_reproduce_writes_everything(tmp_path, monkeypatch):
    """End to end at toy size: the same sweeps, pictures and claims, on a smaller system."""
    figure = figures.get("topk-heatmap")
    toy = {"n": 30, "d": 20, "m": 2, "n_test": 50, "num_classes": 3, "steps": 20}
    sweeps = {label: sweep.but(**toy) for label, sweep in figure.presets["quick"].items()}
    sweeps["fitted"] = sweeps["fitted"].but(sigma_p=[0.1, 0.5, 1.0], K=[2, 10, 20])
    sweeps["without_pruning"] = sweeps["without_pruning"].but(record_every=10, K=20)
    monkeypatch.setitem(figure.presets, "quick", sweeps)
    report = reproduce("topk-heatmap", out=tmp_path, progress=False, devices=1)
    written = {p.name for p in report.files}
    assert written == {
        "fitted.nc", "without_pruning.nc", "topk-heatmap.png", "topk-heatmap.pdf", "claims.md", "claims.json",
    }  # fmt: skip
    assert all(p.stat().st_size > 0 for p in report.files)
    assert (tmp_path / "topk-heatmap-quick" / "topk-heatmap.png").read_bytes().startswith(b"\x89PNG")
    pdf = (tmp_path / "topk-heatmap-quick" / "topk-heatmap.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf
    xr.testing.assert_identical(
        xr.load_dataset(tmp_path / "topk-heatmap-quick" / "fitted.nc").test_loss, report.datasets["fitted"].test_loss
    )
    assert {c.verdict for c in report.claims} <= {"holds", "refuted", "undecided", "not testable"}
    assert set(report.seconds) == {"compile", "train", "draw"}


@pytest.mark.parametrize(("name", "near"), [("topk-heatmp", "topk-heatmap"), ("zzz", "allowed")])
def test_unknown_figure(name, near):
    with pytest.raises(ValueError, match=near):
        figures.get(name)


def test_unknown_preset(tmp_path):
    with pytest.raises(ValueError, match="preset: 'fast' is not known to topk-heatmap; allowed: quick, paper"):
        reproduce("topk-heatmap", "fast", out=tmp_path)


def test_reproduce_what_is_computed_without_training(tmp_path):
    """Picture, Dataset and claims, and no store."""
    report = reproduce("noise-correlation-matrix", out=tmp_path, progress=False)
    names = {p.name for p in report.files}
    assert names == {
        "digits.nc",
        "noise-correlation-matrix.png",
        "noise-correlation-matrix.pdf",
        "claims.md",
        "claims.json",
    }
    assert all(p.exists() for p in report.files)
    assert {p.name for p in (tmp_path / "noise-correlation-matrix-quick").iterdir()} == names | {"timing.json"}
    assert report.seconds["compile"] == 0 < report.seconds["train"]
    assert "digits: 1442 images" in (tmp_path / "noise-correlation-matrix-quick" / "claims.md").read_text()
