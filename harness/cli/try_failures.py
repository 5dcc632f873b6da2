"""Why `harness try` has no number, and remarks, in the words of its own options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.inference.splits import find_test_split

if TYPE_CHECKING:
    from harness.contract.cells import Cell

SPLIT_OPTION = "(split = …)"
NAMES_SHOWN = 4

_PLACE = re.compile(r"^suite \S+, \w+: (?:(?:model|data set) '[^']*': )?")
_NUMBER_OF_HEAD = re.compile(r"but num_classes is (\d+)")


def leave_out_place(text: str) -> str:
    """Return an error's text without its place in the suite that the command made up itself."""
    return _PLACE.sub("", " ".join(text.split()))


def name_flags(text: str, splits: Sequence[str] = ()) -> str:
    """Return a remark or refusal with the command's flag in place of a suite's option."""
    name = splits[0] if len(splits) == 1 else "NAME"
    return text.replace(SPLIT_OPTION, f"(--split {name})")


def explain_failure(reason: str, content: Mapping[str, Any], cell: Cell, split: str | None = None) -> str:
    """Return why there is no number, on one line, with what may help."""
    text = name_flags(" ".join(reason.split()), ask(cell.dataset.object, "splits") or ())
    entry = content["models"][0]
    if "give num_classes or class_names" in text:
        return f"{text} (here: --class-names FILE)"
    if "has no output for" in text:
        return f"{text}{_explain_names(cell, split)}"
    if "num_classes" not in entry:
        return text.replace("give class_names", "give --class-names FILE")
    text = text.removesuffix(": give class_names")
    if "classes" not in text:
        return f"{text}: give --class-names FILE" if "class_names" in text else text
    count = entry["num_classes"]
    word = "class" if count == 1 else "classes"
    said = f"the data set '{cell.dataset.label}' has {count} {word}{_list_classes(cell, split)}"
    told = _NUMBER_OF_HEAD.sub(lambda _: f"but {said}", text)
    if told == text:
        told = f"{text} ({said})"
    return f"{told}: --class-names FILE with the names of the model's outputs matches them by name"


def _list_classes(cell: Cell, split: str | None) -> str:
    """Return the names of few classes, and of those that have no sample, in words that follow their number."""
    names, targets = _read_classes(cell.dataset.object, split)
    if not names:
        return ""
    shown = f" ({_quote(names)})" if len(names) <= NAMES_SHOWN else ""
    empty = [name for label, name in enumerate(names) if label not in targets] if targets else []
    return (
        f"{shown}, of which {_quote(empty)} {'has' if len(empty) == 1 else 'have'} no sample"
        if empty
        else shown
    )


def _explain_names(cell: Cell, split: str | None) -> str:
    """Return where the model's names are from, and which classes have no sample, as the tail of a message."""
    names, targets = _read_classes(cell.dataset.object, split)
    empty = [name for label, name in enumerate(names) if label not in targets] if targets else []
    said = [f"without a sample: {_quote(empty)}"] if empty else []
    return "".join(f"; {text}" for text in [*(cell.model.remarks if cell.model else ()), *said])


def _read_classes(data: Any, split: str | None) -> tuple[list[str], set[int]]:
    """Return a data set's classes and the labels of its tested split; empty if they can't be read."""
    try:
        tested = find_test_split(data.splits, split).name
        opened = data.load(tested) if tested else None
        found = ask(opened, "class_names") or ask(data, "class_names")
        labels = opened.targets if opened is not None else ()
    except HarnessError:  # the reason is another
        return [], set()
    names = [] if not found or isinstance(found, str | Path) else list(map(str, found))
    return names, {int(label) for label in labels if isinstance(label, int | np.integer)}


def _quote(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:NAMES_SHOWN]) + more
