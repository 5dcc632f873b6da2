"""Normalisation of short answers by the published rules of the VQA evaluation, and edit distances."""

from __future__ import annotations

import re
from functools import lru_cache

ARTICLES = frozenset(("a", "an", "the"))

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
} | {"none": "0"}

_NEGATED = (
    "are", "ca", "could", "did", "do", "does", "had", "has", "have", "is", "might", "must", "need", "ought", "should",
    "was", "were", "wo", "would",
)  # fmt: skip
_SUBJECTS = {
    "ll": ["it", "that", "there", "these", "they", "what", "who", "you"],
    "re": ["they", "what", "you"],
    "ve": ["could", "i", "might", "must", "should", "they", "we", "what", "who", "would", "you"],
    "d": ["he", "how", "it", "that", "there", "they", "what", "when", "where", "who", "why", "you"],
    "s": ["he", "here", "how", "she", "that", "there", "what", "when", "where", "who", "why"],
    "m": ["i"],
}
_SPECIAL = {"aint": "ain't", "maam": "ma'am", "oclock": "o'clock", "yall": "y'all", "cmon": "c'mon"}


def _list_contractions() -> dict[str, str]:
    """Return contractions without their apostrophe, with it; none that is a word of its own ("its", "were")."""
    found = {f"{stem}nt": f"{stem}n't" for stem in _NEGATED}
    found |= {f"{word}{end}": f"{word}'{end}" for end, words in _SUBJECTS.items() for word in words}
    found |= {f"{bare}ve": f"{full}'ve" for bare, full in found.items() if full.endswith(("n't", "'d"))}
    return found | _SPECIAL


CONTRACTIONS = _list_contractions()

_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_PERIOD = re.compile(r"\.(?!\d)")
_PUNCTUATION = re.compile(r"""[]["(){}<>;/\\=+_@`,?!-]""")


@lru_cache(maxsize=65536)
def normalise_answer(text: str) -> str:
    """Return an answer by the rules of the VQA evaluation.

    Lower case; periods removed, except decimal points; commas inside numbers removed; punctuation replaced by a blank,
    except apostrophes, colons (10:30), and signs that change a meaning ($, %, #, &); number words from none and zero
    to ten as digits; articles removed; missing apostrophes of contractions added. Both sides of a comparison are
    normalised.

    The rules are those of visualqa.org/evaluation. Its program differs in corners: beside a comma inside a number it
    removes punctuation without a blank ("1,000-2,000"), and it knows contractions that no rule gives ("hed've").
    """
    text = _COMMA_IN_NUMBER.sub("", text.lower().replace("’", "'"))
    text = _PUNCTUATION.sub(" ", _PERIOD.sub("", text))
    words = (NUMBER_WORDS.get(word, word) for word in text.split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def edit_distance(a: str, b: str) -> int:
    """Return Levenshtein's distance: the fewest insertions, deletions and replacements of characters."""
    if len(a) < len(b):
        a, b = b, a
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
        before = row
    return before[-1]


def normalised_similarity(a: str, b: str) -> float:
    """Return 1 − edit distance / length of the longer text; 1 for two empty texts."""
    longer = max(len(a), len(b))
    return 1 - edit_distance(a, b) / longer if longer else 1.0
