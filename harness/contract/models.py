"""What a model can do: one typing protocol for each capability of the core's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.contract.capability import register_capability

if TYPE_CHECKING:
    import torch
    from PIL import Image


@runtime_checkable
class Model(Protocol):
    """Any model: `load` builds it and puts it on the device; called once before use."""

    def load(self, device: torch.device) -> None: ...


@dataclass(frozen=True)
class Preparation:
    """How an image becomes the network's input, as data, so that a faster path can do the same.

    Resize the shorter side to `resize` (or the whole image when it is a pair height, width),
    crop the centre to `crop`, scale to [0, 1], subtract `mean`, divide by `std` (RGB).
    """

    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@runtime_checkable
class SeesImages(Protocol):
    """Turns a PIL image into its input, C×H×W float, exactly as its authors say.

    Optional: after `load`, `preparation`, the same as data (allows the fast mode); `collate`, which makes
    a batch of prepared samples of different sizes (by default they are stacked).
    """

    def prepare(self, image: Image.Image) -> torch.Tensor: ...


@register_capability("classifies images")
@runtime_checkable
class ClassifiesImages(SeesImages, Protocol):
    """Gives logits B×C for prepared images B×3×H×W, over the classes of its `label_space`.

    Optional attributes, known without loading: `class_names`, the names of the outputs in their order,
    by which they are found for a data set's classes; `num_classes`, how many there are. Without either
    names or a label space on both sides the order is assumed, and every number says so.
    """

    label_space: str | None

    def classify(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes images", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesImages(SeesImages, Protocol):
    """Gives one embedding per prepared image, B×D (not necessarily normalised)."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes texts", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesTexts(Protocol):
    """Gives one embedding per text, B×D, in the space of its image embeddings.

    For zero-shot classification it also has, after `load`, `logit_scale`: the factor on cosine
    similarities, already exponentiated. Optional: `similarity`, "cosine" (the default) or "dot" for
    products of embeddings as they are; or a method `score(image_embeddings, text_embeddings)`, N×D and
    M×D to logits N×M, for a model that compares them itself (the other two are not asked then).
    """

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor: ...


@runtime_checkable
class CountsTokens(Protocol):
    """Says how long texts are to it, so that what is cut is told; optional beside encoding texts.

    `token_counts` gives for each text its tokens before cutting, start and end among them;
    `context_length` is how many of them it reads. Both are asked after `load`.
    """

    context_length: int

    def token_counts(self, texts: Sequence[str]) -> Sequence[int]: ...


@register_capability("gives image tokens")
@runtime_checkable
class GivesImageTokens(SeesImages, Protocol):
    """Gives embeddings B×E and the patches B×P×D they are made of, in one pass over B×3×H×W."""

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


@register_capability("gives text tokens")
@runtime_checkable
class GivesTextTokens(Protocol):
    """Gives embeddings B×E, tokens B×T×D and their mask B×T (true: a token is there), in one pass."""

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]: ...


@register_capability("exposes its module")
@runtime_checkable
class HasModule(Protocol):
    """Exposes its torch module, for counting, fine-tuning and fingerprints."""

    @property
    def module(self) -> torch.nn.Module: ...
