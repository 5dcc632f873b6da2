"""The data set `scene-episodes`: conversations that bind made-up words to drawn scenes, and ask for one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness import DataError, OptionError, derive_seed
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_embedded.answer_split import AnswerSplit, AskedQuestion
    from harness_embedded.speaking_scenes import KnownScenes

_POOL = {"val": 1500, "test": 3000}


class SceneEpisodes:
    """Episodes of fast binding (Frozen, NeurIPS 2021): a few shots of each class under a made-up word, then a query.

    The classes of an episode differ in shape or in colour, and all else varies. Each shot is a user's turn that ends
    with the image, and the word as the assistant's answer; the last turn is the query. Shots stand in random order.
    Episodes of other `shots` have the same classes, words and query, and begin with the same shots of each class.

    Args:
        by: what the words name, "shape" or "colour".
        ways: classes of an episode.
        shots: images of each class before the query; 0 leaves the query alone.
        names: "seen": classes whose images and names `tiny-mllm` learned; "held-out": triangle, arrow and fish, or
            green, pink and grey, which it never saw (what does not decide is of the seen ones).
        count: episodes of a split.
        text: what stands before each image; nothing if empty.
    """

    splits: Sequence[str] = ("val", "test")
    target_kind = "answers"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(
        self,
        by: Literal["shape", "colour"] = "shape",
        ways: int = 2,
        shots: int = 1,
        names: Literal["seen", "held-out"] = "seen",
        count: int = 200,
        text: str = "What is this?",
    ) -> None:
        from harness_embedded.speaking_words import (
            HELD_OUT_COLOURS,
            HELD_OUT_SHAPES,
            SEEN_COLOURS,
            SEEN_SHAPES,
        )

        shapes, colours = (
            (SEEN_SHAPES, SEEN_COLOURS) if names == "seen" else (HELD_OUT_SHAPES, HELD_OUT_COLOURS)
        )
        self._classes = shapes if by == "shape" else colours
        for name, value, least, most in (
            ("ways", ways, 2, len(self._classes)), ("shots", shots, 0, 8), ("count", count, 1, 10_000),
        ):  # fmt: skip
            if not least <= value <= most:
                raise OptionError(f"scene-episodes: {name} must be from {least} to {most} here, not {value}")
        self.by, self.ways, self.shots, self.names, self.count, self.text = (
            by,
            ways,
            shots,
            names,
            count,
            text,
        )

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the episodes."""
        from harness_embedded.speaking_scenes import RECIPE

        return f"{RECIPE}+scene-episodes-1"

    def load(self, split: str) -> AnswerSplit:
        """Draw the scenes, or read them from the cache, and compose the episodes.

        Raises:
            DataError: there is no such split.
        """
        from harness_embedded.answer_split import AnswerSplit
        from harness_embedded.speaking_scenes import load_known_scenes

        if split not in self.splits:
            raise DataError(f"scene-episodes has no split '{split}'{did_you_mean(split, self.splits)}")
        scenes = load_known_scenes(f"episodes-{split}", _POOL[split])
        pools = self._find_classes(scenes)
        return AnswerSplit([self._compose(scenes, pools, split, n) for n in range(self.count)])

    def _find_classes(self, scenes: KnownScenes) -> list[NDArray[np.int64]]:
        """Return the scenes of each class; of the other attribute they have seen values only."""
        from harness_embedded.sampling import COLOURS
        from harness_embedded.shapes import CLASSES
        from harness_embedded.speaking_words import SEEN_COLOURS, SEEN_SHAPES

        shapes, colours = np.array(CLASSES)[scenes.first], np.array(list(COLOURS))[scenes.colour]
        decides, other, seen = (
            (shapes, colours, SEEN_COLOURS) if self.by == "shape" else (colours, shapes, SEEN_SHAPES)
        )
        usual = np.isin(other, seen)
        return [np.flatnonzero((decides == name) & usual) for name in self._classes]

    def _compose(
        self, scenes: KnownScenes, pools: list[NDArray[np.int64]], split: str, number: int
    ) -> AskedQuestion:
        from harness_embedded.answer_split import AskedQuestion
        from harness_embedded.speaking_scenes import RECIPE
        from harness_embedded.speaking_words import MADE_UP_WORDS
        from harness_language.conversations import ImagePart, Turn

        name = f"{split}-{self.by}-{self.names}-{self.ways}"
        rng = np.random.default_rng(derive_seed(RECIPE, "episode", name, number))
        classes = rng.choice(len(pools), self.ways, replace=False)
        words = [str(word) for word in rng.choice(MADE_UP_WORDS, self.ways, replace=False)]
        asked = int(rng.integers(self.ways))
        rows = [rng.permutation(pools[k]) for k in classes]  # the first of a class is for the query
        shots = [(way, int(rows[way][1 + n])) for way in range(self.ways) for n in range(self.shots)]
        order = np.random.default_rng(derive_seed(RECIPE, "order", name, number, self.shots)).permutation(
            len(shots)
        )

        def show(row: int) -> Turn:
            text = (self.text,) if self.text else ()
            return Turn("user", (*text, ImagePart(scenes.images[row])))

        turns: list[Turn] = []
        for way, row in (shots[k] for k in order):
            turns += [show(row), Turn("assistant", (words[way],))]
        turns.append(show(int(rows[asked][0])))
        identity = f"episode-{name}/{number:05d}"
        return AskedQuestion(identity, identity, self.by, tuple(turns), words[asked], tuple(words))
