"""What a job asks Slurm for: the arguments of `sbatch`, and the script."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import OptionError, did_you_mean

WARNING = 120
"""Seconds before its time limit at which a job is asked to take no further cell.

Slurm gives notice up to a minute early. Of a short limit the notice is a fifth, so that there is time for work.
"""

OWN = {
    **dict.fromkeys(("array", "a"), "jobs and per_job decide it"),
    **dict.fromkeys(("partition", "p"), "give partition="),
    **dict.fromkeys(("account", "A"), "give account="),
    **dict.fromkeys(("time", "t"), "give minutes="),
    **dict.fromkeys(("cpus-per-task", "c"), "give cpus="),
    "mem": "give memory=",
    "export": "jobs get this command's environment, which decides what cells give",
    **dict.fromkeys(("gres", "gpus", "G", "gpus-per-node"), "give gpus="),
    **dict.fromkeys(("output", "o", "error", "e", "open-mode"), "logs lie in the store"),
    **dict.fromkeys(("job-name", "J"), "it identifies the job"),
    **dict.fromkeys(("signal", "requeue", "no-requeue"), "the executor needs it"),
    **dict.fromkeys(("wait", "W"), "give wait="),
    **dict.fromkeys(("ntasks", "n", "nodes", "N"), "a job runs on one node"),
    **dict.fromkeys(("clusters", "cluster", "M"), "set SLURM_CLUSTERS, which squeue reads as well"),
    **dict.fromkeys(("parsable", "wrap", "test-only", "chdir", "D"), "the executor needs it"),
}
"""Arguments of `sbatch` that `extra` can't hold, and what to do instead."""


@dataclass(frozen=True)
class Request:
    """What each job asks for; None leaves it to the partition's defaults."""

    minutes: int | None = None
    partition: str | None = None
    account: str | None = None
    gpus: int | str | None = None
    cpus: int | None = None
    memory: str | None = None
    extra: str = ""

    def check(self) -> None:
        """Raise OptionError for what no cluster could take."""
        for name in ("minutes", "cpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"executor slurm: {name} must be at least 1, found {value}")
        if self.gpus is not None and not re.fullmatch(r"([A-Za-z][\w.-]*:)?\d+", str(self.gpus)):
            raise OptionError(
                f"executor slurm: gpus must be a number, or type:number as in a100:2, found '{self.gpus}'"
            )
        if self.memory is not None and not re.fullmatch(r"\d+[KMGT]?", self.memory):
            raise OptionError(
                f"executor slurm: memory must be a number with unit K, M, G or T, as in 16G, found '{self.memory}'"
            )
        for name in ("partition", "account"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"[\w.,@+-]+", value):
                raise OptionError(f"executor slurm: {name} must be a name of the cluster's, found '{value}'")
        _check_extra(self.extra)

    @property
    def gpu_count(self) -> int:
        """The number of GPUs of a job."""
        return int(str(self.gpus or 0).rpartition(":")[2])

    def arguments(self) -> list[str]:
        """Return the arguments of `sbatch` for what is asked for."""
        given = {
            "time": self.minutes,
            "partition": self.partition,
            "account": self.account,
            "gres": f"gpu:{self.gpus}" if self.gpu_count else None,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
        }
        own = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return [*own, *shlex.split(self.extra)]


@dataclass(frozen=True)
class Allotment:
    """How cells become jobs: how many jobs run at once, cells per job (None for a default), and what each asks for."""

    jobs: int
    per_job: int | None
    request: Request


def _check_extra(extra: str) -> None:
    """Raise OptionError for arguments that can't be read, or that the executor gives itself."""
    try:
        arguments = shlex.split(extra)
    except ValueError as error:
        raise OptionError(f"executor slurm: extra can't be read: {error}: {extra!r}") from None
    if arguments and not arguments[0].startswith("-"):
        near = did_you_mean(arguments[0].partition("=")[0], ("qos", "constraint", "nodelist", "reservation"))
        raise OptionError(
            f"executor slurm: extra must hold arguments of sbatch, as in --qos=long, found '{arguments[0]}'{near}"
        )
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0] if argument.startswith("--") else argument[1:2]
        if argument.startswith("-") and name in OWN:
            raise OptionError(f"executor slurm: extra can't hold '{argument}': {OWN[name]}")


def list_arguments(
    request: Request, name: str, tasks: int, at_once: int, folder: Path, working_folder: Path
) -> list[str]:
    """Return all arguments of `sbatch` for an array of `tasks`, of which `at_once` run at the same time."""
    notice = WARNING if request.minutes is None else min(WARNING, request.minutes * 60 // 5)
    log = str(folder).replace("%", "%%")  # which Slurm would replace
    return [
        f"--job-name={name}",
        f"--array=0-{tasks - 1}%{at_once}",
        "--nodes=1",
        "--ntasks=1",
        "--requeue",
        "--open-mode=append",
        "--export=ALL",
        f"--signal=B:USR2@{notice}",
        f"--output={log}/%a.log",
        f"--chdir={working_folder}",
        *request.arguments(),
    ]


def write_script(folder: Path, python: Sequence[str] = (sys.executable,)) -> str:
    """Return the batch script.

    Slurm's notice goes to the script's own process only, which `exec` makes the one that runs the cells. Until
    that listens, the notice is ignored, as it would end the job.
    """
    command = shlex.join([*python, "-m", "harness_slurm.job", str(folder)])
    return f"#!/bin/sh\ntrap '' USR2\nexec {command}\n"
