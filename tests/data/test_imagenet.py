"""The ImageNet family: exact class subsets, labels from folder names, borders and layouts."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.contract.data import Dataset, EncodedImage, Split
from harness.errors import DataError, Unavailable
from harness_data import imagenet_classes
from harness_data.imagenet import (
    ARCHIVES,
    ImageNet,
    ImageNetA,
    ImageNetC,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
    ObjectNet,
)
from harness_data.scanning import FolderSplit, list_subfolders, scan_class_folders


def encoded(kind="PNG", size=(8, 8), colour=(10, 20, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


PNG = encoded()


def tree(folder: Path, names, per_class=1, suffix=".JPEG"):
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            (folder / name / f"{name}_{i}{suffix}").write_bytes(PNG)
    return folder


WNIDS = imagenet_classes.wnids()


def sha(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_what_is_left_out_is_told_when_a_split_is_opened(tmp_path):
    folder = tree(tmp_path / "imagenet" / "val", WNIDS[:3])
    (folder / "@eaDir").mkdir()
    data = ImageNet(root=tmp_path, partial=True)
    few = f"997 of 1000 classes have no image in split 'test' (first: '{WNIDS[3]}')"
    assert data.load("test").remarks == [few]
    (folder / WNIDS[0] / "notes.txt").write_text("")
    assert data.load("test").remarks == [
        f"1 of 4 files is not used: 1 .txt (first: {WNIDS[0]}/notes.txt)",
        few,
    ]


def test_sizes_of_the_subsets():
    assert len(WNIDS) == len(set(WNIDS)) == 1000
    assert list(WNIDS) == sorted(WNIDS)
    r, a = (
        imagenet_classes.load_imagenet_classes("imagenet-r"),
        imagenet_classes.load_imagenet_classes("imagenet-a"),
    )
    assert (len(r), len(a)) == (200, 200)
    assert len(set(r.indices) & set(a.indices)) == 86
    o = imagenet_classes.load_objectnet_classes()
    assert len(o) == len(set(o.names)) == 113
    ids = [i for indices in o.indices for i in indices]
    assert len(ids) == len(set(ids)) == 125


def test_objectnet_classes_of_several_ids():
    o = imagenet_classes.load_objectnet_classes()
    several = {name: indices for name, indices in zip(o.names, o.indices, strict=True) if len(indices) > 1}
    assert len(several) == 9
    assert {name for name, indices in several.items() if len(indices) == 3} == {"chair", "pen", "skirt"}
    # barber, folding and rocking chair; ballpoint, quill and fountain pen (indices of the 1000 outputs)
    assert sorted(several["chair"]) == [423, 559, 765]
    assert sorted(several["pen"]) == [418, 563, 749]


def test_any_of_equals_max_pool():
    """Arg-max over the 125 outputs, right if any of the label's; and max-pooling to 113: the same top-1."""
    indices = imagenet_classes.load_objectnet_classes().indices
    flat = np.array([i for several in indices for i in several])
    owner = np.array([label for label, several in enumerate(indices) for _ in several])
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2000, 1000)), rng.integers(0, 113, 2000)
    logits[np.arange(2000), [indices[label][-1] for label in labels]] += 2.5
    any_of = owner[logits[:, flat].argmax(1)] == labels
    pooled = np.stack([logits[:, list(several)].max(1) for several in indices], 1).argmax(1) == labels
    np.testing.assert_array_equal(any_of, pooled)
    assert 0.1 < any_of.mean() < 0.9


def test_names_and_templates_are_openais():
    names = imagenet_classes.list_prompt_names(imagenet_classes.load_imagenet_classes())
    assert sha(names) == "571ae1c583b4be7d"
    assert names[744] == names[657] == "missile"
    templates = imagenet_classes.list_prompt_templates()
    assert len(templates) == 80
    assert sha(templates) == "4f976686fb651bb5"
    assert imagenet_classes.list_prompt_names(imagenet_classes.load_objectnet_classes())[:2] == [
        "alarm clock",
        "backpack",
    ]


def test_classes_and_planning_import_nothing_heavy():
    code = (
        "import sys; from harness_data.imagenet import ImageNetR; ImageNetR().unavailable();"
        "from harness_data import imagenet_classes as c; c.load_imagenet_classes('imagenet-r'); c.load_objectnet_classes();"
        "c.list_prompt_names(c.load_imagenet_classes()); c.list_prompt_templates();"
        "print([m for m in ('torch', 'timm', 'open_clip', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tree(root / "imagenet" / "val", WNIDS)
    return root


def test_imagenet(imagenet):
    data = ImageNet(root=imagenet)
    assert isinstance(data, Dataset)
    assert data.unavailable() is None
    assert data.label_space == "imagenet-1k"
    split = data.load("test")
    assert isinstance(split, Split)
    np.testing.assert_array_equal(split.targets, np.arange(1000))
    assert len(split.class_names) == 1000
    assert len(split.templates) == 80
    assert split[0].id == "n01440764/n01440764_0.JPEG"
    assert split.class_names[0] == "tench"
    with pytest.raises(Unavailable, match="imagenet/train"):
        data.load("train")
    with pytest.raises(DataError, match="no split 'val'"):
        data.load("val")


def test_images_are_known_by_content_and_a_training_split_by_its_name(tmp_path):
    tree(tmp_path / "imagenet" / "val", WNIDS[:3])
    tree(tmp_path / "imagenet" / "train", WNIDS[:3])
    tree(tmp_path / "imagenet-c" / "fog" / "3", WNIDS[:3])
    sets = (ImageNet(root=tmp_path, partial=True), ImageNetC("fog", root=tmp_path, partial=True))
    before = [data.fingerprint() for data in sets]
    for folder in ("imagenet/val", "imagenet-c/fog/3"):
        (file,) = (tmp_path / folder / WNIDS[2]).iterdir()
        held = bytearray(file.read_bytes())
        held[-20] ^= 1
        file.write_bytes(held)
    assert all(data.fingerprint() != old for data, old in zip(sets, before))
    assert sets[0].load("test").remarks == [
        f"997 of 1000 classes have no image in split 'test' (first: '{WNIDS[3]}')"
    ]
    assert "split 'train' is identified by its name only" in sets[0].load("train").remarks[1]


@pytest.mark.parametrize(
    ("subset", "labels", "samples"),
    [("imagenet-r", 200, 200), ("imagenet-a", 200, 200), ("objectnet", 113, 125)],
)
def test_reference_on_the_same_classes(imagenet, subset, labels, samples):
    split = ImageNet(subset, root=imagenet).load("test")
    assert len(split) == samples
    assert set(split.targets.tolist()) == set(range(labels))
    assert len(split.class_names) == len(split.label_indices) == labels
    for sample in split:
        wnid = sample.id.split("/")[0]
        assert WNIDS.index(wnid) in split.label_indices[sample.label]


def test_reference_and_shift_have_the_same_labels(imagenet, tmp_path):
    r = imagenet_classes.load_imagenet_classes("imagenet-r")
    folder = tree(tmp_path / "imagenet-r", r.labels, suffix=".jpg")
    (folder / "README.txt").write_text("about the set")
    (folder / "n01443537" / "README.txt").write_text("about goldfish")
    shift = ImageNetR(root=tmp_path).load("test")
    reference = ImageNet("imagenet-r", root=imagenet).load("test")
    assert len(shift) == 200
    assert shift.label_indices == reference.label_indices
    assert shift.class_names == reference.class_names
    assert shift.class_names[0] == "goldfish"  # index 1; tench, index 0, is not among the 200
    np.testing.assert_array_equal(shift.targets, reference.targets)


def test_foreign_and_missing_folders(tmp_path):
    names = sorted(imagenet_classes.load_imagenet_classes("imagenet-a").labels)
    folder = tree(tmp_path / "imagenet-a", names[1:])
    (folder / names[0]).mkdir()
    with pytest.raises(DataError, match=rf"1 of 200 class folders are missing or empty \({names[0]}\)"):
        ImageNetA(root=tmp_path).load("test")
    partial = ImageNetA(root=tmp_path, partial=True).load("test")
    assert partial.targets.tolist() == list(range(1, 200))
    assert len(partial.class_names) == 200
    (folder / "n01440764").mkdir()  # tench, not one of the 200
    with pytest.raises(DataError, match="n01440764: is not a class folder of ImageNetA"):
        ImageNetA(root=tmp_path).load("test")


def label_by_name(sample):
    return int(sample.id.split("/")[0])


def test_v2_folders_are_numbers(tmp_path):
    tree(tmp_path / "imagenetv2-matched-frequency-format-val", map(str, range(12)), 2, ".jpeg")
    split = ImageNetV2(root=tmp_path, partial=True).load("test")
    assert len(split) == 24
    assert all(sample.label == label_by_name(sample) for sample in split)
    assert set(split.targets.tolist()) == set(range(12))


def test_a_lexicographic_loader_fails_that_check(tmp_path):
    folder = tree(tmp_path / "v2", map(str, range(12)))
    lexicographic = {name: label for label, name in enumerate(list_subfolders(folder))}
    split = FolderSplit(folder, scan_class_folders(folder, lexicographic), list(lexicographic))
    assert not all(sample.label == label_by_name(sample) for sample in split)


def test_v2_variants_and_foreign_folders(tmp_path):
    tree(tmp_path / "imagenetv2" / "imagenetv2-top-images-format-val", ["3"])
    assert ImageNetV2("top-images", root=tmp_path, partial=True).load("test").targets.tolist() == [3]
    assert "imagenetv2-threshold0.7-format-val" in ImageNetV2("threshold0.7", root=tmp_path).unavailable()
    tree(tmp_path / "imagenetv2" / "imagenetv2-top-images-format-val", ["1000"])
    with pytest.raises(DataError, match="1000: is not a class folder of ImageNetV2"):
        ImageNetV2("top-images", root=tmp_path, partial=True).load("test")


def test_sketch_holds_all_classes(tmp_path):
    tree(tmp_path / "imagenet-sketch" / "sketch", WNIDS[:3])
    assert ImageNetSketch(root=tmp_path, partial=True).load("test").targets.tolist() == [0, 1, 2]


def test_objectnet(tmp_path):
    folder = tmp_path / "objectnet-1.0" / "images"
    tree(folder, imagenet_classes.load_objectnet_classes().labels, suffix=".png")
    tree(folder, ["air_freshener"])  # one of the 200 classes that ImageNet lacks
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:] = (255, 0, 0)
    picture[2:-2, 2:-2] = (0, 90, 200)
    Image.fromarray(picture).save(folder / "chair" / "chair_0.png")
    split = ObjectNet(root=tmp_path).load("test")
    assert len(split) == len(split.class_names) == 113
    index = list(split.ids).index("chair/chair_0.png")
    sample = split[index]
    assert split.class_names[sample.label] == "chair"
    assert len(split.label_indices[sample.label]) == 3
    assert sample.image.size == (26, 16)
    assert (np.asarray(sample.image) == (0, 90, 200)).all()


def test_objectnet_image_that_is_only_border(tmp_path):
    folder = tmp_path / "objectnet-1.0" / "images" / "chair"
    folder.mkdir(parents=True)
    (folder / "tiny.png").write_bytes(encoded(size=(4, 9)))
    with pytest.raises(DataError, match=r"chair/tiny\.png: 4×9 is nothing but the border"):
        ObjectNet(root=tmp_path, partial=True).load("test")[0]


@pytest.mark.parametrize("place", ["imagenet-c/fog/2", "imagenet-c/weather/fog/2", "ImageNet-C/fog/2"])
def test_imagenet_c(tmp_path, place):
    tree(tmp_path / place, WNIDS[5:7])
    data = ImageNetC("fog", 2, root=tmp_path, partial=True)
    split = data.load("test")
    assert split.already_cropped == 224
    assert split.targets.tolist() == [5, 6]
    assert isinstance(split[0].image, EncodedImage)
    assert "imagenet-c/fog/3" in ImageNetC("fog", 3, root=tmp_path).unavailable()
    before = data.fingerprint()
    (tmp_path / place / WNIDS[5] / "more.JPEG").write_bytes(PNG)
    assert ImageNetC("fog", 2, root=tmp_path).fingerprint() != before


def test_imagenet_c_knows_19_corruptions():
    assert len({c for corruptions in ARCHIVES.values() for c in corruptions}) == 19
    assert not hasattr(FolderSplit, "already_cropped")


def test_missing_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    for data in (
        ImageNet(),
        ImageNetV2(),
        ImageNetR(),
        ImageNetA(),
        ImageNetSketch(),
        ObjectNet(),
        ImageNetC("fog"),
    ):
        assert "no data root" in data.unavailable()
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    for data in (
        ImageNet(),
        ImageNetV2(),
        ImageNetR(),
        ImageNetA(),
        ImageNetSketch(),
        ObjectNet(),
        ImageNetC("fog"),
    ):
        message = data.unavailable()
        assert str(tmp_path) in message
        assert "; get " in message
        assert "unpack" in message
        with pytest.raises(Unavailable):
            data.load("test")


def test_data_root_of_the_environment(imagenet, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(imagenet))
    assert len(ImageNet("imagenet-a").load("test")) == 200


def test_fingerprint_tells_folders_apart(imagenet):
    first = ImageNet(root=imagenet).fingerprint()
    assert first != ImageNet("imagenet-a", root=imagenet).fingerprint()
