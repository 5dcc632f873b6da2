"""A transcript of what was asked and answered, from which a run can be repeated without the model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.errors import DataError, Unavailable
from harness.files import write_bytes
from harness.parts import canonical
from harness_prompts.endpoint import Answer, Message

Replay = Literal["use", "only", "off"]


class Chat(Protocol):
    """A chat model; `identity` is what decides its answers."""

    @property
    def identity(self) -> dict[str, Any]: ...

    def ask(self, messages: Sequence[Message]) -> Answer: ...


class Transcript:
    """A chat model whose answers are kept, one file each, as soon as they come.

    The n-th time that the same messages are asked in a run is told apart from the first. With
    `only` nothing is asked that is not in the transcript; with `off` everything is asked anew, and
    kept in place of what was there. `axes` (data set, seed, …) keep runs apart.
    """

    def __init__(self, chat: Chat, folder: Path, replay: Replay = "use", axes: Sequence[object] = ()) -> None:
        self.chat, self.folder, self.replay = chat, folder, replay
        self.axes = [str(a) for a in axes]
        self.asked = self.replayed = self.tokens = 0
        self._times: Counter[str] = Counter()

    @property
    def identity(self) -> dict[str, Any]:
        """The chat model's own."""
        return self.chat.identity

    def ask(self, messages: Sequence[Message]) -> Answer:
        """The kept answer, or the model's.

        Raises Unavailable when it may not be asked, DataError for a file that can't be read.
        """
        question = {"chat": self.identity, "axes": self.axes, "messages": [dict(m) for m in messages]}
        base = canonical(question)
        self._times[base] += 1
        digest = hashlib.sha256(f"{self._times[base]}\n{base}".encode()).hexdigest()[:32]
        path = self.folder / f"{digest}.json"
        if self.replay != "off" and path.exists():
            self.replayed += 1
            return _read(path)
        if self.replay == "only":
            raise Unavailable(
                f"{self.folder}: the transcript has no answer to this question, and replay is 'only'"
            )
        answer = self.chat.ask(messages)
        self.asked += 1
        self.tokens += answer.tokens
        kept = {**question, "time": self._times[base], "answer": answer.text, "tokens": answer.tokens}
        write_bytes(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())
        return answer


def _read(path: Path) -> Answer:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Answer(str(found["answer"]), int(found["tokens"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: this answer of a transcript can't be read ({error}); remove the file"
        ) from None
