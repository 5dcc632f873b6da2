"""Every method: it starts where it must, trains all it counts, leaves the rest, and stores itself whole."""

from __future__ import annotations

import pytest
import torch

from harness.discovery import registry
from harness.learning.checkpoints import load_checkpoint_tensors, save_tensors
from harness.learning.optimizers import build_optimizer
from harness.learning.recipe import Recipe
from harness_peft import (
    added_modules,
    bottleneck_adapters,
    costs,
    lora,
    selective,
    ssf,
    trained_state,
    visual_prompts,
)
from harness_peft.finetuning import collect_base_modules, train_network
from harness_peft.training_checks import TrainingFault, check_frozen, digest_frozen, trainable_parameters

ALL = ["qkv", "proj", "fc1", "fc2"]
METHODS = {
    "scratch": selective.Scratch,
    "full": selective.Full,
    "partial": selective.Partial,
    "gradient probe": selective.LinearGradient,
    "bitfit": selective.BitFit,
    "norms": selective.NormTuning,
    "wise-ft": selective.WiseFT,
    "lora q,v": lambda: lora.LoRA(2),
    "lora all": lambda: lora.LoRA(2, targets=ALL),
    "rslora": lambda: lora.LoRA(4, targets=["q", "k", "v", "proj"], rslora=True),
    "dora": lambda: lora.DoRA(2),
    "ia3": lora.IA3,
    "adaptformer": lambda: bottleneck_adapters.AdaptFormer(4),
    "adapter": lambda: bottleneck_adapters.Adapter(4),
    "adapter both": lambda: bottleneck_adapters.Adapter(4, "both"),
    "vpt-shallow": lambda: visual_prompts.VPTShallow(2),
    "vpt-deep": lambda: visual_prompts.VPTDeep(2),
    "ssf": ssf.SSF,
}
IDENTITY = ["full", "partial", "gradient probe", "bitfit", "norms", "wise-ft", "lora q,v", "lora all", "rslora",
            "dora", "ia3", "adaptformer", "adapter", "adapter both"]  # fmt: skip
CLIP_METHODS = {**METHODS, "clip-lora": lora.ClipLoRA}
CASES = [("vit", n) for n in METHODS] + [("clip", n) for n in CLIP_METHODS]


def prepared(network, kind, name):
    net = network(kind)
    base = collect_base_modules(net)
    method = CLIP_METHODS[name]()
    torch.manual_seed(5)
    method.prepare(net)
    return net, base, method


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in CASES if n in IDENTITY or n == "clip-lora"])
def test_starts_as_the_base(network, images, kind, name):
    net, _, _ = prepared(network, kind, name)
    assert torch.allclose(net(images), network(kind)(images), atol=1e-6 if kind == "vit" else 1e-4)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_trains_what_it_counts_and_nothing_else(network, held, images, tmp_path, kind, name):
    """Checks 5, 6 and 16: frozen tensors bit for bit, gradients in two steps, the optimiser, the stored state."""
    net, base, method = prepared(network, kind, name)
    own = trainable_parameters(net)
    optimizer = build_optimizer(net, Recipe(steps=3))
    inside = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert inside == {id(p) for p in own.values()}
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    result = train_network(
        net, held, Recipe(steps=3, batch=6, rate=1e-2), 0, base=base
    )  # raises without gradients
    for n, p in net.named_parameters():
        assert torch.equal(p, before[n]) == (n not in own), n
    assert result.optimizer_bytes == pytest.approx(
        2 * sum(4 * p.numel() for p in own.values()), rel=0.05, abs=400
    )
    after = net(images)
    size = save_tensors(tmp_path / "a.safetensors", trained_state.collect_trained_state(net))
    assert size >= 4 * sum(p.numel() for p in own.values())
    again, _, _ = prepared(network, kind, name)
    assert not torch.equal(again(images), after)
    load_checkpoint_tensors(tmp_path / "a.safetensors", again)
    assert torch.equal(again.eval()(images), after)
    if hasattr(method, "merge"):
        merged = costs.copy_merged(net, method)
        assert torch.allclose(merged(images), after, atol=1e-5 * max(1, float(after.detach().abs().max())))
        kinds = {type(m).__name__ for m in merged.modules()}
        assert not any(
            w in k.lower() for k in kinds for w in ("lora", "ia3", "dora", "scaleshift", "splitqkv")
        )


def test_a_tensor_without_gradient_fails(network, held):
    net = network()
    base = collect_base_modules(net)
    net.backbone.add_module("idle", torch.nn.Linear(2, 2))
    with pytest.raises(TrainingFault, match=r"backbone\.idle"):
        train_network(net, held, Recipe(steps=3, batch=6), 0, base=base)


def test_a_changed_frozen_tensor_fails(network):
    net = network()
    digests = digest_frozen(net)
    check_frozen(net, digests)
    with torch.no_grad():
        net.backbone.blocks[0].attn.qkv.weight[0, 0] += (
            1e-7 + net.backbone.blocks[0].attn.qkv.weight[0, 0].abs()
        )
    with pytest.raises(TrainingFault, match=r"attn\.qkv\.weight"):
        check_frozen(net, digests)


def test_a_moved_statistic_of_a_frozen_layer_fails(network):
    """Batch norm in training mode moves its statistics without any gradient."""
    net = network()
    net.backbone.add_module("bn", torch.nn.BatchNorm1d(3))
    net.requires_grad_(False)
    base = collect_base_modules(net)
    net.head.requires_grad_(True)
    digests = digest_frozen(net, base)
    net.backbone.bn.eval()(torch.randn(4, 3))
    check_frozen(net, digests)
    net.backbone.bn.train()(torch.randn(4, 3))
    with pytest.raises(TrainingFault, match=r"backbone\.bn\.running_mean"):
        check_frozen(net, digests)
    net.requires_grad_(True)
    assert digest_frozen(net, base) == {}  # full fine-tuning may move them


def test_frozen_parts_stay_in_evaluation_mode(network):
    from harness_peft.finetuning import set_mode

    net, base, _ = prepared(network, "vit", "lora q,v")
    set_mode(net, base)
    modes = {n: m.training for n, m in net.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert not any(modes.values())
    net, base, _ = prepared(network, "vit", "full")
    set_mode(net, base)
    assert all(m.training for m in net.modules())


def test_wise_ft_reaches_both_ends_and_interpolates_a_linear_model(network, held, images):
    """Check 14."""
    start = {n: t.clone() for n, t in network().state_dict().items()}
    net, base, _ = prepared(network, "vit", "full")
    train_network(net, held, Recipe(steps=2, batch=6, rate=1e-2), 0, base=base)
    end = {n: t.clone() for n, t in net.state_dict().items()}
    for alpha, expected in ((0.0, start), (1.0, end)):
        net.load_state_dict(end)
        selective.WiseFT(alpha).finish(net, start)
        assert all(torch.equal(t, expected[n]) for n, t in net.state_dict().items())
    head, other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    x, first, last = torch.randn(5, 4), {n: t.clone() for n, t in head.state_dict().items()}, other
    expected = 0.7 * head(x) + 0.3 * last(x)
    selective.WiseFT(0.3).finish(last, first)
    assert torch.allclose(last(x), expected, atol=1e-6)


def test_scratch_forgets_everything(network):
    net, _, _ = prepared(network, "clip", "scratch")
    base = dict(network("clip").named_parameters())
    same = [
        n
        for n, p in net.named_parameters()
        if p.ndim > 1 and not n.startswith("head") and torch.equal(p, base[n])
    ]
    assert same == []


@pytest.mark.parametrize("deep", [False, True])
def test_prompts(network, images, deep):
    """Check 10: none is the base, the sequence is 1 + p + n in every block, their order says nothing."""
    cls = visual_prompts.VPTDeep if deep else visual_prompts.VPTShallow
    net = network()
    cls(0).prepare(net)
    assert torch.equal(net(images), network()(images))
    net = network()
    cls(3).prepare(net)
    lengths = []
    for block in net.blocks():
        block.norm1.register_forward_pre_hook(lambda _, x: lengths.append(x[0].shape[1]))
    before = net(images)
    assert lengths == [1 + 3 + 4] * 2
    assert net.backbone.forward_features(images).shape[1] == 1 + 4
    with torch.no_grad():
        for block in net.blocks()[: 2 if deep else 1]:
            block.prompts.tokens.copy_(block.prompts.tokens[[2, 0, 1]])
    assert torch.allclose(net(images), before, atol=1e-5)
    assert not torch.allclose(before, network()(images), atol=1e-3)


def test_prompts_start_in_their_range():
    torch.manual_seed(0)
    tokens = added_modules.PromptTokens(500, 16, 8).tokens
    bound = (6 / (3 * 64 + 16)) ** 0.5
    assert tokens.abs().max() <= bound
    assert float(tokens.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.03)


def test_ssf_of_no_spread_is_the_base(network, images):
    net = network()
    ssf.SSF(std=0).prepare(net)
    assert torch.equal(net(images), network()(images))


def test_adaptformer_is_the_papers_equation(network, images):
    """x + MLP(LN(x)) + s·up(ReLU(down(LN(x)))) on one block, written out."""
    net = network()
    bottleneck_adapters.AdaptFormer(4, scale=0.3).prepare(net)
    block = net.blocks()[0]
    torch.nn.init.normal_(block.adapter.up.weight)
    x = torch.randn(2, 5, 16)
    middle = x + block.attn(block.norm1(x))
    normed = block.norm2(middle)
    a = block.adapter
    wanted = torch.relu(normed @ a.down.weight.T + a.down.bias) @ a.up.weight.T + a.up.bias
    plain = network().blocks()[0].mlp(normed)
    assert torch.allclose(block(x), middle + plain + 0.3 * wanted, atol=1e-5)


def test_a_convolutional_network_is_refused_in_one_line():
    import timm

    from harness.errors import Unavailable
    from harness_peft.adapted_network import AdaptedNetwork

    class Plugin:
        module = timm.create_model("resnet10t", num_classes=3)
        preparation = type("P", (), {"crop": 32})()

    net = AdaptedNetwork(Plugin(), 3, "new")
    with pytest.raises(Unavailable, match="no transformer blocks"):
        lora.LoRA(2).prepare(net)
    selective.Partial(1).prepare(net)
    assert {n.split(".")[1] for n in trainable_parameters(net) if n.startswith("backbone")} == {"layer4"}


def test_methods_that_learn_carry_the_version_of_trainings_and_draws():
    """A new version gives their cells new ids; cells of `untrained`, which learn nothing, keep theirs."""
    found = {
        plugin.name: getattr(registry.load(plugin), "fingerprint", None)
        for plugin in registry.installed("methods")
        if plugin.target.startswith("harness_peft.")
    }
    assert {name for name, fingerprint in found.items() if fingerprint is None} == {"untrained"}
    assert {fingerprint(None) for fingerprint in found.values() if fingerprint} == {"learning-1"}
