"""The data set `colour-words`: names of colours in ink of another colour (the conflict of Stroop, 1935)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.answer_split import AnswerSplit


class ColourWords:
    """Drawn names of eight colours, 32×32 pixels; two questions about each: the word, and the colour of its ink.

    `groups` holds the image, and `answer_types` which of the two is asked; `conflicting` holds the answer to the other
    question, so that one can count how often the word is given for the ink.

    Args:
        ask: "both" questions about each image, or only that for the "word" or the "ink".
        congruent: share of images whose ink has the colour that the word names.
        count: images of a split.
    """

    splits: Sequence[str] = ("val", "test")
    target_kind = "answers"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(
        self, ask: Literal["both", "word", "ink"] = "both", congruent: float = 0.0, count: int = 200
    ) -> None:
        if not 0 <= congruent <= 1:
            raise OptionError(f"colour-words: congruent must be from 0 to 1, not {congruent}")
        if not 1 <= count <= 10_000:
            raise OptionError(f"colour-words: count must be from 1 to 10000, not {count}")
        self.ask, self.congruent, self.count = ask, congruent, count

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the questions."""
        from harness_embedded.speaking_scenes import RECIPE

        return f"{RECIPE}+colour-words-1"

    def load(self, split: str) -> AnswerSplit:
        """Draw the words and ask about them.

        Raises:
            DataError: there is no such split.
        """
        from harness_embedded.answer_split import AnswerSplit, AskedQuestion, ask_about
        from harness_embedded.speaking_scenes import load_colour_words
        from harness_embedded.speaking_words import SEEN_COLOURS

        if split not in self.splits:
            raise DataError(f"colour-words has no split '{split}'{did_you_mean(split, self.splits)}")
        drawn = load_colour_words(split, self.count, self.congruent)
        asked, conflicting = [], []
        for n, image in enumerate(drawn.images):
            word, ink = SEEN_COLOURS[drawn.first[n]], SEEN_COLOURS[drawn.colour[n]]
            group = f"word-{split}-{n:05d}"
            for kind, text, answer, other in (
                ("word", "What word is written?", word, ink),
                ("ink", "What colour is the ink?", ink, word),
            ):
                if self.ask in (kind, "both"):
                    turns = ask_about([image], text)
                    asked.append(AskedQuestion(f"{group}/{kind}", group, kind, turns, answer, SEEN_COLOURS))
                    conflicting.append(other)
        return AnswerSplit(asked, conflicting=conflicting)
