"""The data set `pairs-webdataset`: image-text pairs in tar files, in the layout of `webdataset`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_data.pair_tables import format_cell
from harness_data.text_encoding import replace_surrogates
from harness_data.webdatasets import IMAGE_EXTENSIONS, WebDataset

if TYPE_CHECKING:
    from harness_data.pair_findings import PairFindings
    from harness_data.pair_split import PairSplit, UnreadPair
    from harness_data.remote_shards import RemoteShard
    from harness_data.shards import ShardMember

TEXT_FIELDS = ("text", "caption", "txt")
LABEL_FIELDS = ("label", "cls", "class", "sentiment")


@dataclass(frozen=True)
class MemberSource:
    """A member of a shard."""

    member: ShardMember

    @property
    def place(self) -> str:
        """The name of the member in messages."""
        return self.member.place

    @property
    def stamp(self) -> str:
        """The part of the shard that holds it."""
        return f"{self.member.offset}|{self.member.size}"

    @property
    def file(self) -> Path | RemoteShard:
        """The shard that holds it."""
        return self.member.shard

    def read(self) -> bytes:
        """Return its bytes. Raises DataError naming shard and member if they can't be read."""
        return self.member.read()


class PairShards(WebDataset):
    """Pairs from `<path>/<split>/nshards.txt` and `<path>/<split>/<i>.tar` with `<key>.jpg` (png, webp),
    `<key>.txt` and `<key>.cls`, or `<key>.json` with the fields `text` or `caption`, and `label`.

    Labels are class indices or names of `classnames.txt`; without that file, all labels found are the
    classes. Samples that lack an image or a text keep what they have; those without a label are left out,
    unless the whole split has none (its targets are then −1). The report lists all of this.

    Args:
        path: the folder of the splits, itself or below $HARNESS_DATA_ROOT; or an address, as for `webdataset`.
        encoding: of texts that are not UTF-8; by default guessed from the texts of the split.
    """

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        """Store the options."""
        from harness_data.text_encoding import check_encoding

        super().__init__(path)
        self.encoding = check_encoding(encoding, "pairs-webdataset")

    @classmethod
    def recognise(cls, path: Path) -> None:
        """Return None: the same files are the images and labels of `webdataset`, and pairs are asked for by name."""

    def load(self, split: str) -> PairSplit:  # type: ignore[override]
        """Index the shards of one split, read its texts and check its images.

        Raises DataError naming the shard that is missing or broken, or if nothing can be read.
        """
        from harness_data.leftovers import note_unused_labels
        from harness_data.pair_findings import UNUSED, PairFindings
        from harness_data.pair_split import PairSplit, read_texts
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, self.where)
        names, findings, whole = self._names, PairFindings(), PairFindings()
        entries = []
        for key, members in self._list_samples(split):
            entry = self._build_pair(key, members, names, findings, whole)
            if entry is not None:
                entries.append(entry)
        if any(entry.label >= 0 for entry in entries):
            entries = [entry for entry in entries if entry.label >= 0]
        where, read = f"{self.where}, split '{split}'", read_texts(entries, self.encoding)
        opened = PairSplit(entries, names, findings, where, whole.build_report(), read)
        unused = whole.describe(UNUSED, "not used")
        targets = opened.targets[opened.targets >= 0]
        absent = note_unused_labels(targets, len(names), names) if len(targets) else []
        opened.remarks = [
            *self._classes_and_nulls[2],
            *([unused] if unused else []),
            *absent,
            *opened.remarks,
        ]
        return opened

    def fingerprint(self) -> str:
        """Return a digest of names, templates and shards, and of the rule for decoding texts."""
        from harness_data.digests import text_digest
        from harness_data.text_encoding import RULE

        return text_digest([RULE, super().fingerprint()])

    def unfit(self, modalities: Sequence[str]) -> str | None:
        """Return why no classifier can be trained on the pairs, or None."""
        if len(self._names) > 1:
            return None
        return f"{self.where}: all labelled pairs have the same class ({', '.join(self._names) or 'none is labelled'})"

    def _list_samples(self, split: str) -> list[tuple[str, Mapping[str, ShardMember]]]:
        from harness_data.shards import index_shard

        return [
            (f"{number}/{replace_surrogates(key)}", members)
            for number, shard in enumerate(self._list_indexed(split))
            for key, members in index_shard(shard).items()
        ]

    @cached_property
    def _names(self) -> list[str]:
        return self._classes_and_nulls[0]

    @cached_property
    def _classes_and_nulls(self) -> tuple[list[str], frozenset[str], list[str]]:
        """The classes, the labels (in lower case) that mean "no label", and remarks on these."""
        from collections import Counter

        from harness_data.pair_labels import DOUBTFUL, NULL, is_pair_label
        from harness_data.webdatasets import CLASS_NAMES

        given = self._read_lines(CLASS_NAMES)
        if given is not None:
            return given, NULL | ({*DOUBTFUL} - {name.lower() for name in given}), []
        times = Counter(
            label
            for split in self.splits
            for _, members in self._list_samples(split)
            if (label := _read_label(members, _read_json(members))).lower() not in NULL
        )
        null, remarks = NULL, []
        for word in [label for label in times if label.lower() in DOUBTFUL]:
            count, total = times.pop(word), times.total()
            if is_pair_label(word.lower(), count, times):
                times[word], what = count, "counted as a class"
            else:
                null, what = null | {word.lower()}, "taken as unlabelled"
            remarks.append(
                f"{count:,} of {count + total:,} samples are labelled '{word}', {what}; {CLASS_NAMES} overrules"
            )
        if times and all(
            label.isdecimal() for label in times
        ):  # labels are class indices, which serve as names
            return [str(i) for i in range(max(map(int, times)) + 1)], null, remarks
        return sorted(times), null, remarks

    @cached_property
    def _label_indices(self) -> dict[str, int]:
        """The class index of each label, in lower case: labels are class names, or all are class indices.

        If some label is not a name and all are indices, names that look like numbers (stars from 1 to 5) do
        not count as names.
        """
        by_name = {name.casefold(): i for i, name in reversed([*enumerate(self._names)])}
        by_number = {str(i): i for i in range(len(self._names))}
        labels = {
            label
            for split in self.splits
            for _, members in self._list_samples(split)
            if (label := _read_label(members, _read_json(members)).casefold())
            not in self._classes_and_nulls[1]
        }
        if not labels - {*by_name}:
            return by_name
        return by_number if not labels - {*by_number} else by_number | by_name

    def _build_pair(
        self,
        key: str,
        members: Mapping[str, ShardMember],
        names: list[str],
        findings: PairFindings,
        whole: PairFindings,
    ) -> UnreadPair | None:
        from harness.errors import did_you_mean
        from harness_data.pair_split import UnreadPair

        record = _read_json(members)
        if record is None:
            whole.add("row broken", members["json"].place)
        label, index = _read_label(members, record), -1
        if label.lower() in self._classes_and_nulls[1]:
            whole.add("label null", key)
        elif (known := self._label_indices.get(label.casefold())) is not None:
            index = known
        else:
            whole.add("label unknown", f"{key}: '{label}'{did_you_mean(label, names)}")
            return None
        images = [members[e] for e in IMAGE_EXTENSIONS if e in members]
        whole.extend("second file of an id", (m.place for m in images[1:]))
        text: MemberSource | str | None = None
        if "txt" in members:
            text = MemberSource(members["txt"])
        else:
            text = next(
                (found for f in TEXT_FIELDS if record and (found := format_cell(record.get(f))) is not None),
                None,
            )
        return UnreadPair(
            key,
            index,
            MemberSource(images[0]) if images else None,
            text,
            {},
            images[0].place if images else f"{key} (no image)",
            members["txt"].place if "txt" in members else f"{key} (no text)",
        )


def _read_json(members: Mapping[str, ShardMember]) -> dict[str, Any] | None:
    """Return the sample's JSON object; empty if it has none, None if unreadable."""
    if "json" not in members:
        return {}
    try:
        found = json.loads(members["json"].read())
    except (ValueError, DataError):
        return None
    return found if isinstance(found, dict) else None


def _read_label(members: Mapping[str, ShardMember], record: Mapping[str, Any] | None) -> str:
    """Return the label as written, or ""."""
    if "cls" in members:
        return members["cls"].read().decode("utf-8-sig", errors="replace").strip()
    fields = (format_cell(record.get(f)) for f in LABEL_FIELDS) if record else ()
    return next((text for text in fields if text is not None), "")
