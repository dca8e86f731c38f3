"""The parser of the command line. It needs no JAX, except for the fields of an experiment."""

from __future__ import annotations

import argparse
import difflib
import pathlib
import sys
from typing import Any, NoReturn

from snljax import experiments, figures

EPILOG = "Ctrl-C keeps what is finished. Every command says more with --help."


class Parser(argparse.ArgumentParser):
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


class _Word(str):
    """One word of the command line, told from its equals by identity."""

    __slots__ = ()


def experiment_first(argv: list[str]) -> tuple[str | None, list[str]]:
    """The experiment or file of ``run`` or ``trace``, and the arguments with it in front: options may stand before it.

    Each field of an experiment is an option that takes several values, so where the values end is known
    only when the experiment is.
    """
    command = argv[:1]
    if command not in (["run"], ["trace"]):
        return None, argv
    options = Parser(add_help=False, allow_abbrev=False)
    (_run_options if command == ["run"] else _trace_options)(options)
    words = [_Word(a) for a in argv[1:]]
    left = [word for word in options.parse_known_args(words)[1] if not word.startswith("-")]
    if not left:
        return None, argv
    known = [word for word in left if word in experiments.NAMES or word.endswith(".toml")]
    near = [word for word in left if difflib.get_close_matches(word, experiments.NAMES, 1)]
    what = (known or near or left)[0]
    return str(what), [*command, str(what), *(str(word) for word in words if word is not what)]


def parser(what: str | None) -> Parser:
    """The parser; what is the experiment, or the file, of ``run`` or ``trace``."""
    whole = Parser(prog="snljax", description="Phase diagrams as one XLA program.", epilog=EPILOG, allow_abbrev=False)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str) -> Parser:
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(command=name, parser=sub)
        return sub

    command("list", "experiments and figures, one line each")

    describe = command("describe", "the fields, metrics and readings of an experiment")
    describe.add_argument("experiment", metavar="EXPERIMENT", help="; ".join(experiments.NAMES))

    run = command("run", "train a grid given by options or by a TOML file, and write the Dataset")
    run.add_argument("what", metavar="EXPERIMENT|FILE.toml", help="; ".join(experiments.NAMES))
    _run_options(run)
    if what is not None and not what.endswith(".toml"):
        _field_options(run, what)

    trace = command("trace", "train only the cells that decide where a metric crosses a level")
    trace.add_argument("what", metavar="EXPERIMENT|FILE.toml", help="; ".join(experiments.NAMES))
    _trace_options(trace)
    if what is not None and not what.endswith(".toml"):
        _field_options(trace, what)

    reproduce = command("reproduce", "a figure, or all: train, draw, check its claims")
    reproduce.add_argument("figure", metavar="FIGURE|all", help=f"{'; '.join(figures.NAMES)}; or all, and a page")
    reproduce.add_argument("--preset", default="quick", help="quick (default) or paper")
    reproduce.add_argument("--out", default="runs", metavar="DIR", help="folder for the results (default runs)")
    _sweep_options(reproduce)

    plot = command("plot", "a heatmap of a Dataset")
    plot.add_argument("file", metavar="FILE|STORE", type=pathlib.Path, help="netCDF file, or store")
    plot.add_argument("--out", type=pathlib.Path, help="picture to write (default FILE.png, beside it)")
    _heatmap_options(plot)

    status = command("status", "how far a store is: blocks, rate, time left, hosts")
    status.add_argument("store", metavar="STORE", help="folder of run --store, or *.store of reproduce")
    status.add_argument("--watch", action="store_true", help="again every few seconds, until all is done")
    status.add_argument("--verify", action="store_true", help="compare every finished block with its hashes")
    status.add_argument(
        "--recompute", type=int, metavar="CELLS", help="train so many random cells again and compare all their bits"
    )
    status.add_argument("--png", type=pathlib.Path, help="draw what is there as a heatmap")
    _heatmap_options(status)

    migrate = command("migrate", "make a store of version 0.1 one of this version, in place")
    migrate.add_argument("store", metavar="STORE", help="its folder; nothing may be training in it")

    command("doctor", "what this installation runs on, and whether it works")
    return whole


def _run_options(parser: Parser) -> None:
    parser.add_argument("--store", help="folder that keeps every finished block; the same command resumes")
    parser.add_argument("--shard", metavar="I/N", help="train only the I-th of N parts of the store, for job arrays")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="netCDF file to write (default runs/EXPERIMENT-HASH.nc, one name for each grid; none with --store)",
    )
    parser.add_argument("--record-every", type=int, metavar="STEPS", help="measure on the way too")
    _sweep_options(parser)


def _trace_options(parser: Parser) -> None:
    parser.add_argument("--metric", help="whose boundary is looked for, such as test_loss")
    parser.add_argument("--level", type=float, help="the value that the boundary is of")
    parser.add_argument("--store", help="folder that keeps every finished block; the same command resumes")
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
    _sweep_options(parser)


def _heatmap_options(parser: Parser) -> None:
    parser.add_argument("--metric", help="default test_loss, or else the first")
    parser.add_argument("--x", help="dimension along x (default the first)")
    parser.add_argument("--y", help="dimension along y (default the second)")
    parser.add_argument("--threshold", type=float, help="draw the line at this value")
    parser.add_argument("--log", action="store_true", help="logarithmic colours")


def _sweep_options(parser: Parser) -> None:
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


def _field_options(parser: Parser, name: str) -> None:
    """One option for each field of the experiment; several values make an axis. Its metrics are named below."""
    from snljax.experiment import fields_of, metrics_of, readings_of

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
    metrics = "; ".join(f"{metric}: {info.help}" for metric, info in metrics_of(experiment).items())
    parser.add_argument_group(f"metrics of {name}", metrics)
