"""The options of the protocol `answering` and their checks."""

from __future__ import annotations

from string import Formatter
from typing import Any, ClassVar, Literal

from harness import OptionError

How = Literal["generate", "likelihood"]
Normalisation = Literal["sum", "token", "byte", "blank"]
Shown = Literal["none", "list", "letters"]
Selection = Literal["random", "similar"]

FIELDS = ("question", "choices")


class ImageEncoder:
    """A model that an option names, for similarities of images."""

    plugin_kind: ClassVar = "models"


class AnsweringOptions:
    """Checked options of the protocol; `AnsweringProtocol` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        how: How = "generate",
        prompts: list[str] | None = None,
        show: Shown = "none",
        restrict: bool = False,
        normalise: Normalisation = "sum",
        circular: bool = False,
        max_tokens: int = 32,
        stop: list[str] | None = None,
        system: str | None = None,
        question: str = "What is this?",
        shots_from: str | None = None,
        selection: Selection = "random",
        embedder: ImageEncoder | None = None,
        split: str | None = None,
        at_once: int = 256,
    ) -> None:
        self.prompts = prompts or ["{question}"]
        for prompt in self.prompts:
            try:
                used = [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
            except ValueError as error:
                raise OptionError(f"answering: the prompt '{prompt}' is no template: {error}") from None
            if unknown := [name for name in used if name not in FIELDS]:
                raise OptionError(
                    f"answering: the prompt '{prompt}' has '{{{unknown[0]}}}'; known: {{question}} and {{choices}}"
                )
            if "question" not in used:
                raise OptionError(f"answering: the prompt '{prompt}' has no {{question}}")
            if show != "none" and "choices" not in used:
                raise OptionError(
                    f"answering: the prompt '{prompt}' has no {{choices}}, which show = '{show}' fills in"
                )
            if show == "none" and "choices" in used:
                raise OptionError(
                    f"answering: the prompt '{prompt}' has {{choices}}, and show = 'none' leaves them out: set "
                    "show = 'letters' or 'list'"
                )
        if len(set(self.prompts)) < len(self.prompts):
            raise OptionError("answering: a prompt is there twice")
        if max_tokens < 1 or at_once < 1:
            raise OptionError("answering: max_tokens and at_once must be at least 1")
        if selection == "similar" and embedder is None:
            raise OptionError(
                "answering: selection = 'similar' needs an embedder, a model that encodes images"
            )
        if circular and show == "none":
            raise OptionError(
                "answering: circular needs choices that are shown: set show = 'letters' or 'list'"
            )
        self.how, self.show, self.restrict, self.normalise = how, show, restrict, normalise
        self.circular, self.max_tokens, self.stop, self.system = (
            circular,
            max_tokens,
            tuple(stop or ()),
            system,
        )
        self.question, self.shots_from, self.selection = question, shots_from, selection
        self.embedder: Any = embedder
        self.split, self.at_once = split, at_once
