"""Networks over token sequences: cross-attention, concatenated tokens, and bottleneck tokens."""

from __future__ import annotations

import torch
from torch import nn

from harness_fusion.contracts import Features
from harness_fusion.networks.layers import MaskedAttention, TokenBlock, TokenProjection, masked_mean


class CrossAttentionNetwork(nn.Module):
    """x = t + MHA(t, v, v) and y = v + MHA(v, t, t) over tokens; ReLU(W [mean x; mean y] + b)."""

    def __init__(self, text: int, image: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.width = hidden
        self.text, self.image = TokenProjection(text, hidden), TokenProjection(image, hidden)
        self.text_reads_image = MaskedAttention(hidden, heads)
        self.image_reads_text = MaskedAttention(hidden, heads)
        self.mix = nn.Linear(2 * hidden, hidden)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        t, v = self.text(text), self.image(image)
        x = t + self.text_reads_image(t, v, image.visible)[0]
        y = v + self.image_reads_text(v, t, text.visible)[0]
        both = [masked_mean(x, text.visible), masked_mean(y, image.visible)]
        return torch.relu(self.mix(torch.cat(both, dim=-1)))


class PooledCrossAttention(nn.Module):
    """Cross-attention between two single vectors: an affine map of [t; v] for any queries and keys.

    The softmax over one key is 1, so each output is W_o (W_v k + b_v) + b_o, and the query and key
    weights (counted as parameters) never get a gradient.
    """

    def __init__(self, text: int, image: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.text, self.image = nn.Linear(text, hidden), nn.Linear(image, hidden)
        self.text_reads_image = MaskedAttention(hidden, heads)
        self.image_reads_text = MaskedAttention(hidden, heads)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×2·hidden."""
        has_text, has_image = text.present[:, None], image.present[:, None]
        t = self.text(text.vector).masked_fill(~has_text, 0.0)[:, None]
        v = self.image(image.vector).masked_fill(~has_image, 0.0)[:, None]
        x = t + self.text_reads_image(t, v, has_image)[0]
        y = v + self.image_reads_text(v, t, has_text)[0]
        return torch.cat([x, y], dim=-1).squeeze(1)


class TokenConcatenation(nn.Module):
    """One transformer over [class token; text tokens; image patches]; returns the class token."""

    def __init__(self, text: int, image: int, hidden: int, heads: int, layers: int) -> None:
        super().__init__()
        self.width = hidden
        self.text, self.image = TokenProjection(text, hidden), TokenProjection(image, hidden)
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, hidden))
        self.kind = nn.Parameter(0.02 * torch.randn(2, hidden))
        self.blocks = nn.ModuleList(TokenBlock(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        return self._attend(text, image, shares=False)[0]

    def weights(self, text: Features, image: Features) -> torch.Tensor:
        """Return the shares of text and image in the class token's last attention, itself excluded, B×2."""
        attention = self._attend(text, image, shares=True)[1]
        assert attention is not None
        from_start = attention[:, 0, 1:]
        length = text.mask.shape[1]
        parts = torch.stack([from_start[:, :length].sum(1), from_start[:, length:].sum(1)], dim=-1)
        total = parts.sum(dim=-1, keepdim=True)
        return torch.where(total > 0, parts / total.clamp(min=torch.finfo(parts.dtype).tiny), 0.5)

    def _attend(
        self, text: Features, image: Features, shares: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        tokens = [
            self.start.expand(len(text), -1, -1),
            self.text(text) + self.kind[0],
            self.image(image) + self.kind[1],
        ]
        x, visible = torch.cat(tokens, dim=1), _prepend_start(text.visible, image.visible)
        for block in self.blocks[:-1]:
            x, _ = block(x, visible)
        x, attention = self.blocks[-1](x, visible, rows=1, shares=shares)
        return self.norm(x[:, 0]), attention


class BottleneckNetwork(nn.Module):
    """A stream of blocks per modality; the streams exchange information only through bottleneck tokens.

    In every layer each stream attends to its own tokens and the bottlenecks; the bottlenecks' updates are
    averaged over the modalities present. The output is both class tokens.
    """

    def __init__(self, text: int, image: int, hidden: int, heads: int, layers: int, bottlenecks: int) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.text, self.image = TokenProjection(text, hidden), TokenProjection(image, hidden)
        self.start = nn.Parameter(0.02 * torch.randn(2, 1, 1, hidden))
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(1, bottlenecks, hidden))
        self.text_blocks = nn.ModuleList(TokenBlock(hidden, heads) for _ in range(layers))
        self.image_blocks = nn.ModuleList(TokenBlock(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(2 * hidden)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×2·hidden."""
        size, count = len(text), self.bottlenecks.shape[1]
        t = torch.cat([self.start[0].expand(size, -1, -1), self.text(text)], dim=1)
        v = torch.cat([self.start[1].expand(size, -1, -1), self.image(image)], dim=1)
        shared = self.bottlenecks.expand(size, -1, -1)
        always = text.present.new_ones(size, count)
        see_text = torch.cat([_prepend_start(text.visible), always], dim=1)
        see_image = torch.cat([_prepend_start(image.visible), always], dim=1)
        votes = torch.stack([text.visible.any(1), image.visible.any(1)]).to(t.dtype)[..., None, None]
        votes = torch.where(votes.sum(dim=0) > 0, votes / votes.sum(dim=0).clamp(min=1), 0.5)
        last = len(self.text_blocks) - 1
        for layer, (text_block, image_block) in enumerate(zip(self.text_blocks, self.image_blocks)):
            rows = 1 if layer == last else None  # only the class tokens of the last layer are used
            t = text_block(torch.cat([t, shared], dim=1), see_text, rows)[0]
            v = image_block(torch.cat([v, shared], dim=1), see_image, rows)[0]
            if rows is None:
                (t, from_text), (v, from_image) = (x.tensor_split([-count], dim=1) for x in (t, v))
                shared = votes[0] * from_text + votes[1] * from_image
        vector: torch.Tensor = self.norm(torch.cat([t[:, 0], v[:, 0]], dim=-1))
        return vector


def _prepend_start(*visible: torch.Tensor) -> torch.Tensor:
    """Concatenate the masks behind a class token, which is always visible."""
    return torch.cat([visible[0].new_ones(len(visible[0]), 1), *visible], dim=1)
