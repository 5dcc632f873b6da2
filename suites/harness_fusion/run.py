"""One cell of fusion: features, training, prediction, probes, subsets, costs and what is noted of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import DataError, Job, OptionError, Predictions, Result
from harness.inference.classes import check_same_classes
from harness.inference.evaluate import classification_result, compute_metrics
from harness.inference.splits import role_of
from harness.learning.draws import class_weights, draw_shots
from harness_fusion import costs
from harness_fusion.contracts import Pairs, first_pair
from harness_fusion.features import Encoders
from harness_fusion.heads import build_head, shares
from harness_fusion.misses import DESCRIPTIONS, analyse, find_groups
from harness_fusion.probes import KINDS, probed
from harness_fusion.reports import joined
from harness_fusion.sources import Sources
from harness_fusion.splits import arrange
from harness_fusion.submission import check_style, write_submission
from harness_fusion.training import FEATURES_AT_ONCE, HeadRecipe, TrainedHead, predict, train_head

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness import Split
    from harness_fusion.options import FusionOptions

RULES_IN_WORDS = {
    "reference": "reference protocol: the reported part also stops the training, which flatters every row",
    "clean": "clean: training stops on a part of its own, and the reported part is used once",
}


class Run:
    """A cell being run; `result` calls the steps in order."""

    def __init__(self, protocol: FusionOptions, job: Job) -> None:
        self.protocol, self.job, self.method = protocol, job, job.method
        axes = job.cell.axes
        self.augmentation = str(axes.get("augmentation", protocol.augmentation))
        self.parts = arrange(job.dataset.splits, job.splits, axes.get("split", protocol.split))
        if (shots := axes.get("shots", "all")) != "all":
            train = self.parts.train
            drawn = draw_shots(train.ids, train.targets, shots, job.cell.seed, train.name)
            rows = np.sort(train.rows[np.concatenate(drawn)])
            self.parts = replace(self.parts, train=replace(train, rows=rows))
        self.encoders = Encoders(job, protocol.tokens, protocol.vectors == "unit")
        self.seed = job.seed_for("fusion", job.cell.seed)
        self.sources = Sources(self.encoders, self.method, protocol, self.augmentation, self.seed)
        if protocol.vectors == "standard":
            self.sources.standardise(self.parts.train)
        self._compare_parts()
        self.classes = list(self.parts.train.split.class_names)  # type: ignore[attr-defined]
        found = set(np.unique(np.concatenate([self.parts.train.targets, self.parts.test.targets])).tolist())
        if len(found) < 2:
            raise DataError(f"{job.cell.dataset.label}: all labelled pairs are of one class")
        if protocol.predict is not None:
            self._predictable(protocol.predict)

    def result(self) -> Result:
        """Everything about the cell."""
        job, method = self.job, self.method
        used = self._used()
        training = self.sources.training(self.parts.train)
        first = first_pair(training)
        head = build_head(
            method, first.text.width(method.reads), first.image.width(method.reads), len(self.classes),
            dropout=self.protocol.dropout, seed=self.seed,
        ).to(job.device)  # fmt: skip
        trained = self._trained(head, training, used)
        test = self.sources.plain(self.parts.test)
        scores = predict(head, test).numpy()
        predictions = Predictions(scores, self.parts.test.targets, self.parts.test.ids, self.classes)
        cost = self._costs(head, test, trained, used)
        result = classification_result(job, predictions, cost=cost, curves=_curves(trained))
        if result.status != "ok":
            return result
        extra, samples = self._probes(head, test)
        for name, chosen in self._subsets().items():
            extra |= self._measured(_of(predictions, chosen), name)
            samples[f"in {name}"] = chosen
        if (share := shares(head, test)) is not None:
            extra |= {"share.text": float(share[:, 0].mean()), "share.image": float(share[:, 1].mean())}
            samples["text share"] = share[:, 0].astype(np.float32)
        notes = self._notes(trained, predictions)
        if self.protocol.predict is not None:
            notes["predictions"] = self._submitted(head)
        columns = {**(result.samples or {}), **samples}
        return replace(result, metrics={**result.metrics, **extra}, samples=columns, notes=notes)

    # ---------------------------------------------------------------- training

    def _used(self) -> list[torch.nn.Parameter]:
        """The encoders' parameters that this method's inputs are computed from."""
        split, reads = self.parts.train.split, self.method.reads
        found = [costs.encoder_parameters(self.encoders, m, reads, split) for m in self.method.modalities]
        return list({id(p): p for parameters in found for p in parameters}.values())

    def _trained(self, head: Any, training: Any, used: list[Any]) -> TrainedHead:
        protocol, job = self.protocol, self.job
        recipe = HeadRecipe(
            epochs=protocol.epochs, rate=protocol.rate, batch=protocol.batch, weight_decay=protocol.weight_decay,
            schedule=protocol.schedule, cosine_over=protocol.cosine_over, t_max=protocol.t_max,
            patience=protocol.patience or None, class_weights=protocol.class_weights,
        )  # fmt: skip

        def tell(epoch: int, values: Mapping[str, float]) -> None:
            job.advance(epoch, protocol.epochs)
            job.report("training", epoch, dict(values))

        validation, folder = self.sources.judging(self.parts.validation), job.workdir / "training"
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

    def _measured(self, predictions: Predictions, name: str) -> dict[str, float]:
        """The probe metrics of these predictions, as `METRIC.NAME`; none without samples."""
        metrics = self.job.metrics
        chosen = [m for m in self.protocol.probe_metrics if m in metrics] or list(metrics)[:1]
        if not len(predictions):
            return {}
        found = compute_metrics(replace(self.job, metrics={m: metrics[m] for m in chosen}), predictions)
        return {f"{metric}.{name}": value for metric, value in found.items()}

    def _probes(self, head: Any, test: Pairs) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics under each probe, and what `top1` says of each sample there."""
        values: dict[str, float] = {}
        samples: dict[str, Any] = {}
        if not self.protocol.probes:
            return values, samples
        train = self.sources.plain(self.parts.train)
        for modality in self.method.modalities:
            for kind in KINDS:
                altered = probed(test, modality, kind, getattr(train, modality), self.seed)
                scores = predict(head, altered).numpy()
                predictions = Predictions(scores, self.parts.test.targets, self.parts.test.ids, self.classes)
                name = f"{modality} {kind}"
                values |= self._measured(predictions, name)
                samples[f"top1.{name}"] = (predictions.predicted == predictions.targets).astype(np.float32)
        return values, samples

    def _subsets(self) -> dict[str, NDArray[np.bool_]]:
        """What the data set says of the reported samples, yes or no by name."""
        portion = self.parts.test
        groups = getattr(portion.split, "groups", {})
        found = {name: np.asarray(column)[portion.rows] for name, column in groups.items()}
        return {name: column for name, column in found.items() if column.dtype == bool}

    def _costs(self, head: Any, test: Pairs, trained: TrainedHead, used: list[Any]) -> dict[str, float]:
        own = [p for p in head.parameters() if p.requires_grad]
        tuned = used if self.protocol.encoders == "tuned" else []
        rates = {m: self._rate(m) for m in self.method.modalities}
        cached = costs.cached_rate(head, test)
        cost = {
            "parameters": costs.counted([*used, *head.parameters()]),
            "trainable_parameters": costs.counted([*own, *tuned]),
            "cached_samples_per_second": cached,
            "samples_per_second": costs.raw_rate(cached, rates),
            "training_seconds": trained.seconds,
            "epochs": trained.epochs,
        }
        if trained.seconds > 0 and trained.samples:
            cost["training_samples_per_second"] = trained.samples / trained.seconds
        return {k: v for k, v in cost.items() if np.isfinite(v)}

    def _rate(self, modality: Any) -> float:
        return self.encoders.rate(modality, self.parts.test.name)

    # ---------------------------------------------------------------- notes

    def _notes(self, trained: TrainedHead, predictions: Predictions) -> dict[str, Any]:
        parts, protocol = self.parts, self.protocol
        counts = np.bincount(parts.train.targets, minlength=len(self.classes))
        weights = class_weights(torch.from_numpy(parts.train.targets), len(self.classes))
        over = f"{protocol.t_max or 'all'} {protocol.cosine_over}"
        return {
            "split": RULES_IN_WORDS[parts.rule],
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
            "data": joined(self._opened()),
            "misses": analyse(
                self._miss_groups(), predictions.targets, predictions.predicted, predictions.confidence,
                predictions.ids, [parts.test.split.texts[r] for r in parts.test.rows], self.classes,  # type: ignore[attr-defined]
            ),
        }  # fmt: skip

    def _compare_parts(self) -> None:
        """Raises DataError for parts of other classes; remarks that a validation split is what is reported."""
        job, parts = self.job, self.parts
        for part in (parts.validation, parts.test):
            for text in check_same_classes(parts.train.split, part.split, job.cell.dataset.label):
                job.remark(text)
        if role_of(parts.test.name) == "validation":
            job.remark(
                f"reported on '{parts.test.name}', a split for validation: there is none with labels for testing"
            )

    def _opened(self) -> list[Split]:
        """The splits that this cell read, that of the predicted pairs among them."""
        parts, names = self.parts, [self.parts.unlabelled] if self.protocol.predict is not None else []
        own = [part.split for part in (parts.train, parts.validation, parts.test)]
        return own + [self.job.splits(name) for name in names if name is not None]

    def _miss_groups(self) -> dict[str, NDArray[np.bool_]]:
        """What the reported pairs may have in common; found once, since images are read for it."""
        job, test, train = self.job, self.parts.test, self.parts.train

        def compute() -> NDArray[np.int8]:
            found = find_groups(test.split, test.rows, train.targets)
            unknown = np.full(len(test), -1)
            return np.stack([found.get(name, unknown) for name in DESCRIPTIONS]).astype(np.int8)

        table = job.features(
            "fusion groups of misses", test.name, compute, rows=test.rows, images=False,
            training_counts=np.bincount(train.targets).tolist(),
        )  # fmt: skip
        return {n: row.astype(bool) for n, row in zip(DESCRIPTIONS, table, strict=True) if (row >= 0).all()}

    def _predictable(self, folder: Path) -> None:
        """Raises, before anything is trained, where no predictions could be written."""
        if self.parts.unlabelled is None:
            raise DataError(f"{self.job.cell.dataset.label}: no split without labels to predict")
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"fusion: predict must be a folder, and {folder} is a file")
        check_style(self.protocol.layout, self.classes)

    def _submitted(self, head: Any) -> str:
        """Writes predictions of the pairs without labels; gives the file's name, or why there is none."""
        from harness_fusion.splits import Portion

        job, name = self.job, self.parts.unlabelled
        assert name is not None
        if hasattr(head.fusion, "judged"):
            return "none: a bound knows the labels, and these pairs have none"
        split = job.splits(name)
        portion = Portion(name, split, np.arange(len(split)))
        scores = predict(head, self.sources.plain(portion))
        assert self.protocol.predict is not None
        path = self.protocol.predict / f"{job.cell.id}.csv"
        write_submission(
            path, portion.ids, torch.softmax(scores, 1).numpy(), self.classes, self.protocol.layout,
            left_out=getattr(split, "left_out", ()),
            fallback=int(np.bincount(self.parts.train.targets).argmax()),
        )  # fmt: skip
        return str(path.name)


def _of(predictions: Predictions, chosen: NDArray[np.bool_]) -> Predictions:
    ids = [i for i, keep in zip(predictions.ids, chosen, strict=True) if keep]
    return Predictions(predictions.logits[chosen], predictions.targets[chosen], ids, predictions.class_names)


def _curves(trained: TrainedHead) -> dict[str, dict[str, list[float]]]:
    """The curves of the head and of parts that were trained before it."""
    curves = {name: part.curves for name, part in trained.parts.items() if part.curves["epoch"]}
    return {**curves, **({"training": trained.curves} if trained.curves["epoch"] else {})}
