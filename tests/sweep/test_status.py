"""A store is waited for, and what takes long before its first step is said."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from snljax.sweep.files import StoreError
from snljax.sweep.status import Host, Status, report, wait


def test_a_store_that_is_not_there_is_waited_for(tmp_path):
    """The folder comes first, the manifest later: only with that it is a store."""
    store, told, made = tmp_path / "later", [], []

    def make():
        time.sleep(0.1)
        store.mkdir()
        time.sleep(0.1)
        made.append(time.monotonic())
        (store / "manifest.json").write_text("{}")

    maker = threading.Thread(target=make)
    maker.start()
    wait(store, told.append, seconds=0.02)
    assert made
    maker.join()
    assert told[0].startswith(f"{store} is not there yet")
    assert told[1].startswith(f"{store} is there, after")
    wait(store, told.append)
    assert len(told) == 2


def test_a_file_is_not_waited_for(tmp_path):
    (tmp_path / "a.nc").write_text("")
    with pytest.raises(StoreError, match=r"a.nc is a file; allowed: a folder"):
        wait(tmp_path / "a.nc", print)


def looked(done, live, rate):
    left = (40 - done) / rate if rate else np.nan
    return Status(40, done, 4, done // 10, 0, {}, [], 0, rate, left, [Host("one", 1, live, 0, 0, rate)])


def test_before_the_first_step_it_says_that_programs_compile():
    assert "no step is done yet: programs compile first" in report(looked(0, 1, 0.0))
    assert "nothing runs" in report(looked(0, 0, 0.0))
    assert "about 8 seconds left" in report(looked(0, 1, 5.0))


def test_a_terminal_has_a_bar():
    bar = report(looked(10, 1, 5.0), width=40).splitlines()[0]
    assert bar.strip() == "|" + "█" * 10 + " " * 30 + "|"
    assert report(looked(10, 1, 5.0)).startswith("cells")
