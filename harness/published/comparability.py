"""Whether published numbers were made as one's own were: which stated facts differ, and which nobody states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.published.background import Background

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.record import Record
    from harness.records.store import Store

MOST = 60
"""Models whose records are read for their facts."""

PHRASES = {
    "resolution": "at {} px",
    "crop": "crop {}",
    "interpolation": "{}",
    "templates": "{} templates",
    "precision": "{}",
}
"""The facts that make numbers comparable or not, in words."""

PRECISIONS = {"fp32": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
"""Other words for precisions."""

CLOSE = 0.005
"""Relative difference up to which two numbers are the same fact: published ones are rounded."""


@dataclass
class OwnFacts:
    """What is known of one's own evaluations: the values of each fact, and the samples of each data set."""

    values: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)


def collect_own_facts(data: pd.DataFrame, store: Store | None) -> OwnFacts:
    """Return the facts of the ok records of a frame; one record of each model tells how images were prepared."""
    own = OwnFacts()
    good = data[data["status"] == "ok"]
    first: dict[str, str] = {}
    counts = good["count"].to_list() if "count" in good else [None] * len(good)
    for model, dataset, id, count in zip(
        good["at.model"], good["at.dataset"], good["id"], counts, strict=True
    ):
        first.setdefault(str(model), str(id))
        if count is not None and count == count:
            known = own.counts.setdefault(str(dataset), [])
            known += [int(count)] if int(count) not in known else []
    for id in list(first.values())[:MOST] if store is not None else ():
        record = store.read(id) if store is not None else None
        for fact, value in (_read_facts(record) if record is not None else {}).items():
            known_values = own.values.setdefault(fact, [])
            known_values += [value] if value not in known_values else []
    return own


def _read_facts(record: Record) -> dict[str, str]:
    """Return what a record says of how it was made."""
    facts: dict[str, str] = {}
    prepared: Any = record.notes.get("preparation")
    if isinstance(prepared, Mapping):
        crop, resize = (_side(prepared.get(name)) for name in ("crop", "resize"))
        facts |= {"resolution": f"{crop:g}"} if crop else {}
        facts |= {"crop": f"{crop / resize:.3g}"} if crop and resize else {}
        facts |= {"interpolation": str(prepared["interpolation"])} if prepared.get("interpolation") else {}
    templates: Any = record.notes.get("templates")
    if isinstance(templates, int):
        facts["templates"] = str(templates)
    if isinstance(precision := record.cell.get("precision"), str):
        facts["precision"] = precision
    return facts


def _side(size: Any) -> float:
    """Return the side of a size: a number, or the smaller one of a pair; 0 if unknown."""
    sides = size if isinstance(size, list | tuple) else [size]
    return float(min(sides)) if sides and all(isinstance(side, int | float) for side in sides) else 0.0


def describe_differences(background: Background, model: int, datasets: Sequence[str], own: OwnFacts) -> str:
    """Return how what is stated of a published model, and of its data sets, differs from all of one's own; "" if not.

    >>> background = Background(["a [x]"], ["x"], facts={"resolution": ["384"], "precision": ["float16"]})
    >>> describe_differences(background, 0, [], OwnFacts({"resolution": ["224"], "precision": ["float16"]}))
    'published at 384 px; here at 224 px'
    """
    theirs, ours = [], []
    for fact, phrase in PHRASES.items():
        stated, known = background.facts.get(fact, [""] * background.count)[model], own.values.get(fact, [])
        if stated and known and not any(_is_same(stated, value) for value in known):
            theirs.append(phrase.format(_shorten(stated)))
            ours.append(phrase.format(" or ".join(map(_shorten, known))))
    sizes: dict[tuple[str, str], None] = {}  # many data sets, such as corruptions, share their size
    for dataset in datasets:
        count, counts = background.counts.get((background.sets[model], dataset)), own.counts.get(dataset, [])
        if count is not None and counts and count not in counts:
            sizes[f"on {count:,} samples", f"on {' or '.join(f'{n:,}' for n in counts)}"] = None
    theirs += [size for size, _ in sizes]
    ours += [size for _, size in sizes]
    return f"published {', '.join(theirs)}; here {', '.join(ours)}" if theirs else ""


def _shorten(text: str) -> str:
    """Return a number without needless zeros, other text as it is."""
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def describe_unknown(background: Background, name: str, own: OwnFacts) -> str:
    """Return which facts of one's own a set does not state of its models, or nothing if it states all."""
    places = [n for n, other in enumerate(background.sets) if other == name]
    unknown = []
    for fact in PHRASES:
        texts = background.facts.get(fact, [""] * background.count)
        missing = sum(not texts[n] for n in places)
        if missing and own.values.get(fact):
            unknown.append(
                fact if missing == len(places) else f"{fact} (of {missing} of {len(places)} models)"
            )
    return f"It does not state: {', '.join(unknown)}" if unknown else ""


def _is_same(one: str, other: str) -> bool:
    one, other = _use_own_words(one), _use_own_words(other)
    try:
        a, b = float(one), float(other)
    except ValueError:
        return one == other
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


def _use_own_words(text: str) -> str:
    """Return a fact as it is written here: the side of a square, and a precision by its full name.

    >>> _use_own_words("224x224"), _use_own_words("FP16")
    ('224', 'float16')
    """
    text = text.strip().lower()
    square = re.fullmatch(r"(\d+)\s*[x×]\s*\1", text)
    return square[1] if square else PRECISIONS.get(text, text)
