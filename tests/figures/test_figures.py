"""Claims decide as they should on Datasets with planted answers; pictures carry their labels."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from planted.building import spread
from planted.topk import diagram, protocols, regimes

from snljax import figures
from snljax.experiment import metrics_of
from snljax.figures import Computed, Sweep, Trace
from snljax.reproduce import grid_of, reproduce

mpl.use("Agg")


def _verdicts(ds):
    return {c.text: c.verdict for c in figures.get("topk-heatmap").claims({"fitted": ds})}


def test_all_claims_hold_where_the_paper_is_right():
    assert set(_verdicts(diagram()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"constant": 150.0}, "K·σ_p² = 95"),
        ({"train_loss": 0.5}, "training loss below"),
        ({"over_pruned": (0, 0, 0)}, "lower curve"),
        ({"over_pruned": (0, 0, 0)}, "over-pruning"),
        ({"constant": 500.0}, "dense network"),
    ],
)
def test_a_wrong_diagram_refutes_its_claim(change, claim):
    verdicts = _verdicts(diagram(**change))
    (found,) = [v for text, v in verdicts.items() if claim in text]
    assert found in ("refuted", "not testable")
    if claim != "K·σ_p² = 95" or change["constant"] < 190:
        assert found == "refuted"


def test_a_diverged_cell_is_not_trained():
    ds = diagram()
    ds.train_loss[3, 4, 0] = np.nan
    assert _verdicts(ds)["training loss below 0.01 in every cell"] == "refuted"


def test_reduced_steps_test_nothing():
    assert set(_verdicts(diagram(steps=1000)).values()) == {"not testable"}


def test_no_crossing_cannot_be_tested():
    verdicts = _verdicts(diagram(constant=5000.0, over_pruned=(0, 0, 0)))
    assert verdicts["upper boundary: K·σ_p² = 95"] == "not testable"


@pytest.mark.filterwarnings("ignore:boundary")  # some seeds' crossings lie beyond the axis
def test_seeds_that_straddle_a_threshold_decide_nothing():
    """The same means as where the paper is right."""
    verdicts = _verdicts(diagram(factors=spread(3, 0.1)))
    assert verdicts["upper boundary: K·σ_p² = 95"] == "undecided"
    assert verdicts["at σ_p = 1 the dense network has a test loss above 2"] == "holds"
    wide = _verdicts(diagram(factors=spread(3, 0.9)))
    assert wide["at σ_p = 1 the dense network has a test loss above 2"] == "undecided"


def test_a_single_seed_tests_nothing():
    assert set(_verdicts(diagram().isel(seed=[1])).values()) == {"not testable"}


@pytest.mark.parametrize(
    ("first", "seeds", "verdict"),
    [(3.0, 3, "holds"), (2.0, 3, "undecided"), (0.5, 3, "refuted"), (3.0, 1, "not testable")],
)
def test_a_lower_boundary_is_where_the_loss_falls_through_2(first, seeds, verdict):
    claims = figures.get("topk-protocols").claims(protocols(first, seeds))
    assert [c.verdict for c in claims] == [verdict] * 9
    assert ("K = " in claims[0].note) == (first > 2)  # told where each seed crosses, and does not count


def test_the_theorems_without_pruning():
    def claims(**change):
        return figures.get("topk-heatmap").claims({"without_pruning": regimes(**change)})

    assert len(claims()) == 9
    assert {c.verdict for c in claims()} == {"holds"}
    refuted = [c for c in claims(memorised=0.05) if c.verdict == "refuted"]
    assert [c.text for c in refuted] == ["low SNR memorises noise: min_j max_ri ρ = Ω(1)"]
    refuted = [c for c in claims(bound=2.0) if c.verdict == "refuted"]
    assert [c.text for c in refuted] == ["high SNR generalises: L_D ≤ 8e⁴ 𝒯 L_S + exp(−n²)"]


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
