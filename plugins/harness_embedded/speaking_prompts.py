"""Questions as the rows of tokens that `tiny-mllm` reads, and batches of them that share their beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness_embedded.speaking_words import END, IMAGE, encode_words
from harness_language.conversations import ImagePart, Question

if TYPE_CHECKING:
    from harness_embedded.speaking_network import Carry

LEAST_SHARED = 16
"""Fewest common tokens that are worth a batch of their own."""
MOST_AT_ONCE = 64
"""Most questions of a batch."""


class Place(NamedTuple):
    """One token of a prompt, with the number of the image that it shows and of the one that it carries (−1: none)."""

    token: int
    own: int
    held: int


@dataclass(frozen=True)
class Prompt:
    """A question's tokens; `last_image` is the image that an answer's tokens may carry, −1 for none."""

    places: tuple[Place, ...]
    last_image: int

    def __len__(self) -> int:
        return len(self.places)


class PromptWriter:
    """Writes prompts, and collects the images that they show, equal ones once.

    A turn of the assistant ends with `END`, as do statements; other turns have no mark.
    """

    def __init__(self, carry: Carry, unknown: Counter[str]) -> None:
        self.carry, self.unknown = carry, unknown
        self.images: list[ImagePart] = []
        self._numbers: dict[int | str, int] = {}

    def write(self, question: Question) -> Prompt:
        """Return the prompt of a question. Raises DataError if one of its images can't be read."""
        from harness_embedded.speaking_network import place_images

        ids: list[int] = []
        images: list[int] = []
        for turn in question.turns:
            for part in turn.parts:
                if isinstance(part, str):
                    ids += encode_words(part, self.unknown)
                else:
                    images.append(self._number(part))
                    ids.append(IMAGE)
            if turn.role == "assistant" and ids[-1:] != [END]:
                ids.append(END)
        own, held = place_images(ids, images, self.carry)
        after = self.carry == "all" or (self.carry == "next" and ids[-1:] == [IMAGE])
        places = tuple(Place(*place) for place in zip(ids, own, held, strict=True))
        return Prompt(places or (Place(END, -1, -1),), images[-1] if after and images else -1)

    def _number(self, part: ImagePart) -> int:
        # the same object needs no digest, which decodes the image
        if id(part) not in self._numbers:
            if part.digest not in self._numbers:
                self._numbers[part.digest] = len(self.images)
            self.images.append(part)  # kept, so that no other object gets its `id`
            self._numbers[id(part)] = self._numbers[part.digest]
        return self._numbers[id(part)]


class SharedBatch(NamedTuple):
    """Rows of prompts that begin with the same `shared` tokens, at least one fewer than each has."""

    rows: list[int]
    shared: int


def batch_prompts(prompts: Sequence[Prompt]) -> list[SharedBatch]:
    """Return batches with every prompt once: those with a long common beginning together, others by length."""
    order = sorted(range(len(prompts)), key=lambda n: prompts[n].places)
    batches: list[SharedBatch] = []
    alone: list[int] = []
    group: list[int] = []
    shared = 0
    for n in [*order, None]:
        common = 0
        if n is not None and group:
            limit = min(len(prompts[n]), len(prompts[group[-1]])) - 1
            common = min(shared, limit, _count_common(prompts[group[-1]], prompts[n]))
        if n is not None and group and common >= max(LEAST_SHARED, shared // 2) and len(group) < MOST_AT_ONCE:
            group.append(n)
            shared = common
            continue
        if len(group) > 1:
            batches.append(SharedBatch(group, shared))
        else:
            alone += group
        if n is not None:
            group, shared = [n], len(prompts[n]) - 1
    alone.sort(key=lambda n: len(prompts[n]))
    batches += [SharedBatch(alone[at : at + MOST_AT_ONCE], 0) for at in range(0, len(alone), MOST_AT_ONCE)]
    return batches


def _count_common(one: Prompt, other: Prompt) -> int:
    for count, (a, b) in enumerate(zip(one.places, other.places, strict=False)):
        if a != b:
            return count
    return min(len(one), len(other))
