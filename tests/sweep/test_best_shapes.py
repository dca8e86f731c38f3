"""Shapes that were found best, remembered for the next sweep."""

from __future__ import annotations

import json

import pytest
from harness import POWERS

import snljax as snl
from snljax import cache
from snljax.sweep import best_shapes
from snljax.sweep.layout import Block

KEY = best_shapes.key_of("a program", [3, 4])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    return tmp_path


def test_what_is_kept_is_found_again_by_all_that_it_follows_from(folder):
    assert best_shapes.recall(KEY) is None
    best_shapes.remember(KEY, Block(3, 5))
    assert best_shapes.recall(KEY) == Block(3, 5)
    assert best_shapes.recall(best_shapes.key_of("a program", [3, 5])) is None


@pytest.mark.parametrize("content", ["", "{}", '{"block": [0, 4]}', '{"block": [1, 4], "sha256": "0"}', "[" * 9999])
def test_a_file_that_is_not_what_was_written_is_none(folder, content):
    best_shapes.remember(KEY, Block(3, 5))
    [file] = folder.rglob(f"{KEY}.json")
    file.write_text(content, encoding="utf-8")
    assert best_shapes.recall(KEY) is None


def test_nothing_is_kept_where_that_is_off(folder, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "off")
    best_shapes.remember(KEY, Block(3, 5))
    assert best_shapes.recall(KEY) is None
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_no_error(folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setenv(cache.VARIABLE, str(folder / "file"))
    best_shapes.remember(KEY, Block(3, 5))
    assert best_shapes.recall(KEY) is None


def test_a_sweep_takes_the_shape_that_is_remembered(folder, monkeypatch):
    """Asked for by its own name: another network, another shape."""
    asked = []
    monkeypatch.setattr(best_shapes, "recall", lambda key: asked.append(key) or Block(1, 3))
    grid = snl.Grid(POWERS, rate=[0.1, 0.2, 0.3, 0.4], width=1000)
    assert json.loads(snl.sweep(grid, progress=False).attrs["block"]) == [1, 3]
    other = snl.Grid(POWERS, rate=[0.1, 0.2, 0.3, 0.4], width=1001)
    snl.sweep(other, progress=False)
    assert len(set(asked)) == 2
