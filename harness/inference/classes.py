"""Matching of a classifier's outputs to a data set's classes: by name, by label space, or by assumption."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.errors import DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Sequence[Sequence[int]]
"""For each class, the outputs that count as it."""

SIZES: Mapping[str, int] = {"imagenet-1k": 1000, "cifar-10": 10, "cifar-100": 100}
"""Numbers of classes of the known label spaces."""

_WORDNET_ID = re.compile(r"n\d{8}")
# a minus or a trailing hyphen is no separator: `-1` is not `1`, and `rh-` not `rh`
_SEPARATORS = re.compile(r"(?:[\s_]|(?!^-\d)(?!-$)-)+")
_NUMBERING = re.compile(r"^\s*\d+(?:[.:,;)]\s*|\s+)(?=\S)")
NAMES_SHOWN = 3
NAME_LENGTH = 40


@dataclass(frozen=True)
class Classes:
    """What one side, a model or a data set, says of its classes; None if it says nothing."""

    space: str | None = None
    names: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    """Other names of the same classes: folders, WordNet ids; of a model, the names in its label space."""
    count: int | None = None
    indices: tuple[tuple[int, ...], ...] | None = None
    """For each class, its indices in the label space."""
    order: str = ""
    """A remark for when the order of a data set's classes decides."""

    @classmethod
    def of(cls, *things: Any) -> Classes:
        """Return what light or loaded objects say; for each fact, the first object that states it counts."""

        def first(name: str) -> Any:
            found = (ask(thing, name) for thing in things)
            return next((value for value in found if value is not None), None)

        space: str | None = first("label_space") or None
        names, keys = (_texts([ask(t, n) for t in things]) for n in ("class_names", "class_keys"))
        count = len(names) if names else first("num_classes")
        # a data set, which has splits, may hold only a part of its label space
        if count is None and space in SIZES and all(ask(t, "splits") is None for t in things):
            count = SIZES[str(space)]
        groups = first("label_indices")
        indices = None if groups is None else tuple(tuple(int(i) for i in group) for group in groups)
        return cls(space, names, keys, count, indices, first("class_order") or "")


@dataclass(frozen=True)
class ClassAlignment:
    """How a model's outputs and a data set's classes correspond, or why they don't."""

    columns: Columns | None = None
    """None: output i is class i."""
    refusal: str | None = None
    remarks: list[str] = field(default_factory=list)
    how: str = field(default="", compare=False)
    """What decided: `name`, `label space`, or `order` if it was assumed; empty if nothing did yet."""


def align_classes(model: Classes, data: Classes, planning: bool = False) -> ClassAlignment:
    """Return which outputs correspond to the data set's classes.

    Names decide if both sides state them, else equal label spaces. Otherwise the numbers of outputs and
    classes must be equal, and the order is assumed, with a remark. `planning` is for light objects, whose
    data set may name its classes once it is loaded: nothing is assumed yet.
    """
    same_space = model.space is not None and model.space == data.space
    if model.space and data.space and not same_space:
        return ClassAlignment(
            refusal=f"the model answers in the label space '{model.space}', the data set's is '{data.space}': "
            "choose a model for that, or one that encodes images and texts"
        )
    if model.names and data.names:
        if (named := _align_by_name(model, data)).refusal is None or not same_space:
            return named
        if data.indices is None and (wrong := _find_contradiction(model, data)):
            return ClassAlignment(refusal=wrong)
    elif model.keys and data.names and data.indices is None:
        named = _align_by_name(replace(model, names=model.keys), data)
        if named.refusal is None or model.count != data.count:
            return named
    if data.indices is not None and (same_space or model.space is None):
        return _align_by_index(model, data, same_space)
    if model.count is not None and data.count is not None and model.count != data.count:
        return ClassAlignment(refusal=_explain_counts(model, data, same_space))
    if planning and model.names and not data.names:
        return ClassAlignment()
    remarks = [data.order] if data.order else []
    how = "label space" if same_space else "order"
    if not same_space:
        remarks.insert(0, _describe_assumption(model, data))
    elif model.names and data.names:
        remarks.insert(
            0, f"{_describe_differences(model, data)}: the order of the label space '{model.space}' was taken"
        )
    return ClassAlignment(remarks=remarks, how=how)


def check_same_classes(one: Any, other: Any, where: str) -> list[str]:
    """Return a remark if only one of a data set's two splits names its classes; `where` starts messages.

    Raises DataError if they name them differently: what is learned on one split would be tested against
    other classes.
    """
    ours, theirs = (_texts([ask(split, "class_names")]) for split in (one, other))
    if bool(ours) != bool(theirs):
        which = "tested" if ours else "learned from"
        return [
            f"{where}: the split that is {which} does not name its classes: its labels were assumed to mean the other's"
        ]
    if not ours or not theirs or ours == theirs:
        return []
    n = next(i for i, (a, b) in enumerate(zip_longest(ours, theirs)) if a != b)
    first, second = (f"'{names[n]}'" if n < len(names) else "missing" for names in (ours, theirs))
    raise DataError(
        f"{where}: its splits name their classes differently: class {n} is {first} in one, {second} in another"
    )


def map_logits_to_classes(logits: NDArray[Any], columns: Columns | None) -> NDArray[Any]:
    """Return logits N×K over a model's outputs as logits N×C over classes.

    A class with several outputs takes the largest of them, so that top-1 is the same as if any of them
    counted as right.
    """
    import numpy as np

    if columns is None:
        return logits
    if all(len(group) == 1 for group in columns):
        return logits[:, [group[0] for group in columns]]
    return np.stack([logits[:, list(group)].max(axis=1) for group in columns], axis=1)


def normalise_class_name(name: str) -> str:
    """Return a name without differences of writing: case, `_`, `-`, spaces, Unicode forms."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    return " ".join(re.sub(_SEPARATORS, " ", text).split())


def synonyms(name: str) -> set[str]:
    """Return the names in a WordNet entry, "n01440764 tench, Tinca tinca", normalised."""
    parts = {normalise_class_name(part) for part in name.split(",")}
    wordnet = _WORDNET_ID.match(normalise_class_name(name))
    if wordnet:
        parts |= {wordnet[0], *(part.removeprefix(wordnet[0]).strip() for part in parts)}
    return parts - {""}


def _texts(candidates: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the first candidate that is a list of texts; an option may hold a file of them, or nothing."""
    for found in candidates:
        if found is not None and not isinstance(found, str | Path) and len(found):
            return tuple(map(str, found))
    return None


def _align_by_name(model: Classes, data: Classes) -> ClassAlignment:
    """Align by the data set's names, else by its keys; if neither match entirely, refuse with the difference."""
    assert model.names
    assert data.names
    attempts = []
    for wanted in (data.names, data.keys):
        if wanted is None:
            continue
        if wanted == model.names:
            return ClassAlignment(how="name")
        attempts.append((_lookup(model.names).places(wanted), wanted))
        places, _ = attempts[-1]
        if all(len(p) == 1 for p in places) and len({p[0] for p in places}) == len(places):
            columns = [(p[0],) for p in places]
            return ClassAlignment(columns, remarks=_remark_order(columns, len(model.names)), how="name")
    places, wanted = max(attempts, key=lambda a: sum(len(p) == 1 for p in a[0]))
    return ClassAlignment(refusal=_explain_unmatched(model.names, wanted, places))


@lru_cache(maxsize=16)
def _lookup(names: tuple[str, ...]) -> _Lookup:
    return _Lookup(names)


class _Lookup:
    """Indices of names among others: as written, else normalised, else by one of several synonyms."""

    def __init__(self, names: Sequence[str]) -> None:
        self.levels: list[dict[str, list[int]]] = [{}, {}, {}]
        for place, name in enumerate(names):
            for level, forms in enumerate(({name}, {normalise_class_name(name)}, synonyms(name))):
                for form in forms:
                    self.levels[level].setdefault(form, []).append(place)

    def places(self, wanted: Sequence[str]) -> list[list[int]]:
        """Return the possible indices of each name: one if certain, none, or several."""
        return [self._places(name) for name in wanted]

    def _places(self, name: str) -> list[int]:
        for level, forms in zip(
            self.levels, ({name}, {normalise_class_name(name)}, synonyms(name)), strict=True
        ):
            if found := sorted({place for form in forms for place in level.get(form, ())}):
                return found
        return []


def _remark_order(columns: Columns, outputs: int) -> list[str]:
    if len(columns) < outputs:
        return [f"{len(columns)} of the model's {outputs} outputs are read, those with the classes' names"]
    if any(group != (i,) for i, group in enumerate(columns)):
        return ["the outputs of the model were put into the order of the classes, by name"]
    return []


def _explain_unmatched(known: Sequence[str], wanted: Sequence[str], places: Sequence[Sequence[int]]) -> str:
    missing = [name for name, found in zip(wanted, places, strict=True) if not found]
    if missing:
        near = nearest(missing[0], known)
        some = ", ".join(f"'{shorten(name, NAME_LENGTH, placeholder='…')}'" for name in known[:NAMES_SHOWN])
        some += ", …" if len(known) > NAMES_SHOWN else ""
        if _match_without_numbers(missing[0], known):
            text = f"the names of the model's outputs are numbered, as in '{known[0]}'"
            return f"{text}: without the numbers they would match the data set's, such as '{missing[0]}'"
        hint = f"did you mean '{near}'?" if near else f"its outputs are {some}"
        text = f"the model has no output for {len(missing)} of the data set's {len(wanted)} classes, '{missing[0]}'"
        return f"{text}{' first' if len(missing) > 1 else ''}; {hint}"
    n = next((i for i, found in enumerate(places) if len(found) > 1), None)
    if n is not None:
        shown = " and ".join(f"'{known[p]}'" for p in places[n][:NAMES_SHOWN])
        return f"the data set's class '{wanted[n]}' may be any of the model's outputs {shown}: rename one"
    seen: dict[int, str] = {}
    for name, found in zip(wanted, places, strict=True):
        if found[0] in seen:
            return (
                f"the data set's classes '{seen[found[0]]}' and '{name}' both may be the model's output "
                f"'{known[found[0]]}': rename one"
            )
        seen[found[0]] = name
    raise AssertionError("all names were matched")


def _match_without_numbers(wanted: str, known: Sequence[str]) -> bool:
    """Return whether a name is among others once the number that each of them begins with is left out."""
    bare = [_NUMBERING.sub("", name) for name in known]
    return all(map(str.__ne__, bare, known)) and normalise_class_name(wanted) in map(
        normalise_class_name, bare
    )


def _find_contradiction(model: Classes, data: Classes) -> str | None:
    """Return why names contradict the order of an equal label space (one is at another index), or None."""
    assert model.names
    assert data.names
    for wanted in (data.names, data.keys or ()):
        for place, (name, found) in enumerate(zip(wanted, _lookup(model.names).places(wanted), strict=True)):
            if found and place not in found:
                return (
                    f"the model's output {found[0]} and the data set's class {place} are both named '{name}', "
                    f"though both sides say the label space '{model.space}', and not all names match: "
                    f"{_align_by_name(model, data).refusal}"
                )
    return None


def _describe_differences(model: Classes, data: Classes) -> str:
    assert model.names
    assert data.names
    places = _lookup(model.names).places(data.names)
    odd = [i for i, found in enumerate(places) if found != [i]]
    first = odd[0] if odd else 0
    return (
        f"{len(odd)} of {len(data.names)} classes are named otherwise by the model than by the data set "
        f"('{model.names[first]}' for '{data.names[first]}')"
    )


def _align_by_index(model: Classes, data: Classes, same_space: bool) -> ClassAlignment:
    assert data.indices is not None
    highest = max(max(group) for group in data.indices)
    if model.count is not None and highest >= model.count:
        return ClassAlignment(
            refusal=f"the data set's classes reach index {highest} of their label space, the model gives "
            f"{model.count} outputs"
        )
    remarks = [] if same_space else [_describe_assumption(model, data)]
    return ClassAlignment(data.indices, remarks=remarks, how="label space" if same_space else "order")


def _explain_counts(model: Classes, data: Classes, same_space: bool) -> str:
    text = f"the model has {model.count} outputs, the data set {data.count} classes"
    if same_space:
        return f"{text}, though both say the label space '{model.space}'"
    assert model.count is not None
    assert data.count is not None
    if model.names or model.count < data.count:
        return text
    return f"{text}: the model's class_names would tell which outputs these are"


def _describe_assumption(model: Classes, data: Classes) -> str:
    if data.indices is not None:
        return (
            f"the outputs of the model were assumed to be those of the label space '{data.space}', in its order: "
            "it names neither them nor a label space"
        )
    who = "the data set's classes have no names" if model.names else "its outputs have no names"
    return f"output i of the model was assumed to be class i of the data set: {who}, and they share no label space"
