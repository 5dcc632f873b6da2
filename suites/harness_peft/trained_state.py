"""Select the tensors of an adapted network to store; `harness.learning.checkpoints` handles the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_peft.adapted_network import FittedHead

if TYPE_CHECKING:
    import torch
    from torch import nn


def collect_trained_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return what a checkpoint must hold: trainable parameters, and the buffers that training changes."""
    state = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    if all(p.requires_grad for p in network.parameters()):  # then batch norm's statistics change too
        state |= {n: b.detach() for n, b in network.named_buffers()}
    head = getattr(network, "head", None)
    if isinstance(head, FittedHead):  # includes untrained buffers, such as a cache of embeddings
        state |= {f"head.{n}": t.detach() for n, t in head.state_dict().items()}
    return state
