"""The functions of one network, traced once for a sweep: code, closures and data are those of that moment.

All that follows, blocks of any shape, is made from what was traced, never by calling the functions again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.interpreters.partial_eval as pe
import numpy as np

from snljax.experiment import Experiment, fields_of, traced_fields
from snljax.sweep import cost, tracing
from snljax.sweep.convolutions import in_one_form
from snljax.sweep.grid import Grid
from snljax.sweep.host_code import host_code, snapshot
from snljax.sweep.layout import Block
from snljax.sweep.loaded import Loaded, marked, update
from snljax.sweep.recipe import Network, Recipe, System
from snljax.sweep.returned import Metrics, check_metrics, check_state, metrics_of
from snljax.sweep.sequential import one_by_one
from snljax.sweep.statics import blind, dtype_of, static_key, statics_of
from snljax.sweep.structure import text_of

_DATA_BYTES = 4_000_000_000  # of loaded data that a sweep keeps beside those in use


class Systems:
    """The functions and data of one sweep, as they are when first asked for. It belongs to one thread.

    Args:
        grid: its experiment's functions are traced for one network once for each value of the static fields; its
            swept fields have one value per point, all others are shared by a block.
        devices: one block runs on each.
        precision: key of `tracing.MATMUL_PRECISION`.
    """

    def __init__(self, grid: Grid, devices: tuple[Any, ...], precision: str) -> None:
        self.experiment, self.devices, self.precision = grid.experiment, devices, precision
        self.swept = frozenset(grid.columns())
        e = grid.experiment
        self._moment = tracing.moment_of((e.draw, e.init, e.step, e.measure, e.data))
        self._loaded: dict[str, Loaded] = {}
        self._systems: dict[str, System] = {}
        self._recipes: dict[tuple[str, Block], Recipe] = {}

    def recipe(self, config: Any, block: Block) -> Recipe:
        """All that the program of a block of these static fields follows from."""
        key = static_key(config), block
        if key not in self._recipes:
            self._recipes[key] = Recipe(
                static_key=key[0],
                statics=statics_of(config),
                system=self.system(config),
                swept=self.swept,
                block=block,
                devices=self.devices,
                precision=self.precision,
                moment=self._moment,
            )
        return self._recipes[key]

    def metrics(self, config: Any) -> Metrics:
        """Metric -> dtype and shape of one network's value; entries that are None are left out."""
        return metrics_of(self.system(config).returns["measure"])

    def data(self, config: Any) -> tuple[Any, ...]:
        """The data that all networks of these static fields share, as their functions' last argument, or ()."""
        return () if self.experiment.data is None else (self._read(config, self.experiment.data).arrays,)

    def _read(self, config: Any, read: Callable[[Any], Any]) -> Loaded:
        """Read once; equal data of several static values are kept once; more than there is room for is read again."""
        key = static_key(config)
        known = self._loaded.get(key)
        if known is not None and known.arrays is not None:
            return known
        with tracing.at(self._moment):
            loaded = marked(read(blind(config, "data")))
        if known is not None and known.digest != loaded.digest:
            raise ValueError(
                f"data: of {self.experiment.name} changed while the sweep ran; allowed: the same again, each time"
            )
        for other in self._loaded.values():
            if other.digest == loaded.digest and other.arrays is not None:
                leaves = jax.tree.leaves(other.arrays)
                loaded = loaded._replace(arrays=jax.tree.unflatten(jax.tree.structure(loaded.arrays), leaves))
                break
        held = {d.digest: d.size for d in self._loaded.values() if d.arrays is not None}
        for name, data in list(self._loaded.items()):
            if sum(held.values()) + loaded.size > _DATA_BYTES and data.digest != loaded.digest:
                self._loaded[name] = data._replace(arrays=None)
                held.pop(data.digest, None)
        self._loaded[key] = loaded
        return loaded

    def system(self, config: Any) -> System:
        """The functions of one network, traced when first asked for."""
        key = static_key(config)
        if key not in self._systems:
            data = self.data(config)  # apart: its function may sweep
            loaded = self._loaded.get(key)
            digests = ("", "") if loaded is None else (loaded.digest, loaded.old_digest)
            with tracing.going_on():
                traced = self._traced(statics_of(config), data)
            self._systems[key] = traced._replace(data=_strong(data), data_digest=digests[0], old_data_digest=digests[1])
        return self._systems[key]

    def _traced(self, statics: Any, data: tuple[Any, ...]) -> System:
        """The functions of one network, traced, with the hash of what they lower to."""
        experiment, precision = self.experiment, self.precision
        fields, info = traced_fields(statics), fields_of(type(statics))
        called = direct(experiment, statics)
        number = {n: jax.ShapeDtypeStruct((), dtype_of(info[n].type)) for n in fields}
        shared, whole = _strong(data), jax.ShapeDtypeStruct((), np.int32)
        digest = hashlib.sha256(json.dumps([sorted(fields), precision, str(dtype_of(float))]).encode())
        comparable, returns, played, jaxprs = True, {}, {}, {}

        def trace(name: str, *arguments: Any) -> Any:
            nonlocal comparable
            with tracing.functions_at(self._moment, precision):
                # Arguments that are not used stay in the text: which one is used is what tells two programs apart.
                stage = jax.jit(getattr(called, name), keep_unused=True).trace(*arguments)
                kept = snapshot(stage.jaxpr)
                digest.update(f"{name}: ".encode() + text_of(stage, kept))
            update(digest, kept.consts)
            outside, seen = host_code(kept)
            digest.update(outside)
            comparable &= seen
            returns[name], jaxprs[name] = stage.out_info, kept
            batched = in_one_form(one_by_one(kept)) if self.devices[0].platform == "cpu" else kept
            played[name] = _replayed(batched, jax.tree.structure(stage.out_info))
            return _strong(stage.out_info)

        draw = trace("draw", jax.ShapeDtypeStruct((), np.uint32), shared)
        state = trace("init", number, draw, shared)
        check_state(experiment, state, trace("step", number, draw, state, whole, shared))
        trace("measure", number, draw, state, shared)
        check_metrics(experiment, returns["measure"])
        a_step = cost.of_step(jaxprs["step"], _depends(number, self.swept, draw, state, shared))
        of_steps = tuple(n for n in ("init", "step", "measure") if _reads(jaxprs[n], sorted(number).index("steps")))
        return System(experiment, Network(**played), returns, digest.hexdigest(), comparable, a_step, of_steps)


def _reads(jaxpr: Any, number: int) -> bool:
    """Whether what a function returns depends on one of its inputs."""
    _, used = pe.dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))
    return used[number]


def _depends(number: dict[str, Any], swept: frozenset[str], draw: Any, state: Any, data: Any) -> list[int]:
    """What each input of ``step`` depends on, in the order in which JAX lays them out."""
    values = {n: cost.POINT if n in swept else 0 for n in number}
    none, both = (lambda tree: jax.tree.map(lambda _: 0, tree)), cost.POINT | cost.STEP
    return jax.tree.leaves((values, none(draw), jax.tree.map(lambda _: both, state), cost.STEP, none(data)))


def direct(experiment: Experiment, statics: Any) -> Network:
    """The experiment's own functions, of one network, with traced fields by name."""
    e, closed = experiment, blind(statics)

    def of(values: dict[str, Any]) -> Any:
        return dataclasses.replace(statics, **values)

    return Network(
        lambda seed, data: e.draw(closed, jax.random.fold_in(jax.random.key(0), seed), *data),
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
