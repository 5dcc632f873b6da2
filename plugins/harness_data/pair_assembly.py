"""From the rows of tables and the files of a folder to pairs: what belongs together, and what is left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.errors import DataError, did_you_mean
from harness_data.pair_files import PairFiles, inside
from harness_data.pair_findings import Findings
from harness_data.pair_split import Entry
from harness_data.pair_tables import Row, Table

UNLABELLED = "unlabelled"


@dataclass
class Assembled:
    """Entries by split, what was found wrong with the pairs of each, and with the collection."""

    entries: dict[str, list[Entry]] = field(default_factory=dict)
    findings: dict[str, Findings] = field(default_factory=dict)
    whole: Findings = field(default_factory=Findings)


@dataclass(frozen=True, eq=False)
class _Resolved:
    """A row with the names of its files, None where there is none."""

    row: Row
    split: str
    image: str | None
    text: str | None


def class_list(tables: Mapping[str, Table], classes: Sequence[str] | None) -> list[str]:
    """The classes given, or the labels of all tables: numbers by value, before words by name.

    Labels that differ in case alone are one class, spelled as it is most often.
    """
    if classes is not None:
        if len({c.casefold() for c in classes}) != len(classes):
            raise DataError(f"classes: one is listed twice in {list(classes)}")
        return list(classes)
    times = Counter(row.label for table in tables.values() for row in table.rows if row.label is not None)
    rarest_first = sorted(times, key=lambda name: (times[name], name))
    found = {name.casefold(): name for name in rarest_first}.values()
    return sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def assemble(tables: Mapping[str, Table], files: PairFiles, classes: Sequence[str]) -> Assembled:
    """Pairs from one table per split, and the files that their rows or ids name.

    Labels are matched to `classes` without regard to case. Rows without a label go to the split
    `unlabelled`. Of rows with the same id the first with a label counts if their labels agree; else
    none does. (In tables of different splits the same id may stand for different images.)
    """
    found = Assembled()
    labels = {name.casefold(): i for i, name in enumerate(classes)}
    resolved = [_resolve(row, split, files) for split, table in tables.items() for row in table.rows]
    for table in tables.values():
        found.whole.extend("row broken", table.broken)
        found.whole.extend("id missing", table.without_id)
    taken: set[tuple[str, str]] = set()
    for one in _unique(resolved, found.whole):
        row, label = one.row, -1
        if row.left_out is not None:
            found.whole.add(row.left_out, row.id)
            continue
        if row.label is None:
            found.whole.add("label null", row.id)
        elif row.label.casefold() in labels:
            label = labels[row.label.casefold()]
        else:
            hint = did_you_mean(row.label, classes)
            found.whole.add("label unknown", f"{row.id}: '{row.label}' ({row.where}{hint})")
            continue
        home = one.split if label >= 0 else UNLABELLED
        entry = _entry(one, label, files, found.findings.setdefault(home, Findings()))
        if (home, entry.id) in taken:  # from tables of two splits, both without a label
            entry = replace(entry, id=f"{one.split}/{entry.id}")
        taken.add((home, entry.id))
        found.entries.setdefault(home, []).append(entry)
    used = {name for one in resolved for name in (one.image, one.text) if name}
    _left_over(files, used, found.whole)
    return found


def _resolve(row: Row, split: str, files: PairFiles) -> _Resolved:
    identity = inside(row.id) or ""
    by_id = (identity, f"{split}/{identity}")
    image = files.images.find(by_id)
    if row.image is not None:
        name = inside(row.image) or ""
        image = files.images.find((name, f"{split}/{name}")) if name else None
    text = files.texts.find(by_id) if row.text is None else None
    return _Resolved(row, split, image, text)


def _unique(resolved: Sequence[_Resolved], whole: Findings) -> list[_Resolved]:
    """The rows that count, in their order: one for each id, none for an id with different labels."""
    counting: dict[str, list[_Resolved]] = {}
    clashing: set[_Resolved] = set()
    for one in resolved:
        same = counting.setdefault(one.row.id, [])
        twin = next((o for o in same if o.split == one.split or o.image == one.image), None)
        if twin is None:
            same.append(one)
            continue
        first, label = twin.row.label, one.row.label
        if first is not None and label is not None and first.casefold() != label.casefold():
            if twin not in clashing:
                whole.add("id twice with different labels", one.row.id)
            clashing.add(twin)
            continue
        whole.add("id twice", f"{one.row.id} ({one.row.where})")
        if first is None and label is not None:
            same[same.index(twin)] = one
    left = {id(one) for same in counting.values() for one in same if one not in clashing}
    return [one for one in resolved if id(one) in left]


def _entry(one: _Resolved, label: int, files: PairFiles, findings: Findings) -> Entry:
    row = one.row
    names = ([row.id] if row.image is None or row.text is None else []) + [row.image or ""]
    findings.extend("name outside the folder", (f"{n} ({row.where})" for n in names if n and not inside(n)))
    if row.text is None:
        text = files.texts.files[one.text] if one.text is not None else None
        text_name = one.text or f"{row.id} (no text)"
    else:
        text, text_name = row.text, row.where
    return Entry(
        row.id,
        label,
        files.images.files[one.image] if one.image is not None else None,
        text,
        row.facts,
        one.image or row.image or f"{row.id} (no image)",
        text_name,
    )


def _left_over(files: PairFiles, used: set[str], whole: Findings) -> None:
    second = set(files.second)
    whole.extend("image without id", (n for n in files.images.files if n not in used and n not in second))
    whole.extend("text without id", (n for n in files.texts.files if n not in used and n not in second))
    whole.extend("second file of an id", (n for n in files.second if n not in used))
    whole.extend("file of another kind", files.others)
