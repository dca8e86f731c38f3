"""How many bytes of a device a block needs: estimated from traced programs, corrected by compiled ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.extend.core
import numpy as np

from snljax.sweep.layout import Block
from snljax.sweep.returned import Metrics

_COMPILER_BYTES = 100_000_000  # resident after compiling, measured (benchmarks/scaling.py)
_RECORD_BYTES = 64_000_000
_RECORD_SHARE = 16  # of the budget
_COPIES = 3  # of records: from the device, in the block's array, on the way to the disk


class Room(NamedTuple):
    """What a block may take. bytes: per device. records: measurements of each network that wait for the block's end."""

    bytes: int
    records: int

    @property
    def for_records(self) -> int:
        """How many bytes of a block's measurements may lie in memory; beyond that they go to a file."""
        return min(_RECORD_BYTES, self.bytes // _RECORD_SHARE)


def of_stages(stages: Mapping[str, Any], data: Any, devices: int) -> tuple[int, int]:
    """What stays on a device while a block trains (data, its draw, the state twice), and its worst moment.

    The state twice: as it trains, and as it was when the host last looked.

    Args:
        stages: name -> traced stage. data: shapes that all devices hold. devices: how many.
    """
    state = tree_bytes(stages["init"].out_info) // devices
    held = tree_bytes(stages["draw"].out_info) // devices + 2 * state + tree_bytes(data)
    transient = {n: tree_bytes(s.out_info) // devices + _largest_operation(s.jaxpr.jaxpr) for n, s in stages.items()}
    transient["init"] -= state  # one of the two
    transient["advance"] -= state  # written where it was
    return held, _peak(held, transient)


def of_compiled(compiled: Mapping[str, Any], held: int) -> int:
    """The worst moment of compiled stages: results and temporaries."""
    sizes = dict.fromkeys(compiled, 0)
    for name, stage in compiled.items():
        analysis = stage.memory_analysis()
        if analysis is not None:
            own = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
            sizes[name] = own + analysis.temp_size_in_bytes
    return _peak(held, sizes)


def of_compiler(devices: tuple[Any, ...]) -> int:
    """Each device's share of what compiling leaves in the process."""
    return _COMPILER_BYTES // len(devices) if devices[0].platform == "cpu" else 0


def of_records(metrics: Metrics, block: Block, room: Room) -> int:
    """What a block's measurements take of the memory while they wait for its end."""
    return _COPIES * min(record_bytes(metrics, block) * room.records, room.for_records)


def record_bytes(metrics: Metrics, block: Block) -> int:
    """One measurement of a whole block."""
    one = sum(dtype.itemsize * int(np.prod(inner, dtype=np.int64)) for dtype, inner in metrics.values())
    return one * block.seeds * block.points


def _peak(held: int, transient: dict[str, int]) -> int:
    """Bytes of a device at the worst moment: drawing, or any other stage beside what is held."""
    return max(transient["draw"], held + max(size for stage, size in transient.items() if stage != "draw"))


def tree_bytes(tree: Any) -> int:
    """Of shapes or arrays."""
    return sum(bytes_of(leaf) for leaf in jax.tree.leaves(tree))


def _largest_operation(jaxpr: Any) -> int:
    largest = 0
    for equation in jaxpr.eqns:
        inner = list(jax.extend.core.jaxprs_in_params(equation.params))
        if inner:
            largest = max(largest, *(_largest_operation(j) for j in inner))
        else:
            largest = max(largest, sum(bytes_of(v.aval) for v in (*equation.invars, *equation.outvars)))
    return largest


def bytes_of(aval: Any) -> int:
    """Of one array, or its shape."""
    itemsize = getattr(getattr(aval, "dtype", None), "itemsize", 0)
    return int(np.prod(getattr(aval, "shape", ()), dtype=np.int64)) * itemsize
