"""The method `gan`: one loss and any remedies, with settings of the optimisers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from harness import OptionError
from harness_generative.contracts import GanSettings, Loss, Remedy


class GAN:
    """Adversarial training with a loss and remedies.

    Options that are not given are the loss's choice, else Adam at 2e-4 with betas 0.5 and 0.999.

    Args:
        loss: the loss, by name or with options: "hinge", {plugin = "wasserstein-gp", weight = 0.1}.
        remedies: remedies in the order of application.
        optimizer: "adam" or "rmsprop".
        lr: learning rate of both networks.
        lr_g: learning rate of the generator, instead of `lr`.
        lr_d: learning rate of the discriminator, instead of `lr`.
        beta1: Adam's first decay.
        beta2: Adam's second decay; RMSProp's smoothing stays at 0.99.
        n_critic: discriminator steps per generator step.
        decay: both learning rates fall linearly to 0 over the protocol's `steps`, and stay at 0 if the
            budget of gradient evaluations lasts longer.
    """

    smallest: ClassVar = {"loss": "non-saturating"}

    def __init__(
        self,
        loss: Loss,
        remedies: list[Remedy] | None = None,
        optimizer: Literal["adam", "rmsprop"] | None = None,
        lr: float | None = None,
        lr_g: float | None = None,
        lr_d: float | None = None,
        beta1: float | None = None,
        beta2: float | None = None,
        n_critic: int | None = None,
        decay: bool | None = None,
    ) -> None:
        if not isinstance(loss, Loss):
            raise OptionError(f"gan: loss must be an adversarial loss, found {type(loss).__name__}")
        self.loss, self.remedies = loss, list(remedies or [])
        for remedy in self.remedies:
            if not isinstance(remedy, Remedy):
                raise OptionError(f"gan: remedies must be remedies, found {type(remedy).__name__}")
        terms = [type(r).__name__ for r in self.remedies if type(r).real is not Remedy.real]
        if len(terms) > 1:
            raise OptionError(
                f"gan: {' and '.join(terms)} each replace the term for real samples: expected one, found {len(terms)}"
            )
        given: dict[str, Any] = {
            "optimizer": optimizer,
            "lr_g": lr_g if lr_g is not None else lr,
            "lr_d": lr_d if lr_d is not None else lr,
            "beta1": beta1,
            "beta2": beta2,
            "n_critic": n_critic,
            "decay": decay,
        }
        self._given = {k: v for k, v in given.items() if v is not None}
        for name, value in self._given.items():
            if name in ("lr_g", "lr_d", "n_critic") and value <= 0:
                raise OptionError(f"gan: {name} must be positive, found {value}")
            if name in ("beta1", "beta2") and not 0 <= value < 1:
                raise OptionError(f"gan: {name} must be from 0 to below 1, found {value}")

    def build_settings(self) -> GanSettings:
        """Return the loss's settings, overridden by the given options, then changed by the remedies in order."""
        settings = GanSettings()
        self.loss.adjust(settings)
        for name, value in self._given.items():
            setattr(settings, name, value)
        for remedy in self.remedies:
            remedy.adjust(settings)
        return settings
