"""The classifier behind a fusion module, how it is made, and what it tells about its modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from harness_fusion.contracts import FeatureBatches, Features, FusionMethod, iterate_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FusionHead(nn.Module):
    """A fusion module with dropout and a linear classifier behind it, unless it gives scores itself."""

    def __init__(self, fusion: nn.Module, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.fusion = fusion
        gives_scores = getattr(fusion, "scores", False)
        self.classifier = (
            nn.Identity()
            if gives_scores
            else nn.Sequential(nn.Dropout(dropout), nn.Linear(cast("int", fusion.width), classes))
        )

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Scores B×C of which softmax gives the probabilities."""
        scores: torch.Tensor = self.classifier(self.fusion(text, image))
        return scores

    @property
    def parts(self) -> Mapping[str, FusionHead]:
        """The heads that are trained first, each alone (see `FusionMethod`)."""
        own = getattr(self.fusion, "parts", None)
        return own() if own else {}

    def observe(self, targets: torch.Tensor) -> None:
        """Shows the training targets N to a module that wants to see them."""
        if own := getattr(self.fusion, "observe", None):
            own(targets)

    def score_with_targets(self, text: Features, image: Features, targets: torch.Tensor) -> torch.Tensor:
        """Scores B×C for samples whose targets are known: those of a bound, or what forward gives."""
        own = getattr(self.fusion, "score_with_targets", None)
        scores: torch.Tensor = own(text, image, targets) if own else self(text, image)
        return scores


def build_head(
    method: FusionMethod, text: int, image: int, classes: int, *, dropout: float = 0.1, seed: int = 0
) -> FusionHead:
    """A method's head for inputs of widths `text` and `image`; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return FusionHead(method.build(text, image, classes, dropout), classes, dropout)


def compute_shares(
    head: FusionHead, source: FeatureBatches, batch: int = 1024
) -> NDArray[np.floating[Any]] | None:
    """The share of text and of image in each answer, N×2 of row sum 1; None when the method has none."""
    own = getattr(head.fusion, "weights", None)
    if own is None:
        return None
    head.eval()
    with torch.inference_mode():
        parts = [own(pairs.text, pairs.image) for pairs in iterate_pairs(source, batch)]
        return torch.cat(parts).cpu().numpy()
