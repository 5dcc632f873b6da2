"""Random numbers by seed and by name, so that seeds that train together draw what each would alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness import derive_seed


class Streams:
    """One CPU generator per seed and name ("latent", "data", …), made when first asked for.

    Numbers are drawn on the CPU whatever the device is, so that a run has the same ones everywhere.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self._by_name: dict[str, list[torch.Generator]] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def get(self, name: str) -> list[torch.Generator]:
        """The generators of a name, one per seed."""
        if name not in self._by_name:
            self._by_name[name] = [
                torch.Generator().manual_seed(derive_seed("gan", name, seed)) for seed in self.seeds
            ]
        return self._by_name[name]

    def normal(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
        """Standard normal numbers, S×shape."""
        drawn = torch.stack([torch.randn(tuple(shape), generator=g) for g in self.get(name)])
        return drawn.to(device)

    def uniform(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
        """Uniform numbers in [0, 1), S×shape."""
        drawn = torch.stack([torch.rand(tuple(shape), generator=g) for g in self.get(name)])
        return drawn.to(device)

    def state(self, number: int) -> dict[str, torch.Tensor]:
        """The states of one seed's generators by name."""
        return {name: made[number].get_state() for name, made in self._by_name.items()}

    def restore(self, states: Sequence[dict[str, torch.Tensor]]) -> None:
        """Puts every seed's generators where they were."""
        for name in states[0]:
            for generator, state in zip(self.get(name), states, strict=True):
                generator.set_state(state[name].cpu())
