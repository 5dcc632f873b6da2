"""Visual prompt tuning: learned tokens before the image's (Jia et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import OptionError, Unavailable
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    from torch import nn

    from harness_peft.adapted_network import AdaptedNetwork
    from harness_peft.added_modules import PromptTokens


class _VPT(LearnsFromDraws):
    """Learned tokens among the image's, for the first block or for every block.

    Args:
        prompts: p, the number of learned tokens in a sequence; 0 for none.
    """

    rates = (3e-3, 3e-2, 1e-1)
    weight_decay = 0.0
    _deep = False

    def __init__(self, prompts: int = 5) -> None:
        if prompts < 0:
            raise OptionError(f"vpt: prompts must be at least 0, not {prompts}")
        self.prompts = prompts

    def prepare(self, network: AdaptedNetwork) -> None:
        """Add the prompts before the first block (deep: new ones at each) and drop them after the last."""
        from harness_peft.added_modules import PromptTokens, block_width

        if self.prompts == 0:
            return
        blocks = network.blocks()
        place = 1 if _has_class_token(network.backbone) else 0
        width, patch = block_width(blocks[0]), _patch_side(network.backbone)
        for number, block in enumerate(blocks if self._deep else blocks[:1]):
            own = PromptTokens(self.prompts, width, patch).to(next(block.parameters()).device)
            block.add_module("prompts", own)
            block.register_forward_pre_hook(_make_insert_hook(own, place, self.prompts if number else 0))
        blocks[-1].register_forward_hook(_make_drop_hook(place, self.prompts))


class VPTShallow(_VPT):
    """VPT-shallow: `prompts` tokens after the class token, once, p·d parameters."""


class VPTDeep(_VPT):
    """VPT-deep: every block replaces the prompts by its own, L·p·d parameters."""

    _deep = True


def _make_insert_hook(own: PromptTokens, place: int, replaced: int) -> Any:
    return lambda _, inputs: (own(inputs[0], place, replaced), *inputs[1:])


def _make_drop_hook(place: int, count: int) -> Any:
    import torch

    return lambda _, __, x: torch.cat([x[:, :place], x[:, place + count :]], dim=1)


def _has_class_token(backbone: nn.Module) -> bool:
    trunk = getattr(backbone, "trunk", backbone)
    if hasattr(trunk, "class_embedding"):
        if not getattr(trunk.transformer, "batch_first", True):
            raise Unavailable("vpt: the tower's tensors have tokens before the batch dimension")
        return True
    return getattr(trunk, "cls_token", None) is not None


def _patch_side(backbone: nn.Module) -> int:
    trunk = getattr(backbone, "trunk", backbone)
    embed: Any = getattr(trunk, "patch_embed", trunk)
    size: Any = getattr(embed, "img_size", None) or getattr(embed, "image_size", None)
    grid = embed.grid_size
    return int(size[0] // grid[0])
