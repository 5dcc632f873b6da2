"""Costs of a fine-tuned network: parameters, bytes, speed, and where back-propagation stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from harness_peft.adapted_network import AdaptedNetwork


def count_parameters(network: AdaptedNetwork) -> dict[str, float]:
    """Count the parameters, each tensor once: all, trainable with and without the head, and their share."""
    everything = {id(p): p for p in network.parameters()}
    head = {id(p) for p in network.head.parameters(recurse=True)}
    backbone = {id(p) for p in network.backbone.parameters()}
    # a text tower or a fitted adapter in place of the head does not count as a head
    own_head = set() if getattr(network.head, "is_adapter", False) else head - backbone
    trainable = sum(p.numel() for p in everything.values() if p.requires_grad)
    in_head = sum(p.numel() for i, p in everything.items() if p.requires_grad and i in own_head)
    total = sum(p.numel() for p in everything.values())
    return {
        "parameters": total,
        "trainable_parameters": trainable,
        "trainable_without_head": trainable - in_head,
        "trainable_share": trainable / total,
    }


def find_backprop_stop(network: AdaptedNetwork, images: torch.Tensor) -> tuple[str, float]:
    """Return the first trainable module of a forward pass, and the share of modules from there on.

    Back-propagation ends at that module: earlier ones cost no backward pass. Only modules with direct
    parameters count. Returns ("", 0.0) if nothing trains.
    """
    network.eval()  # a text head drops its cached embeddings, so that its tower runs too
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: order.append(name))
        for name, module in network.named_modules()
        if _own_parameters(module)
    ]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    sequence = list(dict.fromkeys(order))
    for position, name in enumerate(sequence):
        if any(p.requires_grad for p in _own_parameters(network.get_submodule(name))):
            return name, (len(sequence) - position) / len(sequence)
    return "", 0.0


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that no called submodule owns; peft keeps some in containers."""
    held = (m for m in module.children() if isinstance(m, nn.ParameterDict | nn.ParameterList))
    return [*module.parameters(recurse=False), *(p for m in held for p in m.parameters())]


def copy_merged(network: AdaptedNetwork, method: Any) -> AdaptedNetwork | None:
    """Return a copy with the method's modules folded into the base; None if the method can't."""
    if not hasattr(method, "merge"):
        return None
    merged = network.clone_network()
    method.merge(merged)
    return merged.eval()
