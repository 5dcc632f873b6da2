"""Randomness from a seed alone: of a step, and of a sample that is prepared in a thread."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
_DRAWS |= {"uniform_", "normal_", "bernoulli_", "random_", "exponential_", "log_normal_", "geometric_"}
_DRAWS |= {"_sample_dirichlet", "_standard_gamma"}


class drawing_from(TorchFunctionMode):
    """Let this thread's draws from torch inside the block come from a separate generator.

    torch's global generator is shared by all threads, so a thread's draws from it would depend on the
    others. This covers draws that take a generator, which are all those of torchvision's transforms, but
    neither dropout nor the generators of Python and NumPy.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self._generators = seed, dict[str, torch.Generator]()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, with this block's generator if it takes one."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS and kwargs.get("generator") is None:
            first = args[0] if args and isinstance(args[0], torch.Tensor) else None
            device = torch.device(kwargs.get("device") or (first.device if first is not None else "cpu"))
            kwargs = {**kwargs, "generator": self._generator(device)}
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        if str(device) not in self._generators:
            self._generators[str(device)] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[str(device)]


def seed_step(seed: int, device: torch.device) -> None:
    """Seed the generators that a step draws from; `torch.manual_seed` visits every back end, which is slow."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
