"""The protocol `attribute-classification`: classes that a method has attributes or names of, and no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from harness import DataError, Dataset, EncodesImages, Job, Predictions, Result, did_you_mean
from harness.inference.classes import check_same_classes
from harness.planning.evidence_matching import find_evidence_classes, match_evidence_classes
from harness_metrics.seen_unseen import SeenUnseenPredictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Split
    from harness_attributes.attribute_table import AttributeTable

SETTINGS = ("conventional", "generalised")
TRAIN, SEEN, UNSEEN = "train", "test-seen", "test-unseen"


class AttributeClassification:
    """Learns from images of seen classes, and classifies images of unseen ones by what is said of their classes.

    The axis `setting`: "conventional" (the default) tests images of unseen classes among the unseen classes;
    "generalised" tests images of seen and unseen classes among all classes (Xian et al., TPAMI 2018), for the metric
    `harmonic-mean`. Metrics that read the other setting's evidence are left out.

    The data set has the splits `train`, `test-unseen` and, for the generalised setting, `test-seen`; its splits have
    `class_names` (C), `attribute_names` (A), `class_attributes` C×A (strengths, NaN where not known),
    `class_attributes_binary` C×A (1, 0, NaN) and `unseen` (C). Methods learn from frozen image embeddings. A model that
    was itself trained on the unseen classes is tested on more than attributes.
    """

    needs_method = True
    needs = (EncodesImages,)
    provides = (Predictions, SeenUnseenPredictions)
    axes = ("setting",)
    own_numbers = ("fit_seconds",)
    titles: ClassVar = {"setting": "Setting", "fit_seconds": "Training time (s)"}
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-clip", "steps": 0}],
            "datasets": ["scene-attributes"],
            "methods": ["iap"],
            "metrics": ["mean_per_class"],
            "limit": 96,
        }
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this combination makes no sense, judged from the plugins' declarations, or None."""
        if method is None or not hasattr(method, "learn"):
            return "the protocol 'attribute-classification' needs a method: name one under `methods`, such as dap or iap"
        setting = axes.get("setting", SETTINGS[0])
        if setting not in SETTINGS:
            return f"there is no setting '{setting}'{did_you_mean(str(setting), SETTINGS)}"
        needed = (TRAIN, UNSEEN) if setting == SETTINGS[0] else (TRAIN, SEEN, UNSEEN)
        if missing := [name for name in needed if name not in dataset.splits]:
            return f"the data set has no split '{missing[0]}', which the {setting} setting needs"
        return None

    def run(self, job: Job) -> Result:
        """Let the method learn, then classify the tested images."""
        import time

        import numpy as np

        from harness.inference.evaluate import classification_result, outputs
        from harness.inference.evaluation_facts import describe_preparation
        from harness_attributes.contracts import AttributeTask

        generalised = job.cell.axes.get("setting", SETTINGS[0]) != SETTINGS[0]
        tested = (SEEN, UNSEEN) if generalised else (UNSEEN,)
        table = self._read_table(job, tested)
        candidates = np.arange(len(table.unseen)) if generalised else table.unseen_classes
        features, _ = outputs(job, "image embeddings", TRAIN)
        train = job.splits(TRAIN)
        _check_finite(features, train, job.cell.dataset.label)
        task = AttributeTask(job, table, features, np.asarray(train.targets), candidates)
        start = time.perf_counter()
        score = job.method.learn(task)
        cost = {"fit_seconds": time.perf_counter() - start}

        parts = []
        for name in tested:
            embeddings, rate = outputs(job, "image embeddings", name)
            cost |= {"samples_per_second": rate} if rate else {}
            split = job.splits(name)
            _check_finite(embeddings, split, job.cell.dataset.label)
            parts.append((score(embeddings)[:, candidates], np.asarray(split.targets), list(split.ids)))
        predictions = _build_predictions(table, parts, candidates, generalised)
        notes = {
            "candidates": len(candidates), "seen_classes": len(table.seen_classes),
            "unseen_classes": len(table.unseen_classes), "training_samples": len(train), **task.notes,
        }  # fmt: skip
        notes |= describe_preparation(job, job.splits(UNSEEN))
        result = classification_result(_keep_readers(job, predictions), predictions, cost=cost, notes=notes)
        if generalised and result.samples is not None:
            sides = np.where(table.unseen[predictions.targets], "unseen", "seen").tolist()
            result = replace(result, samples={**result.samples, "side": sides})
        return result

    def warm(self, job: Job) -> None:
        """Compute the embeddings that `run` will ask for."""
        from harness.inference.evaluate import outputs

        generalised = job.cell.axes.get("setting", SETTINGS[0]) != SETTINGS[0]
        for name in (UNSEEN, *((SEEN,) if generalised else ()), TRAIN):  # the run begins with the last
            outputs(job, "image embeddings", name)

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of kept predictions."""
        from harness.inference.evaluate import compute_metrics

        return {
            k: v
            for one in evidence.values()
            for k, v in compute_metrics(_keep_readers(job, one), one).items()
        }

    def _read_table(self, job: Job, tested: Sequence[str]) -> AttributeTable:
        """Return the classes, after checks that all splits agree about them."""
        import numpy as np

        from harness_attributes.attribute_table import check_side, read_attribute_table

        where = job.cell.dataset.label
        train = job.splits(TRAIN)
        table = read_attribute_table(train, where)
        check_side(table, train, False, f"{where}, split '{TRAIN}'")
        for name in tested:
            split = job.splits(name)
            for text in check_same_classes(train, split, where):
                job.remark(text)
            if not len(split):
                raise DataError(f"{where}: the split '{name}' has no samples")
            check_side(table, split, name == UNSEEN, f"{where}, split '{name}'")
        shown = np.unique(train.targets)
        if len(shown) < 2:
            raise DataError(f"{where}: split '{TRAIN}' has images of {len(shown)} classes, two are needed")
        if empty := [table.class_names[n] for n in table.seen_classes if n not in shown]:
            job.remark(
                f"{where}: {len(empty)} of {len(table.seen_classes)} seen classes have no training image (first: "
                f"'{empty[0]}')"
            )
        return table


def _build_predictions(
    table: AttributeTable,
    parts: Sequence[tuple[NDArray[Any], NDArray[np.int64], list[str]]],
    candidates: NDArray[np.int64],
    generalised: bool,
) -> Predictions:
    """Return the predictions over the candidates, whose labels are then their places among them."""
    import numpy as np

    place = np.full(len(table.unseen), -1, np.int64)
    place[candidates] = np.arange(len(candidates))
    logits = np.concatenate([scores for scores, _, _ in parts])
    targets = place[np.concatenate([labels for _, labels, _ in parts])]
    ids = [name for _, _, names in parts for name in names]
    names = [table.class_names[label] for label in candidates]
    if generalised:
        return SeenUnseenPredictions(logits, targets, ids, names, unseen=table.unseen)
    return Predictions(logits, targets, ids, names)


def _check_finite(embeddings: NDArray[np.float32], split: Split, where: str) -> None:
    """Raise DataError naming a sample whose embedding is not finite."""
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise DataError(
            f"{where}: the model's embedding of sample '{split.ids[int(bad[0])]}' is not finite, as {len(bad)} of "
            f"{len(embeddings)} are"
        )


def _keep_readers(job: Job, evidence: Predictions) -> Job:
    """Return the job with those metrics alone that read this evidence."""
    own = {
        name: metric
        for name, metric in job.metrics.items()
        if (read := find_evidence_classes(metric)) is None or match_evidence_classes([type(evidence)], read)
    }
    return replace(job, metrics=own)
