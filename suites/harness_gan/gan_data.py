"""What a run of the protocol `gan` reads: real samples to train on, and the judge of generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import Job
from harness.records.paths import cache_dir
from harness_data.stacked_images import StackedSplit
from harness_gan.gan_splits import find_gan_splits
from harness_gan.judging import ImageJudge, Judge, PointJudge, load_extractor
from harness_gan.real_samples import ImageSamples, PixelReader, PointSamples, make_real_samples

if TYPE_CHECKING:
    from harness_gan.gan_options import GanOptions


@dataclass
class GanData:
    """Real samples to train on, and the judge of generated ones.

    `rms` is the real samples' root mean square, `centre` and `half` the middle and half the width of
    their range.
    """

    source: PointSamples | ImageSamples
    judge: Judge
    rms: float
    centre: float
    half: float


def load_gan_data(protocol: GanOptions, job: Job) -> GanData:
    """Load the data set, and train the classifier or load the extractor that judges samples of it."""
    dataset, label = job.dataset, job.cell.dataset.label
    parts = find_gan_splits(dataset.splits)
    train: Any = job.splits(parts.train)
    test: Any = job.splits(parts.test)
    pixels = PixelReader(protocol.size, protocol.grey, label, job.workers)
    source = make_real_samples(train, pixels)
    real = source.take_fixed(protocol.samples)
    judge: Judge
    if isinstance(source, PointSamples):
        judge = PointJudge(train, real, test.points[: protocol.samples])
    else:
        judge = _build_image_judge(protocol, job, train, test, real, pixels)
    # one range for all coordinates: a pixel that is black in every real image has a range of width 0
    low, high = float(real.min()), float(real.max())
    return GanData(source, judge, float(real.square().mean().sqrt()), (low + high) / 2, (high - low) / 2)


def _build_image_judge(
    protocol: GanOptions, job: Job, train: Any, test: Any, real: torch.Tensor, pixels: PixelReader
) -> ImageJudge:
    extractor = load_extractor(protocol, job)
    stacked = isinstance(train, StackedSplit)
    learn, check = (train.base, test.base) if stacked else (train, test)
    targets = np.asarray(learn.targets)
    classifier = None
    if targets.ndim == 1 and targets.min() >= 0 and len(np.unique(targets)) > 1:
        from harness_gan.judge_classifier import train_classifier

        classifier = train_classifier(
            (pixels(learn, stacked), targets),
            (pixels(check, stacked), np.asarray(check.targets)),
            cache_dir() / "gan",
        )
    real_test = ImageSamples(pixels(test), np.asarray(test.targets)).take_fixed(protocol.samples)
    return ImageJudge(
        real, real_test, classifier, extractor, channels=stacked, confidence=protocol.confidence
    )
