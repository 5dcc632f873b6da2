"""Choices between captions: one is true of the image, and the other is what its category says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from harness import DataError, OptionError
from harness_embedded.sampling import COLOURS
from harness_embedded.scene_choices import CATEGORIES, SceneChoices, SceneWinoground
from harness_embedded.shapes import CLASSES
from harness_embedded.tiny_models import TinyCLIP
from harness_embedded.worded_scenes import load_worded


def named(caption: str) -> tuple[str, str, str]:
    """The shape, the object's colour and the background's that a caption of the usual form names."""
    *_, colour, shape, _, _, ground, _ = caption.split()
    assert colour in COLOURS
    assert shape in CLASSES
    assert ground in COLOURS
    assert f"{'an' if colour == 'orange' else 'a'} {colour} {shape} on" in caption
    assert f"on {'an' if ground == 'orange' else 'a'} {ground} background" in caption
    return shape, colour, ground


@pytest.fixture(scope="module")
def split():
    return SceneChoices(count=240).load("test")


@pytest.fixture(scope="module")
def scenes():
    return load_worded("choices-test", 240, plain=True)


def test_right_captions_are_true_and_negatives_as_their_category_says(split, scenes) -> None:
    changed = {
        "replace shape": (True, False, False),
        "replace colour": (False, True, False),
        "replace background": (False, False, True),
        "swap": (False, True, True),
    }
    for n, (answers, category) in enumerate(zip(split.targets, split.categories, strict=True)):
        words = scenes.words[n // len(CATEGORIES)]
        truth = (words.shape, words.colour, words.ground)
        assert named(answers.choices[answers.right]) == truth
        negative = answers.choices[1 - answers.right]
        if category == "implausible":
            assert f"{words.shape} {words.colour} on" in negative
            continue
        told = named(negative)
        assert tuple(a != b for a, b in zip(told, truth, strict=True)) == changed[category]
        assert told[1] != told[2]
        assert np.array_equal(split[n].image, scenes.images[n // len(CATEGORIES), 0])


def test_swaps_keep_the_words(split) -> None:
    pairs = SceneWinoground(count=120).load("test")
    kept = [
        Counter(answers.choices[0].split()) == Counter(answers.choices[1].split())
        for source in (split, pairs)
        for answers, category in zip(source.targets, source.categories, strict=True)
        if not category.startswith("replace")
    ]
    assert len(kept) == 2 * 240 + 2 * 120
    assert all(kept)


def test_negatives_are_no_less_plausible_than_captions(split) -> None:
    """Each value is about as frequent in false captions as in true ones, wherever it stands."""
    for category in CATEGORIES[:-1]:
        told = {True: Counter(), False: Counter()}
        for answers, kind in zip(split.targets, split.categories, strict=True):
            if kind == category:
                for k, caption in enumerate(answers.choices):
                    told[k == answers.right].update(enumerate(named(caption)))
        assert all(abs(told[True][key] - told[False][key]) <= 30 for key in told[True] | told[False])
    rights = [answers.right for answers in split.targets]
    assert 0.45 < np.mean(rights) < 0.55


def test_a_choice_does_not_depend_on_the_other_categories(split) -> None:
    some = SceneChoices(["swap", "replace colour"], 240).load("test")
    every = dict(zip(split.ids, split.targets, strict=True))
    assert all(every[name] == target for name, target in zip(some.ids, some.targets, strict=True))
    assert some.categories[:2] == ["swap", "replace colour"]
    assert some.groups[0] == some.groups[1] != some.groups[2]


def test_pairs_share_captions_and_exchange_colours() -> None:
    split = SceneWinoground(count=120).load("test")
    assert len(split) == 240
    assert set(Counter(split.groups).values()) == {2}
    for n in range(0, 240, 2):
        one, two = split.targets[n : n + 2]
        assert split.groups[n] == split.groups[n + 1]
        assert one.choices == two.choices
        assert (one.right, two.right) == (0, 1)
        shape, colour, ground = named(one.choices[0])
        assert named(one.choices[1]) == (shape, ground, colour)


def test_each_image_of_a_pair_shows_its_own_caption() -> None:
    palette = {name: np.array(value) for name, value in COLOURS.items()}
    split = SceneWinoground(count=120).load("test")
    right = []
    for n, answers in enumerate(split.targets):
        image = split[n].image / 255
        border = np.median(np.concatenate([image[:2].reshape(-1, 3), image[-2:].reshape(-1, 3)]), axis=0)
        # surroundings are drawn dull: which of the two colours is nearer?
        _, colour, ground = named(answers.choices[answers.right])
        off = [np.abs(palette[name] * 0.42 + 0.03 - border).sum() for name in (ground, colour)]
        right.append(off[0] < off[1])
    assert np.mean(right) > 0.98


def test_tiny_clip_reads_shapes_and_colours_of_objects_but_not_of_backgrounds(split, scenes) -> None:
    model = TinyCLIP()
    model.load(torch.device("cpu"))
    pixels = torch.from_numpy(scenes.images[:, 0]).permute(0, 3, 1, 2) / 255
    texts = sorted({caption for answers in split.targets for caption in answers.choices})
    with torch.inference_mode():
        images = model.encode_image((pixels - 0.5) / 0.25)
        encoded = model.encode_text(texts)
    scores = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(encoded).T
    won: dict[str, list[bool]] = {category: [] for category in CATEGORIES}
    for n, (answers, category) in enumerate(zip(split.targets, split.categories, strict=True)):
        true, false = (texts.index(answers.choices[k]) for k in (answers.right, 1 - answers.right))
        own = scores[n // len(CATEGORIES)]
        won[category].append(bool(own[true] > own[false]))
    accuracy = {category: np.mean(found) for category, found in won.items()}
    assert accuracy["replace shape"] > 0.85
    assert min(accuracy["replace colour"], accuracy["swap"]) > 0.7
    for category in ("replace background", "implausible"):
        assert 0.35 < accuracy[category] < 0.65


def test_splits_are_disjoint_and_the_same_each_time() -> None:
    for make in (SceneChoices, SceneWinoground):
        train, test, again = (make(count=60).load(name) for name in ("train", "test", "test"))
        assert not set(train.ids) & set(test.ids)
        assert not {train[n].image.tobytes() for n in range(len(train))} & {
            test[n].image.tobytes() for n in range(len(test))
        }
        assert again.targets == test.targets
    assert SceneChoices().fingerprint() != SceneWinoground().fingerprint()


def test_options_and_splits_are_checked() -> None:
    with pytest.raises(OptionError, match="unknown category 'swop'; did you mean 'swap'"):
        SceneChoices(["swop"])
    with pytest.raises(OptionError, match="categories must be a list of at least one of replace shape"):
        SceneChoices([])
    with pytest.raises(OptionError, match="categories must be different"):
        SceneChoices(["swap", "swap"])
    with pytest.raises(OptionError, match="scene-winoground: count must be from 1 to 5000, not 0"):
        SceneWinoground(0)
    with pytest.raises(DataError, match="scene-choices has no split 'val'"):
        SceneChoices().load("val")
    with pytest.raises(DataError, match="scene-winoground has no split 'tset'; did you mean 'test'"):
        SceneWinoground().load("tset")
