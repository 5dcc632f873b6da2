"""What a model can do: one typing protocol for each of the core's capabilities."""

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

    Resize the shorter side to `resize` (or the whole image to a pair height, width), crop the centre to
    `crop`, scale to [0, 1], subtract `mean`, divide by `std` (RGB).
    """

    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@runtime_checkable
class SeesImages(Protocol):
    """A model that turns a PIL image into its input, C×H×W float, exactly as its authors specify.

    Optional: after `load`, `preparation`, the same as data (allows the fast mode); `collate`, which batches
    prepared samples of different sizes (by default they are stacked).
    """

    def prepare(self, image: Image.Image) -> torch.Tensor: ...


@register_capability("classifies images")
@runtime_checkable
class ClassifiesImages(SeesImages, Protocol):
    """A model that returns logits B×C for prepared images B×3×H×W, over the classes of its `label_space`.

    Optional attributes, known without loading: `class_names`, the outputs' names in order, by which they are
    matched to a data set's classes; `num_classes`, their number. Unless both sides have names or a label
    space, the order is assumed, and every number carries a remark that says so.
    """

    label_space: str | None

    def classify(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes images", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesImages(SeesImages, Protocol):
    """A model that returns one embedding per prepared image, B×D (not necessarily normalised)."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes texts", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesTexts(Protocol):
    """A model that returns one embedding per text, B×D, in the space of its image embeddings.

    For zero-shot classification it also has, after `load`, `logit_scale`: the factor on cosine
    similarities, already exponentiated. Optional: `similarity`, "cosine" (the default) or "dot" for
    products of unnormalised embeddings; or a method `score(image_embeddings, text_embeddings)`, N×D and
    M×D to logits N×M, for a model with its own comparison (the other two are then ignored).
    """

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor: ...


@runtime_checkable
class CountsTokens(Protocol):
    """A model that reports text lengths, so that cuts can be remarked; optional beside encoding texts.

    `token_counts` returns each text's number of tokens before cutting, start and end included;
    `context_length` is the number that the model reads. Both are read after `load`.
    """

    context_length: int

    def token_counts(self, texts: Sequence[str]) -> Sequence[int]: ...


@register_capability("gives image tokens")
@runtime_checkable
class GivesImageTokens(SeesImages, Protocol):
    """A model that returns embeddings B×E and their patches B×P×D, in one pass over B×3×H×W."""

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


@register_capability("gives text tokens")
@runtime_checkable
class GivesTextTokens(Protocol):
    """A model that returns embeddings B×E, tokens B×T×D and their mask B×T (true: a token), in one pass."""

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]: ...


@register_capability("exposes its module")
@runtime_checkable
class HasModule(Protocol):
    """A model that exposes its torch module, for counting, fine-tuning and fingerprints."""

    @property
    def module(self) -> torch.nn.Module: ...
