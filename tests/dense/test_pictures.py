"""Pictures of objects and regions: colours at the edges of boxes, in masks and of pixels, and which images are chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from harness_dense.mask_codes import encode_masks
from harness_dense.pictures import (
    BLACK,
    BLUE,
    CLASS_COLOURS,
    GAP,
    GREEN,
    KIND_COLOURS,
    NOT_COUNTED,
    OTHER,
    SHADE,
    VERMILION,
    WHITE,
    Kind,
    MarkedObject,
    Pixels,
    choose_factor,
    colour_classes,
    draw_objects,
    draw_regions,
)
from harness_dense.shown_images import choose_images

GREY = 100


def draw(*objects: MarkedObject, size: tuple[int, int] = (64, 64)) -> Pixels:
    return draw_objects(Image.new("RGB", size, (GREY,) * 3), objects)


def mark(kind: Kind, box: Sequence[float], words: str = "", mask: bytes | None = None) -> MarkedObject:
    return MarkedObject(kind, np.array(box, float), words, mask)


def colours(pixels: Pixels) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0).tolist()}


@pytest.mark.parametrize("kind", ["hit", "false alarm"])
def test_edges_of_a_box_lie_where_it_lies(kind: Kind) -> None:
    picture = draw(mark(kind, [10, 20, 30, 50]))
    factor = 5
    assert picture.shape[1] == 64 * factor
    shown = picture[: 64 * factor]
    assert colours(shown) == {KIND_COLOURS[kind], (GREY,) * 3}
    rows, columns = np.nonzero((shown == KIND_COLOURS[kind]).all(axis=2))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (50, 100, 150, 250)
    inside = shown[102:248, 52:148]
    assert colours(inside) == {(GREY,) * 3}
    assert (shown[100:250, [50, 51, 148, 149]] == KIND_COLOURS[kind]).all()


def test_misses_are_dashed_on_white() -> None:
    shown = draw(mark("miss", [10, 20, 30, 50]))[:320]
    edge = shown[100, 50:150]
    assert colours(edge) == {BLUE, WHITE}
    blue = (edge == BLUE).all(axis=1)
    assert 0.5 < blue.mean() < 0.8
    assert blue[0]
    assert colours(shown[102:248, 52:148]) == {(GREY,) * 3}


def test_masks_are_shaded_in_the_colour_of_their_object() -> None:
    filled = np.zeros((1, 64, 64), bool)
    filled[0, 30:40, 15:20] = True
    shown = draw(mark("hit", [10, 20, 30, 50], mask=encode_masks(filled)[0]))[:320:5, ::5]
    expected = tuple(round(GREY + SHADE * (c - GREY)) for c in GREEN)
    found = (shown == expected).all(axis=2)
    np.testing.assert_array_equal(found, filled[0])


def test_the_line_below_counts_what_is_shown() -> None:
    one, two = (
        draw(mark("hit", [1, 1, 9, 9])),
        draw(mark("hit", [1, 1, 9, 9]), mark("hit", [1, 1, 9, 9])),
    )
    assert {GREEN, BLUE, VERMILION, WHITE} <= colours(one[320 + GAP :])
    np.testing.assert_array_equal(one[:320], two[:320])
    assert (one[320:] != two[320:]).any()


def test_words_do_not_cover_those_of_others() -> None:
    apart = draw(mark("hit", [10, 20, 30, 50], "cat 0.90"), mark("hit", [40, 5, 60, 18], "cat 0.80"))
    together = draw(mark("hit", [10, 20, 30, 50], "cat 0.90"), mark("hit", [10, 20, 30, 50], "cat 0.80"))
    ink = [(picture[:320] == BLACK).all(axis=2).sum() for picture in (apart, together)]
    assert ink[0] == ink[1] > 0


@pytest.mark.parametrize("box", [[0, 0, 64, 64], [-3, -5, 1, 1], [63, 63, 64, 64], [5, 5, 5, 5]])
def test_boxes_and_words_at_the_edges_stay_in_the_picture(box: list[float]) -> None:
    for kind in KIND_COLOURS:
        picture = draw(mark(kind, box, "a long name of a class 0.99"))
        assert (picture[:320] == KIND_COLOURS[kind]).all(axis=2).any()
        assert picture.shape[1] == 320


def test_large_images_become_smaller_and_small_ones_whole_times_larger() -> None:
    assert choose_factor((64, 64), 320) == 5
    assert choose_factor((2048, 1024), 320) == 0.5
    assert choose_factor((400, 700), 320) == 1
    assert choose_factor((10, 1000), 320) == 1
    assert draw(mark("hit", [0, 0, 2048, 1024]), size=(2048, 1024)).shape[1] == 1024


def test_regions_show_truth_prediction_and_wrong_pixels() -> None:
    truth = np.zeros((64, 96), np.uint8)
    truth[10:30, 10:40], truth[50:, :] = 1, 255
    predicted = np.zeros((64, 96), np.uint8)
    predicted[10:30, 30:60] = 2
    pixels = np.full((64, 96, 3), GREY, np.uint8)
    picture = draw_regions(pixels, truth, predicted, ["background", "cat", "dog"])
    factor, head = 3, 18
    height, width = 64 * factor, 96 * factor
    parts = [
        picture[y : y + height : factor, x : x + width : factor]
        for y in (head, 2 * head + height + GAP)
        for x in (0, width + GAP)
    ]
    image, true, said, wrong = parts
    np.testing.assert_array_equal(image, pixels)
    cat, dog = CLASS_COLOURS[:2]
    assert (true[truth == 1] == cat).all()
    assert (true[truth == 0] == BLACK).all()
    assert (said[(predicted == 2) & (truth != 255)] == dog).all()
    assert all((part[truth == 255] == NOT_COUNTED).all() for part in (true, said, wrong))
    is_wrong = (truth != predicted) & (truth != 255)
    np.testing.assert_array_equal((wrong == VERMILION).all(axis=2), is_wrong)
    key = picture[2 * (head + height + GAP) :]
    assert {BLACK, cat, dog, NOT_COUNTED} <= colours(key)


def test_classes_have_colours_of_their_own_as_far_as_there_are_any() -> None:
    nothing = np.zeros((1, 1), int)
    few = colour_classes([f"c{n}" for n in range(21)], nothing, nothing)[:21]
    assert len(np.unique(few, axis=0)) == 21
    assert not {tuple(one) for one in few.tolist()} & {BLACK, NOT_COUNTED, OTHER}
    truth = np.repeat(np.arange(100, 130), np.arange(30, 0, -1))
    many = colour_classes([f"c{n}" for n in range(150)], truth, truth)
    assert len(np.unique(many[100:121], axis=0)) == 21
    assert (many[121:150] == OTHER).all()


def test_images_are_chosen_by_their_errors_and_their_order() -> None:
    misses, alarms = [0, 3, 1, 3, 0, 1], [0, 0, 5, 1, 0, 1]
    total = np.add(misses, alarms)
    worst = {"misses": misses, "alarms": alarms}
    chosen = choose_images(worst, total, 4)
    assert chosen == {"misses-1": 1, "alarms-1": 2, "typical-1": 5, "misses-2": 3}
    assert len(set(choose_images(worst, total, 10).values())) == 6
    assert choose_images(worst, total, 0) == {}
    assert choose_images({"misses": [0, 0]}, [0, 0], 4) == {"typical-1": 0, "typical-2": 1}
    assert choose_images({"wrong": [np.nan, 0.5]}, [np.nan, 0.5], 1) == {"wrong-1": 1}
    assert choose_images({"wrong": []}, [], 3) == {}
