"""A log of a model's answers that only grows, from which a run is continued, or repeated without the model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from harness import DataError, Unavailable
from harness.contract.cells import canonical_json
from harness.records.files import locked
from harness_language.conversations import ModelAnswer, Question, render_question

Replay = Literal["use", "only", "off"]
"""`use` kept answers and ask for the others; use kept ones `only`; `off` asks all again and keeps the new answers."""

Keep = Callable[[int, ModelAnswer], None]


class AnswerLog:
    """A file of JSON lines, one per kept answer; of several with the same key, the last counts.

    A line is written as soon as its answer is there, so that a kill at any moment costs at most the answers under way.
    A line that a kill cut short is ignored, and the next one starts afresh. Threads may share an object, processes a
    file: each sees what the others kept. (The disk is not forced: after a power cut, the last lines may be missing.)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, dict[str, Any]] = {}
        self._read_to = 0
        self._lock = threading.RLock()

    def list_kept(self) -> list[dict[str, Any]]:
        """Return all that is kept, of each key the last. Raises DataError if the file can't be read."""
        with self._lock:
            self._catch_up()
            return list(self._kept.values())

    def find(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under a key, or None. Raises DataError if the file can't be read."""
        with self._lock:
            if key not in self._kept:
                self._catch_up()
            return self._kept.get(key)

    def append(self, key: str, kept: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Keep an answer under a key; `about` is for readers of the file. Raises DataError if it can't be written."""
        line = json.dumps({"key": key, **(about or {}), "kept": dict(kept)}).encode() + b"\n"
        with self._lock:
            try:
                with locked(self.path), self.path.open("a+b") as file:
                    if file.seek(0, 2):
                        file.seek(-1, 2)
                        if file.read(1) != b"\n":  # a kill cut the last line short
                            line = b"\n" + line
                    file.write(line)
            except OSError as error:
                raise DataError(f"{self.path}: an answer can't be kept ({error})") from None
            self._kept[key] = dict(kept)

    def _catch_up(self) -> None:
        """Read the lines that were added since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                found = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{self.path}: the kept answers can't be read ({error})") from None
        whole = found.rfind(b"\n") + 1  # what follows may be half a line, of which the rest is still to come
        self._read_to += whole
        for line in found.split(b"\n"):
            if (entry := _read_line(line)) is not None:
                self._kept[entry[0]] = entry[1]


def _read_line(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return a line's key and what it keeps, or None for what a kill left of one."""
    try:
        found = json.loads(line)
        key, kept = found["key"], found["kept"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, kept) if isinstance(key, str) and isinstance(kept, dict) else None


def make_answer_key(identity: Mapping[str, Any], question: Question, what: str = "answer") -> str:
    """Return the key of the answer to a question: a digest of all that decides it.

    That is the model's identity, the turns with the pixels of their images, the question's id and limits, and `what`
    is asked for. Raises DataError if an image can't be read.
    """
    decides = {
        "identity": dict(identity), "turns": render_question(question), "id": question.id, "what": what,
        "max_tokens": question.max_tokens, "stop": question.stop, "choices": question.choices,
    }  # fmt: skip
    return hashlib.sha256(canonical_json(decides).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def answer_through_log(
    log: AnswerLog,
    replay: Replay,
    identity: Mapping[str, Any],
    questions: Sequence[Question],
    ask: Callable[[Sequence[Question], Keep], object],
) -> list[ModelAnswer]:
    """Return the kept answers, and the model's to the other questions, in the order of the questions.

    `ask` gets the questions without an answer, sorted so that those with the same beginning follow each other
    (servers keep what they computed of it), and a function to call at once with an answer's index and the answer.
    Questions that are equal, ids included, are asked once. An answer that failed is asked for again, unless replay
    is "only". Raises Unavailable, naming a question, if one has no answer then, and whatever `ask` raises.
    """
    keys = [make_answer_key(identity, question) for question in questions]
    answers: dict[str, ModelAnswer] = {}
    for key in keys:
        found = read_kept_answer(log, key) if replay != "off" and key not in answers else None
        if found is not None and (replay == "only" or found.status != "failed"):
            answers[key] = found
    missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in answers}
    if missing and replay == "only":
        raise Unavailable(
            f"{log.path}: no kept answer to {len(missing)} of {len(questions)} questions, the first "
            f"'{next(iter(missing.values())).id}', and replay is 'only'"
        )
    if missing:
        begins = {key: render_question(question) for key, question in missing.items()}
        order = sorted(missing, key=begins.__getitem__)

        def keep(index: int, answer: ModelAnswer) -> None:
            key = order[index]
            log.append(key, asdict(answer), {"id": missing[key].id, "question": begins[key]})
            answers[key] = answer

        ask([missing[key] for key in order], keep)
    return [answers[key] for key in keys]


def read_kept_answer(log: AnswerLog, key: str) -> ModelAnswer | None:
    """Return the answer that is kept under a key, or None. Raises DataError for a line that is no answer."""
    found = log.find(key)
    try:
        return None if found is None else ModelAnswer(**found)
    except (TypeError, DataError) as error:
        raise DataError(f"{log.path}: what is kept under '{key}' is no answer ({error})") from None
