"""What jobs ask for: options, refusals, and the arguments of sbatch."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import HarnessError
from harness_slurm import Slurm, commands
from harness_slurm.submission import Request, list_arguments, write_script
from harness_slurm.watching import COLUMNS


def made(reference: str) -> Slurm:
    found = Resolver().resolve("executors", parse_short(reference), "executor")
    assert isinstance(found.object, Slurm), found.problem
    return found.object


def test_the_reference_as_it_is_written_on_a_command_line() -> None:
    slurm = made(
        "slurm:4?per_job=20&minutes=90&partition=gpu&account=vision&gpus=a100:2&cpus=8&memory=16G&extra=--qos=long&wait=false"
    )
    assert (slurm.allotment.jobs, slurm.allotment.per_job, slurm.wait) == (4, 20, False)
    assert slurm.allotment.request == Request(90, "gpu", "vision", "a100:2", 8, "16G", "--qos=long")
    assert slurm.allotment.request.arguments() == [
        "--time=90", "--partition=gpu", "--account=vision", "--gres=gpu:a100:2", "--cpus-per-task=8",
        "--mem=16G", "--qos=long",
    ]  # fmt: skip
    plain = made("slurm").allotment
    assert (plain.jobs, plain.per_job, plain.request.arguments()) == (8, None, [])
    assert made("slurm?memory=4000&gpus=0").allotment.request.arguments() == ["--mem=4000"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("slurm:0", "jobs must be at least 1, found 0"),
        ("slurm?per_job=0", "per_job must be at least 1"),
        ("slurm?minutes=-5", "minutes must be at least 1, found -5"),
        ("slurm?cpus=0", "cpus must be at least 1"),
        ("slurm?gpus=many", "gpus must be a number, or type:number as in a100:2, found 'many'"),
        ("slurm?memory=16GB", "memory must be a number with unit K, M, G or T, as in 16G, found '16GB'"),
        ("slurm?partition=a b", "partition must be a name of the cluster's, found 'a b'"),
        ("slurm?extra=--array=0-3", "extra can't hold '--array=0-3': jobs and per_job decide it"),
        ("slurm?extra=-p gpu", "extra can't hold '-p': give partition="),
        ("slurm?extra=--signal=USR1@60", "extra can't hold '--signal=USR1@60': the executor needs it"),
        (
            "slurm?extra=--export=NONE",
            "extra can't hold '--export=NONE': jobs get this command's environment",
        ),
        ("slurm?extra=-M other", "extra can't hold '-M': set SLURM_CLUSTERS, which squeue reads as well"),
        ("slurm?extra=--clusters=other", "extra can't hold '--clusters=other': set SLURM_CLUSTERS"),
        ("slurm?extra=qos=long", "extra must hold arguments of sbatch, as in --qos=long, found 'qos=long'"),
        ("slurm?extra='--qos", "extra can't be read: No closing quotation"),
        ("slurm?minute=5", "unknown option 'minute'; did you mean 'minutes'?"),
        ("slurm?minutes=soon", "option 'minutes' must be int | None, found 'soon'"),
    ],
)
def test_refusals_are_one_line(reference: str, said: str) -> None:
    with pytest.raises(HarnessError) as error:
        made(reference)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("minutes", "notice"), [(None, 120), (60, 120), (10, 120), (5, 60), (1, 12)])
def test_notice_of_the_end(minutes: int | None, notice: int) -> None:
    arguments = list_arguments(Request(minutes), "n", 5, 2, Path("/s"), Path("/w"))
    assert f"--signal=B:USR2@{notice}" in arguments
    assert "--array=0-4%2" in arguments


def test_folders_with_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b'c%d"
    folder.mkdir()
    arguments = list_arguments(Request(), "n", 1, 1, folder, tmp_path)
    assert f"--output={tmp_path}/a b'c%%d/%a.log" in arguments
    script = folder / "script"
    script.write_text(write_script(folder, [shlex.quote("printf"), "%s\\n"]))
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(folder)


def test_what_a_user_has_squeue_show_hides_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is not shown counts as gone, and its cells as cancelled."""
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\necho "$SQUEUE_PARTITION,$SQUEUE_FORMAT,$SLURM_CLUSTERS"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("SQUEUE_PARTITION", "SQUEUE_FORMAT", "SLURM_CLUSTERS"):
        monkeypatch.setenv(name, "x")
    assert commands.list_queue(["n"], COLUMNS) == ",,x\n"
