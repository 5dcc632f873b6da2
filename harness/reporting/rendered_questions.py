"""Questions as records hold them, text with `<image DIGEST>` for each image, read back into turns."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

from harness.inference.images import decode

_NAMES = r"text|image [0-9a-f]+|system|user|assistant"
_MARKER = re.compile(rf"(?:^|(?<=\n))<(?P<role>system|user|assistant)>|<(?P<part>{_NAMES})>")
_ESCAPED = re.compile(r"<\\(?=\\*(?:text>|image |system>|user>|assistant>))")


class ShownTurn(NamedTuple):
    """Who speaks, and texts and digests of images in their order: an image is a tuple of its digest."""

    role: str
    parts: list[str | tuple[str]]


def read_rendered_question(text: str) -> list[ShownTurn]:
    """Return the turns of a rendered question; a text without any marker is one turn of the user."""
    turns: list[ShownTurn] = []
    at = 0
    for found in [*_MARKER.finditer(text), None]:
        said = text[at : found.start() if found else len(text)]
        starts = found is not None and bool(found["role"])
        if starts and turns:
            said = said.removesuffix("\n")  # which joins the turns
        if said:
            if not turns:
                turns.append(ShownTurn("user", []))
            turns[-1].parts.append(_ESCAPED.sub("<", said))
        if found is None:
            break
        if starts:
            turns.append(ShownTurn(found["role"], []))
        elif (name := found["part"] or "").startswith("image "):
            if not turns:
                turns.append(ShownTurn("user", []))
            turns[-1].parts.append((name.removeprefix("image "),))
        at = found.end()
    return turns


def digest_pixels(image: Any) -> str:
    """Return the digest by which a rendered question names an image: SHA-256 of its size and decoded RGB pixels.

    Raises DataError if the image can't be read.
    """
    pixels = decode(image)
    return hashlib.sha256(f"{pixels.width}x{pixels.height}\n".encode() + pixels.tobytes()).hexdigest()


def cut_turns(turns: list[ShownTurn], letters: int) -> list[ShownTurn]:
    """Return the turns with at most so many characters of text: the last turn's first, then those before it.

    What is cut ends with "…". Turns that hold nothing any more are left out.
    """
    left, kept = letters, []
    for turn in reversed(turns):
        parts: list[str | tuple[str]] = []
        for part in turn.parts:
            if not isinstance(part, str):
                parts.append(part)
            elif left > 0:
                parts.append(part if len(part) <= left else part[:left] + "…")
                left -= len(part)
        if parts or not turn.parts:
            kept.append(ShownTurn(turn.role, parts))
    return kept[::-1]
