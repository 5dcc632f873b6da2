"""What a run of the protocol `cyclegan` reads: both domains' images, and the judges of domain B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import DataError, Job
from harness.records.paths import cache_dir
from harness_gan.judge_classifier import JudgeClassifier
from harness_gan.judging import ImageJudge, load_extractor
from harness_gan.real_samples import ImageSamples, PixelReader, bytes_to_samples
from harness_gan.segmentation import IGNORED, Segmenter, train_segmenter

if TYPE_CHECKING:
    from harness_gan.translation_options import TranslationOptions


@dataclass
class TranslationData:
    """Both domains' images, the judge of domain B, and the test images' labels and label maps if known."""

    train_a: ImageSamples
    train_b: ImageSamples
    test_a: torch.Tensor
    test_b: torch.Tensor
    paired: bool
    labels: np.ndarray[Any, Any] | None
    classifier: JudgeClassifier | None
    judge: ImageJudge
    maps: LabelMaps | None


@dataclass
class LabelMaps:
    """Label maps N×H×W of the test images (B's may be missing), and the segmenter of images of B."""

    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any] | None
    segmenter: Segmenter


def load_translation_data(protocol: TranslationOptions, job: Job) -> TranslationData:
    """Load both domains, and train the classifier of domain B or load the extractor.

    Raises DataError if paired splits differ in length (a limit on samples can cause it) or a split has
    fewer than the two images that distances need.
    """
    label, splits = job.cell.dataset.label, {}
    arrays, pixels = {}, PixelReader(protocol.size, False, label, job.workers)
    for name in ("trainA", "trainB", "testA", "testB"):
        splits[name] = job.splits(name)
        arrays[name] = pixels(splits[name])
    paired = bool(getattr(job.dataset, "paired", False))
    if paired and any(len(arrays[f"{p}A"]) != len(arrays[f"{p}B"]) for p in ("train", "test")):
        raise DataError(f"{label}: paired domains need as many images of A as of B")
    for name in ("trainB", "testA", "testB"):
        if len(arrays[name]) < 2:
            raise DataError(f"{label}: distances need 2 images of {name}, there is {len(arrays[name])}")
    targets = {name: np.asarray(split.targets) for name, split in splits.items()}
    known = all(t.min() >= 0 for t in targets.values()) and len(np.unique(targets["trainB"])) > 1
    classifier = None
    if known:
        from harness_gan.judge_classifier import train_classifier

        classifier = train_classifier(
            (arrays["trainB"], targets["trainB"]), (arrays["testB"], targets["testB"]), cache_dir() / "gan"
        )
    if protocol.load_size != protocol.size:
        pixels = PixelReader(protocol.load_size, False, label, job.workers)
        larger = {n: pixels(splits[n]) for n in ("trainA", "trainB")}
    else:
        larger = arrays
    extractor = load_extractor(protocol, job)
    test_a, test_b = (bytes_to_samples(torch.from_numpy(arrays[n])) for n in ("testA", "testB"))
    floor = ImageSamples(arrays["trainB"], targets["trainB"]).take_fixed(len(test_a))
    judge = ImageJudge(floor, test_b, classifier, extractor)
    labels = targets["testA"] if known else None
    maps = _load_label_maps(protocol, job, arrays["trainB"], splits)
    if maps is not None:
        judge.notes["segmenter"] = maps.segmenter.digest
    train_a, train_b = (ImageSamples(larger[n]) for n in ("trainA", "trainB"))
    return TranslationData(train_a, train_b, test_a, test_b, paired, labels, classifier, judge, maps)


def _load_label_maps(
    protocol: TranslationOptions, job: Job, images: np.ndarray[Any, Any], splits: dict[str, Any]
) -> LabelMaps | None:
    """Return the data set's label maps and a segmenter trained on B's, or None if it has no maps."""
    if not hasattr(job.dataset, "label_maps"):
        return None
    read = {n: job.dataset.label_maps(n, splits[n].ids, protocol.size) for n in ("trainB", "testA", "testB")}
    if read["trainB"] is None or read["testA"] is None:
        return None
    classes = 1 + max(int(m[m != IGNORED].max(initial=0)) for m in read.values() if m is not None)
    segmenter = train_segmenter(images, read["trainB"], classes, cache_dir() / "gan")
    return LabelMaps(read["testA"], read["testB"], segmenter)
