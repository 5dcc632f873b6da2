"""Remedies against collapse and divergence, which combine with any loss and with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_generative.contracts import GanSettings, Loss, Remedy

if TYPE_CHECKING:
    import torch

    from harness_generative.streams import Streams


def _check_at_least_one(name: str, option: str, value: int) -> int:
    if value < 1:
        raise OptionError(f"{name}: {option} must be at least 1, found {value}")
    return value


class LabelSmoothing(Remedy):
    """One-sided label smoothing: real samples count as real with weight t (Salimans et al. 2016).

    The term for real samples becomes t·real(a) + (1−t)·fake(a), which for the logarithmic losses is
    the cross-entropy to the target t, and for least squares moves the target from 1 to t. Wasserstein
    losses have no target: it only scales the critic's term for real samples.

    Args:
        target: t, the weight with which real samples count as real, in (0.5, 1]; 1 is no smoothing.
    """

    def __init__(self, target: float = 0.9) -> None:
        if not 0.5 < target <= 1:
            raise OptionError(f"label-smoothing: target must be in (0.5, 1], found {target}")
        self.target = target

    def real(self, loss: Loss, output: torch.Tensor) -> torch.Tensor:
        """Return t·real(a) + (1−t)·fake(a)."""
        return self.target * loss.real(output) + (1 - self.target) * loss.fake(output)


class MinibatchDiscrimination(Remedy):
    """Append each sample's closeness to the others of its batch (Salimans et al. 2016, section 3.2).

    Args:
        kernels: number of kernels; each appends one feature.
        dimensions: dimensions of each kernel, over which it takes the L1 distance of two samples.
    """

    def __init__(self, kernels: int = 16, dimensions: int = 4) -> None:
        self.kernels = _check_at_least_one("minibatch-discrimination", "kernels", kernels)
        self.dimensions = _check_at_least_one("minibatch-discrimination", "dimensions", dimensions)

    def features(self, width: int, streams: Streams) -> tuple[torch.nn.Module, int]:
        """Return the layer that appends oᵢ = Σ_{j≠i} exp(−‖Mᵢ − Mⱼ‖₁) per kernel, and its width."""
        from harness_gan.batchwise import BatchCloseness

        return BatchCloseness(width, self.kernels, self.dimensions, streams), width + self.kernels


class MinibatchStd(Remedy):
    """Append the batch's standard deviation, averaged over features (Karras et al. 2018)."""

    def features(self, width: int, streams: Streams) -> tuple[torch.nn.Module, int]:
        """Return the layer that appends one feature, equal for all samples of a batch, and its width."""
        from harness_gan.batchwise import BatchDeviation

        return BatchDeviation(), width + 1


class InstanceNoise(Remedy):
    """Gaussian noise on real and generated samples, annealed to 0 (Sønderby et al. 2017).

    Args:
        sigma: initial standard deviation, on the samples' scale (images lie in [−1, 1]).
        until: the fraction of training, in (0, 1], at which it has fallen linearly to 0.
    """

    def __init__(self, sigma: float = 0.2, until: float = 0.8) -> None:
        if sigma < 0 or not 0 < until <= 1:
            raise OptionError(
                f"instance-noise: needs sigma >= 0 and until in (0, 1], found {sigma} and {until}"
            )
        self.sigma, self.until = sigma, until

    def inputs(self, samples: torch.Tensor, progress: float, streams: Streams) -> torch.Tensor:
        """Return x + σ(progress)·N(0, 1)."""
        sigma = self.sigma * max(0.0, 1 - progress / self.until)
        if sigma == 0:
            return samples
        return samples + sigma * streams.normal("instance noise", samples.shape[1:], samples.device)


class SpectralNorm(Remedy):
    """Divide each weight of the discriminator by its largest singular value (Miyato et al. 2018).

    For a convolution it is that of the reshaped kernel, as in the paper, not of the operator.

    Args:
        iterations: power iterations in each forward pass of training.
    """

    def __init__(self, iterations: int = 1) -> None:
        self.iterations = _check_at_least_one("spectral-norm", "iterations", iterations)

    def adjust(self, settings: GanSettings) -> None:
        """Turn off batch normalisation, whose scale would undo the bound."""
        settings.d_norm = "none"

    def wrap(self, discriminator: torch.nn.Module, streams: Streams) -> torch.nn.Module:
        """Parametrise every weight layer of the discriminator."""
        from harness_generative.spectral import add_spectral_norm

        return add_spectral_norm(discriminator, self.iterations, streams)


class TwoTimeScale(Remedy):
    """Two time scales: the generator's learning rate is the discriminator's over `ratio` (Heusel et al. 2017).

    Args:
        ratio: the discriminator's learning rate over the generator's, above 0.
    """

    def __init__(self, ratio: float = 4.0) -> None:
        if ratio <= 0:
            raise OptionError(f"two-time-scale: ratio must be positive, found {ratio}")
        self.ratio = ratio

    def adjust(self, settings: GanSettings) -> None:
        """Slow the generator down."""
        settings.lr_g = settings.lr_d / self.ratio


class CriticSteps(Remedy):
    """`n` discriminator steps per generator step.

    Args:
        n: discriminator steps per generator step, at least 1.
    """

    def __init__(self, n: int = 2) -> None:
        self.n = _check_at_least_one("critic-steps", "n", n)

    def adjust(self, settings: GanSettings) -> None:
        """Set the number of critic steps."""
        settings.n_critic = self.n


class GeneratorSteps(Remedy):
    """`n` generator steps per round of the discriminator.

    Args:
        n: generator steps per round of the discriminator, at least 1.
    """

    def __init__(self, n: int = 2) -> None:
        self.n = _check_at_least_one("generator-steps", "n", n)

    def adjust(self, settings: GanSettings) -> None:
        """Set the number of generator steps."""
        settings.n_generator = self.n


class WeakDiscriminator(Remedy):
    """A discriminator with `factor` times the width and `rate` times the learning rate.

    Args:
        factor: multiplies the discriminator's width; above 0.
        rate: multiplies the discriminator's learning rate; above 0.
    """

    def __init__(self, factor: float = 0.5, rate: float = 1.0) -> None:
        if factor <= 0 or rate <= 0:
            raise OptionError(f"weak-discriminator: factor and rate must be positive, found {factor}, {rate}")
        self.factor, self.rate = factor, rate

    def adjust(self, settings: GanSettings) -> None:
        """Shrink the discriminator and slow it down."""
        settings.d_width *= self.factor
        settings.lr_d *= self.rate


class PacGAN(Remedy):
    """The discriminator judges `m` samples at once, joined along their channels (Lin et al. 2018).

    Args:
        m: samples per pack; the batch size must be a multiple of it.
    """

    def __init__(self, m: int = 2) -> None:
        self.m = _check_at_least_one("pacgan", "m", m)

    def adjust(self, settings: GanSettings) -> None:
        """Set the packing degree."""
        settings.pack = self.m


class AveragedGenerator(Remedy):
    """Samples come from an exponential moving average of the generator's weights (Yazıcı et al. 2019).

    Args:
        decay: share of the average that a generator step keeps, in (0, 1), or (1 + step)/(10 + step)
            while that is less.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise OptionError(f"averaged-generator: decay must be in (0, 1), found {decay}")
        self.decay = decay

    def adjust(self, settings: GanSettings) -> None:
        """Set the decay of the average."""
        settings.averaged = self.decay
