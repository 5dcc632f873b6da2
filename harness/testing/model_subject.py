"""A model under test: the light object, a loaded copy, its outputs, and images of every kind to try."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.contract.capability import capabilities
from harness.contract.declared import ask
from harness.testing.verdicts import NotChecked, expect, must

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

MODES = ("RGB", "1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr")
SIZES = {"1×1": (1, 1), "very wide": (300, 4), "very tall": (4, 300), "of odd sides": (67, 43)}


class ModelSubject:
    """A model under test."""

    def __init__(self, plugin: Any, images: Sequence[Image.Image] | None = None) -> None:
        self.plugin, self.images = plugin, list(images) if images else draw_pictures()

    def load_copy(self) -> Any:
        """Load another copy on the CPU."""
        import torch

        with must("the unloaded model to be copied and `load(device)` to build it", "All else needs it."):
            model = copy.deepcopy(self.plugin)
            if ask(model, "load") is not None:
                model.load(torch.device("cpu"))
        return model

    @cached_property
    def abilities(self) -> list[str]:
        """The capabilities of the light object, such as "encodes images"."""
        return capabilities(self.plugin)

    def require(self, *abilities: str) -> None:
        """Raise NotChecked for a model that lacks one of these capabilities."""
        if lacking := [ability for ability in abilities if ability not in self.abilities]:
            raise NotChecked(f"only for a model that {' and '.join(lacking)}")

    @cached_property
    def _loaded(self) -> Any:
        try:
            return self.load_copy()
        except Exception as error:  # kept, so that a load that fails is not tried again
            return error

    @property
    def model(self) -> Any:
        """The loaded model."""
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded

    @cached_property
    def batch(self) -> torch.Tensor:
        """The images, prepared and stacked, B×C×H×W."""
        import torch

        self.require_images()
        if ask(self.plugin, "collate") is not None:
            raise NotChecked("the model collates its own batches")
        with must("prepare(image) to turn a PIL image into a tensor", "Every image goes through it."):
            prepared = [self.model.prepare(i) for i in self.images]
            shapes = {tuple(p.shape) for p in prepared}
        expect(
            len(shapes) == 1,
            "prepare to return tensors of one shape for images of any size",
            f"shapes {sorted(shapes)}",
            "Prepared images are stacked into a batch B×C×H×W.",
        )
        return torch.stack(prepared)

    @property
    def takes_images(self) -> bool:
        """Whether any of its capabilities begins with an image."""
        return bool({"classifies images", "encodes images", "gives image tokens"} & set(self.abilities))

    def require_images(self) -> None:
        """Raise NotChecked for a model that takes no images."""
        if not self.takes_images:
            raise NotChecked("the model neither classifies nor encodes images")

    def run_on_images(self, batch: torch.Tensor, model: Any = None) -> dict[str, torch.Tensor]:
        """Return the outputs for a batch of prepared images, by the method's name."""
        import torch

        methods = {"classify": "classifies images", "encode_image": "encodes images"}
        if "encodes images" not in self.abilities:
            methods["encode_image_tokens"] = "gives image tokens"
        found, model = {}, self.model if model is None else model
        for method in [m for m, ability in methods.items() if ability in self.abilities]:
            with torch.inference_mode(), must(f"{method}(images) to work", "The model claims that it can."):
                output = getattr(model, method)(batch)
                found[method] = output[0] if method == "encode_image_tokens" else output
        return found

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the embeddings of texts, B×D."""
        import torch

        self.require("encodes texts")
        expected = "encode_text(texts) to take any text, short, long or not ASCII"
        with torch.inference_mode(), must(expected, "Class names may be any text."):
            found: torch.Tensor = self.model.encode_text(list(texts))
        return found


def relative_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return max|a−b| / max|a|; infinity for different shapes."""
    if one.shape != other.shape:
        return float("inf")
    scale = float(one.abs().max()) or 1.0
    return float((one.float() - other.float()).abs().max()) / scale


def expect_close(
    one: torch.Tensor, other: torch.Tensor, expected: str, why: str, tolerance: float = TOLERANCE
) -> None:
    """Raise Violation if two tensors differ by `tolerance` or more, as a share of the largest value."""
    difference = relative_difference(one, other)
    expect(difference < tolerance, expected, f"a difference of {difference:.2g} of the largest value", why)


def draw_pictures(count: int = 4) -> list[Image.Image]:
    """Return RGB images of several sizes, smooth with some noise, the same every time."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(20)
    made = []
    for n in range(count):
        width, height = (64 + 13 * n, 80 - 7 * n)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255)
        made.append(Image.fromarray(noisy.astype(np.uint8)))
    return made


def draw_odd_images() -> dict[str, Image.Image]:
    """Return images that trip preprocessing, by what is odd: every mode of files, one pixel, long sides."""
    import numpy as np
    from PIL import Image

    (base,) = draw_pictures(1)
    sources = {mode: base.convert("L").convert("LA") if mode in ("LA", "PA") else base for mode in MODES}
    found = {f"of mode {mode}": source.convert(mode) for mode, source in sources.items()}
    found["of 16 bits"] = Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 257)
    return found | {name: base.resize(size) for name, size in SIZES.items()}
