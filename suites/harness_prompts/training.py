"""Stochastic gradient descent as CoOp does it: schedule, batches, and the loop over epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from harness import Diverged, OptionError

if TYPE_CHECKING:
    import torch

    from harness_few_shot.task import Task

WARM_UP_RATE = 1e-5


def learning_rate(epoch: int, epochs: int, rate: float = 0.002) -> float:
    """The rate in an epoch (from 0): 1e-5 in the first, then ½·rate·(1 + cos(π(e−1)/E)), as in CoOp's trainer.

    The warm-up epoch sets the cosine back by one, so that the last rate is not zero.
    """
    if epoch == 0:
        return WARM_UP_RATE
    return 0.5 * rate * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def epochs_for(shots: int, space: str = "") -> int:
    """CoOp's number of epochs: 50 for one shot, 100 for two and four, 200 for more; always 50 on ImageNet."""
    return 50 if shots <= 1 or space == "imagenet-1k" else 100 if shots <= 4 else 200


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Rows in a random order, `size` at a time; the incomplete last batch is dropped unless it is the only one."""
    import torch

    order = torch.randperm(count, generator=generator)
    if count <= size:
        yield order
        return
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def descend(
    task: Task,
    parameters: Iterable[torch.nn.Parameter],
    loss: Callable[[Any, torch.Tensor], torch.Tensor] | None,
    *,
    epochs: int,
    rate: float = 0.002,
    batch: int = 32,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    augment: bool = False,
    step: Callable[[torch.Tensor, torch.Tensor], float] | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
    inputs: Callable[[int, torch.Tensor], Any] | None = None,
) -> None:
    """SGD over the task's shots; `loss(features, labels)` is minimised in `parameters`.

    `augment` takes fresh random views of the shots in every epoch, which runs the image tower
    again; otherwise the kept embeddings serve. Methods that make their own gradient give `step` in
    place of `loss`: it must leave gradients on the parameters and give the loss. Methods that look
    at more than embeddings give `inputs(epoch, rows)`, which makes what `loss` gets as features.
    Raises Diverged when the loss is not finite, OptionError for a negative number of epochs.
    """
    import torch

    if epochs < 0 or batch < 1:
        raise OptionError(f"epochs must be 0 or more and batch at least 1, got {epochs} and {batch}")
    trained = list(parameters)
    generator = torch.Generator().manual_seed(task.seed)
    optimiser = torch.optim.SGD(trained, lr=rate, momentum=momentum, weight_decay=weight_decay)
    losses: list[float] = []
    rates: list[float] = []
    for epoch in range(epochs):
        rates.append(learning_rate(epoch, epochs, rate))
        for group in optimiser.param_groups:
            group["lr"] = rates[-1]
        features = task.views(epoch) if augment and inputs is None else task.features
        total = seen = 0.0
        for rows in batches(len(task.labels), batch, generator):
            at = rows.to(task.device)
            optimiser.zero_grad(set_to_none=True)
            if loss is None:
                assert step is not None, "needs a loss or a step"
                value = step(features[at], task.labels[at])
            else:
                batch_inputs = features[at] if inputs is None else inputs(epoch, at)
                current = loss(batch_inputs, task.labels[at])
                current.backward()
                value = float(current.detach())
            optimiser.step()
            total, seen = total + value * len(rows), seen + len(rows)
        losses.append(total / max(seen, 1))
        if not math.isfinite(losses[-1]):
            raise Diverged(f"the loss is {losses[-1]} in epoch {epoch + 1} of {epochs}")
        task.advance(epoch + 1, epochs)
        task.report("training", epoch, {"loss": losses[-1], "learning_rate": rates[-1]})
        after_epoch(epoch)
    if epochs:
        task.curves["training"] = {"epoch": list(range(epochs)), "loss": losses, "learning_rate": rates}
    task.cost["trainable_parameters"] = float(sum(p.numel() for p in trained))
