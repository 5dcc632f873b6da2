"""Plugins that import, but are not what their groups expect."""

from __future__ import annotations

from typing import Any

NOT_CALLABLE = "neither a class nor a function"


class Shadow:
    """Has the name of another distribution's model."""

    label_space = "acme-stripes"

    def load(self, device: Any) -> None:
        """Nothing to load."""


class PositionalOnly:
    """Can't be constructed with keyword arguments."""

    def __init__(self, depth: int = 1, /) -> None:
        self.depth = depth

    def load(self, device: Any) -> None:
        """Nothing to load."""


class ClassifiesNothing:
    """A model whose `classify` takes no images."""

    label_space = "acme-stripes"

    def load(self, device: Any) -> None:
        """Nothing to load."""

    def prepare(self, image: Any) -> Any:
        """One zero."""
        import torch

        return torch.zeros(1)

    def classify(self) -> None:
        """Lacks its argument."""


class MetricWithoutCall:
    """No metric: an object that can't be called."""

    higher_is_better = True


class MetricThatTakesNothing:
    """A metric whose call takes no evidence."""

    higher_is_better = True

    def __call__(self) -> float:
        """Lacks its argument."""
        return 0.0
