"""What a fusion method is: two feature sequences with masks in, one vector (or scores) out."""

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
    """What a frozen encoder says about one modality of B samples.

    `sequence` B×T×D float (tokens or patches), `mask` B×T bool (True: a token is there), `present` B
    bool (the modality is there at all), `pooled` B×E float; D and E may differ. What stands under a
    mask, or in a sample without the modality, is never read: heads use `tokens`, `visible`, `vector`.
    """

    sequence: torch.Tensor
    mask: torch.Tensor
    present: torch.Tensor
    pooled: torch.Tensor

    @classmethod
    def of(
        cls,
        pooled: torch.Tensor,
        present: torch.Tensor | None = None,
        sequence: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> Features:
        """Features with what is not given filled in: all present, all tokens there, pooled as one token.

        Raises DataError when the shapes do not belong together.
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
        """The pooled vectors B×E, zero where the modality is missing."""
        return self.pooled.masked_fill(~self.present[:, None], 0.0)

    @property
    def visible(self) -> torch.Tensor:
        """Which tokens may be read, B×T bool: none of a sample whose modality is missing."""
        return self.mask & self.present[:, None]

    @property
    def tokens(self) -> torch.Tensor:
        """The sequences B×T×D, zero where nothing may be read."""
        return self.sequence.masked_fill(~self.visible[..., None], 0.0)

    def __len__(self) -> int:
        return len(self.pooled)

    def width(self, reads: Reads) -> int:
        """The width of what a method reads: E for pooled vectors, D for tokens."""
        return int(self.pooled.shape[-1] if reads == "pooled" else self.sequence.shape[-1])

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Features:
        """The same change made to all four tensors (taking rows, moving to a device)."""
        return Features(*(change(t) for t in (self.sequence, self.mask, self.present, self.pooled)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """N labelled image-text pairs as features; `targets` N int64. Itself a `Source` to train from.

    Sequences may be kept in half precision; what is taken of them is float32.
    """

    text: Features
    image: Features
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: torch.Tensor | slice) -> Pairs:
        """The pairs at these rows."""
        import torch

        at = rows if isinstance(rows, slice) else rows.to(self.targets.device, non_blocking=True)

        def taken(tensor: torch.Tensor) -> torch.Tensor:
            part = tensor[at]
            return part.float() if part.dtype == torch.float16 else part

        return Pairs(self.text.each(taken), self.image.each(taken), self.targets[at])

    def to(self, device: torch.device | str) -> Pairs:
        """The pairs on a device."""
        text, image = (f.each(lambda t: t.to(device)) for f in (self.text, self.image))
        return Pairs(text, image, self.targets.to(device))

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield the pairs of each batch, the same in every epoch."""
        from harness.learning.pipeline import HeldSamples

        return HeldSamples(self, self.targets).batches(plan)


class Source(Protocol):
    """Where training and prediction get their batches from: cached features, or ones encoded anew.

    A source of the core's loop whose batches hold `Pairs`; `targets` N int64. An end-to-end source runs its
    encoders when a batch is asked for, so that gradients reach them.
    """

    @property
    def targets(self) -> torch.Tensor: ...

    def __len__(self) -> int: ...

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]: ...


def first_pair(source: Source) -> Pairs:
    """Return the first pair of a source, which shows the widths of its features."""
    with closing(source.batches([(0, 0, np.arange(1))])) as batches:
        return cast("Pairs", next(batches).data)


def in_order(source: Source, size: int) -> Iterator[Pairs]:
    """Yield all pairs of a source in their order, in batches of at most `size`."""
    from harness.learning.draws import plan_in_order

    with closing(source.batches(plan_in_order(len(source), size))) as batches:
        for batch in batches:
            yield batch.data


@runtime_checkable
class FusionMethod(Protocol):
    """A way to make one vector of two modalities: a plugin that is light until `build`.

    `modalities`: which of "text" and "image" its module reads; encoders of others are not run and
    not counted. `reads`: pooled vectors or tokens. `build(text, image, classes, dropout)` gives the
    module for inputs of widths `text` and `image`; for a modality it does not read, nothing is built.
    Random initial values come from torch's generator, which is seeded before the call.

    The module: `forward(text: Features, image: Features) -> B×F`, with the attribute `width` = F;
    `harness_fusion.heads.Head` puts dropout and a linear classifier behind it. Optional members:

    * `scores = True`: forward gives scores B×C itself (softmax gives the probabilities).
    * `weights(text, image) -> B×2`: the share of text and of image in each sample's answer.
    * `parts() -> Mapping[str, nn.Module]`: heads that are trained first, each alone by the same recipe
      and seed, and are frozen while the rest trains.
    * `observe(targets)`: is shown the training targets N before training.
    * `judged(text, image, targets) -> B×C`: scores of a bound that knows the truth; used in
      prediction instead of forward.
    """

    modalities: tuple[str, ...]
    reads: Reads

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module: ...
