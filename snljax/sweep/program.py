"""Compiled functions for one block: seeds × points of networks per device, of one fixed shape."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from snljax.experiment import Experiment, fields_of, traced_fields
from snljax.sweep.layout import Block

MATMUL_PRECISION = {"highest": "highest", "tf32": "tensorfloat32"}
_COMPILER_BYTES = 100_000_000  # resident after compiling, measured (benchmarks/scaling.py)


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


class OverBudgetError(Exception):
    """A block that would need more memory than allowed; found before it is compiled."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


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


class _Loaded(NamedTuple):
    """Arrays, and the hash of their bytes."""

    data: Any
    mark: str


def statics_of(config: Any) -> Any:
    """The Config with its traced fields left blank: what a program is compiled for."""
    return dataclasses.replace(config, **dict.fromkeys(traced_fields(config)))


def numbers(config_type: type, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of traced fields as strong arrays of the default dtype, so that no Python number retraces."""
    info = fields_of(config_type)
    return {n: np.asarray(v, _dtype(info[n].type)) for n, v in values.items()}


def data_of(experiment: Experiment, config: Any) -> tuple[Any, ...]:
    """The data that all networks of these static fields share, as the last argument of their functions, or ()."""
    return () if experiment.data is None else (_load(experiment.data, statics_of(config)).data,)


def forget_data() -> None:
    """Have data loaded again when they are next asked for: files may have changed since the last sweep."""
    _load.cache_clear()


@functools.lru_cache(maxsize=4)
def _load(data: Callable[[Any], Any], statics: Any) -> _Loaded:
    blind = dataclasses.replace(statics, **{n: unreadable(n, "data") for n in traced_fields(statics)})
    arrays = jax.tree.map(np.asarray, data(blind))
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(arrays):
        if leaf.dtype.kind not in "biuf":
            raise ValueError(f"data: an array of {leaf.dtype}; allowed: numbers and truth values")
        digest.update(leaf.tobytes())
    return _Loaded(arrays, digest.hexdigest())


def _dtype(kind: type) -> Any:
    return jax.dtypes.canonicalize_dtype(kind)


def build(
    experiment: Experiment,
    config: Any,
    swept: frozenset[str],
    block: Block,
    devices: tuple[Any, ...],
    precision: str,
    budget: int,
) -> Program:
    """The program for these static fields; compiled once and then kept.

    Args:
        experiment: its functions are traced once each.
        config: only its static fields matter.
        swept: traced fields with one value per point; all others are shared by the block.
        block: seeds × points per device.
        devices: one block runs on each.
        precision: key of MATMUL_PRECISION.
        budget: bytes per device.

    Returns:
        The Program.

    Raises:
        OverBudgetError: if the traced program would need more than the budget; nothing was compiled.
    """
    key = _key(experiment, config, swept, block, devices, precision)
    if _trace(*key).memory > budget:
        raise OverBudgetError(_trace(*key).memory)
    program = _compile(*key)
    if program.memory > budget:
        raise OverBudgetError(program.memory)
    return program


def trace(
    experiment: Experiment,
    config: Any,
    swept: frozenset[str],
    block: Block,
    devices: tuple[Any, ...],
    precision: str,
) -> Traced:
    """What `build` would compile, traced only; arguments as there. Kept, so that `build` does not trace again."""
    return _trace(*_key(experiment, config, swept, block, devices, precision))


def metrics_of(traced: Traced) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Metric -> dtype and shape of one network's value; entries that are None are left out."""
    metrics = traced.stages["measure"].out_info
    present = {n: a for n in metrics._fields if (a := getattr(metrics, n)) is not None}
    return {n: (str(stored_dtype(a.dtype)), tuple(a.shape[3:])) for n, a in present.items()}


def stored_dtype(dtype: Any) -> np.dtype:
    """Counts and truth values are kept as float32, so that a diverged cell can be NaN."""
    return np.dtype(dtype) if np.issubdtype(dtype, np.floating) else np.dtype(np.float32)


def fingerprint(
    experiment: Experiment,
    config: Any,
    swept: frozenset[str],
    block: Block,
    devices: tuple[Any, ...],
    precision: str,
) -> str:
    """SHA-256 of a program's text for one device and of what compiles it: where it is equal, so are the bits.

    The text is lowered from what was traced, without the mesh around it, so that it is the same on
    any number of devices and the experiment's functions are not traced again. Arguments as for `build`.
    """
    return _fingerprint(*_key(experiment, config, swept, block, devices, precision))


def made_by(devices: tuple[Any, ...]) -> dict[str, str]:
    """What a program's bits depend on beside its text."""
    return {"jax": jax.__version__, "platform": devices[0].platform, "device": devices[0].device_kind}


@functools.lru_cache(maxsize=128)
def _fingerprint(*key: Any) -> str:
    traced, devices = _trace(*key), key[4]
    digest = hashlib.sha256(json.dumps(made_by(devices)).encode())
    for name in sorted(traced.stages):
        stage = traced.stages[name]
        mapped = next(e for e in stage.jaxpr.jaxpr.eqns if e.primitive.name == "shard_map")
        inner = mapped.params["jaxpr"]
        shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in inner.invars]
        body = jax.jit(jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(inner, ())))
        digest.update(body.trace(*shapes).lower(lowering_platforms=(devices[0].platform,)).as_text().encode())
        for constant in stage.jaxpr.consts:
            digest.update(np.asarray(constant).tobytes())
    digest.update(key[-1].encode())
    return digest.hexdigest()


def _key(experiment: Experiment, config: Any, swept: frozenset[str], block: Block, devices: Any, precision: str) -> Any:
    functions = _Functions(experiment.draw, experiment.init, experiment.step, experiment.measure, experiment.data)
    statics = statics_of(config)
    # Other data are another program: their shapes may differ, and a store stands for them.
    mark = "" if experiment.data is None else _load(experiment.data, statics).mark
    return functions, statics, swept, block, devices, precision, _dtype(float), mark


class _Functions(NamedTuple):
    """What a program is made of; hashable, as an Experiment with its readings is not."""

    draw: Callable[..., Any]
    init: Callable[..., Any]
    step: Callable[..., Any]
    measure: Callable[..., Any]
    data: Callable[..., Any] | None


class Traced(NamedTuple):
    """The stages of a program before they are compiled. memory: estimate, bytes per device."""

    stages: dict[str, Any]
    first_bad: Callable[[], Any]
    held: int
    memory: int
    seconds: float


@functools.lru_cache(maxsize=128)
def _trace(functions, statics, swept, block, devices, precision, dtype, mark) -> Traced:
    started = time.perf_counter()
    mesh = Mesh(np.array(devices), ("block",))
    on_one = _block_functions(functions, statics, swept, block)
    traced = list(traced_fields(statics))
    info = fields_of(type(statics))
    replicated = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("block"))

    def abstract(tree: Any, sharding: Any) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree)

    def trace(name: str, fixed: Any, blocks: Any) -> Any:
        body = _per_device(on_one[name])
        # check_vma off: loops in user code may start from constants.
        mapped = jax.shard_map(
            body,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("block")),
            out_specs=PartitionSpec("block"),
            check_vma=False,
        )
        with jax.default_matmul_precision(MATMUL_PRECISION[precision]):
            return jax.jit(mapped).trace(fixed, blocks)

    count = len(devices)
    number = {n: jax.ShapeDtypeStruct((), _dtype(info[n].type)) for n in traced}
    data = abstract({"data": data_of(functions, statics)}, replicated)
    fixed = data | {"numbers": abstract({n: s for n, s in number.items() if n not in swept}, replicated)}
    along = abstract(
        {n: jax.ShapeDtypeStruct((count, block.points), s.dtype) for n, s in number.items() if n in swept}, split
    )
    bounds = abstract(dict.fromkeys(("start", "stop"), jax.ShapeDtypeStruct((), np.int32)), replicated)
    seeds = abstract({"seed": jax.ShapeDtypeStruct((count, block.seeds), np.uint32)}, split)

    stages = {"draw": trace("draw", data, seeds)}
    blocks = {"swept": along, "draw": abstract(stages["draw"].out_info, split)}
    stages["init"] = trace("init", fixed, blocks)
    blocks = {**blocks, "state": abstract(stages["init"].out_info, split)}
    stages["advance"] = trace("advance", fixed | bounds, blocks)
    stages["measure"] = trace("measure", fixed, blocks)

    # What stays while a block trains: data, its draw, the state, and the last state known to be good.
    held = (_tree_bytes(stages["draw"].out_info) + 2 * _tree_bytes(stages["init"].out_info)) // count
    held += _tree_bytes(data)
    transient = {n: _tree_bytes(s.out_info) // count + _largest_operation(s.jaxpr.jaxpr) for n, s in stages.items()}
    return Traced(
        stages=stages,
        first_bad=lambda: trace("first_bad", fixed | bounds, blocks),
        held=held,
        memory=_peak(held, transient) + _compiler_bytes(devices),
        seconds=time.perf_counter() - started,
    )


@functools.lru_cache(maxsize=128)
def _compile(*key: Any) -> Program:
    traced = _trace(*key)
    started = time.perf_counter()
    compiled = {name: stage.lower().compile() for name, stage in traced.stages.items()}

    @functools.cache
    def first_bad() -> Any:
        """Compiled only when a cell has diverged."""
        return traced.first_bad().lower().compile()

    return Program(
        **compiled,
        first_bad=lambda *arguments: first_bad()(*arguments),
        # The larger of two estimates: on CPU the compiler's own misses what its library calls allocate.
        memory=max(
            traced.memory,
            _peak(traced.held, {n: _compiled_bytes(c) for n, c in compiled.items()}) + _compiler_bytes(key[4]),
        ),
        seconds=traced.seconds + time.perf_counter() - started,
        built=time.perf_counter(),
    )


def _block_functions(functions: _Functions, statics: Any, swept: frozenset[str], block: Block) -> dict[str, Callable]:
    """vmap over points inside, over seeds outside; only swept leaves are batched."""
    traced = list(traced_fields(statics))
    axes = dataclasses.replace(statics, **{n: 0 if n in swept else None for n in traced})
    blind = dataclasses.replace(statics, **{n: unreadable(n) for n in traced})
    point = jnp.arange(block.points)  # something to map over where nothing is swept

    def config_of(fixed: dict, blocks: dict) -> Any:
        values = {n: (blocks["swept"] if n in swept else fixed["numbers"])[n] for n in traced}
        return dataclasses.replace(statics, **values)

    def draw(fixed: dict, blocks: dict) -> Any:
        root = jax.random.key(0)
        return jax.vmap(lambda seed: functions.draw(blind, jax.random.fold_in(root, seed), *fixed["data"]))(
            blocks["seed"]
        )

    def init(fixed: dict, blocks: dict) -> Any:
        def one(config: Any, draw: Any, _: Any) -> Any:
            return functions.init(config, draw, *fixed["data"])

        over_points = jax.vmap(one, (axes, None, 0))
        return jax.vmap(over_points, (None, 0, None))(config_of(fixed, blocks), blocks["draw"], point)

    def step(config: Any, fixed: dict, blocks: dict, state: Any, t: jax.Array) -> Any:
        def one(config: Any, draw: Any, state: Any) -> Any:
            return functions.step(config, draw, state, t, *fixed["data"])

        over_points = jax.vmap(one, (axes, None, 0))
        return jax.vmap(over_points, (None, 0, 0))(config, blocks["draw"], state)

    def advance(fixed: dict, blocks: dict) -> Any:
        config = config_of(fixed, blocks)
        state = lax.fori_loop(
            fixed["start"], fixed["stop"], lambda t, s: step(config, fixed, blocks, s, t), blocks["state"]
        )
        return state, _finite(state, block)

    def measure(fixed: dict, blocks: dict) -> Any:
        def one(config: Any, draw: Any, state: Any) -> Any:
            return functions.measure(config, draw, state, *fixed["data"])

        over_points = jax.vmap(one, (axes, None, 0))
        return jax.vmap(over_points, (None, 0, 0))(config_of(fixed, blocks), blocks["draw"], blocks["state"])

    def first_bad(fixed: dict, blocks: dict) -> Any:
        config = config_of(fixed, blocks)

        def one(t, carry):
            state, first = carry
            state = step(config, fixed, blocks, state, t)
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


def _peak(held: int, transient: dict[str, int]) -> int:
    """Bytes of a device at the worst moment: drawing, or any other stage beside what is held."""
    return max(transient["draw"], held + max(size for stage, size in transient.items() if stage != "draw"))


def _compiler_bytes(devices: tuple[Any, ...]) -> int:
    """Each device's share of what compiling leaves in the process."""
    return _COMPILER_BYTES // len(devices) if devices[0].platform == "cpu" else 0


def _compiled_bytes(compiled: Any) -> int:
    """Results and temporaries."""
    analysis = compiled.memory_analysis()
    return 0 if analysis is None else analysis.output_size_in_bytes + analysis.temp_size_in_bytes


def _tree_bytes(tree: Any) -> int:
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _largest_operation(jaxpr: Any) -> int:
    largest = 0
    for equation in jaxpr.eqns:
        inner = list(jax.extend.core.jaxprs_in_params(equation.params))
        if inner:
            largest = max(largest, *(_largest_operation(j) for j in inner))
        else:
            largest = max(largest, sum(_bytes(v.aval) for v in (*equation.invars, *equation.outvars)))
    return largest


def _bytes(aval: Any) -> int:
    itemsize = getattr(getattr(aval, "dtype", None), "itemsize", 0)
    return int(np.prod(getattr(aval, "shape", ()), dtype=np.int64)) * itemsize
