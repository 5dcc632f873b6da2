"""What fine-tuning through the harness costs beside a plain loop, and what cached embeddings save."""

from __future__ import annotations

import json
import math
import statistics
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import harness
from harness.contract.cells import canonical_json
from harness.contract.seeds import derive_seed
from harness.discovery import registry
from harness.inference.split_subsets import draw_subset
from harness.learning.draws import epoch_order
from harness.learning.pipeline import HeldSamples as Source
from harness.learning.recipe import Recipe
from harness.running.devices import settle_on_device
from harness_embedded.scenes import Scenes
from harness_embedded.tiny_networks import build_tiny_vit
from harness_peft.adapted_network import AdaptedNetwork
from harness_peft.finetuning import collect_base_modules, train_network
from harness_peft.selective import Full, LinearGradient
from harness_peft.swept_probe import SweptProbe

CLASSES = 10


def rate_at(step, recipe):
    """Linear warm-up over a tenth of the steps, then a cosine to 0."""
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return recipe.rate * (step + 1) / (warm + 1)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (recipe.steps - warm)))


class Held:
    """Batches from tensors in memory."""

    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.targets)

    def make_source(self, seed):
        return Source(self.images, self.targets)

    def take(self, positions):
        at = torch.as_tensor(positions)
        return self.images[at], self.targets[at]


@pytest.fixture(scope="module")
def model():
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)

    class Plugin:
        module = VisionTransformer(
            img_size=64, patch_size=8, embed_dim=96, depth=3, num_heads=3, num_classes=CLASSES
        ).eval()

    return Plugin()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    return Held(torch.randn(320, 3, 64, 64, generator=generator), torch.arange(320) % CLASSES)


def plain(network, data, recipe):
    """The same training as a person would write it down: schedule, clipping, shuffling, the loss kept."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, fused=True)
    network.train()
    step, losses = 0, []
    while step < recipe.steps:
        order = epoch_order(len(data), 0, step * recipe.batch // len(data))
        for at in range(0, len(data), recipe.batch):
            if step == recipe.steps:
                break
            images, labels = data.take(order[at : at + recipe.batch])
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(images), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            optimizer.step()
            losses.append(loss.item())
            step += 1
    return losses


def test_training_costs_what_a_plain_loop_costs(model, data, measuring, one_thread):
    """The same losses to the bit; CPU time at most 1.05 times in the median of alternating rounds."""
    recipe = Recipe(steps=20 if measuring else 4, batch=32, rate=1e-3, warmup=0.1, clip_norm=1.0)

    def timed(ours):
        net = AdaptedNetwork(model, CLASSES, "old", same_space=True)
        Full().prepare(net)
        base = collect_base_modules(net)
        began = time.process_time()
        losses = train_network(net, data, recipe, 0, base=base).losses if ours else plain(net, data, recipe)
        return time.process_time() - began, losses

    assert timed(True)[1] == timed(False)[1]
    ratios = []
    for number in range(7 if measuring else 0):
        times = {ours: timed(ours)[0] for ours in ((True, False) if number % 2 else (False, True))}
        ratios.append(times[True] / times[False])
    if measuring:
        print(f"harness / plain {statistics.median(ratios):.3f}")
        assert statistics.median(ratios) <= 1.05


class Kept:
    """A ViT of 32×32 images with random weights, whose old head has the scenes' classes.

    Twice as wide as the suite's own, which is made to train in no time.
    """

    label_space = "scenes"
    module: torch.nn.Module

    def load(self, device):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.module = build_tiny_vit(12, 128).eval().to(device)

    def prepare(self, image):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels.float().div_(255).sub_(0.5).div_(0.25)

    def classify(self, images):
        return self.module(images)


def whole_training(recipe, limit, seed, order_seed):
    """A data set and a model to a trained network and its top-1, written down without a harness."""
    from PIL import Image

    def opened(name):
        split = Scenes().load(name)
        split = split if limit is None else draw_subset(split, limit, derive_seed("limit", limit))
        images = (split[i].image for i in range(len(split)))
        images = (i if isinstance(i, Image.Image) else Image.fromarray(i) for i in images)
        return torch.stack([model.prepare(i) for i in images]), torch.as_tensor(split.targets)

    model = Kept()
    model.load(torch.device("cpu"))
    settle_on_device(model.module, torch.device("cpu"))
    network = model.module.requires_grad_(True)
    images, labels = opened("train")
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, fused=True)
    network.train()
    per_epoch = -(-len(labels) // recipe.batch)
    for step in range(recipe.steps):
        epoch, at = divmod(step, per_epoch)
        if at == 0:
            order = torch.as_tensor(epoch_order(len(labels), order_seed, epoch))
        rows = order[at * recipe.batch : (at + 1) * recipe.batch]
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, recipe)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images[rows]), labels[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        loss.item()
    network.eval()
    images, labels = opened("test")
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in images.split(64)])
    right = float((logits.argmax(1) == labels).double().mean())
    return right, float(F.cross_entropy(logits.double(), labels))


@pytest.mark.timeout(3600)  # as long as a busy machine needs: what is compared is processor time
def test_a_whole_cell_costs_what_the_same_without_the_harness_costs(
    measuring, one_thread, ratio, tmp_path, monkeypatch
):
    """`harness.run` from the suite to the record: planning, data, training, checks, costs, evaluation, storing.

    The training is as long as a short one in practice; what does not grow with it is a part of the promise.
    """
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry.register("models", "kept", Kept)
    steps, limit = (400, None) if measuring else (4, 64)
    recipe = Recipe(steps=steps, batch=32, rate=1e-3, weight_decay=0.01, warmup=0.1, clip_norm=1.0)
    suite = {
        "name": "cost",
        "protocol": {"plugin": "finetuning", "steps": steps, "batch": 32, "trials": 1, "rates": [1e-3], "head": "old"},
        "models": ["kept"],
        "datasets": ["scenes"],
        "methods": ["full"],
        "metrics": ["top1", "nll"],
        **({} if measuring else {"limit": limit}),
    }  # fmt: skip
    runs = iter(range(1000))
    kept = {}

    def through_the_harness():
        store = tmp_path / f"store-{next(runs)}"
        harness.run(suite, store=store, device="cpu")
        (path,) = (store / "records").rglob("*.json")
        kept["record"] = json.loads(path.read_text())
        assert kept["record"]["status"] == "ok", kept["record"]["reason"]

    def plainly():
        kept["plain"] = whole_training(recipe, limit, 0, order)

    through_the_harness()
    order = derive_seed("training", canonical_json(kept["record"]["cell"]["dataset"]["identity"]), 0)
    plainly()
    top1, loss = kept["plain"]
    assert kept["record"]["metrics"]["top1"] == pytest.approx(top1, abs=1e-9)
    assert kept["record"]["metrics"]["nll"] == pytest.approx(loss, abs=1e-5)
    if measuring:
        cost = ratio(through_the_harness, plainly, 3)
        print(f"whole cell / plain {cost:.3f}")
        assert cost <= 1.05


def test_a_probe_on_cached_embeddings_costs_a_tenth(model, data, measuring, one_thread):
    """Against 20 epochs of the frozen network end to end; one fit each, its embeddings included."""
    import sklearn.linear_model  # noqa: F401 - loading a library is no part of the work

    net = AdaptedNetwork(model, CLASSES, "old", same_space=True)
    LinearGradient().prepare(net)
    base = collect_base_modules(net)
    epochs = 20 if measuring else 1
    began = time.process_time()
    train_network(net, data, Recipe(steps=epochs * 10, batch=32, rate=1e-2), 0, base=base)
    end_to_end = time.process_time() - began
    began = time.process_time()
    with torch.inference_mode():
        features = torch.cat([net.features(data.images[i : i + 64]) for i in range(0, len(data), 64)])
    weight, bias = SweptProbe().solve(features.numpy(), data.targets.numpy(), CLASSES, 1e-3)
    probe = time.process_time() - began
    assert weight.shape == (CLASSES, 96)
    assert bias.shape == (CLASSES,)
    if measuring:
        print(f"probe / end to end {probe / end_to_end:.3f}")
        assert probe <= end_to_end / 10
