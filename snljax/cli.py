"""The command line: parses arguments, calls the library, prints. Errors are one line, exit code 2."""

from __future__ import annotations

import argparse
import difflib
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

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


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the ``snljax`` command."""
    imported = time.process_time()
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments, unknown = _parser(argv).parse_known_args(argv)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.imported = imported
        arguments.run(arguments)
    except ValueError as error:
        print(f"snljax: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as stopped:
        print(f"snljax: {str(stopped) or 'interrupted'}", file=sys.stderr)
        raise SystemExit(130) from None
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
    run.add_argument("--out", type=pathlib.Path, help="netCDF file to write (default runs/EXPERIMENT.nc)")
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
    plot.add_argument("file", type=pathlib.Path, help="netCDF file written by run or reproduce")
    plot.add_argument("--metric", default="test_loss")
    plot.add_argument("--x", help="dimension along x (default the first)")
    plot.add_argument("--y", help="dimension along y (default the second)")
    plot.add_argument("--threshold", type=float, help="draw the line at this value")
    plot.add_argument("--log", action="store_true", help="logarithmic colours")
    plot.add_argument("--out", type=pathlib.Path, help="picture to write (default FILE.png)")

    command("doctor", _doctor, "what this installation runs on, and whether it works")
    return parser


def _sweep_options(parser: _Parser) -> None:
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


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "devices": arguments.devices,
        "memory": arguments.memory,
        "block": None if arguments.block is None else tuple(arguments.block),
        "precision": arguments.precision,
        "progress": not arguments.quiet,
    }


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
    from snljax.sweep.engine import Interrupted, sweep

    grid = _grid(arguments)
    out = arguments.out or pathlib.Path("runs", f"{grid.experiment.name}.nc")
    if out.suffix != ".nc":
        raise ValueError(f"out: {out} is not a netCDF file; allowed: a name that ends in .nc")
    make_folder(out.parent)
    print(grid)
    try:
        ds = sweep(grid, record_every=arguments.record_every, **_options(arguments))
    except Interrupted as stopped:
        part = out.with_suffix(".partial.nc")
        stopped.dataset.to_netcdf(part)
        raise KeyboardInterrupt(f"{stopped}, written to {part}") from None
    ds.to_netcdf(out)
    print(ds)
    print(f"wrote {out}")


def _reproduce(arguments: argparse.Namespace) -> None:
    from snljax.figures.claims import to_terminal
    from snljax.reproduce import reproduce

    report = reproduce(arguments.figure, arguments.preset, arguments.out, **{**_options(arguments)})
    print(to_terminal(report.claims))
    for path in report.files:
        print(f"wrote {path}")
    seconds = {"import": arguments.imported, **report.seconds}
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def _plot(arguments: argparse.Namespace) -> None:
    import matplotlib.pyplot as plt
    import xarray as xr

    from snljax import plotting

    try:
        ds = xr.load_dataset(arguments.file)
    except (OSError, ValueError, TypeError):
        raise ValueError(f"file: {arguments.file} cannot be read; allowed: a netCDF file written by snljax") from None
    if arguments.metric not in ds or arguments.metric == "status":
        names = ", ".join(str(n) for n in ds.data_vars if n not in ("status", "first_bad_step"))
        raise ValueError(f"metric: {arguments.metric!r} is not in {arguments.file}; allowed: {names}")
    values = ds[arguments.metric]
    values = values.isel(step=-1) if "step" in values.dims else values
    values = values.mean("seed", keep_attrs=True) if "seed" in values.dims else values
    dims = [str(d) for d in values.dims]
    x = arguments.x or next((d for d in dims if d != arguments.y), "")
    y = arguments.y or next((d for d in dims if d != x), "")
    for name, value in (("x", x), ("y", y)):
        if value not in dims or len(dims) < 2:
            raise ValueError(f"{name}: {value!r} is no dimension to draw; allowed: two of {', '.join(dims) or 'none'}")
    plotting.heatmap(values, x=x, y=y, threshold=arguments.threshold, log=arguments.log, status=ds.status)
    out = arguments.out or arguments.file.with_suffix(".png")
    try:
        plt.savefig(out, dpi=200)
    except (OSError, ValueError) as error:
        raise ValueError(f"out: {out} cannot be written ({error})") from None
    print(f"wrote {out}")


def _doctor(_: argparse.Namespace) -> None:
    """Versions, devices, memory, and one small training run against its known answer."""
    import importlib.metadata
    import platform

    from snljax.sweep import devices as local_devices
    from snljax.sweep.engine import sweep
    from snljax.sweep.grid import Grid

    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    for name in ("snljax", "jax", "jaxlib", "numpy", "xarray", "optax", "matplotlib"):
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
