"""Bottleneck adapters beside or after the MLP: AdaptFormer, Houlsby's and Pfeiffer's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    from torch import nn

    from harness_peft.adapted_network import AdaptedNetwork
    from harness_peft.added_modules import BottleneckAdapter


class AdaptFormer(LearnsFromDraws):
    """AdaptFormer: x + MLP(LN(x)) + s·up(ReLU(down(LN(x)))) (Chen et al. 2022, equations 2 and 3).

    Args:
        hidden: width of the bottleneck, at least 1.
        scale: s, a constant factor on the bottleneck's output.
    """

    rates = (1e-3, 3e-3, 1e-2)

    def __init__(self, hidden: int = 64, scale: float = 0.1) -> None:
        if hidden < 1:
            raise OptionError(f"adaptformer: hidden must be at least 1, not {hidden}")
        self.hidden, self.scale = hidden, scale

    def prepare(self, network: AdaptedNetwork) -> None:
        """Add a bottleneck beside every MLP."""
        from torch import nn

        from harness_peft.added_modules import BottleneckAdapter, block_width

        for block in network.blocks():
            _add_beside(block, BottleneckAdapter(block_width(block), self.hidden, self.scale, nn.ReLU))


class Adapter(LearnsFromDraws):
    """Bottleneck adapter x + up(GELU(down(x))) after the MLP (`mlp`), or after attention too (`both`).

    Sources: Pfeiffer et al. 2021; Houlsby et al. 2019.

    Args:
        hidden: width of the bottleneck, at least 1.
        place: after each block's MLP (`mlp`), or after its attention and its MLP (`both`).
    """

    rates = (1e-3, 3e-3, 1e-2)

    def __init__(self, hidden: int = 64, place: Literal["mlp", "both"] = "mlp") -> None:
        if hidden < 1:
            raise OptionError(f"adapter: hidden must be at least 1, not {hidden}")
        self.hidden, self.place = hidden, place

    def prepare(self, network: AdaptedNetwork) -> None:
        """Add the bottlenecks before the residual sum."""
        from torch import nn

        from harness_peft.added_modules import BottleneckAdapter, block_width

        for block in network.blocks():
            names = ("attn", "mlp") if self.place == "both" else ("mlp",)
            for name in names:
                _add_after(block, name, BottleneckAdapter(block_width(block), self.hidden, 1.0, nn.GELU))


def _add_beside(block: nn.Module, adapter: BottleneckAdapter) -> None:
    adapter.to(next(block.parameters()).device)
    block.add_module("adapter", adapter)
    block.get_submodule("mlp").register_forward_hook(lambda _, inputs, output: output + adapter(inputs[0]))


def _add_after(block: nn.Module, name: str, adapter: BottleneckAdapter) -> None:
    adapter.to(next(block.parameters()).device)
    block.add_module(f"adapter_{name}", adapter)

    def add(_: nn.Module, __: object, output: object) -> object:
        if isinstance(output, tuple):  # nn.MultiheadAttention returns (values, weights)
            return (output[0] + adapter(output[0]), *output[1:])
        return output + adapter(output)

    getattr(block, name).register_forward_hook(add)
