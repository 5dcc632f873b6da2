"""The drawn scenes: splits, classes, captions, shifts, determinism."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.contract.data import Dataset, Split
from harness.errors import DataError, OptionError
from harness_embedded import drawing, drawn_images, scene_splits
from harness_embedded.adversarial import score_classes
from harness_embedded.sampling import SUBSETS
from harness_embedded.scenes import Scenes
from harness_embedded.shapes import CLASSES, shape_distance

SHIFTS = ("none", "v2", "r", "sketch", "a", "objectnet")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(drawing.PER_CLASS, "train", 120)
        yield


def images(split) -> np.ndarray:
    return np.stack([split[i].image for i in range(len(split))])


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_shift_is_a_split_of_the_contract(shift: str):
    dataset = Scenes(shift)
    split = dataset.load("test")
    assert isinstance(dataset, Dataset)
    assert isinstance(split, Split)
    sample = split[3]
    assert sample.image.shape == (32, 32, 3)
    assert sample.image.dtype == np.uint8
    assert sample.id == split.ids[3]
    assert sample.label == split.targets[3]
    assert len(set(split.ids)) == len(split) == len(split.targets)
    assert set(split.targets) == set(range(len(split.class_names)))


@pytest.mark.parametrize("shift", SHIFTS)
def test_labels_lead_back_to_the_label_space(shift: str):
    split = Scenes(shift).load("test")
    assert [CLASSES[i] for (i,) in split.label_indices] == list(split.class_names)
    assert tuple(split.class_names) == SUBSETS.get(shift, CLASSES)


@pytest.mark.parametrize("shift", SHIFTS)
def test_captions_name_the_object(shift: str):
    split = Scenes(shift).load("test")
    for i in range(len(split)):
        words = split[i].text.replace(",", "").split()
        assert [w for w in words if w in CLASSES] == [split.class_names[split.targets[i]]]
    assert len(set(split.captions)) > len(split.class_names)


def test_splits_and_shifts_share_no_image():
    parts = [Scenes().load(s) for s in ("train", "val", "test")] + [
        Scenes(s).load("test") for s in SHIFTS[1:]
    ]
    digests = [{hashlib.sha256(i.tobytes()).digest() for i in images(p)} for p in parts]
    assert sum(map(len, digests)) == len(set().union(*digests)) == sum(map(len, parts))


def test_the_restricted_reference_has_the_labels_of_the_shift():
    whole, part, shifted = Scenes().load("test"), Scenes("none", "r").load("test"), Scenes("r").load("test")
    assert part.class_names == shifted.class_names
    assert part.label_indices == shifted.label_indices
    assert set(part.ids) < set(whole.ids)
    where = {i: n for n, i in enumerate(whole.ids)}
    for i, target in zip(part.ids, part.targets, strict=True):
        assert part.class_names[target] == whole.class_names[whole.targets[where[i]]]


def test_per_class_keeps_the_first_of_each():
    split = Scenes("sketch", per_class=4).load("test")
    assert np.bincount(split.targets).tolist() == [4] * 12
    assert list(split.ids) == list(Scenes("sketch").load("test").ids[:48])


def test_the_adversarial_filter_fails_on_every_kept_image():
    split = Scenes("a").load("test")
    truth = np.array([split.label_indices[t][0] for t in split.targets])
    train = scene_splits.load_scene_images("none", "train")
    assert (score_classes(train, images(split)).argmax(axis=1) != truth).all()
    reference = Scenes().load("test")
    assert (score_classes(train, images(reference)).argmax(axis=1) == reference.targets).mean() > 0.5


def test_sketches_have_no_colour():
    drawn = images(Scenes("sketch").load("test")).astype(int)
    assert np.ptp(drawn, axis=3).max() == 0
    assert np.ptp(images(Scenes().load("test")).astype(int), axis=3).mean() > 20


def test_another_process_draws_the_same():
    code = (
        "import hashlib; from harness_embedded.scene_splits import draw_scene_split; d = draw_scene_split('r', 'test');"
        "print(hashlib.sha256(d.images.tobytes() + repr(d.captions).encode()).hexdigest())"
    )
    paths = [str(Path(drawing.__file__).parents[1]), str(Path(__file__).parents[2])]
    environment = {"PYTHONPATH": ":".join(paths), "PYTHONHASHSEED": "7"}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    here = scene_splits.draw_scene_split("r", "test")
    assert (
        told.stdout.strip()
        == hashlib.sha256(here.images.tobytes() + repr(here.captions).encode()).hexdigest()
    )


def test_a_torn_cache_file_is_drawn_again_with_a_warning(caplog: pytest.LogCaptureFixture):
    before = images(Scenes("v2").load("test"))
    (file,) = drawn_images.cache_folder().glob("*-v2-test.npz")
    file.write_bytes(file.read_bytes()[:5000])
    assert (images(Scenes("v2").load("test")) == before).all()
    assert "can't be read" in caplog.text
    caplog.clear()
    assert (images(Scenes("v2").load("test")) == before).all()
    assert not caplog.text


def test_unknown_splits_and_empty_limits_are_refused():
    with pytest.raises(DataError, match="no split 'tets'; did you mean 'test'"):
        Scenes().load("tets")
    with pytest.raises(DataError, match="scenes:sketch has no split 'train'"):
        Scenes("sketch").load("train")
    with pytest.raises(OptionError, match="per_class"):
        Scenes(per_class=0)


@pytest.mark.parametrize(
    ("name", "area"), [("circle", np.pi * 0.84**2), ("square", 1.48**2), ("cross", 1.704)]
)
def test_outlines_enclose_the_area_geometry_says(name: str, area: float):
    at = np.linspace(-1, 1, 801, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    assert (shape_distance(name, x, y) < 0).mean() * 4 == pytest.approx(area, rel=0.01)


@pytest.mark.parametrize("name", CLASSES)
def test_distances_change_no_faster_than_the_way_walked(name: str):
    at = np.linspace(-1, 1, 201, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    away = shape_distance(name, x, y)
    step = float(at[1] - at[0])
    # The fish's body is an ellipse, whose distance is an approximation that is steep along its short axis.
    assert np.abs(np.diff(away, axis=1)).max() <= step * 1.02
    assert (away < 0).any()
    assert (away[0] > 0).any()
