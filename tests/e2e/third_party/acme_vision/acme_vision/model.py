"""A linear classifier on pixels with fixed random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acme_vision import data

if TYPE_CHECKING:
    import torch
    from PIL import Image


class Linear:
    """Logits from one linear layer.

    Args:
        scale: factor on the logits.
        seed: of the weights.
    """

    label_space = data.SPACE

    def __init__(self, scale: float = 1.0, seed: int = 0) -> None:
        self.scale = scale
        self.seed = seed

    def load(self, device: torch.device) -> None:
        """Draws the weights."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        self.module = torch.nn.Linear(data.SIDE * data.SIDE * 3, len(data.CLASSES))
        with torch.no_grad():
            self.module.weight.copy_(torch.randn(self.module.weight.shape, generator=generator))
            self.module.bias.zero_()
        self.module.to(device)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """3×8×8 in [0, 1]."""
        import numpy as np
        import torch

        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits B×3."""
        return self.scale * self.module(images.flatten(1))
