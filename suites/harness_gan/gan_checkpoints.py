"""Checkpoints: the state of each seed's training in a separate file, whichever seeds it trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.learning.checkpoints import read_checkpoint_tree, save_checkpoint_tree
from harness_gan.gan_training import GanTraining

FILE = "training.safetensors"
COUNTS = ("rounds", "g_steps", "d_steps", "evaluations")


def save_checkpoints(
    training: GanTraining, folders: Sequence[Path], more: Sequence[Mapping[str, Any]]
) -> None:
    """Write each seed's state atomically, with the protocol's own data in `more`."""
    whole = {name: part.state_dict() for name, part in _stateful_parts(training).items()}
    for number, folder in enumerate(folders):
        state = {
            "parts": _slice_seed(whole, number, len(folders)),
            "streams": training.streams.state(number),
            "counts": {name: getattr(training, name) for name in COUNTS},
            "more": more[number],
        }
        save_checkpoint_tree(folder / FILE, state)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return a seed's state, or None if there is none that can be read (the seed then starts over)."""
    state: dict[str, Any] | None = read_checkpoint_tree(folder / FILE)
    return state


def restore_checkpoints(training: GanTraining, states: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Restore the training from the states of its seeds; return the protocol's own data."""
    joined = _join_seeds([s["parts"] for s in states])
    for name, part in _stateful_parts(training).items():
        part.load_state_dict(joined[name])
    training.streams.restore([s["streams"] for s in states])
    for name in COUNTS:
        setattr(training, name, states[0]["counts"][name])
    return [s["more"] for s in states]


def _stateful_parts(training: GanTraining) -> dict[str, Any]:
    holders: dict[str, Any] = {
        "generator": training.generator,
        "discriminator": training.discriminator,
        "g_optimizer": training.g_optimizer,
        "d_optimizer": training.d_optimizer,
        "d_scaler": training.scalers[0],
        "g_scaler": training.scalers[1],
    }
    if training.averaged is not None:
        holders["averaged"] = training.averaged
    return holders


def _slice_seed(value: Any, number: int, seeds: int) -> Any:
    """Return a seed's share of a state: its slice of every tensor with an axis of seeds, the rest unchanged."""
    if isinstance(value, torch.Tensor):
        return value[number : number + 1] if seeds > 1 and value.dim() else value
    if isinstance(value, Mapping):
        return {k: _slice_seed(v, number, seeds) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_slice_seed(v, number, seeds) for v in value]
    return value


def _join_seeds(values: Sequence[Any]) -> Any:
    """Join the states of several seeds, the inverse of `_slice_seed`."""
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(list(values)) if first.dim() else first
    if isinstance(first, Mapping):
        return {k: _join_seeds([v[k] for v in values]) for k in first}
    if isinstance(first, list):
        return [_join_seeds(list(v)) for v in zip(*values, strict=True)]
    return first
