"""Hugging Face data sets, on small ones saved to disk."""

import importlib.util
import io

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from harness.contract.data import Dataset, EncodedImage, Split
from harness.errors import DataError, Unavailable
from harness.inference.images import decode
from harness_data.hub import HuggingFace


def rows(number=4, labels=None, names=("cat", "dog")):
    images = [Image.new("RGB", (8, 6), (20 * i, 0, 0)) for i in range(number)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))})
    return datasets.Dataset.from_dict(
        {"image": images, "label": labels or [i % 2 for i in range(number)]}, features=features
    )


@pytest.fixture
def saved(tmp_path):
    datasets.DatasetDict({"train": rows(6), "validation": rows(3)}).save_to_disk(str(tmp_path / "pets"))
    return str(tmp_path / "pets")


def test_saved_to_disk(saved):
    data = HuggingFace(saved)
    assert isinstance(data, Dataset)
    assert data.unavailable() is None
    assert data.splits == ("train", "validation")
    split = data.load("validation")
    assert isinstance(split, Split)
    assert split.targets.tolist() == [0, 1, 0]
    assert split.class_names == ["cat", "dog"]
    assert split.ids == ["0", "1", "2"]
    sample = split[1]
    assert isinstance(sample.image, EncodedImage)
    assert "validation, row 1" in sample.image.name
    assert np.asarray(decode(sample.image))[0, 0].tolist() == [20, 0, 0]
    with pytest.raises(DataError, match="no split 'test'"):
        data.load("test")


def test_single_dataset_is_the_test_split(tmp_path):
    rows().save_to_disk(str(tmp_path / "one"))
    data = HuggingFace(str(tmp_path / "one"))
    assert data.splits == ("test",)
    assert len(data.load("test")) == 4


def test_columns(saved):
    with pytest.raises(DataError, match="no column 'labels'; did you mean 'label'"):
        HuggingFace(saved, label_column="labels").load("train")
    with pytest.raises(DataError, match="no column 'img'"):
        HuggingFace(saved, image_column="img").load("train")


def test_arrays_instead_of_images(tmp_path):
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    features = datasets.Features(
        {"pixels": datasets.Array3D((4, 5, 3), "uint8"), "fine": datasets.Value("int64")}
    )
    made = datasets.Dataset.from_dict({"pixels": list(pixels), "fine": [3, 1]}, features=features)
    made.save_to_disk(str(tmp_path / "arrays"))
    split = HuggingFace(str(tmp_path / "arrays"), image_column="pixels", label_column="fine").load("test")
    assert split.targets.tolist() == [3, 1]
    assert split.class_names is None
    np.testing.assert_array_equal(np.asarray(decode(split[1].image)), pixels[1])


def test_labels_that_are_texts(tmp_path):
    made = datasets.Dataset.from_dict({"image": [Image.new("L", (4, 4))] * 2, "label": ["dog", "cat"]})
    made.save_to_disk(str(tmp_path / "texts"))
    name = str(tmp_path / "texts")
    with pytest.raises(DataError, match=r"labels are texts \('dog', …\); give class_names"):
        HuggingFace(name).load("test")
    assert HuggingFace(name, class_names=["cat", "dog"]).load("test").targets.tolist() == [1, 0]
    with pytest.raises(DataError, match="label 'dog' is not among the class names"):
        HuggingFace(name, class_names=["cat", "dig"]).load("test")


def test_unlabelled_rows(tmp_path):
    rows(2, labels=[0, -1]).save_to_disk(str(tmp_path / "hidden"))
    with pytest.raises(DataError, match=r"row 1: label -1 is outside 0\.\.1"):
        HuggingFace(str(tmp_path / "hidden")).load("test")


def test_names_and_templates_given(saved):
    split = HuggingFace(saved, class_names=["tabby", "hound"], templates=["a {}"]).load("train")
    assert (split.class_names, split.templates) == (["tabby", "hound"], ["a {}"])


def test_missing_folder(tmp_path):
    assert "no folder written by save_to_disk" in HuggingFace(str(tmp_path)).unavailable()
    with pytest.raises(Unavailable, match="no folder written"):
        HuggingFace(str(tmp_path / "gone")).load("test")


def test_without_the_package(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "datasets" else find(name))
    assert "pip install vision-harness[hub]" in HuggingFace("cifar10").unavailable()
    with pytest.raises(Unavailable, match="needs the package datasets"):
        HuggingFace("cifar10").load("test")


def test_hub_that_cannot_be_reached(monkeypatch):
    def offline(*arguments, **options):
        raise ConnectionError("Couldn't reach\nthe hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    data = HuggingFace("owner/pets", revision="v1")
    assert data.splits == ("train", "test")
    assert data.unavailable() is None
    with pytest.raises(
        Unavailable, match=r"owner/pets: can't be loaded \(Couldn't reach the hub\); download"
    ):
        data.load("test")


def test_hub_options_are_passed_on(monkeypatch):
    seen = []

    def load(*arguments, **options):
        seen.append((arguments, options))
        if options["split"] == "dev":
            raise ValueError("Unknown split 'dev'.")
        return rows(2)

    monkeypatch.setattr(datasets, "load_dataset", load)
    data = HuggingFace("owner/pets", config="small", revision="v1", splits=["test", "dev"])
    assert len(data.load("test")) == 2
    assert seen == [(("owner/pets", "small"), {"split": "test", "revision": "v1"})]
    with pytest.raises(DataError, match="owner/pets: Unknown split 'dev'"):
        data.load("dev")


def test_fingerprint(saved, tmp_path):
    before = HuggingFace(saved).fingerprint()
    assert HuggingFace(saved).fingerprint() == before
    other = datasets.DatasetDict({"train": rows(6), "validation": rows(3, labels=[1, 1, 1])})
    other.save_to_disk(str(tmp_path / "other"))
    assert HuggingFace(str(tmp_path / "other")).fingerprint() != before
    assert HuggingFace("owner/pets", revision="a").fingerprint() != HuggingFace("owner/pets").fingerprint()
    assert "no revision is given" in HuggingFace("owner/pets").remarks[0]
    assert HuggingFace("owner/pets", revision="a").remarks == HuggingFace(saved).remarks == []


def test_images_that_rows_name_take_part(tmp_path):
    path = tmp_path / "0.bmp"
    Image.new("RGB", (8, 6)).save(path)
    rows(1).save_to_disk(str(tmp_path / "d"))
    (file,) = (tmp_path / "d").glob("*.arrow")  # as older versions wrote it, without the files' bytes
    with pa.ipc.open_stream(file.read_bytes()) as held:
        table = held.read_all()
    kind = table.schema.field("image").type
    table = table.set_column(0, "image", pa.array([{"bytes": None, "path": str(path)}], kind))
    with pa.ipc.new_stream(str(file), table.schema) as out:
        out.write_table(table)
    assert decode(HuggingFace(str(tmp_path / "d")).load("test")[0].image).size == (8, 6)
    before = HuggingFace(str(tmp_path / "d")).fingerprint()
    Image.new("RGB", (8, 6), "white").save(path)
    assert HuggingFace(str(tmp_path / "d")).fingerprint() != before


@pytest.mark.parametrize(
    "content", ["{broken", "[]", '{"splits": "train"}', '{"splits": ["../pets"]}', '{"splits": [".."]}']
)
def test_a_damaged_list_of_splits_is_named(saved, tmp_path, content):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(content)
    with pytest.raises(DataError, match=r"damaged/dataset_dict\.json: expected the names of splits"):
        HuggingFace(str(folder)).unavailable()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([[0.5, 1.0], [0.2, 0.9]], "list of float64"),
        ([[300, 1], [2, 9]], "list of int64"),
        ([[-1, 1], [2, 9]], "list of int64"),
        ([[1, 2], [3]], "list"),
        ("cat.jpg", "str"),
    ],
)
def test_images_of_another_kind_are_refused(tmp_path, value, found):
    data = datasets.Dataset.from_dict({"image": [value], "label": [0]})
    data.save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=f"row 0: expected an image file or pixels .*, found {found}"):
        HuggingFace(str(tmp_path / "set")).load("test")[0]


def test_images_as_pixels_and_as_bare_bytes(tmp_path):
    datasets.Dataset.from_dict({"image": [[[0, 255], [7, 8]]], "label": [0]}).save_to_disk(
        str(tmp_path / "a")
    )
    image = HuggingFace(str(tmp_path / "a")).load("test")[0].image
    assert (image.dtype, image.tolist()) == (np.uint8, [[0, 255], [7, 8]])
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (20, 0, 0)).save(file, "PNG")
    datasets.Dataset.from_dict({"image": [file.getvalue()], "label": [0]}).save_to_disk(str(tmp_path / "b"))
    assert decode(HuggingFace(str(tmp_path / "b")).load("test")[0].image).getpixel((0, 0)) == (20, 0, 0)


def test_labels_without_a_sample_are_told(tmp_path):
    rows(4, names=("cat", "dog", "emu")).save_to_disk(str(tmp_path / "one"))
    assert HuggingFace(str(tmp_path / "one")).load("test").remarks == ["label 2 'emu' of 0..2 has no sample"]
