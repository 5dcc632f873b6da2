"""Fusion methods: closed forms, masks, permutations, missing modalities, counts, gradients."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.discovery import registry
from harness.errors import DataError, OptionError
from harness_fusion.contracts import Features, FusionMethod, PairFeatures
from harness_fusion.fusion_head import FusionHead, build_head, compute_fusion_head_weights
from harness_fusion.networks.layers import MaskedAttention
from harness_fusion.networks.pooled import Unimodal

TOKENS = ("early-tokens", "cross-attention", "bottleneck")
POOLED = (
    "early-features", "late", "gated", "cross-attention-pooled", "bilinear", "tensor", "low-rank", "oracle",
)  # fmt: skip
ALL = ("majority", "text-only", "image-only", *POOLED, *TOKENS)
CLASSES, TEXT, IMAGE = 3, 10, 6


def method(name: str, **options: object) -> FusionMethod:
    return registry.load(registry.find("methods", name))(**options)


def features(count: int, width: int, length: int, seed: int) -> Features:
    make = torch.Generator().manual_seed(seed)
    sequence = torch.randn(count, length, width, generator=make)
    mask = torch.rand(count, length, generator=make) > 0.3
    return Features.from_pooled(torch.randn(count, width, generator=make), None, sequence, mask)


def inputs(count: int = 8) -> tuple[Features, Features]:
    return features(count, TEXT, 5, 1), features(count, IMAGE, 4, 2)


def head_of(name: str, seed: int = 0, **options: object) -> FusionHead:
    return build_head(method(name, **options), TEXT, IMAGE, CLASSES, seed=seed).eval()


def scores(head: FusionHead, text: Features, image: Features) -> torch.Tensor:
    targets = torch.arange(len(text)) % CLASSES
    return head.score_with_targets(text, image, targets)


def missing(features: Features, gone: torch.Tensor, rubbish: float = float("nan")) -> Features:
    """The same features where `gone` says missing, with rubbish in their place."""
    sequence = features.sequence.clone()
    pooled = features.pooled.clone()
    sequence[gone], pooled[gone] = rubbish, rubbish
    return Features(sequence, features.mask, ~gone, pooled)


# ---------------------------------------------------------------- the plugins


def test_methods_are_plugins_that_import_no_torch() -> None:
    code = (
        "import sys; from harness.discovery import registry\n"
        f"for n in {ALL}: registry.load(registry.find('methods', n))()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


@pytest.mark.parametrize("name", ALL)
def test_follows_the_contract(name: str) -> None:
    made = method(name)
    assert isinstance(made, FusionMethod)
    assert set(made.modalities) <= {"text", "image"}
    assert made.reads == ("tokens" if name in TOKENS else "pooled")
    head = head_of(name)
    text, image = inputs()
    assert scores(head, text, image).shape == (8, CLASSES)
    if not getattr(head.fusion, "scores", False):
        assert head.fusion(text, image).shape == (8, head.fusion.width)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_alone_decides_the_initial_weights(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = head_of(name, 1), head_of(name, 1), head_of(name, 2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    if name != "majority":
        assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("cross-attention", {"hidden": 30, "heads": 4}, "multiple of heads"),
        ("bottleneck", {"layers": 1}, "layers must be at least 2"),
        ("tensor", {"size": 1}, "size must be at least 2"),
        ("low-rank", {"rank": 0}, "rank must be at least 1"),
        ("gated", {"hidden": 0}, "hidden must be at least 1"),
        ("late", {"text_weight": 1.5}, "text_weight must lie in"),
        ("late", {"rule": "learned", "text_weight": 0.7}, "learns its own"),
    ],
)
def test_bad_options_get_one_line(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        method(name, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(name)


def test_features_whose_shapes_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="B×T×D"):
        Features.from_pooled(torch.zeros(3, 2), sequence=torch.zeros(4, 5, 2))


# ---------------------------------------------------------------- counts (worked out by hand)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("majority", {}, 0),
        ("text-only", {"hidden": 7}, 7 * (TEXT + 1) + 3 * 8),
        ("image-only", {"hidden": 7}, 7 * (IMAGE + 1) + 3 * 8),
        ("early-features", {"hidden": 7}, 7 * (TEXT + IMAGE + 1) + 3 * 8),
        ("late", {"hidden": 7}, 7 * (TEXT + IMAGE + 2) + 2 * 3 * 8),
        ("late", {"hidden": 7, "rule": "learned"}, 7 * (TEXT + IMAGE + 2) + 2 * 3 * 8 + 2),
        ("gated", {"hidden": 7}, 7 * (TEXT + IMAGE) + 7 * (TEXT + IMAGE + 1) + 3 * 8),
        # projections with their norms, then (5 + 1)² inputs of the classifier
        ("tensor", {"size": 5}, 5 * (TEXT + IMAGE + 2) + 4 * 5 + 3 * (36 + 1)),
        ("bilinear", {"size": 5, "hidden": 7}, 5 * (TEXT + IMAGE + 2) + 4 * 5 + 7 * (25 + 1) + 3 * 8),
        ("low-rank", {"rank": 2, "hidden": 7}, 2 * 7 * (TEXT + IMAGE + 2) + 2 + 7 + 3 * 8),
        ("cross-attention-pooled", {"hidden": 8}, 8 * (TEXT + IMAGE + 2) + 2 * 4 * 8 * 9 + 3 * 17),
    ],
)  # fmt: skip
def test_parameters_are_those_that_act(name: str, options: dict[str, object], count: int) -> None:
    assert sum(p.numel() for p in head_of(name, **options).parameters()) == count


@pytest.mark.parametrize("name", sorted(set(ALL) - {"majority", "oracle", "cross-attention-pooled"}))
def test_every_parameter_learns(name: str) -> None:
    head = head_of(name, **({"rule": "learned"} if name == "late" else {})).train()
    text, image = inputs(32)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    moved: set[str] = set()
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(text, image), torch.arange(32) % CLASSES).backward()
        moved |= {n for n, p in head.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
        optimizer.step()
    assert moved == {n for n, _ in head.named_parameters()}


# ---------------------------------------------------------------- closed forms


def test_attention_to_one_key_is_its_value_projection_and_queries_learn_nothing() -> None:
    torch.manual_seed(0)
    attention = MaskedAttention(8, 2)
    torch.nn.init.normal_(attention.attend.in_proj_bias)
    torch.nn.init.normal_(attention.attend.out_proj.bias)
    key = torch.randn(4, 1, 8)
    answer, _ = attention(torch.randn(4, 3, 8), key, torch.ones(4, 1, dtype=torch.bool))
    value, bias = attention.attend.in_proj_weight[16:], attention.attend.in_proj_bias[16:]
    expected = attention.attend.out_proj(key @ value.T + bias)
    assert torch.allclose(answer, expected.expand_as(answer), atol=1e-6)
    (answer * torch.randn_like(answer)).sum().backward()
    assert bool((attention.attend.in_proj_weight.grad[:16] == 0).all())
    assert bool((attention.attend.in_proj_weight.grad[16:] != 0).any())


def test_attention_to_nothing_is_zero_and_to_the_rest_is_as_if_the_hidden_were_not_there() -> None:
    torch.manual_seed(0)
    attention = MaskedAttention(8, 2)
    torch.nn.init.normal_(attention.attend.in_proj_bias)
    torch.nn.init.normal_(attention.attend.out_proj.bias)
    queries, keys = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    visible = torch.tensor([[False] * 4, [True, False, True, False]])
    for with_shares in (False, True):
        answer, shared = attention(queries, keys, visible, with_shares)
        assert bool((answer[0] == 0).all())
        alone = attention.attend(queries[1:], keys[1:, ::2], keys[1:, ::2])[0]
        assert torch.allclose(answer[1:], alone, atol=1e-6)
        if shared is not None:
            assert bool((shared[0] == 0).all())
            assert torch.allclose(shared[1].sum(-1), torch.ones(3))


def test_pooled_cross_attention_is_an_affine_map() -> None:
    head = head_of("cross-attention-pooled")
    text, image = inputs(3)

    def at(t: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return head(Features.from_pooled(t), Features.from_pooled(v))

    # f(a) + f(b) = f(a + b) + f(0), in both modalities at once
    a, b = (text.pooled[:1], image.pooled[:1]), (text.pooled[1:2], image.pooled[1:2])
    sum_of = at(a[0] + b[0], a[1] + b[1]) + at(torch.zeros(1, TEXT), torch.zeros(1, IMAGE))
    assert torch.allclose(at(*a) + at(*b), sum_of, atol=1e-5)
    head(text, image).sum().backward()
    for attention in (head.fusion.text_reads_image, head.fusion.image_reads_text):
        assert bool((attention.attend.in_proj_weight.grad[:128] == 0).all())
    assert method("cross-attention-pooled").linear


def test_the_other_attention_is_not_affine() -> None:
    head = head_of("cross-attention")
    text, image = inputs(1)

    def at(scale: float) -> torch.Tensor:
        return head(text, Features(image.sequence + scale * image.sequence.flip(-1), *image_rest))

    image_rest = (image.mask, image.present, image.pooled)
    assert not torch.allclose(at(0) + at(2), 2 * at(1), atol=1e-3)


def test_concatenation_with_an_empty_image_is_the_text_layer_alone() -> None:
    layer = head_of("early-features").fusion
    text, image = inputs()
    alone = Unimodal("text", TEXT, layer.width)
    alone.layer.weight.data, alone.layer.bias.data = layer.layer.weight[:, :TEXT], layer.layer.bias
    blank = Features.from_pooled(torch.zeros(8, IMAGE))
    assert torch.allclose(layer(text, blank), alone(text, image), atol=1e-6)


@pytest.mark.parametrize("rule", ["log-probabilities", "probabilities", "logits"])
def test_late_with_all_weight_on_one_head_is_that_head(rule: str) -> None:
    text, image = inputs()
    for weight, modality in ((1.0, "text"), (0.0, "image")):
        head = head_of("late", rule=rule, text_weight=weight)
        alone = getattr(head.fusion, modality)(text, image)
        said = head(text, image)
        assert torch.allclose(said.softmax(-1), alone.softmax(-1), atol=1e-6)
        if rule == "logits":
            assert torch.equal(said, alone)


def test_the_three_means_of_late_fusion() -> None:
    text, image = inputs()
    fused = {r: head_of("late", rule=r) for r in ("log-probabilities", "probabilities", "logits", "learned")}
    for head in fused.values():  # sharpen both heads, so that the means differ visibly
        head.fusion.text.classifier[1].weight.data *= 20
        head.fusion.image.classifier[1].weight.data *= 20
    head = fused["logits"].fusion
    p = [h(text, image).softmax(-1) for h in (head.text, head.image)]
    found = {rule: head(text, image).softmax(-1) for rule, head in fused.items()}
    arithmetic, geometric = (p[0] + p[1]) / 2, (p[0] * p[1]).sqrt()
    geometric = geometric / geometric.sum(-1, keepdim=True)
    assert torch.allclose(found["probabilities"], arithmetic, atol=1e-5)
    assert not torch.allclose(arithmetic, geometric, atol=0.05)
    # logits and log-probabilities differ by a constant per head and sample, which softmax ignores
    for rule in ("log-probabilities", "logits", "learned"):
        assert torch.allclose(found[rule], geometric, atol=1e-5)


def test_late_fusion_lets_only_present_modalities_vote() -> None:
    head = head_of("late")
    text, image = inputs(4)
    no_image = missing(image, torch.tensor([False, True, False, True]))
    no_text = missing(text, torch.tensor([False, False, True, True]))
    expected = torch.tensor([[0.5, 0.5], [1, 0], [0, 1], [0.5, 0.5]])
    assert torch.equal(head.fusion.share_votes(no_text, no_image), expected)
    alone = head.fusion.text(no_text, no_image).log_softmax(-1)[1]
    assert torch.allclose(head(no_text, no_image)[1], alone)


@pytest.mark.parametrize(("bias", "kept"), [(20.0, "text"), (-20.0, "image")])
def test_a_shut_gate_lets_one_modality_through(bias: float, kept: str) -> None:
    unit = head_of("gated").fusion
    unit.gate.bias.data.fill_(bias)
    text, image = inputs()
    features = text if kept == "text" else image
    assert torch.allclose(unit(text, image), torch.tanh(getattr(unit, kept)(features.pooled)), atol=1e-6)
    weights = unit.weights(text, image)
    assert torch.allclose(weights, torch.tensor([1.0, 0.0] if kept == "text" else [0.0, 1.0]), atol=1e-5)


def test_the_tensor_holds_one_both_vectors_and_their_products() -> None:
    fusion = head_of("tensor", size=4).fusion
    text, image = inputs()
    t, v = fusion.text(text), fusion.image(image)
    made = fusion(text, image).reshape(-1, 5, 5)
    assert bool((made[:, 0, 0] == 1).all())
    assert torch.equal(made[:, 1:, 0], t)
    assert torch.equal(made[:, 0, 1:], v)
    assert torch.allclose(made[:, 1:, 1:], torch.einsum("bi,bj->bij", t, v))
    assert torch.linalg.matrix_rank(made).tolist() == [1] * len(text)


def test_bilinear_is_a_quadratic_form_per_output() -> None:
    fusion = head_of("bilinear", size=4, hidden=5).fusion
    text, image = inputs()
    t, v, w = fusion.text(text), fusion.image(image), fusion.product.weight.reshape(5, 4, 4)
    expected = torch.einsum("bi,kij,bj->bk", t, w, v) + fusion.product.bias
    assert torch.allclose(fusion(text, image), expected, atol=1e-5)


def test_low_rank_is_a_linear_map_of_the_full_tensor_and_its_factors_train() -> None:
    head = head_of("low-rank", rank=3, hidden=5)
    fusion, (text, image) = head.fusion, inputs()
    full = torch.einsum("r,rih,rjh->ijh", fusion.weight, fusion.text, fusion.image)
    one = torch.ones(len(text), 1)
    t, v = (torch.cat([one, f.pooled / f.pooled.norm(dim=1, keepdim=True)], 1) for f in (text, image))
    expected = torch.einsum("bi,bj,ijh->bh", t, v, full) + fusion.bias
    assert torch.allclose(fusion(text, image), expected, rtol=1e-4, atol=1e-5)
    factors = {"fusion.text", "fusion.image", "fusion.weight", "fusion.bias"}
    assert factors <= {name for name, _ in head.named_parameters()}
    before = {name: p.detach().clone() for name, p in head.named_parameters()}
    torch.nn.functional.cross_entropy(head(text, image), torch.zeros(8, dtype=torch.long)).backward()
    torch.optim.SGD(head.parameters(), lr=0.1).step()
    assert all(not torch.equal(before[name], p) for name, p in head.named_parameters())


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_low_rank_starts_at_unit_scale_whatever_the_encoders_is(scale: float) -> None:
    wide = build_head(method("low-rank", hidden=64), 512, 512, 2).fusion
    text, image = (scale * torch.randn(64, 512) for _ in range(2))
    assert 0.7 < wide(Features.from_pooled(text), Features.from_pooled(image)).std().item() < 1.4


def test_bottleneck_streams_meet_in_the_shared_tokens_only() -> None:
    fusion = head_of("bottleneck", hidden=8, layers=2).fusion
    text, image = inputs(2)
    fusion.norm = torch.nn.Identity()  # the norm is over both class tokens
    other = features(2, IMAGE, 4, 9)
    first, changed = fusion(text, image), fusion(text, other)
    assert not torch.allclose(first[:, :8], changed[:, :8], atol=1e-6)  # text's own class token heard of it
    fusion.text_blocks, fusion.image_blocks = fusion.text_blocks[:1], fusion.image_blocks[:1]
    assert torch.equal(fusion(text, image)[:, :8], fusion(text, other)[:, :8])  # one layer: it can't


def test_the_oracle_is_right_where_either_head_is() -> None:
    head = head_of("oracle")
    text, image = inputs(64)
    targets = torch.arange(64) % CLASSES
    either = (head.fusion.text(text, image).argmax(1) == targets) | (
        head.fusion.image(text, image).argmax(1) == targets
    )
    assert 0 < int(either.sum()) < 64
    assert torch.equal(head.score_with_targets(text, image, targets).argmax(1) == targets, either)
    with pytest.raises(DataError, match="needs the labels"):
        head.score_with_targets(text, image, targets - 1)
    with pytest.raises(DataError, match="needs the labels"):
        head(text, image)


def test_unimodal_heads_do_not_look_at_the_other_modality() -> None:
    text, image = inputs()
    poison = Features.from_pooled(torch.full((8, IMAGE), float("nan")))
    head = head_of("text-only")
    assert torch.equal(head(text, image), head(text, poison))
    assert not torch.allclose(head(text, image), head(features(8, TEXT, 5, 7), image))


# ---------------------------------------------------------------- masks, permutations, batches


@pytest.mark.parametrize("name", TOKENS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_padding_changes_nothing(name: str, data: st.DataObject) -> None:
    head = head_of(name)
    text, image = inputs(4)
    rubbish = data.draw(st.sampled_from([0.0, 1e6, -1e30, float("nan"), float("inf")]))
    padded = []
    for one in (text, image):
        more = data.draw(st.integers(0, 4))
        sequence = torch.cat([one.sequence, torch.zeros(4, more, one.sequence.shape[-1])], dim=1)
        mask = torch.cat([one.mask, torch.zeros(4, more, dtype=torch.bool)], dim=1)
        sequence[~mask] = rubbish
        padded.append(Features.from_pooled(one.pooled, one.present, sequence, mask))
    assert torch.allclose(head(text, image), head(*padded), atol=1e-5)


@pytest.mark.parametrize("name", TOKENS)
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(5)), patches=st.permutations(range(4)))
def test_the_order_of_tokens_does_not_matter(name: str, order: list[int], patches: list[int]) -> None:
    head = head_of(name)
    text, image = inputs(4)
    moved = [
        Features.from_pooled(f.pooled, f.present, f.sequence[:, p], f.mask[:, p])
        for f, p in ((text, order), (image, patches))
    ]
    assert torch.allclose(head(text, image), head(*moved), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=6, deadline=None)
@given(
    no_text=st.lists(st.booleans(), min_size=6, max_size=6),
    no_image=st.lists(st.booleans(), min_size=6, max_size=6),
    rubbish=st.sampled_from([0.0, 1e8, float("nan"), float("-inf")]),
)
def test_missing_modalities_give_finite_scores_and_gradients(
    name: str, no_text: list[bool], no_image: list[bool], rubbish: float
) -> None:
    head = head_of(name)
    text, image = inputs(6)
    text = missing(text, torch.tensor(no_text), rubbish)
    image = missing(image, torch.tensor(no_image), rubbish)
    said = scores(head, text, image)
    assert bool(said.isfinite().all())
    if said.requires_grad:
        said.logsumexp(-1).sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in head.parameters() if p.grad is not None)
    # what lies in the place of a missing modality is never read
    other = scores(
        head, missing(text, torch.tensor(no_text), 3.0), missing(image, torch.tensor(no_image), 3.0)
    )
    assert torch.allclose(said, other, atol=1e-6)


@pytest.mark.parametrize("name", TOKENS)
def test_a_present_modality_without_a_single_token_is_survived(name: str) -> None:
    head = head_of(name)
    text, image = inputs(2)
    empty = Features.from_pooled(text.pooled, None, text.sequence, torch.zeros_like(text.mask))
    assert bool(head(empty, image).isfinite().all())
    gone = missing(empty, torch.tensor([True, True]))
    assert torch.allclose(head(empty, image), head(gone, image), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(8)))
def test_a_sample_does_not_depend_on_its_batch(name: str, order: list[int]) -> None:
    head = head_of(name)
    text, image = inputs()
    together = scores(head, text, image)
    targets = torch.arange(8) % CLASSES
    for row in (0, 7):  # alone: no squeeze may eat the batch
        one = [f.map_tensors(lambda t, r=row: t[r : r + 1]) for f in (text, image)]
        alone = head.score_with_targets(*one, targets[row : row + 1])
        assert alone.shape == (1, CLASSES)
        assert torch.allclose(alone[0], together[row], atol=1e-5)
    moved = [f.map_tensors(lambda t: t[order]) for f in (text, image)]
    assert torch.allclose(head.score_with_targets(*moved, targets[order]), together[order], atol=1e-5)


@pytest.mark.parametrize("name", ["gated", "late", "early-tokens"])
def test_shares_of_the_modalities_sum_to_one(name: str) -> None:
    head = head_of(name, **({"rule": "learned"} if name == "late" else {}))
    text, image = inputs()
    image = missing(image, torch.arange(8) == 3)
    found = compute_fusion_head_weights(
        head, PairFeatures(text, image, torch.zeros(8, dtype=torch.long)), batch=3
    )
    assert found is not None
    assert found.shape == (8, 2)
    assert found.sum(1) == pytest.approx([1] * 8, abs=1e-5)
    assert (found >= 0).all()
    if name != "gated":
        assert found[3].tolist() == [1, 0]


def test_methods_without_modality_weights_say_so() -> None:
    pairs = PairFeatures(*inputs(), torch.zeros(8, dtype=torch.long))
    for name in ("tensor", "late"):  # fixed weights tell nothing of the modalities
        assert compute_fusion_head_weights(head_of(name), pairs) is None
