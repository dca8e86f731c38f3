"""The script of a SLURM job array that trains a grid into one store."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from snljax.wording import shown

WARNING_SECONDS = 120  # from SIGTERM to the end of a task's time: enough to write the blocks on their way
_OURS = ("array", "requeue", "signal", "open-mode")  # options that the script sets itself


class Limits(NamedTuple):
    """What an array asks of the cluster; None is the cluster's default.

    tasks: 1 or more. time: of a task, as sbatch takes it: minutes, ``H:M:S``, ``D-H`` or ``D-H:M:S``. cpus: cores of a
    task. memory: of a task, as ``16G``. others: further options of sbatch, such as ``partition=long``.
    """

    tasks: int
    time: str | None = None
    cpus: int | None = None
    memory: str | None = None
    others: tuple[str, ...] = ()


def script(name: str, words: Sequence[str], store: str, limits: Limits, python: str, folder: str) -> str:
    """A bash script for ``sbatch``: task i of N trains part i of N, and goes on where its time ended.

    Args:
        name: of the job.
        words: what ``snljax run`` is asked for, without ``--shard``; the store among them.
        store: the folder that all tasks fill.
        limits: of a task.
        python: the interpreter that has snljax, as the cluster's nodes see it.
        folder: that relative names are relative to.

    Returns:
        The script.

    Raises:
        ValueError: a limit that sbatch would not take, or an option that the script needs for itself.

    Example:
        >>> text = script("a", ["grid.toml", "--store", "runs/a"], "runs/a", Limits(8, "1:00:00"), "python3", "/work")
        >>> [line for line in text.splitlines() if line.startswith("#SBATCH --array")]
        ['#SBATCH --array=1-8']
    """
    _check(limits)
    lines = {
        "job-name": name,
        "array": f"1-{limits.tasks}",
        "time": limits.time,
        "cpus-per-task": limits.cpus,
        "mem": limits.memory,
        "signal": f"B:TERM@{WARNING_SECONDS}",
        "open-mode": "append",
    }
    options = [f"--{option}={value}" for option, value in lines.items() if value is not None]
    options += ["--requeue", *(f"--{other.removeprefix('--')}" for other in limits.others)]
    quiet = [] if "--quiet" in words else ["--quiet"]
    return _SCRIPT.format(
        options="\n".join(f"#SBATCH {option}" for option in options),
        status=shlex.join(["snljax", "status", store, "--watch"]),
        rest=shlex.join(["snljax", "run", *words]),
        python=shlex.quote(python),
        folder=shlex.quote(folder),
        run=shlex.join(["run", *words, *quiet]),
        tasks=limits.tasks,
        memory="" if any(word.partition("=")[0] == "--memory" for word in words) else _MEMORY,
    )


def _check(limits: Limits) -> None:
    forms = {
        "time": (limits.time, r"\d+(:\d\d?){0,2}|\d+-\d+(:\d\d?){0,2}", "12:00:00, or 2-0 for two days"),
        "mem": (limits.memory, r"\d+[KMGT]?", "16G"),
    }
    for option, (text, form, example) in forms.items():
        if text is not None and re.fullmatch(form, text) is None:
            raise ValueError(f"{option}: {text!r}; allowed: as sbatch takes it, such as {example}")
    for option, number in (("tasks", limits.tasks), ("cpus", limits.cpus)):
        if number is not None and number < 1:
            raise ValueError(f"{option}: {number}; allowed: 1 or more")
    for other in limits.others:
        option = other.removeprefix("--").partition("=")[0]
        if re.fullmatch(r"(--)?[a-z][a-z-]*(=[^\s\"'\\]+)?", other) is None:
            raise ValueError(f"sbatch: {shown(other)}; allowed: a long option of sbatch, such as partition=long")
        if option in _OURS:
            raise ValueError(f"sbatch: {option} is set by the script itself; allowed: other options")


_MEMORY = """
# Without a GPU the budget is half of the machine's memory; a task that has less takes half of its own.
megabytes=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * ${SLURM_CPUS_PER_TASK:-1}))}
if [ "$megabytes" -gt 0 ] && [ -z "${SLURM_JOB_GPUS:-}" ]; then
    set -- "$@" --memory "$((megabytes / 2))MB"
fi
"""

_SCRIPT = """\
#!/bin/bash
{options}

# Written by snljax slurm. How far it is:  {status}
# Single tasks once more:  sbatch --array=5,9 and this file.  What is left when all have ended, and the Dataset:
#   {rest}

# module load …    whatever must be there before Python on this cluster
python={python}
cd {folder} || exit 1
{memory}
"$python" -m snljax.cli {run} --shard "$SLURM_ARRAY_TASK_ID/{tasks}" "$@" &
training=$!
stopped=
trap 'stopped=1; kill -TERM "$training"' TERM
wait "$training"
code=$?
if [ -n "$stopped" ]; then    # the signal ended the first wait, not the training
    wait "$training"
    code=$?
fi
if [ "$code" -eq 143 ]; then  # the time is over, and the blocks on their way have checkpoints
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
