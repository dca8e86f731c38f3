"""From parsed arguments to what the library takes: a Grid, keywords of `sweep`, a part of a job array."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from snljax import experiments

if TYPE_CHECKING:
    from snljax.sweep.grid import Grid


def grid(arguments: argparse.Namespace) -> Grid:
    """The grid that ``run`` is asked for."""
    from snljax.experiment import fields_of
    from snljax.sweep.grid import Grid

    if arguments.what.endswith(".toml"):
        return Grid.from_toml(arguments.what)
    kinds = {n: f.type for n, f in fields_of(experiments.get(arguments.what).Config).items()} | {"seed": int}
    given = {n: getattr(arguments, f"field_{n}") for n in kinds}
    settings = {n: [_value(kinds[n], t) for t in texts] for n, texts in given.items() if texts is not None}
    return Grid(
        arguments.what, reading=arguments.reading, **{n: v if len(v) > 1 else v[0] for n, v in settings.items()}
    )


def _value(kind: type, text: str) -> Any:
    """Text from the shell as a value of the field's type."""
    if text == "none":
        return None
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass  # Grid says what is wrong with the text
    return text


def shard(text: str | None) -> tuple[int, int] | None:
    """Which part of how many, or None for all."""
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit()):
        raise ValueError(f"shard: {text!r}; allowed: I/N, such as 2/8")
    return int(part), int(parts)


@contextlib.contextmanager
def sweep_options(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Keywords of `sweep`; a Dask client lives as long as they are used."""
    blocks = arguments.block or [None]
    if len(blocks) > 1:
        raise ValueError(f"block: given {len(blocks)} times; allowed: once")
    with contextlib.nullcontext() if arguments.dask is None else _client(arguments.dask) as client:
        yield {
            "executor": None if client is None else client.get_executor(),
            "accept_program": arguments.accept_program,
            "devices": arguments.devices,
            "memory": arguments.memory,
            "block": None if blocks[0] is None else tuple(blocks[0]),
            "precision": arguments.precision,
            "progress": not arguments.quiet,
        }


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("dask: not installed; allowed: pip install 'snljax[dask]'") from None
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"dask: no scheduler at {address} ({reason}); allowed: its address, such as tcp://127.0.0.1:8786"
        ) from None
