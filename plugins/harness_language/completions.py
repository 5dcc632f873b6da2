"""OpenAI's chat completions: questions with images as request bodies, and what answers say."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from PIL import Image

from harness import EncodedImage, Unavailable
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn

ImageFormat = Literal["original", "png"]
Restriction = Literal["none", "structured-outputs", "guided-choice", "json-schema"]
LimitName = Literal["max_tokens", "max_completion_tokens"]

TokenChances = list[tuple[str, float]]
"""The likeliest first tokens of an answer with their log-probabilities in nats, the likeliest first."""

_ORIENTATION = 0x0112
_SHOTS_KEPT = 64
"""Encoded images that are kept at a time, since questions share their shots."""


@dataclass(frozen=True)
class SentParameters:
    """What a server is sent besides the conversation, all of which decides answers; None is not sent.

    vLLM takes what is not sent from the model's own generation_config, so that temperature and top_p always are;
    `top_k` and `repetition_penalty` are not part of OpenAI's protocol, and some servers refuse them.
    """

    model: str
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = 0
    restriction: Restriction = "none"
    limit_name: LimitName = "max_tokens"
    image_format: ImageFormat = "original"

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request for an answer to a question. Raises DataError for an image that can't be read."""
        named = ("model", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
        sent = {name: value for name in named if (value := getattr(self, name)) is not None}
        sent["messages"] = [_write_turn(turn, self.image_format) for turn in question.turns]
        sent[self.limit_name] = question.max_tokens
        if question.stop:
            sent["stop"] = list(question.stop)
        if question.choices is not None:
            sent |= _restrict(question.choices, self.restriction)
        return sent

    def first_token_body(self, question: Question, count: int) -> dict[str, Any]:
        """Return the request for the `count` likeliest first tokens of the answer to a question."""
        sent = {**self.body(question), self.limit_name: 1, "logprobs": True, "top_logprobs": count}
        for limiting in ("stop", "response_format", "structured_outputs", "guided_choice"):
            sent.pop(limiting, None)
        return sent


def _write_turn(turn: Turn, image_format: ImageFormat) -> dict[str, Any]:
    """Return a message; a turn with a single text has it as a string, which every server takes."""
    if len(turn.parts) == 1 and isinstance(turn.parts[0], str):
        return {"role": turn.role, "content": turn.parts[0]}
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": write_data_uri(part, image_format)}}
        for part in turn.parts
    ]
    return {"role": turn.role, "content": content}


@lru_cache(maxsize=_SHOTS_KEPT)
def write_data_uri(part: ImagePart, image_format: ImageFormat = "original") -> str:
    """Return an image as a data URI, with the pixels that `part.digest` stands for.

    A JPEG's own bytes are sent where every decoder shows the same picture: in grey or YCbCr, upright. All else is
    a PNG of the decoded pixels, since servers differ in palettes, CMYK, transparency and EXIF orientation.
    """
    if image_format == "original" and isinstance(part.image, EncodedImage) and _is_plain_jpeg(part.image):
        kind, data = "jpeg", part.image.data
    else:
        stream = io.BytesIO()
        part.decoded().save(stream, "PNG", compress_level=1)
        kind, data = "png", stream.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _is_plain_jpeg(image: EncodedImage) -> bool:
    try:
        with Image.open(io.BytesIO(image.data)) as opened:
            upright = opened.getexif().get(_ORIENTATION, 1) == 1
            return opened.format == "JPEG" and opened.mode in ("RGB", "L") and upright
    except Exception:  # the general decoder says what is wrong with it
        return False


def _restrict(choices: Sequence[str], restriction: Restriction) -> dict[str, Any]:
    if restriction == "structured-outputs":
        return {"structured_outputs": {"choice": list(choices)}}
    if restriction == "guided-choice":
        return {"guided_choice": list(choices)}
    if restriction == "json-schema":
        schema = {"type": "string", "enum": list(choices)}
        return {
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "choice", "schema": schema, "strict": True},
            }
        }  # fmt: skip
    return {}


@dataclass(frozen=True)
class Completion:
    """What a chat completion holds: the text or None, the refusal or "", why it ended, tokens, first-token chances."""

    text: str | None
    refusal: str = ""
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    chances: TokenChances | None = None

    @property
    def tokens(self) -> int:
        """Tokens of question and answer together."""
        return self.tokens_in + self.tokens_out


def read_completion(body: bytes) -> Completion:
    """Return what a chat completion says. Raises ValueError for any other body."""
    found = json.loads(body.decode("utf-8"))
    try:
        choice = found["choices"][0]
        message = choice["message"]
        content = message["content"] if "refusal" not in message else message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("no choices[0].message.content in it") from None
    if isinstance(content, list):  # some servers answer in parts, too
        content = "".join(str(p.get("text", "")) for p in content if isinstance(p, Mapping))
    text = content if isinstance(content, str) else None
    refusal, finish = message.get("refusal"), choice.get("finish_reason")
    usage = found.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    asked, said, total = (n if isinstance(n, int) and n >= 0 else None for n in counts)
    if total is None and asked is None and said is None:
        total = len(text or "") // 4 + 1  # without a usage report, four characters per token
    said = said or 0
    return Completion(
        text,
        refusal if isinstance(refusal, str) else "",
        finish if isinstance(finish, str) else "",
        asked if asked is not None else max(0, (total or 0) - said),
        said,
        _read_chances(choice),
    )


def _read_chances(choice: Mapping[str, Any]) -> TokenChances | None:
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        found = [(str(one["token"]), float(one["logprob"])) for one in listed]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    found = [(token, chance) for token, chance in found if not math.isnan(chance)]
    return sorted(found, key=lambda one: -one[1]) or None


def make_answer(found: Completion, question: Question, restriction: Restriction) -> ModelAnswer:
    """Return a completion as the answer to a question.

    Raises ValueError if it has no text and no reason for that; Unavailable if the server answered otherwise
    than it was restricted to, and so must have ignored the choices.
    """
    tokens = found.tokens_in, found.tokens_out
    if found.refusal or found.finish == "content_filter":
        return ModelAnswer("", "refused", *tokens, reason=found.refusal or "content_filter")
    text, cut = found.text, found.finish == "length"
    if text is None and not cut:
        raise ValueError("the message has no text")
    if question.choices is not None and restriction != "none" and not cut:
        text = _read_choice(str(text), question, restriction)
    return ModelAnswer(text or "", "truncated" if cut else "ok", *tokens)


def _read_choice(text: str, question: Question, restriction: Restriction) -> str:
    said: Any = text
    if restriction == "json-schema":
        try:
            said = json.loads(text)
        except ValueError:
            said = None
    if said not in (question.choices or ()):
        raise Unavailable(
            f"the server was told by '{restriction}' to choose one of {list(question.choices or ())}, and answered "
            f"{text[:80]!r} to question '{question.id}': it ignores the choices; use another `restriction`"
        )
    return str(said)


def is_policy_refusal(detail: str) -> bool:
    """Return whether the body of an error says that a content filter stopped the request."""
    return any(
        mark in detail for mark in ("content_filter", "content_policy", "ResponsibleAIPolicyViolation")
    )
