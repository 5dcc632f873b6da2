"""The input of a few-shot method (`FewShotTask`) and its result (`FewShotClassifier`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from harness.learning.pipeline import SampleSource
    from harness_few_shot.texts import TextEmbeddings


def _refuse_images(augment: bool) -> SampleSource:
    raise DataError("this task has no images, only their embeddings")


@dataclass
class FewShotTask:
    """A few labelled samples of some classes, seen through a frozen model; never a test sample.

    `features` N×D are the normalised image embeddings of the training shots, `labels` N their labels;
    `val_features` and `val_labels` are those of the validation shots (either set may be empty). `views(k)`
    returns embeddings N×D of the shots under random crops and flips, different for each k.
    `images(augment)` returns the shots themselves for training, in batches B×3×H×W with labels: under new
    random crops and flips in every epoch, or prepared as for evaluation.
    """

    class_names: Sequence[str]
    templates: Sequence[str]
    features: torch.Tensor
    labels: torch.Tensor
    val_features: torch.Tensor
    val_labels: torch.Tensor
    texts: TextEmbeddings
    logit_scale: float
    shots: int
    seed: int
    views: Callable[[int], torch.Tensor]
    images: Callable[[bool], SampleSource] = _refuse_images
    space: str = ""
    """The data set's label space, if it names one."""
    folder: Path | None = None
    """Holds the progress of each training in a subfolder, so that a killed one can resume."""
    report: Callable[[str, int, dict[str, float]], None] = lambda name, step, values: None
    advance: Callable[[int, int], None] = lambda done, total: None
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts that the method adds to the record."""
    curves: dict[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The device of the embeddings."""
        return self.features.device


@runtime_checkable
class FewShotClassifier(Protocol):
    """A fitted method: logits N×C (natural scale) for normalised image embeddings N×D.

    `class_names` are the classes to tell apart; a classifier limited to its training classes raises
    OptionError for others. A classifier that changed the image tower has the method
    `encode_image(images)`, as models do, and receives the embeddings that it returns.
    """

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor: ...


def find_columns(known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the column of each wanted class among the known ones.

    Classes that share a name (ImageNet has "missile" and "sunglasses" twice) are matched in order.
    Raises OptionError for a class that is not known.
    """
    from harness import OptionError

    places: dict[str, list[int]] = {}
    for i, name in enumerate(known):
        places.setdefault(name, []).append(i)
    if missing := [name for name in wanted if name not in places]:
        raise OptionError(f"fitted on classes without '{missing[0]}', and it can't name new ones")
    # if a name is wanted more often than it is known, its last column serves for the rest
    return [places[name].pop(0) if len(places[name]) > 1 else places[name][0] for name in wanted]
