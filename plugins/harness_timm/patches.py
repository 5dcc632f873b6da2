"""A timm network's feature map as a sequence of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError

if TYPE_CHECKING:
    import torch
    from torch import nn


def extract_patches(network: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What the network's `forward_features` gave, as patches B×P×D without class and register tokens.

    Feature maps come as B×D×H×W, or as B×H×W×D from networks that say so (Swin and its kin). Raises
    OptionError for a network of several feature maps at once.
    """
    if not hasattr(features, "ndim"):
        raise OptionError(
            f"timm: {type(network).__name__} has several feature maps, so no one set of patches"
        )
    if features.ndim == 2:
        return features[:, None]
    if features.ndim == 3:
        return features[:, getattr(network, "num_prefix_tokens", 0) :]
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)
