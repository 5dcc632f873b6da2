"""Choice of a device, and settings that make a run repeatable on it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    import torch


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` prefers CUDA, then Apple's GPU, then the CPU.

    Raises HarnessError for a device that torch can't use here.
    """
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
    if device.type not in ("cpu", "cuda") and not _has_accelerator(device.type):
        raise HarnessError(f"--device {name}: this machine has no device of that kind that torch can use")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise HarnessError(
            f"--device {name}: this machine has no CUDA device that torch {torch.__version__} can use"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HarnessError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def _has_accelerator(kind: str) -> bool:
    """Return whether torch can use an accelerator of that kind here (`torch.mps`, `torch.xpu`, …)."""
    import torch

    module = getattr(torch.backends if kind == "mps" else torch, kind, None)
    return bool(module and module.is_available())


def make_deterministic() -> None:
    """Ask torch for repeatable kernels, and for a warning if there is none."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    # float32 as asked for: by default, convolutions on recent GPUs round their inputs to 10 bits of mantissa (TF32)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # the same as use_deterministic_algorithms(True, warn_only=True), which also imports torch's compiler:
    # seconds at the start of every run
    torch.set_deterministic_debug_mode("warn")
    # filling every new tensor with NaN finds kernels that read unwritten memory, at a sixth of the speed
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - plugins may use the global generator
    torch.manual_seed(seed)


def preparing_threads(device: torch.device, cores: int) -> int:
    """Return the default number of threads that prepare images: one per core but that of the network, at most 8.

    If the network does not run on the CPU, there is at least one, so that the device need not wait.
    """
    return min(8, max(cores - 1, 0 if device.type == "cpu" else 1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside the block: in tiny pieces of work, waiting for a second costs more than it gains.

    The order of sums then does not depend on the number of cores, either.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def settle_on_device(module: Any, device: torch.device) -> None:
    """Set evaluation mode, no gradients, and channels-last for convolutional networks.

    Channels-last makes a ResNet some 1.4 times as fast on a CPU and changes nothing for a ViT.
    """
    import torch

    module.eval().requires_grad_(False)
    if is_convolutional(module) and device.type in ("cpu", "cuda"):
        module.to(memory_format=torch.channels_last)


def is_convolutional(module: Any) -> bool:
    """Return whether most of a network's weight layers are two-dimensional convolutions."""
    import torch

    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in module.modules())
    linear = sum(isinstance(m, torch.nn.Linear | torch.nn.MultiheadAttention) for m in module.modules())
    return convolutions > 2 * linear
