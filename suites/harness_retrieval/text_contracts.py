"""What the suites ask of a model that judges captions without seeing an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from harness import register_capability


@register_capability("judges texts alone", choose="ngram-plausibility")
@runtime_checkable
class JudgesTexts(Protocol):
    """A model that says how plausible texts are, without any image: the blind row beside models that see.

    `plausibility` returns one number per text, higher for the more plausible one, −inf for an impossible one and never
    NaN. The number of a text must not depend on the texts beside it.
    """

    def plausibility(self, texts: Sequence[str]) -> Sequence[float]: ...
