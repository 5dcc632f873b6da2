"""Training an adapted network with the core's loop: what moves, what stays in eval(), and the checks of both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from weakref import WeakSet

import torch.nn.functional as F
from torch import Tensor, nn

from harness.learning.loop import train as train_network
from harness.learning.pipeline import Batch
from harness.learning.progress import TrainingOutcome
from harness.learning.recipe import Recipe
from harness_peft.checkpoints import adapter_state
from harness_peft.checks import GradientCheck
from harness_peft.data import Batches


def set_mode(network: nn.Module, base: Collection[nn.Module]) -> None:
    """Training mode for what is added and for what trains as a whole; the frozen rest stays in eval().

    `base` holds the modules that were there before the method: `train()` on all would bring dropout
    back and move batch norm's statistics in frozen parts. Those statistics move only when the whole
    network trains.
    """
    if all(p.requires_grad for p in network.parameters()):
        network.train()
        return
    network.eval()
    for module in network.modules():
        parameters = list(module.parameters())
        if module not in base:
            module.training = True
        elif parameters and all(p.requires_grad for p in parameters):
            module.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def train(
    network: nn.Module,
    data: Batches,
    recipe: Recipe,
    seed: int,
    *,
    base: Collection[nn.Module],
    validate: Callable[[], float] | None = None,
    folder: Path | None = None,
    checkpoint_every: int = 200,
    tell: Callable[[int, dict[str, float]], object] = lambda step, values: None,
) -> TrainingOutcome:
    """Train in place and leave the network in eval() (with the best weights, under `patience`).

    `base` are the modules that `set_mode` wants. With a `folder`, progress is kept there and taken up
    again. Raises Diverged when the loss is not finite, and what `GradientCheck` raises.
    """
    check = GradientCheck(network)

    def objective(batch: Batch, step: int) -> Tensor:
        assert batch.targets is not None
        return F.cross_entropy(network(batch.data), batch.targets, label_smoothing=recipe.label_smoothing)

    return train_network(
        network, data.source(seed), objective, recipe, seed, state=adapter_state(network), folder=folder,
        checkpoint_every=checkpoint_every, validate=validate, set_mode=lambda: set_mode(network, base),
        after_backward=lambda step: None if check.done else check.after_backward(), report=tell,
    )  # fmt: skip


def base_modules(network: nn.Module) -> Collection[nn.Module]:
    """The modules that `set_mode` wants, taken before a method adds its own.

    Weakly: what a method takes out is not kept alive. Ids would not do, since a module that is added
    may get the id of one that is gone.
    """
    return WeakSet(network.modules())
