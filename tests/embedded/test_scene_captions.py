"""Captioned scenes and their films: every word agrees with the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from harness import DataError, OptionError
from harness_embedded.sampling import BACKGROUNDS, COLOURS, TEXTURES
from harness_embedded.scene_captions import SceneCaptions
from harness_embedded.shapes import CLASSES
from harness_embedded.worded_scenes import RECIPE, SceneWords, load_worded

PALETTE = np.array(list(COLOURS.values()))
DULL = PALETTE * 0.42 + 0.03


def test_captions_say_what_is_known_and_differ() -> None:
    words = SceneWords("arrow", "orange", "orange", "striped", "gradient")
    assert words.write_captions() == (
        "a photo of an orange striped arrow on a shaded orange background",
        "an orange striped arrow on a shaded orange background, photo",
        "a picture of an orange striped arrow",
        "a photo of an orange arrow",
        "an arrow on a shaded orange background",
    )
    for words in load_worded("test", 300).words:
        assert len(set(words.write_captions())) == 5
        assert words.colour != words.ground
        for caption in words.write_captions()[:2]:
            told = caption.replace(",", "").split()
            assert {words.shape, words.colour, words.ground} <= set(told)


def test_words_for_colours_are_what_the_pixels_show() -> None:
    scenes = load_worded("test", 600, plain=True)
    border = np.zeros((32, 32), bool)
    border[[0, 1, -1, -2]] = border[:, [0, 1, -1, -2]] = True
    own = around = 0
    for frames, words in zip(scenes.images, scenes.words, strict=True):
        image = frames[0] / 255
        ground = np.median(image[border], axis=0)
        around += list(COLOURS)[np.abs(DULL - ground).sum(1).argmin()] == words.ground
        # the pixels that differ most from the surroundings are the object's
        far = np.abs(image - ground).sum(2)
        thing = np.median(image[far >= np.quantile(far, 0.95)], axis=0)
        own += list(COLOURS)[np.abs(PALETTE - thing).sum(1).argmin()] == words.colour
    assert own >= 0.95 * 600
    assert around >= 0.95 * 600


def test_scenes_are_balanced_and_textured() -> None:
    words = load_worded("test", 600).words
    assert [w.shape for w in words[:24]] == [*CLASSES, *CLASSES]
    assert {w.colour for w in words} == {w.ground for w in words} == set(COLOURS)
    assert {w.texture for w in words} == set(TEXTURES)
    assert {w.background for w in words} == set(BACKGROUNDS[:3])
    assert {(w.texture, w.background) for w in load_worded("test", 60, plain=True).words} == {
        ("plain", "plain")
    }


def test_swapped_scenes_exchange_colours_and_nothing_else() -> None:
    first, second = (load_worded("test", 60, plain=True, swapped=s) for s in (False, True))
    for one, two in zip(first.words, second.words, strict=True):
        assert (one.shape, one.colour, one.ground) == (two.shape, two.ground, two.colour)
    assert (first.images != second.images).any(axis=(1, 2, 3, 4)).all()


def test_films_grow_and_keep_their_words() -> None:
    film, still = load_worded("test", 36, frames=4), load_worded("test", 36)
    assert film.words == still.words
    assert film.images.shape == (36, 4, 32, 32, 3)
    plain = load_worded("test", 36, plain=True, frames=3)
    grown = 0
    for frames in plain.images / 255:
        ground = np.median(frames[:, :2].reshape(-1, 3), axis=0)
        sizes = (np.abs(frames - ground).sum(3) > 0.25).sum(axis=(1, 2))
        grown += sizes[0] < sizes[1] < sizes[2]
    assert grown >= 33
    samples = SceneCaptions(frames=3, count=5).load("test")
    assert len(samples[0].images) == 3
    assert samples[0].target == samples.targets[0] == still_captions(samples.ids[0])


def still_captions(name: str) -> tuple[str, ...]:
    """The captions of the sample of that id when it is an image."""
    split = SceneCaptions(count=5).load("test")
    return split.targets[list(split.ids).index(name)]


def test_splits_share_no_image_and_are_the_same_each_time() -> None:
    splits = [SceneCaptions().load(name) for name in ("train", "test")]
    pixels = [{split[n].image.tobytes() for n in range(len(split))} for split in splits]
    assert len(pixels[0] | pixels[1]) == 400
    assert not set(splits[0].ids) & set(splits[1].ids)
    again = SceneCaptions().load("test")
    assert again.targets == splits[1].targets
    assert np.array_equal(again[3].image, splits[1][3].image)
    assert RECIPE in SceneCaptions().fingerprint()


def test_options_and_splits_are_checked() -> None:
    with pytest.raises(OptionError, match="scene-captions: frames must be from 1 to 16, not 0"):
        SceneCaptions(frames=0)
    with pytest.raises(OptionError, match="scene-captions: count must be from 1 to 5000, not 0"):
        SceneCaptions(count=0)
    with pytest.raises(DataError, match="scene-captions has no split 'tests'; did you mean 'test'"):
        SceneCaptions().load("tests")
