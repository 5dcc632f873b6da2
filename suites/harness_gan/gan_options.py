"""The options of the protocol `gan`, checked."""

from __future__ import annotations

from harness import Model, OptionError
from harness_gan.verdicts import VerdictThresholds


class GanOptions:
    """Options of `GanProtocol`, which documents them."""

    def __init__(
        self,
        steps: int = 1000,
        batch_size: int = 64,
        size: int | None = None,
        grey: bool = False,
        samples: int = 2500,
        evaluations: int | None = None,
        extractor: Model | None = None,
        confidence: float = 0.9,
        thresholds: dict[str, float] | None = None,
        together: int = 16,
        checkpoint_every: int = 500,
    ) -> None:
        for name, value in (
            ("steps", steps),
            ("batch_size", batch_size),
            ("together", together),
            ("checkpoint_every", checkpoint_every),
            ("size", size),
            ("evaluations", evaluations),
        ):
            if value is not None and value < 1:
                raise OptionError(f"protocol gan: {name} must be at least 1, found {value}")
        if samples < 10:
            raise OptionError(f"protocol gan: samples must be at least 10, found {samples}")
        if not 0 <= confidence <= 1:
            raise OptionError(f"protocol gan: confidence must be from 0 to 1, found {confidence}")
        self.steps, self.batch_size, self.samples = steps, batch_size, samples
        self.size, self.grey, self.confidence = size, grey, confidence
        self.evaluations = 2 * steps if evaluations is None else evaluations
        self.extractor, self.together, self.checkpoint_every = extractor, together, checkpoint_every
        self.thresholds = VerdictThresholds.from_options(thresholds or {})
