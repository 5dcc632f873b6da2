"""Which class of a data set each class of a model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness import DataError, OptionError, did_you_mean
from harness.inference.classes import normalise_class_name

SHOWN = 5


@dataclass(frozen=True)
class MatchedClasses:
    """`places`: for each class of the model that of the data set, −1 if it has none; `missing`: those it lacks."""

    places: NDArray[np.int64]
    missing: list[str]
    remarks: list[str] = field(default_factory=list)


def read_aliases(aliases: Sequence[str], where: str) -> dict[str, str]:
    """Return the model's name by the data set's of pairs "theirs=model's". Raises OptionError for another form."""
    pairs = [text.split("=") for text in aliases]
    wrong = [text for text, pair in zip(aliases, pairs) if len(pair) != 2 or not all(map(str.strip, pair))]
    if wrong:
        raise OptionError(
            f"{where}: aliases must be of the form data set's name=model's name, not '{wrong[0]}'"
        )
    return {normalise_class_name(theirs): normalise_class_name(own) for theirs, own in pairs}


def match_classes_by_name(
    model: Sequence[str],
    data: Sequence[str],
    aliases: Sequence[str] = (),
    where: str = "classes",
    training: str = "detector-training",
) -> MatchedClasses:
    """Match classes by name, however written. Raises DataError, beginning with `where`, if none is common.

    A class that the model lacks counts as not found; what the model finds of other classes is dropped. Both are
    remarked. `training` is the method that teaches a model classes.
    """
    if not len(model):
        raise DataError(f"{where}: the model knows no classes yet: train it (methods = ['{training}'])")
    known = read_aliases(aliases, where)
    wanted: dict[str, int] = {}
    for place, name in enumerate(data):
        own = normalise_class_name(name)
        wanted.setdefault(known.get(own, own), place)
    places = np.array([wanted.get(normalise_class_name(name), -1) for name in model], np.int64)
    missing = [name for place, name in enumerate(data) if place not in places]
    if len(missing) == len(data):
        near = did_you_mean(data[0], list(model)) or f"; its classes are {_list_names(model)}"
        raise DataError(
            f"{where}: the model finds none of the {len(data)} classes, such as '{data[0]}'{near}"
        )
    remarks = []
    if missing:
        remarks.append(
            f"the model does not know {len(missing)} of {len(data)} classes: not found ({_list_names(missing)})"
        )
    if dropped := int((places < 0).sum()):
        remarks.append(
            f"what the model finds of {dropped} class{'es' * (dropped > 1)} that the data set does not have is left out"
        )
    return MatchedClasses(places, missing, remarks)


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
