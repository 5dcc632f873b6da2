"""Where a cell's training gets its pairs from: kept features, augmented ones, or encoders run at every batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import asdict, replace
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.inference.batches import autocast
from harness.inference.evaluate import image_pipeline
from harness.inference.images import decode
from harness.learning.pipeline import Batch, HeldSamples, Pipeline
from harness_fusion.augmentation import Augmentation
from harness_fusion.contracts import Features, Pairs, Source
from harness_fusion.features import Change, Changed, Encoders, Modality, absent, there
from harness_fusion.splits import Portion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.learning.draws import DrawnBatch
    from harness_fusion.options import FusionOptions

RECIPE = "augmentation-1"
"""Version of what augmentation makes of a pair; to be raised with any change that changes it."""

MODALITIES: tuple[Modality, ...] = ("text", "image")


class Sources:
    """Makes the sources of one cell. `method` says which modalities are encoded at all."""

    def __init__(
        self, encoders: Encoders, method: Any, protocol: FusionOptions, augmentation: str, seed: int
    ) -> None:
        self.encoders, self.method, self.protocol, self.seed = encoders, method, protocol, seed
        self.augmented = {m for m in MODALITIES if augmentation in ("on", m) and m in method.modalities}
        self.augmentation = Augmentation(**protocol.changes)
        self.device = encoders.job.device
        self._spread: dict[Modality, tuple[torch.Tensor, torch.Tensor]] = {}

    def standardise(self, portion: Portion) -> None:
        """From now on vectors have mean 0 and deviation 1 over this portion's samples that have the modality."""
        for modality in self.method.modalities:
            features = self._plain(portion, modality)
            vectors = features.pooled[features.present]
            self._spread[modality] = vectors.mean(0), vectors.std(0).clamp(min=1e-6)

    def plain(self, portion: Portion) -> Pairs:
        """Features as they are. Tuned encoders are run once for it, and nothing is kept on disk."""
        return self._source(portion, lambda m: self._plain(portion, m))

    def training(self, portion: Portion) -> Source:
        """What the head trains on: with augmentation, other features in each epoch."""
        if self.protocol.encoders == "tuned":
            return Live(self, portion, altered=True)
        if not self.augmented:
            return self.plain(portion)
        views = self.protocol.views
        targets = torch.from_numpy(portion.targets).to(self.device)

        def encode(epoch: int) -> Pairs:
            return self._source(portion, lambda m: self._view(portion, m, epoch % views if views else epoch))

        return Augmented(targets, encode)

    def judging(self, portion: Portion) -> Source:
        """What stops the training: features as they are, from the encoders as they are by then."""
        return (
            Live(self, portion, altered=False) if self.protocol.encoders == "tuned" else self.plain(portion)
        )

    def change(self, portion: Portion, modality: Modality, epoch: int, seed: int) -> Change | None:
        """How a row's image or text is altered in an epoch or view; None where it is not."""
        if modality not in self.augmented:
            return None
        ids, augmentation = portion.split.ids, self.augmentation
        if modality == "text":
            return lambda row, text: augmentation.text(text, ids[row], epoch, seed)
        return lambda row, image: augmentation.image(decode(image), ids[row], epoch, seed)

    def _plain(self, portion: Portion, modality: Modality) -> Features:
        if self.protocol.encoders == "tuned":
            return self.encoders.encoded(modality, portion.name, portion.rows)
        tokens = self.method.reads == "tokens"
        rows = torch.from_numpy(portion.rows)
        return self.encoders.kept(modality, portion.name, tokens).each(lambda t: t[rows])

    def _view(self, portion: Portion, modality: Modality, number: int) -> Features:
        """One view of the training part: kept when views are shared, else of this seed and epoch alone."""
        shared = self.protocol.views > 0
        change = self.change(portion, modality, number, 0 if shared else self.seed)
        if change is None:
            return self._plain(portion, modality)
        if not shared:
            return self.encoders.encoded(modality, portion.name, portion.rows, change)
        view = {"recipe": [RECIPE, asdict(self.augmentation)], "view": number}
        tokens = self.method.reads == "tokens"
        return self.encoders.kept(modality, portion.name, tokens, portion.rows, change, view)

    def _scaled(self, modality: Modality, features: Features) -> Features:
        if modality not in self._spread:
            return features
        mean, deviation = self._spread[modality]
        return replace(features, pooled=(features.pooled - mean) / deviation)

    def _source(self, portion: Portion, features: Callable[[Modality], Features]) -> Pairs:
        read = self.method.modalities
        text, image = (
            self._scaled(m, features(m)) if m in read else absent(len(portion)) for m in MODALITIES
        )
        return Pairs(text, image, torch.from_numpy(portion.targets)).to(self.device)


class Augmented(HeldSamples):
    """Training pairs that `encode(epoch)` makes anew for each epoch (from 0), in the order of `targets`.

    The last epoch is held.
    """

    targets: torch.Tensor

    def __init__(self, targets: torch.Tensor, encode: Callable[[int], Pairs]) -> None:
        super().__init__(encode, targets)


class Live:
    """Training pairs whose encoders run at every batch, so that gradients reach them. A `Source`.

    Images are prepared ahead, while encoders and head compute.
    """

    def __init__(self, sources: Sources, portion: Portion, altered: bool) -> None:
        self.sources, self.portion, self.altered = sources, portion, altered
        self.encoders = sources.encoders
        self.targets = torch.from_numpy(portion.targets).to(sources.device)
        self.present = {m: there(portion.split, m) for m in sources.method.modalities}

    def __len__(self) -> int:
        return len(self.portion)

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield each batch as it is in its epoch, encoded by the encoders as they are by then."""
        if "image" not in self.present:
            yield from (self._encoded(entry, None) for entry in plan)
            return
        plan, ahead = tee(plan)
        images = ((step, epoch, self._places("image", rows)) for step, epoch, rows in ahead)
        with closing(self._pipeline().batches(images)) as prepared:
            for entry, batch in zip(plan, prepared, strict=True):
                yield self._encoded(entry, batch.data)

    def _pipeline(self) -> Pipeline:
        job, split = self.encoders.job, self.portion.split

        def seen(epoch: int) -> Any:
            change = self._change("image", epoch)
            return split if change is None else Changed(split, change)

        return Pipeline(
            seen,
            image_pipeline(job, split),
            device=job.device,
            workers=job.workers,
            indices=range(len(split)),
        )

    def _change(self, modality: Modality, epoch: int) -> Change | None:
        sources = self.sources
        return sources.change(self.portion, modality, epoch, sources.seed) if self.altered else None

    def _places(self, modality: Modality, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which samples of the split are encoded: those that have the modality.

        Where nobody in the batch has it, another one that has: missing all the same.
        """
        places = self.portion.rows[rows]
        present = self.present[modality]
        found: NDArray[np.int64] = places[present[places]]
        return found if len(found) else np.flatnonzero(present)[:1]

    def _encoded(self, entry: DrawnBatch, images: torch.Tensor | None) -> Batch:
        step, epoch, rows = entry
        job, features = self.encoders.job, {m: absent(len(rows)) for m in MODALITIES}
        for modality in self.sources.method.modalities:
            with autocast(job.device, job.precision):
                if modality == "text":
                    parts = self.encoders.text_parts(self._texts(epoch, rows))
                else:
                    assert images is not None
                    parts = self.encoders.image_parts(images)
            features[modality] = self._features(modality, rows, parts)
        targets = self.targets[torch.from_numpy(rows).to(self.targets.device)]
        pairs = Pairs(features["text"], features["image"], targets).to(self.targets.device)
        return Batch(step, epoch, rows, pairs, targets)

    def _texts(self, epoch: int, rows: NDArray[np.int64]) -> list[str]:
        places, change = self._places("text", rows).tolist(), self._change("text", epoch)
        texts = self.portion.split.texts  # type: ignore[attr-defined]
        return [texts[r] if change is None else change(r, texts[r]) for r in places]

    def _features(
        self, modality: Modality, rows: NDArray[np.int64], parts: tuple[torch.Tensor, ...]
    ) -> Features:
        """What the encoder says of those that have the modality, put in their places among the batch."""
        present = torch.from_numpy(self.present[modality][self.portion.rows[rows]])
        where = present.nonzero()[:, 0] if present.any() else torch.zeros(1, dtype=torch.long)
        parts = tuple(_scatter(part, where.to(part.device), len(rows)) for part in parts)
        pooled = self.encoders.scaled(parts[0])
        sequence = parts[1].float() if len(parts) > 1 else None
        return Features.of(pooled, present.to(pooled.device), sequence, parts[2] if len(parts) > 2 else None)


def _scatter(part: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Rows put in their places among `count`, zero elsewhere; gradients go through."""
    return part.new_zeros(count, *part.shape[1:]).index_copy(0, rows, part)
