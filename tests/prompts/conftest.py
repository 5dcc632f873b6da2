"""A tiny random CLIP, its text towers in every variant, and small tasks on random embeddings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from harness.contract.data import Sample
from harness_few_shot.task import FewShotTask
from harness_few_shot.texts import TextEmbeddings

NAMES = ["cat", "fire truck", "hummingbird", "old stone bridge"]
VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


class TinyModel:
    """What a loaded open_clip plugin shows of itself, around any open_clip module."""

    logit_scale = 20.0

    def __init__(self, clip: torch.nn.Module, context_length: int = 40) -> None:
        self.clip = self.module = clip.eval()
        self.tokenizer = open_clip.SimpleTokenizer(context_length=context_length)

    def encode_text(self, texts):
        return self.clip.encode_text(self.tokenizer(list(texts)))


def tiny_clip(seed: int = 0, quick_gelu: bool = False, **text) -> open_clip.CLIP:
    """open_clip's CLIP with weights large enough that texts differ."""
    torch.manual_seed(seed)
    clip = open_clip.CLIP(16, VISION, {**TEXT, **text}, quick_gelu=quick_gelu)
    with torch.no_grad():
        clip.token_embedding.weight.mul_(20)
        clip.positional_embedding.mul_(10)
    return clip.eval()


@pytest.fixture
def model() -> TinyModel:
    return TinyModel(tiny_clip())


def make_task(
    model: TinyModel, shots: int = 4, seed: int = 0, names=NAMES, noise: float = 0.5, val: int = 2
) -> FewShotTask:
    """Shots scattered around the embeddings of their own class's text."""
    texts = TextEmbeddings(model)
    centres = F.normalize(texts.encode([f"a picture of {n}" for n in names]), dim=-1)
    generator = torch.Generator().manual_seed(seed + 1)

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(len(names)).repeat_interleave(count)
        scattered = (
            centres[labels] + noise * torch.randn(len(labels), centres.shape[1], generator=generator) / 4
        )
        return F.normalize(scattered, dim=-1), labels

    features, labels = drawn(shots)
    val_features, val_labels = drawn(val)
    return FewShotTask(
        class_names=list(names),
        templates=["a photo of a {}.", "a sketch of a {}."],
        features=features,
        labels=labels,
        val_features=val_features,
        val_labels=val_labels,
        texts=texts,
        logit_scale=20.0,
        shots=shots,
        seed=seed,
        views=lambda k: features,
    )


@pytest.fixture
def task(model) -> FewShotTask:
    return make_task(model)


class Colours:
    """Flat colours in noise, four classes."""

    label_space = "colours"
    splits = ("train", "test")

    def load(self, split):
        return ColoursSplit(split)


class ColoursSplit:
    def __init__(self, split) -> None:
        self.targets = np.arange(24) % 4
        self.ids = [f"{split}-{i}" for i in range(24)]
        self.class_names = ["red", "green", "blue", "white"]
        self.random = np.random.default_rng(len(split))
        self.images = self.random.integers(0, 100, (24, 40, 40, 3), dtype=np.uint8)
        for i, target in enumerate(self.targets):
            self.images[i, ..., (0, 1, 2) if target == 3 else target] += 150

    def __len__(self):
        return 24

    def __getitem__(self, i):
        return Sample(self.ids[i], self.images[i], int(self.targets[i]))


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The builders above, for tests that need several."""
    return SimpleNamespace(
        NAMES=NAMES,
        VISION=VISION,
        TEXT=TEXT,
        TinyModel=TinyModel,
        tiny_clip=tiny_clip,
        make_task=make_task,
        Colours=Colours,
    )
