"""A model under test: the light object, a loaded copy of it, and what it says about images and texts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.contract.capability import capabilities
from harness.contract.declared import ask
from harness.testing.images import pictures
from harness.testing.outcome import NotChecked, expect, must

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEXTS = (
    "a photo of a cat.",
    "an old stone bridge over a river, photographed in the evening from far away",
    "é ß 漢字 😀",
    "word " * 200,
)
"""Short, long, not ASCII, and longer than any context."""

TOLERANCE = 1e-4
"""Of the largest output: what summing in another order may change in float32, with room."""


class ModelSubject:
    """A model to be checked: the light object, a loaded copy of it, and prepared images."""

    def __init__(self, plugin: Any, images: Sequence[Image.Image] | None = None) -> None:
        self.plugin = plugin
        self.images = list(images) if images else pictures()
        self._trouble: Exception | None = None

    def fresh(self) -> Any:
        """Another loaded copy on the CPU."""
        import torch

        with must(
            "the unloaded model to be copied and `load(device)` to build it",
            "Nothing else can be asked of it.",
        ):
            model = copy.deepcopy(self.plugin)
            if ask(model, "load") is not None:
                model.load(torch.device("cpu"))
        return model

    @cached_property
    def able(self) -> list[str]:
        """What the light object says that it can do."""
        return capabilities(self.plugin)

    @cached_property
    def _loaded(self) -> Any:
        return self.fresh()

    @property
    def model(self) -> Any:
        """The loaded model; a load that failed once is not tried again."""
        if self._trouble is not None:
            raise self._trouble
        try:
            return self._loaded
        except Exception as error:
            self._trouble = error
            raise

    @cached_property
    def batch(self) -> torch.Tensor:
        """The images, prepared and stacked, B×C×H×W."""
        import torch

        self.needs_images()
        if ask(self.plugin, "collate") is not None:
            raise NotChecked("the model makes batches of its own")
        with must("prepare(image) to turn a PIL image into a tensor", "Every image goes through it."):
            prepared = [self.model.prepare(i) for i in self.images]
            shapes = {tuple(p.shape) for p in prepared}
        expect(
            len(shapes) == 1,
            "prepare to give tensors of one shape for images of any size",
            f"shapes {sorted(shapes)}",
            "Prepared images are stacked into a batch B×C×H×W.",
        )
        return torch.stack(prepared)

    @property
    def sees_images(self) -> bool:
        """Whether anything that it can do begins with an image."""
        return bool({"classifies images", "encodes images", "gives image tokens"} & set(self.able))

    def needs_images(self) -> None:
        """Raises NotChecked for a model that sees no images."""
        if not self.sees_images:
            raise NotChecked("the model neither classifies nor encodes images")

    def seen(self, batch: torch.Tensor, model: Any = None) -> dict[str, torch.Tensor]:
        """What the model says about a batch of prepared images, by the method's name."""
        import torch

        model = self.model if model is None else model
        found = {}
        with torch.inference_mode():
            for words, method in (("classifies images", "classify"), ("encodes images", "encode_image")):
                if words in self.able:
                    with must(f"{method}(images) to work", "The model says that it can."):
                        found[method] = getattr(model, method)(batch)
            if "gives image tokens" in self.able and "encodes images" not in self.able:
                with must("encode_image_tokens(images) to work", "The model says that it can."):
                    found["encode_image_tokens"] = model.encode_image_tokens(batch)[0]
        return found

    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """The embeddings of texts, B×D."""
        import torch

        if "encodes texts" not in self.able:
            raise NotChecked("the model encodes no texts")
        with (
            torch.inference_mode(),
            must("encode_text(texts) to take any text, short, long or not ASCII", "Class names may be any."),
        ):
            found: torch.Tensor = self.model.encode_text(list(texts))
        return found


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    if one.shape != other.shape:
        return float("inf")
    scale = float(one.abs().max()) or 1.0
    return float((one.float() - other.float()).abs().max()) / scale


def expect_alike(
    one: torch.Tensor, other: torch.Tensor, expected: str, why: str, tolerance: float = TOLERANCE
) -> None:
    """Raise Violation where two tensors differ by `tolerance` or more, as a share of the largest value."""
    difference = gap(one, other)
    expect(difference < tolerance, expected, f"a difference of {difference:.2g} of the largest value", why)
