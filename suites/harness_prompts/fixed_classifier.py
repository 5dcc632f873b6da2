"""A classifier of a fixed set of classes, as baselines on embeddings fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class FixedClassifier:
    """A function from embeddings to logits of the fitted classes, restricted to the wanted ones.

    `head`, if given, builds the same function as a module, for all fitted classes.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        function: object,
        head: Callable[[], torch.nn.Module] | None = None,
    ) -> None:
        self.class_names, self.function = list(class_names), function
        if head is not None:
            self.head = head

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C. Raises OptionError for a class it was not fitted on."""
        from harness_few_shot.task import find_columns

        columns = find_columns(self.class_names, class_names)
        return self.function(features)[:, columns]  # type: ignore[operator, no-any-return]
