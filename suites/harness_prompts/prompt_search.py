"""Gradient-free search for prompts: propose, refuse, score, remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from harness_language.budgets import OutOfBudget

PLACEHOLDER = "<CLASS>"


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt with `<CLASS>`, its accuracy and mean cross-entropy on the scoring shots, and its step."""

    prompt: str
    accuracy: float
    loss: float
    step: int

    @property
    def rank_key(self) -> tuple[float, float]:
        """Sort key, larger for better prompts: by accuracy, then by lower loss."""
        return (self.accuracy, -self.loss)


@dataclass
class ProposalRequest:
    """The input of a proposer: the best prompts so far (worst first), the class names, and how many to propose."""

    history: Sequence[ScoredPrompt]
    class_names: Sequence[str]
    count: int
    step: int


@runtime_checkable
class Proposer(Protocol):
    """A source of new prompts; raises OutOfBudget when it has no more."""

    def propose(self, request: ProposalRequest) -> list[str]: ...


@dataclass
class SearchResult:
    """The result of a search: the best prompt, the history (best first, capped), and counts of refused prompts."""

    best: ScoredPrompt
    history: list[ScoredPrompt]
    best_by_step: list[float]
    scored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    ended: str = "all steps done"

    def notes(self) -> dict[str, Any]:
        """Return the result as notes for a record."""
        return {
            "best_prompt": self.best.prompt,
            "history": [
                {"prompt": s.prompt, "accuracy": s.accuracy, "loss": s.loss, "step": s.step}
                for s in self.history
            ],
            "scored": self.scored,
            "refused": self.refused,
            "ended": self.ended,
        }


def tidy_prompt(prompt: str) -> str:
    """Return the prompt in one line, without surrounding quotes or repeated blanks."""
    return " ".join(prompt.split()).strip("\"'` ")


def search_prompts(
    score: Callable[[str], tuple[float, float]],
    proposer: Proposer,
    class_names: Sequence[str],
    *,
    steps: int,
    proposals: int,
    keep: int,
    seeds: Sequence[str] = ("a photo of a <CLASS>.",),
    fits: Callable[[str], bool] = lambda prompt: True,
    after_step: Callable[[int, ScoredPrompt], None] = lambda step, best: None,
) -> SearchResult:
    """Search for the best prompt in `steps` rounds of `proposals`, remembering the `keep` best.

    `score` returns accuracy and loss of a prompt. Prompts without `<CLASS>` (all classes would be the same)
    or too long for the text tower are refused, and so are prompts seen before, ignoring case. Raises
    ValueError if no seed is accepted. Source of the loop: Du et al., IPO, NeurIPS 2024, section 3.
    """
    seen: set[str] = set()
    history: list[ScoredPrompt] = []
    refused = {"without <CLASS>": 0, "too long": 0, "seen before": 0}
    scored = 0

    def consider(prompts: Sequence[str], step: int) -> None:
        nonlocal history, scored
        for prompt in map(tidy_prompt, prompts):
            if PLACEHOLDER not in prompt:
                refused["without <CLASS>"] += 1
            elif prompt.lower() in seen:
                refused["seen before"] += 1
            elif not fits(prompt):
                refused["too long"] += 1
            else:
                seen.add(prompt.lower())
                history.append(ScoredPrompt(prompt, *score(prompt), step))
                scored += 1
        history = sorted(history, key=lambda s: s.rank_key, reverse=True)[:keep]

    consider(seeds, 0)
    if not history:
        raise ValueError("a search needs at least one initial prompt with <CLASS>")
    curve, ended = [history[0].accuracy], "all steps done"
    for step in range(1, steps + 1):
        try:
            request = ProposalRequest(history[::-1], class_names, proposals, step)
            consider(proposer.propose(request)[:proposals], step)
        except OutOfBudget as spent:
            ended = str(spent)
            break
        curve.append(history[0].accuracy)
        after_step(step, history[0])
    return SearchResult(history[0], history, curve, scored, refused, ended)
