"""Provenance: how, where and with what a record was made. Names no person and no secret."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.contract.cells import Cell

LIBRARIES = ("torch", "torchvision", "timm", "open_clip_torch", "peft", "numpy", "pillow", "scikit-learn")
_CHECKOUT = Path(__file__).resolve().parent.parent
SECRET = re.compile(r"(key|token|secret|passw|credential|auth)", re.IGNORECASE)
ASSIGNED = re.compile(rf"([^=&?]*{SECRET.pattern}[^=&?]*)=[^&]*", re.IGNORECASE)
LOGIN = re.compile(r"(://)[^/@\s]+@")


def now() -> str:
    """Return the time in UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def describe_run(cell: Cell, device: Any, batch_size: int | None, workers: int) -> dict[str, Any]:
    """Return facts about one cell's run that do not decide its numbers beyond floating point."""
    facts = {
        **environment(),
        "plugins": {p.distribution: p.version for p in cell.parts},
        "device": device_facts(str(device)),
        "batch_size": batch_size,
        "workers": workers,
        "command": command_line(sys.argv),
    }
    kind = {
        name: value for name, value in facts["device"].items() if name != "uuid"
    }  # any GPU of a kind is as good
    text = repr(sorted((facts["libraries"] | facts["plugins"]).items())) + repr(kind)
    return {**facts, "environment": hashlib.sha256(text.encode()).hexdigest()[:12]}


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return versions, commit and host; the same for all cells of a process."""
    own = _git(_CHECKOUT) if (_CHECKOUT / ".git").exists() else None
    return {
        "harness": _version("vision-harness"),
        "python": platform.python_version(),
        "libraries": {name: v for name in LIBRARIES if (v := _version(name))},
        "git": {"harness": own, "project": _git(Path.cwd())},
        "host": host_facts(),
    }


@lru_cache(maxsize=1)
def host_facts() -> dict[str, Any]:
    """Return system, architecture, and number and name of the processors."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
    }


@lru_cache(maxsize=8)
def device_facts(device: str) -> dict[str, Any]:
    """Return the device's kind and, for CUDA, name, UUID, memory, CUDA and driver versions."""
    import torch

    facts: dict[str, Any] = {"type": device.partition(":")[0]}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        driver = _run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
        facts |= {
            "name": properties.name,
            "uuid": str(properties.uuid),
            "memory": properties.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": driver.splitlines()[0] if driver else None,
        }
    else:
        facts |= {"threads": torch.get_num_threads()}
    return facts


def command_line(arguments: list[str]) -> str:
    """Return the command with the home folder as `~` and the values of secret-looking options hidden.

    Secrets hide in an option's value (`--token x`), in a setting (`--set=a.token=x`), in a short
    reference (`hub:name?split=test&token=x`) and before the host of an address.
    """
    home, shown, hide = str(Path.home()), [], False
    for argument in [Path(arguments[0]).name, *arguments[1:]] if arguments else []:
        if hide:
            argument = "***"
        hide = argument.startswith("-") and "=" not in argument and bool(SECRET.search(argument))
        argument = ASSIGNED.sub(r"\1=***", LOGIN.sub(r"\1***@", argument))
        shown.append(argument.replace(home, "~") if len(home) > 1 else argument)
    return " ".join(shown)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, Any] | None:
    commit = _run(["git", "-C", str(folder), "rev-parse", "HEAD"])
    changes = commit and _run(["git", "-C", str(folder), "status", "--porcelain", "-uno"])
    return {"commit": commit, "dirty": bool(changes)} if commit else None


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None
