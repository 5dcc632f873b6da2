"""The networks of `tiny-mllm`: a convolutional image encoder, and a causal decoder of words and images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness_embedded.speaking_words import IMAGE, WORDS

Carry = Literal["next", "none", "all"]

FEATURES = 64
"""Dimension of an image's feature vector."""
WIDTH = 64
LAYERS = 3
HEADS = 4
CONTEXT = 320
"""Most tokens of a conversation and its answer."""


class ImageEncoder(nn.Module):
    """Three convolutions with max-pooling, and a linear layer: images N×3×32×32 to features N×64."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 24, 48, 64)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
                for before, after in pairwise(channels)
            )
        )
        self.last = nn.Linear(channels[-1] * 16, FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        """Return features N×64 of normalised images N×3×32×32."""
        features: Tensor = self.last(self.stages(images).flatten(1))
        return features


@dataclass(frozen=True)
class Cache:
    """What later tokens attend to: keys and values of B rows and T tokens, layer by layer, and which are no padding.

    Nothing writes into it: a longer one is a new one.
    """

    keys: tuple[Tensor, ...]
    """For each layer, B×heads×T×(width / heads)."""
    values: tuple[Tensor, ...]
    real: Tensor
    """B×T bool."""

    def take(self, rows: Tensor) -> Cache:
        """Return the cache of other rows (indices, each any number of times)."""
        return Cache(tuple(k[rows] for k in self.keys), tuple(v[rows] for v in self.values), self.real[rows])


class _Block(nn.Module):
    """Attention and a perceptron, each after a layer norm (a pre-norm transformer block)."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.value, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        # tokens that are alike attend to each other from the start: matching need not be found first
        self.key.weight.data.copy_(self.query.weight.data)

    def forward(
        self, x: Tensor, mask: Tensor, before: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        inner = self.before_attention(x)
        query, key, value = (
            layer(inner).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if before is not None:
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.before_mlp(x)), key, value


class SpeakingNetwork(nn.Module):
    """A frozen image encoder, a linear connector that makes one token of an image, and a causal decoder.

    Args:
        carry: which text tokens hold an image besides its own token. "next": the one right after it. "none": none,
            plain concatenation. "all": every later one holds the last image before it (the rule of Flamingo,
            NeurIPS 2022, whose texts see only that one).
    """

    def __init__(self, carry: Carry = "next") -> None:
        super().__init__()
        self.carry = carry
        self.encoder = ImageEncoder()
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))
        self.connector = nn.Linear(FEATURES, WIDTH)
        self.words = nn.Embedding(len(WORDS), WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(LAYERS))
        self.last_norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.words.weight, std=0.5)
        nn.init.normal_(self.positions.weight, std=0.02)

    centre: Tensor
    spread: Tensor

    def encode(self, images: Tensor) -> Tensor:
        """Return features N×64 of normalised images N×3×32×32, standardised on the images of the training."""
        features: Tensor = self.encoder(images)
        return (features - self.centre) / self.spread

    def forward(
        self,
        ids: Tensor,
        own: Tensor,
        held: Tensor,
        positions: Tensor,
        real: Tensor,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Return the last layer's states B×T×width and the cache that ends with these tokens.

        `ids`, `positions` B×T; `own` and `held` B×T×64: features of the image at a place, and of the one that a
        text token carries, 0 where there is none; `real` B×T: no padding. Padding may stand anywhere.
        """
        x = self.words(ids) + self.positions(positions)
        x = x + self._connect(own) + self._connect(held)
        length, start = ids.shape[1], 0 if cache is None else cache.real.shape[1]
        seen = real if cache is None else torch.cat([cache.real, real], dim=1)
        causal = torch.ones(length, start + length, dtype=torch.bool, device=ids.device).tril(start)
        # padding sees itself, so that no softmax is over nothing
        itself = torch.eye(length, dtype=torch.bool, device=ids.device)
        itself = F.pad(itself, (start, 0))
        mask = ((seen[:, None, :] & causal) | itself)[:, None]
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            before = None if cache is None else (cache.keys[layer], cache.values[layer])
            x, key, value = block(x, mask, before)
            keys.append(key)
            values.append(value)
        return x, Cache(tuple(keys), tuple(values), seen)

    def _connect(self, features: Tensor) -> Tensor:
        there = (features != 0).any(-1, keepdim=True)
        connected: Tensor = self.connector(features) * there
        return connected

    def read_out(self, states: Tensor) -> Tensor:
        """Return logits over the words of states ...×width; the embedding is tied."""
        logits: Tensor = self.last_norm(states) @ self.words.weight.T
        return logits


def place_images(ids: list[int], images: list[int], carry: Carry) -> tuple[list[int], list[int]]:
    """Return which image each place shows and which it carries, −1 for none.

    `images` are the images' numbers in the order of the `IMAGE` tokens in `ids`.
    """
    own, held, shown, last = [], [], iter(images), -1
    after_image = False
    for token in ids:
        if token == IMAGE:
            last = next(shown)
            own.append(last)
            held.append(-1)
        else:
            own.append(-1)
            held.append(last if carry == "all" or (carry == "next" and after_image) else -1)
        after_image = token == IMAGE
    return own, held
