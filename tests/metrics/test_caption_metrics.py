"""CIDEr-D, CHAIR and the coverage of objects against closed forms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import DataError, OptionError, Unavailable
from harness_metrics.answers import Answered
from harness_metrics.caption_metrics import Cider, split_caption
from harness_metrics.mentioned_objects import Chair, ObjectCoverage, find_objects

needs_scorer = pytest.mark.skipif(
    importlib.util.find_spec("pycocoevalcap") is None, reason="pycocoevalcap is not installed"
)
DOGS, CATS = "two brown dogs run across wet sand", "one black cat sleeps under my chair"


def captions(texts: list[str], references: list[list[str]], **columns: Any) -> Answered:
    count = len(texts)
    defaults: dict[str, Any] = {
        "ids": [f"i{i}" for i in range(count)],
        "groups": [f"i{i}" for i in range(count)],
        "prompts": [0] * count,
        "extracted": [text or None for text in texts],
        "outcomes": ["ok" if text else "failed" for text in texts],
        "choices": [[]] * count,
        "right": [None] * count,
    }
    return Answered(**{**defaults, "texts": texts, "references": references, **columns})


@needs_scorer
def test_cider_of_known_captions() -> None:
    assert Cider()(captions([DOGS], [[DOGS]])) == 0  # on a single image no word tells anything
    assert Cider()(captions([DOGS, CATS], [[DOGS], [CATS]])) == pytest.approx(10)
    three = ["brown dogs run", "black cats sleep"]  # n-grams of four words there are none
    assert Cider()(captions(three, [[text] for text in three])) == pytest.approx(7.5)
    other = "green frogs jump over seven old stones"
    assert Cider()(captions([DOGS, CATS], [[DOGS, other], [CATS]])) == pytest.approx((5 + 10) / 2)


@needs_scorer
def test_cider_per_caption_whatever_the_order_and_the_other_prompts() -> None:
    near = "two brown dogs sit on wet sand"
    found = Cider().per_sample(captions([near, "", CATS], [[DOGS], [CATS], [CATS]]))
    assert found[1] == 0  # it failed
    assert 0 < found[0] < found[2]
    again = Cider().per_sample(captions([CATS, near, ""], [[CATS], [DOGS], [CATS]]))
    np.testing.assert_allclose(again, found[[2, 0, 1]])
    twice = captions(
        [DOGS, CATS, "a dog", CATS], [[DOGS], [CATS]] * 2, prompts=[0, 0, 1, 1], ids=["i0", "i1"] * 2
    )
    alone = captions([DOGS, CATS], [[DOGS], [CATS]])
    np.testing.assert_allclose(Cider().per_sample(twice)[:2], Cider().per_sample(alone))


@needs_scorer
def test_cider_without_references() -> None:
    with pytest.raises(DataError, match="sample 'i0' has no reference caption"):
        Cider()(captions([DOGS], [[]]))


def test_cider_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "harness_metrics.caption_metrics.find_spec",
        lambda name: None if name == "pycocoevalcap" else find(name),
    )
    missing = Cider().unavailable()
    assert missing is not None
    assert 'pip install "vision-harness[captions]"' in missing
    with pytest.raises(Unavailable, match="needs pycocoevalcap"):
        Cider()(captions([DOGS], [[DOGS]]))


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("A man, riding a wave.", "a man riding a wave"),
        ("The dog's bowl isn't full!", "the dog 's bowl is n't full"),
        ("black-and-white TV (2.5 inch)", "black-and-white tv 2.5 inch"),
        ("they’re here", "they 're here"),
        ("'tis quoted'", "tis quoted"),
        ("", ""),
    ],
)
def test_captions_are_split_into_words(text: str, split: str) -> None:
    assert split_caption(text) == split


def test_chair_counts_mentions_and_captions() -> None:
    answers = captions(["a cat, a dog and another dog"], [[]], objects=[["cat"]])
    assert Chair(synonyms=["cat", "dog"])(answers) == pytest.approx({"i": 2 / 3, "s": 1})
    pair = captions(["a cat, a dog and another dog", "a cat"], [[], []], objects=[["cat"]] * 2)
    assert Chair(synonyms=["cat", "dog"])(pair) == pytest.approx({"i": 2 / 4, "s": 1 / 2})
    assert Chair(synonyms=["cat", "dog"]).per_sample(pair).tolist() == [1, 0]


def test_chair_takes_what_references_name_and_silence_for_true() -> None:
    metric = Chair(synonyms=["cat, kitten", "dog"])
    assert metric(captions(["a kitten and a dog"], [["a dog"]], objects=[["cat"]])) == {"i": 0, "s": 0}
    mute = captions([""], [[]], objects=[["cat"]])
    assert metric(mute) == {"i": 0, "s": 0}
    assert ObjectCoverage()(mute) == 0


def test_coverage() -> None:
    answers = captions(["two cats", "nothing", "a dog"], [[]] * 3, objects=[["cat", "dog"], [], ["dog"]])
    assert ObjectCoverage()(answers) == pytest.approx((1 / 2 + 1) / 2)


NAMES = {
    "dog": "dog",
    "hot dog": "hot dog",
    "person": "person",
    "man": "person",
    "knife": "knife",
    "bus": "bus",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A hot dog", ["hot dog"]),
        ("Dogs and hot dogs", ["dog", "hot dog"]),
        ("two men with knives on buses", ["person", "knife", "bus"]),
        ("a dogged manager", []),
        ("a man, a man", ["person", "person"]),
    ],
)
def test_objects_in_texts(text: str, found: list[str]) -> None:
    assert find_objects(text, NAMES) == found


def test_objects_that_are_unknown_or_named_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data set does not say which objects"):
        Chair()(captions(["a cat"], [[]]))
    with pytest.raises(
        DataError, match="sample 'i0' shows 'catt', which `synonyms` does not name; did you mean 'cat'"
    ):
        Chair(synonyms=["cat"])(captions(["a cat"], [[]], objects=[["catt"]]))
    with pytest.raises(OptionError, match="has 'puppy' under both dog and pet"):
        Chair(synonyms=["dog, puppy", "pet, puppy"])(captions(["a cat"], [[]], objects=[[]]))
    (tmp_path / "names.txt").write_text("cat, kitten\n\ndog\n")
    answers = captions(["a kitten"], [[]], objects=[["dog"]])
    assert Chair(synonyms=tmp_path / "names.txt")(answers)["s"] == 1
    with pytest.raises(OptionError, match="can't be read as text"):
        Chair(synonyms=tmp_path / "none.txt")(answers)
