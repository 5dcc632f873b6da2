"""Windows over images, and classes made of words: closed forms and invariants."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import OptionError
from harness_segmenters.class_words import ClassWords, read_class_words
from harness_segmenters.windows import average_windows, place_windows


@given(st.integers(1, 300), st.integers(1, 200), st.data())
def test_windows_cover_a_side_and_end_at_its_edge(length, window, data):
    stride = data.draw(st.integers(1, window))
    starts = place_windows(length, window, stride)
    covered = {pixel for at in starts for pixel in range(at, min(at + window, length))}
    assert covered == set(range(length))
    assert starts[-1] == max(0, length - window)
    assert len(starts) == max(length - window + stride - 1, 0) // stride + 1  # mmsegmentation's count
    assert sorted(set(starts)) == starts


def test_windows_of_sclips_sizes():
    assert place_windows(336, 224, 112) == [0, 112]
    assert place_windows(448, 224, 112) == [0, 112, 224]
    assert place_windows(460, 224, 112) == [0, 112, 224, 236]


@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 4))
def test_the_mean_of_what_windows_show_is_the_image(height, width, stride):
    image = torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * width))
    seen = average_windows(image, (4, 4), stride, iter)
    assert torch.allclose(seen, image, atol=1e-6)


def test_overlapping_windows_are_averaged():
    numbers = iter(range(10))

    def number(windows):
        return (torch.full((1, *w.shape[1:]), float(next(numbers))) for w in windows)

    found = average_windows(torch.zeros(3, 1, 6), (1, 4), 2, number)
    assert found.tolist() == [[[0, 0, 0.5, 0.5, 1, 1]]]


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_the_threshold_makes_background_of_exactly_the_unlikely_pixels(seed, threshold):
    words = ClassWords(["Background", "cat", "dog", "cow"], {"cow": ["cow", "calf"]}, threshold)
    assert words.words == ["cat", "dog", "cow", "calf"]
    logits = 3 * torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = words.combine(logits).argmax(dim=0)
    best, word = logits.softmax(dim=0).max(dim=0)
    expected = torch.where(best < threshold, 0, torch.tensor([1, 2, 3, 3])[word])
    assert torch.equal(found[(best - threshold).abs() > 1e-9], expected[(best - threshold).abs() > 1e-9])


def test_the_background_may_have_words_beside_a_threshold():
    words = ClassWords(["background", "cat"], {"background": ["sky", "wall"]}, 0.6)
    logits = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 0, 0]])[:, None]  # sky, wall, cat at three pixels
    found = words.combine(torch.tensor([[5.0, 0, 0], [0, 0, 0.2], [0, 5, 0]])[:, None])
    assert words.words == ["sky", "wall", "cat"]
    assert found.argmax(dim=0).tolist() == [[0, 1, 0]]  # the last for want of certainty
    assert torch.equal(words.combine(logits)[1], logits[2])


def test_a_class_counts_as_its_best_word():
    words = ClassWords(["cat", "tv monitor"], {"tv monitor": ["television", "screen"]}, None)
    logits = torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 0.5]])[..., None]
    assert words.combine(logits)[..., 0].tolist() == [[1, 1], [2, 0.5]]
    assert ClassWords(["a", "b"], {}, None).combine(logits[:2]).tolist() == logits[:2].tolist()


def test_what_has_no_effect_is_remarked():
    words = ClassWords(["cat"], {"boat": ["ship"], "tv": ["screen"]}, 0.5)
    assert words.threshold is None
    assert words.remarks == [
        "there is no class 'background': the threshold has no effect",
        "names for 2 classes that the data set does not have are left out (first: 'boat')",
    ]
    assert ClassWords(["background", "cat"], {}, 0.5).remarks == []
    assert ClassWords(["background", "cat"], {}, None).remarks == [
        "the class 'background' is described by its name alone"
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["boat"], "of the form class=word, word, not 'boat'"),
        (["=ship"], "not '=ship'"),
        (["boat=ship,"], "not 'boat=ship,'"),
        (["boat=ship", "Boat = yacht"], "two entries for the class 'Boat'"),
    ],
)
def test_wrong_names_are_refused(names, said):
    with pytest.raises(OptionError, match=said):
        read_class_words(names, "here")


def test_names_are_read_however_they_are_written():
    assert read_class_words(["TV_monitor=tv monitor , screen"], "here") == {
        "tv monitor": ["tv monitor", "screen"]
    }
