"""Features of each modality from frozen encoders: encoded once, cached on disk, shared by all arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from harness import DataError, Job, Split
from harness.inference.batches import autocast, forward_all
from harness.inference.blocks import Advance, InBlocks, cut_blocks, name_device
from harness.inference.evaluate import image_pipeline
from harness.inference.prompts import describe_cut, find_cut
from harness_fusion.contracts import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

Modality = Literal["text", "image"]
Tree = TypeVar("Tree")
Arrays = dict[str, "NDArray[Any]"]
Change = Callable[[int, Any], Any]
"""Alters a row's image or text: `change(row, value)`."""

ROWS_AT_ONCE = 2048
"""Number of images whose float32 patches are held at most at once, before they are stored in half precision."""

TEXTS_AT_ONCE = 512


class Encoders:
    """The two encoders of a job's model.

    Vectors and tokens come from one pass, since a suite's arms need both; tokens are stored as float16
    (as float32 if a value overflows). `tokens` false encodes vectors only. `unit` scales vectors to
    length 1, as CLIP compares embeddings.
    """

    def __init__(self, job: Job, tokens: bool = True, unit: bool = True) -> None:
        self.job, self.model = job, job.model
        self.gives_tokens = {
            "text": tokens and hasattr(job.model, "encode_text_tokens"),
            "image": tokens and hasattr(job.model, "encode_image_tokens"),
        }
        self.unit = unit
        self._rates: dict[str, float] = {}

    def load_features(
        self,
        modality: Modality,
        name: str,
        tokens: bool,
        rows: NDArray[np.int64] | None = None,
        change: Change | None = None,
        view: Mapping[str, Any] | None = None,
    ) -> Features:
        """Return a split's features on the CPU, from the cache or encoded; with sequences if `tokens`.

        For augmented features, `change` alters the samples at `rows`, and `view` is the cache key of `change`.
        """
        parts = ("pooled", "tokens", "mask") if self.gives_tokens[modality] else ("pooled",)
        split, made = self.job.splits(name), Arrays()
        altered = {"view": view, "rows": rows} if view else {}

        def keep(compute: Callable[[], NDArray[Any]], which: str) -> NDArray[Any]:
            return self._cache(modality, name, compute, part=which, **altered)

        chosen = np.arange(len(split)) if rows is None else rows
        present = find_present(split, modality)[chosen]

        def part(which: str) -> NDArray[Any]:
            def finish(encoded: Arrays, rate: float) -> NDArray[Any]:
                made.update(_scatter_rows(encoded, np.flatnonzero(present), len(chosen)))
                made["rate"] = np.array([rate])
                for other in parts:  # cache the whole pass before another process repeats it
                    if other != which:
                        keep(partial(made.__getitem__, other), other)
                return made[which]

            work = self._encode_in_blocks(modality, split, chosen[present], change, finish)
            return keep(partial(made.__getitem__, which) if made else work, which)

        # the rate first: if a kill lost it, only encoding again could measure it
        arrays = {which: part(which) for which in (("rate", *parts) if tokens else ("rate", "pooled"))}
        if modality == "text" and change is None:
            self._remark_cut(split, name, chosen[present], keep)
        return self._build_features(arrays, present)

    def _remark_cut(self, split: Split, name: str, rows: NDArray[np.int64], keep: Callable[..., Any]) -> None:
        """Remark how many of a split's texts the encoder truncates."""
        texts = split.texts  # type: ignore[attr-defined]
        count = keep(lambda: np.array([find_cut(self.model, [texts[r] for r in rows]).sum()]), "cut")
        if int(count[0]):
            text = describe_cut(self.model, f"texts of '{name}'", int(count[0]), len(rows))
            self.job.remark(f"{self.job.cell.dataset.label}: {text}")

    def rate(self, modality: Modality, name: str) -> float:
        """Return samples per second of encoding that split: reading, preparing or tokenising, and the network.

        If features are not cached, the rate is of the last encoding; NaN if there was none.
        """
        if modality in self._rates:
            return self._rates[modality]
        return float(self._cache(modality, name, lambda: np.array([np.nan]), part="rate")[0])

    def encode_rows(
        self,
        modality: Modality,
        name: str,
        rows: NDArray[np.int64],
        change: Change | None = None,
    ) -> Features:
        """Encode some rows without the cache; `change(row, value)` first alters an image or a text."""
        split = self.job.splits(name)
        present = find_present(split, modality)[rows]
        arrays = self._encode_in_blocks(
            modality, split, rows[present], change, lambda encoded, rate: encoded
        )()
        return self._build_features(_scatter_rows(arrays, np.flatnonzero(present), len(rows)), present)

    def scale_vectors(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return vectors as heads get them: float32, of length 1 if `unit`."""
        return F.normalize(pooled.float(), dim=-1) if self.unit else pooled.float()

    # ---------------------------------------------------------------- inside

    def _build_features(self, arrays: Arrays, present: NDArray[np.bool_]) -> Features:
        pooled = self.scale_vectors(torch.from_numpy(arrays["pooled"]))
        sequence, mask = (torch.from_numpy(arrays[k]) if k in arrays else None for k in ("tokens", "mask"))
        return Features.from_pooled(pooled, torch.from_numpy(present), sequence, mask)

    def _cache(
        self, modality: Modality, name: str, compute: Callable[[], NDArray[Any]], **facts: Any
    ) -> NDArray[Any]:
        """Return an array of one modality of a split from the cache, or compute it."""
        return self.job.features(
            f"fusion {modality}", name, compute, images=modality == "image",
            tokens=self.gives_tokens[modality], **facts,
        )  # fmt: skip

    def _encode_in_blocks(
        self,
        modality: Modality,
        split: Split,
        rows: NDArray[np.int64],
        change: Change | None,
        finish: Callable[[Arrays, float], Tree],
    ) -> InBlocks[Tree]:
        """Return the encoding of rows that all have the modality, which `finish` gets with the samples per second.

        Only images are encoded in several blocks: texts are padded to the longest of all. Raises DataError if
        called without rows.
        """
        encode = self._encode_text_rows if modality == "text" else self._encode_image_rows

        def compute(start: int, stop: int, advance: Advance) -> Arrays:
            if not len(rows):
                raise DataError(f"{self.job.cell.dataset.label}: {modality}s are missing in all samples")
            return encode(split, rows[start:stop], change, advance)

        def done(encoded: Arrays, rate: float) -> Tree:
            if change is None:
                self._rates[modality] = rate
            return finish(encoded, rate)

        job = self.job
        size = max(len(rows), 1) if modality == "text" else job.batch_size
        place, batches = name_device(job.device), self._count_batches()
        return InBlocks(len(rows), size, place, compute, done, job.advance, batches)

    def _count_batches(self) -> int:
        """Return the number of batches whose float32 patches are held at once."""
        return max(1, ROWS_AT_ONCE // self.job.batch_size)

    def _encode_text_rows(
        self, split: Split, rows: NDArray[np.int64], change: Change | None, advance: Advance
    ) -> Arrays:
        texts = [split.texts[r] if change is None else change(int(r), split.texts[r]) for r in rows]  # type: ignore[attr-defined]
        job, found = self.job, []
        with torch.inference_mode(), autocast(job.device, job.precision):
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                parts = self.encode_texts(texts[start : start + TEXTS_AT_ONCE])
                found.append(tuple(part.cpu() for part in parts))
                advance(min(start + TEXTS_AT_ONCE, len(texts)), len(texts))
        arrays = {"pooled": torch.cat([f[0] for f in found]).float().numpy()}
        if self.gives_tokens["text"]:
            # keep positions up to the last token of any text, since some encoders pad on the left
            longest = max(int((f[2].any(0) * torch.arange(1, f[2].shape[1] + 1)).max()) for f in found)
            arrays["tokens"] = np.concatenate([_to_half(_fit_length(f[1], longest)) for f in found])
            arrays["mask"] = torch.cat([_fit_length(f[2], longest) for f in found]).numpy()
        return arrays

    def _encode_image_rows(
        self, split: Split, rows: NDArray[np.int64], change: Change | None, advance: Advance
    ) -> Arrays:
        job = self.job
        prepare = image_pipeline(job, split)
        source: Any = split if change is None else AlteredImageSplit(split, change)
        pooled: list[NDArray[Any]] = []
        patches: list[NDArray[Any]] = []

        def go_on(before: int, done: int, _: int) -> None:
            advance(before + done, len(rows))

        for start, stop in cut_blocks(len(rows), job.batch_size, self._count_batches()):
            vectors, *sequences = forward_all(
                self.encode_images, source, prepare, device=job.device, batch_size=job.batch_size, precision=job.precision,
                workers=job.workers, indices=rows[start:stop].tolist(),
                advance=partial(go_on, start),
            )  # fmt: skip
            pooled.append(vectors.numpy())
            patches += map(_to_half, sequences)
        arrays = {"pooled": np.concatenate(pooled)}
        if patches:
            arrays["tokens"] = np.concatenate(patches)
            arrays["mask"] = np.ones(arrays["tokens"].shape[:2], bool)
        return arrays

    def encode_images(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return vectors B×E and, if the model has them, patches B×P×D of prepared images."""
        if self.gives_tokens["image"]:
            return tuple(self.model.encode_image_tokens(images))
        return (self.model.encode_image(images),)

    def encode_texts(self, texts: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Return vectors B×E and, if the model has them, tokens B×T×D and their mask."""
        if self.gives_tokens["text"]:
            return tuple(self.model.encode_text_tokens(texts))
        if hasattr(self.model, "encode_text"):
            return (self.model.encode_text(texts),)
        return (self.model.encode_text_tokens(texts)[0],)


def build_absent(count: int) -> Features:
    """Return features of a modality that a method does not read: absent from every sample."""
    return Features.from_pooled(torch.zeros(count, 1), torch.zeros(count, dtype=torch.bool))


def find_present(split: Split, modality: Modality) -> NDArray[np.bool_]:
    """Return which samples of a split have the modality. Raises DataError for a data set without pairs."""
    found = getattr(split, f"has_{modality}", None)
    if found is None:
        raise DataError(
            "fusion needs a data set of image-text pairs (its splits have has_text, has_image and texts)"
        )
    return np.asarray(found, dtype=bool)


class AlteredImageSplit:
    """A split whose images are altered by row on access."""

    def __init__(self, split: Split, change: Change) -> None:
        self._split, self._change = split, change

    def __getitem__(self, index: int) -> Any:
        from dataclasses import replace

        sample = self._split[index]
        return replace(sample, image=self._change(index, sample.image))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._split, name)


def _to_half(tokens: torch.Tensor) -> NDArray[Any]:
    half = tokens.half()
    return (half if bool(torch.isfinite(half).all()) else tokens.float()).numpy()


def _fit_length(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """Cut or zero-pad a batch of sequences to a length."""
    fitted = tensor.new_zeros(len(tensor), length, *tensor.shape[2:])
    shared = min(length, tensor.shape[1])
    fitted[:, :shared] = tensor[:, :shared]
    return fitted


def _scatter_rows(arrays: Arrays, rows: NDArray[Any], count: int) -> Arrays:
    """Scatter arrays of some rows into `count` rows, zero elsewhere."""
    whole = {k: np.zeros((count, *a.shape[1:]), a.dtype) for k, a in arrays.items()}
    for name, array in whole.items():
        array[rows] = arrays[name]
    return whole
