"""Checkpoints in safetensors: what was trained, and while training the optimiser's state beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness.records.files import replacing
from harness_peft.network import FittedHead

if TYPE_CHECKING:
    import torch
    from torch import nn

PROGRESS = "progress.safetensors"


@dataclass
class Progress:
    """How far a training is: steps done, losses, validation scores, and the best weights so far."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    stale: int = 0
    """Evaluations since the best one."""

    def stopped(self, patience: int | None) -> bool:
        """Whether as many evaluations in a row as there is patience brought nothing better."""
        return patience is not None and self.stale >= patience

    def judge(self, step: int, score: float, weights: Mapping[str, torch.Tensor] | None) -> None:
        """Notes a validation score; keeps the weights when it is the best, if they are given."""
        better = not self.scores or score > max(self.scores.values())
        self.scores[step] = score
        self.stale = 0 if better else self.stale + 1
        if better and weights is not None:
            self.best = {n: t.detach().clone() for n, t in weights.items()}


def adapter_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """What has to be stored of a trained network: trainable parameters, and buffers that training moves."""
    state = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    if all(p.requires_grad for p in network.parameters()):  # then batch norm's statistics move too
        state |= {n: b.detach() for n, b in network.named_buffers()}
    head = getattr(network, "head", None)
    if isinstance(head, FittedHead):  # a cache of embeddings is kept, too, though nothing trained it
        state |= {f"head.{n}": t.detach() for n, t in head.state_dict().items()}
    return state


def save(path: Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any] | None = None) -> int:
    """Writes tensors as safetensors, whole or not at all; gives the file's bytes."""
    from safetensors.torch import save_file

    tensors = {n: t.detach().to("cpu").contiguous().clone() for n, t in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={k: json.dumps(v) for k, v in (facts or {}).items()})
    return path.stat().st_size


def load_into(path: Path, network: nn.Module) -> None:
    """Puts a stored adapter into a base model that the same method has prepared.

    Raises DataError for a file that does not fit, naming the tensor.
    """
    import torch

    tensors, _ = read(path)
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name not in own or own[name].shape != tensor.shape:
                found = tuple(own[name].shape) if name in own else "nothing of that name"
                raise DataError(f"{path}: '{name}' is {tuple(tensor.shape)}, the network has {found}")
            own[name].copy_(tensor)


def write_progress(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Keeps everything that is needed to go on from here."""
    import torch

    tensors = {f"network.{n}": t for n, t in adapter_state(network).items()}
    tensors |= {f"best.{n}": t for n, t in progress.best.items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
    facts = {"step": progress.step, "losses": progress.losses, "stale": progress.stale}
    save(folder / PROGRESS, tensors, {**facts, "scores": sorted(progress.scores.items())})


def read_progress(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Restores what `write_progress` kept; None when there is nothing, or nothing that fits."""
    import torch

    path = folder / PROGRESS
    if not path.is_file():
        return None
    tensors, facts = read(path)
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    stored = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    if stored.keys() != adapter_state(network).keys():
        return None  # from another version of the method
    with torch.no_grad():
        for name, tensor in stored.items():
            own[name].copy_(tensor)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = tensor
    # the optimiser knows what belongs on which device: a fused one's step count lies beside the parameter
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    device = next(network.parameters()).device
    best = {n.removeprefix("best."): t.to(device) for n, t in tensors.items() if n.startswith("best.")}
    scores = {int(step): float(score) for step, score in facts["scores"]}
    return Progress(int(facts["step"]), list(facts["losses"]), scores, best, int(facts["stale"]))


def _parameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and facts of a stored file. Raises DataError for what can't be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = {k: json.loads(v) for k, v in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a checkpoint that can be read: {error}") from None
