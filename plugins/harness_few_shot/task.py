"""What a prompt method gets to learn from, and what it must give back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from harness.learning.pipeline import SampleSource
    from harness_few_shot.texts import Texts


def _no_images(augment: bool) -> SampleSource:
    raise DataError("this task has no images, only their embeddings")


@dataclass
class Task:
    """A few labelled samples of some classes, seen through a frozen model. No test sample is in here.

    `features` N×D are the image embeddings of the training shots, normalised, and `labels` N theirs;
    `val_features` and `val_labels` those of the validation shots (both may be empty). `views(k)`
    gives embeddings N×D of the shots under fresh random crops and flips, different for each k.
    `images(augment)` gives the shots themselves as a training takes them, in batches B×3×H×W with their
    labels: under random crops and flips, fresh in every epoch, or prepared as for evaluation.
    """

    class_names: Sequence[str]
    templates: Sequence[str]
    features: torch.Tensor
    labels: torch.Tensor
    val_features: torch.Tensor
    val_labels: torch.Tensor
    texts: Texts
    logit_scale: float
    shots: int
    seed: int
    views: Callable[[int], torch.Tensor]
    images: Callable[[bool], SampleSource] = _no_images
    space: str = ""
    """The data set's label space, where it says one."""
    folder: Path | None = None
    """Where trainings keep their progress, each in a folder of its own; it outlives a kill."""
    report: Callable[[str, int, dict[str, float]], None] = lambda name, step, values: None
    advance: Callable[[int, int], None] = lambda done, total: None
    notes: dict[str, Any] = field(default_factory=dict)
    """What the method wants kept in the record."""
    curves: dict[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        return self.features.device

    @property
    def selection(self) -> tuple[torch.Tensor, torch.Tensor, str]:
        """Embeddings and labels to choose settings on, and in words which they are."""
        if len(self.val_labels):
            return self.val_features, self.val_labels, "validation shots"
        return self.features, self.labels, "training shots"


@runtime_checkable
class Classifier(Protocol):
    """What a method learned: logits N×C (natural scale) for normalised image embeddings N×D.

    `class_names` are the classes to tell apart. A classifier of the training classes only
    raises OptionError for others. A classifier that has changed the image tower has a method
    `encode_image(images)` as models have it, and is given the embeddings that this makes.
    """

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor: ...


@runtime_checkable
class PromptMethod(Protocol):
    """A way to classify with a frozen vision-language model from names and a few samples.

    Attributes: `needs_shots` (it can't do without training samples), `transfers` (its classifier
    can name classes it was not fitted on), `needs_tower` (it puts vectors in the place of words);
    optional: `similarities`, the ways to compare images and texts that it can follow (see
    `harness.inference.zeroshot.similarity_of`), by default cosine alone; features are not normalised for others.
    """

    needs_shots: bool
    transfers: bool
    needs_tower: bool

    def fit(self, task: Task) -> Classifier: ...


def columns_for(known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted classes stand among the known ones.

    Classes of the same name (ImageNet has two missiles, and sunglasses twice) follow each other in both.
    Raises OptionError for a class that is not among them.
    """
    from harness import OptionError

    places: dict[str, list[int]] = {}
    for i, name in enumerate(known):
        places.setdefault(name, []).append(i)
    if missing := [name for name in wanted if name not in places]:
        raise OptionError(f"fitted on classes without '{missing[0]}', and it can't name new ones")
    # the last one of a name serves for all that there are more of
    return [places[name].pop(0) if len(places[name]) > 1 else places[name][0] for name in wanted]
