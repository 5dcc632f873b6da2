"""Methods that add nothing and choose which of the network's own parameters train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError

if TYPE_CHECKING:
    import torch

    from harness_peft.adapted_network import AdaptedNetwork


class ZeroShot:
    """No training at all: the old head, or a zero-shot head from class names."""

    trains = False
    needs_old_head = True

    def prepare(self, network: AdaptedNetwork) -> None:
        """Freezes the head too."""
        network.requires_grad_(False)


class Scratch:
    """The same architecture from random weights: what pre-training is worth."""

    rates = (3e-4, 1e-3, 3e-3)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Draws every weight anew, and trains all."""
        from torch import nn

        for module in network.backbone.modules():
            if isinstance(module, nn.MultiheadAttention):
                module._reset_parameters()
            elif hasattr(module, "reset_parameters"):
                module.reset_parameters()
        own = {
            id(p)
            for m in network.modules()
            if hasattr(m, "reset_parameters")
            for p in m.parameters(recurse=False)
        }
        own |= {
            id(p) for m in network.modules() if isinstance(m, nn.MultiheadAttention) for p in m.parameters()
        }
        for parameter in network.backbone.parameters():
            if id(parameter) not in own:  # tokens and positions, which belong to no layer
                nn.init.trunc_normal_(parameter, std=0.02)
        network.requires_grad_(True)


class Full:
    """Full fine-tuning: every parameter trains."""

    rates = (1e-4, 3e-4, 1e-3)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Thaws everything."""
        network.requires_grad_(True)


class Partial:
    """The last `blocks` blocks (or stages) train, with what comes after them.

    Args:
        blocks: how many blocks (or stages) train, counted from the last; at least 1.
    """

    rates = (1e-4, 3e-4, 1e-3)

    def __init__(self, blocks: int = 1) -> None:
        if blocks < 1:
            raise OptionError(f"partial: blocks must be at least 1, not {blocks}")
        self.blocks = blocks

    def prepare(self, network: AdaptedNetwork) -> None:
        """Thaws the last blocks, the norms after them and the head."""
        stages = network.stages()
        if self.blocks > len(stages):
            raise OptionError(f"partial: the network has {len(stages)} blocks, asked for {self.blocks}")
        for module in (*stages[-self.blocks :], *network.final_layers()):
            module.requires_grad_(True)
        if (projection := getattr(network.backbone, "proj", None)) is not None:
            projection.requires_grad_(True)


class LinearGradient:
    """Linear probe by gradient: the head alone trains, on the frozen network's features."""

    rates = (1e-3, 1e-2, 1e-1)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Nothing: everything but the head is frozen already."""


class BitFit:
    """Every bias trains, and the head (Ben Zaken et al. 2022)."""

    rates = (1e-3, 3e-3, 1e-2)
    weight_decay = 0.0

    def prepare(self, network: AdaptedNetwork) -> None:
        """Thaws parameters whose name ends in `bias`."""
        for name, parameter in network.backbone.named_parameters():
            if name.endswith("bias"):
                parameter.requires_grad_(True)


class NormTuning:
    """Scales and shifts of the normalisation layers train, and the head."""

    rates = (1e-3, 3e-3, 1e-2)
    weight_decay = 0.0

    def prepare(self, network: AdaptedNetwork) -> None:
        """Thaws LayerNorm, GroupNorm and batch norm; the latter's running statistics stay."""
        from torch import nn

        kinds = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
        for module in network.backbone.modules():
            if isinstance(module, kinds):
                module.requires_grad_(True)


class WiseFT:
    """Full fine-tuning, then θ = (1−α)·θ₀ + α·θ₁ (Wortsman et al. 2022); integer buffers are left alone.

    Args:
        alpha: α, the weight of the fine-tuned parameters, from 0 (pre-trained) to 1 (fine-tuned).
    """

    rates = (1e-4, 3e-4, 1e-3)
    keeps_start = True

    def __init__(self, alpha: float = 0.5) -> None:
        if not 0 <= alpha <= 1:
            raise OptionError(f"wise-ft: alpha must be between 0 and 1, not {alpha}")
        self.alpha = alpha

    def prepare(self, network: AdaptedNetwork) -> None:
        """Thaws everything."""
        network.requires_grad_(True)

    def finish(self, network: AdaptedNetwork, start: dict[str, torch.Tensor]) -> None:
        """Interpolates between the tensors before and after training."""
        import torch

        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                if name in start and tensor.is_floating_point():
                    # not a lerp: at α = 0 and 1 this gives the ends exactly
                    tensor.copy_((1 - self.alpha) * start[name].to(tensor.device) + self.alpha * tensor)
