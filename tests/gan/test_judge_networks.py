"""The judges' trainings are bit for bit what a loop written out with torch's parts does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness_gan import judge_classifier, segmentation
from harness_gan.judge_classifier import train_classifier
from harness_gan.judge_networks import digest_weights
from harness_gan.real_samples import bytes_to_samples
from harness_gan.segmentation import IGNORED, train_segmenter

STEPS = 8


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (judge_classifier, segmentation):
        monkeypatch.setattr(module, "STEPS", STEPS)


def by_hand(network: torch.nn.Module, images: torch.Tensor, batch: int, loss) -> str:
    """The digest of the weights that `loss(images, rows)` leads to."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(images), (batch,), generator=generator)
        optimizer.zero_grad()
        loss(bytes_to_samples(images[rows]), rows).backward()
        optimizer.step()
        schedule.step()
    return digest_weights(network)


def test_the_classifier(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 1, 8, 8), dtype=np.uint8), np.arange(30) % 3
    ours = train_classifier((images, labels), (images, labels), tmp_path)
    torch.manual_seed(0)
    network = judge_classifier.ClassifierNetwork(1, 3)
    told = torch.from_numpy(labels)
    digest = by_hand(
        network,
        torch.from_numpy(images),
        judge_classifier.BATCH,
        lambda shown, rows: F.cross_entropy(network(shown)[1], told[rows]),
    )
    assert ours.digest == digest
    assert not ours.network.training
    (kept,) = tmp_path.glob("gan-classifier-1-*.safetensors")
    before = kept.stat().st_mtime_ns
    assert train_classifier((images, labels), (images, labels), tmp_path).digest == digest
    assert kept.stat().st_mtime_ns == before


def test_the_segmenter(tmp_path: Path) -> None:
    """Pixels that are not counted, and a whole image of them, give no gradient."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)
    maps = rng.integers(0, 3, (10, 8, 8)).astype(np.uint8)
    maps[0], maps[1, :4] = IGNORED, IGNORED
    ours = train_segmenter(images, maps, 3, tmp_path)
    torch.manual_seed(0)
    network = segmentation.SegmentationNetwork(3)

    def loss(shown: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        truth = torch.from_numpy(maps)[rows].long()
        whole = F.cross_entropy(network(shown), truth, ignore_index=IGNORED, reduction="sum")
        return whole / (truth != IGNORED).sum()

    assert ours.digest == by_hand(network, torch.from_numpy(images), segmentation.BATCH, loss)
