"""The models `copy-last-shot` and `nearest-shot`: baselines in context that repeat the answers of the shots they see.

What a model brings beyond them is more than copying the format or the most similar example.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from harness import DataError, EncodesImages, OptionError, has
from harness.contract.declared import ask
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ImagePart, ModelAnswer, Question

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

UNSAID = 1e-6
"""The probability given to all that no shot answers."""

NO_SHOT = "there is no shot to take an answer from"
_ENCODED_AT_ONCE = 64
_DIGITS = 5
"""Decimals of a cosine that count: shots that differ by rounding alone are equally similar."""


class ShownShot(NamedTuple):
    """A solved example of a conversation: its images and its answer."""

    images: tuple[ImagePart, ...]
    answer: str


def read_shots(question: Question) -> tuple[list[ShownShot], tuple[ImagePart, ...]]:
    """Return the shots of a conversation in their order, and the images of what is asked after the last.

    A shot is a turn of the assistant with the user's turns since the one before; examples inside a single turn are
    not seen.
    """
    shots: list[ShownShot] = []
    images: list[ImagePart] = []
    for turn in question.turns:
        if turn.role == "assistant":
            shots.append(
                ShownShot(tuple(images), " ".join(p for p in turn.parts if isinstance(p, str)).strip())
            )
            images = []
        elif turn.role == "user":
            images += [part for part in turn.parts if isinstance(part, ImagePart)]
    return shots, tuple(images)


class _ShotCopier(ABC):
    """Answers with the likeliest of the shares that a subclass gives to the answers of a question's shots."""

    max_images: int | None = None

    @abstractmethod
    def share_answers(self, questions: Sequence[Question]) -> list[Mapping[str, float]]:
        """Return for each question the shares of the shots' answers, which sum to 1; nothing without shots."""

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        """Return the answer of the shots with the largest share, up to a stop text; one without shots has failed."""
        answers = []
        for question, shares in zip(questions, self.share_answers(questions), strict=True):
            if not shares:
                answers.append(ModelAnswer("", "failed", reason=NO_SHOT))
                continue
            text = max(shares, key=shares.__getitem__)
            ends = [at for stop in question.stop if (at := text.find(stop)) >= 0]
            answers.append(ModelAnswer(text[: min(ends)] if ends else text))
        return answers

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        """Return the logarithm of each continuation's share, and of `UNSAID` for those that no shot answers.

        Blanks around a continuation do not count, and its tokens are its words. Raises DataError for a question
        without shots: there is nothing to compare by.
        """
        found = []
        for question, shares, texts in zip(
            questions, self.share_answers(questions), continuations, strict=True
        ):
            if not shares:
                raise DataError(f"question '{question.id}': {NO_SHOT}")
            best = max(shares, key=shares.__getitem__)
            found.append([_score(shares, text.strip(), best) for text in texts])
        return found


def _score(shares: Mapping[str, float], text: str, best: str) -> ContinuationScore:
    share = max(UNSAID, (1 - UNSAID) * shares.get(text, 0.0))
    return ContinuationScore(math.log(share), max(1, len(text.split())), text == best)


class CopyLastShot(_ShotCopier):
    """Answers with the answer of the last shot, whatever is asked: what repeating alone gives."""

    sees_images = False
    identity: ClassVar[Mapping[str, Any]] = {"model": "copy-last-shot"}

    def load(self, device: torch.device) -> None:
        """Do nothing: there are no weights."""

    def share_answers(self, questions: Sequence[Question]) -> list[Mapping[str, float]]:
        """Return the last shot's answer with the share 1."""
        return [{shots[-1].answer: 1.0} if (shots := read_shots(q)[0]) else {} for q in questions]


class ShotEmbedder:
    """An option's type: a model that encodes images, by which shots are compared with a question."""

    plugin_kind: ClassVar = "models"


class NearestShot(_ShotCopier):
    """Answers with what the most similar shots answer: k nearest neighbours in context, without reading the question.

    Similarity is the cosine of embeddings, of several images that of the mean of their unit embeddings; of equally
    similar shots the later one is nearer. Each of the `k` nearest has a vote, and of answers with as many votes that
    of the nearer shots wins. A shot without an image is less similar than any other, and if the question shows none all
    are equally similar.

    Args:
        embedder: a model that encodes images.
        k: shots that vote; all if there are fewer.
    """

    sees_images = True

    def __init__(self, embedder: ShotEmbedder, k: int = 1) -> None:
        if not has(embedder, EncodesImages):
            raise OptionError(f"nearest-shot: {type(embedder).__name__} does not encode images")
        if k < 1:
            raise OptionError(f"nearest-shot: k must be at least 1, not {k}")
        self.embedder: Any = embedder
        self.k = k

    def unavailable(self) -> str | None:
        """Return why the embedder can't be used here, or None."""
        check = ask(self.embedder, "unavailable")
        found: str | None = check() if check else None
        return found

    @property
    def remarks(self) -> list[str]:
        """The embedder's remarks."""
        return list(ask(self.embedder, "remarks") or ())

    def load(self, device: torch.device) -> None:
        """Load the embedder and freeze it."""
        if ask(self.embedder, "load") is not None:
            self.embedder.load(device)
        if (module := ask(self.embedder, "module")) is not None:
            module.to(device).eval()
        self._device = device

    def share_answers(self, questions: Sequence[Question]) -> list[Mapping[str, float]]:
        """Return the shares of the votes of each question's nearest shots."""
        read = [read_shots(question) for question in questions]
        vectors = self._encode(
            [image for shots, own in read for images in (own, *(s.images for s in shots)) for image in images]
        )
        found: list[Mapping[str, float]] = []
        for shots, own in read:
            asked = _average(own, vectors)
            compared = [_average(shot.images, vectors) for shot in shots]
            likeness = [
                -math.inf if asked is None or vector is None else round(float(asked @ vector), _DIGITS)
                for vector in compared
            ]
            order = sorted(range(len(shots)), key=lambda n: (likeness[n], n), reverse=True)
            found.append(_count_votes([shots[n].answer for n in order[: self.k]]))
        return found

    def _encode(self, images: Sequence[ImagePart]) -> dict[str, NDArray[np.float64]]:
        """Return the unit embedding of each distinct image by its digest."""
        import torch

        distinct = list({image.digest: image for image in images}.items())
        found: dict[str, NDArray[np.float64]] = {}
        for at in range(0, len(distinct), _ENCODED_AT_ONCE):
            part = distinct[at : at + _ENCODED_AT_ONCE]
            with torch.inference_mode():
                batch = torch.stack([self.embedder.prepare(image.decoded()) for _, image in part])
                vectors = self.embedder.encode_image(batch.to(self._device)).double().cpu().numpy()
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(norms > 0, norms, 1)
            found |= {digest: vector for (digest, _), vector in zip(part, vectors, strict=True)}
        return found


def _average(
    images: Sequence[ImagePart], vectors: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """Return the unit vector in the direction of the images' mean; None without images."""
    if not images:
        return None
    mean: NDArray[np.float64] = np.mean([vectors[image.digest] for image in images], axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm > 0 else mean


def _count_votes(answers: Sequence[str]) -> dict[str, float]:
    """Return the shares of answers, the nearest first; halving extras of 1/1000 decide between as many votes."""
    votes: dict[str, float] = {}
    for rank, answer in enumerate(answers):
        votes[answer] = votes.get(answer, 0.0) + 1 + 1e-3 * 0.5 ** (rank + 1)
    total = sum(votes.values())
    return {answer: vote / total for answer, vote in votes.items()}
