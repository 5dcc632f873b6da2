"""Networks, data and jobs that the fine-tuning tests share; all small, none downloaded."""

from __future__ import annotations

import pytest


class Backbone:
    """A model plugin around a timm ViT of two blocks with random weights."""

    label_space = "ten"

    def __init__(self, module):
        self.module = module

    def prepare(self, image):
        import torch

        return torch.zeros(3, 16, 16)

    def classify(self, images):
        return self.module(images)

    def encode_image(self, images):
        return self.module.forward_head(self.module.forward_features(images), pre_logits=True)


class Clip:
    """An image-text plugin around a small open_clip model with `nn.MultiheadAttention` in both towers."""

    logit_scale = 100.0

    def __init__(self, module):
        import open_clip

        self.module = self.clip = module
        self.tokenizer = open_clip.SimpleTokenizer(context_length=12)

    def encode_image(self, images):
        return self.module.encode_image(images)

    def encode_text(self, texts):
        return self.module.encode_text(self.tokenizer(list(texts)))


@pytest.fixture(scope="session")
def vit():
    import torch
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    module = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=10, drop_rate=0.1
    )
    with torch.no_grad():  # so that biases, norms and the class token take part
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Backbone(module.eval())


@pytest.fixture(scope="session")
def clip():
    import open_clip
    import torch
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    module = open_clip.CLIP(
        16,
        CLIPVisionCfg(layers=2, width=16, head_width=8, patch_size=8, image_size=16),
        CLIPTextCfg(context_length=12, width=16, heads=2, layers=2),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() < 10**5:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return Clip(module.eval())


@pytest.fixture
def images():
    import torch

    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Kept:
    """Batches from tensors in memory, as fine-tuning has them."""

    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.images)

    def make_source(self, seed):
        from harness.learning.pipeline import HeldSamples

        return HeldSamples(self.images, self.targets)


@pytest.fixture
def held(images):
    import torch

    return Kept(images, torch.arange(len(images)) % 3)


@pytest.fixture
def network(vit, clip):
    """Makes a fresh network, `vit` with its old head or `clip` with a zero-shot one, seeded."""
    import torch

    from harness_peft.adapted_network import AdaptedNetwork

    def make(kind="vit", classes=10, head="auto"):
        torch.manual_seed(3)
        if kind == "vit":
            return AdaptedNetwork(vit, classes, head, same_space=True)
        names = ("cat", "dog", "bird")
        return AdaptedNetwork(clip, len(names), head, class_names=names, templates=["a photo of a {}."])

    return make
