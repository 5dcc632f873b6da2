"""Zero-shot classification: class names and templates to a linear classifier on embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness.contract.declared import ask
from harness.errors import DataError, HarnessError, OptionError, did_you_mean

if TYPE_CHECKING:
    import torch

DEFAULT_TEMPLATE = "a photo of a {}."

Similarity = Literal["cosine", "dot", "own"]
SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot")

ROWS_AT_ONCE = 4096


PLACE = re.compile(r"\{c?\}")
"""Where the class name goes: `{}`, or clip_benchmark's `{c}`."""

FOREIGN = re.compile(r"\{\s*\w*\s*\}|%\(\w+\)s|%s|\$\{\w+\}|\$\w+|<[\w -]+>|\[[\w -]+\]|\bCLASS(?:_?NAME)?\b")
"""Placeholders of other programs for the class name."""


def fill_template(template: str, name: str) -> str:
    """Return the template with every `{}` (or clip_benchmark's `{c}`) replaced by the class name."""
    return PLACE.sub(lambda _: name, template)


def check_templates(
    templates: Sequence[str],
    where: str = "templates",
    error: type[HarnessError] = OptionError,
    what: str = "class name",
) -> list[str]:
    """Return the templates with `{c}` written `{}`.

    Raises `error` if there are none, or one has no place for the class name (or `what` else it is around): all classes
    would have the same prompt.
    """
    if not templates:
        raise error(f"{where}: needs at least one template, such as '{DEFAULT_TEMPLATE}'")
    found = [PLACE.sub("{}", template) for template in templates]
    for template in found:
        if "{}" not in template:
            foreign = FOREIGN.search(template)
            hint = f"; '{foreign[0]}' is written {{}}" if foreign else f", as in '{DEFAULT_TEMPLATE}'"
            raise error(f"{where}: '{template}' has no place {{}} for the {what}{hint}")
        if doubled := re.search(r"\{\{|\}\}", template):
            raise error(
                f"{where}: '{template}' has '{doubled[0]}', which is not taken for one brace: the {what} is {{}}"
            )
        if left := re.search(r"\{\w+\}", template):
            raise error(f"{where}: '{template}' has '{left[0]}', which nothing fills: the {what} is {{}}")
    return found


def templates_of(split: Any, label: str) -> list[str]:
    """Return a split's own templates, else CLIP's "a photo of a {}."; DataError as in `check_templates`."""
    own = ask(split, "templates")
    return check_templates(own, f"{label}, templates", DataError) if own else [DEFAULT_TEMPLATE]


def similarity_of(model: Any) -> Similarity:
    """Return how a model compares images with texts: `cosine`, `dot`, or its `own` method `score`.

    Raises OptionError for any other `similarity`.
    """
    if ask(model, "score") is not None:
        return "own"
    given = ask(model, "similarity")
    found: Similarity | None = next((known for known in SIMILARITIES if known == given), None)
    if found is None:
        raise OptionError(
            f"the model's similarity is {given!r}, expected 'cosine' or 'dot'"
            f"{did_you_mean(str(given), SIMILARITIES)}"
        )
    return found


def encode_prompts(model: Any, texts: Sequence[str]) -> torch.Tensor:
    """Return the model's text embeddings N×D as float32, not normalised."""
    import torch

    with torch.inference_mode():
        encoded: torch.Tensor = model.encode_text(list(texts)).float()
    return encoded


def prompts_of(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return the prompts of all classes, each text once, in order."""
    return list(dict.fromkeys(fill_template(t, name) for name in class_names for t in templates))


def prompt_grid(encoded: torch.Tensor, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Return the embeddings of `prompts_of` as C×T×D: of every class name in every template."""
    import torch

    place = {text: i for i, text in enumerate(prompts_of(class_names, templates))}
    rows = [place[fill_template(t, name)] for name in class_names for t in templates]
    grid: torch.Tensor = encoded[torch.tensor(rows, device=encoded.device)]
    return grid.reshape(len(class_names), len(templates), -1)


def build_zero_shot_classifier(
    encoded: torch.Tensor,
    class_names: Sequence[str],
    templates: Sequence[str],
    similarity: Similarity = "cosine",
) -> torch.Tensor:
    """Return weights C×D of the zero-shot classifier: normalised mean of normalised text embeddings.

    Source: Radford et al. 2021, section 3.1.4, and its notebook on prompt ensembles: the mean is taken
    over embeddings and normalised again. For a model that scores by dot product it is the mean of the
    unnormalised embeddings. `encoded` are the embeddings N×D of `prompts_of`.
    """
    import torch.nn.functional as F

    if similarity == "dot":
        return prompt_grid(encoded, class_names, templates).mean(dim=1)
    each = prompt_grid(F.normalize(encoded, dim=-1), class_names, templates)
    return F.normalize(each.mean(dim=1), dim=-1)


def text_classifier(model: Any, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Return `build_zero_shot_classifier` a model's embeddings of the prompts; each text is encoded once.

    Raises OptionError for a model with its own score: it has no such weights.
    """
    similarity = similarity_of(model)
    if similarity == "own":
        raise OptionError("the model scores images and texts itself, so texts make no linear classifier")
    encoded = encode_prompts(model, prompts_of(class_names, templates))
    return build_zero_shot_classifier(encoded, class_names, templates, similarity)


def zero_shot_logits(model: Any, embeddings: torch.Tensor, texts: torch.Tensor, scale: float) -> torch.Tensor:
    """Return logits N×C of image embeddings N×D, on the texts' device.

    `texts` is `build_zero_shot_classifier`'s C×D or, for a model with its own score, `prompt_grid`'s C×T×D, over
    whose templates the model's scores are averaged; these are not multiplied by `scale`.
    """
    import torch
    import torch.nn.functional as F

    similarity = similarity_of(model)
    if similarity != "own":
        if similarity == "cosine":
            embeddings = F.normalize(embeddings, dim=-1)
        return scale * embeddings @ texts.T
    parts = []
    with torch.inference_mode():
        for rows in torch.split(embeddings, ROWS_AT_ONCE):
            each = [model.score(rows, texts[:, t]).float() for t in range(texts.shape[1])]
            parts.append(torch.stack(each).mean(dim=0))
    logits = torch.cat(parts)
    if logits.shape != (len(embeddings), len(texts)):
        raise OptionError(
            f"the model's score returned {tuple(logits.shape)} for {len(embeddings)} images and {len(texts)} texts"
        )
    return logits
