"""timm models: the same numbers as timm itself, and one clear line for what can't work."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision.transforms as T
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config, resolve_model_data_config

from harness.contract.capability import capabilities
from harness.errors import HarnessError, OptionError, Unavailable
from harness.inference.classes import Classes, align_classes
from harness.inference.weights import digest
from harness_timm import _IMAGENET_TAG, TimmModel, build_timm_preparation
from harness_timm.library_sources import registered_models

CPU = torch.device("cpu")


def photo(height: int = 210, width: int = 333) -> Image.Image:
    """A random RGB image that is no square and no multiple of anything."""
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def by_hand(preparation) -> T.Compose:
    """What the contract says a `Preparation` means, in torchvision's words."""
    return T.Compose(
        [
            T.Resize(preparation.resize, T.InterpolationMode(preparation.interpolation)),
            T.CenterCrop(preparation.crop),
            T.ToTensor(),
            T.Normalize(preparation.mean, preparation.std),
        ]
    )


def saved(path: Path, arch: str, **kwargs) -> torch.nn.Module:
    """A random network of timm's whose weights are written to `path`."""
    torch.manual_seed(3)
    network = timm.create_model(arch, **kwargs).eval()
    # random norms and biases too: a fresh network's are all ones and zeros, which hides mix-ups
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.randn_like(value))
    if path.suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, path)
    return network


@pytest.mark.parametrize(
    ("arch", "file"), [("test_vit", "w.safetensors"), ("test_resnet", "w.pth"), ("test_efficientnet", "w.pt")]
)
def test_answers_equal_the_bare_network_bit_for_bit(tmp_path, arch, file):
    network = saved(tmp_path / file, arch)
    model = TimmModel(f"{arch}.r160_in1k", checkpoint=tmp_path / file)
    model.load(CPU)
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    prepared = model.prepare(photo())
    assert torch.equal(prepared, transform(photo()))
    assert torch.equal(by_hand(model.preparation)(photo()), prepared)
    batch = torch.stack([prepared, model.prepare(photo(400, 190))])
    with torch.inference_mode():
        logits, features = model.classify(batch), model.encode_image(batch)
        assert torch.equal(logits, network(batch))
        assert torch.equal(model.module.get_classifier()(features), logits)
    assert logits.shape == (2, 1000)
    assert model.label_space == "imagenet-1k"
    assert capabilities(model) == [
        "classifies images",
        "encodes images",
        "gives image tokens",
        "exposes its module",
    ]


def test_every_kind_of_timm_preprocessing_is_said_exactly_or_not_at_all():
    said = {}
    for mode in ("center", "squash", "border"):
        for size in ((3, 96, 96), (3, 96, 64)):
            config = {
                "input_size": size,
                "interpolation": "bicubic",
                "mean": (0.5, 0.4, 0.3),
                "std": (0.2, 0.3, 0.4),
                "crop_pct": 0.9,
                "crop_mode": mode,
            }
            preparation = build_timm_preparation(config)
            said[mode, size[1:]] = preparation is not None
            if preparation is not None:
                theirs = create_transform(**config, is_training=False)
                assert torch.equal(by_hand(preparation)(photo()), theirs(photo()))
    assert said == {
        ("center", (96, 96)): True,
        ("center", (96, 64)): False,
        ("squash", (96, 96)): True,
        ("squash", (96, 64)): True,
        ("border", (96, 96)): False,
        ("border", (96, 64)): False,
    }


def test_the_preprocessing_of_every_pretrained_timm_model_is_said_exactly_or_not_at_all():
    distinct = {}
    for name in timm.list_pretrained():
        config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        distinct.setdefault(str(config), config)
    small = [c for c in distinct.values() if c["input_size"][1] <= 300]
    assert len(small) > 50
    for config in small:
        preparation = build_timm_preparation(config)
        if preparation is None:
            assert config["crop_mode"] == "border"
        else:
            theirs = create_transform(**config, is_training=False)
            assert torch.equal(by_hand(preparation)(photo(90, 110)), theirs(photo(90, 110))), config


def test_a_folder_in_timms_own_layout(tmp_path):
    network = saved(tmp_path / "model.safetensors", "test_vit", num_classes=3)
    config = {"architecture": "test_vit", "num_classes": 3, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = TimmModel(f"local-dir:{tmp_path}", label_space="three")
    model.load(CPU)
    batch = model.prepare(photo())[None]
    with torch.inference_mode():
        assert torch.equal(model.classify(batch), network(batch))
    assert model.preparation.mean == (0.1, 0.2, 0.3)
    assert "config.json" in (TimmModel(f"local-dir:{tmp_path}/gone").unavailable() or "")


def test_the_fingerprint_follows_what_lies_in_a_folder(tmp_path):
    saved(tmp_path / "model.safetensors", "test_vit", num_classes=3)
    (tmp_path / "config.json").write_text('{"architecture": "test_vit", "num_classes": 3}')
    name = f"local-dir:{tmp_path}"
    seen = [TimmModel(name).fingerprint()]
    (tmp_path / "README.md").write_text("my model")
    assert TimmModel(name).fingerprint() == seen[0]
    with (tmp_path / "model.safetensors").open("ab") as file:
        file.write(b"more")
    seen.append(TimmModel(name).fingerprint())
    (tmp_path / "config.json").write_text('{"architecture": "test_vit", "num_classes": 4}')
    seen.append(TimmModel(name).fingerprint())
    assert len(set(seen)) == 3


def test_the_checkpoints_own_head_decides_the_number_of_classes(tmp_path):
    network = saved(tmp_path / "pets.safetensors", "test_vit", num_classes=37)
    model = TimmModel("test_vit", checkpoint=tmp_path / "pets.safetensors", label_space="oxford-iiit-pet")
    model.load(CPU)
    batch = model.prepare(photo())[None]
    with torch.inference_mode():
        assert torch.equal(model.classify(batch), network(batch))
    assert model.label_space == "oxford-iiit-pet"


def test_a_head_that_is_not_imagenets_is_never_read_as_imagenets(tmp_path):
    saved(tmp_path / "w.safetensors", "test_vit", num_classes=37)
    model = TimmModel("test_vit.r160_in1k", checkpoint=tmp_path / "w.safetensors")
    model.load(CPU)
    with pytest.raises(OptionError, match="37 outputs, not the 1000 classes of imagenet-1k"):
        model.classify(model.prepare(photo())[None])


@pytest.mark.parametrize(
    ("name", "options", "classifies"),
    [
        ("resnet50.a1_in1k", {}, True),
        ("resnet50", {}, True),
        ("resnet50", {"num_classes": 0}, False),
        ("resnet50", {"num_classes": 37}, False),
        ("resnet50", {"num_classes": 37, "label_space": "oxford-iiit-pet"}, True),
        ("vit_base_patch16_clip_224.openai", {}, False),
        ("vit_base_patch16_224.augreg_in21k", {}, False),
        ("vit_base_patch16_224.augreg_in21k", {"label_space": "imagenet-21k"}, True),
        ("resnet50", {"pretrained": False}, False),
        ("hf-hub:timm/resnet50.a1_in1k", {}, True),
        ("hf-hub:someone/flowers", {}, False),
        ("local-dir:flowers", {}, False),
    ],
)
def test_a_model_whose_outputs_mean_nothing_known_does_not_classify(name, options, classifies):
    model = TimmModel(name, **options)
    rest = ["encodes images", "gives image tokens", "exposes its module"]
    assert capabilities(model) == (["classifies images", *rest] if classifies else rest)


def test_the_tag_tells_an_imagenet_head_as_timms_own_registry_does():
    wrong = []
    for name in timm.list_pretrained():
        by_tag = bool(_IMAGENET_TAG.search(name.partition(".")[2]))
        if by_tag and timm.get_pretrained_cfg(name).num_classes != 1000:
            wrong.append(name)
    assert wrong == []


def test_names_read_from_the_sources_are_the_registrys():
    # the embedded plugin registers a network of its own when another test has used it
    own = {name for name in timm.list_models() if name.startswith("harness_")}
    assert registered_models("timm")[0] == frozenset(timm.list_models()) - own


def test_an_unknown_name_is_refused_with_the_nearest_before_torch_is_imported():
    script = (
        "import sys\n"
        "from harness_timm import TimmModel\n"
        "TimmModel('resnet50.a1_in1k')\n"
        "try:\n    TimmModel('resnett50')\n"
        "except Exception as error:\n    print(type(error).__name__, error, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=paths()
    )
    assert done.stdout.strip() == (
        "OptionError timm:resnett50: timm has no architecture 'resnett50'; did you mean 'resnet50'? False"
    )


def paths() -> dict[str, str]:
    """An environment in which a new interpreter finds what this one does."""
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_an_unknown_tag_is_refused_with_the_nearest():
    model = TimmModel("test_vit.r160_in1kk")
    with pytest.raises(OptionError, match=re.escape("did you mean 'test_vit.r160_in1k'?")):
        model.load(CPU)


def test_without_a_network_one_line_says_how_to_get_the_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.inference.weights._resolves", lambda address: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        TimmModel("test_vit.r160_in1k").load(CPU)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("timm:test_vit.r160_in1k: weights are not on this machine")
    assert "checkpoint=FILE" in str(caught.value)


class Trap:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path(self.mark),))


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    trap = Trap()
    trap.mark = str(tmp_path / "ran")
    pickle.loads(pickle.dumps(trap))
    (tmp_path / "ran").unlink()  # it does run where it is allowed to
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"state_dict": trap}, protocol=2))
    torch.save({"state_dict": trap}, tmp_path / "zip.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    for file in ("plain.pt", "zip.pt", "script.pt"):
        with pytest.raises(OptionError, match="holds more than plain weights") as caught:
            TimmModel("test_vit", checkpoint=tmp_path / file).load(CPU)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_architecture_is_one_clear_line(tmp_path):
    saved(tmp_path / "w.safetensors", "test_vit")
    with pytest.raises(OptionError, match=r"does not fit the architecture: .*unexpected") as caught:
        TimmModel("test_resnet", checkpoint=tmp_path / "w.safetensors").load(CPU)
    assert "\n" not in str(caught.value)
    state = timm.create_model("test_vit").state_dict()
    state["norm.weight"] = torch.zeros(7)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(OptionError, match=r"norm\.weight is \(7,\), expected \(64,\)"):
        TimmModel("test_vit", checkpoint=tmp_path / "w.safetensors").load(CPU)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_a_file_that_holds_no_weights_is_one_clear_line(tmp_path, file):
    (tmp_path / file).write_bytes(b"these are not weights")
    with pytest.raises(HarnessError, match=file) as caught:
        TimmModel("test_vit", checkpoint=tmp_path / file).load(CPU)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_told_at_planning(tmp_path):
    model = TimmModel("test_vit", checkpoint=tmp_path / "gone.pth")
    assert "gone.pth is not a file" in (model.unavailable() or "")
    assert TimmModel("test_vit").unavailable() is None


def test_the_fingerprint_follows_the_content_of_the_checkpoint(tmp_path):
    import hashlib

    file = tmp_path / "w.pth"
    file.write_bytes(b"one")
    model = TimmModel("test_vit", checkpoint=file)
    assert model.fingerprint() == "sha256:" + hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"other")
    assert model.fingerprint() == "sha256:" + hashlib.sha256(b"other").hexdigest()
    assert digest(file) in model.fingerprint()
    assert TimmModel("test_vit").fingerprint() == f"timm {timm.__version__}"


def test_random_weights_are_the_same_every_time_and_leave_the_callers_generator_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, second = (TimmModel("test_vit", pretrained=False, num_classes=5) for _ in range(2))
    first.load(CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second.load(CPU)
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_imagenet_outputs_are_found_by_wordnet_ids_and_names_of_a_part_of_the_classes(tmp_path: Path) -> None:
    model = Classes.of(TimmModel("resnet10t", label_space="imagenet-1k", pretrained=False))
    for names in (["n01443537", "n01440764"], ["Goldfish", "Tinca_tinca"]):
        found = align_classes(model, Classes(names=tuple(names)))
        assert found.columns == [(1,), (0,)]
        assert found.remarks == ["2 of the model's 1000 outputs are read, those with the classes' names"]
    assert "'crane' may be any of" in str(align_classes(model, Classes(names=("crane", "tench"))).refusal)
    own = Classes.of(TimmModel("resnet10t", class_names=["a", "b"], pretrained=False))
    assert own.keys is None


def test_names_of_outputs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("cat\n\ndog\n", encoding="utf-8")
    model = TimmModel("resnet10t", pretrained=False, class_names=file)
    assert (model.class_names, model.num_classes) == (["cat", "dog"], 2)
    before = model.fingerprint()
    file.write_text("dog\ncat\n", encoding="utf-8")
    assert TimmModel("resnet10t", pretrained=False, class_names=file).fingerprint() != before
    listed = TimmModel("resnet10t", pretrained=False, class_names=["cat", "dog"])
    assert listed.fingerprint() == f"timm {timm.__version__}"
    with pytest.raises(
        OptionError, match=r"class_names must be a list, or a file with one name per line or .*none\.txt"
    ):
        TimmModel("resnet10t", class_names=tmp_path / "none.txt")
    with pytest.raises(OptionError, match="class_names has no names"):
        TimmModel("resnet10t", class_names=[])
