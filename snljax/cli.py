"""The command line: parses arguments, calls the library, prints. Errors are one line, exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import gc
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import time
import uuid
import warnings
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

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse says nothing of a full disk


class _BadNewsError(Exception):
    """A command that did its work and has bad news."""


class _Word(str):
    """One word of the command line, told from its equals by identity."""

    __slots__ = ()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the ``snljax`` command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            _main(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk can still be told in one line
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # else the reader, head for example, has gone
            where = "standard output" if error.filename is None else error.filename
            print(f"snljax: {where} cannot be written or read ({error.strerror or error})", file=sys.stderr)
        with contextlib.suppress(OSError, AttributeError):  # what is left in the buffer is flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _main(argv: list[str]) -> None:
    arguments = argparse.Namespace(run=None)
    try:
        what, arranged = _experiment_first(argv)
        arguments, unknown = _parser(what).parse_known_args(arranged)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.run(arguments)
    except ValueError as error:
        print(f"snljax: {_one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except _BadNewsError as failed:
        print(f"snljax: {_one_line(failed)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as stopped:
        print(f"snljax: {_one_line(stopped) or 'interrupted'}", file=sys.stderr)
        kept = arguments.run is _run and (arguments.store or arguments.dask is None)
        if kept or arguments.run is _reproduce:
            print(f"snljax: to go on: {shlex.join(['snljax', *argv])}", file=sys.stderr)
        raise SystemExit(128 + getattr(stopped, "signal_number", signal.SIGINT)) from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _experiment_first(argv: list[str]) -> tuple[str | None, list[str]]:
    """The experiment or file of ``run``, and the arguments with it in front: options may stand before it.

    Each field of an experiment is an option that takes several values, so where the values end is known
    only when the experiment is.
    """
    from snljax import experiments

    if argv[:1] != ["run"]:
        return None, argv
    options = _Parser(add_help=False, allow_abbrev=False)
    _run_options(options)
    words = [_Word(a) for a in argv[1:]]
    left = [word for word in options.parse_known_args(words)[1] if not word.startswith("-")]
    if not left:
        return None, argv
    known = [word for word in left if word in experiments.NAMES or word.endswith(".toml")]
    near = [word for word in left if difflib.get_close_matches(word, experiments.NAMES, 1)]
    what = (known or near or left)[0]
    return str(what), ["run", str(what), *(str(word) for word in words if word is not what)]


def _parser(what: str | None) -> _Parser:
    """The parser; what is the experiment, or the file, of ``run``."""
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
    _run_options(run)
    if what is not None and not what.endswith(".toml"):
        _field_options(run, what)

    reproduce = command("reproduce", _reproduce, "a figure: train, draw, check its claims")
    reproduce.add_argument("figure", help="; ".join(figures.NAMES))
    reproduce.add_argument("--preset", default="quick", help="quick (default) or paper")
    reproduce.add_argument("--out", default="runs", metavar="DIR", help="folder for the results (default runs)")
    _sweep_options(reproduce)

    plot = command("plot", _plot, "a heatmap of a Dataset")
    plot.add_argument("file", metavar="FILE|STORE", type=pathlib.Path, help="netCDF file, or store")
    plot.add_argument("--out", type=pathlib.Path, help="picture to write (default FILE.png, beside it)")
    _heatmap_options(plot)

    status = command("status", _status, "how far a store is: blocks, rate, time left, hosts")
    status.add_argument("store", metavar="STORE", help="folder of run --store, or *.store of reproduce")
    status.add_argument("--watch", action="store_true", help="again every few seconds, until all is done")
    status.add_argument("--verify", action="store_true", help="compare every finished block with its hashes")
    status.add_argument(
        "--recompute", type=int, metavar="CELLS", help="train so many random cells again and compare all their bits"
    )
    status.add_argument("--png", type=pathlib.Path, help="draw what is there as a heatmap")
    _heatmap_options(status)

    migrate = command("migrate", _migrate, "make a store of version 0.1 one of this version, in place")
    migrate.add_argument("store", metavar="STORE", help="its folder; nothing may be training in it")

    command("doctor", _doctor, "what this installation runs on, and whether it works")
    return parser


def _run_options(parser: _Parser) -> None:
    parser.add_argument("--store", help="folder that keeps every finished block; the same command resumes")
    parser.add_argument("--shard", metavar="I/N", help="train only the I-th of N parts of the store, for job arrays")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="netCDF file to write (default runs/EXPERIMENT-HASH.nc, one name for each grid; none with --store)",
    )
    parser.add_argument("--record-every", type=int, metavar="STEPS", help="measure on the way too")
    _sweep_options(parser)


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
    parser.add_argument(
        "--block", type=int, nargs=2, action="append", metavar=("SEEDS", "POINTS"), help="networks trained at once"
    )
    parser.add_argument("--precision", default="highest", help="of matrix products: highest (default) or tf32")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _field_options(parser: _Parser, name: str) -> None:
    """One option for each field of the experiment; several values make an axis."""
    from snljax import experiments
    from snljax.experiment import fields_of, readings_of

    experiment = experiments.get(name)
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "V"}  # an option given again adds to it
    group = parser.add_argument_group(f"fields of {name}", "one value fixes a field, several make an axis")
    for info in fields_of(experiment.Config).values():
        allowed = " | ".join(map(str, info.choices)) if info.choices else info.range or "true | false"
        text = f"{info.help}; {allowed}; default {'none' if info.default is None else info.default}"
        flag = "--" + info.name.replace("_", "-")
        group.add_argument(flag, dest=f"field_{info.name}", help=text.replace("%", "%%"), **several)
    group.add_argument("--seed", dest="field_seed", help="whole numbers; default 0", **several)
    group.add_argument("--reading", help=f"{' | '.join(readings_of(experiment))}")


@contextlib.contextmanager
def _options(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Arguments of sweep; a Dask client lives as long as they are used."""
    blocks = arguments.block or [None]
    if len(blocks) > 1:
        raise ValueError(f"block: given {len(blocks)} times; allowed: once")
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
            "block": None if blocks[0] is None else tuple(blocks[0]),
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
    from snljax.sweep.engine import SweepError, sweep
    from snljax.sweep.files import StoreError

    grid, shard, store = _grid(arguments), _shard(arguments.shard), arguments.store
    if shard is not None and store is None:
        raise ValueError(f"shard: {arguments.shard} without --store; allowed: with it, which joins the parts")
    digest = _digest(grid, arguments.record_every, arguments.precision)
    out = arguments.out or (None if store else pathlib.Path("runs", f"{grid.experiment.name}-{digest}.nc"))
    if out is not None:
        out = _writable(out, store)
    hidden = None
    with contextlib.ExitStack() as stack:
        if out is not None and store is None and arguments.dask is None:  # workers may not see this folder
            hidden = out.with_name(f".{out.stem}.{digest}.store")
            stack.enter_context(_alone(hidden))
        before = hidden is not None and hidden.exists()
        print(grid)
        options = stack.enter_context(_options(arguments))
        where = store or hidden
        try:
            ds = sweep(grid, store=where, shard=shard, record_every=arguments.record_every, **options)
        except SweepError as failed:
            rest = "" if where is None or str(where) in str(failed) else f"; all others are kept in {where}"
            raise _BadNewsError(f"{failed}{rest}") from None
        except StoreError as error:
            told = f" ({hidden} keeps what this command trained before; without it all begins anew)" if before else ""
            raise ValueError(f"{error}{told}") from None
        if out is not None:
            if hidden is not None:
                ds = _whole(ds, out, hidden)
            _write(ds, out, where)
        print(ds)
        if hidden is not None:
            _remove(hidden)
    print(f"wrote {out or store}")


def _digest(grid: Any, record_every: int | None, precision: str) -> str:
    """Eight digits that differ between runs whose Datasets differ."""
    content = {
        "experiment": grid.experiment.name,
        "reading": grid.reading,
        "settings": grid.settings(),
        "axes": [[axis.name, axis.fields] for axis in grid.axes],
        "seeds": grid.seeds,
        "record_every": record_every,
        "precision": precision,
        "dtype": grid.checked_dtype,
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def _writable(out: pathlib.Path, store: str | None) -> pathlib.Path:
    """Where the netCDF file goes; ValueError, before anything is trained, if it cannot be written there."""
    from snljax.reproduce import make_folder

    if out.suffix != ".nc":
        raise ValueError(f"out: {out} is not a netCDF file; allowed: a name that ends in .nc")
    out = out.resolve() if out.is_symlink() else out  # the file that a link stands for is replaced, not the link
    if out.is_dir() or (store is not None and out.resolve() == pathlib.Path(store).resolve()):
        raise ValueError(f"out: {out} is a folder; allowed: a free name, or a file to write over")
    make_folder(out.parent)
    probe = _beside(out)
    try:
        probe.write_bytes(b"snljax")
    except OSError as error:
        raise ValueError(
            f"out: {out} cannot be written ({error.strerror}); allowed: a folder that can be written and has room"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return out


def _beside(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f".{out.stem}.{uuid.uuid4().hex[:8]}.store.nc")  # as long as any hidden name


@contextlib.contextmanager
def _alone(hidden: pathlib.Path) -> Iterator[None]:
    """Refuse the same command a second time at once: the first to end removes the hidden store of both."""
    lock = hidden.with_suffix(".lock")
    with open(lock, "w") as file:
        try:
            import fcntl  # not on every system

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"out: the same command trains into {hidden} now; allowed: to wait for it, or --store, which several "
                "processes may share"
            ) from None
        except (ImportError, OSError):
            pass  # a system, or a file system, without locks
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _whole(ds: Any, out: pathlib.Path, hidden: pathlib.Path) -> Any:
    """The Dataset in memory, without a word of the hidden store; ValueError if not all of it could be read."""
    ds = ds.load()
    ds.attrs.pop("store", None)
    pending = int((ds.status == 0).sum())
    if pending:
        raise ValueError(
            f"out: {out} is not written, {pending} cells cannot be read from {hidden}; allowed: the same command again"
        )
    return ds


def _write(ds: Any, out: pathlib.Path, kept: Any) -> None:
    """Write a netCDF file whole: what was there before stays until then."""
    part = _beside(out)
    try:
        ds.to_netcdf(part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, out)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        rest = f"; all that was trained is kept in {kept}, and the same command goes on from there" if kept else ""
        raise ValueError(
            f"out: {out} cannot be written ({reason}){rest}; allowed: a folder that can be written and has room"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _remove(hidden: pathlib.Path) -> None:
    """Remove the hidden store; under another name first, or one that is removed in part would be in the way."""
    gone = hidden.with_suffix(".gone")
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.replace(hidden, gone)
    shutil.rmtree(gone, ignore_errors=True)


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
    file = arguments.file if arguments.file.name not in ("", "..") else arguments.file.resolve()
    if file.is_dir():
        from snljax.sweep.dataset import open_store

        ds = open_store(file)
    else:
        ds = _read(file)
    out = arguments.out or file.with_name(file.name.removesuffix(".nc") + ".png")
    _draw(ds, arguments, str(arguments.file), out)
    print(f"wrote {out}")


def _read(file: pathlib.Path) -> Any:
    """A netCDF file of ours."""
    import xarray as xr

    ours = "a netCDF file written by snljax, or a store"
    if not file.exists():
        raise ValueError(f"file: {file} does not exist; allowed: {ours}")
    ds, reason = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns when it lets go of a file that it could not read to its end
        try:
            ds = xr.load_dataset(file)
        except Exception as error:  # readers raise whatever a file that is not theirs leads them to
            reason = getattr(error, "strerror", None) or "it is no netCDF file, or a damaged one"
        if ds is None:
            gc.collect()
            raise ValueError(f"file: {file} cannot be read ({reason}); allowed: {ours}")
    if "status" not in ds.data_vars or ds.status.dtype.kind not in "iuf":
        raise ValueError(f"file: {file} has no variable status; allowed: {ours}")
    return ds


@contextlib.contextmanager
def _drawable(metric: str, source: str) -> Iterator[None]:
    """One line for what xarray and matplotlib make of a file that merely resembles ours."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{metric}: cannot be drawn from {source} ({_one_line(error)}); allowed: numbers over two dimensions"
        ) from None


def _draw(ds: Any, arguments: argparse.Namespace, source: str, out: pathlib.Path) -> None:
    """A heatmap of two dimensions: mean over seeds, last record, first of anything else."""
    import matplotlib.pyplot as plt

    from snljax import plotting

    names = [str(n) for n in ds.data_vars if n not in ("status", "first_bad_step") and ds[n].dtype.kind in "biuf"]
    if not names:
        raise ValueError(f"file: {source} has no metrics; allowed: a Dataset with numbers to draw")
    metric = arguments.metric or ("test_loss" if "test_loss" in names else names[0])
    if metric not in names:
        raise ValueError(f"metric: {metric!r} is not in {source}; allowed: {', '.join(names)}")
    values, status = ds[metric], ds.status
    dims = [str(d) for d in values.dims if d not in ("seed", "step")]
    x = arguments.x or next((d for d in dims if d != arguments.y), "")
    y = arguments.y or next((d for d in dims if d != x), "")
    for name, value in (("x", x), ("y", y)):
        if value not in dims or len(dims) < 2 or x == y:
            listed = ", ".join(dims) or "none"
            raise ValueError(f"{name}: {value!r} is no dimension of {metric} in {source}; allowed: two of {listed}")
    with _drawable(metric, source):
        if values.dtype.kind != "f":  # there is no NaN for what is pending or diverged
            values = values.where(status == 1)
        values = values.isel(step=-1) if "step" in values.dims else values
        values = values.mean("seed", keep_attrs=True) if "seed" in values.dims else values
        values = values.where(abs(values) < float("inf"))
        rest = [d for d in values.dims if d not in (x, y)]
        title = ", ".join(f"{d} = {values[d].values[0]}" for d in rest)
        values = values.isel(dict.fromkeys(rest, 0))
        status = status.isel({d: 0 for d in rest if d in status.dims})
        status = status if {x, y} <= {*status.dims} else None
    if not bool(values.notnull().any()):
        raise ValueError(f"{metric}: no cell in {source} is finished and finite; allowed: one or more")
    if arguments.log and float(values.min()) <= 0:
        raise ValueError(f"log: {metric} has values of 0 and less in {source}; allowed: without --log")
    with _drawable(metric, source):
        ax = plotting.heatmap(values, x=x, y=y, threshold=arguments.threshold, log=arguments.log, status=status)
        ax.set_title(title, fontsize=8)
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
    if arguments.recompute is not None:
        _recompute(arguments.store, arguments.recompute)


def _recompute(store: str, cells: int) -> None:
    from snljax.sweep.verify import recompute

    found = recompute(store, cells)
    for block, names in found.wrong.items():
        print(f"block {block}: another training gives other {', '.join(names)}")
    if found.wrong:
        raise _BadNewsError(f"{len(found.wrong)} of {found.blocks} blocks hold other numbers than their settings give")
    print(f"trained  {found.cells} cells again, with the {found.blocks} blocks that they are in: equal to the bit")


def _migrate(arguments: argparse.Namespace) -> None:
    from snljax.sweep.migrate import migrate

    kept, lost = migrate(arguments.store)
    print(f"{arguments.store}: {kept} finished blocks kept, {lost} damaged ones to be trained again")


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
