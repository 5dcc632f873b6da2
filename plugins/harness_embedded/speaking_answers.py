"""Answers of a `SpeakingNetwork` to prompts: greedy ones, and likelihoods, from caches of keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness_embedded.speaking_network import CONTEXT, FEATURES, Cache, SpeakingNetwork
from harness_embedded.speaking_prompts import Place, Prompt, batch_prompts
from harness_embedded.speaking_words import END, PAD
from harness_language.contracts import ContinuationScore

if TYPE_CHECKING:
    from harness_embedded.speaking_prompts import SharedBatch

SCORED_AT_ONCE = 256
"""Most continuations of a batch."""


@dataclass
class WrittenAnswer:
    """The tokens of an answer so far, and whether it has ended by itself."""

    tokens: list[int] = field(default_factory=list)
    ended: bool = False


Choose = Callable[[int, list[int], Tensor], tuple[int, bool]]
"""(prompt's number, tokens so far, logits) to the next token, and whether the answer ends with it."""


class Reader:
    """Reads prompts with a network; `features` N×64 belong to the images that the prompts number."""

    def __init__(self, network: SpeakingNetwork, features: Tensor) -> None:
        self.network = network
        none = torch.zeros(1, FEATURES, device=features.device)
        self._features = torch.cat([features, none])  # −1 is no image

    def read_batch(self, prompts: Sequence[Prompt], batch: SharedBatch) -> tuple[Tensor, Cache]:
        """Return the logits B×words after each prompt of a batch, and the cache of all its tokens.

        What the prompts share is read once.
        """
        cache = None
        if batch.shared:
            _, cache = self._read([prompts[batch.rows[0]].places[: batch.shared]], [0])
            cache = cache.take(torch.zeros(len(batch.rows), dtype=torch.long, device=self._features.device))
        rest = [prompts[n].places[batch.shared :] for n in batch.rows]
        states, cache = self._read(rest, [batch.shared] * len(rest), cache)
        last = torch.tensor([len(places) - 1 for places in rest], device=states.device)
        return self.network.read_out(states[torch.arange(len(rest), device=states.device), last]), cache

    def _read(
        self, rows: Sequence[Sequence[Place]], starts: Sequence[int], cache: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """Return the states B×T×width of rows of tokens, padded on the right, that begin at these positions."""
        device = self._features.device
        longest = max(len(places) for places in rows)
        padded = [[*places, *[Place(PAD, -1, -1)] * (longest - len(places))] for places in rows]
        ids, own, held = torch.tensor(padded, device=device).unbind(-1)
        lengths = torch.tensor([len(places) for places in rows], device=device)
        at = torch.arange(longest, device=device)
        positions = (torch.tensor(starts, device=device)[:, None] + at).clamp(max=CONTEXT - 1)
        real = at < lengths[:, None]
        states: tuple[Tensor, Cache] = self.network(
            ids, self._features[own], self._features[held], positions, real, cache
        )
        return states

    def answer(self, prompts: Sequence[Prompt], limits: Sequence[int], choose: Choose) -> list[WrittenAnswer]:
        """Return an answer to each prompt, of at most as many tokens as its limit, each of which `choose` chooses."""
        answers = [WrittenAnswer() for _ in prompts]
        for batch in batch_prompts(prompts):
            logits, cache = self.read_batch(prompts, batch)
            rows = batch.rows
            while True:
                for n, row in zip(rows, logits, strict=True):
                    token, answers[n].ended = choose(n, answers[n].tokens, row)
                    answers[n].tokens.append(token)
                on = [
                    k
                    for k, n in enumerate(rows)
                    if not answers[n].ended and len(answers[n].tokens) < limits[n]
                ]
                if not on:
                    break
                if len(on) < len(rows):
                    cache = cache.take(torch.tensor(on, device=logits.device))
                    rows = [rows[k] for k in on]
                new = [
                    [self._place_answer(prompts[n], answers[n].tokens[-1], len(answers[n].tokens) - 1)]
                    for n in rows
                ]
                starts = [len(prompts[n]) + len(answers[n].tokens) - 1 for n in rows]
                states, cache = self._read(new, starts, cache)
                logits = self.network.read_out(states[:, -1])
        return answers

    def _place_answer(self, prompt: Prompt, token: int, number: int) -> Place:
        """Return an answer's token, the `number`-th of it, with the image that it carries."""
        carries = self.network.carry == "all" or number == 0
        return Place(token, -1, prompt.last_image if carries else -1)

    def score(
        self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[ContinuationScore]]:
        """Return the score of each continuation (at least one token) of each prompt; the prompt is read once."""
        found: list[list[ContinuationScore]] = [[] for _ in prompts]
        for batch in batch_prompts(prompts):
            logits, cache = self.read_batch(prompts, batch)
            pairs = [(k, tokens) for k, n in enumerate(batch.rows) for tokens in continuations[n]]
            for at in range(0, len(pairs), SCORED_AT_ONCE):
                some = pairs[at : at + SCORED_AT_ONCE]
                scores = self._score_pairs([prompts[n] for n in batch.rows], some, logits, cache)
                for (k, _), score in zip(some, scores, strict=True):
                    found[batch.rows[k]].append(score)
        return found

    def _score_pairs(
        self,
        prompts: Sequence[Prompt],
        pairs: Sequence[tuple[int, Sequence[int]]],
        first: Tensor,
        cache: Cache,
    ) -> list[ContinuationScore]:
        owners = torch.tensor([k for k, _ in pairs], device=first.device)
        logits = first[owners][:, None]
        if any(len(tokens) > 1 for _, tokens in pairs):
            rows = [
                [self._place_answer(prompts[k], token, n) for n, token in enumerate(tokens[:-1])]
                or [Place(END, -1, -1)]
                for k, tokens in pairs
            ]
            starts = [len(prompts[k]) for k, _ in pairs]
            states, _ = self._read(rows, starts, cache.take(owners))
            logits = torch.cat([logits, self.network.read_out(states)], dim=1)
        chances = logits.log_softmax(-1)
        likeliest = logits.argmax(-1)
        scores = []
        for n, (_, tokens) in enumerate(pairs):
            at, ids = range(len(tokens)), torch.tensor(tokens, device=first.device)
            total = float(chances[n, at, ids].double().sum())
            scores.append(ContinuationScore(total, len(tokens), bool((likeliest[n, at] == ids).all())))
        return scores
