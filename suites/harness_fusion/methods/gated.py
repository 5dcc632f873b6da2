"""Gated fusion: each dimension weighs text against image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_fusion.methods.option_checks import check_at_least

if TYPE_CHECKING:
    from torch import nn


class Gated:
    """z ⊙ tanh(A t) + (1 − z) ⊙ tanh(B v), z = σ(W [t; v] + b): the gated multimodal unit.

    The mean gate is the method's modality weight. Source: Arevalo et al., ICLR 2017 workshop, section 3.

    Args:
        hidden: dimensions of the gate z and of the fused vector.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(self, hidden: int = 128) -> None:
        check_at_least(1, "gated", hidden=hidden)
        self.hidden = hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.pooled import GatedUnit

        return GatedUnit(text, image, self.hidden)
