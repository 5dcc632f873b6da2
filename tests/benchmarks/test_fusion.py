"""What seven arms on shared encoders cost beside one encoding of the data and the training of their heads."""

from __future__ import annotations

import time

import numpy as np
import pytest

import harness
from harness.contract.data import Sample
from harness.discovery import registry
from harness_fusion import head_training

ARMS = ("text-only", "image-only", "early-features", "late", "gated", "tensor", "low-rank")


class Posts:
    """Pairs of noise with random labels; the timing does not depend on their content."""

    splits = ("all",)

    def __init__(self, count: int = 400, side: int = 96) -> None:
        self.count, self.side = count, side

    def load(self, split):
        return PostSplit(self.count, self.side)


class PostSplit:
    class_names = ("no", "yes")

    def __init__(self, count, side):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        words = np.array(["a", "of", "the", "sky", "tree", "house", "sad", "glad", "dog", "cat"])
        self.texts = [" ".join(words[rng.integers(0, len(words), 8)]) for _ in range(count)]
        self.targets = rng.integers(0, 2, count)
        self.ids = [f"post{n}" for n in range(count)]
        self.has_text = self.has_image = np.ones(count, bool)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return Sample(self.ids[index], self.images[index], int(self.targets[index]), self.texts[index])


@pytest.fixture
def config(tmp_path):
    """A CLIP of two small towers, its weights random."""
    import json

    file = tmp_path / "clip.json"
    text = {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4}
    vision = {"image_size": 96, "layers": 6, "width": 192, "head_width": 48, "patch_size": 16}
    file.write_text(json.dumps({"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}))
    return file


def test_seven_arms_cost_at_most_half_an_encoding_more_than_their_heads(
    config, tmp_path, measuring, one_thread, monkeypatch
):
    """Samples are encoded once for all arms; the rest of a run is at most 0.5 of one encoding."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry.register("datasets", "bench-posts", Posts)
    spent = {"heads": 0.0, "encoding": 0.0}
    encoded = {"image": 0, "text": 0}

    def timed(what, function):
        def call(*arguments, **options):
            began = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[what] += time.process_time() - began

        return call

    from harness_fusion import fusion_cell, modality_features
    from harness_open_clip import OpenClipModel

    monkeypatch.setattr(fusion_cell, "train_head", timed("heads", head_training.train_head))
    for name in ("_encode_text_rows", "_encode_image_rows"):
        encode = getattr(modality_features.Encoders, name)
        monkeypatch.setattr(modality_features.Encoders, name, timed("encoding", encode))
    for name in ("image", "text"):
        whole = getattr(OpenClipModel, f"encode_{name}_tokens")

        def counted(self, given, whole=whole, name=name):
            encoded[name] += len(given)
            return whole(self, given)

        monkeypatch.setattr(OpenClipModel, f"encode_{name}_tokens", counted)
    count = 2000 if measuring else 60
    suite = {
        "name": "bench",
        "protocol": {"plugin": "fusion", "probes": False},
        "models": [{"plugin": "open_clip", "name": "bench", "config": str(config)}],
        "datasets": [{"plugin": "bench-posts", "count": count}],
        "methods": list(ARMS),
        "metrics": ["top1", "weighted_f1"],
    }
    # what a first cell loads (libraries, the model) is no part of the arms
    harness.run({**suite, "name": "warm", "datasets": [{"plugin": "bench-posts", "count": 40}], "methods": ["gated"]},
                store=tmp_path / "warm", device="cpu", executor="inline")  # fmt: skip
    spent.update(heads=0.0, encoding=0.0)
    encoded.update(image=0, text=0)
    began = time.process_time()
    harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline")
    total = time.process_time() - began
    frame = harness.load("bench", store=tmp_path / "store")
    assert (frame["status"] == "ok").all()
    assert len(frame) == len(ARMS)
    assert encoded["image"] == encoded["text"] == count
    if measuring:
        share = (total - spent["heads"]) / spent["encoding"]
        print(
            f"without heads {total - spent['heads']:.2f} s, encoding {spent['encoding']:.2f} s: {share:.2f}"
        )
        assert share <= 1.5
