"""Choosing a device, and settings that make a run repeatable on it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    import torch


def pick(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes CUDA where there is one, then Apple's GPU, then the CPU."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise HarnessError(
            f"--device {name}: no such device; expected auto, cpu, cuda, cuda:0, mps, …"
        ) from None
    if device.type == "meta":
        raise HarnessError(f"--device {name}: that device holds no numbers, so nothing can be measured on it")
    if device.type not in ("cpu", "cuda") and not _has(device.type):
        raise HarnessError(f"--device {name}: this machine has no device of that kind that torch can use")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise HarnessError(
            f"--device {name}: this machine has no CUDA device that torch {torch.__version__} can use"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HarnessError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def _has(kind: str) -> bool:
    """Whether torch can use an accelerator of that kind here (`torch.mps`, `torch.xpu`, …)."""
    import torch

    module = getattr(torch.backends if kind == "mps" else torch, kind, None)
    return bool(module and module.is_available())


def make_deterministic() -> None:
    """Asks torch for repeatable kernels, and warns where there is none."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    # the same as use_deterministic_algorithms(True, warn_only=True), which also imports torch's compiler:
    # seconds at the start of every run
    torch.set_deterministic_debug_mode("warn")
    # filling every new tensor with NaN finds kernels that read unwritten memory, at a sixth of the speed
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_all(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's global generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - plugins may use the global generator
    torch.manual_seed(seed)


def preparing_threads(device: torch.device, cores: int) -> int:
    """How many threads prepare images ahead where nobody says: the cores but the one that runs the network, 8 at most.

    Where the network runs on another device than the CPU it is one at least, so that the device need not wait.
    """
    return min(8, max(cores - 1, 0 if device.type == "cpu" else 1))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch's inside the block: work in tiny pieces waits longer for a second thread than it gains.

    Nor does the order of its sums then hang on how many cores the machine has.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def settle(module: Any, device: torch.device) -> None:
    """Evaluation mode, no gradients, and channels-last for convolutional networks.

    Channels-last makes a ResNet some 1.4 times as fast on a CPU and changes nothing for a ViT.
    """
    import torch

    module.eval().requires_grad_(False)
    if is_convolutional(module) and device.type in ("cpu", "cuda"):
        module.to(memory_format=torch.channels_last)


def is_convolutional(module: Any) -> bool:
    """Whether most of a network's weight layers are two-dimensional convolutions."""
    import torch

    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in module.modules())
    linear = sum(isinstance(m, torch.nn.Linear | torch.nn.MultiheadAttention) for m in module.modules())
    return convolutions > 2 * linear
