"""open_clip's text towers, entered at the token embeddings: learned contexts need this, `encode_text` hides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import OptionError

if TYPE_CHECKING:
    import torch

BeforeBlock = Callable[[int, "torch.Tensor"], "torch.Tensor"]
"""Maps a block's number and its input N×L×d to the input it gets instead."""

BIT_EQUAL_STEP = 16
"""Cutting a causal tower's texts to a multiple of this many positions leaves the embeddings bit-equal: the
vectorised softmax then adds the same terms in the same order. Other lengths differ by rounding."""


@runtime_checkable
class HasClip(Protocol):
    """A model that exposes its open_clip network."""

    clip: Any


class TextTower:
    """A view of an open_clip model's text tower that takes token embeddings.

    A causal tower that pools at a token of the text never sees what follows it, so texts are cut to the
    longest one (`trims`); any other tower keeps the padding it was trained with.

    Raises OptionError for towers of `transformers`, whose own code makes positions and masks from the
    token ids.
    """

    def __init__(self, clip: Any, tokenizer: Any) -> None:
        from open_clip.transformer import TextTransformer

        part = getattr(clip, "text", None)
        if part is None and all(hasattr(clip, n) for n in ("token_embedding", "transformer", "ln_final")):
            part = clip
        elif not isinstance(part, TextTransformer):
            found = type(part if part is not None else clip).__name__
            raise OptionError(
                f"the text tower {found} takes no token embeddings: contexts can be learned with open_clip's own "
                "text transformers only"
            )
        self.part, self.tokenizer = part, tokenizer
        self.context_length: int = int(part.context_length)
        self.pool: str = part.text_pool_type if part is clip else part.pool_type
        self.eos: int | None = getattr(part, "text_eos_id" if part is clip else "eos_id", None)
        self.appended = getattr(part, "cls_emb", None)
        self.causal = part.attn_mask is not None
        self.trims = self.causal and self.appended is None and self.pool in ("argmax", "eos", "first")

    @property
    def width(self) -> int:
        """Dimension of the token embeddings."""
        return int(self.part.token_embedding.weight.shape[1])

    @property
    def device(self) -> torch.device:
        """The device of the tower's weights."""
        return self.part.token_embedding.weight.device  # type: ignore[no-any-return]

    def tokenize(self, texts: Sequence[str], strict: bool = False) -> torch.Tensor:
        """Return token ids N×context length. With `strict`, raise OptionError for a text that would be cut."""
        if strict:
            for text, length in zip(texts, self.count_tokens(texts), strict=True):
                if length > self.context_length:
                    raise OptionError(
                        f"'{text}' has {length} tokens, the text tower takes {self.context_length}: "
                        "use a shorter class name or context"
                    )
        tokens: torch.Tensor = self.tokenizer(list(texts)).to(self.device)
        return tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, start and end included, before cutting."""
        longest = max((len(t) for t in texts), default=0)
        room = self.context_length + 3 * longest + 8  # no tokeniser makes more tokens than bytes
        ids = self.tokenizer(list(texts), context_length=room)
        own = ids != ids[:, -1:]
        ends = own.int().cumsum(dim=1).argmax(dim=1) + 1
        # towers that pool the last position use one token for end and padding: add the end back
        return [int(e) + int(self.pool == "last") for e in ends]

    def find_ends(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the position that the tower pools, for each row of token ids."""
        import torch

        if self.appended is not None or self.pool == "last":
            return torch.full((len(tokens),), tokens.shape[1] - 1, device=tokens.device)
        if self.pool == "first":
            return torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        if self.pool != "eos":
            return tokens.argmax(dim=1)
        if self.eos is None:
            raise OptionError("the text tower pools at the end of text but does not say which token that is")
        return (tokens == self.eos).int().argmax(dim=1)

    def needed_length(self, tokens: torch.Tensor) -> int:
        """Return how many positions these texts need: up to the last pooled one if `trims`, else all."""
        return int(self.find_ends(tokens).max()) + 1 if self.trims else tokens.shape[1]

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return token embeddings N×L×d, without positional embeddings."""
        embedded: torch.Tensor = self.part.token_embedding(tokens).to(self.part.transformer.get_cast_dtype())
        return embedded

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return text embeddings N×D of token ids, not normalised, as the model's own `encode_text` does."""
        tokens = tokens[:, : -(-self.needed_length(tokens) // BIT_EQUAL_STEP) * BIT_EQUAL_STEP]
        return self(self.embed(tokens), tokens)

    @property
    def blocks(self) -> int:
        """Number of transformer blocks."""
        return len(self.part.transformer.resblocks)

    def __call__(
        self, x: torch.Tensor, tokens: torch.Tensor, before: BeforeBlock | None = None
    ) -> torch.Tensor:
        """Return text embeddings N×D, not normalised, from token embeddings N×L×d.

        `tokens` N×L (or 1×L) only mark where each text ends and which positions are padding. `x` has exactly
        one batch dimension. `before` may change the input of a block.
        """
        import torch

        part = self.part
        if len(tokens) != len(x):
            tokens = tokens.expand(len(x), -1)
        length, mask = x.shape[1], part.attn_mask
        if self.appended is not None:
            x = torch.cat([x, self.appended.to(x.dtype).expand(len(x), 1, -1)], dim=1)
            length += 1
        if mask is not None:
            mask = mask[:length, :length]
        if self.appended is not None or getattr(part, "use_pad_mask", False):
            padding = part._build_additive_mask(tokens, length, x.dtype)
            mask = padding if mask is None else mask.unsqueeze(0) + padding
        x = x + part.positional_embedding[:length].to(x.dtype)
        x = run_blocks(part.transformer, x, mask, before)
        if self.appended is not None:
            pooled: torch.Tensor = part.ln_final(x[:, -1])
        else:
            # layer normalisation works row by row, so only the pooled row needs it
            pooled = part.ln_final(x[torch.arange(len(x), device=x.device), self.find_ends(tokens)])
        projection = part.text_projection
        if isinstance(projection, torch.nn.Linear):
            pooled = projection(pooled)
        elif projection is not None:
            pooled = pooled @ projection
        return pooled


def run_blocks(
    transformer: Any, x: torch.Tensor, mask: torch.Tensor | None, before: BeforeBlock | None = None
) -> torch.Tensor:
    """Run tokens N×L×d through an open_clip transformer, each block's input changed by `before`."""
    if before is None:
        return transformer(x, attn_mask=mask)  # type: ignore[no-any-return]
    for number, block in enumerate(transformer.resblocks):
        x = before(number, x)
        x = x if transformer.batch_first else x.transpose(0, 1)
        x = block(x, attn_mask=mask)
        x = x if transformer.batch_first else x.transpose(0, 1)
    return x


def open_text_tower(model: Any) -> TextTower:
    """Return the text tower of a loaded model plugin that exposes its open_clip module as `clip`.

    Raises OptionError if the plugin exposes none, or if its tower can't take token embeddings.
    """
    clip = getattr(model, "clip", None)
    if clip is None:
        raise OptionError("learned contexts need an open_clip model; this one does not expose its text tower")
    return TextTower(clip, model.tokenizer)
