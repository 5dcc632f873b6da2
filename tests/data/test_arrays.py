"""Images and labels in NumPy files."""

import numpy as np
import pytest

from harness.contract import Dataset, Split
from harness.errors import DataError
from harness.images import decode
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
    with pytest.raises(DataError, match=r"set\.npz: holds one array \(\.npy\), not what its name says"):
        Arrays(tmp_path / "set.npz").load("test")
    folder = tmp_path / "pair"
    folder.mkdir()
    np.savez(folder / "images.npz", images=IMAGES)
    (folder / "images.npz").rename(folder / "images.npy")
    np.save(folder / "labels.npy", LABELS)
    with pytest.raises(DataError, match=r"images\.npy: holds an archive \(\.npz\), not what its name says"):
        Arrays(folder).load("test")


def test_fingerprint_is_of_the_content(tmp_path):
    for name, images in (("a", IMAGES), ("b", IMAGES), ("c", IMAGES[::-1])):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=LABELS)
    a, b, c = (Arrays(tmp_path / f"{name}.npz") for name in "abc")
    assert a.fingerprint() != c.fingerprint()
    np.testing.assert_array_equal(b.load("test").images, IMAGES)
    assert Arrays(tmp_path / "a.npz", class_names=["x", "y", "z"]).fingerprint() != a.fingerprint()
