"""LoRA against an explicit W + s·BA, for each kind of layer in timm and open_clip towers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.errors import OptionError
from harness_peft import lora
from harness_peft.adapted_network import AdaptedNetwork, TextHead
from harness_peft.split_attention import SplitAttention, SplitQKV, split_attention
from harness_peft.training_checks import trainable_parameters

S = 1.5


def randomise(network):
    """B away from zero; gives what each adapted layer adds to its weight, s·BA, by the layer's name."""
    torch.manual_seed(7)
    deltas = {}
    for name, module in network.named_modules():
        if "default" in getattr(module, "lora_A", {}):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            with torch.no_grad():
                b.normal_()
            deltas[name] = (b @ a).detach()
    return deltas


def explicit(network, name, rows, delta, kind):
    """Adds a delta to rows of the plain network's own weight, found from the adapted layer's name."""
    path = name.split(".")
    if "attn" in path:
        block = network.get_submodule(".".join(path[: path.index("attn")]))
        part = path[-1]
        if kind == "vit":
            weight = block.attn.proj.weight if part == "proj" else block.attn.qkv.weight
        else:
            weight = block.attn.out_proj.weight if part == "out" else block.attn.in_proj_weight
        width = weight.shape[1]
        at = {"q": 0, "k": 1, "v": 2}.get(part)
        place = slice(None) if at is None else slice(at * width, (at + 1) * width)
    else:
        weight, place = network.get_submodule(name).weight, slice(None)
    with torch.no_grad():
        weight[place] += S * delta


@pytest.mark.parametrize("target", ["q", "k", "v", "qkv", "proj", "fc1", "fc2"])
@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_output_equals_explicit_weights(network, images, kind, target):
    """Check 2, which merged == unmerged can't replace: peft on MultiheadAttention passes that and is wrong."""
    net, plain = network(kind), network(kind)
    lora.LoRA(2, alpha=2 * S, targets=[target]).prepare(net)
    deltas = randomise(net)
    assert len(deltas) == 2 * (3 if target == "qkv" and kind == "clip" else 1)
    before = plain(images)
    for name, delta in deltas.items():
        explicit(plain, name, None, delta, kind)
    tolerance = 1e-4 * max(1.0, float(before.detach().abs().max()))
    assert torch.allclose(net(images), plain(images), atol=tolerance)
    assert not torch.allclose(net(images), before, atol=20 * tolerance)


def test_both_towers_of_clip_lora_equal_explicit_weights(network, clip, images):
    """s = α/√r, and the text tower's causal mask stays in force."""
    import copy

    net = network("clip")
    lora.ClipLoRA(rank=4, alpha=2 * S, dropout=0.0).prepare(net)
    assert isinstance(net.head, TextHead)
    deltas = randomise(net)
    assert len(deltas) == 2 * 2 * 3
    whole = copy.deepcopy(clip)
    for name, delta in deltas.items():
        tower, _, rest = name.partition("resblocks.")
        holder = whole.module.visual.transformer if tower.startswith("backbone") else whole.module.transformer
        explicit(holder, f"resblocks.{rest}", None, delta, "clip")
    from harness.inference.zeroshot import text_classifier

    weights = text_classifier(whole, ["cat", "dog", "bird"], ["a photo of a {}."])
    wanted = 100 * torch.nn.functional.normalize(whole.encode_image(images), dim=-1) @ weights.T
    assert torch.allclose(net(images), wanted, atol=2e-3)
    with torch.inference_mode():
        net(images)
        assert torch.allclose(net(images), wanted, atol=2e-3)  # through the kept text embeddings
    lora.merge_layers(net)
    assert torch.allclose(net(images), wanted, atol=2e-3)


@pytest.mark.parametrize("batch_first", [True, False])
def test_split_attention_is_the_same_attention(batch_first):
    torch.manual_seed(0)
    fused = nn.MultiheadAttention(16, 2, batch_first=batch_first)
    nn.init.normal_(fused.in_proj_bias)
    x = torch.randn(3, 5, 16)
    mask = torch.full((5, 5) if batch_first else (3, 3), float("-inf")).triu(1)
    for attn_mask in (None, mask):
        wanted = fused(x, x, x, need_weights=False, attn_mask=attn_mask)[0]
        assert torch.allclose(SplitAttention(fused)(x, x, x, attn_mask=attn_mask)[0], wanted, atol=1e-6)


def test_split_qkv_fuses_back_exactly(network, images):
    net, plain = network(), network()
    for block in net.blocks():
        split_attention(block)
    assert torch.allclose(net(images), plain(images), atol=1e-6)
    lora.merge_layers(net)
    assert not any(isinstance(m, SplitQKV) for m in net.modules())
    for a, b in zip(net.blocks(), plain.blocks()):
        assert torch.equal(a.attn.qkv.weight, b.attn.qkv.weight)


def test_rank_and_scales(network):
    """Checks 7 and 8: rank(ΔW) ≤ r, doubling α doubles ΔW, and rsLoRA halves s from r = 4 to 16."""

    def change(**options):
        net, plain = network(), network()
        lora.LoRA(targets=["fc1"], **options).prepare(net)
        randomise(net)
        lora.merge_layers(net)
        return (net.blocks()[0].mlp.fc1.weight - plain.blocks()[0].mlp.fc1.weight).detach()

    once, twice = change(rank=3, alpha=3.0), change(rank=3, alpha=6.0)
    assert torch.allclose(2 * once, twice, atol=1e-5)
    values = torch.linalg.svdvals(once)
    assert values[2] > 1e-2 > 1e-4 > values[3]
    scales = []
    for rank in (4, 16):
        net = network()
        lora.LoRA(rank, alpha=8.0, targets=["fc1"], rslora=True).prepare(net)
        scales.append(net.blocks()[0].mlp.fc1.scaling["default"])
    assert scales == [8 / math.sqrt(4), 8 / math.sqrt(16)]


def test_a_patch_embeddings_proj_is_never_met(network):
    net = network()
    lora.LoRA(2, targets=["proj"]).prepare(net)
    names = [n for n in trainable_parameters(net) if "lora" in n]
    assert len(names) == 4
    assert all(".blocks." in n for n in names)


def test_ia3_scales_keys_values_and_the_second_layers_input(network, images):
    """Check 9 with factors other than 1: biases of k and v are scaled, fc2's is not, queries stay."""
    net, plain = network(), network()
    lora.IA3().prepare(net)
    torch.manual_seed(2)
    with torch.no_grad():
        for n, p in trainable_parameters(net).items():
            if "ia3" in n:
                p.uniform_(0.5, 1.5)
        for block, own in zip(plain.blocks(), net.blocks()):
            factors = {n: getattr(own.attn.qkv, n).ia3_l["default"].flatten() for n in ("k", "v")}
            for place, n in ((1, "k"), (2, "v")):
                rows = slice(place * 16, (place + 1) * 16)
                block.attn.qkv.weight[rows] *= factors[n][:, None]
                block.attn.qkv.bias[rows] *= factors[n]
            block.mlp.fc2.weight *= own.mlp.fc2.ia3_l["default"].flatten()
    assert torch.allclose(net(images), plain(images), atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda: lora.LoRA(0), lambda: lora.LoRA(dropout=1.0), lambda: lora.ClipLoRA(rank=-1)]
)
def test_bad_options(make):
    with pytest.raises(OptionError):
        make()


def test_network_needs_a_module():
    with pytest.raises(OptionError, match="module"):
        AdaptedNetwork(object(), 3)
