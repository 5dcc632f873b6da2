"""What models of this package can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import register_capability

if TYPE_CHECKING:
    import torch


@register_capability("detects objects", choose="acme-threshold")
@runtime_checkable
class DetectsObjects(Protocol):
    """From a batch of its own collate, a dict `boxes` M×4, `scores` M, `labels` M for each image."""

    def prepare(self, image: Any) -> torch.Tensor: ...

    def collate(self, samples: Sequence[torch.Tensor]) -> Any: ...

    def detect(self, images: Any) -> list[dict[str, torch.Tensor]]: ...


@runtime_checkable
class DescribesImages(Protocol):
    """From an image, a sentence."""

    def describe(self, image: Any) -> str: ...
