"""The conversations that `tiny-mllm` learns from: episodes that bind made-up words, and questions about scenes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness_embedded.sampling import COLOURS
from harness_embedded.shapes import CLASSES
from harness_embedded.speaking_words import (
    END,
    IMAGE,
    MADE_UP_WORDS,
    SEEN_COLOURS,
    SEEN_SHAPES,
    UNKNOWN,
    encode_word,
    encode_words,
)

WORDINGS = {
    "shape": ("What shape is it?", "What is it?", "What is this?", "Which shape is this?"),
    "colour": ("What colour is it?", "What colour is this?", "Which colour is it?", "What is the colour?"),
    "existence": ("Is there a {}?", "Is it a {}?"),
    "first colour": ("What colour is the first?", "What colour is the first object?"),
    "second colour": ("What colour is the second?", "What colour is the second object?"),
    "word": ("What word is written?", "Which word is it?"),
    "ink": ("What colour is the ink?", "Which colour is the ink?"),
}
"""Ways to put the questions of each kind."""

LENGTH = 36
"""Tokens at which a conversation gets no further image: equal lengths need little padding."""

LEADS = ("What is this?", "What is it?", "Name it:", "This is a")
"""Texts before an image that is to be named."""

_SHAPES = np.array([encode_word(name) for name in CLASSES])
_COLOURS = np.array([encode_word(name) for name in COLOURS])
_INKS = np.array([encode_word(name) for name in SEEN_COLOURS])
_MADE_UP = np.array([encode_word(name) for name in MADE_UP_WORDS])
_YES_NO = [encode_word("no"), encode_word("yes")]


@dataclass
class Conversation:
    """Tokens of a conversation, the numbers of its images in their order, and which tokens are learned."""

    ids: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def show(self, image: int) -> None:
        """Append an image."""
        self.images.append(image)
        self._append(IMAGE, False)

    def say(self, text: str) -> None:
        """Append a text that is not learned."""
        for token in encode_words(text):
            self._append(token, False)

    def answer(self, token: int, learned: bool = True) -> None:
        """Append an answer of one word and the end of the statement."""
        self._append(token, learned)
        self._append(END, True)

    def _append(self, token: int, learned: bool) -> None:
        self.ids.append(token)
        self.learned.append(learned)


class ConversationDraws:
    """Draws conversations about images with seen shapes and colours.

    `shapes` and `colours` N (indices into `CLASSES` and `COLOURS`) belong to the images 0 to N−1; `words` and `inks`
    M (into `SEEN_COLOURS`) to the images N to N+M−1, which show written words.
    """

    def __init__(
        self,
        shapes: NDArray[np.int64],
        colours: NDArray[np.int64],
        words: NDArray[np.int64],
        inks: NDArray[np.int64],
    ) -> None:
        self.shapes, self.colours, self.words, self.inks = shapes, colours, words, inks
        seen_shapes = [CLASSES.index(name) for name in SEEN_SHAPES]
        seen_colours = [list(COLOURS).index(name) for name in SEEN_COLOURS]
        self.seen = np.flatnonzero(np.isin(shapes, seen_shapes) & np.isin(colours, seen_colours))
        self._classes = [
            [self.seen[shapes[self.seen] == value] for value in seen_shapes],
            [self.seen[colours[self.seen] == value] for value in seen_colours],
        ]
        self._seen = (seen_shapes, seen_colours)

    def draw_episode(self, rng: np.random.Generator) -> Conversation:
        """Draw an episode of two to four classes, each with a made-up word; words are learned where they recur."""
        talk = Conversation()
        classes = self._classes[rng.integers(2)]
        ways = int(rng.integers(2, 5))
        chosen = rng.choice(len(classes), ways, replace=False)
        words = rng.choice(_MADE_UP, ways, replace=False)
        said: set[int] = set()
        lead = LEADS[rng.integers(len(LEADS))] if rng.random() < 0.25 else ""
        while len(talk.ids) < LENGTH:
            which = int(rng.integers(ways))
            talk.say(lead)
            talk.show(int(rng.choice(classes[chosen[which]])))
            talk.answer(int(words[which]), which in said)
            said.add(which)
        return talk

    def draw_questions(self, rng: np.random.Generator) -> Conversation:
        """Draw several questions, each about one or two images of its own, with their answers."""
        talk = Conversation()
        fixed = str(rng.choice(_KINDS, p=_HOW_OFTEN)) if rng.random() < 0.5 else ""
        while len(talk.ids) < LENGTH:
            kind = fixed or str(rng.choice(_KINDS, p=_HOW_OFTEN))
            self._ask(talk, kind, rng)
        return talk

    def _ask(self, talk: Conversation, kind: str, rng: np.random.Generator) -> None:
        wording = WORDINGS[kind][rng.integers(len(WORDINGS[kind]))]
        pool = len(self.shapes) + np.arange(len(self.words)) if kind in ("word", "ink") else self.seen
        images = [int(n) for n in rng.choice(pool, 2 if kind in ("first colour", "second colour") else 1)]
        if kind == "existence":
            token, named = self._ask_existence(images[0], rng)
            wording = wording.format(named)
        else:
            token = self._find_answer(kind, images)
        if rng.random() < 0.85:
            for image in images:
                talk.show(image)
            talk.say(wording)
        else:
            talk.say(wording)
            for image in images:
                talk.show(image)
        # an unknown word in place of the last one now and then, so that its token has a meaning
        if rng.random() < 0.1 and talk.ids[-2] != IMAGE:
            talk.ids[-2 if talk.ids[-1] == IMAGE else -1] = UNKNOWN
        talk.answer(token)

    def _find_answer(self, kind: str, images: list[int]) -> int:
        first = images[0] - len(self.shapes)
        if kind == "word":
            return int(_INKS[self.words[first]])
        if kind == "ink":
            return int(_INKS[self.inks[first]])
        if kind == "shape":
            return int(_SHAPES[self.shapes[images[0]]])
        return int(_COLOURS[self.colours[images[kind == "second colour"]]])

    def _ask_existence(self, image: int, rng: np.random.Generator) -> tuple[int, str]:
        about, there = int(rng.integers(2)), int(rng.integers(2))
        names, values = ((CLASSES, self.shapes), (tuple(COLOURS), self.colours))[about]
        value = int(values[image])
        if not there:
            value = int(rng.choice([v for v in self._seen[about] if v != value]))
        return _YES_NO[there], names[value] if about == 0 else f"{names[value]} object"


_KINDS = tuple(WORDINGS)
_HOW_OFTEN = (0.2, 0.14, 0.16, 0.17, 0.15, 0.12, 0.06)
