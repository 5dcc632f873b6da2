"""Spectral normalisation of stacked layers; ordinary layers get torch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from harness_generative.stacked_layers import StackedConvolution, StackedLinear
from harness_generative.streams import Streams


class StackedSpectralNorm(nn.Module):
    """Divides each seed's weight, reshaped to outputs × rest, by its largest singular value.

    Training passes iterate and keep the vectors u and v of each seed; evaluation only reads them.
    """

    u: torch.Tensor
    v: torch.Tensor

    def __init__(self, weight: torch.Tensor, output_axis: int, iterations: int, streams: Streams) -> None:
        super().__init__()
        self.output_axis, self.iterations = output_axis, iterations
        matrix = self._matrix(weight)
        u = F.normalize(streams.normal("spectral norm", (matrix.shape[1],)), dim=1)
        self.register_buffer("u", u)
        self.register_buffer("v", F.normalize(torch.einsum("soi,so->si", matrix.detach(), u), dim=1))
        self._iterate(matrix.detach(), 15)  # as torch does, so that the first pass is close

    def _matrix(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.movedim(self.output_axis, 1).flatten(2)

    @torch.no_grad()
    def _iterate(self, matrix: torch.Tensor, times: int) -> None:
        u, v = self.u, self.v
        for _ in range(times):
            u = F.normalize(torch.einsum("soi,si->so", matrix, v), dim=1, eps=1e-12)
            v = F.normalize(torch.einsum("soi,so->si", matrix, u), dim=1, eps=1e-12)
        self.u.copy_(u)
        self.v.copy_(v)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight over σ₁ = uᵀWv."""
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.iterations)
        # copies, since a later pass changes the buffers in place while this pass's graph still needs them
        sigma = torch.einsum("so,soi,si->s", self.u.clone(), matrix, self.v.clone())
        return weight / sigma.view(-1, *[1] * (weight.dim() - 1))


ITERATING = (StackedSpectralNorm, _SpectralNorm)
"""Modules whose training passes change their buffers."""


def add_spectral_norm(network: nn.Module, iterations: int, streams: Streams) -> nn.Module:
    """Add spectral normalisation to every linear layer and convolution of a network, in place."""
    for module in list(network.modules()):
        if isinstance(module, StackedLinear | StackedConvolution):
            axis = 2 if isinstance(module, StackedLinear) or module.transposed else 1
            norm = StackedSpectralNorm(module.weight, axis, iterations, streams)
            parametrize.register_parametrization(module, "weight", norm)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            spectral_norm(module, n_power_iterations=iterations)
    return network
