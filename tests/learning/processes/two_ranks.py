"""What the processes of `test_distributed` compute: a module that they can import by its name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import nn

from harness.errors import DataError, Diverged, OptionError
from harness.learning.distributed import evaluate_in_shares, train_distributed
from harness.learning.loop import Objective, train
from harness.learning.pipeline import HeldSamples
from harness.learning.processes import Rank
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome

SAMPLES = 23


class ConvNet(nn.Module):
    """Convolution, batch norm, dropout, dropped paths: statistics, buffers and draws over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(
                2, 6, 3, padding=1, bias=False
            ),  # before batch norm a bias has no gradient but rounding
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout2d(0.3),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.path = DropPath(0.3)
        self.head = nn.Linear(96, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits N×3."""
        found = self.body(images)
        found = found + self.path(found.square())
        found = F.dropout(found, 0.1, self.training)  # as some networks do it, without a module
        logits: torch.Tensor = self.head(found)
        return logits


def build() -> nn.Module:
    """A network in double precision, always with the same weights."""
    torch.manual_seed(1)
    return ConvNet().double()


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """Images N×2×4×4 and labels of three classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(SAMPLES, 2, 4, 4, generator=generator, dtype=torch.float64)
    return images, images[:, 0, 0, :3].argmax(1)


RECIPES = {
    # 11, 11 and 1: uneven shares, and fewer rows than processes
    "sgd": Recipe(9, 11, 0.1, "sgd", weight_decay=1e-3, evaluate_every=3),
    # 6, 6, 6 and 5, clipped
    "adam": Recipe(9, 6, 1e-2, "adam", clip_norm=0.5, ema=0.7, keep_best=True, evaluate_every=2),
    # parts of 4 and 3 rows, in shares of 2 and 2, 2 and 1
    "accumulate": Recipe(6, 7, 0.05, "sgd", accumulate=2, last="even"),
    # parts of 2 and 1 rows: both processes compute all
    "few": Recipe(5, 3, 0.05, "sgd", accumulate=2, last="drop"),
}


@dataclass
class Trained:
    """What a training ends with."""

    outcome: TrainingOutcome
    state: dict[str, torch.Tensor]


def entropy(network: nn.Module) -> Objective:
    """Cross-entropy of a network."""
    return lambda batch, step: F.cross_entropy(network(batch.data), batch.targets)  # type: ignore[arg-type]


def logits_of(network: nn.Module, rows: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(samples()[0][torch.as_tensor(rows)])


def score(logits: torch.Tensor) -> float:
    return -float(F.cross_entropy(logits, samples()[1]))


def train_alone(recipe: Recipe) -> Trained:
    network = build()
    done = train(
        network,
        HeldSamples(*samples()),
        entropy(network),
        recipe,
        5,
        validate=lambda: score(logits_of(network, range(SAMPLES))),
    )
    return Trained(done, network.state_dict())


class Stopped(Exception):
    """Stands for a kill."""


def train_here(rank: Rank, recipe: Recipe, folder: Path | None = None, until: int | None = None) -> Trained:
    """Train with the other process; its first weights and its reports must not count."""
    network = build()
    if not rank.is_first:
        with torch.no_grad():
            network.body[0].weight.add_(1)  # type: ignore[index, union-attr, operator]
    reported: list[int] = []

    def stop(step: int) -> None:
        if step == until:
            raise Stopped

    try:
        done = train_distributed(
            rank,
            network,
            HeldSamples(*samples()),
            entropy(network),
            recipe,
            5,
            folder=folder,
            checkpoint_every=2,
            validate=lambda: score(evaluate_in_shares(rank, SAMPLES, lambda rows: logits_of(network, rows))),
            report=lambda step, values: reported.append(step),
            after_step=stop,
        )
    except Stopped:
        done = TrainingOutcome()
    assert bool(reported) == rank.is_first
    return Trained(done, network.state_dict())


def everything(rank: Rank, folder: Path) -> dict[str, Any]:
    """What the tests look at, in one start of two processes."""
    found: dict[str, Any] = {name: train_here(rank, recipe) for name, recipe in RECIPES.items()}
    train_here(rank, RECIPES["adam"], folder, until=4)
    found["files"] = sorted(path.name for path in folder.iterdir())
    found["continued"] = train_here(rank, RECIPES["adam"], folder)
    evaluated: list[int] = []

    def look(rows: Any) -> torch.Tensor:
        evaluated.extend(rows.tolist())
        return torch.as_tensor(rows)[:, None] * torch.tensor([[1, 10]])

    found["seven"] = evaluate_in_shares(rank, 7, look)
    found["one"] = evaluate_in_shares(rank, 1, lambda rows: torch.as_tensor(rows) + 8)
    found["own"] = evaluated
    for name, what in {
        "checkpoints": lambda: train_here(rank, RECIPES["adam"], folder / str(rank.number)),
        "float16": lambda: train_here(rank, Recipe(2, precision="float16")),
    }.items():
        if name == "checkpoints" and rank.is_first:
            (folder / "0").mkdir()
            (folder / "training.safetensors").rename(folder / "0" / "training.safetensors")
        try:
            what()
        except (DataError, OptionError) as error:
            found[name] = str(error)
    return found


def die(rank: Rank, how: str) -> None:
    """End the second process, while the first one waits for it."""
    if not rank.is_first and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if not rank.is_first:
        raise Diverged("the loss is nan at step 3 of 9")
    torch.distributed.barrier()


def train_sent(rank: Rank, network: nn.Module) -> dict[str, torch.Tensor]:
    """Train a network that was sent to all processes: on a CPU they have its memory in common."""
    held = HeldSamples(*samples())
    train_distributed(rank, network, held, entropy(network), RECIPES["sgd"], 5)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
