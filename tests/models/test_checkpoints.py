"""Checkpoints of the usual trainers through timm, open_clip and torchvision, and through a whole run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

import harness
from harness.errors import OptionError
from harness_open_clip import OpenClipModel
from harness_timm import RANDOM_HEAD, TimmModel
from harness_torchvision.models import TorchvisionModel

CPU = torch.device("cpu")
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def resnet(seed: int, classes: int = 3) -> torch.nn.Module:
    """A small network of timm's with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model("test_resnet", num_classes=classes).eval()
        for value in network.parameters():
            value.data.add_(0.05 * torch.randn_like(value))
    return network


def clip(seed: int, **more: Any) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return open_clip.CLIP(**TINY, **more).eval()


def prefixed(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


A, B = resnet(1).state_dict(), resnet(2).state_dict()


def answers(path: Path, **options: Any) -> tuple[torch.Tensor, list[str]]:
    """Logits (or features, without a head) of timm's network with a checkpoint, and the remarks."""
    model = TimmModel("test_resnet", checkpoint=path, label_space="x", **options)
    model.load(CPU)
    with torch.inference_mode():
        return model.module(IMAGES), list(model.remarks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.pth"


@pytest.mark.parametrize("options", [{}, {"num_classes": 3}])
def test_timm_takes_the_averaged_weights_and_tells(path: Path, options: dict[str, Any]) -> None:
    torch.save({"epoch": 3, "model": B, "ema": prefixed(A, "module.")}, path)
    found, told = answers(path, **options)
    with torch.inference_mode():
        assert torch.equal(found, resnet(1)(IMAGES))
    assert told == ["the averaged weights under 'ema' were taken; 'model' is there too (weights_key chooses)"]
    found, told = answers(path, weights_key="model", **options)
    with torch.inference_mode():
        assert torch.equal(found, resnet(2)(IMAGES))
    assert not told


def test_the_key_is_part_of_a_models_identity(path: Path) -> None:
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_references

    torch.save({"model": B, "ema": A}, path)
    options = {"plugin": "timm:test_resnet", "checkpoint": str(path)}
    (plain,) = parse_references(options, "x")
    (chosen,) = parse_references({**options, "weights_key": "model"}, "x")
    one, other = (Resolver().resolve("models", reference, "x") for reference in (plain, chosen))
    assert one.identity != other.identity


@pytest.mark.parametrize("make", [TimmModel, TorchvisionModel, OpenClipModel])
def test_the_key_needs_a_checkpoint(make: Any) -> None:
    name = "ViT-B-32" if make is OpenClipModel else "resnet18"
    with pytest.raises(OptionError, match="weights_key chooses within a checkpoint; give checkpoint=FILE"):
        make(name, weights_key="ema")


def test_a_self_supervised_backbone_is_loaded_without_its_head(path: Path) -> None:
    heads = {"fc.0.weight": torch.ones(8, 8), "fc.2.weight": torch.ones(8, 8)}
    trunk = {n: v for n, v in A.items() if not n.startswith("fc.")}
    queue = {"module.queue": torch.ones(8, 9), "module.queue_ptr": torch.zeros(1)}
    torch.save(
        {"arch": "r", "state_dict": {**prefixed({**trunk, **heads}, "module.encoder_q."), **queue}}, path
    )
    for options in ({}, {"num_classes": 0}):
        found, told = answers(path, **options)
        bare = resnet(1)
        bare.reset_classifier(0)
        with torch.inference_mode():
            assert torch.equal(found, bare(IMAGES))
        assert told == [
            "the weights under 'state_dict.encoder_q' were taken",
            "2 other tensors beside the weights were left out (first: state_dict.queue)",
            "a head of 2 tensors was left out (first: fc.0.weight)",
        ]
    with pytest.raises(OptionError, match=r"2 missing \(first: fc\.weight\); 2 unexpected"):
        answers(path, num_classes=3)


def test_a_plain_head_goes_without_a_word_where_none_is_asked_for(path: Path) -> None:
    torch.save(A, path)
    assert answers(path, num_classes=0)[1] == []


def test_a_head_of_another_size_is_one_clear_line(path: Path) -> None:
    torch.save(A, path)
    with pytest.raises(OptionError, match="has a head of 3 outputs, but num_classes is 10"):
        answers(path, num_classes=10)
    network = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=3)
    torch.save({"model": network.state_dict()}, path)
    with pytest.raises(OptionError, match="has a head of 3 outputs, but num_classes is 10"):
        TorchvisionModel("shufflenet_v2_x0_5", checkpoint=path, num_classes=10).load(CPU)


def test_names_of_transformers_are_refused(path: Path) -> None:
    names = {f"resnet.encoder.stages.0.layers.{n}.weight": torch.ones(3, 3) for n in range(5)}
    save_file(names, path)
    with pytest.raises(OptionError, match=r"does not fit the architecture: .* missing .* 5 unexpected"):
        answers(path)


def test_a_random_head_in_place_of_a_published_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    built = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **kw: built(name, **kw))
    model = TimmModel("test_resnet.r160_in1k", num_classes=7, label_space="seven")
    model.load(CPU)
    assert model.remarks == [RANDOM_HEAD]
    for options in ({}, {"num_classes": 0}, {"num_classes": 7}):
        model = TimmModel("test_resnet.r160_in1k", **options)  # whole, or a backbone
        model.load(CPU)
        assert model.remarks == []


def test_torchvision_opens_the_same_wrappings(path: Path) -> None:
    for name, extra in (
        ("shufflenet_v2_x0_5", {}),
        ("googlenet", {"aux_logits": False, "init_weights": False}),
    ):
        with torch.random.fork_rng():
            torch.manual_seed(4)
            network = torchvision.models.get_model(name, weights=None, num_classes=5, **extra).eval()
        state = {"state_dict": prefixed(network.state_dict(), "net."), "optimizer_states": []}
        torch.save(state, path)
        model = TorchvisionModel(name, weights="none", checkpoint=path, label_space="five")
        model.load(CPU)
        batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert torch.equal(model.classify(batch), network(batch))
        assert model.remarks == ["the weights under 'state_dict.net' were taken"]


# ---------------------------------------------------------------- open_clip


def embeddings(
    folder: Path, content: Any, config: dict[str, Any] = TINY, **options: Any
) -> tuple[Any, list[str]]:
    (folder / "tiny.json").write_text(json.dumps(config))
    torch.save(content, folder / "w.pt")
    model = OpenClipModel("tiny", config=folder / "tiny.json", checkpoint=folder / "w.pt", **options)
    model.load(CPU)
    with torch.inference_mode():
        return model.module.encode_image(IMAGES), list(model.remarks)


C, D = clip(1).state_dict(), clip(2).state_dict()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (C, []),
        (prefixed(C, "module."), []),
        (
            {"epoch": 1, "name": "run", "state_dict": prefixed(C, "module."), "optimizer": {}},
            ["the weights under 'state_dict' were taken"],
        ),
        ({"model": C}, ["the weights under 'model' were taken"]),
        (
            {"model": D, "ema": C},
            ["the averaged weights under 'ema' were taken; 'model' is there too (weights_key chooses)"],
        ),
        ({**C, "input_resolution": torch.tensor(32), "context_length": torch.tensor(12)}, []),
        ({n: v.half() for n, v in C.items()}, []),
        ({**C, "logit_scale": C["logit_scale"].reshape(1)}, []),
    ],
)
def test_open_clip_opens_its_own_and_other_trainers_checkpoints(
    tmp_path: Path, content: dict[str, Any], told: list[str]
) -> None:
    found, remarks = embeddings(tmp_path, content)
    expected = clip(1)
    if (
        next(iter(content.values())) is not None
        and getattr(content.get("visual.proj"), "dtype", None) == torch.float16
    ):
        expected.load_state_dict(content)
    with torch.inference_mode():
        assert torch.equal(found, expected.encode_image(IMAGES))
    assert remarks == told


def test_a_logit_bias_that_one_side_lacks_is_told(tmp_path: Path) -> None:
    content = {**C, "logit_bias": torch.tensor(-10.0)}
    with pytest.raises(OptionError, match="has a logit_bias, but the config has no init_logit_bias"):
        embeddings(tmp_path, content)
    config = {**TINY, "init_logit_bias": -5.0}
    assert embeddings(tmp_path, content, config)[1] == []
    assert embeddings(tmp_path, C, config)[1] == ["the checkpoint has no logit_bias: 0 is assumed"]


def test_resized_positions_are_told(tmp_path: Path) -> None:
    config = {**TINY, "text_cfg": {**TINY["text_cfg"], "context_length": 8}}
    _, told = embeddings(tmp_path, C, config)
    assert told == ["positional_embedding was resized from 12 to 8 positions"]


def test_what_does_not_fit_open_clips_network_is_counted(tmp_path: Path) -> None:
    content = {n: v for n, v in C.items() if "resblocks" not in n}
    with pytest.raises(
        OptionError, match=r"24 missing \(first: visual\.transformer\.resblocks\.0\."
    ) as caught:
        embeddings(tmp_path, {"model": content})
    assert "…" not in str(caught.value)


def test_old_names_of_a_text_tower_are_understood(tmp_path: Path) -> None:
    config = {**TINY, "custom_text": True}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        custom = open_clip.CustomTextCLIP(**TINY).eval()
    old = {n.removeprefix("text."): v for n, v in custom.state_dict().items()}
    found, told = embeddings(tmp_path, {"state_dict": prefixed(old, "module.")}, config)
    with torch.inference_mode():
        assert torch.equal(found, custom.encode_image(IMAGES))
    assert told == ["the weights under 'state_dict' were taken"]


def test_random_weights_of_open_clip_are_told_at_planning(tmp_path: Path) -> None:
    assert OpenClipModel("ViT-B-32").remarks == ["random weights: neither a tag nor a checkpoint is given"]
    assert not OpenClipModel("ViT-B-32/openai").remarks
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    assert "no weights file" in (OpenClipModel(f"local-dir:{tmp_path}").unavailable() or "")
    (tmp_path / "open_clip_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a Git LFS pointer" in (OpenClipModel(f"local-dir:{tmp_path}").unavailable() or "")


def test_a_folder_of_timms_with_a_pointer_in_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "no weights file" in (TimmModel(f"local-dir:{tmp_path}").unavailable() or "")
    assert TimmModel(f"local-dir:{tmp_path}", pretrained=False).unavailable() is None
    (tmp_path / "model.safetensors").write_bytes(b"<html>")
    assert "is an HTML page" in (TimmModel(f"local-dir:{tmp_path}").unavailable() or "")


# ---------------------------------------------------------------- a whole run


def test_a_run_tells_where_weights_stood_and_keeps_both_rows_of_equal_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two copies of one file, the same model under two labels, a wrapping, and a page in place of a file."""
    for n, colour in enumerate(("red", "green", "blue")):
        for i in range(2):
            file = tmp_path / "data" / "test" / colour / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), tuple(255 * (k == n) for k in range(3))).save(file)
    torch.save(A, tmp_path / "one.pth")
    (tmp_path / "two.pth").write_bytes((tmp_path / "one.pth").read_bytes())
    torch.save({"model": B, "model_ema": A}, tmp_path / "ema.pth")
    torch.save({"model": B, "best": A}, tmp_path / "both.pth")
    (tmp_path / "page.pth").write_bytes(b"<html>")
    files = {"one": "one", "two": "two", "again": "one", "ema": "ema", "both": "both", "page": "page"}
    suite = {
        "name": "ck",
        "protocol": "classification",
        "models": [
            {
                "plugin": "timm:test_resnet", "label": label, "checkpoint": str(tmp_path / f"{file}.pth"),
                "num_classes": 3, "label_space": "c",
            }
            for label, file in files.items()
        ],
        "datasets": [{"plugin": "imagefolder", "path": str(tmp_path / "data"), "label_space": "c", "label": "d"}],
        "metrics": ["nll"],
    }  # fmt: skip
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    harness.run(suite, store=tmp_path / "store", device="cpu")
    (table,) = harness.table("ck", store=tmp_path / "store")
    text = table.render("terminal")
    frame = table.to_frame()
    values = dict(zip(frame.index.get_level_values(0), frame.iloc[:, 0], strict=True))
    assert list(values) == list(files)
    assert values["one"] == values["two"] == values["again"] == pytest.approx(values["ema"])
    assert math.isnan(values["both"])
    assert math.isnan(values["page"])
    assert "model 'two' is the same as 'one' in all that decides results: they share one record" in text
    assert "the averaged weights under 'model_ema' were taken; 'model' is there too" in text
    assert "several weights that fit and differ: 'best' and 'model'" in text
    assert "is an HTML page, no weights: download it again" in text


def test_orders_of_names_on_one_file_of_weights_are_models_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image is of exactly one of three cyclic orders, so the numbers add up to one."""
    colours = ["blue", "green", "red"]
    for colour in colours:
        file = tmp_path / "data" / "test" / colour / "0.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (16, 16), colour).save(file)
    torch.save(A, tmp_path / "w.pth")
    orders = [colours[n:] + colours[:n] for n in range(3)]
    suite = {
        "name": "names",
        "protocol": "classification",
        "models": [
            {"plugin": "timm:test_resnet", "label": "-".join(o), "checkpoint": str(tmp_path / "w.pth"), "class_names": o}
            for o in [*orders, ["a", "b", "c"]]
        ],
        "datasets": [{"plugin": "imagefolder", "path": str(tmp_path / "data"), "label": "d"}],
        "metrics": ["top1"],
    }  # fmt: skip
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
    assert outcome.plan.counts() == {"run": 3, "skipped": 1}
    found = [r.metrics["top1"] for r in outcome.records if r.status == "ok"]
    assert sum(found) == pytest.approx(1)
    assert len({r.id for r in outcome.records}) == 4
