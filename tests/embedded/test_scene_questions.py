"""The drawn data sets with questions: balanced, as their drawings tell, and the same each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness import DataError, OptionError
from harness.inference.split_subsets import SplitSubset
from harness_embedded.colour_words import ColourWords
from harness_embedded.sampling import COLOURS
from harness_embedded.scene_episodes import SceneEpisodes
from harness_embedded.scene_questions import SceneQuestions
from harness_embedded.speaking_words import (
    HELD_OUT_COLOURS,
    HELD_OUT_SHAPES,
    MADE_UP_WORDS,
    SEEN_COLOURS,
    encode_words,
)
from harness_language.conversations import ImagePart


def parts(turns):
    return [part for turn in turns for part in turn.parts]


def nearest_colour(image: np.ndarray, inside: np.ndarray) -> str:
    """The palette's colour that is nearest to the median of some pixels."""
    median = np.median(image[inside], axis=0) / 255
    return min(COLOURS, key=lambda name: np.abs(median - COLOURS[name]).sum())


def test_questions_are_balanced_and_grouped() -> None:
    split = SceneQuestions(count=60).load("test")
    assert len(split) == 60 * 6
    assert len(set(split.groups)) == 60
    yes_no = Counter(
        (answers.references[0], answers.choices[answers.right])
        for answers, kind in zip(split.targets, split.answer_types, strict=True)
        if kind == "existence"
    )
    assert yes_no == {("yes", "yes"): 60, ("no", "no"): 60}
    for n, kind in enumerate(split.answer_types):
        sample = split[n]
        assert sample.target is split.targets[n]
        assert sample.texts == [split.questions[n]]
        assert len(sample.images) == (2 if kind in ("first", "second") else 1)
        assert split.targets[n].references == (split.targets[n].choices[split.targets[n].right],)


def test_first_and_second_differ_and_belong_to_their_images() -> None:
    split = SceneQuestions(kinds=["colour", "first", "second"], count=40).load("val")
    for n in range(0, len(split), 3):
        one, first, second = split.targets[n : n + 3]
        assert one.references == first.references != second.references
        images = [split[k].images for k in (n, n + 1, n + 2)]
        assert images[0][0] is images[1][0] is images[2][0]
        assert images[1][1] is images[2][1]
    assert {answers.references[0] for answers in split.targets} == set(SEEN_COLOURS)


def test_splits_and_names_hold_what_they_say() -> None:
    seen, every = (SceneQuestions(["shape", "colour"], names, 300).load("test") for names in ("seen", "all"))
    told = [{a.references[0] for a in split.targets} for split in (seen, every)]
    assert not told[0] & {*HELD_OUT_SHAPES, *HELD_OUT_COLOURS}
    assert told[1] >= {*HELD_OUT_SHAPES, *HELD_OUT_COLOURS}
    splits = [SceneQuestions(["shape"], count=300).load(name) for name in ("train", "val", "test")]
    pixels = [{split[n].image.tobytes() for n in range(len(split))} for split in splits]
    assert len(set.union(*pixels)) == sum(map(len, pixels))


def test_the_colour_is_what_the_pixels_show() -> None:
    split = SceneQuestions(["colour"], count=200).load("test")
    centre = np.zeros((32, 32), bool)
    centre[14:18, 14:18] = True
    right = [
        nearest_colour(split[n].image, centre) == split.targets[n].references[0] for n in range(len(split))
    ]
    assert np.mean(right) > 0.4  # light, texture and what stands in front change pixels; chance is 1/8


@pytest.mark.parametrize("names", ["seen", "held-out"])
@pytest.mark.parametrize("by", ["shape", "colour"])
def test_episodes_bind_each_word_to_its_class(by, names) -> None:
    data = SceneEpisodes(by, ways=3, shots=2, names=names, count=40)
    split = data.load("test")
    shown = Counter()
    for n, turns in enumerate(split.turns):
        assert [turn.role for turn in turns] == ["user", "assistant"] * 6 + ["user"]
        words = [turn.parts[0] for turn in turns if turn.role == "assistant"]
        answers = split.targets[n]
        assert Counter(words) == dict.fromkeys(answers.choices, 2)
        assert set(answers.choices) <= set(MADE_UP_WORDS)
        images = [part for part in parts(turns) if isinstance(part, ImagePart)]
        assert len({image.digest for image in images}) == 7
        shown[answers.right] += 1
        assert len(split[n].images) == 7
    assert len(shown) == 3


def test_more_shots_are_added_to_the_same_episodes() -> None:
    few, more = (SceneEpisodes(shots=shots, count=10).load("test") for shots in (1, 4))
    none = SceneEpisodes(shots=0, count=10).load("test")
    for n in range(10):
        assert few.targets[n] == more.targets[n] == none.targets[n]
        assert few.turns[n][-1] == more.turns[n][-1] == none.turns[n][-1]
        assert len(none.turns[n]) == 1
        some, all_ = (
            {
                (shot.parts[-1].digest, word.parts[0])
                for shot, word in zip(turns[:-1:2], turns[1::2], strict=True)
            }
            for turns in (few.turns[n], more.turns[n])
        )
        assert some < all_


def test_words_and_inks_differ_as_asked() -> None:
    split = ColourWords(count=48).load("test")
    assert len(split) == 96
    assert Counter(split.answer_types) == {"word": 48, "ink": 48}
    for answers, other in zip(split.targets, split.conflicting, strict=True):
        assert answers.references != (other,)
    mixed = ColourWords("ink", congruent=0.25, count=48).load("test")
    same = [a.references == (other,) for a, other in zip(mixed.targets, mixed.conflicting, strict=True)]
    assert sum(same) == 12


def test_the_ink_is_what_the_pixels_show() -> None:
    split = ColourWords("ink", count=40).load("test")
    for n in range(len(split)):
        image = split[n].image
        ground = np.median(image.reshape(-1, 3), axis=0)
        inked = np.abs(image - ground).max(-1) > 60
        assert nearest_colour(image, inked) == split.targets[n].references[0]


def test_all_their_texts_are_known_to_the_embedded_model() -> None:
    unknown: Counter[str] = Counter()
    for split in (
        SceneQuestions(names="all", count=100).load("test"),
        SceneEpisodes(count=5).load("test"),
        ColourWords(count=5).load("test"),
    ):
        for turns, answers in zip(split.turns, split.targets, strict=True):
            for text in (*parts(turns), *answers.choices):
                if isinstance(text, str):
                    encode_words(text, unknown)
    assert not unknown


@pytest.mark.parametrize(
    "make", [lambda: SceneQuestions(count=5), lambda: SceneEpisodes(count=5), lambda: ColourWords(count=5)]
)
def test_drawn_alike_each_time_and_cut_alike(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make().load("test")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    again = make().load("test")
    assert first.turns == again.turns
    assert first.targets == again.targets
    part = SplitSubset(first, np.array([1, 3]))
    assert part.turns == [first.turns[1], first.turns[3]]
    assert list(part.groups) == [first.groups[1], first.groups[3]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SceneQuestions(kinds=["shapes"]),
        lambda: SceneQuestions(kinds=[]),
        lambda: SceneQuestions(count=0),
        lambda: SceneEpisodes(ways=4, names="held-out"),
        lambda: SceneEpisodes(shots=9),
        lambda: ColourWords(congruent=1.5),
        lambda: ColourWords(count=0),
    ],
)
def test_impossible_options_are_refused(make) -> None:
    with pytest.raises(OptionError):
        make()


@pytest.mark.parametrize("make", [SceneQuestions, SceneEpisodes, ColourWords])
def test_unknown_splits_are_refused(make) -> None:
    with pytest.raises(DataError, match="'tset'"):
        make().load("tset")
