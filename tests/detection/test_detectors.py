"""The detectors: the same for an image alone and among others, classes by name, losses that can be learned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import DataError, OptionError, capabilities
from harness.contract.capability import REGISTERED
from harness_dense.new_predictors import find_predictors
from harness_detectors.grid_detector import GridDetector
from harness_detectors.proposal_detectors import RCNN, FastRCNN
from harness_detectors.small_faster_rcnn import SmallFasterRCNN
from harness_detectors.torchvision_detector import ARCHITECTURES, TorchvisionDetector, freeze_norms
from tests.detection.conftest import COLOURS, Rectangles

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "grid": lambda: GridDetector(width=8, score_threshold=0.0),
    "faster": lambda: SmallFasterRCNN(width=8, masks=True, proposals=10, score_threshold=0.0),
    "pool": lambda: SmallFasterRCNN(width=8, roi="pool", stride=8, proposals=10, score_threshold=0.0),
    "fast": lambda: FastRCNN(width=8, score_threshold=0.0, most=100),
    "rcnn": lambda: RCNN(width=8, score_threshold=0.0, most=60, sides=[14, 24]),
}


@pytest.fixture(params=SMALL)
def small(request: pytest.FixtureRequest) -> Any:
    """A small detector that has begun to learn three classes."""
    model = SMALL[request.param]()
    model.load(CPU)
    model.begin(COLOURS, 3)
    return model


def prepare(model: Any, data: Rectangles, rows: range) -> list[torch.Tensor]:
    return [model.prepare(data[row].image) for row in rows]


def test_capabilities(small: Any) -> None:
    assert {"detects objects", "learns to detect"} <= set(capabilities(small))
    assert "detects objects" in REGISTERED


@pytest.mark.parametrize("kind", [GridDetector, SmallFasterRCNN, FastRCNN, RCNN])
def test_how_many_are_found_is_told(kind: Any) -> None:
    found = {}
    for most in (3, 40):
        model = kind(width=4, score_threshold=0.0, nms=1.0, max_found=most)
        model.load(CPU)
        model.begin(COLOURS, 3)
        found[most] = len(model.detect(prepare(model, Rectangles(1), range(1)))[0])
    assert found == {3: 3, 40: 40}
    with pytest.raises(OptionError, match="max_found must be at least 1"):
        kind(max_found=0)


def test_an_image_has_the_same_objects_alone_and_among_others(small: Any) -> None:
    data = Rectangles(6)
    images = prepare(small, data, range(6))
    assert len({tuple(image.shape) for image in images}) == 3
    together = small.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = small.detect([image])
        height, width = image.shape[-2:]
        torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.scores, found.scores, atol=1e-4, rtol=0)
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([width, height, width, height])).all()
        if found.masks is not None:
            assert found.masks.shape == (len(found), height, width)
            assert found.masks.dtype == torch.bool


def test_weights_come_from_the_seed_alone(small: Any) -> None:
    def state() -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in small.module.state_dict().items()}

    first = state()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    small.begin(COLOURS, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(tensor, first[name]) for name, tensor in state().items())
    small.begin(COLOURS, 4)
    assert not all(torch.equal(tensor, first[name]) for name, tensor in state().items())


def test_losses_fall(small: Any) -> None:
    data = Rectangles(8)
    images, small.module.training = prepare(small, data, range(8)), True
    small.module.train()
    optimizer = torch.optim.AdamW(small.module.parameters(), 3e-3)
    history = []
    for step in range(12):
        torch.manual_seed(step)
        loss = torch.stack(list(small.losses(images, data.targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert all(p.grad is not None for p in small.module.parameters())
    assert np.mean(history[-3:]) < 0.9 * np.mean(history[:3])


def test_images_without_objects_can_be_learned_from(small: Any) -> None:
    data = Rectangles(2)
    empty = data.targets[0]
    empty = type(empty)(np.zeros((0, 4)), np.zeros(0, int), masks=[])
    small.module.train()
    losses = small.losses(prepare(small, data, range(2)), [empty, data.targets[1]])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_grid_cell_is_responsible_for_the_largest_centre_in_it() -> None:
    model = GridDetector(width=8)
    model.load(CPU)
    model.begin(COLOURS, 0)
    network: Any = model.module
    boxes = torch.tensor([[9.0, 9, 13, 13], [4, 4, 20, 20], [30, 40, 40, 46]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 2, 3])}
    rows, columns, wanted, labels = network._assign(target, 1.0, (8, 8))
    assert rows.tolist() == [1, 5]
    assert columns.tolist() == [1, 4]
    assert labels.tolist() == [1, 2]
    torch.testing.assert_close(wanted[0], torch.tensor([0.5, 0.5, 0.5, 0.5]))
    predicted = torch.zeros(5 + 3, 8, 8)
    predicted[3:5, 1, 1] = 0.5
    torch.testing.assert_close(network._decode(predicted)[1, 1], boxes[1])


def test_a_checkpoint_keeps_what_classes_do_not_decide(tmp_path: Path) -> None:
    first = GridDetector(width=8)
    first.load(CPU)
    first.begin(COLOURS, 1)
    save_file(first.module.state_dict(), tmp_path / "w.safetensors")
    again = GridDetector(width=8, class_names=list(COLOURS), checkpoint=tmp_path / "w.safetensors")
    again.load(CPU)
    image = torch.rand(3, 40, 56)
    torch.testing.assert_close(first.detect([image])[0].scores, again.detect([image])[0].scores)
    again.begin(["one", "two", "three"], 2)
    old, new = first.module.state_dict(), again.module.state_dict()
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert (
        set(old) - same
        == find_predictors(lambda count: again.build_network(count + 1))
        == {"predict.weight", "predict.bias"}
    )
    with pytest.raises(OptionError, match="class_names must name"):
        GridDetector(checkpoint=tmp_path / "w.safetensors")


def test_masks_are_asked_for() -> None:
    model = SmallFasterRCNN(width=8, masks=True)
    model.load(CPU)
    model.begin(COLOURS, 0)
    model.module.train()
    data = Rectangles(1, masks=False)
    with pytest.raises(DataError, match="it learns masks, and the data set has none"):
        model.losses(prepare(model, data, range(1)), data.targets)


def test_torchvision_names() -> None:
    from torchvision import models

    known = set(models.list_models(models.detection))
    assert known - set(ARCHITECTURES) == {"keypointrcnn_resnet50_fpn"}
    assert set(ARCHITECTURES) <= known
    with pytest.raises(OptionError, match=r"no detector 'ssd30'.*ssd300_vgg16"):
        TorchvisionDetector("ssd30")


@pytest.fixture(scope="module")
def lite() -> TorchvisionDetector:
    """SSDlite with random weights."""
    model = TorchvisionDetector("ssdlite320_mobilenet_v3_large", weights="none", score_threshold=0.0)
    model.load(CPU)
    return model


def test_torchvision_outputs_are_the_classes_of_coco(lite: TorchvisionDetector) -> None:
    assert len(lite.class_names) == 80
    assert lite.class_names[11] == "stop sign"
    assert lite._outputs is not None
    assert (lite._outputs[1], lite._outputs[13], lite._outputs[12], lite._outputs[0]) == (0, 11, -1, -1)
    assert lite.remarks == ["its weights are random until it is trained"]
    (found,) = lite.detect([torch.rand(3, 60, 90)])
    assert len(found)
    with torch.inference_mode():
        (raw,) = lite.module([torch.rand(3, 60, 90)])
    assert raw["labels"].min() >= 1
    assert found.labels.max() < 80


def test_torchvision_checkpoint_with_own_classes(lite: TorchvisionDetector, tmp_path: Path) -> None:
    model = TorchvisionDetector("ssdlite320_mobilenet_v3_large", weights="none", score_threshold=0.0)
    model.load(CPU)
    model.begin(["a", "b"], 5)
    torch.save({"model": model.module.state_dict()}, tmp_path / "w.pth")
    kept = TorchvisionDetector(
        "ssdlite320_mobilenet_v3_large",
        checkpoint=tmp_path / "w.pth",
        class_names=["a", "b"],
        score_threshold=0.0,
    )
    kept.load(CPU)
    image = torch.rand(3, 64, 64)
    ours, theirs = kept.detect([image])[0], model.detect([image])[0]
    torch.testing.assert_close(ours.scores, theirs.scores)
    assert torch.equal(ours.labels, theirs.labels)
    assert kept.class_names == ["a", "b"]
    before = {name: tensor.clone() for name, tensor in kept.module.state_dict().items()}
    kept.begin(["c", "d"], 6)
    after = kept.module.state_dict()
    changed = {name for name in before if name in after and not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("head.classification_head") for name in changed)


def test_frozen_norms_keep_their_numbers() -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()
    images = [torch.rand(3, 64, 64)]
    with torch.inference_mode():
        before = network(images)[0]["scores"]
        freeze_norms(network)
        after = network(images)[0]["scores"]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    names = [type(m).__name__ for m in network.backbone.modules()]
    assert "FrozenBatchNorm2d" in names
    assert "BatchNorm2d" not in names


def test_torchvision_weights_by_name() -> None:
    model = TorchvisionDetector("ssd300_vgg16", weights="COCO_V9")
    with pytest.raises(OptionError, match=r"no weights 'COCO_V9'.*COCO_V1"):
        model._load_named(
            __import__("torchvision").models.get_model_weights("ssd300_vgg16"), torch.nn.Module()
        )
    with pytest.raises(OptionError, match="fixed size"):
        TorchvisionDetector("ssd300_vgg16", min_size=300)
    with pytest.raises(OptionError, match="class_names names the classes of a checkpoint"):
        TorchvisionDetector("ssd300_vgg16", class_names=["a"])


def test_a_model_that_finds_and_does_not_learn_conforms(planted: None) -> None:
    """As third parties write them: `detection` takes it, though not the method of its smallest grid."""
    from harness.testing.grids import explain_grid_refusals

    assert explain_grid_refusals("models", "bright") == []


def test_what_models_can_is_known_before_a_protocol_is_imported() -> None:
    """A third party's module imports no contract, as the README shows."""
    code = """
from harness.discovery.abilities import describe_abilities

class Spot:
    class_names = ("spot",)
    def detect(self, images):
        return []

print(describe_abilities("models", Spot))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "detects objects" in done.stdout
