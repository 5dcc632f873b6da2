"""SSF: a scale and a shift after every operation (Lian et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness_peft.adapted_network import AdaptedNetwork


class SSF(LearnsFromDraws):
    """Scale and shift after every linear layer, normalisation and the patch embedding; merges for free.

    Args:
        std: standard deviation of the initial values, around 1 for scales and around 0 for shifts.
    """

    rates = (1e-3, 3e-3, 1e-2)
    weight_decay = 0.0

    def __init__(self, std: float = 0.02) -> None:
        if std < 0:
            raise OptionError(f"ssf: std must not be negative, found {std}")
        self.std = std

    def prepare(self, network: AdaptedNetwork) -> None:
        """Add scales and shifts; first split open_clip's attention into layers that can be hooked."""
        from torch import nn

        from harness_peft.added_modules import ScaleShift
        from harness_peft.split_attention import split_attention

        for block in network.blocks():
            if isinstance(block.attn, nn.MultiheadAttention):
                split_attention(block)
        for module in list(network.backbone.modules()):
            width = _output_width(module)
            if width is None:
                continue
            own = ScaleShift(width, self.std, isinstance(module, nn.Conv2d)).to(module.weight.device)
            module.add_module("ssf", own)
            module.register_forward_hook(_apply_scale_shift)

    def merge(self, network: AdaptedNetwork) -> None:
        """Replace W by γW and b by γb + β; layers keep their types."""
        import torch
        from torch import nn

        with torch.no_grad():
            for module in network.backbone.modules():
                own = module._modules.pop("ssf", None)
                if own is None:
                    continue
                module.weight.mul_(own.scale.view(-1, *[1] * (module.weight.ndim - 1)))
                if module.bias is None:
                    module.bias = nn.Parameter(own.shift.detach().clone(), requires_grad=False)
                else:
                    module.bias.mul_(own.scale).add_(own.shift)


def _apply_scale_shift(module: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
    own = module._modules.get("ssf")  # removed by merging, while the hook remains
    return output if own is None else own(output)


def _output_width(module: nn.Module) -> int | None:
    from torch import nn

    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Conv2d):
        return module.out_channels
    if isinstance(module, nn.LayerNorm) and module.weight is not None:
        return module.weight.shape[0]
    return None
