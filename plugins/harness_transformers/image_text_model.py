"""The model plugin `hf-image-text`: a vision-language model of transformers that answers questions about images."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, OptionError
from harness_language.conversations import Question, list_images
from harness_transformers.pretrained import Dtype
from harness_transformers.question_batches import Prompt
from harness_transformers.speaking_model import Restriction, SpeakingModel, digest_settings, digest_tokenizer

if TYPE_CHECKING:
    from PIL import Image

_PLACEHOLDERS = (
    "image_token",
    "boi_token",
    "eoi_token",
    "fake_image_token",
    "global_image_token",
    "video_token",
)
"""Attributes of processors that hold texts with a meaning in prompts."""


class HfImageText(SpeakingModel):
    """A vision-language model of transformers (LLaVA, Qwen-VL, Idefics, Gemma 3, …) with its own chat template.

    Only safetensors are read, and no code of the model's repository is run. Answers are the likeliest ones unless a
    temperature is set; the model's own generation_config decides nothing but where answers end.

    Args:
        model: a name on the hub, such as `Qwen/Qwen2.5-VL-3B-Instruct`, or a folder as `save_pretrained` writes it.
        revision: branch, tag or commit on the hub.
        dtype: of the weights; `auto` is as they are saved.
        system_prompt: a system turn for all questions that have none.
        chat_template: a file with a template in Jinja, in place of the model's own.
        min_pixels: images with fewer pixels are enlarged to that many, sides in proportion, before the model's own
            preparation.
        max_pixels: images with more pixels are reduced to that many, likewise.
        max_images: most images of one question.
        temperature: 0 takes the likeliest answer; above, tokens are drawn.
        seed: of the draws.
        restriction: `choices` lets a question with choices have no other answer, token by token; `none` ignores them.
        batch_size: questions computed at once, halved where memory runs out.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: Dtype = "auto",
        system_prompt: str | None = None,
        chat_template: Path | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        max_images: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        restriction: Restriction = "none",
        batch_size: int = 8,
    ) -> None:
        super().__init__(
            "hf-image-text",
            model,
            revision,
            dtype,
            system_prompt,
            chat_template,
            temperature,
            seed,
            restriction,
            batch_size,
        )
        least, most = (
            (1 if min_pixels is None else min_pixels),
            (math.inf if max_pixels is None else max_pixels),
        )
        if not 0 < least <= most:
            raise OptionError(
                f"{self._where}: expected 0 < min_pixels <= max_pixels, not {min_pixels} and {max_pixels}"
            )
        if max_images is not None and max_images < 0:
            raise OptionError(f"{self._where}: max_images is {max_images}, expected at least 0")
        self.min_pixels, self.max_pixels, self.max_images = min_pixels, max_pixels, max_images
        self._processor: Any = None

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers; neither a path nor an address."""
        return {**super().identity, "min_pixels": self.min_pixels, "max_pixels": self.max_pixels}

    def _load_helpers(self) -> tuple[Any, Any]:
        self._processor = self._source.load_helper("AutoProcessor")
        if getattr(self._processor, "image_processor", None) is None:
            kind = type(self._processor).__name__
            raise OptionError(f"{self._where}: it takes no images ({kind}); use hf-chat for a model of texts")
        return self._processor, self._processor.tokenizer

    def _load_network(self) -> Any:
        return self._source.load_network("AutoModelForImageTextToText", self.dtype)

    def _list_image_tokens(self) -> Collection[str]:
        found = (getattr(self._processor, name, None) for name in _PLACEHOLDERS)
        return [str(token) for token in found if token]

    def _encode(self, batch: Sequence[Prompt]) -> Mapping[str, Any]:
        images = [self._read_images(prompt.question) for prompt in batch]
        # the rule of transformers: a template that begins with the first token writes all special ones itself
        first = self._tokenizer.bos_token
        special = {"add_special_tokens": False} if first and batch[0].text.startswith(first) else {}
        found: Mapping[str, Any] = self._processor(
            text=[prompt.text for prompt in batch],
            images=images if any(images) else None,
            padding=True,
            padding_side="left",
            truncation=False,
            return_tensors="pt",
            **special,
        )
        return found

    def _read_images(self, question: Question) -> list[Image.Image]:
        try:
            decoded = [part.decoded() for part in list_images(question)]
        except DataError as error:
            raise DataError(f"question '{question.id}': {error}") from error
        return [fit_pixels(image, self.min_pixels, self.max_pixels) for image in decoded]

    def _digest_preparation(self) -> str:
        return digest_settings(self._processor.image_processor.to_dict(), digest_tokenizer(self._tokenizer))


def fit_pixels(image: Image.Image, least: int | None, most: int | None) -> Image.Image:
    """Return an image with at least and at most so many pixels, as near as whole sides in proportion allow."""
    from PIL import Image as Pillow

    area = image.width * image.height
    most, least = most or area, least or area
    if least <= area <= most:
        return image
    factor = math.sqrt((most if area > most else least) / area)
    whole: Callable[[float], int] = math.floor if area > most else math.ceil
    size = max(1, whole(image.width * factor)), max(1, whole(image.height * factor))
    return image.resize(size, Pillow.Resampling.BICUBIC)
