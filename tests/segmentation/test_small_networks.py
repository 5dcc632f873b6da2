"""Building blocks of the small segmenters: unpooling, transposed and dilated convolutions, and published sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness import DataError, OptionError
from harness_dense.contracts import LearnsToSegment, SegmentsImages
from harness_segmenters.context_module import ContextModule
from harness_segmenters.small_decoders import build_doubling, make_bilinear_kernel
from harness_segmenters.small_encoder import SmallEncoder, build_stage
from harness_segmenters.small_network import SmallNetwork
from harness_segmenters.small_segmenter import SmallSegmenter
from harness_segmenters.unpooling import unpool

DECODERS = ("fcn32", "fcn8", "unet", "deconvnet", "segnet", "dilated")
CPU = torch.device("cpu")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_pooling_undoes_unpooling_of_what_is_not_negative() -> None:
    _, switches = F.max_pool2d(draw(2, 3, 8, 6), 2, return_indices=True)
    y = draw(2, 3, 4, 3, seed=1)
    up = unpool(y.abs(), switches, (8, 6))
    assert torch.equal(F.max_pool2d(up, 2), y.abs())
    assert torch.equal(up, F.max_unpool2d(y.abs(), switches, [2, 2]))
    assert float(up.sum()) == pytest.approx(float(y.abs().sum()), rel=1e-6)
    assert not torch.equal(F.max_pool2d(unpool(y, switches, (8, 6)), 2), y)
    assert float(unpool(y, switches, (8, 6)).sum()) == pytest.approx(float(y.sum()), rel=1e-5)


def test_the_gradient_of_pooling_is_unpooling() -> None:
    x = draw(1, 2, 6, 6).requires_grad_()
    pooled, switches = F.max_pool2d(x, 2, return_indices=True)
    above = draw(1, 2, 3, 3, seed=2)
    pooled.backward(above)
    assert x.grad is not None
    assert torch.equal(x.grad, unpool(above, switches, (6, 6)))
    tied = torch.ones(1, 1, 2, 2)
    assert F.max_pool2d(tied, 2, return_indices=True)[1].item() == 0


def test_odd_sizes_need_their_size() -> None:
    pooled, switches = F.max_pool2d(draw(1, 1, 5, 7), 2, return_indices=True)
    assert F.max_unpool2d(pooled, switches, [2, 2]).shape[-2:] == (4, 6)
    up = unpool(pooled, switches, (5, 7))
    assert torch.equal(up, F.max_unpool2d(pooled, switches, [2, 2], output_size=[5, 7]))
    assert sorted(up[up != 0].tolist()) == sorted(pooled.flatten().tolist())


def test_transposed_convolution_is_the_adjoint() -> None:
    kernel, x, y = draw(3, 2, 4, 4), draw(1, 2, 9, 9, seed=1), draw(1, 3, 4, 4, seed=2)
    forward = (F.conv2d(x, kernel, stride=2, padding=1) * y).sum()
    back = (x * F.conv_transpose2d(y, kernel, stride=2, padding=1, output_padding=1)).sum()
    assert float(forward) == pytest.approx(float(back), rel=1e-4)


def test_doubling_begins_as_bilinear_interpolation() -> None:
    x = draw(1, 2, 5, 6)
    found = build_doubling(2)(x)
    wanted = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=0, atol=1e-6)
    assert not torch.allclose(found[..., 0, :], wanted[..., 0, :])  # the border loses what lies outside
    assert make_bilinear_kernel(1)[0, 0].sum() == 4


def test_only_kernels_that_the_stride_divides_overlap_evenly() -> None:
    ones = torch.ones(1, 1, 6, 6)
    uneven = F.conv_transpose2d(ones, torch.ones(1, 1, 3, 3), stride=2)[0, 0, 2:-2, 2:-2]
    even = F.conv_transpose2d(ones, torch.ones(1, 1, 4, 4), stride=2)[0, 0, 2:-2, 2:-2]
    assert sorted(set(uneven.flatten().tolist())) == [1, 2, 4]
    assert set(even.flatten().tolist()) == {4}


def test_the_context_module_sees_67_pixels_without_holes() -> None:
    module = ContextModule(1).double()
    torch.manual_seed(0)
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
    sides = []
    for depth, layer in enumerate(module):
        if isinstance(layer, nn.Conv2d):
            x = torch.ones(1, 1, 81, 81, dtype=torch.float64, requires_grad=True)
            nn.Sequential(*list(module)[: depth + 1])(x)[0, 0, 40, 40].backward()
            assert x.grad is not None
            seen = x.grad[0, 0] != 0
            rows = torch.nonzero(seen.any(1)).ravel()
            sides.append(int(rows[-1] - rows[0]) + 1)
            assert int(seen.sum()) == sides[-1] ** 2
    assert sides == [3, 5, 9, 17, 33, 65, 67, 67]


def test_the_context_module_begins_as_the_identity() -> None:
    x = draw(1, 4, 40, 40).abs()
    assert torch.equal(ContextModule(4)(x), x)
    assert torch.equal(ContextModule(4)(-x), torch.zeros_like(x))  # the ReLUs cut what is negative
    torch.manual_seed(0)
    with torch.no_grad():
        large = ContextModule(4, "large")(x)
    assert 0 < float((large - x).abs().max()) < 0.2 * float(x.max())


@pytest.mark.parametrize(("size", "count"), [("basic", 28_392), ("large", 6_803_139)])
def test_parameters_of_the_context_module(size: str, count: int) -> None:
    with torch.device("meta"):
        module = ContextModule(21, size)  # type: ignore[arg-type]
    assert sum(p.numel() for p in module.parameters()) == count


def test_dilation_replaces_a_stride_exactly() -> None:
    torch.manual_seed(0)
    strided, dilated = (build_stage(2, 3, 2, norm=False, dilation=d) for d in (1, 2))
    dilated.load_state_dict(strided.state_dict())
    x = draw(1, 2, 12, 16)
    torch.testing.assert_close(dilated(x)[..., ::2, ::2], strided(x[..., ::2, ::2]), rtol=0, atol=1e-6)


def test_a_dilated_encoder_has_as_many_parameters_and_pools_twice_less() -> None:
    plain, dilated = (SmallEncoder([2, 4, 6, 8], [2, 2, 2, 2], True, d) for d in (False, True))
    assert [p.shape for p in plain.parameters()] == [p.shape for p in dilated.parameters()]
    assert (plain.stride, dilated.stride) == (8, 2)
    x = draw(1, 3, 16, 16)
    assert plain(x).maps[-1].shape[-1] == 2
    assert dilated(x).maps[-1].shape[-1] == 8


UNET = {"decoder": "unet", "widths": [64, 128, 256, 512, 1024], "convolutions": [2] * 5, "norm": False}
SEGNET = {
    "decoder": "segnet", "widths": [64, 128, 256, 512, 512, 512], "convolutions": [2, 2, 3, 3, 3, 0], "norm": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "classes", "count"),
    [(UNET, 21, 31_033_045), (SEGNET, 12, 29_449_932)],
    ids=["unet", "segnet"],
)
def test_published_sizes(options: dict[str, object], classes: int, count: int) -> None:
    with torch.device("meta"):
        network = SmallSegmenter(auxiliary=0, **options).build_network(classes)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("decoder", DECODERS)
def test_images_of_any_size_get_logits_of_their_size_alone(decoder: str) -> None:
    model = SmallSegmenter(decoder, width=4)  # type: ignore[arg-type]
    model.load(CPU)
    model.begin(["a", "b", "c"], 1)
    assert isinstance(model, SegmentsImages)
    assert isinstance(model, LearnsToSegment)
    images = [draw(3, h, w, seed=h).sigmoid() for h, w in ((33, 45), (16, 24), (33, 45))]
    together = model.segment(images)
    for image, logits in zip(images, together, strict=True):
        assert logits.shape == (3, *image.shape[1:])
        torch.testing.assert_close(model.segment([image])[0], logits, atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match="image of 1×9 pixels is smaller than"):
        model.segment([torch.zeros(3, 1, 9)])


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_part_learns(decoder: str) -> None:
    model = SmallSegmenter(decoder, width=4, depth=2)  # type: ignore[arg-type]
    model.load(CPU)
    model.begin(["a", "b"], 0)
    model.module.train()
    images = [draw(3, 16, 16, seed=n).sigmoid() for n in range(4)]
    losses = model.losses(images, [(image[0] > 0.5).long() for image in images])
    assert set(losses) == {"out", "coarse"}
    sum(losses.values(), torch.tensor(0.0)).backward()
    idle = [n for n, p in model.module.named_parameters() if p.grad is None]
    assert not idle


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        model = SmallSegmenter(width=2)
        model.load(CPU)
        model.begin(["a", "b"], seed)
        return torch.cat([p.flatten() for p in model.module.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_fcn8_reads_three_maps_and_fcn32_one() -> None:
    widths = {
        name: len(SmallNetwork(name, [2, 3, 4, 5, 6, 7], [1] * 6, False, 3, "basic", False).decoder.scores)
        for name in ("fcn32", "fcn8")
    }
    assert widths == {"fcn32": 1, "fcn8": 3}
    network = SmallNetwork("fcn8", [2, 3, 4, 5, 6, 7], [1] * 6, False, 3, "basic", False)
    assert network(draw(1, 3, 64, 96))["out"].shape == (1, 3, 8, 12)  # FCN-8s: stride 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth from 2 to 6"),
        ({"widths": [4, 8]}, "widths must be 3 to 7 numbers"),
        ({"convolutions": [1, 1]}, "convolutions must be 4 numbers"),
        ({"convolutions": [1, 1, 1, 0]}, "has the width of the one before"),
        ({"auxiliary": -1.0}, "auxiliary must be at least 0"),
        ({"checkpoint": "x.pt"}, "class_names must name"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SmallSegmenter(**options)  # type: ignore[arg-type]
