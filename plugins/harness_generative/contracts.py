"""What a loss and a remedy are: the two small classes that a third party subclasses.

Both are plugins of the group `harness.methods`; the method `gan` composes one loss with any
remedies. Networks, logits and samples carry a leading axis of S seeds that train at once (S = 1
for a single run): real and generated samples are S×B×…, the discriminator's outputs S×B. What a
class computes must not mix the slices of that axis.
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
    """How both networks are trained and built; losses and remedies change it before anything is built.

    `d_width` multiplies the discriminator's width, `d_norm` is its normalisation layer where the
    architecture has one, `pack` the number of samples it sees as one, `averaged` the decay of the
    generator's averaged weights (None: the weights themselves are evaluated). With `decay` both
    learning rates fall linearly to 0 over the generator steps.
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

    `logits` says that a sigmoid of the output is the probability of being real, so that the
    equilibrium D = ½ exists. `threshold` is the output that parts real from fake, and `chance` the
    discriminator's loss where it can't tell them apart; both None for critics without such a point.
    `penalty_passes` counts the gradient evaluations that one penalty costs.
    """

    plugin_kind = "methods"
    logits = False
    threshold: float | None = None
    chance: float | None = None
    penalty_passes = 0

    def adjust(self, settings: GanSettings) -> None:
        """Changes the settings that belong to the loss; explicit options still win over these."""

    def real(self, output: torch.Tensor) -> torch.Tensor:
        """The discriminator's term for outputs on real samples, elementwise."""
        raise NotImplementedError

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        """The discriminator's term for outputs on generated samples, elementwise."""
        raise NotImplementedError

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        """The generator's term for outputs on generated samples, elementwise."""
        raise NotImplementedError

    def penalty(
        self,
        discriminate: Callable[[torch.Tensor], torch.Tensor],
        real: torch.Tensor,
        fake: torch.Tensor,
        streams: Streams,
    ) -> torch.Tensor | None:
        """What is added to the discriminator's loss, one number per seed (S), or None."""
        return None

    def after_d_step(self, discriminator: torch.nn.Module) -> None:
        """Called after each of the discriminator's steps, for constraints on its weights."""


class Remedy:
    """A change to training that is meant to keep it stable; every hook may be left as it is."""

    plugin_kind = "methods"

    def adjust(self, settings: GanSettings) -> None:
        """Changes optimiser, step counts or widths."""

    def real(self, loss: Loss, output: torch.Tensor) -> torch.Tensor | None:
        """Replaces the discriminator's term for real samples; None leaves it to the loss."""
        return None

    def inputs(self, samples: torch.Tensor, progress: float, streams: Streams) -> torch.Tensor:
        """Changes what the discriminator sees, real and generated alike; `progress` runs from 0 to 1."""
        return samples

    def features(self, width: int, streams: Streams) -> tuple[torch.nn.Module, int] | None:
        """A module on the discriminator's last features S×B×width, and the width that it gives."""
        return None

    def wrap(self, discriminator: torch.nn.Module, streams: Streams) -> torch.nn.Module:
        """The discriminator to be trained instead of the one built."""
        return discriminator


@register_capability("builds GANs", choose="gan-mlp, gan-dcgan or gan-resnet")
@runtime_checkable
class BuildsGans(Protocol):
    """What training asks of an architecture (see `harness_generative.architectures`)."""

    latent: int
    stacks: bool
    small_start: bool

    def fits(self, shape: Sequence[int]) -> str | None: ...

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module: ...

    def trunk(
        self, shape: Sequence[int], settings: GanSettings, streams: Streams
    ) -> tuple[nn.Module, int]: ...
