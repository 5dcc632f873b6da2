"""A model that looks its embeddings up, and data sets that name the rows of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import Sample
from harness.discovery import registry
from harness_retrieval.contracts import RetrievalTask, Similarity


class Lookup:
    """Image n has the embedding `images[n]`: its pixels are n. Texts have those of `texts`."""

    images: ClassVar[Any] = np.eye(3)
    texts: ClassVar[Mapping[str, Sequence[float]]] = {}
    logit_scale = 1.0

    def load(self, device: Any) -> None:
        """Load nothing: the tables are the class's own."""

    def fingerprint(self) -> str:
        return f"{np.asarray(self.images).tolist()} {dict(self.texts)}"

    def prepare(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        rows = images[:, 0, 0, 0].long()
        return torch.as_tensor(np.asarray(self.images), dtype=torch.float32)[rows]

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([list(self.texts[text]) for text in texts], dtype=torch.float32)


class LookupByProducts(Lookup):
    """Compares by inner products."""

    similarity = "dot"


class ShortReader(Lookup):
    """Reads three words of a text."""

    context_length = 3

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class OwnScore(Lookup):
    """Compares in a way of its own."""

    def score(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return images @ texts.T


class Shown:
    """Images by number (a tuple: a film) with captions. `test` and, if `training` is not empty, `train`."""

    target_kind = "captions"
    testing: ClassVar[Sequence[tuple[Any, Sequence[str]]]] = ()
    training: ClassVar[Sequence[tuple[Any, Sequence[str]]]] = ()
    groups: ClassVar[Sequence[str]] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test") if self.training else ("test",)

    def load(self, split: str) -> ShownSplit:
        return ShownSplit(self.training if split == "train" else self.testing, split, self.groups)

    def fingerprint(self) -> str:
        return f"{self.testing} {self.training} {self.groups}"


class ShownSplit:
    per_sample = ("groups",)

    def __init__(
        self, samples: Sequence[tuple[Any, Sequence[str]]], split: str, groups: Sequence[str]
    ) -> None:
        self.numbers = [n if isinstance(n, tuple) else (n,) for n, _ in samples]
        self.targets = [list(captions) for _, captions in samples]
        self.ids = [f"{split}{n}" for n in range(len(samples))]
        self.groups = groups or self.ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        pixels = [np.full((1, 1, 3), n, np.uint8) for n in self.numbers[row]]
        return Sample(self.ids[row], images=pixels, target=self.targets[row])


class Plain:
    """A data set of labels, without texts."""

    splits = ("test",)

    def load(self, split: str) -> Any:
        found = ShownSplit([(0, ["a"])], split, ())
        found.targets = np.zeros(1, np.int64)  # type: ignore[assignment]
        return found


class NearestOfBank:
    """Adds to each candidate's score that of the bank's first query, to see what the bank is."""

    needs_bank = True
    seen: ClassVar[list[torch.Tensor | None]] = []

    def fit(self, task: RetrievalTask) -> Similarity:
        self.seen.append(task.bank)
        return Similarity(task.queries, task.gallery, remarks=("the bank was seen",))


class NoMethod:
    """A plugin of the kind that says nothing about embeddings."""


PLUGINS = [
    ("models", "lookup", Lookup), ("models", "lookup-dot", LookupByProducts), ("models", "own-score", OwnScore),
    ("models", "short-reader", ShortReader), ("datasets", "shown", Shown), ("datasets", "plain", Plain),
    ("methods", "nearest-of-bank", NearestOfBank), ("methods", "no-method", NoMethod),
]  # fmt: skip

Search = Callable[..., list[Any]]


@pytest.fixture
def search(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Return a function that runs retrieval with tables, data and options, and returns the records."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    for kind, name, plugin in PLUGINS:
        registry.register(kind, name, plugin)

    def run(
        images: Any = None,
        texts: Mapping[str, Sequence[float]] | None = None,
        data: Sequence[tuple[Any, Sequence[str]]] = (),
        *,
        training: Sequence[tuple[Any, Sequence[str]]] = (),
        groups: Sequence[str] = (),
        directions: Sequence[str] = ("image to text", "text to image"),
        store: str = "store",
        run: Mapping[str, Any] | None = None,
        suite: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Any]:
        if images is not None:
            monkeypatch.setattr(Lookup, "images", images)
            monkeypatch.setattr(Lookup, "texts", {} if texts is None else texts)
            monkeypatch.setattr(Shown, "testing", data)
            monkeypatch.setattr(Shown, "training", training)
            monkeypatch.setattr(Shown, "groups", groups)
        whole = {
            "name": "toy", "protocol": {"plugin": "retrieval", **options}, "models": ["lookup"], "datasets": ["shown"],
            "metrics": ["recall-at-k", "median-rank"], "axes": {"direction": list(directions)}, "seeds": [0],
            **(suite or {}),
        }  # fmt: skip
        return harness.run(whole, store=tmp_path / store, device="cpu", **(run or {})).records

    run.seen = NearestOfBank.seen = []  # type: ignore[attr-defined]
    return run
