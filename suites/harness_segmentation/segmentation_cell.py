"""Runs one cell of segmentation: training if there is a method, evaluation, clocks and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Result, Split, decode, has
from harness.contract.declared import ask
from harness.inference.classes import normalise_class_name
from harness.inference.evaluate import compute_metrics, measure_resamples, measure_samples
from harness.inference.splits import find_test_split
from harness.inference.zeroshot import templates_of
from harness_dense.class_matching import match_classes_by_name
from harness_dense.class_pairs import list_pairs
from harness_dense.contracts import TakesClassNames
from harness_dense.fitting import Fitted, fit_model
from harness_dense.pictures import draw_regions
from harness_dense.pixel_counts import measure_band_width
from harness_dense.region_metrics import intersect_over_union, mean_present
from harness_dense.segmentations import Segmentations
from harness_dense.speed import describe_speed
from harness_segmentation.segmenting import (
    CountedClasses,
    SegmentedSplit,
    choose_shown,
    segment_split,
    unpack_segmented,
)
from harness_segmentation.training_samples import BACKGROUND, TrainingSamples
from harness_segmentation.truths import UNKNOWN, read_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_segmentation.segmentation_options import SegmentationOptions

TRAINING = "segmenter-training"


@dataclass
class SegmentationCell:
    """A cell being run."""

    options: SegmentationOptions
    job: Job

    def result(self) -> Result:
        """Train if a method says so, segment all images of the split, and measure."""
        job, options = self.job, self.options
        tested = find_test_split(job.dataset.splits, options.split)
        if tested.name is None:
            raise DataError(f"{job.cell.dataset.label}: {tested.refusal}")
        fitted = self.fit()
        model = job.model if fitted is None else fitted.model
        split = job.splits(tested.name)
        if not len(split):
            raise DataError(f"{job.cell.dataset.label}: the split '{tested.name}' has no images")
        classes, notes = self.match(split, model)

        def compute() -> dict[str, Any]:
            return segment_split(
                job,
                model,
                split,
                classes,
                batch=options.batch,
                timed=options.timed,
                pictures=options.pictures,
            )

        tree = compute() if fitted else job.features(
            "segmentations", tested.name, compute, timed=options.timed, pictures=options.pictures,
            classes=[*classes.names, *classes.places.tolist()],
        )  # fmt: skip
        seen = unpack_segmented(tree, split, classes.names)
        self.check_counted(seen.evidence, tested.name)
        notes |= {"split": tested.name, "images_timed": len(seen.latencies), **note_regions(seen.evidence)}
        cost = describe_speed(seen.latencies, len(split), seen.seconds)
        if (module := ask(model, "module")) is not None:
            cost["parameters"] = float(sum(p.numel() for p in module.parameters()))
        if fitted is not None:
            trained, spent = fitted.describe()
            notes, cost = notes | trained, cost | spent
        return Result(
            metrics=compute_metrics(job, seen.evidence),
            count=len(seen.evidence),
            samples=self.list_samples(seen.evidence),
            curves=({} if fitted is None else fitted.thin_losses())
            | {"confusion": list_pairs(seen.evidence.confusion())},
            cost=cost,
            images=self.draw(split, seen, classes, notes),
            notes=notes,
            evidence={"": seen.evidence},
            resamples=measure_resamples(job, seen.evidence),
        )

    def fit(self) -> Fitted | None:
        """Return the trained model; None without a method."""
        job = self.job
        if job.method is None:
            return None
        return fit_model(
            job,
            job.method,
            "segmenter",
            lambda model, split, at: TrainingSamples(job.method, model, split, at),
        )

    def match(self, split: Split, model: Any) -> tuple[CountedClasses, dict[str, Any]]:
        """Return which classes count, and notes on what does not."""
        options, job = self.options, self.job
        label = job.cell.dataset.label
        names: Sequence[str] = ask(split, "class_names") or ask(job.dataset, "class_names") or ()
        if not names:
            raise DataError(f"{label}: its classes have no names, by which segmenters are matched to them")
        if len(names) > UNKNOWN:
            raise DataError(f"{label}: it has {len(names)} classes, more than the {UNKNOWN} that a map holds")
        ground = [normalise_class_name(name) == BACKGROUND for name in names]
        if options.background == "left out" and not any(ground):
            raise DataError(f"{label}: background = 'left out', but no class is called '{BACKGROUND}'")
        leaves = options.background == "left out"
        kept = [name for name, is_ground in zip(names, ground, strict=True) if not (leaves and is_ground)]
        told = has(model, TakesClassNames)
        if told:
            model.name_classes(kept, templates_of(split, label))
        # such a model's classes are the data set's, whatever these are called elsewhere
        aliases = [] if told else options.aliases
        matched = match_classes_by_name(model.class_names, kept, aliases, label, TRAINING)
        who = job.cell.model.label if job.cell.model else "the model"
        for text in matched.remarks:
            job.remark(f"{who} on {label}: {text}")
        truths = np.array([kept.index(name) if name in kept else UNKNOWN for name in names], np.uint8)
        counted = "left out" if leaves else "counted" if any(ground) else "no class of the data set"
        if leaves:
            job.remark(
                f"{label}: pixels of the background count neither way; {len(kept)} classes are measured"
            )
        notes = {"classes": len(kept), "background": counted, "classes_not_known": matched.missing}
        return CountedClasses(kept, truths, matched.places), notes

    def check_counted(self, evidence: Segmentations, split: str) -> None:
        """Remark on images of which no pixel counts. Raises DataError if none does in any."""
        label, images = self.job.cell.dataset.label, len(evidence)
        blank = images - int(evidence.sum_by_class()[1].any(axis=1).sum())
        if blank == images:
            raise DataError(
                f"{label}: no pixel of the split '{split}' counts: none has a class that is measured"
            )
        if blank:
            self.job.remark(f"{label}: no pixel counts in {blank} of {images} images")

    def list_samples(self, evidence: Segmentations) -> dict[str, Any]:
        """Return a row per image: its own mean IoU, the share of its pixels that is right, and how many count."""
        right, true, predicted = evidence.sum_by_class()
        counted = true.sum(axis=1)
        columns: dict[str, Any] = {
            "id": list(evidence.ids),
            "iou": mean_present(intersect_over_union(right, true, predicted)),
            "accuracy": right.sum(axis=1) / np.where(counted > 0, counted, np.nan),
            "pixels": counted.astype(np.int64),
        }
        if evidence.groups:
            columns["cluster"] = list(evidence.groups)
        return columns | measure_samples(self.job, evidence)

    def draw(
        self, split: Split, seen: SegmentedSplit, classes: CountedClasses, notes: dict[str, Any]
    ) -> dict[str, NDArray[np.uint8]]:
        """Return pictures of the chosen images; note which they are, and how wide the bands along boundaries are."""
        pictures: dict[str, NDArray[np.uint8]] = {}
        ids = seen.evidence.ids
        shown = {name: ids[n] for name, n in choose_shown(seen.evidence, self.options.pictures).items()}
        places = {name: row for row, name in enumerate(split.ids)}
        lookup = np.full(256, UNKNOWN, np.uint8)
        lookup[: len(classes.truths)] = classes.truths
        for (name, id), predicted in zip(shown.items(), seen.pictures, strict=True):
            sample = split[places[id]]
            pixels = np.array(decode(sample.image, sample.id).convert("RGB"))
            truth = lookup[read_classes(sample.target, sample.id, len(classes.truths))]
            pictures[name] = draw_regions(pixels, truth, np.asarray(predicted), classes.names)
            notes.setdefault("boundary_pixels", measure_band_width(*truth.shape))
        notes |= {"pictures": shown, "class_names": list(classes.names)}
        return pictures


def note_regions(evidence: Segmentations) -> dict[str, Any]:
    """Return each class's IoU and its share of the counted pixels, and how many pixels do not count."""
    right, true, predicted = (column.sum(axis=0) for column in evidence.sum_by_class())
    values = intersect_over_union(right, true, predicted)
    total = max(float(true.sum()), 1.0)
    rows = zip(evidence.class_names, values.tolist(), true.tolist(), strict=True)
    by_class = {
        name: {"iou": None if np.isnan(iou) else iou, "share": pixels / total} for name, iou, pixels in rows
    }
    return {"iou_by_class": by_class, "uncounted_pixels": int(evidence.uncounted.sum())}
