"""The options of the protocol `finetuning` and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness import Dataset, OptionError
from harness.inference.zeroshot import check_templates
from harness.learning.recipe import AugmentationKind


class FinetuningOptions:
    """Checked options of the protocol; `Finetuning` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        steps: int | None = None,
        epochs: float | None = None,
        steps_per_shot: int | None = None,
        batch: int = 32,
        trials: int = 3,
        tune: Literal["shared", "each"] = "shared",
        rates: list[float] | None = None,
        head: Literal["auto", "new", "old", "zero-shot"] = "auto",
        train_head: bool = True,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        schedule: Literal["cosine", "linear", "constant"] = "cosine",
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        label_smoothing: float = 0.0,
        clip_norm: float | None = 1.0,
        augmentation: AugmentationKind = "none",
        patience: int | None = None,
        evaluate_every: int = 50,
        train_size: int | None = None,
        holdout: float | None = None,
        own_validation: bool = False,
        retrain: bool = False,
        shifts: list[Dataset] | None = None,
        shift_names: list[str] | None = None,
        templates: list[str] | None = None,
        logit_scale: float | None = None,
        split: str | None = None,
        checkpoint_every: int = 200,
        keep: Path | None = None,
    ) -> None:
        if sum(v is not None for v in (steps, epochs, steps_per_shot)) != 1:
            raise OptionError("finetuning: give one of steps, epochs and steps_per_shot")
        at_least_one = {
            "steps": steps, "steps_per_shot": steps_per_shot, "batch": batch, "trials": trials, "patience": patience,
            "evaluate_every": evaluate_every, "train_size": train_size, "checkpoint_every": checkpoint_every,
        }  # fmt: skip
        for name, value in at_least_one.items():
            if value is not None and value < 1:
                raise OptionError(f"finetuning: {name} must be at least 1, not {value}")
        if epochs is not None and epochs <= 0:
            raise OptionError(f"finetuning: epochs must be above 0, not {epochs}")
        for name, part in (("warmup", warmup), ("label_smoothing", label_smoothing)):
            if not 0 <= part < 1:
                raise OptionError(f"finetuning: {name} must be in [0, 1), not {part}")
        if retrain and holdout is None:
            raise OptionError("finetuning: retrain needs a holdout, whose samples it trains on too")
        if own_validation and holdout is None:
            raise OptionError(
                "finetuning: own_validation needs a holdout, for data sets without a split 'val'"
            )
        if holdout is not None and not 0 < holdout < 1:
            raise OptionError(f"finetuning: holdout must be between 0 and 1, not {holdout}")
        if len(shift_names or []) != len(shifts or []):
            raise OptionError("finetuning: shift_names must name every data set in shifts")
        if rates is not None and (not rates or min(rates) <= 0):
            raise OptionError(f"finetuning: rates must be positive numbers, found {rates}")
        self.steps, self.epochs, self.steps_per_shot, self.batch = steps, epochs, steps_per_shot, batch
        self.trials, self.tune, self.rates = trials, tune, rates
        self.head, self.train_head = head, train_head
        self.optimizer, self.schedule, self.warmup = optimizer, schedule, warmup
        self.weight_decay, self.label_smoothing, self.clip_norm = weight_decay, label_smoothing, clip_norm
        self.augmentation, self.patience, self.evaluate_every = augmentation, patience, evaluate_every
        self.train_size, self.holdout, self.retrain = train_size, holdout, retrain
        self.own_validation = own_validation
        self.shifts = dict(zip(shift_names or [], shifts or [], strict=True))
        self.templates = None if templates is None else check_templates(templates)
        self.logit_scale, self.split = logit_scale, split
        self.checkpoint_every, self.keep = checkpoint_every, keep
