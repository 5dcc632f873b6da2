"""The protocol `finetuning`: adapt a network to a data set by a method, with tuning and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, HasModule, Job, Predictions, Result, capabilities
from harness.inference.splits import find_test_split, training_split
from harness.inference.zeroshot import similarity_of
from harness_metrics.label_sets import LabelSets
from harness_peft.options import FinetuningOptions
from harness_peft.shared_head import shares_head

TITLES = {
    "trainable_without_head": "Trainable parameters without the head",
    "trainable_share": "Trainable share",
    "adapter_bytes": "Adapter on disk (B)",
    "parameter_bytes": "Parameters in memory (B)",
    "gradient_bytes": "Gradients (B)",
    "optimizer_bytes": "Optimiser (B)",
    "training_bytes": "Training state (B)",
    "training_peak_memory": "Peak GPU memory in training (B)",
    "training_peak_memory_reserved": "Reserved GPU memory in training (B)",
    "seconds_per_step": "Time per step (s)",
    "training_seconds": "Training time (s)",
    "tuning_seconds": "Tuning time (s)",
    "training_samples_per_second": "Samples per second, in training",
    "merged_samples_per_second": "Samples per second, merged",
    "backprop_share": "Share of layers with gradients",
    "steps": "Steps",
}
"""What tables call the costs of fine-tuning."""


class Finetuning(FinetuningOptions):
    """Adapts a network to a data set's training split; evaluates it on the test split and on shifts.

    Axis: `shots`, samples per class ("all" or absent: the whole training split).

    Args:
        steps: updates per training; by default from `epochs`, or from `steps_per_shot` times shots.
        epochs: passes over the training samples.
        steps_per_shot: updates per shot, as in CLIP-LoRA.
        batch: samples per update.
        trials: number of learning rates (or penalties) to tune over, the same for every method, evenly in
            the logarithm over the method's own span; 1 takes its middle, without validation.
        tune: `shared` tunes once for all seeds, on a separate draw of samples; `each` tunes every seed.
        rates: first and last learning rate for all methods, in place of their own spans.
        head: initial classifier: `old` rows, `zero-shot` text embeddings or `new`; `auto` takes the best
            available.
        train_head: whether the head trains too.
        optimizer: `adamw`, or `sgd` with momentum 0.9.
        schedule: how the learning rate falls to 0 after the warm-up, unless `constant`.
        warmup: share of the steps during which the learning rate rises linearly.
        weight_decay: decay of matrices and kernels, not of vectors; a method may override it.
        label_smoothing: share of each target spread evenly over the classes.
        clip_norm: largest norm of the gradient; 0 for no limit.
        augmentation: random changes to training images.
        patience: number of consecutive validations without improvement, at least 1, after which training
            stops with the best weights; by default it never stops early.
        evaluate_every: steps between two validations.
        train_size: number of training samples, drawn once for all cells (VTAB-1k: 1000); by default all.
        holdout: share of the training samples used for validation, instead of the split `val`.
        own_validation: hold out only if the data set has no split `val`.
        retrain: whether to train on the validation samples too, after tuning.
        shifts: further data sets to evaluate the adapted network on, without training.
        shift_names: their names in the metrics, `top1.NAME`.
        templates: prompt templates of a zero-shot head; by default the data set's own.
        logit_scale: scale of a zero-shot head; by default the model's own.
        split: split to test on; by default the test split, else the validation split. It is never used for
            validation.
        checkpoint_every: steps between checkpoints, from which a killed run resumes.
        keep: folder to save the trained tensors in, one safetensors file per cell.
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
    titles: ClassVar = TITLES
    directions: Mapping[str, bool] = {}
    smallest: ClassVar = {
        "steps": 4,
        "batch": 8,
        "trials": 1,
        "checkpoint_every": 2,
        "cell": {
            "models": [
                # trained briefly: a zero head would block gradients to everything before it
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

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this method can't adapt this model to this data set, or None."""
        if method is None:
            return "the protocol 'finetuning' needs a method: name one under `methods`, such as lora or full"
        fits = hasattr(method, "fit") and hasattr(method, "rebuild")
        if not hasattr(method, "prepare") and not fits:
            return (
                "the method has neither 'prepare' nor 'fit' and 'rebuild', which fine-tuning calls: "
                "choose one that has, such as lora"
            )
        able = capabilities(model)
        clip = "encodes texts" in able
        if (fits or getattr(method, "needs_clip", False)) and not clip:
            return "the method needs an image-text model, such as tiny-clip or open_clip"
        if clip and similarity_of(model) != "cosine" and (fits or self.head in ("auto", "zero-shot")):
            return (
                "the model does not compare images and texts by cosine, as a zero-shot head does: set head = 'new', and "
                "take a method that needs no texts"
            )
        headless = self.head == "new" or not (clip or shares_head(model, dataset))
        if getattr(method, "needs_old_head", False) and headless:
            return "the method trains nothing, so it needs a head for these classes, and the model has none"
        if training_split(dataset.splits) is None:
            return "the data set has no split 'train' to fine-tune on"
        if refusal := find_test_split(dataset.splits, self.split).refusal:
            return refusal
        for name, shift in self.shifts.items():
            missing = shift.unavailable() if hasattr(shift, "unavailable") else None
            if missing:
                return f"shift '{name}': {missing}"
            if refusal := find_test_split(shift.splits, option="").refusal:
                return f"shift '{name}': {refusal}"
        shots = axes.get("shots", "all")
        if shots != "all" and (not isinstance(shots, int) or isinstance(shots, bool) or shots < 1):
            return f"shots must be a positive whole number or 'all', not {shots!r}"
        if self.steps_per_shot is not None and shots == "all":
            return "steps_per_shot needs a number of shots"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the splits to test on."""
        own = find_test_split(dataset.splits, self.split).remark
        there = {name: find_test_split(shift.splits).remark for name, shift in self.shifts.items()}
        return [*([own] if own else []), *(f"shift '{name}': {text}" for name, text in there.items() if text)]

    def run(self, job: Job) -> Result:
        """Tune, train, check, measure and evaluate one cell."""
        from harness_peft.finetuning_cell import FinetuningCell

        return FinetuningCell(self, job).result()

    def warm(self, job: Job) -> None:
        """Embed the splits that a method with a fitted head reads; other methods keep no features."""
        from harness_peft.finetuning_cell import FinetuningCell

        FinetuningCell(self, job).warm()
