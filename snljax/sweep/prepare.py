"""Before the first block: every program of a sweep traced, its block shape chosen, its names checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from snljax.experiment import dims_of
from snljax.sweep import best_shapes, memory, program, shapes
from snljax.sweep.devices import human_bytes
from snljax.sweep.grid import Grid
from snljax.sweep.layout import Block, Cells
from snljax.sweep.memory import Room
from snljax.sweep.network import Systems
from snljax.sweep.probing import Probe
from snljax.sweep.program import OverBudgetError
from snljax.sweep.returned import Metrics
from snljax.sweep.statics import static_key
from snljax.sweep.stop import with_stop
from snljax.sweep.train import Trainer, too_large
from snljax.sweep.work import Plan, Prepared, in_memory

Announce = Callable[[str], None]
_WORTH_MEASURING_SECONDS = 1.0  # a shorter sweep begins with what should be fastest


class Needs(NamedTuple):
    """What whoever keeps the blocks asks for.

    cells: of the plan's grid, that are trained in one go. block: the only shape that it takes, or None to let time
    decide. seconds: that keeping one block takes. processes: that share the blocks. fingerprints, old_fingerprints:
    whether it compares programs, and with those of version 1 of stores.
    """

    cells: Cells
    block: Block | None
    seconds: float
    processes: int
    fingerprints: bool
    old_fingerprints: bool


class _Chosen(NamedTuple):
    """A shape, how many others were compiled to be measured, and for how long that took."""

    block: Block
    probes: int
    seconds: float


def prepare(plan: Plan, systems: Systems, room: Room, needs: Needs, announce: Announce) -> Prepared:
    """Trace every program of a plan, and choose the block shape where none is given.

    Args:
        plan, systems, room: of the sweep.
        needs: of what will keep its blocks.
        announce: told about programs that are compiled only to be measured.

    Returns:
        Prepared.

    Raises:
        ValueError: if there is too little room, or the experiment's functions do not fit together.
    """
    configs = _configs(plan.grid, needs.cells)
    if plan.grid.record_steps is not None:
        _check_steps(plan.grid, systems, configs)
    by_program = {static_key(c): systems.metrics(c) for c in configs}
    if plan.stop is not None:
        by_program = {key: with_stop(plan.stop, metrics) for key, metrics in by_program.items()}
    metrics = _joined(plan.grid, by_program.values())
    found = _Chosen(needs.block, 0, 0.0) if needs.block else _fastest(plan, systems, room, needs, announce)
    chosen = found.block
    while (over := _over(systems, configs, chosen, room)) is not None:
        if needs.block or chosen == Block(1, 1):
            raise too_large(room, chosen, over)
        chosen = Block(max(chosen.seeds // 2, 1), chosen.points if chosen.seeds > 1 else chosen.points // 2)
    recipes = {static_key(c): systems.recipe(c, chosen) for c in configs}
    devices = systems.devices
    return Prepared(
        block=chosen,
        metrics=metrics,
        by_program=by_program,
        fingerprints={k: program.fingerprint(r) for k, r in recipes.items()} if needs.fingerprints else {},
        old_fingerprints={k: program.old_fingerprint(r) for k, r in recipes.items()} if needs.old_fingerprints else {},
        probes=found.probes,
        probe_seconds=found.seconds,
        made_by=program.made_by(devices),
        device=f"{devices[0].device_kind} ({devices[0].platform})",
    )


def _fastest(plan: Plan, systems: Systems, room: Room, needs: Needs, announce: Announce) -> _Chosen:
    """The shape that is expected to be fastest or, where the sweep is long enough, measures so."""
    config = next(iter(plan.grid.configs()))
    system, machine = systems.system(config), shapes.machine_of(systems.devices)
    size = _size(plan, needs, len(systems.devices))
    network = shapes.Network(system.cost, memory.tree_bytes(system.returns["init"]) + 2 * system.cost.largest)

    def fits(shape: Block) -> bool:
        return program.needed(systems.recipe(config, shape), room) <= room.bytes

    devices = [(d.platform, d.device_kind) for d in systems.devices]
    key = best_shapes.key_of(system.text, sorted(systems.swept), size, devices)
    known = best_shapes.recall(key)
    if known is not None and fits(known):
        return _Chosen(known, 0, 0.0)
    first = shapes.choose(size, network, machine, fits)
    if first is None:
        needed = program.needed(systems.recipe(config, Block(1, 1)), room)
        raise ValueError(
            f"memory: {human_bytes(room.bytes)} a device cannot hold one network; "
            f"allowed: {human_bytes(needed)} or more, or a smaller system"
        )
    if shapes.expected(first, size, network, machine) < _WORTH_MEASURING_SECONDS:
        return _Chosen(first, 0, 0.0)
    try:
        probe = Probe(Trainer(in_memory(plan, first), systems, room), room, announce)
    except OverBudgetError:  # as only its compiler knew; a smaller one is looked for
        return _Chosen(first, 0, 0.0)
    best, tried, seconds = shapes.refine(first, size, network, machine, probe.step_seconds, probe.trial_seconds)
    if len(tried) > 1:
        announce(f"measured {len(tried) - 1} other block shapes in {seconds:.1f} s")
    best_shapes.remember(key, best)
    return _Chosen(best, len(tried) - 1, seconds)


def _check_steps(grid: Grid, systems: Systems, configs: list[Any]) -> None:
    """ValueError where a longer training is another one from its start, so that it has no states of a shorter one."""
    for config in configs:
        for name in systems.system(config).read_steps:
            raise ValueError(
                f"steps: several values, and {name} of {grid.experiment.name} goes by their number; allowed: one, "
                "and a sweep for each"
            )


def _configs(grid: Grid, cells: Cells) -> list[Any]:
    """One Config for each program that some cells need."""
    if not cells.listed:
        return list(grid.configs())
    chosen = [a if static else np.zeros_like(a) for a, static in zip(cells.axes, grid.static_axes, strict=False)]
    return [grid.config_at(point) for point in dict.fromkeys(zip(*(a.tolist() for a in chosen), strict=True))]


def _size(plan: Plan, needs: Needs, devices: int) -> shapes.Size:
    static = [axis for axis, fixed in zip(needs.cells.axes, plan.grid.static_axes, strict=False) if fixed]
    programs = math.prod(len({*axis.tolist()}) for axis in static)
    return shapes.Size(
        points=-(-needs.cells.points // programs),
        seeds=len(needs.cells.seeds),
        programs=programs,
        steps=plan.steps,
        pauses=len(plan.records),
        at_once=devices * needs.processes,
        keeping=needs.seconds,
    )


def _over(systems: Systems, configs: list[Any], block: Block, room: Room) -> OverBudgetError | None:
    """The first program that does not fit. Near the budget only the compiler knows; elsewhere tracing says enough."""
    for config in configs:
        recipe = systems.recipe(config, block)
        needed = program.needed(recipe, room)
        if needed > room.bytes:
            return OverBudgetError(needed)
        try:
            if needed > room.bytes // 2:
                program.build(recipe, room)
        except OverBudgetError as over:
            return over
    return None


def _joined(grid: Grid, by_program: Iterable[Metrics]) -> Metrics:
    """What is measured, over all programs; ValueError where the Dataset could not be labelled."""
    metrics: Metrics = {}
    for one in by_program:
        for name, (dtype, inner) in one.items():
            had_dtype, had = metrics.get(name, (dtype, inner))
            if len(had) != len(inner):
                raise ValueError(
                    f"{name}: of {grid.experiment.name} has {len(had)} dimensions and {len(inner)}, over the values of "
                    "a static field; allowed: as many for all"
                )
            if dtype != had_dtype and {dtype.kind, had_dtype.kind} != {"f"}:
                raise ValueError(
                    f"{name}: of {grid.experiment.name} is {had_dtype} and {dtype}, over the values of a static field; "
                    "allowed: one dtype, or floating ones"
                )
            metrics[name] = (np.result_type(dtype, had_dtype), tuple(map(max, zip(inner, had, strict=True))))
    _check_names(grid, {n: inner for n, (_, inner) in metrics.items()})
    return metrics


def _check_names(grid: Grid, inner_shapes: dict[str, tuple[int, ...]]) -> None:
    """ValueError where metrics, their dimensions and the axes of a grid have names or lengths that collide."""
    experiment, taken = grid.experiment, {n for axis in grid.axes for n in (axis.name, *axis.fields)}
    for name in taken & inner_shapes.keys():
        raise ValueError(f"{name}: an axis, and a metric of {experiment.name}; allowed: another name for the axis")
    lengths: dict[str, tuple[str, int]] = {}
    for name, inner in inner_shapes.items():
        own = dims_of(experiment).get(name)
        if own is None:
            continue
        if isinstance(own, str) or len(own) != len(inner) or not all(isinstance(d, str) for d in own):
            raise ValueError(
                f"dims: {name} of {experiment.name} has {own!r} for its shape {list(inner)}; "
                f"allowed: a tuple of {len(inner)} names"
            )
        for dim, length in zip(own, inner, strict=True):
            if dim in taken or dim in ("seed", "step") or dim in inner_shapes or own.count(dim) > 1:
                raise ValueError(
                    f"dims: {name} of {experiment.name} calls a dimension {dim!r}, which is an axis, a metric or given "
                    "twice; allowed: another name"
                )
            other, had = lengths.setdefault(dim, (name, length))
            if had != length:
                raise ValueError(
                    f"dims: {dim!r} of {experiment.name} has length {had} in {other} and {length} in {name}; "
                    "allowed: one length for one name"
                )
