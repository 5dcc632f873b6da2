"""Small configurations of timm's and open_clip's networks for images of 32×32 pixels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem, HybridEmbed

if TYPE_CHECKING:
    import open_clip

SIDE = 32
CONTEXT = 32
"""Tokens of a text, start and end included: enough for learned prompts of 16 tokens."""
EMBEDDING = 64
"""Dimension of the contrastive model's joint space."""


MLP_RATIO = 2
"""MLP ratio of all transformer blocks: half the usual one, which costs towers this small no accuracy."""


def _stem(width: int) -> ConvStem:
    """Return four convolutions to 4×4 tokens; on few images they learn far faster than a single one
    (Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021)."""
    channels = (8, 16, 32, width)
    return ConvStem(depth=4, channels=channels, kernel_size=(3,) * 4, stride=(2, 2, 2, 1), padding=(1,) * 4)


def build_tiny_vit(classes: int, width: int) -> VisionTransformer:
    """Build timm's VisionTransformer with a convolutional stem, three blocks, and 4×4 averaged tokens."""
    return VisionTransformer(
        img_size=SIDE,
        patch_size=1,
        embed_dim=width,
        depth=3,
        num_heads=width // 32,
        mlp_ratio=MLP_RATIO,
        num_classes=classes,
        embed_layer=partial(HybridEmbed, backbone=_stem(width), proj=False),
        weight_init="jax",
        global_pool="avg",
        class_token=False,
    )


def build_tiny_resnet(classes: int, width: int) -> ResNet:
    """Build timm's ResNet with one basic block per stage, of 1, 2, 4 and 4 times `width` channels.

    The stem is three 3×3 convolutions (ResNet-D): a 7×7 one to timm's fixed 64 channels would take
    most of the time of a network this narrow. The last stage sees a single position and needs no
    more channels than the one before.
    """
    widths = (width, 2 * width, 4 * width, 4 * width)
    stem = max(1, width // 2)
    block: Any = BasicBlock  # timm annotates an instance but expects the class
    return ResNet(
        block, (1, 1, 1, 1), num_classes=classes, channels=widths, stem_width=stem, stem_type="deep"
    )


@register_model
def harness_tiny_resnet(
    pretrained: bool = False, *, num_classes: int, global_pool: str, **_: object
) -> ResNet:
    """Build `resnet` of width 16; registered so that open_clip's timm tower can find it by name."""
    if pretrained:
        raise ValueError("harness_tiny_resnet has no published weights")
    network = build_tiny_resnet(num_classes, 16)
    network.reset_classifier(num_classes, global_pool)
    return network


def build_tiny_clip(tower: Literal["resnet", "vit"]) -> open_clip.CLIP:
    """Build open_clip's CLIP with a two-layer text transformer and one of two image towers.

    `resnet`: open_clip's timm tower around `resnet`. `vit`: open_clip's VisionTransformer of three
    layers, width 64, its patch embedding replaced by four convolutions.
    """
    import open_clip  # it takes longer to import than timm, which the other networks need
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    text = CLIPTextCfg(context_length=CONTEXT, width=64, heads=2, layers=2, mlp_ratio=MLP_RATIO)
    if tower == "resnet":
        return open_clip.CLIP(
            EMBEDDING,
            CLIPVisionCfg(
                timm_model_name="harness_tiny_resnet", timm_pool="avg", timm_proj="", image_size=SIDE
            ),
            text,
        )
    width = 64
    vision = CLIPVisionCfg(
        layers=3,
        width=width,
        head_width=32,
        patch_size=8,
        image_size=SIDE,
        pool_type="avg",
        mlp_ratio=MLP_RATIO,
    )
    module = open_clip.CLIP(EMBEDDING, vision, text)
    module.visual.conv1 = _stem(width)
    return module
