"""Random operations on stores, writers, executors and code, against a dictionary of what each cell must be.

``python tests/sweep/test_model.py [--shrink] [GROUP ...] [SEED ...]`` looks for each of the eight faults alone, with
the seeds below; with ``--shrink`` it reduces what it finds to the shortest sequence, and prints that. A test that
fails prints the sequence of calls, and ``@reproduce_failure`` with the text that repeats it. The slow form runs
``MODEL_SEQUENCES`` sequences, 250 unless told, for each of eight seeds.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import contextlib
import errno
import io
import itertools
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import warnings
from typing import Any, NamedTuple

sys.path.append(str(pathlib.Path(__file__).parents[1]))  # also without pytest

import harness  # noqa: F401  -- two CPU devices
import jax
import model_driver as toy
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from model_driver import Cell, Code

import snljax as snl

# What each group of rules was found to break in the code as it stood when this test was written, by seed:
#   threads    a trainer that threads share: a cell with the draw of another seed, or a TypeError
#   grids      a lost grids/N.json: blocks under the labels of other cells
#   redefined  code that changes in place, and a program that was compiled before
#   names      metrics under other names in a store that goes on
#   data       a file of data that changes, and workers that go on with the old data
#   race       two writers where hard links are refused: each makes grid N
#   reads      a file that cannot be opened now, and a finished cell that reads as pending
#   programs   a lost programs/ folder, and changed code in a store that goes on
FOUND_BY: dict[str, list[int]] = {
    "threads": [1, 2, 3],
    "grids": [0, 1],
    "redefined": [0, 1],
    "names": [0, 1],
    "data": [0, 1],
    "race": [0, 1],
    "reads": [0, 1],
    "programs": [0, 1],
}
EVERYTHING = frozenset({*FOUND_BY, "kill", "damage", "code", "folders", "ground"})
INTEGERS = ("int32",)
METRICS = {"mean": (), "top": (), "peak": (), "values": ("coordinate",), "ticket": ()}


class Killed(BaseException):
    """The process is gone: nothing in the library may take it for an error."""


class Asked(NamedTuple):
    """The cells of one call: a product. flip: seeds before points."""

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    widths: tuple[int, ...] = (2,)
    flip: bool = False


class Shelf:
    """A store, and what it must hold.

    cells: all that were ever asked for -> the code that may have trained them; done: those that must be there.
    accepted: width -> code that the store must let in; seen: code that it may know.
    """

    def __init__(self, path: pathlib.Path, family: str, form: str, block: tuple[int, int], every: int | None) -> None:
        self.path, self.family, self.form, self.block, self.every = path, family, form, block, every
        self.code = Code()  # of the fixed family
        self.forget()

    def forget(self) -> None:
        self.cells: dict[Cell, set[Code]] = {}
        self.done: set[Cell] = set()
        self.accepted: dict[int, set[Code]] = {}
        self.seen: dict[int, set[Code]] = {}
        self.mixed_up = False  # chunks lie in each other's places: only a sweep compares hashes
        self.damaged = False  # files are harmed: a reader leaves out what it cannot read, and warns
        self.bits: dict[tuple[Cell, Code], bytes] = {}
        self.last: Asked | None = None

    def everything(self) -> Asked:
        """All values that were ever asked for, in the order of their first mention."""
        columns = zip(*((c.rate, c.seed, c.width) for c in self.cells), strict=True)
        return Asked(*(tuple(dict.fromkeys(column)) for column in columns))

    def unsure(self) -> None:
        """Something was lost: what was done may have to be trained again."""
        self.done = set()


def cells_of(asked: Asked, form: str) -> list[Cell]:
    return [
        Cell(rate, toy.start_of(rate) if form in ("protocol", "bundle") else 1.5, width, number)
        for width, rate, number in itertools.product(asked.widths, asked.rates, asked.seeds)
    ]


def grid_of(experiment: snl.Experiment, asked: Asked, form: str, source: str = "") -> snl.Grid:
    """``line``: rates; ``static``: widths × rates; ``protocol`` and ``bundle``: rates zipped with starts."""
    both = {"rate": asked.rates, "start": [toy.start_of(r) for r in asked.rates]}
    points: dict[str, Any] = {"rate": list(asked.rates)}
    if form == "static":
        points = {"width": list(asked.widths), "rate": list(asked.rates)}
    elif form == "protocol":
        points = {"protocol": snl.zip(**both)}
    elif form == "bundle":
        points = {}
    seeds = {"seed": list(asked.seeds)}
    axes = {**seeds, **points} if asked.flip else {**points, **seeds}
    fixed = {"spread": toy.SPREAD, "steps": toy.STEPS, "source": source}
    return snl.Grid(experiment, *([snl.zip(**both)] if form == "bundle" else []), **fixed, **axes)


def narrowed(asked: Asked, form: str) -> Asked:
    """Only a static axis has several widths."""
    return asked if form == "static" else asked._replace(widths=(2,))


# --- comparing --------------------------------------------------------------------------------------


def compare(
    ds: Any, codes: dict[Cell, set[Code]], every: int | None, form: str, damaged: bool = False
) -> dict[Cell, Code | None]:
    """Every cell of a Dataset against the code that may have trained it.

    damaged: files may be gone or harmed, so that single metrics of a cell may be missing, if a warning says so.

    Returns cell -> its code, None where it is pending; AssertionError at the first number that is wrong.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ds = ds.load()
    damaged = damaged and any("cannot be read" in str(w.message) for w in said)
    names = set(ds.data_vars) - {"status", "first_bad_step"}
    dims = ds["status"].dims
    arrays = {n: ds[n].transpose(*dims, ...).values for n in ds.data_vars}
    for name in names:
        assert name in METRICS, f"there is no metric {name}"
        assert str(arrays[name].dtype) in (INTEGERS if name == "ticket" else ("float32",)), f"{name}: wrong dtype"
        own = (() if every is None else ("step",)) + METRICS[name]
        assert ds[name].dims[len(dims) :] == own or set(ds[name].dims) == {*dims, *own}, f"{name}: {ds[name].dims}"
    steps = (toy.STEPS,) if every is None else tuple(ds["step"].values.tolist())
    assert steps[-1] == toy.STEPS

    def at(name: str, place: tuple[int, ...], default: Any) -> Any:
        if name not in ds.coords:
            return default
        coordinate = ds[name]
        return coordinate.values[tuple(place[dims.index(d)] for d in coordinate.dims)].item()

    found: dict[Cell, Code | None] = {}
    for place in np.ndindex(*ds["status"].shape):
        rate = min(toy.RATES, key=lambda r: abs(r - at("rate", place, None)))
        start = toy.start_of(rate) if form in ("protocol", "bundle") else 1.5
        assert at("start", place, start) == pytest.approx(start)
        cell = Cell(rate, start, at("width", place, 2), at("seed", place, 0))
        status, here = int(arrays["status"][place]), {n: arrays[n][place] for n in names}
        assert arrays["first_bad_step"][place] == -1, f"{cell}: first_bad_step {arrays['first_bad_step'][place]}"
        assert status in (0, 1), f"{cell} has status {status}"
        if damaged:
            here = {n: v for n, v in here.items() if v.dtype.kind == "f" and not np.isnan(v).all()}
        if status == 0:
            if damaged:
                here = {}
            there = [n for n, v in here.items() if v.dtype.kind == "f" and not np.isnan(v).all()]
            assert not there, f"{cell} is pending and has numbers: {there}"
            found[cell] = None
            continue
        assert cell in codes, f"{cell} is done, and nobody asked for it"
        match = [code for code in codes[cell] if _is(here, cell, code, steps, every, damaged)]
        assert match, f"{cell} holds a wrong number: {_whose(here, cell, codes[cell], steps, every)}"
        found[cell] = match[0]
    return found


def _is(
    here: dict[str, Any], cell: Cell, code: Code, steps: tuple[int, ...], every: int | None, part: bool = False
) -> bool:
    """Whether numbers are those of a cell under some code, metric by metric."""
    for name, values in here.items():
        for i, t in enumerate(steps):
            value = values if every is None else values[i]
            numbers, scale = toy.expected(cell, code, t)
            if name not in numbers:  # of other code in this store
                good = bool(np.isnan(value).all()) if value.dtype.kind == "f" else True
            elif name == "ticket":
                good = int(value) == numbers[name]
            elif name == "values":
                good = len(value) >= cell.width and bool(np.isnan(value[cell.width :]).all())
                good = good and np.allclose(value[: cell.width], numbers[name], rtol=0, atol=toy.TOLERANCE * scale)
            else:
                good = abs(float(value) - numbers[name]) <= toy.TOLERANCE * scale
            if not good:
                return False
    return part or set(METRICS_OF[code.names]) <= set(here)


METRICS_OF = {name: kind._fields for name, kind in toy.METRICS.items()}


def _whose(here: dict[str, Any], cell: Cell, codes: set[Code], steps: tuple[int, ...], every: int | None) -> str:
    """Whose number a cell holds, for the message."""
    near = [*codes, *(c for c in toy.all_codes() if c not in codes)]
    near += [c._replace(names=names) for c in near for names in toy.METRICS if names != c.names]
    shown = {n: np.asarray(v).ravel()[-1].item() for n, v in here.items()}
    wanted = {n: v for c in codes for n, v in toy.expected(cell, c, steps[-1])[0].items() if n != "values"}
    told = f"{shown}, right is {wanted} under {[_short(c) for c in codes]}"
    for other in [cell, *toy.all_cells()]:
        for code in near:
            if _is(here, other, code, steps, every):
                return f"{told}; it is the number of {other} under {_short(code)}"
    return told


def _short(code: Code) -> dict[str, Any]:
    return {n: v for n, v in code._asdict().items() if v not in (1.0, "plain")} or {"code": "as it was"}


# --- what may happen to a process and to files ------------------------------------------------------


@contextlib.contextmanager
def patched(*changes: tuple[Any, str, Any]):
    """Attributes of modules, for a while."""
    old = [(where, name, getattr(where, name)) for where, name, _ in changes]
    try:
        for where, name, value in changes:
            setattr(where, name, value)
        yield
    finally:
        for where, name, value in old:
            setattr(where, name, value)


@contextlib.contextmanager
def killed_at(operation: int, moment: str, gone: bool):
    """The process ends at its n-th renaming or linking: before it, after it, or with half of the file written.

    gone: nothing is written from then on, and nothing tidied up. Otherwise it is a Ctrl-C.
    """
    real = {name: getattr(os, name) for name in ("replace", "rename", "link", "unlink", "remove")}
    state = {"count": 0, "dead": False}
    error: Any = Killed if gone else KeyboardInterrupt

    def moving(name):
        def call(source, target, *a, **k):
            if state["dead"] and gone:
                raise error
            if not gone and threading.current_thread() is not threading.main_thread():
                return real[name](source, target, *a, **k)  # Ctrl-C reaches the main thread only
            state["count"] += 1
            if state["count"] != operation:
                return real[name](source, target, *a, **k)
            state["dead"] = True
            if moment == "half":
                with contextlib.suppress(OSError):
                    os.truncate(source, os.path.getsize(source) // 2)
            if moment == "after":
                real[name](source, target, *a, **k)
            raise error

        return call

    def removing(name):
        def call(*a, **k):
            if state["dead"] and gone:
                raise error
            return real[name](*a, **k)

        return call

    changes = [(os, n, moving(n)) for n in ("replace", "rename", "link")]
    with patched(*changes, *((os, n, removing(n)) for n in ("unlink", "remove"))):
        yield state


@contextlib.contextmanager
def nothing_opens(folder: pathlib.Path, after: int, number: int):
    """After so many, no file below a folder can be opened any more, to be read at least."""
    left = [after]

    def guarded(real):
        def call(file, *a, **k):
            path = os.fspath(file) if isinstance(file, (str, os.PathLike)) else ""
            reading = "w" not in str(a[0] if a and isinstance(a[0], str) else k.get("mode", "r"))
            if isinstance(path, str) and os.path.realpath(path).startswith(os.path.realpath(folder)) and reading:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(number, os.strerror(number), path)
            return real(file, *a, **k)

        return call

    def scan(path=".", real=os.scandir):
        return guarded(real)(path)

    with patched((builtins, "open", guarded(builtins.open)), (io, "open", guarded(io.open)), (os, "scandir", scan)):
        yield


@contextlib.contextmanager
def restless(number: int):
    """Threads that start now fall asleep whenever they come to one of some lines of the library, drawn by number."""
    part = os.sep + "snljax" + os.sep + "sweep" + os.sep

    sleeps: dict[tuple[str, int], int] = {}

    def line(frame, event, argument):
        if event == "line":
            at = (os.path.basename(frame.f_code.co_filename), frame.f_lineno)
            if at not in sleeps:
                sleeps[at] = 40 if random.Random(f"{number} {at}").random() < 0.1 else 0
            if sleeps[at]:
                sleeps[at] -= 1  # a line of a long loop wakes in the end
                time.sleep(0.002)
        return line

    def call(frame, event, argument):
        return line if part in frame.f_code.co_filename else None

    before = threading.gettrace()
    threading.settrace(call)
    try:
        yield
    finally:
        threading.settrace(before)  # type: ignore[arg-type]


class Pools:
    """Executors that outlive a sequence of calls, as those of a session do."""

    def __init__(self) -> None:
        self.stack, self.made = contextlib.ExitStack(), dict[str, Any]()

    def get(self, how: str) -> Any:
        if how not in self.made:
            if how == "dask":
                from distributed import Client, LocalCluster

                options = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
                cluster = self.stack.enter_context(LocalCluster(**options))
                self.made[how] = self.stack.enter_context(Client(cluster)).get_executor()
            else:
                context = multiprocessing.get_context("spawn")
                workers = {"one process": 1, "two processes": 2}[how]
                pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
                self.made[how] = self.stack.enter_context(pool)
        return self.made[how]

    def close(self) -> None:
        self.stack.close()
        self.made.clear()


POOLS = Pools()


# --- the machine ------------------------------------------------------------------------------------

widths = st.sampled_from([(2,), (3,), (2, 3), (3, 2)])
seeds = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True).map(tuple)
rates = st.lists(st.sampled_from(toy.RATES), min_size=1, max_size=3, unique=True).map(tuple)
asking = st.builds(Asked, rates, seeds, widths, st.booleans())
hows = st.sampled_from(["here", "two devices", "threads", "one process", "two processes", "dask"])
forms = st.sampled_from(["line", "static", "protocol", "bundle"])
which = st.integers(0, 1)
shapes = st.sampled_from([(1, 2), (2, 2), (1, 1)])
records = st.sampled_from([None, None, 2])
a_code = st.sampled_from([Code(step=3.0), Code(step=5.0), Code(init=3.0), Code(measure=5.0), Code(draw=3.0), Code()])
BENIGN = ("chunk gone", "chunk cut", "chunk flipped", "chunks swapped", "metrics swapped", "marker gone", "marker cut",
          "markers swapped", "marker flipped", "array undescribed", "array misdescribed", "group undescribed",
          "copy of the manifest gone", "done gone", "data gone", "checkpoints", "writers gone", "junk")  # fmt: skip


def needs(group: str):
    return precondition(lambda self: group in self.groups)


class Model(RuleBasedStateMachine):
    """Stores on two shelves, a session with code that changes, and all that may happen to them."""

    groups = EVERYTHING
    executors = frozenset({"here", "two devices", "threads"})

    def __init__(self) -> None:
        super().__init__()
        self.home = os.getcwd()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="model-"))
        self.shelves: list[Shelf] = []
        self.notebooks: dict[str, Any] = {}
        self.threads = concurrent.futures.ThreadPoolExecutor(3)
        self.stores = 0

    def teardown(self) -> None:
        os.chdir(self.home)
        self.threads.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- calls ---

    def program(self, shelf: Shelf) -> tuple[snl.Experiment, Code, str]:
        if shelf.family == "fixed":
            return toy.fixed(shelf.code), shelf.code, ""
        notebook = self.notebooks[shelf.family]
        return notebook.experiment, notebook.code, getattr(notebook, "source", "")

    def options(self, how: str, pool: Any = None) -> dict[str, Any]:
        how = how if how in self.executors else "threads" if "process" in how or how == "dask" else "here"
        if how in ("here", "two devices"):
            count = 2 if how == "two devices" and len(jax.local_devices()) > 1 else 1
            return {"devices": count, "progress": False}
        return {"executor": (pool or self.threads) if how == "threads" else POOLS.get(how), "progress": False}

    def in_memory(self, experiment, code, asked, how="here", form="line", block=(1, 2), every=None, source="", **more):
        """A sweep without a store: all cells are done, and right."""
        asked = narrowed(asked, form)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {**self.options(how), **more}
            ds = snl.sweep(grid_of(experiment, asked, form, source), block=block, record_every=every, **options)
        cells = cells_of(asked, form)
        found = compare(ds, {cell: {code} for cell in cells}, every, form)
        assert found == dict.fromkeys(cells, code), "a sweep in memory is not complete"
        assert set(ds.data_vars) == {*METRICS_OF[code.names], "status", "first_bad_step"}

    def sweep(self, shelf: Shelf, asked: Asked, how: str = "here", path: Any = None, pool: Any = None, **more) -> Any:
        """A sweep into a store; the Dataset, or the text of a refusal in one line."""
        experiment, _, source = self.program(shelf)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that damage was met, or a copy used
            options = {**self.options(how, pool), **more, "record_every": shelf.every, "block": shelf.block}
            grid = grid_of(experiment, asked, shelf.form, source)
            try:
                return snl.sweep(grid, store=shelf.path if path is None else path, **options)
            except ValueError as refused:
                return self.one_line(refused)

    @staticmethod
    def one_line(refused: ValueError) -> str:
        text = str(refused)
        assert isinstance(refused, snl.StoreError), f"not a StoreError: {type(refused).__name__}: {text}"
        assert "\n" not in text, f"more than one line: {text}"
        assert "allowed: " in text, f"it does not say what is allowed: {text}"
        return text

    def ask(self, shelf: Shelf, asked: Asked) -> tuple[Asked, Code, bool, bool]:
        """What a call that is about to be made asks for; whether it must be refused, or must not."""
        asked, (_, code, _) = narrowed(asked, shelf.form), self.program(shelf)
        trained = {cell.width for cell in shelf.done}
        refuse = any(w in trained and code not in shelf.seen.get(w, ()) for w in asked.widths)
        everywhere = set().union(*shelf.seen.values()) <= {code}
        admit = all(code in shelf.accepted.get(w, ()) or (w not in shelf.seen and everywhere) for w in asked.widths)
        return asked, code, refuse, admit

    def trained(self, shelf: Shelf, asked: Asked, code: Code, admitted: bool = True) -> None:
        """The model after a call that may have trained: any cell that is not done may be of this code now."""
        for cell in cells_of(asked, shelf.form):
            shelf.cells.setdefault(cell, set())
        for cell, may in shelf.cells.items():
            if cell not in shelf.done:
                may.add(code)
        for width in asked.widths:
            shelf.seen.setdefault(width, set()).add(code)
            if admitted:
                shelf.accepted.setdefault(width, set()).add(code)

    def complete(self, shelf: Shelf, asked: Asked, how: str = "here", may_refuse: bool = False, accept=False, **more):
        """One call of sweep: every cell that it asks for is done and right, or it is refused where it may be.

        Returns whether it was done.
        """
        asked, code, refuse, admit = self.ask(shelf, asked)
        ds = self.sweep(shelf, asked, how, accept_program=accept, **more)
        if isinstance(ds, str):
            assert may_refuse or not (admit or accept), f"refused: {ds}"
            return False
        there = [_short(c) for c in {c for cell in shelf.done for c in shelf.cells[cell]}]
        self.trained(shelf, asked, code)
        found = self.check(shelf, ds)
        assert accept or not refuse, f"code {_short(code)} was let into a store that holds cells of {there}"
        wanted = cells_of(asked, shelf.form)
        assert set(found) == set(wanted), "the Dataset is not the grid"
        if more.get("shard") is None:
            missing = [cell for cell in wanted if found[cell] is None]
            assert not missing, f"not done after a sweep: {missing}"
        shelf.last = asked
        if set(shelf.cells) <= set(wanted) and more.get("shard") is None:
            shelf.mixed_up = shelf.damaged = False
        return True

    def check(self, shelf: Shelf, ds: Any, whole: bool = False, damaged: bool = False) -> dict[Cell, Code | None]:
        """A Dataset of a store, finished or not, against the model; what is done from now on has to stay so."""
        found = compare(ds, shelf.cells, shelf.every, shelf.form, damaged)
        lost = [c for c in found if found[c] is None and c in shelf.done]
        lost += [c for c in shelf.done if whole and c not in found]
        assert not lost, f"done before, and pending or absent now: {lost}"
        for cell, code in found.items():
            if code is None or shelf.mixed_up or damaged:
                continue
            shelf.done.add(cell)
            shelf.cells[cell] = {code}
        if "mean" in ds and not damaged:
            self.compare_bits(shelf, ds, found)
        return found

    def compare_bits(self, shelf: Shelf, ds: Any, found: dict[Cell, Code | None]) -> None:
        """Whoever trained a cell, and however often: the same bits."""
        means = ds["mean"].transpose(*ds["status"].dims, ...).values
        for place, (cell, code) in zip(np.ndindex(*ds["status"].shape), found.items(), strict=True):
            if code is not None:
                bits = means[place].tobytes()
                assert shelf.bits.setdefault((cell, code), bits) == bits, f"{cell}: other bits than before"

    def opened(self, shelf: Shelf, path: Any = None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return snl.open_store(shelf.path if path is None else path)

    def look_at(self, shelf: Shelf) -> None:
        """All that a store holds, as a reader sees it."""
        if not shelf.cells or shelf.mixed_up:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ds = snl.open_store(shelf.path)
            except ValueError as refused:
                if shelf.done:
                    raise
                self.one_line(refused)  # killed before it was a store
                return
        self.check(shelf, ds, whole=True, damaged=shelf.damaged)

    def new_shelf(self, family="fixed", form="line", block=(1, 2), every=None) -> Shelf:
        self.stores += 1
        parent = self.folder / str(self.stores)
        parent.mkdir()
        return Shelf(parent / "a", family, form, block, every)

    def half_finished(self, how: str = "here", form: str = "line") -> tuple[Shelf, Asked]:
        """A store of which one of two shards is trained."""
        shelf, asked = self.new_shelf(form=form), narrowed(Asked(toy.RATES[:3], (0, 1), toy.WIDTHS), form)
        self.complete(shelf, asked, how, shard=(1, 2))
        return shelf, asked

    # --- stores, growth, parts, shards: the ground that all groups stand on ---

    @initialize(forms=st.tuples(forms, forms), block=shapes, every=records, asked=asking, started=st.booleans())
    def two_shelves(self, forms, block, every, asked, started):
        self.shelves = [self.new_shelf("fixed", forms[0], block, every), self.new_shelf("fixed", forms[1])]
        if started:
            self.complete(self.shelves[0], asked)

    @rule(i=which, asked=asking, how=hows, shard=st.sampled_from([None, None, None, (1, 2), (2, 2), (2, 3)]))
    def train(self, i, asked, how, shard):
        self.complete(self.shelves[i], asked, how, shard=shard)
        self.look_at(self.shelves[i])

    @needs("ground")
    @rule(i=which, how=hows, backwards=st.booleans())
    def finish(self, i, how, backwards):
        """All that was ever asked for, in another order."""
        if self.shelves[i].cells:
            asked = self.shelves[i].everything()
            if backwards:
                asked = Asked(asked.rates[::-1], asked.seeds[::-1], asked.widths[::-1], True)
            self.complete(self.shelves[i], asked, how)

    @needs("ground")
    @rule(asked=asking, how=hows, form=forms, block=shapes, every=records, code=a_code)
    def memory(self, asked, how, form, block, every, code):
        self.in_memory(toy.fixed(code), code, asked, how, form, block, every)

    # --- killed at a file operation ---

    @needs("kill")
    @rule(
        i=which,
        asked=asking,
        how=st.sampled_from(["here", "two devices", "threads"]),
        operation=st.integers(1, 30),
        moment=st.sampled_from(["before", "half", "after"]),
        gone=st.booleans(),
        looked=st.booleans(),
    )
    def killed(self, i, asked, how, operation, moment, gone, looked):
        shelf = self.shelves[i]
        asked, code, refuse, admit = self.ask(shelf, asked)
        if refuse or not admit:
            return
        self.trained(shelf, asked, code)
        try:
            with killed_at(operation, moment, gone), concurrent.futures.ThreadPoolExecutor(2) as pool:
                ds = self.sweep(shelf, asked, how, pool=pool)
                assert not isinstance(ds, str), f"refused: {ds}"
        except (Killed, KeyboardInterrupt) as stopped:
            if looked and isinstance(stopped, snl.Interrupted):
                self.check(shelf, stopped.dataset)
        if looked and (shelf.path / "manifest.json").exists():
            self.look_at(shelf)
        self.complete(shelf, asked, how)
        self.look_at(shelf)

    # --- damaged and lost files whose information is elsewhere ---

    @needs("damage")
    @rule(
        i=which,
        what=st.lists(st.sampled_from(BENIGN), min_size=1, max_size=3),
        n=st.integers(0, 1000),
        looked=st.booleans(),
        part=asking,
        how=hows,
    )
    def damaged(self, i, what, n, looked, part, how):
        """Readers leave out what is damaged; a sweep of the whole trains it again."""
        shelf = self.shelves[i]
        if not shelf.done:
            return
        shelf.unsure()
        shelf.damaged = True
        for kind in what:
            self.harm(shelf, kind, n)
        if looked:
            self.look_at(shelf)
            self.complete(shelf, part, how)
        self.complete(shelf, shelf.everything(), how)
        self.look_at(shelf)

    def harm(self, shelf: Shelf, kind: str, n: int) -> None:
        root = shelf.path
        chunks = sorted(f for f in (root / "data.zarr").glob("*/*/c/**/*") if f.is_file())
        markers = sorted((root / "done").glob("*.json"))
        arrays = sorted((root / "data.zarr").glob("*/*/zarr.json"))

        def pick(files):
            return files[n % len(files)]

        if kind.startswith(("chunk", "metrics")) and chunks:
            self.harm_chunk(shelf, kind, pick(chunks), n)
        elif kind.startswith("marker") and markers:
            file = pick(markers)
            content = file.read_bytes()
            if kind == "marker gone":
                file.unlink()
            elif kind == "marker cut":
                file.write_bytes(content[: n % len(content)])
            elif kind == "marker flipped":
                flip(file, n)
            elif kind == "markers swapped":
                other = markers[(n + 1) % len(markers)]
                file.write_bytes(other.read_bytes())
                other.write_bytes(content)
        elif kind == "array undescribed" and arrays:
            pick(arrays).unlink()
        elif kind == "array misdescribed" and arrays:
            content, other = pick(arrays).read_bytes(), arrays[(n + 1) % len(arrays)]
            pick(arrays).write_bytes(other.read_bytes())
            other.write_bytes(content[: n % len(content)] if n % 2 else content)
        elif kind == "group undescribed":
            pick(sorted(f for f in (root / "data.zarr").iterdir() if f.is_dir())).joinpath("zarr.json").unlink(
                missing_ok=True
            )
        elif kind == "copy of the manifest gone":
            (root / "data.zarr" / "zarr.json").unlink(missing_ok=True)
        elif kind in ("done gone", "data gone", "writers gone"):
            folder = {"done gone": "done", "data gone": "data.zarr", "writers gone": "writers"}[kind]
            shutil.rmtree(root / folder, ignore_errors=True)
        elif kind == "checkpoints":
            shutil.rmtree(root / "checkpoints", ignore_errors=True)
            (root / "checkpoints").mkdir()
            (root / "checkpoints" / f"{n % 5}.npz").write_bytes(b"no checkpoint")
        elif kind == "junk":
            for name in ("done/junk.txt", "done/999999.json", "done/.1.json.ab", "grids/junk", "grids/.0.json.cd"):
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_bytes(b"" if n % 2 else b"{}")

    def harm_chunk(self, shelf: Shelf, kind: str, file: pathlib.Path, n: int) -> None:
        content = file.read_bytes()
        if kind == "chunk gone":
            file.unlink()
        elif kind == "chunk cut":
            file.write_bytes(content[: n % len(content)])
        elif kind == "chunk flipped":
            flip(file, n)
        else:
            array = next(p.parent for p in file.parents if p.name == "c")
            inside = file.relative_to(array)
            if kind == "chunks swapped":
                others = sorted(f for f in (array / "c").rglob("*") if f.is_file())
                other = others[n // 7 % len(others)]
            else:
                other = array.parent / {"mean": "top", "top": "mean"}.get(array.name, array.name) / inside
            if other.exists():
                file.write_bytes(other.read_bytes())
                other.write_bytes(content)
                shelf.mixed_up = True

    def without(self, shelf: Shelf, asked: Asked, files: list[pathlib.Path], cut: int | None, how: str, may=True):
        """Lose or cut descriptions, then sweep: done and right, or refused, and after a restore done and right."""
        kept = [(file, file.read_bytes()) for file in files]
        folders = {file.parent for file, _ in kept}
        for file, content in kept:
            if cut is None:
                file.unlink()
            else:
                file.write_bytes(content[: cut % len(content)])
        for folder in folders:
            if not any(folder.iterdir()):
                folder.rmdir()
        if not self.complete(shelf, asked, how, may_refuse=may):
            for file, content in kept:
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
            self.complete(shelf, asked, how)
        self.complete(shelf, shelf.everything(), how)
        self.look_at(shelf)

    @needs("grids")
    @rule(
        i=which,
        more=asking,
        again=st.sampled_from(["same", "backwards", "more"]),
        lost=st.sampled_from(["first", "last", "all", "folder"]),
        cut=st.sampled_from([None, None, None, 40]),
        how=hows,
    )
    def lost_grids(self, i, more, again, lost, cut, how):
        """The list of what was asked for is lost; its copies lie in data.zarr/N/zarr.json."""
        shelf = self.shelves[i]
        if not shelf.done:
            return
        asked = {"same": shelf.last or shelf.everything(), "more": more}.get(again) or shelf.everything()
        if again == "backwards":
            asked = Asked(asked.rates[::-1], asked.seeds[::-1], asked.widths[::-1])
        files = sorted((shelf.path / "grids").glob("*.json"), key=lambda f: int(f.stem) if f.stem.isdigit() else -1)
        files = [f for f in files if f.stem.isdigit()]
        chosen = {"first": files[:1], "last": files[-1:]}.get(lost, files)
        self.without(shelf, asked, chosen, cut, how)

    @needs("damage")
    @rule(i=which, cut=st.sampled_from([None, 0, 40]), how=hows)
    def lost_manifest(self, i, cut, how):
        if self.shelves[i].done:
            shelf = self.shelves[i]
            self.without(shelf, shelf.everything(), [shelf.path / "manifest.json"], cut, how)

    # --- programs and metrics that are not those of the store ---

    @needs("programs")
    @rule(
        code=a_code,
        form=forms,
        how=hows,
        cut=st.sampled_from([None, None, 30]),
        grown=st.booleans(),
        resumed=st.booleans(),
    )
    def lost_programs(self, code, form, how, cut, grown, resumed):
        """What trained a block is also in its marker: other code is refused all the same."""
        shelf, asked = self.half_finished(how, form)
        if grown:
            asked = asked._replace(rates=asked.rates + toy.RATES[3:4])
        if not resumed:
            files = list((shelf.path / "programs").glob("*.json"))
            shelf.code = code
            if cut is None:
                shutil.rmtree(shelf.path / "programs")
            else:
                for file in files:
                    file.write_bytes(file.read_bytes()[:cut])
            self.complete(shelf, asked, how, may_refuse=True)
            shelf.code = Code()
            shutil.rmtree(shelf.path / "programs", ignore_errors=True)
            self.complete(shelf, asked, how, may_refuse=True)
        else:
            self.without(shelf, asked, list((shelf.path / "programs").glob("*.json")), cut, how)

    @needs("names")
    @rule(
        names=st.sampled_from(["swapped", "renamed"]), form=forms, how=hows, grown=st.booleans(), accept=st.booleans()
    )
    def other_names(self, names, form, how, grown, accept):
        """The same numbers under other names are another program."""
        code = Code(names=names)
        shelf, asked = self.half_finished(how, form)
        if grown:
            asked = asked._replace(rates=asked.rates + toy.RATES[3:4])
        shelf.code = code
        self.complete(shelf, asked, how, may_refuse=True, accept=accept)
        self.in_memory(toy.fixed(code), code, asked, how, form)
        self.look_at(shelf)

    @needs("code")
    @rule(i=which, code=a_code, asked=asking, how=hows, accept=st.booleans())
    def changed_code(self, i, code, asked, how, accept):
        """Other functions are refused, or let in where the user says so; cells of both are then mixed."""
        shelf = self.shelves[i]
        old, shelf.code = shelf.code, code
        if not self.complete(shelf, asked, how, accept=accept):
            shelf.code = old
        self.look_at(shelf)

    @needs("redefined")
    @rule(
        kind=st.sampled_from(toy.KINDS),
        stage=st.sampled_from(sorted(toy.BASE)),
        factor=st.sampled_from(toy.FACTORS[1:]),
        how=hows,
        where=st.sampled_from(["memory", "new store", "same store", "same path"]),
        asked=asking,
    )
    def redefined(self, kind, stage, factor, how, where, asked):
        """Code that changes in place, between two calls of one session."""
        family = f"{kind} {stage}"
        book = self.notebooks.setdefault(family, toy.Notebook(kind, stage))
        if book.code == Code(**{stage: factor}):
            factor = 1.0
        shelf = self.new_shelf(family)
        if where == "memory":
            self.in_memory(book.experiment, book.code, asked, how)
        else:
            self.complete(shelf, asked, how)
        book.change(factor)
        if where == "memory":
            self.in_memory(book.experiment, book.code, asked, how)
        elif where == "same store":
            self.complete(shelf, asked, how)
            self.look_at(shelf)
        elif where == "same path":
            shutil.rmtree(shelf.path)
            shelf.forget()
            self.complete(shelf, asked, how)
        else:
            other = self.new_shelf(family)
            self.complete(other, asked, how)
            self.complete(other, asked, "here")

    @needs("data")
    @rule(
        by_name=st.booleans(),
        number=st.sampled_from(toy.DATA),
        how=hows,
        where=st.sampled_from(["memory", "new store", "same store"]),
        asked=asking,
        form=forms,
    )
    def new_data(self, by_name, number, how, where, asked, form):
        """A file of data changes between two calls of one session."""
        family = f"data {by_name}"
        if family not in self.notebooks:
            self.notebooks[family] = toy.DataFile(str(self.folder / f"{family}.npy"), by_name)
        book = self.notebooks[family]
        if book.code == Code(data=number):
            number = toy.DATA[(toy.DATA.index(number) + 1) % len(toy.DATA)]
        shelf = self.new_shelf(family, form)
        for change in (False, True):
            if change:
                book.change(number)
            if where == "memory":
                self.in_memory(book.experiment, book.code, asked, how, form, source=book.source)
            else:
                shelf = shelf if where == "same store" else self.new_shelf(family, form)
                self.complete(shelf, asked, how)

    # --- threads ---

    @needs("threads")
    @rule(
        number=st.integers(0, 1000),
        form=forms,
        first=st.integers(0, 3),
        rates=rates,
        kept=st.booleans(),
        workers=st.integers(2, 4),
    )
    def crowded(self, number, form, first, rates, kept, workers):
        """Many seeds in small blocks, on threads that stop and go anywhere."""
        asked = narrowed(
            Asked(rates[:1] if form == "static" else rates[:2], tuple(range(first, first + 8)), (2, 3)), form
        )
        with restless(number), concurrent.futures.ThreadPoolExecutor(workers) as pool:
            if kept:
                shelf = self.new_shelf(form=form, block=(1, 1))
                self.complete(shelf, asked, "threads", pool=pool)
            else:
                self.in_memory(toy.fixed(Code()), Code(), asked, "threads", form, (1, 1), executor=pool)
        if kept:
            self.complete(shelf, asked)
            self.look_at(shelf)

    # --- two writers ---

    @needs("race")
    @rule(
        mine=asking,
        theirs=asking,
        at=st.sampled_from(["grids", "manifest.json", "done", "programs"]) | st.integers(1, 20),
        links=st.sampled_from([False, False, True]),
        grown=st.booleans(),
        form=forms,
    )
    def raced(self, mine, theirs, at, links, grown, form):
        """Another writer does all its work just before a file operation of this one, where links may be refused."""
        shelf = self.new_shelf(form=form)
        if grown:
            self.complete(shelf, Asked(toy.RATES[:1], (0,)))
        mine, theirs = narrowed(mine, form), narrowed(theirs, form)
        for asked in (mine, theirs):
            self.trained(shelf, asked, Code())
        moves = ("replace", "rename", "link")
        real = {name: getattr(os, name) for name in (*moves, "open", "mkdir")}
        count, box = [0], []

        def inner():
            try:
                ds = self.sweep(shelf, theirs)
                box.append(ds if isinstance(ds, str) else ds.load())
            except BaseException as error:
                box.append(error)

        other = threading.Thread(target=inner)

        def meet(name, path):
            """Whether the other writer comes now."""
            if threading.current_thread() is other or other.ident is not None:
                return False
            path = os.fspath(path)
            count[0] += isinstance(path, str) and path.startswith(str(shelf.path))
            if isinstance(at, int):
                return count[0] == at
            return name in (("link",) if links else ("replace", "rename")) and at in pathlib.Path(path).parts[-2:]

        def call(name):
            def operation(*a, **k):
                if meet(name, a[1] if name in moves else a[0]):
                    other.start()
                    other.join(5)  # it may wait for a lock of this writer
                if name == "link" and not links:
                    raise OSError(errno.EPERM, "Operation not permitted")
                return real[name](*a, **k)

            return operation

        with patched(*((os, name, call(name)) for name in real)):
            try:
                ds = self.sweep(shelf, mine)
            finally:
                if other.ident is None:
                    other.start()
                other.join()
            if isinstance(box[0], BaseException):
                raise box[0]
            for got, asked in ((box[0], theirs), (ds, mine)):
                if not isinstance(got, str):
                    found = self.check(shelf, got)
                    assert set(found) == set(cells_of(asked, form)), "the Dataset is not the grid"
            for asked in (theirs, mine, theirs):
                self.complete(shelf, asked)
        self.look_at(shelf)

    # --- reading ---

    @needs("reads")
    @rule(i=which, asked=asking, swept=st.booleans(), away=st.booleans())
    def elsewhere(self, i, asked, swept, away):
        """A relative path, and another working folder when the values are read."""
        shelf, other = self.shelves[i], self.shelves[1 - i]
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        asked, *_ = self.ask(shelf, asked)
        if not self.complete(shelf, asked) or shelf.mixed_up:
            return
        os.chdir(shelf.path.parent)
        try:
            name = shelf.path.name
            ds = self.sweep(shelf, asked, path=name) if swept else self.opened(shelf, name)
            assert not isinstance(ds, str), f"refused: {ds}"
            os.chdir(empty if away else other.path.parent)
            self.read(shelf, ds)
        finally:
            os.chdir(self.home)

    def read(self, shelf: Shelf, ds: Any) -> bool:
        """The values are right, or there is an error; whether they were read."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ds = ds.load()
            except (OSError, ValueError):
                return False
        self.check(shelf, ds)
        return True

    @needs("reads")
    @rule(
        i=which,
        asked=asking,
        after=st.integers(0, 12),
        number=st.sampled_from([errno.EMFILE, errno.ENFILE, errno.EACCES]),
        when=st.sampled_from(["values", "open", "sweep"]),
        how=st.sampled_from(["here", "threads"]),
    )
    def too_many_files(self, i, asked, after, number, when, how):
        """A file that cannot be opened now says nothing of what is in it."""
        shelf = self.shelves[i]
        asked, *_ = self.ask(shelf, asked)
        if not self.complete(shelf, asked) or shelf.mixed_up:
            return
        ds = self.opened(shelf)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with nothing_opens(shelf.path, after, number), contextlib.suppress(OSError, ValueError):
                if when == "values":
                    self.read(shelf, ds)
                elif when == "open":
                    self.read(shelf, snl.open_store(shelf.path))
                elif not isinstance(got := self.sweep(shelf, asked, how), str):
                    self.read(shelf, got)
        assert self.read(shelf, ds), "it cannot be read afterwards"
        self.look_at(shelf)
        self.complete(shelf, asked)

    # --- folders ---

    @needs("folders")
    @rule(i=which, asked=asking, how=hows, read=st.booleans())
    def moved(self, i, asked, how, read):
        """A store is moved; what was opened before is right, or an error."""
        shelf = self.shelves[i]
        if not shelf.done:
            return
        ds = self.opened(shelf)
        path = shelf.path.with_name("b" if shelf.path.name == "a" else "a")
        shelf.path.rename(path)
        shelf.path = path
        if read and "reads" in self.groups and not shelf.mixed_up:
            self.read(shelf, ds)
        self.look_at(shelf)
        self.complete(shelf, asked, how)

    @needs("folders")
    @rule(i=which, asked=asking, how=hows, form=forms)
    def made_anew(self, i, asked, how, form):
        """A store is removed, and another one made under its name."""
        shelf = self.shelves[i]
        shutil.rmtree(shelf.path, ignore_errors=True)
        shelf.form = form
        shelf.forget()
        self.complete(shelf, asked, how)
        self.look_at(shelf)


def flip(file: pathlib.Path, n: int) -> None:
    content = bytearray(file.read_bytes())
    if content:
        bit = n * 37 % (8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)


# --- running ----------------------------------------------------------------------------------------


def run(
    machine: type[Model], number: int, sequences: int = 10, length: int = 6, shrink: bool = True, several: bool = False
) -> None:
    """A machine with a seed; raises what hypothesis found. The seeds above are for sequences of this length."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    options = settings(
        max_examples=sequences,
        stateful_step_count=length,
        phases=phases,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=several,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(type(machine.__name__, (machine,), {})), settings=options)


def alone(group: str) -> type[Model]:
    """The machine with one group of rules beside the ground that all stand on."""
    executors = Model.executors | ({"one process"} if group == "data" else set())
    return type(f"Only{group.title()}", (Model,), {"groups": frozenset({group}), "executors": executors})


@pytest.fixture(scope="module", autouse=True)
def _pools_are_closed():
    yield
    POOLS.close()


def test_the_cells_of_the_model_differ_by_far_more_than_rounding():
    """So that no cell, and no code, passes for another; a ticket tells the seeds apart."""
    assert len({toy.expected(cell, Code(), 0)[0]["ticket"] for cell in toy.all_cells()}) == toy.SEEDS

    def assert_far_apart(numbers):
        for (a, size), (b, other) in itertools.combinations(numbers, 2):
            assert max(abs(a[n] - b[n]) for n in ("mean", "top")) > 50 * toy.TOLERANCE * max(size, other)

    for number, width in itertools.product(range(toy.SEEDS), toy.WIDTHS):
        cells = [c for c in toy.all_cells() if (c.seed, c.width) == (number, width)]
        for code in toy.all_codes():
            assert_far_apart([toy.expected(cell, code, toy.STEPS) for cell in cells])
        for cell in cells:
            assert_far_apart([toy.expected(cell, code, toy.STEPS) for code in toy.all_codes()])


def test_random_operations_give_no_wrong_number():
    run(Model, 0, sequences=4, length=10)


@pytest.mark.slow
@pytest.mark.parametrize("group", sorted(FOUND_BY))
def test_what_was_found_once_is_not_found_again(group):
    for number in FOUND_BY[group]:
        run(alone(group), number)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed and tornado
@pytest.mark.parametrize("number", range(8))
def test_many_random_operations_give_no_wrong_number(number):
    every = frozenset({*Model.executors, "one process", "two processes", "dask"})
    sequences = int(os.environ.get("MODEL_SEQUENCES", "250"))
    run(type("Everything", (Model,), {"executors": every}), 100 + number, sequences=sequences, length=6)


def leaves(error: BaseException) -> list[BaseException]:
    """What hypothesis found, one by one."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for e in error.exceptions for leaf in leaves(e)]
    return [error]


def main(arguments: list[str]) -> None:
    shrink = "--shrink" in arguments
    print(f"snljax of {pathlib.Path(snl.__file__).parent}")
    for group in [a for a in arguments if a in EVERYTHING] or FOUND_BY:
        for number in [int(a) for a in arguments if a.isdigit()] or FOUND_BY.get(group, [0, 1]):
            since, told = time.monotonic(), ["nothing is found"]
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    run(alone(group), number, shrink=shrink, several=True)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                told = []
                for leaf in leaves(error):
                    told.append(f"{type(leaf).__name__}: {str(leaf).partition(chr(10))[0]}")
                    told += getattr(leaf, "__notes__", []) if shrink else []
            print(f"{group:10s} seed {number} {time.monotonic() - since:5.1f} s  " + "\n    ".join(told), flush=True)
    POOLS.close()


if __name__ == "__main__":
    import test_model  # workers import this module by its name

    test_model.main(sys.argv[1:])
