"""Building of small networks from their layers, and fixing of their first kernels."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn

from harness_networks.contracts import Shape
from harness_networks.layers.coates import PatchEncoder
from harness_networks.network_parts import build_activation
from harness_networks.small_cnn_design import Activation, SmallCNNDesign, StageDesign

MOST_IMAGES = 2_000
"""Of how many images k-means of later stages gets its patches, whose maps are all in memory."""


class Absolute(nn.Module):
    """|x|, the rectification of Jarrett et al. (2009)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the absolute values."""
        return maps.abs()


def build_small_cnn(design: SmallCNNDesign, shape: Shape, classes: int) -> nn.Sequential:
    """Build the network of a design for images of `shape` (C, H, W), from B×C×H×W to logits B×classes."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    out = shape
    for index, stage in enumerate(design.plan_stages(shape)):
        parts[f"stage{index + 1}"] = _build_stage(design, stage, index == 0)
        out = design.pool(stage)
    parts["head"] = _build_head(design, out, classes)
    return nn.Sequential(parts)


def _build_stage(design: SmallCNNDesign, stage: StageDesign, first: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if first and design.input_normalisation is not None:
        parts["input"] = design.input_normalisation.build(stage.shape)
    if stage.fixed and design.kernels == "k-means":
        parts["encoder"] = PatchEncoder(stage.shape, stage.channels, stage.window, whitening=design.whitening)
    else:
        parts["convolution"] = design.convolution.build(stage.shape, stage.channels, stage.window)
        parts["activation"] = _build_activation(design.activation)
        if design.normalisation is not None:
            parts["normalisation"] = design.normalisation.build(stage.convolved)
            if not design.normalisation.after_activation:
                parts.move_to_end("activation")
    parts["pooling"] = design.pooling.build(stage.convolved)
    return nn.Sequential(parts)


def _build_activation(name: Activation) -> nn.Module:
    if name == "absolute":
        return Absolute()
    return nn.Identity() if name == "none" else build_activation(name)


def _build_head(design: SmallCNNDesign, shape: Shape, classes: int) -> nn.Sequential:
    pooled = design.head == "gap"
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if pooled:
        parts["average"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    if design.dropout:
        parts["dropout"] = nn.Dropout(design.dropout)
    parts["linear"] = nn.Linear(shape[0] if pooled else math.prod(shape), classes)
    return nn.Sequential(parts)


def fix_kernels(design: SmallCNNDesign, network: nn.Module, images: torch.Tensor, seed: int) -> list[str]:
    """Fit the k-means kernels of the first stages; return the names of all parameters that stay fixed.

    `images` are N×C×H×W. The network is afterwards in the mode in which it was.
    """
    stages = [network.get_submodule(f"stage{number}") for number in range(1, design.fixed_stages + 1)]
    training = network.training
    network.eval()
    if design.kernels == "k-means":
        maps = images
        for index, stage in enumerate(stages):
            if index == 1:
                maps = _limit(maps, seed)
            if index:
                maps = _run(stages[index - 1], maps)
            elif design.input_normalisation is not None:
                maps = _run(stage.get_submodule("input"), maps)
            encoder = stage.get_submodule("encoder")
            assert isinstance(encoder, PatchEncoder)
            encoder.fit(maps, seed + index, design.patches)
            if index == 0:
                maps = images
    network.train(training)
    kind = "encoder" if design.kernels == "k-means" else "convolution"
    return [
        f"stage{number}.{kind}.{name}"
        for number, stage in enumerate(stages, 1)
        for name, _ in stage.get_submodule(kind).named_parameters()
    ]


def _run(module: nn.Module, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
    """Return a module's outputs for images N×C×H×W, without gradients, batch by batch on its own device."""
    device = next((t.device for t in (*module.parameters(), *module.buffers())), images.device)
    with torch.no_grad():
        return torch.cat([module(part.to(device)) for part in images.split(batch_size)])


def _limit(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Return at most MOST_IMAGES of the images, drawn without replacement."""
    if len(images) <= MOST_IMAGES:
        return images
    draw = torch.Generator().manual_seed(seed)
    return images[torch.randperm(len(images), generator=draw)[:MOST_IMAGES].to(images.device)]
