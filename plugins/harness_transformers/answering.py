"""Answers of a network of transformers to a batch of prompts: greedy or sampled, with stop texts and limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import derive_seed
from harness_language.conversations import ModelAnswer, Question

if TYPE_CHECKING:
    import torch


def answer_batch(
    network: Any,
    tokenizer: Any,
    inputs: Mapping[str, torch.Tensor],
    questions: Sequence[Question],
    temperature: float = 0.0,
    seed: int = 0,
    choices: Sequence[Sequence[Sequence[int]] | None] | None = None,
) -> list[ModelAnswer]:
    """Return the answers to a batch of prompts, padded on the left.

    An answer ends at the network's end-of-text tokens, before a stop text, or at `max_tokens`: then it is
    "truncated". `tokens_out` counts all new tokens, those of the end and of a stop text included. With a temperature
    above 0, a token is drawn from softmax(logits / temperature) with draws of the question's own, which are the same
    in any batch. `choices` holds the tokens of the only answers allowed to each question, or None for a free answer.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    start = inputs["input_ids"].shape[1]
    ends = _AnswerEnds(tokenizer, start, questions, list_end_tokens(network))
    limits: list[Any] = []
    if any(choices or ()):
        limits.append(_OnlyChoices(choices or (), start, list_end_tokens(network)))
    if temperature:
        limits.append(_OwnDraws(questions, temperature, seed))
    with torch.inference_mode():
        network.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max(question.max_tokens for question in questions),
            logits_processor=LogitsProcessorList(limits),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    counts = inputs["attention_mask"].sum(1).tolist()
    return [
        ModelAnswer(text, "truncated" if cut else "ok", int(asked), said)
        for asked, (text, said, cut) in zip(counts, ends.found, strict=True)
    ]


def list_end_tokens(network: Any) -> frozenset[int]:
    """Return the tokens that end an answer, as the network's generation_config names them."""
    ends = network.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, Collection) else [] if ends is None else [ends])


class _AnswerEnds:
    """A stopping criterion of transformers: which answers of a batch are complete, and what they are."""

    def __init__(
        self, tokenizer: Any, start: int, questions: Sequence[Question], ends: frozenset[int]
    ) -> None:
        self._tokenizer, self._start, self._questions, self._ends = tokenizer, start, questions, ends
        self._done: list[tuple[str, int, bool] | None] = [None] * len(questions)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        new = input_ids[:, self._start :].tolist()
        for row, (question, done) in enumerate(zip(self._questions, self._done, strict=True)):
            if done is None:
                self._done[row] = self._read(new[row], question)
        return torch.tensor([done is not None for done in self._done], device=input_ids.device)

    @property
    def found(self) -> list[tuple[str, int, bool]]:
        """Text, number of tokens, and whether it was cut, of each answer."""
        return [done for done in self._done if done is not None]

    def _read(self, tokens: list[int], question: Question) -> tuple[str, int, bool] | None:
        ended, full = tokens[-1] in self._ends, len(tokens) >= question.max_tokens
        if not (ended or full or question.stop):
            return None
        text = self._decode(tokens[: len(tokens) - ended])
        stops = [place for stop in question.stop if (place := text.find(stop)) >= 0]
        if stops:
            return text[: min(stops)], len(tokens), False
        if ended or full:
            return text, len(tokens), not ended
        return None

    def _decode(self, tokens: list[int]) -> str:
        found: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found


class _OnlyChoices:
    """A logits processor of transformers that leaves each question's choices, and the end after a whole one."""

    def __init__(
        self, choices: Sequence[Sequence[Sequence[int]] | None], start: int, ends: frozenset[int]
    ) -> None:
        self._choices, self._start, self._ends = choices, start, ends

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        left = scores.clone()
        for row, (choices, said) in enumerate(
            zip(self._choices, input_ids[:, self._start :].tolist(), strict=True)
        ):
            begun = [list(choice) for choice in choices or () if list(choice[: len(said)]) == said]
            if begun:  # none has where the answer is free, or complete
                allowed = {choice[len(said)] for choice in begun if len(choice) > len(said)}
                allowed |= self._ends if said in begun else set()
                left[row] = -float("inf")
                left[row, list(allowed)] = scores[row, list(allowed)]
        return left


class _OwnDraws:
    """A logits processor of transformers that makes the likeliest token a sample: Gumbel noise of each question's own."""

    def __init__(self, questions: Sequence[Question], temperature: float, seed: int) -> None:
        import torch

        self._temperature = temperature
        self._generators = [
            torch.Generator().manual_seed(derive_seed("answer", seed, question.id)) for question in questions
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        waits = torch.stack(
            [torch.empty(scores.shape[1]).exponential_(generator=g) for g in self._generators]
        )
        return scores.float() / self._temperature - waits.log().to(scores.device)
