"""Methods that add no modules and choose which of the network's own parameters train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    import torch

    from harness_peft.adapted_network import AdaptedNetwork


class ZeroShot:
    """No training: the old head, or a zero-shot head from class names."""

    trains = False
    needs_old_head = True

    def prepare(self, network: AdaptedNetwork) -> None:
        """Freeze the head too."""
        network.requires_grad_(False)


class Scratch(LearnsFromDraws):
    """The same architecture trained from random weights, to show what pre-training is worth."""

    rates = (3e-4, 1e-3, 3e-3)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Reinitialise every weight, and unfreeze all."""
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
            if id(parameter) not in own:  # class tokens and positions, which no layer resets
                nn.init.trunc_normal_(parameter, std=0.02)
        network.requires_grad_(True)


class Full(LearnsFromDraws):
    """Full fine-tuning: every parameter trains."""

    rates = (1e-4, 3e-4, 1e-3)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Unfreeze everything."""
        network.requires_grad_(True)


class Partial(LearnsFromDraws):
    """The last `blocks` blocks (or stages) train, with everything after them.

    Args:
        blocks: number of blocks (or stages) to train, counted from the last; at least 1.
    """

    rates = (1e-4, 3e-4, 1e-3)

    def __init__(self, blocks: int = 1) -> None:
        if blocks < 1:
            raise OptionError(f"partial: blocks must be at least 1, not {blocks}")
        self.blocks = blocks

    def prepare(self, network: AdaptedNetwork) -> None:
        """Unfreeze the last blocks, and the norms and projection after them. Raises OptionError for too many."""
        stages = network.stages()
        if self.blocks > len(stages):
            raise OptionError(f"partial: the network has {len(stages)} blocks, {self.blocks} were requested")
        for module in (*stages[-self.blocks :], *network.final_layers()):
            module.requires_grad_(True)
        if (projection := getattr(network.backbone, "proj", None)) is not None:
            projection.requires_grad_(True)


class LinearGradient(LearnsFromDraws):
    """Linear probe by gradient: only the head trains, on the frozen network's features."""

    rates = (1e-3, 1e-2, 1e-1)

    def prepare(self, network: AdaptedNetwork) -> None:
        """Do nothing: all but the head is already frozen."""


class BitFit(LearnsFromDraws):
    """Every bias trains, and the head (Ben Zaken et al. 2022)."""

    rates = (1e-3, 3e-3, 1e-2)
    weight_decay = 0.0

    def prepare(self, network: AdaptedNetwork) -> None:
        """Unfreeze parameters whose name ends in `bias`."""
        for name, parameter in network.backbone.named_parameters():
            if name.endswith("bias"):
                parameter.requires_grad_(True)


class NormTuning(LearnsFromDraws):
    """Scales and shifts of the normalisation layers train, and the head."""

    rates = (1e-3, 3e-3, 1e-2)
    weight_decay = 0.0

    def prepare(self, network: AdaptedNetwork) -> None:
        """Unfreeze LayerNorm, GroupNorm and batch norm; running statistics stay fixed."""
        from torch import nn

        kinds = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
        for module in network.backbone.modules():
            if isinstance(module, kinds):
                module.requires_grad_(True)


class WiseFT(LearnsFromDraws):
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
        """Unfreeze everything."""
        network.requires_grad_(True)

    def finish(self, network: AdaptedNetwork, start: dict[str, torch.Tensor]) -> None:
        """Interpolate between the tensors before and after training."""
        import torch

        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                if name in start and tensor.is_floating_point():
                    # not torch.lerp: this returns the ends exactly at α = 0 and 1
                    tensor.copy_((1 - self.alpha) * start[name].to(tensor.device) + self.alpha * tensor)
