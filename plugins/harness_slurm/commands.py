"""Calls of Slurm's own commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from harness.errors import HarnessError

COMMANDS = ("sbatch", "squeue")

SILENCE = 120.0
"""Seconds that a command may take: a busy controller answers late."""


def find_missing() -> str | None:
    """Return what is missing for the submission of jobs, and where it would be; None if nothing is."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if not missing:
        return None
    return f"{' and '.join(missing)} not found: run the command where jobs are submitted, on a login node of the cluster"


def submit(arguments: Sequence[str], script: str) -> str:
    """Run `sbatch` with a script's text and return the job's id. Raises HarnessError with what it says."""
    done = _call(["sbatch", "--parsable", *arguments], script)
    lines = done.stdout.split("\n")
    # a cluster's name may follow the id, and a site's remarks stand before it
    id = next((line for line in reversed(lines) if line.strip()), "").strip().partition(";")[0]
    if done.returncode or not id.isdecimal():
        raise HarnessError(f"executor slurm: sbatch: {_explain(done)}")
    return id


def list_queue(names: Sequence[str], columns: str) -> str | None:
    """Return what `squeue` says of this user's jobs of these names, ended ones too; None if it can't answer now.

    Asked by name: ids are given again where a controller lost its state. Asked with the user, so that
    the controller sends these jobs only. A user's own choice of what `squeue` shows would hide jobs, which then
    count as gone.
    """
    chosen = ["--user", str(os.getuid()), "--name", ",".join(names)]
    try:
        done = _call(
            ["squeue", "--noheader", "--array", "--states=all", *chosen, "--Format", columns], hide="SQUEUE_"
        )
    except HarnessError:  # it hangs: the controller is away
        return None
    return None if done.returncode else done.stdout


def _call(
    command: Sequence[str], text: str = "", hide: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with a text as its input, and without the variables whose names start with `hide`."""
    seen = {name: value for name, value in os.environ.items() if not (hide and name.startswith(hide))}
    try:
        # in a session of its own, since the terminal's Ctrl-C must not cut a submission off
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SILENCE,
            check=False,
            start_new_session=True,
            env=seen,
        )
    except FileNotFoundError:
        raise HarnessError(f"executor slurm: {find_missing() or command[0] + ' not found'}") from None
    except subprocess.TimeoutExpired:
        raise HarnessError(
            f"executor slurm: {command[0]} gave no answer within {SILENCE:.0f} s; the same command tries again"
        ) from None


def _explain(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command complained of in one line, without its own prefixes, the last and main text first."""
    lines = [
        re.split("(?:error|fatal): ", line)[-1].strip() for line in done.stderr.splitlines() if line.strip()
    ]
    lines = [line.removeprefix("Batch job submission failed: ") for line in reversed(lines)]
    text = "; ".join(dict.fromkeys(lines)) or done.stdout.strip()
    return text or f"ended with status {done.returncode}"
