"""The options of the protocol `judging` and their checks."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from harness import OptionError
from harness_mllm.answering_options import AnsweringOptions, Shown

HowJudged = Literal["compare", "rubric", "claims"]

PLANTED = "A purple elephant in a top hat stands in the middle of the picture."
"""What the canaries add to an answer by default: false of any usual image."""


class ConversingModel:
    """A model that an option names, to judge answers or to give others."""

    plugin_kind: ClassVar = "models"


class JudgingOptions:
    """Checked options of the protocol; `JudgingProtocol` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        judge: ConversingModel,
        how: HowJudged = "compare",
        opponent: ConversingModel | None = None,
        criteria: list[str] | None = None,
        scale: int = 5,
        guidance: str = "",
        show_images: bool = True,
        show_reference: bool = False,
        canaries: int = 16,
        planted: str = PLANTED,
        verdict_tokens: int = 256,
        prompt: str = "{question}",
        show: Shown = "none",
        max_tokens: int = 256,
        system: str | None = None,
        question: str = "Describe the image.",
        split: str | None = None,
        at_once: int = 256,
    ) -> None:
        criteria = list(criteria or ())
        if how == "rubric" and not criteria:
            raise OptionError(
                "judging: how = 'rubric' needs criteria, a list such as ['true: all it says is true']"
            )
        if how != "rubric" and criteria:
            raise OptionError(f"judging: criteria are of how = 'rubric', and how is '{how}'")
        names = [name_criterion(text) for text in criteria]
        if not all(names) or len(set(names)) < len(names):
            raise OptionError("judging: each criterion needs a name of its own before its colon")
        if how != "compare" and opponent is not None:
            raise OptionError(f"judging: an opponent is of how = 'compare', and how is '{how}'")
        if show_reference and (how == "claims" or (how == "compare" and opponent is None)):
            other = (
                "is what the answer is compared with" if how == "compare" else "does not decide about claims"
            )
            raise OptionError(f"judging: the reference {other}, so that it can't be shown")
        if how == "claims" and not show_images:
            raise OptionError("judging: claims are compared with the images: show_images must be true")
        if scale < 2:
            raise OptionError(f"judging: scale is {scale}, the best mark; expected at least 2")
        if canaries < 0:
            raise OptionError(f"judging: canaries is {canaries}, expected at least 0")
        if verdict_tokens < 1:
            raise OptionError(f"judging: verdict_tokens is {verdict_tokens}, expected at least 1")
        if not planted.strip():
            raise OptionError("judging: planted is empty; it is a false claim for the canaries")
        self.asking = AnsweringOptions(
            prompts=[prompt], show=show, max_tokens=max_tokens, system=system, question=question, split=split,
            at_once=at_once,
        )  # fmt: skip
        self.judge: Any = judge
        self.opponent: Any = opponent
        self.how, self.criteria, self.scale, self.guidance = how, criteria, scale, guidance.strip()
        self.show_images, self.show_reference = show_images, show_reference
        self.canaries, self.planted, self.verdict_tokens = canaries, planted.strip(), verdict_tokens
        self.split, self.at_once = split, at_once


def name_criterion(text: str) -> str:
    """Return the name of a criterion, what stands before its colon (or all of it)."""
    return text.partition(":")[0].strip()
