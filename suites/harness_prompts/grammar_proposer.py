"""A proposer without a language model: prompts evolve in a small grammar of picture descriptions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness_prompts.prompt_search import PLACEHOLDER, ProposalRequest

SLOTS: dict[str, tuple[str, ...]] = {
    "opening": ("", "a", "the", "one", "this is a", "here is a", "there is a", "itap of a", "my"),
    "quality": (
        "", "good", "bad", "clear", "blurry", "bright", "dark", "close-up", "cropped", "low resolution",
        "black and white", "small", "large", "clean", "noisy", "simple", "colourful",
    ),
    "medium": (
        "", "photo", "picture", "image", "sketch", "drawing", "painting", "watercolour", "cartoon",
        "rendering", "snapshot", "chalk drawing", "print", "scan",
    ),
    "link": ("of", "of a", "of the", "of one", "showing a", "with a", "that contains a", "depicting the"),
    "look": ("", "typical", "plain", "striped", "dotted", "colourful", "large", "small", "tilted", "hard to see"),
    "place": (
        "", "in the middle", "on a plain background", "on gravel", "in front of clouds", "on paper",
        "in the scene", "at an angle", "seen up close", "in a natural setting",
    ),
    "kind": ("", "a type of object", "a shape", "a symbol", "an animal", "a thing", "a character", "a sign"),
}  # fmt: skip
"""The choices for each place of `opening quality medium link look <CLASS> place, kind.`"""


@dataclass(frozen=True)
class Genes:
    """One choice for each slot, in the order of `SLOTS`."""

    opening: str = "a"
    quality: str = ""
    medium: str = "photo"
    link: str = "of a"
    look: str = ""
    place: str = ""
    kind: str = ""

    @property
    def prompt(self) -> str:
        """The prompt as text, with `<CLASS>`."""
        before = [self.opening, self.quality, self.medium] if self.medium else []
        link = self.link if self.medium else self.opening
        words = " ".join(w for w in (*before, link, self.look, PLACEHOLDER, self.place) if w)
        return f"{words}, {self.kind}." if self.kind else f"{words}."


class GrammarProposer:
    """Mutates and crosses the best prompts so far; its seed and the history decide the result.

    Only prompts that the grammar made itself become parents. Half of the children cross two parents; in
    every child one slot is redrawn, in three of ten two.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        first = Genes()
        self._genes: dict[str, Genes] = {first.prompt.lower(): first}

    def propose(self, request: ProposalRequest) -> list[str]:
        """Return `request.count` prompts not proposed before, or fewer if no more are found."""
        parents = [g for s in request.history if (g := self._genes.get(s.prompt.lower()))] or [Genes()]
        children: list[str] = []
        for _ in range(50 * request.count):
            if len(children) == request.count:
                break
            child = self._make_child(parents)
            key = child.prompt.lower()
            if key not in self._genes:
                self._genes[key] = child
                children.append(child.prompt)
        return children

    def _make_child(self, parents: list[Genes]) -> Genes:
        weights = np.arange(1, len(parents) + 1, dtype=float)  # the best come last
        a, b = (parents[int(i)] for i in self._random.choice(len(parents), 2, p=weights / weights.sum()))
        child = a
        if self._random.random() < 0.5:
            child = replace(a, **{s: getattr(b, s) for s in SLOTS if self._random.random() < 0.5})
        for _ in range(1 + int(self._random.random() < 0.3)):
            slot = str(self._random.choice(list(SLOTS)))
            child = replace(child, **{slot: str(self._random.choice(SLOTS[slot]))})
        return child
