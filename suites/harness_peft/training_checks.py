"""Checks that a training did what it says: frozen tensors untouched, every trainable one reached."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
from torch import nn

from harness import HarnessError


class TrainingFault(HarnessError):
    """A frozen tensor changed, or a trainable one never got a gradient: the cell is not valid."""


def trainable_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters by name, each once."""
    return {n: p for n, p in network.named_parameters() if p.requires_grad}


def digest_frozen(network: nn.Module, base: Collection[nn.Module] = ()) -> dict[str, str]:
    """A digest of the bytes of each tensor that training must leave as it is.

    These are the frozen parameters and, unless everything trains, the buffers of the modules in `base`:
    statistics of batch norm, say, which also move where nothing has a gradient.
    """
    kept = {n: p for n, p in network.named_parameters() if not p.requires_grad}
    if kept:
        for name, module in network.named_modules():
            if module in base:
                prefix = f"{name}." if name else ""
                kept |= {prefix + n: b for n, b in module.named_buffers(recurse=False)}
    return {name: _digest(tensor) for name, tensor in kept.items()}


def check_frozen(network: nn.Module, before: dict[str, str]) -> None:
    """Raises TrainingFault naming frozen tensors that are not what they were."""
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    changed = [n for n, digest in before.items() if n in own and _digest(own[n]) != digest]
    if changed:
        raise TrainingFault(f"{len(changed)} frozen tensors changed while training, first '{changed[0]}'")


def _digest(tensor: torch.Tensor) -> str:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data if flat.numel() else b"", digest_size=16).hexdigest()


class GradientCheck:
    """Sees within two steps whether every trainable tensor gets a gradient that is not all zero.

    Two, because LoRA's A has none before B has left zero.
    """

    STEPS = 2

    def __init__(self, network: nn.Module) -> None:
        self.waiting = trainable_parameters(network)
        self.steps = 0

    @property
    def done(self) -> bool:
        """Whether there is nothing left to see."""
        return not self.waiting

    def after_backward(self) -> None:
        """To be called with the gradients there. Raises TrainingFault after the second step."""
        self.waiting = {
            n: p for n, p in self.waiting.items() if p.grad is None or not bool(p.grad.count_nonzero())
        }
        self.steps += 1
        if self.waiting and self.steps >= self.STEPS:
            raise TrainingFault(
                f"{len(self.waiting)} trainable tensors got no gradient in {self.STEPS} steps, first "
                f"'{next(iter(self.waiting))}': they are counted as trained, but nothing depends on them"
            )

    def finish(self) -> None:
        """After a training of a single step there is nothing more to wait for."""
        self.waiting = {}
