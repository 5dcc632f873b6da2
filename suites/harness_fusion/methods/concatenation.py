"""Early fusion in both senses: concatenated features, or tokens in one transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_fusion.methods.option_checks import check_at_least, check_heads_divide

if TYPE_CHECKING:
    from torch import nn


class EarlyFeatures:
    """The two vectors concatenated, then one hidden layer.

    Args:
        hidden: width of the hidden layer.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(self, hidden: int = 128) -> None:
        check_at_least(1, "early-features", hidden=hidden)
        self.hidden = hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.pooled import PooledConcatenation

        return PooledConcatenation(text, image, self.hidden)


class EarlyTokens:
    """Text tokens and patches as one sequence for a small transformer with a class token.

    Tokens are projected to `hidden`, and a learned vector of their modality is added; positions come
    from the encoders. Also called early fusion: MultiBench, Liang et al., NeurIPS 2021.

    Args:
        hidden: width of the tokens; a multiple of `heads`.
        heads: attention heads of each block.
        layers: blocks of the transformer, at least 1.
    """

    modalities = ("text", "image")
    reads = "tokens"

    def __init__(self, hidden: int = 64, heads: int = 4, layers: int = 1) -> None:
        check_heads_divide("early-tokens", hidden, heads)
        check_at_least(1, "early-tokens", layers=layers)
        self.hidden, self.heads, self.layers = hidden, heads, layers

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for tokens of these two widths."""
        from harness_fusion.networks.attention import TokenConcatenation

        return TokenConcatenation(text, image, self.hidden, self.heads, self.layers)
