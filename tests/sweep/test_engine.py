"""The engine: one program for a grid, the same bits in any order, records, divergence, interruption, output."""

from __future__ import annotations

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from harness import PAPER, PowersMetrics, assert_same_bits, bits, need_devices

import snljax as snl
from snljax import Grid, experiments
from snljax.experiments.topk_pruning import EXPERIMENT
from snljax.sweep import program, progress
from snljax.variables import DIVERGED, DONE, PENDING

BLOCK = (1, 4)
TRACES: list[tuple[int, ...]] = []
AXES = {"sigma_p": [0.5, 1.0, 1.5], "K": [4, 8], "seed": [0, 7]}


def sweep(grid, **options):
    return snl.sweep(grid, **({"devices": 1, "block": BLOCK, "progress": False} | options))


def paper(experiment, **settings):
    """Paper 000, small; the settings, and with them the axes, come first."""
    return Grid(experiment, **settings, **{name: v for name, v in PAPER.items() if name not in settings})


@pytest.fixture(scope="module")
def traced():
    """Paper 000 with a step that counts how often it is traced, and its heatmap over noise, K and seed."""

    def step(*arguments):
        TRACES.append(arguments[-1].shape)
        return EXPERIMENT.step(*arguments)

    counted = EXPERIMENT._replace(step=step)
    TRACES.clear()
    return counted, sweep(paper(counted, **AXES)), len(TRACES)


# --- one program ------------------------------------------------------------------------------------


def test_a_whole_heatmap_is_one_trace_and_one_program(traced):
    _, ds, traces = traced
    assert traces == 1
    assert (ds.status == DONE).all()
    assert ds.attrs["programs_compiled"] == 1


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"K": [4, 8, 12, 16, 24]}, {}),
        ({"sigma_p": [0.25]}, {}),
        ({"seed": [3, 1, 4, 15]}, {}),
        ({"steps": 57}, {}),
        ({"steps": 0}, {}),
        ({"steps": 21}, {"record_every": 5}),
        ({"mu": 2.0, "learning_rate": 0.01}, {}),
    ],
    ids=["more K", "other noise", "other seeds", "longer", "not at all", "records", "other fixed numbers"],
)
def test_other_numbers_need_no_new_program(traced, changes, options):
    """Functions are traced anew in each sweep, since they may have changed; nothing is compiled."""
    experiment, before, _ = traced
    TRACES.clear()
    ds = sweep(paper(experiment, **(AXES | changes)), **options)
    assert len(TRACES) == 1
    assert ds.attrs["programs_compiled"] == 0
    assert ds.attrs["block"] == before.attrs["block"] == json.dumps(BLOCK)
    assert (ds.status == DONE).all()


# --- the same bits ----------------------------------------------------------------------------------


def test_neighbours_do_not_matter(traced):
    """A cell alone, in a smaller and in a larger grid: equal to the bit at equal block shape."""
    experiment, ds, _ = traced
    alone = sweep(paper(experiment, sigma_p=[1.0], K=[8], seed=[7]))
    assert_same_bits(alone, ds.sel(sigma_p=[1.0], K=[8], seed=[7]))
    more = sweep(paper(experiment, sigma_p=[2.0, 1.5, 0.1, 1.0, 0.5], K=[24, 8, 4], seed=[7, 3, 0]))
    assert_same_bits(more.sel(AXES), ds)


def test_order_of_axes_and_values_does_not_matter(traced):
    experiment, ds, _ = traced
    turned = sweep(paper(experiment, **{name: values[::-1] for name, values in reversed(AXES.items())}))
    assert dict(turned.sizes) == {"seed": 2, "K": 2, "sigma_p": 3}
    assert_same_bits(turned.sel(AXES).transpose(*ds.dims), ds)


def test_a_scalar_is_an_axis_of_one(traced):
    """A field that is fixed is not batched, which is another program: equal to rounding."""
    _, ds, _ = traced
    alone = sweep(paper("topk_pruning", sigma_p=1.0, K=8, seed=7), block=(1, 1))
    assert alone.sizes == {}
    cell = ds.sel(sigma_p=1.0, K=8, seed=7)
    for name in alone.data_vars:
        np.testing.assert_allclose(alone[name], cell[name], rtol=1e-5, err_msg=name)


def test_two_devices_give_the_bits_of_one(two_devices, traced):
    """Three blocks of two devices, one of them padded. The program differs, so the step is traced anew."""
    _, ds, _ = traced
    for devices in (2, two_devices):
        double = sweep(paper("topk_pruning", **AXES), devices=devices)
        assert double.attrs["devices"] == 2
        assert_same_bits(double, ds)
    alone = sweep(paper("topk_pruning", sigma_p=[1.0], K=[8], seed=[7]), devices=2)
    assert_same_bits(alone, ds.sel(sigma_p=[1.0], K=[8], seed=[7]))


@pytest.mark.parametrize("block", [(1, 1), (2, 4), (1, 8), (4, 2), None])
@pytest.mark.parametrize("devices", [1, 2])
def test_block_shapes_change_rounding_at_most(powers, block, devices):
    """All points of a seed share its draw, whatever the block; this system has no rounding to differ in."""
    need_devices(devices)
    settings = {"rate": [0.5, 0.25, 2.0, 1.0, 4.0], "spread": 0.5, "seed": [2, 0, 1], "steps": 3, "width": 2}
    ds = sweep(Grid(powers, **settings), block=block, devices=devices)
    key = jax.random.key(0)
    for i, seed in enumerate(settings["seed"]):
        normals = jax.random.normal(jax.random.fold_in(key, seed), (2,))
        expected = np.array(settings["rate"], np.float32)[:, None] ** 3 * (1 + 0.5 * np.asarray(normals))
        np.testing.assert_allclose(ds["values"][:, i], expected, rtol=1e-6)


# --- the Dataset ------------------------------------------------------------------------------------


def test_dimensions_coordinates_and_attributes(traced):
    _, ds, _ = traced
    assert dict(ds.sizes) == {"sigma_p": 3, "K": 2, "seed": 2}
    for name, values in AXES.items():
        assert ds[name].values.tolist() == values
    assert ds.sigma_p.attrs["long_name"] == r"$\sigma_p$"
    assert {v.dims for v in ds.data_vars.values()} == {("sigma_p", "K", "seed")}
    values = [ds[name].values for name in ("train_loss", "status", "first_bad_step")]
    chex.assert_type(values, [np.float32, np.int8, np.int32])
    assert ds.status.attrs["flag_meanings"] == "pending done diverged"
    assert (ds.first_bad_step == -1).all()
    assert "gamma" not in ds  # metrics that are None are left out
    settings = json.loads(ds.attrs["settings"])
    assert settings["n"] == PAPER["n"]
    assert not {"sigma_p", "K"} & settings.keys()
    assert (ds.attrs["experiment"], ds.attrs["reading"]) == ("topk_pruning", "fitted")
    assert json.loads(ds.attrs["seeds"]) == AXES["seed"]
    assert (ds.attrs["precision"], ds.attrs["dtype"], ds.attrs["devices"]) == ("highest", "float32", 1)
    assert json.loads(ds.attrs["versions"])["jax"] == jax.__version__
    assert all(isinstance(v, (int, float, str)) for v in ds.attrs.values())


def test_metrics_with_dimensions_of_their_own(powers):
    ds = sweep(Grid(powers, rate=[0.5, 2.0], seed=[0, 1, 2], width=4), record_every=2)
    assert ds["values"].dims == ("rate", "seed", "step", "coordinate")
    assert ds["mean"].dims == ("rate", "seed", "step")
    assert dict(ds.sizes) == {"rate": 2, "seed": 3, "step": 3, "coordinate": 4}
    np.testing.assert_array_equal(ds["values"].sel(rate=2.0, seed=0), [[1.0] * 4, [4.0] * 4, [16.0] * 4])
    np.testing.assert_array_equal(ds.above_one.sel(rate=2.0, seed=0), [0, 4, 4])  # counts become floats
    unnamed = sweep(Grid(powers._replace(dims={}), width=4))
    assert unnamed["values"].dims == ("values_dim_0",)


def test_zipped_fields_are_coordinates_of_one_dimension(powers):
    ds = sweep(Grid(powers, snl.zip(rate=[2.0, 3.0], start=[1.0, 2.0]), protocol=snl.zip(spread=[0.0, 0.0]), steps=2))
    assert ds["mean"].dims == ("rate", "protocol")
    assert (ds.rate.dims, ds.start.dims, ds.spread.dims) == (("rate",), ("rate",), ("protocol",))
    np.testing.assert_array_equal(ds["mean"], [[4.0, 4.0], [36.0, 36.0]])


def test_names_and_none_as_static_axis(powers):
    """A static field that changes nothing: one program per value, None spelled out."""
    ds = sweep(Grid(powers, label=[None, "a"], rate=[2.0, 3.0], steps=1))
    assert ds.label.values.tolist() == ["none", "a"]
    np.testing.assert_array_equal(ds["mean"], [[2.0, 3.0], [2.0, 3.0]])


def test_a_static_axis_gives_the_numbers_of_separate_sweeps(powers):
    settings = {"rate": [0.5, 3.0], "spread": 1.0, "seed": [0, 1]}
    together = sweep(Grid(powers, width=[2, 5], **settings))
    assert together["values"].dims == ("width", "rate", "seed", "coordinate")
    for width in (2, 5):
        one = sweep(Grid(powers, width=width, **settings))
        both = together.sel(width=width)
        np.testing.assert_array_equal(bits(one["mean"]), bits(both["mean"]))
        np.testing.assert_array_equal(bits(one["values"]), bits(both["values"])[..., :width])
        assert np.isnan(both["values"][..., width:]).all()  # there is no such coordinate


# --- records ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "every", "at"), [(10, 4, [0, 4, 8, 10]), (8, 4, [0, 4, 8]), (3, 10, [0, 3]), (0, 1, [0]), (1, 1, [0, 1])]
)
def test_records_are_states_after_k_updates_from_0_to_the_end(powers, steps, every, at):
    grid = Grid(powers, rate=[0.5, 2.0], steps=steps)
    ds = sweep(grid, record_every=every)
    assert ds.step.values.tolist() == at
    np.testing.assert_array_equal(ds["mean"], np.array([[0.5], [2.0]]) ** np.array(at))
    assert_same_bits(ds.isel(step=-1, drop=True), sweep(grid))


def test_recording_does_not_change_the_run(traced):
    experiment, ds, _ = traced
    recorded = sweep(paper(experiment, **AXES), record_every=7)
    assert recorded.step.values.tolist() == [0, 7, 14, 21, 28, 35, 40]
    assert_same_bits(recorded.isel(step=-1, drop=True), ds)
    short = sweep(paper(experiment, **AXES, steps=21))
    assert_same_bits(recorded.sel(step=21, drop=True), short)


# --- divergence -------------------------------------------------------------------------------------

RATES = {0.5: -1, 2.0: 128, 4.0: 64, 16.0: 32, 1.5: 219, 1.0: -1}  # rate^t exceeds float32 at t = 128/log2(rate)


def test_divergence_is_found_to_the_step(powers):
    """x = rate^t leaves float32 at the first t with t·log2(rate) >= 128."""
    ds = sweep(Grid(powers, rate=list(RATES), steps=300, seed=[0, 1]))
    assert ds.first_bad_step.values.tolist() == [[t, t] for t in RATES.values()]
    bad = np.array(list(RATES.values())) >= 0
    np.testing.assert_array_equal(ds.status, np.where(bad, DIVERGED, DONE)[:, None] * np.ones(2))
    np.testing.assert_array_equal(np.isnan(ds["mean"]), (ds.status == DIVERGED))
    np.testing.assert_array_equal(np.isnan(ds["values"]).all("coordinate"), (ds.status == DIVERGED))


def test_metrics_are_nan_from_the_bad_step_on_and_good_before(powers):
    ds = sweep(Grid(powers, rate=list(RATES), steps=300), record_every=32)
    for rate, bad in RATES.items():
        alive = (ds.step < bad) | (bad < 0)
        values = ds["mean"].sel(rate=rate)
        expected = float(rate) ** ds.step.where(alive, drop=True)
        tiny = np.finfo(np.float32).tiny  # XLA flushes what is smaller
        np.testing.assert_allclose(values.where(alive, drop=True), expected, rtol=1e-5, atol=tiny)
        assert values.where(~alive, drop=True).isnull().all()
        assert ds["values"].sel(rate=rate).where(~alive, drop=True).isnull().all()


def test_a_cell_that_ends_before_it_diverges_is_done(powers):
    assert int(sweep(Grid(powers, rate=[2.0], steps=127)).status[0]) == DONE
    last = sweep(Grid(powers, rate=[2.0], steps=128))
    assert (int(last.status[0]), int(last.first_bad_step[0])) == (DIVERGED, 128)


def test_a_cell_may_be_bad_from_the_start(powers):
    """start² overflows: not finite after 0 updates, whether or not there are any."""
    for steps in (0, 5):
        ds = sweep(Grid(powers, start=[1e30, 1.0], steps=steps), record_every=2)
        assert ds.first_bad_step.values.tolist() == [0, -1]
        assert ds["mean"].isel(start=0).isnull().all()
        assert ds["mean"].isel(start=1).notnull().all()


def test_diverged_cells_leave_the_others_alone(powers):
    settings = {"spread": 0.3, "seed": [0, 1], "steps": 250}
    mixed = sweep(Grid(powers, rate=[0.9, 4.0, 1.1, 16.0], **settings))
    good = sweep(Grid(powers, rate=[0.9, 0.7, 1.1, 0.8], **settings))
    assert mixed.status.sel(rate=[4.0, 16.0]).values.tolist() == [[DIVERGED] * 2] * 2
    assert_same_bits(mixed.sel(rate=[0.9, 1.1]), good.sel(rate=[0.9, 1.1]))


def test_divergence_on_two_devices(powers, two_devices):
    grid = Grid(powers, rate=list(RATES), steps=300, seed=[0, 1, 2])
    assert_same_bits(sweep(grid, devices=2), sweep(grid))


# --- interruption -----------------------------------------------------------------------------------


def stop_at_update(monkeypatch, last):
    """A progress bar whose update number ``last`` is Ctrl-C."""
    calls = []

    class Bar(progress.tqdm):
        def update(self, n=1):
            calls.append(n)
            if len(calls) == last:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(progress, "tqdm", Bar)


@pytest.mark.parametrize(("last", "finished"), [(1, 0), (2, 1), (3, 2)])
@pytest.mark.parametrize("record_every", [None, 2])
def test_ctrl_c_keeps_the_finished_blocks(powers, monkeypatch, last, finished, record_every):
    """Five points in blocks of two: what was finished is as without interruption, the rest is pending."""
    grid = Grid(powers, rate=[0.5, 0.25, 2.0, 1.0, 4.0], steps=4)
    whole = sweep(grid, block=(1, 2), record_every=record_every)
    with monkeypatch.context() as patch:
        stop_at_update(patch, last)
        with pytest.raises(snl.Interrupted, match=f"{2 * finished} of 5 cells") as stopped:
            sweep(grid, block=(1, 2), record_every=record_every)
    assert isinstance(stopped.value, KeyboardInterrupt)
    part = stopped.value.dataset
    assert part.status.values.tolist() == [DONE] * (2 * finished) + [PENDING] * (5 - 2 * finished)
    if finished:
        assert_same_bits(part.isel(rate=slice(2 * finished)), whole.isel(rate=slice(2 * finished)))
        assert part["mean"].isel(rate=slice(2 * finished, None)).isnull().all()
    assert part.attrs["experiment"] == "powers"
    assert_same_bits(sweep(grid, block=(1, 2), record_every=record_every), whole)  # and again, to the end


def test_ctrl_c_between_segments_of_a_block(powers, monkeypatch):
    """The device's programs may be interrupted at any call, here the third advance of the second block."""
    build, calls = program.build, []

    def fragile(*arguments):
        built = build(*arguments)

        def advance(*inputs):
            calls.append(inputs)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return built.advance(*inputs)

        return built._replace(advance=advance)

    monkeypatch.setattr(program, "build", fragile)
    grid = Grid(powers, rate=[0.5, 0.25, 2.0, 1.0], seed=[0, 1], steps=6)
    with pytest.raises(snl.Interrupted) as stopped:
        sweep(grid, block=(2, 2), record_every=2)
    assert stopped.value.dataset.status.values.tolist() == [[DONE] * 2] * 2 + [[PENDING] * 2] * 2


# --- precision --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_double_precision(powers):
    ds = sweep(Grid(powers, rate=[0.1, 1.1, 4.0], steps=600), record_every=50)
    chex.assert_type([ds["mean"].values, ds["values"].values], np.float64)
    assert ds.attrs["dtype"] == "float64"
    exact = ds.rate.values[:2, None] ** ds.step.values
    np.testing.assert_allclose(ds["mean"].values[:2], exact, rtol=1e-12, atol=1e-307)
    assert ds.first_bad_step.values.tolist() == [-1, -1, 512]  # 4^512 = 2^1024


def test_single_precision_after_double(powers):
    """The two do not share a program."""
    grid = Grid(powers, rate=[0.1], steps=3)
    with jax.enable_x64(True):
        assert sweep(grid)["mean"].dtype == np.float64
    assert sweep(grid)["mean"].dtype == np.float32


def test_precision_of_matrix_products_is_recorded(powers):
    assert sweep(Grid(powers), precision="tf32").attrs["precision"] == "tf32"


# --- output -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine_name", [None, "scipy"])
def test_netcdf_round_trip(powers, tmp_path, engine_name):
    ds = sweep(Grid(powers, rate=[0.5, 16.0], label=[None, "a"], seed=[3, 4], steps=40), record_every=16)
    path = tmp_path / "sweep.nc"
    ds.to_netcdf(path, engine=engine_name)
    with xr.open_dataset(path, engine=engine_name) as opened:
        back = opened.load()
    xr.testing.assert_identical(back.drop_vars(list(back.variables)), ds.drop_vars(list(ds.variables)))  # attributes
    for name in ds.variables:
        assert back[name].dims == ds[name].dims
        np.testing.assert_array_equal(back[name].values, ds[name].values, err_msg=name)
        assert back[name].attrs.get("long_name") == ds[name].attrs.get("long_name")


def test_dataframe_has_one_row_per_cell(powers):
    ds = sweep(Grid(powers, rate=[0.5, 2.0], seed=[3, 4], steps=2))
    frame = ds[["mean", "status"]].to_dataframe()
    assert frame.index.names == ["rate", "seed"]
    assert frame["mean"].tolist() == [0.25, 0.25, 4.0, 4.0]
    assert xr.Dataset.from_dataframe(frame)["mean"].equals(ds["mean"].drop_attrs())


def test_progress_goes_to_stderr_and_can_be_silent(powers, capfd):
    sweep(Grid(powers))
    assert capfd.readouterr() == ("", "")
    sweep(Grid(powers, rate=[0.5, 4.0], label=["x", "y"], steps=70), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2 programs to compile, one for each value of label" in err
    assert "2 cells diverged" in err


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"devices": 0}, ("devices", "0", "1 to")),
        ({"devices": 10_000}, ("devices", "10000", "1 to")),
        ({"devices": []}, ("devices", "none")),
        ({"devices": True}, ("devices", "True")),
        ({"devices": 1.5}, ("devices", "1.5")),
        ({"devices": "cpu"}, ("devices", "'cpu'")),
        ({"devices": [0]}, ("devices", "0")),
        ({"memory": "much"}, ("memory", "'much'", "2GB")),
        ({"memory": -1}, ("memory", "-1")),
        ({"memory": "0GB"}, ("memory", "'0GB'")),
        ({"memory": True}, ("memory", "True")),
        ({"block": 4}, ("block", "4", "(seeds, points)")),
        ({"block": (0, 4)}, ("block", "(0, 4)", "1 or more")),
        ({"block": (1, 2, 3)}, ("block", "(1, 2, 3)")),
        ({"block": (1.0, 2)}, ("block", "(1.0, 2)", "whole numbers")),
        ({"precision": "high"}, ("precision", "'high'", "highest, tf32")),
        ({"record_every": 0}, ("record_every", "0", "1 or more")),
        ({"record_every": 2.0}, ("record_every", "2.0", "whole number")),
        ({"record_every": True}, ("record_every", "True")),
    ],
    ids=str,
)
def test_bad_options(powers, options, named, one_line):
    one_line(lambda: sweep(Grid(powers), **options), *named)


def test_only_grids(one_line):
    one_line(lambda: sweep("topk_pruning"), "grid", "'topk_pruning'", "a Grid")


@pytest.mark.parametrize(
    ("block", "named"), [(None, ("one network",)), ((2, 64), ("block=(2, 64)", "a smaller block"))], ids=str
)
def test_memory_that_is_too_small(powers, block, named, one_line):
    message = one_line(lambda: sweep(Grid(powers, width=1000), block=block, memory="1KB"), "memory", "1 KB", *named)
    assert "KB or more" in message or "MB or more" in message


def test_a_tight_budget_makes_smaller_blocks_of_the_same_numbers(powers):
    grid = Grid(powers, rate=np.linspace(0.5, 1, 8), spread=1.0, width=1_000_000)
    free = sweep(grid, block=None)
    tight = sweep(grid, block=None, memory="200MB")  # 100 MB of it are the compiler's
    assert json.loads(free.attrs["block"]) == [1, 8]
    seeds, points = json.loads(tight.attrs["block"])
    assert seeds * points < 8
    np.testing.assert_allclose(tight["values"], free["values"], rtol=1e-6)


READS = {
    "arithmetic": lambda config, key: PowersMetrics(config.rate * 2.0, key, key),
    "reflected": lambda config, key: 1.0 - config.rate,
    "comparison": lambda config, key: config.rate > 0.5,
    "branch": lambda config, key: 1.0 if config.rate else 0.0,
    "jnp": lambda config, key: jnp.exp(config.rate),
    "where": lambda config, key: jnp.where(jnp.ones(3) > 0, config.rate, 0.0),
    "numpy": lambda config, key: np.asarray(config.rate),
    "shape": lambda config, key: jax.random.normal(key, (config.rate,)),
    "range": lambda config, key: [jnp.zeros(3) for _ in range(config.rate)],
    "method": lambda config, key: config.rate.astype(int),
    "random": lambda config, key: jax.random.bernoulli(key, config.rate, (3,)),
    "returned": lambda config, key: {"rate": config.rate},
}


@pytest.mark.parametrize("draw", READS.values(), ids=READS)
def test_draw_may_not_read_what_could_be_swept(powers, draw):
    """All points of a seed share one draw: a Config that would break that says which field, and what to do."""
    with pytest.raises(TypeError, match="draw reads rate, which may be swept; allowed: static fields only"):
        sweep(Grid(powers._replace(draw=draw)))


@pytest.mark.parametrize("name", experiments.NAMES)
def test_no_experiment_draws_from_traced_fields(name, one_line):
    """Its draw is traced with traced fields that cannot be read; then the budget ends it, before any compiling."""
    one_line(lambda: sweep(Grid(name), memory="1KB"), "memory")


def test_an_axis_and_a_metric_of_one_name_are_refused(powers, one_line):
    grid = Grid(powers, mean=snl.zip(rate=[0.5, 0.25], start=[1.0, 2.0]), steps=2)
    one_line(lambda: sweep(grid), "mean", "metric", "another name")
