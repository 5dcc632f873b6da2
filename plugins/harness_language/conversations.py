"""Conversations of texts and images, questions that end them, and a model's answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from harness import DataError, EncodedImage, decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Role = Literal["system", "user", "assistant"]
Status = Literal["ok", "truncated", "refused", "failed"]

ROLES: tuple[str, ...] = get_args(Role)
STATUSES: tuple[str, ...] = get_args(Status)
WITHOUT_TEXT = ("refused", "failed")
"""Statuses of answers that hold no text, so that no metric can take an apology or an error for an answer."""

_MARKER = re.compile(r"<(?=\\*(?:text>|image |system>|user>|assistant>))")


@dataclass(frozen=True, eq=False)
class ImagePart:
    """An image in a conversation: a PIL image, encoded bytes, or a uint8 array H×W×3 (or H×W), as in a sample.

    Two parts are equal if their decoded pixels are.
    """

    image: Image.Image | EncodedImage | NDArray[np.uint8]

    def decoded(self) -> Image.Image:
        """Return the image in RGB. Raises DataError if it can't be read."""
        return decode(self.image)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the decoded RGB pixels and their size, in hexadecimal.

        Files that decode to the same pixels have the same digest. Raises DataError if the image can't be read.
        """
        pixels = self.decoded()
        return hashlib.sha256(f"{pixels.width}x{pixels.height}\n".encode() + pixels.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImagePart) and (self.image is other.image or self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        name = self.image.name if isinstance(self.image, EncodedImage) else type(self.image).__name__
        return f"ImagePart({name})"


Part = str | ImagePart


@dataclass(frozen=True)
class Turn:
    """What one side says: texts and images, whose order is meaning.

    Raises DataError for an unknown role, and for parts that are neither texts nor `ImagePart`s.
    """

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise DataError(f"a turn's role is '{self.role}', not one of {', '.join(ROLES)}")
        if isinstance(self.parts, str | ImagePart):
            raise DataError("a turn's parts are a tuple of texts and images, not a single one: write (part,)")
        object.__setattr__(self, "parts", tuple(self.parts))
        for part in self.parts:
            if not isinstance(part, str | ImagePart):
                raise DataError(f"a turn's part is a {type(part).__name__}, not a text or an ImagePart")


@dataclass(frozen=True)
class Question:
    """A conversation whose next turn is the model's, with what limits that turn.

    Args:
        id: the sample it belongs to, with whatever else tells questions of a run apart (prompt, probe).
        turns: what was said so far; shots are earlier turns of "user" and "assistant", or parts of one turn.
        max_tokens: most new tokens of the answer.
        stop: texts at which the answer ends; they are not part of it.
        choices: the only answers allowed, for models that can restrict themselves; others ignore them.

    Raises DataError, naming the question, for a limit below 1, an empty stop text or no choice at all.
    """

    id: str
    turns: tuple[Turn, ...]
    max_tokens: int = 32
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("turns", "stop", "choices"):
            value: Any = getattr(self, name)
            if isinstance(value, str | Turn):
                raise DataError(
                    f"question '{self.id}': `{name}` is a tuple, not a single {type(value).__name__}"
                )
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        if self.max_tokens < 1:
            raise DataError(f"question '{self.id}': max_tokens is {self.max_tokens}, expected at least 1")
        if "" in self.stop:
            raise DataError(f"question '{self.id}': an empty stop text would end every answer at once")
        if self.choices == ():
            raise DataError(f"question '{self.id}': no choices; leave `choices` None for a free answer")


@dataclass(frozen=True)
class ModelAnswer:
    """A model's answer, or why there is none.

    `status` is "ok"; "truncated" if it ended at `max_tokens`; "refused" if the model or a filter declined;
    "failed" if no usable answer came. An answer that was refused or failed has no text: `reason` says why.
    `tokens_in` and `tokens_out` are 0 where the model does not tell. Half an emoji (a lone surrogate, as of an answer
    that was cut), which no file can hold, becomes U+FFFD. Raises DataError for a refused or failed answer with a
    text, and for an unknown status.
    """

    text: str
    status: Status = "ok"
    tokens_in: int = 0
    tokens_out: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise DataError(f"an answer's status is '{self.status}', not one of {', '.join(STATUSES)}")
        if self.text and self.status in WITHOUT_TEXT:
            raise DataError(f"an answer with the status '{self.status}' holds a text: put it into `reason`")
        for name in ("text", "reason"):
            if not (said := getattr(self, name)).isascii():
                whole = said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
                object.__setattr__(self, name, whole)


def list_images(question: Question) -> list[ImagePart]:
    """Return the question's images in their order; one that is shown twice is listed twice."""
    return [part for turn in question.turns for part in turn.parts if isinstance(part, ImagePart)]


def count_images(question: Question) -> int:
    """Return how many images a question shows."""
    return len(list_images(question))


def drop_images(question: Question) -> Question:
    """Return the question without its images, as a blind model gets it; its texts stay as they are."""
    turns = (
        replace(turn, parts=tuple(p for p in turn.parts if isinstance(p, str))) for turn in question.turns
    )
    return replace(question, turns=tuple(turns))


def require_image_count(questions: Sequence[Question], most: int | None, model: str) -> None:
    """Raise DataError, naming the first question that shows more images than a model takes at once."""
    for question in questions:
        if most is not None and (count := count_images(question)) > most:
            raise DataError(
                f"question '{question.id}' shows {count} images, and {model} takes at most {most}: "
                "show fewer shots or frames, or choose a model that takes more"
            )


def render_question(question: Question) -> str:
    """Return a question's turns as text, an image as `<image DIGEST>`, for records and keys of answers.

    Questions with different turns have different texts: parts that follow each other are told apart by `<text>`,
    and where a text itself holds a marker, a backslash is put behind its first character. Id and limits of the
    answer are left out. Raises DataError if an image can't be read.
    """
    return "\n".join(f"<{turn.role}>{_render_parts(turn.parts)}" for turn in question.turns)


def _render_parts(parts: Sequence[Part]) -> str:
    found: list[str] = []
    after_text = False
    for part in parts:
        if isinstance(part, ImagePart):
            found.append(f"<image {part.digest}>")
        else:
            found.append(("<text>" if after_text or not part else "") + _MARKER.sub(r"<\\", part))
        after_text = isinstance(part, str)
    return "".join(found)
