"""What has to be stored of an adapted network; `harness.learning.checkpoints` writes and reads the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_peft.adapted_network import FittedHead

if TYPE_CHECKING:
    import torch
    from torch import nn


def collect_trained_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """What has to be stored of a trained network: trainable parameters, and buffers that training moves."""
    state = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    if all(p.requires_grad for p in network.parameters()):  # then batch norm's statistics move too
        state |= {n: b.detach() for n, b in network.named_buffers()}
    head = getattr(network, "head", None)
    if isinstance(head, FittedHead):  # a cache of embeddings is kept, too, though nothing trained it
        state |= {f"head.{n}": t.detach() for n, t in head.state_dict().items()}
    return state
