"""Compiled functions for one block: seeds × points of networks per device, of one fixed shape.

Compiled code is kept by what its text is made of, and used again by whichever sweep has an equal recipe.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import json
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.extend.core
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import fields_of, traced_fields
from snljax.sweep import memory, remembered, tracing
from snljax.sweep.batch import block_functions, per_device
from snljax.sweep.host_code import host_code
from snljax.sweep.loaded import update
from snljax.sweep.memory import Room
from snljax.sweep.network import direct
from snljax.sweep.recipe import Network, Recipe
from snljax.sweep.returned import metrics_of
from snljax.sweep.statics import dtype_of

_KEPT = 128  # programs that stay compiled in a process
_TAKE_STATE = ("advance", "record")  # stages that write the new state where the old one was


class OverBudgetError(Exception):
    """A block that would need more memory than allowed; found before it is compiled."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Program(NamedTuple):
    """The compiled functions of a block, and what they cost.

    Arguments are ``fixed`` (replicated: ``numbers``, traced fields that are not swept; ``data``; step numbers)
    and ``blocks`` (leading axis: devices). memory: bytes per device. seconds: tracing and compiling.
    built: time.perf_counter() when done. The state that ``advance`` and ``record`` are given is theirs: it becomes
    the one that they return, and is no more.
    """

    draw: Callable[..., Any]  # ({"data"}, {"seed": (seeds,)}) -> Draw
    init: Callable[..., Any]  # ({"numbers", "data"}, {"swept", "draw"}) -> State
    advance: Callable[..., Any]  # (these + start, stop, {"swept", "draw", "state"}) -> State, finite
    measure: Callable[..., Any]  # ({"numbers", "data"}, {"swept", "draw", "state"}) -> Metrics
    record: Callable[..., Any]  # (as advance, with every and count for stop) -> State, finite, stacked Metrics
    first_bad: Callable[..., Any]  # as advance -> first step after which a cell is not finite, or -1
    memory: int
    seconds: float
    built: float


def made_by(devices: tuple[Any, ...]) -> dict[str, str]:
    """What a program's bits depend on beside its text."""
    return {"jax": jax.__version__, "platform": devices[0].platform, "device": devices[0].device_kind}


def needed(recipe: Recipe, room: Room) -> int:
    """Bytes per device that a block needs, as far as tracing tells, with the records that are kept of it."""
    return traced(recipe).memory + _of_records(recipe, room)


def _of_records(recipe: Recipe, room: Room) -> int:
    return memory.of_records(metrics_of(recipe.system.returns["measure"]), recipe.block, room)


def build(recipe: Recipe, room: Room) -> Program:
    """The program of a recipe, compiled once.

    Raises:
        OverBudgetError: if it would need more bytes per device than there is room.
    """
    least = needed(recipe, room)
    if least > room.bytes:
        raise OverBudgetError(least)
    stages, system = traced(recipe), recipe.system
    compiled = stages.compiled()
    least = max(least, compiled.memory + _of_records(recipe, room))
    if least > room.bytes:
        raise OverBudgetError(least)
    state = system.returns["init"]
    returns = {"draw": system.returns["draw"], "init": state, "measure": system.returns["measure"]}
    returns |= {"advance": (state, jax.ShapeDtypeStruct((), bool))}
    functions = {n: _with_trees(compiled.stages[n], jax.tree.structure(tree)) for n, tree in returns.items()}

    def later(name: str, returns: Any) -> Callable[..., Any]:
        """Compiled only when it is called."""
        return lambda *arguments: _with_trees(stages.stage(name), jax.tree.structure(returns))(*arguments)

    return Program(
        **functions,
        record=later("record", (state, 0, system.returns["measure"])),
        first_bad=later("first_bad", 0),
        memory=least,
        seconds=stages.seconds + compiled.seconds,
        built=compiled.built,
    )


def advance_only(recipe: Recipe) -> Callable[..., Any]:
    """`Program.advance` of a recipe; nothing else is compiled for it."""
    returns = (recipe.system.returns["init"], jax.ShapeDtypeStruct((), bool))
    return _with_trees(traced(recipe).stage("advance"), jax.tree.structure(returns))


def fingerprint(recipe: Recipe) -> str:
    """SHA-256 of what a program computes and of what compiles it: where it is equal, so are the bits.

    Of its text for one device, so that it is the same on any number of devices; of the names and dtypes of
    its metrics, of its data, and of what it calls on the host.
    """
    digest = hashlib.sha256(json.dumps(made_by(recipe.devices)).encode())
    digest.update(traced(recipe).text().encode())
    metrics = metrics_of(recipe.system.returns["measure"])
    kept = {n: [str(dtype), list(inner)] for n, (dtype, inner) in metrics.items()}
    digest.update(json.dumps(list(kept.items())).encode())
    digest.update(recipe.system.data_digest.encode())
    return digest.hexdigest()


def old_fingerprint(recipe: Recipe) -> str:
    """What the fingerprint of a program was in version 1 of stores, so that such a store goes on."""
    digest = hashlib.sha256(json.dumps(made_by(recipe.devices)).encode())
    digest.update(_trace_block(recipe, direct(recipe.system.experiment, recipe.statics)).old_text())
    digest.update(recipe.system.old_data_digest.encode())
    return digest.hexdigest()


# --- tracing a block --------------------------------------------------------------------------------


def _stages(recipe: Recipe, network: Network) -> tuple[dict[str, Any], Callable[..., Any]]:
    """Shapes of what a block's functions take, and how to trace one of them on the mesh."""
    system, block, count = recipe.system, recipe.block, len(recipe.devices)
    info, traced_names = fields_of(type(recipe.statics)), list(traced_fields(recipe.statics))
    on_one = block_functions(network, traced_names, recipe.swept, block)
    mesh = Mesh(np.array(recipe.devices), ("block",))
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("block"))

    def abstract(tree: Any, sharding: Any, *leading: int) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype, sharding=sharding), tree)

    def trace(name: str, fixed: Any, blocks: Any) -> Any:
        # check_vma off: loops in user code may start from constants.
        mapped = jax.shard_map(
            per_device(on_one[name]),
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("block")),
            out_specs=PartitionSpec("block"),
            check_vma=False,
        )
        paths, tree = jax.tree.flatten_with_path((fixed, blocks))
        leaves = [leaf for _, leaf in paths]
        of_state = [i for i, (path, _) in enumerate(paths) if path[1] == jax.tree_util.DictKey("state")]

        def flat(*leaves: Any) -> Any:
            return mapped(*jax.tree.unflatten(tree, leaves))

        with tracing.functions_at(recipe.moment, recipe.precision):
            # With arguments that are not used: the text alone then tells which one is which.
            return jax.jit(flat, keep_unused=True, donate_argnums=of_state * (name in _TAKE_STATE)).trace(*leaves)

    number = {n: jax.ShapeDtypeStruct((), dtype_of(info[n].type)) for n in traced_names}
    data = {"data": abstract(system.data, replicated)}
    fixed = data | {"numbers": abstract({n: s for n, s in number.items() if n not in recipe.swept}, replicated)}
    bounds = abstract(dict.fromkeys(("start", "stop"), jax.ShapeDtypeStruct((), np.int32)), replicated)
    times = abstract(dict.fromkeys(("start", "every", "count"), jax.ShapeDtypeStruct((), np.int32)), replicated)
    along = abstract({n: s for n, s in number.items() if n in recipe.swept}, split, count, block.points)
    seeds = abstract({"seed": jax.ShapeDtypeStruct((), np.uint32)}, split, count, block.seeds)
    drawn = {"swept": along, "draw": abstract(system.returns["draw"], split, count, block.seeds)}
    started = drawn | {"state": abstract(system.returns["init"], split, count, block.seeds, block.points)}
    return {
        "draw": (data, seeds),
        "init": (fixed, drawn),
        "advance": (fixed | bounds, started),
        "measure": (fixed, started),
        "record": (fixed | times, started),
        "first_bad": (fixed | bounds, started),
    }, trace


def _trace_block(recipe: Recipe, network: Network) -> Traced:
    started = time.perf_counter()
    with tracing.going_on():
        arguments, trace = _stages(recipe, network)
        stages = {n: trace(n, *arguments[n]) for n in ("draw", "init", "advance", "measure")}
    held, most = memory.of_stages(stages, arguments["draw"][0], len(recipe.devices))
    most += memory.of_compiler(recipe.devices)

    def later(name: str) -> Any:
        with tracing.going_on():
            return trace(name, *arguments[name])

    return Traced(stages, later, recipe.devices, held, most, time.perf_counter() - started)


class _Compiled(NamedTuple):
    stages: dict[str, Any]
    memory: int
    seconds: float
    built: float


class Traced:
    """The stages of a program. Everything else follows from them alone, so threads and sweeps share it.

    stages: those that every block needs. later: traces one of the others. held: bytes per device that stay while a
    block trains. memory: estimate, bytes per device.
    """

    def __init__(
        self,
        stages: dict[str, Any],
        later: Callable[[str], Any],
        devices: tuple[Any, ...],
        held: int,
        most: int,
        seconds: float,
    ) -> None:
        self.later = later
        self.stages, self.devices, self.held, self.memory, self.seconds = stages, devices, held, most, seconds
        self._lock = threading.Lock()
        self._executables: dict[str, Any] = {}
        self._seconds = 0.0
        self._compiled: _Compiled | None = None
        self._text: str | None = None

    def stage(self, name: str) -> Any:
        """One of them or of the others, compiled when first asked for."""
        with self._lock:
            return self._with([name])[name]

    def compiled(self) -> _Compiled:
        """All of them, compiled when first asked for."""
        with self._lock:
            if self._compiled is None:
                executables = self._with(list(self.stages))
                stages = {name: executables[name] for name in self.stages}
                # The larger of two estimates: on CPU the compiler's own misses what its library calls allocate.
                compiler = memory.of_compiler(self.devices)
                most = max(self.memory, memory.of_compiled(stages, self.held) + compiler)
                self._compiled = _Compiled(stages, most, self._seconds, time.perf_counter())
            return self._compiled

    def _with(self, names: list[str]) -> dict[str, Any]:
        """Stages that are compiled, these among them.

        Those that are missing are compiled side by side, but on a CPU, whose memory they would take together, 250 MB
        of it: there each is compiled by all cores anyway.
        """
        if missing := [name for name in names if name not in self._executables]:
            started = time.perf_counter()
            lowered = [(self.stages.get(name) or self.later(name)).lower() for name in missing]
            at_once = 1 if self.devices[0].platform == "cpu" else len(missing)
            with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
                executables = threads.map(lambda stage: remembered.compiled(stage, self.devices), lowered)
                self._executables |= dict(zip(missing, executables, strict=True))
            self._seconds += time.perf_counter() - started
        return self._executables

    def text(self) -> str:
        """The hash of the text of all stages for one device, without the mesh around it."""
        with self._lock:
            if self._text is None:
                digest = hashlib.sha256()
                for name in sorted(self.stages):
                    digest.update(f"{name}: {self._lowered(name, keep_unused=True)}".encode())
                    update(digest, self.stages[name].jaxpr.consts)
                    digest.update(host_code(self.stages[name].jaxpr)[0])
                self._text = digest.hexdigest()
            return self._text

    def old_text(self) -> bytes:
        """What version 1 of stores hashed: which of two equal arguments a program uses is not in it."""
        parts = []
        for name in sorted(self.stages):
            parts.append(self._lowered(name, keep_unused=False).encode())
            parts += [np.asarray(constant).tobytes() for constant in self.stages[name].jaxpr.consts]
        return b"".join(parts)

    def _lowered(self, name: str, keep_unused: bool) -> str:
        mapped = next(e for e in self.stages[name].jaxpr.jaxpr.eqns if e.primitive.name == "shard_map")
        inner = mapped.params["jaxpr"]
        shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in inner.invars]
        function = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(inner, ()))
        body = jax.jit(function, keep_unused=keep_unused)
        with tracing.going_on():
            return body.trace(*shapes).lower(lowering_platforms=(self.devices[0].platform,)).as_text()


_LOCK = threading.Lock()
_TRACED: collections.OrderedDict[Any, Traced] = collections.OrderedDict()
_OF_RECIPES: weakref.WeakKeyDictionary[Recipe, Traced] = weakref.WeakKeyDictionary()


def traced(recipe: Recipe) -> Traced:
    """What `build` would compile, traced only; shared by all recipes that are equal."""
    with _LOCK:
        known = _OF_RECIPES.get(recipe) or _TRACED.get(recipe.key)
    made = _trace_block(recipe, recipe.system.network) if known is None else known
    with _LOCK:
        _OF_RECIPES[recipe] = _TRACED.setdefault(recipe.key, made)
        _TRACED.move_to_end(recipe.key)
        while len(_TRACED) > _KEPT:
            _TRACED.popitem(last=False)
        return _OF_RECIPES[recipe]


def forget() -> None:
    """Let go of all compiled programs that no sweep is using."""
    with _LOCK:
        _TRACED.clear()


def _with_trees(compiled: Any, returns: Any) -> Callable[..., Any]:
    """A compiled function that takes and returns trees of this sweep's classes, whoever it was compiled for."""

    def call(*arguments: Any) -> Any:
        takes, _ = jax.tree.unflatten(compiled.in_tree, jax.tree.leaves(arguments))
        return jax.tree.unflatten(returns, jax.tree.leaves(compiled(*takes)))

    return call
