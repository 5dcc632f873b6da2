"""A transcript of questions and answers, from which a run can be repeated without the model."""

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
from harness_language.endpoint import Budget, ChatAnswer, Message, OutOfBudget

Replay = Literal["use", "only", "off"]


class ChatModel(Protocol):
    """A chat model; `identity` decides its answers, `budget` limits further questions."""

    budget: Budget

    @property
    def identity(self) -> dict[str, Any]: ...

    def ask(self, messages: Sequence[Message]) -> ChatAnswer: ...


class Transcript:
    """A chat model whose answers are stored at once, one file each.

    Repetitions of the same messages within a run are stored apart, by their number. With `only`, a question
    that is not in the transcript is an error; with `off`, every question is asked again and its stored
    answer replaced. `axes` (data set, seed, …) keep runs apart. A stored answer costs the budgets what it
    cost when it was asked, so a repeated run ends where the first did.
    """

    def __init__(
        self, chat: ChatModel, folder: Path, replay: Replay = "use", axes: Sequence[object] = ()
    ) -> None:
        self.chat, self.folder, self.replay = chat, folder, replay
        self.axes = [str(a) for a in axes]
        self.asked = self.replayed = self.tokens = 0
        self._times: Counter[str] = Counter()

    @property
    def identity(self) -> dict[str, Any]:
        """The chat model's identity."""
        return self.chat.identity

    def ask(self, messages: Sequence[Message]) -> ChatAnswer:
        """Return the stored answer, else the model's.

        Raises Unavailable if the model may not be asked, OutOfBudget when a budget is spent, DataError for
        an unreadable file.
        """
        question = {"chat": self.identity, "axes": self.axes, "messages": [dict(m) for m in messages]}
        base = canonical_json(question)
        self._times[base] += 1
        digest = hashlib.sha256(f"{self._times[base]}\n{base}".encode()).hexdigest()[:32]
        path = self.folder / f"{digest}.json"
        if self.replay != "off" and path.exists():
            found = _read_answer(path)
            if isinstance(found, ChatAnswer):
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
        except OutOfBudget as spent:  # spent on failed tries: a replay has to end here, too
            _write_answer(path, {**kept, "ended": str(spent)})
            raise
        self.asked += 1
        self.tokens += answer.tokens
        _write_answer(path, {**kept, "answer": answer.text, "tokens": answer.tokens, "calls": answer.calls})
        return answer


def _write_answer(path: Path, kept: dict[str, Any]) -> None:
    write_bytes(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())


def _read_answer(path: Path) -> ChatAnswer | OutOfBudget:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if "ended" in found:
            return OutOfBudget(str(found["ended"]))
        return ChatAnswer(str(found["answer"]), int(found["tokens"]), int(found.get("calls", 1)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: the transcript's answer can't be read ({error}); remove the file") from None
