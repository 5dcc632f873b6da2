"""The model plugin `chat-endpoint`: a model behind a server with OpenAI's protocol, asked many questions at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import DataError, OptionError, Unavailable, cache_dir
from harness.contract.cells import canonical_json
from harness_language.answer_log import AnswerLog, Keep, Replay, answer_through_log, make_answer_key
from harness_language.budgets import UNLIMITED, Budget
from harness_language.chat_client import ChatClient, ChatRequest
from harness_language.completions import (
    ImageFormat,
    LimitName,
    Restriction,
    SentParameters,
    TokenChances,
    make_answer,
)
from harness_language.contracts import ContinuationScore
from harness_language.conversations import (
    ModelAnswer,
    Question,
    count_images,
    drop_images,
    require_image_count,
)
from harness_language.first_tokens import fail_likelihood, read_chances, score_first_token
from harness_language.server_connection import ServerConnection, check_server_address, find_server_address

if TYPE_CHECKING:
    import torch

MOST_CHANCES = 20
"""First tokens whose log-probabilities are asked for: the most that OpenAI's servers and vLLM give by default."""


class ChatEndpoint:
    """A vision-language model behind an OpenAI-compatible server: vLLM, Ollama, llama.cpp, or a hosted one.

    Answers are kept as soon as they come, so that an interrupted run asks nothing twice; a question whose answer
    failed is asked again by the next run. Address, key, time-outs, concurrency and budgets decide no answer and are
    no part of a cell's id; the server's own settings do, and `revision` is the place to name them.

    Args:
        model: the model's name at the server.
        address: the server's, such as `http://localhost:8000/v1`; by default $OPENAI_BASE_URL.
        revision: what tells this model from others of its name: commit of the weights, engine and its version.
        key_variable: the environment variable that holds the key; if it is unset, no key is sent.
        temperature: 0 takes the likeliest answer.
        top_p: share of the probability that is sampled from.
        top_k: number of tokens that are sampled from; not sent if unset, since not every server knows it. (vLLM
            then takes it from the model's generation_config; so it does with `repetition_penalty`.)
        repetition_penalty: factor against repetitions, 1 for none; not sent if unset.
        seed: of the sampling.
        restriction: how the server is told a question's choices: `structured-outputs` (vLLM), `guided-choice` (older
            vLLM), `json-schema` (OpenAI, Ollama, llama.cpp), or `none`.
        limit_name: the name that the server has for the limit of new tokens.
        image_format: `original` sends a plain JPEG's own bytes and PNG for all else; `png` sends PNG.
        sees_images: false for a model of texts, which gets the questions without their images.
        max_images: most images of one question.
        likelihood: `first-token` scores continuations of a single token, such as letters, by the log-probabilities
            that the server lists for the first token.
        concurrency: requests under way at once.
        timeout: seconds to wait for a connection and for each part of an answer.
        retries: further tries after a rate limit, a fault of the server, a time-out, a disconnect or an unusable
            answer; each waits twice as long as the previous one, or as long as the server asks.
        give_up_after: questions in a row without an answer after which the run ends, to be continued later.
        calls, tokens, images: budgets of one run; when one is spent, its cell stays unfinished, to be continued.
        log: the folder of kept answers; by default one in the cache.
        replay: `use` kept answers and ask for the others; `only` use kept ones; `off` asks again.
    """

    operational = (
        "address", "key_variable", "concurrency", "timeout", "retries", "give_up_after", "calls", "tokens", "images",
        "log", "replay",
    )  # fmt: skip

    def __init__(
        self,
        model: str,
        address: str | None = None,
        revision: str = "",
        key_variable: str = "OPENAI_API_KEY",
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = 0,
        restriction: Restriction = "none",
        limit_name: LimitName = "max_tokens",
        image_format: ImageFormat = "original",
        sees_images: bool = True,
        max_images: int | None = None,
        likelihood: Literal["none", "first-token"] = "none",
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 7,
        give_up_after: int = 20,
        calls: int | None = None,
        tokens: int | None = None,
        images: int | None = None,
        log: Path | None = None,
        replay: Replay = "use",
    ) -> None:
        at_least: dict[str, tuple[float | None, int]] = {
            "temperature": (temperature, 0), "retries": (retries, 0), "max_images": (max_images, 0), "calls": (calls, 0),
            "tokens": (tokens, 0), "images": (images, 0), "concurrency": (concurrency, 1),
            "give_up_after": (give_up_after, 1),
        }  # fmt: skip
        for name, (value, least) in at_least.items():
            if value is not None and not value >= least:
                raise OptionError(f"chat-endpoint: {name} is {value}, expected at least {least}")
        if not (0 < top_p <= 1 and timeout > 0):
            raise OptionError("chat-endpoint: top_p must lie between 0 and 1, and timeout above 0")
        if not key_variable.isidentifier():
            # the message does not repeat the value, which may be the key itself in the wrong option
            raise OptionError("key_variable must be the name of the environment variable that holds the key")
        if address is not None:
            check_server_address(address)
        self.sent = SentParameters(
            model, temperature, top_p, top_k, repetition_penalty, seed, restriction, limit_name, image_format
        )
        self.model, self.address, self.revision, self.key_variable = model, address, revision, key_variable
        self.sees_images, self.max_images, self.likelihood = sees_images, max_images, likelihood
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries
        self.give_up_after, self.log, self.replay = give_up_after, log, replay
        self.calls, self.tokens, self.images = calls, tokens, images
        self.counts: Counter[str] = Counter()
        self._client: ChatClient | None = None
        self._log: AnswerLog | None = None

    def unavailable(self) -> str | None:
        """Return that the address is missing, or None; the server itself is not asked."""
        try:
            if self.replay != "only":
                find_server_address(self.address)
        except OptionError as error:
            return f"chat-endpoint:{self.model}: {error}"
        return None

    def fingerprint(self) -> str:
        """Return the version of how questions become requests."""
        return "chat-endpoint-1"

    @property
    def lacks(self) -> Mapping[str, str]:
        """The capability that the option `likelihood` takes back."""
        option = "its option likelihood is 'none'; 'first-token' scores continuations of one token"
        return {"scores continuations": option} if self.likelihood == "none" else {}

    @property
    def remarks(self) -> list[str]:
        """What is not known or left out of the questions."""
        found = []
        if not self.revision:
            found.append("the server's model is known by its name alone: its option `revision` is not set")
        if self.sent.temperature > 0 and self.replay != "off":
            found.append(
                "its answers are drawn (temperature above 0) once and kept: cells of several seeds share them; list the "
                "model with several values of its option `seed` instead"
            )
        if not self.sees_images:
            found.append("the model sees no images: they are left out of its questions")
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers; neither address nor key."""
        sent = {name: getattr(self.sent, name) for name in SentParameters.__dataclass_fields__}
        return {**sent, "revision": self.revision, "sees_images": self.sees_images}

    def load(self, device: torch.device) -> None:
        """Open the log of answers, and make the client unless it may not ask; the device is the server's own.

        Raises Unavailable without an address, OptionError for a key that can't be used.
        """
        if missing := self.unavailable():
            raise Unavailable(missing)
        folder = (self.log or cache_dir() / "answers").expanduser()
        name = hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()[:16]
        self._log = AnswerLog(folder / f"{name}.jsonl")
        if self.replay != "only":
            limits = [
                UNLIMITED if limit is None else limit for limit in (self.calls, self.tokens, self.images)
            ]
            self._client = ChatClient(
                ServerConnection(self.address, self.key_variable), self.model, Budget(*limits), self.concurrency,
                self.timeout, self.retries, self.give_up_after,
            )  # fmt: skip

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        """Return the answers in the order of the questions: the kept ones, and the server's.

        Raises DataError, naming the question, for too many images or one that can't be read; OutOfBudget;
        Unavailable if the server can't be reached or refuses, or an answer is missing and replay is "only".
        """
        return answer_through_log(
            self._opened(), self.replay, self.identity, self._prepare(questions), self._ask
        )

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        """Return the score of each continuation of each question, if all are single tokens.

        The log-probability is that of the server's listed first tokens that are the continuation, blanks around it
        aside. One that is not listed is less likely than all that are, and gets minus infinity, counted in `counts`
        as "unlisted". Raises DataError, naming the question, if none is listed or one has several tokens; and what
        `generate` raises.
        """
        asked = self._prepare(questions)
        scored = []
        for question, chances, texts in zip(asked, self._first_tokens(asked), continuations, strict=True):
            scored.append([score_first_token(text, chances, question) for text in texts])
            missing = [score.total == -math.inf for score in scored[-1]]
            if missing and all(missing):
                listed = ", ".join(repr(token) for token, _ in chances)
                raise DataError(
                    f"question '{question.id}': none of the continuations {list(texts)} is among the first tokens that "
                    f"the server lists: {listed}"
                )
            self.counts["unlisted"] += sum(missing)
        return scored

    def _opened(self) -> AnswerLog:
        if self._log is None:
            raise RuntimeError("chat-endpoint: `load` was not called")
        return self._log

    def _prepare(self, questions: Sequence[Question]) -> list[Question]:
        found = [q if self.sees_images else drop_images(q) for q in questions]
        require_image_count(found, self.max_images, f"chat-endpoint:{self.model}")
        return found

    def _ask(self, questions: Sequence[Question], keep: Keep) -> None:
        def request(index: int, question: Question) -> ChatRequest[ModelAnswer]:
            return ChatRequest(
                lambda: json.dumps(self.sent.body(question)).encode(),
                lambda found: make_answer(found, question, self.sent.restriction),
                lambda said, refused: ModelAnswer("", "refused" if refused else "failed", reason=said),
                lambda answer: self._keep(index, answer, keep),
                count_images(question),
            )

        self._ready_client().send_all([request(n, q) for n, q in enumerate(questions)])

    def _keep(self, index: int, answer: ModelAnswer, keep: Keep) -> None:
        keep(index, answer)
        self.counts.update({answer.status: 1, "tokens_in": answer.tokens_in, "tokens_out": answer.tokens_out})

    def _ready_client(self) -> ChatClient:
        if self._client is None:
            raise RuntimeError("chat-endpoint: `load` was not called")
        # what fails before there was any answer may be the server's fault; after one it is the question's
        if not self._client.answered:
            self._client.answered = any(kept.get("status") != "failed" for kept in self._opened().list_kept())
        return self._client

    def _first_tokens(self, questions: Sequence[Question]) -> list[TokenChances]:
        """Return the likeliest first tokens of each question's answer: the kept ones, and the server's."""
        log = self._opened()
        keys = [make_answer_key(self.identity, q, f"first tokens {MOST_CHANCES}") for q in questions]
        kept = {} if self.replay == "off" else {k: found for k in keys if (found := log.find(k)) is not None}
        missing = {k: q for k, q in zip(keys, questions, strict=True) if k not in kept}
        if missing and self.replay == "only":
            first = next(iter(missing.values())).id
            raise Unavailable(f"{log.path}: no kept likelihood of question '{first}', and replay is 'only'")

        def keep(key: str, question: Question, chances: TokenChances) -> None:
            kept[key] = {"first_tokens": [list(pair) for pair in chances]}
            log.append(key, kept[key], {"id": question.id})

        def request(key: str, question: Question) -> ChatRequest[TokenChances]:
            return ChatRequest(
                lambda: json.dumps(self.sent.first_token_body(question, MOST_CHANCES)).encode(),
                read_chances,
                lambda said, _: fail_likelihood(question, said),
                lambda chances: keep(key, question, chances),
                count_images(question),
            )

        if missing:
            self._ready_client().send_all([request(k, q) for k, q in missing.items()])
        return [[(str(token), float(chance)) for token, chance in kept[k]["first_tokens"]] for k in keys]
