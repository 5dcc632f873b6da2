"""transformers' detectors, tiny ones made from configurations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import OptionError
from harness_detectors.hf_detector import HfDetector
from tests.detection.conftest import COLOURS, Rectangles

transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")
NAMES = {0: "N/A", 1: "cat", 2: "N/A", 3: "dog"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DETR of a few thousand weights, saved as `save_pretrained` does."""
    path = tmp_path_factory.mktemp("detr")
    body = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"], layer_type="basic"
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=body, use_pretrained_backbone=False, num_queries=6,
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, id2label=NAMES, label2id={v: k for k, v in NAMES.items()},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.DetrForObjectDetection(config).save_pretrained(path)
    transformers.DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 96}).save_pretrained(path)
    return path


@pytest.fixture
def detr(folder: Path) -> HfDetector:
    model = HfDetector(str(folder))
    assert model.unavailable() is None
    model.load(CPU)
    return model


def test_classes_and_batches(detr: HfDetector) -> None:
    assert list(detr.class_names) == ["cat", "dog"]
    assert detr._outputs == [-1, 0, -1, 1]
    data = Rectangles(4)
    images = [detr.prepare(data[row].image) for row in range(4)]
    together = detr.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = detr.detect([image])
        torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-2, rtol=0)
        torch.testing.assert_close(alone.scores, found.scores, atol=1e-4, rtol=0)
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert set(found.labels.tolist()) <= {0, 1}


def test_its_own_preparation_decides(detr: HfDetector, folder: Path) -> None:
    image = torch.rand(3, 40, 48)
    inputs: Any = transformers.AutoImageProcessor.from_pretrained(folder)(
        images=image, do_rescale=False, return_tensors="pt"
    )
    with torch.inference_mode():
        outputs = detr.module(**inputs)
    probabilities = outputs.logits.softmax(-1)[0, :, :-1].max(-1).values
    labels = outputs.logits[0, :, :-1].argmax(-1)
    expected = sorted(probabilities[(labels == 1) | (labels == 3)].tolist(), reverse=True)
    assert detr.detect([image])[0].scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_learning(detr: HfDetector) -> None:
    before = {name: tensor.clone() for name, tensor in detr.module.state_dict().items()}
    detr.begin(COLOURS, 1)
    after = detr.module.state_dict()
    changed = {
        name
        for name in before
        if before[name].shape != after[name].shape or not torch.equal(before[name], after[name])
    }
    assert changed == {"class_labels_classifier.weight", "class_labels_classifier.bias"}
    assert list(detr.class_names) == list(COLOURS)
    assert all(
        parameter.requires_grad
        for name, parameter in detr.module.named_parameters()
        if "backbone" not in name
    )
    data = Rectangles(6)
    images = [detr.prepare(data[row].image) for row in range(6)]
    detr.module.train()
    optimizer = torch.optim.AdamW(detr.module.parameters(), 1e-2)
    history = []
    for step in range(30):
        torch.manual_seed(step)
        loss = detr.losses(images, data.targets)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-3:]) < 0.9 * sum(history[:3])


def test_an_output_without_a_name_is_not_used(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config |= {"id2label": {"1": "cat", "2": "dog", "3": "cow", "5": "far"}, "label2id": {}}
    (copy / "config.json").write_text(json.dumps(config))
    model = HfDetector(str(copy))
    model.load(CPU)
    assert list(model.class_names) == ["cat", "dog", "cow"]
    assert model._outputs == [-1, 0, 1, 2]


def test_a_class_may_be_called_as_what_is_not_used(detr: HfDetector) -> None:
    detr.begin(["N/A", "red"], 1)
    assert (list(detr.class_names), detr._outputs) == (["N/A", "red"], [0, 1])


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    assert "no folder with config.json" in str(HfDetector(str(tmp_path)).unavailable())
    with pytest.raises(OptionError, match="score_threshold"):
        HfDetector("a/b", score_threshold=2)
