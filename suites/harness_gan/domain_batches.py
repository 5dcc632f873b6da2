"""Batches of both domains, paired or not, with random crops and flips."""

from __future__ import annotations

import torch

from harness_gan.real_samples import ImageSamples
from harness_generative.streams import Streams


def draw_domain_batches(
    a: ImageSamples,
    b: ImageSamples,
    n: int,
    streams: Streams,
    paired: bool,
    size: int | None = None,
    flip: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw n images of each domain: the same rows of both if `paired`, else independent rows.

    Each image is a random crop of `size`, mirrored with probability ½ if `flip`; a pair shares its crop.
    """
    drawn = []
    for images in (a, b):
        streams_of = [streams.get(name)[0] for name in ("data", "augmentation")]
        before = [g.get_state() for g in streams_of]
        drawn.append(_crop_and_flip(images.draw(n, streams_of[0]), size, flip, streams_of[1]))
        if paired and images is a:
            for generator, state in zip(streams_of, before, strict=True):
                generator.set_state(state)
    return drawn[0], drawn[1]


def _crop_and_flip(
    images: torch.Tensor, size: int | None, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    count, _, height, width = images.shape
    size = size or height
    if size == height == width and not flip:
        return images
    tops = torch.randint(height - size + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(width - size + 1, (count,), generator=generator).tolist()
    mirrored = (torch.rand(count, generator=generator) < 0.5 * flip).tolist()
    squares = [
        image[:, top : top + size, left : left + size]
        for image, top, left in zip(images, tops, lefts, strict=True)
    ]
    return torch.stack([s.flip(-1) if m else s for s, m in zip(squares, mirrored, strict=True)])
