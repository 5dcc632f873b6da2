"""A model that counts what it encodes, and posts whose polarity is planted; nothing is drawn or trained for them."""

from __future__ import annotations

import numpy as np
import pytest

import harness
from harness.contract.data import Sample
from harness.discovery import registry

POLARITIES = ("negative", "positive")


class Posts:
    """Pairs of a 4×4 image (bright or dark) and a text ("good" or "bad"), some without one of them.

    `label_from`: "text", "image", "both" (their mean polarity, ties by the text), or "xor".
    """

    splits = ("all", "unlabelled")

    def __init__(self, label_from: str = "both", count: int = 240, seed: int = 0) -> None:
        self.label_from, self.count, self.seed = label_from, count, seed

    def load(self, split):
        return PostSplit(self, split)


class PostSplit:
    per_sample = ("texts", "has_text", "has_image", "groups")
    class_names = POLARITIES

    def __init__(self, posts, split):
        rng = np.random.default_rng(posts.seed + (split == "unlabelled"))
        n = posts.count
        text, image = rng.integers(0, 2, n), rng.integers(0, 2, n)
        self.has_text, self.has_image = rng.random(n) > 0.05, rng.random(n) > 0.05
        self.has_image |= ~self.has_text
        words = np.array([["bad", "awful"], ["good", "fine"]])[text, rng.integers(0, 2, n)]
        filler = np.array(["it is", "so", "how"])[rng.integers(0, 3, n)]
        texts = [f"{f} {w}" for f, w in zip(filler, words, strict=True)]
        self.texts = [t if there else "" for t, there in zip(texts, self.has_text, strict=True)]
        noise = rng.integers(0, 60, (n, 4, 4, 3))
        self.images = (noise + 120 * image[:, None, None, None]).astype(np.uint8)
        label = {"text": text, "image": image, "both": text, "xor": (text != image).astype(int)}
        self.targets = label[posts.label_from].astype(np.int64)
        if split == "unlabelled":
            self.targets = np.full(n, -1)
        self.ids = [f"{split}{i}" for i in range(n)]
        self.groups = {"conflict": text != image, "polarity": np.array(POLARITIES)[text]}
        self.report = {
            "pairs": n,
            "kinds": {"text missing": {"count": 3, "of": "pairs", "names": ["a", "b", "c"]}},
        }

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        image = self.images[index] if self.has_image[index] else None
        return Sample(self.ids[index], image, int(self.targets[index]), self.texts[index])


class Counting:
    """Two tiny towers that count the samples they encode; `tokens` gives patches and words too."""

    encoded: dict = {"image": 0, "text": 0}  # noqa: RUF012 - shared by all instances on purpose
    module: object

    def load(self, device):
        import torch
        from torch import nn

        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.module = nn.ModuleDict({"image": nn.Linear(12, 6), "text": nn.Embedding(64, 5)})

    def prepare(self, image):
        import torch

        pixels = np.asarray(image.convert("RGB").resize((4, 4)), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def encode_image_tokens(self, images):
        self.encoded["image"] += len(images)
        patches = (
            images.unflatten(2, (2, 2))
            .unflatten(4, (2, 2))
            .permute(0, 2, 4, 1, 3, 5)
            .flatten(3)
            .flatten(1, 2)
        )
        tokens = self.module["image"](patches)
        return tokens.mean(1), tokens

    def encode_text_tokens(self, texts):
        import torch

        self.encoded["text"] += len(texts)
        ids = torch.zeros(len(texts), 6, dtype=torch.long)
        for row, text in enumerate(texts):
            words = ["<s>", *text.split()][:6]
            ids[row, : len(words)] = torch.tensor([1 + sum(map(ord, w)) % 63 for w in words])
        mask = ids > 0
        tokens = self.module["text"](ids)
        return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), tokens, mask


METHODS = [
    {"plugin": "majority", "label": "majority", "tags": {"kind": "bound"}},
    {"plugin": "text-only", "label": "text only", "tags": {"kind": "unimodal"}, "hidden": 16},
    {"plugin": "image-only", "label": "image only", "tags": {"kind": "unimodal"}, "hidden": 16},
    {"plugin": "early-features", "label": "early", "tags": {"kind": "fusion"}, "hidden": 16},
    {"plugin": "gated", "label": "gated", "tags": {"kind": "fusion"}, "hidden": 16},
    {"plugin": "cross-attention", "label": "cross", "tags": {"kind": "fusion"}, "hidden": 8, "heads": 2},
    {"plugin": "oracle", "label": "oracle", "tags": {"kind": "bound"}, "hidden": 16},
]


@pytest.fixture
def own_plugins(monkeypatch, tmp_path):
    """Plugins of these tests, a cache of their own, and counters at zero."""
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry.register("models", "counting", Counting)
    registry.register("datasets", "posts", Posts)
    monkeypatch.setattr(Counting, "encoded", {"image": 0, "text": 0})
    yield
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def suite(own_plugins, tmp_path):
    """`suite(**changes)` runs the methods above on the posts and gives the run."""

    def run(store="store", protocol=None, workers=0, **changes):
        whole = {
            "name": "small",
            "protocol": {"plugin": "fusion", "rate": 1e-2, "epochs": 2, "batch": 32, **(protocol or {})},
            "models": [{"plugin": "counting", "label": "model"}],
            "datasets": [{"plugin": "posts", "label": "posts"}],
            "methods": METHODS,
            "metrics": ["top1", "weighted_f1", "f1_per_class"],
            **changes,
        }
        return harness.run(whole, store=tmp_path / store, device="cpu", executor="inline", workers=workers)

    return run


@pytest.fixture
def only():
    """`only("early", …)`: the methods of these labels."""
    return lambda *labels: [m for m in METHODS if m["label"] in labels]


@pytest.fixture
def records(tmp_path):
    """`records(run)`: the run's records as a frame, every one of them ok."""

    def of(store="store"):
        frame = harness.load("small", store=tmp_path / store)
        assert (frame["status"] == "ok").all(), frame[["method", "status", "reason"]].to_string()
        return frame

    return of


@pytest.fixture
def counting(own_plugins):
    """The model class with its counters."""
    return Counting


@pytest.fixture
def posts():
    """The data set class."""
    return Posts
