"""Every figure in its order and one page about them, whatever a figure does; figures here are toys."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import sys
import types

import matplotlib as mpl
import pytest
import xarray as xr
from harness import POWERS
from matplotlib.figure import Figure as Drawn
from PIL import Image

import snljax as snl
from snljax import cli, figures
from snljax.figures import Computed, Entry, Figure, Sweep
from snljax.figures.claims import Claim, above
from snljax.report import timing
from snljax.sweep.store import Store

mpl.use("Agg")

MODULE = "toys_of_tests"


def drawn(datasets):
    return {name: Drawn(figsize=(0.2, 0.1)) for name in datasets}


def claims(datasets):
    return [Claim.of("it is | large", "Theorem 1", above([3.0, 4.0, 5.0], 0.0, "x"))]


def trained(draw=drawn, **parts):
    """A figure of a system that trains in no time; quick only."""
    sweep = Sweep(POWERS, rate=[0.5, 0.7], seed=range(2))
    return Figure({"quick": parts or {"powers": sweep}}, draw, claims)


def computed(function=lambda: xr.Dataset(attrs={"images": 7})):
    return Figure({"quick": {"images": Computed(function)}, "paper": {}}, drawn, claims)


@pytest.fixture
def only(monkeypatch):
    """Makes these figures all that there are, in their order."""

    def those(**toys: Figure) -> None:
        module = types.ModuleType(f"snljax.figures.{MODULE}")
        module.FIGURES = {name: toys[name] for name in toys}
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(figures, "NAMES", {n: Entry(MODULE, "none", "000", f"the {n} one") for n in toys})

    return those


def page_of(folder):
    return (folder / "REPRODUCTION.md").read_text(encoding="utf-8")


def section_of(folder, name):
    """What the page says of a figure."""
    (found,) = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", page_of(folder), re.DOTALL | re.MULTILINE)
    return found


def of_command(capsys, *argv):
    """Exit code, output and errors of ``reproduce all``."""
    try:
        cli.main(["reproduce", "all", "--quiet", "--devices", "1", *map(str, argv)])
        code = 0
    except SystemExit as stopped:
        code = stopped.code
    return code, *capsys.readouterr()


def raising(error):
    def function(*_):
        raise error

    return function


def test_every_figure_is_made_in_its_order_and_again_without_training(only, tmp_path, monkeypatch, capsys):
    only(zebra=trained(), ape=computed())
    code, out, _ = of_command(capsys, "--out", tmp_path)
    assert code == 0
    assert re.findall(r"^### (\w+)", page_of(tmp_path), re.MULTILINE) == ["zebra", "ape"]
    assert [line.split()[0] for line in out.splitlines()[:4]] == ["zebra", "ape", "wrote", "wrote"]
    assert {p.name for p in (tmp_path / "REPRODUCTION-pictures").iterdir()} == {"zebra-powers.png", "ape-images.png"}
    assert "it is \\| large" in section_of(tmp_path, "zebra")
    assert "2 rate × 2 seed" in section_of(tmp_path, "zebra")
    assert "images: 7 images" in section_of(tmp_path, "ape")
    rows = [line.split(" | ") for line in (tmp_path / "VERDICTS.md").read_text(encoding="utf-8").splitlines()[2:]]
    assert [(row[-2], row[-1]) for row in rows] == [("zebra", "**holds** |"), ("ape", "**holds** |")]

    kept = json.loads((tmp_path / "zebra-quick" / "timing.json").read_text())["parts"]
    assert kept["powers"]["calls"] == 1 < 10 * kept["powers"]["seconds"]
    monkeypatch.setattr(Store, "put", raising(AssertionError("trained again")))
    assert of_command(capsys, "--out", tmp_path)[0] == 0
    assert json.loads((tmp_path / "zebra-quick" / "timing.json").read_text())["parts"] == kept
    assert f"{kept['powers']['seconds']:.0f} s" in section_of(tmp_path, "zebra")


def test_a_figure_that_fails_does_not_stop_the_others(only, tmp_path, capsys):
    lost = ValueError(f"images: {tmp_path}/deep/mnist.npz is not there;\n allowed: https://example.org/a/b")
    only(first=computed(raising(lost)), second=computed(raising(MemoryError())), third=computed())
    code, _, errors = of_command(capsys, "--out", tmp_path)
    assert code == 1
    assert errors == "snljax: 2 of 3 figures failed (first, second); the page says why\n"
    assert "images: …/mnist.npz is not there; allowed: https://example.org/a/b" in section_of(tmp_path, "first")
    assert "MemoryError" in section_of(tmp_path, "second")
    assert "it is" in section_of(tmp_path, "third")
    assert "it is" not in section_of(tmp_path, "first")
    for page in (page_of(tmp_path), (tmp_path / "REPRODUCTION.html").read_text()):
        assert str(tmp_path.parent) not in page


def test_a_figure_that_fails_now_shows_nothing_of_before(only, tmp_path):
    only(one=computed(), other=computed())
    snl.reproduce_all(out=tmp_path, progress=False)
    only(one=computed(raising(KeyError("label"))), other=computed())
    made = snl.reproduce_all(out=tmp_path, progress=False)
    assert made.failed == {"one": "KeyError: 'label'"}
    assert "it is" not in section_of(tmp_path, "one")
    assert [p.name for p in (tmp_path / "REPRODUCTION-pictures").iterdir()] == ["other-images.png"]


def test_a_figure_that_cannot_be_imported_is_one_that_fails(only, tmp_path, monkeypatch):
    only(one=computed())
    monkeypatch.setitem(figures.NAMES, "broken", Entry("no_such_module", "none", "000", "none"))
    made = snl.reproduce_all(out=tmp_path, progress=False)
    assert list(made.failed) == ["broken"]
    assert "no_such_module" in section_of(tmp_path, "broken")


def test_a_preset_that_a_figure_has_not(only, tmp_path, one_line):
    only(one=trained(), other=computed())
    made = snl.reproduce_all("paper", tmp_path, progress=False)
    assert not made.failed
    assert "it has no preset paper; there are quick" in section_of(tmp_path, "one")
    one_line(lambda: snl.reproduce_all("fast", tmp_path), "preset: 'fast'", "paper, quick")


@pytest.fixture
def interruptible():
    """A shell starts what it puts in the background with SIGINT ignored, and pytest may be there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_writes_the_page_of_what_there_is(number, code, only, tmp_path, capsys):
    """While a figure is drawn, outside of any sweep."""
    only(before=computed(), here=computed(), after=computed())
    snl.reproduce_all(out=tmp_path, progress=False)
    (tmp_path / "after-quick" / "claims.json").unlink()
    handler = signal.getsignal(signal.SIGTERM)

    only(before=computed(), here=computed(lambda: os.kill(os.getpid(), number)), after=computed())
    found, _, errors = of_command(capsys, "--out", tmp_path)
    assert found == code
    assert errors.endswith(f"to go on: snljax reproduce all --quiet --devices 1 --out {tmp_path}\n")
    assert "Not made" not in section_of(tmp_path, "before")
    assert "stopped here. What follows is of an earlier one." in section_of(tmp_path, "here")
    assert "it is" in section_of(tmp_path, "here")
    assert "stopped before it." in section_of(tmp_path, "after")
    assert "it is" not in section_of(tmp_path, "after")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_the_time_of_an_interrupted_call_is_not_lost(only, tmp_path, monkeypatch):
    only(one=trained())
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            snl.reproduce_all(out=tmp_path, progress=False, devices=1)
    first = timing.read(tmp_path / "one-quick").parts["powers"]
    assert first.calls == 1
    assert first.seconds > 0
    assert "stopped here" in section_of(tmp_path, "one")

    snl.reproduce_all(out=tmp_path, progress=False, devices=1)
    both = timing.read(tmp_path / "one-quick").parts["powers"]
    assert both.calls == 2
    assert both.seconds > first.seconds
    assert "in 2 calls" in section_of(tmp_path, "one")


def test_a_store_whose_time_nobody_kept_is_told(only, tmp_path):
    only(one=trained())
    snl.reproduce("one", out=tmp_path, progress=False, devices=1)
    (tmp_path / "one-quick" / "timing.json").unlink()
    snl.reproduce_all(out=tmp_path, progress=False, devices=1)
    assert "trained before its time was kept" in section_of(tmp_path, "one")
    assert "| more than 0 |" in page_of(tmp_path)


def test_images_in_place_of_the_papers_are_told(only, tmp_path):
    def function(dataset):
        return xr.Dataset(attrs={"images": 7})

    plans = {p: {"a": Computed(function, dataset=n)} for p, n in (("quick", "digits"), ("paper", "mnist"))}
    only(one=Figure(plans, drawn, claims))
    for preset, told in (("quick", True), ("paper", False)):
        snl.reproduce_all(preset, tmp_path, progress=False)
        assert ("images: scikit-learn's digits in place of MNIST" in section_of(tmp_path, "one")) == told


def test_the_page_can_be_moved_with_its_pictures(only, tmp_path):
    only(one=computed(), other=computed())
    made = snl.reproduce_all(out=tmp_path, progress=False)
    links = re.findall(r"!\[.*?\]\((.*?)\)", page_of(tmp_path))
    assert links == ["REPRODUCTION-pictures/one-images.png", "REPRODUCTION-pictures/other-images.png"]
    assert {tmp_path / link for link in links} == {p for p in made.files if p.suffix == ".png"}
    for link in links:
        assert not pathlib.PurePath(link).is_absolute()
        with Image.open(tmp_path / link) as picture:
            assert picture.format == "PNG"
