"""The time of a figure adds up over calls, and says where something of it is unknown."""

from __future__ import annotations

import pytest

from snljax.report import Part, Timing, timing


def test_what_is_written_is_read(tmp_path):
    kept = Timing({"a": Part(1.5, 2, "2026-01-31", "cpu"), "b": Part(None, 0, "")}, 0.5)
    (tmp_path / timing.FILE).write_bytes(timing.to_json(kept))
    assert timing.read(tmp_path) == kept
    assert kept.seconds == 2.0
    assert not kept.is_whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"parts": {"a": {"x": 1}}, "draw": 1}', b"\xff"])
def test_what_is_no_timing_is_none(content, tmp_path):
    (tmp_path / timing.FILE).write_bytes(content)
    assert timing.read(tmp_path) == Timing({})


def test_a_store_that_is_gone_takes_its_time_with_it():
    known = Part(60.0, 3, "2026-01-31", "cpu")
    assert timing.counted(known, True, 5.0, "2026-02-01", "gpu") == Part(5.0, 1, "2026-02-01", "gpu")


def test_an_unknown_time_stays_unknown():
    later = timing.counted(None, False, 5.0, "2026-02-01", "cpu")
    assert later.seconds is None
    assert timing.counted(later, False, 5.0, "2026-02-02").seconds is None


def test_an_interrupted_call_knows_no_device_and_keeps_the_one_before():
    part = timing.counted(Part(60.0, 1, "2026-01-31", "cpu"), False, 30.0, "2026-02-01")
    assert part == Part(90.0, 2, "2026-02-01", "cpu")
