"""A cell's data set as prompt methods need it: class names, embedded shots, and predictions on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness import DataError, Diverged, Job, Predictions
from harness.contract.declared import ask
from harness.inference.splits import find_named_split, find_test_split
from harness.inference.zeroshot import similarity_of, templates_of
from harness.learning.draws import describe_short_draw, draw_shots
from harness_few_shot.task import FewShotClassifier, FewShotTask
from harness_prompts.shots import POOL, relabel_rows

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.learning.pipeline import Pipeline

ROWS_AT_ONCE = 8192
VAL_SHOTS = 4
"""The most validation shots per class: CoOp takes min(K, 4) for K training shots."""

FRESH = "fresh random crops and flips of the images"


class PromptData:
    """A job's data set with its class names and templates.

    `names` chooses the class names; they are read from `split`, by default the split to evaluate on
    (`tested`). Raises DataError for a data set without class names.
    """

    def __init__(self, job: Job, names: str = "data", split: str | None = None) -> None:
        from harness_prompts.prompt_class_names import choose_class_names

        test = find_test_split(job.dataset.splits, option="")
        if test.name is None:
            raise DataError(f"{job.cell.dataset.label}: {test.refusal}")
        self.job, self.tested, self.split = job, test.name, split or test.name
        opened = job.splits(self.split)
        own: Sequence[str] | None = ask(opened, "class_names")
        if not own:
            raise DataError(f"{job.cell.dataset.label}: prompts need class names, and the data set has none")
        self.class_names = choose_class_names(own, names)
        self.templates = templates_of(opened, job.cell.dataset.label)
        self.fitted_on = "kept embeddings"
        """What the method was fitted on, for the record: cached embeddings unless it asks for views or images."""

    def make_task(
        self, classes: Sequence[int], shots: int, train: str, validation: str, logit_scale: float | None
    ) -> FewShotTask:
        """Return the task of telling `classes` apart with `shots` of each, labelled in the order of `classes`."""
        from harness_few_shot.texts import TextEmbeddings

        job, splits = self.job, self.job.dataset.splits
        train = find_named_split(splits, train) or train
        held_out = find_named_split(splits, validation)
        rows, labels, features = self._draw_shots(train, shots, classes, 0)
        if shots and not len(rows):
            raise DataError(f"{job.cell.dataset.label}: '{train}' has no samples of the classes to learn")
        if held_out is not None and held_out != self.tested:
            held = self._draw_shots(held_out, min(shots, VAL_SHOTS), classes, 0)
        else:
            # behind the pool, so that validation shots are never training shots, whatever the number of shots
            held = self._draw_shots(train, min(shots, VAL_SHOTS), classes, max(POOL, shots))
        return FewShotTask(
            class_names=[self.class_names[c] for c in classes],
            templates=self.templates,
            features=features,
            labels=labels,
            val_features=held[2],
            val_labels=held[1],
            texts=job.shared(TextEmbeddings, lambda: TextEmbeddings(job.model), of="model"),
            logit_scale=float(job.model.logit_scale) if logit_scale is None else logit_scale,
            shots=shots,
            seed=job.seed_for("few-shot", job.cell.seed),
            views=self._make_views(train, rows) if shots else _refuse_views,
            images=self._make_images(train, rows, labels),
            space=ask(job.dataset, "label_space") or "",
            folder=job.workdir,
            report=job.report,
            advance=job.advance,
        )

    def predict(
        self, classifier: FewShotClassifier, classes: Sequence[int], split: str
    ) -> tuple[Predictions, float | None]:
        """Classify the samples of `classes` among these classes only.

        Also return the image tower's samples per second, or None if the embeddings were cached. Raises
        DataError if no sample is of these classes, Diverged for logits that are not finite.
        """
        import torch
        import torch.nn.functional as F

        from harness.inference.evaluate import outputs

        opened = self.job.splits(split)
        rows, targets = relabel_rows(self._read_targets(split), classes)
        if not len(rows):
            raise DataError(
                f"{self.job.cell.dataset.label}: '{split}' has no samples of the classes to tell apart"
            )
        if hasattr(classifier, "encode_image"):
            embeddings, rate = self._encode(classifier.encode_image, split, rows)
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
        if not found.isfinite().all():
            raise Diverged(f"the logits on {self.job.cell.dataset.label} are not finite")
        return Predictions(found.numpy(), targets, [opened.ids[r] for r in rows], names), rate

    def _read_targets(self, split: str) -> NDArray[np.int64]:
        """Return the split's labels. Raises DataError for several per sample, or for one without a class name."""
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

    def _encode(
        self, encode: Callable[[torch.Tensor], torch.Tensor], split: str, rows: NDArray[np.int64]
    ) -> tuple[torch.Tensor, float | None]:
        """Return embeddings of the classifier's own image tower and its samples per second; nothing is cached."""
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

    def _draw_shots(
        self, split: str, shots: int, classes: Sequence[int], skip: int
    ) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
        """Return rows, labels and normalised embeddings of the shots, without the first `skip` draws of each class.

        The whole pool is embedded at once, so that every number of shots reads the same cached embeddings.
        """
        import torch
        import torch.nn.functional as F

        from harness.inference.evaluate import outputs

        job = self.job
        targets = self._read_targets(split) if shots else np.empty(0, np.int64)
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
        if not skip and (remark := describe_short_draw(drawn, shots, split)) is not None:
            job.remark(remark)
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

    def _make_views(self, split: str, rows: NDArray[np.int64]) -> Callable[[int], torch.Tensor]:
        """Return a function from a view's number to normalised embeddings of the shots.

        A view is a random crop (scale 0.08 to 1) and flip of each image.
        """

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

    def _make_images(
        self, split: str, rows: NDArray[np.int64], labels: torch.Tensor
    ) -> Callable[[bool], Pipeline]:
        """Return a function that opens the shots as a pipeline of images, prepared during training."""

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


def _refuse_views(number: int) -> torch.Tensor:
    raise DataError("there are no shots to augment")
