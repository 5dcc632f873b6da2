"""Training on a task's shots, with the recipe of CoOp's trainer unless a method has its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness import OptionError
from harness.learning.loop import Objective, train
from harness.learning.pipeline import Batch, HeldSamples, SampleSource
from harness.learning.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from harness_few_shot.task import FewShotTask

WARM_UP_RATE = 1e-5


def coop_recipe(samples: int, epochs: int, rate: float = 0.002, batch: int = 32) -> Recipe:
    """Return SGD as in CoOp's trainer: rate 1e-5 in the first epoch, then ½·rate·(1 + cos(π(e−1)/E)).

    The warm-up epoch delays the cosine by one, so the last rate is not zero. Momentum is 0.9, weight decay
    5e-4, for vectors too. Raises OptionError for a negative number of epochs.
    """
    if epochs < 0:
        raise OptionError(f"epochs must be 0 or more, got {epochs}")
    return Recipe(
        steps=count_steps(samples, epochs, batch),
        batch=batch,
        rate=rate,
        optimizer="sgd",
        optimizer_options={"momentum": 0.9},
        schedule_by="epoch",
        period=max(epochs, 1),
        warmup=1,
        warmup_rate=WARM_UP_RATE,
        weight_decay=5e-4,
        decay_vectors=True,
        last="drop",
    )


def count_steps(samples: int, epochs: int, batch: int) -> int:
    """Return the number of updates in `epochs`; an incomplete last batch is dropped unless it is the only one."""
    return epochs * Recipe(0, batch, last="drop").batches_per_epoch(samples)


def coop_epochs(shots: int, space: str = "") -> int:
    """Return CoOp's number of epochs: 50 for one shot, 100 for two to four, 200 for more; 50 on ImageNet."""
    return 50 if shots <= 1 or space == "imagenet-1k" else 100 if shots <= 4 else 200


def embedding_source(task: FewShotTask, augment: bool) -> SampleSource:
    """Return the shots' embeddings as a training source: cached, or of new random views in every epoch."""
    return HeldSamples(task.views if augment else task.features, task.labels)


def batch_labels(batch: Batch) -> torch.Tensor:
    """Return a batch's labels; shots always have them."""
    assert batch.targets is not None
    return batch.targets


def train_on_shots(
    task: FewShotTask,
    parameters: Iterable[torch.nn.Parameter],
    source: SampleSource,
    objective: Objective,
    recipe: Recipe,
    *,
    beside: Sequence[torch.Tensor] = (),
    after_step: Callable[[int], object] | None = None,
    name: str = "training",
) -> None:
    """Train parameters on the shots, resuming a killed training of that `name` in the task's folder.

    `beside` holds further tensors, changed by `after_step`, that are saved and resumed with the parameters.
    The curve is stored in the task under `name`. Raises as `harness.learning.loop.train`.
    """
    trained = list(parameters)
    done = train(
        trained,
        source,
        objective,
        recipe,
        task.seed,
        state={str(n): t.detach() for n, t in enumerate([*trained, *beside])},
        folder=task.folder and task.folder / name,
        after_step=after_step,
        report=lambda step, values: task.report(name, step, values),
        advance=task.advance,
    )
    if done.steps:
        task.curves[name] = done.epochs(len(source), recipe)
    task.cost["trainable_parameters"] = float(sum(p.numel() for p in trained))
