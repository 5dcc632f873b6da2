"""Assembles pairs from the rows of tables and the files of a folder, and reports what is left over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import did_you_mean
from harness_data.image_files import NON_IMAGE_SUFFIXES, suffix_of
from harness_data.pair_files import FileIndex, FileSource, PairFiles, resolve_inside
from harness_data.pair_findings import INEXACT, UNUSED, PairFindings
from harness_data.pair_layout import UNLABELLED
from harness_data.pair_split import UnreadPair
from harness_data.pair_tables import PairRow, PairTable


@dataclass
class AssembledPairs:
    """Pairs by split, with the findings on the pairs of each split and on the whole collection."""

    entries: dict[str, list[UnreadPair]] = field(default_factory=dict)
    findings: dict[str, PairFindings] = field(default_factory=dict)
    whole: PairFindings = field(default_factory=PairFindings)
    expected: PairFindings = field(default_factory=PairFindings)
    """The part of `whole` that is normal, such as pairs in an unlabelled table, or reported already."""

    def describe_unused(self, usual: Collection[str] = ()) -> str | None:
        """Return one line on unused rows and files, if any; leave out the kinds in `usual`."""
        unused = PairFindings()
        for kind, names in self.whole.names.items():
            known = {*self.expected.names.get(kind, ())}
            unused.extend(kind, (name for name in names if kind not in usual and name not in known))
        # every folder holds tables, notes and archives; only undecodable pictures explain pairs without an image
        others = [
            name
            for name in unused.names.pop("file of another kind", [])
            if suffix_of(name) not in NON_IMAGE_SUFFIXES
        ]
        if not all(entry.image for of in self.entries.values() for entry in of):
            unused.extend("file of another kind", others)
        lines = (unused.describe(UNUSED, "not used"), unused.describe(INEXACT, "assumed"))
        return "; ".join(line for line in lines if line) or None


@dataclass(eq=False)
class _ResolvedRow:
    """A row with the names of its files, None for a missing one."""

    row: PairRow
    split: str
    image: str | None
    text: str | None
    inexact: list[str] = field(default_factory=list)
    """The name in the row and the file taken for it, if these differ in more than the folder."""


def assemble_pairs(
    tables: Mapping[str, PairTable], files: PairFiles, classes: Sequence[str]
) -> AssembledPairs:
    """Assemble pairs from one table per split and the files that its rows or ids name.

    Labels match `classes` regardless of case. Rows without a label go to the split `unlabelled`. Of rows with
    the same id, the first with a label counts if their labels agree; otherwise none does. (In tables of
    different splits, the same id may mean different images.)
    """
    found = AssembledPairs()
    labels = {name.casefold(): i for i, name in enumerate(classes)}
    folder = files.folder
    resolved = [
        _resolve_row(row, split, relative_folder(table.path.parent, folder), files)
        for split, table in tables.items()
        for row in table.rows
    ]
    _match_alike(resolved, files)
    for table in tables.values():
        found.whole.extend("row broken", table.broken)
        found.whole.extend("id missing", table.without_id)
    emptied = {split: {*table.emptied} for split, table in tables.items()}
    taken: set[tuple[str, str]] = set()
    for one in _drop_duplicates(resolved, found.whole):
        row, label = one.row, -1
        if row.left_out is not None:
            found.whole.add(row.left_out, row.id)
            continue
        found.whole.extend("name not exact", one.inexact)
        if row.label is None:
            found.whole.add("label null", row.id)
            if one.split == UNLABELLED or row.id in emptied[one.split]:
                found.expected.add("label null", row.id)
        elif row.label.casefold() in labels:
            label = labels[row.label.casefold()]
        else:
            hint = did_you_mean(row.label, classes)
            found.whole.add("label unknown", f"{row.id}: '{row.label}' ({row.where}{hint})")
            continue
        home = one.split if label >= 0 else UNLABELLED
        entry = _build_pair(one, label, files, found.findings.setdefault(home, PairFindings()))
        if (home, entry.id) in taken:  # from tables of two splits, both unlabelled
            entry = replace(entry, id=f"{one.split}/{entry.id}")
        taken.add((home, entry.id))
        found.entries.setdefault(home, []).append(entry)
    used = {name for one in resolved for name in (one.image, one.text) if name}
    _add_leftovers(files, used, found.whole)
    return found


def explain_unfit(
    found: AssembledPairs, classes: Sequence[str], modalities: Sequence[str], where: str
) -> str | None:
    """Return why no classifier of these modalities can be trained on the pairs, or None; `where` names the table."""
    pairs = [entry for split, of in found.entries.items() if split != UNLABELLED for entry in of]
    used = sorted({entry.label for entry in pairs})
    if not pairs:
        counts = ", ".join(f"{kind}: {count:,}" for kind, count in found.whole.counts().items())
        return f"{where}: none of its rows makes a labelled pair ({counts or 'it holds no rows'})"
    if len(used) == 1:
        return (
            f"{where}: all {len(pairs):,} labelled pairs have the same class ('{classes[used[0]]}'); "
            "if that is not their label, set `labels` or label_column"
        )
    if len(used) == len(pairs):
        return (
            f"{where}: all {len(pairs):,} labelled pairs have different labels (first: '{classes[pairs[0].label][:60]}'); "
            "if that is not their label, set label_column"
        )
    for modality in modalities:
        names = [e.image_name if modality == "image" else e.text_name for e in pairs]
        if pairs and not any(getattr(entry, modality) for entry in pairs):
            return (
                f"{where}: none of its {len(pairs):,} pairs has its {modality}; the first would be {names[0]}"
            )
    return None


def relative_folder(folder: Path, root: Path) -> str:
    """Return a folder's POSIX path below another; "" if they are the same or it lies elsewhere."""
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) and folder != root else ""


def _resolve_row(row: PairRow, split: str, folder: str, files: PairFiles) -> _ResolvedRow:
    """Return a row with the files that it names or that its id means; `folder` is that of its table."""
    identity = resolve_inside(row.id) or ""
    by_id = (identity, f"{split}/{identity}", f"{folder}/{identity}")
    image = files.images.find(by_id)
    if row.image is not None:
        name = resolve_inside(row.image) or ""
        image = files.images.find((name, f"{split}/{name}", f"{folder}/{name}")) if name else None
    text = files.texts.find(by_id) if row.text is None else None
    return _ResolvedRow(row, split, image, text)


def _match_alike(resolved: Sequence[_ResolvedRow], files: PairFiles) -> None:
    """Give rows whose files are missing by name the files of similar names that no other row has."""
    for kind, index in (("image", files.images), ("text", files.texts)):
        taken = {getattr(one, kind) for one in resolved}
        wanted: dict[str, list[_ResolvedRow]] = {}
        for one in resolved:
            if getattr(one, kind) is None and (kind == "image" or one.row.text is None):
                path = _find_alike_file(one.row, kind, index)
                if path is not None and path not in taken:
                    wanted.setdefault(path, []).append(one)
        for path, rows in wanted.items():
            if len({one.row.id for one in rows}) == 1:
                for one in rows:
                    setattr(one, kind, path)
                    named = one.row.image if kind == "image" and one.row.image else one.row.id
                    one.inexact.append(f"'{named}' is {path}")


def _find_alike_file(row: PairRow, kind: str, index: FileIndex) -> str | None:
    """Return the file whose name is similar to the image that the row names, or to its id."""
    named = row.image if kind == "image" and row.image else None
    found = index.find_alike(named) if named else None
    identity = resolve_inside(row.id)
    if found is None and identity:
        found = index.find((identity,)) or index.find_alike(identity)
    return found


def _drop_duplicates(resolved: Sequence[_ResolvedRow], whole: PairFindings) -> list[_ResolvedRow]:
    """Return the rows that count, in order: one per id, none for an id with different labels."""
    counting: dict[str, list[_ResolvedRow]] = {}
    clashing: set[_ResolvedRow] = set()
    for one in resolved:
        same = counting.setdefault(one.row.id, [])
        twin = next((other for other in same if _is_same_pair(other, one)), None)
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


def _is_same_pair(a: _ResolvedRow, b: _ResolvedRow) -> bool:
    """Return whether two rows with one id mean one pair: within a split always, else if they share a file."""
    return a.split == b.split or any(
        x is not None and x == y for x, y in ((a.image, b.image), (a.text, b.text))
    )


def _build_pair(one: _ResolvedRow, label: int, files: PairFiles, findings: PairFindings) -> UnreadPair:
    row = one.row
    names = [row.id] if row.image is None or row.text is None else []
    names += [row.image or ""] if one.image is None else []
    findings.extend(
        "name outside the folder", (f"{n} ({row.where})" for n in names if n and not resolve_inside(n))
    )
    if row.text is None:
        text: FileSource | str | None = files.texts.files[one.text] if one.text is not None else None
        text_name = one.text or f"{row.id} (no text)"
    else:
        text, text_name = row.text, row.where
    return UnreadPair(
        row.id,
        label,
        files.images.files[one.image] if one.image is not None else None,
        text,
        row.facts,
        one.image or row.image or f"{row.id} (no image)",
        text_name,
    )


def _add_leftovers(files: PairFiles, used: set[str], whole: PairFindings) -> None:
    second = set(files.second)
    whole.extend("image without id", (n for n in files.images.files if n not in used and n not in second))
    whole.extend("text without id", (n for n in files.texts.files if n not in used and n not in second))
    whole.extend("second file of an id", (n for n in files.second if n not in used))
    whole.extend("file of another kind", files.others)
