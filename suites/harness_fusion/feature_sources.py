"""Sources of a cell's pairs: cached features, augmented ones, or encoders run for every batch."""

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
from harness_fusion.contracts import FeatureBatches, Features, PairFeatures
from harness_fusion.modality_features import (
    AlteredImageSplit,
    Change,
    Encoders,
    Modality,
    build_absent,
    find_present,
)
from harness_fusion.pair_augmentation import PairAugmentation
from harness_fusion.pair_splits import SplitPortion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.learning.draws import DrawnBatch
    from harness_fusion.options import FusionOptions

RECIPE = "augmentation-1"
"""Version of the augmentation; raise it with any change to its output."""

MODALITIES: tuple[Modality, ...] = ("text", "image")


class FeatureSources:
    """Factory of one cell's sources; only the modalities of `method` are encoded."""

    def __init__(
        self, encoders: Encoders, method: Any, protocol: FusionOptions, augmentation: str, seed: int
    ) -> None:
        self.encoders, self.method, self.protocol, self.seed = encoders, method, protocol, seed
        self.augmented = {m for m in MODALITIES if augmentation in ("on", m) and m in method.modalities}
        self.augmentation = PairAugmentation(**protocol.changes)
        self.device = encoders.job.device
        self._spread: dict[Modality, tuple[torch.Tensor, torch.Tensor]] = {}

    def standardise(self, portion: SplitPortion) -> None:
        """Scale vectors from now on to mean 0 and deviation 1 over this portion's samples with the modality."""
        for modality in self.method.modalities:
            features = self._load_plain(portion, modality)
            vectors = features.pooled[features.present]
            self._spread[modality] = vectors.mean(0), vectors.std(0).clamp(min=1e-6)

    def collect_plain(self, portion: SplitPortion) -> PairFeatures:
        """Return features without augmentation; tuned encoders run once, and nothing is cached on disk."""
        return self._join(portion, lambda m: self._load_plain(portion, m))

    def make_training(self, portion: SplitPortion) -> FeatureBatches:
        """Return the source to train on; with augmentation its features differ by epoch."""
        if self.protocol.encoders == "tuned":
            return LiveFeatures(self, portion, altered=True)
        if not self.augmented:
            return self.collect_plain(portion)
        views = self.protocol.views
        targets = torch.from_numpy(portion.targets).to(self.device)

        def encode(epoch: int) -> PairFeatures:
            return self.collect_view(portion, epoch % views if views else epoch)

        return EpochFeatures(targets, encode)

    def collect_view(self, portion: SplitPortion, number: int) -> PairFeatures:
        """Return features of one augmented view of the training part, for frozen encoders."""
        return self._join(portion, lambda m: self._load_view(portion, m, number))

    def make_validation(self, portion: SplitPortion) -> FeatureBatches:
        """Return the source that decides early stopping: no augmentation, the encoders' current weights."""
        if self.protocol.encoders == "tuned":
            return LiveFeatures(self, portion, altered=False)
        return self.collect_plain(portion)

    def make_change(self, portion: SplitPortion, modality: Modality, epoch: int, seed: int) -> Change | None:
        """Return the function that augments a row's image or text in an epoch or view; None for no change."""
        if modality not in self.augmented:
            return None
        ids, augmentation = portion.split.ids, self.augmentation
        if modality == "text":
            return lambda row, text: augmentation.alter_text(text, ids[row], epoch, seed)
        return lambda row, image: augmentation.alter_image(decode(image), ids[row], epoch, seed)

    def _load_plain(self, portion: SplitPortion, modality: Modality) -> Features:
        if self.protocol.encoders == "tuned":
            return self.encoders.encode_rows(modality, portion.name, portion.rows)
        tokens = self.method.reads == "tokens"
        rows = torch.from_numpy(portion.rows)
        return self.encoders.load_features(modality, portion.name, tokens).map_tensors(lambda t: t[rows])

    def _load_view(self, portion: SplitPortion, modality: Modality, number: int) -> Features:
        """Return one view of the training part: cached if views are shared, else for this seed and epoch only."""
        shared = self.protocol.views > 0
        change = self.make_change(portion, modality, number, 0 if shared else self.seed)
        if change is None:
            return self._load_plain(portion, modality)
        if not shared:
            return self.encoders.encode_rows(modality, portion.name, portion.rows, change)
        view = {"recipe": [RECIPE, asdict(self.augmentation)], "view": number}
        tokens = self.method.reads == "tokens"
        return self.encoders.load_features(modality, portion.name, tokens, portion.rows, change, view)

    def _standardise(self, modality: Modality, features: Features) -> Features:
        if modality not in self._spread:
            return features
        mean, deviation = self._spread[modality]
        return replace(features, pooled=(features.pooled - mean) / deviation)

    def _join(self, portion: SplitPortion, features: Callable[[Modality], Features]) -> PairFeatures:
        read = self.method.modalities
        text, image = (
            self._standardise(m, features(m)) if m in read else build_absent(len(portion)) for m in MODALITIES
        )
        return PairFeatures(text, image, torch.from_numpy(portion.targets)).to(self.device)


class EpochFeatures(HeldSamples):
    """Training pairs that `encode(epoch)` computes for each epoch (from 0), in the order of `targets`.

    Only the last epoch is kept.
    """

    targets: torch.Tensor

    def __init__(self, targets: torch.Tensor, encode: Callable[[int], PairFeatures]) -> None:
        super().__init__(encode, targets)


class LiveFeatures:
    """Pairs whose encoders run for every batch, so that gradients reach them; a `FeatureBatches`.

    Images are prepared ahead while encoders and head compute.
    """

    def __init__(self, sources: FeatureSources, portion: SplitPortion, altered: bool) -> None:
        self.sources, self.portion, self.altered = sources, portion, altered
        self.encoders = sources.encoders
        self.targets = torch.from_numpy(portion.targets).to(sources.device)
        self.present = {m: find_present(portion.split, m) for m in sources.method.modalities}

    def __len__(self) -> int:
        return len(self.portion)

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield each batch as augmented in its epoch, encoded with the encoders' current weights."""
        if "image" not in self.present:
            yield from (self._encode(entry, None) for entry in plan)
            return
        plan, ahead = tee(plan)
        images = ((step, epoch, self._find_places("image", rows)) for step, epoch, rows in ahead)
        with closing(self._make_pipeline().batches(images)) as prepared:
            for entry, batch in zip(plan, prepared, strict=True):
                yield self._encode(entry, batch.data)

    def _make_pipeline(self) -> Pipeline:
        job, split = self.encoders.job, self.portion.split

        def seen(epoch: int) -> Any:
            change = self._make_change("image", epoch)
            return split if change is None else AlteredImageSplit(split, change)

        return Pipeline(
            seen,
            image_pipeline(job, split),
            device=job.device,
            workers=job.workers,
            indices=range(len(split)),
        )

    def _make_change(self, modality: Modality, epoch: int) -> Change | None:
        sources = self.sources
        return sources.make_change(self.portion, modality, epoch, sources.seed) if self.altered else None

    def _find_places(self, modality: Modality, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples of the split to encode: those that have the modality.

        If none in the batch has it, return some sample that has: its features are masked as missing.
        """
        places = self.portion.rows[rows]
        present = self.present[modality]
        found: NDArray[np.int64] = places[present[places]]
        return found if len(found) else np.flatnonzero(present)[:1]

    def _encode(self, entry: DrawnBatch, images: torch.Tensor | None) -> Batch:
        step, epoch, rows = entry
        job, features = self.encoders.job, {m: build_absent(len(rows)) for m in MODALITIES}
        for modality in self.sources.method.modalities:
            with autocast(job.device, job.precision):
                if modality == "text":
                    parts = self.encoders.encode_texts(self._read_texts(epoch, rows))
                else:
                    assert images is not None
                    parts = self.encoders.encode_images(images)
            features[modality] = self._build_features(modality, rows, parts)
        targets = self.targets[torch.from_numpy(rows).to(self.targets.device)]
        pairs = PairFeatures(features["text"], features["image"], targets).to(self.targets.device)
        return Batch(step, epoch, rows, pairs, targets)

    def _read_texts(self, epoch: int, rows: NDArray[np.int64]) -> list[str]:
        places, change = self._find_places("text", rows).tolist(), self._make_change("text", epoch)
        texts = self.portion.split.texts  # type: ignore[attr-defined]
        return [texts[r] if change is None else change(r, texts[r]) for r in places]

    def _build_features(
        self, modality: Modality, rows: NDArray[np.int64], parts: tuple[torch.Tensor, ...]
    ) -> Features:
        """Return features of the whole batch from those of the samples that have the modality."""
        present = torch.from_numpy(self.present[modality][self.portion.rows[rows]])
        where = present.nonzero()[:, 0] if present.any() else torch.zeros(1, dtype=torch.long)
        parts = tuple(_scatter_rows(part, where.to(part.device), len(rows)) for part in parts)
        pooled = self.encoders.scale_vectors(parts[0])
        sequence = parts[1].float() if len(parts) > 1 else None
        return Features.from_pooled(
            pooled, present.to(pooled.device), sequence, parts[2] if len(parts) > 2 else None
        )


def _scatter_rows(part: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Scatter rows into `count` rows, zero elsewhere; differentiable."""
    return part.new_zeros(count, *part.shape[1:]).index_copy(0, rows, part)
