"""Train an adapted network with the core's loop; its frozen parts stay in eval()."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from weakref import WeakSet

import torch.nn.functional as F
from torch import Tensor, nn

from harness.learning.loop import train
from harness.learning.pipeline import Batch
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_peft.trained_state import collect_trained_state
from harness_peft.training_checks import GradientCheck
from harness_peft.training_data import TrainingBatches


def set_mode(network: nn.Module, base: Collection[nn.Module]) -> None:
    """Put added modules and fully trainable ones into training mode; the rest stays in eval().

    `base` holds the modules from before the method: `train()` on all would enable dropout and change
    batch norm's statistics in frozen parts. Those statistics change only if the whole network trains.
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


def train_network(
    network: nn.Module,
    data: TrainingBatches,
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

    `base` is for `set_mode`. With a `folder`, progress is saved there and resumed from it. Raises
    Diverged if the loss is not finite, TrainingFault if a trainable tensor gets no gradient.
    """
    check = GradientCheck(network)

    def objective(batch: Batch, step: int) -> Tensor:
        assert batch.targets is not None
        return F.cross_entropy(network(batch.data), batch.targets, label_smoothing=recipe.label_smoothing)

    return train(
        network, data.make_source(seed), objective, recipe, seed, state=collect_trained_state(network), folder=folder,
        checkpoint_every=checkpoint_every, validate=validate, set_mode=lambda: set_mode(network, base),
        after_backward=lambda step: None if check.done else check.after_backward(), report=tell,
    )  # fmt: skip


def collect_base_modules(network: nn.Module) -> Collection[nn.Module]:
    """Return the modules for `set_mode`, collected before a method adds its own.

    References are weak, so that modules removed by a method are freed. Ids would not do, since an
    added module may reuse the id of a freed one.
    """
    return WeakSet(network.modules())
