"""Remarks and refusals, from plugins' wording to one that uses the labels of a suite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.contract.cells import Cell
from harness.contract.declared import ask

UNNAMED = re.compile(r"\bthe (model|method|data set)\b(?!['’]| ')")
"""A part that a protocol mentions: it knows objects, not what a suite calls them."""

SAME = " is the same as "
"""Wording of a plan for two names that share one record; a stored record may have it for names of another plan."""


def label_remark(text: str, cell: Cell) -> str:
    """Add labels to the parts that a reason or remark mentions; if it mentions none, append model and method."""
    parts = {"model": cell.model, "method": cell.method, "data set": cell.dataset}
    labels = {word: part.label for word, part in parts.items() if part}
    named = UNNAMED.sub(lambda m: f"{m[0]} '{labels[m[1]]}'" if m[1] in labels else m[0], text)
    if named != text:
        return named
    here = [f"{word} '{label}'" for word, label in labels.items() if word != "data set"]
    return f"{text} (here: {', '.join(here)})" if here else text


def relabel_remarks(texts: Iterable[str], moved: Mapping[str, str]) -> list[str]:
    """Return remarks with parts' old labels replaced by today's; `moved` maps old to new.

    A remark with both labels is about the two, and stays. Remarks with `SAME` are dropped: the plan adds its own.
    """
    texts = [text for text in texts if SAME not in text]
    if not moved:
        return texts
    some = "|".join(map(re.escape, sorted(moved, key=len, reverse=True)))
    where = re.compile(f"^(?:{some})(?=: )|(?<=')(?:{some})(?=')")
    return [
        text
        if any(f"'{new}'" in text for new in moved.values())
        else where.sub(lambda found: moved[found[0]], text)
        for text in texts
    ]


def remarks_of(thing: Any) -> tuple[str, ...]:
    """Return the remarks of a plugin object or a split, each on one line."""
    return normalise_remarks(ask(thing, "remarks"))


def normalise_remarks(given: Any) -> tuple[str, ...]:
    """Return remarks as other code returned them, each on one line; a lone text is one statement.

    >>> normalise_remarks("not\\na list")
    ('not a list',)
    """
    several = given if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    lines = (" ".join(str(text).split()) for text in several if text is not None)
    return tuple(line for line in lines if line)
