"""Which GPUs of this machine a run may use, known without torch, and how a process is limited to one of them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

VISIBLE = "CUDA_VISIBLE_DEVICES"

_LISTED = re.compile(r"GPU (\d+): (.*) \(UUID: (GPU-[^)\s]+)\)")
_PART = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)\s]+)\)")


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one (MIG): what CUDA_VISIBLE_DEVICES calls it, its name, and its index in the machine."""

    id: str
    name: str
    index: int


def list_gpus() -> list[Gpu]:
    """Return the GPUs that this process may use, in the order in which CUDA numbers them for it."""
    return choose_visible(parse_listing(_ask_driver()), os.environ.get(VISIBLE))


def parse_listing(text: str) -> list[Gpu]:
    """Return what `nvidia-smi -L` lists; of a GPU that is cut into parts (MIG), the parts, as CUDA uses no other.

    >>> parse_listing("GPU 0: NVIDIA H200 (UUID: GPU-5d5b)")
    [Gpu(id='GPU-5d5b', name='NVIDIA H200', index=0)]
    """
    found: list[list[Gpu]] = []
    parts: list[list[Gpu]] = []
    for line in text.splitlines():
        if whole := _LISTED.match(line):
            found.append([Gpu(whole[3], whole[2], int(whole[1]))])
            parts.append([])
        elif found and (part := _PART.match(line)):
            of = found[-1][0]
            parts[-1].append(Gpu(part[2], f"{of.name} MIG {part[1]}", of.index))
    return [gpu for whole, own in zip(found, parts, strict=True) for gpu in (own or whole)]


def choose_visible(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Return those GPUs that a value of CUDA_VISIBLE_DEVICES allows, in its order; all if it is not set.

    As in CUDA: entries are indices or beginnings of UUIDs, and the first that names no GPU ends the list. An
    index keeps its own meaning as the GPU's id, because the order of CUDA's indices may not be the driver's.

    >>> choose_visible(parse_listing("GPU 0: A (UUID: GPU-a)\\nGPU 1: A (UUID: GPU-b)"), "1")
    [Gpu(id='1', name='A', index=1)]
    """
    if visible is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for entry in (text.strip() for text in visible.split(",")):
        if entry.isdecimal():
            named = [Gpu(entry, gpu.name, gpu.index) for gpu in gpus if gpu.index == int(entry)][:1]
        else:
            named = [gpu for gpu in gpus if entry and gpu.id.startswith(entry)]
        if len(named) != 1 or any(gpu.id == named[0].id for gpu in chosen):
            break
        chosen += named
    return chosen


@contextmanager
def seeing_only(gpu: str | None) -> Iterator[None]:
    """Have processes that start inside the block see this GPU alone, as `cuda`; with None, what this one sees.

    It must be in the environment before they import torch, which a caller's script may do at its very beginning.
    """
    before = os.environ.get(VISIBLE)
    try:
        if gpu is not None:
            os.environ[VISIBLE] = gpu
        yield
    finally:
        if gpu is not None:
            os.environ.pop(VISIBLE)
            os.environ.update({VISIBLE: before} if before is not None else {})


def _ask_driver() -> str:
    """Return the driver's listing; empty if this machine has no NVIDIA driver, or no answer in time."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
