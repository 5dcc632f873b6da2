"""What each slice of a stacked training has of its own: progress, files, and its part of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from harness.errors import Diverged
from harness.learning.checkpoints import copy_into, read_checkpoint_tree, save_checkpoint_tree, trained_state
from harness.learning.loop import CHECKPOINT, digest_training
from harness.learning.pipeline import SampleSource
from harness.learning.recipe import Recipe
from harness.learning.training_progress import DivergedTraining, TrainingOutcome, TrainingProgress


class _SliceOfOptimizer:
    """One slice of a stacked optimiser, as far as TrainingProgress uses an optimiser."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None
        self._stack: tuple[torch.optim.Optimizer, int, bool] | None = None

    def attach(self, optimizer: torch.optim.Optimizer, position: int, alone: bool) -> None:
        """Be slice `position` of an optimiser of stacked tensors, or an optimiser `alone`."""
        self._stack = optimizer, position, alone

    def detach(self) -> None:
        """Keep the state, and let the stack go."""
        self.kept, self._stack = self.state_dict(), None

    @property
    def state(self) -> dict[Any, dict[str, Any]]:
        """The state by parameter."""
        return cast("dict[Any, dict[str, Any]]", self.state_dict().get("state", {}))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of one network's optimiser."""
        if self._stack is None:
            return self.kept or {}
        optimizer, position, alone = self._stack
        whole = optimizer.state_dict()
        if alone:
            return whole
        parts = {
            key: {name: _take_slice(value, position) for name, value in held.items()}
            for key, held in whole["state"].items()
        }
        return {**whole, "state": parts}

    def load_state_dict(self, kept: Mapping[str, Any]) -> None:
        """Keep a state for the stack that will be made."""
        self.kept = dict(kept)


def _take_slice(value: Any, position: int) -> Any:
    return value[position] if isinstance(value, torch.Tensor) and value.ndim else value


def combine_optimizer_states(kept: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state of an optimiser of stacked tensors from those of its slices.

    Numbers without axes, such as counts of updates, are the same in all slices.
    """
    states = {}
    for key, held in kept[0]["state"].items():
        states[key] = {
            name: torch.stack([one["state"][key][name] for one in kept])
            if isinstance(value, torch.Tensor) and value.ndim
            else value
            for name, value in held.items()
        }
    return {**kept[0], "state": states}


class Slice:
    """One network of a stacked training: what it trains with, its progress and its files.

    `ended` is its outcome once it has one.
    """

    def __init__(
        self,
        number: int,
        network: nn.Module,
        source: SampleSource,
        seed: int,
        recipe: Recipe,
        folder: Path | None,
        decides: object,
    ) -> None:
        self.number, self.network, self.source, self.seed = number, network, source, seed
        self.recipe, self.folder = recipe, folder
        self.ended: TrainingOutcome | Diverged | None = None
        self._start = trained_state(network)
        self.digest = digest_training(recipe, seed, len(source), self._start, decides)
        self._digest_diverged = f"{self.digest} diverged"  # one that `train` does not know
        self._optimizer = _SliceOfOptimizer()
        self.run = self._begin()

    @property
    def kept_optimizer(self) -> dict[str, Any] | None:
        """The state of the optimiser before the present stack."""
        return self._optimizer.kept

    def _begin(self) -> TrainingProgress:
        optimizer = cast("torch.optim.Optimizer", self._optimizer)
        return TrainingProgress(
            self.recipe, trained_state(self.network), optimizer, torch.amp.GradScaler("cpu", enabled=False)
        )

    def list_kept(self) -> dict[Path, tuple[int, bool]]:
        """Return the files of this training: the updates done, and whether it has ended."""
        found = {}
        for path in self._paths():
            kept = read_checkpoint_tree(path)
            if kept is not None and kept.get("digest") in (self.digest, self._digest_diverged):
                found[path] = (int(kept["trained"]["steps"]), bool(kept["finished"]))
        return found

    def restore(self, path: Path) -> None:
        """Continue from a file."""
        kept = read_checkpoint_tree(path)
        if "diverged" in kept:
            self.ended = DivergedTraining(kept["diverged"], TrainingOutcome(**kept["trained"]))
        elif self.run.restore(path, self.digest):
            self.ended = self.run.trained

    def enter(
        self, whole: TrainingProgress, optimizer: torch.optim.Optimizer, position: int, sharing: int
    ) -> None:
        """Become slice `position` of a stack of `sharing` slices, whose tensors this progress then sees."""
        copy_into({name: tensor[position] for name, tensor in whole.ema.items()}, self.run.ema)
        self.run.state = {name: tensor[position] for name, tensor in whole.state.items()}
        self.run.ema = {name: tensor[position] for name, tensor in whole.ema.items()}
        self.run.sharing = sharing
        self._optimizer.attach(optimizer, position, alone=sharing == 1)

    def leave(self) -> None:
        """Be a network of its own again, after the stack has been written back."""
        self.run.state = trained_state(self.network)
        self._optimizer.detach()

    def write(self, finished: bool) -> tuple[Path, Path] | None:
        """Write a new file beside the older one; return both, None without a folder."""
        if self.folder is None:
            return None
        path, new = self._paths()
        if isinstance(self.ended, DivergedTraining):
            told = {"digest": self._digest_diverged, "finished": True, "diverged": str(self.ended)}
            save_checkpoint_tree(new, {**told, "trained": asdict(self.ended.trained)})
        else:
            self.run.save(new, self.digest, finished=finished)
        return new, path

    @property
    def path(self) -> Path | None:
        """The file of its progress."""
        return self.folder / CHECKPOINT if self.folder else None

    def _paths(self) -> tuple[Path, ...]:
        return () if self.path is None else (self.path, self.path.with_name("training.next.safetensors"))


def resume_together(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Restore slices from their files; return those that have not ended, grouped by the updates done.

    A kill may have come between the writing of the slices' files or the replacing of older ones: the latest
    step that all have kept counts.
    """
    kept = [one.list_kept() for one in slices]
    steps = sorted({step for files in kept for step, _ in files.values()}, reverse=True)
    chosen = next((found for step in steps if (found := _choose_all(kept, step)) is not None), None)
    nothing: list[Path | None] = [None] * len(slices)
    for one, files, path in zip(slices, kept, chosen or nothing, strict=True):
        if path is None and one.path in files:  # a newer one may be without its like
            path = one.path
        if path is not None:
            one.restore(path)
    groups: dict[int, list[Slice]] = {}
    for one in slices:
        if one.ended is None:
            groups.setdefault(one.run.trained.steps, []).append(one)
    return [groups[step] for step in sorted(groups)]


def _choose_all(kept: Sequence[Mapping[Path, tuple[int, bool]]], step: int) -> list[Path] | None:
    """Return each slice's file of a step, or of its end before it; None if one has neither."""
    chosen = []
    for files in kept:
        fitting = [path for path, (done, ended) in files.items() if done == step or (ended and done <= step)]
        if not fitting:
            return None
        chosen.append(max(fitting, key=lambda path: files[path][0]))
    return chosen
