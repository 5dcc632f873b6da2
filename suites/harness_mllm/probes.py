"""Probes that say whether a model looked: the same questions with something taken away, exchanged or reordered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness import DataError, derive_seed
from harness.errors import OptionError, did_you_mean
from harness_language.conversations import ImagePart, Question, Turn, drop_images, list_images

Probe = Callable[[Sequence[Question], Sequence[str], object], list[Question]]
"""From questions, the group (image) of each, and a seed, to changed questions in the same order."""


def show_no_image(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions without any image."""
    return [drop_images(question) for question in questions]


def show_another_image(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions with the last turn's images of another group, each with as many images.

    They are those of one other question where one has as many, else of several. None of them has the pixels of an
    image that it takes the place of, whatever the groups are called. Raises DataError if there are too few others.
    """
    images = [[p for p in question.turns[-1].parts if isinstance(p, ImagePart)] for question in questions]
    order = _shuffle(len(questions), "another image", seed)
    total = len(order)

    def list_others(place: int) -> Iterator[list[ImagePart]]:
        for step in range(1, total):
            other = order[(place + step) % total]
            if images[other] and groups[other] != groups[order[place]]:
                yield images[other]

    changed = list(questions)
    for place, row in enumerate(order):
        if not images[row]:
            continue
        own, count = {image.digest for image in images[row]}, len(images[row])
        alike = (given for given in list_others(place) if len(given) == count)
        whole = next((given for given in alike if own.isdisjoint(i.digest for i in given)), None)
        given = whole or _collect_others(list_others(place), own, count)
        if len(given) < count:
            raise DataError(f"question '{questions[row].id}': there is no other image to show in its place")
        changed[row] = _replace_last_images(questions[row], given)
    return changed


def _collect_others(found: Iterable[Sequence[ImagePart]], own: Iterable[str], count: int) -> list[ImagePart]:
    """Return at most `count` different images of those found that are not one's own, in order."""
    seen, given = set(own), list[ImagePart]()
    for image in (image for images in found for image in images):
        if len(given) == count:
            break
        if image.digest not in seen:
            seen.add(image.digest)
            given.append(image)
    return given


def reverse_images(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions with the images of the last turn in reversed order."""
    return [
        _replace_last_images(q, [p for p in q.turns[-1].parts if isinstance(p, ImagePart)][::-1])
        for q in questions
    ]


def flip_shot_labels(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions with each shot's answer exchanged for the next other answer among the shots (Min et al., 2022)."""

    def flip(answers: list[str], rng: np.random.Generator) -> list[str]:
        known = list(dict.fromkeys(answers))
        return [known[(known.index(answer) + 1) % len(known)] for answer in answers]

    return _change_shot_answers(questions, seed, flip)


def draw_shot_labels(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions with each shot's answer drawn from those among the shots."""

    def draw(answers: list[str], rng: np.random.Generator) -> list[str]:
        known = list(dict.fromkeys(answers))
        return [known[int(n)] for n in rng.integers(len(known), size=len(answers))]

    return _change_shot_answers(questions, seed, draw)


def shuffle_shot_images(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions with the images of all shots in another order; their answers stay."""
    changed = []
    for question in questions:
        images = list_images(replace(question, turns=question.turns[:-1]))
        order = _shuffle(len(images), "shot images", seed, question.id)
        turns = _refill(question.turns[:-1], [images[n] for n in order])
        changed.append(replace(question, turns=(*turns, question.turns[-1])))
    return changed


def drop_shot_images(questions: Sequence[Question], groups: Sequence[str], seed: object) -> list[Question]:
    """Return the questions without the images of their shots; those of the last turn stay."""
    return [replace(q, turns=(*drop_images(q).turns[:-1], q.turns[-1])) for q in questions]


PROBES: Mapping[str, Probe] = {
    "no image": show_no_image,
    "another image": show_another_image,
    "images reversed": reverse_images,
    "shot labels flipped": flip_shot_labels,
    "shot labels random": draw_shot_labels,
    "shot images shuffled": shuffle_shot_images,
    "shots without images": drop_shot_images,
}
"""Probes by the value of the axis `probe`; "none" asks the questions as they are."""


def apply_probe(
    name: str, questions: Sequence[Question], groups: Sequence[str], seed: object
) -> list[Question]:
    """Return the questions of a probe. Raises OptionError for an unknown one."""
    if name == "none":
        return list(questions)
    if name not in PROBES:
        raise OptionError(f"there is no probe '{name}'{did_you_mean(name, ['none', *PROBES])}")
    return PROBES[name](questions, groups, seed)


def _change_shot_answers(
    questions: Sequence[Question], seed: object, change: Callable[[list[str], np.random.Generator], list[str]]
) -> list[Question]:
    changed = []
    for question in questions:
        places = [n for n, turn in enumerate(question.turns) if turn.role == "assistant"]
        answers = ["".join(str(p) for p in question.turns[n].parts) for n in places]
        turns = list(question.turns)
        if answers:
            rng = np.random.default_rng(derive_seed("shot labels", seed, question.id))
            for place, answer in zip(places, change(answers, rng), strict=True):
                turns[place] = Turn("assistant", (answer,))
        changed.append(replace(question, turns=tuple(turns)))
    return changed


def _replace_last_images(question: Question, images: Sequence[ImagePart]) -> Question:
    last = _refill(question.turns[-1:], images)
    return replace(question, turns=(*question.turns[:-1], *last))


def _refill(turns: Sequence[Turn], images: Sequence[ImagePart]) -> list[Turn]:
    """Return the turns with their images replaced, in order; texts stay in their places."""
    left = iter(images)
    return [
        replace(turn, parts=tuple(next(left) if isinstance(p, ImagePart) else p for p in turn.parts))
        for turn in turns
    ]


def _shuffle(count: int, *axes: Any) -> list[int]:
    found: list[int] = np.random.default_rng(derive_seed(*axes)).permutation(count).tolist()
    return found
