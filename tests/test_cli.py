"""The command line: what a stranger types, and one line with exit code 2 for every mistake."""

import collections
import errno
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr

import snljax as snl
from snljax import cli, experiments, figures, output, papers
from snljax.experiment import metrics_of
from snljax.sweep.devices import parse_memory, resolve
from snljax.sweep.engine import Interrupted, SweepError
from snljax.sweep.train import Trainer

engine = sys.modules["snljax.sweep.engine"]  # snljax.sweep is the function

SIZES = {"n": 12, "n-test": 20, "d": 16, "m": 2, "num-classes": 3, "steps": 6, "devices": 1}
TOY = [*(text for name, value in SIZES.items() for text in (f"--{name}", str(value))), "--quiet"]


def _fails(capsys, *argv):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["run", "topk_prunning"], ["topk_prunning", "did you mean 'topk_pruning'"]),
        (["run", "topk_pruning", "--sigma-q", "1"], ["--sigma-q", "did you mean --sigma-"]),
        (["run", "topk_pruning", "--K", "0", "10"], ["K", "0", "[1, d]"]),
        (["run", "topk_pruning", "--K", "201"], ["K", "201", "d = 200"]),
        (["run", "topk_pruning", "--sigma-p", "-1"], ["sigma_p", "-1", "[0, inf)"]),
        (["run", "topk_pruning", "--sigma-p", "nan"], ["sigma_p", "nan", "finite"]),
        (["run", "topk_pruning", "--sigma-p", "0.1", "0.1"], ["sigma_p", "0.1", "repeated"]),
        (["run", "topk_pruning", "--sigma-p", "much"], ["sigma_p", "'much'", "a number"]),
        (["run", "topk_pruning", "--seed", "0.5", "1"], ["seed", "0.5", "whole number"]),
        (["run", "topk_pruning", "--steps", "20", "10"], ["steps", "20, 10", "ascending"]),
        (["run", "topk_pruning", "--regrow", "false"], ["regrow", "descent='dense'"]),
        (["run", "topk_pruning", "--descent", "spam"], ["descent", "did you mean 'span'"]),
        (["run", "topk_pruning", "--reading", "fited"], ["reading", "did you mean 'fitted'"]),
        (["run", "topk_pruning", "--memory", "lots"], ["memory", "'lots'", "2GB"]),
        (["run", "topk_pruning", "--block", "0", "4"], ["block", "(0, 4)"]),
        (["run", "topk_pruning", "--devices", "99"], ["devices", "99"]),
        (["run", "topk_pruning", "--precision", "half"], ["precision", "'half'", "tf32"]),
        (["run", "topk_pruning", "--record-every", "0"], ["record_every", "0"]),
        (["run", "topk_pruning", "--out", "a.csv"], ["out", "a.csv", ".nc"]),
        (["run", "topk_pruning", "--block", "1", "4", "--block", "2", "4"], ["block", "2 times", "once"]),
        (["run", "topk_pruning", "--shard", "1/2"], ["shard", "1/2", "--store"]),
        (["run", "topk_pruning", "--memory", "9" * 400], ["memory", "2^63", "2GB"]),
        (["run", "--store", "s", "topk_prunning"], ["topk_prunning", "did you mean 'topk_pruning'"]),
        (["run", "--sigma-p", "0.1", "0.2", "topk_prunning"], ["topk_prunning", "did you mean 'topk_pruning'"]),
        (["run", "--stor", "s", "topk_pruning"], ["--stor", "did you mean --store"]),
        (["run", "topk_pruning", "missing.toml"], ["missing.toml"]),
        (["run", "missing.toml"], ["missing.toml", "No such file"]),
        (["run"], ["required"]),
        (["trace", "topk_prunning"], ["topk_prunning", "did you mean 'topk_pruning'"]),
        (["trace", "topk_pruning", "--level", "2", "--store", "s"], ["metric: not given", "--metric"]),
        (["trace", "topk_pruning", "--metric", "test_loss", "--store", "s"], ["level: not given", "--level"]),
        (["trace", "topk_pruning", "--metric", "test_loss", "--level", "2"], ["store: not given", "--store"]),
        (["trace", "topk_pruning", "--levl", "2"], ["--levl", "did you mean --level"]),
        (["reproduce", "topk-heatmaps"], ["did you mean 'topk-heatmap'"]),
        (["reproduce", "topk-heatmap", "--preset", "fast"], ["preset", "'fast'", "quick, paper"]),
        (["plot", "missing.nc"], ["missing.nc", "does not exist", "netCDF"]),
        (["plot", "."], ["is no store"]),
        (["paint"], ["paint", "reproduce"]),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, monkeypatch, argv, parts):
    monkeypatch.chdir(tmp_path)
    error = _fails(capsys, *argv)
    for part in parts:
        assert part in error


def test_budget_too_small(capsys, tmp_path):
    out = str(tmp_path / "a.nc")
    assert "cannot hold one network" in _fails(
        capsys, "run", "topk_pruning", *TOY, "--K", "4", "--memory", "1KB", "--out", out
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('experiment = "topk_pruning"\n[axes]\nsigma_p = [0.1', "not valid TOML"),
        ('experiment = "topk_pruning"\n[axis]\nK = [1, 2]', "did you mean 'axes'"),
        ('experiment = "topk_pruning"\n[axes]\nsigmap = [0.1]', "did you mean 'sigma_p'"),
        ('experiment = "topk_pruning"\n[axes]\nK = {start = 1, stop = 5, nun = 2}', "nun"),
        ("[axes]\nK = [1, 2]", "no experiment"),
    ],
)
def test_toml_mistakes_are_one_line(capsys, tmp_path, text, part):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    assert part in _fails(capsys, "run", str(path))


def test_run_and_plot(capsys, tmp_path):
    out = tmp_path / "sub" / "a.nc"
    cli.main(
        [
            "run",
            "topk_pruning",
            "--sigma-p",
            "0.1",
            "0.5",
            "--K",
            "3",
            "16",
            "--seed",
            "0",
            "1",
            *TOY,
            "--out",
            str(out),
        ]
    )
    ds = xr.load_dataset(out)
    assert dict(ds.sizes) == {"sigma_p": 2, "K": 2, "seed": 2}
    assert np.isfinite(ds.test_loss).all()
    cli.main(["plot", str(out), "--threshold", "1", "--log"])
    assert sorted(p.name for p in out.parent.iterdir()) == ["a.nc", "a.png"]
    assert "store" not in ds.attrs
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert "allowed: train_loss" in _fails(capsys, "plot", str(out), "--metric", "loss")
    assert "no dimension" in _fails(capsys, "plot", str(out), "--x", "mu")


def test_trace_writes_what_it_finds_and_goes_on_from_its_store(capsys, tmp_path):
    store, out, png = tmp_path / "edge", tmp_path / "edge.nc", tmp_path / "edge.png"
    axes = ["--sigma-p", *map(str, np.linspace(0.1, 2, 7)), "--K", *map(str, range(1, 10)), "--seed", "0", "1", "2"]
    asked = ["--metric", "test_loss", "--level", "1.1", "--net", "3", "--y", "sigma_p"]
    where = ["--store", str(store), "--out", str(out), "--png", str(png)]
    cli.main(["trace", *asked, "topk_pruning", *axes, *TOY, *where])
    shown = capsys.readouterr().out
    ds = xr.load_dataset(out)
    networks = int((ds.status == 1).sum())
    assert f"networks {networks} of the grid's 189, in " in shown
    assert 27 <= networks < 189
    counts = [int((ds.side == side).sum()) for side in (-1, 1, 0)]
    assert (
        f"cells    {counts[0]} below 1.1, {counts[1]} at or above it, {counts[2]} that the seeds cannot tell" in shown
    )
    assert sum(counts) == 63
    assert (ds.side.attrs["x"], ds.side.attrs["y"]) == ("K", "sigma_p")
    assert png.read_bytes().startswith(b"\x89PNG")
    done = len([*(store / "done").iterdir()])
    cli.main(["trace", *asked, "topk_pruning", *axes, *TOY, "--store", str(store)])
    assert len([*(store / "done").iterdir()]) == done


def test_toml_gives_the_same_numbers_as_options(tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text(
        'experiment = "topk_pruning"\n[settings]\nn = 12\nn_test = 20\nd = 16\nm = 2\nnum_classes = 3\nsteps = 6\n'
        "[axes]\nsigma_p = {start = 0.1, stop = 0.5, num = 2}\nK = [3, 16]\n"
    )
    common = ["--devices", "1", "--quiet", "--block", "1", "4"]
    cli.main(["run", str(grid), *common, "--out", str(tmp_path / "a.nc")])
    cli.main(["run", "topk_pruning", "--sigma-p", "0.1", "0.5", "--K", "3", "16", *TOY, "--block", "1", "4",
              "--out", str(tmp_path / "b.nc")])  # fmt: skip
    a, b = (xr.load_dataset(tmp_path / f"{name}.nc") for name in "ab")
    xr.testing.assert_equal(a, b)


def test_list_names_everything_under_its_paper(capsys):
    cli.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    cited = [line for line in lines if not line.startswith(" ")]
    assert cited == [papers.cite(number) for number in papers.PAPERS]
    below, papers_of, where = {}, collections.defaultdict(list), ""
    for line in lines:
        where = line if line in cited else where
        below[" ".join(line.split()[1:3])] = where, line
        papers_of[" ".join(line.split()[1:3])].append(where)
    for name, (numbers, summary) in experiments.NAMES.items():
        assert papers_of[f"run {name}"] == [papers.cite(number) for number in numbers]
        assert below[f"run {name}"][1].endswith(f" {summary}")
    for name, figure in figures.NAMES.items():
        assert below[f"reproduce {name}"][0] == papers.cite(figure.paper)
        assert below[f"reproduce {name}"][1].endswith(f" {figure.summary}")
    runs = sum(len(entry.papers) for entry in experiments.NAMES.values())
    assert len(lines) == len(papers.PAPERS) + runs + len(figures.NAMES)


@pytest.mark.parametrize("name", experiments.NAMES)
def test_a_listed_experiment_says_the_same_of_itself(name):
    (first, *_) = experiments.get(name).Config.__doc__.splitlines()
    assert first.endswith(experiments.NAMES[name].summary)
    (numbers,) = re.findall(r"\(papers? ([\d, ]+)\)", first)
    assert tuple(numbers.split(", ")) == experiments.NAMES[name].papers


def test_help_of_an_experiment_names_its_fields_and_metrics(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "topk_pruning", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--sigma-p", "--K", "--prune-every", "--relu-grad-at-zero", "--seed", "--reading"):
        assert flag in shown
    for name, info in metrics_of(experiments.get("topk_pruning")).items():
        assert f"{name}: {info.help}" in " ".join(shown.split())


HEAVY = ("jax", "matplotlib", "xarray", "scipy", "zarr", "numpy", "pandas", "flax", "optax", "distributed")


@pytest.mark.parametrize(
    "argv",
    [
        "list",
        "--help",
        "list --help",
        "run --help",
        "reproduce --help",
        "status --help",
        "plot --help",
        "doctor --help",
    ],
)
def test_list_and_help_start_light(argv):
    """What is not imported takes no time."""
    code = (
        "import contextlib, sys\nfrom snljax import cli\n"
        f"with contextlib.suppress(SystemExit): cli.main({argv.split()!r})\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    *shown, last = done.stdout.splitlines()
    assert last == "heavy: []"
    assert len(shown) > 3


def test_doctor_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "snljax.cli", "doctor"], capture_output=True, text=True, check=True)
    assert "as it should" in done.stdout
    assert f"cache: {os.environ['SNLJAX_CACHE']}, " in done.stdout


# --- options ----------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The grids and keywords that sweep is called with; it trains nothing."""
    calls = []

    def sweep(grid, **options):
        calls.append((grid, options))
        raise ValueError("seen; allowed: nothing")

    monkeypatch.setattr(engine, "sweep", sweep)
    monkeypatch.chdir(tmp_path)

    def parsed(*argv):
        with pytest.raises(SystemExit):
            cli.main(argv)
        assert calls, "refused before it was trained"
        return calls.pop()

    return parsed


@pytest.mark.parametrize(
    "argv",
    [
        ["topk_pruning", "--store", "s", "--sigma-p", "0.1", "0.2"],
        ["--store", "s", "topk_pruning", "--sigma-p", "0.1", "0.2"],
        ["--store=s", "topk_pruning", "--sigma-p=0.1", "--sigma-p=0.2"],
        ["--sigma-p", "0.1", "0.2", "topk_pruning", "--store", "s"],
        ["--sigma-p", "0.1", "0.2", "--store", "s", "topk_pruning"],
        ["--sigma-p", "0.1", "--store", "s", "--sigma-p", "0.2", "topk_pruning"],
    ],
)
def test_the_experiment_stands_anywhere(argv, asked):
    grid, options = asked("run", *argv)
    assert (grid.experiment.name, grid.shape, options["store"]) == ("topk_pruning", {"sigma_p": 2}, "s")


def test_a_store_may_be_called_like_an_experiment(asked):
    grid, options = asked("run", "--store", "topk_pruning", "--block", "1", "4", "topk_pruning", "--K", "3")
    assert (grid.config.K, options["store"], options["block"]) == (3, "topk_pruning", (1, 4))
    assert asked("run", "topk_pruning", "--K", "3", "--store", "topk_pruning")[1]["store"] == "topk_pruning"


def test_a_toml_file_stands_anywhere(asked):
    pathlib.Path("grid.toml").write_text('experiment = "topk_pruning"\n[axes]\nK = [3, 4]\n')
    grid, options = asked("run", "--store", "s.toml", "--devices", "1", "grid.toml")
    assert (grid.shape, options["store"], options["devices"]) == ({"K": 2}, "s.toml", 1)


def test_an_option_given_again_adds_to_it(asked):
    grid, _ = asked("run", "topk_pruning", "--K", "3", "--seed", "1", "--K", "4", "5", "--seed", "2")
    assert [axis.coordinate for axis in grid.axes] == [(3, 4, 5), (1, 2)]


@pytest.mark.parametrize(
    "memory",
    ["9" * 400, 10**400, 10**5000, float("inf"), float("nan"), -5],
    ids=["text", "400 digits", "5000 digits", "inf", "nan", "negative"],
)
def test_what_is_no_size_is_one_line(memory, one_line):
    one_line(lambda: parse_memory(memory, tuple(jax.devices()[:1])), "memory: ", "2GB")


def test_devices_and_sizes_are_numbers_of_any_kind(two_devices, one_line):
    assert resolve(np.int64(1), useful=9) == tuple(two_devices[:1])
    assert resolve(two_devices, useful=9) == tuple(two_devices)
    assert parse_memory(np.float32(4e9), tuple(two_devices)) == parse_memory(1e17, tuple(two_devices)) // 25_000_000
    one_line(lambda: resolve([two_devices[1]] * 2, useful=9), "devices", str(two_devices[1]), "twice")
    one_line(lambda: resolve(np.int64(99), useful=9), "devices", "99")
    one_line(lambda: resolve(True, useful=9), "devices", "True")


# --- where results go -------------------------------------------------------------------------------


GRID = ["run", "topk_pruning", *TOY, "--K", "3", "16", "--sigma-p", "0.1", "0.5"]


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def hidden_store(folder):
    (found,) = folder.glob(".*.store")
    return found


def no_training(*_, **__):
    raise AssertionError("it was trained")


def test_out_is_looked_at_before_anything_is_trained(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "sweep", no_training)
    (tmp_path / "a.nc").mkdir()
    (tmp_path / "file").write_text("")
    assert "is a folder" in _fails(capsys, *GRID, "--out", str(tmp_path / "a.nc"))
    assert "cannot be made" in _fails(capsys, *GRID, "--out", str(tmp_path / "file" / "a.nc"))
    assert "too long" in _fails(capsys, *GRID, "--out", str(tmp_path / f"{'a' * 240}.nc"))
    store = str(tmp_path / "b.nc")
    assert "is a folder" in _fails(capsys, *GRID, "--out", store, "--store", store)

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    assert "No space left" in _fails(capsys, *GRID, "--out", str(tmp_path / "c.nc"))
    assert names(tmp_path) == ["a.nc", "file"]


def test_each_grid_has_a_file_of_its_own(tmp_path, monkeypatch):
    stores = []

    def sweep(grid, *, store, **_):
        stores.append(pathlib.Path(store))
        return xr.Dataset({"status": np.int8(1)}, attrs={"store": str(store)})

    monkeypatch.setattr(engine, "sweep", sweep)
    monkeypatch.chdir(tmp_path)
    pathlib.Path("grid.toml").write_text('experiment = "topk_pruning"\n[axes]\nK = [3, 4]\n')
    same = [["topk_pruning", "--K", "3", "4"], ["topk_pruning", "--K", "3", "--K", "4", "--seed", "0"], ["grid.toml"]]
    for command in same:
        cli.main(["run", *command, "--quiet"])
    assert len(names(tmp_path / "runs")) == 1
    more = ["--mu 2", "--seed 1", "--seed 0 1", "--reading printed", "--record-every 5", "--precision tf32"]
    other = ["--K 4 3", "--K 3", "--K 3 4 5", *(f"--K 3 4 {option}" for option in more)]
    for options in other:
        cli.main(["run", "topk_pruning", *options.split(), "--quiet"])
    found = names(tmp_path / "runs")
    assert len(found) == len(set(stores)) == 1 + len(other)
    assert all(re.fullmatch(r"topk_pruning-[0-9a-f]{8}\.nc", name) for name in found)
    assert {store.name for store in stores} == {f".{n[:-3]}.{n[-11:-3]}.store" for n in found}
    assert all("store" not in xr.load_dataset(tmp_path / "runs" / name).attrs for name in found)


def test_a_file_that_cannot_be_written_costs_nothing(capsys, tmp_path, monkeypatch):
    """A good file stays as it is, what was trained is kept, and the same command goes on without training."""
    out = tmp_path / "a.nc"
    cli.main([*GRID, "--out", str(out)])
    before = out.read_bytes()

    def full(self, path, **_):
        pathlib.Path(path).write_bytes(b"CDF")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(xr.Dataset, "to_netcdf", full)
        error = _fails(capsys, *GRID, "--out", str(out))
    store = hidden_store(tmp_path)
    for part in (str(out), "No space left", str(store), "same command goes on"):
        assert part in error
    assert out.read_bytes() == before
    assert names(tmp_path) == [store.name, "a.nc"]
    assert (snl.open_store(store).status == 1).all()

    kept = snl.open_store(store).load()
    monkeypatch.setattr(Trainer, "run", no_training)
    cli.main([*GRID, "--out", str(out)])
    with xr.open_dataset(out) as written:
        np.testing.assert_array_equal(written.test_loss, kept.test_loss.transpose(*written.test_loss.dims))
        assert "store" not in written.attrs
    assert names(tmp_path) == ["a.nc"]


def test_a_store_is_named_where_its_netcdf_cannot_be_written(capsys, tmp_path, monkeypatch):
    def full(self, path, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    error = _fails(capsys, *GRID, "--out", str(tmp_path / "a.nc"), "--store", str(tmp_path / "s"))
    assert f"kept in {tmp_path / 's'}" in error
    assert names(tmp_path) == ["s"]


def test_interrupted_it_goes_on(capsys, tmp_path, monkeypatch):
    """Finished blocks are in the hidden store; the line to go on stands there; a new file appears at the end only."""
    from snljax.sweep.store import Store

    out, put, blocks = tmp_path / "a.nc", Store.put, []

    def stop_after_two(self, finished):
        if len(blocks) == 2:
            raise KeyboardInterrupt
        blocks.append(finished.work.block)
        return put(self, finished)

    command = [*GRID, "--seed", "0", "1", "--block", "1", "1", "--out", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", stop_after_two)
        with pytest.raises(SystemExit) as stopped:
            cli.main(command)
    assert stopped.value.code == 130
    errors = capsys.readouterr().err
    store = hidden_store(tmp_path)
    assert f"to go on: snljax {' '.join(command)}" in errors
    assert str(store) in errors
    assert names(tmp_path) == [store.name]
    assert int((snl.open_store(store).status == 1).sum()) == 2

    cli.main(command)
    assert (xr.load_dataset(out).status == 1).all()
    assert names(tmp_path) == ["a.nc"]


def test_the_same_command_twice_at_once_is_refused(capsys, tmp_path):
    out = tmp_path / "a.nc"
    with output.alone(output.hidden_store(out, output.digest(cli_grid(), None, "highest"))):
        assert "to wait for it" in _fails(capsys, *GRID, "--out", str(out))
    cli.main([*GRID, "--out", str(out)])
    assert names(tmp_path) == ["a.nc"]


def cli_grid():
    sizes = {name.replace("-", "_"): value for name, value in SIZES.items() if name != "devices"}
    return snl.Grid("topk_pruning", sigma_p=[0.1, 0.5], K=[3, 16], **sizes)


def test_failed_blocks_say_where_the_others_are(capsys, tmp_path, monkeypatch):
    def sweep(grid, *, store, **_):
        raise SweepError("1 blocks raised, all others are trained", None, {})

    monkeypatch.setattr(engine, "sweep", sweep)
    with pytest.raises(SystemExit) as stopped:
        cli.main([*GRID, "--out", str(tmp_path / "a.nc")])
    assert stopped.value.code == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert f"kept in {tmp_path}/.a." in errors


def test_cells_that_cannot_be_read_are_not_written(capsys, tmp_path, monkeypatch):
    ds = xr.Dataset({"status": ("K", np.int8([1, 0]))})
    monkeypatch.setattr(engine, "sweep", lambda *_, **__: ds)
    assert "1 cells cannot be read" in _fails(capsys, *GRID, "--out", str(tmp_path / "a.nc"))
    assert names(tmp_path) == []


def test_with_dask_nothing_is_hidden_beside_the_file(capsys, tmp_path, monkeypatch):
    """The workers may not see this folder."""
    import distributed

    seen = []

    class Client:
        def __init__(self, address, timeout):
            assert address == "tcp://nowhere:1"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def get_executor(self):
            return "its executor"

    def sweep(grid, *, store, executor, **_):
        seen.append((store, executor))
        raise Interrupted("interrupted: 0 of 4 cells were finished", None)

    monkeypatch.setattr(engine, "sweep", sweep)
    monkeypatch.setattr(distributed, "Client", Client)
    with pytest.raises(SystemExit):
        cli.main([*GRID, "--dask", "tcp://nowhere:1", "--out", str(tmp_path / "a.nc")])
    assert seen == [(None, "its executor")]
    assert "to go on" not in capsys.readouterr().err
    assert names(tmp_path) == []


# --- pictures ---------------------------------------------------------------------------------------


def phase(values, **coordinates):
    """A Dataset over a and b, all cells done."""
    values = np.asarray(values)
    cells = (("a", "b"), values), (("a", "b"), np.ones(values.shape, np.int8))
    return xr.Dataset(dict(zip(("m", "status"), cells, strict=True)), {"a": [1, 2], "b": [3, 4]} | coordinates)


def test_pictures_of_files_with_dots_do_not_meet(tmp_path):
    ds = phase([[1.0, 2.0], [3.0, 4.0]])
    for name in ("v0.5", "v0.7", "v0.7.nc"):
        ds.to_netcdf(tmp_path / name, engine="scipy")
        cli.main(["plot", str(tmp_path / name)])
    cli.main([*GRID, "--store", str(tmp_path / "s0.5")])
    cli.main(["plot", str(tmp_path / "s0.5")])
    assert [n for n in names(tmp_path) if n.endswith(".png")] == ["s0.5.png", "v0.5.png", "v0.7.png"]


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda ds: ds.drop_vars("status"), ["status"]),
        (lambda ds: ds.drop_vars("m"), ["no metrics"]),
        (lambda ds: xr.Dataset(), ["status"]),
        (lambda ds: ds.assign(status=ds.status.astype(str)), ["status"]),
        (lambda ds: ds.assign(m=ds.m.astype(str)), ["no metrics"]),
        (lambda ds: ds.isel(a=0, b=0), ["no dimension"]),
        (lambda ds: ds.isel(a=slice(0)), ["no cell"]),
        (lambda ds: ds * np.nan, ["no cell"]),
        (lambda ds: ds.assign_coords(a=[1.0, np.nan]), ["a.nc"]),
    ],
)
def test_foreign_datasets_are_one_line(make, parts, capsys, tmp_path):
    file = tmp_path / "a.nc"
    make(phase([[1.0, 2.0], [3.0, 4.0]])).to_netcdf(file)
    error = _fails(capsys, "plot", str(file))
    for part in [str(file), "allowed", *parts]:
        assert part in error, error


@pytest.mark.parametrize("content", [b"", b"text", b"CDF", b"CDF\x01" + b"\xff" * 99, b"CDF\x01" + bytes(99)])
def test_foreign_files_are_one_line(content, capsys, tmp_path):
    file = tmp_path / "a.nc"
    file.write_bytes(content)
    assert str(file) in _fails(capsys, "plot", str(file))


def test_any_part_of_a_file_is_a_picture_or_one_line(capsys, tmp_path):
    file = tmp_path / "a.nc"
    phase([[1.0, 2.0], [3.0, 4.0]]).to_netcdf(file)
    whole = file.read_bytes()
    for length in range(0, len(whole), 37):
        file.write_bytes(whole[:length])
        assert str(file) in _fails(capsys, "plot", str(file))


def drawn(monkeypatch, ds, tmp_path, *options):
    """What `plot` hands to the heatmap."""
    from snljax import plotting

    seen = []
    heatmap = plotting.heatmap
    monkeypatch.setattr(plotting, "heatmap", lambda values, **how: seen.append(values) or heatmap(values, **how))
    ds.to_netcdf(tmp_path / "a.nc")
    cli.main(["plot", str(tmp_path / "a.nc"), *options])
    (values,) = seen
    return values


@pytest.mark.parametrize("dtype", [np.int32, bool])
def test_cells_without_a_number_are_not_in_the_mean(dtype, monkeypatch, tmp_path):
    """Whole numbers have no NaN: where a cell is pending or diverged stands whatever fills it."""
    ds = phase([[1, 1], [1, 1]]).expand_dims(seed=[0, 1]).copy(deep=True)
    ds["status"][:, 0, 0], ds["status"][0, 1, 1], ds["status"][1, 0, 1] = 2, 0, 2
    ds["m"] = ds.m.where(ds.status == 1, 0 if dtype is bool else -9999).astype(dtype)
    values = drawn(monkeypatch, ds, tmp_path)
    np.testing.assert_array_equal(values, [[np.nan, 1], [1, 1]])


@pytest.mark.parametrize(("at", "factor"), [("7", 1), ("8", 10)])
def test_a_value_of_a_further_dimension_is_drawn(at, factor, monkeypatch, tmp_path):
    ds = phase([[1.0, 2.0], [3.0, 4.0]]).expand_dims(c=[7, 8])
    ds["m"] = ds.m * xr.DataArray([1.0, 10.0], dims="c")
    values = drawn(monkeypatch, ds, tmp_path, "--x", "a", "--y", "b", "--at", f"c={at}")
    np.testing.assert_array_equal(values, factor * np.array([[1, 2], [3, 4]]))


def test_infinite_values_leave_the_colours_alone(monkeypatch, tmp_path):
    values = drawn(monkeypatch, phase([[1.0, np.inf], [3.0, 4.0]]), tmp_path, "--log")
    np.testing.assert_array_equal(values, [[1, np.nan], [3, 4]])


def test_logarithmic_colours_need_positive_values(capsys, tmp_path):
    phase([[0.0, 2.0], [3.0, 4.0]]).to_netcdf(tmp_path / "a.nc")
    assert "without --log" in _fails(capsys, "plot", str(tmp_path / "a.nc"), "--log")
    assert "no dimension" in _fails(capsys, "plot", str(tmp_path / "a.nc"), "--x", "a", "--y", "a")


# --- the shell --------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("argv", [["list"], ["run", "topk_pruning", "--help"]])
def test_a_full_standard_output_is_one_line(argv, unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "snljax.cli", *argv],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "snljax: standard output cannot be written or read (No space left on device)\n"
