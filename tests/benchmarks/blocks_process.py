"""A process that computes features of noise with ViT-Ti on one thread, in blocks of a shared cache, once told to.

Arguments: the folder of the cache, the number of images. It prints "ready", waits for a line, and prints the seconds
of processor time that it took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import timm
import torch

from harness.contract.data import Sample
from harness.inference.blocks import InBlocks, forward_in_blocks
from harness.inference.features import FeatureCache
from harness.running.devices import one_thread

BATCH, BATCHES = 8, 2


class Noise:
    """Images of noise, each with a seed of its own."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        generator = np.random.default_rng(index)
        return Sample(f"n{index}", generator.integers(0, 256, (64, 64, 3), dtype=np.uint8))


def prepare(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float().div(255)


def make_work(count: int, batches: int = BATCHES) -> InBlocks[Any]:
    """The network's outputs on `count` images."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64, num_classes=0).eval()
    job: Any = SimpleNamespace(
        model=None,
        device=torch.device("cpu"),
        batch_size=BATCH,
        precision="float32",
        workers=0,
        advance=lambda done, total: None,
    )
    return forward_in_blocks(job, network, Noise(count), lambda: prepare, batches=batches)  # type: ignore[arg-type]


def main(folder: Path, count: int) -> None:
    with one_thread():
        work = make_work(count)
        work.compute(0, BATCH, work.advance)  # the first pass of all sets up what the others use
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        FeatureCache(folder).get({"what": "embeddings"}, work)
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
