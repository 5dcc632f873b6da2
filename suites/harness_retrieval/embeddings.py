"""Embeddings of images, films and texts from a frozen model, computed once and cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from harness import DataError, Job, Sample, Split
from harness.contract.declared import ask
from harness.inference.batches import autocast, forward_all
from harness.inference.blocks import Advance, InBlocks, name_device
from harness.inference.evaluate import image_pipeline
from harness.inference.prompts import find_cut
from harness.inference.zeroshot import encode_prompts, similarity_of
from harness.learning.pipeline import take_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHAT = "mean image embeddings"
TEXTS_AT_ONCE = 256


def embed_images(job: Job, name: str, rows: NDArray[np.int64]) -> tuple[torch.Tensor, float | None]:
    """Return one embedding for each sample at `rows` of a split, N×D, and samples per second (None if not known).

    Of a sample with several images it is the mean of their normalised embeddings, normalised (CLIP4Clip's
    parameter-free similarity, Luo et al. 2021): a long frame weighs no more than a short one. For a model that
    compares by inner products, nothing is normalised. They come from the cache, or are computed in batches.
    """
    split, rate = job.splits(name), list[float]()
    facts: dict[str, Any] = {"similarity": similarity_of(job.model)}

    def keep_rate(found: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
        rate.append(seconds)
        fetch_rate()  # before another worker can see the array, and miss it
        return found

    def fetch_rate() -> NDArray[np.float64]:
        return job.features(
            WHAT, name, lambda: np.array(rate or [np.nan]), rows=rows, fact="samples per second", **facts
        )

    # of films, as many go into a batch as have its number of images; others may be longer than the first
    frames = job.features(
        WHAT,
        name,
        lambda: np.array([_count_images(split, rows)]),
        rows=rows,
        fact="images of the first",
        **facts,
    )
    films = max(1, job.batch_size // int(frames[0]))
    found = job.features(WHAT, name, _mean_in_blocks(job, split, rows, films, keep_rate), rows=rows, **facts)
    speed = float(fetch_rate()[0])
    return torch.from_numpy(np.asarray(found)), None if np.isnan(speed) else speed


def _count_images(split: Split, rows: NDArray[np.int64]) -> int:
    """Return the number of images of the first sample, at least 1."""
    return max(1, len(take_sample(split, int(rows[0])).images))


def _mean_in_blocks(
    job: Job, split: Split, rows: NDArray[np.int64], films: int, finish: Any
) -> InBlocks[Any]:
    unit = similarity_of(job.model) == "cosine"

    def forward(batch: tuple[Any, torch.Tensor]) -> torch.Tensor:
        images, counts = batch
        each = job.model.encode_image(images).float()
        return average_frames(each, counts.tolist(), unit)

    def compute(start: int, stop: int, advance: Advance) -> Any:
        prepare = FramePreparation(image_pipeline(job, split), ask(job.model, "collate") or torch.stack)
        return forward_all(
            forward, FilmSplit(split), prepare, device=job.device, batch_size=films, precision=job.precision,
            workers=job.workers, indices=rows[start:stop].tolist(), advance=advance, collate=prepare.collate,
        )  # fmt: skip

    return InBlocks(len(rows), films, name_device(job.device), compute, finish, job.advance)


def average_frames(embeddings: torch.Tensor, counts: Sequence[int], unit: bool = True) -> torch.Tensor:
    """Return the embedding of each film, B×D, from those of all frames, F×D, and the number of frames of each film.

    Frames are normalised, averaged, and normalised again, if `unit`; else only averaged.
    """
    each = F.normalize(embeddings, dim=-1) if unit else embeddings
    means = torch.stack([part.mean(dim=0) for part in each.split(list(counts))])
    return F.normalize(means, dim=-1) if unit else means


class FilmSplit:
    """A split whose samples have all their images as `image`, in a tuple; one without any has none."""

    def __init__(self, split: Split) -> None:
        self._split, self.ids, self.targets = split, split.ids, split.targets

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> Sample:
        sample = self._split[index]
        frames: Any = tuple(sample.images) or None
        return replace(sample, image=frames, images=())


class FramePreparation:
    """Prepares all frames of several films at once, and puts those of a batch together."""

    def __init__(self, prepare: Any, collate: Any) -> None:
        self._prepare, self._collate = prepare, collate

    def __call__(self, frames: Sequence[Any]) -> list[Any]:
        """Return the prepared frames of one film."""
        return [self._prepare(frame) for frame in frames]

    def collate(self, films: Sequence[Sequence[Any]]) -> tuple[Any, torch.Tensor]:
        """Return the batch of all frames of some films, and the number of frames of each."""
        return self._collate([frame for film in films for frame in film]), torch.tensor([*map(len, films)])


def embed_texts(job: Job, texts: Sequence[str]) -> tuple[torch.Tensor, int]:
    """Return an embedding for each text, M×D, and how many texts the model cuts; equal texts are encoded once.

    They have unit length, unless the model compares by inner products. From the cache, or computed.
    """
    unique = list(dict.fromkeys(texts))
    place = {text: n for n, text in enumerate(unique)}
    at = np.array([place[text] for text in texts], np.int64)

    def compute(start: int, stop: int, advance: Advance) -> NDArray[np.float32]:
        parts = []
        with autocast(job.device, job.precision):
            for first in range(start, stop, TEXTS_AT_ONCE):
                last = min(first + TEXTS_AT_ONCE, stop)
                parts.append(encode_prompts(job.model, unique[first:last]).cpu().numpy())
                advance(last - start, stop - start)
        return np.concatenate(parts)

    work: InBlocks[NDArray[np.float32]] = InBlocks(
        len(unique), TEXTS_AT_ONCE, name_device(job.device), compute, advance=job.advance
    )
    encoded = job.features("text embeddings", None, work, images=False, texts=unique)
    cut = job.features(
        "text embeddings", None, lambda: find_cut(job.model, unique), images=False, texts=unique, fact="cut"
    )
    found = torch.from_numpy(np.asarray(encoded, np.float32))
    if similarity_of(job.model) == "cosine":
        found = F.normalize(found, dim=-1)
    return found[torch.from_numpy(at)], int(np.asarray(cut)[at].sum())


def remark_zeros(job: Job, embeddings: torch.Tensor, what: str) -> None:
    """Remark how many embeddings, N×D, are zero: they have no direction, so that everything is equally similar."""
    if count := int((embeddings == 0).all(dim=1).sum()):
        job.remark(f"{count} of {len(embeddings)} embeddings of {what} are zero: all candidates tie for them")


def require_both(images: torch.Tensor, texts: torch.Tensor, label: str) -> None:
    """Raise DataError unless embeddings of images and texts have the same dimension."""
    if images.shape[1] != texts.shape[1]:
        raise DataError(
            f"{label}: embeds images in {images.shape[1]} dimensions and texts in {texts.shape[1]}: they can't be compared"
        )
