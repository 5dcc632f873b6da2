"""Decides which labels in tables of pairs are classes, and which mean "no label".

An empty cell, `null`, `nan`, `na`, `n/a` and `?` mean "no label". `-1` and `none` are ambiguous, and the
collection decides:

- `-1` is a class among numbers, `none` among words, unless it is rarer than a quarter of the rarest other
  class; also, `-1` must not be more than four times as frequent as the commonest class, or more than twice
  if the numbers form no scale up to 1 or from -n to n;
- a table with no other label has no labels (the test part of a challenge);
- such a word is a class if only one class would remain without it.

The option `classes` overrules all of this. A remark reports what was decided about the two words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import DataError

if TYPE_CHECKING:
    from harness_data.pair_tables import PairTable

NULL = frozenset(("", "null", "nan", "na", "n/a", "<na>", "?"))
"""Labels, in lower case, that mean "no label"."""

DOUBTFUL = ("-1", "none")
"""Labels, in lower case, that may mean "no label"."""

_WHOLE = re.compile(r"[+-]?\d+")
_SEPARATORS = (",", ";", "|", "/", "+", "&")
_WHOLE_AS_FRACTION = re.compile(r"([+-]?\d+)\.0+")


def settle_pair_labels(tables: Mapping[str, PairTable], classes: Sequence[str] | None) -> list[str]:
    """Set labels that mean "no label" to None by the rule above; return remarks on it.

    `1.0` becomes `1` unless `classes` lists it: programs write whole numbers so in a column with gaps.
    """
    listed = {name.casefold() for name in classes or ()}
    for table in tables.values():
        table.rows = [replace(row, label=_normalise_label(row.label, listed)) for row in table.rows]
    remarks = []
    for word in () if classes is not None else DOUBTFUL:
        remarks += _settle_word(word, tables)
    if classes is None:
        remarks += _note_combined_labels(tables)
    if classes is not None:
        for table in tables.values():
            _clear_labels(table, [word for word in DOUBTFUL if word not in listed])
    return remarks


def list_pair_classes(tables: Mapping[str, PairTable], classes: Sequence[str] | None) -> list[str]:
    """Return the given classes, or the labels of all tables: numbers by value, then words by name.

    Labels that differ only in case are one class, in its most frequent spelling.
    """
    if classes is not None:
        if len({c.casefold() for c in classes}) != len(classes):
            raise DataError(f"classes: a class is listed twice in {list(classes)}")
        return list(classes)
    times = Counter(row.label for table in tables.values() for row in table.rows if row.label is not None)
    rarest_first = sorted(times, key=lambda name: (times[name], name))
    found = {name.casefold(): name for name in rarest_first}.values()
    numbers = {name: int(name) for name in found if _WHOLE.fullmatch(name)}
    return sorted(found, key=lambda name: (name not in numbers, numbers.get(name, 0), name))


def is_pair_label(word: str, count: int, others: Mapping[str, int]) -> bool:
    """Return whether an ambiguous word that occurs `count` times beside the labels `others` is a class.

    >>> is_pair_label("-1", 20, {"0": 20, "1": 20}), is_pair_label("-1", 20, {"joy": 20, "anger": 20})
    (True, False)
    >>> is_pair_label("none", 20, {"joy": 20, "anger": 20}), is_pair_label("none", 900, {"0": 50, "1": 50})
    (True, False)
    """
    if len(others) < 2:
        return bool(others)
    numbers = [int(name) for name in others if _WHOLE.fullmatch(name)]
    if bool(numbers) != (word == "-1") or len(numbers) not in (0, len(others)):
        return False
    if 4 * count < min(others.values()):
        return False
    if word == "none":
        return True
    scale = max(numbers) == 1 or max(numbers) == -min(numbers)
    return count <= (4 if scale else 2) * max(others.values())


def _normalise_label(label: str | None, listed: set[str]) -> str | None:
    if label is None or label.casefold() in listed:
        return label
    if label.casefold() in NULL:
        return None
    number = _WHOLE_AS_FRACTION.fullmatch(label)
    return number[1] if number else label


def _settle_word(word: str, tables: Mapping[str, PairTable]) -> list[str]:
    """Decide on one word for all tables; clear it in those where it means "no label"; return remarks."""
    counts = {
        s: Counter(r.label.casefold() for r in t.rows if r.label is not None) for s, t in tables.items()
    }
    mixed = [split for split, found in counts.items() if found[word] and len(found) > 1]
    together = sum((counts[split] for split in mixed), Counter[str]())
    count = together.pop(word, 0)
    remarks, stays = [], bool(mixed) and is_pair_label(word, count, together)
    if stays:
        remarks.append(
            f"{count:,} of {count + together.total():,} rows are labelled '{word}', counted as a class; "
            "list the others in `classes` to leave them out"
        )
    out = [split for split, found in counts.items() if found[word] and not (stays and split in mixed)]
    if out:
        rows, labelled = sum(counts[s][word] for s in out), sum(counts[s].total() for s in out)
        for split in out:
            table = tables[split]
            table.emptied += [r.id for r in table.rows if r.label is not None and r.label.casefold() == word]
            _clear_labels(table, [word])
        remarks.append(
            f"{rows:,} of {labelled:,} rows are labelled '{word}', taken as unlabelled; "
            "list it in `classes` to count it"
        )
    return remarks


def _note_combined_labels(tables: Mapping[str, PairTable]) -> list[str]:
    """Return a remark on labels that combine others, such as `joy,anger` beside `joy`."""
    counts = Counter(r.label.casefold() for t in tables.values() for r in t.rows if r.label is not None)

    def made(label: str) -> bool:
        for mark in _SEPARATORS:
            parts = [part.strip(" '\"[]()") for part in label.split(mark)]
            if len(parts) > 1 and all(parts) and sum(part in counts for part in parts) * 2 >= len(parts):
                return True
        return False

    several = [label for label in counts if made(label)]
    if not several:
        return []
    count = sum(counts[label] for label in several)
    return [
        f"{count:,} of {counts.total():,} rows have several labels (first: '{several[0]}'), and each such set counts "
        "as a separate class; list single labels in `classes` to leave these rows out"
    ]


def _clear_labels(table: PairTable, words: Sequence[str]) -> None:
    table.rows = [
        replace(row, label=None) if row.label is not None and row.label.casefold() in words else row
        for row in table.rows
    ]
