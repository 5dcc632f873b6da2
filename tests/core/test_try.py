"""`harness try` and `harness init`: from plain words to a number, and to a suite of the same cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.cli import main
from harness.discovery.plain_names import find_dataset, find_model
from harness.planning.plan import make_plan
from harness.planning.suite import load_suite_file
from harness.records.store import Store

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder `photos` of two splits, as the current one."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            folder = tmp_path / "here" / "photos" / split / name
            folder.mkdir(parents=True)
            for n in range(5):
                pixels = rng.normal(rng.uniform(0, 255, 3), 30, (40, 50, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{n}.png")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HARNESS_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    return tmp_path / "here"


def save_checkpoint(path: Path, classes: int = 3, seed: int = 0) -> Any:
    """A timm network with a head that differs between images, saved; returns it."""
    import timm
    import torch

    torch.manual_seed(seed)
    network = timm.create_model("test_resnet", num_classes=classes)
    with torch.no_grad():  # outputs that differ between images, around zero
        head = network.get_classifier()
        features = network.eval().forward_head(
            network.forward_features(torch.rand(16, 3, 160, 160)), pre_logits=True
        )
        head.weight.mul_(50)
        head.bias.copy_(-head.weight @ features.mean(0))
    torch.save(network.state_dict(), path)
    return network.eval()


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["try", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def predict(network: Any, folder: Path) -> dict[str, int]:
    """The network's output with the largest logit for each file, by timm and torch alone."""
    import timm
    import torch

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    files = sorted(folder.glob("*/*.png"))
    with torch.inference_mode():
        found = (
            network(torch.stack([transform(Image.open(f).convert("RGB")) for f in files])).argmax(1).tolist()
        )
    return dict(zip([f.relative_to(folder).as_posix() for f in files], found, strict=True))


def test_the_number_and_the_misses_are_those_of_timm_itself(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = save_checkpoint(here / "pets.pth")
    expected = predict(network, here / "photos" / "test")
    assert len({*expected.values()}) > 1  # else the order of classes would decide nothing
    said = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet", "--show", "99")
    right = {name for name, output in expected.items() if CLASSES[output] == name.partition("/")[0]}
    (top1,) = said["metrics"]
    assert top1["value"] == pytest.approx(len(right) / 15)
    assert top1["low"] < top1["value"] < top1["high"]
    assert {hit["id"] for hit in said["hits"]["first"]} == right
    assert {m["id"]: m["prediction"] for m in said["misses"]["first"]} == {
        name: CLASSES[output] for name, output in expected.items() if name not in right
    }
    chances = [m["probability"] for m in said["misses"]["first"]]
    assert chances == sorted(chances, reverse=True)
    assert said["classes"]["matched"] == "order"
    assert any("was assumed to be class i" in text for text in said["remarks"])
    assert said["preparation"]["crop"] == [160, 160]


def test_names_of_the_outputs_match_them_whatever_the_order(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = save_checkpoint(here / "pets.pth", classes=4)
    outputs = ["Owl", "ferret", "CAT", "dog"]
    (here / "names.txt").write_text("\n".join(outputs))
    import torch

    with torch.no_grad():  # no output for a class that the data set lacks
        network.get_classifier().bias[1] = -1e9
    torch.save(network.state_dict(), here / "pets.pth")
    expected = predict(network, here / "photos" / "test")
    said = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "names.txt")
    right = sum(outputs[o].lower() == name.partition("/")[0] for name, o in expected.items())
    assert said["metrics"][0]["value"] == pytest.approx(right / 15)
    assert said["classes"] | {"names": None} == {
        "matched": "name", "outputs": 4, "count": 3, "unread": 1, "unread_names": ["ferret"], "names": None,
    }  # fmt: skip


def test_names_inside_the_checkpoint_match_outputs_without_being_asked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    network = save_checkpoint(here / "pets.pth")
    expected = predict(network, here / "photos" / "test")
    outputs = ["owl", "dog", "cat"]
    stored = {"state_dict": network.state_dict(), "class_to_idx": {n: i for i, n in enumerate(outputs)}}
    torch.save(stored, here / "named.pth")
    said = answer(capsys, "named.pth", "photos", "--arch", "timm:test_resnet")
    right = sum(outputs[o] == name.partition("/")[0] for name, o in expected.items())
    assert said["metrics"][0]["value"] == pytest.approx(right / 15)
    assert said["classes"]["matched"] == "name"
    assert "named: class names from named.pth (class_to_idx)" in said["remarks"]
    # the same names in a file, as torchvision's ImageFolder has them
    (here / "names.json").write_text(json.dumps(stored["class_to_idx"]))
    same = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "names.json")
    assert same["metrics"] == said["metrics"]


def test_the_answer_alone_is_on_stdout(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from harness.records.store import Store

    save_checkpoint(here / "pets.pth")
    read = Store.samples

    def read_loudly(store: Store, record: str) -> Any:
        print("from Python")
        os.write(1, b"from C\n")
        return read(store, record)

    monkeypatch.setattr(Store, "samples", read_loudly)
    assert main(["try", "pets.pth", "photos", "--arch", "timm:test_resnet", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["samples"] == 15
    assert "from Python" in err
    assert "from C" in err


def test_all_numbers_of_a_metric_are_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(here / "pets.pth")
    metrics = ("--metric", "f1_per_class", "--metric", "top1")
    said = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet", *metrics)
    names = [m["metric"] for m in said["metrics"]]
    assert names[-1] == "top1"
    assert len(names) == 4
    for name in CLASSES:
        assert any(name in part for part in names)


def test_a_shared_record_is_told_in_the_labels_of_this_call(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(here / "pets.pth")
    first = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet")
    (here / "pets.pth").rename(here / "others.pth")
    (here / "photos").rename(here / "pictures")
    second = answer(capsys, "others.pth", "pictures", "--arch", "timm:test_resnet")
    assert second["id"] == first["id"]
    assert any("'others'" in text and "'pictures'" in text for text in second["remarks"])
    assert not any("'pets'" in text or "'photos'" in text for text in second["remarks"])


def test_one_class_gets_a_word_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(here / "one.pth", classes=1)
    for name in ("dog", "owl"):
        for split in ("train", "test"):
            (here / "photos" / split / name).rename(here / f"{split}-{name}")
    said = answer(capsys, "one.pth", "photos", "--arch", "timm:test_resnet")
    assert said["remarks"][-1] == "the data set has one class: accuracy on it tells nothing of the model"
    assert not any("another order" in text for text in said["remarks"])


def test_init_says_what_a_plan_of_its_suite_would_say(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(here / "pets.pth")
    (here / "photos" / "test").rename(here / "elsewhere")
    assert main(["init", "pets.pth", "photos", "--arch", "timm:test_resnet", "--skip-unreadable"]) == 0
    out, err = capsys.readouterr()
    assert "can't run as it is: the data set 'photos' has neither a split for testing" in err
    (here / "elsewhere").rename(here / "photos" / "test")
    assert main(["init", "pets.pth", "photos", "--arch", "timm:test_resnet", "--out", "more.toml"]) == 0
    err = capsys.readouterr().err
    words = ["timm:test_resnet?checkpoint=pets.pth&num_classes=3", "photos", "--out", "same.toml"]
    assert main(["init", *words]) == 0
    assert "num_classes" not in capsys.readouterr().err  # said by the user
    assert "pets: num_classes = 3 is the data set's number of classes; whether" in err
    assert "can't run" not in err
    assert "harness run mine.toml --skip-unreadable" in out


def test_the_second_time_no_model_is_loaded(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(here / "pets.pth")
    words = ("pets.pth", "photos", "--arch", "timm:test_resnet")
    first = answer(capsys, *words)
    monkeypatch.setattr("harness_timm.TimmModel.load", lambda *_: pytest.fail("loaded"))
    assert answer(capsys, *words) == first
    more = answer(capsys, *words, "--metric", "top1", "--metric", "nll")  # from kept evidence
    assert [m["metric"] for m in more["metrics"]] == ["top1", "nll"]


def test_what_is_printed_names_everything_and_escapes_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(here / "pets.pth")
    (here / "photos/test/cat/0.png").rename(here / "photos/test/cat/\x1b[31m.png")
    assert main(["try", "pets.pth", "photos", "--arch", "timm:test_resnet", "--show", "99"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    for part in (
        "photos (15 samples of 'test')",
        "matched by ORDER",
        "centre 160×160 cut out",
        "% interval, wilson",
    ):
        assert part in text
    assert "a suite of it: harness init pets.pth photos --arch timm:test_resnet --out mine.toml" in text


def test_init_writes_a_suite_of_the_same_cells_with_paths_from_its_folder(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(here / "pets.pth")
    tried = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet")["id"]
    (here / "suites").mkdir()
    words = ["pets.pth", "tiny-clip?tower=vit&steps=0", "photos", "digits", "--arch", "timm:test_resnet"]
    assert main(["init", *words, "--out", "suites/mine.toml"]) == 0
    monkeypatch.chdir("/")  # paths hold from everywhere
    suite = load_suite_file(here / "suites" / "mine.toml")
    assert str(here) not in (here / "suites" / "mine.toml").read_text()
    plan = make_plan(suite, done=Store(here.parent / "store").done())
    assert len(plan) == 4
    assert next(iter(plan)).state == "done"
    assert next(iter(plan)).cell.id == tried
    monkeypatch.chdir(here)
    assert main(["init", *words, "--out", "suites/mine.toml"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_save_writes_the_suite_that_was_tried(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(here / "pets.pth")
    said = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet", "--save", "mine.toml")
    (planned,) = make_plan(load_suite_file("mine.toml"), done=Store(here.parent / "store").done())
    assert (planned.state, planned.cell.id) == ("done", said["id"])


@pytest.mark.parametrize("odd", ["a b", "a'b", 'a"b', "ä\\n", "a=b&c?d", "#x"])
def test_odd_names_come_back_from_the_suite_file(odd: str, here: Path) -> None:
    (here / "photos").rename(here / odd)
    (here / "p.pth").touch()
    assert main(["init", "p.pth", odd, "--arch", "timm:test_resnet", "--out", "mine.toml"]) == 0
    suite = load_suite_file("mine.toml")
    assert suite.datasets == [{"plugin": "imagefolder", "label": odd, "path": odd}]


def test_other_kinds_of_data_are_recognised(here: Path) -> None:
    np.savez("data.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4))
    (here / "cifar-10-batches-bin").mkdir()
    (here / "cifar-10-batches-bin" / "test_batch.bin").touch()
    (here / "shards" / "test").mkdir(parents=True)
    (here / "shards" / "test" / "0.tar").touch()
    (here / "saved").mkdir()
    (here / "saved" / "dataset_info.json").touch()
    found = {
        text: find_dataset(text).plugin for text in ("photos", "photos/test", "data.npz", "shards", "saved")
    }
    assert found == {
        "photos": "imagefolder", "photos/test": "imagefolder", "data.npz": "arrays", "shards": "webdataset",
        "saved": "huggingface",
    }  # fmt: skip
    assert find_dataset("cifar-10-batches-bin").plugin == "cifar10"
    assert find_dataset("digits").entry == {"plugin": "digits"}
    assert find_model("resnet50.a1_in1k").entry == {"plugin": "timm:resnet50.a1_in1k"}
    assert find_model("ViT-B-32/openai").entry == {"plugin": "open_clip:ViT-B-32/openai"}


WRONG = {
    "file": (["pets.pht", "photos", "--arch", "resnet18"], "pets.pht: no such checkpoint file; did you mean 'pets.pth'?"),
    "no architecture": (["pets.pth", "photos"], "does not say which architecture it is of: add --arch NAME"),
    "architecture": (["pets.pth", "photos", "--arch", "resnet81"], "no model of that name; did you mean 'resnet18'?"),
    "no checkpoint": (["resnet18", "photos", "--arch", "resnet18"], "is for a checkpoint file, and 'resnet18' is none"),
    "takes none": (["pets.pth", "photos", "--arch", "tiny-vit"], "model 'tiny-vit' takes no checkpoint"),
    "model": (["resnt18", "photos"], "no such file, and no model of that name; did you mean 'resnet18'?"),
    "swapped": (["digits", "pets.pth"], "digits: is a data set, and no model: the model comes first"),
    "folder": (["resnet18", "fotos"], "fotos: no such file or folder, nor a data set of that name; did you mean 'photos'?"),
    "data set": (["resnet18", "digit"], "did you mean 'digits'?"),
    "empty": (["resnet18", "empty"], "empty: the folder is empty"),
    "no images": (["resnet18", "texts"], "texts: no data set is recognised there: expected <class>/*.jpg"),
    "one class": (["resnet18", "photos/test/cat"], "did you mean the folder above, 'photos/test'?"),
    "two kinds": (["resnet18", "both"], "arrays and imagefolder can read it: say which, such as 'arrays:both'"),
    "names": (["resnet18", "photos", "--class-names", "no.txt"], "--class-names no.txt: no such file"),
    "nothing to name": (["tiny-clip", "photos", "--class-names", "n.txt"], "'tiny-clip' has no outputs to be named"),
    "metric": (["resnet18", "photos", "--metric", "top-1"], "did you mean 'top1'?"),
    "out": (["resnet18", "photos", "--save", "mine.yaml"], "mine.yaml: a suite file must end in .toml"),
    "split": (["pets.pth", "photos", "--arch", "timm:test_resnet", "--split", "tset"], "did you mean 'test'?"),
    "weights": (["junk.pth", "photos", "--arch", "timm:test_resnet"], "can't be read as weights"),
    "head": (
        ["pets.pth", "photos/two", "--arch", "timm:test_resnet"],
        "a head of 3 outputs, but the data set 'two' has 2 classes ('cat', 'dog'): --class-names",
    ),
    "empty folder": (
        ["pets.pth", "photos/hollow", "--arch", "timm:test_resnet"],
        "'hollow' has 4 classes ('cat', 'dog', 'none', 'owl'), of which 'none', 'owl' have no sample: --class-names",
    ),
    "stored names": (
        ["stored.pth", "photos", "--arch", "timm:test_resnet"],
        "no output for 1 of the data set's 3 classes, 'owl'; did you mean 'owls'?; class names from stored.pth (names)",
    ),
    "train only": (["resnet18", "photos/only"], "name the one to test on (--split train)"),
    "device": (["pets.pth", "photos", "--arch", "timm:test_resnet", "--device", "tpu"], "--device tpu: no such device"),
    "names folder": (["resnet18", "photos", "--class-names", "empty"], "--class-names empty: is a folder"),
    "heading": (
        ["pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "headed.txt"],
        "but class_names has 4 names ('label', 'cat', 'dog', …); is its first, 'label', a heading?",
    ),
    "commas": (
        ["pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "commas.txt"],
        "harness: timm:test_resnet: class_names commas.txt is one line with commas, expected one name per line",
    ),
    "numbered": (
        ["pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "numbered.txt"],
        "the names of the model's outputs are numbered, as in '0 cat': without the numbers they would match",
    ),
    "apostrophe": (["resnet18", "it's/cat"], """did you mean the folder above, 'it'"'"'s'?"""),
    "other classes": (
        ["pets.pth", "photos", "--arch", "timm:test_resnet", "--class-names", "n.txt"],
        "the model 'pets' has no output for 1 of the data set's 3 classes, 'owl'; did you mean 'owls'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_end_in_one_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    save_checkpoint(here / "pets.pth")
    (here / "junk.pth").write_text("garbage")
    (here / "empty").mkdir()
    (here / "n.txt").write_text("cat\ndog\nowls\n")
    for folder in ("texts/a", "both/a", "photos/two/cat", "photos/two/dog"):
        (here / folder).mkdir(parents=True)
        (here / folder / "x.txt").write_text("x")
        if folder != "texts/a":
            Image.new("RGB", (9, 9)).save(here / folder / "x.png")
    for folder in ("photos/hollow/test/none", "photos/hollow/test/owl"):
        (here / folder).mkdir(parents=True)
    for folder in ("photos/hollow/test/cat", "photos/hollow/test/dog", "photos/only/train/cat", "it's/cat"):
        (here / folder).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(here / folder / "x.png")
    torch.save({"model": torch.load(here / "pets.pth"), "names": ["cat", "dog", "owls"]}, here / "stored.pth")
    (here / "headed.txt").write_text("label\ncat\ndog\nowl\n")
    (here / "commas.txt").write_text("cat,dog,owl\n")
    (here / "numbered.txt").write_text("0 cat\n1 dog\n2 owl\n")
    np.savez(here / "both" / "test.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4))
    words, expected = WRONG[case]
    assert main(["try", *words]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert expected in line


def test_a_model_at_chance_by_assumed_order_gets_a_hint(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    network = save_checkpoint(here / "pets.pth")
    with torch.no_grad():
        network.get_classifier().weight.zero_()
    torch.save(network.state_dict(), here / "pets.pth")
    said = answer(capsys, "pets.pth", "photos", "--arch", "timm:test_resnet")
    assert any("no better than chance" in text for text in said["remarks"])
