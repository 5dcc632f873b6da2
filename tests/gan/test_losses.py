"""Losses against their closed forms, and penalties of critics whose gradients are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from harness.errors import OptionError
from harness_gan.losses import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Saturating,
    Wasserstein,
    WassersteinGP,
    ZeroCentred,
)
from harness_gan.methods import GAN
from harness_gan.remedies import LabelSmoothing
from harness_generative.contracts import Loss
from harness_generative.streams import Streams

ALL = [NonSaturating, Saturating, LeastSquares, Hinge, Wasserstein, WassersteinGP, ZeroCentred]


def at(loss: Loss, term: str, value: float) -> float:
    return float(getattr(loss, term)(torch.tensor(value, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("loss", "d_loss", "g_loss"),
    [
        (NonSaturating(), 2 * math.log(2), math.log(2)),
        (Saturating(), 2 * math.log(2), -math.log(2)),
        (Hinge(), 2.0, 0.0),
        (LeastSquares(), 0.5, 0.5),
        (Wasserstein(), 0.0, 0.0),
        (WassersteinGP(), 0.0, 0.0),
        (ZeroCentred(), 2 * math.log(2), math.log(2)),
    ],
)
def test_a_discriminator_that_always_says_zero(loss: Loss, d_loss: float, g_loss: float) -> None:
    assert at(loss, "real", 0.0) + at(loss, "fake", 0.0) == pytest.approx(d_loss, abs=1e-12)
    assert at(loss, "generator", 0.0) == pytest.approx(g_loss, abs=1e-12)


@pytest.mark.parametrize("loss", [cls() for cls in ALL if cls.threshold is not None])
def test_chance_is_the_loss_where_real_and_fake_look_the_same(loss: Loss) -> None:
    """For one output on both, the best discriminator's loss is at the threshold."""
    best = minimize_scalar(lambda o: at(loss, "real", o) + at(loss, "fake", o), bounds=(-0.9, 0.9))
    assert best.fun == pytest.approx(loss.chance, abs=1e-9)
    assert loss.threshold is not None
    assert at(loss, "real", loss.threshold) + at(loss, "fake", loss.threshold) == pytest.approx(loss.chance)


@pytest.mark.parametrize("output", [-8.0, -2.0, 0.0, 1.5])
def test_saturating_and_non_saturating_gradients_differ_by_the_odds(output: float) -> None:
    b = torch.tensor(output, dtype=torch.float64, requires_grad=True)
    (ns,) = torch.autograd.grad(NonSaturating().generator(b), b)
    (saturating,) = torch.autograd.grad(Saturating().generator(b), b)
    p = 1 / (1 + math.exp(-output))
    assert float(ns / saturating) == pytest.approx((1 - p) / p, rel=1e-9)


def test_saturation_far_from_the_boundary() -> None:
    """|gradient| at b = -8 as computed from the sigmoid: 0.99966 and 0.00034."""
    b = torch.tensor(-8.0, requires_grad=True)
    assert torch.autograd.grad(NonSaturating().generator(b), b)[0].abs().item() == pytest.approx(
        0.99966, abs=1e-5
    )
    assert torch.autograd.grad(Saturating().generator(b), b)[0].abs().item() == pytest.approx(
        0.000335, abs=1e-6
    )


def linear_critic(norms: list[float], shape: tuple[int, ...]) -> tuple[object, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(len(norms), *shape, generator=generator)
    flat = w.flatten(1)
    w = (flat / flat.norm(dim=1, keepdim=True) * torch.tensor(norms)[:, None]).view_as(w)
    return lambda x: (x * w[:, None]).flatten(2).sum(2), w


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_penalties_of_linear_critics(shape: tuple[int, ...]) -> None:
    """For D(x) = w·x with ‖w‖ = c the penalty is (c−1)², and R₁ is γ/2·c², whatever the samples."""
    norms = [1.0, 3.0, 0.5]
    critic, _ = linear_critic(norms, shape)
    streams = Streams([0, 1, 2])
    real, fake = streams.normal("a", (5, *shape)), streams.normal("b", (5, *shape))
    gp = WassersteinGP(weight=10).penalty(critic, real, fake, streams)
    assert gp.tolist() == pytest.approx([10 * (c - 1) ** 2 for c in norms], abs=1e-4)
    r1 = ZeroCentred(gamma=4).penalty(critic, real, fake, streams)
    assert r1.tolist() == pytest.approx([2 * c**2 for c in norms], rel=1e-5)
    both = ZeroCentred(gamma=4, on="both").penalty(critic, real, fake, streams)
    assert both.tolist() == pytest.approx([4 * c**2 for c in norms], rel=1e-5)


def test_interpolates_have_one_epsilon_per_sample() -> None:
    from harness_gan.penalties import interpolate

    real, fake = torch.ones(2, 6, 3, 4, 4), torch.zeros(2, 6, 3, 4, 4)
    mixed = interpolate(real, fake, Streams([0, 1])).flatten(2)
    assert torch.equal(mixed, mixed[..., :1].expand_as(mixed))
    assert len(mixed[..., 0].unique()) == 12


def test_one_sided_smoothing_moves_the_optimum() -> None:
    """With target 0.9 for real and 0 for fake, one output for both is best at D = 0.45, loss 1.376."""
    loss, smoothing = NonSaturating(), LabelSmoothing(0.9)

    def total(o: float) -> float:
        output = torch.tensor(o, dtype=torch.float64)
        return float(smoothing.real(loss, output) + loss.fake(output))

    best = minimize_scalar(total, bounds=(-3, 3))
    assert 1 / (1 + math.exp(-best.x)) == pytest.approx(0.45, abs=1e-4)
    assert best.fun == pytest.approx(1.3763, abs=1e-4)


def test_smoothing_is_the_cross_entropy_to_its_target() -> None:
    output = torch.linspace(-4, 4, 9)
    ours = LabelSmoothing(0.8).real(NonSaturating(), output)
    target = torch.full_like(output, 0.8)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none")
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Wasserstein(clip=0),
        lambda: WassersteinGP(weight=-1),
        lambda: ZeroCentred(on="real data"),
        lambda: LabelSmoothing(0.4),
        lambda: GAN(NonSaturating(), remedies=[LabelSmoothing(0.9), LabelSmoothing(0.8)]),
    ],
)
def test_options_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(OptionError, match="found"):
        make()
