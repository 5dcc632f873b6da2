"""A trigram model of words with interpolated Kneser-Ney smoothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
USUAL_DISCOUNT = 0.75
"""Where no n-gram is there exactly once or twice, so that none can be estimated."""

START, END, UNKNOWN = 0, 1, 2


def split_caption(text: str) -> list[str]:
    """Return the words and the signs of a text, in lower case."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class SmoothedLevel:
    """Counts of n-grams of one length, as sorted keys, and of their contexts; a discount is taken off every count."""

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    contexts: NDArray[np.int64]
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]
    """How many different words follow each context."""
    discount: float

    @classmethod
    def build(cls, keys: NDArray[np.int64], counts: NDArray[np.int64], words: int) -> SmoothedLevel:
        """Return the level of n-grams whose keys are context × words + word."""
        contexts, inverse = np.unique(keys // words, return_inverse=True)
        totals = np.zeros(len(contexts), np.int64)
        np.add.at(totals, inverse, counts)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else USUAL_DISCOUNT
        return cls(keys, counts, contexts, totals, np.bincount(inverse, minlength=len(contexts)), discount)

    def interpolate(
        self, contexts: NDArray[np.int64], keys: NDArray[np.int64], lower: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return probabilities of words after contexts, from those of the next shorter contexts; N each."""
        at, known = _find(self.contexts, contexts)
        place, seen = _find(self.keys, keys)
        own = np.where(seen, np.maximum(self.counts[place] - self.discount, 0), 0)
        rest = self.discount * self.kinds[at] * lower
        return np.where(known, (own + rest) / self.totals[at], lower)


class TrigramModel:
    """Word trigrams of a corpus with interpolated Kneser-Ney smoothing and one discount per length.

    Shorter n-grams count in how many contexts they occur, not how often; single words are interpolated with the uniform
    distribution over all words, the end of a text, and the unknown word. Each discount is n₁/(n₁+2n₂) of the n-grams
    there once and twice. Sources: Ney, Essen and Kneser 1994; Chen and Goodman, "An empirical study of smoothing
    techniques for language modeling", 1999.

    Raises DataError for a corpus without a word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._place = {"": START, " ": END, "  ": UNKNOWN}  # which no word can be
        found: list[int] = []
        self.texts = 0
        for text in texts:
            found += (START, START)
            found += [self._place.setdefault(word, len(self._place)) for word in split_caption(text)]
            found.append(END)
            self.texts += 1
        tokens = np.array(found, np.int64)
        self.words = int((tokens > UNKNOWN).sum())
        if not self.words:
            raise DataError("n-grams: the corpus holds no word")
        self._size = size = len(self._place)
        contexts, last = _list_trigrams(tokens, size)
        keys, counts = np.unique(contexts * size + last, return_counts=True)
        pairs, kinds = np.unique(keys % size**2, return_counts=True)
        singles, more = np.unique(pairs % size, return_counts=True)
        levels = ((singles, more), (pairs, kinds), (keys, counts))
        self._levels = [SmoothedLevel.build(own, number, size) for own, number in levels]

    @property
    def vocabulary(self) -> list[str]:
        """The different words, in the order of the corpus."""
        return list(self._place)[UNKNOWN + 1 :]

    def find_probability(self, before: Sequence[str], word: str | None) -> float:
        """Return the probability of a word, or of the end (None), after the last two words of a text's beginning."""
        ids = [START, START, *(self._place.get(one, UNKNOWN) for one in before)][-2:]
        last = END if word is None else self._place.get(word, UNKNOWN)
        return float(self._find_probabilities(np.array([ids[0] * self._size + ids[1]]), np.array([last]))[0])

    def score_texts(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Return the log-probability in nats of each whole text with its end, and its number of tokens with the end."""
        found: list[int] = []
        starts: list[int] = []
        for text in texts:
            starts.append(len(found) - 2 * len(starts))  # without the starts of texts, which have no number
            found += (START, START, *(self._place.get(word, UNKNOWN) for word in split_caption(text)), END)
        contexts, last = _list_trigrams(np.array(found, np.int64), self._size)
        logs = np.log(self._find_probabilities(contexts, last))
        totals = np.add.reduceat(logs, starts) if starts else logs
        return list(zip(totals.tolist(), np.diff([*starts, len(logs)]).tolist(), strict=True))

    def _find_probabilities(
        self, contexts: NDArray[np.int64], last: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        size = self._size
        chances = np.full(len(last), 1 / (size - 1))  # no word is the start
        for level, shorter in zip(
            self._levels, (np.zeros_like(contexts), contexts % size, contexts), strict=True
        ):
            chances = level.interpolate(shorter, shorter * size + last, chances)
        return chances


def _list_trigrams(tokens: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each token but the starts the two before it, as one number, and itself."""
    last = tokens[2:]
    kept = last != START
    return (tokens[:-2] * size + tokens[1:-1])[kept], last[kept]


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where sorted keys hold the wanted ones (anywhere if they don't), and whether they do."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted
