"""torchvision's, transformers' and smp's segmenters, with made-up weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness import OptionError
from harness_dense.contracts import LearnsToSegment, SegmentsImages
from harness_segmenters.hf_segmenter import HfSegmenter
from harness_segmenters.segmenter_base import Segmenter, resize_shorter
from harness_segmenters.small_segmenter import SmallSegmenter
from harness_segmenters.smp_segmenter import SmpSegmenter
from harness_segmenters.torchvision_segmenter import ARCHITECTURES, TorchvisionSegmenter
from tests.segmentation.conftest import NAMES

CPU = torch.device("cpu")


def draw_images(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, height, width, generator=generator) for height, width in sizes]


def check_segmenter(model: Segmenter, classes: int) -> None:
    """Check logits of images of several sizes, beside others and alone."""
    assert isinstance(model, SegmentsImages)
    assert isinstance(model, LearnsToSegment)
    assert len(model.class_names) == classes
    images = draw_images((40, 56), (48, 33), (40, 56))
    for image, logits in zip(images, model.segment(images), strict=True):
        assert logits.shape == (classes, *image.shape[1:])
        assert torch.isfinite(logits).all()
        torch.testing.assert_close(model.segment([image])[0], logits, atol=1e-4, rtol=1e-4)


def check_learning(model: Segmenter, losses: set[str]) -> None:
    """Check that new predictors for four classes learn what the old network's other weights see."""
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    model.begin(NAMES, 1)
    after = model.module.state_dict()
    changed = [n for n in before if before[n].shape != after[n].shape or not torch.equal(before[n], after[n])]
    assert 0 < len(changed) <= 4, changed
    assert list(model.class_names) == list(NAMES)
    model.module.train()
    images = draw_images((40, 56), (48, 33))
    found = model.losses(images, [(image[0] > 0.5).long() for image in images])
    assert set(found) == losses
    sum(found.values(), torch.tensor(0.0)).backward()
    assert not [name for name, p in model.module.named_parameters() if p.requires_grad and p.grad is None]


def perturb(module: nn.Module) -> Mapping[str, torch.Tensor]:
    """Return a state dictionary of other weights."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: tensor * (1 + 0.1 * torch.rand(tensor.shape, generator=generator)) if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }  # fmt: skip


def test_torchvision_from_a_checkpoint(tmp_path: Path) -> None:
    untrained = TorchvisionSegmenter("lraspp_mobilenet_v3_large", weights="none", side=64)
    untrained.load(CPU)
    assert untrained.remarks == ["its weights are random until it is trained"]
    assert untrained.class_names[0] == "__background__"
    check_segmenter(untrained, 21)
    state = perturb(untrained.module)
    save_file(dict(state), tmp_path / "w.safetensors")
    model = TorchvisionSegmenter("lraspp_mobilenet_v3_large", checkpoint=tmp_path / "w.safetensors", side=64)
    assert model.unavailable() is None
    model.load(CPU)
    assert list(model.remarks) == ["the classes of the checkpoint are taken to be VOC's, in their order"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.module.state_dict().items())
    check_learning(model, {"out"})


def test_torchvision_learns_with_its_coarse_output() -> None:
    model = TorchvisionSegmenter("deeplabv3_mobilenet_v3_large", weights="none", side=0)
    model.load(CPU)
    model.begin(NAMES, 0)
    model.module.train()
    images = draw_images((40, 40), (40, 40))
    targets = [torch.zeros(40, 40).long()] * 2
    whole = model.losses(images, targets)
    assert set(whole) == {"out", "aux"}
    model.auxiliary = 0.0
    assert set(model.losses(images, targets)) == {"out"}


def test_a_checkpoint_without_the_coarse_output_is_taken(tmp_path: Path) -> None:
    model = TorchvisionSegmenter("deeplabv3_mobilenet_v3_large", weights="none")
    state = {
        n: t for n, t in model.build_network(2).state_dict().items() if not n.startswith("aux_classifier")
    }
    save_file(state, tmp_path / "w.safetensors")
    given = TorchvisionSegmenter(
        "deeplabv3_mobilenet_v3_large", checkpoint=tmp_path / "w.safetensors", class_names=["a", "b"]
    )
    given.load(CPU)
    own = given.module.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def test_images_are_resized_as_torchvision_does() -> None:
    from torchvision.transforms.functional import resize

    for size in ((40, 57), (57, 40), (50, 50)):
        image = draw_images(size)[0][None]
        torch.testing.assert_close(resize_shorter(image, 52), resize(image, [52], antialias=True))
    for side, size in ((512, (49, 49)), (520, (30, 54)), (520, (54, 30))):  # products that rounding decides
        image = torch.zeros(1, 3, *size)
        assert resize_shorter(image, side).shape == resize(image, [side], antialias=True).shape


def test_a_checkpoint_of_other_classes_is_told(tmp_path: Path) -> None:
    made = TorchvisionSegmenter("lraspp_mobilenet_v3_large", weights="none").build_network(3)
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    whole = {"name": "lraspp_mobilenet_v3_large", "checkpoint": tmp_path / "w.safetensors"}
    with pytest.raises(OptionError, match=r"w.safetensors has 3 classes, class_names 21, VOC's by default"):
        TorchvisionSegmenter(**whole).load(CPU)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"w.safetensors has 3 classes, class_names 2: name"):
        TorchvisionSegmenter(**whole, class_names=["a", "b"]).load(CPU)  # type: ignore[arg-type]
    for kind, more in ((TorchvisionSegmenter, whole), (SmallSegmenter, {"checkpoint": whole["checkpoint"]})):
        with pytest.raises(OptionError, match="class_names has 'b' twice"):
            kind(**more, class_names=["a", "b", "b"])  # type: ignore[arg-type]


def test_torchvision_has_the_published_sizes() -> None:
    counts = {
        "fcn_resnet50": 35_322_218,
        "deeplabv3_resnet50": 42_004_074,
        "lraspp_mobilenet_v3_large": 3_221_538,
    }
    assert set(counts) <= set(ARCHITECTURES)
    for name, count in counts.items():
        with torch.device("meta"):
            network = TorchvisionSegmenter(name).build_network(21)
        assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("decoder", ["unet", "deeplabv3plus"])
def test_smp(decoder: Any, tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    model = SmpSegmenter(decoder, "resnet18", class_names=None)
    assert model.unavailable() is None
    model.load(CPU)
    assert model.needs_training
    model.begin(["a", "b"], 0)
    check_segmenter(model, 2)
    state = perturb(model.module)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    trained = SmpSegmenter(decoder, "resnet18", class_names=["a", "b"], checkpoint=tmp_path / "w.safetensors")
    trained.load(CPU)
    assert not trained.needs_training
    assert all(torch.equal(tensor, state[name]) for name, tensor in trained.module.state_dict().items())
    check_learning(trained, {"out"})


def test_smp_tells_what_it_can_not_build() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    with pytest.raises(
        OptionError, match="smp-segmenter:unet/resnet17: segmentation_models_pytorch can't build it"
    ):
        SmpSegmenter("unet", "resnet17").load(CPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SegFormer of a few thousand weights, saved as `save_pretrained` does."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("segformer")
    names = dict(enumerate(["wall", "sky"]))
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, id2label=names,
        label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(path)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(path)
    return path


def test_hf(folder: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    model = HfSegmenter(str(folder))
    assert model.unavailable() is None
    model.load(CPU)
    assert list(model.class_names) == ["wall", "sky"]
    check_segmenter(model, 2)
    (image,) = draw_images((40, 56))
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        outputs = model.module(**processor(images=image, do_rescale=False, return_tensors="pt"))
    (expected,) = processor.post_process_semantic_segmentation(outputs, [(40, 56)])
    assert torch.equal(model.segment([image])[0].argmax(0), expected)
    check_learning(model, {"out"})


def test_hf_prepares_alike_in_training(folder: Path, tmp_path: Path) -> None:
    """MobileViT's preparation swaps the channels and has no normalisation."""
    import shutil

    import transformers

    shutil.copytree(folder, tmp_path / "m")
    swapping = transformers.MobileViTImageProcessor(do_center_crop=False, size={"shortest_edge": 32})
    swapping.save_pretrained(tmp_path / "m")
    model = HfSegmenter(str(tmp_path / "m"))
    model.load(CPU)
    seen: list[torch.Tensor] = []
    model.module.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["pixel_values"]), with_kwargs=True
    )
    (image,) = draw_images((32, 48))
    model.segment([image])
    model.losses([image], [torch.zeros(32, 48, dtype=torch.long)])
    torch.testing.assert_close(seen[1], image.flip(0)[None])
    torch.testing.assert_close(seen[0], seen[1], atol=1e-2, rtol=0)


def test_hf_refuses_labels_with_gaps(folder: Path, tmp_path: Path) -> None:
    """Which output is which label is not known then; by order, sky was the output of wall."""
    import json
    import shutil

    shutil.copytree(folder, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config |= {"id2label": {"1": "wall", "2": "sky"}, "label2id": {"wall": 1, "sky": 2}}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(OptionError, match=r"numbers 2 labels 1 to 2, its outputs are 0 to 1"):
        HfSegmenter(str(tmp_path / "m")).load(CPU)


def test_hf_refuses_what_moves_pixels(folder: Path, tmp_path: Path) -> None:
    import shutil

    import transformers

    shutil.copytree(folder, tmp_path / "m")
    transformers.BeitImageProcessor(do_center_crop=True).save_pretrained(tmp_path / "m")
    with pytest.raises(OptionError, match="its preparation has do_center_crop"):
        HfSegmenter(str(tmp_path / "m")).load(CPU)
    assert "no folder with config.json" in str(HfSegmenter(str(tmp_path / "x")).unavailable())


def test_the_small_segmenter_from_a_checkpoint(tmp_path: Path) -> None:
    model = SmallSegmenter("fcn8", width=4)
    model.load(CPU)
    model.begin(["a", "b"], 0)
    check_segmenter(model, 2)
    state = perturb(model.module)
    save_file(dict(state), tmp_path / "w.safetensors")
    trained = SmallSegmenter("fcn8", width=4, class_names=["a", "b"], checkpoint=tmp_path / "w.safetensors")
    trained.load(CPU)
    assert not trained.needs_training
    assert all(torch.equal(tensor, state[name]) for name, tensor in trained.module.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fcn_resnet5"}, "no segmenter 'fcn_resnet5'; did you mean 'fcn_resnet50'"),
        ({"name": "fcn_resnet50", "class_names": ["a"]}, "give checkpoint=FILE"),
        ({"name": "fcn_resnet50", "side": -1}, "side and auxiliary must be at least 0"),
    ],
)
def test_wrong_torchvision_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TorchvisionSegmenter(**options)


def test_unknown_weights_are_named() -> None:
    model = TorchvisionSegmenter("lraspp_mobilenet_v3_large", weights="COCO_V2")
    with pytest.raises(OptionError, match="no weights 'COCO_V2'"):
        model.load(CPU)
