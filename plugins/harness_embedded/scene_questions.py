"""The data set `scene-questions`: several questions about each drawn scene, and about pairs of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness import DataError, OptionError, derive_seed
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.answer_split import AnswerSplit, AskedQuestion
    from harness_embedded.speaking_scenes import KnownScenes

KINDS = ("shape", "colour", "existence", "first", "second")

_POOL = {"train": 3000, "val": 1500, "test": 3000}
"""Scenes that each split draws from."""

_YES_NO = ("yes", "no")


class SceneQuestions:
    """Drawn scenes of 32×32 pixels with questions in words, for models that answer conversations.

    Each scene has a question about its shape, one about its colour, and two whether something is there, one of which
    is to be answered with yes; and, with another scene behind it, one about the colour of the first and one about that
    of the second, which differ. `groups` holds the scene, and `answer_types` the kind of a question.

    Args:
        kinds: which kinds of question, by default all: of "shape", "colour", "existence", "first" and "second".
        names: "seen": shapes and colours that `tiny-mllm` learned. "all": also those that it never saw.
        count: scenes of a split.
    """

    splits: Sequence[str] = ("train", "val", "test")
    target_kind = "answers"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(
        self,
        kinds: list[str] | None = None,
        names: Literal["seen", "all"] = "seen",
        count: int = 200,
    ) -> None:
        asked = list(KINDS) if kinds is None else kinds
        for kind in asked:
            if kind not in KINDS:
                raise OptionError(f"scene-questions: unknown kind '{kind}'{did_you_mean(kind, KINDS)}")
        if not asked or isinstance(asked, str):
            raise OptionError(f"scene-questions: kinds is a list of at least one of {', '.join(KINDS)}")
        most = min(_POOL.values()) // 3
        if not 1 <= count <= most:
            raise OptionError(f"scene-questions: count must be from 1 to {most}, not {count}")
        self.kinds, self.names, self.count = tuple(asked), names, count

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the questions."""
        from harness_embedded.speaking_scenes import RECIPE

        return f"{RECIPE}+scene-questions-1"

    def load(self, split: str) -> AnswerSplit:
        """Draw the scenes, or read them from the cache, and ask about them.

        Raises:
            DataError: there is no such split.
        """
        from harness_embedded.answer_split import AnswerSplit
        from harness_embedded.speaking_scenes import RECIPE, find_named, load_known_scenes

        if split not in self.splits:
            raise DataError(f"scene-questions has no split '{split}'{did_you_mean(split, self.splits)}")
        scenes = load_known_scenes(f"questions-{split}", _POOL[split])
        rng = np.random.default_rng(derive_seed(RECIPE, "questions", split))
        rows = rng.permutation(find_named(scenes, self.names))[: self.count]
        partners = rng.permutation(find_named(scenes, self.names))
        asked: list[AskedQuestion] = []
        for row in rows:
            own = np.random.default_rng(derive_seed(RECIPE, "question", split, int(row)))
            other = next(
                int(p)
                for p in np.roll(partners, own.integers(len(partners)))
                if scenes.colour[p] != scenes.colour[row]
            )
            asked += [
                q for q in self._ask(scenes, split, int(row), other, own) if q.answer_type in self.kinds
            ]
        return AnswerSplit(asked)

    def _ask(
        self, scenes: KnownScenes, split: str, row: int, other: int, rng: np.random.Generator
    ) -> list[AskedQuestion]:
        """Return all questions about one scene, and about it and the one behind it."""
        from harness_embedded.answer_split import AskedQuestion, ask_about
        from harness_embedded.captions import add_article
        from harness_embedded.sampling import COLOURS
        from harness_embedded.shapes import CLASSES
        from harness_embedded.speaking_words import SEEN_COLOURS, SEEN_SHAPES

        shapes, colours = (SEEN_SHAPES, SEEN_COLOURS) if self.names == "seen" else (CLASSES, tuple(COLOURS))
        shape, colour = CLASSES[scenes.first[row]], list(COLOURS)[scenes.colour[row]]
        absent = str(rng.choice([name for name in shapes if name != shape]))
        one, two = scenes.images[row], scenes.images[other]
        second = list(COLOURS)[scenes.colour[other]]
        exists = "Is there {}?"
        told = (
            ("shape", "shape", (one,), "What shape is it?", shape, shapes),
            ("colour", "colour", (one,), "What colour is it?", colour, colours),
            ("present", "existence", (one,), exists.format(add_article(shape)), "yes", _YES_NO),
            ("absent", "existence", (one,), exists.format(add_article(absent)), "no", _YES_NO),
            ("first", "first", (one, two), "What colour is the first?", colour, colours),
            ("second", "second", (one, two), "What colour is the second?", second, colours),
        )
        group = f"scene-{split}-{row:05d}"
        return [
            AskedQuestion(f"{group}/{name}", group, kind, ask_about(images, text), answer, tuple(choices))
            for name, kind, images, text, answer, choices in told
        ]
