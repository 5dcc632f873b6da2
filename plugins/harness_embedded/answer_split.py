"""A split of drawn images with a question each, whose targets are answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import Answers, Sample
from harness_language.conversations import ImagePart, Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AskedQuestion:
    """A question: images and texts in the order of the conversation, and what is accepted as its answer."""

    id: str
    group: str
    """What its images have in common with other questions': the unit of clustered errors."""
    answer_type: str
    turns: tuple[Turn, ...]
    answer: str
    choices: tuple[str, ...]

    @property
    def text(self) -> str:
        """The texts of the last turn."""
        return " ".join(part for part in self.turns[-1].parts if isinstance(part, str))


class AnswerSplit:
    """Questions in memory, as a `Split` with targets of the kind "answers".

    A sample's `images` and `texts` are those of its turns in their order; `turns` has the whole conversations.
    Further columns, one value per sample each, become attributes under their names.
    """

    def __init__(self, asked: Sequence[AskedQuestion], **columns: Sequence[str]) -> None:
        self.per_sample = ("groups", "questions", "answer_types", "turns", *columns)
        for name, values in columns.items():
            setattr(self, name, list(values))
        self._asked = list(asked)
        self.ids: Sequence[str] = [one.id for one in asked]
        self.targets = [Answers((one.answer,), one.choices, one.choices.index(one.answer)) for one in asked]
        self.groups = [one.group for one in asked]
        self.questions = [one.text for one in asked]
        self.answer_types = [one.answer_type for one in asked]
        self.turns = [one.turns for one in asked]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        asked = self._asked[index]
        parts = [part for turn in asked.turns for part in turn.parts]
        images = [part.image for part in parts if isinstance(part, ImagePart)]
        texts = [part for part in parts if isinstance(part, str)]
        return Sample(asked.id, images=images, texts=texts, target=self.targets[index])


def ask_about(images: Sequence[NDArray[np.uint8]], question: str) -> tuple[Turn, ...]:
    """Return one user's turn: the images, then the question."""
    return (Turn("user", (*(ImagePart(image) for image in images), question)),)
