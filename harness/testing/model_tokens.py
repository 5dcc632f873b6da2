"""Checks of a model that returns tokens: the embeddings it has without them, and no effect of padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.testing.model_subject import TEXTS, ModelSubject, expect_close
from harness.testing.verdicts import expect, must

if TYPE_CHECKING:
    import torch


def check_image_tokens(subject: ModelSubject) -> None:
    """The embeddings beside the patches are those of encode_image; an image's patches are its own, B×P×D."""
    import torch

    subject.require("gives image tokens")
    batch = subject.batch
    embeddings, patches = _encode(subject, "image", batch)
    _expect_tokens("patches B×P×D", patches, len(batch))
    if "encodes images" in subject.abilities:
        expected = "encode_image_tokens to return beside the patches what encode_image returns"
        why = "A fusion of patches would be compared with one of other embeddings."
        expect_close(subject.run_on_images(batch)["encode_image"], embeddings, expected, why)
    expect_close(
        patches,
        torch.cat([_encode(subject, "image", image[None])[1] for image in batch]),
        "an image to have the same patches alone and in a batch",
        "The batch size would decide the result; it is halved if memory runs out, and no part of a cell's id.",
    )


def check_text_tokens(subject: ModelSubject) -> None:
    """The embeddings beside the tokens are those of encode_text; padding changes no token."""
    import torch

    subject.require("gives text tokens")
    embeddings, tokens, mask = _encode(subject, "text", list(TEXTS))
    _expect_tokens("tokens B×T×D", tokens, len(TEXTS))
    expect(
        mask.shape == tokens.shape[:2] and mask.dtype == torch.bool and bool(mask.any(dim=1).all()),
        "a boolean mask B×T, true for tokens and false for padding, with at least one token for each text",
        f"{mask.dtype} of shape {tuple(mask.shape)}",
        "Attention and means leave out what the mask says is padding.",
    )
    if "encodes texts" in subject.abilities:
        expected = "encode_text_tokens to return beside the tokens what encode_text returns"
        why = "A fusion of tokens would be compared with one of other embeddings."
        expect_close(subject.encode_texts(TEXTS), embeddings, expected, why)
    for n, text in enumerate(TEXTS):
        alone, own, here = _encode(subject, "text", [text])
        expected = "a text to have the same embedding and tokens alone and among others"
        why = "A text's tokens would depend on the longest text of its batch."
        expect_close(embeddings[n : n + 1], alone, expected, why)
        expect_close(tokens[n][mask[n]], own[0][here[0]], expected, why)


def _encode(subject: ModelSubject, kind: str, inputs: Any) -> Any:
    import torch

    names = ("embeddings", "patches") if kind == "image" else ("embeddings", "tokens", "mask")
    expected = f"encode_{kind}_tokens({kind}s) to return {', '.join(names)}"
    with torch.inference_mode(), must(expected, "The model claims that it can."):
        found = getattr(subject.model, f"encode_{kind}_tokens")(inputs)
        return [part for _, part in zip(names, found, strict=True)]


def _expect_tokens(what: str, found: torch.Tensor, count: int) -> None:
    import torch

    expect(
        found.ndim == 3 and len(found) == count and bool(torch.isfinite(found).all()),
        f"{what} of finite numbers, for {count} inputs",
        f"shape {tuple(found.shape)}",
        "Rows belong to samples.",
    )
