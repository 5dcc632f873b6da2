"""The contract of losses and remedies: two small classes for third parties to subclass.

Both are plugins of the group `harness.methods`; the method `gan` combines one loss with any
remedies. Networks, outputs and samples have a leading axis of S seeds that train at once (S = 1 for a
single run): real and generated samples are S×B×…, the discriminator's outputs S×B. Computations
must not mix the slices of that axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from harness import register_capability

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness_generative.streams import Streams

Normalisation = Literal["batch", "none"]


@dataclass
class GanSettings:
    """Settings of both networks and their training, which losses and remedies change before the build.

    `d_width` multiplies the discriminator's width, `d_norm` is its normalisation if the architecture
    has any, `pack` the number of samples it judges as one, `averaged` the decay of the generator's
    averaged weights (None: no averaging). With `decay` both learning rates fall linearly to 0 over the
    generator steps.
    """

    optimizer: Literal["adam", "rmsprop"] = "adam"
    lr_g: float = 2e-4
    lr_d: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    n_critic: int = 1
    n_generator: int = 1
    d_width: float = 1.0
    d_norm: Normalisation = "batch"
    pack: int = 1
    averaged: float | None = None
    decay: bool = False


class Loss:
    """An adversarial loss in three terms of the discriminator's outputs; every term is minimised.

    `logits` tells if the sigmoid of an output is the probability of being real, so that the
    equilibrium D = ½ exists. `threshold` is the output that separates real from fake, and `chance` the
    discriminator's loss if it can't tell them apart; both are None for critics without such a point.
    `penalty_passes` is the number of gradient evaluations that one penalty costs.
    """

    plugin_kind = "methods"
    logits = False
    threshold: float | None = None
    chance: float | None = None
    penalty_passes = 0

    def adjust(self, settings: GanSettings) -> None:
        """Change the settings that belong to the loss; explicit options override these."""

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """Return the discriminator's term for outputs on real samples, elementwise."""
        raise NotImplementedError

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """Return the discriminator's term for outputs on generated samples, elementwise."""
        raise NotImplementedError

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """Return the generator's term for outputs on generated samples, elementwise."""
        raise NotImplementedError

    def penalty(
        self,
        discriminate: Callable[[torch.Tensor], torch.Tensor],
        real: torch.Tensor,
        fake: torch.Tensor,
        streams: Streams,
    ) -> torch.Tensor | None:
        """Return what to add to the discriminator's loss, one number per seed (S), or None."""
        return None

    def after_d_step(self, discriminator: torch.nn.Module) -> None:
        """Enforce constraints on the discriminator's weights; called after each of its steps."""


class Remedy:
    """A change to training meant to keep it stable; every hook has a default that changes nothing."""

    plugin_kind = "methods"

    def adjust(self, settings: GanSettings) -> None:
        """Change optimiser, step counts or widths."""

    def real(self, loss: Loss, output: torch.Tensor) -> torch.Tensor | None:
        """Return a replacement of the discriminator's term for real samples; None leaves it to the loss."""
        return None

    def inputs(self, samples: torch.Tensor, progress: float, streams: Streams) -> torch.Tensor:
        """Change the discriminator's inputs, real and generated; `progress` runs from 0 to 1."""
        return samples

    def features(self, width: int, streams: Streams) -> tuple[torch.nn.Module, int] | None:
        """Return a module on the discriminator's last features S×B×width and its output width, or None."""
        return None

    def wrap(self, discriminator: torch.nn.Module, streams: Streams) -> torch.nn.Module:
        """Return the discriminator to train in place of the given one."""
        return discriminator


@register_capability("builds GANs", choose="gan-mlp, gan-dcgan or gan-resnet")
@runtime_checkable
class BuildsGans(Protocol):
    """What training requires of an architecture (see `harness_generative.architectures`)."""

    latent: int
    stacks: bool
    small_start: bool

    def fits(self, shape: Sequence[int]) -> str | None: ...

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module: ...

    def trunk(
        self, shape: Sequence[int], settings: GanSettings, streams: Streams
    ) -> tuple[nn.Module, int]: ...
