"""Losses per sample against closed forms, torch and timm."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy

from harness.errors import DataError, OptionError
from harness.learning.losses import LOSSES, build_loss


def drawn(samples: int = 7, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels and shares."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(samples, classes, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    part = torch.rand(samples, 1, generator=generator)
    return logits, labels, part * F.one_hot(labels, classes) + (1 - part) * F.one_hot(labels.flip(0), classes)


@pytest.mark.parametrize("classes", [5, 200])
def test_equal_logits(classes: int) -> None:
    logits, labels = torch.full((3, classes), 0.7), torch.tensor([0, 1, classes - 1])
    assert build_loss("cross-entropy")(logits, labels).tolist() == pytest.approx([math.log(classes)] * 3)
    assert build_loss("categorical-hinge")(logits, labels).tolist() == pytest.approx([1.0] * 3)
    # each sigmoid is σ(0.7)
    expected = math.log1p(math.exp(0.7)) - 0.7 / classes
    assert build_loss("bce")(logits, labels).tolist() == pytest.approx([expected] * 3)


def test_hinge_takes_the_largest_wrong_output_and_does_not_sum() -> None:
    outputs = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]]).clamp(min=1e-30)
    found = build_loss("categorical-hinge")(outputs.log(), torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([1.3, 0.2])
    assert float(F.multi_margin_loss(outputs[:1], torch.tensor([0]))) == pytest.approx(0.8)


def test_hinge_of_shares_is_what_keras_defines() -> None:
    logits, _, shares = drawn()
    p = logits.softmax(1)
    expected = [max(0.0, max((1 - y) * q for y, q in zip(*row)) - sum(y * q for y, q in zip(*row)) + 1)
                for row in zip(shares.tolist(), p.tolist())]  # fmt: skip
    assert build_loss("categorical-hinge")(logits, shares).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_floor_of_smoothing() -> None:
    """Logits that equal the logarithm of the smoothed target reach its entropy, and nothing is below."""
    target = torch.full((10,), 0.01)
    target[3] = 0.91
    loss = build_loss("cross-entropy", smoothing=0.1)
    assert float(loss(target.log()[None], torch.tensor([3]))) == pytest.approx(0.50029, abs=5e-6)
    others = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)) + target.log()
    assert float(loss(others, torch.full((500,), 3)).min()) > 0.50029


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_other_libraries(smoothing: float) -> None:
    logits, labels, shares = drawn()
    softened = shares * (1 - smoothing) + smoothing / 5  # as timm's Mixup does before the loss
    entropy, binary = build_loss("cross-entropy", smoothing), build_loss("bce", smoothing)
    torch.testing.assert_close(
        entropy(logits, labels), F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    )
    torch.testing.assert_close(entropy(logits, shares).mean(), SoftTargetCrossEntropy()(logits, softened))
    theirs = BinaryCrossEntropy(smoothing)
    torch.testing.assert_close(binary(logits, labels).mean(), theirs(logits, labels))
    torch.testing.assert_close(binary(logits, shares).mean(), theirs(logits, softened))


def test_above_the_threshold_a_mixed_image_belongs_to_both_classes() -> None:
    logits, _, shares = drawn()
    theirs = BinaryCrossEntropy(0.0, target_threshold=0.2)
    found = build_loss("bce", threshold=0.2)(logits, shares)
    torch.testing.assert_close(found.mean(), theirs(logits, shares))
    assert not torch.allclose(found, build_loss("bce")(logits, shares))


@pytest.mark.parametrize("name", LOSSES)
def test_labels_are_shares_of_one_class(name: str) -> None:
    logits, labels, _ = drawn()
    loss = build_loss(name)
    found = loss(logits, labels)
    assert found.shape == (7,)
    torch.testing.assert_close(found, loss(logits, F.one_hot(labels, 5).float()))
    assert loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "crossentropy"}, "no loss 'crossentropy'; did you mean 'cross-entropy'"),
        ({"name": "bce", "smoothing": 1.0}, "smoothing must be at least 0 and below 1, not 1.0"),
        ({"name": "categorical-hinge", "smoothing": 0.1}, "takes no label smoothing"),
        ({"name": "cross-entropy", "threshold": 0.2}, "takes no threshold: only 'bce' does"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_loss(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_other_classes(name: str) -> None:
    with pytest.raises(DataError, match=r"targets are \(7, 4\), but logits are \(7, 5\)"):
        build_loss(name)(drawn()[0], torch.rand(7, 4))
