"""Every first-party data set passes the kit, on small files where it reads files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness.testing import DatasetConformance

SMALL: dict[str, Mapping[str, Any] | None] = {
    "ade20k": {"path": "{files}"},
    "aro": None,  # this and other captions to choose from in tests/data/test_caption_pairs.py
    "arrays": {"path": "{files}/arrays"},
    "awa2": None,  # in tests/data/test_awa2.py, with its own files
    "caption-shards": None,  # this and other captions in tests/data/test_caption_*.py
    "caption-table": None,
    "cifar10": {"root": "{files}"},
    "cifar10-c": {"root": "{files}", "corruption": "fog", "severity": 3},
    "cifar10.1": {"root": "{files}"},
    "cityscapes": {"path": "{files}"},
    "class-subset": {"dataset": "digits", "classes": 3},
    "coco-captions": None,  # this and other questions in tests/data/test_question_*.py
    "coco-objects": {"path": "{files}/coco"},
    "colour-words": {"count": 6},
    "coop-split": {"name": "mine", "split_file": "{files}/coop.json", "images": "{files}/coop"},
    "corrupted": {"dataset": {"plugin": "imagefolder", "path": "{files}/folders"}, "corruption": "fog"},
    "digits": {},
    "domains": {"path": "{files}/domains"},
    "dots": {"size": 8},
    "drawn-objects": {"train": 4, "test": 4},
    "drawn-regions": {"train": 4, "test": 4},
    "gaussian-mixture": {},
    "hateful-memes": None,  # in tests/fusion, with its own files
    "hub-questions": None,
    "huggingface": {"name": "{files}/hub"},
    "imagefolder": {"path": "{files}/folders"},
    "imagenet": {"root": "{files}", "partial": True},
    "imagenet-a": {"root": "{files}", "partial": True},
    "imagenet-c": {"root": "{files}", "corruption": "fog", "severity": 3, "partial": True},
    "imagenet-r": {"root": "{files}", "partial": True},
    "imagenet-sketch": {"root": "{files}", "partial": True},
    "imagenetv2": {"root": "{files}", "partial": True},
    "karpathy": None,
    "mask-folder": {"path": "{files}/regions"},
    "media-table": None,
    "mvsa": None,  # in tests/fusion, with its own files
    "objectnet": {"root": "{files}", "partial": True},
    "pairs": {"path": "{files}/pairs.csv"},
    "pairs-webdataset": None,  # in tests/fusion, with its own files
    "pope": None,
    "printed-digits": {},
    "question-file": None,
    "scene-attributes": {"train": 1, "test": 1},
    "scene-captions": {"count": 4, "frames": 2},
    "scene-choices": {"count": 4},
    "scene-domains": {"train": 12, "test": 12},
    "scene-episodes": {"count": 4},
    "scene-films": {"count": 4},
    "scene-pairs": {"count": 40},
    "scene-questions": {"count": 4},
    "scene-winoground": {"count": 4},
    "scenes": {"per_class": 2},
    "stacked": {"dataset": "digits", "count": 40},
    "sugarcrepe": None,
    "tiny-imagenet": {"root": "{files}"},
    "torchvision": {"name": "FakeData"},
    "video-captions": None,  # in tests/data/test_video_captions.py
    "voc-objects": {"path": "{files}"},
    "voc-regions": {"path": "{files}"},
    "voc2007": {"root": "{files}"},
    "vqa": None,
    "webdataset": {"path": "{files}/shards"},
    "winoground": None,
    "yolo-objects": {"path": "{files}/yolo"},
}


def own() -> set[str]:
    """The names of the first-party data sets."""
    return {p.name for p in registry.installed("datasets") if p.distribution == "vision-harness"}


def test_none_is_left_out() -> None:
    assert own() == set(SMALL)


def filled(value: Any, files: Path) -> Any:
    """The options with the folder of files put in."""
    if isinstance(value, Mapping):
        return {k: filled(v, files) for k, v in value.items()}
    return value.replace("{files}", str(files)) if isinstance(value, str) else value


class TestFirstParty(DatasetConformance):
    @pytest.fixture(params=[name for name, options in SMALL.items() if options is not None])
    def dataset(self, request: pytest.FixtureRequest, files: Path) -> Any:
        if request.param == "huggingface" and not (files / "hub").exists():
            saved_by_datasets(files / "hub")
        options = filled(SMALL[request.param], files)
        part = Resolver().resolve("datasets", Reference(request.param, options), "kit")
        assert part.problem is None, part.problem
        assert part.missing is None, part.missing
        return part.object


def saved_by_datasets(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )

    def rows(first: int) -> Any:
        images = [Image.new("RGB", (6, 6), (first + i, 20, 30)) for i in range(4)]
        return datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)

    datasets.DatasetDict({"train": rows(1), "test": rows(100)}).save_to_disk(str(folder))
