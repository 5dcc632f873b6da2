"""Training steps: who changes what, constraints after steps, seeds together and alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness_gan.losses import Hinge, NonSaturating, Wasserstein, WassersteinGP
from harness_gan.real_samples import ImageSamples
from harness_gan.remedies import (
    AveragedGenerator,
    CriticSteps,
    GeneratorSteps,
    InstanceNoise,
    LabelSmoothing,
    MinibatchDiscrimination,
    MinibatchStd,
    PacGAN,
    SpectralNorm,
    TwoTimeScale,
    WeakDiscriminator,
)
from harness_generative.architectures import DCGAN, MLP, MixedArchitecture, Perceptron, ResNet

EVERY = [
    LabelSmoothing(),
    MinibatchDiscrimination(3, 2),
    MinibatchStd(),
    InstanceNoise(),
    SpectralNorm(),
    TwoTimeScale(),
    CriticSteps(2),
    GeneratorSteps(2),
    WeakDiscriminator(),
    PacGAN(2),
    AveragedGenerator(0.9),
]


@pytest.fixture
def images() -> ImageSamples:
    return ImageSamples(np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8))


def whole(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def digest(training: Any) -> str:
    tensors = [*training.generator.state_dict().values(), *training.discriminator.state_dict().values()]
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()


@pytest.mark.parametrize("remedies", [[], [SpectralNorm()]])
def test_each_step_changes_its_own_network_alone(
    make_training: Any, images: ImageSamples, remedies: Any
) -> None:
    """Parameters and buffers: batch normalisation's statistics and spectral normalisation's vectors."""
    training = make_training(remedies=remedies, architecture=DCGAN(4, 5), source=images)
    g, d = whole(training.generator), whole(training.discriminator)
    assert any("running" in name for name in g)
    training.d_step()
    assert same(g, whole(training.generator))
    assert not same(d, whole(training.discriminator))
    d = whole(training.discriminator)
    training.g_step()
    assert same(d, whole(training.discriminator))
    after = whole(training.generator)
    assert all(not torch.equal(g[name], after[name]) for name in g if "running" in name)


@pytest.mark.parametrize(
    ("loss", "remedies", "d_steps", "g_steps", "evaluations"),
    [
        (NonSaturating(), [], 1, 1, 2),
        (NonSaturating(), [CriticSteps(3)], 3, 1, 4),
        (NonSaturating(), [GeneratorSteps(2)], 1, 2, 3),
        (WassersteinGP(n_critic=5), [], 5, 1, 11),
        (Wasserstein(), [], 5, 1, 6),
    ],
)
def test_steps_and_gradient_evaluations_are_counted(
    make_training: Any, loss: Any, remedies: Any, d_steps: int, g_steps: int, evaluations: int
) -> None:
    training = make_training(loss, remedies)
    for _ in range(3):
        training.run_round()
    assert (training.d_steps, training.g_steps) == (3 * d_steps, 3 * g_steps)
    assert training.evaluations == 3 * evaluations


def test_clipping_bounds_every_weight_after_every_step(make_training: Any) -> None:
    training = make_training(Wasserstein(clip=0.02), seeds=(0, 1))
    for _ in range(4):
        training.d_step()
        assert max(p.detach().abs().max().item() for p in training.discriminator.parameters()) <= 0.02
    assert max(p.detach().abs().max().item() for p in training.generator.parameters()) > 0.02


@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), WassersteinGP(0.1, 2)])
@pytest.mark.parametrize("remedies", [[], EVERY])
def test_seeds_together_equal_each_alone_on_points(make_training: Any, loss: Any, remedies: Any) -> None:
    together = make_training(loss, remedies, seeds=(3, 4, 9))
    for _ in range(6):
        together.run_round()
    for number, seed in enumerate(together.streams.seeds):
        alone = make_training(loss, remedies, seeds=(seed,))
        for _ in range(6):
            alone.run_round()
        for name in ("generator", "discriminator"):
            joint = getattr(together, name).state_dict()
            for key, tensor in getattr(alone, name).state_dict().items():
                torch.testing.assert_close(joint[key][number : number + 1], tensor, rtol=1e-4, atol=1e-6)
        assert together.summarise_steps()[number] == pytest.approx(
            alone.summarise_steps()[0], rel=1e-3, abs=1e-5
        )


@pytest.mark.parametrize("architecture", [DCGAN(4, 5), ResNet(4, 5), MLP(8, 1, 5)])
def test_seeds_together_equal_each_alone_on_images(
    make_training: Any, images: ImageSamples, architecture: Any
) -> None:
    together = make_training(seeds=(0, 1), architecture=architecture, source=images, batch_size=8)
    for _ in range(3):
        together.run_round()
    draw_latents = together.draw_latents("look", 4)
    for number in range(2):
        alone = make_training(seeds=(number,), architecture=architecture, source=images, batch_size=8)
        for _ in range(3):
            alone.run_round()
        ours, theirs = together.sample(draw_latents)[number], alone.sample(alone.draw_latents("look", 4))[0]
        assert ours.shape == (4, 1, 8, 8)
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_seeds_differ_and_are_reproducible(make_training: Any) -> None:
    runs = [make_training(remedies=EVERY, seeds=(seed,)) for seed in (0, 0, 1)]
    for training in runs:
        for _ in range(5):
            training.run_round()
    first, again, other = map(digest, runs)
    assert first == again
    assert first != other


def test_looking_at_samples_changes_no_training(make_training: Any) -> None:
    looked, unseen = make_training(), make_training()
    for _ in range(4):
        looked.sample(looked.draw_latents("watch", 50))
        looked.run_round()
        unseen.run_round()
    assert digest(looked) == digest(unseen)


def test_one_seeds_divergence_stays_its_own(make_training: Any) -> None:
    training, alone = make_training(seeds=(0, 1)), make_training(seeds=(1,))
    with torch.no_grad():
        next(training.generator.parameters())[0] = torch.nan
    for _ in range(3):
        training.run_round()
        alone.run_round()
    assert training.are_seeds_finite() == [False, True]
    torch.testing.assert_close(
        next(training.generator.parameters())[1:], next(alone.generator.parameters()), rtol=1e-5, atol=1e-7
    )


def test_packing_one_sample_changes_nothing(make_training: Any) -> None:
    plain, packed = make_training(), make_training(remedies=[PacGAN(1)])
    for training in (plain, packed):
        for _ in range(4):
            training.run_round()
    assert digest(plain) == digest(packed)


def test_packs_join_neighbours_along_their_channels() -> None:
    from harness_generative.gan_networks import join_packs

    samples = torch.arange(2 * 4 * 3 * 2 * 2.0).view(2, 4, 3, 2, 2)
    packed = join_packs(samples, 2)
    assert packed.shape == (2, 2, 6, 2, 2)
    assert torch.equal(packed[1, 0], torch.cat([samples[1, 0], samples[1, 1]]))


def test_averaged_weights_follow_the_generator(make_training: Any) -> None:
    training = make_training(remedies=[AveragedGenerator(0.5)])
    expected = [p.detach().clone() for p in training.generator.parameters()]
    for step in range(1, 6):
        training.run_round()
        decay = min(0.5, (1 + step) / (10 + step))
        new = training.generator.parameters()
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, new)]
    for kept, wanted in zip(training.averaged.parameters(), expected, strict=True):
        torch.testing.assert_close(kept, wanted)


def test_settings_are_composed_in_order(make_training: Any) -> None:
    training = make_training(WassersteinGP(), [TwoTimeScale(4), WeakDiscriminator(0.5)], n_critic=2)
    settings = training.settings
    assert (settings.n_critic, settings.lr_d, settings.lr_g) == (2, 1e-3, 2.5e-4)
    assert settings.d_width == 0.5
    assert training.discriminator.trunk[1].weight.shape == (1, 2, 8)


@pytest.mark.parametrize("discriminator", [Perceptron(8, 1), ResNet(4), DCGAN(4)])
def test_mixed_architectures(make_training: Any, images: ImageSamples, discriminator: Any) -> None:
    training = make_training(
        architecture=MixedArchitecture(DCGAN(4, 5), discriminator), source=images, remedies=[PacGAN(2)]
    )
    training.run_round()
    assert training.last_step["on_real"].shape == (1, 8)
    if isinstance(discriminator, Perceptron):
        assert sum(p.numel() for p in training.discriminator.parameters()) == 2 * 64 + 1


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_image_networks_of_every_power_of_two(size: int) -> None:
    from harness_generative.contracts import GanSettings
    from harness_generative.streams import Streams

    streams = Streams([0, 1])
    for architecture in (DCGAN(2, 3), ResNet(2, 3)):
        z = streams.normal("z", (2, 3))
        fake = architecture.generator((3, size, size), streams)(z)
        assert fake.shape == (2, 2, 3, size, size)
        assert fake.abs().max() <= 1
        trunk, width = architecture.trunk((3, size, size), GanSettings(), streams)
        assert trunk(fake).shape == (2, 2, width)


@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 4, 4), (3, 16, 32), (2,)])
def test_sizes_that_do_not_fit_are_named(shape: tuple[int, ...]) -> None:
    for architecture in (DCGAN(), ResNet(), MixedArchitecture(MLP(), DCGAN())):
        assert "image" in (architecture.fits(shape) or "")


def test_learning_rates_fall_linearly_where_asked(make_training: Any) -> None:
    """After k of 100 generator steps both are at 1 − k/100 of their start, each of its own."""
    training = make_training(WassersteinGP(0.1, 2), [TwoTimeScale(4)], decay=True)
    for k in range(4):
        training.run_round()
        assert training.d_optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * (1 - k / 100))
        assert training.g_optimizer.param_groups[0]["lr"] == pytest.approx(2.5e-4 * (1 - k / 100))
    constant = make_training()
    constant.run_round()
    constant.run_round()
    assert constant.g_optimizer.param_groups[0]["lr"] == 1e-3
