"""Training of CycleGAN and Pix2Pix: steps and state."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import nn

from harness.inference.batches import autocast
from harness.learning.optimizers import build_optimizer
from harness.learning.recipe import Recipe
from harness_gan.losses import LeastSquares
from harness_gan.pool import ImagePool
from harness_generative.streams import Streams
from harness_generative.translation import CycleGAN, Pix2Pix, TranslationMethod, Translator, Untranslated
from harness_generative.translation_networks import init_normal

LSGAN = LeastSquares()


def _l1(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y).abs().mean()


def _parameters(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return list(chain.from_iterable(n.parameters() for n in networks))


class TranslationTraining:
    """One optimiser over all generators and one over all discriminators; generators step first.

    `threshold` is the output that separates real from translated; `logits` tells if outputs are logits.
    """

    threshold = 0.5
    logits = False

    def __init__(
        self,
        method: TranslationMethod,
        networks: dict[str, nn.Module],
        seed: int,
        steps: int,
        device: torch.device,
        precision: str,
    ) -> None:
        self.method, self.steps, self.device, self.precision = method, steps, device, precision
        self.streams = Streams([seed])
        start = self.streams.get("initial weights")[0]
        self.networks = {name: init_normal(n, start).to(device) for name, n in networks.items()}
        self.generators = [n for name, n in self.networks.items() if name.startswith("g")]
        self.discriminators = [n for name, n in self.networks.items() if name.startswith("d")]
        options = {"betas": (method.beta1, 0.999)}
        recipe = Recipe(0, rate=method.lr, optimizer="adam", optimizer_options=options, decay_vectors=True)
        self.g_optimizer = build_optimizer([{"params": _parameters(self.generators)}], recipe)
        self.d_optimizer = build_optimizer([{"params": _parameters(self.discriminators)}], recipe)
        self.scalers = [torch.amp.GradScaler(device.type, enabled=precision == "float16") for _ in range(2)]
        self.step_number = 0
        self.pools: dict[str, ImagePool] = {}
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def step(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
        """Take a generator step with the discriminators frozen, then a discriminator step; return what to log."""
        factor = self.method.lr_factor(self.step_number / self.steps)
        for optimizer in (self.g_optimizer, self.d_optimizer):
            optimizer.param_groups[0]["lr"] = self.method.lr * factor
        for network in self.discriminators:
            network.requires_grad_(False)
        with autocast(self.device, self.precision):
            g_terms = self.generator_terms(a, b)
        self._update(self.g_optimizer, sum(g_terms.values()), self.scalers[0])
        gradient = _gradient_norm(self.generators)
        for network in self.discriminators:
            network.requires_grad_(True)
        self._outputs = []
        with autocast(self.device, self.precision):
            d_loss = self.discriminator_loss(a, b)
        self._update(self.d_optimizer, d_loss, self.scalers[1])
        self.step_number += 1
        found = {name: float(value.detach()) for name, value in g_terms.items()}
        return {
            **found,
            "g_loss": sum(found.values()),
            "d_loss": float(d_loss.detach()),
            **self._summarise_outputs(),
            "g_gradient": gradient,
            "d_gradient": _gradient_norm(self.discriminators),
        }

    def _summarise_outputs(self) -> dict[str, float]:
        """Return the discriminators' mean outputs on real and translated images, and their accuracy."""
        real, fake = (torch.cat([o[k].detach().float().flatten() for o in self._outputs]) for k in (0, 1))
        right = (real > self.threshold).float().mean() + (fake < self.threshold).float().mean()
        squash = torch.sigmoid if self.logits else lambda x: x
        means = squash(real).mean(), squash(fake).mean()
        return {"d_real": float(means[0]), "d_fake": float(means[1]), "d_accuracy": float(right) / 2}

    def generator_terms(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the terms of the generators' loss by name."""
        raise NotImplementedError

    def discriminator_loss(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the discriminators' loss on the translations of this step."""
        raise NotImplementedError

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(torch.isfinite(p).all()) for n in self.networks.values() for p in n.parameters())

    @torch.no_grad()
    def translate(self, images: torch.Tensor, name: str = "g_ab", batch: int = 64) -> torch.Tensor:
        """Return images translated by the named generator, on the CPU."""
        network = self.networks[name]
        return torch.cat([network(part.to(self.device)).float().cpu() for part in images.split(batch)])

    def state_dict(self) -> dict[str, Any]:
        """Return everything that determines the rest of the training."""
        return {
            "networks": {name: n.state_dict() for name, n in self.networks.items()},
            "g_optimizer": self.g_optimizer.state_dict(),
            "d_optimizer": self.d_optimizer.state_dict(),
            "scalers": [s.state_dict() for s in self.scalers],
            "streams": self.streams.state(0),
            "pools": {name: p.state_dict() for name, p in self.pools.items()},
            "step_number": self.step_number,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the training from a state."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        for scaler, scaler_state in zip(self.scalers, state["scalers"], strict=True):
            scaler.load_state_dict(scaler_state)
        self.streams.restore([state["streams"]])
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], self.device)
        self.step_number = state["step_number"]

    def _update(self, optimizer: Any, loss: Any, scaler: torch.amp.GradScaler) -> None:
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # so that the logged norms are unscaled
        scaler.step(optimizer)
        scaler.update()


class CycleTraining(TranslationTraining):
    """G: A→B, F: B→A, and a discriminator and an image pool for each domain (Zhu et al. 2017)."""

    method: CycleGAN

    def __init__(
        self,
        method: CycleGAN,
        architecture: Translator,
        size: int,
        seed: int,
        steps: int,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        networks = {
            "g_ab": architecture.generator(size),
            "g_ba": architecture.generator(size),
            "d_a": architecture.discriminator(),
            "d_b": architecture.discriminator(),
        }
        super().__init__(method, networks, seed, steps, device, precision)
        self.pools = {
            name: ImagePool(method.pool, self.streams.get(f"pool {name}")[0]) for name in ("a", "b")
        }
        self._fakes: dict[str, torch.Tensor] = {}

    def generator_terms(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the weighted adversarial, cycle and identity terms."""
        n, m = self.networks, self.method
        fake_b, fake_a = n["g_ab"](a), n["g_ba"](b)
        self._fakes = {"a": fake_a.detach().float(), "b": fake_b.detach().float()}
        terms = {
            # (D − 1)² without the half, as in the authors' code
            "g_adversarial": 2
            * (LSGAN.generator(n["d_b"](fake_b)).mean() + LSGAN.generator(n["d_a"](fake_a)).mean()),
            "g_cycle": m.lambda_a * _l1(n["g_ba"](fake_b), a) + m.lambda_b * _l1(n["g_ab"](fake_a), b),
        }
        if m.identity > 0:
            same_a, same_b = _l1(n["g_ba"](a), a), _l1(n["g_ab"](b), b)
            terms["g_identity"] = m.identity * (m.lambda_a * same_a + m.lambda_b * same_b)
        return terms

    def discriminator_loss(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return ½((D(x)−1)² + D(pooled)²), summed over both domains."""
        total = torch.zeros((), device=self.device)
        for name, real in (("a", a), ("b", b)):
            network = self.networks[f"d_{name}"]
            shown = self.pools[name].query(self._fakes[name])
            on_real, on_fake = network(real), network(shown)
            self._outputs.append((on_real, on_fake))
            total = total + LSGAN.real(on_real).mean() + LSGAN.fake(on_fake).mean()
        return total


class PairedTraining(TranslationTraining):
    """G: A→B, and a discriminator of pairs (Isola et al. 2017)."""

    method: Pix2Pix
    threshold = 0.0
    logits = True

    def __init__(
        self,
        method: Pix2Pix,
        architecture: Translator,
        size: int,
        seed: int,
        steps: int,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        networks = {"g_ab": architecture.generator(size), "d_b": architecture.discriminator(6)}
        super().__init__(method, networks, seed, steps, device, precision)
        self._fake = torch.empty(0)

    def generator_terms(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the adversarial term and the weighted L1 distance to the truth."""
        import torch.nn.functional as F

        fake = self.networks["g_ab"](a)
        self._fake = fake.detach().float()
        output = self.networks["d_b"](torch.cat([a, fake], 1))
        return {"g_adversarial": F.softplus(-output).mean(), "g_truth": self.method.weight * _l1(fake, b)}

    def discriminator_loss(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return ½(−log D(a, b) − log(1 − D(a, G(a)))) on logits."""
        import torch.nn.functional as F

        network = self.networks["d_b"]
        real, fake = network(torch.cat([a, b], 1)), network(torch.cat([a, self._fake], 1))
        self._outputs.append((real, fake))
        return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


class NoTraining:
    """The identity in place of a training: there are no weights, and images stay as they are."""

    def __init__(self, method: Untranslated, steps: int) -> None:
        self.method, self.step_number = method, steps
        self.networks: dict[str, nn.Module] = {}

    def is_finite(self) -> bool:
        """Return True: there are no weights."""
        return True

    def translate(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images unchanged."""
        return images


def _gradient_norm(networks: Iterable[nn.Module]) -> float:
    squares = [p.grad.float().square().sum() for p in _parameters(networks) if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())
