"""Restore a fine-tuned network from the base model and the file of its trained tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import DataError
from harness.learning.checkpoints import load_checkpoint_tensors, read_tensors
from harness_peft.adapted_network import AdaptedNetwork, FittedHead


def restore_network(path: Path, model: Any) -> AdaptedNetwork:
    """Return the network of a cell whose protocol had `keep`, in evaluation mode.

    `model` is the same model plugin, loaded; it is not changed. The method is the installed plugin
    that the file names, with its options. Raises DataError for a file of another kind or one that
    does not fit the model.
    """
    import torch
    from torch import nn

    tensors, facts = read_tensors(path)
    if not isinstance(facts.get("method"), dict) or not isinstance(facts.get("network"), dict):
        raise DataError(f"{path}: does not say which method and network its tensors belong to")
    method = _resolve_method(facts["method"], path)
    network = AdaptedNetwork.from_facts(model, facts["network"])
    if hasattr(method, "prepare"):
        method.prepare(network)
    device = next(network.parameters()).device
    if hasattr(method, "fit"):
        own = {n.removeprefix("head.fitted."): t for n, t in tensors.items()}
        network.requires_grad_(False)
        network.head, network.head_kind = FittedHead(method.rebuild(own)).to(device), "fitted"
    elif hasattr(method, "solve"):
        if "head.weight" not in tensors:
            raise DataError(f"{path}: has no 'head.weight', which '{facts['method']['plugin']}' stores")
        classes, width = tensors["head.weight"].shape
        network.head, network.head_kind = nn.Linear(width, classes).to(device), "fitted"
    with torch.no_grad():
        load_checkpoint_tensors(path, network)
    return network.eval()


def _resolve_method(described: dict[str, Any], path: Path) -> Any:
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_references

    given = {"plugin": described["plugin"], **described.get("options", {})}
    (reference,) = parse_references(given, str(path))
    part = Resolver().resolve("methods", reference, str(path))
    if part.missing:
        raise DataError(f"{path}: its method can't be used: {part.missing}")
    return part.object
