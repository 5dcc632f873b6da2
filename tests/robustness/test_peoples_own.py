"""People's own folders and weights under `classification`: the right number, a refusal, or a footnote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import harness
from harness.discovery import registry
from harness.inference.splits import role_of

RGB = {
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0),
    "crimson": (128, 0, 0),
}  # fmt: skip


class Eye:
    """Sees an image's mean colour: logits over the named colours, nearest first."""

    label_space: str | None

    def __init__(
        self, colours: list[str], label_space: str | None = None, class_names: list[str] | None = None
    ) -> None:
        self.colours, self.label_space, self.class_names = colours, label_space, class_names
        self.num_classes = len(colours)

    def fingerprint(self) -> str:
        return "1"

    def load(self, device: object) -> None:
        self._known = torch.tensor([RGB[c] for c in self.colours]) / 255

    def prepare(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.convert("RGB"), np.float32).mean((0, 1)) / 255)[:, None, None]

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        return -(torch.cdist(images.flatten(1), self._known) ** 2)


class Reader:
    """Sees colours and reads colour words; `similarity` and `own` say how it compares them."""

    logit_scale = 1.0

    def __init__(self, similarity: str = "cosine", own: bool = False) -> None:
        self.similarity = similarity
        if own:
            self.score = lambda images, texts: -(torch.cdist(images, texts) ** 2)

    def fingerprint(self) -> str:
        return "1"

    def load(self, device: object) -> None:
        pass

    prepare = Eye.prepare

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        words = [set(re.findall(r"\w+", text.lower())) for text in texts]
        return torch.tensor([RGB[max(found & RGB.keys())] for found in words]) / 255


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with (
        registry.register_temporarily("models", "eye", Eye),
        registry.register_temporarily("models", "reader", Reader),
    ):
        yield


def draw(folder: Path, colour: str, count: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (4, 4), RGB[colour]).save(folder / f"{colour}{i}.png")


def run(tmp_path: Path, models: list, datasets: list, **suite):
    """The records of a small suite, and its table as text."""
    whole = {"name": "own", "protocol": "classification", "metrics": ["top1"], **suite}
    outcome = harness.run(
        {**whole, "models": models, "datasets": datasets}, store=tmp_path / "store", device="cpu"
    )
    labels = [m.get("label") if isinstance(m, dict) else m for m in models]
    if len(labels) > 1:  # those that were skipped come first otherwise
        outcome.records.sort(key=lambda r: labels.index(r.coordinates["model"]))
    return outcome.records, "\n".join(str(table) for table in outcome.tables())


EYE = {"plugin": "eye", "colours": ["green", "red"], "label_space": "colours"}


@pytest.mark.parametrize("name", ["valid", "validation", "dev", "eval", "Val"])
def test_without_a_test_split_the_validation_split_is_tested(tmp_path, name):
    for c, other in (("red", "green"), ("green", "red")):
        draw(tmp_path / "d" / "train" / c, c, 5)
        draw(tmp_path / "d" / name / c, c, 2)
        draw(tmp_path / "d" / name / c, other, 3)
    data = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label_space": "colours", "label": "d"}
    (record,), text = run(tmp_path, [EYE], [data])
    assert record.metrics == {"top1": pytest.approx(0.4)}
    said = f"tested on '{name}', a split for validation: the data set 'd' has none for testing"
    assert record.remarks == [said]
    assert said in text


def test_arrays_of_train_and_valid(tmp_path):
    (tmp_path / "a").mkdir()
    for name, labels in (("train", [0, 1, 0, 1]), ("valid", [0, 1, 1, 1])):
        images = np.stack([np.full((2, 2, 3), RGB[c], np.uint8) for c in ("green", "red", "green", "red")])
        np.savez(tmp_path / "a" / f"{name}.npz", images=images, labels=np.array(labels))
    data = {"plugin": "arrays", "path": str(tmp_path / "a"), "label_space": "colours"}
    (record,), text = run(tmp_path, [EYE], [data])
    assert record.metrics == {"top1": pytest.approx(0.75)}
    assert "tested on 'valid'" in text


@pytest.mark.parametrize("splits", [["train"], ["train", "extra"], ["trainval"], ["amazon", "dslr"]])
def test_nothing_is_tested_on_a_training_split_unasked(tmp_path, splits):
    for split in splits:
        draw(tmp_path / "d" / split / "green", "green")
        draw(tmp_path / "d" / split / "red", "red")
    data = {
        "plugin": "imagefolder", "path": str(tmp_path / "d"), "layout": "splits", "label_space": "colours"
    }  # fmt: skip
    (record,), text = run(tmp_path, [EYE], [data])
    assert record.status == "skipped"
    assert "has neither a split for testing nor one for validation, only" in text
    (record,), _ = run(tmp_path, [EYE], [data], protocol={"plugin": "classification", "split": splits[0]})
    assert record.metrics == {"top1": 1.0}


def test_outputs_in_any_order_are_found_by_name(tmp_path):
    for c in ("red", "green", "blue"):
        draw(tmp_path / "d" / c, c, 2)
    orders = (["blue", "green", "red"], ["green", "red", "blue"], ["Red", "BLUE", "green"])
    models = [
        {"plugin": "eye", "colours": [c.lower() for c in o], "class_names": o, "label": str(n)}
        for n, o in enumerate(orders)
    ]
    silent = {"plugin": "eye", "colours": ["green", "red", "blue"], "label": "silent"}
    data = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label": "d"}
    records, _ = run(tmp_path, [*models, silent], [data])
    assert [r.metrics["top1"] for r in records] == [1.0, 1.0, 1.0, 0.0]
    assert [len(r.remarks) for r in records] == [0, 1, 1, 1]
    assert "output i of the model 'silent' was assumed" in records[3].remarks[0]


def test_names_that_arrive_with_the_data_are_compared_as_well(tmp_path):
    images = np.stack([np.full((2, 2, 3), RGB[c], np.uint8) for c in ("green", "red")])
    np.savez(
        tmp_path / "a.npz", images=images, labels=np.array([0, 1]), class_names=np.array(["green", "red"])
    )
    named = {"plugin": "eye", "colours": ["red", "green"], "class_names": ["red", "green"], "label": "named"}
    wrong = {**named, "class_names": ["rot", "green"], "label": "wrong"}
    silent = {"plugin": "eye", "colours": ["red", "green"], "label": "silent"}
    data = {"plugin": "arrays", "path": str(tmp_path / "a.npz"), "label": "a"}
    records, _ = run(tmp_path, [named, wrong, silent], [data])
    assert records[0].metrics == {"top1": 1.0}
    assert records[0].remarks == [
        "the outputs of the model 'named' were put into the order of the classes, by name"
    ]
    assert (records[1].status, "no output for 1 of the data set's 2 classes, 'red'" in records[1].reason) == (
        "failed", True
    )  # fmt: skip
    assert len(records[2].remarks) == 1


def test_numbered_folders(tmp_path):
    colours = list(RGB)[:2] * 6
    for i, colour in enumerate(colours):
        draw(tmp_path / "d" / str(i), colour)
    model = {"plugin": "eye", "colours": colours, "label_space": "numbers"}
    data = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label_space": "numbers"}
    (record,), text = run(tmp_path, [model], [data])
    assert record.metrics["top1"] == pytest.approx(2 / 12)  # the first of equal outputs is taken
    assert "natural order ('2' is class 2); torchvision's ImageFolder takes '10' there" in text
    (record,), _ = run(tmp_path, [model], [{**data, "order": "natural"}])
    assert record.remarks == []
    assert record.metrics["top1"] == pytest.approx(2 / 12)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_an_own_checkpoint_needs_a_number_or_names(tmp_path, library):
    for c in ("red", "green", "blue"):
        draw(tmp_path / "d" / c, c)
    torch.manual_seed(0)
    name, make = ("resnet10t", timm.create_model) if library == "timm" else (
        "shufflenet_v2_x0_5", lambda n, **k: torchvision.models.get_model(n, weights=None, **k)
    )  # fmt: skip
    torch.save(make(name, num_classes=3).state_dict(), tmp_path / "mine.pth")
    own = {"plugin": library, "name": name, "checkpoint": str(tmp_path / "mine.pth")}
    models = [
        {**own, "num_classes": 3, "label": "number"},
        {**own, "class_names": ["red", "green", "blue"], "label": "names"},
        {**own, "num_classes": 4, "label": "wrong"},
        {**own, "label": "nothing"},
        {"plugin": library, "name": name, "num_classes": 3, "label": "no weights"},
    ]
    data = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label": "d"}
    records, _ = run(tmp_path, models, [data])
    assert [r.status for r in records] == ["ok", "ok", "skipped", "skipped", "skipped"]
    assert "was assumed to be class i" in records[0].remarks[0]
    assert records[1].remarks == [
        "the outputs of the model 'names' were put into the order of the classes, by name"
    ]
    assert "'wrong' has 4 outputs, the data set 'd' 3 classes" in records[2].reason
    assert "does not classify images: give num_classes or class_names" in records[3].reason
    assert "new and untrained: give the trained weights as checkpoint=FILE" in records[4].reason


def test_the_readmes_own_model(tmp_path, monkeypatch):
    readme = Path(__file__).parents[2] / "README.md"
    (reference,) = re.findall(
        r"harness run robustness --add-model '([^']+)'", readme.read_text(encoding="utf-8")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_CACHE")  # drawing the scenes takes most of the time
    from safetensors.torch import save_file

    network = timm.create_model("resnet18", num_classes=12)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    plan = harness.plan("robustness", add_models=[reference], store=tmp_path / "store")
    mine = [p for p in plan if p.cell.coordinates["model"] == "resnet18 (mine)"]
    assert {p.cell.dataset.label for p in mine if p.state == "run"} >= {"scenes", "scenes-R", "scenes-A"}
    assert all("label space 'scenes'" in p.reason for p in mine if p.state != "run")
    outcome = harness.run(
        "robustness",
        models=[reference],
        datasets=["scenes-V2"],
        limit=4,
        store=tmp_path / "store",
        device="cpu",
    )
    (record,) = outcome.records
    assert (record.status, record.count, record.remarks) == ("ok", 4, [])


def test_classes_of_one_name_share_a_prompt_and_that_is_told(tmp_path):
    draw(tmp_path / "d" / "Red", "red")
    draw(tmp_path / "d" / "red", "red")
    (record,), _ = run(tmp_path, ["reader"], [{"plugin": "imagefolder", "path": str(tmp_path / "d")}])
    assert record.metrics == {"top1": 0.5}
    assert record.remarks == [
        "reader on imagefolder (d): classes 'Red' and 'red' have the same prompt for the model: the later can't be predicted"
    ]


def test_models_say_how_they_compare_images_with_texts(tmp_path):
    """Of crimson and red only lengths differ, so that cosine, dot product and distance do, by hand."""
    draw(tmp_path / "d" / "crimson", "crimson", 2)
    draw(tmp_path / "d" / "red", "red")
    draw(tmp_path / "d" / "white", "white")
    kinds = {"cosine": {}, "dot": {"similarity": "dot"}, "own": {"own": True}}
    models = [{"plugin": "reader", **kind, "label": label} for label, kind in kinds.items()]
    data = [{"plugin": "imagefolder", "path": str(tmp_path / "d")}]
    records, _ = run(tmp_path, models, data)
    # by cosine crimson and red tie, and the first is taken; by dot product red beats crimson everywhere
    assert [r.metrics["top1"] for r in records] == [0.75, 0.5, 1.0]
    assert [r.notes.get("similarity") for r in records] == [None, "dot", "own"]
    # the mean of a model's own scores over templates, of which one says white whatever the class
    protocol = {"plugin": "classification", "templates": ["{}", "white, not {}"]}
    (record,), _ = run(tmp_path, models[2:], data, protocol=protocol)
    assert record.metrics == {"top1": 1.0}
    (refused,), _ = run(tmp_path, models[2:], data, protocol={"plugin": "classification", "logit_scale": 2.0})
    assert "scores images and texts itself, so there is no logit_scale" in refused.reason
    (odd,), _ = run(tmp_path, [{"plugin": "reader", "similarity": "euclid"}], data)
    assert odd.status != "ok"
    assert "expected 'cosine' or 'dot'" in odd.reason


SPLITS = st.sampled_from(
    ["train", "Training", "val", "valid", "dev", "eval", "test", "Testing", "extra", "images"]
)


@settings(max_examples=30)
@given(st.dictionaries(SPLITS, st.integers(0, 3), min_size=1, max_size=4), st.booleans())
def test_whatever_the_folders_are_called(tmp_path_factory, right, nested):
    """Of three images of a split as many are right as was drawn; a number that is not that has a footnote."""
    tmp_path = tmp_path_factory.mktemp("folders")
    for split, count in right.items():
        for c, other in (("green", "red"), ("red", "green")):
            folder = tmp_path / "d" / split / c / ("clip" if nested else "")
            draw(folder, c, count)
            draw(folder, other, 3 - count)
    data = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label_space": "colours"}
    (record,), _ = run(tmp_path, [EYE], [data])
    tests = [name for name in right if role_of(name) == "test"]
    if record.status != "ok":
        assert record.status == "skipped"
        assert not tests
    elif tests:
        assert record.notes["split"] in tests
    else:
        assert role_of(record.notes["split"]) == "validation"
        assert any("a split for validation" in text for text in record.remarks)
    if record.status == "ok":
        assert record.metrics["top1"] == pytest.approx(right[record.notes["split"]] / 3)
