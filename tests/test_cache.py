"""Where things are remembered: one folder for each kind of machine, none where nobody wants one."""

from __future__ import annotations

import pathlib
import platform

import platformdirs
import pytest

from snljax import cache


@pytest.fixture(autouse=True)
def _asked_anew():
    yield
    cache.machine.cache_clear()


def test_the_folder_is_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    assert cache.folder() == tmp_path / cache.machine()
    assert not cache.folder().exists()  # until something is kept


@pytest.mark.parametrize("unset", [True, False])
def test_the_platforms_folder_is_the_default(monkeypatch, unset):
    monkeypatch.delenv(cache.VARIABLE, raising=False) if unset else monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.folder().parent == pathlib.Path(platformdirs.user_cache_dir("snljax"))


def test_a_home_may_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(cache.VARIABLE, "~/there")
    assert cache.folder().parent == tmp_path / "there"


@pytest.mark.parametrize("off", ["off", "OFF", " off "])
def test_there_may_be_none(monkeypatch, off):
    monkeypatch.setenv(cache.VARIABLE, off)
    assert cache.folder() is None


@pytest.mark.parametrize(("module", "name"), [(platform, "machine"), (cache.importlib.metadata, "version")])
def test_each_kind_of_machine_has_its_own(monkeypatch, tmp_path, module, name):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    here = cache.folder()
    cache.machine.cache_clear()
    monkeypatch.setattr(module, name, lambda *_: "another")
    assert cache.folder().parent == here.parent
    assert cache.folder() != here
