"""Learnable context vectors in place of words (Zhou et al., CoOp, IJCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from harness import OptionError
from harness_few_shot.tower import BeforeBlock, TextTower

Position = Literal["end", "middle", "front"]


class ContextVectors(nn.Module):
    """M trainable context vectors, shared by all classes (M×d) or one set per class (C×M×d).

    With `init` they start as the embeddings of its tokens, and M is the number of these tokens, not of its
    words; otherwise they are drawn from N(0, 0.02²).
    """

    def __init__(
        self, tower: TextTower, length: int = 16, init: str = "", classes: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        if init:
            with torch.no_grad():
                vectors = tower.embed(init_tokens(tower, init)[None])[0].float()
        elif length < 1:
            raise OptionError(f"the context needs at least one vector, got {length}")
        else:
            generator = torch.Generator().manual_seed(seed)
            shape = (length, tower.width) if classes is None else (classes, length, tower.width)
            vectors = (0.02 * torch.randn(shape, generator=generator)).to(tower.device)
        if classes is not None and vectors.ndim == 2:
            vectors = vectors.expand(classes, -1, -1)
        self.vectors = nn.Parameter(vectors.clone())

    @property
    def length(self) -> int:
        """M, the number of context vectors."""
        return int(self.vectors.shape[-2])


class PromptLayout:
    """The prompts of some classes, with room for M context vectors.

    The text is `X … X name.` with M placeholders, laid out as [start, context, name, rest] (`end`),
    [start, half, name, half, rest] (`middle`) or [start, name, context, rest] (`front`).
    Raises OptionError for a name that leaves no room for the context.
    """

    def __init__(
        self, tower: TextTower, class_names: Sequence[str], length: int, position: Position = "end"
    ) -> None:
        placeholders = " ".join(["X"] * length)
        texts = [f"{placeholders} {name}." for name in class_names]
        tokens = tower.tokenize(texts, strict=True)
        self.tower, self.length = tower, length
        self.tokens = tokens[:, : tower.needed_length(tokens)]
        start = first_token_position(tower)
        bare = tower.count_tokens([f"{placeholders} ."])[0]
        sizes = [n - bare for n in tower.count_tokens(texts)]
        with torch.no_grad():
            self.fixed = tower.embed(self.tokens)
        self.order = torch.stack(
            [_order_tokens(self.tokens.shape[1], start, length, size, position) for size in sizes]
        ).to(tower.device)
        self.start = start

    def __len__(self) -> int:
        return len(self.tokens)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Return token embeddings …×C×L×d with the context M×d, C×M×d (per class) or B×1×M×d in its place."""
        if context.ndim == 2:
            context = context.expand(len(self), -1, -1)
        fixed, order = self.fixed, self.order
        lead = context.shape[:-3]
        classes, length, width = fixed.shape
        context = context.expand(*lead, classes, -1, -1)
        head = fixed[:, : self.start].expand(*lead, -1, -1, -1)
        tail = fixed[:, self.start + self.length :].expand(*lead, -1, -1, -1)
        whole = torch.cat([head, context.to(fixed.dtype), tail], dim=-2)
        if bool((order == torch.arange(length, device=order.device)).all()):
            return whole
        return whole.gather(-2, order[..., None].expand(*lead, classes, length, width))

    def encode(self, context: torch.Tensor, before: BeforeBlock | None = None) -> torch.Tensor:
        """Return normalised text embeddings C×D for the context M×d or C×M×d; `before` as for the tower."""
        embedded = self.tower(self.embed(context), self.tokens, before)
        return nn.functional.normalize(embedded.float(), dim=-1)

    def encode_each(self, contexts: torch.Tensor) -> torch.Tensor:
        """Return normalised text embeddings B×C×D, one classifier for each of the contexts B×M×d."""
        x = self.embed(contexts[:, None])
        many = x.shape[0]
        flat = self.tower(x.flatten(0, 1), self.tokens.repeat(many, 1))
        return nn.functional.normalize(flat.float(), dim=-1).reshape(many, len(self), -1)


def first_token_position(tower: TextTower) -> int:
    """Return the position of a text's first own token: 1 after a start token, 0 in towers that have none."""
    tokens = tower.tokenize(["X", "photo"])
    return int((tokens[0] != tokens[1]).int().argmax())


def init_tokens(tower: TextTower, words: str) -> torch.Tensor:
    """Return the tokens of some words without start and end; underscores count as spaces."""
    spaced = words.replace("_", " ")
    tokens = tower.tokenize([spaced], strict=True)[0]
    start = first_token_position(tower)
    count = tower.count_tokens([spaced])[0] - tower.count_tokens([""])[0]
    if count < 1:
        raise OptionError(f"the initial context '{words}' has no tokens")
    return tokens[start : start + count]


def _order_tokens(total: int, start: int, length: int, name: int, position: Position) -> torch.Tensor:
    """Return for each position of the prompt which position of `[start, context, name, rest]` goes there."""
    context = torch.arange(start, start + length)
    named = torch.arange(start + length, start + length + name)
    rest = torch.arange(start + length + name, total)
    half = length // 2
    middle = {
        "end": [context, named],
        "middle": [context[:half], named, context[half:]],
        "front": [named, context],
    }[position]
    return torch.cat([torch.arange(start), *middle, rest])


def find_nearest_words(
    tower: TextTower, vectors: torch.Tensor, count: int = 3
) -> list[list[tuple[str, float]]]:
    """Return for each vector M×d the vocabulary's nearest tokens with their Euclidean distances.

    Source: CoOp, Table 4. Tokens unknown to the decoder appear as their id.
    """
    table = tower.part.token_embedding.weight.detach().float()
    distances = torch.cdist(vectors.detach().float().to(table.device), table)
    found = distances.topk(count, largest=False)
    return [
        [(decode_token(tower.tokenizer, int(i)), round(float(d), 4)) for i, d in zip(ids, near, strict=True)]
        for ids, near in zip(found.indices, found.values, strict=True)
    ]


def decode_token(tokenizer: Any, token: int) -> str:
    """Return a token as text, or in the tokeniser's byte alphabet if it is not a whole character."""
    letters = (getattr(tokenizer, "decoder", None) or {}).get(token)
    if letters is None:
        return str(token)
    text: str = tokenizer.decode([token]).strip()
    return text if text and "\ufffd" not in text else str(letters).replace("</w>", "")
