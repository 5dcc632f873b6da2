"""Which class of a data set each class of a model is."""

from __future__ import annotations

from collections import Counter
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


def read_aliases(aliases: Sequence[str]) -> dict[str, str]:
    """Return the model's name by the data set's of pairs "theirs=model's".

    Raises OptionError for another form, and for a name that stands twice on one side.
    """
    pairs = [text.split("=") for text in aliases]
    if wrong := [
        text for text, pair in zip(aliases, pairs) if len(pair) != 2 or not all(map(str.strip, pair))
    ]:
        raise OptionError(
            f"detection: aliases must be of the form data set's name=model's name, not '{wrong[0]}'"
        )
    sides = [[normalise_class_name(pair[side]) for pair in pairs] for side in (0, 1)]
    for names, whose in zip(sides, ("data set's", "model's")):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise OptionError(f"detection: aliases name the {whose} class '{twice[0]}' twice")
    return dict(zip(*sides))


def match_detector_classes(
    model: Sequence[str], data: Sequence[str], aliases: Sequence[str] = (), where: str = "detection"
) -> MatchedClasses:
    """Match classes by name, however written. Raises DataError, beginning with `where`, if none is common.

    An alias counts for models that know the other word, so that one trained on the data set's own names keeps them; a
    name written alike comes before one written otherwise. A class that the model lacks counts as not found; what the
    model finds of other classes is dropped. Both are remarked.
    """
    if not len(model):
        raise DataError(
            f"{where}: the model knows no classes yet: train it (methods = ['detector-training'])"
        )
    others = read_aliases(aliases)
    own = [normalise_class_name(name) for name in data]
    exact, known = _group(model), _group([normalise_class_name(name) for name in model])
    twice = {name for name, count in Counter(own).items() if count > 1}
    places = np.full(len(model), -1, np.int64)
    for place, (name, spelling) in enumerate(zip(data, own)):
        other = others.get(spelling, spelling)
        found = known.get(other, []) if other not in own else []
        found = found or exact.get(name, [])
        if not found and spelling not in twice:
            found = known.get(spelling, [])
        places[found] = place
    missing = [name for place, name in enumerate(data) if place not in places]
    if len(missing) == len(data):
        near = did_you_mean(data[0], list(model)) or f"; its classes are {_show(model)}"
        raise DataError(
            f"{where}: the model finds none of the {len(data)} classes, such as '{data[0]}'{near}"
        )
    remarks = []
    if unused := [text for text, pair in zip(aliases, others) if pair not in own]:
        near = did_you_mean(unused[0].split("=")[0].strip(), list(data))
        remarks.append(f"no class of the data set is called as the alias '{unused[0]}' says{near}")
    if unclear := [name for name, spelling in zip(data, own) if spelling in twice and name in missing]:
        remarks.append(
            f"{len(unclear)} classes that differ in nothing but spelling ({_show(unclear)}) are matched only by their exact names"
        )
    if missing:
        remarks.append(
            f"the model does not know {len(missing)} of {len(data)} classes: not found ({_show(missing)})"
        )
    if dropped := int((places < 0).sum()):
        remarks.append(
            f"what the model finds of {dropped} class{'es' * (dropped > 1)} that the data set does not have is left out"
        )
    return MatchedClasses(places, missing, remarks)


def _group(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the places of each name."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return found


def _show(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
