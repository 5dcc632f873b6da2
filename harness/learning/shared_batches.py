"""Layers that see a whole batch, where several processes have a share of it each: batch norm and dropout."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

_PATHS = ("DropPath", "StochasticDepth")
"""Classes of timm and torchvision that drop whole layers for some samples."""

_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
_batch_norm_arguments = inspect.signature(F.batch_norm)


@dataclass(frozen=True)
class BatchShare:
    """Which rows of a batch a process has: from `start` to `stop` of `total`.

    With fewer rows than processes each has all of them, in as many `copies`.
    """

    start: int
    stop: int
    total: int
    copies: int = 1

    @property
    def rows(self) -> int:
        """How many rows this process has."""
        return self.stop - self.start


@contextmanager
def sharing_batches(network: nn.Module, share: Callable[[], BatchShare | None]) -> Iterator[None]:
    """Let a network's layers compute as if the process had the whole batch, inside the block.

    Batch norm takes its statistics over all processes, in all classes that call `F.batch_norm`: by torch's
    SyncBatchNorm on CUDA (where the running variance of a batch with `copies` counts each of them), by two sums
    over all processes elsewhere. Layers of timm and torchvision that drop paths draw for the whole batch. Other
    draws of layers repeat in each process, but for dropout (`shared_dropout`). `share` returns the share that is
    being computed, or None while the network is used alone.
    """
    handles = []
    for module in network.modules():
        kind: type[_Sharing] | None = None
        if isinstance(module, _BatchNorm):
            kind = _SharedBatchNorm
        elif type(module).__name__ in _PATHS:
            kind = _SharedPaths
        if kind is not None:
            open_modes: list[_Sharing] = []
            handles.append(module.register_forward_pre_hook(partial(_enter, kind, share, open_modes)))
            handles.append(module.register_forward_hook(partial(_leave, open_modes), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Sharing(TorchFunctionMode):
    """Replaces some functions of torch while a layer computes its share."""

    def __init__(self, share: BatchShare) -> None:
        super().__init__()
        self.share = share

    def is_of_samples(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor's first axis may be that of this process's samples, or of parts of them."""
        return tensor.ndim > 0 and tensor.shape[0] > 0 and tensor.shape[0] % self.share.rows == 0

    def extend(self, own: torch.Tensor) -> torch.Tensor:
        """Return an empty tensor for the whole batch, of which `own` is of this process's rows."""
        several = own.shape[0] // self.share.rows
        return own.detach().new_empty((self.share.total * several, *own.shape[1:]))

    def take_own(self, whole: torch.Tensor) -> torch.Tensor:
        """Return this process's rows of a tensor of the whole batch."""
        several = whole.shape[0] // self.share.total
        return whole[self.share.start * several : self.share.stop * several]


def _enter(
    kind: type[_Sharing],
    share: Callable[[], BatchShare | None],
    open_modes: list[_Sharing],
    module: nn.Module,
    given: Any,
) -> None:
    current = share()
    if current is not None and module.training:
        open_modes.append(cast(_Sharing, kind(current).__enter__()))  # type: ignore[no-untyped-call]


def _leave(open_modes: list[_Sharing], module: nn.Module, given: Any, found: Any) -> None:
    if open_modes:
        open_modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]


class _SharedBatchNorm(_Sharing):
    """Batch norm over the batches of all processes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or normalise in its place."""
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        bound = _batch_norm_arguments.bind(*args, **(kwargs or {}))
        bound.apply_defaults()
        if not bound.arguments.pop("training"):
            return func(*args, **(kwargs or {}))
        normalise = _normalise_on_cuda if bound.arguments["input"].is_cuda else _normalise
        return normalise(copies=self.share.copies, **bound.arguments)


def _normalise(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    momentum: float,
    eps: float,
    copies: int,
) -> torch.Tensor:
    """Return N×C×… normalised by the mean and variance of each channel over all processes."""
    dims = [0, *range(2, input.ndim)]
    shape = [1, -1, *[1] * (input.ndim - 2)]
    values = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
    own = values.new_tensor([values.numel() // values.shape[1]])
    sums = _sum_over_processes(torch.cat([values.sum(dims), own]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    # the second sum is over deviations: squares of large values would cancel
    centred = values - mean.view(shape)
    var = _sum_over_processes(centred.square().sum(dims)) / count
    each = count / copies
    if each < 2:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got {int(each)} in all processes"
        )
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((var * each / (each - 1)).to(running_var.dtype), momentum)
    found = centred * (var + eps).rsqrt().view(shape)
    if weight is not None:
        found = found * weight.view(shape)
    if bias is not None:
        found = found + bias.view(shape)
    normalised: torch.Tensor = found.to(input.dtype)
    return normalised


class _Sum(torch.autograd.Function):
    """A sum over all processes; the gradient is that of all processes' losses."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        whole = own.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        whole = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole


def _sum_over_processes(own: torch.Tensor) -> torch.Tensor:
    whole: torch.Tensor = _Sum.apply(own)
    return whole


def _normalise_on_cuda(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    momentum: float,
    eps: float,
    copies: int,
) -> torch.Tensor:
    from torch.nn.modules._functions import SyncBatchNorm

    group = dist.group.WORLD
    found: torch.Tensor = SyncBatchNorm.apply(
        input, weight, bias, running_mean, running_var, eps, momentum, group, dist.get_world_size()
    )
    return found


class shared_dropout(_Sharing):
    """Let `F.dropout`, `F.dropout1d` to `3d` and their modules draw for the whole batch, and so as one process does.

    The first axis of what is dropped must be that of the samples, or a multiple of it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or drop in its place."""
        kwargs = kwargs or {}
        if func not in _DROPOUTS:
            return func(*args, **kwargs)
        return self._drop(func, *args, **kwargs)

    def _drop(
        self, func: Any, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training or p == 0 or not self.is_of_samples(input):
            return cast(torch.Tensor, func(input, p, training, inplace))
        mask = self.take_own(func(torch.ones_like(self.extend(input)), p))
        return input.mul_(mask) if inplace else input * mask


class _SharedPaths(_Sharing):
    """Draws of which samples take a path, for the whole batch."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or draw in its place."""
        if func is not torch.Tensor.bernoulli_ or not self.is_of_samples(args[0]):
            return func(*args, **(kwargs or {}))
        drawn = func(self.extend(args[0]), *args[1:], **(kwargs or {}))
        return args[0].copy_(self.take_own(drawn))
