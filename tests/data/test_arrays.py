"""Images and labels in NumPy files."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract.data import Dataset, Split
from harness.errors import DataError
from harness.inference.images import decode
from harness_data.arrays import Arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 2], dtype=np.uint8)
NAMES = np.array(["ant", "bee", "cat"])


def test_npz(tmp_path):
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=LABELS, class_names=NAMES)
    data = Arrays(tmp_path / "set.npz")
    assert isinstance(data, Dataset)
    assert data.splits == ("test",)
    split = data.load("test")
    assert isinstance(split, Split)
    assert split.targets.dtype == np.int64
    assert split.targets.tolist() == [2, 0, 1, 2]
    assert split.class_names == ["ant", "bee", "cat"]
    assert split.ids == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(np.asarray(decode(split[1].image)), IMAGES[1])


def test_folder_of_npy_and_of_npz(tmp_path):
    pair = tmp_path / "pair"
    pair.mkdir()
    np.save(pair / "images.npy", IMAGES[..., 0])
    np.save(pair / "labels.npy", LABELS)
    (pair / "class_names.txt").write_text("ant\nbee\ncat\n")
    split = Arrays(pair).load("test")
    assert split.class_names == ["ant", "bee", "cat"]
    np.testing.assert_array_equal(np.asarray(decode(split[3].image))[..., 1], IMAGES[3, ..., 0])

    several = tmp_path / "several"
    several.mkdir()
    for name in ("train", "test"):
        np.savez(several / f"{name}.npz", images=IMAGES, labels=LABELS)
    assert Arrays(several).splits == ("test", "train")
    assert Arrays(several).load("train").class_names is None
    with pytest.raises(DataError, match="no split 'val'"):
        Arrays(several).load("val")


def test_nothing_there(tmp_path):
    assert "expected an .npz file" in Arrays(tmp_path).unavailable()
    with pytest.raises(DataError, match=r"expected an \.npz file"):
        Arrays(tmp_path / "gone.npz").load("test")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "no array 'labels'"),
        ({"images": IMAGES.astype(float), "labels": LABELS}, "must be uint8"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, "must be uint8 of shape"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "4 images but 3 labels"),
        ({"images": IMAGES, "labels": LABELS.astype(float)}, "labels must be N integers"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "holds no samples"),
        (
            {"images": IMAGES, "labels": LABELS, "class_names": NAMES[:2]},
            r"label 2 of sample 0 is outside 0\.\.1",
        ),
        ({"images": IMAGES, "labels": np.array([0, -1, 0, 0])}, "label -1 of sample 1 is outside"),
        ({"images": IMAGES, "labels": np.array([0, "a", None, {}], dtype=object)}, "'labels' can't be read"),
    ],
)
def test_refused_with_the_files_name(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=rf"bad\.npz: .*{message}"):
        Arrays(tmp_path / "bad.npz").load("test")


def test_damaged_file(tmp_path):
    np.savez(tmp_path / "cut.npz", images=IMAGES, labels=LABELS)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.npz: can't be read"):
        Arrays(tmp_path / "cut.npz").load("test")


def test_damaged_content_of_an_archive(tmp_path):
    np.savez_compressed(tmp_path / "bad.npz", images=IMAGES, labels=LABELS)
    content = bytearray((tmp_path / "bad.npz").read_bytes())
    for place in range(100, 200):
        content[place] ^= 255
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.npz: array 'images' can't be read"):
        Arrays(tmp_path / "bad.npz").load("test")


def test_files_that_are_not_what_their_names_say(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    (tmp_path / "images.npy").rename(tmp_path / "set.npz")
    with pytest.raises(DataError, match=r"set\.npz: holds one array \(\.npy\), unlike what its suffix says"):
        Arrays(tmp_path / "set.npz").load("test")
    folder = tmp_path / "pair"
    folder.mkdir()
    np.savez(folder / "images.npz", images=IMAGES)
    (folder / "images.npz").rename(folder / "images.npy")
    np.save(folder / "labels.npy", LABELS)
    with pytest.raises(
        DataError, match=r"images\.npy: holds an archive \(\.npz\), unlike what its suffix says"
    ):
        Arrays(folder).load("test")


def test_fingerprint_is_of_the_content(tmp_path):
    for name, images in (("a", IMAGES), ("b", IMAGES), ("c", IMAGES[::-1])):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=LABELS)
    a, b, c = (Arrays(tmp_path / f"{name}.npz") for name in "abc")
    assert a.fingerprint() != c.fingerprint()
    np.testing.assert_array_equal(b.load("test").images, IMAGES)
    assert Arrays(tmp_path / "a.npz", class_names=["x", "y", "z"]).fingerprint() != a.fingerprint()


@pytest.mark.parametrize(
    "name", ["classes", "Names", "class_name", "classnames", "class-names", "label_names"]
)
def test_names_of_classes_under_another_key_are_refused(tmp_path, name):
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=LABELS, **{name: NAMES})
    line = f"set.npz: has no array 'class_names', but one called '{name}': rename it to 'class_names', or remove it"
    assert Arrays(tmp_path / "set.npz").unavailable().endswith(line)
    with pytest.raises(DataError, match="rename it to 'class_names'"):
        Arrays(tmp_path / "set.npz").load("test")
    data = Arrays(tmp_path / "set.npz", class_names=["a", "b", "c"])
    assert data.unavailable() is None
    assert data.remarks == [f"1 array is not used: {name} (in set.npz)"]


@pytest.mark.parametrize(
    ("known", "name"), [("images", "x"), ("labels", "y"), ("labels", "label"), ("images", "image")]
)
def test_images_and_labels_under_another_key_are_refused(tmp_path, known, name):
    given = {"images": IMAGES, "labels": LABELS}
    np.savez(tmp_path / "set.npz", **{name if k == known else k: v for k, v in given.items()})
    assert f"has no array '{known}', but one called '{name}'" in Arrays(tmp_path / "set.npz").unavailable()


def test_arrays_and_files_that_are_not_used_are_told(tmp_path):
    np.savez(tmp_path / "test.npz", images=IMAGES, labels=LABELS, y_train=LABELS, weights=LABELS)
    np.savez(tmp_path / "train.npz", images=IMAGES, labels=LABELS)
    (tmp_path / "README.txt").write_text("about it")
    told = "2 arrays are not used: y_train, weights (in test.npz)"
    assert Arrays(tmp_path).remarks == [told]
    (tmp_path / "class_names.txt").write_text("ant\nbee\ncat\n")
    np.save(tmp_path / "images.npy", IMAGES)
    assert Arrays(tmp_path).remarks == [
        f"{told}; 2 of 4 files are not used: 1 .npy, 1 .txt (first: class_names.txt)"
    ]


def test_labels_without_a_sample_are_told(tmp_path):
    np.savez(tmp_path / "one.npz", images=IMAGES, labels=LABELS + 1)
    assert Arrays(tmp_path / "one.npz").load("test").remarks == ["label 0 of 0..3 has no sample"]
    np.savez(tmp_path / "two.npz", images=IMAGES, labels=LABELS, class_names=[*NAMES, "dog", "emu"])
    assert Arrays(tmp_path / "two.npz").load("test").remarks == [
        "2 of 5 labels have no sample (first: label 3 'dog')"
    ]


def test_images_that_are_all_but_black_are_told(tmp_path):
    np.savez(tmp_path / "dark.npz", images=IMAGES // 255, labels=LABELS)
    assert (
        "no pixel in the 4 images checked exceeds 1 of 255"
        in Arrays(tmp_path / "dark.npz").load("test").remarks[0]
    )


def test_floats_are_told_how_to_become_images(tmp_path):
    np.savez(tmp_path / "bad.npz", images=IMAGES / 255, labels=LABELS)
    with pytest.raises(DataError, match=r"must be uint8 .* not float64 .*\(255 \* images\)\.round\(\)"):
        Arrays(tmp_path / "bad.npz").load("test")


@settings(max_examples=60, deadline=None)
@given(
    st.sets(
        st.sampled_from(["images", "labels", "class_names", "classes", "y", "x", "extra", "ids", "Label"])
    )
)
def test_every_array_is_read_told_or_refused(keys):
    held = {"images": IMAGES, "labels": LABELS, "class_names": NAMES, "classes": NAMES}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.npz"
        np.savez(file, **{key: held.get(key, LABELS) for key in keys})
        data = Arrays(file)
        if data.unavailable() or not {"images", "labels"} <= keys:
            with pytest.raises(DataError, match="no array"):
                data.load("test")
            return
        split = data.load("test")
        assert split.class_names == (NAMES.tolist() if "class_names" in keys else None)
        unknown = keys - {"images", "labels", "class_names"}
        assert "classes" not in unknown or "class_names" in keys
        said = " ".join(data.remarks)
        assert all(key in said for key in unknown)
        assert bool(unknown) == bool(said)
