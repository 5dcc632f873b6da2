"""The words that `tiny-mllm` knows, and its tokenizer: a token for each word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from harness_embedded.sampling import COLOURS
from harness_embedded.shapes import CLASSES

HELD_OUT_SHAPES = ("triangle", "arrow", "fish")
HELD_OUT_COLOURS = ("green", "pink", "grey")
SEEN_SHAPES = tuple(name for name in CLASSES if name not in HELD_OUT_SHAPES)
SEEN_COLOURS = tuple(name for name in COLOURS if name not in HELD_OUT_COLOURS)
"""Shapes and colours whose names, and whose images, the embedded model learns; it learns nothing of the others."""

MADE_UP_WORDS = (
    "dax", "blick", "fep", "wug", "toma", "zib", "kiki", "bouba", "modi", "gorp", "lorp", "pilk",
    "rab", "tiv", "nop", "sarn", "vek", "yint", "quam", "jeb", "hosk", "cheem", "plaf", "drin",
)  # fmt: skip
"""Words without a meaning, to be bound to images within an episode."""

_OTHER_WORDS = (
    "what", "which", "is", "it", "this", "that", "there", "the", "a", "an", "in", "of", "on", "or", "and", "does",
    "do", "you", "see", "show", "shows", "has", "shape", "colour", "object", "thing", "image", "picture", "first",
    "second", "word", "ink", "written", "yes", "no", "question", "answer", "output", "short", "name", "called", "?",
)  # fmt: skip
_LETTERS = tuple("ABCDEFGH")
_SPELLINGS = {"color": "colour", "gray": "grey", "photo": "picture"}

PAD, IMAGE, UNKNOWN, END = range(4)
"""Tokens that are no words: padding, the place of an image, any unknown word, and the end of a statement."""

WORDS = ("<pad>", "<image>", "<unknown>", ".", *CLASSES, *COLOURS, *MADE_UP_WORDS, *_OTHER_WORDS, *_LETTERS)
"""All tokens' texts, in the order of their ids."""

_IDS = {word: n for n, word in enumerate(WORDS) if n not in (PAD, IMAGE, UNKNOWN)}
_PIECES = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[.?\n]")


def split_words(text: str) -> list[str]:
    """Return a text's words as the vocabulary spells them; "." stands for full stops and ends of lines.

    Case counts only in single capital letters, which name choices. Punctuation but full stops and question marks
    is left out.

    >>> split_words("Question: What color is it?")
    ['question', 'what', 'colour', 'is', 'it', '?']
    """
    found: list[str] = []
    for piece in _PIECES.findall(text):
        lower = piece.lower()
        word = "." if piece == "\n" else piece if piece in _LETTERS else _SPELLINGS.get(lower, lower)
        if word != "." or found[-1:] != ["."]:
            found.append(word)
    return found


def encode_words(text: str, unknown: Counter[str] | None = None) -> list[int]:
    """Return the ids of a text's words; unknown ones are `UNKNOWN`, and counted in `unknown`."""
    ids = []
    for word in split_words(text):
        ids.append(_IDS.get(word, UNKNOWN))
        if unknown is not None and word not in _IDS:
            unknown[word] += 1
    return ids


def decode_words(ids: Iterable[int]) -> str:
    """Return the text of tokens, with blanks between words and none before full stops and question marks."""
    return re.sub(r" (?=[.?])", "", " ".join(WORDS[n] for n in ids))


def encode_word(word: str) -> int:
    """Return the id of one known word. Raises KeyError for others."""
    return _IDS[word]


def describe_unknown(unknown: Counter[str], shown: Sequence[str] = ()) -> str:
    """Return a remark on words that a model does not know: how many, and the most frequent."""
    most = ", ".join(f"'{word}'" for word, _ in unknown.most_common(5))
    more = "" if len(unknown) <= 5 else f" and {len(unknown) - 5} more"
    return (
        f"the model knows {len(WORDS) - 3} words; {unknown.total():,} of those it read are others, each an "
        f"unknown word to it: {most}{more}"
    )
