"""The model `small-cnn`: every layer in it, frozen kernels, stages, many seeds at once, and shifts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from harness import OptionError
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness_networks.contracts import BuildsNetworks, FitsKernels, NamesStages
from harness_networks.layers.contracts import Pooling
from harness_networks.layers.convolutions import LocallyConnected, PlainConvolution, TiledConvolution
from harness_networks.layers.normalisations import (
    BatchNormalisation,
    GlobalContrast,
    GroupNormalisation,
    LocalContrast,
)
from harness_networks.layers.pooling import AveragePool, LpPool, MaxPool, NoPool, SoftmaxPool
from harness_networks.small_cnn import SmallCNN

VARIANTS = {
    "default": {},
    "valid": {"padding": "valid", "kernel": 2},
    "circular": {"padding": "circular"},
    "stride": {"stride": 2},
    "stride as Keras": {"stride": 2, "padding": "same-keras"},
    "dilated": {"dilation": [1, 2], "kernel": [3, 2]},
    "average": {"pooling": AveragePool()},
    "lp": {"pooling": LpPool(3.0)},
    "softmax": {"pooling": SoftmaxPool(2.0)},
    "overlapping": {"pooling": MaxPool(3, 2)},
    "tiled": {"convolution": TiledConvolution(2)},
    "local": {"convolution": LocallyConnected()},
    "grouped": {"convolution": PlainConvolution(groups=1, bias=False)},
    "group norm": {"normalisation": GroupNormalisation(2), "activation": "tanh"},
    "contrast": {
        "input_normalisation": GlobalContrast(),
        "normalisation": LocalContrast(3),
        "activation": "absolute",
    },
    "flat": {"head": "flatten", "pooling": NoPool()},
    "random": {"kernels": "random"},
    "k-means": {"kernels": "k-means"},
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 10)])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_trains_grey_and_colour(options, shape):
    family = SmallCNN([4, 6], **options)
    assert family.fits(shape, 5) is None
    network = family.build(shape, 5)
    images, labels = torch.rand(3, *shape), torch.tensor([0, 4, 2])
    logits = network(images)
    assert logits.shape == (3, 5)
    F.cross_entropy(logits, labels).backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    through = images
    for stage in family.stages(network):
        through = stage(through)
    torch.testing.assert_close(network.get_submodule("head")(through), logits)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_many_seeds_train_at_once(options):
    """Gradients of stacked networks under vmap are those of each alone."""
    family = SmallCNN([4, 6], **options)
    networks = [family.build((2, 8, 8), 5) for _ in range(3)]
    images, labels = torch.rand(3, 4, 2, 8, 8), torch.randint(5, (3, 4))
    parameters, buffers = stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")

    def loss(own: dict, held: dict, batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(skeleton, (own, held), (batch,)), target)

    together = vmap(grad(loss))(parameters, buffers, images, labels)
    for index, network in enumerate(networks):
        F.cross_entropy(network(images[index]), labels[index]).backward()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(together[name][index], parameter.grad, rtol=1e-3, atol=1e-5)


def test_layers_stand_in_their_order():
    plain = SmallCNN([4], normalisation=BatchNormalisation()).build((1, 8, 8), 3)
    assert [n for n, _ in plain.get_submodule("stage1").named_children()] == [
        "convolution",
        "normalisation",
        "activation",
        "pooling",
    ]
    rectified = SmallCNN([4], normalisation=LocalContrast(3), input_normalisation=GlobalContrast())
    assert [n for n, _ in rectified.build((1, 8, 8), 3).get_submodule("stage1").named_children()] == [
        "input",
        "convolution",
        "activation",
        "normalisation",
        "pooling",
    ]
    assert isinstance(SmallCNN().design.pooling, MaxPool)
    assert isinstance(SmallCNN(stride=[1, 2]).design.pooling, NoPool)
    assert isinstance(SmallCNN(stride=2, pooling=AveragePool()).design.pooling, AveragePool)


@pytest.mark.parametrize("kernels", ["random", "k-means"])
@pytest.mark.parametrize("count", [1, 2])
def test_fixed_kernels_are_named(kernels, count):
    family = SmallCNN(
        [8, 6], kernels=kernels, fixed_stages=count, patches=300, input_normalisation=GlobalContrast()
    )
    network = family.build((1, 8, 8), 3)
    images = torch.rand(40, 1, 8, 8)
    network.train()
    names = family.fit_kernels(network, images, seed=3)
    part = "convolution" if kernels == "random" else "encoder"
    parameters = dict(network.named_parameters())
    assert set(names) == {
        n for n in parameters if any(n.startswith(f"stage{i + 1}.{part}") for i in range(count))
    }
    assert names
    assert network.training
    again = family.build((1, 8, 8), 3)
    family.fit_kernels(again, images, seed=3)
    if kernels == "k-means":
        assert all(torch.equal(parameters[n], dict(again.named_parameters())[n]) for n in names)
        encoder = network.get_submodule("stage1.encoder")
        assert encoder.centroids.std() > 0
        alone = SmallCNN([8, 6], kernels=kernels, patches=300, input_normalisation=GlobalContrast())
        single = alone.build((1, 8, 8), 3)
        alone.fit_kernels(single, images, seed=3)  # a further fixed stage does not change the first
        assert torch.equal(single.get_submodule("stage1.encoder").centroids, encoder.centroids)


def test_trained_kernels_stay_free():
    family = SmallCNN()
    assert family.fit_kernels(family.build((1, 8, 8), 3), torch.rand(4, 1, 8, 8), seed=0) == []


def test_training_layer_by_layer_leaves_earlier_layers_as_they_are():
    family = SmallCNN([4, 6, 8], pooling=NoPool())
    network = family.build((1, 8, 8), 3)
    images, labels = torch.rand(16, 1, 8, 8), torch.randint(3, (16,))
    stages = family.stages(network)
    for number, stage in enumerate(stages):
        before = [copy.deepcopy(one.state_dict()) for one in stages]
        head = nn.Linear(family.design.channels[number], 3)
        optimizer = torch.optim.SGD([*stage.parameters(), *head.parameters()], lr=0.1)
        with torch.no_grad():
            inputs = nn.Sequential(*stages[:number])(images)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(head(stage(inputs).mean((2, 3))), labels).backward()
            optimizer.step()
        changed = [
            any(not torch.equal(old[k], v) for k, v in one.state_dict().items())
            for old, one in zip(before, stages, strict=True)
        ]
        assert changed == [index == number for index in range(3)]


def draw_dot(row: int, column: int) -> torch.Tensor:
    """Draw a dot on an image 1×1×12×12."""
    image = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    image[0, 0, row, column] = 1
    return image


def test_circular_padding_with_averages_can_not_tell_where_a_dot_is():
    """Exact invariance, so which quadrant holds the dot stays at chance however long such a network trains."""

    def spread(padding: str, head: str) -> float:
        torch.manual_seed(1)
        family = SmallCNN([6, 6, 6], padding=padding, pooling=NoPool(), head=head)
        network = family.build((1, 12, 12), 4).double()
        places = [(0, 0), (0, 11), (5, 6), (11, 3), (7, 7)]
        with torch.no_grad():
            logits = torch.cat([network(draw_dot(*place)) for place in places])
        return float((logits - logits[0]).abs().max())

    assert spread("circular", "gap") < 1e-12
    assert spread("same", "gap") > 1e-4  # zeros at the border leak the position
    assert spread("circular", "flatten") > 1e-3


def test_an_average_over_positions_takes_any_size():
    network = SmallCNN([4, 6]).build((3, 32, 32), 5)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 5)


def test_impossible_combinations_are_named():
    assert SmallCNN([4, 4], kernel=5, padding="valid").fits((1, 8, 8), 3) == (
        "stage 2: a kernel of side 5 is larger than its 2×2 map"
    )
    assert (
        SmallCNN([4] * 4).fits((1, 8, 8), 3)
        == "stage 4: a pooling window of side 2 is larger than its 1×1 map"
    )
    assert (
        SmallCNN([4], normalisation=GroupNormalisation(3))
        .fits((1, 8, 8), 3)
        .startswith("stage 1: 4 channels")
    )
    assert (
        SmallCNN([4], input_normalisation=GroupNormalisation(2)).fits((1, 8, 8), 3).startswith("input: 1 ch")
    )
    with pytest.raises(OptionError, match="small-cnn: stage 4: a pooling window"):
        SmallCNN([4] * 4).build((1, 8, 8), 3)
    for options, message in [
        ({"channels": []}, "channels must have at least one number"),
        ({"channels": [4, 0]}, "channels must be a whole number of at least 1, found 0"),
        ({"kernel": [3]}, r"kernel must be one number, or one for each of 2 stages, found \[3\]"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"activation": "relux"}, "activation can't be 'relux'.*'relu'"),
        ({"pooling": GlobalContrast()}, "pooling must be a pooling layer, found GlobalContrast"),
        ({"kernels": "random", "fixed_stages": 3}, "fixed_stages is 3, but there are 2 stages"),
        ({"kernels": "k-means", "convolution": TiledConvolution()}, "k-means kernels are alike everywhere"),
        ({"whitening": 0.0}, "whitening must be above 0"),
    ]:
        with pytest.raises(OptionError, match=message):
            SmallCNN(**options)


def test_capabilities():
    for capability in (BuildsNetworks, NamesStages, FitsKernels):
        assert isinstance(SmallCNN(), capability)


class MedianPool(Pooling):
    """A third party's layer: one class."""

    def build(self, shape: tuple[int, int, int]) -> nn.Module:
        """Build the median of windows that don't overlap."""
        size = self.size

        class Median(nn.Module):
            def forward(self, maps: torch.Tensor) -> torch.Tensor:
                windows = maps.unfold(2, size, size).unfold(3, size, size)
                return windows.flatten(4).median(4).values

        return Median()


def test_a_third_partys_layer_is_one_class():
    network = SmallCNN([4, 4], pooling=MedianPool(size=2)).build((1, 8, 8), 3)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 3)


def test_layers_are_named_in_a_suite_file():
    written = {
        "plugin": "small-cnn",
        "channels": [4],
        "pooling": {"plugin": "lp-pool", "p": 3},
        "convolution": "tiled-convolution?tile=3",
        "input_normalisation": "global-contrast",
    }
    part = Resolver().resolve("models", parse_references(written, "models")[0], "models")
    assert part.problem is None
    family = part.object
    assert isinstance(family.design.pooling, LpPool)
    assert family.design.pooling.p == 3
    assert family.design.convolution.tile == 3
    assert family.tags == {"start": "scratch"}
    with pytest.raises(OptionError, match="pooling must be a pooling layer, found BatchNormalisation"):
        Resolver().resolve(
            "models", parse_references({"plugin": "small-cnn", "pooling": "batch-norm"}, "m")[0], "m"
        )
