"""A timm network's feature map as a sequence of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError

if TYPE_CHECKING:
    import torch
    from torch import nn


def extract_patches(network: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Convert the output of the network's `forward_features` to patches B×P×D, without prefix tokens.

    Feature maps are B×D×H×W, or B×H×W×D if the network declares it (Swin and similar). Raises
    OptionError for a network with several feature maps.
    """
    if not hasattr(features, "ndim"):
        raise OptionError(
            f"timm: {type(network).__name__} has several feature maps, so its patches are ambiguous"
        )
    if features.ndim == 2:
        return features[:, None]
    if features.ndim == 3:
        return features[:, getattr(network, "num_prefix_tokens", 0) :]
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)
