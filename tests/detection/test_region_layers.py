"""Features of regions against closed forms, and the pieces of torchvision that detectors rest on."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import distance_box_iou, generalized_box_iou, nms

from harness_detectors.region_layers import RegionLayer
from harness_detectors.region_network import Warp
from harness_detectors.region_proposals import propose, slide_windows

STRIDE = 16


def ramp(a: float, b: float, side: int = 24) -> dict[str, torch.Tensor]:
    """A map a·x + b·y + 1 at the cells' indices."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return {"0": (a * x + b * y + 1.0)[None, None]}


def take(
    kind: str, maps: dict[str, torch.Tensor], box: list[float], side: int = 7, stride: int = STRIDE
) -> torch.Tensor:
    layer = RegionLayer(kind, side, stride)  # type: ignore[arg-type]
    return layer(maps, [torch.tensor([box])], [(384, 384)])[0, 0]


def test_aligned_bins_are_the_value_at_their_centres() -> None:
    box, side = [32.0, 48.0, 256.0, 272.0], 7
    centre = torch.arange(side) + 0.5
    x = (box[0] + centre * (box[2] - box[0]) / side) / STRIDE - 0.5
    y = (box[1] + centre * (box[3] - box[1]) / side) / STRIDE - 0.5
    expected = 3 * x[None] + 5 * y[:, None] + 1
    maps = ramp(3, 5)
    torch.testing.assert_close(take("aligned", maps, box), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(take("align", maps, box), expected + 4, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["align", "aligned"])
@pytest.mark.parametrize("move", [1, 7, 8, 16])
def test_aligned_features_follow_a_moved_box(kind: str, move: int) -> None:
    maps = ramp(3, 0)
    before, after = (take(kind, maps, [64.0 + d, 64, 176 + d, 176]) for d in (0, move))
    torch.testing.assert_close(after - before, torch.full((7, 7), 3 * move / STRIDE), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("move", "change"), [(1, 0), (7, 0), (8, 3), (16, 3)])
def test_pooled_features_jump(move: int, change: float) -> None:
    maps = ramp(3, 0)
    before, after = (take("pool", maps, [64.0 + d, 64, 176 + d, 176]) for d in (0, move))
    assert torch.equal(after - before, torch.full((7, 7), float(change)))


def test_suppression_is_strict() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # their IoU is a half
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.499).tolist() == [0]


def test_overlaps_of_boxes_apart() -> None:
    one, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 0, 3, 1]])
    assert generalized_box_iou(one, other).item() == pytest.approx(-1 / 3)
    assert distance_box_iou(one, other).item() == pytest.approx(-0.4)


def test_a_warped_region_shows_its_surroundings() -> None:
    maps = ramp(1, 0, 64)
    warp = Warp(side=12, context=2)
    found = warp(maps, [torch.tensor([[20.0, 20, 28, 28]])], [(64, 64)])[0, 0]
    # 8 pixels become 8 pixels, and two more on each side are shown
    torch.testing.assert_close(found[0], torch.arange(18, 30) + 1.0, atol=1e-4, rtol=0)


def test_windows_cover_and_stay_inside() -> None:
    boxes = slide_windows(40, 60, [8, 20])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [60, 40]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    covered = torch.zeros(40, 60, dtype=torch.bool)
    for left, top, right, bottom in boxes.round().astype(int).tolist():
        covered[top:bottom, left:right] = True
    assert covered.all()
    some = propose("grid", torch.zeros(40, 60, 3, dtype=torch.uint8).numpy(), [8, 20], 10)
    assert len(some) == 10
    assert len(boxes) > 100
