"""A heatmap that fills while a sweep runs: drawn again, not too often, and whole at the end."""

from __future__ import annotations

import time

import nbformat
import numpy as np
import pytest
import xarray as xr
from nbclient import NotebookClient

import snljax as snl
from snljax.variables import DONE, PENDING

SETTINGS = "steps=3, n=8, n_test=10, d=16, m=2, num_classes=2"


def partial(done):
    """So many columns of four are done."""
    status = np.where(np.arange(4)[:, None, None] < done, DONE, PENDING) * np.ones((4, 3, 2), np.int8)
    loss = np.where(status == DONE, np.arange(24.0).reshape(4, 3, 2), np.nan)
    dims = ("sigma_p", "K", "seed")
    return xr.Dataset(
        {"test_loss": (dims, loss), "status": (dims, status.astype(np.int8))}, {"sigma_p": range(4), "K": [1, 2, 4]}
    )


class Shown:
    """Stands for the output of a notebook."""

    def __init__(self):
        self.figures = []

    def __call__(self, figure):
        self.figures.append(figure)
        return self

    def update(self, figure):
        self.figures.append(figure)

    def titles(self):
        return [figure.axes[0].get_title() for figure in self.figures]


def listener(shown, **options):
    return snl.live("test_loss", x="sigma_p", y="K", display=shown, **options)


def test_the_first_is_shown_and_the_others_replace_it():
    shown = Shown()
    draws = listener(shown, every=0, threshold=5.0)
    for done in (0, 1, 2, 4):
        draws(partial(done))
    assert shown.titles() == [f"{n} of 24 networks" for n in (0, 6, 12, 24)]
    assert draws.pictures == 4
    mesh = shown.figures[-1].axes[0].collections[0].get_array()
    assert mesh.ravel().tolist() == partial(4).test_loss.mean("seed").transpose("K", "sigma_p").values.ravel().tolist()


def test_it_draws_no_more_often_than_asked_but_always_the_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = Shown()
    draws = listener(shown)
    for moment, done in ((0.0, 1), (0.4, 2), (0.9, 2), (1.1, 3), (1.2, 4)):
        now[0] = moment
        draws(partial(done))
    assert shown.titles() == [f"{n} of 24 networks" for n in (6, 18, 24)]
    draws.draw(partial(2))
    assert len(shown.figures) == 4


def test_of_recorded_steps_the_last_and_of_others_one():
    shown = Shown()
    ds = partial(4)
    ds["test_loss"] = ds.test_loss.expand_dims(step=[0, 5]) + xr.DataArray([0.0, 100.0], dims="step")
    listener(shown)(ds)
    assert shown.figures[0].axes[0].collections[0].get_array().min() > 99
    with pytest.raises(ValueError, match=r"x, y: sigma_p, mu of test_loss.*allowed: two of them"):
        snl.live("test_loss", x="sigma_p", y="mu", display=shown)(partial(4))
    with pytest.raises(ValueError, match=r"metric: 'loss' is not known.*did you mean 'test_loss'"):
        snl.live("loss", x="sigma_p", y="K", display=shown)(partial(4))


def test_outside_a_notebook_one_line_says_so():
    with pytest.raises(ValueError, match="live: there is no notebook here; allowed: inside Jupyter"):
        snl.live("test_loss", x="sigma_p", y="K")


def test_in_a_notebook_one_output_is_updated(tmp_path, monkeypatch):
    """Executed by a kernel: one picture below the cell, replaced by display updates, the last of them whole."""
    code = f"""
import snljax as snl
grid = snl.Grid("topk_pruning", sigma_p=[0.3, 0.6, 1.0], K=[4, 8], {SETTINGS})
listener = snl.live("test_loss", x="sigma_p", y="K", threshold=0.7, every=0)
snl.sweep(grid, on_block=listener, block=(1, 2), devices=1, progress=False)
listener.pictures
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    messages = []

    class Client(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            messages.append(msg["msg_type"])
            return super().process_message(msg, cell, cell_index)

    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is most of the time
    Client(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (cell,) = book.cells
    assert [one.get("evalue") for one in cell.outputs if one.output_type == "error"] == []
    pictures = [one for one in cell.outputs if "image/png" in one.get("data", {})]
    assert len(pictures) == 1
    assert messages.count("display_data") == 1
    assert messages.count("update_display_data") == 2
    assert cell.outputs[-1]["data"]["text/plain"] == "3"
