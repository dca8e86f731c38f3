"""What an experiment says of itself, as text."""

from __future__ import annotations

import pytest
from harness import POWERS

import snljax as snl
from snljax import cli, experiments
from snljax.experiment import fields_of, metrics_of


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_field_metric_and_reading_is_told(name):
    own = experiments.get(name)
    text = snl.describe(name)
    first = [line.split()[0].rstrip("*") for line in text.splitlines() if line.startswith("  ")]
    assert first == [*fields_of(own.Config), *metrics_of(own)]
    static = [line.split()[0][:-1] for line in text.splitlines() if line.startswith("  ") and "*" in line.split()[0]]
    assert static == [n for n, f in fields_of(own.Config).items() if f.static]
    for info in metrics_of(own).values():
        assert info.help in text
        assert info.symbol in text
    assert all(f"reading {reading}" in text for reading in own.readings)


def test_an_own_experiment_is_described_too():
    text = snl.describe(POWERS)
    assert text.startswith("powers\n")
    assert "coordinate" in text  # the dimension of its metric


def test_the_shell_describes(capsys):
    cli.main(["describe", "topk_pruning"])
    assert capsys.readouterr().out == snl.describe("topk_pruning") + "\n"
    with pytest.raises(SystemExit):
        cli.main(["describe", "topk_prunning"])
    assert "did you mean 'topk_pruning'" in capsys.readouterr().err
