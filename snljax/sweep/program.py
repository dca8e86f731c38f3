"""Compiled functions for one block: seeds × points of networks per device, of one fixed shape.

A sweep has one `Programs`. It traces the experiment's functions for one network anew, once, so that code, closures
and data are those of this moment. All that follows, blocks of any shape, is made from what was traced, never by calling
the functions again; its text is the name under which compiled code is kept and used again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import Experiment, fields_of, traced_fields
from snljax.sweep import memory as memories
from snljax.sweep.host_code import host_code, snapshot
from snljax.sweep.layout import Block
from snljax.variables import FIRST_BAD, STATUS

MATMUL_PRECISION = {"highest": "highest", "tf32": "tensorfloat32"}
_KEPT = 128  # programs that stay compiled in a process
_DATA_BYTES = 4_000_000_000  # of loaded data that a sweep keeps beside those in use
# JAX keeps what it traced by the identity of functions, those that a user jits or loops over too, and would not
# see that a global they read has changed. Another value of this context is another key to all of that.
_MOMENT = jax.make_user_context(None)
_moments = itertools.count(1)
_MOST_MOMENTS = 100  # in whose names JAX keeps things before all of them are let go


class _Tracing:
    """Who traces now. JAX's caches are let go only while nobody does: what is traced would come out in other pieces,
    equal in what it computes and not in its text."""

    def __init__(self) -> None:
        self._lock, self._active, self._since = threading.Lock(), 0, 0

    def begin_sweep(self) -> None:
        with self._lock:
            self._since += 1
            if self._since >= _MOST_MOMENTS and self._active == 0:
                jax.clear_caches()
                self._since = 0

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        with self._lock:
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1


_TRACING = _Tracing()


class OverBudgetError(Exception):
    """A block that would need more memory than allowed; found before it is compiled."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Program(NamedTuple):
    """The compiled functions of a block, and what they cost.

    Arguments are ``fixed`` (replicated: ``numbers``, traced fields that are not swept; ``data``; step numbers)
    and ``blocks`` (leading axis: devices). memory: bytes per device. seconds: tracing and compiling.
    built: time.perf_counter() when done.
    """

    draw: Callable[..., Any]  # ({"data"}, {"seed": (seeds,)}) -> Draw
    init: Callable[..., Any]  # ({"numbers", "data"}, {"swept", "draw"}) -> State
    advance: Callable[..., Any]  # (these + start, stop, {"swept", "draw", "state"}) -> State, finite
    measure: Callable[..., Any]  # ({"numbers", "data"}, {"swept", "draw", "state"}) -> Metrics
    first_bad: Callable[..., Any]  # as advance -> first step after which a cell is not finite, or -1
    memory: int
    seconds: float
    built: float


class _Unreadable:
    """Stands in for a traced field inside ``draw`` and ``data``: any use names the field and why it is closed.

    The class carries the message as its name, since JAX's own errors print the type.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(repr(self))

    def __repr__(self) -> str:
        return type(self).__name__

    def __getattr__(self, attribute: str) -> Any:
        return self._refuse()


_OPERATIONS = """
    abs add and array bool call complex contains eq float floordiv format ge getitem gt hash index int invert iter
    le len lt matmul mod mul ne neg or pos pow radd rand rfloordiv rmatmul rmod rmul ror round rpow rsub
    rtruediv rxor str sub truediv xor
"""
for _operation in _OPERATIONS.split():
    setattr(_Unreadable, f"__{_operation}__", _Unreadable._refuse)


def unreadable(name: str, reader: str = "draw") -> Any:
    """What ``draw`` and ``data`` see in place of a traced field."""
    hint = " (draw standardised randomness, and scale it in init or step)" if reader == "draw" else ""
    refusal = f"{reader} reads {name}, which may be swept; allowed: static fields only{hint}"
    return type(refusal, (_Unreadable,), {})()


def statics_of(config: Any) -> Any:
    """The Config with its traced fields left blank: what a program is compiled for."""
    return dataclasses.replace(config, **dict.fromkeys(traced_fields(config)))


def static_key(config: Any) -> str:
    """Text that names a program: the static fields of a Config, so that 1, 1.0, True and -0.0 are four things."""
    traced = traced_fields(config)
    return json.dumps({n: getattr(config, n) for n in fields_of(type(config)) if n not in traced}, sort_keys=True)


def numbers(config_type: type, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of traced fields as strong arrays of the default dtype, so that no Python number retraces."""
    info = fields_of(config_type)
    return {n: np.asarray(v, _dtype(info[n].type)) for n, v in values.items()}


def made_by(devices: tuple[Any, ...]) -> dict[str, str]:
    """What a program's bits depend on beside its text."""
    return {"jax": jax.__version__, "platform": devices[0].platform, "device": devices[0].device_kind}


def _dtype(kind: type) -> Any:
    return jax.dtypes.canonicalize_dtype(kind)


class _Data(NamedTuple):
    """Arrays that all networks share, and the hash of what they are. old_mark: as version 1 of stores took it."""

    arrays: Any
    mark: str
    old_mark: str
    size: int


class _Network(NamedTuple):
    """The functions of one network, with the traced fields of its Config by name.

    draw: (seed, data). init: (values, draw, data). step: (values, draw, state, t, data). measure: (values, draw,
    state, data).
    """

    draw: Callable[..., Any]
    init: Callable[..., Any]
    step: Callable[..., Any]
    measure: Callable[..., Any]


class _System(NamedTuple):
    """The functions of one network as they were at one moment, for some static fields.

    network: made from what was traced, with constants of its own. returns: what each function returns, as shapes.
    text: the hash of what they lower to and of what they call on the host. comparable: whether equal text is equal
    behaviour, batched too.
    """

    network: _Network
    returns: dict[str, Any]
    text: str
    comparable: bool


class Programs:
    """The programs of one sweep. It belongs to one thread; what is compiled belongs to all.

    Args:
        experiment: its functions are traced for one network once for each value of the static fields.
        swept: traced fields with one value per point; all others are shared by a block.
        devices: one block runs on each.
        precision: key of MATMUL_PRECISION.
        records: how many measurements a network has, for the memory that they take.
    """

    def __init__(
        self, experiment: Experiment, swept: frozenset[str], devices: tuple[Any, ...], precision: str, records: int
    ) -> None:
        self.experiment, self.swept, self.devices = experiment, swept, devices
        self.precision, self.records = precision, records
        self._moment = next(_moments)
        _TRACING.begin_sweep()
        self._data: dict[str, _Data] = {}
        self._systems: dict[str, _System] = {}
        self._traced: dict[tuple[str, Block], _Traced] = {}

    @contextlib.contextmanager
    def _tracing(self) -> Iterator[None]:
        with _MOMENT(self._moment), jax.default_matmul_precision(MATMUL_PRECISION[self.precision]):
            yield

    # --- data and functions as they are now ---------------------------------------------------------

    def data(self, config: Any) -> tuple[Any, ...]:
        """The data that all networks of these static fields share, as their functions' last argument, or ()."""
        return () if self.experiment.data is None else (self._loaded(config).arrays,)

    def _loaded(self, config: Any) -> _Data:
        """Read once; equal data of several static values are kept once; more than there is room for is read again."""
        assert self.experiment.data is not None
        key = static_key(config)
        known = self._data.get(key)
        if known is not None and known.arrays is not None:
            return known
        blind = dataclasses.replace(config, **{n: unreadable(n, "data") for n in traced_fields(config)})
        with _MOMENT(self._moment):
            loaded = _marked(self.experiment.data(blind))
        if known is not None and known.mark != loaded.mark:
            raise ValueError(
                f"data: of {self.experiment.name} changed while the sweep ran; allowed: the same again, each time"
            )
        for other in self._data.values():
            if other.mark == loaded.mark and other.arrays is not None:
                leaves = jax.tree.leaves(other.arrays)
                loaded = loaded._replace(arrays=jax.tree.unflatten(jax.tree.structure(loaded.arrays), leaves))
                break
        held = {d.mark: d.size for d in self._data.values() if d.arrays is not None}
        for name, data in list(self._data.items()):
            if sum(held.values()) + loaded.size > _DATA_BYTES and data.mark != loaded.mark:
                self._data[name] = data._replace(arrays=None)
                held.pop(data.mark, None)
        self._data[key] = loaded
        return loaded

    def system(self, config: Any) -> _System:
        """The functions of one network, traced when first asked for."""
        key = static_key(config)
        if key not in self._systems:
            self.data(config)  # apart: its function may sweep
            with _TRACING.going_on():
                self._systems[key] = self._trace_one(config)
        return self._systems[key]

    def _trace_one(self, config: Any) -> _System:
        statics = statics_of(config)
        traced, info = traced_fields(statics), fields_of(type(statics))
        direct = _direct(self.experiment, statics)
        number = {n: jax.ShapeDtypeStruct((), _dtype(info[n].type)) for n in traced}
        data, whole = _strong(self.data(config)), jax.ShapeDtypeStruct((), np.int32)
        digest = hashlib.sha256(json.dumps([sorted(traced), self.precision, str(_dtype(float))]).encode())
        comparable, returns, played = True, {}, {}

        def trace(name: str, *arguments: Any) -> Any:
            nonlocal comparable
            with self._tracing():
                # Arguments that are not used stay in the text: which one is used is what tells two programs apart.
                stage = jax.jit(getattr(direct, name), keep_unused=True).trace(*arguments)
                kept = snapshot(stage.jaxpr)
                digest.update(f"{name}: ".encode() + stage.lower().as_text().encode())
            _update(digest, kept.consts)
            outside, seen = host_code(kept)
            digest.update(outside)
            comparable &= seen
            returns[name] = stage.out_info
            played[name] = _replayed(kept, jax.tree.structure(stage.out_info))
            return _strong(stage.out_info)

        draw = trace("draw", jax.ShapeDtypeStruct((), np.uint32), data)
        state = trace("init", number, draw, data)
        _check_state(self.experiment, state, trace("step", number, draw, state, whole, data))
        trace("measure", number, draw, state, data)
        _check_metrics(self.experiment, returns["measure"])
        return _System(_Network(**played), returns, digest.hexdigest(), comparable)

    def metrics(self, config: Any) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Metric -> dtype and shape of one network's value; entries that are None are left out."""
        return metrics_of(self.system(config).returns["measure"])

    # --- programs -----------------------------------------------------------------------------------

    def trace(self, config: Any, block: Block) -> _Traced:
        """What `build` would compile, traced only."""
        key = static_key(config), block
        if key not in self._traced:
            system = self.system(config)
            shared = (
                system.text,
                key if not system.comparable else None,
                tuple(sorted(self.swept)),
                block,
                tuple((d.platform, d.id) for d in self.devices),
                self._moment if not system.comparable else None,
            )
            with _LOCK:
                traced = _TRACED.get(shared)
            made = self._trace_block(config, block, system.network) if traced is None else traced
            with _LOCK:
                self._traced[key] = _TRACED.setdefault(shared, made)
                _TRACED.move_to_end(shared)
                while len(_TRACED) > _KEPT:
                    _TRACED.popitem(last=False)
        return self._traced[key]

    def memory(self, config: Any, block: Block, budget: int) -> int:
        """Bytes per device that a block needs, as far as tracing tells, with the records that are kept of it."""
        return self.trace(config, block).memory + self._record_bytes(config, block, budget)

    def _record_bytes(self, config: Any, block: Block, budget: int) -> int:
        return memories.of_records(self.metrics(config), block, self.records, budget)

    def build(self, config: Any, block: Block, budget: int) -> Program:
        """The program for these static fields, compiled once.

        Raises:
            OverBudgetError: if it would need more bytes per device than the budget.
        """
        needed = self.memory(config, block, budget)
        if needed > budget:
            raise OverBudgetError(needed)
        traced, system = self.trace(config, block), self.system(config)
        compiled = traced.compiled()
        needed = max(needed, compiled.memory + self._record_bytes(config, block, budget))
        if needed > budget:
            raise OverBudgetError(needed)
        state, whole = system.returns["init"], jax.ShapeDtypeStruct((), bool)
        returns = {"draw": system.returns["draw"], "init": state, "advance": (state, whole)}
        returns |= {"measure": system.returns["measure"]}
        functions = {n: _with_trees(compiled.stages[n], jax.tree.structure(tree)) for n, tree in returns.items()}

        @functools.cache
        def first_bad() -> Any:
            """Compiled only when a cell has diverged."""
            return _with_trees(self._first_bad(config, block).lower().compile(), jax.tree.structure(0))

        return Program(
            **functions,
            first_bad=lambda *arguments: first_bad()(*arguments),
            memory=needed,
            seconds=traced.seconds + compiled.seconds,
            built=compiled.built,
        )

    def fingerprint(self, config: Any, block: Block) -> str:
        """SHA-256 of what a program computes and of what compiles it: where it is equal, so are the bits.

        Of its text for one device, so that it is the same on any number of devices; of the names and dtypes of
        its metrics, of its data, and of what it calls on the host.
        """
        traced, shapes = self.trace(config, block), self.system(config).returns["measure"]
        digest = hashlib.sha256(json.dumps(made_by(self.devices)).encode())
        digest.update(traced.text().encode())
        kept = {n: [str(dtype), list(inner)] for n, (dtype, inner) in metrics_of(shapes).items()}
        digest.update(json.dumps(list(kept.items())).encode())
        if self.experiment.data is not None:
            digest.update(self._loaded(config).mark.encode())
        return digest.hexdigest()

    def old_fingerprint(self, config: Any, block: Block) -> str:
        """What the fingerprint of a program was in version 1 of stores, so that such a store goes on."""
        digest = hashlib.sha256(json.dumps(made_by(self.devices)).encode())
        direct = _direct(self.experiment, statics_of(config))
        digest.update(self._trace_block(config, block, direct).old_text())
        if self.experiment.data is not None:
            digest.update(self._loaded(config).old_mark.encode())
        return digest.hexdigest()

    # --- tracing a block ----------------------------------------------------------------------------

    def _arguments(self, config: Any, block: Block, network: _Network) -> tuple[dict[str, Any], Callable[..., Any]]:
        """Shapes of what a block's functions take, and how to trace one of them on the mesh."""
        statics, system = statics_of(config), self.system(config)
        on_one = _block_functions(network, list(traced_fields(statics)), self.swept, block)
        mesh = Mesh(np.array(self.devices), ("block",))
        info, traced = fields_of(type(statics)), list(traced_fields(statics))
        replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("block"))

        def abstract(tree: Any, sharding: Any, *leading: int) -> Any:
            return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype, sharding=sharding), tree)

        def trace(name: str, fixed: Any, blocks: Any) -> Any:
            # check_vma off: loops in user code may start from constants.
            mapped = jax.shard_map(
                _per_device(on_one[name]),
                mesh=mesh,
                in_specs=(PartitionSpec(), PartitionSpec("block")),
                out_specs=PartitionSpec("block"),
                check_vma=False,
            )
            with self._tracing():
                return jax.jit(mapped).trace(fixed, blocks)

        count = len(self.devices)
        number = {n: jax.ShapeDtypeStruct((), _dtype(info[n].type)) for n in traced}
        data = {"data": abstract(self.data(config), replicated)}
        fixed = data | {"numbers": abstract({n: s for n, s in number.items() if n not in self.swept}, replicated)}
        bounds = abstract(dict.fromkeys(("start", "stop"), jax.ShapeDtypeStruct((), np.int32)), replicated)
        along = abstract({n: s for n, s in number.items() if n in self.swept}, split, count, block.points)
        seeds = abstract({"seed": jax.ShapeDtypeStruct((), np.uint32)}, split, count, block.seeds)
        drawn = {"swept": along, "draw": abstract(system.returns["draw"], split, count, block.seeds)}
        started = drawn | {"state": abstract(system.returns["init"], split, count, block.seeds, block.points)}
        return {
            "draw": (data, seeds),
            "init": (fixed, drawn),
            "advance": (fixed | bounds, started),
            "measure": (fixed, started),
            "first_bad": (fixed | bounds, started),
        }, trace

    def _trace_block(self, config: Any, block: Block, network: _Network) -> _Traced:
        started = time.perf_counter()
        with _TRACING.going_on():
            arguments, trace = self._arguments(config, block, network)
            stages = {n: trace(n, *arguments[n]) for n in ("draw", "init", "advance", "measure")}
        held, memory = memories.of_stages(stages, arguments["draw"][0], len(self.devices))
        memory += memories.of_compiler(self.devices)
        return _Traced(stages, self.devices, held, memory, time.perf_counter() - started)

    def _first_bad(self, config: Any, block: Block) -> Any:
        arguments, trace = self._arguments(config, block, self.system(config).network)
        return trace("first_bad", *arguments["first_bad"])


class _Compiled(NamedTuple):
    stages: dict[str, Any]
    memory: int
    seconds: float
    built: float


class _Traced:
    """The stages of a program. Everything else follows from them alone, so threads and sweeps share it.

    held: bytes per device that stay while a block trains. memory: estimate, bytes per device.
    """

    def __init__(self, stages: dict[str, Any], devices: tuple[Any, ...], held: int, memory: int, seconds: float):
        self.stages, self.devices, self.held, self.memory, self.seconds = stages, devices, held, memory, seconds
        self._lock = threading.Lock()
        self._compiled: _Compiled | None = None
        self._text: str | None = None

    def compiled(self) -> _Compiled:
        """Compiled when first asked for."""
        with self._lock:
            if self._compiled is None:
                started = time.perf_counter()
                stages = {name: stage.lower().compile() for name, stage in self.stages.items()}
                # The larger of two estimates: on CPU the compiler's own misses what its library calls allocate.
                memory = max(self.memory, memories.of_compiled(stages, self.held) + memories.of_compiler(self.devices))
                ended = time.perf_counter()
                self._compiled = _Compiled(stages, memory, ended - started, ended)
            return self._compiled

    def text(self) -> str:
        """The hash of the text of all stages for one device, without the mesh around it."""
        with self._lock:
            if self._text is None:
                digest = hashlib.sha256()
                for name in sorted(self.stages):
                    digest.update(f"{name}: {self._lowered(name, keep_unused=True)}".encode())
                    _update(digest, self.stages[name].jaxpr.consts)
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
        with _TRACING.going_on():
            return body.trace(*shapes).lower(lowering_platforms=(self.devices[0].platform,)).as_text()


_LOCK = threading.Lock()
_TRACED: collections.OrderedDict[Any, _Traced] = collections.OrderedDict()


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


def _marked(loaded: Any) -> _Data:
    """A copy of loaded data, which nobody else can change, with its hash: places, shapes, dtypes and bytes."""
    digest, old = hashlib.sha256(), hashlib.sha256()

    def copied(path: Any, leaf: Any) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)
        array = None if is_key or isinstance(leaf, np.ma.MaskedArray) else np.array(leaf)
        if array is None or array.dtype.kind not in "biuf":
            told = type(leaf).__name__ if array is None else f"an array of {array.dtype}"
            raise ValueError(f"data: {told}; allowed: arrays of numbers and truth values")
        digest.update(jax.tree_util.keystr(path).encode())
        _update(digest, [array])
        old.update(array.tobytes())
        return array

    arrays = jax.tree_util.tree_map_with_path(copied, loaded)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    return _Data(arrays, digest.hexdigest(), old.hexdigest(), size)


def _update(digest: Any, arrays: Any) -> None:
    for array in arrays:
        is_key = hasattr(array, "dtype") and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(array) if is_key else array)
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())


# --- what an experiment returns ---------------------------------------------------------------------


def metrics_of(shapes: Any) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Metric -> the dtype in which it is kept, and its shape; entries that are None are left out."""
    present = {n: a for n in shapes._fields if (a := getattr(shapes, n)) is not None}
    return {n: (_kept_dtype(n, a.dtype), tuple(a.shape)) for n, a in present.items()}


def _kept_dtype(name: str, dtype: Any) -> np.dtype:
    """The metric's own; what NumPy does not know, such as bfloat16, in the next wider that it knows, exactly."""
    if not jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        if np.dtype(dtype).kind in "biuf":
            return np.dtype(dtype)
        if jnp.issubdtype(dtype, jnp.floating):
            return np.dtype(np.float32)
        if jnp.issubdtype(dtype, jnp.integer):
            return np.dtype(np.int8 if jnp.issubdtype(dtype, jnp.signedinteger) else np.uint8)
    raise ValueError(
        f"{name}: a metric of {dtype}; allowed: real numbers, whole numbers and truth values (a complex number as two)"
    )


def _check_metrics(experiment: Experiment, shapes: Any) -> None:
    """ValueError for what is no NamedTuple of arrays, or has a name that the Dataset uses itself."""
    if not isinstance(shapes, tuple) or not hasattr(shapes, "_fields"):
        raise ValueError(
            f"measure: of {experiment.name} returns a {type(shapes).__name__}; allowed: a NamedTuple of arrays"
        )
    for name in shapes._fields:
        if name in (STATUS, FIRST_BAD, "step", "seed"):
            raise ValueError(
                f"{name}: a metric of {experiment.name}, and a variable of every Dataset; allowed: another name"
            )
        value = getattr(shapes, name)
        if value is not None and not hasattr(value, "dtype"):
            raise ValueError(f"{name}: a metric of {experiment.name} is a {type(value).__name__}; allowed: one array")
    metrics_of(shapes)


def _check_state(experiment: Experiment, before: Any, after: Any) -> None:
    """ValueError where a step does not return what it takes."""
    one: Any = jax.tree.structure(before)
    other: Any = jax.tree.structure(after)
    if one != other:
        raise ValueError(
            f"step: of {experiment.name} returns {_one_line(other)}; allowed: what init returns, {_one_line(one)}"
        )
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(
                f"step: of {experiment.name} returns {b.dtype}{list(b.shape)} where it takes {a.dtype}{list(a.shape)}; "
                "allowed: the same, at every step"
            )


def _one_line(structure: Any) -> str:
    text = " ".join(str(structure).removeprefix("PyTreeDef(").removesuffix(")").split())
    return "one array" if text == "*" else text if len(text) <= 120 else text[:117] + "..."


# --- a block's functions ----------------------------------------------------------------------------


def _direct(experiment: Experiment, statics: Any) -> _Network:
    """The experiment's own functions."""
    e, blind = experiment, dataclasses.replace(statics, **{n: unreadable(n) for n in traced_fields(statics)})

    def of(values: dict[str, Any]) -> Any:
        return dataclasses.replace(statics, **values)

    return _Network(
        lambda seed, data: e.draw(blind, jax.random.fold_in(jax.random.key(0), seed), *data),
        lambda values, draw, data: e.init(of(values), draw, *data),
        lambda values, draw, state, t, data: e.step(of(values), draw, state, t, *data),
        lambda values, draw, state, data: e.measure(of(values), draw, state, *data),
    )


def _replayed(jaxpr: Any, returns: Any) -> Callable[..., Any]:
    """A function that does what was traced, without the function that it was traced from."""
    flat = jax.extend.core.jaxpr_as_fun(jaxpr)
    return lambda *arguments: jax.tree.unflatten(returns, flat(*jax.tree.leaves(arguments)))


def _strong(tree: Any) -> Any:
    """Shapes as the arrays of a block have them, of no weak type."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), tree)


def _block_functions(network: _Network, traced: list[str], swept: frozenset[str], block: Block) -> dict[str, Callable]:
    """vmap over points inside, over seeds outside; only swept numbers are batched."""
    axes = {n: 0 if n in swept else None for n in traced}
    point = jnp.arange(block.points)  # something to map over where nothing is swept
    seed = jnp.arange(block.seeds)  # and where nothing is drawn

    def values_of(fixed: dict, blocks: dict) -> dict[str, Any]:
        return {n: (blocks["swept"] if n in swept else fixed["numbers"])[n] for n in traced}

    def over_all(one: Callable, values: Any, draw: Any, *state: Any) -> Any:
        """``one`` for each seed and point; something is always mapped over, whatever a system draws or keeps."""
        if jax.tree.leaves(state):
            over_points = jax.vmap(one, (axes, None, 0))
            return jax.vmap(over_points, (None, 0, 0))(values, draw, *state)
        over_points = jax.vmap(lambda values, draw, _: one(values, draw, *state), (axes, None, 0))
        if jax.tree.leaves(draw):
            return jax.vmap(over_points, (None, 0, None))(values, draw, point)
        return jax.vmap(lambda values, _, p: over_points(values, draw, p), (None, 0, None))(values, seed, point)

    def draw(fixed: dict, blocks: dict) -> Any:
        return jax.vmap(lambda seed: network.draw(seed, fixed["data"]))(blocks["seed"])

    def init(fixed: dict, blocks: dict) -> Any:
        return over_all(
            lambda values, draw: network.init(values, draw, fixed["data"]), values_of(fixed, blocks), blocks["draw"]
        )

    def step(values: Any, fixed: dict, blocks: dict, state: Any, t: jax.Array) -> Any:
        def one(values: Any, draw: Any, state: Any) -> Any:
            return network.step(values, draw, state, t, fixed["data"])

        return over_all(one, values, blocks["draw"], state)

    def advance(fixed: dict, blocks: dict) -> Any:
        values = values_of(fixed, blocks)
        state = lax.fori_loop(
            fixed["start"], fixed["stop"], lambda t, s: step(values, fixed, blocks, s, t), blocks["state"]
        )
        return state, _finite(state, block)

    def measure(fixed: dict, blocks: dict) -> Any:
        def one(values: Any, draw: Any, state: Any) -> Any:
            return network.measure(values, draw, state, fixed["data"])

        return over_all(one, values_of(fixed, blocks), blocks["draw"], blocks["state"])

    def first_bad(fixed: dict, blocks: dict) -> Any:
        values = values_of(fixed, blocks)

        def one(t, carry):
            state, first = carry
            state = step(values, fixed, blocks, state, t)
            return state, jnp.where((first < 0) & ~_finite(state, block), t + 1, first)

        first = jnp.where(_finite(blocks["state"], block), -1, fixed["start"])
        return lax.fori_loop(fixed["start"], fixed["stop"], one, (blocks["state"], first))[1]

    return {"draw": draw, "init": init, "advance": advance, "measure": measure, "first_bad": first_bad}


def _finite(state: Any, block: Block) -> jax.Array:
    """Which cells have a state without NaN or infinity, shape (seeds, points)."""
    leaves = [a for a in jax.tree.leaves(state) if jnp.issubdtype(a.dtype, jnp.inexact)]
    good = [jnp.all(jnp.isfinite(a.reshape(*block, -1)), axis=-1) for a in leaves]
    return functools.reduce(jnp.logical_and, good, jnp.ones(block, bool))


def _per_device(function: Callable) -> Callable:
    """Each device sees a leading axis of length 1; the functions of a block do not."""

    def body(fixed: Any, blocks: Any) -> Any:
        return jax.tree.map(lambda a: a[None], function(fixed, jax.tree.map(lambda a: a[0], blocks)))

    return body
