"""Hand-written prompts: a single template, ensembles (combined in four ways), and descriptions per class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError
from harness.errors import did_you_mean
from harness.inference.zeroshot import Similarity, check_templates, fill_template, similarity_of
from harness_few_shot.templates import (
    FromTemplates,
    check_templates_option,
    digest_file,
    find_templates,
)

if TYPE_CHECKING:
    import torch

    from harness_few_shot.task import FewShotTask
    from harness_few_shot.texts import TextEmbeddings

Combine = Literal["embeddings", "logits", "probabilities", "raw-embeddings"]


def combine_templates(
    features: torch.Tensor,
    grid: torch.Tensor,
    scale: float,
    how: Combine,
    weights: torch.Tensor | None = None,
    similarity: Similarity = "cosine",
) -> torch.Tensor:
    """Return logits N×C of normalised image embeddings N×D against text embeddings C×T×D, not normalised.

    `embeddings`: the normalised mean of normalised embeddings (Radford et al. 2021). `logits`: the
    mean of the templates' logits, which is the same mean without normalising again.
    `probabilities`: the logarithm of the mean of the templates' probabilities. `raw-embeddings`:
    the normalised mean of embeddings that were not normalised. `weights` T sum to one. With the
    similarity `dot` nothing is normalised, images included.
    """
    import torch
    import torch.nn.functional as F

    def unit(vectors: torch.Tensor) -> torch.Tensor:
        return vectors if similarity == "dot" else F.normalize(vectors, dim=-1)

    count = grid.shape[1]
    w = torch.full((count,), 1 / count, device=grid.device) if weights is None else weights
    if how == "probabilities":
        each = unit(grid)
        parts = [
            (scale * features @ each[:, t].T).log_softmax(dim=-1) + w[t].log()
            for t in range(count)
            if w[t] > 0
        ]
        return torch.stack(parts).logsumexp(dim=0)
    vectors = grid if how == "raw-embeddings" else unit(grid)
    classifier = torch.einsum("t,ctd->cd", w, vectors)
    if how != "logits":
        classifier = unit(classifier)
    return scale * features @ classifier.T


class PromptClassifier:
    """Zero-shot classifier for any class names, from templates with optional weights."""

    def __init__(
        self,
        texts: TextEmbeddings,
        templates: Sequence[str],
        scale: float,
        how: Combine = "embeddings",
        weights: torch.Tensor | None = None,
    ) -> None:
        self.texts, self.templates, self.scale = texts, list(templates), scale
        self.how, self.weights = how, weights

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C."""
        grid = self.texts.encode_grid(class_names, self.templates).to(features.device)
        similarity = similarity_of(self.texts.model)
        return combine_templates(features, grid, self.scale, self.how, self.weights, similarity)


class ZeroShotTemplate:
    """One hand-written template with `{}` for the class name; by default CLIP's "a photo of a {}.".

    Args:
        template: the prompt, with `{}` for the class name.
    """

    needs_shots = False
    transfers = True
    needs_tower = False
    similarities = ("cosine", "dot")

    def __init__(self, template: str = "a photo of a {}.") -> None:
        self.template = check_templates([template], "template")[0]

    def fit(self, task: FewShotTask) -> PromptClassifier:
        """Return the template's classifier; nothing is learned."""
        return PromptClassifier(task.texts, [self.template], task.logit_scale)


class ZeroShotEnsemble(FromTemplates):
    """An ensemble of templates.

    Args:
        templates: a named set (`data`, `coop`, `imagenet-80`, `imagenet-7`, `openai:NAME`, `coop:NAME`,
            `clip_benchmark:NAME`), a file (`.json`, `.txt`), or a list of templates.
        combine: mean of `embeddings`, `logits` or `probabilities`, or of `raw-embeddings` before
            normalising.
    """

    needs_shots = False
    transfers = True
    needs_tower = False
    similarities = ("cosine", "dot")

    def __init__(self, templates: str | list[str] = "data", combine: Combine = "embeddings") -> None:
        self.templates, self.combine = check_templates_option(templates), combine

    def fit(self, task: FewShotTask) -> PromptClassifier:
        """Return the ensemble's classifier; nothing is learned."""
        chosen = resolve_templates(self.templates, task)
        task.notes["templates"] = len(chosen)
        return PromptClassifier(task.texts, chosen, task.logit_scale, self.combine)


class DescriptionClassifier:
    """Zero-shot classifier from several whole texts per class."""

    def __init__(
        self, texts: TextEmbeddings, described: Mapping[str, Sequence[str]], scale: float, where: str
    ) -> None:
        self.texts, self.described, self.scale, self.where = texts, described, scale, where

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C. Raises DataError for a class without a description."""
        import torch
        import torch.nn.functional as F

        rows = []
        for name in class_names:
            if name not in self.described:
                raise DataError(
                    f"{self.where}: no description of '{name}'{did_you_mean(name, self.described)}"
                )
            each = F.normalize(self.texts.encode(self.described[name]), dim=-1)
            rows.append(F.normalize(each.mean(dim=0), dim=-1))
        return self.scale * features @ torch.stack(rows).to(features.device).T


class ZeroShotDescriptions:
    """Class-specific texts from a JSON file: an object from class name to a text or a list of texts.

    `{}` in a text is replaced by the class name.

    Args:
        path: the JSON file.
    """

    needs_shots = False
    transfers = True
    needs_tower = False

    def __init__(self, path: Path) -> None:
        self.path = Path(path).expanduser()

    def unavailable(self) -> str | None:
        """Return why the file can't be read, or None."""
        return None if self.path.is_file() else f"{self.path}: no such file of descriptions"

    def fingerprint(self) -> str:
        """Return the file's digest."""
        return digest_file(self.path)

    def fit(self, task: FewShotTask) -> DescriptionClassifier:
        """Read the file. Raises DataError if it is malformed."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: descriptions can't be read: {error}") from None
        if not isinstance(found, dict):
            raise DataError(f"{self.path}: expected an object from class name to texts")
        described: dict[str, list[str]] = {}
        for name, given in found.items():
            texts = [given] if isinstance(given, str) else given
            if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
                raise DataError(f"{self.path}: '{name}' needs a text or a list of texts")
            described[name] = [fill_template(t, name) for t in texts]
        task.notes["descriptions"] = sum(map(len, described.values()))
        return DescriptionClassifier(task.texts, described, task.logit_scale, str(self.path))


def resolve_templates(given: str | Sequence[str], task: FewShotTask) -> list[str]:
    """Return the templates of a named set or a file, or the given list, checked."""
    return (
        find_templates(given, task.templates, task.space)
        if isinstance(given, str)
        else check_templates(given)
    )


def zero_shot_weights(
    task: FewShotTask, templates: str | list[str], class_names: Sequence[str] | None = None
) -> torch.Tensor:
    """Return the zero-shot classifier C×D of an ensemble, by default for the task's own classes."""
    names = task.class_names if class_names is None else class_names
    return task.texts.build_classifier(names, resolve_templates(templates, task)).to(task.device)
