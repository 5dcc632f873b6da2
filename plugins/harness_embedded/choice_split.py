"""A split of drawn images with captions to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import Answers, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


QUESTION = "Which caption describes the image?"
"""What models that answer questions are asked."""


@dataclass(frozen=True)
class CaptionChoice:
    """An image, the captions to choose from, and which of them is true."""

    id: str
    group: str
    """What it has in common with other choices: the unit of clustered errors."""
    category: str
    image: NDArray[np.uint8]
    captions: tuple[str, ...]
    right: int


class ChoiceSplit:
    """Choices in memory, as a `Split` of answers with the attributes `groups`, `categories`, `questions`."""

    per_sample = ("groups", "categories", "questions")

    def __init__(self, choices: Sequence[CaptionChoice]) -> None:
        self._images = [one.image for one in choices]
        self.ids: Sequence[str] = [one.id for one in choices]
        self.targets = [Answers(choices=one.captions, right=one.right) for one in choices]
        self.groups = [one.group for one in choices]
        self.categories = [one.category for one in choices]
        self.questions = [QUESTION] * len(choices)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], image=self._images[index], text=QUESTION, target=self.targets[index])
