"""The protocol `finetuning`: a network adapted to a data set by a method, with its tuning and its costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, HasModule, Job, Predictions, Result, capabilities
from harness.inference.splits import find_test_split, training_split
from harness.inference.zeroshot import similarity_of
from harness_metrics.label_sets import LabelSets
from harness_peft.options import FinetuningOptions
from harness_peft.shared_head import shares_head


class Finetuning(FinetuningOptions):
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

    def fingerprint(self) -> str:
        """The version of the trainings and draws: what decides their numbers besides the options."""
        return "learning-1"

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
        from harness_peft.finetuning_cell import FinetuningCell

        return FinetuningCell(self, job).result()
