"""What the frozen encoders say about each modality: encoded once, kept on disk, shared by all arms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from harness import DataError, Job, Split
from harness.inference.batches import autocast, forward_all
from harness.inference.evaluate import image_pipeline
from harness.inference.prompts import describe_cut, find_cut
from harness_fusion.contracts import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

Modality = Literal["text", "image"]
Arrays = dict[str, "NDArray[Any]"]
Change = Callable[[int, Any], Any]
"""Alters a row's image or text: `change(row, value)`."""

ROWS_AT_ONCE = 2048
"""Images whose float32 patches are held at once; what is kept is half as large."""

TEXTS_AT_ONCE = 512


class Encoders:
    """The two encoders of a job's model.

    Vectors and tokens come from one pass, since a suite's arms need both; tokens are kept as float16
    (as float32 where a number does not fit). `tokens` false encodes and keeps vectors only. `unit`
    scales vectors to length 1, as CLIP's embeddings are compared.
    """

    def __init__(self, job: Job, tokens: bool = True, unit: bool = True) -> None:
        self.job, self.model = job, job.model
        self.gives_tokens = {
            "text": tokens and hasattr(job.model, "encode_text_tokens"),
            "image": tokens and hasattr(job.model, "encode_image_tokens"),
        }
        self.unit = unit
        self._rates: dict[str, float] = {}

    def kept(
        self,
        modality: Modality,
        name: str,
        tokens: bool,
        rows: NDArray[np.int64] | None = None,
        change: Change | None = None,
        view: Mapping[str, Any] | None = None,
    ) -> Features:
        """A split's features on the CPU, from the cache or encoded; with the sequences if `tokens`.

        `view` says what decides altered ones beside the encoders and which `rows` they are: their `change`.
        """
        parts = ("pooled", "tokens", "mask") if self.gives_tokens[modality] else ("pooled",)
        split, made = self.job.splits(name), Arrays()
        altered = {"view": view, "rows": rows} if view else {}

        def keep(compute: Callable[[], NDArray[Any]], which: str) -> NDArray[Any]:
            return self._keep(modality, name, compute, part=which, **altered)

        chosen = np.arange(len(split)) if rows is None else rows
        present = there(split, modality)[chosen]

        def part(which: str) -> NDArray[Any]:
            def compute() -> NDArray[Any]:
                if not made:
                    encoded = self._encoded(modality, split, chosen[present], change)
                    made.update(_scattered(encoded, np.flatnonzero(present), len(chosen)))
                    for other in parts:  # what one pass gave is kept as a whole, before another process asks
                        if other != which:
                            keep(partial(made.__getitem__, other), other)
                return made[which]

            return keep(compute, which)

        # the rate comes first: one that a kill lost could be measured only by encoding again
        arrays = {which: part(which) for which in (("rate", *parts) if tokens else ("rate", "pooled"))}
        if modality == "text" and change is None:
            self._tell_cut(split, name, chosen[present], keep)
        return self._features(arrays, present)

    def _tell_cut(self, split: Split, name: str, rows: NDArray[np.int64], keep: Callable[..., Any]) -> None:
        """Remark how many of a split's texts are longer than the encoder reads."""
        texts = split.texts  # type: ignore[attr-defined]
        count = keep(lambda: np.array([find_cut(self.model, [texts[r] for r in rows]).sum()]), "cut")
        if int(count[0]):
            text = describe_cut(self.model, f"texts of '{name}'", int(count[0]), len(rows))
            self.job.remark(f"{self.job.cell.dataset.label}: {text}")

    def rate(self, modality: Modality, name: str) -> float:
        """Samples per second when that split was encoded: reading, preparing or tokenising, and the network.

        Of encoders whose features are not kept, when they last encoded; NaN when they never did.
        """
        if modality in self._rates:
            return self._rates[modality]
        return float(self._keep(modality, name, lambda: np.array([np.nan]), part="rate")[0])

    def encoded(
        self,
        modality: Modality,
        name: str,
        rows: NDArray[np.int64],
        change: Change | None = None,
    ) -> Features:
        """Some rows encoded anew; `change(row, value)` alters an image or a text before that. Not kept."""
        split = self.job.splits(name)
        present = there(split, modality)[rows]
        arrays = self._encoded(modality, split, rows[present], change)
        return self._features(_scattered(arrays, np.flatnonzero(present), len(rows)), present)

    def scaled(self, pooled: torch.Tensor) -> torch.Tensor:
        """Vectors as heads get them: float32, of length 1 if `unit`."""
        return F.normalize(pooled.float(), dim=-1) if self.unit else pooled.float()

    # ---------------------------------------------------------------- inside

    def _features(self, arrays: Arrays, present: NDArray[np.bool_]) -> Features:
        pooled = self.scaled(torch.from_numpy(arrays["pooled"]))
        sequence, mask = (torch.from_numpy(arrays[k]) if k in arrays else None for k in ("tokens", "mask"))
        return Features.of(pooled, torch.from_numpy(present), sequence, mask)

    def _keep(
        self, modality: Modality, name: str, compute: Callable[[], NDArray[Any]], **facts: Any
    ) -> NDArray[Any]:
        """Features of one modality of a split, from the cache or computed."""
        return self.job.features(
            f"fusion {modality}", name, compute, images=modality == "image",
            tokens=self.gives_tokens[modality], **facts,
        )  # fmt: skip

    def _encoded(
        self,
        modality: Modality,
        split: Split,
        rows: NDArray[np.int64],
        change: Change | None = None,
    ) -> Arrays:
        """Arrays over these rows, all of which have the modality, and samples per second."""
        if not len(rows):
            raise DataError(f"{self.job.cell.dataset.label}: {modality}s are missing in all samples")
        began = time.perf_counter()
        encode = self._texts if modality == "text" else self._images
        arrays = encode(split, rows, change)
        rate = len(rows) / max(time.perf_counter() - began, 1e-9)
        if change is None:
            self._rates[modality] = rate
        return {**arrays, "rate": np.array([rate])}

    def _texts(self, split: Split, rows: NDArray[np.int64], change: Change | None) -> Arrays:
        texts = [split.texts[r] if change is None else change(int(r), split.texts[r]) for r in rows]  # type: ignore[attr-defined]
        job, found = self.job, []
        with torch.inference_mode(), autocast(job.device, job.precision):
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                parts = self.text_parts(texts[start : start + TEXTS_AT_ONCE])
                found.append(tuple(part.cpu() for part in parts))
                job.advance(min(start + TEXTS_AT_ONCE, len(texts)), len(texts))
        arrays = {"pooled": torch.cat([f[0] for f in found]).float().numpy()}
        if self.gives_tokens["text"]:
            # places up to the last token of any text, for there are encoders that pad on the left
            longest = max(int((f[2].any(0) * torch.arange(1, f[2].shape[1] + 1)).max()) for f in found)
            arrays["tokens"] = np.concatenate([_half(_fit(f[1], longest)) for f in found])
            arrays["mask"] = torch.cat([_fit(f[2], longest) for f in found]).numpy()
        return arrays

    def _images(self, split: Split, rows: NDArray[np.int64], change: Change | None) -> Arrays:
        job = self.job
        prepare = image_pipeline(job, split)
        source: Any = split if change is None else Changed(split, change)
        pooled: list[NDArray[Any]] = []
        patches: list[NDArray[Any]] = []

        def advance(before: int, done: int, _: int) -> None:
            job.advance(before + done, len(rows))

        for start in range(0, len(rows), ROWS_AT_ONCE):
            vectors, *sequences = forward_all(
                self.image_parts, source, prepare, device=job.device, batch_size=job.batch_size, precision=job.precision,
                workers=job.workers, indices=rows[start : start + ROWS_AT_ONCE].tolist(),
                advance=partial(advance, start),
            )  # fmt: skip
            pooled.append(vectors.numpy())
            patches += map(_half, sequences)
        arrays = {"pooled": np.concatenate(pooled)}
        if patches:
            arrays["tokens"] = np.concatenate(patches)
            arrays["mask"] = np.ones(arrays["tokens"].shape[:2], bool)
        return arrays

    def image_parts(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Vectors B×E and, where there are any, patches B×P×D of prepared images."""
        if self.gives_tokens["image"]:
            return tuple(self.model.encode_image_tokens(images))
        return (self.model.encode_image(images),)

    def text_parts(self, texts: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Vectors B×E and, where there are any, tokens B×T×D and their mask."""
        if self.gives_tokens["text"]:
            return tuple(self.model.encode_text_tokens(texts))
        if hasattr(self.model, "encode_text"):
            return (self.model.encode_text(texts),)
        return (self.model.encode_text_tokens(texts)[0],)


def absent(count: int) -> Features:
    """Features of a modality that a method does not read: none is there, and nothing was encoded."""
    return Features.of(torch.zeros(count, 1), torch.zeros(count, dtype=torch.bool))


def there(split: Split, modality: Modality) -> NDArray[np.bool_]:
    """Which samples of a split have the modality. Raises DataError for a data set without pairs."""
    found = getattr(split, f"has_{modality}", None)
    if found is None:
        raise DataError(
            "fusion needs a data set of image-text pairs (its splits say has_text, has_image and texts)"
        )
    return np.asarray(found, dtype=bool)


class Changed:
    """A split whose images are changed on their way, by row."""

    def __init__(self, split: Split, change: Change) -> None:
        self._split, self._change = split, change

    def __getitem__(self, index: int) -> Any:
        from dataclasses import replace

        sample = self._split[index]
        return replace(sample, image=self._change(index, sample.image))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._split, name)


def _half(tokens: torch.Tensor) -> NDArray[Any]:
    half = tokens.half()
    return (half if bool(torch.isfinite(half).all()) else tokens.float()).numpy()


def _fit(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """A batch of sequences cut or padded with zeros to a length."""
    fitted = tensor.new_zeros(len(tensor), length, *tensor.shape[2:])
    shared = min(length, tensor.shape[1])
    fitted[:, :shared] = tensor[:, :shared]
    return fitted


def _scattered(arrays: Arrays, rows: NDArray[Any], count: int) -> Arrays:
    """Arrays of some rows as arrays of `count` rows, zero elsewhere; the rate is none of rows."""
    whole = {k: np.zeros((count, *a.shape[1:]), a.dtype) for k, a in arrays.items() if k != "rate"}
    for name, array in whole.items():
        array[rows] = arrays[name]
    return {**arrays, **whole}
