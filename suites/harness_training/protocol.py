"""The protocol `training`: train a network from scratch, tune it on held-out images, and measure it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Cell, Dataset, Job, Predictions, Result
from harness.inference.splits import find_test_split, training_split, validation_split
from harness_networks.contracts import BuildsNetworks
from harness_training.recipes import TrainingRecipe
from harness_training.training_options import TrainingOptions

TITLES = {
    "gap": "Train − test top-1",
    "macs": "MACs",
    "seconds_per_epoch": "Time per epoch (s)",
    "training_seconds": "Training time (s)",
    "tuning_seconds": "Tuning time (s)",
    "training_samples_per_second": "Images per second, in training",
    "training_peak_memory": "Peak GPU memory in training (B)",
    "training_bytes": "Training state (B)",
    "steps": "Steps",
    "epochs": "Epochs",
    "overfit_epoch": "Overfit from epoch",
    "best_epoch": "Best epoch",
    "held_out_top1": "Held-out top-1",
    "peeked_top1": "Best epoch's test top-1 (chosen on the test images)",
    "chosen_rate": "Learning rate",
}
"""What tables call the numbers of a training."""


class TrainingProtocol(TrainingOptions):
    """Trains a network by a recipe on a data set's training images, and evaluates it on its test split.

    All choices (learning rate, early stopping, best epoch, plateau) are made on held-out images: the split
    `val` if it is not the tested one, else `holdout` of the training images. The same are held out for all
    models, recipes and seeds. Test images are looked at once, after training.

    Seeds of a configuration train together where the network can be stacked; each has the numbers of a
    training alone, up to floating point. Times are then divided by their number.

    Axis: `images`, the number of training images ("all" or absent: all but those held out); the same are
    drawn for every model, recipe and seed, and fewer are some of more.

    Args:
        epochs: passes over the training images, for all recipes; by default each recipe's own.
        steps: updates, in place of epochs.
        size: side of the images in pixels: they are resized (shorter side) and cropped (centre).
        grey: convert images to grey.
        scale: input range: `standard` (zero mean and unit deviation of each channel over the training
            images), `unit` (0 to 1), `centred` (−1 to 1), `imagenet` (ImageNet's mean and deviation),
            `caffe` (BGR from 0 to 255 minus ImageNet's mean, as Keras' VGG and ResNet weights want), or
            `model` (what a pre-trained network's weights expect).
        shuffle_pixels: move the pixels of all images by one fixed permutation, which destroys what is near what.
        holdout: share of the training images (below 1), or number of images per class, that is held out if
            there is no split `val` besides the tested one; 0 holds none out, so nothing is chosen.
        trials: number of learning rates to tune over, the same for every recipe, evenly in the logarithm
            over the recipe's own span; 1 takes the recipe's rate.
        edge: whether a best rate at the end of its span is a remark, or fails the cell.
        evaluate_epochs: epochs between two evaluations on the held-out images.
        targets: held-out accuracies whose first reach is timed.
        peek: also evaluate the test images in every evaluation, and report the best of them beside the
            honest number, as some papers do.
        train_samples: number of training images, drawn once, for the training accuracy.
        split: split to test on; by default the test split, else the validation split.
        together: seeds that train at once if the network can be stacked.
        devices: processes (a GPU each, or CPU) that share one training.
        hold: whether decoded images are kept in memory; `auto` does up to 2 GiB.
        checkpoint_every: steps between checkpoints, from which a killed run resumes.
    """

    needs = (BuildsNetworks,)
    target_kinds = ("label",)
    provides = (Predictions,)
    axes = ("images",)
    own_numbers = (
        "gap", "*_to.*", "overfit_epoch", "best_epoch", "held_out_top1", "peeked_top1", "chosen_rate", "macs", "epochs", "steps",
        "*_seconds", "*_bytes", "*_per_second", "seconds_per_epoch", "training_*", "parameters", "trainable_parameters",
        "*.train",
    )  # fmt: skip
    needs_method = True
    titles: ClassVar = TITLES
    directions: Mapping[str, bool] = {"gap": False, "held_out_top1": True, "peeked_top1": True}
    units: ClassVar = dict.fromkeys(("gap", "held_out_top1", "peeked_top1"), "fraction")
    smallest: ClassVar = {
        "epochs": 1,
        "size": 8,
        "checkpoint_every": 2,
        "cell": {
            "models": [{"plugin": "mlp", "hidden": [8]}],
            "datasets": ["digits"],
            "methods": [{"plugin": "recipe", "epochs": 1, "batch": 16}],
            "metrics": ["top1"],
            "limit": 48,
        },
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this network can't be trained by this recipe on this data set, or None."""
        if not isinstance(method, TrainingRecipe):
            return "the protocol 'training' needs a recipe: name one under `methods`, such as recipe or tv90"
        if not _takes_shape_and_classes(model):
            return "its build() takes no shape of images and number of classes: choose mlp, lenet5 or extractor-team"
        if training_split(dataset.splits) is None:
            return "the data set has no split 'train'"
        found = find_test_split(dataset.splits, self.split)
        if found.refusal:
            return found.refusal
        if found.name == training_split(dataset.splits):
            return f"split '{found.name}' is what networks train on: choose another one to test on"
        if method.greedy and not hasattr(model, "stages"):
            return "greedy training needs a network with stages, such as small-cnn or extractor-team"
        if self.devices > 1 and (method.greedy or method.train == "head"):
            return "a recipe that trains a part of the network runs on one device: set devices = 1"
        if self.epochs is None and self.steps is None and method.epochs is None:
            return "neither the protocol nor the recipe gives epochs or steps"
        images = axes.get("images", "all")
        if images != "all" and (not isinstance(images, int) or isinstance(images, bool) or images < 1):
            return f"images must be a positive whole number or 'all', not {images!r}"
        chooses = self.trials > 1 or method.uses_held_out
        if chooses and not self.holdout and validation_split(dataset.splits, found.name) is None:
            return "the recipe chooses by held-out images: give holdout, a share of the training images"
        classes = (
            len(getattr(dataset, "class_names", None) or ()) or getattr(dataset, "num_classes", None) or 2
        )
        unfit: str | None = (
            model.fits((self.channels, self.size, self.size), classes) if hasattr(model, "fits") else None
        )
        return unfit

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split to test on, and that a rate is not tuned."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def seeds_at_once(self, cell: Cell) -> int:
        """Return how many seeds of a configuration may train together."""
        return self.together if self.devices == 1 else 1

    def run(self, job: Job) -> Result:
        """Tune, train and measure one seed."""
        return self.run_many([job])[0]

    def run_many(self, jobs: Sequence[Job]) -> list[Result]:
        """Tune, train and measure seeds of one configuration."""
        from harness_training.training_cell import TrainingCell

        return TrainingCell(self, jobs).results()


def _takes_shape_and_classes(model: Any) -> bool:
    """Return whether a model's `build` is that of `BuildsNetworks`: others, too, have a method of this name."""
    try:
        inspect.signature(model.build).bind((3, 32, 32), 2)
    except TypeError:
        return False
    return True
