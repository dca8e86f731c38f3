"""What an experiment says of itself, as text."""

from __future__ import annotations

import re

import pytest
from harness import POWERS

import snljax as snl
from snljax import cli, experiments, papers
from snljax.experiment import fields_of, metrics_of


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_field_metric_and_reading_is_told(name):
    own = experiments.get(name)
    text = snl.describe(name)
    columns = [line for line in text.splitlines() if line.startswith("  ") and not line.startswith("    ")]
    first = [line.split()[0].rstrip("*") for line in columns]
    assert first == [*fields_of(own.Config), *metrics_of(own)]
    static = [line.split()[0][:-1] for line in columns if "*" in line.split()[0]]
    assert static == [n for n, f in fields_of(own.Config).items() if f.static]
    for info in metrics_of(own).values():
        assert info.help in text
        assert info.symbol in text
    assert all(f"reading {reading}" in text for reading in own.readings)


@pytest.mark.parametrize("name", experiments.NAMES)
def test_paper_and_file_are_told(name):
    lines = snl.describe(name).splitlines()
    assert lines[0] == f"{name}: {', '.join(map(papers.cite, experiments.NAMES[name].papers))}"
    assert f"file: snljax/experiments/{name}.py" in lines


def test_equations_are_those_of_the_functions_that_it_calls():
    """Who looks for a paper's equation finds the function that computes it."""
    text = snl.describe("gradient_regularization")
    (penalty,) = re.findall(r"^losses\.per_example_gradient_penalty: .*\n    (.*)$", text, re.MULTILINE)
    assert penalty.startswith(r"\frac1n \sum_{i=1}^n \lVert \nabla_W \ell_i(W)")
    assert "masks.topk: " in snl.describe("topk_pruning")
    assert "losses.info_nce: InfoNCE, with a stop-gradient" in snl.describe("contrastive")
    assert "topk" not in text


def test_an_own_experiment_is_described_too():
    text = snl.describe(POWERS)
    assert text.startswith("powers\nfile: ")
    assert "harness.py:POWERS" in text.splitlines()[1]
    assert "A system with a closed form" in text
    assert "coordinate" in text  # the dimension of its metric


def test_an_own_experiment_is_not_taken_for_the_papers():
    """It may be called like one."""
    text = snl.describe(POWERS._replace(name="topk_pruning"))
    assert text.startswith("topk_pruning\n")
    assert "paper" not in text


def test_the_shell_describes(capsys):
    cli.main(["describe", "topk_pruning"])
    assert capsys.readouterr().out == snl.describe("topk_pruning") + "\n"
    with pytest.raises(SystemExit):
        cli.main(["describe", "topk_prunning"])
    assert "did you mean 'topk_pruning'" in capsys.readouterr().err
