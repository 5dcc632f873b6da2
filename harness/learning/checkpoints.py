"""Checkpoints in safetensors: trees of tensors and plain values, written whole or not at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.errors import DataError
from harness.records.files import replacing

log = logging.getLogger(__name__)


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any] | None = None
) -> int:
    """Write tensors, and JSON-able facts, as one file; return its bytes."""
    from safetensors.torch import save_file

    # a copy each: safetensors takes no tensors that share memory
    whole = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, metadata={key: json.dumps(value) for key, value in (facts or {}).items()})
    return path.stat().st_size


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and facts of a file. Raises DataError for one that can't be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a checkpoint that can be read: {error}") from None


def load_checkpoint_tensors(path: Path, network: nn.Module) -> None:
    """Put stored tensors into a network that has tensors of their names and shapes, among others.

    Raises DataError naming the tensor that does not fit.
    """
    tensors, _ = read_tensors(path)
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            found = tuple(own[name].shape) if name in own else "nothing of that name"
            raise DataError(f"{path}: '{name}' is {tuple(tensor.shape)}, the network has {found}")
    copy_into({name: own[name] for name in tensors}, tensors)


def copy_into(state: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into those of the same names in `state`."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def trained_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes in a network: parameters that take a gradient, and buffers."""
    state = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}
    return state | {name: b.detach() for name, b in network.named_buffers()}


def save_checkpoint_tree(path: Path, tree: Any) -> int:
    """Write a tree of mappings, lists, tuples, tensors and JSON-able values; return its bytes."""
    tensors: list[torch.Tensor] = []
    plain = _to_plain(tree, tensors)
    return save_tensors(path, {str(number): t for number, t in enumerate(tensors)}, {"tree": plain})


def read_checkpoint_tree(path: Path) -> Any:
    """Return what `save_checkpoint_tree` wrote; None without a file or, with a warning, for one that can't be read."""
    if not path.exists():
        return None
    try:
        tensors, facts = read_tensors(path)
        return _from_plain(facts["tree"], tensors)
    except (DataError, KeyError, TypeError, ValueError) as error:
        log.warning("%s can't be used (%s); the training starts over", path, error)
        return None


def _to_plain(tree: Any, tensors: list[torch.Tensor]) -> Any:
    """Return the tree as JSON: each node a pair of its kind and its content."""
    if isinstance(tree, torch.Tensor):
        tensors.append(tree)
        return ["tensor", len(tensors) - 1]
    if isinstance(tree, Mapping):
        pairs = [[key, _to_plain(value, tensors)] for key, value in tree.items()]  # keys may be numbers
        return ["mapping", pairs]
    if isinstance(tree, list | tuple):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        if all(type(value) in (int, float, str) for value in tree):  # long ones: losses
            return [f"plain {kind}", list(tree)]
        return [kind, [_to_plain(value, tensors) for value in tree]]
    return ["value", tree]


def _from_plain(plain: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    kind, held = plain
    if kind == "tensor":
        return tensors[str(held)]
    if kind == "mapping":
        return {key: _from_plain(value, tensors) for key, value in held}
    if kind in ("list", "tuple"):
        held = [_from_plain(value, tensors) for value in held]
    return tuple(held) if kind.endswith("tuple") else held
