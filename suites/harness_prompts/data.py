"""A cell's data set as prompt methods need it: names, embeddings of the shots, embeddings to evaluate on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness import DataError, Diverged, Job, Predictions
from harness.contract.declared import ask
from harness.inference.splits import find_named_split, find_test_split
from harness.inference.zeroshot import similarity_of, templates_of
from harness.learning.draws import draw_shots
from harness_few_shot.task import Classifier, Task
from harness_prompts.shots import POOL, relabelled

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.learning.pipeline import Pipeline

ROWS_AT_ONCE = 8192
VAL_SHOTS = 4
"""Validation shots per class, where there are as many training shots (CoOp's min(K, 4))."""

FRESH = "fresh random crops and flips of the images"


class Source:
    """The data set of a job. `names` chooses the class names; `split` is where they are read from.

    Without a split it is the one to evaluate on, `tested`. Raises DataError for a data set without class names.
    """

    def __init__(self, job: Job, names: str = "data", split: str | None = None) -> None:
        from harness_prompts.names import class_names

        test = find_test_split(job.dataset.splits, option="")
        if test.name is None:
            raise DataError(f"{job.cell.dataset.label}: {test.refusal}")
        self.job, self.tested, self.split = job, test.name, split or test.name
        opened = job.splits(self.split)
        own: Sequence[str] | None = getattr(opened, "class_names", None)
        if not own:
            raise DataError(f"{job.cell.dataset.label}: prompts need class names, and the data set has none")
        self.class_names = class_names(own, names)
        self.templates = templates_of(opened, job.cell.dataset.label)
        self.fitted_on = "kept embeddings"
        """In words: what fitting asked for, beyond embeddings that are computed once."""

    def task(
        self, classes: Sequence[int], shots: int, train: str, validation: str, logit_scale: float | None
    ) -> Task:
        """The task of telling `classes` apart, with `shots` of each; relabelled in their order."""
        from harness_few_shot.texts import Texts

        job, splits = self.job, self.job.dataset.splits
        train = find_named_split(splits, train) or train
        held_out = find_named_split(splits, validation)
        rows, labels, features = self._shots(train, shots, classes, 0)
        if shots and not len(rows):
            raise DataError(f"{job.cell.dataset.label}: '{train}' has no samples of the classes to learn")
        if held_out is not None and held_out != self.tested:
            held = self._shots(held_out, min(shots, VAL_SHOTS), classes, 0)
        else:
            held = self._shots(train, min(shots, VAL_SHOTS), classes, max(POOL, shots))
        return Task(
            class_names=[self.class_names[c] for c in classes],
            templates=self.templates,
            features=features,
            labels=labels,
            val_features=held[2],
            val_labels=held[1],
            texts=job.shared(Texts, lambda: Texts(job.model), of="model"),
            logit_scale=float(job.model.logit_scale) if logit_scale is None else logit_scale,
            shots=shots,
            seed=job.seed_for("few-shot", job.cell.seed),
            views=self._views(train, rows) if shots else _no_views,
            images=self._images(train, rows, labels),
            space=getattr(job.dataset, "label_space", None) or "",
            folder=job.workdir,
            report=job.report,
            advance=job.advance,
        )

    def predictions(
        self, classifier: Classifier, classes: Sequence[int], split: str
    ) -> tuple[Predictions, float | None]:
        """What the classifier says about the samples of `classes`, among these classes only.

        Also the samples per second of the image tower, or None when the embeddings were kept. Raises
        DataError when no sample is of these classes, Diverged for logits that are not finite.
        """
        import torch
        import torch.nn.functional as F

        from harness.inference.evaluate import outputs

        opened = self.job.splits(split)
        rows, targets = relabelled(self._targets(split), classes)
        if not len(rows):
            raise DataError(
                f"{self.job.cell.dataset.label}: '{split}' has no samples of the classes to tell apart"
            )
        if hasattr(classifier, "encode_image"):
            embeddings, rate = self._encoded(classifier.encode_image, split, rows)
        else:
            kept, rate = outputs(self.job, "image embeddings", split)
            embeddings = torch.from_numpy(kept[rows])
        names = [self.class_names[c] for c in classes]
        features = embeddings.to(self.job.device)
        if similarity_of(self.job.model) == "cosine":
            features = F.normalize(features, dim=-1)
        with torch.no_grad():
            logits = [classifier.logits(part, names).float().cpu() for part in features.split(ROWS_AT_ONCE)]
        found = torch.cat(logits)
        if not found.isfinite().all():  # what metrics make of these is no measurement
            raise Diverged(f"the logits on {self.job.cell.dataset.label} are not finite")
        return Predictions(found.numpy(), targets, [opened.ids[r] for r in rows], names), rate

    def _targets(self, split: str) -> NDArray[np.int64]:
        """The split's labels; DataError for several per sample, or one that no class name belongs to."""
        opened, label = self.job.splits(split), self.job.cell.dataset.label
        targets = np.asarray(opened.targets)
        if targets.ndim != 1:
            raise DataError(f"{label}: its samples have several labels, prompts need one each")
        count = len(self.class_names)
        if len(outside := np.flatnonzero((targets < 0) | (targets >= count))):
            wrong = int(outside[0])
            raise DataError(
                f"{label}: sample '{opened.ids[wrong]}' of '{split}' has label {targets[wrong]}, "
                f"the class list has {count} entries"
            )
        return targets

    def _encoded(
        self, encode: Callable[[torch.Tensor], torch.Tensor], split: str, rows: NDArray[np.int64]
    ) -> tuple[torch.Tensor, float | None]:
        """Embeddings that a classifier's own image tower makes, and its samples per second. Not kept."""
        import time

        from harness.inference.batches import forward_all
        from harness.inference.evaluate import image_pipeline

        job, start = self.job, time.perf_counter()
        opened = job.splits(split)
        embeddings = forward_all(
            encode,
            opened,
            image_pipeline(job, opened),
            device=job.device,
            batch_size=job.batch_size,
            precision=job.precision,
            workers=job.workers,
            indices=rows.tolist(),
        )
        return embeddings.clone(), len(rows) / max(time.perf_counter() - start, 1e-9)

    def _shots(
        self, split: str, shots: int, classes: Sequence[int], skip: int
    ) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
        """Rows, labels and normalised embeddings of the shots; those that come first in the draw are skipped."""
        import torch
        import torch.nn.functional as F

        from harness.inference.evaluate import outputs

        job = self.job
        targets = self._targets(split) if shots else np.empty(0, np.int64)
        pool = draw_shots(
            job.splits(split).ids if shots else (),
            targets,
            max(POOL, shots),
            job.cell.seed,
            split,
            skip=skip,
            classes=len(self.class_names),
        )
        drawn = [pool[c][:shots] for c in classes]
        rows = np.concatenate(drawn)
        if not len(rows):
            none = torch.empty(0, device=job.device)
            return rows, none.long(), none.reshape(0, 0)
        together = np.concatenate(pool)
        embeddings, _ = outputs(job, "image embeddings", split, together)
        place = dict(zip(together.tolist(), range(len(together)), strict=True))
        features = torch.from_numpy(embeddings[[place[row] for row in rows.tolist()]]).to(job.device)
        labels = torch.tensor(np.repeat(np.arange(len(classes)), [len(d) for d in drawn]), device=job.device)
        return rows, labels, F.normalize(features, dim=-1)

    def _views(self, split: str, rows: NDArray[np.int64]) -> Callable[[int], torch.Tensor]:
        """Normalised embeddings of the shots under random crops (scale 0.08 to 1) and flips."""

        def view(number: int) -> torch.Tensor:
            import torch.nn.functional as F

            from harness.inference.batches import forward_all
            from harness.learning.augmentation import build_augmentation

            job = self.job
            self.fitted_on = FRESH
            encoded = forward_all(
                job.model.encode_image,
                job.splits(split),
                build_augmentation("crop-flip", ask(job.model, "preparation")),
                device=job.device,
                batch_size=job.batch_size,
                precision=job.precision,
                workers=job.workers,
                indices=rows.tolist(),
                seed=job.seed_for("views", job.cell.seed, number),
            )
            return F.normalize(encoded.to(job.device), dim=-1)

        return view

    def _images(
        self, split: str, rows: NDArray[np.int64], labels: torch.Tensor
    ) -> Callable[[bool], Pipeline]:
        """The shots themselves, prepared while a training goes on."""

        def images(augment: bool) -> Pipeline:
            from harness.inference.evaluate import image_pipeline
            from harness.learning.augmentation import build_augmentation
            from harness.learning.pipeline import Pipeline

            job = self.job
            opened = job.splits(split)
            self.fitted_on = FRESH if augment else "the images themselves"
            return Pipeline(
                opened,
                build_augmentation("crop-flip", ask(job.model, "preparation"))
                if augment
                else image_pipeline(job, opened),
                device=job.device,
                workers=job.workers,
                indices=rows.tolist(),
                targets=labels.cpu(),
                seed=job.seed_for("images", job.cell.seed) if augment else None,
            )

        return images


def _no_views(number: int) -> torch.Tensor:
    raise DataError("there are no shots to augment")
