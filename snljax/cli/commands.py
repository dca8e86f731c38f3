"""What each command does: it calls the library and prints. Heavy modules are imported where they are needed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from snljax import experiments, figures, finding, papers
from snljax.cli import parsing, values

if TYPE_CHECKING:
    from snljax.picture import Choice

_LOOK_SECONDS = 0.5
_WATCH_SECONDS = 3.0


class BadNewsError(Exception):
    """A command that did its work and has bad news."""


def list_all(_: argparse.Namespace) -> None:
    """Papers, and under each its experiments and figures, as the commands that make them; then what is installed."""
    for number in papers.PAPERS:
        print(papers.cite(number))
        for name, experiment in experiments.NAMES.items():
            if number in experiment.papers:
                _line("run", name, experiment.summary)
                for label, figure in figures.NAMES.items():
                    if (figure.experiment, figure.paper) == (name, number):
                        _line("reproduce", label, figure.summary)
    installed = finding.installed()
    names = [*experiments.NAMES, *(one.name for one in installed)]
    for package in dict.fromkeys(one.package for one in installed):
        print(package)
        for one in installed:
            if one.package == package:  # the name of another, too, would lead to that or to nothing
                _line("run", one.name if names.count(one.name) == 1 else one.place, one.summary)


def _line(command: str, name: str, summary: str) -> None:
    print(f"  snljax {f'{command} {name}':<36} {summary}")


def describe(arguments: argparse.Namespace) -> None:
    """Fields and metrics of an experiment."""
    from snljax.describe import describe

    print(describe(arguments.experiment))


def run(arguments: argparse.Namespace) -> None:
    """Train a grid into a file, a store, or both."""
    from snljax import output
    from snljax.sweep.engine import SweepError, sweep
    from snljax.sweep.files import StoreError
    from snljax.sweep.stop import stop_of

    grid, shard, store = values.grid(arguments), values.shard(arguments.shard), arguments.store
    if shard is not None and store is None:
        raise ValueError(f"shard: {arguments.shard} without --store; allowed: with it, which joins the parts")
    when = {name: getattr(arguments, name) for name in ("record_every", "stop_when", "check_every")}
    stop = stop_of(arguments.stop_when, arguments.check_every)
    digest = output.digest(grid, arguments.record_every, arguments.precision, stop)
    out = arguments.out or (None if store else pathlib.Path("runs", f"{output.named(grid)}-{digest}.nc"))
    if out is not None:
        out = output.writable(out, store, digest)
    hidden = None
    with contextlib.ExitStack() as stack:
        if out is not None and store is None and arguments.dask is None:  # workers may not see this folder
            hidden = output.hidden_store(out, digest)
            stack.enter_context(output.alone(hidden))
        before = hidden is not None and hidden.exists()
        print(grid)
        options = stack.enter_context(values.sweep_options(arguments))
        where = store or hidden
        try:
            ds = sweep(grid, store=where, shard=shard, **when, **options)
        except SweepError as failed:
            rest = "" if where is None or str(where) in str(failed) else f"; all others are kept in {where}"
            raise BadNewsError(f"{failed}{rest}") from None
        except StoreError as error:
            told = f" ({hidden} keeps what this command trained before; without it all begins anew)" if before else ""
            raise ValueError(f"{error}{told}") from None
        if out is not None:
            if hidden is not None:
                ds = output.whole(ds, out, hidden)
            output.write(output.signed(ds, digest), out, where)
        print(ds)
        if hidden is not None:
            output.remove(hidden)
    print(f"wrote {out or store}")


def trace(arguments: argparse.Namespace) -> None:
    """The boundary of a metric, into a store, a file and a picture."""
    from snljax import drawn, output, picture
    from snljax.sweep.engine import SweepError
    from snljax.trace import trace

    for name in ("metric", "level", "store"):
        if getattr(arguments, name) is None:
            raise ValueError(f"{name}: not given; allowed: --{name}, which a trace needs")
    grid = values.grid(arguments)
    about = {name: getattr(arguments, name) for name in ("metric", "level", "x", "y", "seeds", "net", "diverged")}
    digest = output.digest(grid, None, arguments.precision, traced=about)
    out = None if arguments.out is None else output.writable(arguments.out, arguments.store, digest)
    if arguments.png is not None:
        drawn.check(arguments.png)
    print(grid)
    with values.sweep_options(arguments) as options:
        try:
            ds = trace(grid, store=arguments.store, **about, **options)
        except SweepError as failed:
            raise BadNewsError(failed) from None
    below, open_cells, above = ((ds.side == side).sum().item() for side in (-1, 0, 1))
    print(ds)
    print(
        f"cells    {below} below {arguments.level:g}, {above} at or above it, {open_cells} that the seeds cannot tell"
    )
    print(
        f"networks {ds.attrs['networks']} of the grid's {grid.cells}, in {len(json.loads(ds.attrs['rounds']))} rounds"
    )
    if out is not None:
        output.write(output.signed(ds, digest), out, arguments.store)
        print(f"wrote {out}")
    if arguments.png is not None:
        with drawn.replacing(arguments.png) as png:
            picture.draw_phases(ds, png)
        print(f"wrote {arguments.png}")
    print(f"wrote {arguments.store}")


def slurm(arguments: argparse.Namespace) -> None:
    """The script of a job array; the grid is looked at, nothing is trained."""
    from snljax import output
    from snljax.slurm import Limits, script
    from snljax.sweep.arguments import plan_of
    from snljax.sweep.stop import stop_of

    if arguments.tasks is None:
        raise ValueError("tasks: not given; allowed: --tasks N, how many jobs train the parts of the grid")
    grid, stop = values.grid(arguments), stop_of(arguments.stop_when, arguments.check_every)
    plan_of(grid, arguments.record_every, arguments.precision, arguments.memory, arguments.accept_program, stop)
    limits = Limits(arguments.tasks, arguments.time, arguments.cpus, arguments.mem, tuple(arguments.sbatch or ()))
    words = parsing.words_of_run(parsing.with_hyphens(arguments.argv))
    name = output.named(grid)
    store = arguments.store
    if store is None:
        store = f"runs/{name}-{output.digest(grid, arguments.record_every, arguments.precision, stop)}.store"
        words += ["--store", store]
    text = script(name, words, store, limits, sys.executable, os.getcwd())
    if arguments.out is None:
        print(text, end="")
        return
    output.write_new(arguments.out, text)
    print(f"wrote {arguments.out}; to submit it: sbatch {shlex.quote(str(arguments.out))}")


def reproduce(arguments: argparse.Namespace) -> None:
    """A figure from nothing to picture, Dataset and claims; or all of them, and the page about them."""
    if arguments.figure == "all":
        _reproduce_all(arguments)
        return
    from snljax.figures.claims import to_terminal
    from snljax.reproduce import reproduce
    from snljax.sweep.engine import SweepError

    imported = time.process_time()
    try:
        with values.sweep_options(arguments) as options:
            report = reproduce(arguments.figure, arguments.preset, arguments.out, **options)
    except SweepError as failed:
        raise BadNewsError(failed) from None
    print(to_terminal(report.claims))
    for path in report.files:
        print(f"wrote {path}")
    seconds = {"import": imported, **report.seconds}
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def _reproduce_all(arguments: argparse.Namespace) -> None:
    from snljax.reproduce_all import reproduce_all

    with values.sweep_options(arguments) as options:
        made = reproduce_all(arguments.preset, arguments.out, **options)
    for one in made.sections:
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(c.verdict for c in one.claims).items())
        print(f"{one.name:<24} {one.trouble or f'{one.timing.seconds:.0f} s; {verdicts}'}")
    for path in made.files:
        if path.suffix != ".png":
            print(f"wrote {path}")
    print(f"seconds: {made.seconds:.1f}")
    if made.failed:
        names = ", ".join(made.failed)
        raise BadNewsError(f"{len(made.failed)} of {len(made.sections)} figures failed ({names}); the page says why")


def plot(arguments: argparse.Namespace) -> None:
    """A heatmap of a file or a store."""
    from snljax import drawn, picture
    from snljax.sweep.dataset import open_store

    file = arguments.file if arguments.file.name not in ("", "..") else arguments.file.resolve()
    ds = open_store(file) if file.is_dir() else picture.read(file)
    out = arguments.out or file.with_name(file.name.removesuffix(".nc") + ".png")
    with drawn.replacing(out) as part:
        picture.draw(ds, _choice(arguments), str(arguments.file), part)
    print(f"wrote {out}")


def _choice(arguments: argparse.Namespace) -> Choice:
    from snljax.picture import Choice

    at = {name: value for name, _, value in (text.partition("=") for text in arguments.at or [])}
    chosen = {name: getattr(arguments, name) for name in ("metric", "x", "y", "facet", "threshold", "log")}
    return Choice(**chosen, at=at)


def report(arguments: argparse.Namespace) -> None:
    """One HTML page about files and stores."""
    from snljax.report.dataset_page import report

    chosen = {name: getattr(arguments, name) for name in ("metric", "level", "x", "y", "metrics", "title")}
    print(f"wrote {report(arguments.sources, arguments.out, **chosen)}")


def table(arguments: argparse.Namespace) -> None:
    """A table for a paper, to standard output or into a new file."""
    from snljax import output, tables

    for name in ("metric", "rows"):
        if getattr(arguments, name) is None:
            raise ValueError(f"{name}: not given; allowed: --{name}, which a table needs")
    if arguments.format not in tables.FORMATS:
        raise ValueError(f"format: {arguments.format!r}; allowed: {', '.join(tables.FORMATS)}")
    at = dict(text.partition("=")[::2] for text in arguments.at or [])
    chosen = {name: getattr(arguments, name) for name in ("rows", "columns", "best", "among", "level")}
    text = tables.FORMATS[arguments.format](arguments.source, arguments.metric, at=at, **chosen)
    if arguments.out is None:
        print(text, end="")
        return
    output.write_new(arguments.out, text)
    print(f"wrote {arguments.out}")


def status(arguments: argparse.Namespace) -> None:
    """How far a store is, once or until it is full."""
    from snljax.sweep.status import report, status, wait

    if arguments.watch:
        wait(arguments.store, lambda text: print(text, flush=True))
    while True:
        now = status(arguments.store, seconds=float("inf") if arguments.verify else _LOOK_SECONDS)
        if arguments.watch and sys.stdout.isatty():
            print("\033[H\033[J", end="")
        # The blocks of a bar are beyond ASCII, which a terminal may be limited to.
        wide = sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")
        print(report(now, width=40 if wide else 0), flush=True)
        complete = now.cells_done == now.cells
        if arguments.png is not None and (now.blocks_done or not arguments.watch):
            from snljax import drawn, picture  # brings JAX, which a look does not need
            from snljax.sweep.dataset import open_store

            with drawn.replacing(arguments.png) as png:
                picture.draw(open_store(arguments.store), _choice(arguments), arguments.store, png)
            print(f"wrote {arguments.png}")
        if not arguments.watch or complete:
            break
        time.sleep(_WATCH_SECONDS)
    if now.damaged:
        raise BadNewsError(f"{len(now.damaged)} damaged blocks; the command that made the store trains them again")
    if arguments.recompute is not None:
        _recompute(arguments.store, arguments.recompute, arguments.experiment)


def _recompute(store: str, cells: int, own: str | None) -> None:
    from snljax.sweep.store import Store
    from snljax.sweep.verify import recompute

    name = Store.open(store).catalogue.manifest["experiment"]
    place = finding.installed_at(name) if own is None and name not in experiments.NAMES else own
    if place is None and name not in experiments.NAMES:
        raise ValueError(
            f"experiment: {name!r} of {store} is not the package's; allowed: --experiment, which says where it is "
            f"({finding.PLACES})"
        )
    experiment = None if place is None else experiments.get(place)
    found = recompute(store, cells, experiment)
    for block, names in found.wrong.items():
        print(f"block {block}: another training gives other {', '.join(names)}")
    if found.wrong:
        raise BadNewsError(f"{len(found.wrong)} of {found.blocks} blocks hold other numbers than their settings give")
    print(f"trained  {found.cells} cells again, with the {found.blocks} blocks that they are in: equal to the bit")


def migrate(arguments: argparse.Namespace) -> None:
    """Make an older store one of this version."""
    from snljax.sweep.migrate import migrate

    kept, lost = migrate(arguments.store)
    print(f"{arguments.store}: {kept} finished blocks kept, {lost} damaged ones to be trained again")


def doctor(_: argparse.Namespace) -> None:
    """What this installation runs on; exit code 1 if it trains to another loss than it should."""
    from snljax.doctor import doctor

    if not doctor():
        raise SystemExit(1)


COMMANDS = {
    "list": list_all,
    "describe": describe,
    "run": run,
    "trace": trace,
    "slurm": slurm,
    "reproduce": reproduce,
    "plot": plot,
    "report": report,
    "table": table,
    "status": status,
    "migrate": migrate,
    "doctor": doctor,
}
