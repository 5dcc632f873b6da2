"""The options of the protocol `cyclegan`, checked."""

from __future__ import annotations

from harness import Model, OptionError
from harness_gan.verdicts import VerdictThresholds


class TranslationOptions:
    """Options of `TranslationProtocol`, which documents them."""

    def __init__(
        self,
        steps: int = 1000,
        batch_size: int = 1,
        size: int = 256,
        load_size: int | None = None,
        flip: bool = False,
        extractor: Model | None = None,
        thresholds: dict[str, float] | None = None,
        checkpoint_every: int = 500,
    ) -> None:
        for name, value in (
            ("steps", steps),
            ("batch_size", batch_size),
            ("size", size),
            ("checkpoint_every", checkpoint_every),
        ):
            if value < 1:
                raise OptionError(f"protocol cyclegan: {name} must be at least 1, found {value}")
        if load_size is not None and load_size < size:
            raise OptionError(
                f"protocol cyclegan: load_size must be at least size, found {load_size} for {size}"
            )
        self.load_size, self.flip = load_size or size, flip
        self.steps, self.batch_size, self.size = steps, batch_size, size
        self.extractor, self.checkpoint_every = extractor, checkpoint_every
        self.thresholds = VerdictThresholds.from_options(thresholds or {})
