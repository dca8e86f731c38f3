"""What compiles quickly: of all tests, those of the package's docstrings among them."""

from __future__ import annotations

import pathlib

import jax
import pytest

ROOT = pathlib.Path(__file__).parent

# Whose tests compare values within a tolerance, or none: compiling is most of their time.
_QUICK = ["tests/boundary", "tests/data", "tests/experiments", "tests/figures", "tests/measures"]
_QUICK += ["tests/models", "tests/report", "snljax"]
_QUICK += [
    f"tests/test_{name}.py" for name in ("cli", "cli_own", "cli_results", "constraints", "contrastive_door", "descent")
]
_QUICK += [f"tests/test_{name}.py" for name in ("docs_scale", "live", "losses", "masks")]
_QUICK += [f"tests/test_{name}.py" for name in ("published", "slurm", "supervised")]
COMPILED_QUICKLY = {ROOT / path for path in _QUICK}


@pytest.fixture(autouse=True, scope="module")
def _compiled_quickly(request):
    """Few optimisations of XLA, where neither speed nor the last bit is looked at; in processes of tests too."""
    if not COMPILED_QUICKLY & {request.path, *request.path.parents}:
        yield
        return
    from snljax.sweep import program

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
    program.forget()  # other tests compare the last bits with those of other processes
