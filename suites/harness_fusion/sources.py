"""Where a cell's training gets its pairs from: kept features, augmented ones, or encoders run at every batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.inference.batches import autocast
from harness.inference.evaluate import image_pipeline
from harness.inference.images import decode
from harness_fusion.augmentation import Augmentation
from harness_fusion.contracts import Features, Pairs, Source
from harness_fusion.features import Change, Encoders, Kept, Modality, absent, there
from harness_fusion.splits import Portion
from harness_fusion.training import Augmented

if TYPE_CHECKING:
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

    def plain(self, portion: Portion) -> Kept:
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
            source = self._source(
                portion, lambda m: self._view(portion, m, epoch % views if views else epoch)
            )
            return source.batch(0, torch.arange(len(portion), device=self.device))

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
        rows = hashlib.sha256(portion.rows.tobytes()).hexdigest()
        view = {"recipe": [RECIPE, asdict(self.augmentation)], "view": number, "rows": rows}
        tokens = self.method.reads == "tokens"
        return self.encoders.kept(modality, portion.name, tokens, portion.rows, change, view)

    def _scaled(self, modality: Modality, features: Features) -> Features:
        if modality not in self._spread:
            return features
        mean, deviation = self._spread[modality]
        return replace(features, pooled=(features.pooled - mean) / deviation)

    def _source(self, portion: Portion, features: Callable[[Modality], Features]) -> Kept:
        read = self.method.modalities
        text, image = (
            self._scaled(m, features(m)) if m in read else absent(len(portion)) for m in MODALITIES
        )
        return Kept(Pairs(text, image, torch.from_numpy(portion.targets)).to(self.device))


class Live:
    """Training pairs whose encoders run at every batch, so that gradients reach them. A `Source`."""

    def __init__(self, sources: Sources, portion: Portion, altered: bool) -> None:
        self.sources, self.portion, self.altered = sources, portion, altered
        self.encoders = sources.encoders
        self.targets = torch.from_numpy(portion.targets).to(sources.device)
        self.present = {m: there(portion.split, m)[portion.rows] for m in sources.method.modalities}
        self.prepare = image_pipeline(self.encoders.job, portion.split)

    def __len__(self) -> int:
        return len(self.portion)

    def batch(self, epoch: int, rows: torch.Tensor) -> Pairs:
        """These rows as they are in that epoch, encoded by the encoders as they are now."""
        chosen = rows.cpu().numpy()
        read = self.sources.method.modalities
        text, image = (
            self._encoded(m, epoch, chosen) if m in read else absent(len(chosen)) for m in MODALITIES
        )
        return Pairs(text, image, self.targets[rows]).to(self.targets.device)

    def _encoded(self, modality: Modality, epoch: int, chosen: np.ndarray[Any, Any]) -> Features:
        job, split = self.encoders.job, self.portion.split
        present = torch.from_numpy(self.present[modality][chosen])
        places = [int(r) for r in self.portion.rows[chosen[present.numpy()]]]
        change = (
            self.sources.change(self.portion, modality, epoch, self.sources.seed) if self.altered else None
        )
        where = present.nonzero()[:, 0]
        if not places:  # nobody in the batch has it: another one in the first place, missing all the same
            places, where = [int(np.flatnonzero(there(split, modality))[0])], torch.zeros(1, dtype=torch.long)
        with autocast(job.device, job.precision):
            if modality == "text":
                texts = [split.texts[r] for r in places]  # type: ignore[attr-defined]
                texts = (
                    texts if change is None else [change(r, t) for r, t in zip(places, texts, strict=True)]
                )
                parts = self.encoders.text_parts(texts)
            else:
                images = [split[r].image for r in places]
                images = (
                    images if change is None else [change(r, i) for r, i in zip(places, images, strict=True)]
                )
                parts = self.encoders.image_parts(
                    torch.stack([self.prepare(i) for i in images]).to(job.device)
                )
        parts = tuple(_scatter(part, where.to(part.device), len(chosen)) for part in parts)
        pooled = self.encoders.scaled(parts[0])
        sequence = parts[1].float() if len(parts) > 1 else None
        return Features.of(pooled, present.to(pooled.device), sequence, parts[2] if len(parts) > 2 else None)


def _scatter(part: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Rows put in their places among `count`, zero elsewhere; gradients go through."""
    return part.new_zeros(count, *part.shape[1:]).index_copy(0, rows, part)
