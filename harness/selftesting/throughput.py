"""Speed on a device: the harness against a bare loop over the same batches, and whether images are prepared fast enough."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.data import EncodedImage, Sample
from harness.contract.declared import ask
from harness.contract.models import Preparation
from harness.inference.batches import forward_all
from harness.inference.images import Staged, fast_prepare
from harness.running.devices import one_thread, preparing_threads
from harness.selftesting.memory import Noise
from harness.selftesting.rows import Row, Verdict
from harness.selftesting.tolerances import THROUGHPUT

if TYPE_CHECKING:
    import torch

ROUNDS = 7
SECONDS = 0.5
"""Seconds that a bare pass should take at least, so that a start of threads is not what is measured."""

STEADY = 1.5
"""The bare loop's fastest round by its slowest, above which something else keeps the machine busy."""

MOST_BATCHES = 32
PHOTOGRAPHS = 32
SIZE = (375, 500)
"""Height and width of a usual photograph, ImageNet's most frequent."""

DETAIL = {64: 0.5, 16: 0.15, 4: 0.15, 1: 0.2}
"""Shares of noise by the size of its grains in pixels: files come out as large as ImageNet's, about 110 kB."""

Forward = Callable[["torch.Tensor"], "torch.Tensor"]
Evaluate = Callable[..., Any]
"""`harness.inference.batches.forward_all`, or what a test puts in its place."""


@dataclass(frozen=True)
class Speed:
    """Images per second of a bare loop and of the harness, round by round."""

    bare: Sequence[float]
    harness: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median over the rounds of the harness's speed by the bare loop's just before or after."""
        return median(ours / theirs for ours, theirs in zip(self.harness, self.bare, strict=True))

    @property
    def steady(self) -> bool:
        """Whether the bare loop alone was about as fast in each round, so that a ratio says something."""
        return max(self.bare) <= STEADY * min(self.bare)


def measure_speed(
    forward: Forward,
    shape: Sequence[int],
    device: torch.device,
    batch_size: int,
    rounds: int = ROUNDS,
    evaluate: Evaluate = forward_all,
) -> Speed:
    """Time a network over prepared tensors: batches that are stacked and pinned already, and the harness's way.

    Rounds are in turns, which change places each time: what slows the machine for a while slows both.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(batch_size, *shape, generator=generator)
    batch = batch.pin_memory() if device.type == "cuda" else batch

    def pass_bare(count: int) -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            parts = [forward(batch.to(device, non_blocking=True)).float().cpu() for _ in range(count)]
            torch.cat(parts)
        return count * batch_size / (time.perf_counter() - began)

    pass_bare(1)
    once = batch_size / pass_bare(1)
    count = min(MOST_BATCHES, max(3, math.ceil(SECONDS / once)))
    split = Noise(batch.expand(count, *batch.shape).reshape(-1, *shape))
    workers = preparing_threads(device, torch.get_num_threads())

    def pass_harness() -> float:
        began = time.perf_counter()
        evaluate(forward, split, _keep, device=device, batch_size=batch_size, workers=workers)
        return len(split) / (time.perf_counter() - began)

    pass_harness()
    bare, ours = [], []
    for number in range(rounds):
        if number % 2:
            ours.append(pass_harness())
        bare.append(pass_bare(count))
        if not number % 2:
            ours.append(pass_harness())
    return Speed(bare, ours)


def judge_speed(name: str, speed: Speed) -> Row:
    """Return the row on the harness's share of the bare loop's speed."""
    rates = f"{median(speed.harness):.4g} of {median(speed.bare):.4g} images/s"
    busy = f"; the bare loop alone varies from {min(speed.bare):.4g} to {max(speed.bare):.4g}: the machine is busy"
    facts = {"ratio": speed.ratio, "bare": list(speed.bare), "harness": list(speed.harness)}
    fast: Verdict = "ok" if speed.ratio >= THROUGHPUT else "FAIL"
    return Row(
        f"throughput: {name}, forward_all against a bare loop",
        f"{speed.ratio:.3f} ({rates}{'' if speed.steady else busy})",
        "",
        f"at least {THROUGHPUT}",
        fast if speed.steady else "not checked",
        facts,
    )


def make_photographs(count: int = PHOTOGRAPHS) -> list[EncodedImage]:
    """Return JPEG files as large as usual photographs, with detail at every scale."""
    from PIL import Image

    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        pixels = np.zeros((*SIZE, 3))
        for scale, share in DETAIL.items():
            height, width = SIZE[0] // scale + 1, SIZE[1] // scale + 1
            grid = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            pixels += share * np.asarray(grid.resize(SIZE[::-1], Image.Resampling.BICUBIC))
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        found.append(EncodedImage(stream.getvalue(), f"photograph {number}"))
    return found


class Photographs:
    """A split of encoded images."""

    def __init__(self, images: Sequence[EncodedImage]) -> None:
        self.images = images
        self.ids: Sequence[str] = [image.name for image in images]
        self.targets = np.zeros(len(images), np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], self.images[index])


def measure_preparation(
    prepare: Callable[[Sequence[EncodedImage]], object], images: Sequence[EncodedImage], rounds: int = 3
) -> float:
    """Return how many images a single thread prepares per second: the median of some rounds."""
    rates = []
    with one_thread():
        prepare(images[:4])
        for _ in range(rounds):
            began = time.perf_counter()
            prepare(images)
            rates.append(len(images) / (time.perf_counter() - began))
    return median(rates)


def check_data_path(
    name: str, model: Any, forward: Forward, speed: float, device: torch.device, cores: int
) -> Row:
    """Return the row on how many cores must prepare photographs for a model that takes `speed` images per second."""
    images = make_photographs()
    exact = Staged(model.prepare)
    rates = {"exact": measure_preparation(exact.many, images)}
    preparation: Preparation | None = ask(model, "preparation")
    if preparation is not None:
        fast = fast_prepare(preparation)
        rates["fast"] = measure_preparation(lambda several: [fast(image) for image in several], images)
    workers = preparing_threads(device, cores)
    began = time.perf_counter()
    forward_all(
        forward,
        Photographs(images * 2),
        exact,
        device=device,
        batch_size=PHOTOGRAPHS,
        workers=workers,
    )
    return judge_data_path(
        name, rates, speed, cores, 2 * len(images) / (time.perf_counter() - began), workers
    )


def judge_data_path(
    name: str, rates: dict[str, float], speed: float, cores: int, through: float, workers: int
) -> Row:
    """Return the row: a note if this machine has fewer cores than the network can empty, which is no fault."""
    needed = {way: math.ceil(speed / rate) for way, rate in rates.items()}
    each = ", ".join(f"{way} {rate:.0f}/s a core, keeps up with {needed[way]}" for way, rate in rates.items())
    facts = {"per_core": rates, "model": speed, "cores_needed": needed, "cores": cores, "through": through}
    return Row(
        f"data path: {name}, JPEG of {SIZE[1]}×{SIZE[0]}",
        f"{speed:.4g} images/s; {each}; {through:.4g}/s with threads preparing: {workers}",
        f"cores: {cores}",
        "exact keeps up",
        "ok" if needed["exact"] <= cores else "note",
        facts,
    )


def _keep(image: Any) -> Any:
    return image
