"""Dropout from generators of its own: a mask per network, however many networks run at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_CHANNELWISE = {F.dropout1d: 3, F.dropout2d: 4, F.dropout3d: 5}
"""Dropout of whole channels, and the axes of its input with a batch."""
_DRAWING = {F.dropout, *_CHANNELWISE, torch.Tensor.bernoulli_, torch.empty}


class seeded_dropout(TorchFunctionMode):
    """Let dropout inside the block draw from a generator per network, seeded with `seeds`.

    With one seed, a network draws as usual; with several, it must run under `torch.func.vmap`, and
    `slices` must be set to a tensor that vmap maps over (S zeros), by which draws are told from constants.
    The mask of a network depends on its seed, and on the shapes of its draws so far: not on the other
    networks. On a CPU it is the mask that torch draws without this block after `torch.manual_seed(seed)`.

    `drew` tells if there was a draw. Covered are `F.dropout`, `F.dropout1d` to `3d` (and their modules), and
    `bernoulli_` with a number, by which torchvision and timm drop whole layers.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self.seeds, self.drew = list(seeds), False
        self.slices = torch.zeros(())
        self._generators = dict[torch.device, list[torch.Generator]]()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or draw in its place."""
        kwargs = kwargs or {}
        if func not in _DRAWING:
            return func(*args, **kwargs)
        if func is F.dropout or func in _CHANNELWISE:
            return self._drop(func, *args, **kwargs)
        if func is torch.Tensor.bernoulli_ and kwargs.get("generator") is None and len(args) < 3:
            keep = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
            if isinstance(keep, float | int):
                return args[0].copy_(self._draw(args[0], args[0].shape, keep))
        if func is torch.empty and len(self.seeds) > 1:  # what may be drawn into needs an axis of networks
            kwargs = {"device": torch.get_default_device(), "dtype": torch.get_default_dtype(), **kwargs}
            kwargs = {name: value for name, value in kwargs.items() if name in ("size", "device", "dtype")}
            return self.slices.new_empty(*args, **kwargs)
        return func(*args, **kwargs)

    def _drop(
        self, func: Any, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training or p == 0:
            return input
        shape = input.shape
        if func in _CHANNELWISE:
            kept = 2 if input.ndim == _CHANNELWISE[func] else 1
            shape = torch.Size([*shape[:kept], *[1] * (input.ndim - kept)])
        mask = self._draw(input, shape, 1 - p)
        mask = mask / (1 - p) if p < 1 else mask
        return input.mul_(mask) if inplace else input * mask

    def _draw(self, like: torch.Tensor, shape: torch.Size, keep: float) -> torch.Tensor:
        self.drew = True
        if like.device not in self._generators:
            made = [torch.Generator(like.device).manual_seed(seed) for seed in self.seeds]
            self._generators[like.device] = made
        generators = self._generators[like.device]
        drawn: torch.Tensor
        if len(generators) == 1:
            drawn = _draw_mask(like, shape, keep, generators[0])
        else:
            empty = torch.empty(0, dtype=like.dtype, device=like.device)
            drawn = _Draw.apply(self.slices, empty, shape, keep, generators)
        return drawn


def _draw_mask(
    like: torch.Tensor, shape: torch.Size, keep: float, generator: torch.Generator
) -> torch.Tensor:
    return like.new_empty(shape).bernoulli_(keep, generator=generator)


class _Draw(torch.autograd.Function):
    """Masks of all networks, each from its generator; vmap calls the method of that name."""

    @staticmethod
    def forward(slices: Any, like: Any, shape: Any, keep: float, generators: Any) -> torch.Tensor:
        raise RuntimeError("several networks must run under torch.func.vmap, with `slices` set")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, slices: Any, like: Any, shape: Any, keep: Any, generators: Any) -> Any:
        return torch.stack([_draw_mask(like, shape, keep, g) for g in generators]), 0
