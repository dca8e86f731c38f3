"""benchmarks/gpu.py: what it compares is the same thing, errors stay where they are, a second run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from harness import ROOT

from snljax import masks
from snljax.models.vision.convolution import by_convolution, by_product
from snljax.models.vision.lenet import LeNet

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu


@pytest.mark.parametrize("method", [gpu.by_sort, gpu.by_all_bits])
def test_candidates_keep_what_topk_keeps(method):
    w = jax.random.normal(jax.random.key(0), (3, 5, 24))
    for k in (1, 7, 24):
        np.testing.assert_array_equal(method(w, jnp.int32(k)), masks.topk(w, k))


@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("form", [by_product, by_convolution])
def test_each_form_of_lenet_is_lenet(form, side):
    rng = np.random.default_rng(0)
    images = np.float32(rng.random((3, side, side, 1)))
    shapes = jax.eval_shape(LeNet(10).init, jax.random.key(0), images)
    params = jax.tree.map(lambda a: np.float32(0.3 * rng.standard_normal(a.shape)), shapes)
    found, expected = jax.jit(lambda p: (gpu.lenet_by(form, p, images), LeNet(10).apply(p, images)))(params)
    assert float(jnp.std(expected)) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_moves_are_those_of_cells_and_of_the_boundary():
    """Columns: the boundary moves from 15 to 14, is in one diagram alone, and is in none."""
    coordinates = {"sigma_p": [0.1, 0.2, 0.3], "K": [10, 20, 30]}
    exact = xr.DataArray([[1.0, 3.0, 3.0], [1.0, 1.0, 1.9], [1.0, 1.0, 1.0]], coordinates)
    rounded = exact.copy(data=[[1.0, 3.5, 3.0], [1.0, 1.0, 2.1], [1.0, 1.0, 1.0]])
    found = gpu.moves(exact, rounded)
    assert found["test_loss_moves"] == 0.5
    assert (found["cells"], found["cells_change_sides"], found["K_between_cells"]) == (9, 1, 10.0)
    assert (found["boundary_columns"], found["boundary_columns_of_one_alone"]) == (1, 1)
    assert found["boundary_moves_most"] == found["boundary_moves_median"] == pytest.approx(1.0)


def test_an_error_is_written_down():
    def fails(device, count):
        raise FloatingPointError(f"{count} on {device.platform}\nand more")

    found = gpu.attempt("a part", gpu.Part(fails, {"count": 3}), "cpu")
    assert (found["part"], found["error"]) == ("a part", "FloatingPointError: 3 on cpu and more")
    assert "in fails" in found["traceback"]
    assert "ValueError" in gpu.attempt("a part", gpu.Part(lambda device: {"rate": float("nan")}, {}), "cpu")["error"]


def test_a_process_that_dies_costs_one_part(capsys):
    code = f"""
import json, os, sys
for name in sys.argv[1:]:
    print("at", name, flush=True)
    if name == "dies":
        os._exit(3)
    print({gpu.RESULT!r} + json.dumps({{"part": name, "result": len(sys.argv)}}), flush=True)
"""
    command = [sys.executable, "-c", code]
    found = list(gpu.results(command, ["first", "dies", "last"], time.perf_counter() + 60, os.environ))
    assert found == [
        {"part": "first", "result": 4},
        {"part": "dies", "error": "the process ended with code 3"},
        {"part": "last", "result": 2},
    ]
    assert capsys.readouterr().out == "at first\nat dies\nat last\n"


def test_a_process_is_stopped_in_time():
    command, started = [sys.executable, "-c", "import time; time.sleep(60)"], time.perf_counter()
    found = list(gpu.results(command, ["slow", "never"], started + 0.5, os.environ))
    assert time.perf_counter() - started < 30
    assert [(f["part"], f["error"].partition(":")[0]) for f in found] == [("slow", "stopped"), ("never", "stopped")]


def run(out, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--quick", "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600)


@pytest.mark.slow
def test_a_second_run_does_the_rest(tmp_path):
    arguments = ("--device", "cpu", "--parts", "product", "topk")
    first = run(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    path = tmp_path / "gpu-cpu-quick.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    assert set(before["parts"]) == {"product", "topk"}
    assert before["errors"] == {}
    assert before["parts"]["topk"]["result"]["calls"][0]["same"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    before["parts"]["topk"]["machine"]["jax"] = "another"
    before["parts"]["lenet"] = {"result": "of a part that is not asked for"}
    before["errors"] = {"topk": {"error": "once"}, "lenet": {"error": "still"}}
    path.write_text(json.dumps(before), encoding="utf-8")
    second = run(tmp_path, *arguments)
    assert second.returncode == 0, second.stderr
    assert "already in gpu-cpu-quick.json: product\n" in second.stdout
    after = json.loads(path.read_text(encoding="utf-8"))
    assert {n: after["parts"][n] for n in ("product", "lenet")} == {n: before["parts"][n] for n in ("product", "lenet")}
    assert after["parts"]["topk"]["machine"] == after["machine"]
    assert after["errors"] == {"lenet": {"error": "still"}}


def test_a_device_that_is_not_there_is_one_line(tmp_path):
    done = run(tmp_path, "--device", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("gpu.py: JAX finds no device 'nowhere' here (")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_part_runs_small(tmp_path):
    done = run(tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu-cpu-quick.json").read_text(encoding="utf-8"))
    assert list(found["parts"]) == [*(n for n in gpu.parts(True) if n != "another process"), "another process"]
    results = {name: part["result"] for name, part in found["parts"].items()}
    assert results["precision"]["equal_bits"] == {"highest": True, "tf32": True}
    assert results["precision"]["bits"] == results["another process"]["bits"]
    assert results["headline"]["memory_estimate"] > 0
    assert results["headline"]["memory_peak"] is None
