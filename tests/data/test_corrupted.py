"""The data set that corrupts another: what it forwards, and that order and batches don't matter."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.contract.data import Dataset, EncodedImage, Sample, Split
from harness.contract.seeds import derive_seed
from harness.errors import DataError, OptionError
from harness_data.corrupted import Corrupted, CorruptedSplit, imagenet_c_crop
from harness_data.corruptions import corrupt


class Inner:
    """Four images in the four forms a sample may have, and every optional attribute."""

    splits = ("test",)
    label_space = "imagenet-1k"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.arrays = [rng.integers(0, 256, (24, 20, 3), dtype=np.uint8) for _ in range(4)]

    def unavailable(self) -> str | None:
        return "not here"

    def fingerprint(self) -> str:
        return "inner-7"

    def load(self, split: str) -> InnerSplit:
        return InnerSplit(self.arrays)


class InnerSplit:
    class_names = ("cat", "dog")
    templates = ("a {}.",)
    label_indices = ((3,), (5, 6))

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.ids = ["a", "b", "c", "d"]
        self.targets = np.array([0, 1, 0, 1])
        file = io.BytesIO()
        PIL.Image.fromarray(arrays[1]).save(file, "PNG")
        grey = PIL.Image.fromarray(arrays[3]).convert("L")
        self.images = [
            arrays[0],
            EncodedImage(file.getvalue(), "b.png"),
            PIL.Image.fromarray(arrays[2]),
            grey,
        ]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], self.images[index], int(self.targets[index]), text="words")


class Bare:
    """A data set without any optional attribute."""

    splits = ("test",)

    def load(self, split: str) -> BareSplit:
        return BareSplit()


class BareSplit:
    ids = ("x",)
    targets = np.array([0])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return Sample("x", None, 0)


def test_it_forwards_what_corruption_does_not_change() -> None:
    inner = Inner()
    dataset = Corrupted(inner, "fog", severity=2)
    assert isinstance(dataset, Dataset)
    assert dataset.splits == ("test",)
    assert dataset.label_space == "imagenet-1k"
    assert dataset.unavailable() == "not here"
    split = dataset.load("test")
    assert isinstance(split, Split)
    assert (split.class_names, split.templates) == (("cat", "dog"), ("a {}.",))
    assert split.label_indices == ((3,), (5, 6))
    assert (list(split.ids), split.targets.tolist(), len(split)) == (["a", "b", "c", "d"], [0, 1, 0, 1], 4)
    sample = split[1]
    assert (sample.id, sample.label, sample.text) == ("b", 1, "words")
    assert not hasattr(split, "nothing_of_the_kind")


def test_it_does_not_invent_optional_attributes() -> None:
    dataset = Corrupted(Bare(), "fog")
    split = dataset.load("test")
    assert dataset.unavailable() is None
    assert not any(hasattr(dataset, name) for name in ("label_space", "class_names"))
    assert not any(hasattr(split, name) for name in ("class_names", "templates", "label_indices"))
    with pytest.raises(DataError, match="sample x has no image"):
        split[0]


def test_every_form_of_image_is_corrupted_with_its_own_seed() -> None:
    inner = Inner()
    split = Corrupted(inner, "gaussian_noise", severity=3, constants="cifar", seed=9).load("test")
    grey = np.asarray(PIL.Image.fromarray(inner.arrays[3]).convert("L").convert("RGB"))
    for index, clean in enumerate([*inner.arrays[:3], grey]):
        seed = derive_seed(9, "gaussian_noise", 3, split.ids[index])
        wanted = corrupt(clean, "gaussian_noise", 3, seed, "cifar")
        np.testing.assert_array_equal(np.asarray(split[index].image), wanted)


def test_order_and_processes_do_not_matter_but_seed_and_id_do() -> None:
    split = Corrupted(Inner(), "shot_noise").load("test")
    forwards = [np.asarray(split[i].image) for i in range(4)]
    backwards = [np.asarray(split[i].image) for i in reversed(range(4))][::-1]
    elsewhere = pickle.loads(pickle.dumps(split))
    for i in range(4):
        np.testing.assert_array_equal(forwards[i], backwards[i])
        np.testing.assert_array_equal(forwards[i], np.asarray(elsewhere[i].image))
    other = Corrupted(Inner(), "shot_noise", seed=1).load("test")
    assert not np.array_equal(forwards[0], np.asarray(other[0].image))
    same = Inner()
    same.arrays[2] = same.arrays[0]
    twins = Corrupted(same, "shot_noise").load("test")
    assert not np.array_equal(np.asarray(twins[0].image), np.asarray(twins[2].image))


def test_the_fingerprint_holds_the_inner_one_and_the_version() -> None:
    assert Corrupted(Inner(), "fog").fingerprint() == "inner-7|corruptions-1"
    assert Corrupted(Inner(), "frost").fingerprint() == "inner-7|corruptions-2"


def test_remarks_are_the_inner_ones_and_that_frost_is_drawn() -> None:
    from harness_embedded.scenes import Scenes

    inner = Inner()
    assert Corrupted(inner, "fog").remarks == []
    inner.remarks = ["2 of 9 files are not used"]
    assert Corrupted(inner, "fog").remarks == ["2 of 9 files are not used"]
    frost = Corrupted(inner, "frost").remarks
    assert frost[0] == inner.remarks[0]
    assert frost[1].startswith("its frost is drawn: not comparable with ImageNet-C")
    assert Corrupted(Scenes(), "frost").remarks == []  # where everything is drawn


def test_bad_options_are_refused_in_the_constructor() -> None:
    with pytest.raises(OptionError, match=r"'defocus'.*'defocus_blur'"):
        Corrupted(Inner(), "defocus")
    with pytest.raises(OptionError, match="1 to 5"):
        Corrupted(Inner(), "fog", severity=6)


@pytest.mark.parametrize("size", [(500, 375), (375, 501), (224, 224), (256, 300), (64, 90), (301, 257)])
def test_the_imagenet_c_crop_is_torchvisions(size: tuple[int, int]) -> None:
    import torchvision.transforms as T

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = PIL.Image.fromarray(pixels)
    wanted = T.Compose([T.Resize(256), T.CenterCrop(224)])(image)
    np.testing.assert_array_equal(np.asarray(imagenet_c_crop(image)), np.asarray(wanted))


def test_with_the_crop_the_corruption_sees_224_pixels() -> None:
    inner = Inner()
    split = Corrupted(inner, "pixelate", severity=5, imagenet_crop=True).load("test")
    out = np.asarray(split[0].image)
    cropped = np.asarray(imagenet_c_crop(PIL.Image.fromarray(inner.arrays[0])))
    np.testing.assert_array_equal(out, corrupt(cropped, "pixelate", 5, 0))


def test_models_do_not_resize_what_is_cropped_already() -> None:
    inner = Inner()
    clean, cropped = (Corrupted(inner, "fog", imagenet_crop=crop) for crop in (False, True))
    assert cropped.load("test").already_cropped == 224
    assert not hasattr(clean.load("test"), "already_cropped")
    assert clean.fingerprint() != cropped.fingerprint()
    InnerSplit.already_cropped = 224
    try:
        assert clean.load("test").already_cropped == 224
    finally:
        del InnerSplit.already_cropped


def test_summaries_know_corrupted_sets_without_a_grid() -> None:
    from harness_data.cifar import CIFAR10C
    from harness_data.imagenet import ImageNetC
    from harness_robustness.shift_tables import CORRUPTION, SEVERITY

    for dataset in (Corrupted(Inner(), "fog", 4), CIFAR10C("fog", 4), ImageNetC("fog", 4)):
        assert {f"tag.dataset.{k}": v for k, v in dataset.tags.items()} == {CORRUPTION: "fog", SEVERITY: 4}


def test_an_image_too_small_is_named() -> None:
    inner = Inner()
    inner.arrays[2] = inner.arrays[2][:5]
    with pytest.raises(DataError, match=r"^sample c: corruption frost: .* at least 8 px, got uint8 5×20×3"):
        Corrupted(inner, "frost").load("test")[2]


def test_constructing_it_loads_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys; from harness_data.corrupted import Corrupted; from harness_data.cifar import CIFAR10C\n"
        "Corrupted(object(), 'fog'); CIFAR10C('fog')\n"
        "print([m for m in ('numpy', 'torch', 'scipy', 'PIL') if m in sys.modules])"
    )
    path = ":".join(entry for entry in sys.path if entry)
    command, environment = [sys.executable, "-c", code], {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"


def test_what_samples_belong_to_stays_with_corrupted_images() -> None:
    split = Inner().load("test")
    split.per_sample, split.groups, split.left_out = ("groups",), ["film"] * 4, ["damaged"]  # type: ignore[attr-defined]
    seen = CorruptedSplit(split, Corrupted(Inner(), "fog"))
    assert (seen.per_sample, seen.groups, seen.left_out) == (("groups",), ["film"] * 4, ["damaged"])
    with pytest.raises(AttributeError, match="has no attribute 'titles'"):
        _ = seen.titles
