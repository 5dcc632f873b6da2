"""Fusion by multiplication: bilinear, tensor, and low-rank tensor fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_fusion.methods.option_checks import check_at_least

if TYPE_CHECKING:
    from torch import nn


class Bilinear:
    """tᵀ W_k v + b_k of both vectors projected to `size`: products only.

    If a modality is missing only the bias remains, since no term has one modality alone.

    Args:
        size: dimensions to project each vector to, at least 2.
        hidden: number of outputs k for the classifier.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(self, size: int = 32, hidden: int = 64) -> None:
        check_at_least(2, "bilinear", size=size)  # layer norm of one dimension is constant
        check_at_least(1, "bilinear", hidden=hidden)
        self.size, self.hidden = size, hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.products import BilinearNetwork

        return BilinearNetwork(text, image, self.size, self.hidden)


class TensorFusion:
    """[1; t] ⊗ [1; v] of both vectors projected to `size`, read by the linear classifier.

    The ones keep the terms of each modality alone. Projection leaves (size + 1)² inputs; vectors of 512
    would make 263,169. Source: Zadeh et al., Tensor Fusion Network, EMNLP 2017, section 4.2.

    Args:
        size: dimensions to project each vector to, at least 2.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(self, size: int = 32) -> None:
        check_at_least(2, "tensor", size=size)
        self.size = size

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.products import TensorNetwork

        return TensorNetwork(text, image, self.size)


class LowRank:
    """Σᵣ wᵣ ([1; t] Uᵣ ⊙ [1; v] Vᵣ) + b of unit vectors: tensor fusion whose weight tensor has rank `rank`.

    It reads the full vectors, since the tensor is never formed. Source: Liu et al., Efficient Low-rank
    Multimodal Fusion, ACL 2018, section 3.2.

    Args:
        rank: number of terms of the sum over r, at least 1.
        hidden: dimensions of the fused vector.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(self, rank: int = 4, hidden: int = 64) -> None:
        check_at_least(1, "low-rank", rank=rank, hidden=hidden)
        self.rank, self.hidden = rank, hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.products import LowRankNetwork

        return LowRankNetwork(text, image, self.rank, self.hidden)
