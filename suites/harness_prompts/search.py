"""Searching prompts without gradients: propose, refuse, score, remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from harness_language.endpoint import OutOfBudget

PLACEHOLDER = "<CLASS>"


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt with `<CLASS>`, its accuracy and mean cross-entropy on the scoring shots, and when it came."""

    prompt: str
    accuracy: float
    loss: float
    step: int

    @property
    def rank_key(self) -> tuple[float, float]:
        """Better prompts are larger: by accuracy, then by lower loss."""
        return (self.accuracy, -self.loss)


@dataclass
class ProposalRequest:
    """What a proposer may look at: the best prompts so far (worst first), and the classes' names."""

    history: Sequence[ScoredPrompt]
    class_names: Sequence[str]
    count: int
    step: int


@runtime_checkable
class Proposer(Protocol):
    """Where new prompts come from. Raises OutOfBudget when there will be no more."""

    def propose(self, request: ProposalRequest) -> list[str]: ...


@dataclass
class SearchResult:
    """What a search found: the best prompt, the history (best first, capped), and what was refused."""

    best: ScoredPrompt
    history: list[ScoredPrompt]
    best_by_step: list[float]
    scored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    ended: str = "all steps done"

    def notes(self) -> dict[str, Any]:
        """As it stands in a record."""
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
    """One line without quotes around it and without doubled blanks."""
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
    """The best prompt after `steps` rounds of `proposals`; `keep` of the best are remembered.

    `score` gives accuracy and loss of a prompt. A prompt that lost `<CLASS>` (all classes would be
    the same), or that does not fit into the text tower, is refused; a prompt seen before, whatever
    its capitals, is not scored again. Source of the loop: Du et al., IPO, NeurIPS 2024, section 3.
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
