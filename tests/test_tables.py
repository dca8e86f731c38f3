"""Tables for papers: numbers to the digits that they have, bold by the paired test, text that TeX takes."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t, ttest_rel

import snljax as snl
from snljax.tables import rounded
from snljax.variables import DIVERGED, DONE, PENDING

METHODS = ["plain", "pruned", "a_b & c"]


def dataset(values, **attrs):
    """Of a method, K and a seed; NaN is pending."""
    values = np.asarray(values, float)
    status = np.where(np.isnan(values), PENDING, DONE).astype(np.int8)
    dims = ("way", "K", "seed")
    coords = {
        "way": METHODS[: len(values)],
        "K": ("K", [10 * (k + 1) for k in range(values.shape[1])], {"long_name": "$K$"}),
        "seed": range(values.shape[2]),
    }
    return xr.Dataset({"test_accuracy": (dims, values, attrs), "status": (dims, status)}, coords)


def planted():
    """Seeds move all methods alike, so that a paired test tells apart what intervals do not: by 0.02, or by chance."""
    seeds = np.array([-0.10, -0.05, 0.0, 0.05, 0.10])
    small = np.array([1, -2, 3, -1, -1]) * 1e-3
    return dataset([[0.70 + seeds, 0.70 + seeds], [0.72 + seeds + small, 0.7001 + seeds - small]])


def read(ds, **options):
    return list(csv.DictReader(io.StringIO(snl.to_csv(ds, "test_accuracy", rows="way", columns="K", **options))))


def test_mean_and_half_width_are_those_of_the_t_interval():
    ds = planted()
    values = ds.test_accuracy.sel(way="pruned", K=10).values
    half = t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
    (row,) = [row for row in read(ds) if (row["way"], row["K"]) == ("pruned", "10")]
    assert float(row["mean"]) == pytest.approx(values.mean())
    assert float(row["half_width"]) == pytest.approx(half)
    assert f"{values.mean():.3f} ± {half:.3f}" in snl.to_markdown(ds, "test_accuracy", rows="way", columns="K")


def test_bold_is_the_best_and_what_the_paired_test_cannot_tell_from_it():
    """K = 10: 0.02 apart in every seed, which intervals of ± 0.1 would not see. K = 20: chance."""
    rows = read(planted())
    assert {(r["way"], r["K"]) for r in rows if r["best"] == "true"} == {
        *(("pruned", "10"), ("pruned", "20"), ("plain", "20"))
    }
    ps = [
        ttest_rel(*planted().test_accuracy.sel(K=k).transpose("way", "seed").values).pvalue for k in (10, 20)
    ]  # Holm: the smaller of two times two
    found = {r["K"]: float(r["p_adjusted"]) for r in rows if r["way"] == "plain"}
    assert found == {"10": pytest.approx(2 * ps[0]), "20": pytest.approx(max(2 * ps[0], ps[1]))}


def test_the_better_side_follows_from_the_name_or_is_asked_for():
    ds = planted().rename(test_accuracy="test_loss")
    low = snl.to_latex(ds, "test_loss", rows="way", columns="K").splitlines()
    assert [line.count("mathbf") for line in low if line.startswith(("plain", "pruned"))] == [2, 1]
    other = planted().rename(test_accuracy="signal")
    assert "mathbf" not in snl.to_latex(other, "signal", rows="way", columns="K")
    assert "bold" not in snl.to_markdown(other, "signal", rows="way", columns="K")
    assert "mathbf" in snl.to_latex(other, "signal", rows="way", columns="K", best="max")


def test_competitors_are_chosen_by_among():
    """Among K, within a method."""
    rows = read(planted(), among="K")
    assert {(r["way"], r["K"]) for r in rows if r["best"] == "true"} == {
        *(("plain", "10"), ("plain", "20"), ("pruned", "10"))
    }


def test_diverged_and_pending_entries_say_so_and_are_never_best():
    ds = planted()
    status = ds.status.copy()
    status[1, 0, 0] = DIVERGED  # of the better method
    status[0, 1] = PENDING
    status[1, 1, 2:] = PENDING
    ds = ds.assign(status=status, test_accuracy=ds.test_accuracy.where(status == DONE))
    table = snl.to_markdown(ds, "test_accuracy", rows="way", columns="K")
    pruned, plain = (next(line for line in table.splitlines() if name in line) for name in ("pruned", "plain"))
    assert re.search(r"\(1 diverged\) .*\(3 pending\)", pruned)
    assert "**" not in pruned
    assert plain.count("**") == 2  # alone among those that are whole
    assert plain.endswith("| pending |")
    (row,) = [r for r in read(ds) if (r["way"], r["K"]) == ("plain", "20")]
    assert (row["mean"], row["half_width"], row["seeds"], row["pending"]) == ("", "", "0", "5")


def test_a_single_seed_has_no_half_width_and_nothing_bold():
    table = snl.to_latex(planted().isel(seed=[2]), "test_accuracy", rows="way", columns="K")
    assert r"\pm" not in table
    assert "mathbf" not in table
    assert table.startswith("% a single seed")
    assert snl.to_latex(planted().isel(seed=2), "test_accuracy", rows="way", columns="K") == table


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (0.51249, 0.0234, ("0.512", "0.023", 0)),
        (0.5, 0.0996, ("0.50", "0.10", 0)),  # 0.0996 is 0.10, not 0.100
        (4563.0, 123.0, ("4560", "120", 0)),
        (12.0, 9.96, ("12", "10", 0)),
        (-0.0003, 0.002, ("-0.0003", "0.0020", 0)),
        (2.3e-7, 4.1e-9, ("2.300", "0.041", -7)),
        (1.5e8, 2.0e6, ("1.500", "0.020", 8)),
        (1.0, 0.0, ("1", "0", 0)),
        (0.0, float("nan"), ("0", "", 0)),
        (2 / 3, float("inf"), ("0.6667", "", 0)),
    ],
)
def test_numbers_have_the_digits_that_their_half_width_leaves(mean, half, shown):
    assert rounded(mean, half) == shown


def test_recorded_steps_are_the_last_and_other_dimensions_must_be_said():
    ds = xr.concat([planted() - 0.3, planted()], "step").assign_coords(step=[0, 100])
    ds["status"] = planted().status
    assert snl.to_csv(ds, "test_accuracy", rows="way", columns="K") == snl.to_csv(
        planted(), "test_accuracy", rows="way", columns="K"
    )
    with pytest.raises(ValueError, match=r"rows, columns: test_accuracy has 2 values of K.*allowed: K in one of them"):
        snl.to_csv(planted(), "test_accuracy", rows="way")
    assert snl.to_csv(planted(), "test_accuracy", rows="way", at={"K": "20"}).count("test_accuracy") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "loss"}, "metric: 'loss' is not known.*test_accuracy"),
        ({"rows": "methods"}, "rows, columns: 'methods' is no dimension"),
        ({"columns": "way"}, "'way' is no dimension of test_accuracy, or named twice"),
        ({"among": "seed"}, "among: 'seed'; allowed: way, K"),
        ({"best": "low"}, "best: 'low'; allowed: max, min"),
        ({"at": {"K": 15}}, "at: K = 15 is not there; allowed: 10, 20"),
        ({"level": 95}, "level: 95"),
    ],
)
def test_what_is_not_there_is_named(options, message):
    asked = {"metric": "test_accuracy", "rows": "way", "columns": "K", **options}
    with pytest.raises(ValueError, match=message):
        snl.to_latex(planted(), asked.pop("metric"), **asked)


def several():
    ds = dataset(np.arange(24.0).reshape(3, 2, 4) / 30, long_name="share of 50 % & more")
    return ds.assign(test_loss=ds.test_accuracy + 1)


def test_latex_escapes_text_and_leaves_formulas():
    table = snl.to_latex(several(), ["test_accuracy", "test_loss"], rows="way", columns="K")
    assert r"a\_b \& c & " in table
    assert r"\multicolumn{2}{c}{share of 50 \% \& more}" in table
    assert r"$K$ = 10" in table
    body = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body[1:]} == {4}  # five columns in all
    assert table.count("{") == table.count("}")
    assert table.count("$") % 2 == 0
    assert "\n\n" not in table


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles(tmp_path):
    table = snl.to_latex(several(), ["test_accuracy", "test_loss"], rows="way", columns="K")
    text = f"\\documentclass{{article}}\\usepackage{{booktabs,amsmath}}\\begin{{document}}{table}\\end{{document}}"
    (tmp_path / "a.tex").write_text(text)
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "a.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_a_file_is_a_source(tmp_path):
    several().to_netcdf(tmp_path / "a.nc")
    assert snl.to_latex(tmp_path / "a.nc", "test_loss", rows=["way", "K"]) == snl.to_latex(
        several(), "test_loss", rows=["way", "K"]
    )
