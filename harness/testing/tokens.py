"""What is expected of a model that gives tokens: the same embeddings as without, and tokens that padding leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.testing.model_subject import TEXTS, ModelSubject, expect_alike
from harness.testing.outcome import Check, NotChecked, expect, must

if TYPE_CHECKING:
    import torch


def check_image_tokens(subject: ModelSubject) -> None:
    """The embeddings beside the patches are those of encode_image; an image's patches are its own, B×P×D."""
    import torch

    if "gives image tokens" not in subject.able:
        raise NotChecked("the model gives no image tokens")
    batch = subject.batch
    with (
        torch.inference_mode(),
        must("encode_image_tokens(images) to give embeddings and patches", "The model says that it can."),
    ):
        embeddings, patches = subject.model.encode_image_tokens(batch)
    _shaped("patches B×P×D", patches, len(batch))
    if "encodes images" in subject.able:
        expect_alike(
            subject.seen(batch)["encode_image"],
            embeddings,
            "encode_image_tokens to give beside the patches what encode_image gives",
            "A fusion of patches would be compared with one of other embeddings.",
        )
    with torch.inference_mode():
        alone = torch.cat([subject.model.encode_image_tokens(batch[n : n + 1])[1] for n in range(len(batch))])
    expect_alike(
        patches,
        alone,
        "an image to have the same patches alone and in a batch",
        "The batch size would decide the result; it is halved where memory ends, and no part of a cell's id.",
    )


def check_text_tokens(subject: ModelSubject) -> None:
    """The embeddings beside the tokens are those of encode_text; padding changes no token."""
    import torch

    if "gives text tokens" not in subject.able:
        raise NotChecked("the model gives no text tokens")
    why = "A text's tokens would depend on the longest text of its batch."
    embeddings, tokens, mask = _read(subject, list(TEXTS))
    _shaped("tokens B×T×D", tokens, len(TEXTS))
    expect(
        mask.shape == tokens.shape[:2] and mask.dtype == torch.bool and bool(mask.any(dim=1).all()),
        "a boolean mask B×T, true where a token is, with at least one for each text",
        f"{mask.dtype} of shape {tuple(mask.shape)}",
        "Attention and means leave out what the mask says is padding.",
    )
    if "encodes texts" in subject.able:
        expect_alike(
            subject.read(TEXTS),
            embeddings,
            "encode_text_tokens to give beside the tokens what encode_text gives",
            "A fusion of tokens would be compared with one of other embeddings.",
        )
    for n, text in enumerate(TEXTS):
        alone, own, here = _read(subject, [text])
        expected = "a text to have the same embedding and tokens alone and among others"
        expect_alike(embeddings[n : n + 1], alone, expected, why)
        expect_alike(tokens[n][mask[n]], own[0][here[0]], expected, why)


def _read(subject: ModelSubject, texts: list[str]) -> Any:
    import torch

    with (
        torch.inference_mode(),
        must(
            "encode_text_tokens(texts) to give embeddings, tokens and their mask",
            "The model says that it can.",
        ),
    ):
        embeddings, tokens, mask = subject.model.encode_text_tokens(texts)
    return embeddings, tokens, mask


def _shaped(what: str, found: torch.Tensor, count: int) -> None:
    import torch

    expect(
        found.ndim == 3 and len(found) == count and bool(torch.isfinite(found).all()),
        f"{what} of finite numbers, for {count} inputs",
        f"shape {tuple(found.shape)}",
        "Rows belong to samples.",
    )


CHECKS: tuple[Check, ...] = (check_image_tokens, check_text_tokens)
