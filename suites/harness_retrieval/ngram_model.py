"""The model `ngram-plausibility`: how usual a caption's words are one after the other, without any image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness import DataError, Dataset, OptionError, Unavailable
from harness.contract.declared import ask
from harness.contract.targets import target_kind
from harness.inference.splits import find_named_split, training_split
from harness_retrieval.text_contracts import JudgesTexts

if TYPE_CHECKING:
    import torch

    from harness_retrieval.kneser_ney import TrigramModel


class NgramPlausibility(JudgesTexts):
    """A trigram model of words, with interpolated Kneser-Ney smoothing, of a data set's captions.

    It sees no image: what it gets right, the wrong captions of a data set give away by their words alone. Words are
    lower-cased, signs of punctuation count as words, and so does the end of a caption.

    Args:
        corpus: a data set with captions.
        split: the split whose captions are counted; by default the one for training.
        normalise: the log-likelihood of the whole caption (`sum`), which is lower for longer ones, or per `token`.
    """

    sees_images = False

    def __init__(
        self, corpus: Dataset, split: str | None = None, normalise: Literal["sum", "token"] = "sum"
    ) -> None:
        """Store the options. Raises OptionError for a corpus without captions."""
        if (kind := target_kind(corpus)) != "captions":
            raise OptionError(
                f"ngram-plausibility: corpus needs captions, the data set has the targets '{kind}'"
            )
        self.corpus, self.split, self.normalise = corpus, split, normalise
        self._counted: TrigramModel | None = None

    def unavailable(self) -> str | None:
        """Return why the corpus can't be used here, or that it has no such split, or None."""
        own = ask(self.corpus, "unavailable")
        if problem := own() if own else None:
            return str(problem)
        if self._find_split() is None:
            there = ", ".join(self.corpus.splits)
            wanted = "for training" if self.split is None else f"'{self.split}'"
            return f"ngram-plausibility: the corpus has no split {wanted}, only {there}: set split"
        return None

    def fingerprint(self) -> str:
        """Return the version of the counting; the corpus has a fingerprint of its own."""
        return "ngram-plausibility-1"

    @property
    def remarks(self) -> list[str]:
        """After `load`, how much was counted."""
        if (counted := self._counted) is None:
            return []
        return [f"n-grams of {counted.texts} captions with {counted.words} words"]

    def load(self, device: torch.device) -> None:
        """Count the n-grams, on the CPU. Raises Unavailable without a corpus, DataError for one without words."""
        from harness_retrieval.kneser_ney import TrigramModel

        if problem := self.unavailable():
            raise Unavailable(problem)
        split = self._find_split()
        assert split is not None
        targets = self.corpus.load(split).targets
        self._counted = TrigramModel(text for captions in targets for text in captions)

    def plausibility(self, texts: Sequence[str]) -> list[float]:
        """Return the log-likelihood in nats of each text. Raises DataError for one without a word."""
        if self._counted is None:
            raise RuntimeError("ngram-plausibility: `load` was not called")
        if (empty := next((text for text in texts if not text.strip()), None)) is not None:
            raise DataError(f"ngram-plausibility: a text is {empty!r}, which has no words")
        scored = self._counted.score_texts(texts)
        return [total if self.normalise == "sum" else total / count for total, count in scored]

    def _find_split(self) -> str | None:
        splits = self.corpus.splits
        return training_split(splits) if self.split is None else find_named_split(splits, self.split)
