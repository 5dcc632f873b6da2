"""Animals with Attributes 2: both splits, the attributes of classes, and copies that are not what they should be."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from harness.discovery.plain_names import find_dataset
from harness.errors import DataError, Unavailable
from harness.testing import DatasetConformance
from harness_data.awa2 import AwA2
from harness_data.awa2_files import read_matrix

CLASSES = ("antelope", "grizzly+bear", "polar+bear", "bat", "seal")
ATTRIBUTES = ("black", "white", "swims")
STRENGTHS = [[0, 10.5, 0], [30.25, 0, 5], [0, 80, 60], [90, -1, 0], [20, 20, 99.5]]
BINARY = [[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]]
PER_CLASS = 3


def numbered(names: tuple[str, ...]) -> str:
    """As in the archive: numbers with spaces before them, tabs, and lines that end with spaces."""
    return "".join(f"{n:6d}\t{name}\n" for n, name in enumerate(names, start=1))


def rows(table: list[list[float]]) -> str:
    return "".join(" ".join(f"{value:7.2f}" for value in row) + "\n" for row in table)


def image_names() -> list[str]:
    return [f"{name}/{name}_{10001 + i}.jpg" for name in CLASSES for i in range(PER_CLASS)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with five classes of three images, and the proposed split of them but for one image."""
    root = tmp_path_factory.mktemp("awa2")
    base = root / "Animals_with_Attributes2"
    for n, name in enumerate(image_names()):
        path = base / "JPEGImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (10 * n, 0, 0)).save(file, "JPEG")
        path.write_bytes(file.getvalue())
    (base / "classes.txt").write_text(numbered(CLASSES))
    (base / "predicates.txt").write_text(numbered(ATTRIBUTES))
    (base / "predicate-matrix-continuous.txt").write_text(rows(STRENGTHS))
    (base / "predicate-matrix-binary.txt").write_text(
        "\n".join(" ".join(map(str, row)) for row in BINARY) + "\n"
    )
    (base / "trainclasses.txt").write_text("antelope\ngrizzly+bear\nbat\n")
    (base / "testclasses.txt").write_text("polar+bear\nseal\n")
    write_proposed(root)
    return root


def cells(texts: list[str]) -> Any:
    found = np.empty((len(texts), 1), object)
    found[:, 0] = texts
    return found


def write_proposed(root: Path, **changes: Any) -> None:
    """Two images of each seen class to learn from, one held out; bat and seal unseen, their last images nowhere."""
    names = image_names()[::-1]  # another order than that of the folders
    own = [n for n, name in enumerate(names, start=1) if "10002" not in name]
    unseen = [n for n in own if names[n - 1].startswith(("bat", "seal"))]
    held = [n for n in own if "10003" in names[n - 1] and n not in unseen]
    train = [n for n in own if n not in (*unseen, *held)]
    parts = {"trainval_loc": train, "test_seen_loc": held, "test_unseen_loc": unseen}
    columns = {key: np.array(value, np.uint16)[:, None] for key, value in parts.items()}
    splits = {"allclasses_names": cells(sorted(CLASSES)), **columns}
    labels = [sorted(CLASSES).index(name.partition("/")[0]) + 1 for name in names]
    listed = {
        "image_files": cells([f"/home/xian/JPEGImages//{name}" for name in names]),
        "labels": np.array(labels, float)[:, None],
        "features": np.zeros((4, len(names))),
    }
    folder = root / "xlsa17" / "data" / "AWA2"
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (("att_splits.mat", splits), ("res101.mat", listed)):
        kept = {key: changes.get(key, value) for key, value in content.items()}
        savemat(folder / file, {key: value for key, value in kept.items() if value is not None})


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    shutil.copytree(archive, tmp_path / "root")
    return tmp_path / "root"


@pytest.mark.parametrize("split", ["standard", "proposed"])
class TestConformance(DatasetConformance):
    @pytest.fixture
    def dataset(self, archive: Path, split: Any) -> AwA2:
        return AwA2(archive, split=split)


def test_standard_split(archive):
    data = AwA2(archive)
    assert data.splits == ("train", "test-unseen")
    train, test = (data.load(name) for name in data.splits)
    assert test.class_names == ["antelope", "grizzly bear", "polar bear", "bat", "seal"]
    assert test.class_keys == list(CLASSES)
    assert train.attribute_names == list(ATTRIBUTES)
    assert train.unseen.tolist() == [False, False, True, False, True]
    assert test.ids == [name for name in image_names() if name.startswith(("polar", "seal"))]
    assert test.targets.tolist() == [2] * 3 + [4] * 3
    assert sorted([*train.ids, *test.ids]) == sorted(image_names())
    assert any("ImageNet" in text for text in data.remarks)


def test_missing_strengths_are_no_numbers(archive):
    split = AwA2(archive).load("train")
    expected = np.array(STRENGTHS, float)
    expected[3, 1] = np.nan
    np.testing.assert_array_equal(split.class_attributes, expected)
    np.testing.assert_array_equal(split.class_attributes_binary, np.array(BINARY, float))
    assert "1 of 15 strength is missing (-1), and not a number here" in AwA2(archive).remarks


def test_proposed_split(archive):
    data = AwA2(archive, split="proposed")
    assert data.splits == ("train", "test-seen", "test-unseen")
    parts = {name: data.load(name) for name in data.splits}
    assert parts["train"].ids == [f"{c}/{c}_10001.jpg" for c in ("antelope", "grizzly+bear", "polar+bear")]
    assert parts["test-seen"].ids == [
        f"{c}/{c}_10003.jpg" for c in ("antelope", "grizzly+bear", "polar+bear")
    ]
    assert parts["test-unseen"].ids == [f"{c}/{c}_{n}.jpg" for c in ("bat", "seal") for n in (10001, 10003)]
    assert parts["test-unseen"].targets.tolist() == [3, 3, 4, 4]
    assert parts["train"].unseen.tolist() == [False, False, False, True, True]
    assert parts["train"].remarks == [
        "5 of 15 images are in no part of the proposed split (first: antelope/antelope_10002.jpg)"
    ]
    assert not any("ImageNet" in text for text in data.remarks)


def test_the_folder_itself_is_found_and_recognised(archive):
    folder = archive / "Animals_with_Attributes2"
    assert AwA2(folder).unavailable() is None
    assert AwA2(folder, split="proposed").unavailable() is None
    assert AwA2.recognise(folder) == {"root": folder}
    assert find_dataset(str(folder)).entry["plugin"] == "awa2"


def test_what_is_missing_is_said(copy, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    assert "AwA2-base.zip" in AwA2().unavailable()
    (copy / "xlsa17" / "data" / "AWA2" / "res101.mat").unlink()
    assert "res101.mat: is missing; get xlsa17.zip" in AwA2(copy, split="proposed").unavailable()
    shutil.rmtree(copy / "xlsa17")
    assert "xlsa17.zip" in AwA2(copy, split="proposed").unavailable()
    assert AwA2(copy).unavailable() is None
    (copy / "Animals_with_Attributes2" / "predicates.txt").unlink()
    with pytest.raises(Unavailable, match=r"predicates\.txt: is missing"):
        AwA2(copy).load("train")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("classes.txt", "1\tantelope\n3\tbat\n", "classes.txt:2: expected '2' and a name, found '3\tbat'"),
        ("classes.txt", "1\tbat\n2\tbat\n", "classes.txt:2: 'bat' is listed already in line 1"),
        ("classes.txt", "1\t../bat\n", "class '../bat' can't be the name of a class folder"),
        ("classes.txt", "\n", "classes.txt: lists nothing"),
        ("predicates.txt", "1 black\n2\n", "predicates.txt:2: expected '2' and a name"),
        ("testclasses.txt", "polar+beer\nseal", "testclasses.txt:1: class 'polar+beer' is not in classes.txt; did you"),
        ("testclasses.txt", "bat\n", "testclasses.txt:1: class 'bat' is listed also in trainclasses.txt"),
        ("testclasses.txt", "seal\nseal\n", "testclasses.txt:2: class 'seal' is listed twice"),
        ("testclasses.txt", "seal\n", "class 'polar+bear' is neither there nor in testclasses.txt"),
        ("predicate-matrix-binary.txt", "0 1 1\n0 1\n", "binary.txt:2: expected 3 numbers for class 'grizzly+bear', found 2"),
        ("predicate-matrix-binary.txt", "0 1 1\n", "binary.txt: expected 5 lines, one for each class, found 1"),
        ("predicate-matrix-binary.txt", "0 1 1\n" * 6, "binary.txt:6: expected 5 lines, one for each class, found more"),
        ("predicate-matrix-binary.txt", "0 1 2\n" * 5, "class 'antelope' has 2 for 'swims', expected 0 or 1"),
        ("predicate-matrix-continuous.txt", "0 x 1\n" * 5, "continuous.txt:1: expected numbers"),
        ("predicate-matrix-continuous.txt", "0 nan 1\n" * 5, "continuous.txt:1: expected finite numbers"),
        ("predicate-matrix-continuous.txt", "0 -2 1\n" * 5, "class 'antelope' has -2 for 'white', expected a strength"),
    ],
)  # fmt: skip
def test_faults_are_named_in_one_line(copy, file, text, message):
    (copy / "Animals_with_Attributes2" / file).write_text(text)
    with pytest.raises(DataError) as caught:
        AwA2(copy).load("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.ones((15, 1))}, "has the label of 'antelope': the two files do not belong together"),
        ({"labels": np.ones((3, 1))}, "has 15 image_files and 3 labels"),
        ({"image_files": None}, "res101.mat: has no variable 'image_files'"),
        ({"image_files": np.zeros((15, 1))}, "expected a list of names, found something else"),
        ({"test_seen_loc": np.array([[99]])}, "expected numbers from 1 to 15 in test_seen_loc"),
        ({"test_seen_loc": np.array([[15]])}, "image 'antelope/antelope_10001.jpg' is in 'train' and in 'test-seen'"),
        ({"trainval_loc": np.array([[15], [15]])}, "trainval_loc names an image twice"),
        ({"trainval_loc": np.array([[15], [2]])}, "class 'seal' of 'test-unseen' has images for training, too"),
    ],
)  # fmt: skip
def test_faults_of_the_proposed_split(copy, changes: Mapping[str, Any], message):
    write_proposed(copy, **changes)
    with pytest.raises(DataError) as caught:
        AwA2(copy, split="proposed").load("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_and_classes_agree(copy):
    images = copy / "Animals_with_Attributes2" / "JPEGImages"
    (images / "seals").mkdir()
    with pytest.raises(
        DataError, match=r"JPEGImages/seals: is not a class of classes\.txt; did you mean 'seal'"
    ):
        AwA2(copy).load("train")
    (images / "seals").rmdir()
    shutil.rmtree(images / "bat")
    with pytest.raises(
        DataError, match=r"JPEGImages/bat: no images of class 'bat', which classes\.txt lists"
    ):
        AwA2(copy).load("train")


def test_a_file_that_is_not_matlabs_and_an_image_that_is_missing(copy):
    folder = copy / "Animals_with_Attributes2" / "JPEGImages"
    (folder / "bat" / "bat_10003.jpg").unlink()
    with pytest.raises(
        DataError, match=r"bat_10003\.jpg: is missing, as 1 of the 4 images of 'test-unseen' are"
    ):
        AwA2(copy, split="proposed").load("test-unseen")
    (copy / "xlsa17" / "data" / "AWA2" / "res101.mat").write_text("nothing of the kind" * 20)
    with pytest.raises(DataError, match=r"res101\.mat: can't be read as a MATLAB file"):
        AwA2(copy, split="proposed").load("train")


def test_the_fingerprint_follows_the_content(copy):
    before = {split: AwA2(copy, split=split).fingerprint() for split in ("standard", "proposed")}
    assert before["standard"] != before["proposed"]
    write_proposed(copy, test_seen_loc=np.array([[13]]))
    assert AwA2(copy).fingerprint() == before["standard"]
    assert AwA2(copy, split="proposed").fingerprint() != before["proposed"]
    matrix = copy / "Animals_with_Attributes2" / "predicate-matrix-binary.txt"
    matrix.write_text(matrix.read_text().replace("0 0 0", "1 1 1"))
    assert AwA2(copy).fingerprint() != before["standard"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(-1e6, 1e6), min_size=width, max_size=width), min_size=1, max_size=6
        )
    )
)
def test_matrices_are_read_as_written(tmp_path_factory, table):
    file = tmp_path_factory.getbasetemp() / "matrix.txt"
    file.write_text("\n".join("  ".join(map(repr, row)) + "\t" for row in table))
    names = [f"c{n}" for n in range(len(table))]
    np.testing.assert_array_equal(read_matrix(file, names, range(len(table[0]))), np.array(table))
