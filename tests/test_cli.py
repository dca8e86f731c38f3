"""The command line: what a stranger types, and one line with exit code 2 for every mistake."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from snljax import cli

SIZES = {"n": 12, "n-test": 20, "d": 16, "m": 2, "num-classes": 3, "steps": 6, "devices": 1}
TOY = [*(text for name, value in SIZES.items() for text in (f"--{name}", str(value))), "--quiet"]


def _fails(capsys, *argv):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["run", "topk_prunning"], ["topk_prunning", "did you mean 'topk_pruning'"]),
        (["run", "topk_pruning", "--sigma-q", "1"], ["--sigma-q", "did you mean --sigma-"]),
        (["run", "topk_pruning", "--K", "0", "10"], ["K", "0", "[1, d]"]),
        (["run", "topk_pruning", "--K", "201"], ["K", "201", "d = 200"]),
        (["run", "topk_pruning", "--sigma-p", "-1"], ["sigma_p", "-1", "[0, inf)"]),
        (["run", "topk_pruning", "--sigma-p", "nan"], ["sigma_p", "nan", "finite"]),
        (["run", "topk_pruning", "--sigma-p", "0.1", "0.1"], ["sigma_p", "0.1", "repeated"]),
        (["run", "topk_pruning", "--sigma-p", "much"], ["sigma_p", "'much'", "a number"]),
        (["run", "topk_pruning", "--seed", "0.5", "1"], ["seed", "0.5", "whole number"]),
        (["run", "topk_pruning", "--steps", "10", "20"], ["steps", "record_every"]),
        (["run", "topk_pruning", "--regrow", "false"], ["regrow", "descent='dense'"]),
        (["run", "topk_pruning", "--descent", "spam"], ["descent", "did you mean 'span'"]),
        (["run", "topk_pruning", "--reading", "fited"], ["reading", "did you mean 'fitted'"]),
        (["run", "topk_pruning", "--memory", "lots"], ["memory", "'lots'", "2GB"]),
        (["run", "topk_pruning", "--block", "0", "4"], ["block", "(0, 4)"]),
        (["run", "topk_pruning", "--devices", "99"], ["devices", "99"]),
        (["run", "topk_pruning", "--precision", "half"], ["precision", "'half'", "tf32"]),
        (["run", "topk_pruning", "--record-every", "0"], ["record_every", "0"]),
        (["run", "topk_pruning", "--out", "a.csv"], ["out", "a.csv", ".nc"]),
        (["run", "missing.toml"], ["missing.toml", "No such file"]),
        (["run"], ["required"]),
        (["reproduce", "topk-heatmaps"], ["did you mean 'topk-heatmap'"]),
        (["reproduce", "topk-heatmap", "--preset", "fast"], ["preset", "'fast'", "quick, paper"]),
        (["plot", "missing.nc"], ["missing.nc", "netCDF"]),
        (["paint"], ["paint", "reproduce"]),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, monkeypatch, argv, parts):
    monkeypatch.chdir(tmp_path)
    error = _fails(capsys, *argv)
    for part in parts:
        assert part in error


def test_budget_too_small(capsys, tmp_path):
    out = str(tmp_path / "a.nc")
    assert "cannot hold one network" in _fails(
        capsys, "run", "topk_pruning", *TOY, "--K", "4", "--memory", "1KB", "--out", out
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('experiment = "topk_pruning"\n[axes]\nsigma_p = [0.1', "not valid TOML"),
        ('experiment = "topk_pruning"\n[axis]\nK = [1, 2]', "did you mean 'axes'"),
        ('experiment = "topk_pruning"\n[axes]\nsigmap = [0.1]', "did you mean 'sigma_p'"),
        ('experiment = "topk_pruning"\n[axes]\nK = {start = 1, stop = 5, nun = 2}', "nun"),
        ("[axes]\nK = [1, 2]", "no experiment"),
    ],
)
def test_toml_mistakes_are_one_line(capsys, tmp_path, text, part):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    assert part in _fails(capsys, "run", str(path))


def test_run_and_plot(capsys, tmp_path):
    out = tmp_path / "sub" / "a.nc"
    cli.main(
        [
            "run",
            "topk_pruning",
            "--sigma-p",
            "0.1",
            "0.5",
            "--K",
            "3",
            "16",
            "--seed",
            "0",
            "1",
            *TOY,
            "--out",
            str(out),
        ]
    )
    ds = xr.load_dataset(out)
    assert dict(ds.sizes) == {"sigma_p": 2, "K": 2, "seed": 2}
    assert np.isfinite(ds.test_loss).all()
    cli.main(["plot", str(out), "--threshold", "1", "--log"])
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert "allowed: train_loss" in _fails(capsys, "plot", str(out), "--metric", "loss")
    assert "no dimension" in _fails(capsys, "plot", str(out), "--x", "mu")


def test_toml_gives_the_same_numbers_as_options(tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text(
        'experiment = "topk_pruning"\n[settings]\nn = 12\nn_test = 20\nd = 16\nm = 2\nnum_classes = 3\nsteps = 6\n'
        "[axes]\nsigma_p = {start = 0.1, stop = 0.5, num = 2}\nK = [3, 16]\n"
    )
    common = ["--devices", "1", "--quiet", "--block", "1", "4"]
    cli.main(["run", str(grid), *common, "--out", str(tmp_path / "a.nc")])
    cli.main(["run", "topk_pruning", "--sigma-p", "0.1", "0.5", "--K", "3", "16", *TOY, "--block", "1", "4",
              "--out", str(tmp_path / "b.nc")])  # fmt: skip
    a, b = (xr.load_dataset(tmp_path / f"{name}.nc") for name in "ab")
    xr.testing.assert_equal(a, b)


def test_list_and_help_name_everything(capsys):
    cli.main(["list"])
    listed = capsys.readouterr().out
    for name in ("topk_pruning", "topk-heatmap", "topk-boundary", "topk-protocols"):
        assert name in listed
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "topk_pruning", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--sigma-p", "--K", "--prune-every", "--relu-grad-at-zero", "--seed", "--reading"):
        assert flag in shown


def test_doctor_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "snljax.cli", "doctor"], capture_output=True, text=True, check=True)
    assert "as it should" in done.stdout
