"""What a training from scratch through the harness costs beside a plain loop with the same pipeline."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import harness
from harness.contract.seeds import derive_seed
from harness.inference.split_subsets import draw_subset
from harness.learning.batch_augmentation import SampleDraws, build_batch_augmentation
from harness.learning.draws import epoch_order
from harness_embedded.scenes import Scenes
from harness_networks.small_cnn import SmallCNN

SIZE, BATCH, RATE, CHANNELS = 32, 32, 3e-3, [32, 64]
STEPS_OF_AUGMENTATION: list[str | Mapping[str, Any]] = ["flip", {"name": "shift-crop", "padding": 4}]


def read_images(split: str, limit: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Images N×3×32×32 (uint8) and labels."""
    part: Any = Scenes().load(split)
    part = part if limit is None else draw_subset(part, limit, derive_seed("limit", limit))
    images = [part[n].image for n in range(len(part))]
    arrays = [
        np.array(image if isinstance(image, Image.Image) else Image.fromarray(image)) for image in images
    ]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(part.targets)


def train_plainly(steps: int, limit: int | None) -> tuple[float, float]:
    """Train as a person would write it down, evaluate once an epoch, and return top-1 and loss on test images."""
    (train, labels), held, test = (read_images(split, limit) for split in ("train", "val", "test"))
    channel = train.double().transpose(0, 1).flatten(1) / 255
    mean, deviation = (v.float()[:, None, None] for v in (channel.mean(1), channel.std(1, correction=0)))
    torch.manual_seed(derive_seed("initial weights", 0))
    network: nn.Module = SmallCNN(CHANNELS).build((3, SIZE, SIZE), int(labels.max()) + 1)
    seed = derive_seed("training", 0)
    augment = build_batch_augmentation(STEPS_OF_AUGMENTATION, SIZE)
    draws = SampleDraws(seed, len(train), augment.numbers)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    per_epoch = -(-len(train) // BATCH)

    def predict(images: torch.Tensor) -> torch.Tensor:
        network.eval()
        with torch.inference_mode():
            return torch.cat([network((part.float() / 255 - mean) / deviation) for part in images.split(256)])

    network.train()
    for step in range(steps):
        epoch, at = divmod(step, per_epoch)
        if at == 0:
            order = epoch_order(len(train), seed, epoch)
        rows = order[at * BATCH : (at + 1) * BATCH]
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        images = augment(train[rows].float() / 255, draws.take(epoch, rows))
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network((images - mean) / deviation), labels[rows])
        loss.backward()
        optimizer.step()
        loss.item()
        if (step + 1) % per_epoch == 0:
            logits = predict(held[0])
            F.cross_entropy(logits, held[1]), (logits.argmax(1) == held[1]).float().mean()
            network.train()
    predict(train)
    logits = predict(test[0])
    right = float((logits.argmax(1) == test[1]).double().mean())
    return right, float(F.cross_entropy(logits.double(), test[1]))


@pytest.mark.timeout(3600)  # as long as a busy machine needs: what is compared is processor time
@pytest.mark.usefixtures("one_thread")
def test_a_training_costs_what_a_plain_loop_costs(
    measuring: bool, ratio: Callable[..., float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`harness.run` from the suite to the record: data, augmentation, training, evaluations, measures, storing."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    steps, limit = (1500, None) if measuring else (4, 64)
    method = {"plugin": "recipe", "optimizer": "adam", "rate": RATE, "schedule": "cosine", "batch": BATCH}
    suite = {
        "name": "cost",
        "protocol": {"plugin": "training", "size": SIZE, "steps": steps},
        "models": [{"plugin": "small-cnn", "channels": CHANNELS}],
        "datasets": ["scenes"],
        "methods": [{**method, "augmentation": STEPS_OF_AUGMENTATION}],
        "metrics": ["top1", "nll"],
        **({} if measuring else {"limit": limit}),
    }
    runs = iter(range(1000))
    kept: dict[str, Any] = {}

    def through_the_harness() -> None:
        store = tmp_path / f"store-{next(runs)}"
        harness.run(suite, store=store, device="cpu")
        (path,) = (store / "records").rglob("*.json")
        kept["record"] = json.loads(path.read_text())
        assert kept["record"]["status"] == "ok", kept["record"]["reason"]

    def plainly() -> None:
        kept["plain"] = train_plainly(steps, limit)

    through_the_harness()
    plainly()
    top1, loss = kept["plain"]
    assert kept["record"]["metrics"]["nll"] == pytest.approx(
        loss, rel=1e-2 if measuring else 1e-5
    )  # rounding grows
    assert kept["record"]["metrics"]["top1"] == pytest.approx(top1, abs=0.01)
    if measuring:
        cost = ratio(through_the_harness, plainly, 3)
        print(f"whole training / plain {cost:.3f}")
        assert cost <= 1.05
