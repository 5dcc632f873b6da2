"""CIFAR-10, CIFAR-10.1 and CIFAR-10-C in their published layouts, generated small or sparse."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from harness.contract.data import Dataset, Split
from harness.errors import DataError, OptionError, Unavailable
from harness_data import roots
from harness_data.cifar import CIFAR10, CIFAR10C, CIFAR101, CLASS_NAMES, RECORD_BYTES, ROWS, TEMPLATES
from harness_data.corruptions import ALL_CORRUPTIONS


def _binary(path: Path, labels: np.ndarray, marks: dict[tuple[int, int, int, int], int]) -> None:
    """A batch of the binary version: `marks` sets value at (image, channel, row, column)."""
    rows = np.zeros((ROWS, RECORD_BYTES), np.uint8)
    rows[:, 0] = labels
    for (image, channel, row, column), value in marks.items():
        rows[image, 1 + channel * 1024 + row * 32 + column] = value
    rows.tofile(path)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    _binary(folder / "test_batch.bin", np.arange(ROWS) % 10, {(3, 2, 5, 7): 200, (4, 0, 31, 0): 9})
    return tmp_path


def test_the_binary_version_is_planar_and_row_major(binary: Path) -> None:
    dataset = CIFAR10(root=binary)
    assert isinstance(dataset, Dataset)
    assert dataset.unavailable() is None
    assert dataset.label_space == "cifar-10"
    split = dataset.load("test")
    assert isinstance(split, Split)
    assert len(split) == len(split.ids) == ROWS
    assert split.targets.dtype == np.int64
    image = split[3].image
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image[5, 7].tolist() == [0, 0, 200]
    assert image.sum() == 200
    assert split[4].image[31, 0].tolist() == [9, 0, 0]
    assert (split[13].label, split[13].id) == (3, "test/00013")
    assert split.class_names == CLASS_NAMES


def test_training_batches_follow_each_other(binary: Path) -> None:
    for i in range(1, 6):
        _binary(binary / "cifar-10-batches-bin" / f"data_batch_{i}.bin", np.full(ROWS, i), {(0, 0, 0, 0): i})
    split = CIFAR10(binary).load("train")
    assert len(split) == 5 * ROWS
    for i in range(5):
        assert split.targets[i * ROWS] == split.targets[(i + 1) * ROWS - 1] == i + 1
        assert split[i * ROWS].image[0, 0, 0] == i + 1
    with_train = CIFAR10(binary).fingerprint()
    (binary / "cifar-10-batches-bin" / "data_batch_5.bin").unlink()
    assert CIFAR10(binary).fingerprint() != with_train
    with pytest.raises(Unavailable, match=r"data_batch_5\.bin is missing"):
        CIFAR10(binary).load("train")


def test_a_cut_off_batch_is_refused(binary: Path) -> None:
    path = binary / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-RECORD_BYTES])
    with pytest.raises(DataError, match=r"test_batch\.bin: expected 30730000 bytes, found 30726927"):
        CIFAR10(binary).load("test")


def test_npz(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "cifar10.npz"
    np.savez(path, x_test=images, y_test=np.arange(6)[:, None])
    split = CIFAR10(tmp_path).load("test")
    np.testing.assert_array_equal(split[2].image, images[2])
    assert split.targets.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(DataError, match=r"no array x_train or y_train; it has x_test, y_test"):
        CIFAR10(tmp_path).load("train")
    np.savez(path, x_test=images, y_test=np.arange(5, 11))
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.9, found 5\.\.10"):
        CIFAR10(tmp_path).load("test")
    np.savez(path, x_test=images.transpose(0, 3, 1, 2), y_test=np.arange(6))
    with pytest.raises(DataError, match=r"N×32×32×3, found uint8 \(6, 3, 32, 32\)"):
        CIFAR10(tmp_path).load("test")
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"cifar10\.npz: can't be read as a NumPy file"):
        CIFAR10(tmp_path).load("test")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> object:
        return (Path.touch, (self.where,))


def test_pickles_that_are_not_the_published_ones_are_never_opened(tmp_path: Path) -> None:
    folder, sprung = tmp_path / "cifar-10-batches-py", tmp_path / "sprung"
    folder.mkdir()
    for name in ("test_batch", "batches.meta", *(f"data_batch_{i}" for i in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(DataError, match="not the published ones"):
        CIFAR10(tmp_path).load("test")
    assert not sprung.exists()
    pickle.loads((folder / "test_batch").read_bytes())
    assert sprung.exists()  # the trap itself works


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = np.array([Trap(sprung)], dtype=object)
    np.save(tmp_path / "fog.npy", trap, allow_pickle=True)
    np.save(tmp_path / "labels.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "cifar10.npz", x_test=trap, y_test=trap)
    for dataset in (CIFAR10C("fog", root=tmp_path), CIFAR10(tmp_path)):
        with pytest.raises(DataError, match="can't be read"):
            dataset.load("test")
    assert not sprung.exists()


@pytest.mark.parametrize(("version", "count"), [("v4", 2021), ("v6", 2000)])
def test_cifar_10_1(tmp_path: Path, version: str, count: int) -> None:
    folder = tmp_path / "CIFAR-10.1" / "datasets"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    np.save(folder / f"cifar10.1_{version}_data.npy", images)
    dataset = CIFAR101(version, root=tmp_path)  # type: ignore[arg-type]
    assert "labels" in dataset.unavailable()
    np.save(folder / f"cifar10.1_{version}_labels.npy", (np.arange(count) % 10).astype(np.int32))
    assert dataset.unavailable() is None
    split = dataset.load("test")
    assert len(split) == count
    np.testing.assert_array_equal(split[count - 1].image, images[-1])
    assert split[12].label == 2
    np.save(folder / f"cifar10.1_{version}_data.npy", images[:-1])
    with pytest.raises(DataError, match=f"expected {count} images, found shape .{count - 1}, 32"):
        dataset.load("test")
    np.save(folder / f"cifar10.1_{version}_data.npy", np.uint8(3))
    with pytest.raises(DataError, match=rf"expected {count} images, found shape \(\)"):
        dataset.load("test")


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CIFAR-10-C whose images hold their own row number in the first pixel."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "CIFAR-10-C"
    folder.mkdir()
    images = np.lib.format.open_memmap(folder / "fog.npy", "w+", np.uint8, (5 * ROWS, 32, 32, 3))
    rows = np.arange(5 * ROWS)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = rows // 256, rows % 256
    images.flush()
    np.save(folder / "labels.npy", np.tile(np.arange(ROWS) % 10, 5).astype(np.uint8))
    return root


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(2000) % 10).astype(np.int32)
    seen = []
    for pixels, numbers in ((images, labels), (images[::-1], labels), (images, labels[::-1])):
        np.save(tmp_path / "cifar10.1_v6_data.npy", pixels)
        np.save(tmp_path / "cifar10.1_v6_labels.npy", numbers)
        seen += [CIFAR101(root=tmp_path).fingerprint()]
        assert CIFAR101(root=tmp_path).fingerprint() == seen[-1]
    assert len(set(seen)) == 3


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_a_severity_is_its_ten_thousand_rows(corrupted: Path, severity: int) -> None:
    split = CIFAR10C("fog", severity, root=corrupted).load("test")
    assert len(split) == ROWS
    for index in (0, 1, ROWS - 1):
        high, low, _ = (int(v) for v in split[index].image[0, 0])
        assert high * 256 + low == (severity - 1) * ROWS + index
        assert split[index].label == index % 10
        assert split.ids[index] == f"test/{index:05d}"
    assert isinstance(split.images, np.memmap)


def test_anything_but_fifty_thousand_rows_is_refused(tmp_path: Path, corrupted: Path) -> None:
    np.save(tmp_path / "fog.npy", np.zeros((ROWS, 32, 32, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(5 * ROWS, np.uint8))
    with pytest.raises(DataError, match=r"fog\.npy: expected 50000 rows"):
        CIFAR10C("fog", root=tmp_path).load("test")
    (tmp_path / "fog.npy").unlink()
    (tmp_path / "fog.npy").symlink_to(corrupted / "CIFAR-10-C" / "fog.npy")
    np.save(tmp_path / "labels.npy", np.zeros(ROWS, np.uint8))
    with pytest.raises(DataError, match=r"labels\.npy: expected 50000 rows"):
        CIFAR10C("fog", root=tmp_path).load("test")


def test_cifar_10_c_knows_its_corruptions() -> None:
    for name in ALL_CORRUPTIONS:
        CIFAR10C(name, 5)
    with pytest.raises(OptionError, match="did you mean 'glass_blur'"):
        CIFAR10C("glasblur")
    with pytest.raises(OptionError, match="from 1 to 5"):
        CIFAR10C("fog", 0)


def test_missing_splits_are_named(binary: Path) -> None:
    with pytest.raises(OptionError, match="no split 'val'; it has train, test"):
        CIFAR10(binary).load("val")


def test_missing_data_say_where_they_were_sought_and_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(roots.ENVIRONMENT_VARIABLE, raising=False)
    for dataset in (CIFAR10(), CIFAR101(), CIFAR10C("fog")):
        reason = dataset.unavailable()
        assert roots.ENVIRONMENT_VARIABLE in reason
        assert "\n" not in reason
        assert dataset.fingerprint() == "absent"
        with pytest.raises(Unavailable):
            dataset.load("test")
    monkeypatch.setenv(roots.ENVIRONMENT_VARIABLE, str(tmp_path))
    for dataset, file in (
        (CIFAR10(), "test_batch.bin"),
        (CIFAR101(), "v6_data.npy"),
        (CIFAR10C("fog"), "fog.npy"),
    ):
        reason = dataset.unavailable()
        assert str(tmp_path) in reason
        assert file in reason
        assert "get " in reason


def test_the_environments_root_is_used_and_the_option_wins(
    binary: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(roots.ENVIRONMENT_VARIABLE, str(binary))
    assert CIFAR10().unavailable() is None
    assert CIFAR10(tmp_path_factory.mktemp("empty")).unavailable() is not None


def test_the_templates_are_clips_eighteen() -> None:
    assert len(set(TEMPLATES)) == 18
    assert TEMPLATES[0] == "a photo of a {}."
    assert TEMPLATES[7:10] == ("a photo of a small {}.", "a photo of a big {}.", "a photo of the {}.")
    assert TEMPLATES[-5] == "a high contrast photo of the {}."


def test_any_byte_of_a_batch_counts(binary: Path) -> None:
    file = binary / "cifar-10-batches-bin" / "test_batch.bin"
    before, times = CIFAR10(root=binary).fingerprint(), file.stat()
    for image in (17, 4242, 9998):
        with file.open("r+b") as batch:
            batch.seek(image * RECORD_BYTES)
            batch.write(bytes([(image + 5) % 10]))  # another label
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert CIFAR10(root=binary).fingerprint() != before
        before = CIFAR10(root=binary).fingerprint()
