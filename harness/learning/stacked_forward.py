"""Several networks of one structure as one: their tensors stacked, their outputs computed together.

The networks run under `torch.func.vmap`, so any module does of which vmap knows all operations. What decides
the speed of convolutional ones is their layout: with the channels of all networks side by side, a
convolution is one with a group per network, and pooling and batch normalisation need no copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# torch has no public way to a slice's stack inside vmap
from torch._C._functorch import (
    _add_batch_dim,
    get_unwrapped,
    is_batchedtensor,
    maybe_get_bdim,
    maybe_get_level,
)
from torch.func import vmap

from harness.errors import DataError
from harness.inference.trees import map_tree
from harness.learning.checkpoints import copy_into
from harness.learning.seeded_dropout import seeded_dropout

_FOLDED = {F.conv2d, F.batch_norm, F.max_pool2d, torch.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d}


class StackedNetworks:
    """S networks of one structure that compute together; one alone is called as it is.

    Of several, the tensors are copied into stacks S×…: `parameters` by name, of those that take a gradient
    (for one: its own), and `state`, what training changes. `write_back` copies them into the networks.
    The first network's mode, train() or eval(), is that of all. Raises DataError for networks that differ.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        if (reason := describe_difference(networks)) is not None:
            raise DataError(f"networks can't be stacked: {reason}")
        self.networks, self.template = list(networks), networks[0]
        self.alone, self._draws = len(self.networks) == 1, True
        if self.alone:
            own = self.template.named_parameters()
            self.parameters = {name: p for name, p in own if p.requires_grad}
            tensors = {n: p.detach() for n, p in self.parameters.items()}
            tensors |= {n: b.detach() for n, b in self.template.named_buffers()}
            self.state = {name: tensor[None] for name, tensor in tensors.items()}
            return
        stacked = {n: _stack(self.networks, n, "get_parameter") for n, _ in self.template.named_parameters()}
        trainable = {name: p.requires_grad for name, p in self.template.named_parameters()}
        self.parameters = {name: nn.Parameter(stacked[name]) for name, taken in trainable.items() if taken}
        self._frozen = {name: stacked[name] for name, taken in trainable.items() if not taken}
        self._buffers = {n: _stack(self.networks, n, "get_buffer") for n, _ in self.template.named_buffers()}
        self.state = {n: p.detach() for n, p in self.parameters.items()} | self._buffers
        self._places = _find_places(self.template)
        self._slices = torch.zeros(len(networks), device=next(iter(stacked.values())).device)

    def __len__(self) -> int:
        return len(self.networks)

    def forward(self, x: Any, seeds: Sequence[int] | None = None) -> Any:
        """Return the outputs of S networks for S inputs: a tensor S×B×… or a tree of them, and so the input.

        With a seed for each, their dropout draws from these (see `seeded_dropout`).
        """
        return self._call(x, 0, seeds)

    def forward_shared(self, x: Any, seeds: Sequence[int] | None = None) -> Any:
        """Return the outputs S×B×… of all networks for one input B×…."""
        return self._call(x, None, seeds)

    def slice_state(self, number: int) -> dict[str, torch.Tensor]:
        """Return views of what training changes in one network."""
        return {name: tensor[number] for name, tensor in self.state.items()}

    def write_back(self) -> None:
        """Copy the stacked tensors into the networks."""
        if self.alone:
            return
        for number, network in enumerate(self.networks):
            own = dict(network.named_parameters()) | dict(network.named_buffers())
            copy_into(own, self.slice_state(number))

    @contextmanager
    def _put_in_place(self, level: int) -> Iterator[None]:
        """Give the first network one slice's tensors, as `torch.func.functional_call` does at more cost."""
        own = [held[key] for held, key, _ in self._places]
        tensors = {**self.parameters, **self._frozen, **self._buffers}
        slices = {name: _add_batch_dim(tensor, 0, level) for name, tensor in tensors.items()}
        for held, key, name in self._places:
            held[key] = slices[name]
        try:
            yield
        finally:
            for (held, key, _), tensor in zip(self._places, own, strict=True):
                held[key] = tensor

    def _call(self, x: Any, in_dim: int | None, seeds: Sequence[int] | None) -> Any:
        seeds = range(len(self)) if seeds is None else seeds
        if self.alone:
            given = x if in_dim is None else map_tree(lambda leaf: leaf[0], x)
            if not self._draws:
                found = self.template(given)
            else:
                with seeded_dropout(seeds) as mode:
                    found = self.template(given)
                # a network without dropout need not be watched, which slows small ones down
                self._draws = mode.drew or not self.template.training
            return map_tree(lambda leaf: leaf[None], found)

        mode = _folding(seeds)

        def call_slice(slices: torch.Tensor, given: Any) -> Any:
            mode.slices = slices
            with self._put_in_place(maybe_get_level(slices)):
                return self.template(given)

        with mode:
            return vmap(call_slice, in_dims=(0, in_dim))(self._slices, _lay_side_by_side(x))


def forward_stacked(networks: Sequence[nn.Module], x: Any) -> Any:
    """Return the outputs S×B×… of networks of one structure for the same input B×…, without gradients.

    To evaluate many batches, make `StackedNetworks` once.
    """
    with torch.no_grad():
        return StackedNetworks(networks).forward_shared(x)


def describe_difference(networks: Sequence[nn.Module]) -> str | None:
    """Return in which tensor or module networks differ in structure, None if in none."""
    if not networks:
        return "there are none"
    first = _describe_structure(networks[0])
    for number, network in enumerate(networks[1:], start=2):
        other = _describe_structure(network)
        for name in first | other:
            if first.get(name) != other.get(name):
                found = (
                    f"{other.get(name, 'none')} in network {number}, {first.get(name, 'none')} in the first"
                )
                return f"{name or 'the network'} is {found}"
    return None


def _describe_structure(network: nn.Module) -> dict[str, str]:
    parts = {name: type(module).__qualname__ for name, module in network.named_modules()}
    for name, p in network.named_parameters():
        parts[name] = f"{tuple(p.shape)} {p.dtype} on {p.device}{'' if p.requires_grad else ', frozen'}"
    for name, buffer in network.named_buffers():
        parts[name] = f"{tuple(buffer.shape)} {buffer.dtype} on {buffer.device}"
    return parts


def _find_places(network: nn.Module) -> list[tuple[dict[str, Any], str, str]]:
    """Return where modules hold tensors: the mapping, the key, and the tensor's (first) name in the network."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    names = {id(tensor): name for name, tensor in tensors}
    return [
        (held, key, names[id(tensor)])
        for module in network.modules()
        for held in (module._parameters, module._buffers)
        for key, tensor in held.items()
        if tensor is not None
    ]


def _stack(networks: Sequence[nn.Module], name: str, get: str) -> torch.Tensor:
    return torch.stack([getattr(network, get)(name).detach() for network in networks])


def _lay_side_by_side(x: Any) -> Any:
    """Lay images S×B×C×H×W on a CPU out as B×H×W×S×C: grouped convolutions are several times as fast."""
    if not isinstance(x, torch.Tensor) or x.device.type != "cpu" or x.ndim not in (4, 5):
        return x
    if x.ndim == 4:  # images that all networks see
        return x.contiguous(memory_format=torch.channels_last)
    return x.permute(1, 3, 4, 0, 2).contiguous().permute(3, 0, 4, 1, 2)


class _folding(seeded_dropout):
    """Also keep the channels of all networks side by side through convolutions, pooling and normalisation."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or compute the same of all networks at once."""
        kwargs = kwargs or {}
        if func is torch.Tensor.view and not isinstance(args[-1], torch.dtype) and not kwargs:
            return args[0].reshape(*args[1:])  # the layout allows no view where one network's would
        if func in _FOLDED and args and is_batchedtensor(args[0]) and args[0].ndim == 4:
            if func is F.conv2d:
                return _convolve(*args, **kwargs)
            if func is F.batch_norm:
                return _normalise(*args, **kwargs)
            if not kwargs.get("return_indices"):
                return _pool(func, *args, **kwargs)
        return super().__torch_function__(func, types, args, kwargs)


def _pool(func: Any, input: torch.Tensor, *args: Any, return_indices: bool = False, **kwargs: Any) -> Any:
    return _fold(lambda x: func(x, *args, **kwargs), input)


def _convolve(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    def apply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return F.conv2d(x, weight, bias, stride, padding, dilation, x.shape[1] // weight.shape[1])

    return _fold(apply, input, weight, bias)


def _normalise(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    def apply(x: torch.Tensor, mean: Any, var: Any, weight: Any, bias: Any) -> torch.Tensor:
        return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)

    return _fold(apply, input, running_mean, running_var, weight, bias)


def _fold(func: Any, x: torch.Tensor, *by_channel: torch.Tensor | None) -> Any:
    """Call a function of images B×C×H×W and tensors by channel once, with the channels of all networks."""
    wide = _move(get_unwrapped(x), maybe_get_bdim(x), 1)
    size = wide.shape[1]
    folded = [None if tensor is None else _fold_channels(tensor, size) for tensor in by_channel]
    out = func(wide.flatten(1, 2), *folded).unflatten(1, (size, -1))
    return _add_batch_dim(out, 1, maybe_get_level(x))


def _fold_channels(tensor: torch.Tensor, size: int) -> torch.Tensor:
    if not is_batchedtensor(tensor):
        return tensor.repeat(size, *[1] * (tensor.ndim - 1))
    return _move(get_unwrapped(tensor), maybe_get_bdim(tensor), 0).flatten(0, 1)


def _move(tensor: torch.Tensor, dim: int, to: int) -> torch.Tensor:
    return tensor if dim == to else tensor.movedim(dim, to)
