"""What a sweep tells while it runs: lines, a bar, and what failed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm

from snljax.sweep.prepare import Announce
from snljax.sweep.work import Job, Work
from snljax.wording import one_line

_SHOWN = 5  # failed blocks that an error spells out
_WORTH_SAYING_SECONDS = 1.0
_MOST = 300  # characters of what a block raised


class WorkerError(RuntimeError):
    """What a block raised in a worker, as text: not every exception can travel."""


def announcer(name: str, shown: bool) -> Announce:
    """Writes lines beside the bar, or nothing."""

    def announce(text: str) -> None:
        if shown:
            tqdm.write(f"{name}: {text}", file=sys.stderr)

    return announce


class Progress:
    """A `Watcher` with a bar. finished, diverged: cells. failures: what is in a block -> what it raised.

    Args:
        job: whose blocks are trained.
        wanted, finished: cells that were asked for, and those that are there already.
        announce: writes lines.
        shown: whether there is a bar.
        whole: cells of the grid, where only some of them are asked for, round by round.
    """

    def __init__(
        self, job: Job, wanted: int, finished: int, announce: Announce, shown: bool, whole: int | None = None
    ) -> None:
        self.job, self.wanted, self.finished, self.announce, self.whole = job, wanted, finished, announce, whole
        self.diverged = self.rounds = 0
        self.failures: dict[str, Exception] = {}
        self.bar = tqdm(
            total=wanted * job.plan.steps,
            initial=finished * job.plan.steps,
            desc=job.grid.experiment.name,
            unit="step",
            unit_scale=True,
            disable=not shown,
            smoothing=0.1,
            dynamic_ncols=True,
        )
        self._show()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.close()

    def another_round(self, wanted: int, finished: int) -> None:
        """So many more cells are asked for, and so many of them are there already."""
        self.rounds += 1
        self.wanted += wanted
        self.finished += finished
        self.bar.total = self.wanted * self.job.plan.steps
        self.bar.update(finished * self.job.plan.steps)
        self._show()

    def compiled(self, seconds: float) -> None:
        """A program is ready."""
        if seconds >= _WORTH_SAYING_SECONDS:
            self.announce(f"compiled in {seconds:.1f} s")

    def went(self, steps: int) -> None:
        """So many network-steps are done."""
        self.bar.update(steps)

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """A block is kept."""
        self.finished += cells
        self.diverged += diverged
        self._show()

    def failed(self, work: Work, error: Exception) -> None:
        """A block raised; the others go on."""
        text = f"block {work.block} ({self.job.described(work)})"
        self.failures[text] = error
        self.announce(f"{text} raised {_message(error)}; the others go on")

    def what_failed(self, place: str) -> str:
        """All failures in one line. place: where the others are."""
        spelt = [f"{text}: {_message(error)}" for text, error in list(self.failures.items())[:_SHOWN]]
        more = len(self.failures) - len(spelt)
        return (
            f"{len(self.failures)} blocks raised, all others are trained{f' and in {place}' if place else ''}: "
            f"{'; '.join(spelt)}{f'; and {more} more' if more else ''}"
        )

    def _show(self) -> None:
        # Drawn with the next update, which the bar does ten times a second at most: blocks may end faster.
        shown = f"{self.finished}/{self.wanted} cells"
        if self.whole is not None:
            shown += f" of the grid's {self.whole}, round {self.rounds}"
        self.bar.set_postfix_str(shown, refresh=False)


class ListenerError(KeyboardInterrupt):
    """What was told of finished blocks raised ``error``. It ends a sweep as Ctrl-C does: checkpoints are written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Telling:
    """A `Watcher` that passes all on, and tells somebody of each block that is kept."""

    def __init__(self, progress: Progress, tell: Callable[[], object]) -> None:
        self.progress, self.tell = progress, tell

    def compiled(self, seconds: float) -> None:
        """A program is ready."""
        self.progress.compiled(seconds)

    def went(self, steps: int) -> None:
        """So many network-steps are done."""
        self.progress.went(steps)

    def kept(self, block: int, cells: int, diverged: int) -> None:
        """A block is kept."""
        self.progress.kept(block, cells, diverged)
        try:
            self.tell()
        except Exception as error:
            raise ListenerError(error) from error

    def failed(self, work: Work, error: Exception) -> None:
        """A block raised; the others go on."""
        self.progress.failed(work, error)


def _message(error: Exception) -> str:
    name = "" if isinstance(error, WorkerError) else f"{type(error).__name__}: "
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What a callback raised comes as a whole traceback: its last line says what happened.
    parts = [lines[0].partition("Traceback")[0].strip(), lines[-1]] if "Traceback" in str(error) else lines
    return name + one_line(" ".join(parts))[:_MOST]
