"""What is made of results in the shell: the page to look around in, tables for papers, a store that is waited for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import xarray as xr
from harness import POWERS

import snljax as snl
from snljax import cli


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """K by sigma_p by three seeds."""
    path = tmp_path_factory.mktemp("results") / "a.nc"
    dims = ("sigma_p", "K", "seed")
    loss = np.random.default_rng(0).uniform(1, 2, (2, 3, 3))
    variables = {"test_loss": (dims, loss), "status": (dims, np.ones(loss.shape, np.int8))}
    xr.Dataset(variables, {"sigma_p": [0.5, 1.0], "K": [4, 8, 16], "seed": range(3)}).to_netcdf(path)
    return path


def test_a_table_is_that_of_the_library(file, tmp_path, capsys):
    command = ["table", str(file), "--metric", "test_loss", "--rows", "K"]
    cli.main([*command, "--columns", "sigma_p"])
    assert capsys.readouterr().out == snl.to_latex(file, "test_loss", rows="K", columns="sigma_p")
    cli.main([*command, "--at", "sigma_p=0.5", "--format", "csv", "--out", str(tmp_path / "a.csv")])
    expected = snl.to_csv(xr.load_dataset(file), "test_loss", rows="K", at={"sigma_p": 0.5})
    assert (tmp_path / "a.csv").read_text() == expected


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (["--rows", "K"], "metric: not given; allowed: --metric, which a table needs"),
        (["--metric", "test_loss", "--rows", "K", "--format", "html"], "format: 'html'; allowed: latex, markdown, csv"),
        (["--metric", "test_loss", "--rows", "K"], "2 values of sigma_p, which is in neither"),
    ],
)
def test_a_table_that_cannot_be_made_is_one_line(file, rest, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["table", str(file), *rest])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("snljax: ")
    assert message in line


def test_a_report_is_written_over_itself_only(file, tmp_path, capsys):
    pytest.importorskip("bokeh", reason="there is no bokeh")
    out = tmp_path / "out" / "page.html"
    for title in ("first", "second"):
        cli.main(["report", str(file), str(file), "--out", str(out), "--level", "1.1", "--title", title])
        assert capsys.readouterr().out == f"wrote {out}\n"
    assert ">second</h1>" in out.read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["report", str(file), "--out", str(file)])
    assert stopped.value.code == 2


def test_watch_waits_for_a_store_that_is_not_there_yet(tmp_path, capsys):
    store = tmp_path / "later"

    def train():
        time.sleep(0.2)
        snl.sweep(snl.Grid(POWERS, rate=[0.5, 2.0]), store=store, devices=1, block=(1, 2), progress=False)

    training = threading.Thread(target=train)
    training.start()
    cli.main(["status", str(store), "--watch"])
    training.join()
    told = capsys.readouterr().out
    assert told.startswith(f"{store} is not there yet")
    assert f"{store} is there, after" in told
    assert "2 of 2 done (100.0 %)" in told
