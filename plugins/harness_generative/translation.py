"""Plugins of image translation: the methods `cyclegan`, `pix2pix` and `untranslated`, and the generators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness import OptionError, register_capability

if TYPE_CHECKING:
    import torch
    from torch import nn


class TranslationMethod:
    """Base of the methods: Adam at 2e-4 with betas 0.5 and 0.999, decaying over the second half.

    Args:
        lr: learning rate of all networks.
        beta1: Adam's first decay.
        decay_from: fraction of training after which the learning rate falls linearly to 0.
    """

    needs_pairs = False

    def __init__(self, lr: float, beta1: float, decay_from: float) -> None:
        if lr <= 0 or not 0 <= decay_from <= 1:
            raise OptionError(
                f"translation: needs lr > 0 and decay_from in [0, 1], found {lr} and {decay_from}"
            )
        if not 0 <= beta1 < 1:
            raise OptionError(f"translation: beta1 must be from 0 to below 1, found {beta1}")
        self.lr, self.beta1, self.decay_from = lr, beta1, decay_from

    def lr_factor(self, progress: float) -> float:
        """Return the factor on the learning rate: 1, then falling linearly to 0 at the end."""
        if progress <= self.decay_from:
            return 1.0
        return max(0.0, (1 - progress) / (1 - self.decay_from))


class CycleGAN(TranslationMethod):
    """Unpaired translation with cycle consistency (Zhu et al. 2017), least-squares adversarial terms.

    Args:
        lambda_a: weight of the cycle A→B→A (L1).
        lambda_b: weight of the cycle B→A→B (L1).
        identity: weight of the identity terms, as a share of the cycle weights.
        pool: size of each discriminator's pool of earlier translations; 0 for none.
    """

    def __init__(
        self,
        lambda_a: float = 10.0,
        lambda_b: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
        lr: float = 2e-4,
        beta1: float = 0.5,
        decay_from: float = 0.5,
    ) -> None:
        super().__init__(lr, beta1, decay_from)
        if min(lambda_a, lambda_b, identity, pool) < 0:
            raise OptionError("cyclegan: lambda_a, lambda_b, identity and pool must not be negative")
        self.lambda_a, self.lambda_b, self.identity, self.pool = lambda_a, lambda_b, identity, pool


class Pix2Pix(TranslationMethod):
    """Paired translation A→B (Isola et al. 2017): the upper bound for unpaired methods.

    The discriminator sees A beside B; the generator adds `weight` times the L1 distance to the truth.

    Args:
        weight: weight of the L1 distance to the truth, beside the adversarial term; not negative.
    """

    needs_pairs = True

    def __init__(
        self, weight: float = 100.0, lr: float = 2e-4, beta1: float = 0.5, decay_from: float = 0.5
    ) -> None:
        super().__init__(lr, beta1, decay_from)
        if weight < 0:
            raise OptionError(f"pix2pix: weight must not be negative, found {weight}")
        self.weight = weight


class Untranslated(TranslationMethod):
    """The identity, the baseline that any translation has to beat."""

    def __init__(self) -> None:
        super().__init__(2e-4, 0.5, 0.5)


@register_capability("translates images", choose="cyclegan-resnet or cyclegan-unet")
@runtime_checkable
class TranslatesImages(Protocol):
    """What the suite requires of a model: networks whose input and output images have the same size."""

    def fits(self, size: int) -> str | None: ...

    def generator(self, size: int) -> nn.Module: ...

    def discriminator(self, channels: int = 3) -> nn.Module: ...


class Translator:
    """Base of architectures of generator and discriminator for images of equal size in and out."""

    width: int
    patch_layers: int

    def load(self, device: torch.device) -> None:
        """Do nothing: every run builds its own networks from its seeds."""

    def fits(self, size: int) -> str | None:
        """Return why images of this size can't be translated, or None."""
        least = 4 * 2**self.patch_layers
        if size < least:
            return f"{self.patch_layers} patch layers need images of {least} pixels, the size is {size}"
        return None

    def generator(self, size: int) -> nn.Module:
        """Build the network from B×3×H×W to the same shape, in [−1, 1]."""
        raise NotImplementedError

    def discriminator(self, channels: int = 3) -> nn.Module:
        """Build the network from B×C×H×W to one output per patch."""
        from harness_generative.translation_networks import patch_discriminator

        return patch_discriminator(self.width, self.patch_layers, channels)


class ResNetTranslator(Translator):
    """The ResNet generator (in the paper nine blocks from 256 pixels up, six below) and a PatchGAN.

    Args:
        width: channels at full resolution.
        blocks: residual blocks.
        patch_layers: layers of the discriminator; three have a receptive field of 70×70 pixels.
        halvings: halvings of the resolution before the blocks; tiny images need fewer than the paper's two.
    """

    def __init__(self, width: int = 64, blocks: int = 9, patch_layers: int = 3, halvings: int = 2) -> None:
        if min(width, blocks, patch_layers) < 1 or halvings < 0:
            raise OptionError(
                "cyclegan-resnet: width, blocks and patch_layers must be at least 1, halvings not negative"
            )
        self.width, self.blocks, self.patch_layers, self.halvings = width, blocks, patch_layers, halvings

    def fits(self, size: int) -> str | None:
        """Return why images of this size can't be halved or translated, or None."""
        if size % 2**self.halvings:
            return f"cyclegan-resnet needs a size divisible by {2**self.halvings}, found {size}"
        if size < 2 * 2**self.halvings:
            return (
                f"{self.halvings} halvings need images of {2 * 2**self.halvings} pixels, the size is {size}"
            )
        return super().fits(size)

    def generator(self, size: int) -> nn.Module:
        """Build the ResNet."""
        from harness_generative.translation_networks import resnet_translator

        return resnet_translator(self.width, self.blocks, self.halvings)


class UNetTranslator(Translator):
    """The U-Net generator and a PatchGAN, for power-of-two sizes.

    Args:
        width: channels of both networks' first convolution; they double up to eight times as many.
        patch_layers: layers of the discriminator; three have a receptive field of 70×70 pixels.
    """

    def __init__(self, width: int = 64, patch_layers: int = 3) -> None:
        if min(width, patch_layers) < 1:
            raise OptionError("cyclegan-unet: width and patch_layers must be at least 1")
        self.width, self.patch_layers = width, patch_layers

    def fits(self, size: int) -> str | None:
        """Return why not, unless the size is a power of two from 8 up."""
        if size < 8 or size & (size - 1):
            return f"cyclegan-unet needs a power of two from 8 up, found {size}"
        return super().fits(size)

    def generator(self, size: int) -> nn.Module:
        """Build the U-Net."""
        from harness_generative.translation_networks import UNet

        return UNet(self.width, size)
