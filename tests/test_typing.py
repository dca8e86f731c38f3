"""The types that the package promises (py.typed), as the type checker of a user sees them.

The project's own mypy reads `typed_study.py` each time, too; here it runs as a user's does.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from harness import TESTS

import snljax as snl

pytestmark = pytest.mark.slow  # half a minute

WRONG = {  # a line -> what it is refused for
    "snl.sweeep": "attr-defined",
    "snl.boundary.extrakt": "attr-defined",
    'snl.Grid("topk_pruning", reading=3)': "arg-type",
    'snl.sweep("topk_pruning")': "arg-type",
    'snl.sweep(snl.Grid("topk_pruning"), on_block=3)': "arg-type",
    "text: str = snl.stats.t_interval([1.0, 2.0]).mean": "assignment",
    'one: snl.TrainedNetwork = snl.replay("runs/a")': "assignment",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """File -> what ``mypy --strict`` says of its lines, by the package as it is installed."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "study.py").write_bytes((TESTS / "typed_study.py").read_bytes())
    (folder / "wrong.py").write_text("\n".join(["import snljax as snl", *WRONG]))
    (folder / "names.py").write_text(
        "\n".join(["import snljax as snl", *(f"reveal_type(snl.{n})" for n in snl.__all__)])
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=/dev/null", "study.py"]
    command += ["wrong.py", "names.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [re.fullmatch(r"(\w+\.py):(\d+): (.*)", line) for line in done.stdout.splitlines()]
    found = [(one[1], int(one[2]), one[3]) for one in lines if one]
    return {
        name: [(line, text) for file, line, text in found if file == name]
        for name in ("study.py", "wrong.py", "names.py")
    }


def test_a_study_of_ones_own_is_typed(said):
    assert said["study.py"] == []


def test_mistakes_are_found(said):
    errors = {line: text for line, text in said["wrong.py"] if text.startswith("error: ")}
    assert {*errors} == {*range(2, 2 + len(WRONG))}
    assert [re.search(r"\[([\w-]+)\]$", errors[line])[1] for line in sorted(errors)] == [*WRONG.values()]


def test_every_public_name_has_a_type(said):
    types = dict(said["names.py"])
    assert len(types) == len(snl.__all__)
    assert [text for text in types.values() if not text.startswith("note: Revealed type is") or '"Any"' in text] == []


def test_the_study_runs():
    done = subprocess.run([sys.executable, TESTS / "typed_study.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
