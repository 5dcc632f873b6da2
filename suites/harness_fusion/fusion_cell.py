"""Run one cell of fusion: features, training, prediction, probes, subsets, costs and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import DataError, Job, OptionError, Predictions, Result
from harness.inference.classes import check_same_classes
from harness.inference.evaluate import classification_result
from harness.inference.splits import role_of
from harness.learning.draws import class_weights, describe_short_draw, draw_shots
from harness_fusion import costs
from harness_fusion.contracts import PairFeatures, read_first_pair
from harness_fusion.data_reports import merge_reports
from harness_fusion.feature_sources import FeatureSources
from harness_fusion.fusion_head import build_head, compute_fusion_head_weights
from harness_fusion.head_training import (
    FEATURES_AT_ONCE,
    HeadRecipe,
    TrainedHead,
    predict_with_head,
    train_head,
)
from harness_fusion.measuring import measure_pairs
from harness_fusion.misses import DESCRIPTIONS, analyse_misses, find_miss_groups
from harness_fusion.modality_features import Encoders
from harness_fusion.modality_probes import KINDS, remove_modality
from harness_fusion.pair_splits import arrange_pair_splits
from harness_fusion.submission import check_submission_layout, write_submission

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness import Split
    from harness_fusion.options import FusionOptions

RULE_NOTES = {
    "reference": "reference protocol: the reported part also stops the training, which makes every row optimistic",
    "clean": "clean: a separate part stops the training, and the reported part is used once",
}


class FusionCell:
    """A cell being run; `result` calls the steps in order."""

    def __init__(self, protocol: FusionOptions, job: Job) -> None:
        self.protocol, self.job, self.method = protocol, job, job.method
        axes = job.cell.axes
        self.augmentation = str(axes.get("augmentation", protocol.augmentation))
        self.parts = arrange_pair_splits(job.dataset.splits, job.splits, axes.get("split", protocol.split))
        if (shots := axes.get("shots", "all")) != "all":
            train = self.parts.train
            drawn = draw_shots(train.ids, train.targets, shots, job.cell.seed, train.name)
            if (remark := describe_short_draw(drawn, shots, train.name)) is not None:
                job.remark(remark)
            rows = np.sort(train.rows[np.concatenate(drawn)])
            self.parts = replace(self.parts, train=replace(train, rows=rows))
        self.encoders = Encoders(job, protocol.tokens, protocol.vectors == "unit")
        self.seed = job.seed_for("fusion", job.cell.seed)
        self.sources = FeatureSources(self.encoders, self.method, protocol, self.augmentation, self.seed)
        if protocol.vectors == "standard":
            self.sources.standardise(self.parts.train)
        self._compare_parts()
        self.classes = list(self.parts.train.split.class_names)  # type: ignore[attr-defined]
        found = set(np.unique(np.concatenate([self.parts.train.targets, self.parts.test.targets])).tolist())
        if len(found) < 2:
            raise DataError(f"{job.cell.dataset.label}: all labelled pairs are of one class")
        if protocol.predict is not None:
            self._check_predictable(protocol.predict)

    def result(self) -> Result:
        """Train, predict, probe and measure; return the cell's result."""
        job, method = self.job, self.method
        used = self._find_used()
        training = self.sources.make_training(self.parts.train)
        first = read_first_pair(training)
        head = build_head(
            method, first.text.width(method.reads), first.image.width(method.reads), len(self.classes),
            dropout=self.protocol.dropout, seed=self.seed,
        ).to(job.device)  # fmt: skip
        trained = self._train(head, training, used)
        test = self.sources.collect_plain(self.parts.test)
        scores = predict_with_head(head, test).numpy()
        predictions = Predictions(scores, self.parts.test.targets, self.parts.test.ids, self.classes)
        cost = self._measure_costs(head, test, trained, used)
        result = classification_result(job, predictions, cost=cost, curves=_build_curves(trained))
        if result.status != "ok":
            return result
        probed, samples = self._run_probes(head, test)
        for name, chosen in self._find_subsets().items():
            probed[name] = _select(predictions, chosen)
            samples[f"in {name}"] = chosen
        extra = measure_pairs(job, probed, self.protocol.probe_metrics)
        if (share := compute_fusion_head_weights(head, test)) is not None:
            extra |= {"share.text": float(share[:, 0].mean()), "share.image": float(share[:, 1].mean())}
            samples["text share"] = share[:, 0].astype(np.float32)
        notes = self._build_notes(trained, predictions)
        if self.protocol.predict is not None:
            notes["predictions"] = self._write_predictions(head)
        columns = {**(result.samples or {}), **samples}
        return replace(
            result,
            metrics={**result.metrics, **extra},
            samples=columns,
            notes=notes,
            evidence={"": predictions, **probed},
        )

    def warm(self) -> None:
        """Encode what `result` will read from the cache, with frozen encoders."""
        train, sources, protocol = self.parts.train, self.sources, self.protocol
        for portion in (self.parts.test, self.parts.validation):
            sources.collect_plain(portion)
        if protocol.probes or not sources.augmented:
            sources.collect_plain(train)
        if sources.augmented and protocol.views:
            certain = min(protocol.views, protocol.patience or protocol.epochs, protocol.epochs)
            for number in range(certain):
                sources.collect_view(train, number)
        self._find_used()
        self._find_miss_groups()

    # ---------------------------------------------------------------- training

    def _find_used(self) -> list[torch.nn.Parameter]:
        """Return the encoders' parameters that this method's inputs depend on."""
        split, reads = self.parts.train.split, self.method.reads
        found = [
            costs.find_encoder_parameters(self.encoders, m, reads, split) for m in self.method.modalities
        ]
        return list({id(p): p for parameters in found for p in parameters}.values())

    def _train(self, head: Any, training: Any, used: list[Any]) -> TrainedHead:
        protocol, job = self.protocol, self.job
        recipe = HeadRecipe(
            epochs=protocol.epochs, rate=protocol.rate, batch=protocol.batch, weight_decay=protocol.weight_decay,
            schedule=protocol.schedule, cosine_over=protocol.cosine_over, t_max=protocol.t_max,
            patience=protocol.patience or None, class_weights=protocol.class_weights,
        )  # fmt: skip

        def tell(epoch: int, values: Mapping[str, float]) -> None:
            job.advance(epoch, protocol.epochs)
            job.report("training", epoch, dict(values))

        validation, folder = self.sources.make_validation(self.parts.validation), job.workdir / "training"
        if protocol.encoders == "frozen":
            return train_head(head, training, validation, recipe, self.seed, folder=folder, tell=tell)
        self.encoders.model.module.requires_grad_(False)
        for parameter in used:
            parameter.requires_grad_(True)
        try:
            return train_head(
                head, training, validation, recipe, self.seed, folder=folder, tell=tell,
                encoders=self.encoders.model.module.eval(), encoder_rate=protocol.encoder_rate,
            )  # fmt: skip
        finally:
            for parameter in used:
                parameter.requires_grad_(False)

    # ---------------------------------------------------------------- measuring

    def _run_probes(self, head: Any, test: PairFeatures) -> tuple[dict[str, Predictions], dict[str, Any]]:
        """Return the predictions under each probe, and each sample's `top1` there."""
        probed: dict[str, Predictions] = {}
        samples: dict[str, Any] = {}
        if not self.protocol.probes:
            return probed, samples
        train = self.sources.collect_plain(self.parts.train)
        for modality in self.method.modalities:
            for kind in KINDS:
                altered = remove_modality(test, modality, kind, getattr(train, modality), self.seed)
                scores = predict_with_head(head, altered).numpy()
                predictions = Predictions(scores, self.parts.test.targets, self.parts.test.ids, self.classes)
                name = f"{modality} {kind}"
                probed[name] = predictions
                samples[f"top1.{name}"] = (predictions.predicted == predictions.targets).astype(np.float32)
        return probed, samples

    def _find_subsets(self) -> dict[str, NDArray[np.bool_]]:
        """Return the data set's boolean groups of the reported samples, by name."""
        portion = self.parts.test
        groups = getattr(portion.split, "groups", {})
        found = {name: np.asarray(column)[portion.rows] for name, column in groups.items()}
        return {name: column for name, column in found.items() if column.dtype == bool}

    def _measure_costs(
        self, head: Any, test: PairFeatures, trained: TrainedHead, used: list[Any]
    ) -> dict[str, float]:
        own = [p for p in head.parameters() if p.requires_grad]
        tuned = used if self.protocol.encoders == "tuned" else []
        rates = {m: self._encoding_rate(m) for m in self.method.modalities}
        cached = costs.measure_cached_rate(head, test)
        cost = {
            "parameters": costs.count_numbers([*used, *head.parameters()]),
            "trainable_parameters": costs.count_numbers([*own, *tuned]),
            "cached_samples_per_second": cached,
            "samples_per_second": costs.estimate_raw_rate(cached, rates),
            "training_seconds": trained.seconds,
            "epochs": trained.epochs,
        }
        if trained.seconds > 0 and trained.samples:
            cost["training_samples_per_second"] = trained.samples / trained.seconds
        return {k: v for k, v in cost.items() if np.isfinite(v)}

    def _encoding_rate(self, modality: Any) -> float:
        return self.encoders.rate(modality, self.parts.test.name)

    # ---------------------------------------------------------------- notes

    def _build_notes(self, trained: TrainedHead, predictions: Predictions) -> dict[str, Any]:
        parts, protocol = self.parts, self.protocol
        counts = np.bincount(parts.train.targets, minlength=len(self.classes))
        weights = class_weights(torch.from_numpy(parts.train.targets), len(self.classes))
        over = f"{protocol.t_max or 'all'} {protocol.cosine_over}"
        return {
            "split": RULE_NOTES[parts.rule],
            "parts": parts.notes,
            "classes": self.classes,
            "training_counts": counts.tolist(),
            "class_weights": weights.tolist() if protocol.class_weights else None,
            "training": {
                "epochs": trained.epochs,
                "best_epoch": trained.best_epoch,
                "schedule": f"cosine over {over}" if protocol.schedule == "cosine" else "constant",
                "encoders": protocol.encoders,
                "augmentation": self.augmentation,
                "views": protocol.views,
            },
            "throughput": {
                "cached": f"prediction from features in memory, {FEATURES_AT_ONCE} at once, after a first run",
                "raw": "reading, preparing or tokenising, encoding and predicting one after the other; encoders "
                f"timed over the whole split, {self.job.batch_size} images at once, first batch included",
            },
            "data": merge_reports(self._opened_splits()),
            "misses": analyse_misses(
                self._find_miss_groups(), predictions.targets, predictions.predicted, predictions.confidence,
                predictions.ids, [parts.test.split.texts[r] for r in parts.test.rows], self.classes,  # type: ignore[attr-defined]
            ),
        }  # fmt: skip

    def _compare_parts(self) -> None:
        """Raise DataError if the parts' classes differ; remark if a validation split is reported."""
        job, parts = self.job, self.parts
        for part in (parts.validation, parts.test):
            for text in check_same_classes(parts.train.split, part.split, job.cell.dataset.label):
                job.remark(text)
        if role_of(parts.test.name) == "validation":
            job.remark(
                f"reported on '{parts.test.name}', a validation split: there is no test split with labels"
            )

    def _opened_splits(self) -> list[Split]:
        """Return the splits that this cell read, including that of the predicted pairs."""
        parts, names = self.parts, [self.parts.unlabelled] if self.protocol.predict is not None else []
        own = [part.split for part in (parts.train, parts.validation, parts.test)]
        return own + [self.job.splits(name) for name in names if name is not None]

    def _find_miss_groups(self) -> dict[str, NDArray[np.bool_]]:
        """Return the groups of the reported pairs; cached, since finding them reads images."""
        job, test, train = self.job, self.parts.test, self.parts.train

        def compute() -> NDArray[np.int8]:
            found = find_miss_groups(test.split, test.rows, train.targets)
            unknown = np.full(len(test), -1)
            return np.stack([found.get(name, unknown) for name in DESCRIPTIONS]).astype(np.int8)

        table = job.features(
            "fusion groups of misses", test.name, compute, rows=test.rows, images=False,
            training_counts=np.bincount(train.targets).tolist(),
        )  # fmt: skip
        return {n: row.astype(bool) for n, row in zip(DESCRIPTIONS, table, strict=True) if (row >= 0).all()}

    def _check_predictable(self, folder: Path) -> None:
        """Raise, before training, if predictions could not be written."""
        if self.parts.unlabelled is None:
            raise DataError(f"{self.job.cell.dataset.label}: no split without labels to predict")
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"fusion: predict must be a folder, and {folder} is a file")
        check_submission_layout(self.protocol.layout, self.classes)

    def _write_predictions(self, head: Any) -> str:
        """Write predictions of the pairs without labels; return the file's name, or why there is none."""
        from harness_fusion.pair_splits import SplitPortion

        job, name = self.job, self.parts.unlabelled
        assert name is not None
        if hasattr(head.fusion, "score_with_targets"):
            return "none: a bound needs labels, and these pairs have none"
        split = job.splits(name)
        portion = SplitPortion(name, split, np.arange(len(split)))
        scores = predict_with_head(head, self.sources.collect_plain(portion))
        assert self.protocol.predict is not None
        path = self.protocol.predict / f"{job.cell.id}.csv"
        write_submission(
            path, portion.ids, torch.softmax(scores, 1).numpy(), self.classes, self.protocol.layout,
            left_out=getattr(split, "left_out", ()),
            fallback=int(np.bincount(self.parts.train.targets).argmax()),
        )  # fmt: skip
        return str(path.name)


def _select(predictions: Predictions, chosen: NDArray[np.bool_]) -> Predictions:
    ids = [i for i, keep in zip(predictions.ids, chosen, strict=True) if keep]
    return Predictions(predictions.logits[chosen], predictions.targets[chosen], ids, predictions.class_names)


def _build_curves(trained: TrainedHead) -> dict[str, dict[str, list[float]]]:
    """Return the curves of the head and of the parts trained before it."""
    curves = {name: part.curves for name, part in trained.parts.items() if part.curves["epoch"]}
    return {**curves, **({"training": trained.curves} if trained.curves["epoch"] else {})}
