"""Tiny ImageNet: labels of both splits, the order and names of classes, and copies that are not what they should be."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.contract.data import EncodedImage
from harness.discovery.plain_names import find_dataset
from harness.errors import DataError, Unavailable
from harness.inference.images import decode
from harness_data.image_folder import ImageFolder
from harness_data.tiny_imagenet import TinyImageNet

LISTED = ("n02124075", "n04067472", "n01443537")
"""The order of wnids.txt, which begins like this in the archive, too."""
WORDS = (
    "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\nn04067472\treel\n"
)


def jpeg(grey: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).convert(mode).save(file, "JPEG")
    return file.getvalue()


def annotations(wnids: tuple[str, ...]) -> str:
    return "".join(f"val_{n}.JPEG\t{wnid}\t0\t0\t3\t3\n" for n, wnid in enumerate(wnids))


def build(root: Path, per_class: int = 2) -> Path:
    """The archive's layout, with three classes; the folder."""
    folder = root / "tiny-imagenet-200"
    for n, wnid in enumerate(LISTED):
        images = folder / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(per_class):
            (images / f"{wnid}_{i}.JPEG").write_bytes(jpeg(40 * n + i, "L" if i else "RGB"))
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t3\t3\n")
    (folder / "val" / "images").mkdir(parents=True)
    for n in range(4):
        (folder / "val" / "images" / f"val_{n}.JPEG").write_bytes(jpeg(200 + n))
    (folder / "val" / "val_annotations.txt").write_text(annotations((*LISTED, LISTED[0])))
    (folder / "test" / "images").mkdir(parents=True)
    (folder / "test" / "images" / "test_0.JPEG").write_bytes(jpeg(0))
    (folder / "wnids.txt").write_text("\n".join(LISTED) + "\n")
    (folder / "words.txt").write_text(WORDS)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path)


def test_labels_are_those_of_the_sorted_folders_in_both_splits(folder: Path) -> None:
    data = TinyImageNet(folder.parent)
    assert data.unavailable() is None
    assert data.splits == ("train", "val")
    assert data.class_keys == sorted(LISTED)
    assert data.class_names == ["goldfish", "Egyptian cat", "reel"]
    train, val = data.load("train"), data.load("val")
    assert [train.ids[i].split("/")[0] for i in range(6)] == [sorted(LISTED)[t] for t in train.targets]
    assert val.ids == [f"images/val_{n}.JPEG" for n in range(4)]
    assert [sorted(LISTED)[t] for t in val.targets] == [*LISTED, LISTED[0]]
    assert (data.remarks, train.remarks, val.remarks) == ([], [], [])
    assert data.class_order.startswith("class 0 of the data set is 'n01443537'")
    assert data.class_order.endswith("wnids.txt has another order")


def test_the_listed_order_is_a_choice(folder: Path) -> None:
    data = TinyImageNet(folder, order="listed")
    assert data.class_keys == list(LISTED)
    assert data.load("val").targets.tolist() == [0, 1, 2, 0]
    assert data.load("val").class_names == ["Egyptian cat", "reel", "goldfish"]
    whole = TinyImageNet(folder)
    assert whole.load("train").ids == data.load("train").ids
    assert data.fingerprint() == whole.fingerprint()


def test_grey_images_stay_and_are_read_as_rgb(folder: Path) -> None:
    train = TinyImageNet(folder).load("train")
    sample = train[1]
    assert isinstance(sample.image, EncodedImage)
    assert Image.open(io.BytesIO(sample.image.data)).mode == "L"
    assert decode(sample.image).mode == "RGB"


def test_samples_are_read_on_access(folder: Path) -> None:
    train = TinyImageNet(folder).load("train")
    (folder / "train" / train.ids[0]).unlink()
    assert train[1].label == 0
    with pytest.raises(DataError, match=f"{train.ids[0]}: can't be read"):
        train[0]


def test_classes_that_share_a_name_are_told(folder: Path) -> None:
    (folder / "words.txt").write_text(WORDS.replace("reel", "Egyptian cat, Mau"))
    said = "1 name is that of several classes (first: 'Egyptian cat' is n02124075 and n04067472)"
    assert TinyImageNet(folder).remarks == [said]


def test_test_images_are_no_split(folder: Path) -> None:
    with pytest.raises(DataError, match=r"labels of its test images are not public.*test on 'val'"):
        TinyImageNet(folder).load("test")


def test_images_without_a_line_and_other_files_are_told(folder: Path) -> None:
    (folder / "val" / "images" / "extra.JPEG").write_bytes(jpeg(9))
    (folder / "val" / "images" / "notes.txt").write_text("")
    (folder / "train" / LISTED[0] / "images" / "Thumbs.db").write_text("")
    (folder / "train" / LISTED[0] / "images" / "list.csv").write_text("")
    assert TinyImageNet(folder).load("val").remarks == [
        "1 of 6 files is not used: 1 .txt (first: notes.txt)",
        "1 image of val is left out, having no line in val_annotations.txt (first: extra.JPEG)",
    ]
    assert TinyImageNet(folder).load("train").remarks == [
        f"1 of 7 files is not used: 1 .csv (first: {LISTED[0]}/images/list.csv)"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("val_3.JPEG\tn99999999\t0\t0\t3\t3", r":4: class 'n99999999' of 'val_3.JPEG' is not in wnids.txt"),
        ("val_9.JPEG\tn02124075\t0\t0\t3\t3", r":4: there is no image 'val_9.JPEG'"),
        ("val_0.JPEG\tn02124075\t0\t0\t3\t3", r":4: image 'val_0.JPEG' has a line already, 1"),
        ("val_3.JPEG n02124075 0 0 3 3", r":4: expected image, WordNet id and box with tabs between"),
    ],
)
def test_a_wrong_line_is_named(folder: Path, line: str, said: str) -> None:
    (folder / "val" / "val_annotations.txt").write_text(annotations(LISTED) + line + "\n")
    with pytest.raises(DataError, match=f"val_annotations.txt{said}"):
        TinyImageNet(folder).load("val")


def test_train_must_have_the_classes_of_the_list(folder: Path) -> None:
    (folder / "train" / "n09999999").mkdir()
    with pytest.raises(DataError, match=r"n09999999: is not a class of wnids.txt"):
        TinyImageNet(folder).load("train")
    (folder / "train" / "n09999999").rmdir()
    shutil.rmtree(folder / "train" / LISTED[1] / "images")
    with pytest.raises(DataError, match=rf"{LISTED[1]}/images: no images of class '{LISTED[1]}'"):
        TinyImageNet(folder).load("train")


def test_lists_that_are_wrong_or_missing_are_named(folder: Path) -> None:
    (folder / "words.txt").write_text(WORDS.replace("n04067472", "n04067473"))
    with pytest.raises(DataError, match=r"words.txt: has no name for class 'n04067472'"):
        TinyImageNet(folder).load("val")
    (folder / "wnids.txt").write_text("n01443537\nn01443537\n")
    with pytest.raises(DataError, match=r"wnids.txt:2: 'n01443537' is listed already in line 1"):
        TinyImageNet(folder).load("val")
    (folder / "words.txt").unlink()
    assert "words.txt: is missing" in str(TinyImageNet(folder).unavailable())
    assert "tiny-imagenet-200.zip" in str(TinyImageNet(folder.parent.parent / "none").unavailable())


def test_a_validation_split_in_class_folders_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    (folder / "val" / LISTED[0]).mkdir(parents=True)
    with pytest.raises(Unavailable, match=rf"holds folders such as '{LISTED[0]}'.*imagefolder"):
        TinyImageNet(folder).load("val")


def test_an_image_folder_does_not_take_images_for_a_class(folder: Path) -> None:
    for path in (folder, folder / "val"):
        assert "lies beside val_annotations.txt" in str(ImageFolder(path).unavailable())
    found = find_dataset(str(folder))
    assert found.entry["plugin"] == "tiny-imagenet"
    assert found.entry["root"] == folder


def test_identity_follows_the_content(folder: Path) -> None:
    before = TinyImageNet(folder).fingerprint()
    annotated = folder / "val" / "val_annotations.txt"
    annotated.write_text(annotations((*LISTED, LISTED[1])))
    changed = TinyImageNet(folder).fingerprint()
    (folder / "train" / LISTED[0] / "images" / f"{LISTED[0]}_0.JPEG").write_bytes(jpeg(77))
    assert len({before, changed, TinyImageNet(folder).fingerprint()}) == 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shared"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(wnids=st.lists(st.sampled_from(LISTED), min_size=4, max_size=4), order=st.permutations(range(4)))
def test_each_image_has_the_label_of_its_line(shared: Path, wnids: list[str], order: list[int]) -> None:
    lines = annotations(tuple(wnids)).splitlines()
    file = shared / "val" / "val_annotations.txt"
    file.write_text("\r\n".join(lines[n] for n in order))
    val = TinyImageNet(shared).load("val")
    assert val.ids == [f"images/val_{n}.JPEG" for n in order]
    np.testing.assert_array_equal(val.targets, [sorted(LISTED).index(wnids[n]) for n in order])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.text(st.sampled_from("val_0.JPEG\t\n n02124075\r\x0b\u2028é/."), max_size=60))
def test_any_text_is_read_or_refused_in_one_line(shared: Path, text: str) -> None:
    (shared / "val" / "val_annotations.txt").write_text(text, encoding="utf-8", newline="")
    said = "val_annotations.txt: "
    try:
        val = TinyImageNet(shared).load("val")
        assert len(val) == len({*val.ids})
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert "val_annotations.txt" in said or "no images" in said
