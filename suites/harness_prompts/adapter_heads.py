"""What adapters have learned, as modules from normalised embeddings to logits: to be counted, stored, loaded.

The adapters' own classifiers answer for any of their classes; these answer for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from harness_prompts.tip_logits import tip_logits


class TipAdapterHead(nn.Module):
    """Tip-Adapter: keys K×D with labels K beside text weights C×D, and the settings s, α, β.

    `trained` keys (Tip-Adapter-F) are a parameter; a cache that nothing trained is a buffer.
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
        """The head whose `state_dict` this is."""
        scale, alpha, beta = tensors["settings"].tolist()
        return cls(tensors["keys"], tensors["labels"], tensors["classifier"], (scale, alpha, beta), trained)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits N×C of normalised embeddings N×D."""
        values = F.one_hot(self.labels, len(self.classifier)).to(features.dtype)
        return tip_logits(features, self.keys, values, self.classifier, *self._settings)


class ClipAdapterHead(nn.Module):
    """CLIP-Adapter: the bottleneck, mixed with its input, in front of text weights C×D."""

    classifier: torch.Tensor

    def __init__(self, layers: nn.Module, classifier: torch.Tensor, settings: tuple[float, float]) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("classifier", classifier.detach().clone())
        self.register_buffer("settings", torch.tensor(settings, dtype=torch.float64))
        self._settings = settings

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ClipAdapterHead:
        """The head whose `state_dict` this is."""
        hidden, width = tensors["layers.0.weight"].shape
        scale, ratio = tensors["settings"].tolist()
        head = cls(build_bottleneck(width, hidden), tensors["classifier"], (scale, ratio))
        head.load_state_dict(dict(tensors))
        return head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits N×C of normalised embeddings N×D."""
        scale, ratio = self._settings
        adapted = F.normalize(ratio * self.layers(features) + (1 - ratio) * features, dim=-1)
        return scale * adapted @ self.classifier.T


def build_bottleneck(width: int, hidden: int) -> nn.Sequential:
    """W₁ D→h and W₂ h→D without biases, a ReLU after both."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, width, bias=False),
        nn.ReLU(),
    )
