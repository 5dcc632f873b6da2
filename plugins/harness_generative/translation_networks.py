"""Networks of image translation: ResNet and U-Net generators, and the PatchGAN discriminator."""

from __future__ import annotations

from math import log2

import torch
from torch import nn


def init_normal(network: nn.Module, generator: torch.Generator, deviation: float = 0.02) -> nn.Module:
    """Initialise convolutions from N(0, deviation²) with zero biases, as CycleGAN and Pix2Pix do."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, deviation, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class _TranslatorBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.body(x)
        return out


def resnet_translator(width: int, blocks: int, halvings: int = 2) -> nn.Module:
    """Build 7×7, halvings, residual blocks, doublings, 7×7 (Johnson et al. 2016; Zhu et al. 2017)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
    ]
    widths = [width * 2**n for n in range(halvings + 1)]
    for w in widths[:-1]:
        layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), nn.InstanceNorm2d(2 * w), nn.ReLU()]
    layers += [_TranslatorBlock(widths[-1]) for _ in range(blocks)]
    for w in reversed(widths[1:]):
        layers += [
            nn.ConvTranspose2d(w, w // 2, 3, 2, 1, output_padding=1),
            nn.InstanceNorm2d(w // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh())


class UNet(nn.Module):
    """A U-Net for square images: halvings to 2×2 with a skip at each resolution (Isola et al. 2017)."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        depth = int(log2(size)) - 1
        widths = [width * min(2**n, 8) for n in range(depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for n, w in enumerate(widths):
            # neither the first nor the innermost layer is normalised
            norm = nn.InstanceNorm2d(w) if 0 < n < depth - 1 else nn.Identity()
            self.down.append(nn.Sequential(nn.Conv2d(inputs, w, 4, 2, 1), norm, nn.LeakyReLU(0.2)))
            inputs = w
        for n in range(depth - 1, 0, -1):
            joined = widths[n] * (1 if n == depth - 1 else 2)
            layer = nn.ConvTranspose2d(joined, widths[n - 1], 4, 2, 1)
            self.up.append(nn.Sequential(layer, nn.InstanceNorm2d(widths[n - 1]), nn.ReLU()))
        joined = widths[0] * (1 if depth == 1 else 2)
        self.last = nn.Sequential(nn.ConvTranspose2d(joined, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translate B×3×H×W to the same shape."""
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for layer in self.up:
            x = torch.cat([layer(x), skips.pop()], 1)
        out: torch.Tensor = self.last(x)
        return out


def patch_discriminator(width: int, layers: int, channels: int = 3) -> nn.Module:
    """Build a PatchGAN: one output per overlapping patch, 70×70 for three layers (Isola et al. 2017)."""
    found: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    inputs = width
    for n in range(1, layers + 1):
        outputs = width * min(2**n, 8)
        stride = 2 if n < layers else 1
        found += [
            nn.Conv2d(inputs, outputs, 4, stride, 1),
            nn.InstanceNorm2d(outputs),
            nn.LeakyReLU(0.2),
        ]
        inputs = outputs
    return nn.Sequential(*found, nn.Conv2d(inputs, 1, 4, 1, 1))
