"""The protocol `cyclegan`: training a translation between two domains, and scoring it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from harness import TARGET_KINDS, Dataset, Job, Result
from harness_gan.translation_options import TranslationOptions
from harness_gan.verdicts import VERDICTS
from harness_generative.generated_samples import GeneratedSamples
from harness_generative.translation import CycleGAN, TranslatesImages, TranslationMethod, Untranslated

SPLITS = ("trainA", "trainB", "testA", "testB")
"""Splits of a data set with two domains."""

SEGMENTATION = ("per_pixel_accuracy", "per_class_accuracy", "class_iou")
LOWER = ("pixel_error", "untranslated_pixel_error", "cycle_error", "identity_error", *VERDICTS[1:])


class TranslationProtocol(TranslationOptions):
    """Train a translation from domain A to domain B (and back, for CycleGAN) and score A→B on test images.

    A paired data set adds `pixel_error` (mean absolute difference to the true B, in [0, 1]), labels add
    `accuracy` (a classifier of domain B on translated images), and label maps add the segmentation score
    (`per_pixel_accuracy`, `per_class_accuracy`, `class_iou`: the maps that a network trained on domain B
    predicts for translated images, compared with the inputs' maps). The same scores without translation
    (`untranslated_…`) and of B's own images (`true_…`) are recorded beside them.

    Args:
        steps: training steps.
        batch_size: images of each domain per step (1 in the paper).
        size: images are resized and cropped to this size.
        load_size: training images are resized to this size instead, and each step crops a random square
            of `size` from them (the paper: 286 for 256); none: no cropping.
        flip: training images are mirrored with probability ½.
        extractor: a model that encodes images for distances; by default the classifier of domain B.
        thresholds: thresholds of the verdicts by name.
        checkpoint_every: steps between checkpoints.
    """

    needs = (TranslatesImages,)
    target_kinds = tuple(TARGET_KINDS)
    provides = (GeneratedSamples,)
    axes = ()
    smallest: ClassVar = {
        "steps": 4,
        "batch_size": 2,
        "size": 16,
        "checkpoint_every": 2,
        "cell": {
            "models": [{"plugin": "cyclegan-resnet", "width": 4, "blocks": 1, "patch_layers": 1}],
            "datasets": [{"plugin": "scene-domains", "train": 12, "test": 12}],
            "methods": ["cyclegan"],
            "metrics": ["frechet"],
        },
    }
    titles: ClassVar = {
        **{name: name.capitalize() for name in VERDICTS},
        "d_wins": "Discriminator wins",
        "pixel_error": "Pixel error",
        "untranslated_pixel_error": "Pixel error without translation",
        "cycle_error": "Cycle error",
        "identity_error": "Identity error",
        "per_pixel_accuracy": "Per-pixel accuracy",
        "per_class_accuracy": "Per-class accuracy",
        "class_iou": "Class IoU",
    }
    directions = dict.fromkeys(LOWER, False)
    units = dict.fromkeys(VERDICTS, "fraction") | {
        "accuracy": "fraction",
        "true_accuracy": "fraction",
        "untranslated_accuracy": "fraction",
        **{f"{of}{name}": "fraction" for of in ("", "untranslated_", "true_") for name in SEGMENTATION},
    }

    def unavailable(self) -> str | None:
        """Return why the extractor can't be used, or None."""
        ask: Callable[[], str | None] | None = getattr(self.extractor, "unavailable", None)
        return ask() if ask is not None else None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this combination can't be trained, or None."""
        if not isinstance(method, TranslationMethod):
            return "the protocol 'cyclegan' needs the method 'cyclegan', 'pix2pix' or 'untranslated'"
        if not set(SPLITS) <= set(dataset.splits):
            return f"the data set does not have two domains (splits {', '.join(SPLITS)})"
        if method.needs_pairs and not getattr(dataset, "paired", False):
            return "pix2pix learns from pairs, and the data set's domains are unpaired"
        unfit: str | None = model.fits(self.size)
        return unfit

    def run(self, job: Job) -> Result:
        """Train and score one seed."""
        from harness_gan.translation_data import load_translation_data
        from harness_gan.translation_trainer import TranslationTrainer
        from harness_gan.translation_training import CycleTraining, NoTraining, PairedTraining

        key = ("cyclegan", job.cell.protocol.identity)
        data = job.shared(key, lambda: load_translation_data(self, job), of="dataset")
        if self.extractor:
            job.at(self.extractor)  # for its remarks
        if isinstance(job.method, Untranslated):
            return TranslationTrainer(self, job, data, NoTraining(job.method, self.steps)).run()
        cls = CycleTraining if isinstance(job.method, CycleGAN) else PairedTraining
        training = cls(job.method, job.model, self.size, job.cell.seed, self.steps, job.device, job.precision)
        return TranslationTrainer(self, job, data, training).run()
