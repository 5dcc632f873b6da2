"""Trigrams with Kneser-Ney smoothing, against values by hand and the axioms of probability; the model of a corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError, OptionError, has
from harness.testing import ModelConformance
from harness_retrieval.kneser_ney import TrigramModel, split_caption
from harness_retrieval.ngram_model import NgramPlausibility
from harness_retrieval.text_contracts import JudgesTexts

TEXTS = st.lists(st.text("ab c", min_size=1), min_size=1, max_size=8).filter(lambda t: "".join(t).strip())


class Corpus:
    """Captions in memory."""

    target_kind = "captions"

    def __init__(self, *captions: Sequence[str], splits: Sequence[str] = ("train", "test")) -> None:
        self.captions, self.splits = captions, splits

    def load(self, split: str) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(targets=list(self.captions) if split == "train" else [("z z z",)])


def test_words_and_signs() -> None:
    assert split_caption("A dog's well-kept bed, red.") == ["a", "dog's", "well-kept", "bed", ",", "red", "."]


def test_probabilities_by_hand() -> None:
    """Of "a b" and "a c": discounts 2/3 (4 trigrams once, 1 twice), 3/4 (no pair twice), 3/5; five words in all."""
    model = TrigramModel(["a b", "a c"])
    alone = (1 - 3 / 5) / 5 + 3 / 5 * 4 / 5 / 5  # "b" follows one of the five pairs' words
    pair = (1 - 3 / 4) / 2 + 3 / 4 * 2 / 2 * alone
    triple = (1 - 2 / 3) / 2 + 2 / 3 * 2 / 2 * pair
    assert model.find_probability(["a"], "b") == pytest.approx(triple)
    assert model.find_probability(["b", "a"], "b") == pytest.approx(
        pair
    )  # an unseen context: the shorter one
    assert model.find_probability(["c", "c"], "b") == pytest.approx(
        3 / 4 * alone
    )  # what "c" leaves to others
    assert model.find_probability(["a", "zebra"], "b") == pytest.approx(alone)
    assert model.find_probability(["a", "zebra"], "zebra") == pytest.approx(3 / 5 * 4 / 5 / 5)
    scored, tokens = model.score_texts(["a b"])[0]
    parts = [
        model.find_probability(before, word) for before, word in (([], "a"), (["a"], "b"), (["a", "b"], None))
    ]
    assert scored == pytest.approx(sum(map(math.log, parts)))
    assert tokens == 3


@given(TEXTS, st.lists(st.sampled_from("abcz"), max_size=3))
def test_the_words_after_any_context_sum_to_one(texts: list[str], before: list[str]) -> None:
    model = TrigramModel(texts)
    words = [*model.vocabulary, "unseen", None]
    assert sum(model.find_probability(before, word) for word in words) == pytest.approx(1)


@given(TEXTS, TEXTS)
def test_a_text_has_its_number_whatever_stands_beside_it(corpus: list[str], texts: list[str]) -> None:
    model = TrigramModel(corpus)
    assert model.score_texts(texts) == [model.score_texts([text])[0] for text in texts]
    assert model.score_texts(texts) == TrigramModel(corpus[::-1]).score_texts(texts)
    assert all(total < 0 for total, _ in model.score_texts(texts))


def test_what_was_said_is_more_plausible_than_its_words_in_another_order() -> None:
    model = NgramPlausibility(Corpus(["a red circle on a wall", "a blue circle"], ["a red square"]))
    model.load(None)  # type: ignore[arg-type]
    right, odd, short = model.plausibility(["a red circle", "circle a red", "a"])
    assert right > odd
    assert model.remarks == ["n-grams of 3 captions with 12 words"]
    per_token = NgramPlausibility(Corpus(["a red circle"]), normalise="token")
    per_token.load(None)  # type: ignore[arg-type]
    long, single = per_token.plausibility(["a red circle", "square"])
    assert long > single
    assert short < 0
    with pytest.raises(DataError, match="a text is ' ', which has no words"):
        model.plausibility(["a", " "])


def test_what_is_no_corpus_is_refused() -> None:
    class Labels:
        splits = ("train",)

    with pytest.raises(OptionError, match="corpus needs captions, the data set has the targets 'label'"):
        NgramPlausibility(Labels())  # type: ignore[arg-type]
    only = NgramPlausibility(Corpus(["a"], splits=("test",)))
    assert "the corpus has no split for training, only test: set split" in str(only.unavailable())
    assert NgramPlausibility(Corpus(["a"], splits=("test",)), split="test").unavailable() is None
    with pytest.raises(DataError, match="the corpus holds no word"):
        NgramPlausibility(Corpus([" "])).load(None)  # type: ignore[arg-type]
    assert has(NgramPlausibility, JudgesTexts)


class TestConformance(ModelConformance):
    @pytest.fixture
    def model(self) -> Any:
        return NgramPlausibility(Corpus(["a red circle", "a blue square"]))
