"""Cross-attention in both directions, over tokens or over single vectors, and bottleneck fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_fusion.methods.option_checks import check_at_least, check_heads_divide

if TYPE_CHECKING:
    from torch import nn


class CrossAttention:
    """Text tokens attend to patches and patches to text tokens; both means go through a hidden layer.

    x = t + MHA(t, v, v) and y = v + MHA(v, t, t) on tokens projected to `hidden`, without added
    position embeddings (the encoders' tokens already carry positions).

    Args:
        hidden: width of the projected tokens and of the hidden layer; a multiple of `heads`.
        heads: attention heads in each direction.
    """

    modalities = ("text", "image")
    reads = "tokens"

    def __init__(self, hidden: int = 64, heads: int = 4) -> None:
        check_heads_divide("cross-attention", hidden, heads)
        self.hidden, self.heads = hidden, heads

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for tokens of these two widths."""
        from harness_fusion.networks.attention import CrossAttentionNetwork

        return CrossAttentionNetwork(text, image, self.hidden, self.heads)


class CrossAttentionPooled:
    """Cross-attention over pooled vectors, one key each: a LINEAR map of [t; v]; label it as such.

    A softmax over one key is 1 whatever the query, so only the value path acts; query and key weights
    are among the parameters but never get a gradient. Included because papers report it as attention.

    Args:
        hidden: width of the projected vectors; a multiple of `heads`.
        heads: attention heads in each direction.
    """

    modalities = ("text", "image")
    reads = "pooled"
    linear = True

    def __init__(self, hidden: int = 64, heads: int = 4) -> None:
        check_heads_divide("cross-attention-pooled", hidden, heads)
        self.hidden, self.heads = hidden, heads

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for these two widths."""
        from harness_fusion.networks.attention import PooledCrossAttention

        return PooledCrossAttention(text, image, self.hidden, self.heads)


class Bottleneck:
    """A transformer stream per modality; the streams exchange information only through shared tokens.

    One layer would pass nothing between the streams, so there are at least two. Source: Nagrani
    et al., Attention Bottlenecks for Multimodal Fusion, NeurIPS 2021, section 3.2; there the two class
    tokens' logits are averaged; here one linear classifier reads both.

    Args:
        hidden: width of the tokens; a multiple of `heads`.
        heads: attention heads of each block.
        layers: blocks of each stream, at least 2.
        bottlenecks: number of shared tokens, at least 1.
    """

    modalities = ("text", "image")
    reads = "tokens"

    def __init__(self, hidden: int = 64, heads: int = 4, layers: int = 2, bottlenecks: int = 4) -> None:
        check_heads_divide("bottleneck", hidden, heads)
        check_at_least(2, "bottleneck", layers=layers)
        check_at_least(1, "bottleneck", bottlenecks=bottlenecks)
        self.hidden, self.heads, self.layers, self.bottlenecks = hidden, heads, layers, bottlenecks

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module for tokens of these two widths."""
        from harness_fusion.networks.attention import BottleneckNetwork

        return BottleneckNetwork(text, image, self.hidden, self.heads, self.layers, self.bottlenecks)
