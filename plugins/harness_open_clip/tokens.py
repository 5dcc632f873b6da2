"""Embeddings of open_clip's towers with the tokens and patches they pool, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from harness import OptionError
from harness_timm.patches import extract_patches


def image_tokens(clip: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embeddings B×E, equal to `encode_image`'s, and the image tower's last patches B×P×D.

    Patches are the tower's outputs before pooling and projection, without the class token. Raises
    OptionError for an unknown type of tower.
    """
    visual = clip.visual
    if hasattr(visual, "output_tokens"):
        with _output_tokens(visual):
            pooled, patches = visual(images)
        return pooled, patches
    if hasattr(visual, "trunk"):
        features = visual.trunk.forward_features(images)
        pooled = visual.head(visual.trunk.forward_head(features))
        return pooled, extract_patches(visual.trunk, features)
    if hasattr(visual, "attnpool"):
        pooled, (grid,) = _run_and_capture(
            visual.attnpool, lambda: visual(images), lambda inputs, _: inputs[0]
        )
        return pooled, grid.flatten(2).transpose(1, 2)
    raise OptionError(f"open_clip: an image tower of type {type(visual).__name__} exposes no patches")


def text_tokens(clip: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return embeddings B×E, equal to `encode_text`'s, the text tower's last tokens B×T×D, and their mask B×T.

    `ids` are token ids B×T. The mask is true from the first token to the one that ends the text: the
    id alone doesn't identify padding, since 0 is also an exclamation mark in CLIP's vocabulary. Raises
    OptionError for an unknown type of tower.
    """
    text = getattr(clip, "text", None)
    if text is None:  # CLIP itself holds the parts of its text tower
        pooled, (tokens,) = _run_and_capture(
            clip.ln_final, lambda: clip.encode_text(ids), lambda _, output: output
        )
        pool, end, padding = clip.text_pool_type, getattr(clip, "text_eos_id", None), 0
    elif hasattr(text, "output_tokens"):
        with _output_tokens(text):
            pooled, tokens = text(ids)
        pool, end = getattr(text, "pool_type", "mask"), getattr(text, "eos_id", None)
        padding = text.config.pad_token_id if hasattr(text, "config") else text.pad_id
    else:
        raise OptionError(f"open_clip: a text tower of type {type(text).__name__} exposes no tokens")
    mask = _mask_until_end(ids, pool, end, padding)
    return pooled, tokens, mask[:, mask.shape[1] - tokens.shape[1] :]  # a tower may drop its first token


def _mask_until_end(ids: torch.Tensor, pool: str, end: int | None, padding: int) -> torch.Tensor:
    places = torch.arange(ids.shape[1], device=ids.device)
    if pool == "argmax":
        return places <= ids.argmax(dim=1, keepdim=True)
    if pool == "eos":
        if end is None:
            raise OptionError(
                "open_clip: a text tower that pools at the end of the text does not define its end token"
            )
        return places <= (ids == end).int().argmax(dim=1, keepdim=True)
    mask = ids != padding
    mask[:, 0] |= ~mask.any(dim=1)  # an empty text counts as one token
    return mask


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text, start and end included, before an open_clip tokenizer cuts it."""
    if hasattr(tokenizer, "encode"):  # CLIP's own cleans texts itself; it adds both ends afterwards
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    clean = getattr(tokenizer, "clean_fn", None)
    if clean is None:  # SigLIP's cleans with functions of its module
        from open_clip.tokenizer import basic_clean, canonicalize_text

        def clean(text: str) -> str:
            return str(canonicalize_text(basic_clean(text)))

    own_ends = getattr(tokenizer, "tokenizer_mode", "") == "clips"  # it adds start, end and class itself
    found = tokenizer.tokenizer(
        [clean(text) for text in texts], add_special_tokens=not own_ends, padding=False, truncation=False
    )
    return [len(ids) + (3 if own_ends else 0) for ids in found["input_ids"]]


@contextmanager
def _output_tokens(tower: Any) -> Iterator[None]:
    before = tower.output_tokens
    tower.output_tokens = True
    try:
        yield
    finally:
        tower.output_tokens = before


def _run_and_capture(
    module: nn.Module, work: Callable[[], torch.Tensor], choose: Callable[[Any, Any], torch.Tensor]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the result of `work` and, for each call of `module` meanwhile, the result of `choose`."""
    seen: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _, inputs, output: seen.append(choose(inputs, output)))
    try:
        return work(), seen
    finally:
        hook.remove()
