"""Reading images: by threads as without them, each split once; and which images stand for a collection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.errors import DataError, HarnessError
from harness_data.stacked_images import StackedSplit
from harness_gan.gan_data import load_gan_data
from harness_gan.protocol import GanProtocol
from harness_gan.real_samples import AT_ONCE, ImageSamples, PixelReader, samples_to_bytes


class Pictures:
    """A split of pictures of random pixels, which counts how often it is read."""

    def __init__(self, count: int, sizes: dict[int, tuple[int, int]] | None = None) -> None:
        rng = np.random.default_rng(0)
        self.ids = [f"{n:03d}" for n in range(count)]
        self.targets = np.arange(count) % 10
        sizes = sizes or {}
        self.pixels = [
            rng.integers(0, 256, (*sizes.get(n, (12, 10)), 3), dtype=np.uint8) for n in range(count)
        ]
        self.reads = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return harness.Sample(self.ids[index], self.pixels[index])


@pytest.mark.parametrize("grey", [False, True])
def test_threads_read_the_same_images(grey: bool) -> None:
    split = Pictures(3 * AT_ONCE + 5)
    alone = PixelReader(None, grey, "mine")(split)
    assert np.array_equal(PixelReader(None, grey, "mine", workers=4)(split), alone)
    assert alone.shape == (len(split), 1 if grey else 3, 12, 10)
    for n in (0, AT_ONCE, len(split) - 1):
        image = Image.fromarray(split.pixels[n]).convert("L" if grey else "RGB")
        assert np.array_equal(alone[n].transpose(1, 2, 0).squeeze(), np.asarray(image))


@pytest.mark.parametrize("workers", [0, 3])
def test_the_first_image_that_does_not_fit_is_named(workers: int) -> None:
    split = Pictures(3 * AT_ONCE, {AT_ONCE + 7: (9, 8), 2 * AT_ONCE: (5, 5)})
    words = rf"mine: sample {AT_ONCE + 7:03d} is 8×9, the first is 10×12: give the protocol a size"
    with pytest.raises(DataError, match=words):
        PixelReader(None, False, "mine", workers)(split)
    assert PixelReader(4, False, "mine", workers)(split).shape == (3 * AT_ONCE, 3, 4, 4)
    with pytest.raises(DataError, match="mine: no images"):
        PixelReader(4, False, "mine", workers)(Pictures(0))


def test_each_split_is_read_once() -> None:
    split, pixels = Pictures(20), PixelReader(None, False, "mine")
    pixels(split)
    pixels(split)
    assert split.reads == 20
    stacked = StackedSplit(split, 50, "train")
    found = pixels(stacked)
    assert np.array_equal(found[:, 1], pixels(split, grey=True)[stacked.rows[:, 1], 0])
    assert split.reads == 40


def test_a_collection_sorted_by_label_is_held_by_chance() -> None:
    """A folder's first images are of its first label: no floor of a whole collection could rest on them."""
    images = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
    by_folder = ImageSamples(images, np.repeat(np.arange(10), 20))
    held = samples_to_bytes(by_folder.take_fixed(60)).flatten()
    assert len(set((held // 20).tolist())) == 10
    assert len(set(held.tolist())) == 60
    assert torch.equal(samples_to_bytes(by_folder.take_fixed(30)).flatten(), held[:30])
    assert sorted(samples_to_bytes(by_folder.take_fixed(500)).flatten().tolist()) == list(range(200))
    for mixed in (ImageSamples(images, np.arange(200) % 10), ImageSamples(images)):
        assert samples_to_bytes(mixed.take_fixed(60)).flatten().tolist() == list(range(60))


def test_images_of_several_labels_have_no_modes() -> None:
    """No classifier of one label each can be trained on them; an extractor of the protocol's serves."""
    split = Pictures(20)
    split.targets = np.eye(20, 4, dtype=np.int64)
    fact = SimpleNamespace(label="mine", options={})
    job: Any = SimpleNamespace(
        dataset=SimpleNamespace(splits=("train", "test")),
        cell=SimpleNamespace(dataset=fact, protocol=fact),
        splits=lambda name: split,
        workers=0,
        device=torch.device("cpu"),
    )
    with pytest.raises(HarnessError, match="images need one label each, from two or more, or else"):
        load_gan_data(GanProtocol(size=8), job)
