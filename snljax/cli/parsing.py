"""The parser of the command line. It needs no JAX, except for the fields of an experiment."""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from snljax import experiments, figures, finding

EXPERIMENTS = f"{'; '.join(experiments.NAMES)}; or {finding.PLACES}"
EPILOG = "Ctrl-C keeps what is finished. Every command says more with --help."


class Parser(argparse.ArgumentParser):
    """One line for an error; the nearest option is offered for an unknown one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 and -1:1:5 are values, too

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


class _Version(argparse.Action):
    """Looked up when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(f"snljax {importlib.metadata.version('snljax')}")
        parser.exit()


class _Word(str):
    """One word of the command line, told from its equals by identity."""

    __slots__ = ()


def with_hyphens(argv: list[str]) -> list[str]:
    """Options as they are known here: ``--sigma_p`` is ``--sigma-p``."""
    names = [word.partition("=") for word in argv]
    return [n.replace("_", "-") + e + v if n.startswith("--") else n + e + v for n, e, v in names]


def experiment_first(argv: list[str]) -> tuple[str | None, list[str]]:
    """The experiment or file of a command that has one, and its arguments with it in front: options may come before.

    Each field of an experiment is an option that takes several values, so where the values end is known
    only when the experiment is.
    """
    if not argv or argv[0] not in _OPTIONS:
        return None, argv
    options = Parser(add_help=False, allow_abbrev=False)
    _OPTIONS[argv[0]](options)
    words = [_Word(a) for a in argv[1:]]
    left = [word for word in options.parse_known_args(words)[1] if not word.startswith("-")]
    if not left:
        return None, argv
    known = [word for word in left if word in experiments.NAMES or word.endswith(".toml") or finding.is_place(word)]
    if not known:
        others = {one.name for one in finding.installed()}
        known = [word for word in left if word in others]
    near = [word for word in left if difflib.get_close_matches(word, experiments.NAMES, 1)]
    what = (known or near or left)[0]
    return str(what), [argv[0], str(what), *(str(word) for word in words if word is not what)]


def words_of_run(argv: list[str]) -> list[str]:
    """What ``snljax slurm`` was asked for, as words of ``snljax run``."""
    own = Parser(add_help=False, allow_abbrev=False)
    _script_options(own)
    return own.parse_known_args(argv[1:])[1]


def parser(what: str | None) -> Parser:
    """The parser; what is the experiment, or the file, of a command that has one."""
    whole = Parser(prog="snljax", description="Phase diagrams as one XLA program.", epilog=EPILOG, allow_abbrev=False)
    whole.add_argument("--version", action=_Version, nargs=0, help="which version this is")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str) -> Parser:
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(command=name, parser=sub)
        return sub

    command("list", "experiments and figures, one line each")

    describe = command("describe", "the fields, metrics and readings of an experiment, and what it says of itself")
    describe.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENTS)

    for name, help in (
        ("run", "train a grid given by options or by a TOML file, and write the Dataset"),
        ("trace", "train only the cells that decide where a metric crosses a level"),
        ("slurm", "write the script of a SLURM job array that trains a grid into a store"),
    ):
        sub = command(name, help)
        sub.add_argument("what", metavar="EXPERIMENT|FILE.toml", help=EXPERIMENTS)
        _OPTIONS[name](sub)
        if what is not None and not what.endswith(".toml"):
            _field_options(sub, what)

    reproduce = command("reproduce", "a figure, or all: train, draw, check its claims")
    reproduce.add_argument("figure", metavar="FIGURE|all", help=f"{'; '.join(figures.NAMES)}; or all, and a page")
    reproduce.add_argument("--preset", default="quick", help="quick (default) or paper")
    reproduce.add_argument("--out", default="runs", metavar="DIR", help="folder for the results (default runs)")
    _dask_option(reproduce)
    _sweep_options(reproduce)

    plot = command("plot", "a heatmap of a Dataset")
    plot.add_argument("file", metavar="FILE|STORE", type=pathlib.Path, help="netCDF file, or store")
    plot.add_argument("--out", type=pathlib.Path, help="picture to write (default FILE.png, beside it)")
    _heatmap_options(plot)

    report = command("report", "one HTML page to look around in Datasets, without a network")
    report.add_argument("sources", metavar="FILE|STORE", nargs="+", type=pathlib.Path, help="netCDF files, or stores")
    report.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("report.html"), help="page to write (default report.html)"
    )
    report.add_argument("--metric", help="shown first, and has the boundary (default a trace's, or test_loss)")
    report.add_argument("--level", type=float, help="of the boundary (default a trace's, else none is drawn)")
    report.add_argument("--x", help="dimension along x of the heatmap (default the first that was swept)")
    report.add_argument("--y", help="dimension along y of the heatmap (default the second)")
    report.add_argument(
        "--metrics", nargs="+", metavar="METRIC", help="those that the page has (default all small ones)"
    )
    report.add_argument("--title", help="of the page (default the names of the sources)")

    table = command("table", "a table for a paper: mean ± half-width, the best in bold by the paired test")
    table.add_argument("source", metavar="FILE|STORE", type=pathlib.Path, help="netCDF file, or store")
    table.add_argument("--metric", nargs="+", metavar="METRIC", help="one, or several beside each other")
    table.add_argument("--rows", nargs="+", metavar="DIM", help="dimensions, one column of names for each")
    table.add_argument("--columns", nargs="+", metavar="DIM", default=[], help="dimensions (default none)")
    table.add_argument("--at", nargs="+", metavar="DIM=VALUE", help="of a dimension that is in neither, this value")
    table.add_argument("--best", help="max or min (default by the name: losses and errors min, accuracies max)")
    table.add_argument("--among", metavar="DIM", help="whose values compete (default the last of --rows)")
    table.add_argument("--level", type=float, default=0.95, help="coverage of the interval (default 0.95)")
    table.add_argument("--format", default="latex", help="latex (default), markdown or csv")
    table.add_argument("--out", type=pathlib.Path, help="file to write, new (default standard output)")

    status = command("status", "how far a store is: blocks, rate, time left, hosts")
    status.add_argument("store", metavar="STORE", help="folder of run --store, or *.store of reproduce")
    status.add_argument(
        "--watch", action="store_true", help="again every few seconds, until all is done; waits for the store"
    )
    status.add_argument("--verify", action="store_true", help="compare every finished block with its hashes")
    status.add_argument(
        "--recompute", type=int, metavar="CELLS", help="train so many random cells again and compare all their bits"
    )
    status.add_argument("--experiment", help=f"what --recompute trains, if it is not the package's: {finding.PLACES}")
    status.add_argument("--png", type=pathlib.Path, help="draw what is there as a heatmap")
    _heatmap_options(status)

    migrate = command("migrate", "make a store of version 0.1 one of this version, in place")
    migrate.add_argument("store", metavar="STORE", help="its folder; nothing may be training in it")

    command("doctor", "what this installation runs on, and whether it works")
    return whole


def _grid_options(parser: Parser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUES",
        help="a field instead of what FILE.toml says of it: steps=2000, K=10,20, sigma_p=0.1:1:8, reading=printed",
    )
    parser.add_argument("--store", help="folder that keeps every finished block; the same command resumes")


def _run_options(parser: Parser) -> None:
    _grid_options(parser)
    parser.add_argument("--shard", metavar="I/N", help="train only the I-th of N parts of the store, for job arrays")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="netCDF file to write (default runs/EXPERIMENT-HASH.nc, one name for each grid; none with --store); a "
        "file that holds anything else is not overwritten",
    )
    _dask_option(parser)
    _record_options(parser)


def _slurm_options(parser: Parser) -> None:
    _grid_options(parser)
    _script_options(parser)
    _record_options(parser)


def _script_options(parser: Parser) -> None:
    """Those of the script, in which the others stand."""
    parser.add_argument("--tasks", type=int, metavar="N", help="how many tasks; each trains its part of the grid")
    parser.add_argument("--time", metavar="LIMIT", help="of a task, such as 12:00:00; it goes on when that is over")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a task")
    parser.add_argument("--mem", metavar="SIZE", help="memory of a task, such as 16G")
    parser.add_argument(
        "--sbatch", action="append", metavar="OPTION", help="any other of sbatch: partition=long, gres=gpu:1, account=A"
    )
    parser.add_argument("--out", type=pathlib.Path, help="file to write, new (default standard output)")


def _trace_options(parser: Parser) -> None:
    parser.add_argument("--metric", help="whose boundary is looked for, such as test_loss")
    parser.add_argument("--level", type=float, help="the value that the boundary is of")
    _grid_options(parser)
    parser.add_argument("--x", help="dimension along x of the picture (default the first)")
    parser.add_argument("--y", help="dimension along y of the picture (default the second)")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs=2,
        metavar=("FIRST", "MOST"),
        help="how many of the grid's seeds a cell begins with, and how many where these disagree (default all)",
    )
    parser.add_argument("--net", type=int, default=9, help="lines of the first round along each axis (default 9)")
    parser.add_argument("--diverged", default="above", help="where a diverged network counts: above (default) or below")
    parser.add_argument("--out", type=pathlib.Path, help="netCDF file to write")
    parser.add_argument("--png", type=pathlib.Path, help="draw the diagram")
    _dask_option(parser)
    _sweep_options(parser)


def _heatmap_options(parser: Parser) -> None:
    parser.add_argument("--metric", help="default test_loss, or else the first")
    parser.add_argument("--x", help="dimension along x (default the first)")
    parser.add_argument("--y", help="dimension along y (default the second)")
    parser.add_argument("--facet", help="dimension of panels (default the third)")
    parser.add_argument(
        "--at", action="append", metavar="NAME=VALUE", help="draw what is at one value of a dimension, again for others"
    )
    parser.add_argument("--threshold", type=float, help="draw the line at this value")
    parser.add_argument("--log", action="store_true", help="logarithmic colours")


def _dask_option(parser: Parser) -> None:
    parser.add_argument("--dask", metavar="ADDRESS", help="train on the workers of this Dask scheduler")


def _record_options(parser: Parser) -> None:
    parser.add_argument("--record-every", type=int, metavar="STEPS", help="measure on the way too")
    parser.add_argument(
        "--stop-when",
        metavar="RULE",
        help="a network ends where a metric is where it should be, such as 'train_loss < 0.01'; what is kept of it is "
        "of that step, stopped_at",
    )
    parser.add_argument("--check-every", type=int, metavar="STEPS", help="between two looks of --stop-when")
    _sweep_options(parser)


def _sweep_options(parser: Parser) -> None:
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


# Commands that take an experiment with its fields -> their options.
_OPTIONS: dict[str, Callable[[Parser], None]] = {
    "run": _run_options,
    "trace": _trace_options,
    "slurm": _slurm_options,
}


def _field_options(parser: Parser, name: str) -> None:
    """One option for each field of the experiment; several values make an axis. Its metrics are named below."""
    from snljax.experiment import fields_of, metrics_of, readings_of

    experiment = experiments.get(name)
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "V"}  # an option given again adds to it
    taken = {option for action in parser._actions for option in action.option_strings}
    group = parser.add_argument_group(
        f"fields of {name}",
        "one value fixes a field, several make an axis; 0.1:1:8 are eight values from 0.1 to 1, log:1e-4:1e-1:7 seven "
        "that are evenly spaced in their logarithm",
    )
    for info in fields_of(experiment.Config).values():
        allowed = " | ".join(map(str, info.choices)) if info.choices else info.range or "true | false"
        text = f"{info.help}; {allowed}; default {'none' if info.default is None else info.default}"
        flag = "--" + info.name.replace("_", "-")
        if flag in taken or flag in ("--seed", "--reading"):
            group.description = f"{group.description}; {info.name} by --set, {flag} is an option of the command"
            continue
        group.add_argument(flag, dest=f"field_{info.name}", help=text.replace("%", "%%"), **several)
    group.add_argument("--seed", dest="field_seed", help="whole numbers; default 0", **several)
    group.add_argument("--reading", help=f"{' | '.join(readings_of(experiment))}")
    metrics = "; ".join(f"{metric}: {info.help}" for metric, info in metrics_of(experiment).items())
    parser.add_argument_group(f"metrics of {name}", metrics)
