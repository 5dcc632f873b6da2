"""Runs one cell of detection: training if there is a method, evaluation, clocks and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Result
from harness.contract.declared import ask
from harness.inference.evaluate import compute_metrics, measure_resamples, measure_samples
from harness.inference.splits import find_test_split
from harness_dense.class_matching import match_classes_by_name
from harness_dense.class_pairs import list_pairs
from harness_dense.detections import Detections
from harness_dense.gathering import FoundArrays, gather_detections
from harness_dense.speed import describe_speed
from harness_detection.class_confusion import count_class_pairs
from harness_detection.detector_fitting import fit_detector
from harness_detection.finding import FoundInSplit, find_in_split, unpack_found
from harness_detection.found_checks import list_doubts
from harness_detection.hit_counts import FALSE_ALARM, HIT, ImageHits, count_hits, sum_by_image
from harness_detection.kept_curves import measure_precision_curves
from harness_detection.pictures import choose_detections, draw_detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness import Split
    from harness_detection.detection_options import DetectionOptions


@dataclass
class DetectionCell:
    """A cell being run."""

    options: DetectionOptions
    job: Job

    def result(self) -> Result:
        """Train if a method says so, find objects in all images of the split, and measure."""
        job, options = self.job, self.options
        tested = find_test_split(job.dataset.splits, options.split)
        if tested.name is None:
            raise DataError(f"{job.cell.dataset.label}: {tested.refusal}")
        fitted = None if job.method is None else fit_detector(job, job.method)
        model = job.model if fitted is None else fitted.model
        split = job.splits(tested.name)
        if not len(split):
            raise DataError(f"{job.cell.dataset.label}: the split '{tested.name}' has no images")

        def compute() -> dict[str, Any]:
            return find_in_split(job, model, split, options.batch, options.timed)

        tree = (
            job.features("detections", tested.name, compute, timed=options.timed)
            if fitted is None
            else compute()
        )
        seen = unpack_found(tree)
        evidence, notes = self.gather(split, model, seen)
        hits = count_hits(evidence, options.shown_score)
        shown = choose_detections(evidence, hits, options.pictures)
        notes |= {"split": tested.name, "images_timed": len(seen.latencies)}
        cost = describe_speed(seen.latencies, len(seen.sizes), seen.seconds) | _count_parameters(model)
        if fitted is not None:
            trained, spent = fitted.describe()
            notes, cost = notes | trained, cost | spent
        return Result(
            metrics=compute_metrics(job, evidence),
            count=len(evidence),
            samples=self.list_samples(evidence, hits),
            curves=({} if fitted is None else fitted.thin_losses())
            | measure_precision_curves(evidence)
            | {"confusion": list_pairs(count_class_pairs(evidence, hits), nothing=True)},
            cost=cost,
            images=draw_detections(split, evidence, hits, shown),
            notes=notes
            | note_classes(evidence)
            | {"pictures": {name: evidence.ids[n] for name, n in shown.items()}},
            evidence={"": evidence},
            resamples=measure_resamples(job, evidence),
        )

    def gather(self, split: Split, model: Any, seen: FoundInSplit) -> tuple[Detections, dict[str, Any]]:
        """Return the evidence, in the data set's classes, and notes on what was left out of it."""
        options, job = self.options, self.job
        names: Sequence[str] = ask(split, "class_names") or ask(job.dataset, "class_names") or ()
        label = job.cell.dataset.label
        if not names:
            raise DataError(f"{label}: its classes have no names, by which detectors are matched to them")
        matched = match_classes_by_name(model.class_names, names, options.aliases, label)
        model_label = job.cell.model.label if job.cell.model else "the model"
        for text in matched.remarks:
            job.remark(f"{model_label} on {label}: {text}")
        kept, cut = [], 0
        for one in seen.found:
            mine, lost = _select(one, matched.places, options.score_threshold, options.max_detections)
            kept.append(mine)
            cut += lost
        if cut:
            job.remark(
                f"{model_label} on {label}: {cut} objects beyond the {options.max_detections} best of an image and class left out"
            )
        groups = ask(split, "groups") or ()
        evidence = gather_detections(split.ids, names, seen.sizes, kept, list(split.targets), groups)
        for text in list_doubts(evidence):
            job.remark(f"{model_label} on {label}: {text}")
        notes = {
            "score_threshold": options.score_threshold,
            "model_score_threshold": getattr(model, "score_threshold", None),
            "max_detections": options.max_detections,
            "shown_score": options.shown_score,
            "objects_found": len(evidence.scores),
            "objects_there": int((~evidence.true_crowd & ~evidence.true_ignored).sum()),
            "classes_not_known": matched.missing,
        }
        return evidence, notes

    def list_samples(self, evidence: Detections, hits: ImageHits) -> dict[str, Any]:
        """Return a row per image: how many objects were hit, missed, and found where none is."""
        columns: dict[str, Any] = {
            "id": list(evidence.ids),
            "hits": sum_by_image(hits.found == HIT, evidence.offsets),
            "misses": sum_by_image(hits.missed, evidence.true_offsets),
            "false_alarms": sum_by_image(hits.found == FALSE_ALARM, evidence.offsets),
        }
        if evidence.groups:
            columns["cluster"] = list(evidence.groups)
        return columns | measure_samples(self.job, evidence)


def _select(
    one: FoundArrays, places: NDArray[np.int64], threshold: float, most: int
) -> tuple[FoundArrays, int]:
    """Return what counts of the objects found in an image, and how many were beyond the best ones of their class."""
    labels = places[np.asarray(one.labels, np.int64)]
    scores = np.asarray(one.scores)
    rows = np.flatnonzero((labels >= 0) & (scores >= threshold))
    by_score = rows[np.argsort(-scores[rows], kind="stable")]
    best = [by_score[labels[by_score] == label][:most] for label in np.unique(labels[rows])]
    kept = np.sort(np.concatenate([rows[:0], *best]))
    masks = None if one.masks is None else [one.masks[row] for row in kept.tolist()]
    return FoundArrays(np.asarray(one.boxes)[kept], scores[kept], labels[kept], masks), len(rows) - len(kept)


def _count_parameters(model: Any) -> dict[str, float]:
    module = ask(model, "module")
    return {} if module is None else {"parameters": sum(p.numel() for p in module.parameters())}


def note_classes(evidence: Detections) -> dict[str, Any]:
    """Return the classes' names, each one's AP and AP at IoU .5 (of boxes), and how many objects there are."""
    from harness_dense.precision_recall import measure_curves

    names = {"class_names": list(evidence.class_names)}
    if not len(evidence.true_labels):
        return names
    precision = measure_curves(evidence).precision[:, 0]
    counted = ~evidence.true_crowd & ~evidence.true_ignored
    counts = np.bincount(evidence.true_labels[counted], minlength=len(evidence.class_names))
    classes = {
        name: {
            "AP": float(precision[:, c].mean()),
            "AP50": float(precision[0, c].mean()),
            "objects": int(counts[c]),
        }
        for c, name in enumerate(evidence.class_names)
        if precision[0, c, 0] >= 0
    }
    return names | {"ap_by_class": classes}
