"""Handwritten and printed digits: splits, classes, captions, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from harness.errors import DataError
from harness_embedded.digits import CLASSES, Digits, PrintedDigits, draw_printed


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_the_splits_are_all_of_scikit_learns_digits():
    splits = [Digits().load(s) for s in ("train", "val", "test")]
    counts = sum(np.bincount(s.targets, minlength=10) for s in splits)
    assert counts.tolist() == np.bincount(load_digits().target).tolist()
    for split in splits:
        shares = np.bincount(split.targets) / len(split)
        assert np.abs(shares - counts / counts.sum()).max() < 0.01
    distinct = {s[i].image.tobytes() for s in splits for i in range(len(s))}
    source = {image.tobytes() for image in load_digits().images}
    assert len(distinct) == len(source) == sum(map(len, splits))


@pytest.mark.parametrize("dataset", [Digits(), PrintedDigits()])
def test_samples_are_as_the_contract_says(dataset: Digits | PrintedDigits):
    split = dataset.load("test")
    assert list(split.class_names) == list(CLASSES)
    assert set(split.targets) == set(range(10))
    for i in range(0, len(split), 7):
        sample = split[i]
        assert sample.image.shape == (32, 32, 3)
        assert sample.image.dtype == np.uint8
        assert CLASSES[sample.label] in sample.text


def test_printing_is_the_same_each_time_and_differs_between_splits():
    first, again, other = draw_printed("val"), draw_printed("val"), draw_printed("test")
    assert (first.images == again.images).all()
    assert first.captions == again.captions
    assert not {i.tobytes() for i in first.images} & {i.tobytes() for i in other.images}


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="printed-digits has no split 'trian'; did you mean 'train'"):
        PrintedDigits().load("trian")
