"""Checks predictions before metrics use them, and restricts them to some classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness import DataError, Predictions


def check_predictions(predictions: Predictions) -> Predictions:
    """Return the same predictions if metrics are defined on them.

    Raises DataError for no samples, inconsistent shapes, a target outside the classes, and logits that are NaN
    or +inf (-inf is allowed: it masks a class).
    """
    logits, targets = predictions.logits, predictions.targets
    if logits.ndim != 2 or targets.ndim != 1 or len(logits) != len(targets):
        raise DataError(
            f"predictions: expected logits N×C and N targets, got shapes {logits.shape} and {targets.shape}"
        )
    if len(targets) == 0:
        raise DataError("predictions: there are no samples, so no metric is defined")
    outside = (targets < 0) | (targets >= logits.shape[1])
    if outside.any():
        where = int(outside.argmax())
        raise DataError(
            f"predictions: sample {_name_sample(predictions, where)} has target {int(targets[where])}, "
            f"but the logits are over {logits.shape[1]} classes"
        )
    # A sum is NaN or infinite if any logit is (or if it overflows): only then check every logit.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(logits.sum(dtype=np.float64))
    if suspicious:
        bad = (np.isnan(logits) | np.isposinf(logits)).any(axis=1)
        if bad.any():
            where = int(bad.argmax())
            raise DataError(
                f"predictions: sample {_name_sample(predictions, where)} has a logit that is NaN or infinite"
            )
    return predictions


def restrict_to_classes(predictions: Predictions, classes: Sequence[int]) -> Predictions:
    """Restrict predictions to `classes`: drop the other logits before the argmax.

    Accuracy on ImageNet-A, -R and ObjectNet is defined this way for a 1000-way classifier. Drop samples of
    other classes; label i becomes the position of class i in `classes`. Raises DataError if `classes` is
    empty, repeats an index, or holds an unknown one.
    """
    kept = np.asarray(classes, dtype=np.int64)
    width = predictions.logits.shape[1]
    if len(kept) == 0 or len(np.unique(kept)) != len(kept) or kept.min() < 0 or kept.max() >= width:
        raise DataError(
            f"class subset: expected distinct indices from 0 to {width - 1}, got {list(classes)[:8]}"
        )
    position = np.full(width, -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    inside = position[predictions.targets] >= 0
    names = predictions.class_names
    return Predictions(
        predictions.logits[inside][:, kept],
        position[predictions.targets[inside]],
        [name for name, keep in zip(predictions.ids, inside) if keep],
        [names[i] for i in kept] if names else (),
    )


def _name_sample(predictions: Predictions, index: int) -> str:
    return repr(predictions.ids[index]) if index < len(predictions.ids) else f"number {index}"
