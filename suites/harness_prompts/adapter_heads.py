"""Fitted adapters as modules from normalised embeddings to logits, which can be counted, stored and loaded.

The adapters' classifiers take any subset of the classes; these modules always return all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from harness_prompts.tip_logits import tip_logits


class TipAdapterHead(nn.Module):
    """Tip-Adapter: keys K×D with labels K, text weights C×D, and the settings s, α, β.

    `trained` keys (Tip-Adapter-F) are a parameter, untrained ones a buffer.
    """

    keys: torch.Tensor
    labels: torch.Tensor
    classifier: torch.Tensor

    def __init__(
        self,
        keys: torch.Tensor,
        labels: torch.Tensor,
        classifier: torch.Tensor,
        settings: tuple[float, float, float],
        trained: bool,
    ) -> None:
        super().__init__()
        kept = keys.detach().clone()
        if trained:
            self.keys = nn.Parameter(kept)
        else:
            self.register_buffer("keys", kept)
        self.register_buffer("labels", labels.detach().clone())
        self.register_buffer("classifier", classifier.detach().clone())
        self.register_buffer("settings", torch.tensor(settings, dtype=torch.float64))
        self._settings = settings

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], trained: bool) -> TipAdapterHead:
        """Return the head with this `state_dict`."""
        scale, alpha, beta = tensors["settings"].tolist()
        return cls(tensors["keys"], tensors["labels"], tensors["classifier"], (scale, alpha, beta), trained)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits N×C of normalised embeddings N×D."""
        values = F.one_hot(self.labels, len(self.classifier)).to(features.dtype)
        return tip_logits(features, self.keys, values, self.classifier, *self._settings)


class ClipAdapterHead(nn.Module):
    """CLIP-Adapter: the bottleneck, mixed with its input, before text weights C×D."""

    classifier: torch.Tensor

    def __init__(self, layers: nn.Module, classifier: torch.Tensor, settings: tuple[float, float]) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("classifier", classifier.detach().clone())
        self.register_buffer("settings", torch.tensor(settings, dtype=torch.float64))
        self._settings = settings

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ClipAdapterHead:
        """Return the head with this `state_dict`."""
        hidden, width = tensors["layers.0.weight"].shape
        scale, ratio = tensors["settings"].tolist()
        head = cls(build_bottleneck(width, hidden), tensors["classifier"], (scale, ratio))
        head.load_state_dict(dict(tensors))
        return head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits N×C of normalised embeddings N×D."""
        scale, ratio = self._settings
        adapted = F.normalize(ratio * self.layers(features) + (1 - ratio) * features, dim=-1)
        return scale * adapted @ self.classifier.T


def build_bottleneck(width: int, hidden: int) -> nn.Sequential:
    """Build W₁ D→h and W₂ h→D without biases, each followed by a ReLU."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, width, bias=False),
        nn.ReLU(),
    )
