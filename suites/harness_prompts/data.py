"""A cell's data set as prompt methods need it: names, embeddings of the shots, embeddings to evaluate on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Diverged, Job, Predictions, Split
from harness.inference.splits import find_test_split, named_split
from harness.inference.zeroshot import similarity_of, templates_of
from harness_few_shot.task import Classifier, Task
from harness_prompts.shots import POOL, draw_shots, relabelled

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.contract.cells import Part

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
        train = named_split(splits, train) or train
        held_out = named_split(splits, validation)
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
            texts=Texts.of(job.model),
            logit_scale=float(job.model.logit_scale) if logit_scale is None else logit_scale,
            shots=shots,
            seed=job.seed_for("few-shot", job.cell.seed),
            views=self._views(train, rows) if shots else _no_views,
            images=self._images(train, rows),
            space=getattr(job.dataset, "label_space", None) or "",
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

        targets = self._targets(split) if shots else np.empty(0, np.int64)
        if not len(targets):
            none = torch.empty(0, device=self.job.device)
            return np.empty(0, np.int64), none.long(), none.reshape(0, 0)
        job = self.job
        pool = draw_shots(targets, skip + max(POOL, shots), job.cell.dataset.plugin, split, job.cell.seed)
        pool = [drawn[skip:] for drawn in pool]
        together = np.concatenate(pool)
        embeddings, _ = outputs(job, "image embeddings", split, together)
        place = dict(zip(together.tolist(), range(len(together)), strict=True))
        chosen = [(row, new) for new, c in enumerate(classes) if c < len(pool) for row in pool[c][:shots]]
        if not chosen:
            return self._shots(split, 0, classes, skip)
        rows = np.array([row for row, _ in chosen], np.int64)
        features = torch.from_numpy(embeddings[[place[int(r)] for r in rows]]).to(job.device)
        labels = torch.tensor([new for _, new in chosen], device=job.device)
        return rows, labels, F.normalize(features, dim=-1)

    def _views(self, split: str, rows: NDArray[np.int64]) -> Callable[[int], torch.Tensor]:
        """Normalised embeddings of the shots under random crops (scale 0.08 to 1) and flips."""

        def view(number: int) -> torch.Tensor:
            import torch
            import torch.nn.functional as F

            from harness.inference.batches import forward_all

            job = self.job
            self.fitted_on = FRESH
            prepare = random_preparation(job.model)
            seed = job.seed_for("views", job.cell.dataset.plugin, job.cell.seed, number)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                encoded = forward_all(
                    job.model.encode_image,
                    job.splits(split),
                    prepare,
                    device=job.device,
                    batch_size=job.batch_size,
                    precision=job.precision,
                    indices=rows.tolist(),
                )
            return F.normalize(encoded.to(job.device), dim=-1).clone()

        return view

    def _images(
        self, split: str, rows: NDArray[np.int64]
    ) -> Callable[[Sequence[int], int | None], torch.Tensor]:
        """The shots themselves, by their place among the shots; a view is the same whatever its company."""

        def images(wanted: Sequence[int], view: int | None) -> torch.Tensor:
            import torch

            from harness.inference.evaluate import image_pipeline

            job = self.job
            opened = job.splits(split)
            self.fitted_on = "the images themselves" if view is None else FRESH
            prepare = image_pipeline(job, opened) if view is None else random_preparation(job.model)
            prepared = []
            with torch.random.fork_rng(devices=[]):
                for i in wanted:
                    if view is not None:
                        torch.manual_seed(
                            job.seed_for("image", job.cell.dataset.plugin, job.cell.seed, view, i)
                        )
                    prepared.append(prepare(opened[int(rows[i])].image))
            return torch.stack(prepared).to(job.device)

        return images


def random_preparation(model: Any) -> Callable[[Any], torch.Tensor]:
    """RandomResizedCrop to the model's input size, scale (0.08, 1), bicubic; horizontal flip; its normalisation."""
    from torchvision import transforms

    from harness import OptionError
    from harness.inference.images import decode

    preparation = getattr(model, "preparation", None)
    if preparation is None:
        raise OptionError("the model does not say its preparation as data, so its images can't be augmented")
    bicubic = transforms.InterpolationMode.BICUBIC
    crop = transforms.Compose(
        [
            transforms.RandomResizedCrop(preparation.crop, scale=(0.08, 1.0), interpolation=bicubic),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(preparation.mean, preparation.std),
        ]
    )
    return lambda image: crop(decode(image))


def elsewhere(job: Job, references: Sequence[Any]) -> dict[str, Job]:
    """A job on each further data set, by its label: the same model and metrics, other samples."""
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse

    resolver, jobs = Resolver(job.cell.dataset.skip_unreadable), {}
    for given in references:
        for reference in parse(given, "evaluate_on"):
            part = resolver.resolve("datasets", reference, "evaluate_on")
            if part.missing:
                from harness import Unavailable

                raise Unavailable(f"evaluate_on, {part.label}: {part.missing}")
            cell = replace(job.cell, dataset=part)
            jobs[part.label] = replace(job, cell=cell, dataset=part.object, splits=_opener(job, part))
    return jobs


def _opener(job: Job, dataset: Part) -> Callable[[str], Split]:
    from harness.inference.readable import open_split

    opened: dict[str, Split] = {}

    def splits(name: str) -> Split:
        if name not in opened:
            opened[name], said = open_split(dataset, name, job.cell.limit, job.workers, job.cache)
            for text in said:
                job.remark(f"{dataset.label}: {text}")
        return opened[name]

    return splits


def _no_views(number: int) -> torch.Tensor:
    raise DataError("there are no shots to augment")
