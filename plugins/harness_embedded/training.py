"""Short trainings on the CPU: labels with cross-entropy, captions with the contrastive loss."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from harness_embedded.arrays import Drawn

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

log = logging.getLogger(__name__)

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
"""What the tiny models' inputs are normalised with."""


SPREADING_STEPS = 60

# The text tower's parameters learn at a tenth of the rate: what it says of the classes must hold still
# while the image tower finds them, or both give in to what is the same in all pairs.
_TEXT_TOWER = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seeds torch inside the block only; the caller's random state is untouched."""
    import random

    import torch

    before = random.getstate()  # libraries that are first imported inside draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before)


def as_input(images: Tensor) -> Tensor:
    """uint8 images N×H×W×3 as normalised float input N×3×H×W."""
    import torch

    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _moved(images: NDArray[np.uint8], rng: np.random.Generator, furthest: int) -> NDArray[np.uint8]:
    """Each image moved by up to some pixels along both axes, its edge repeated."""
    n, side = images.shape[:2]
    at = np.arange(side)
    rows = np.clip(at + rng.integers(-furthest, furthest + 1, (n, 1)), 0, side - 1)
    columns = np.clip(at + rng.integers(-furthest, furthest + 1, (n, 1)), 0, side - 1)
    return images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _optimise(
    module: nn.Module, drawn: Drawn, loss: Callable[[Tensor, NDArray[np.intp]], Tensor],
    steps: int, batch: int, rate: float, seed: int, decay: float = 0.02, beta2: float = 0.999,
) -> None:  # fmt: skip
    """AdamW on a one-cycle schedule over `steps` random batches; batches are drawn without replacement per pass."""
    import torch

    rng = np.random.default_rng(seed)
    groups = []
    for slow in (False, True):
        for matrix in (False, True):
            chosen = [
                p
                for name, p in module.named_parameters()
                if name.startswith(_TEXT_TOWER) == slow and (p.ndim >= 2) == matrix
            ]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": rate * (0.1 if slow else 1),
                        "weight_decay": decay if matrix else 0.0,
                    }
                )
    optimiser = torch.optim.AdamW(groups, betas=(0.9, beta2), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [g["lr"] for g in groups], total_steps=max(steps, 2), pct_start=0.2
    )
    module.train()
    queue = np.empty(0, np.intp)
    for step in range(steps):
        while len(queue) < batch:
            queue = np.concatenate([queue, rng.permutation(len(drawn.labels))])
        rows, queue = queue[:batch], queue[batch:]
        images = as_input(torch.from_numpy(_moved(drawn.images[rows], rng, 2)))
        value = loss(images.contiguous(memory_format=torch.channels_last), rows)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            log.info("step %d of %d, loss %.3f", step + 1, steps, value.item())
    module.eval()


def fit_labels(module: nn.Module, drawn: Drawn, *, steps: int, batch: int, rate: float, seed: int) -> None:
    """Trains a classifier (images to logits) on labels."""
    import torch

    labels = torch.from_numpy(drawn.labels)

    def loss(images: Tensor, rows: NDArray[np.intp]) -> Tensor:
        return torch.nn.functional.cross_entropy(module(images), labels[rows])

    _optimise(module, drawn, loss, steps, batch, rate, seed)


def _spread_texts(module: nn.Module, tokens: Tensor, steps: int, batch: int, seed: int) -> None:
    """Spreads the captions' embeddings over the sphere (the uniformity loss of Wang and Isola, ICML 2020).

    A fresh text tower of this size gives almost the same embedding to every text, and contrastive
    training then stays for long where both towers say only what all pairs have in common.
    """
    import torch

    texts = torch.unique(tokens, dim=0)
    rng = np.random.default_rng(seed)
    own = [p for name, p in module.named_parameters() if name.startswith(_TEXT_TOWER)]
    optimiser = torch.optim.AdamW(own, lr=2e-3, weight_decay=0.0, fused=True)
    for _ in range(steps):
        rows = rng.choice(len(texts), min(batch, len(texts)), replace=False)
        apart = torch.pdist(module.encode_text(texts[rows], normalize=True)).square()
        optimiser.zero_grad(set_to_none=True)
        (-2 * apart).logsumexp(dim=0).backward()
        optimiser.step()


def fit_captions(
    module: nn.Module,
    drawn: Drawn,
    tokens: torch.Tensor,
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> None:
    """Trains an open_clip CLIP on images and their captions' tokens (N×context length).

    Only the few tokens that occur in the captions are embedded while training (in a table of their
    own, copied back at the end): a gradient for all 49408 rows would take most of the time.
    Renumbering keeps the tokens' order, so the end-of-text token stays the largest, which is how
    open_clip finds it. The text tower is causal, so positions behind the longest caption's end say
    nothing and are left out too.
    """
    import torch

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

    def loss(images: Tensor, rows: NDArray[np.intp]) -> Tensor:
        with torch.no_grad():  # at most a factor of 100, as in the CLIP paper
            module.logit_scale.clamp_(0, float(np.log(100)))
        # Many captions of a batch are the same short words. Each text is encoded once, and every image
        # with it counts as its positive (Yang et al., Unified Contrastive Learning, CVPR 2022).
        texts, place = torch.unique(renumbered[rows], dim=0, return_inverse=True)
        text = module.encode_text(texts, normalize=True)
        logits = module.logit_scale.exp() * module.encode_image(images, normalize=True) @ text.T
        of_texts = torch.nn.functional.cross_entropy(logits, place)
        of_images = -logits.log_softmax(dim=0).gather(1, place[:, None]).mean()
        return (of_texts + of_images) / 2

    _spread_texts(module, renumbered, min(steps, SPREADING_STEPS), batch, seed)
    # decay and β₂ as for the CLIP paper's ViTs; here a ResNet too learns the shifts far better with them
    _optimise(module, drawn, loss, steps, batch, rate, seed, decay=0.2, beta2=0.98)
    with torch.no_grad():
        table.weight[used] = module.token_embedding.weight
        positions[:longest] = module.positional_embedding
    module.token_embedding, module.positional_embedding, module.attn_mask = table, positions, mask
