"""The method of a training from scratch: optimiser, schedule, loss, augmentation and regularisation.

`recipe` is plain SGD, to be changed by options; the named recipes are published ones. An option that is not
given keeps the recipe's own value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from harness import OptionError
from harness.learning.augmentation_names import read_augmentation_step
from harness.learning.recipe import Recipe, steps_for

Loss = Literal["cross-entropy", "categorical-hinge", "bce"]

_KEPT_BY_RECIPE = (
    "optimizer", "optimizer_options", "schedule", "schedule_options", "schedule_by", "warmup", "warmup_rate",
    "weight_decay", "decay_vectors", "label_smoothing", "mixup", "cutmix", "clip_norm", "accumulate", "ema",
    "patience", "keep_best", "last",
)  # fmt: skip


class TrainingRecipe:
    """SGD with momentum 0.9 at a constant rate of 0.1, in batches of 32, changed by options.

    Args:
        optimizer: an optimiser of torch or timm (sgd, adam, adamw, rmsprop, lamb, …).
        rate: learning rate without tuning.
        rates: first and last learning rate of the tuning, if the protocol has trials; by default a tenth
            of `rate` and ten times it.
        optimizer_options: further arguments of the optimiser: momentum, nesterov, betas, eps, ….
        schedule: how the rate falls: cosine, step, multistep, constant, one-cycle, inverse, plateau, ….
        schedule_options: further arguments of the schedule: decay_t, decay_rate, patience, mode, ….
        schedule_by: whether the schedule counts in steps or epochs.
        warmup: share of the schedule's steps or epochs (below 1), or their number, in which the rate rises.
        warmup_rate: rate at the start of the warm-up.
        weight_decay: decay of matrices and kernels.
        decay_vectors: whether biases and norms decay, too.
        loss: cross-entropy; Keras' categorical hinge, on softmax outputs; or binary cross-entropy per class.
        threshold: with the binary cross-entropy, the share of a class above which an image counts as wholly of
            it, so that a mixed image belongs to both its classes; without one, shares count as they are.
        label_smoothing: share of each target that is spread evenly over the classes.
        augmentation: changes to the training images, each a name or a table of `name` and its options, see
            `harness.learning.batch_augmentation`.
        mixup: parameter of mixup's Beta distribution; 0 disables it.
        cutmix: parameter of CutMix's Beta distribution; 0 disables it.
        batch: images per update.
        last: an epoch's incomplete last batch: `keep` it, `drop` it, or divide the epoch into `even` batches.
        epochs: length of the training where the protocol does not give one.
        clip_norm: largest norm of the gradient; 0 for no limit.
        accumulate: parts that each batch is computed in.
        ema: decay of the moving average of the weights; 0 disables it.
        patience: evaluations in a row without a better held-out score, after which training stops with the
            best weights; 0 disables it.
        keep_best: restore the weights of the best evaluation at the end.
        judge: what an evaluation's score is, and what the rate is tuned by: the accuracy, or the negative loss.
        train: train the whole network, or only its head (of a pre-trained one).
        greedy: train the network's stages one after the other, each with an auxiliary head, then the head.
        then: a second recipe, which continues from the first one's weights.
    """

    plugin_kind = "methods"
    smallest: ClassVar[Mapping[str, Any]] = {"epochs": 1, "batch": 8}
    own: ClassVar[Mapping[str, Any]] = {}
    """What the named recipe changes of the plain one."""

    def __init__(
        self,
        optimizer: str | None = None,
        rate: float | None = None,
        rates: list[float] | None = None,
        optimizer_options: dict[str, Any] | None = None,
        schedule: str | None = None,
        schedule_options: dict[str, Any] | None = None,
        schedule_by: Literal["step", "epoch"] | None = None,
        warmup: float | None = None,
        warmup_rate: float | None = None,
        weight_decay: float | None = None,
        decay_vectors: bool | None = None,
        loss: Loss | None = None,
        threshold: float | None = None,
        label_smoothing: float | None = None,
        augmentation: list[str | dict[str, Any]] | None = None,
        mixup: float | None = None,
        cutmix: float | None = None,
        batch: int | None = None,
        last: Literal["keep", "drop", "even"] | None = None,
        epochs: float | None = None,
        clip_norm: float | None = None,
        accumulate: int | None = None,
        ema: float | None = None,
        patience: int | None = None,
        keep_best: bool | None = None,
        judge: Literal["accuracy", "loss"] | None = None,
        train: Literal["all", "head"] | None = None,
        greedy: bool | None = None,
        then: TrainingRecipe | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        plain = {
            "rate": 0.1,
            "batch": 32,
            "epochs": None,
            "loss": "cross-entropy",
            "threshold": None,
            "augmentation": (),
            "judge": "accuracy",
        }
        plain |= {
            "optimizer": "sgd",
            "schedule": "constant",
            "train": "all",
            "greedy": False,
            "rates": None,
            "then": None,
        }
        found = {**plain, **self.own, **{name: value for name, value in given.items() if value is not None}}
        if given["optimizer"] is not None and given["optimizer_options"] is None:
            found.pop("optimizer_options", None)  # another optimiser does not take the named recipe's
        if given["schedule"] is not None and given["schedule_options"] is None:
            found.pop("schedule_options", None)
        if found["loss"] != "bce" and given["threshold"] is None:
            found["threshold"] = None
        for name in ("clip_norm", "ema", "patience"):
            if not found.get(name, True):
                found[name] = None
        self.rate, self.batch, self.epochs = float(found["rate"]), int(found["batch"]), found["epochs"]
        self.rates: Sequence[float] = found["rates"] or (self.rate / 10, self.rate * 10)
        self.loss, self.augmentation, self.judge = found["loss"], list(found["augmentation"]), found["judge"]
        self.threshold = found["threshold"]
        self.train, self.greedy, self.then = found["train"], bool(found["greedy"]), found["then"]
        self._kept = {name: found[name] for name in _KEPT_BY_RECIPE if name in found}
        if min(self.rates) <= 0 or self.batch < 1 or (self.epochs is not None and self.epochs <= 0):
            raise OptionError("recipe: rates, batch and epochs must be above 0")
        if self.threshold is not None and (self.loss != "bce" or not 0 <= self.threshold < 1):
            raise OptionError("recipe: threshold must be from 0 to below 1, and goes with loss = 'bce' alone")
        if self.greedy and self.train == "head":
            raise OptionError("recipe: greedy trains all stages, and train = 'head' none: leave one out")
        for step in self.augmentation:
            read_augmentation_step(step)
        self.build_recipe(1, None, 1)  # says what is wrong before anything runs

    @property
    def phases(self) -> list[TrainingRecipe]:
        """The recipe and those that continue it, in order."""
        return [self, *(self.then.phases if self.then is not None else ())]

    @property
    def uses_held_out(self) -> bool:
        """Whether the training chooses by evaluations on held-out images."""
        kept, options = self._kept, self._kept.get("schedule_options") or {}
        watches = kept.get("schedule") == "plateau" and options.get("watch") == "score"
        later = self.then is not None and self.then.uses_held_out
        return bool(kept.get("patience") or kept.get("keep_best") or watches or later)

    def fingerprint(self) -> str:
        """Return the version of trainings from scratch, and a digest of all that the recipe resolves to.

        A named recipe that is changed in a later version is another one, and its cells run again.
        """
        told = [self._kept, self.rate, list(self.rates), self.batch, self.epochs, self.loss, self.threshold]
        told += [
            self.augmentation,
            self.judge,
            self.train,
            self.greedy,
            self.then and self.then.fingerprint(),
        ]
        return f"training-2 {hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]}"

    def build_recipe(
        self,
        samples: int,
        epochs: float | None,
        steps: int | None,
        *,
        evaluate_epochs: int = 1,
        **changes: Any,
    ) -> Recipe:
        """Return the recipe for that many samples and epochs or steps; `changes` replace fields.

        A batch larger than the data becomes all of it. Raises OptionError for an invalid value.
        """
        batch = min(self.batch, samples)
        made = Recipe(
            **{
                "steps": steps_for(samples, batch, epochs, steps, self._kept.get("last", "keep")),
                "batch": batch,
                "rate": self.rate,
                **self._kept,
                **changes,
            }
        )
        # a training that is shorter than the distance of evaluations is evaluated at its end
        every = min(evaluate_epochs * made.batches_per_epoch(samples), made.steps)
        return Recipe(**{**vars(made), "evaluate_every": every})


class KerasSgd(TrainingRecipe):
    """SGD with Nesterov's momentum 0.9 and Keras' decay of 1e-6 per update, as E.T. had: lr/(1 + 1e-6·t)."""

    own: ClassVar = {
        "optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": True}, "rate": 0.01,
        "schedule": "inverse", "schedule_options": {"decay": 1e-6}, "epochs": 800,
    }  # fmt: skip


class EtAdam(TrainingRecipe):
    """Adam at 1e-3, halved when the training loss stalls for 50 epochs (Keras' plateau), as E.T. had."""

    own: ClassVar = {
        "optimizer": "adam", "rate": 1e-3, "schedule": "plateau",
        "schedule_options": {"mode": "keras", "watch": "loss", "factor": 0.5, "patience": 50}, "epochs": 400,
    }  # fmt: skip


class Torchvision90(TrainingRecipe):
    """torchvision's classic recipe: SGD at 0.1 with momentum 0.9, a tenth every 30 of 90 epochs, decay 1e-4.

    Its reference scripts crop and flip; weight decay also touches biases and norms. Batch 256 in all.
    """

    own: ClassVar = {
        "optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": False}, "rate": 0.1, "batch": 256,
        "schedule": "step", "schedule_by": "epoch", "schedule_options": {"decay_t": 30, "decay_rate": 0.1},
        "weight_decay": 1e-4, "decay_vectors": True, "augmentation": ["resized-crop", "flip"], "epochs": 90,
    }  # fmt: skip


class TorchvisionNew(TrainingRecipe):
    """torchvision's recipe of 2021: 600 epochs of cosine with TrivialAugment, erasing, mixup, CutMix and an EMA.

    ResNet-50 reaches 80.86 with it, of which 0.16 come from training at 176 pixels, 0.22 from testing on a
    larger picture and 0.18 from repeated augmentation, which are not included. Unless `ema` is given, the
    average reaches over 1/25.6 of the updates: torchvision's decay, 0.99998 every 32 updates and adjusted to
    batch and epochs, is that on ImageNet. V. Vryniotis, "How to Train State-Of-The-Art Models Using
    TorchVision's Latest Primitives", 2021.
    """

    own: ClassVar = {
        "optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": False}, "rate": 0.5, "batch": 1024,
        "schedule": "cosine", "schedule_by": "epoch", "warmup": 5, "warmup_rate": 0.005, "weight_decay": 2e-5,
        "augmentation": ["resized-crop", "flip", "trivialaugment", {"name": "erasing", "p": 0.1}],
        "label_smoothing": 0.1, "mixup": 0.2, "cutmix": 1.0, "epochs": 600,
    }  # fmt: skip

    def build_recipe(
        self,
        samples: int,
        epochs: float | None,
        steps: int | None,
        *,
        evaluate_epochs: int = 1,
        **changes: Any,
    ) -> Recipe:
        """Return the recipe with an average over the last part of its updates, unless `ema` was given."""
        made = super().build_recipe(samples, epochs, steps, evaluate_epochs=evaluate_epochs, **changes)
        if "ema" in self._kept:
            return made
        return replace(made, ema=max(0.0, 1 - _UPDATES_OVER_AVERAGED / made.steps))


_UPDATES_OVER_AVERAGED = 2e-5 * 1_281_167
"""(1 − 0.99998) · ImageNet's images: torchvision's EMA forgets (1 − 0.99998)·batch/epochs at each update."""


def _strikes_back(rate: float, decay: float, epochs: int, magnitude: int, **others: float) -> dict[str, Any]:
    # timm's magnitudes are of 10, torchvision's of 30 for the same largest change
    policy = {"name": "randaugment", "num_ops": 2, "magnitude": 3 * magnitude}
    return {
        "optimizer": "lamb", "rate": rate, "batch": 2048, "schedule": "cosine", "schedule_by": "epoch", "warmup": 5,
        "warmup_rate": 1e-4, "schedule_options": {"lr_min": 1e-6}, "weight_decay": decay, "loss": "bce",
        "augmentation": ["resized-crop", "flip", policy], "cutmix": 1.0, "epochs": epochs, **others,
    }  # fmt: skip


class StrikesBackA1(TrainingRecipe):
    """Recipe A1 of "ResNet strikes back" (Wightman et al. 2021): 600 epochs, with which ResNet-50 reaches 80.4.

    LAMB, binary cross-entropy with smoothing 0.1, RandAugment (torchvision's operations, at 7 of 10), mixup
    and CutMix. Not included: repeated augmentation, stochastic depth (an option of some networks), the random
    magnitude (deviation 0.5), the crop ratio 0.95 in the test. Mixed images count by their shares.
    """

    own: ClassVar = _strikes_back(5e-3, 0.01, 600, 7, mixup=0.2, label_smoothing=0.1)


class StrikesBackA2(TrainingRecipe):
    """Recipe A2 of "ResNet strikes back": 300 epochs, with which ResNet-50 reaches 79.8.

    Without smoothing, and a mixed image belongs to both its classes (above a share of 0.2); the rest, and what
    is not included, is as in `A1`.
    """

    own: ClassVar = _strikes_back(5e-3, 0.02, 300, 7, mixup=0.1, threshold=0.2)


class StrikesBackA3(TrainingRecipe):
    """Recipe A3 of "ResNet strikes back": 100 epochs at 160 pixels, with which ResNet-50 reaches 78.1 at 224.

    It has neither repeated augmentation nor stochastic depth. Not included: the test at another size than the
    training's, the random magnitude of RandAugment (here 6 of 10). Targets are as in `A2`.
    """

    own: ClassVar = _strikes_back(8e-3, 0.02, 100, 6, mixup=0.1, threshold=0.2)
