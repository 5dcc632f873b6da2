"""Planted labels in feature space: an XOR of the modalities, and a label that the text alone tells."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from harness.discovery import registry
from harness_fusion.contracts import Features, PairFeatures
from harness_fusion.fusion_head import build_head
from harness_fusion.head_training import HeadRecipe, predict_with_head, train_head

WIDTH = 8
RECIPE = HeadRecipe(epochs=8, rate=5e-3, batch=40, patience=None)


def spread(bits: torch.Tensor, make: torch.Generator) -> torch.Tensor:
    """A vector per bit: its sign along a direction of its own, noise along all others."""
    signal = (2.0 * bits - 1) * (0.5 + torch.rand(len(bits), generator=make))
    noise = 0.3 * torch.randn(len(bits), WIDTH - 1, generator=make)
    fixed = torch.Generator().manual_seed(99)
    turned = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=fixed))[0]
    return torch.cat([signal[:, None], noise], dim=1) @ turned


@cache
def planted(label: str, seed: int, count: int) -> PairFeatures:
    """All four pairs of bits equally often, so that one modality alone tells nothing of their XOR."""
    make = torch.Generator().manual_seed(seed)
    told_by_text, told_by_image = torch.arange(count) // 2 % 2, torch.arange(count) % 2
    targets = told_by_text ^ told_by_image if label == "xor" else told_by_text
    text, image = (Features.from_pooled(spread(bits, make)) for bits in (told_by_text, told_by_image))
    return PairFeatures(text, image, targets)


@cache
def trained(label: str, name: str, seed: int = 0, **options: object) -> tuple[float, float, float]:
    """Held-out accuracy and log-loss, and accuracy when the images are dealt out anew."""
    method = registry.load(registry.find("methods", name))(**options)
    head = build_head(method, WIDTH, WIDTH, 2, seed=seed)
    train_head(head, planted(label, 1, 400), None, RECIPE, seed)
    test = planted(label, 3, 800)
    dealt = torch.randperm(800, generator=torch.Generator().manual_seed(4))
    shuffled = PairFeatures(test.text, test.image.map_tensors(lambda t: t[dealt]), test.targets)
    said, after = predict_with_head(head, test), predict_with_head(head, shuffled)

    def accuracy(scores: torch.Tensor) -> float:
        return float((scores.argmax(1) == test.targets).float().mean())

    return accuracy(said), float(torch.nn.functional.cross_entropy(said, test.targets)), accuracy(after)


@pytest.mark.parametrize("name", ["majority", "text-only", "image-only"])
def test_xor_leaves_one_modality_at_chance(name: str) -> None:
    accuracy, loss, _ = trained("xor", name)
    assert 0.4 < accuracy < 0.6
    assert loss > 0.68  # ln 2 = 0.693 is that of knowing nothing


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("late", {}),
        ("late", {"rule": "probabilities"}),
        ("late", {"rule": "learned"}),
        ("late", {"training": "separate"}),
        ("cross-attention-pooled", {}),
    ],
)
def test_xor_is_beyond_additive_and_linear_methods(name: str, options: dict[str, object]) -> None:
    accuracy, loss, _ = trained("xor", name, **options)
    assert loss > 0.68
    assert 0.25 < accuracy < 0.75  # by luck a sum of two terms gets up to three of the four cells right


@pytest.mark.parametrize("name", ["gated", "tensor", "bilinear", "low-rank", "early-features"])
def test_xor_is_solved_by_what_multiplies_or_mixes(name: str) -> None:
    accuracy, _, shuffled = trained("xor", name)
    assert accuracy > 0.97
    assert 0.4 < shuffled < 0.6


def test_the_oracle_can_have_luck_on_xor_but_no_fusion_needs_it() -> None:
    accuracy, _, _ = trained("xor", "oracle")
    assert accuracy >= max(trained("xor", "text-only")[0], trained("xor", "image-only")[0])
    assert accuracy < 0.9  # two guesses: about three quarters


@pytest.mark.parametrize(
    "name",
    ["early-features", "late", "gated", "cross-attention-pooled", "bilinear", "tensor", "low-rank", "oracle"],
)
def test_with_a_label_of_the_text_no_fusion_gains_and_none_needs_the_image(name: str) -> None:
    text = trained("text", "text-only")[0]
    accuracy, _, shuffled = trained("text", name)
    assert text > 0.97
    assert abs(accuracy - text) < 0.02
    assert abs(shuffled - accuracy) < 0.02


def test_with_a_label_of_the_text_the_image_alone_is_the_majority_row() -> None:
    assert trained("text", "majority")[0] == 0.5
    assert abs(trained("text", "image-only")[0] - 0.5) < 0.1
    assert trained("text", "image-only")[1] > 0.68


def hidden_in_a_token(seed: int, count: int) -> PairFeatures:
    """One text token in four, at a random place, tells the label; the image tells nothing."""
    make = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 2
    sequence, patches = (0.3 * torch.randn(count, 4, WIDTH, generator=make) for _ in range(2))
    place = torch.randint(4, (count,), generator=make)
    sequence[torch.arange(count), place] = spread(targets, make)
    nothing = torch.zeros(count, WIDTH)
    return PairFeatures(
        Features.from_pooled(nothing, None, sequence), Features.from_pooled(nothing, None, patches), targets
    )


@pytest.mark.parametrize("name", ["early-tokens", "cross-attention", "bottleneck"])
def test_token_methods_find_the_token_that_tells(name: str) -> None:
    method = registry.load(registry.find("methods", name))(hidden=16)
    head = build_head(method, WIDTH, WIDTH, 2)
    recipe = HeadRecipe(epochs=8, rate=1e-2, batch=40, patience=None)
    train_head(head, hidden_in_a_token(1, 400), None, recipe, 0)
    test = hidden_in_a_token(2, 800)
    assert float((predict_with_head(head, test).argmax(1) == test.targets).float().mean()) > 0.85
