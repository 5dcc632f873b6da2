"""Karpathy's splits, on small files of their layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness import DataError
from harness.testing import DatasetConformance
from harness_data.karpathy import Karpathy
from harness_data.karpathy_file import USUAL_COUNTS

SPLITS = ("test", "restval", "train", "val", "train")


def list_records(coco: bool = True) -> list[dict[str, Any]]:
    records = []
    for n, split in enumerate(SPLITS):
        year = "train" if split == "train" else "val"
        ids = [10 * n, 10 * n + 1]
        record = {
            "filename": f"COCO_{year}2014_{100 + n:012}.jpg" if coco else f"{100 + n}.jpg",
            "imgid": n,
            "split": split,
            "sentids": ids,
            "sentences": [
                {"raw": f" Caption {i} of it.\n", "tokens": ["caption"], "imgid": n, "sentid": i} for i in ids
            ],
        }
        records.append(record | ({"filepath": f"{year}2014", "cocoid": 100 + n} if coco else {}))
    return records


def write(folder: Path, records: list[dict[str, Any]], dataset: str = "coco") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"dataset_{dataset}.json"
    path.write_text(json.dumps({"images": records, "dataset": dataset}))
    for n, record in enumerate(list_records(dataset == "coco")):
        image = folder / "images" / record.get("filepath", "") / record["filename"]
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * n, 0, 0)).save(image)
    return path


class TestKarpathy(DatasetConformance):
    @pytest.fixture(params=["coco", "flickr30k"])
    def dataset(self, request: pytest.FixtureRequest, tmp_path: Path) -> Karpathy:
        write(tmp_path, list_records(request.param == "coco"), request.param)
        return Karpathy(tmp_path)


def test_restval_belongs_to_train(tmp_path):
    write(tmp_path, list_records())
    data = Karpathy(tmp_path)
    assert data.splits == ("train", "val", "test")
    train = data.load("train")
    assert train.ids == train.groups == ["101", "102", "104"]
    assert train.targets[0] == ("Caption 10 of it.", "Caption 11 of it.")
    assert Karpathy(tmp_path, restval=False).load("train").ids == ["102", "104"]
    assert "'train' includes the images of 'restval'" in train.remarks
    assert "'train' has 3 images, 113287 in the file as published" in train.remarks
    assert "'test' has 1 images, 5000 in the file as published" in data.load("test").remarks
    assert Path(train[0].image.name) == tmp_path / "images/val2014/COCO_val2014_000000000101.jpg"


def test_published_counts():
    assert {name: sum(counts.values()) for name, counts in USUAL_COUNTS.items()} == {
        "coco": 123_287,
        "flickr30k": 31_014,
        "flickr8k": 8_000,
    }


def test_flickr_has_no_folders(tmp_path):
    write(tmp_path, list_records(False), "flickr30k")
    (tmp_path / "images").rename(tmp_path / "flickr30k-images")
    test = Karpathy(tmp_path).load("test")
    assert test.ids == ["100.jpg"]
    assert Path(test[0].image.name) == tmp_path / "flickr30k-images/100.jpg"
    assert test.remarks == ["'test' has 1 images, 1000 in the file as published"]


def test_images_of_2017_are_the_same(tmp_path):
    path = write(tmp_path / "a", list_records())
    (tmp_path / "val2017").mkdir()
    (tmp_path / "a/images/val2014/COCO_val2014_000000000100.jpg").rename(
        tmp_path / "val2017/000000000100.jpg"
    )
    test = Karpathy(path, images=tmp_path).load("test")
    assert Path(test[0].image.name) == tmp_path / "val2017/000000000100.jpg"
    assert any("1 of 1 images is read from COCO's folders of 2017" in said for said in test.remarks)
    missing = Karpathy(path, images=tmp_path).load("val")
    assert any("1 of 1 image files is missing" in said for said in missing.remarks)


def change(number: int, **values: Any) -> Callable[[list[Any]], None]:
    return lambda records: records[number].update(values)


def change_sentence(**values: Any) -> Callable[[list[Any]], None]:
    return lambda records: records[1]["sentences"][0].update(values)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change(1, split="rest_val"), r"images\[1\]: no split 'rest_val'.*restval"),
        (change(1, imgid=0), r"images\[1\]: image 0 is at .*images\[0\] already"),
        (change(1, cocoid=100), r"images\[1\]: id 100 is at .*images\[0\] already"),
        (change(1, sentids=[11, 10]), r"images\[1\]: its sentids are not those of its 2 sentences"),
        (change(1, sentences=[{"raw": "x", "imgid": 0, "sentid": 10}]), r"is of image 0, but stands at image 1"),
        (change(1, filepath=".."), "is not a path below"),
        (change_sentence(raw=7), r"images\[1\], sentences\[0\]: `raw` should be a text"),
        (change_sentence(sentid=11), r"sentences\[1\]: sentence 11 is there twice"),
        (change(1, filepath="val2014", filename="COCO_val2014_000000000100.jpg"), "file val2014.* already"),
        (change(2, sentences=[{"raw": "x", "imgid": 2, "sentid": 0}], sentids=[0]), r"sentence 0 is at .*images\[0\]"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, edit, said):
    records = list_records()
    edit(records)
    with pytest.raises(DataError, match=said):
        Karpathy(write(tmp_path, records)).load("test")


def test_empty_captions_are_left_out(tmp_path):
    records = list_records()
    records[1]["sentences"][0]["raw"] = " \n"
    for sentence in records[2]["sentences"]:
        sentence["raw"] = ""
    train = Karpathy(write(tmp_path, records)).load("train")
    assert train.ids == ["101", "104"]
    assert "1 of 3 images have no caption and are left out (first: 102)" in train.remarks
    assert "3 of 6 captions are empty and left out" in train.remarks


def test_which_file_must_be_clear(tmp_path):
    assert "no such file" in Karpathy(tmp_path / "none").unavailable()
    assert "holds no dataset_*.json" in Karpathy(tmp_path).unavailable()
    write(tmp_path, list_records())
    write(tmp_path, list_records(False), "flickr30k")
    assert "dataset_coco.json, dataset_flickr30k.json: name one" in Karpathy(tmp_path).unavailable()
    assert Karpathy(tmp_path).splits == ()
