"""Adversarial losses. a = D(x) and b = D(G(z)) are raw outputs, sp is softplus."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness import OptionError
from harness_generative.contracts import GanSettings, Loss

if TYPE_CHECKING:
    import torch

    from harness_generative.streams import Streams

    Discriminate = Callable[[torch.Tensor], torch.Tensor]


class NonSaturating(Loss):
    """Discriminator sp(−a) + sp(b), generator sp(−b) (Goodfellow et al. 2014, section 3)."""

    logits = True
    threshold = 0.0
    chance = 2 * math.log(2)

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """Return −log σ(a) as a softplus: log(σ + ε) would lose its gradient far from the boundary."""
        import torch.nn.functional as F

        return F.softplus(-output)

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """Return −log(1 − σ(b))."""
        import torch.nn.functional as F

        return F.softplus(output)

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return −log σ(b)."""
        import torch.nn.functional as F

        return F.softplus(-output)


class Saturating(NonSaturating):
    """The minimax game: the generator minimises log(1 − σ(b)) = −sp(b) (Goodfellow et al. 2014)."""

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return log(1 − σ(b)), whose gradient vanishes if the discriminator is confident."""
        import torch.nn.functional as F

        return -F.softplus(output)


class LeastSquares(Loss):
    """½(a−1)² + ½b², generator ½(b−1)² (Mao et al. 2017)."""

    threshold = 0.5
    chance = 0.25

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """Return ½(a−1)²."""
        return 0.5 * (output - 1) ** 2

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """Return ½b²."""
        return 0.5 * output**2

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return ½(b−1)²."""
        return 0.5 * (output - 1) ** 2


class Hinge(Loss):
    """relu(1−a) + relu(1+b), generator −b (Lim & Ye 2017; Miyato et al. 2018)."""

    threshold = 0.0
    chance = 2.0

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """Return relu(1−a)."""
        return (1 - output).relu()

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """Return relu(1+b)."""
        return (1 + output).relu()

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return −b."""
        return -output


class Wasserstein(Loss):
    """b − a with every weight of the critic clipped to ±clip after its steps (Arjovsky et al. 2017).

    The defaults are the paper's: RMSProp at 5e-5 and five critic steps.

    Args:
        clip: bound of every weight's absolute value, above 0.
        n_critic: critic steps per generator step.
    """

    def __init__(self, clip: float = 0.01, n_critic: int = 5) -> None:
        if clip <= 0:
            raise OptionError(f"wasserstein: clip must be positive, found {clip}")
        if n_critic < 1:
            raise OptionError(f"wasserstein: n_critic must be at least 1, found {n_critic}")
        self.clip, self.n_critic = clip, n_critic

    def adjust(self, settings: GanSettings) -> None:
        """Use RMSProp, and no batch normalisation: clipping its scale to ±clip would stop the signal."""
        settings.optimizer, settings.lr_g, settings.lr_d = "rmsprop", 5e-5, 5e-5
        settings.n_critic, settings.d_norm = self.n_critic, "none"

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """Return −a."""
        return -output

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """Return b."""
        return output

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return −b."""
        return -output

    def after_d_step(self, discriminator: torch.nn.Module) -> None:
        """Clip every parameter of the critic."""
        import torch

        with torch.no_grad():
            for parameter in discriminator.parameters():
                parameter.clamp_(-self.clip, self.clip)


class WassersteinGP(Loss):
    """b − a + λ·mean((‖∇D(x̂)‖₂ − 1)²), x̂ between real and generated (Gulrajani et al. 2017).

    The authors' code uses λ = 10 for images and 0.1 for two-dimensional toys.

    Args:
        weight: λ, the weight of the gradient penalty; not negative.
        n_critic: critic steps per generator step.
    """

    penalty_passes = 1

    def __init__(self, weight: float = 10.0, n_critic: int = 5) -> None:
        if weight < 0:
            raise OptionError(f"wasserstein-gp: weight must not be negative, found {weight}")
        if n_critic < 1:
            raise OptionError(f"wasserstein-gp: n_critic must be at least 1, found {n_critic}")
        self.weight, self.n_critic = weight, n_critic

    def adjust(self, settings: GanSettings) -> None:
        """Use no batch normalisation: the penalty is on each sample's own gradient."""
        settings.n_critic, settings.d_norm = self.n_critic, "none"
        settings.beta2 = 0.9

    real = Wasserstein.real
    fake = Wasserstein.fake
    generator = Wasserstein.generator

    def penalty(
        self, discriminate: Discriminate, real: torch.Tensor, fake: torch.Tensor, streams: Streams
    ) -> torch.Tensor:
        """Return λ·mean((‖∇D(x̂)‖₂ − 1)²) with one ε per sample."""
        from harness_gan.penalties import gradient_penalty

        return self.weight * gradient_penalty(discriminate, real, fake, streams)


class ZeroCentred(NonSaturating):
    """The non-saturating loss with R₁ = γ/2·mean(‖∇D(x)‖²) on real samples (Mescheder et al. 2018).

    Args:
        gamma: γ, the weight of the penalty; not negative.
        on: the samples whose gradient is penalised: `real` (R₁), `fake` (R₂), or `both`, which adds the two.
    """

    penalty_passes = 1

    def __init__(self, gamma: float = 10.0, on: str = "real") -> None:
        if on not in ("real", "fake", "both"):
            raise OptionError(f"zero-centred: on must be real, fake or both, found {on!r}")
        if gamma < 0:
            raise OptionError(f"zero-centred: gamma must not be negative, found {gamma}")
        self.gamma, self.on = gamma, on
        self.penalty_passes = 2 if on == "both" else 1

    def adjust(self, settings: GanSettings) -> None:
        """Use no batch normalisation: the penalty is on each sample's own gradient."""
        settings.d_norm = "none"

    def penalty(
        self, discriminate: Discriminate, real: torch.Tensor, fake: torch.Tensor, streams: Streams
    ) -> torch.Tensor:
        """Return γ/2·mean(‖∇D‖²)."""
        import torch

        from harness_gan.penalties import squared_gradient

        chosen = {"real": [real], "fake": [fake], "both": [real, fake]}[self.on]
        penalties = torch.stack([squared_gradient(discriminate, x) for x in chosen])
        return 0.5 * self.gamma * penalties.sum(0)
