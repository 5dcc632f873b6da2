"""Zero-shot classification: class names and templates to a linear classifier on embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DEFAULT_TEMPLATE = "a photo of a {}."


def fill_template(template: str, name: str) -> str:
    """The template with `{}` (or clip_benchmark's `{c}`) replaced by the class name."""
    return template.replace("{c}", name).replace("{}", name)


def text_classifier(model: Any, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Weights C×D of the zero-shot classifier: normalised mean of normalised text embeddings.

    Each text is encoded once. Source: Radford et al. 2021, section 3.1.4, and its notebook on
    prompt ensembles: the mean is taken over embeddings and normalised again.
    """
    import torch
    import torch.nn.functional as F

    texts = [fill_template(t, name) for name in class_names for t in templates]
    unique = list(dict.fromkeys(texts))
    with torch.inference_mode():
        encoded = F.normalize(model.encode_text(unique).float(), dim=-1)
    place = {text: i for i, text in enumerate(unique)}
    rows = torch.tensor([place[t] for t in texts], device=encoded.device)
    each = encoded[rows].reshape(len(class_names), len(templates), -1)
    return F.normalize(each.mean(dim=1), dim=-1)
