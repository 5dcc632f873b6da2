"""Adversarial training of S seeds at once: steps and state of both networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from harness import OptionError
from harness.inference.batches import autocast
from harness.learning.optimizers import build_optimizer
from harness.learning.recipe import Recipe
from harness_gan.methods import GAN
from harness_gan.real_samples import ImageSamples, PointSamples
from harness_generative.architectures import Architecture
from harness_generative.gan_networks import build_discriminator, join_packs
from harness_generative.spectral import ITERATING
from harness_generative.streams import Streams


class GanTraining:
    """Both networks, their optimisers and random streams, for the seeds that train together.

    `rounds` counts rounds of n_critic discriminator and n_generator generator steps, `g_steps` and
    `d_steps` the steps, and `evaluations` the gradient evaluations of either network on a batch,
    including a penalty's. Raises OptionError if a batch can't be divided into packs.
    """

    def __init__(
        self,
        method: GAN,
        architecture: Architecture,
        source: PointSamples | ImageSamples,
        seeds: Sequence[int],
        *,
        batch_size: int,
        steps: int,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        self.method, self.loss, self.settings = method, method.loss, method.build_settings()
        self.latent, self.source = architecture.latent, source
        if batch_size % self.settings.pack:
            raise OptionError(
                f"pacgan: the batch of {batch_size} is not a multiple of m = {self.settings.pack}"
            )
        self.batch_size, self.steps, self.device = batch_size, steps, device
        self.streams = Streams(seeds)
        shape = source.shape
        self.generator = architecture.generator(shape, self.streams).to(device)
        self.discriminator = build_discriminator(
            architecture, shape, self.settings, method.remedies, self.streams
        ).to(device)
        self._g_updaters, self._d_updaters = (
            find_buffer_updaters(self.generator),
            find_buffer_updaters(self.discriminator),
        )
        self.averaged = copy.deepcopy(self.generator) if self.settings.averaged else None
        self.g_optimizer = self._optimizer(self.generator, self.settings.lr_g)
        self.d_optimizer = self._optimizer(self.discriminator, self.settings.lr_d)
        self.precision = precision
        self.scalers = [torch.amp.GradScaler(device.type, enabled=precision == "float16") for _ in range(2)]
        self.rounds = self.g_steps = self.d_steps = self.evaluations = 0
        self.last_step: dict[str, torch.Tensor] = {}

    def run_round(self) -> None:
        """Take n_critic discriminator steps, then n_generator generator steps."""
        if self.settings.decay:
            left = max(0.0, 1 - self.g_steps / self.steps)
            for optimizer, lr in (
                (self.g_optimizer, self.settings.lr_g),
                (self.d_optimizer, self.settings.lr_d),
            ):
                optimizer.param_groups[0]["lr"] = lr * left
        for _ in range(self.settings.n_critic):
            self.d_step()
        for _ in range(self.settings.n_generator):
            self.g_step()
        self.rounds += 1

    def d_step(self) -> None:
        """Take one discriminator step; the generator and its buffers stay unchanged."""
        real = self._draw_real()
        with torch.no_grad(), preserve_buffers(self._g_updaters), autocast(self.device, self.precision):
            fake = self.generator(self._draw_latent()).float()
        real, fake = self._prepare_samples(real), self._prepare_samples(fake)
        with autocast(self.device, self.precision):
            on_real, on_fake = self.discriminator(real).float(), self.discriminator(fake).float()
        terms = [r for r in (m.real(self.loss, on_real) for m in self.method.remedies) if r is not None]
        real_term = terms[-1] if terms else self.loss.real(on_real)
        loss = real_term.mean(1) + self.loss.fake(on_fake).mean(1)
        penalty = self.loss.penalty(self.discriminator, real, fake, self.streams)
        self._update(self.d_optimizer, loss if penalty is None else loss + penalty, self.scalers[0])
        self.loss.after_d_step(self.discriminator)
        self.d_steps += 1
        self.evaluations += 1 + self.loss.penalty_passes
        self.last_step |= {"d_loss": loss.detach(), "on_real": on_real.detach(), "on_fake": on_fake.detach()}

    def g_step(self) -> None:
        """Take one generator step; the discriminator and its buffers stay unchanged."""
        self.discriminator.requires_grad_(False)
        with preserve_buffers(self._d_updaters), autocast(self.device, self.precision):
            fake = self.generator(self._draw_latent())
            output = self.discriminator(self._prepare_samples(fake)).float()
        loss = self.loss.generator(output).mean(1)
        self._update(self.g_optimizer, loss, self.scalers[1])
        self.discriminator.requires_grad_(True)
        self.g_steps += 1
        self.evaluations += 1
        self.last_step["g_loss"] = loss.detach()
        if self.averaged is not None:
            self._update_average()

    @torch.no_grad()
    def sample(self, latent: torch.Tensor, batch: int = 1024) -> torch.Tensor:
        """Return samples S×N×… on the CPU for latents S×N×Z, from the averaged generator if there is one."""
        network = self.averaged if self.averaged is not None else self.generator
        network.eval()
        parts = [network(z.to(self.device)).float().cpu() for z in latent.split(batch, 1)]
        network.train()
        return torch.cat(parts, 1)

    def draw_latents(self, name: str, n: int) -> torch.Tensor:
        """Draw n latents per seed from the stream `name`, so that sampling does not affect training."""
        return self.streams.normal(name, (n, self.latent))

    def summarise_steps(self) -> list[dict[str, float]]:
        """Return losses, mean outputs and gradient norms of the last steps, one dict per seed."""
        last_step = self.last_step
        rows: dict[str, torch.Tensor] = {"d_loss": last_step["d_loss"], "g_loss": last_step["g_loss"]}
        squash = torch.sigmoid if self.loss.logits else lambda x: x
        rows["d_real"], rows["d_fake"] = (
            squash(last_step["on_real"]).mean(1),
            squash(last_step["on_fake"]).mean(1),
        )
        if self.loss.threshold is not None:
            right = (last_step["on_real"] > self.loss.threshold).float().mean(1)
            rows["d_accuracy"] = (right + (last_step["on_fake"] < self.loss.threshold).float().mean(1)) / 2
        if self.loss.logits:
            rows["d_from_half"] = ((rows["d_real"] - 0.5).abs() + (rows["d_fake"] - 0.5).abs()) / 2
        if self.loss.chance is not None:
            rows["d_loss_from_equilibrium"] = last_step["d_loss"] - self.loss.chance
        rows["d_gradient"] = gradient_norm(self.discriminator, len(self.streams))
        rows["g_gradient"] = gradient_norm(self.generator, len(self.streams))
        table = torch.stack([v.float() for v in rows.values()]).cpu()
        return [dict(zip(rows, table[:, s].tolist())) for s in range(len(self.streams))]

    def are_seeds_finite(self) -> list[bool]:
        """Return for each seed whether all its weights are finite."""
        seeds = len(self.streams)
        good = torch.ones(seeds, dtype=torch.bool, device=self.device)
        for network in (self.generator, self.discriminator):
            for p in network.parameters():
                good &= torch.isfinite(_flatten_by_seed(p, seeds)).all(1)
        return good.tolist()

    def _optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        s = self.settings
        options = {"betas": (s.beta1, s.beta2)} if s.optimizer == "adam" else {}
        # vectors decay with the matrices, so that there is one parameter group, as `run_round` expects
        recipe = Recipe(
            0,
            rate=lr,
            optimizer=s.optimizer,
            optimizer_options=options,
            decay_vectors=True,
        )
        return build_optimizer(network, recipe)

    def _update(
        self, optimizer: torch.optim.Optimizer, loss: torch.Tensor, scaler: torch.amp.GradScaler
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        # no seed's loss depends on another's weights, so the sum's gradient is each seed's own
        scaler.scale(loss.sum()).backward()
        if scaler.is_enabled():
            scaler.unscale_(optimizer)  # so that the logged norms are unscaled
        scaler.step(optimizer)
        scaler.update()

    def _draw_latent(self) -> torch.Tensor:
        return self.streams.normal("latent", (self.batch_size, self.latent), self.device)

    def _draw_real(self) -> torch.Tensor:
        drawn = [self.source.draw(self.batch_size, g) for g in self.streams.get("data")]
        return torch.stack(drawn).to(self.device)

    def _prepare_samples(self, samples: torch.Tensor) -> torch.Tensor:
        """Return samples S×B×… as the discriminator sees them: changed by remedies, then packed."""
        progress = min(1.0, self.g_steps / self.steps)
        for remedy in self.method.remedies:
            samples = remedy.inputs(samples, progress, self.streams)
        return join_packs(samples, self.settings.pack)

    @torch.no_grad()
    def _update_average(self) -> None:
        assert self.averaged is not None
        # a young average follows the weights closely, so that it forgets the initial ones
        decay = min(float(self.settings.averaged or 0), (1 + self.g_steps) / (10 + self.g_steps))
        pairs = zip(self.averaged.state_dict().values(), self.generator.state_dict().values())
        for average, new in pairs:
            if average.is_floating_point():
                average.lerp_(new, 1 - decay)
            else:
                average.copy_(new)


def find_buffer_updaters(network: nn.Module) -> list[nn.Module]:
    """Return the modules whose training passes change their buffers; found once, since every step needs them."""
    return [m for m in network.modules() if hasattr(m, "track_running_stats") or isinstance(m, ITERATING)]


@contextmanager
def preserve_buffers(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let training passes use batch statistics without changing the buffers of these modules."""
    tracking: list[Any] = [m for m in modules if getattr(m, "track_running_stats", False)]
    iterating = [m for m in modules if isinstance(m, ITERATING) and m.training]
    for m in tracking:
        m.track_running_stats = False
    for m in iterating:
        m.training = False
    try:
        yield
    finally:
        for m in tracking:
            m.track_running_stats = True
        for m in iterating:
            m.training = True


def gradient_norm(network: nn.Module, seeds: int) -> torch.Tensor:
    """Return the norm of all gradients of each seed, S."""
    squares = [
        _flatten_by_seed(p.grad, seeds).square().sum(1) for p in network.parameters() if p.grad is not None
    ]
    return torch.stack(squares).sum(0).sqrt()


def _flatten_by_seed(tensor: torch.Tensor, seeds: int) -> torch.Tensor:
    return tensor.reshape(1, -1) if seeds == 1 else tensor.flatten(1)
