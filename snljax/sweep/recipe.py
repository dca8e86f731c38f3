"""What the program of a block is made from: equal recipes are one program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from snljax.experiment import Experiment
from snljax.sweep.cost import Cost
from snljax.sweep.layout import Block


class Network(NamedTuple):
    """The functions of one network, with the traced fields of its Config by name.

    draw: (seed, data). init: (values, draw, data). step: (values, draw, state, t, data). measure: (values, draw,
    state, data).
    """

    draw: Callable[..., Any]
    init: Callable[..., Any]
    step: Callable[..., Any]
    measure: Callable[..., Any]


class System(NamedTuple):
    """The functions of one network as they were at one moment, for some static fields, and the data that they take.

    network: made from what was traced, with constants of its own. returns: what each function returns, as shapes.
    text: the hash of what they lower to and of what they call on the host. comparable: whether equal text is equal
    behaviour, batched too. cost: of one step. read_steps: those of its functions that read ``steps``. data: shapes of
    what all networks share, with the hashes of what is in it.
    """

    experiment: Experiment
    network: Network
    returns: dict[str, Any]
    text: str
    comparable: bool
    cost: Cost
    read_steps: tuple[str, ...]
    data: tuple[Any, ...] = ()
    data_digest: str = ""
    old_data_digest: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """All that the program of a block follows from.

    static_key, statics: the static fields, as text and as a Config whose traced fields are blank. system: functions
    of one network. swept: traced fields with one value per point. moment: under which it is traced, see `tracing`.
    """

    static_key: str
    statics: Any
    system: System
    swept: frozenset[str]
    block: Block
    devices: tuple[Any, ...]
    precision: str
    moment: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What is equal where the compiled program is; functions whose text does not tell are equal to none."""
        where = tuple((d.platform, d.id) for d in self.devices)
        alone = () if self.system.comparable else (self.static_key, self.moment)
        return self.system.text, tuple(sorted(self.swept)), self.block, where, alone
