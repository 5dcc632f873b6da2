"""Training on the shots of a task, with the recipe of CoOp's trainer unless a method has its own."""

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

    from harness_few_shot.task import Task

WARM_UP_RATE = 1e-5


def coop_recipe(samples: int, epochs: int, rate: float = 0.002, batch: int = 32) -> Recipe:
    """Return SGD as in CoOp's trainer: 1e-5 in the first epoch, then ½·rate·(1 + cos(π(e−1)/E)).

    The warm-up epoch sets the cosine back by one, so that the last rate is not zero. Momentum is 0.9 and
    weight decay 5e-4, for vectors too. Raises OptionError for a negative number of epochs.
    """
    if epochs < 0:
        raise OptionError(f"epochs must be 0 or more, got {epochs}")
    return Recipe(
        steps=steps_of(samples, epochs, batch),
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


def steps_of(samples: int, epochs: int, batch: int) -> int:
    """Return the updates of so many epochs; an incomplete last batch is dropped unless it is the only one."""
    return epochs * Recipe(0, batch, last="drop").batches_per_epoch(samples)


def epochs_for(shots: int, space: str = "") -> int:
    """CoOp's number of epochs: 50 for one shot, 100 for two and four, 200 for more; always 50 on ImageNet."""
    return 50 if shots <= 1 or space == "imagenet-1k" else 100 if shots <= 4 else 200


def embedded(task: Task, augment: bool) -> SampleSource:
    """Return the embeddings of the shots, kept ones or those of fresh random views in every epoch."""
    return HeldSamples(task.views if augment else task.features, task.labels)


def labels_of(batch: Batch) -> torch.Tensor:
    """Return a batch's labels, which shots always have."""
    assert batch.targets is not None
    return batch.targets


def learn(
    task: Task,
    parameters: Iterable[torch.nn.Parameter],
    source: SampleSource,
    objective: Objective,
    recipe: Recipe,
    *,
    beside: Sequence[torch.Tensor] = (),
    after_step: Callable[[int], object] | None = None,
    name: str = "training",
) -> None:
    """Train parameters on the shots, from where a kill left the training of that `name` in the task's folder.

    Tensors `beside` the parameters that `after_step` changes are continued with them. The curve goes into
    the task under the name. Raises what `harness.learning.loop.train` raises.
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
