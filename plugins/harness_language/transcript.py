"""A transcript of questions and answers in texts, from which a run can be repeated without the model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from harness import DataError, Unavailable
from harness.contract.cells import canonical_json
from harness_language.answer_log import AnswerLog, Replay
from harness_language.budgets import Budget, ChatAnswer, Message, OutOfBudget


class ChatModel(Protocol):
    """A chat model; `identity` decides its answers, `budget` limits further questions."""

    budget: Budget

    @property
    def identity(self) -> dict[str, Any]: ...

    def ask(self, messages: Sequence[Message]) -> ChatAnswer: ...


class Transcript:
    """A chat model whose answers are kept at once, in a log of the folder.

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
        run = canonical_json({"chat": chat.identity, "axes": self.axes})
        self.log = AnswerLog(folder / f"{hashlib.sha256(run.encode()).hexdigest()[:16]}.jsonl")
        self._times: Counter[str] = Counter()

    @property
    def identity(self) -> dict[str, Any]:
        """The chat model's identity."""
        return self.chat.identity

    def ask(self, messages: Sequence[Message]) -> ChatAnswer:
        """Return the stored answer, else the model's.

        Raises Unavailable if the model may not be asked, OutOfBudget when a budget is spent, DataError for
        a file that can't be read.
        """
        question = {"chat": self.identity, "axes": self.axes, "messages": [dict(m) for m in messages]}
        base = canonical_json(question)
        self._times[base] += 1
        key = hashlib.sha256(f"{self._times[base]}\n{base}".encode()).hexdigest()[:32]
        found = None if self.replay == "off" else self._recall(key)
        if isinstance(found, ChatAnswer):
            self.chat.budget.check()
            self.chat.budget.spend(found)
            self.replayed += 1
            return found
        if self.replay == "only":
            raise found or Unavailable(
                f"{self.folder}: the transcript has no answer to this question, and replay is 'only'"
            )
        about = {**question, "time": self._times[base]}
        try:
            answer = self.chat.ask(messages)
        except OutOfBudget as spent:  # spent on failed tries: a replay has to end here, too
            self.log.append(key, {"ended": str(spent)}, about)
            raise
        self.asked += 1
        self.tokens += answer.tokens
        kept = {"answer": answer.text, "tokens": answer.tokens, "calls": answer.calls}
        self.log.append(key, kept, about)
        return answer

    def _recall(self, key: str) -> ChatAnswer | OutOfBudget | None:
        """Return what is kept under a key: in the log, or in a file of its own, as transcripts once were."""
        where, found = self.log.path, self.log.find(key)
        try:
            if found is None and (old := self.folder / f"{key}.json").exists():
                where, found = old, json.loads(old.read_text(encoding="utf-8"))
            if found is None:
                return None
            if "ended" in found:
                return OutOfBudget(str(found["ended"]))
            return ChatAnswer(str(found["answer"]), int(found["tokens"]), int(found.get("calls", 1)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: the transcript's answer '{key}' can't be read ({error}); remove the file"
            ) from None
