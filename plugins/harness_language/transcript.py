"""A transcript of what was asked and answered, from which a run can be repeated without the model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from harness import DataError, Unavailable
from harness.contract.cells import canonical_json
from harness.records.files import write_bytes
from harness_language.endpoint import Answer, Budget, Message, OutOfBudget

Replay = Literal["use", "only", "off"]


class Chat(Protocol):
    """A chat model; `identity` is what decides its answers, `budget` what it may still be asked."""

    budget: Budget

    @property
    def identity(self) -> dict[str, Any]: ...

    def ask(self, messages: Sequence[Message]) -> Answer: ...


class Transcript:
    """A chat model whose answers are kept, one file each, as soon as they come.

    The n-th time that the same messages are asked in a run is told apart from the first. With
    `only` nothing is asked that is not in the transcript; with `off` everything is asked anew, and
    kept in place of what was there. `axes` (data set, seed, …) keep runs apart. A kept answer counts
    against the budgets with what it took when it was asked, so a repeated run ends where the first did.
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

        Raises Unavailable when it may not be asked, OutOfBudget when a budget is spent, DataError for a
        file that can't be read.
        """
        question = {"chat": self.identity, "axes": self.axes, "messages": [dict(m) for m in messages]}
        base = canonical_json(question)
        self._times[base] += 1
        digest = hashlib.sha256(f"{self._times[base]}\n{base}".encode()).hexdigest()[:32]
        path = self.folder / f"{digest}.json"
        if self.replay != "off" and path.exists():
            found = _read(path)
            if isinstance(found, Answer):
                self.chat.budget.check()
                self.chat.budget.spend(found)
                self.replayed += 1
                return found
            if self.replay == "only":
                raise found
        if self.replay == "only":
            raise Unavailable(
                f"{self.folder}: the transcript has no answer to this question, and replay is 'only'"
            )
        kept = {**question, "time": self._times[base]}
        try:
            answer = self.chat.ask(messages)
        except OutOfBudget as spent:  # by tries that failed: a replay has to end here, too
            _write(path, {**kept, "ended": str(spent)})
            raise
        self.asked += 1
        self.tokens += answer.tokens
        _write(path, {**kept, "answer": answer.text, "tokens": answer.tokens, "calls": answer.calls})
        return answer


def _write(path: Path, kept: dict[str, Any]) -> None:
    write_bytes(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())


def _read(path: Path) -> Answer | OutOfBudget:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if "ended" in found:
            return OutOfBudget(str(found["ended"]))
        return Answer(str(found["answer"]), int(found["tokens"]), int(found.get("calls", 1)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: this answer of a transcript can't be read ({error}); remove the file"
        ) from None
