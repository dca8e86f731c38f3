"""Claims decide as they should on Datasets with planted answers; pictures carry their labels."""

import json
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from snljax import figures, theory
from snljax.boundary import Interval
from snljax.figures import Computed, Sweep, topk_pruning
from snljax.figures import claims as claims_module
from snljax.figures.claims import Claim
from snljax.reproduce import grid_of, reproduce

mpl.use("Agg")


def _planted(constant=95.0, steps=5000, train_loss=0.001, over_pruned=True):
    """A phase diagram with L_D = 2 on K = constant / sigma_p², and, if asked, above 2 under both lower curves."""
    sigma_p = np.linspace(0.05, 1.0, 20).round(3)
    k = np.arange(2, 201, 6)
    s, kk = np.meshgrid(sigma_p, k, indexing="ij")
    loss = 2 * kk * s**2 / constant
    if over_pruned:
        low = np.maximum(theory.topk_lower_boundary(s), theory.over_pruning_bound(s, 200))
        loss = np.where(kk <= low, 4.0, loss)
    both = np.stack([loss, loss], -1)
    dims = ("sigma_p", "K", "seed")
    coords = {"sigma_p": sigma_p, "K": k, "seed": [0, 1]}
    data = {
        "test_loss": (dims, both),
        "train_loss": (dims, np.full_like(both, train_loss)),
        "status": (dims, np.ones(both.shape, np.int8)),
    }
    settings = {"steps": steps, "d": 200, "n": 200, "num_classes": 10}
    return xr.Dataset(data, coords, {"settings": json.dumps(settings)})


def _verdicts(ds):
    return {c.text: c.verdict for c in topk_pruning._heatmap_claims(ds, "fitted")}


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


def test_report_formats():
    claims = [
        Claim("a | b", "paper", "holds", Interval(1.0, 0.5, 1.5), "x > 0", "note"),
        Claim("c", "paper", "refuted", float("nan"), "y"),
    ]
    page = claims_module.to_markdown("title", claims, ["remark"])
    assert "a \\| b" in page
    assert "1 [0.5, 1.5] (note)" in page
    rows = json.loads(claims_module.to_json("title", claims, []))["claims"]
    assert rows[0]["measured"] == 1.0
    assert rows[0]["interval"] == [0.5, 1.5]
    assert rows[1]["measured"] is None
    assert "✗ refuted: c" in claims_module.to_terminal(claims)


@pytest.mark.parametrize("name", figures.NAMES)
def test_presets_make_grids(name):
    """Each is something to train, or a function with arguments that it takes, which `Computed` sees to."""
    figure = figures.get(name)
    assert {"quick", "paper"} <= set(figure.presets)
    for preset in figure.presets.values():
        for part in preset.values():
            if isinstance(part, Sweep):
                assert grid_of(part).cells > 1
            else:
                assert isinstance(part, Computed)


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
    assert {c.verdict for c in report.claims} <= {"holds", "refuted", "not testable"}
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
    assert {p.name for p in (tmp_path / "noise-correlation-matrix-quick").iterdir()} == names
    assert report.seconds["compile"] == 0 < report.seconds["train"]
    assert "digits: 1442 images" in (tmp_path / "noise-correlation-matrix-quick" / "claims.md").read_text()
