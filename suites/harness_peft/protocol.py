"""The protocol `finetuning`: a network adapted to a data set by a method, with its tuning and its costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness import Dataset, HasModule, Job, OptionError, Predictions, Result, capabilities
from harness.inference.classes import Classes, align
from harness.inference.splits import find_test_split, training_split
from harness.inference.zeroshot import checked_templates, similarity_of
from harness_metrics.label_sets import LabelSets

Augmentation = Literal["none", "flip", "crop-flip", "randaugment"]


class Finetuning:
    """Adapts a network to a data set's training split, and evaluates it on the test split and on shifts.

    Axis: `shots`, samples per class ("all" or absent: the whole training split).

    Args:
        steps: updates of one training; by default from `epochs`, or from `steps_per_shot` times shots.
        epochs: passes over the training samples.
        steps_per_shot: updates for each shot, as CLIP-LoRA counts them.
        batch: samples per update.
        trials: learning rates (or penalties) that tuning tries, the same number for every method,
            evenly in the logarithm over the method's own span; 1 takes its middle, without validation.
        tune: `shared` tunes once, on a draw of its own, for all seeds; `each` for every seed anew.
        rates: first and last learning rate for all methods, instead of their own spans.
        head: first value of the classifier: `old` rows, `zero-shot` text embeddings, `new`; `auto`
            takes the best that there is.
        train_head: whether the head trains with the method.
        optimizer: `adamw`, or `sgd` with momentum 0.9.
        schedule: how the learning rate falls to 0 after the warm-up, if it does.
        warmup: share of the steps in which the learning rate rises linearly.
        weight_decay: of matrices and kernels, not of vectors; a method may have one of its own.
        label_smoothing: share of each target that is spread evenly over the classes.
        clip_norm: the largest norm of the gradient; 0 for no limit.
        augmentation: random preparation of training images.
        patience: evaluations on validation in a row without a better one, at least 1, after which
            training stops; the best weights are taken. By default none stops it.
        evaluate_every: steps between two such evaluations.
        train_size: only so many training samples, drawn once for all (VTAB-1k: 1000).
        holdout: a share of the training samples for validation, instead of the `val` split.
        own_validation: hold out only where the data set has no `val` split of its own.
        retrain: after tuning, train on the validation samples too.
        shifts: data sets that the adapted network is evaluated on besides, without training on them.
        shift_names: their names in the metrics, `top1.NAME`.
        templates: prompts of a zero-shot head; by default the data set's own.
        logit_scale: factor of a zero-shot head, by default the model's own.
        split: what is tested on, by default the split for testing, else the one for validation; it never
            validates.
        checkpoint_every: steps between checkpoints, from which a killed run goes on.
        keep: a folder where what was trained is kept, one safetensors file for each cell.
    """

    needs = (HasModule,)
    target_kinds = ("label", "label sets")
    provides = (Predictions, LabelSets)
    axes = ("shots",)
    own_numbers = (
        "trainable_*",
        "training_*",
        "*_bytes",
        "*_share",
        "*_per_second",
        "seconds_per_step",
        "*_samples",
    )
    needs_method = True
    directions: Mapping[str, bool] = {}
    smallest: ClassVar = {
        "steps": 4,
        "batch": 8,
        "trials": 1,
        "checkpoint_every": 2,
        "cell": {
            "models": [
                # trained a little: a head of zeros would keep gradients from what is before it
                {"plugin": "tiny-vit", "trained_on": "digits", "width": 32, "steps": 2},
                {"plugin": "tiny-clip", "tower": "vit", "steps": 0},
            ],
            "datasets": ["digits"],
            "methods": ["full"],
            "metrics": ["top1"],
            "axes": {"shots": [1]},
            "limit": 48,
        },
    }

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
        augmentation: Augmentation = "none",
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
            raise OptionError("finetuning: retrain needs a holdout, whose samples it adds")
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
        self.templates = None if templates is None else checked_templates(templates)
        self.logit_scale, self.split = logit_scale, split
        self.checkpoint_every, self.keep = checkpoint_every, keep

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Why this model can't be adapted to this data set by this method."""
        if method is None:
            return "the protocol 'finetuning' needs a method: name one under `methods`, such as lora or full"
        fits = hasattr(method, "fit") and hasattr(method, "rebuild")
        if not hasattr(method, "prepare") and not fits:
            return (
                "the method has neither a function 'prepare' nor 'fit' and 'rebuild', which fine-tuning calls: "
                "choose one that has, such as lora"
            )
        able = capabilities(model)
        clip = "encodes texts" in able
        if (fits or getattr(method, "needs_clip", False)) and not clip:
            return "the method needs an image-text model, such as tiny-clip or open_clip"
        if clip and similarity_of(model) != "cosine" and (fits or self.head in ("auto", "zero-shot")):
            return (
                "the model does not compare images and texts by cosine, as a zero-shot head does: say head = 'new', and "
                "take a method that needs no texts"
            )
        headless = self.head == "new" or not (clip or shares_head(model, dataset))
        if getattr(method, "needs_old_head", False) and headless:
            return "without training there must be a head for these classes, and the model has none"
        if training_split(dataset.splits) is None:
            return "the data set has no split 'train', which fine-tuning learns from"
        if refusal := find_test_split(dataset.splits, self.split).refusal:
            return refusal
        for name, shift in self.shifts.items():
            missing = shift.unavailable() if hasattr(shift, "unavailable") else None
            if missing:
                return f"shift '{name}': {missing}"
            if refusal := find_test_split(shift.splits, option="").refusal:
                return f"shift '{name}': {refusal}"
        shots = axes.get("shots", "all")
        if shots != "all" and (not isinstance(shots, int) or shots < 1):
            return f"shots must be a positive number or 'all', not {shots!r}"
        if self.steps_per_shot is not None and shots == "all":
            return "steps_per_shot needs a number of shots"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """What is assumed of the splits that are tested on."""
        own = find_test_split(dataset.splits, self.split).remark
        there = {name: find_test_split(shift.splits).remark for name, shift in self.shifts.items()}
        return [*([own] if own else []), *(f"shift '{name}': {text}" for name, text in there.items() if text)]

    def run(self, job: Job) -> Result:
        """Tunes, trains, checks, measures and evaluates one cell."""
        from harness_peft.run import Run

        return Run(self, job).result()


def shares_head(model: Any, *data: Any) -> bool:
    """Return whether the model's own head is one for these data: of their label space, and not of other names."""
    own, found = Classes.of(model), Classes.of(*data)
    return own.space is not None and own.space == found.space and align(own, found, True).refusal is None


__all__ = ["Finetuning", "shares_head"]
