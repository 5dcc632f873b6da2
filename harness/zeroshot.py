"""Zero-shot classification: class names and templates to a linear classifier on embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, HarnessError, OptionError

if TYPE_CHECKING:
    import torch

DEFAULT_TEMPLATE = "a photo of a {}."


PLACE = re.compile(r"\{c?\}")
"""Where the class name goes: `{}`, or clip_benchmark's `{c}`."""

FOREIGN = re.compile(r"\{\s*\w*\s*\}|%\(\w+\)s|%s|\$\{\w+\}|\$\w+|<[\w -]+>|\[[\w -]+\]|\bCLASS(?:_?NAME)?\b")
"""What other programs write for the class name."""


def fill_template(template: str, name: str) -> str:
    """The template with every `{}` (or clip_benchmark's `{c}`) replaced by the class name."""
    return PLACE.sub(lambda _: name, template)


def checked_templates(
    templates: Sequence[str], where: str = "templates", error: type[HarnessError] = OptionError
) -> list[str]:
    """Return the templates with `{c}` written `{}`.

    Raises `error` when there are none, or one has no place for the class name: all classes would
    have the same prompt.
    """
    if not templates:
        raise error(f"{where}: needs at least one template, such as '{DEFAULT_TEMPLATE}'")
    found = [PLACE.sub("{}", template) for template in templates]
    for template in found:
        if "{}" not in template:
            foreign = FOREIGN.search(template)
            hint = f"; '{foreign[0]}' is written {{}}" if foreign else f", as in '{DEFAULT_TEMPLATE}'"
            raise error(f"{where}: '{template}' has no place {{}} for the class name{hint}")
        if left := re.search(r"\{\w+\}", template):
            raise error(
                f"{where}: '{template}' has '{left[0]}', which nothing fills in: the class name is {{}}"
            )
    return found


def templates_of(split: Any, label: str) -> list[str]:
    """Return a split's own templates, else CLIP's "a photo of a {}."; DataError as in `checked_templates`."""
    own = getattr(split, "templates", None)
    return checked_templates(own, f"{label}, templates", DataError) if own else [DEFAULT_TEMPLATE]


def text_classifier(model: Any, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Weights C×D of the zero-shot classifier: normalised mean of normalised text embeddings.

    Each text is encoded once. Source: Radford et al. 2021, section 3.1.4, and its notebook on
    prompt ensembles: the mean is taken over embeddings and normalised again.
    """
    texts = [fill_template(t, name) for name in class_names for t in templates]
    return classifier_of(encode_prompts(model, list(dict.fromkeys(texts))), class_names, templates)


def encode_prompts(model: Any, texts: Sequence[str]) -> torch.Tensor:
    """Embeddings N×D of texts, of length 1."""
    import torch
    import torch.nn.functional as F

    with torch.inference_mode():
        return F.normalize(model.encode_text(list(texts)).float(), dim=-1)


def classifier_of(
    encoded: torch.Tensor, class_names: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """Weights C×D from the embeddings of all prompts, each text once, in the order of classes and templates."""
    import torch
    import torch.nn.functional as F

    texts = [fill_template(t, name) for name in class_names for t in templates]
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    rows = torch.tensor([place[t] for t in texts], device=encoded.device)
    each = encoded[rows].reshape(len(class_names), len(templates), -1)
    return F.normalize(each.mean(dim=1), dim=-1)
