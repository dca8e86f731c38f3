"""The command line: parses arguments, calls the library, prints. Errors are one line, exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from snljax.cli import parsing
from snljax.cli.commands import COMMANDS, BadNewsError
from snljax.wording import one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the ``snljax`` command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            _main(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk can still be told in one line
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # else the reader, head for example, has gone
            where = "standard output" if error.filename is None else error.filename
            print(f"snljax: {where} cannot be written or read ({error.strerror or error})", file=sys.stderr)
        with contextlib.suppress(OSError, AttributeError):  # what is left in the buffer is flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _main(argv: list[str]) -> None:
    arguments = argparse.Namespace(command=None)
    try:
        what, arranged = parsing.experiment_first(parsing.with_hyphens(argv))
        if what is not None:
            from snljax.sweep.devices import cores_as_devices

            cores_as_devices()  # before a file of the user's is imported, which may start JAX
        arguments, unknown = parsing.parser(what).parse_known_args(arranged)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.argv = argv
        COMMANDS[arguments.command](arguments)
    except ValueError as error:
        print(f"snljax: {one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except BadNewsError as failed:
        print(f"snljax: {one_line(failed)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as stopped:
        print(f"snljax: {one_line(stopped) or 'interrupted'}", file=sys.stderr)
        kept = arguments.command == "run" and (arguments.store or arguments.dask is None)
        if kept or arguments.command in ("reproduce", "trace"):
            print(f"snljax: to go on: {shlex.join(['snljax', *argv])}", file=sys.stderr)
        raise SystemExit(128 + getattr(stopped, "signal_number", signal.SIGINT)) from None
