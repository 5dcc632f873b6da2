"""Questions as prompts: a model's chat template filled in, with checks that nothing is lost or reordered by it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from harness import DataError, OptionError
from harness.inference.weights import one_line
from harness_language.conversations import ImagePart, Question, Turn

NO_TEMPLATE = "it has no chat template, so nobody can say how it is asked; give chat_template=FILE"

_FIRST, _LAST = "alpha one", "omega two"


class ChatPrompts:
    """Turns questions into prompts with the chat template of a processor or tokenizer.

    Args:
        where: how messages name the model.
        renderer: the processor or tokenizer, with `apply_chat_template`.
        template: the text of a template used in place of its own.
        shows_images: whether turns are given to the template as lists of parts, images among them; else as texts.
        control_tokens: tokens with a meaning for the model, which no text of a question may hold.

    Raises OptionError if there is no template, or one that can't be filled in or leaves images out.
    """

    def __init__(
        self,
        where: str,
        renderer: Any,
        template: str | None,
        shows_images: bool,
        control_tokens: Collection[str],
    ) -> None:
        self.where, self.shows_images = where, shows_images
        self._renderer = renderer
        # a single character that pads is also what texts are made of
        self._control = sorted((t for t in control_tokens if len(t.strip()) > 1), key=len, reverse=True)
        own = getattr(renderer, "chat_template", None)
        own = own or getattr(getattr(renderer, "tokenizer", None), "chat_template", None)
        if isinstance(own, dict):
            own = own.get("default")
        self._template = template or own
        if not self._template:
            raise OptionError(f"{where}: {NO_TEMPLATE}")
        self.remarks = self._probe()

    @property
    def digest(self) -> str:
        """The SHA-256 of the template."""
        return hashlib.sha256(str(self._template).encode()).hexdigest()

    def render(self, question: Question) -> str:
        """Return the prompt up to where the model's answer begins.

        Raises DataError, naming the question, for turns that the template refuses or leaves out (some know no
        system turn), and for a text that holds one of the model's control tokens.
        """
        texts = [part for turn in question.turns for part in turn.parts if isinstance(part, str)]
        for text in texts:
            if token := next((token for token in self._control if token in text), None):
                raise DataError(
                    f"question '{question.id}': a text holds '{token}', which the model takes for a control token: "
                    "remove it (images are parts of a turn, not texts)"
                )
        try:
            prompt = self._fill(question.turns)
        except Exception as error:  # jinja2 raises its own kinds, and what a template's code raises
            raise DataError(
                f"question '{question.id}': the chat template refuses it: {one_line(error)}"
            ) from error
        place = 0
        for text in texts:
            found = prompt.find(text.strip(), place)
            if found < 0:
                raise DataError(
                    f"question '{question.id}': the chat template leaves out or reorders {text.strip()[:60]!r}; not "
                    "every template knows a system turn, or several texts in a turn"
                )
            place = found + len(text.strip())
        return prompt

    def _fill(self, turns: Collection[Turn]) -> str:
        messages = [{"role": turn.role, "content": self._write_content(turn)} for turn in turns]
        found: str = self._renderer.apply_chat_template(
            messages, chat_template=self._template, tokenize=False, add_generation_prompt=True
        )
        return found

    def _write_content(self, turn: Turn) -> Any:
        if not self.shows_images:
            return "".join(part for part in turn.parts if isinstance(part, str))
        return [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in turn.parts
        ]

    def _probe(self) -> list[str]:
        """Return remarks on what the template does to the order of parts."""
        picture = ImagePart(np.zeros((1, 1, 3), np.uint8))
        try:
            plain = self._fill([Turn("user", (_FIRST + _LAST,))])
            if _FIRST not in plain:
                raise OptionError(f"{self.where}: its chat template leaves out the user's text")
            if not self.shows_images:
                return []
            first = self._fill([Turn("user", (picture, _FIRST, _LAST))])
            between = self._fill([Turn("user", (_FIRST, picture, _LAST))])
            last = self._fill([Turn("user", (_FIRST, _LAST, picture))])
            twice = self._fill([Turn("user", (picture, picture, _FIRST, _LAST))])
        except OptionError:
            raise
        except Exception as error:  # as in `render`
            raise OptionError(
                f"{self.where}: its chat template can't be filled in: {one_line(error)}"
            ) from error
        if twice == first:
            raise OptionError(f"{self.where}: its chat template leaves out images")
        if first in (between, last) or between == last:
            return [
                "the model's chat template puts all images of a turn at one place, whatever their order among the texts"
            ]
        return []


def read_template(where: str, path: Path | None) -> str | None:
    """Return the text of a file with a chat template in Jinja, or None. Raises OptionError if it can't be read."""
    if path is None:
        return None
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{where}: chat_template {path} can't be read: {one_line(error)}") from None
