"""What each command does: it calls the library and prints. Heavy modules are imported where they are needed."""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from snljax import experiments, figures, papers
from snljax.cli import values

if TYPE_CHECKING:
    from snljax.picture import Choice

_LOOK_SECONDS = 0.5
_WATCH_SECONDS = 3.0


class BadNewsError(Exception):
    """A command that did its work and has bad news."""


def list_all(_: argparse.Namespace) -> None:
    """Papers, and under each its experiments and figures, as the commands that make them."""
    for number in papers.PAPERS:
        print(papers.cite(number))
        for name, experiment in experiments.NAMES.items():
            if number in experiment.papers:
                _line("run", name, experiment.summary)
                for label, figure in figures.NAMES.items():
                    if (figure.experiment, figure.paper) == (name, number):
                        _line("reproduce", label, figure.summary)


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

    grid, shard, store = values.grid(arguments), values.shard(arguments.shard), arguments.store
    if shard is not None and store is None:
        raise ValueError(f"shard: {arguments.shard} without --store; allowed: with it, which joins the parts")
    digest = output.digest(grid, arguments.record_every, arguments.precision)
    out = arguments.out or (None if store else pathlib.Path("runs", f"{grid.experiment.name}-{digest}.nc"))
    if out is not None:
        out = output.writable(out, store)
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
            ds = sweep(grid, store=where, shard=shard, record_every=arguments.record_every, **options)
        except SweepError as failed:
            rest = "" if where is None or str(where) in str(failed) else f"; all others are kept in {where}"
            raise BadNewsError(f"{failed}{rest}") from None
        except StoreError as error:
            told = f" ({hidden} keeps what this command trained before; without it all begins anew)" if before else ""
            raise ValueError(f"{error}{told}") from None
        if out is not None:
            if hidden is not None:
                ds = output.whole(ds, out, hidden)
            output.write(ds, out, where)
        print(ds)
        if hidden is not None:
            output.remove(hidden)
    print(f"wrote {out or store}")


def trace(arguments: argparse.Namespace) -> None:
    """The boundary of a metric, into a store, a file and a picture."""
    from snljax import output, picture
    from snljax.sweep.engine import SweepError
    from snljax.trace import trace

    for name in ("metric", "level", "store"):
        if getattr(arguments, name) is None:
            raise ValueError(f"{name}: not given; allowed: --{name}, which a trace needs")
    grid = values.grid(arguments)
    out = None if arguments.out is None else output.writable(arguments.out, arguments.store)
    print(grid)
    with values.sweep_options(arguments) as options:
        about = {name: getattr(arguments, name) for name in ("x", "y", "store", "seeds", "net", "diverged")}
        try:
            ds = trace(grid, arguments.metric, arguments.level, **about, **options)
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
        output.write(ds, out, arguments.store)
        print(f"wrote {out}")
    if arguments.png is not None:
        picture.draw_phases(ds, arguments.png)
        print(f"wrote {arguments.png}")
    print(f"wrote {arguments.store}")


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
    from snljax import picture
    from snljax.sweep.dataset import open_store

    file = arguments.file if arguments.file.name not in ("", "..") else arguments.file.resolve()
    ds = open_store(file) if file.is_dir() else picture.read(file)
    out = arguments.out or file.with_name(file.name.removesuffix(".nc") + ".png")
    picture.draw(ds, _choice(arguments), str(arguments.file), out)
    print(f"wrote {out}")


def _choice(arguments: argparse.Namespace) -> Choice:
    from snljax.picture import Choice

    return Choice(arguments.metric, arguments.x, arguments.y, arguments.threshold, arguments.log)


def status(arguments: argparse.Namespace) -> None:
    """How far a store is, once or until it is full."""
    from snljax.sweep.status import report, status

    while True:
        now = status(arguments.store, seconds=float("inf") if arguments.verify else _LOOK_SECONDS)
        if arguments.watch and sys.stdout.isatty():
            print("\033[H\033[J", end="")
        print(report(now), flush=True)
        complete = now.cells_done == now.cells
        if arguments.png is not None and (now.blocks_done or not arguments.watch):
            from snljax import picture  # brings JAX, which a look does not need
            from snljax.sweep.dataset import open_store

            picture.draw(open_store(arguments.store), _choice(arguments), arguments.store, arguments.png)
            print(f"wrote {arguments.png}")
        if not arguments.watch or complete:
            break
        time.sleep(_WATCH_SECONDS)
    if now.damaged:
        raise BadNewsError(f"{len(now.damaged)} damaged blocks; the command that made the store trains them again")
    if arguments.recompute is not None:
        _recompute(arguments.store, arguments.recompute)


def _recompute(store: str, cells: int) -> None:
    from snljax.sweep.verify import recompute

    found = recompute(store, cells)
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
    "reproduce": reproduce,
    "plot": plot,
    "status": status,
    "migrate": migrate,
    "doctor": doctor,
}
