"""Trainable parameters against closed forms and published counts, on networks without any memory."""

from __future__ import annotations

import pytest
import torch

from harness_peft import bottleneck_adapters, costs, lora, selective, ssf, visual_prompts
from harness_peft.adapted_network import AdaptedNetwork

D, L, FF = 768, 12, 3072


@pytest.fixture(scope="module")
def vit_b():
    import timm

    with torch.device("meta"):
        module = timm.create_model("vit_base_patch16_224", num_classes=1000)

    class Plugin:
        pass

    plugin = Plugin()
    plugin.module = module
    plugin.preparation = type("P", (), {"crop": 224})()
    return plugin


def counted(plugin, method):
    with torch.device("meta"):
        net = AdaptedNetwork(plugin, 1000, "old", same_space=True)
        method.prepare(net)
    return costs.count_parameters(net)


@pytest.mark.parametrize(
    ("method", "closed", "published"),
    [
        (selective.BitFit(), 102_912, 0.10),
        (lora.LoRA(8), L * 2 * 8 * (D + D), 0.29),
        (lora.LoRA(8, targets=["qkv"]), L * 8 * (D + 3 * D), None),
        (lora.LoRA(4, targets=["proj", "fc1", "fc2"]), L * 4 * (2 * D + 2 * (D + FF)), None),
        (lora.DoRA(8), L * 2 * (8 * (D + D) + D), None),
        (lora.IA3(), L * (2 * D + FF), None),
        (bottleneck_adapters.AdaptFormer(8), L * (2 * D * 8 + 8 + D), 0.16),
        (bottleneck_adapters.Adapter(64), L * (2 * D * 64 + 64 + D), None),
        (bottleneck_adapters.Adapter(64, "both"), 2 * L * (2 * D * 64 + 64 + D), None),
        (visual_prompts.VPTShallow(50), 50 * D, None),
        (visual_prompts.VPTDeep(5), L * 5 * D, None),
        (selective.NormTuning(), (2 * L + 1) * 2 * D, None),
        (ssf.SSF(), 2 * D * (L * (1 + 3 + 1 + 1 + 4 + 1) + 2), None),
        (selective.Full(), 85_798_656, 85.8),
        (selective.LinearGradient(), 0, None),
    ],
    ids=lambda v: type(v).__name__ if hasattr(v, "prepare") else None,
)
def test_vit_b(vit_b, method, closed, published):
    found = counted(vit_b, method)
    assert found["trainable_without_head"] == closed
    assert found["trainable_parameters"] == closed + 1000 * (D + 1)
    assert found["trainable_share"] == found["trainable_parameters"] / found["parameters"]
    if published is not None:
        digits = 2 if published < 1 else 1
        assert round(closed / 1e6, digits) == pytest.approx(published, abs=1e-9)


def test_adapters_are_counted_beside_the_base(vit_b):
    found = counted(vit_b, lora.LoRA(8))
    assert found["parameters"] == 85_798_656 + 1000 * (D + 1) + 294_912


def test_clip_lora_on_vit_b_16():
    """184,320 = r·2·(512 + 768)·3·12 with r = 2: q, k, v in both towers (Zanella and Ben Ayed 2024)."""
    import open_clip

    with torch.device("meta"):
        module = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16"))

        class Plugin:
            logit_scale = 100.0

            def encode_text(self, texts):
                return module.encode_text(self.tokenizer(texts))

            def tokenizer(self, texts):
                return torch.zeros(len(texts), 77, dtype=torch.long, device="meta")

        plugin = Plugin()
        plugin.module = module
        net = AdaptedNetwork(plugin, 2, class_names=["a", "b"], templates=["{}"])
        lora.ClipLoRA().prepare(net)
    found = costs.count_parameters(net)
    assert found["trainable_parameters"] == found["trainable_without_head"] == 184_320


def test_small_closed_forms():
    """Linear 10→7 of rank 2: 34; `nn.MultiheadAttention` of width 16 and rank 4, fused: 384."""
    from peft import LoraConfig, inject_adapter_in_model

    def count(net, rank, names):
        inject_adapter_in_model(LoraConfig(r=rank, target_modules=names), net)
        return sum(p.numel() for n, p in net.named_parameters() if "lora" in n)

    assert count(torch.nn.Sequential(torch.nn.Linear(10, 7)), 2, ["0"]) == 34
    assert count(torch.nn.Sequential(torch.nn.MultiheadAttention(16, 2)), 4, ["0"]) == 384


def test_split_attention_counts_what_the_fused_one_does_only_by_coincidence():
    """open_clip's ViT-B-32, rank 2: 184,320 for fused q, k, v with out as for split q, k, v in both towers."""
    import open_clip

    with torch.device("meta"):
        clip = open_clip.CLIP(**open_clip.get_model_config("ViT-B-32"))
        towers = [(clip.visual.transformer, 768), (clip.transformer, 512)]
    rank = 2
    fused = sum(len(t.resblocks) * rank * ((d + 3 * d) + (d + d)) for t, d in towers)
    split = sum(len(t.resblocks) * rank * 3 * (d + d) for t, d in towers)
    assert fused == split == 184_320
