"""Random numbers by seed and name, so that seeds that train together draw what each would draw alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness import derive_seed


class Streams:
    """One CPU generator per seed and name ("latent", "data", …), created on first use.

    Numbers are drawn on the CPU, so that a run has the same ones on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self._by_name: dict[str, list[torch.Generator]] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def get(self, name: str) -> list[torch.Generator]:
        """Return the generators of a name, one per seed."""
        if name not in self._by_name:
            self._by_name[name] = [
                torch.Generator().manual_seed(derive_seed("gan", name, seed)) for seed in self.seeds
            ]
        return self._by_name[name]

    def normal(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
        """Draw standard normal numbers, S×shape."""
        drawn = torch.stack([torch.randn(tuple(shape), generator=g) for g in self.get(name)])
        return drawn.to(device)

    def uniform(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
        """Draw uniform numbers in [0, 1), S×shape."""
        drawn = torch.stack([torch.rand(tuple(shape), generator=g) for g in self.get(name)])
        return drawn.to(device)

    def state(self, number: int) -> dict[str, torch.Tensor]:
        """Return the states of one seed's generators by name."""
        return {name: made[number].get_state() for name, made in self._by_name.items()}

    def restore(self, states: Sequence[dict[str, torch.Tensor]]) -> None:
        """Restore every seed's generators from their states."""
        for name in states[0]:
            for generator, state in zip(self.get(name), states, strict=True):
                generator.set_state(state[name].cpu())
