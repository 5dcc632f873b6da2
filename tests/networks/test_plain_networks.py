"""The perceptron, multilayer perceptrons and LeNet-5 against known sizes and closed forms."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch
from torch import nn

from harness import OptionError
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness_networks.complexity import measure_complexity
from harness_networks.contracts import NetworkFamily
from harness_networks.densenet_bc import DenseNetBCFamily
from harness_networks.extractor_team import ExtractorTeamFamily
from harness_networks.plain_networks import LeNet5Family, MLPFamily, PerceptronFamily
from harness_networks.wide_resnet import WideResNetFamily

SMALL: list[tuple[NetworkFamily, tuple[int, int, int]]] = [
    (PerceptronFamily(), (1, 8, 8)),
    (MLPFamily(), (1, 8, 8)),
    (MLPFamily(hidden=[5, 4], dropout=0.5, activation="tanh"), (3, 6, 7)),
    (LeNet5Family(), (1, 32, 32)),
    (LeNet5Family(padding=2, pool="max"), (3, 28, 20)),
    (ExtractorTeamFamily(width=0.25, depth=1, hidden=8), (1, 9, 8)),
    (ExtractorTeamFamily(width=0.25, depth=2, hidden=8, design="branches", batch_norm=True), (3, 8, 8)),
    (ExtractorTeamFamily(width=0.25, depth=1, hidden=8, dropout=0.5, block_dropout=0.1), (3, 8, 8)),
    (DenseNetBCFamily(depth=10, growth=4), (1, 8, 8)),
    (WideResNetFamily(depth=10, width=1, dropout=0.3), (3, 8, 8)),
]


def build(family: Any, shape: tuple[int, int, int], classes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    assert family.fits(shape, classes) is None
    network: nn.Module = family.build(shape, classes)
    return network


@pytest.mark.parametrize(
    ("family", "shape", "parameters", "macs"),
    [
        (PerceptronFamily(), (1, 8, 8), 650, 640),
        (MLPFamily(hidden=[64, 64]), (1, 8, 8), 8_970, 8_832),
        (MLPFamily(hidden=[64, 64, 64]), (1, 8, 8), 8_970 + 64 * 65, 8_832 + 64 * 64),
        # 6·25·28² + 16·6·25·10² + 400·120 + 120·84 + 84·10
        (LeNet5Family(), (1, 32, 32), 61_706, 416_520),
        (LeNet5Family(padding=2), (1, 28, 28), 61_706, 416_520),
    ],
)
def test_sizes(family: NetworkFamily, shape: tuple[int, int, int], parameters: int, macs: int) -> None:
    assert measure_complexity(build(family, shape, 10), shape) == (parameters, parameters, macs)


@pytest.mark.parametrize(("family", "shape"), SMALL)
def test_weights_hang_on_the_seed_alone(family: NetworkFamily, shape: tuple[int, int, int]) -> None:
    first, again, other = (build(family, shape, 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("family", "shape"), SMALL)
def test_every_weight_has_a_gradient_and_evaluation_repeats(
    family: NetworkFamily, shape: tuple[int, int, int]
) -> None:
    network = build(family, shape, 3)
    images = torch.rand(4, *shape)
    logits = network(images)
    assert logits.shape == (4, 3)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    assert [name for name, weights in network.named_parameters() if weights.grad is None] == []
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("classes", [5, 200])
@pytest.mark.parametrize(("family", "shape"), SMALL)
def test_equal_logits_cost_the_logarithm_of_the_classes(
    family: NetworkFamily, shape: tuple[int, int, int], classes: int
) -> None:
    network = build(family, shape, classes).eval()
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    loss = nn.functional.cross_entropy(network(torch.rand(2, *shape)), torch.tensor([0, classes - 1]))
    assert loss.item() == pytest.approx(log(classes), rel=1e-6)


def test_an_mlp_knows_nothing_of_neighbourhood() -> None:
    network = build(MLPFamily(), (3, 6, 6), 4)
    images, order = torch.rand(5, 3, 6, 6), torch.randperm(108)
    before = network(images)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(first.weight[:, order])
    permuted = images.flatten(1)[:, order].reshape(images.shape)
    torch.testing.assert_close(network(permuted), before)


@pytest.mark.parametrize(("family", "shape"), [one for one in SMALL if hasattr(one[0], "stages")])
def test_stages_lead_from_images_to_the_input_of_the_head(family: Any, shape: tuple[int, int, int]) -> None:
    network = build(family, shape, 3).eval()
    images = torch.rand(2, *shape)
    maps = nn.Sequential(*family.stages(network))(images)
    if isinstance(family, DenseNetBCFamily):
        maps = nn.functional.relu(network.get_submodule("features.norm5")(maps)).mean((2, 3))
        head = network.get_submodule("classifier")
    else:
        head = network.get_submodule("head")
    torch.testing.assert_close(head(maps), network(images))


def test_lenet_refuses_what_its_poolings_use_up() -> None:
    assert LeNet5Family().fits((1, 16, 16), 10) is None
    assert LeNet5Family().build((1, 16, 16), 10)(torch.rand(2, 1, 16, 16)).shape == (2, 10)
    assert LeNet5Family(padding=4).fits((1, 8, 8), 10) is None
    said = LeNet5Family().fits((1, 28, 15), 10)
    assert said is not None
    assert said.startswith("lenet5 needs images of at least 16×16 pixels")
    assert said.endswith("these have 28×15")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mlp", {"hidden": [8, 0]}, "mlp: hidden must be a whole number of at least 1, found 0"),
        ("mlp", {"dropout": 1.0}, "mlp: dropout must be from 0 to below 1, found 1.0"),
        ("mlp", {"activation": "rely"}, "activation"),
        ("lenet5", {"padding": -1}, "lenet5: padding must be a whole number of at least 0, found -1"),
        ("perceptron", {"hidden": [8]}, "hidden"),
        ("extractor-team", {"width": 0.3}, "width must be a multiple of 1/16 above 0, found 0.3"),
        ("extractor-team", {"width": 0}, "width must be a multiple of 1/16 above 0"),
        ("extractor-team", {"kernels": [1, 4]}, "kernels must be odd and at least 1, found [1, 4]"),
        ("extractor-team", {"kernels": []}, "kernels must be odd and at least 1"),
        ("extractor-team", {"stem_kernel": 2}, "stem_kernel must be odd"),
        ("extractor-team", {"pool": 1, "pool_stride": 2}, "pool_stride=2 would skip pixels: pool is 1"),
        ("extractor-team", {"design": "branches", "kernels": [3]}, "design=branches takes neither kernels"),
        ("densenet-bc", {"depth": 99}, "densenet-bc: depth must be 6·n + 4"),
        ("wide-resnet", {"depth": 4}, "wide-resnet: depth must be 6·n + 4"),
        ("wide-resnet", {"dropout": -0.1}, "dropout must be from 0 to below 1"),
        ("alexnet-network", {"dropout": 2}, "alexnet-network: dropout must be"),
        ("resnet-network", {"depth": 20}, "depth"),
        ("resnet-network", {"stem": "small", "pretrained": True}, "stem=small is for training from scratch"),
        ("googlenet-network", {"pretrained": True}, "trained weights are for form=torchvision with bn=true"),
        ("torchvision-network", {"name": "resnet19"}, "did you mean 'resnet18'?"),
        ("timm-network", {"name": "resnet19"}, "resnet18"),
    ],
)
def test_bad_options_end_in_one_line(name: str, options: dict[str, Any], said: str) -> None:
    try:
        part = Resolver().resolve("models", Reference(name, options), "here")
        problem = part.problem or part.missing or ""
    except OptionError as error:
        problem = str(error)
    assert said in problem
    assert "\n" not in problem
