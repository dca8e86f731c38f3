"""The command line: parses arguments, calls the library, prints. Errors are one line, exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import pathlib
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

_LOOK_SECONDS = 0.5
_WATCH_SECONDS = 3.0
EPILOG = "Ctrl-C keeps what is finished. Every command says more with --help."


class _Parser(argparse.ArgumentParser):
    """One line for an error; the nearest option is offered for an unknown one."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0]
        if message.startswith("unrecognized") and unknown.startswith("-"):
            options = [o for action in self._actions for o in action.option_strings if o.startswith("--")]
            near = difflib.get_close_matches(unknown, options, 1, 0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            message = f"{unknown} is not known; {hint}allowed: {' '.join(o for o in options if o != '--help')}"
        print(f"snljax: {message}", file=sys.stderr)
        raise SystemExit(2)


class _BadNewsError(Exception):
    """A command that did its work and has bad news."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the ``snljax`` command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    arguments = argparse.Namespace(run=None)
    try:
        arguments, unknown = _parser(argv).parse_known_args(argv)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.run(arguments)
    except ValueError as error:
        print(f"snljax: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except _BadNewsError as failed:
        print(f"snljax: {failed}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as stopped:
        print(f"snljax: {str(stopped) or 'interrupted'}", file=sys.stderr)
        if arguments.run is _reproduce or (arguments.run is _run and arguments.store):
            print(f"snljax: to go on: {shlex.join(['snljax', *argv])}", file=sys.stderr)
        raise SystemExit(128 + getattr(stopped, "signal_number", signal.SIGINT)) from None
    except BrokenPipeError:  # the reader, head for example, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _parser(argv: Sequence[str]) -> _Parser:
    from snljax import experiments, figures

    parser = _Parser(prog="snljax", description="Phase diagrams as one XLA program.", epilog=EPILOG, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, help: str) -> _Parser:
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(run=run, parser=sub)
        return sub

    command("list", _list, "experiments and figures, one line each")

    run = command("run", _run, "train a grid given by options or by a TOML file, and write the Dataset")
    run.add_argument("what", metavar="EXPERIMENT|FILE.toml", help="; ".join(experiments.NAMES))
    run.add_argument("--store", help="folder that keeps every finished block; the same command resumes")
    run.add_argument("--shard", metavar="I/N", help="train only the I-th of N parts of the store, for job arrays")
    run.add_argument(
        "--out", type=pathlib.Path, help="netCDF file to write (default runs/EXPERIMENT.nc; none with --store)"
    )
    run.add_argument("--record-every", type=int, metavar="STEPS", help="measure on the way too")
    _sweep_options(run)
    what = next((a for a in argv[1:] if not a.startswith("-")), None) if argv[:1] == ["run"] else None
    if what is not None and not what.endswith(".toml"):
        _field_options(run, what)

    reproduce = command("reproduce", _reproduce, "a figure: train, draw, check its claims")
    reproduce.add_argument("figure", help="; ".join(figures.NAMES))
    reproduce.add_argument("--preset", default="quick", help="quick (default) or paper")
    reproduce.add_argument("--out", default="runs", metavar="DIR", help="folder for the results (default runs)")
    _sweep_options(reproduce)

    plot = command("plot", _plot, "a heatmap of a Dataset")
    plot.add_argument("file", metavar="FILE|STORE", type=pathlib.Path, help="netCDF file, or store")
    plot.add_argument("--out", type=pathlib.Path, help="picture to write (default FILE.png)")
    _heatmap_options(plot)

    status = command("status", _status, "how far a store is: blocks, rate, time left, hosts")
    status.add_argument("store", metavar="STORE", help="folder of run --store, or *.store of reproduce")
    status.add_argument("--watch", action="store_true", help="again every few seconds, until all is done")
    status.add_argument("--verify", action="store_true", help="compare every finished block with its hashes")
    status.add_argument("--png", type=pathlib.Path, help="draw what is there as a heatmap")
    _heatmap_options(status)

    command("doctor", _doctor, "what this installation runs on, and whether it works")
    return parser


def _heatmap_options(parser: _Parser) -> None:
    parser.add_argument("--metric", help="default test_loss, or else the first")
    parser.add_argument("--x", help="dimension along x (default the first)")
    parser.add_argument("--y", help="dimension along y (default the second)")
    parser.add_argument("--threshold", type=float, help="draw the line at this value")
    parser.add_argument("--log", action="store_true", help="logarithmic colours")


def _sweep_options(parser: _Parser) -> None:
    parser.add_argument("--dask", metavar="ADDRESS", help="train on the workers of this Dask scheduler")
    parser.add_argument(
        "--accept-program", action="store_true", help="go on with a store that another version of jax began"
    )
    parser.add_argument("--devices", type=int, help="how many of this host's devices (default all)")
    parser.add_argument("--memory", help="budget for training, such as 2GB (default half of the machine's)")
    parser.add_argument("--block", type=int, nargs=2, metavar=("SEEDS", "POINTS"), help="networks trained at once")
    parser.add_argument("--precision", default="highest", help="of matrix products: highest (default) or tf32")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _field_options(parser: _Parser, name: str) -> None:
    """One option for each field of the experiment; several values make an axis."""
    from snljax import experiments
    from snljax.experiment import fields_of, readings_of

    experiment = experiments.get(name)
    group = parser.add_argument_group(f"fields of {name}", "one value fixes a field, several make an axis")
    for info in fields_of(experiment.Config).values():
        allowed = " | ".join(map(str, info.choices)) if info.choices else info.range or "true | false"
        text = f"{info.help}; {allowed}; default {'none' if info.default is None else info.default}"
        flag = "--" + info.name.replace("_", "-")
        group.add_argument(flag, nargs="+", dest=f"field_{info.name}", metavar="V", help=text.replace("%", "%%"))
    group.add_argument("--seed", nargs="+", dest="field_seed", metavar="V", help="whole numbers; default 0")
    group.add_argument("--reading", help=f"{' | '.join(readings_of(experiment))}")


@contextlib.contextmanager
def _options(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Arguments of sweep; a Dask client lives as long as they are used."""
    with contextlib.ExitStack() as stack:
        executor = None
        if arguments.dask is not None:
            try:
                from distributed import Client
            except ImportError:
                raise ValueError("dask: not installed; allowed: pip install 'snljax[dask]'") from None
            try:
                executor = stack.enter_context(Client(arguments.dask, timeout="10s")).get_executor()
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"dask: no scheduler at {arguments.dask} ({_first_line(error)}); allowed: its address, such as "
                    "tcp://127.0.0.1:8786"
                ) from None
        yield {
            "executor": executor,
            "accept_program": arguments.accept_program,
            "devices": arguments.devices,
            "memory": arguments.memory,
            "block": None if arguments.block is None else tuple(arguments.block),
            "precision": arguments.precision,
            "progress": not arguments.quiet,
        }


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit()):
        raise ValueError(f"shard: {text!r}; allowed: I/N, such as 2/8")
    return int(part), int(parts)


def _grid(arguments: argparse.Namespace) -> Any:
    from snljax import experiments
    from snljax.experiment import fields_of
    from snljax.sweep.grid import Grid

    if arguments.what.endswith(".toml"):
        return Grid.from_toml(arguments.what)
    kinds = {n: f.type for n, f in fields_of(experiments.get(arguments.what).Config).items()} | {"seed": int}
    given = {n: getattr(arguments, f"field_{n}") for n in kinds}
    settings = {n: [_value(n, kinds[n], t) for t in texts] for n, texts in given.items() if texts is not None}
    return Grid(
        arguments.what, reading=arguments.reading, **{n: v if len(v) > 1 else v[0] for n, v in settings.items()}
    )


def _value(name: str, kind: type, text: str) -> Any:
    """Text from the shell as a value of the field's type."""
    if text == "none":
        return None
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass  # Grid says what is wrong with the text
    return text


def _list(_: argparse.Namespace) -> None:
    from snljax import experiments, figures

    print("experiments (snljax run NAME):")
    for name in experiments.NAMES:
        print(f"  {name:<16} {(experiments.get(name).Config.__doc__ or '').splitlines()[0]}")
    print("figures (snljax reproduce NAME):")
    for name in figures.NAMES:
        print(f"  {name:<16} {figures.get(name).summary}")


def _run(arguments: argparse.Namespace) -> None:
    from snljax.reproduce import make_folder
    from snljax.sweep.engine import Interrupted, SweepError, sweep

    grid = _grid(arguments)
    out = arguments.out or (None if arguments.store else pathlib.Path("runs", f"{grid.experiment.name}.nc"))
    if out is not None:
        if out.suffix != ".nc":
            raise ValueError(f"out: {out} is not a netCDF file; allowed: a name that ends in .nc")
        make_folder(out.parent)
    print(grid)
    extra = {"store": arguments.store, "shard": _shard(arguments.shard), "record_every": arguments.record_every}
    try:
        with _options(arguments) as options:
            ds = sweep(grid, **extra, **options)
    except SweepError as failed:
        raise _BadNewsError(failed) from None
    except Interrupted as stopped:
        if arguments.store:
            raise
        assert out is not None
        part = out.with_suffix(".partial.nc")
        stopped.dataset.to_netcdf(part)
        raise Interrupted(f"{stopped}, written to {part}", stopped.dataset, stopped.signal_number) from None
    if out is not None:
        ds.to_netcdf(out)
    print(ds)
    print(f"wrote {out or arguments.store}")


def _reproduce(arguments: argparse.Namespace) -> None:
    from snljax.figures.claims import to_terminal
    from snljax.reproduce import reproduce
    from snljax.sweep.engine import SweepError

    imported = time.process_time()
    try:
        with _options(arguments) as options:
            report = reproduce(arguments.figure, arguments.preset, arguments.out, **options)
    except SweepError as failed:
        raise _BadNewsError(failed) from None
    print(to_terminal(report.claims))
    for path in report.files:
        print(f"wrote {path}")
    seconds = {"import": imported, **report.seconds}
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def _plot(arguments: argparse.Namespace) -> None:
    import xarray as xr

    if arguments.file.is_dir():
        from snljax.sweep.dataset import open_store

        ds = open_store(arguments.file)
    else:
        try:
            ds = xr.load_dataset(arguments.file)
        except (OSError, ValueError, TypeError):
            raise ValueError(
                f"file: {arguments.file} cannot be read; allowed: a netCDF file written by snljax, or a store"
            ) from None
    out = arguments.out or arguments.file.with_suffix(".png")
    _draw(ds, arguments, str(arguments.file), out)
    print(f"wrote {out}")


def _draw(ds: Any, arguments: argparse.Namespace, source: str, out: pathlib.Path) -> None:
    """A heatmap of two dimensions: mean over seeds, last record, first of anything else."""
    import matplotlib.pyplot as plt

    from snljax import plotting

    names = [str(n) for n in ds.data_vars if n not in ("status", "first_bad_step")]
    metric = arguments.metric or ("test_loss" if "test_loss" in names else names[0])
    if metric not in names:
        raise ValueError(f"metric: {metric!r} is not in {source}; allowed: {', '.join(names)}")
    values = ds[metric]
    values = values.isel(step=-1) if "step" in values.dims else values
    values = values.mean("seed", keep_attrs=True) if "seed" in values.dims else values
    dims = [str(d) for d in values.dims]
    x = arguments.x or next((d for d in dims if d != arguments.y), "")
    y = arguments.y or next((d for d in dims if d != x), "")
    for name, value in (("x", x), ("y", y)):
        if value not in dims or len(dims) < 2:
            raise ValueError(f"{name}: {value!r} is no dimension to draw; allowed: two of {', '.join(dims) or 'none'}")
    if not bool(values.notnull().any()):
        raise ValueError(f"{metric}: nothing in {source} is finished yet; allowed: later")
    plotting.heatmap(values, x=x, y=y, threshold=arguments.threshold, log=arguments.log, status=ds.status)
    try:
        plt.savefig(out, dpi=200)
    except (OSError, ValueError) as error:
        raise ValueError(f"out: {out} cannot be written ({error})") from None
    finally:
        plt.close()


def _status(arguments: argparse.Namespace) -> None:
    from snljax.sweep.status import report, status

    while True:
        now = status(arguments.store, seconds=float("inf") if arguments.verify else _LOOK_SECONDS)
        if arguments.watch and sys.stdout.isatty():
            print("\033[H\033[J", end="")
        print(report(now), flush=True)
        complete = now.cells_done == now.cells
        if arguments.png is not None and (now.blocks_done or not arguments.watch):
            from snljax.sweep.dataset import open_store  # brings JAX, which a look does not need

            _draw(open_store(arguments.store), arguments, arguments.store, arguments.png)
            print(f"wrote {arguments.png}")
        if not arguments.watch or complete:
            break
        time.sleep(_WATCH_SECONDS)
    if now.damaged:
        raise _BadNewsError(f"{len(now.damaged)} damaged blocks; the command that made the store trains them again")


def _doctor(_: argparse.Namespace) -> None:
    """Versions, devices, memory, and one small training run against its known answer."""
    import importlib.metadata
    import platform

    from snljax.sweep import devices as local_devices
    from snljax.sweep.engine import sweep
    from snljax.sweep.grid import Grid

    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    for name in ("snljax", "jax", "jaxlib", "numpy", "xarray", "zarr", "optax", "flax", "matplotlib"):
        print(f"{name} {importlib.metadata.version(name)}")
    devices = local_devices.resolve(None, useful=1_000_000)
    print(f"devices: {', '.join(map(str, devices))} ({devices[0].device_kind})")
    print(f"memory for training: {local_devices.human_bytes(local_devices.parse_memory(None, devices))} a device")
    started = time.perf_counter()
    grid = Grid("topk_pruning", sigma_p=0.1, K=8, n=32, n_test=100, d=32, m=4, num_classes=2, steps=500)
    loss = float(sweep(grid, progress=False).test_loss)
    good = loss < 0.1
    print(
        f"a small network trained in {time.perf_counter() - started:.1f} s to test loss {loss:.3f}: "
        f"{'as it should' if good else 'NOT as it should (below 0.1)'}"
    )
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
