"""Pictures of commands go over nothing that somebody else made or changed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from harness import fails
from PIL import Image, PngImagePlugin

from snljax import cli, drawn

ENDINGS = [".png", ".svg", ".pdf"]


@pytest.fixture
def data(tmp_path):
    cells = {name: (("a", "b"), np.ones((2, 2), np.int8) * 1) for name in ("m", "status")}
    ds = xr.Dataset(cells, {"a": [1, 2], "b": [3, 4]})
    ds["m"] = ds.m + 0.5 * ds.a
    ds.to_netcdf(tmp_path / "a.nc")
    return tmp_path


def figure(path):
    fig, ax = plt.subplots(figsize=(1, 1))
    ax.plot([1, 2])
    fig.savefig(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_of_somebody_else_stays(ending, data, capsys):
    figure(data / f"mine{ending}")
    before = (data / f"mine{ending}").read_bytes()
    error = fails(capsys, "plot", str(data / "a.nc"), "--out", str(data / f"mine{ending}"))
    assert f"mine{ending}" in error
    assert "another name" in error
    assert (data / f"mine{ending}").read_bytes() == before
    assert sorted(p.name for p in data.iterdir()) == ["a.nc", f"mine{ending}"]


@pytest.mark.parametrize("ending", ENDINGS[::2])
def test_an_own_picture_is_drawn_again_until_somebody_changes_it(ending, data, capsys):
    out = data / f"a{ending}"
    command = ["plot", str(data / "a.nc"), "--out", str(out)]
    cli.main(command)
    cli.main([*command, "--log"])
    with open(out, "ab") as file:
        file.write(b" ")
    assert "changed since" in fails(capsys, *command)


def test_a_marked_png_is_a_good_png(data):
    cli.main(["plot", str(data / "a.nc")])
    with Image.open(data / "a.png") as image:
        image.load()
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text["Comment"].startswith("drawn by snljax, sha256 ")
        assert image.text["Software"].startswith("Matplotlib")


def test_a_mark_is_of_its_content():
    for ending in (*ENDINGS, ".eps", ".ps", ".pgf"):
        one, other = (drawn.marked(bytes([i]) * 40, ending) for i in (1, 2))
        assert drawn.is_ours(one, ending)
        assert not drawn.is_ours(other[:30] + one[30:], ending)
        assert not drawn.is_ours(one[:-1], ending)
        assert not drawn.is_ours(b"", ending)
        assert not drawn.is_ours(bytes(12), ending)
    assert drawn.marked(b"raw", ".jpg") == b"raw"
    assert not drawn.is_ours(b"raw", ".jpg")


def test_other_files_and_folders_stay_too(data, capsys):
    (data / "notes.png").write_text("not a picture")
    (data / "folder.png").mkdir()
    for name in ("notes.png", "folder.png"):
        assert name in fails(capsys, "plot", str(data / "a.nc"), "--out", str(data / name))
    error = fails(capsys, "plot", str(data / "a.nc"), "--out", str(data / "a.nothing"))
    assert str(data / "a.nothing") in error or "'nothing'" in error
    assert "allowed: " in fails(capsys, "plot", str(data / "a.nc"), "--out", str(data / "a"))
    error = fails(capsys, "plot", str(data / "a.nc"), "--out", str(data / "no" / "a.png"))
    assert str(data / "no" / "a.png") in error
    assert ".a-" not in error  # where it is drawn
    assert sorted(p.name for p in data.iterdir()) == ["a.nc", "folder.png", "notes.png"]


def test_a_link_stays_a_link(data):
    (data / "elsewhere").mkdir()
    (data / "a.png").symlink_to(data / "elsewhere" / "b.png")
    for _ in range(2):
        cli.main(["plot", str(data / "a.nc")])
        assert (data / "a.png").is_symlink()
        assert drawn.is_ours((data / "elsewhere" / "b.png").read_bytes(), ".png")
