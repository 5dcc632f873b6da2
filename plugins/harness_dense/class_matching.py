"""Which class of a data set each class of a model is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
    """Return the model's name by the data set's of pairs "theirs=model's".

    Raises OptionError for another form, and for a class that stands twice on one side.
    """
    pairs = [text.split("=") for text in aliases]
    wrong = [text for text, pair in zip(aliases, pairs) if len(pair) != 2 or not all(map(str.strip, pair))]
    if wrong:
        raise OptionError(
            f"{where}: aliases must be of the form data set's name=model's name, not '{wrong[0]}'"
        )
    known: dict[str, str] = {}
    for theirs, own in pairs:
        if (key := normalise_class_name(theirs)) in known:
            raise OptionError(f"{where}: aliases has two entries for the class '{theirs.strip()}'")
        if (other := normalise_class_name(own)) in known.values():
            raise OptionError(f"{where}: aliases give two classes the model's '{own.strip()}'")
        known[key] = other
    return known


def match_classes_by_name(
    model: Sequence[str],
    data: Sequence[str],
    aliases: Sequence[str] = (),
    where: str = "classes",
    training: str = "detector-training",
) -> MatchedClasses:
    """Match classes by name, however written, but two names of the data set that differ only in that as they are.

    A class that the model lacks counts as not found; what the model finds of other classes is dropped. An alias by a
    name that the model does not have is not used: a model that was trained on the data set has its names. What is lost
    so is remarked, and so are names of the data set that no other way of writing can tell apart. `training` is the
    method that teaches a model classes.

    Raises DataError, beginning with `where`, if no class is common, and for a data set with two of one name.
    """
    if not len(model):
        raise DataError(f"{where}: the model knows no classes yet: train it (methods = ['{training}'])")
    if len(exact := {name: place for place, name in enumerate(data)}) < len(data):
        twice = next(name for place, name in enumerate(data) if exact[name] != place)
        raise DataError(f"{where}: two of its classes are called '{twice}'")
    finds = {normalise_class_name(name) for name in model}
    theirs = {normalise_class_name(name) for name in data}
    given = read_aliases(aliases, where)
    known = {name: own for name, own in given.items() if name in theirs and own in finds}
    wanted: dict[str, int] = {}
    for place, name in enumerate(data):
        if (own := known.get(normalise_class_name(name))) is not None:
            wanted.setdefault(own, place)
    for place, name in enumerate(data):
        if (own := normalise_class_name(name)) not in known:
            wanted.setdefault(own, place)
    written = Counter(map(normalise_class_name, data))
    for name in [own for own in wanted if written[own] > 1 and own not in known.values()]:
        del wanted[name]
    places = np.array([_place_of_class(name, wanted, exact, known) for name in model], np.int64)
    missing = [name for place, name in enumerate(data) if place not in places]
    if len(missing) == len(data):
        near = did_you_mean(data[0], list(model)) or f"; its classes are {_list_names(model)}"
        raise DataError(
            f"{where}: the model finds none of the {len(data)} classes, such as '{data[0]}'{near}"
        )
    remarks = []
    idle = [name for name in given if name not in theirs or not {name, given[name]} & finds]
    if idle:
        remarks.append(
            f"{len(idle)} of {len(given)} aliases not used: the data set or the model has no such class "
            f"({_list_names([f'{name}={given[name]}' for name in idle])})"
        )
    if unclear := [name for name in missing if written[normalise_class_name(name)] > 1]:
        remarks.append(
            f"{len(unclear)} classes that differ in nothing but spelling ({_list_names(unclear)}) are matched only by their "
            "exact names"
        )
    if missing:
        remarks.append(
            f"the model does not know {len(missing)} of {len(data)} classes: not found ({_list_names(missing)})"
        )
    if dropped := int((places < 0).sum()):
        remarks.append(
            f"what the model finds of {dropped} class{'es' * (dropped > 1)} that the data set does not have is left out"
        )
    return MatchedClasses(places, missing, remarks)


def _place_of_class(
    name: str, wanted: Mapping[str, int], exact: Mapping[str, int], known: Mapping[str, str]
) -> int:
    """Return the place of the data set's class that a class of the model is, −1 for none."""
    own = normalise_class_name(name)
    if name in exact and own not in known and own not in known.values():
        return exact[name]
    return wanted.get(own, -1)


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
