"""The options of the protocol `caption-choice` and their checks."""

from __future__ import annotations

from typing import Literal

from harness import OptionError

Normalisation = Literal["sum", "token"]


class ChoiceOptions:
    """Checked options of the protocol; `CaptionChoosing` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        split: str | None = None,
        fewest: int = 1,
        prompt: str = "Write a caption for a photo.",
        normalise: Normalisation = "sum",
    ) -> None:
        if fewest < 1:
            raise OptionError(f"caption-choice: fewest must be at least 1, not {fewest}")
        if not prompt.strip():
            raise OptionError("caption-choice: prompt must be a text, such as 'Write a caption for a photo.'")
        self.split, self.fewest, self.prompt, self.normalise = split, fewest, prompt, normalise
