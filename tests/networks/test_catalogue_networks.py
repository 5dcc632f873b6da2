"""Networks for small and large images against published sizes; trained first weights, heads, refusals."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from harness import OptionError
from harness.errors import Unavailable
from harness_networks.catalogue import CatalogueFamily
from harness_networks.catalogue_networks import AlexNetFamily, DenseNetFamily, ResNetFamily, VGGFamily
from harness_networks.densenet_bc import DenseNetBCFamily
from harness_networks.googlenet import GoogLeNetFamily
from harness_networks.timm_networks import TimmFamily
from harness_networks.torchvision_networks import TorchvisionFamily
from harness_networks.wide_resnet import WideResNetFamily

CPU = torch.device("cpu")


def count_parameters(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        (AlexNetFamily(), 61_100_840),
        (VGGFamily(), 138_357_544),
        (VGGFamily(bn=True), 138_365_992),
        (GoogLeNetFamily(), 7_005_832),
        (GoogLeNetFamily(bn=False), 6_998_552),
        (GoogLeNetFamily(form="torchvision"), 6_624_904),
        (ResNetFamily(), 11_689_512),
        (ResNetFamily(depth=50), 25_557_032),
        (DenseNetFamily(), 7_978_856),
        (TorchvisionFamily("wide_resnet50_2"), 68_883_240),
        (TimmFamily("resnet18"), 11_689_512),
    ],
)
def test_published_sizes_with_a_thousand_classes(family: CatalogueFamily, parameters: int) -> None:
    with torch.device("meta"):
        network = family.draw((3, 224, 224), 1000)
    assert count_parameters(network) == parameters


def test_small_stem() -> None:
    network = ResNetFamily(stem="small").build((3, 32, 32), 10)
    assert count_parameters(network) == 11_173_962
    maps = nn.Sequential(*ResNetFamily(stem="small").stages(network))(torch.rand(2, 3, 32, 32))
    assert maps.shape == (2, 512, 4, 4)


def count_wide_resnet(depth: int, k: int, classes: int) -> int:
    """Every convolution 3×3 of each group, its projection, and two numbers per normalised map."""
    n, total, before = (depth - 4) // 6, 3 * 16 * 9, 16
    for maps in (16 * k, 32 * k, 64 * k):
        total += before * maps * 9 + (2 * n - 1) * maps**2 * 9 + (before * maps if before != maps else 0)
        total += 2 * before + 2 * maps * (2 * n - 1)
        before = maps
    return total + 2 * before + (before + 1) * classes


@pytest.mark.parametrize(
    ("depth", "k", "published"), [(28, 10, 36.5e6), (16, 8, 11.0e6), (40, 4, 8.9e6), (16, 1, 0.2e6)]
)
def test_wide_resnets_have_the_papers_size(depth: int, k: int, published: float) -> None:
    with torch.device("meta"):
        network = WideResNetFamily(depth, k).build((3, 32, 32), 10)
    assert count_parameters(network) == count_wide_resnet(depth, k, 10)
    assert count_parameters(network) == pytest.approx(published, abs=0.05e6)


def count_densenet(depth: int, k: int, classes: int) -> int:
    """Bottlenecks 1×1 to 4k maps, convolutions 3×3 to k, transitions that halve the maps."""
    maps, total = 2 * k, 3 * 2 * k * 9
    for block in range(3):
        for _ in range((depth - 4) // 6):
            total += 2 * maps + maps * 4 * k + 2 * 4 * k + 4 * k * k * 9
            maps += k
        if block < 2:
            total += 2 * maps + maps * (maps // 2)
            maps //= 2
    return total + 2 * maps + (maps + 1) * classes


@pytest.mark.parametrize(("depth", "k", "published"), [(100, 12, 0.8e6), (190, 40, 25.6e6)])
def test_densenet_bc_has_the_papers_size(depth: int, k: int, published: float) -> None:
    with torch.device("meta"):
        network = DenseNetBCFamily(depth, k).build((3, 32, 32), 10)
    assert count_parameters(network) == count_densenet(depth, k, 10)
    assert count_parameters(network) == pytest.approx(published, abs=0.05e6)


@pytest.mark.parametrize(
    ("family", "least", "said"),
    [
        (AlexNetFamily(), 63, "alexnet-network needs images of at least 63×63 pixels"),
        (VGGFamily(depth=11), 32, "vgg-network needs images of at least 32×32 pixels"),
        (GoogLeNetFamily(form="torchvision"), 15, "googlenet-network needs images of at least 15×15"),
        (DenseNetFamily(), 29, "densenet-network needs images of at least 29×29"),
        (DenseNetBCFamily(depth=10), 4, "densenet-bc needs images of at least 4×4"),
    ],
)
def test_the_smallest_images_are_known(family: Any, least: int, said: str) -> None:
    assert family.fits((3, least, least), 5) is None
    problem = family.fits((3, least, least - 1), 5)
    assert problem.startswith(said)
    assert problem.endswith(f"these have {least}×{least - 1}")
    with torch.device("meta"):
        network = (family.draw if isinstance(family, CatalogueFamily) else family.build)((3, least, least), 5)
        assert network.eval()(torch.empty(2, 3, least, least)).shape == (2, 5)
        with pytest.raises(RuntimeError):
            network(torch.empty(2, 3, least - 1, least - 1))


def test_other_misfits_are_refused_when_built() -> None:
    with pytest.raises(OptionError, match="alexnet-network needs images of at least 63×63"):
        AlexNetFamily().build((3, 32, 32), 10)
    with pytest.raises(OptionError, match="squeezenet1_1: can't take images 3×8×8: ") as caught:
        TorchvisionFamily("squeezenet1_1").build((3, 8, 8), 10)
    assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="takes images of 1 or 3 channels, these have 4"):
        TimmFamily("test_resnet").build((4, 32, 32), 10)


def test_vgg_pools_where_its_map_is_smaller_than_7() -> None:
    family = VGGFamily(depth=11, bn=True)
    network = family.build((3, 64, 64), 7)
    assert count_parameters(network) == count_parameters(network.get_submodule("features")) + 513 * 7
    assert ["2×2 positions" in remark for remark in family.remarks] == [True]
    # the same names as torchvision's, so that weights can be exchanged
    theirs = torchvision.models.vgg11_bn(weights=None).features.state_dict()
    assert network.get_submodule("features").load_state_dict(theirs)
    maps = nn.Sequential(*family.stages(network))(torch.rand(2, 3, 64, 64))
    assert maps.shape == (2, 512, 2, 2)
    with torch.device("meta"):
        large = VGGFamily(depth=11).draw((3, 224, 224), 7)
        kept = VGGFamily(depth=11, head="original").draw((3, 64, 64), 7)
    assert count_parameters(large) == count_parameters(kept) > 128_000_000


def test_the_papers_googlenet_has_wide_kernels_and_response_normalisation() -> None:
    with torch.device("meta"):
        network = GoogLeNetFamily(bn=False).draw((3, 224, 224), 10)
    kernels = [layer.kernel_size for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert kernels.count((5, 5)) == 9
    assert len(kernels) == 3 + 9 * 6
    assert sum(isinstance(layer, nn.LocalResponseNorm) for layer in network.modules()) == 2
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize(
    "family",
    [TorchvisionFamily("shufflenet_v2_x0_5"), TimmFamily("test_resnet"), ResNetFamily(stem="small")],
)
def test_grey_and_colour_images_train(family: CatalogueFamily) -> None:
    for channels in (1, 3):
        torch.manual_seed(0)
        network = family.build((channels, 16, 16), 5)
        assert network.training
        assert family.tags == {"start": "scratch"}
        logits = network(torch.rand(4, channels, 16, 16))
        logits.sum().backward()
        assert logits.shape == (4, 5)
        torch.manual_seed(0)
        again = family.build((channels, 16, 16), 5).state_dict()
        weights = dict(network.named_parameters())
        assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_grey_images_are_seen_as_if_repeated_in_all_colours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=4)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    family = TorchvisionFamily("shufflenet_v2_x0_5", checkpoint=tmp_path / "w.pth")
    grey = torch.rand(2, 1, 32, 32)
    outputs = []
    for shape in ((1, 32, 32), (3, 32, 32)):
        torch.manual_seed(1)
        outputs.append(family.build(shape, 3).eval()(grey.expand(2, shape[0], 32, 32)))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_a_torchvision_checkpoint_keeps_all_but_its_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.resnet18(weights=None, num_classes=5)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    family = ResNetFamily(checkpoint=tmp_path / "w.pth")
    assert family.tags == {"start": "pre-trained"}
    assert len(family.fingerprint()) > 64
    family.load(CPU)
    assert family.mean == pytest.approx((0.485, 0.456, 0.406))
    first, second = (family.build((3, 64, 64), 5) for _ in range(2))
    kept, held = source.state_dict(), first.state_dict()
    changed = [name for name in held if not torch.equal(held[name], kept[name])]
    assert changed == ["fc.weight", "fc.bias"]
    assert not torch.equal(held["fc.weight"], second.state_dict()["fc.weight"])
    assert family.remarks == [
        "the weights under 'state_dict' were taken",
        "its trained head of 5 outputs is replaced by a new one of 5",
    ]
    # training one leaves the weights of the next as they were
    nn.init.zeros_(first.get_submodule("conv1").weight)
    assert torch.equal(family.build((3, 64, 64), 5).state_dict()["conv1.weight"], kept["conv1.weight"])


def test_auxiliary_heads_of_trained_weights_are_left_out(tmp_path: Path) -> None:
    source = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    family = GoogLeNetFamily(form="torchvision", dropout=0.3, checkpoint=tmp_path / "w.pth")
    network = family.build((3, 32, 32), 6)
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 6)
    assert family.remarks[0] == "auxiliary heads are left out: aux1, aux2"
    assert network.get_submodule("dropout").p == 0.3
    assert count_parameters(network) == 6_624_904 - 994 * 1025


def test_a_timm_checkpoint_keeps_all_but_its_head_and_is_resized(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    source = timm.create_model("test_vit", pretrained=False, num_classes=7)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    family = TimmFamily("test_vit", checkpoint=tmp_path / "w.pth")
    network = family.build((3, 160, 160), 4)
    held, kept = network.state_dict(), source.state_dict()
    assert [n for n in held if held[n].shape != kept[n].shape] == ["head.weight", "head.bias"]
    assert all(torch.equal(held[n], kept[n]) for n in held if not n.startswith("head."))
    assert family.remarks == ["its trained head of 7 outputs is replaced by a new one of 4"]
    assert family.build((3, 64, 48), 4)(torch.rand(2, 3, 64, 48)).shape == (2, 4)
    assert family.remarks[-1] == "timm resized it from images 160×160 to 64×48"
    assert TimmFamily("test_vit").build((1, 64, 48), 4)(torch.rand(2, 1, 64, 48)).shape == (2, 4)


def test_a_trained_vgg_pools_for_small_images_too() -> None:
    with torch.device("meta"):
        trained = torchvision.models.vgg11(weights=None, init_weights=False)
        network = VGGFamily(depth=11, dropout=0.1).adapt(trained, (3, 64, 64), 9)
        assert network(torch.empty(2, 3, 64, 64)).shape == (2, 9)
    assert network.get_submodule("features") is trained.features
    assert count_parameters(network) == count_parameters(trained.features) + 513 * 9
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.1]


def test_weights_that_cannot_be_had_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    family = ResNetFamily(pretrained=True)
    assert family.tags == {"start": "pre-trained"}
    with pytest.raises(Unavailable, match="can't be downloaded") as caught:
        family.load(CPU)
    assert "checkpoint=FILE" in str(caught.value)
    missing = AlexNetFamily(checkpoint=tmp_path / "none.pth").unavailable()
    assert missing is not None
    assert "none.pth is not a file" in missing
    with pytest.raises(OptionError, match="give pretrained=true or checkpoint=FILE, not both"):
        TimmFamily("test_vit", pretrained=True, checkpoint=tmp_path / "none.pth")
