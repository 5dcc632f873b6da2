"""The classifier on a fusion module: build it, score with it, read its modality shares."""

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
    """A fusion module followed by dropout and a linear classifier, unless it returns scores itself."""

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
        """Return scores B×C, whose softmax is the probabilities."""
        scores: torch.Tensor = self.classifier(self.fusion(text, image))
        return scores

    @property
    def parts(self) -> Mapping[str, FusionHead]:
        """Heads to train first, each alone (see `FusionMethod`)."""
        own = getattr(self.fusion, "parts", None)
        return own() if own else {}

    def observe(self, targets: torch.Tensor) -> None:
        """Pass the training targets N to a module that observes them."""
        if own := getattr(self.fusion, "observe", None):
            own(targets)

    def score_with_targets(self, text: Features, image: Features, targets: torch.Tensor) -> torch.Tensor:
        """Return scores B×C of samples with known targets: a bound's, else those of forward."""
        own = getattr(self.fusion, "score_with_targets", None)
        scores: torch.Tensor = own(text, image, targets) if own else self(text, image)
        return scores


def build_head(
    method: FusionMethod, text: int, image: int, classes: int, *, dropout: float = 0.1, seed: int = 0
) -> FusionHead:
    """Build a method's head for inputs of widths `text` and `image`; its weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return FusionHead(method.build(text, image, classes, dropout), classes, dropout)


def compute_fusion_head_weights(
    head: FusionHead, source: FeatureBatches, batch: int = 1024
) -> NDArray[np.floating[Any]] | None:
    """Return the shares of text and image in each prediction, N×2 of row sum 1; None if undefined."""
    own = getattr(head.fusion, "weights", None)
    if own is None:
        return None
    head.eval()
    with torch.inference_mode():
        parts = [own(pairs.text, pairs.image) for pairs in iterate_pairs(source, batch)]
        return torch.cat(parts).cpu().numpy()
