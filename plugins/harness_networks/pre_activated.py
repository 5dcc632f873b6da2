"""The residual block of wide residual networks, which normalises and activates before it convolves."""

from __future__ import annotations

import torch
from torch import nn


class PreActivatedBlock(nn.Module):
    """Normalisation, ReLU and a convolution 3×3, twice, with dropout between, plus the input.

    Where the number of maps changes, a strided convolution 1×1 of the activated input replaces it, as
    in the authors' code.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        same = inputs == outputs and stride == 1
        self.projection = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps B×outputs×⌈H/stride⌉×⌈W/stride⌉ of maps B×inputs×H×W."""
        activated = torch.relu(self.norm1(maps))
        shortcut = maps if self.projection is None else self.projection(activated)
        inner = torch.relu(self.norm2(self.conv1(activated)))
        added: torch.Tensor = shortcut + self.conv2(self.dropout(inner))
        return added
