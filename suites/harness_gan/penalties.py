"""Penalties on the discriminator's gradient at its inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch

from harness_generative.streams import Streams

Discriminate = Callable[[torch.Tensor], torch.Tensor]


def input_gradient(discriminate: Discriminate, at: torch.Tensor) -> torch.Tensor:
    """Return ∇D at samples S×B×…, flattened to S×B×F, with a graph so that it can be minimised.

    The outputs are summed: without batch normalisation each depends on its own sample alone, so the
    sum's gradient is every sample's own.
    """
    at = at.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminate(at).sum(), at, create_graph=True)
    return gradient.flatten(2)


def interpolate(real: torch.Tensor, fake: torch.Tensor, streams: Streams) -> torch.Tensor:
    """Return ε·real + (1−ε)·fake with one ε, uniform in [0, 1), per sample."""
    shape = (real.shape[1], *[1] * (real.dim() - 2))
    epsilon = streams.uniform("penalty", shape, real.device)
    return epsilon * real + (1 - epsilon) * fake


def gradient_penalty(
    discriminate: Discriminate, real: torch.Tensor, fake: torch.Tensor, streams: Streams
) -> torch.Tensor:
    """Return mean((‖∇D(x̂)‖₂ − 1)²) per seed, S (Gulrajani et al. 2017, equation 3)."""
    gradient = input_gradient(discriminate, interpolate(real, fake, streams))
    # the norm has no derivative at 0; the small term keeps a constant critic's gradient finite
    norm = (gradient.square().sum(2) + 1e-12).sqrt()
    return (norm - 1).square().mean(1)


def squared_gradient(discriminate: Discriminate, samples: torch.Tensor) -> torch.Tensor:
    """Return mean(‖∇D(x)‖²) per seed, S (Mescheder et al. 2018, equations 9 and 10 without γ/2)."""
    return input_gradient(discriminate, samples).square().sum(2).mean(1)
