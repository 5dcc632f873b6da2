"""Short trainings of the tiny models on the CPU: labels with cross-entropy, captions contrastively."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.learning.pipeline import HeldSamples
from harness_embedded.drawn_images import DrawnImages

if TYPE_CHECKING:
    import open_clip
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from harness.learning.optimizers import Groups
    from harness.learning.recipe import Recipe

log = logging.getLogger(__name__)

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
"""Normalisation of the tiny models' inputs."""

MAX_SHIFT = 2
"""Largest random translation of training images, in pixels."""

ONE_CYCLE: dict[str, Any] = {
    "schedule": "one-cycle",
    "schedule_options": {"pct_start": 0.2},
    "clip_norm": 1.0,
}

SPREADING_STEPS = 60

# The text tower learns at a tenth of the rate: its class embeddings must stay almost fixed while the
# image tower finds them, or both towers collapse to what all pairs have in common.
_TEXT_TOWER = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")


@contextmanager
def fork_randomness(seed: int) -> Iterator[None]:
    """Seed torch inside the block only; the caller's random state is untouched."""
    import random

    import torch

    before = random.getstate()  # libraries first imported inside the block draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before)


def normalise_images(images: Tensor) -> Tensor:
    """Return uint8 images N×H×W×3 as normalised float input N×3×H×W."""
    import torch

    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _shift_images(images: Tensor, shifts: NDArray[np.int64]) -> Tensor:
    """Translate images N×H×W×3, each along both axes by its `shifts` (2×N, in pixels), edges repeated."""
    import torch

    n, side = images.shape[:2]
    rows, columns = torch.from_numpy(np.clip(np.arange(side) + shifts[..., None], 0, side - 1))
    return images[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _draw_batches(count: int, recipe: Recipe, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows (steps×batch) and shifts (steps×2×batch) of all steps, one step after the other.

    Each pass over the samples draws rows without replacement; a pass may end within a batch.
    """
    rng = np.random.default_rng(seed)
    rows, shifts = [], []
    queue = np.empty(0, np.int64)
    for _ in range(recipe.steps):
        while len(queue) < recipe.batch:
            queue = np.concatenate([queue, rng.permutation(count)])
        rows.append(queue[: recipe.batch])
        queue = queue[recipe.batch :]
        shifts.append([rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, recipe.batch) for _ in range(2)])
    return np.array(rows), np.array(shifts)


def _parameter_groups(module: nn.Module, recipe: Recipe) -> Groups:
    groups = []
    for slow in (False, True):
        own = [p for name, p in module.named_parameters() if name.startswith(_TEXT_TOWER) == slow]
        if own:
            groups.append({"params": own, "lr": recipe.rate * (0.1 if slow else 1)})
    return groups


def _fit(
    module: nn.Module,
    drawn: DrawnImages,
    loss: Callable[[Tensor, NDArray[np.int64]], Tensor],
    recipe: Recipe,
    seed: int,
) -> None:
    """Train on slightly translated images; `loss` gets a batch of them and their rows."""
    import torch

    from harness.learning.loop import train
    from harness.learning.pipeline import Batch

    rows, shifts = _draw_batches(len(drawn.labels), recipe, seed)

    def objective(batch: Batch, step: int) -> Tensor:
        images = normalise_images(_shift_images(batch.data, shifts[step]))
        return loss(images.contiguous(memory_format=torch.channels_last), batch.rows)

    def report(step: int, values: dict[str, float]) -> None:
        if step % 100 == 0:
            log.info("step %d of %d, loss %.3f", step, recipe.steps, values["loss"])

    images = HeldSamples(torch.from_numpy(drawn.images))
    groups = _parameter_groups(module, recipe)
    train(module, images, objective, recipe, seed, groups=groups, rows=rows.__getitem__, report=report)


def fit_labels(
    module: nn.Module, drawn: DrawnImages, *, steps: int, batch: int, rate: float, seed: int
) -> None:
    """Train a classifier (images to logits) on labels with cross-entropy."""
    import torch

    from harness.learning.recipe import Recipe

    labels = torch.from_numpy(drawn.labels)

    def loss(images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return torch.nn.functional.cross_entropy(module(images), labels[rows])

    _fit(module, drawn, loss, Recipe(steps, batch, rate, weight_decay=0.02, **ONE_CYCLE), seed)


def _spread_texts(module: open_clip.CLIP, tokens: Tensor, steps: int, batch: int, seed: int) -> None:
    """Spread the captions' embeddings over the sphere (the uniformity loss of Wang and Isola, ICML 2020).

    A newly initialised text tower of this size embeds all texts almost identically, and contrastive
    training then stalls where both towers encode only what all pairs have in common.
    """
    import torch

    from harness.learning.loop import train
    from harness.learning.pipeline import Batch, HeldSamples
    from harness.learning.recipe import Recipe

    texts = torch.unique(tokens, dim=0)
    batch = min(batch, len(texts))
    rng = np.random.default_rng(seed)
    rows = [rng.choice(len(texts), batch, replace=False) for _ in range(steps)]

    def objective(batch: Batch, step: int) -> Tensor:
        apart = torch.pdist(module.encode_text(batch.data, normalize=True)).square()
        return (-2 * apart).logsumexp(dim=0)

    own = [p for name, p in module.named_parameters() if name.startswith(_TEXT_TOWER)]
    recipe = Recipe(steps, batch, rate=2e-3, schedule="constant")
    train(own, HeldSamples(texts), objective, recipe, seed, rows=rows.__getitem__)


def fit_captions(
    module: open_clip.CLIP,
    drawn: DrawnImages,
    tokens: torch.Tensor,
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> None:
    """Train an open_clip CLIP on images and their captions' tokens (N×context length).

    Training embeds only the few tokens that occur in the captions (in a separate table, copied back
    at the end): a gradient for all 49408 rows would take most of the time. Renumbering keeps the
    tokens' order, so the end-of-text token stays the largest, which is how open_clip finds it. The
    text tower is causal, so positions after the longest caption's end have no effect and are cut.
    """
    import torch

    from harness.learning.recipe import Recipe

    longest = int((tokens != 0).sum(dim=1).max())
    positions, mask = module.positional_embedding, module.attn_mask
    module.positional_embedding = torch.nn.Parameter(positions.detach()[:longest].clone())
    module.attn_mask = mask[:longest, :longest]
    tokens = tokens[:, :longest]
    used, renumbered = torch.unique(tokens, return_inverse=True)
    table = module.token_embedding
    module.token_embedding = torch.nn.Embedding.from_pretrained(
        table.weight.detach()[used].clone(), freeze=False
    )

    def loss(images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        with torch.no_grad():  # at most a factor of 100, as in the CLIP paper
            module.logit_scale.clamp_(0, float(np.log(100)))
        # Many captions of a batch are equal. Encode each text once; every image with that text counts
        # as its positive (Yang et al., Unified Contrastive Learning, CVPR 2022).
        texts, place = torch.unique(renumbered[rows], dim=0, return_inverse=True)
        text = module.encode_text(texts, normalize=True)
        logits = module.logit_scale.exp() * module.encode_image(images, normalize=True) @ text.T
        of_texts = torch.nn.functional.cross_entropy(logits, place)
        of_images = -logits.log_softmax(dim=0).gather(1, place[:, None]).mean()
        both: Tensor = (of_texts + of_images) / 2
        return both

    _spread_texts(module, renumbered, min(steps, SPREADING_STEPS), batch, seed)
    # decay and β₂ of the CLIP paper's ViTs; with them, a ResNet this small learns the shifts far better, too
    recipe = Recipe(
        steps, batch, rate, optimizer_options={"betas": (0.9, 0.98)}, weight_decay=0.2, **ONE_CYCLE
    )
    _fit(module, drawn, loss, recipe, seed)
    with torch.no_grad():
        table.weight[used] = module.token_embedding.weight
        positions[:longest] = module.positional_embedding
    module.token_embedding, module.positional_embedding, module.attn_mask = table, positions, mask
