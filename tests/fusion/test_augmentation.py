"""Augmentation of pairs: decided by seed, epoch and id alone; each change is what it is called."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.errors import OptionError
from harness_fusion.pair_augmentation import NEGATIONS, PairAugmentation, read_synonyms

NOTHING = {"flip": 0, "crop": 1, "colour": 0, "noise": 0, "replace": 0, "insert": 0, "drop": 0}


def _only(**options):
    return PairAugmentation(**{**NOTHING, **options})


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 36, 3), dtype=np.uint8))


def test_nothing_changes_nothing(image):
    assert np.array_equal(_only().alter_image(image, "a", 0, 0), image)
    assert _only().alter_text("A lovely  day, isn't it?", "a", 0, 0) == "A lovely day, isn't it?"


def test_the_same_seed_epoch_and_id_give_the_same_and_any_other_gives_another(image):
    changes = PairAugmentation(replace=0.5, drop=0.5)
    text = " ".join(["a good friend saw a big house"] * 4)

    def both(identity, epoch, seed):
        seen = np.asarray(changes.alter_image(image, identity, epoch, seed)).tobytes()
        return seen, changes.alter_text(text, identity, epoch, seed)

    assert both("a", 1, 2) == both("a", 1, 2)
    other = [both(*key) for key in (("a", 1, 2), ("b", 1, 2), ("a", 2, 2), ("a", 1, 3))]
    assert len({o[0] for o in other}) == len({o[1] for o in other}) == 4


def test_the_order_of_calls_and_global_randomness_do_not_matter(image):
    changes = PairAugmentation()
    np.random.seed(0)  # noqa: NPY002
    first = np.asarray(changes.alter_image(image, "a", 0, 0))
    np.random.random(5)  # noqa: NPY002
    changes.alter_image(image, "b", 0, 0)
    assert np.array_equal(first, changes.alter_image(image, "a", 0, 0))


def test_a_flip_is_a_flip_and_comes_as_often_as_asked(image):
    assert np.array_equal(_only(flip=1.0).alter_image(image, "a", 0, 0), np.asarray(image)[:, ::-1])
    flipped = sum(
        not np.array_equal(_only(flip=0.5).alter_image(image, str(i), 0, 0), image) for i in range(400)
    )
    assert 150 < flipped < 250  # five standard deviations around 200


def test_a_crop_keeps_the_size_and_shows_a_part(image):
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 60).astype(np.uint8)[None, :, None], (40, 1, 3)))
    for i in range(50):
        seen = _only(crop=0.5).alter_image(ramp, str(i), 0, 0)
        assert seen.size == ramp.size
        row = np.asarray(seen)[20, :, 0].astype(int)
        width = (row[-1] - row[0]) / 255  # the share of the width that is seen
        assert 0.5 * 0.75**0.5 < width <= 1.01


def test_colour_and_noise_have_their_size():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    noisy = np.asarray(_only(noise=0.05).alter_image(grey, "a", 0, 0)).astype(float)
    assert noisy.std() == pytest.approx(255 * 0.05, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=1)
    levels = [np.asarray(_only(colour=0.2).alter_image(grey, str(i), 0, 0)).mean() for i in range(100)]
    assert 128 * 0.79 < min(levels) < 128 * 0.9
    assert 128 * 1.1 < max(levels) < 128 * 1.21


def test_a_tiny_image_survives():
    assert PairAugmentation().alter_image(Image.new("RGB", (1, 1)), "a", 0, 0).size == (1, 1)


def test_synonyms_replace_within_their_group_keeping_case_and_punctuation():
    seen = {_only(replace=1.0).alter_text("“Happy” BAD, cat", str(i), 0, 0) for i in range(60)}
    for text in seen:
        first, second, third = text.split()
        assert first.strip("“”").lower() in read_synonyms()["happy"]
        assert first[1].isupper()
        assert first[0] == "“"
        assert second[-1] == ","
        assert second.isupper()
        assert third == "cat"
    assert {text.split()[0] for text in seen} == {"“Glad”", "“Joyful”"}


def test_insertions_add_synonyms_and_keep_the_order_of_the_rest():
    words = ["a", "good", "cat", "in", "a", "big", "house"]
    added = {*read_synonyms()["good"], *read_synonyms()["big"], *read_synonyms()["house"]}
    for i in range(30):
        seen = _only(insert=1.0).alter_text(" ".join(words), str(i), 0, 0).split()
        assert len(seen) == len(words) + 3
        rest = [w for w in seen if w not in added]
        assert rest == words


def test_drops_leave_a_word_and_every_negation():
    drop = _only(drop=1.0)
    for i in range(30):
        assert drop.alter_text("one two three", str(i), 0, 0) in ("one", "two", "three")
    assert drop.alter_text("I do not like it, can't say", "a", 0, 0) == "not can't"
    assert drop.alter_text("", "a", 0, 0) == ""
    kept = [len(_only(drop=0.3).alter_text("w " * 50, str(i), 0, 0).split()) for i in range(40)]
    assert 50 * 0.7 - 5 < np.mean(kept) < 50 * 0.7 + 5


def test_synonyms_keep_the_polarity_of_the_drawn_pairs():
    from harness_embedded.scene_pair_drawing import EMPHATIC, MILD, WORDS

    told = [set(group) for group in WORDS.values()] + [set(EMPHATIC), set(MILD)]
    for group in told:
        others = set().union(*(other for other in told if other is not group))
        for word in group:
            assert not set(read_synonyms().get(word, ())) & others
    assert not set(read_synonyms()) & NEGATIONS


@pytest.mark.parametrize("options", [{"flip": 1.5}, {"crop": 0}, {"drop": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        PairAugmentation(**options)
