"""Check a training: frozen tensors must stay unchanged, every trainable tensor must get a gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
from torch import nn

from harness import HarnessError


class TrainingFault(HarnessError):
    """A frozen tensor changed, or a trainable one never got a gradient: the cell is invalid."""


def trainable_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, each once."""
    return {n: p for n, p in network.named_parameters() if p.requires_grad}


def digest_frozen(network: nn.Module, base: Collection[nn.Module] = ()) -> dict[str, str]:
    """Return a digest of the bytes of each tensor that training must not change.

    These are the frozen parameters and, unless everything trains, the buffers of the modules in `base`:
    batch norm's statistics, say, change in training mode even without gradients.
    """
    kept = {n: p for n, p in network.named_parameters() if not p.requires_grad}
    if kept:
        for name, module in network.named_modules():
            if module in base:
                prefix = f"{name}." if name else ""
                kept |= {prefix + n: b for n, b in module.named_buffers(recurse=False)}
    return {name: _digest(tensor) for name, tensor in kept.items()}


def check_frozen(network: nn.Module, before: dict[str, str]) -> None:
    """Raise TrainingFault if a frozen tensor changed since `before`; name the first."""
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    changed = [n for n, digest in before.items() if n in own and _digest(own[n]) != digest]
    if changed:
        raise TrainingFault(f"{len(changed)} frozen tensors changed while training, first '{changed[0]}'")


def _digest(tensor: torch.Tensor) -> str:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data if flat.numel() else b"", digest_size=16).hexdigest()


class GradientCheck:
    """Check within two steps that every trainable tensor gets a gradient that is not all zero.

    Two, because the gradient of LoRA's A is zero until B has left zero.
    """

    STEPS = 2

    def __init__(self, network: nn.Module) -> None:
        self.waiting = trainable_parameters(network)
        self.steps = 0

    @property
    def done(self) -> bool:
        """Whether every tensor has had a gradient."""
        return not self.waiting

    def after_backward(self) -> None:
        """Inspect the gradients of one step. Raises TrainingFault if some are still missing after two."""
        self.waiting = {
            n: p for n, p in self.waiting.items() if p.grad is None or not bool(p.grad.count_nonzero())
        }
        self.steps += 1
        if self.waiting and self.steps >= self.STEPS:
            raise TrainingFault(
                f"{len(self.waiting)} trainable tensors got no gradient in {self.STEPS} steps, first "
                f"'{next(iter(self.waiting))}': they are counted as trained, but nothing depends on them"
            )
