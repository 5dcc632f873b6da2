"""Class names that trainers store beside the weights: found whatever the layout, without executing the file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness import OptionError
from harness.inference.names_in_checkpoints import find_stored_names, read_names
from harness_timm import TimmModel
from harness_torchvision.models import TorchvisionModel

NAMES = ("pug", "dog", "cat")
LAYOUTS: dict[str, dict[str, Any]] = {
    "class_names": {"class_names": list(NAMES)},
    "classes": {"classes": NAMES},
    "class_to_idx": {"class_to_idx": {"cat": 2, "pug": 0, "dog": 1}},
    "names": {"names": {2: "cat", 0: "pug", 1: "dog"}},
    "idx_to_class": {"idx_to_class": {"0": "pug", "1": "dog", "2": "cat"}},
    "meta.CLASSES": {"meta": {"CLASSES": NAMES}},
    "meta.dataset_meta.classes": {"meta": {"dataset_meta": {"classes": NAMES}}},
    "hyper_parameters.class_names": {"hyper_parameters": argparse.Namespace(class_names=list(NAMES))},
}


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("key", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False])
def test_names_are_found_under_each_key_in_new_and_old_files(key: str, zipped: bool, tmp_path: Path) -> None:
    content = {"state_dict": {"fc.weight": torch.zeros(3, 2)}, "epoch": 3, "x": Evil(tmp_path / "run")}
    file = tmp_path / "mine.pth"
    torch.save({**content, **LAYOUTS[key]}, file, _use_new_zipfile_serialization=zipped)
    (found,) = find_stored_names(file)
    assert (found.key, found.names) == (key, NAMES)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ['["pug", "dog", "cat"]', "pug, dog,cat", '{"pug": 0, "cat": 2, "dog": 1}'])
def test_names_are_found_in_the_metadata_of_safetensors(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file({"w": torch.zeros(3)}, file, metadata={"class_names": text, "format": "pt"})
    assert [f.names for f in find_stored_names(file)] == [NAMES]


@pytest.mark.parametrize(
    "value",
    [None, 3, [], [1, 2], {}, {"a": 0, "b": 2}, {"a": 0, "b": 0}, {"a": True}, "word", "[1", {"a": 0.5}],
)
def test_other_values_are_no_names(value: Any) -> None:
    assert read_names(value) is None


def test_a_file_that_is_no_checkpoint_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PK\x03\x04 cut")
    (tmp_path / "b").write_bytes(b"\x10\0\0\0\0\0\0\0{ no JSON")
    assert [find_stored_names(tmp_path / name) for name in "abc"] == [[], [], []]


def save(path: Path, head: int = 3, **more: Any) -> Path:
    import timm

    torch.save({"state_dict": timm.create_model("test_resnet", num_classes=head).state_dict(), **more}, path)
    return path


def test_a_model_names_its_outputs_by_them_and_says_so(tmp_path: Path) -> None:
    plain, named = save(tmp_path / "a.pth"), save(tmp_path / "b.pth", class_names=list(NAMES))
    model = TimmModel("test_resnet", checkpoint=named)
    assert model.class_names == list(NAMES)
    assert model.lacks == {}
    assert model.remarks == ["class names from b.pth (class_names)"]
    assert "names:" in model.fingerprint()
    assert "names:" not in TimmModel("test_resnet", checkpoint=plain, num_classes=3).fingerprint()
    other = TorchvisionModel("resnet18", checkpoint=named)
    assert (other.class_names, other.remarks) == (model.class_names, model.remarks)
    assert TimmModel("test_resnet", checkpoint=named, class_names=["Pug", "dog", "cat"]).remarks == []
    (said,) = TimmModel("test_resnet", checkpoint=named, class_names=["cat", "dog", "pug"]).remarks
    assert said == ("the class_names given were taken, not those in b.pth (class_names: 'pug', 'dog', 'cat')")


def test_names_that_contradict_are_not_silently_replaced_by_an_order(tmp_path: Path) -> None:
    two = save(tmp_path / "two.pth", class_names=list(NAMES), classes=["a", "b", "c"])
    for count in (None, 3):
        lacks = TimmModel("test_resnet", checkpoint=two, num_classes=count).lacks["classifies images"]
        assert "in 2 ways (class_names: 'pug', 'dog', 'cat' and classes: 'a', 'b', 'c')" in lacks
    four = save(tmp_path / "four.pth", 4, class_names=list(NAMES))
    lacks = TimmModel("test_resnet", checkpoint=four, num_classes=4).lacks["classifies images"]
    assert (
        "names 3 classes (class_names: 'pug', 'dog', 'cat'), but num_classes is 4: give class_names" in lacks
    )
    model = TimmModel("test_resnet", checkpoint=four)
    model.load(torch.device("cpu"))  # its features can be used
    assert model.encode_image(torch.zeros(1, 3, 64, 64)).ndim == 2
    with pytest.raises(OptionError, match="has a head of 4 outputs, but names 3 classes"):
        model.classify(torch.zeros(1, 3, 64, 64))
