"""The options of the protocol `text-study` and their checks."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from harness import OptionError
from harness_mllm.study_arms import BASELINES, Supervised

Embedded = Literal["text", "frames"]


class TextOrImageEncoder:
    """A model that an option names, for embeddings of texts or frames."""

    plugin_kind: ClassVar = "models"


class FrameDescriber:
    """A model that an option names, to describe frames."""

    plugin_kind: ClassVar = "models"


class StudyOptions:
    """Checked options of the protocol; `TextStudyProtocol` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        task: str = "Which label fits this item?",
        describe: str = "Describe this frame in one sentence.",
        describer: FrameDescriber | None = None,
        describe_tokens: int = 64,
        embedder: TextOrImageEncoder | None = None,
        embed: Embedded = "text",
        neighbours: int = 8,
        supervised: Supervised = "logistic",
        inverse_penalty: float = 10.0,
        examples: int = 16,
        hypothesis_tokens: int = 256,
        pool: int = 2048,
        max_tokens: int = 16,
        system: str | None = None,
        split: str | None = None,
        at_once: int = 256,
    ) -> None:
        for name, value in (
            ("describe_tokens", describe_tokens), ("neighbours", neighbours), ("examples", examples), ("pool", pool),
            ("hypothesis_tokens", hypothesis_tokens), ("max_tokens", max_tokens), ("at_once", at_once),
        ):  # fmt: skip
            if value < 1:
                raise OptionError(f"text-study: {name} is {value}, expected at least 1")
        if not task.strip() or not describe.strip():
            raise OptionError(
                "text-study: task and describe are what the model is asked; one of them is empty"
            )
        if embed == "frames" and embedder is None:
            raise OptionError("text-study: embed = 'frames' needs an embedder, a model that encodes images")
        if supervised not in BASELINES:
            raise OptionError(f"text-study: supervised is '{supervised}'; known: {', '.join(BASELINES)}")
        if inverse_penalty <= 0:
            raise OptionError(f"text-study: inverse_penalty is {inverse_penalty:g}, expected more than 0")
        self.task, self.describe, self.describe_tokens = task.strip(), describe.strip(), describe_tokens
        self.describer: Any = describer
        self.embedder: Any = embedder
        self.embed, self.neighbours, self.supervised = embed, neighbours, supervised
        self.inverse_penalty, self.examples, self.hypothesis_tokens = (
            inverse_penalty,
            examples,
            hypothesis_tokens,
        )
        self.pool, self.max_tokens, self.system = pool, max_tokens, system
        self.split, self.at_once = split, at_once
