"""The contract of a fusion method: two feature sequences with masks in, one vector (or scores) out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

import numpy as np

from harness import DataError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.learning.draws import DrawnBatch
    from harness.learning.pipeline import Batch

Reads = Literal["pooled", "tokens"]


@dataclass(frozen=True, eq=False)
class Features:
    """An encoder's features of one modality of B samples.

    `sequence` B×T×D float (tokens or patches), `mask` B×T bool (True for a token), `present` B bool
    (whether the sample has the modality), `pooled` B×E float; D and E may differ. Masked values, and
    those of samples without the modality, are never read: heads use `tokens`, `visible`, `vector`.
    """

    sequence: torch.Tensor
    mask: torch.Tensor
    present: torch.Tensor
    pooled: torch.Tensor

    @classmethod
    def from_pooled(
        cls,
        pooled: torch.Tensor,
        present: torch.Tensor | None = None,
        sequence: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> Features:
        """Build features with defaults: all present, all tokens visible, the pooled vector as one token.

        Raises DataError if the shapes do not match.
        """
        import torch

        if present is None:
            present = torch.ones(len(pooled), dtype=torch.bool, device=pooled.device)
        if sequence is None:
            sequence = pooled[:, None, :]
        if mask is None:
            mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        shapes_fit = (
            pooled.ndim == 2
            and sequence.ndim == 3
            and present.shape == pooled.shape[:1] == sequence.shape[:1]
            and mask.shape == sequence.shape[:2]
        )
        if not shapes_fit:
            raise DataError(
                "features must be pooled B×E, present B, sequence B×T×D, mask B×T; found "
                f"{tuple(pooled.shape)}, {tuple(present.shape)}, {tuple(sequence.shape)}, {tuple(mask.shape)}"
            )
        return cls(sequence, mask.bool(), present.bool(), pooled)

    @property
    def vector(self) -> torch.Tensor:
        """Pooled vectors B×E, zero for samples without the modality."""
        return self.pooled.masked_fill(~self.present[:, None], 0.0)

    @property
    def visible(self) -> torch.Tensor:
        """Which tokens may be read, B×T bool: none of samples without the modality."""
        return self.mask & self.present[:, None]

    @property
    def tokens(self) -> torch.Tensor:
        """Sequences B×T×D, zero at tokens that are not visible."""
        return self.sequence.masked_fill(~self.visible[..., None], 0.0)

    def __len__(self) -> int:
        return len(self.pooled)

    def width(self, reads: Reads) -> int:
        """Return the input width of a method: E for pooled vectors, D for tokens."""
        return int(self.pooled.shape[-1] if reads == "pooled" else self.sequence.shape[-1])

    def map_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Features:
        """Apply a function to all four tensors (taking rows, moving to a device)."""
        return Features(*(change(t) for t in (self.sequence, self.mask, self.present, self.pooled)))


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """N labelled image-text pairs as features, `targets` N int64; a `FeatureBatches` to train from.

    Sequences may be stored in half precision; `take` returns float32.
    """

    text: Features
    image: Features
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: torch.Tensor | slice) -> PairFeatures:
        """Return the pairs at these rows, in float32."""
        import torch

        at = rows if isinstance(rows, slice) else rows.to(self.targets.device, non_blocking=True)

        def taken(tensor: torch.Tensor) -> torch.Tensor:
            part = tensor[at]
            return part.float() if part.dtype == torch.float16 else part

        return PairFeatures(self.text.map_tensors(taken), self.image.map_tensors(taken), self.targets[at])

    def to(self, device: torch.device | str) -> PairFeatures:
        """Return the pairs on a device."""
        text, image = (f.map_tensors(lambda t: t.to(device)) for f in (self.text, self.image))
        return PairFeatures(text, image, self.targets.to(device))

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield the pairs of each batch, the same in every epoch."""
        from harness.learning.pipeline import HeldSamples

        return HeldSamples(self, self.targets).batches(plan)


class FeatureBatches(Protocol):
    """A source of batches for training and prediction, from cached features or from encoders.

    A source of the core's loop whose batches hold `PairFeatures`; `targets` N int64. An end-to-end source
    runs its encoders for each batch, so that gradients reach them.
    """

    @property
    def targets(self) -> torch.Tensor: ...

    def __len__(self) -> int: ...

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]: ...


def read_first_pair(source: FeatureBatches) -> PairFeatures:
    """Return the first pair of a source, which shows the widths of its features."""
    with closing(source.batches([(0, 0, np.arange(1))])) as batches:
        return cast("PairFeatures", next(batches).data)


def iterate_pairs(source: FeatureBatches, size: int) -> Iterator[PairFeatures]:
    """Yield all pairs of a source in their order, in batches of at most `size`."""
    from harness.learning.draws import plan_in_order

    with closing(source.batches(plan_in_order(len(source), size))) as batches:
        for batch in batches:
            yield batch.data


@runtime_checkable
class FusionMethod(Protocol):
    """A plugin that fuses two modalities into one vector; it imports torch only in `build`.

    `modalities`: which of "text" and "image" its module reads; the encoders of others are not run and
    not counted. `reads`: pooled vectors or tokens. `build(text, image, classes, dropout)` returns the
    module for inputs of widths `text` and `image`; for a modality it does not read, it builds nothing.
    Random initial values come from torch's generator, which is seeded before the call.

    The module: `forward(text: Features, image: Features) -> B×F`, with the attribute `width` = F;
    `harness_fusion.fusion_head.FusionHead` adds dropout and a linear classifier. Optional members:

    * `scores = True`: forward returns scores B×C itself (their softmax is the probabilities).
    * `weights(text, image) -> B×2`: the shares of text and image in each sample's prediction.
    * `parts() -> Mapping[str, nn.Module]`: heads to train first, each alone with the same recipe and
      seed; they are frozen while the rest trains.
    * `observe(targets)`: receives the training targets N before training.
    * `score_with_targets(text, image, targets) -> B×C`: scores of a bound that knows the targets; used
      for prediction instead of forward.
    """

    modalities: tuple[str, ...]
    reads: Reads

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module: ...
