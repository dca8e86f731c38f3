"""The notebooks run from top to bottom, in their small form: the parameters cell is replaced."""

import ast
import pathlib

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import snljax

NOTEBOOKS = pathlib.Path(__file__).parent.parent / "notebooks"
SMALL = {
    "topk_heatmap": "cells, seeds, steps = 3, 2, 5",
    "gradient_regularization": "seeds, steps, close_at, weights, algorithms = 2, 20, 10, 3, ['pegr']",
    "random_pruning": "kept, seeds, steps, pruned, runs, run_steps = [1.0, 0.2, 0.02], 2, 10, [0, 0.5], 2, 5",
    "contrastive": "epsilons, seeds, steps, pairs, converged, masks = [0.3, 1.0], 2, 3, 50, 5, ['magnitude']",
    "influence": "dataset, side, each, fractions, seeds, steps = 'digits', None, 3, [0.3], 2, 5",
    "own_network": "rates, noises, shares, seeds, epochs = [0.001, 0.01], [0, 1], [0.1, 1], 2, 1",
    "own_experiment": "noise, sizes, dimensions, seeds, steps = [0.5, 2.0], [10, 20], [5, 30], 2, 50",
}

QUICK = {"own_experiment"}  # run by default; the others with -m slow


def _source(notebook, tag):
    return [c for c in notebook.cells if tag in c.metadata.get("tags", [])]


def test_every_notebook_has_a_small_form():
    assert {p.stem for p in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Cells of the notebooks that are asked for, run one after the other in one kernel, which saves imports.

    Each begins without any name and in a folder of its own; an error stays with its cell.
    """
    done = {}

    def run(names):
        if not names <= set(done):
            whole = nbformat.v4.new_notebook()
            for name in sorted(names):
                notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
                (parameters,) = _source(notebook, "parameters")
                parameters.source = SMALL[name]
                fresh = nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {tmp_path_factory.mktemp(name)}")
                done[name] = [fresh, *notebook.cells]
                whole.cells += done[name]
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is most of their time
                NotebookClient(whole, timeout=300, allow_errors=True, kernel_name="python3").execute()
        return done

    return run


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in sorted(SMALL)])
def test_notebook_runs(name, executed):
    cells = executed(QUICK if name in QUICK else set(SMALL) - QUICK)[name]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert [o["evalue"] for o in outputs if o.output_type == "error"] == []
    assert all(c.execution_count for c in cells if c.cell_type == "code")
    assert any("image/png" in o.get("data", {}) for o in outputs)


def _assigned(source):
    names = (n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return set(names)


def _missing(source):
    """Names behind ``snl.`` that the package has not."""
    for node in ast.walk(ast.parse(source)):
        path, base = [], node
        while isinstance(base, ast.Attribute):
            path, base = [base.attr, *path], base.value
        if path and isinstance(base, ast.Name) and base.id == "snl":
            found = snljax
            for name in path:
                if not hasattr(found, name):
                    yield ".".join(["snl", *path])
                    break
                found = getattr(found, name)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_what_a_notebook_names_is_there(name):
    """All that can be said of a notebook without running it: the small form sets what the cell sets, and no more."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (parameters,) = _source(notebook, "parameters")
    assert _assigned(SMALL[name]) <= _assigned(parameters.source)
    code = TransformerManager().transform_cell("\n".join(c.source for c in notebook.cells if c.cell_type == "code"))
    assert "snl." in code
    assert sorted(_missing(code)) == []


def test_a_name_that_is_not_there_is_found():
    assert list(_missing("snl.sweep(snl.Grid)\nsnl.plotting.heatmap(1)\nsnl.plotting.heat")) == ["snl.plotting.heat"]


def test_own_experiment_is_at_most_forty_lines():
    """What a user writes for a system of her own: Config, Draw, Metrics and the four functions."""
    notebook = nbformat.read(NOTEBOOKS / "own_experiment.ipynb", as_version=4)
    cells = [c for c in notebook.cells if "snl.Experiment(" in c.source]
    assert len(cells) == 2  # one with data, one without
    assert all(len([line for line in c.source.splitlines() if line.strip()]) <= 40 for c in cells)


def test_own_network_takes_ten_lines_from_arrays_to_a_heatmap():
    notebook = nbformat.read(NOTEBOOKS / "own_network.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "snl.plotting.heatmap(" in c.source]
    assert "snl.supervised(" in cell.source
    assert len([line for line in cell.source.splitlines() if line.strip()]) <= 10
